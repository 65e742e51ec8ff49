/**
 * Three control planes on one Kafka, started at the same moment with nothing but the key-encryption key in common, behind a balancer
 * that knows nothing. Any of them may be killed at any time.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type KafkaCluster, startKafka } from './components/kafka.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { balancer, program, type Replica, replica, textOf } from './components/replicas.ts';
import { shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
const sam = { sub: 'u-1', email: 'sam@example.com', groups: ['support'] };
const dan = { sub: 'd-1', email: 'dan@example.com', groups: ['dba'] };
const holds = `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules:
    - { name: deletes, match: { statements: [delete] }, action: hold, message: "Deleting needs a dba.", approval: { from: { groups: [dba] }, expiresIn: 5m } }
`;

const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-replicas-'));
let kafka: KafkaCluster;
let postgres: PostgresServer;
let issuer: Issuer;
let replicas: Replica[] = [];
let api: Awaited<ReturnType<typeof balancer>>;
let grpc: Awaited<ReturnType<typeof balancer>>;
let agent: Awaited<ReturnType<typeof program>> | undefined;
let adminToken = '';

before(async () => {
  kafka = await startKafka();
  postgres = await startPostgres({ sql: shopSql });
  issuer = await startIssuer();
  const args = ['--kafka', kafka.brokers.join(','), '--kafka-partitions', '2', '--kek', path.join(dir, 'kek')];
  replicas = await Promise.all(
    ['one', 'two', 'three'].map(name => replica(name, path.join(dir, name), args, { CRM_PASSWORD: postgres.app.password })),
  );
  await Promise.all(replicas.map(each => each.start()));
  api = await balancer(replicas.map(each => each.http));
  grpc = await balancer(replicas.map(each => each.grpc));
  adminToken = textOf(path.join(dir, 'two', 'admin-token'));
});
after(async () => {
  await agent?.stop();
  api?.close();
  grpc?.close();
  await Promise.all(replicas.map(each => each.kill()));
  await issuer?.stop();
  await postgres?.stop();
  await kafka?.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Answer {
  status: number;
  offset: string;
  body: unknown;
}

/** One request on a connection of its own, so that the balancer chooses anew. */
async function ask(
  method: string,
  url: string,
  body?: unknown,
  more: { at?: string; seen?: string; token?: string } = {},
): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers: Record<string, string> = { authorization: `Bearer ${more.token ?? adminToken}`, 'x-sallyport-reason': 'test' };
  if (text !== undefined) headers['content-type'] = 'application/json';
  if (more.seen !== undefined) headers['sallyport-offset'] = more.seen;
  return new Promise((resolve, reject) => {
    const sent = http.request(`http://${more.at ?? api.address}${url}`, { method, headers, agent: false, timeout: 60_000 }, response => {
      let answer = '';
      response.on('data', (chunk: Buffer) => (answer += chunk.toString()));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          offset: String(response.headers['sallyport-offset'] ?? ''),
          body: answer === '' ? null : JSON.parse(answer),
        }),
      );
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

/** Again while a replica is away or has just died under it. */
async function persistently(...request: Parameters<typeof ask>): Promise<Answer> {
  for (let tries = 0; ; tries++) {
    const answer = await ask(...request).catch((error: unknown) => {
      if (tries > 600) throw error;
      return null;
    });
    if (answer !== null && (answer.status < 500 || tries > 600)) return answer;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

test('replicas that start together agree on keys, certificates and the administrator’s token', async () => {
  const names = readdirSync(path.join(dir, 'one', 'pki')).sort();
  assert.deepEqual(names, ['ca.crt', 'ca.key', 'derivation.key', 'evidence.key', 'kek', 'lease.key', 'ticket.key']);
  for (const other of ['two', 'three']) {
    for (const name of names) {
      assert.equal(textOf(path.join(dir, other, 'pki', name)), textOf(path.join(dir, 'one', 'pki', name)), name);
    }
    assert.equal(textOf(path.join(dir, other, 'admin-token')), adminToken);
  }
  const [stranger] = [await replica('stranger', path.join(dir, 'stranger'), ['--kafka', kafka.brokers.join(',')], {})];
  await assert.rejects(stranger.start(), /KEK_MISSING.*Copy pki\/kek of another replica/);
});

test('manifests, an agent and a client by way of the balancer', async () => {
  const manifests = [{ file: 'shop.yaml', text: shopManifests(postgres, { issuer: issuer.url, extra: holds }) }];
  const applied = await ask('POST', '/v1/apply', { manifests });
  assert.equal(applied.status, 200, JSON.stringify(applied.body));
  // A request that carries the offset sees the change wherever it goes.
  for (const each of replicas) {
    const answer = await ask('GET', '/v1/manifests/Role', undefined, { at: each.http, seen: applied.offset });
    assert.equal(answer.status, 200);
    assert.match(JSON.stringify(answer.body), /"support"/, each.name);
  }
  const refused = await ask('GET', '/v1/manifests/Role', undefined, { seen: '99999999' });
  assert.deepEqual([refused.status, (refused.body as { code: string }).code], [503, 'REPLICA_BEHIND']);
  const invitation = await ask('POST', '/v1/agents/invitations', { everyResource: true });
  const { token } = invitation.body as { token: string };
  agent = await program(
    [
      path.join(import.meta.dirname, '..', 'agent', 'main.ts'),
      ...['--data', path.join(dir, 'agent'), '--control-plane', grpc.address, '--join', token, '--workers', '1'],
    ],
    {},
  );
  assert.match(await psql("select 'hello'"), /^hello$/m);
});

function address(): { host: string; port: string } {
  const [host = '', port = ''] = ((agent?.ready['listeners'] as Record<string, string> | undefined)?.['crm'] ?? '').split(':');
  return { host, port };
}

async function psqlEnv(): Promise<NodeJS.ProcessEnv> {
  const ca = path.join(dir, 'one', 'pki', 'ca.crt');
  return { ...process.env, PGPASSWORD: await issuer.token(sam), PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca };
}

const psqlArgs = (sql: string) => ['-X', '-A', '-t', '-h', address().host, '-p', address().port, '-U', 'x', '-d', 'app', '-c', sql];

async function psql(sql: string): Promise<string> {
  return (await run('psql', psqlArgs(sql), { env: await psqlEnv() })).stdout;
}

test('kill -9 of replicas: no acknowledged change is lost, and no client sees less than it saw', async t => {
  const role = (name: string, round: number) =>
    `apiVersion: sallyport.dev/v1\nkind: Role\nmetadata: { name: ${name}, labels: { round: "${round}" } }\nspec: { members: { groups: [g${round}] }, resources: { names: [crm] } }\n`;
  const acknowledged = new Map<string, number>();
  let stopping = false;
  let seenLess = 0;
  let newest = 0n;
  const writers = ['w-a', 'w-b', 'w-c'].map(async name => {
    let seen = '0';
    for (let round = 1; !stopping; round++) {
      const written = await persistently('POST', '/v1/apply', { manifests: [{ file: `${name}.yaml`, text: role(name, round) }] }, { seen });
      if (written.status !== 200) throw new Error(JSON.stringify(written.body));
      acknowledged.set(name, round);
      seen = written.offset;
      const read = await persistently('GET', `/v1/manifests/Role/${name}`, undefined, { seen });
      const found = Number(
        /"round":\s*"?(\d+)/.exec(JSON.stringify(read.body))?.[1] ?? /round: \\?"(\d+)/.exec(JSON.stringify(read.body))?.[1] ?? 0,
      );
      if (found < round) seenLess++;
      if (BigInt(read.offset) < BigInt(seen)) seenLess++;
      seen = read.offset;
      if (BigInt(seen) > newest) newest = BigInt(seen);
    }
  });
  const kills: string[] = [];
  for (let i = 0; i < 4; i++) {
    await new Promise(resolve => setTimeout(resolve, 1500));
    const victim = replicas[i % replicas.length];
    assert.ok(victim);
    await victim.kill();
    kills.push(victim.name);
    if (i === 1) rmSync(victim.dir, { recursive: true, force: true });
    await new Promise(resolve => setTimeout(resolve, 500));
    await victim.start();
  }
  const enough = () => acknowledged.size === 3 && [...acknowledged.values()].every(rounds => rounds > 10);
  for (const deadline = Date.now() + 180_000; !enough() && Date.now() < deadline; ) await new Promise(resolve => setTimeout(resolve, 100));
  stopping = true;
  await Promise.all(writers);
  t.diagnostic(
    `killed ${kills.join(', ')} (one with its folder); acknowledged ${[...acknowledged].map(entry => entry.join(': ')).join(', ')}`,
  );
  assert.equal(seenLess, 0);
  assert.ok(enough());
  // As far as anybody has seen; a replica that is behind says so.
  const states = await Promise.all(
    replicas.map(each => persistently('GET', '/v1/manifests/Role', undefined, { at: each.http, seen: String(newest) })),
  );
  for (const state of states) assert.deepEqual(state.body, states[0]?.body);
  for (const [name, rounds] of acknowledged) assert.match(JSON.stringify(states[0]?.body), new RegExp(`"g${rounds}"`), name);
});

test('a held command outlives the replica that its agent was connected to, and is released by way of another', async () => {
  const child = spawn('psql', psqlArgs('delete from orders where id = 7'), { env: await psqlEnv() });
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  const id = await until(
    () => /Approval ([0-9a-f-]{36}) by/.exec(told)?.[1],
    () => `a notice: ${told}`,
  );
  const connected = async () => {
    for (const each of replicas) {
      const answer = await ask('GET', '/v1/status', undefined, { at: each.http }).catch(() => null);
      if ((answer?.body as { agents?: { online?: number } } | undefined)?.agents?.online === 1) return each;
    }
    return undefined;
  };
  const holder = await until(connected, () => 'a replica with the agent');
  await holder.kill();
  const token = await issuer.token(dan);
  // The client hears of the question before the log has it: if the replica took it along, the agent asks anew by way of another.
  const released = await until(
    async () => {
      const answer = await persistently('POST', `/v1/approvals/${id}/approve`, { reason: 'checked' }, { token });
      return answer.status === 404 ? undefined : answer;
    },
    () => `the approval ${id}`,
  );
  assert.equal(released.status, 200, JSON.stringify(released.body));
  assert.equal(await ended, 0, told);
  assert.match(printed, /DELETE 1/);
  const now = await until(connected, () => 'a replica with the agent');
  assert.notEqual(now.name, holder.name);
  await holder.start();
});

test('a backup of the log in Kafka is restored into files, and from there into other topics of Kafka', async () => {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const sallyport = async (...args: string[]) =>
    JSON.parse((await run(process.execPath, [cli, 'control-plane', ...args, '--json'], { env: process.env })).stdout) as {
      entries: number;
    };
  const expected = await ask('GET', '/v1/manifests/Role', undefined);
  const kek = path.join(dir, 'kek');
  const brokers = kafka.brokers.join(',');
  const [first, second] = [path.join(dir, 'first.jsonl'), path.join(dir, 'second.jsonl')];
  const taken = await sallyport('backup', first, '--data', path.join(dir, 'two'), '--kafka', brokers);
  assert.ok(taken.entries > 30);
  const inFiles = path.join(dir, 'in-files');
  assert.equal((await sallyport('restore', first, '--data', inFiles, '--kek', kek)).entries, taken.entries);
  assert.equal((await sallyport('backup', second, '--data', inFiles)).entries, taken.entries);
  const inKafka = path.join(dir, 'in-kafka');
  const other = ['--kafka', brokers, '--kafka-topics', 'other'];
  assert.equal((await sallyport('restore', second, '--data', inKafka, '--kek', kek, ...other)).entries, taken.entries);
  for (const [folder, args] of [
    [inFiles, []],
    [inKafka, other],
  ] as const) {
    const restored = await replica(folder, folder, args, { CRM_PASSWORD: postgres.app.password });
    try {
      await restored.start();
      const answer = await ask('GET', '/v1/manifests/Role', undefined, { at: restored.http });
      assert.deepEqual(answer.body, expected.body, folder);
    } finally {
      await restored.kill();
    }
  }
  await assert.rejects(sallyport('restore', second, '--data', path.join(dir, 'again'), '--kek', kek, ...other), /has entries already/);
});

async function until<T>(look: () => T | undefined | Promise<T | undefined>, what: () => string): Promise<T> {
  for (let tries = 0; ; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    if (tries > 1800) throw new Error(`not seen: ${what()}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}
