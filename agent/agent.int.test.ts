/** An agent (with workers that speak no protocol) against a real control plane, each in turn killed, stopped and started again. */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as x509 from '@peculiar/x509';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { freePort } from '../e2e/components/postgres.ts';
import { Agent, type AgentOptions } from './agent.ts';
import { splitAddress } from './host/listen-ports.ts';
import type { Log } from './log.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FAKE_WORKER = new URL('host/fake-worker.testing.ts', import.meta.url);
const SECRET = 'pa55-of-the-database';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-agent-'));
let grpcPort = 0;
let httpPort = 0;
let controlPlane: ChildProcess | null = null;
let plane: { http: string; grpc: string; adminToken: string };
let issuer: http.Server;
let issuerUrl = '';
let issuerRequests = 0;
let issuerIsDown = false;
const agents: Agent[] = [];
const logged: string[] = [];
const log: Log = {
  debug: (fields, message) => logged.push(JSON.stringify({ ...fields, message })),
  info: (fields, message) => logged.push(JSON.stringify({ ...fields, message })),
  warn: (fields, message) => logged.push(JSON.stringify({ ...fields, message })),
  error: (fields, message) => logged.push(JSON.stringify({ ...fields, message })),
};

async function startControlPlane(): Promise<void> {
  const args = [
    'control-plane/main.ts',
    '--data',
    path.join(root, 'plane'),
    '--http',
    `127.0.0.1:${httpPort}`,
    '--grpc',
    `127.0.0.1:${grpcPort}`,
  ];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  plane = JSON.parse(line.toString()) as typeof plane;
  assert.ok(plane.grpc, line.toString());
  controlPlane = child;
  grpcPort = Number(plane.grpc.split(':')[1]);
  httpPort = Number(new URL(plane.http).port);
}

async function stopControlPlane(signal: NodeJS.Signals): Promise<void> {
  const child = controlPlane;
  controlPlane = null;
  if (child === null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

async function api(method: string, where: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(plane.http + where, {
    method,
    headers: { authorization: `Bearer ${plane.adminToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  assert.ok(response.ok, `${where}: ${response.status} ${text}`);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

const apply = (...documents: string[]) =>
  api('POST', '/v1/apply', {
    manifests: documents.map((text, i) => ({ file: `${i}.yaml`, text: `apiVersion: sallyport.dev/v1\n${text}` })),
  });

const resource = (name: string, listen?: string) => `kind: Resource
metadata: { name: ${name} }
spec:
  protocol: postgres
  upstream: { address: 127.0.0.1:5432, database: crm, tls: { mode: disable } }
  ${listen === undefined ? '' : `listen: ${listen}`}
  credential: crm-app`;

async function invite(): Promise<string> {
  return String((await api('POST', '/v1/agents/invitations', { everyResource: true })).token);
}

async function start(name: string, more: Partial<AgentOptions> = {}): Promise<Agent> {
  const agent = await Agent.start({
    dataDir: path.join(root, name),
    controlPlane: splitAddress(`127.0.0.1:${grpcPort}`),
    joinToken: null,
    name,
    labels: {},
    hostnames: ['localhost', '127.0.0.1'],
    http: { host: '127.0.0.1', port: 0 },
    workers: 2,
    spoolBytesMax: 8 * 1024 * 1024,
    drainMs: 500,
    version: '0.0.0',
    log,
    workerProgram: FAKE_WORKER,
    joinPatienceMs: 60_000,
    ...more,
  });
  agents.push(agent);
  return agent;
}

async function until(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    if (await check()) return;
    await new Promise(resolve => setTimeout(resolve, 25));
  }
  assert.fail(`not within two minutes: ${what}\n${logged.slice(-15).join('\n')}`);
}

class Client {
  readonly socket: net.Socket;
  #rest = '';
  readonly #waiting: ((line: string) => void)[] = [];
  readonly closed: Promise<unknown>;

  constructor(address: string) {
    this.socket = net.connect(splitAddress(address));
    this.socket.on('error', () => undefined);
    this.closed = once(this.socket, 'close');
    this.socket.on('data', chunk => {
      const lines = (this.#rest + chunk.toString()).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#waiting.shift()?.(line);
    });
  }

  ask(line: string): Promise<string> {
    this.socket.write(`${line}\n`);
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}

interface Listed {
  id: string;
  name: string;
  status: string;
  sessions: number;
  listeners: Record<string, string>;
}
const listed = async (name: string): Promise<Listed | undefined> =>
  ((await api('GET', '/v1/agents')).agents as Listed[]).find(each => each.name === name);

const recordsInLog = (): number => {
  // Counts whole record texts: enough to see that each command is there once.
  const dir = path.join(root, 'plane', 'log', 'sallyport.records');
  return fs
    .readdirSync(dir)
    .map(name => fs.readFileSync(path.join(dir, name)).toString('latin1').split('command-of-the-test').length - 1)
    .reduce((a, b) => a + b, 0);
};

const ready = async (agent: Agent): Promise<Record<string, unknown>> =>
  (await (await fetch(`${agent.httpUrl}/readyz`)).json()) as Record<string, unknown>;

before(async () => {
  issuer = http.createServer((request, response) => {
    if (issuerIsDown) return void request.socket.destroy();
    issuerRequests++;
    response.setHeader('content-type', 'application/json');
    if (request.url === '/.well-known/openid-configuration')
      response.end(JSON.stringify({ issuer: issuerUrl, jwks_uri: `${issuerUrl}/keys` }));
    else response.end(JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x'.repeat(43), kid: 'k1' }] }));
  });
  issuer.listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  issuerUrl = `http://127.0.0.1:${(issuer.address() as net.AddressInfo).port}`;
  // Kept while it is down, though others look for ports then.
  [grpcPort, httpPort] = [await freePort(), await freePort()];
  await startControlPlane();
  await apply(
    resource('crm'),
    `kind: Credential\nmetadata: { name: crm-app }\nspec: { username: app, password: { value: ${SECRET} } }`,
    `kind: IdentityProvider\nmetadata: { name: corp }\nspec: { oidc: { issuer: "${issuerUrl}", audiences: [sallyport] } }`,
  );
});

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop(0);
});

after(async () => {
  if (process.env.TEST_LOG) process.stderr.write(`${logged.join('\n')}\n`);
  await stopControlPlane('SIGTERM');
  issuer.close();
  fs.rmSync(root, { recursive: true, force: true });
});

test('joins, gets a lease, listens, serves, reports, ships; the secret is in no file and no log', async () => {
  const agent = await start('one', { joinToken: await invite() });
  const address = agent.listeners().crm ?? '';
  assert.match(address, /^127\.0\.0\.1:\d+$/);
  const client = new Client(address);
  assert.match(await client.ask('command-of-the-test'), /command-of-the-test$/);
  await until('the control plane sees agent, listener and session', async () => {
    const seen = await listed('one');
    return seen?.status === 'online' && seen.sessions === 1 && seen.listeners.crm === address;
  });
  await until('the record is in the log', () => recordsInLog() === 1);
  assert.match(await client.ask('heard'), new RegExp(`jwks ${issuerUrl} 1`));
  assert.equal((await ready(agent)).ready, true);
  let metrics = '';
  // The control plane has the records before the agent knows that it has, and a worker counts in turns.
  await until('the metrics say so', async () => {
    metrics = await (await fetch(`${agent.httpUrl}/metrics`)).text();
    return /^sallyport_agent_records_waiting 0$/m.test(metrics) && /^sallyport_agent_live_sessions 1$/m.test(metrics);
  });
  assert.match(metrics, /^sallyport_agent_control_plane_connected 1$/m);
  assert.match(metrics, /^sallyport_agent_commands_total\{worker="0"\} \d+$/m);
  assert.equal((await fetch(`${agent.httpUrl}/healthz`)).status, 200);
  assert.equal((await fetch(`${agent.httpUrl}/other`)).status, 404);
  assert.equal((await fetch(`${agent.httpUrl}/metrics`, { method: 'POST' })).status, 405);
  client.socket.destroy();
  await until('the session is gone', async () => (await listed('one'))?.sessions === 0);
  for (const name of fs.readdirSync(path.join(root, 'one'), { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const file = path.join(name.parentPath, name.name);
    assert.ok(!fs.readFileSync(file).includes(SECRET), file);
    assert.equal(fs.statSync(file).mode & 0o077, 0, `${file} is private`);
  }
  assert.ok(!logged.join().includes(SECRET));
  await assert.rejects(start('one'), (error: unknown) => error instanceof GatewayError && error.code === 'DATA_LOCKED');
  await agent.stop();
});

test('starts with the control plane and the identity provider down, on the kept lease and keys, at the same address', async () => {
  await stopControlPlane('SIGKILL');
  issuerIsDown = true;
  const agent = await start('one');
  const address = agent.listeners().crm ?? '';
  const client = new Client(address);
  assert.match(await client.ask('command-of-the-test'), /command-of-the-test$/);
  assert.match(await client.ask('heard'), new RegExp(`jwks ${issuerUrl} 1`));
  assert.equal((await ready(agent)).controlPlane, 'not connected');
  assert.equal((await ready(agent)).ready, true);
  issuerIsDown = false;
  await startControlPlane();
  await until('connected again, with the session that went on', async () => (await listed('one'))?.sessions === 1);
  await until('the record of the time without a control plane is in the log', () => recordsInLog() === 2);
  assert.match(await client.ask('still here'), /still here$/);
  await agent.stop();
  await client.closed;
});

test('a change of manifests changes listeners; an address in use is a problem of that resource alone', async () => {
  const agent = await start('one');
  const first = agent.listeners().crm;
  const other = net.createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const taken = `127.0.0.1:${(other.address() as net.AddressInfo).port}`;
  await apply(resource('second'), resource('third', taken));
  await until('second is listened for', () => agent.listeners().second !== undefined);
  assert.equal(agent.listeners().crm, first);
  assert.equal(agent.listeners().third, undefined);
  assert.match(JSON.stringify(await ready(agent)), new RegExp(`"third":"${taken} is in use by another program`));
  await agent.stop();
  await assert.rejects(
    start('one'),
    (error: unknown) => error instanceof GatewayError && error.code === 'PORT_IN_USE' && error.message.includes(taken),
  );
  other.close();
  const again = await start('one');
  assert.equal(again.listeners().third, taken);
  await api('DELETE', '/v1/manifests/Resource/third');
  await api('DELETE', '/v1/manifests/Resource/second');
  await until('both are gone', () => Object.keys(again.listeners()).join() === 'crm');
  await again.stop();
});

test('a worker that dies is started again; its sessions are closed in the records, those of the other go on', async () => {
  const agent = await start('one');
  const address = agent.listeners().crm ?? '';
  // The kernel deals connections: that one worker gets all of so many happens never.
  const many = 40;
  const clients = Array.from({ length: many }, () => new Client(address));
  const workers = await Promise.all(clients.map(async client => (await client.ask('hello')).split(' ')[0]));
  const victim = clients[0] as Client;
  const survivor = clients[workers.findIndex(worker => worker !== workers[0])];
  assert.ok(survivor !== undefined, `all in one worker: ${workers.join()}`);
  victim.socket.write('die\n');
  await victim.closed;
  assert.match(await survivor.ask('alive'), /alive$/);
  // Until the agent has seen the death, the listener counts as there, with one worker behind it.
  await until('the worker was started again', async () =>
    (await (await fetch(`${agent.httpUrl}/metrics`)).text()).includes('worker_restarts_total 1\n'),
  );
  await until('the listener is back', () => agent.listeners().crm === address);
  const fresh = Array.from({ length: many }, () => new Client(address));
  const seen = new Set(await Promise.all(fresh.map(async client => (await client.ask('hello')).split(' ')[0])));
  assert.deepEqual(seen, new Set(['0', '1']));
  const lived = workers.filter(worker => worker !== workers[0]).length;
  await until('the control plane sees those that live', async () => (await listed('one'))?.sessions === lived + many);
  const dir = path.join(root, 'plane', 'log', 'sallyport.records');
  const closed = () =>
    fs
      .readdirSync(dir)
      .map(name => fs.readFileSync(path.join(dir, name)).toString('latin1'))
      .join('')
      .split('agent crashed').length - 1;
  await until('the others are closed in the records', () => closed() >= many - lived);
  await until('all is shipped', async () => (await (await fetch(`${agent.httpUrl}/metrics`)).text()).includes('records_waiting 0'));
  assert.equal(closed(), many - lived);
  for (const client of [...clients, ...fresh]) client.socket.destroy();
  await agent.stop();
});

test('fewer workers than before: the spools that are left over are closed and shipped', async () => {
  const agent = await start('one', { workers: 4 });
  const before = recordsInLog();
  await stopControlPlane('SIGTERM');
  const clients = Array.from({ length: 24 }, () => new Client(agent.listeners().crm ?? ''));
  await Promise.all(clients.map(client => client.ask('command-of-the-test')));
  await agent.stop();
  await startControlPlane();
  const fewer = await start('one', { workers: 1 });
  await until('all 24 are in the log', () => recordsInLog() === before + 24);
  await fewer.stop();
});

test('killing a session from the control plane', async () => {
  const agent = await start('one');
  const client = new Client(agent.listeners().crm ?? '');
  const sessionId = (await client.ask('hello')).split(' ')[1] ?? '';
  await until('the session is seen', async () => (await listed('one'))?.sessions === 1);
  await api('POST', `/v1/sessions/${sessionId}/kill`, { reason: 'test' });
  await client.closed;
  await agent.stop();
});

test('joining is refused for a used token, a wrong one, and a server that is not the one of the token', async () => {
  const codeOf = async (more: Partial<AgentOptions>) => {
    try {
      await start(`refused-${Math.random()}`, more);
      return 'joined';
    } catch (error) {
      return error instanceof GatewayError ? error.code : String(error);
    }
  };
  assert.equal(await codeOf({}), 'NOT_ENROLLED');
  assert.equal(await codeOf({ joinToken: 'spj_x' }), 'JOIN_TOKEN_MALFORMED');
  const token = await invite();
  // Whatever the secret is made of, `_` too: it is the 43 characters before the last 44.
  const guessed = `${token.slice(0, -87)}${'A'.repeat(43)}${token.slice(-44)}`;
  assert.equal(await codeOf({ joinToken: guessed }), 'JOIN_TOKEN_REFUSED');
  const otherCa = token.slice(0, -43) + 'A'.repeat(43);
  assert.equal(await codeOf({ joinToken: otherCa }), 'CONTROL_PLANE_UNTRUSTED');
  const agent = await start('two', { joinToken: token });
  await agent.stop();
  assert.equal(await codeOf({ joinToken: token }), 'JOIN_TOKEN_REFUSED', 'a token is good once');
  const foreign = await start('two', { joinToken: otherCa }).then(
    () => 'started',
    (error: unknown) => (error instanceof GatewayError ? error.code : String(error)),
  );
  assert.equal(foreign, 'ENROLMENT_FOREIGN');
  const port = await freePort();
  assert.equal(
    await codeOf({ joinToken: await invite(), controlPlane: { host: '127.0.0.1', port }, joinPatienceMs: 300 }),
    'CONTROL_PLANE_UNREACHABLE',
  );
});

test('a revoked agent that starts again is told so', async () => {
  const agent = await start('three', { joinToken: await invite() });
  await agent.stop();
  const seen = await listed('three');
  await api('POST', `/v1/agents/${seen?.id}/revoke`, { reason: 'test' });
  fs.rmSync(path.join(root, 'three', 'lease.json'));
  await assert.rejects(start('three'), (error: unknown) => error instanceof GatewayError && error.code === 'AGENT_REVOKED');
});

test('the identity provider is asked a bounded number of times', async () => {
  const agent = await start('one');
  const client = new Client(agent.listeners().crm ?? '');
  const asked = issuerRequests;
  for (let i = 0; i < 50; i++) client.socket.write(`miss ${issuerUrl}\n`);
  await client.ask('done');
  await new Promise(resolve => setTimeout(resolve, 200));
  assert.ok(issuerRequests - asked <= 2, `${issuerRequests - asked} requests`);
  const heard = JSON.parse(await client.ask('heard')) as string[];
  assert.ok(heard.filter(each => each.startsWith('jwks')).length >= 50, 'every miss is answered');
  client.socket.destroy();
  await agent.stop();
});

test('certificates are renewed while sessions go on, and the new ones are used', async () => {
  let renewals = 0;
  const renewAtMs = (state: { certificate: string }) => {
    if (renewals === 0 || state.certificate !== certificateBefore) return Number.POSITIVE_INFINITY;
    return Date.now();
  };
  const stored = () =>
    (JSON.parse(fs.readFileSync(path.join(root, 'one', 'identity.json'), 'utf8')) as { certificate: string }).certificate;
  const certificateBefore = stored();
  renewals = 1;
  const agent = await start('one', { renewAtMs });
  const client = new Client(agent.listeners().crm ?? '');
  await client.ask('hello');
  await until('the certificate is another', () => stored() !== certificateBefore);
  await until('connected with the new one', async () => {
    const seen = await listed('one');
    return seen?.status === 'online' && seen.sessions === 1;
  });
  assert.match(await client.ask('still here'), /still here$/);
  const before = recordsInLog();
  await client.ask('command-of-the-test');
  await until('records are shipped with the new one', () => recordsInLog() === before + 1);
});

test('an agent whose certificate expired while it was off joins anew with a token, and says so without one', async () => {
  const agent = await start('four', { joinToken: await invite() });
  await agent.stop();
  const file = path.join(root, 'four', 'identity.json');
  const identity = JSON.parse(fs.readFileSync(file, 'utf8')) as { agentId: string; certificate: string };
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const expired = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=x',
    notBefore: new Date(Date.now() - 2000),
    notAfter: new Date(Date.now() - 1000),
    keys: await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']),
    signingAlgorithm: algorithm,
  });
  fs.writeFileSync(file, JSON.stringify({ ...identity, certificate: expired.toString('pem') }));
  const copy = fs.readFileSync(file);
  await assert.rejects(start('four'), (error: unknown) => error instanceof GatewayError && error.code === 'ENROLMENT_EXPIRED');
  assert.equal(fs.existsSync(file), false, 'whoever starts agents sees that a token is needed');
  fs.writeFileSync(file, copy);
  await start('four', { joinToken: await invite() });
  const renewed = JSON.parse(fs.readFileSync(file, 'utf8')) as { agentId: string };
  assert.notEqual(renewed.agentId, identity.agentId);
});

test('the program: ready line, exit 0 on SIGTERM, one line and exit 1 when it cannot start, 2 for wrong usage', async () => {
  const run = async (args: string[], whenReady?: (child: ChildProcess) => void) => {
    const child = spawn(process.execPath, ['agent/main.ts', ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (out.includes('\n')) whenReady?.(child);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, line: JSON.parse(out) as Record<string, unknown>, err };
  };
  const token = await invite();
  const data = path.join(root, 'program');
  const base = ['--control-plane', `127.0.0.1:${grpcPort}`, '--data', data];
  const good = await run([...base, '--join', token, '--name', 'program'], child => child.kill('SIGTERM'));
  assert.equal(good.code, 0, good.err);
  assert.equal(good.line.ready, true);
  assert.equal(good.line.name, 'program');
  assert.match(String(good.line.http), /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.ok(!good.err.includes(token) && !good.err.includes(SECRET));
  const other = await run(['--control-plane', `127.0.0.1:${grpcPort}`, '--data', path.join(root, 'never')]);
  assert.equal(other.code, 1);
  assert.equal((other.line.error as { code: string }).code, 'NOT_ENROLLED');
  const wrong = await run(['--data', data, '--nonsense']);
  assert.equal(wrong.code, 2);
  assert.equal((wrong.line.error as { code: string }).code, 'USAGE');
});
