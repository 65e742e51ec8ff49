import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import {
  AgentMessageSchema,
  Capability,
  type ControlMessage,
  LeaseWantedSchema,
  type SignedParts,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { open } from '@sallyport/shared/crypto/seal.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { assembleBundle } from '@sallyport/shared/policy/lease-parts.ts';
import pino from 'pino';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts';
import { hello, nextMessage, presentedCa, streamStatus, TestAgent } from './grpc/test-agent.ts';
import { openLogReader } from './log/event-log.ts';

const secret = 'canary-1f7c-password';

const manifests = (password: string) => `
kind: Resource
metadata: { name: crm, labels: { env: prod } }
spec:
  protocol: postgres
  upstream: { address: 127.0.0.1:5432, database: crm, tls: { mode: require } }
  agents: { labels: { network: eu } }
  credential: crm-app
---
kind: Resource
metadata: { name: far, labels: { env: prod } }
spec:
  protocol: postgres
  upstream: { address: 127.0.0.1:5433, tls: { mode: require } }
  agents: { labels: { network: us } }
  credential: far-app
---
kind: Credential
metadata: { name: crm-app }
spec: { username: app, password: ${password} }
---
kind: Credential
metadata: { name: far-app }
spec: { username: far, password: { value: far-away-password } }
---
kind: Role
metadata: { name: far-only }
spec: { members: { groups: [x] }, resources: { names: [far] } }
---
kind: Role
metadata: { name: prod }
spec: { members: { groups: [support] }, resources: { labels: { env: prod } } }
`;

interface Running {
  plane: ControlPlane;
  dir: string;
  lines: string[];
  call(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: Record<string, unknown> }>;
  apply(text: string): Promise<{ status: number; body: Record<string, unknown> }>;
  invite(body?: unknown): Promise<string>;
  restart(options?: Partial<ControlPlaneOptions>): Promise<void>;
}

async function withPlane(body: (running: Running) => Promise<void>, options: Partial<ControlPlaneOptions> = {}): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-plane-'));
  const lines: string[] = [];
  const logger = pino({ level: 'debug' }, { write: line => lines.push(line) });
  const start = (more: Partial<ControlPlaneOptions>) =>
    startControlPlane({
      dataDir: join(dir, 'data'),
      http: '127.0.0.1:0',
      grpc: '127.0.0.1:0',
      env: { CRM_PASSWORD: secret },
      logger,
      version: 'test',
      onFault: error => {
        throw error;
      },
      ...options,
      ...more,
    });
  const running: Running = {
    plane: await start({}),
    dir,
    lines,
    async call(method, path, sent, token = running.plane.adminToken) {
      const response = await fetch(running.plane.httpUrl + path, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(sent === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
    apply: text => running.call('POST', '/v1/apply', { manifests: [{ file: join(dir, 'm.yaml'), text }] }),
    async invite(request = { labels: { network: 'eu' } }) {
      const answer = await running.call('POST', '/v1/agents/invitations', request);
      assert.equal(answer.status, 201);
      return String(answer.body.token);
    },
    async restart(more = {}) {
      await running.plane.close();
      running.plane = await start(more);
    },
  };
  try {
    await body(running);
  } finally {
    await running.plane.close();
    await rm(dir, { recursive: true });
  }
}

async function enrolled(running: Running, invitation?: unknown): Promise<TestAgent> {
  const agent = new TestAgent(running.plane.grpcAddress);
  await agent.join(await running.invite(invitation));
  await agent.connectChannel();
  return agent;
}

const isLease = (message: ControlMessage) => message.body.case === 'lease';

async function nextLease(agent: TestAgent, stream: ReturnType<TestAgent['control']>): Promise<LeaseBundle> {
  const { body } = await nextMessage(stream, isLease);
  assert.ok(body.case === 'lease');
  return agent.openLease(body.value);
}

test('an agent joins once with its token, and knows the control plane by the token’s fingerprint', () =>
  withPlane(async running => {
    const token = await running.invite();
    const ca = await presentedCa(running.plane.grpcAddress);
    assert.ok(token.endsWith(ca.fingerprint));
    const agent = new TestAgent(running.plane.grpcAddress);
    const joined = await agent.join(token);
    assert.match(joined.agentId, /^[0-9a-f]{32}$/);
    // Another with the same token is refused; so are a wrong secret, an unknown id and rubbish, all with one answer.
    const flipped = token.replace(/_(.)/, (_, c: string) => `_${c === '0' ? '1' : '0'}`);
    const wrongSecret = `${token.slice(0, 40)}${token[40] === 'A' ? 'B' : 'A'}${token.slice(41)}`;
    const messages = new Set<string>();
    for (const bad of [token, flipped, wrongSecret, 'spj_x', '', 'x'.repeat(100_000)]) {
      await assert.rejects(new TestAgent(running.plane.grpcAddress).join(bad), (error: { code: number; details: string }) => {
        messages.add(error.details);
        return error.code === status.UNAUTHENTICATED;
      });
    }
    assert.equal(messages.size, 1);
    // The same agent may ask again, should the answer have been lost: it proves that it has the same keys.
    assert.equal((await agent.join(token)).agentId, joined.agentId);
    assert.equal(running.lines.join('').includes(token), false, 'no token in a log');
  }));

test('a join token that is bound to a network is refused from elsewhere, as any that is not valid', async () => {
  await withPlane(async running => {
    const elsewhere = new TestAgent(running.plane.grpcAddress);
    await assert.rejects(elsewhere.join(await running.invite({ networks: ['10.0.0.0/8', '2001:db8::/32'] })), /not valid/);
    const here = new TestAgent(running.plane.grpcAddress);
    await here.join(await running.invite({ networks: ['10.0.0.0/8', '127.0.0.0/8'] }));
    const bad = await running.call('POST', '/v1/agents/invitations', { networks: ['10.1.2.3/8'] });
    assert.equal(bad.status, 400);
  });
});

test('an expired and a revoked invitation are refused', async () => {
  let now = Date.now();
  await withPlane(
    async running => {
      const expired = await running.invite({ expiresInSeconds: 10 });
      const revoked = await running.call('POST', '/v1/agents/invitations', {});
      assert.equal((await running.call('POST', `/v1/agents/${String(revoked.body.agentId)}/revoke`)).status, 200);
      now += 11_000;
      for (const token of [expired, String(revoked.body.token)]) {
        await assert.rejects(new TestAgent(running.plane.grpcAddress).join(token), { code: status.UNAUTHENTICATED });
      }
    },
    { clock: () => now },
  );
});

test('a lease holds what the agent serves by its invitation’s labels, sealed to its key, and nothing else', () =>
  withPlane(async running => {
    assert.equal((await running.apply(manifests('{ env: CRM_PASSWORD }'))).status, 200);
    const agent = await enrolled(running);
    const stream = agent.control();
    stream.write(hello());
    const bundle = await nextLease(agent, stream);
    assert.deepEqual(
      bundle.resources.map(({ name }) => name),
      ['crm'],
    );
    assert.deepEqual(
      bundle.roles.map(({ name }) => name),
      ['prod'],
    );
    assert.deepEqual(Object.keys(bundle.credentials), ['crm-app']);
    const sealed = Buffer.from(bundle.credentials['crm-app'] ?? '', 'base64');
    const opened = JSON.parse(Buffer.from(open(agent.sealing.privateKey, sealed, 'credential:crm-app')).toString());
    assert.deepEqual(opened, { username: 'app', password: secret });
    assert.equal(open(agent.sealing.privateKey, Buffer.from(bundle.maskKeys.crm ?? '', 'base64'), 'mask-key:crm').length, 32);
    assert.equal(
      (bundle.knownCredentials as { fingerprints: unknown[] }).fingerprints.length,
      2,
      'of every credential, to be spotted anywhere',
    );
    assert.ok(Date.parse(bundle.expiresAt) - Date.parse(bundle.issuedAt) === 24 * 3_600_000);
    const text = JSON.stringify(bundle);
    assert.equal(text.includes(secret) || text.includes('far-away-password') || text.includes('127.0.0.1:5433'), false);
    stream.end();
    agent.close();
  }));

test('a change that concerns the agent brings a new lease, a changed secret too; another change does not', () =>
  withPlane(async running => {
    await running.apply(manifests('{ env: CRM_PASSWORD }'));
    const agent = await enrolled(running);
    const stream = agent.control();
    stream.write(hello());
    const first = await nextLease(agent, stream);
    let leases = 0;
    stream.on('data', (message: ControlMessage) => {
      if (isLease(message)) leases++;
    });
    assert.deepEqual((await running.apply(manifests('{ env: CRM_PASSWORD }'))).body.changes, [
      ...['Credential crm-app', 'Credential far-app', 'Resource crm', 'Resource far', 'Role far-only', 'Role prod'].map(named => ({
        kind: named.split(' ')[0],
        name: named.split(' ')[1],
        change: 'unchanged',
        diff: [],
      })),
    ]);
    await running.apply('kind: Role\nmetadata: { name: far-only }\nspec: { members: { groups: [y] }, resources: { names: [far] } }\n');
    await writeFile(join(running.dir, 'pw'), 'rotated-password\n');
    const next = nextLease(agent, stream);
    const applied = await running.apply(manifests('{ file: pw }'));
    assert.equal((applied.body.changes as { name: string; change: string }[]).find(({ name }) => name === 'crm-app')?.change, 'configured');
    const second = await next;
    assert.ok(second.version > first.version);
    const sealed = Buffer.from(second.credentials['crm-app'] ?? '', 'base64');
    assert.equal(
      JSON.parse(Buffer.from(open(agent.sealing.privateKey, sealed, 'credential:crm-app')).toString()).password,
      'rotated-password',
    );
    assert.equal(second.maskKeys.crm === first.maskKeys.crm, true, 'what did not change is not sealed anew');
    assert.equal(leases, 1);
    await writeFile(join(running.dir, 'pw'), 'rotated-again\n');
    const rotated = await running.apply(manifests('{ file: pw }'));
    assert.deepEqual((rotated.body.changes as { name: string; diff: unknown }[]).find(({ name }) => name === 'crm-app')?.diff, [
      { path: 'spec.password', before: '(another secret)', after: '(a new secret)' },
    ]);
    stream.end();
    agent.close();
  }));

test('agents of the version before, of this one and of the next are told the same, each as it understands it', () =>
  withPlane(async running => {
    assert.equal((await running.apply(manifests('{ env: CRM_PASSWORD }'))).status, 200);
    const agent = await enrolled(running);
    const before = agent.control();
    before.on('error', () => undefined); // The next connection takes over.
    before.write(hello());
    const bundle = await nextLease(agent, before);

    const updateOf = async (stream: ReturnType<TestAgent['control']>) => {
      const { body } = await nextMessage(stream, message => message.body.case === 'leaseUpdate' || message.body.case === 'lease');
      assert.ok(body.case === 'leaseUpdate');
      return body.value;
    };
    const parts = (half: SignedParts | undefined) =>
      new Map((half?.put ?? []).map(({ key, value }) => [key, JSON.parse(Buffer.from(value).toString()) as unknown]));
    const now = agent.control();
    now.on('error', () => undefined);
    now.write(hello([Capability.LEASE_DIFFERENCES]));
    const whole = await updateOf(now);
    const { agentId, version, issuedAt, expiresAt } = bundle;
    // Fingerprints are a set: parts have them in another order.
    const inOrder = (one: LeaseBundle) => {
      const { key, fingerprints } = one.knownCredentials as { key: string; fingerprints: unknown[] };
      return { ...one, knownCredentials: { key, fingerprints: fingerprints.map(each => JSON.stringify(each)).sort() } };
    };
    const assembled = assembleBundle(parts(whole.shared), parts(whole.own), { agentId, version, issuedAt, expiresAt });
    assert.deepEqual(inOrder(assembled), inOrder(bundle));

    // The next version says and asks for more; what is unknown here is passed over, and the stream goes on.
    const statement = JSON.parse(Buffer.from(whole.shared?.statement ?? '').toString()) as { digest: string };
    const greeting = hello([Capability.LEASE_DIFFERENCES, 4711], statement.digest);
    if (greeting.body.case === 'hello') greeting.body.value.$unknown = [{ no: 900, wireType: 2, data: Uint8Array.of(1, 7) }];
    const next = agent.control();
    next.write(greeting);
    const same = await updateOf(next);
    assert.deepEqual({ whole: same.shared?.whole, put: same.shared?.put.length }, { whole: false, put: 0 }, 'it has the shared half');
    const unknown = create(AgentMessageSchema, {});
    unknown.$unknown = [{ no: 901, wireType: 2, data: Uint8Array.of(1, 7) }];
    next.write(unknown);
    assert.equal(
      (await running.apply(`kind: Role\nmetadata: { name: prod }\nspec: { members: { groups: [new] }, resources: {} }\n`)).status,
      200,
    );
    const changed = await updateOf(next);
    assert.deepEqual([...parts(changed.shared).keys()], ['role/prod']);
    assert.equal(changed.own, undefined);
    // What cannot be applied is asked for again.
    next.write(create(AgentMessageSchema, { body: { case: 'leaseWanted', value: create(LeaseWantedSchema, { reason: 'lost' }) } }));
    const again = await updateOf(next);
    assert.equal(again.shared?.whole && again.own?.whole, true);
    agent.close();
  }));

test('no call without a good certificate; an agent’s serving certificate is not one', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    assert.ok(agent.joined);
    agent.connectAnonymously();
    for (const stream of [agent.control(), agent.relay()]) {
      assert.deepEqual(await streamStatus(stream), { code: status.UNAUTHENTICATED, sallyportCode: 'AGENT_UNAUTHENTICATED' });
    }
    await assert.rejects(agent.renew(), { code: status.UNAUTHENTICATED });
    // Of another authority, with the same agent's name.
    await withPlane(async other => {
      const stranger = await enrolled(other);
      stranger.close();
      const pretender = new TestAgent(running.plane.grpcAddress);
      pretender.caPem = agent.caPem;
      pretender.keys = stranger.keys;
      await pretender.connectChannel(stranger.joined?.certificate);
      assert.equal((await streamStatus(pretender.control())).code, status.UNAUTHENTICATED);
      pretender.close();
    });
    agent.close();
  }));

test('renewal: the new certificate and the one before it are good, older ones are not', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    const first = agent.joined?.certificate;
    const second = await agent.renew();
    await agent.connectChannel(second.certificate);
    const third = await agent.renew();
    await agent.connectChannel(third.certificate);
    const stream = agent.control();
    stream.write(hello());
    await nextLease(agent, stream);
    stream.end();
    await agent.connectChannel(first);
    assert.equal((await streamStatus(agent.control())).code, status.UNAUTHENTICATED);
    agent.close();
  }));

test('revocation cuts the agent’s streams at once and for good, also after a restart', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    const stream = agent.control();
    stream.write(hello());
    await nextLease(agent, stream);
    const relay = agent.relay();
    relay.write(agent.batch('s', 0n, ['a']));
    await nextMessage(relay, () => true);
    const ended = streamStatus(stream);
    const relayEnded = streamStatus(relay);
    const revoked = await running.call('POST', `/v1/agents/${agent.joined?.agentId}/revoke`, { reason: 'stolen' });
    assert.equal(revoked.body.status, 'revoked');
    assert.equal((await ended).code, status.UNAUTHENTICATED);
    relay.write(agent.batch('s', 1n, ['b']));
    assert.equal((await relayEnded).code, status.UNAUTHENTICATED);
    assert.equal((await streamStatus(agent.control())).code, status.UNAUTHENTICATED);
    await assert.rejects(agent.renew(), { code: status.UNAUTHENTICATED });
    agent.close();
    await running.restart();
    const again = new TestAgent(running.plane.grpcAddress);
    Object.assign(again, { caPem: agent.caPem, keys: agent.keys, joined: agent.joined });
    await again.connectChannel();
    assert.equal((await streamStatus(again.control())).code, status.UNAUTHENTICATED);
    again.close();
  }));

test('an agent that was restored from a backup does not get in beside the live one; taking turns revokes it', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    const copy = new TestAgent(running.plane.grpcAddress);
    Object.assign(copy, { caPem: agent.caPem, keys: agent.keys, joined: agent.joined });
    await copy.connectChannel();
    const answering = (stream: ReturnType<TestAgent['control']>) =>
      stream.on('data', (message: ControlMessage) => {
        const { body } = message;
        if (body.case === 'ping') stream.write(create(AgentMessageSchema, { body: { case: 'pong', value: { nonce: body.value.nonce } } }));
      });
    const stream = agent.control();
    answering(stream);
    stream.on('error', () => undefined); // It is replaced below.
    stream.write(hello([], '', 'live'));
    await nextLease(agent, stream);

    const second = copy.control();
    second.write(hello([], '', 'copy'));
    assert.deepEqual(await streamStatus(second), { code: status.UNAUTHENTICATED, sallyportCode: 'AGENT_COPIED' });
    const listed = async () => {
      const { agents } = (await running.call('GET', '/v1/agents')).body as { agents: Record<string, unknown>[] };
      return agents.find(({ id }) => id === agent.joined?.agentId) ?? {};
    };
    assert.equal((await listed()).status, 'online', 'the live one goes on');
    assert.equal((await listed()).copySeenFrom, '127.0.0.1');
    // The same process may come again, on another connection.
    const again = agent.control();
    answering(again);
    again.write(hello([], '', 'live'));
    await nextLease(agent, again);

    // While the live one is cut off its copy passes for its restart; when it comes back, both are out.
    again.end();
    await streamStatus(again);
    const third = copy.control();
    third.write(hello([], '', 'copy'));
    await nextLease(copy, third);
    const thirdEnded = streamStatus(third);
    const back = agent.control();
    back.write(hello([], '', 'live'));
    assert.equal((await streamStatus(back)).sallyportCode, 'AGENT_REVOKED');
    assert.equal((await thirdEnded).sallyportCode, 'AGENT_REVOKED');
    assert.equal((await listed()).status, 'revoked');
    assert.match(String((await listed()).revokedBecause), /two processes hold/);
    agent.close();
    copy.close();
  }));

test('relay: each record is in the log once, whatever is sent again, in pieces or after a restart', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    const relay = agent.relay();
    const send = async (stream: typeof relay, spool: string, first: bigint, records: string[]) => {
      stream.write(agent.batch(spool, first, records));
      return (await nextMessage(stream, ack => ack.spoolId === spool)).nextIndex;
    };
    assert.equal(await send(relay, 's1', 0n, ['a', 'b']), 2n);
    assert.equal(await send(relay, 's1', 0n, ['a', 'b']), 2n);
    assert.equal(await send(relay, 's1', 1n, ['b', 'c', 'd']), 4n);
    assert.equal(await send(relay, 's2', 0n, ['x']), 1n);
    relay.end();
    agent.close();
    for (const withMarks of [true, false]) {
      await running.plane.close();
      if (!withMarks) await rm(join(running.dir, 'data', 'log', 'relay-marks.json'));
      await running.restart({});
      const again = new TestAgent(running.plane.grpcAddress);
      Object.assign(again, { caPem: agent.caPem, keys: agent.keys, joined: agent.joined });
      await again.connectChannel();
      const stream = again.relay();
      assert.equal(await send(stream, 's1', 2n, ['c', 'd']), 4n);
      stream.end();
      again.close();
    }
    const reader = openLogReader(join(running.dir, 'data', 'log', 'sallyport.records'));
    const entries = await reader.read(0n, 100);
    await reader.close();
    const kept = entries.map(({ key, value }) => {
      const batch = fromBinary(RecordBatchSchema, value);
      return [
        new TextDecoder().decode(key).split('/')[1],
        batch.firstIndex,
        batch.records.map(record => new TextDecoder().decode(record)).join(''),
      ];
    });
    assert.deepEqual(kept, [
      ['s1', 0n, 'ab'],
      ['s1', 2n, 'cd'],
      ['s2', 0n, 'x'],
    ]);
  }));

test('relay: many batches in flight keep their order, and a batch in another agent’s name ends the stream', () =>
  withPlane(async running => {
    const agent = await enrolled(running);
    const relay = agent.relay();
    for (let i = 0; i < 200; i++) relay.write(agent.batch('s', BigInt(i * 3), ['a', 'b', 'c']));
    await nextMessage(relay, ack => ack.nextIndex === 600n);
    const ended = streamStatus(relay);
    relay.write(agent.batch('s', 600n, ['x'], '0'.repeat(32)));
    assert.deepEqual(await ended, { code: status.PERMISSION_DENIED, sallyportCode: 'RELAY_FOREIGN_BATCH' });
    agent.close();
    const reader = openLogReader(join(running.dir, 'data', 'log', 'sallyport.records'));
    let next = 0n;
    for (const { value } of await reader.read(0n, 1000)) {
      const batch = fromBinary(RecordBatchSchema, value);
      assert.equal(batch.firstIndex, next);
      next += BigInt(batch.records.length);
    }
    assert.equal(next, 600n);
    await reader.close();
  }));

test('live sessions are listed and can be killed; resources show the address that agents report', () =>
  withPlane(async running => {
    await running.apply(manifests('{ env: CRM_PASSWORD }'));
    const agent = await enrolled(running);
    const stream = agent.control();
    stream.write(hello());
    await nextLease(agent, stream);
    const session = {
      $typeName: 'sallyport.agent.v1.LiveSession' as const,
      ...{
        sessionId: 's-1',
        resource: 'crm',
        principal: 'ann@example.com',
        principalKind: 'person',
        clientAddress: '127.0.0.1:9',
        startedUnixUs: 1n,
      },
      ...{ role: 'prod', commands: 0n, issuer: 'https://idp.example' },
    };
    stream.write(
      create(AgentMessageSchema, {
        body: { case: 'sessionsChanged', value: { $typeName: 'sallyport.agent.v1.SessionsChanged', started: [session], ended: [] } },
      }),
    );
    stream.write(
      create(AgentMessageSchema, {
        body: {
          case: 'leaseAck',
          value: { $typeName: 'sallyport.agent.v1.LeaseAck', version: 1n, listeners: { crm: '127.0.0.1:15432' }, problems: {} },
        },
      }),
    );
    const live = async () => ((await running.call('GET', '/v1/agents')).body.agents as { sessions: number; leaseVersion: number }[])[0];
    while ((await live())?.leaseVersion !== 1) await new Promise(resolve => setImmediate(resolve));
    assert.equal((await live())?.sessions, 1);
    const resources = (await running.call('GET', '/v1/resources')).body.resources as { name: string; address?: string }[];
    assert.deepEqual(
      resources.map(({ name, address }) => [name, address]),
      [
        ['crm', '127.0.0.1:15432'],
        ['far', undefined],
      ],
    );
    const killed = nextMessage(stream, message => message.body.case === 'killSession');
    assert.equal((await running.call('POST', '/v1/sessions/s-1/kill', { reason: 'enough' })).status, 200);
    const { body } = await killed;
    assert.deepEqual(body.case === 'killSession' && [body.value.sessionId, body.value.reason], ['s-1', 'enough']);
    assert.equal((await running.call('POST', '/v1/sessions/nobody/kill', {})).status, 404);
    stream.end();
    agent.close();
  }));

test('no secret is in the data folder’s log, in answers or in log lines', () =>
  withPlane(async running => {
    await writeFile(join(running.dir, 'pw'), 'canary-in-a-file-77\n');
    await running.apply(manifests('{ env: CRM_PASSWORD }'));
    await running.apply(manifests('{ file: pw }'));
    await running.apply(manifests('{ value: canary-in-a-value-88 }'));
    const answers = JSON.stringify([
      await running.call('GET', '/v1/manifests/Credential'),
      await running.call('GET', '/v1/manifests/Credential/crm-app'),
    ]);
    const topic = join(running.dir, 'data', 'log', 'sallyport.control');
    const log = Buffer.concat(await Promise.all((await readdir(topic)).map(name => readFile(join(topic, name)))));
    for (const canary of [secret, 'canary-in-a-file', 'canary-in-a-value', 'far-away-password']) {
      for (const form of [canary, Buffer.from(canary).toString('base64').slice(0, -4), Buffer.from(canary).toString('hex')]) {
        assert.equal(log.includes(form) || answers.includes(form) || running.lines.join('').includes(form), false, form);
      }
    }
    const { mode } = await stat(join(running.dir, 'data', 'admin-token'));
    assert.equal(mode & 0o777, 0o600);
    assert.equal(running.lines.join('').includes(running.plane.adminToken), false);
  }));

test('secrets that are missing, empty or out of reach are one clear error with file and line, and nothing is applied', () =>
  withPlane(
    async running => {
      await writeFile(join(running.dir, 'empty'), '\n');
      const cases: [source: string, says: RegExp][] = [
        ['{ env: NO_SUCH }', /no environment variable NO_SUCH/],
        ['{ env: SALLYPORT_STORE_PASSWORD }', /SALLYPORT_/],
        ['{ file: nowhere }', /no such file/],
        ['{ file: empty }', /empty/],
        ['{ file: . }', /not a plain file/],
        ['{ file: data/admin-token }', /own data folder/],
        [`{ file: ${join(running.dir, 'data', 'pki', 'ca.key')} }`, /own data folder/],
      ];
      for (const [source, says] of cases) {
        const answer = await running.apply(manifests(source));
        assert.equal(answer.status, 422);
        assert.match(String(answer.body.detail), says);
        assert.match(String(answer.body.detail), /m\.yaml:20:\d+: /);
      }
      assert.deepEqual((await running.call('GET', '/v1/manifests/Resource')).body.manifests, []);
    },
    { env: { CRM_PASSWORD: secret, SALLYPORT_STORE_PASSWORD: 'x' } },
  ));

test('the state after a restart is the state before', () =>
  withPlane(async running => {
    await running.apply(manifests('{ env: CRM_PASSWORD }'));
    const agent = await enrolled(running);
    agent.close();
    const look = async () => [
      await running.call('GET', '/v1/manifests/Resource'),
      await running.call('GET', '/v1/manifests/Credential'),
      await running.call('GET', '/v1/manifests/Role'),
      await running.call('GET', '/v1/agents'),
    ];
    const before = await look();
    const token = running.plane.adminToken;
    await running.restart();
    assert.equal(running.plane.adminToken, token);
    assert.deepEqual(await look(), before);
  }));

test('a start that cannot be is one clear error, and leaves nothing locked', () =>
  withPlane(async running => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    assert.ok(typeof address === 'object' && address !== null);
    const base = { env: {}, logger: pino({ level: 'silent' }), version: 'test', onFault: () => undefined };
    const free = { ...base, http: '127.0.0.1:0', grpc: '127.0.0.1:0' };
    await assert.rejects(startControlPlane({ ...free, dataDir: join(running.dir, 'data') }), { code: 'DATA_LOCKED' });
    const dataDir = join(running.dir, 'other');
    await assert.rejects(startControlPlane({ ...free, dataDir, http: `127.0.0.1:${address.port}` }), { code: 'LISTEN_FAILED' });
    await assert.rejects(startControlPlane({ ...free, dataDir, grpc: `127.0.0.1:${address.port}` }), { code: 'LISTEN_FAILED' });
    const second = await startControlPlane({ ...free, dataDir });
    await second.close();
    taken.close();
  }));
