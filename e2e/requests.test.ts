/** Access for a time, as people have it: asked for and given with the CLI, in the agent's lease, in the evidence, and over when it is over. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { shopManifests, shopSql } from './components/shop.ts';

const sid = { sub: 'u-3', email: 'sid@example.com', groups: ['sales'] };
const dan = { sub: 'd-1', email: 'dan@example.com', groups: ['dba', 'sales'] };
type Person = typeof sid;

const roles = `---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: oncall }
spec:
  members: {}
  resources: { names: [crm] }
  requests:
    by: { groups: [sales] }
    approval: { from: { groups: [dba] }, expiresIn: 1h }
    maxDuration: 2h
`;

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: roles }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function cli(who: Person, ...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const file = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const env = { ...process.env, HOME: gateway.dir, SALLYPORT_TOKEN: await issuer.token(who) };
  return new Promise(resolve =>
    execFile(process.execPath, [file, ...args, '--data', gateway.data], { env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

async function connect(who: Person): Promise<{ client: pg.Client; ended: Promise<string> }> {
  const { host, port } = gateway.address('crm');
  const ssl = { ca: readFileSync(gateway.endpoints().ca, 'utf8'), servername: 'localhost' };
  const client = new pg.Client({ host, port, user: 'x', database: 'app', password: await issuer.token(who), ssl });
  const ended = new Promise<string>(resolve => client.on('error', (error: Error) => resolve(error.message)));
  await client.connect();
  return { client, ended };
}

/** The lease reaches the agent a moment later. */
async function connectSoon(who: Person) {
  for (const deadline = Date.now() + 180_000; ; ) {
    try {
      return await connect(who);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise(resolve => setTimeout(resolve, 250));
    }
  }
}

const ask = (who: Person, seconds: string) => cli(who, 'request', 'crm', '--for', seconds, '--reason', 'ticket 12', '--json');
const idOf = (made: { stdout: string; stderr: string }) => {
  assert.equal(made.stderr, '');
  return (JSON.parse(made.stdout) as { id: string }).id;
};

test('asked for, given by another, used, recorded, and revoked', async () => {
  await assert.rejects(connect(sid), /authentication failed/);
  const id = idOf(await ask(sid, '1h'));
  await assert.rejects(connect(sid), /authentication failed/, 'asking gives nothing');
  assert.match((await cli(dan, 'approvals', 'list')).stdout, new RegExp(`${id}.*access to crm as oncall for 3600 seconds`));
  const own = await cli(sid, 'approvals', 'approve', id);
  assert.deepEqual([own.code, /own/.test(own.stderr)], [1, true]);
  const given = await cli(dan, 'approvals', 'approve', id, '--reason', 'fine');
  assert.match(given.stdout, /approved by dan@example\.com[\s\S]*because: ticket 12\n {2}given until 20/);
  const { client, ended } = await connectSoon(sid);
  assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
  await assert.rejects(connect(dan), /authentication failed/, 'it is for who asked');
  const [started] = await gateway.eventually<{ raw: string }>(
    `select body as raw from sallyport.records where type = 'session_started' and body like '%${id}%'`,
    rows => rows.length > 0,
  );
  assert.match(started?.raw ?? '', /dan@example\.com/);
  const revoked = await cli(dan, 'approvals', 'revoke', id, '--reason', 'enough');
  assert.match(revoked.stdout, /revoked by dan@example\.com: enough/);
  assert.match(await ended, /access to this resource has ended/);
  await assert.rejects(connect(sid), /authentication failed/);
});

test('ends by itself, live sessions with it', async () => {
  const id = idOf(await ask(sid, '60s'));
  assert.equal((await cli(dan, 'approvals', 'approve', id)).code, 0);
  const { client, ended } = await connectSoon(sid);
  await client.query('select 1');
  assert.match(await ended, /access to this resource has ended/);
  await assert.rejects(connect(sid), /authentication failed/);
  await gateway.eventually<{ n: string }>(
    `select toString(count()) as n from sallyport.control_events where type = 'AccessEnded' and stream = 'approval/${id}'`,
    rows => rows[0]?.n === '1',
  );
});

test('is not given for longer than the role says, to others, or by who asked; a request can be taken back', async () => {
  const long = await ask(sid, '3h');
  assert.deepEqual([long.code, /7200 seconds at most/.test(long.stderr)], [1, true], long.stderr);
  const nobody = await ask({ sub: 'x', email: 'x@example.com', groups: ['other'] }, '1h');
  assert.deepEqual([nobody.code, /no role/.test(nobody.stderr)], [1, true], nobody.stderr);
  const usage = await cli(sid, 'request', 'crm', '--for', '1h');
  assert.equal(usage.code, 2);
  const mine = idOf(await ask(dan, '1h'));
  assert.equal((await cli(dan, 'approvals', 'approve', mine)).code, 1, 'dan is a dba, and asked himself');
  assert.match((await cli(dan, 'approvals', 'revoke', mine)).stdout, /withdrawn/);
});
