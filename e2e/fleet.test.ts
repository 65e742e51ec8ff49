/** Several agents for one resource: what is known of each, and one that is drained while the other goes on. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
let second: ChildProcess;

const command = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');

const workload = () => `---
apiVersion: sallyport.dev/v1
kind: ServiceAccount
metadata: { name: ci-runner }
spec:
  trusts: [{ issuer: "${issuer.url}", claims: { project: infra } }]
  joins: { labels: { network: ci }, networks: [127.0.0.0/8] }
`;

interface Agent {
  id: string;
  name: string;
  status: string;
  health?: string;
  version: string;
  leaseIssuedAt?: string;
  roundTripMs?: number;
  spoolRecords?: number;
  spoolBytes?: number;
  memoryBytes?: number;
  sessions: number;
  listeners: Record<string, string>;
  labels: Record<string, string>;
}

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: workload() }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  const { grpc } = gateway.endpoints();
  const { stdout } = await sallyport('agents', 'invite', '--json');
  const { token } = JSON.parse(stdout) as { token: string };
  const args = [
    command,
    'agent',
    '--join',
    token,
    '--control-plane',
    grpc,
    '--data',
    path.join(gateway.dir, 'second'),
    '--name',
    'second',
    '--workers',
    '1',
  ];
  second = spawn(process.execPath, args, { env: { ...process.env, HOME: gateway.dir }, stdio: 'ignore' });
  await agents(
    all => all.length === 2 && all.every(({ listeners, roundTripMs }) => listeners['crm'] !== undefined && roundTripMs !== undefined),
  );
});
after(async () => {
  if (second !== undefined) {
    const gone = new Promise(resolve => second.once('exit', resolve));
    second.kill('SIGTERM');
    await gone;
  }
  await gateway?.stop();
  await Promise.all([issuer?.stop(), postgres?.stop()]);
});

function sallyport(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const env = { ...process.env, HOME: gateway.dir, SALLYPORT_DATA: gateway.data };
  return new Promise(resolve =>
    execFile(process.execPath, [command, ...args], { env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

async function agents(enough: (all: Agent[]) => boolean): Promise<Agent[]> {
  const { api, adminToken } = gateway.endpoints();
  const deadline = Date.now() + 240_000;
  for (;;) {
    const response = await fetch(`${api}/v1/agents`, { headers: { authorization: `Bearer ${adminToken}` } });
    const { agents: all } = (await response.json()) as { agents: Agent[] };
    if (enough(all)) return all;
    assert.ok(Date.now() < deadline, JSON.stringify(all));
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

async function connectTo(address: string): Promise<pg.Client> {
  const [host = '', port = ''] = address.split(':');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const client = new pg.Client({
    host,
    port: Number(port),
    user: 'sam',
    database: 'app',
    password: await issuer.token(people.support),
    ssl: { ca },
  });
  client.on('error', () => undefined); // The tests say what they expect of it.
  await client.connect();
  return client;
}

test('the fleet is listed with health, version, lease age, spool, sessions and round trip', async () => {
  const sound = ({ status, health }: Agent) => status === 'online' && health === 'healthy';
  for (const agent of await agents(all => all.length === 2 && all.every(sound))) {
    assert.deepEqual([agent.status, agent.health, agent.sessions], ['online', 'healthy', 0], JSON.stringify(agent));
    assert.ok((agent.roundTripMs ?? -1) > 0 && (agent.roundTripMs ?? 0) < 60_000);
    assert.ok(Date.parse(agent.leaseIssuedAt ?? '') <= Date.now());
    assert.ok((agent.memoryBytes ?? 0) > 1e6 && (agent.spoolBytes ?? -1) >= 0 && agent.spoolRecords !== undefined);
  }
  const listed = await sallyport('agents', 'list');
  assert.match(listed.stdout, /^ID +NAME +STATUS +HEALTH +VERSION +LABELS +SESSIONS +LEASE AGE +SPOOL +RTT +SERVES/);
  assert.match(listed.stdout, /second +online +healthy +\S+ +0 +\d+ (s|min) +\d+ +[\d.]+ ms +crm/);
});

test('an agent’s log says more for a while, and is back by itself', async () => {
  const first = (await agents(() => true)).find(({ name }) => name !== 'second');
  const log = () => readFileSync(path.join(gateway.data, 'logs', 'agent.log'), 'utf8');
  const seen = async (text: string | RegExp) => {
    const deadline = Date.now() + 180_000;
    while (typeof text === 'string' ? !log().includes(text) : !text.test(log())) {
      assert.ok(Date.now() < deadline, `${String(text)} is not in the log`);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  };
  assert.ok(!log().includes('"level":20'), 'nothing at debug before');
  const set = await sallyport('agents', 'log-level', first?.id ?? '', 'debug', '--for', '2s', '--reason', 'why is it slow');
  assert.equal(set.code, 0, set.stderr);
  await seen('the control plane has set how much the log says');
  await seen('the log says as much as before again');
  const { stderr, code } = await sallyport('agents', 'log-level', first?.id ?? '', 'verbose');
  assert.deepEqual([code, /not `verbose`/.test(stderr)], [2, true]);
  assert.equal((await sallyport('agents', 'log-level', '0'.repeat(32), 'debug')).code, 1);
  assert.equal((await sallyport('agents', 'log-level', first?.id ?? '', 'debug', '--for', '1h')).code, 0);
  await seen(/"level":20.*from the control plane|to the control plane/);
  assert.equal((await sallyport('agents', 'log-level', first?.id ?? '', 'info', '--for', '0s')).code, 0);
  const events = await gateway.eventually<{ reason: string; author: string; payload: string }>(
    "SELECT reason, author, payload FROM sallyport.control_events WHERE type = 'AgentLogLevelSet' AND accepted ORDER BY at LIMIT 1",
    rows => rows.length > 0,
  );
  assert.deepEqual(
    [events[0]?.reason, JSON.parse(events[0]?.payload ?? '{}')],
    ['why is it slow', { agentId: first?.id, level: 'debug', forSeconds: 2 }],
  );
});

test('a workload enrols its agent with the token of its issuer, once', async () => {
  const file = path.join(gateway.dir, 'workload.jwt');
  const joinToken = () => sallyport('agents', 'join-token', '--token-file', file);
  writeFileSync(file, await issuer.token({ sub: 'job:other', project: 'web' }));
  assert.match((await joinToken()).stderr, /not valid|ServiceAccount/);
  writeFileSync(file, await issuer.token({ sub: 'job:7', project: 'infra', jti: 'job-7' }));
  const { stdout, stderr, code } = await joinToken();
  assert.equal(code, 0, stderr);
  assert.match((await joinToken()).stderr, /was traded for a join token before/);
  const args = ['agent', '--join', stdout.trim(), '--control-plane', gateway.endpoints().grpc, '--name', 'third', '--workers', '1'];
  const third = spawn(process.execPath, [command, ...args, '--data', path.join(gateway.dir, 'third')], {
    ...{ env: { ...process.env, HOME: gateway.dir }, stdio: 'ignore' },
  });
  const gone = new Promise(resolve => third.once('exit', resolve));
  try {
    const [joined] = (await agents(all => all.some(({ name, status }) => name === 'third' && status === 'online'))).filter(
      ({ name }) => name === 'third',
    );
    assert.deepEqual(joined?.labels, { network: 'ci' });
  } finally {
    third.kill('SIGTERM');
    await gone;
  }
  await sallyport('agents', 'revoke', (await agents(() => true)).find(({ name }) => name === 'third')?.id ?? '');
});

test('a drained agent takes no new session and keeps those that live; clients are sent to the other', async () => {
  const drained = (await agents(() => true)).find(({ name }) => name === 'second');
  const address = drained?.listeners['crm'] ?? '';
  const client = await connectTo(address);
  const answer = await sallyport('agents', 'drain', drained?.id ?? '', '--within', '1h', '--reason', 'new kernel');
  assert.deepEqual([answer.code, answer.stderr], [0, '']);
  await agents(all => all.some(({ id, health }) => id === drained?.id && health === 'draining'));
  assert.deepEqual((await client.query('select 1 as one')).rows, [{ one: 1 }], 'who was there goes on');
  const deadline = Date.now() + 180_000;
  for (;;) {
    const refused = await connectTo(address).then(
      async other => {
        await other.end();
        return false;
      },
      () => true,
    );
    if (refused) break;
    assert.ok(Date.now() < deadline, 'the drained agent still takes sessions');
  }
  await client.end();
  const { api } = gateway.endpoints();
  const token = await issuer.token(people.support);
  const { resources } = (await (await fetch(`${api}/v1/resources`, { headers: { authorization: `Bearer ${token}` } })).json()) as {
    resources: { addresses: string[] }[];
  };
  assert.deepEqual(resources[0]?.addresses, [Object.values(gateway.endpoints().resources)[0]]);
  const events = await gateway.eventually<{ reason: string; payload: string }>(
    "SELECT reason, payload FROM sallyport.control_events WHERE type = 'AgentDrained' AND accepted",
    rows => rows.length > 0,
  );
  assert.deepEqual([events[0]?.reason, JSON.parse(events[0]?.payload ?? '{}').withinSeconds], ['new kernel', 3600]);
  assert.match((await sallyport('agents', 'drain', '0'.repeat(32))).stderr, /There is no such agent/);
});
