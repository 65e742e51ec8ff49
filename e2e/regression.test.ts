/**
 * PostgreSQL's own regression tests, run by psql twice: straight on a server, and through a gateway whose policy allows everything on
 * another server just like it. What psql prints must be the same, byte for byte: results, tags, notices, errors with their
 * positions, COPY, cursors, prepared statements, transactions.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { STATEMENT_KINDS } from '@sallyport/shared/policy/statement-kinds.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people } from './components/shop.ts';
import { PRELUDE } from './regression/prelude.ts';

const folder = path.join(import.meta.dirname, 'regression', 'sql');
const scripts = readdirSync(folder)
  .filter(name => name.endsWith('.sql'))
  .sort();

const outputs = mkdtempSync(path.join(os.tmpdir(), 'sallyport-regression-'));

/** The same plans and the same order of rows on both servers, whatever else the machine does. */
const settings = { autovacuum: 'off', max_parallel_workers_per_gather: '0', jit: 'off' };

let direct: PostgresServer;
let behind: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

/** Nothing is refused that can be understood, and what cannot be is allowed by name. */
function manifests(): string {
  return `
kind: Resource
metadata: { name: db }
spec: { protocol: postgres, upstream: { address: "localhost:${behind.port}", database: app, tls: { mode: verify-full, ca: { file: "${behind.ca}" } } }, credential: db }
---
kind: Credential
metadata: { name: db }
spec: { username: ${behind.app.user}, password: { env: DB_PASSWORD } }
---
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
kind: Role
metadata: { name: all }
spec: { members: { groups: [support] }, resources: {} }
---
kind: Guard
metadata: { name: everything }
spec: { resources: {}, rules: [{ name: goes, match: { statements: [${STATEMENT_KINDS.join(', ')}] }, action: allow }] }
`;
}

before(async () => {
  [direct, behind, issuer] = await Promise.all([
    startPostgres({ sql: PRELUDE, settings }),
    startPostgres({ sql: PRELUDE, settings }),
    startIssuer(),
  ]);
  gateway = await startGateway({ manifests: { 'db.yaml': manifests() }, env: { DB_PASSWORD: behind.app.password } });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await Promise.all([direct?.stop(), behind?.stop()]);
  await rm(outputs, { recursive: true, force: true });
});

interface Target {
  host: string;
  port: number;
  user: string;
  password: string;
  ca: string;
}

/** What psql prints of a script, in the order in which it prints it. */
async function psql(target: Target, script: string): Promise<string> {
  const file = path.join(outputs, `${script}.out`);
  const output = await open(file, 'w');
  const child = spawn('psql', ['-X', '-a', '-q', '-f', script], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      LC_ALL: 'C.UTF-8',
      PGHOST: target.host,
      PGPORT: String(target.port),
      PGUSER: target.user,
      PGPASSWORD: target.password,
      PGDATABASE: 'app',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: target.ca,
      // As pg_regress sets them: they travel as start-up parameters.
      PGTZ: 'America/Los_Angeles',
      PGDATESTYLE: 'Postgres, MDY',
      PGAPPNAME: 'regression',
    },
    // One file for both, as pg_regress has it: two pipes would be read in any order.
    stdio: ['ignore', output.fd, output.fd],
  });
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  await output.close();
  const text = await readFile(file, 'utf8');
  await rm(file);
  assert.ok(code === 0 || code === 3, `psql ended with ${code}: ${text.slice(-2000)}`);
  return text;
}

for (const script of scripts) {
  test(`${script}: the same through the gateway`, async () => {
    const { host, port } = gateway.address('db');
    const token = await issuer.token(people.support);
    const straight = await psql({ host: 'localhost', port: direct.port, ...direct.app, ca: direct.ca }, script);
    const through = await psql(
      { host: host === '127.0.0.1' ? 'localhost' : host, port, user: 'app', password: token, ca: gateway.endpoints().ca },
      script,
    );
    assert.ok(straight.length > 500, 'the script ran');
    assert.deepEqual(through.split('\n'), straight.split('\n'));
  });
}
