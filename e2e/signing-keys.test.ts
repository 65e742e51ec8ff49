/** New keys for tickets and leases while the system runs: sessions go on, agents and clients follow. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

const command = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await Promise.all([issuer?.stop(), postgres?.stop()]);
});

async function sallyport(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const env = { ...process.env, HOME: gateway.dir, SALLYPORT_DATA: gateway.data, SALLYPORT_TOKEN: await issuer.token(people.support) };
  return new Promise(resolve =>
    execFile(process.execPath, [command, ...args], { env }, (error, stdout, stderr) =>
      resolve({ stdout: stdout.trim(), stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

async function connected(password: string): Promise<pg.Client> {
  const { host, port } = gateway.address('crm');
  const client = new pg.Client({
    host,
    port,
    user: 'x',
    database: 'app',
    password,
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined); // Ended by the gateway: the queries say so.
  await client.connect();
  return client;
}
const answer = async (client: pg.Client) => (await client.query('select 40 + 2 as n')).rows[0]?.n as number;

async function until(look: () => Promise<boolean>, what: string, limitMs = 180_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`not seen within ${limitMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

interface Key {
  kind: string;
  id: string;
  state: string;
}
const keys = async () =>
  (JSON.parse((await sallyport('control-plane', 'rotate-signing-key', '--list', '--json')).stdout) as { keys: Key[] }).keys;
const ticket = async () => (await sallyport('ticket', 'crm')).stdout;
const kidOf = (text: string) => (JSON.parse(Buffer.from(text.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid;

test('with overlap: what is announced is known to the agent at once, and nobody notices', async () => {
  const live = await connected(await ticket());
  const { code, stderr, stdout } = await sallyport('control-plane', 'rotate-signing-key', '--kind', 'lease', '--reason', 'yearly');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /lease +[\w-]{16} +signs/);
  assert.match(stdout, /lease +[\w-]{16} +announced +\d{4}-\d\d-\d\d \d\d:\d\d/);
  const identity = () => readFileSync(path.join(gateway.data, 'agent', 'identity.json'), 'utf8');
  await until(async () => (JSON.parse(identity()) as { leaseKeys?: string[] }).leaseKeys?.length === 2, 'the agent knows both keys');
  assert.equal(await answer(live), 42);
  assert.match((await sallyport('control-plane', 'rotate-signing-key', '--kind', 'lease')).stderr, /was announced and signs from/);
  const [event] = await gateway.eventually<{ author: string; reason: string }>(
    `SELECT author, reason FROM sallyport.control_events WHERE type = 'SigningKeyAnnounced'`,
    rows => rows.length > 0,
  );
  assert.deepEqual(event, { author: 'admin', reason: 'yearly' });
  await live.end();
});

test('in a hurry: live sessions go on, old tickets open none, new ones do; an agent that starts again takes up where it was', async () => {
  const before = await ticket();
  const live = await connected(before);
  assert.equal(await answer(live), 42);
  const first = kidOf(before);
  assert.equal((await sallyport('control-plane', 'rotate-signing-key', '--in', '5s', '--reason', 'a backup was lost')).code, 0);
  await until(async () => (await keys()).every(({ state }) => state === 'signs'), 'the new keys sign, and the ones before are over');
  const next = await ticket();
  assert.notEqual(kidOf(next), first);
  const opened = await connected(next);
  assert.equal(await answer(opened), 42);
  await opened.end();
  await until(
    async () =>
      connected(before).then(
        client => client.end().then(() => false),
        () => true,
      ),
    'the old ticket opens nothing',
  );
  assert.equal(await answer(live), 42, 'a session that is there goes on');
  await live.end();
  // Another change reaches the agent in a lease that the new key has signed.
  const { pids } = gateway.endpoints();
  process.kill(pids['agent'] ?? 0, 'SIGKILL');
  await until(
    async () =>
      connected(await ticket()).then(
        async client => (await answer(client)) === 42 && client.end().then(() => true),
        () => false,
      ),
    'sessions after a restart of the agent',
  );
  assert.equal((await sallyport('doctor')).stdout.includes('signing keys'), true);
});
