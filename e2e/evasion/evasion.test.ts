/**
 * The promise of masking by information flow, tried from both sides: no statement of the corpus brings a protected value to the
 * client, though each does so on a direct connection; and what touches nothing protected comes back byte for byte.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Gateway, startGateway } from '../components/gateway.ts';
import { type Issuer, startIssuer } from '../components/issuer.ts';
import { type PostgresServer, startPostgres } from '../components/postgres.ts';
import { type Frame, RawClient } from '../components/raw-postgres.ts';
import { people, shopManifests, shopSql } from '../components/shop.ts';
import { analysts } from './analysts.ts';
import { behind } from './behind.ts';
import { corners, cornersSql } from './corners.ts';
import { type Evasion, evasionCanaries, evasionColumns, evasionSql, evasions } from './corpus.ts';
import { databaseCanaries, databaseColumns, databaseSql } from './database.ts';
import { dictionaries } from './dictionary.ts';
import { findLeak } from './encodings.ts';
import { errors, harmlessErrors } from './errors.ts';
import { everyday } from './everyday.ts';
import { grown } from './grown.ts';
import { harmlessStatements } from './harmless.ts';
import { pgDump } from './pg-dump.ts';
import { psql } from './psql.ts';
import { rewrites, spelled } from './rewrites.ts';
import { play } from './run.ts';
import { tools } from './tools.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([
    startPostgres({ sql: shopSql + evasionSql + cornersSql + databaseSql, settings: { autovacuum: 'off' } }),
    startIssuer(),
  ]);
  // No detectors and no guard: they would hide what the flow of information lets through.
  const manifests = shopManifests(postgres, { issuer: issuer.url })
    .replace(/statements: \[.*?\]/, 'statements: [cluster]')
    .replace(/ {2}detectors: \[.*\]\n/, '  detectors: []\n')
    .replace('  columns:\n', `  columns:${evasionColumns.trimEnd()}${databaseColumns.trimEnd()}\n`);
  gateway = await startGateway({ manifests: { 'shop.yaml': manifests }, env: { CRM_PASSWORD: postgres.app.password } });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

/** A single statement in every mode; a session as it is. */
const more: Evasion[] = [...rewrites, ...spelled].flatMap((one): Evasion[] => {
  const category = rewrites.includes(one) ? 'rewritten' : 'spelled out';
  if (typeof one !== 'string') return [{ category, steps: one.map(simple => ({ simple })) }];
  if (one.startsWith('copy')) return [{ category, steps: [{ simple: one }] }];
  return [
    { category, steps: [{ simple: one }] },
    { category, steps: [{ extended: one, describe: false }] },
    { category, steps: [{ extended: one, binary: true }] },
  ];
});

const all = [...evasions, ...more, ...corners, ...behind, ...grown, ...errors, ...dictionaries];
const harmless = [...harmlessStatements, ...harmlessErrors, ...everyday, ...analysts, ...tools, ...psql, ...pgDump];

const directly = () =>
  RawClient.connect({ host: postgres.host, port: postgres.port, user: 'direct', database: 'app', password: postgres.direct.password });
const through = async () =>
  RawClient.connect({
    ...gateway.address('crm'),
    user: 'x',
    database: 'app',
    password: await issuer.token(people.support),
    ca: readFileSync(gateway.endpoints().ca, 'utf8'),
  });

test('each evasion leaks on a direct connection, and none through the gateway', async t => {
  let a = await directly();
  let b = await through();
  const harmlessAfterAll: string[] = [];
  for (const evasion of all) {
    const name = `${evasion.category}: ${JSON.stringify(evasion.steps)}`;
    const leak = (bytes: Buffer) =>
      evasion.witness
        ? evasion.witness.test(bytes.toString('latin1'))
          ? 'witness'
          : null
        : findLeak(bytes, [...evasionCanaries, ...databaseCanaries]);
    try {
      if (leak(await play(a, evasion)) === null) harmlessAfterAll.push(`does not leak directly: ${name}`);
    } catch (error) {
      harmlessAfterAll.push(`broke the direct connection: ${name}: ${String(error)}`);
      a.close();
      a = await directly();
    }
    try {
      const found = leak(await play(b, evasion));
      if (found !== null) harmlessAfterAll.push(`LEAKS (${found}): ${name}`);
    } catch (error) {
      // A refusal may end the session only for what PostgreSQL itself would end it for; none of these is.
      harmlessAfterAll.push(`broke the session: ${name}: ${String(error)}`);
      b.close();
      b = await through();
    }
  }
  a.close();
  b.close();
  t.diagnostic(`${all.length} evasions`);
  assert.deepEqual(harmlessAfterAll, []);
});

/** Read-only statements that drivers, mappers and clients send of their own, as a server logged them: file by file, one per client. */
const clients = path.join(import.meta.dirname, 'clients');

test('what drivers and tools ask of the catalogs is the same bytes', async t => {
  const a = await directly();
  const b = await through();
  const different: string[] = [];
  let asked = 0;
  for (const file of readdirSync(clients)) {
    const statements: unknown = JSON.parse(readFileSync(path.join(clients, file), 'utf8'));
    assert.ok(Array.isArray(statements) && statements.length > 0, file);
    for (const sql of statements.map(String)) {
      asked++;
      for (const ask of [
        (client: RawClient) => client.simple(sql),
        (client: RawClient) => client.extended(sql, [], { binary: true, describe: true }),
      ]) {
        const [x, y] = [(await ask(a)).map(comparable), (await ask(b)).map(comparable)];
        if (JSON.stringify(x) !== JSON.stringify(y))
          different.push(`${file}: ${sql}\n  direct:  ${JSON.stringify(x).slice(0, 600)}\n  through: ${JSON.stringify(y).slice(0, 600)}`);
      }
    }
  }
  a.close();
  b.close();
  t.diagnostic(`${asked} statements`);
  assert.deepEqual(different, []);
});

const comparable = (frame: Frame): string => frame.type + frame.body.toString('latin1');

test('what touches nothing protected is the same bytes', async t => {
  const a = await directly();
  const b = await through();
  const different: string[] = [];
  const compare = async (what: string, ask: (client: RawClient) => Promise<Frame[]>) => {
    const [x, y] = [(await ask(a)).map(comparable), (await ask(b)).map(comparable)];
    if (JSON.stringify(x) !== JSON.stringify(y))
      different.push(`${what}\n  direct:  ${JSON.stringify(x).slice(0, 600)}\n  through: ${JSON.stringify(y).slice(0, 600)}`);
  };
  for (const sql of harmless) {
    await compare(sql, client => client.simple(sql));
    if (/;\s*\S|^\s*copy|^;|^(begin|commit|rollback|savepoint|start|declare|fetch|move|close)/i.test(sql)) continue;
    for (const binary of [false, true])
      for (const describe of [true, false])
        await compare(`${sql} (extended, binary ${binary}, describe ${describe})`, client =>
          client.extended(sql, [], { binary, describe }),
        );
  }
  a.close();
  b.close();
  t.diagnostic(`${harmless.length} harmless statements`);
  assert.deepEqual(different, []);
});
