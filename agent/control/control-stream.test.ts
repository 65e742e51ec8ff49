import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type AgentMessage, type ControlMessage, ControlMessageSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { PrincipalKind } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { ApprovalRequest, LiveSessionInfo } from '../worker-messages.ts';
import { Backoff } from './backoff.ts';
import { ControlStream, type ControlStreamOptions } from './control-stream.ts';
import { FakeStream } from './fake-stream.testing.ts';

type Stream = FakeStream<AgentMessage, ControlMessage>;

function setUp(more: Partial<ControlStreamOptions> = {}) {
  const streams: Stream[] = [];
  const heard: AgentMessage['body'][] = [];
  const told: unknown[] = [];
  const sessions: LiveSessionInfo[] = [];
  const stream = new ControlStream({
    connect: () => {
      const fake: Stream = new FakeStream(message => void heard.push(message.body));
      streams.push(fake);
      return fake.asCall();
    },
    version: '1',
    leaseVersion: () => 3,
    sessions: () => sessions,
    health: async () => ({
      atUnixUs: 1n,
      spoolBytes: 0n,
      spoolRecords: 0n,
      sessions: sessions.length,
      memoryBytes: 0n,
      listeners: {},
      problems: {},
      draining: false,
      addedLatency: [],
    }),
    onLease: lease => told.push(['lease', lease.bundle.length]),
    onLeaseUpdate: update => told.push(['update', update.shared?.put.length, update.own?.put.length]),
    sharedDigest: () => 'abcd',
    onKill: (id, reason) => told.push(['kill', id, reason]),
    onObserved: (id, watch, observer, forMs) => told.push(['observed', id, watch, observer, forMs]),
    onApproval: decided => told.push(['approval', decided.approvalId, decided.state]),
    onRevoked: ids => told.push(['revoked', ids]),
    onDrain: deadline => told.push(['drain', deadline]),
    onRefused: error => told.push(['refused', error.code]),
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    backoff: new Backoff(2, 4),
    healthMs: 10_000,
    ...more,
  });
  const last = () => streams.at(-1) as Stream;
  const say = (body: ControlMessage['body']) => last().say(create(ControlMessageSchema, { body }));
  return { stream, streams, heard, told, sessions, last, say };
}

async function until(check: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (check()) return;
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  assert.fail('not in time');
}

const session = (sessionId: string): LiveSessionInfo => ({
  sessionId,
  resource: 'crm',
  principal: 'ann',
  principalKind: 'person',
  clientAddress: '127.0.0.1:1',
  startedUnixUs: 5,
  issuer: 'https://idp.example',
  role: 'r',
});

const approval: ApprovalRequest = {
  approvalId: 'ap1',
  sessionId: 's1',
  commandSeq: 4,
  resource: 'crm',
  rule: 'g/r',
  text: 'delete from t',
  binding: new Uint8Array(32),
  principal: { kind: 'workload', name: 'bot', issuer: 'i', subject: 's', groups: [], delegation: [] },
  approvalJson: '{}',
  previewJson: '',
  expiresUnixMs: 9,
  fingerprint: 'f',
};

const $lease = { $typeName: 'sallyport.agent.v1.Lease', bundle: new Uint8Array(5), signature: new Uint8Array(64) } as const;

test('says hello with its lease and sessions, then health; hands on what comes', async () => {
  const { stream, heard, told, sessions, say } = setUp();
  sessions.push(session('s1'));
  stream.start();
  await until(() => heard.length === 2);
  assert.ok(heard[0]?.case === 'hello' && heard[0].value.leaseVersion === 3n && heard[0].value.sessions[0]?.sessionId === 's1');
  assert.equal(heard[1]?.case, 'health');
  assert.equal(stream.connected, false, 'not before it heard something');
  say({ case: 'lease', value: $lease });
  say({ case: 'killSession', value: { $typeName: 'sallyport.agent.v1.KillSession', sessionId: 's1', reason: 'why' } });
  say({ case: 'revocations', value: { $typeName: 'sallyport.agent.v1.Revocations', tokenIds: ['t'] } });
  say({ case: 'drain', value: { $typeName: 'sallyport.agent.v1.Drain', deadlineUnixUs: 7_000n } });
  say({ case: 'ping', value: { $typeName: 'sallyport.agent.v1.Ping', nonce: 42n } });
  say({ case: undefined });
  await until(() => told.length === 4 && heard.some(body => body.case === 'pong' && body.value.nonce === 42n));
  assert.deepEqual(told, [
    ['lease', 5],
    ['kill', 's1', 'why'],
    ['revoked', ['t']],
    ['drain', 7],
  ]);
  assert.ok(stream.connected);
  stream.stop();
});

test('sessions are told in one message; those that came and went are not; a reconnect tells all anew', async () => {
  const { stream, heard, sessions, last, say } = setUp();
  stream.start();
  say({ case: 'lease', value: $lease });
  await until(() => heard.length === 2);
  stream.sessionStarted(session('a'));
  stream.sessionStarted(session('b'));
  stream.sessionStarted(session('c'));
  stream.sessionEnded('b');
  stream.sessionEnded('old');
  await until(() => heard.length === 3);
  const [, , changed] = heard;
  assert.ok(changed?.case === 'sessionsChanged');
  assert.deepEqual(
    changed.value.started.map(each => each.sessionId),
    ['a', 'c'],
  );
  assert.deepEqual(changed.value.ended, ['old']);
  sessions.push(session('a'));
  heard.length = 0;
  last().fail(14);
  stream.sessionEnded('c');
  assert.equal(stream.connected, false);
  await until(() => heard.length >= 2);
  assert.ok(heard[0]?.case === 'hello');
  assert.deepEqual(
    heard[0].value.sessions.map(each => each.sessionId),
    ['a'],
  );
  stream.stop();
});

test('a question that is taken back is taken back until the control plane says that it is decided', async () => {
  const { stream, heard, told, streams, last, say } = setUp();
  const taken = () => heard.filter(body => body.case === 'approvalWithdrawn').map(body => body.value.approvalId);
  stream.start();
  stream.requestApproval({ ...approval, expiresUnixMs: Date.now() + 60_000 });
  stream.requestApproval({ ...approval, approvalId: 'over', expiresUnixMs: Date.now() - 1 });
  stream.withdrawApproval('ap1', 'the client left');
  stream.withdrawApproval('over', 'expired');
  await until(() => taken().length === 2);
  heard.length = 0;
  last().fail(14);
  await until(() => streams.length === 2 && heard.length === 3);
  assert.deepEqual(taken(), ['ap1']);
  assert.ok(heard.every(body => body.case !== 'approvalRequested'));
  const decided = { approvalId: 'ap1', by: [], reason: '', binding: new Uint8Array(32), state: 'withdrawn' };
  say({ case: 'approvalDecided', value: { $typeName: 'sallyport.agent.v1.ApprovalDecided', ...decided } });
  say({ case: 'revocations', value: { $typeName: 'sallyport.agent.v1.Revocations', tokenIds: ['t'] } });
  await until(() => told.length === 1);
  assert.deepEqual(told, [['revoked', ['t']]], 'nobody waits for this answer');
  heard.length = 0;
  last().fail(14);
  await until(() => streams.length === 3 && heard.length === 2);
  assert.deepEqual(taken(), []);
  stream.stop();
});

test('an approval request is repeated until it is decided; an unknown word decides nothing', async () => {
  const { stream, heard, told, streams, last, say } = setUp();
  stream.start();
  stream.requestApproval(approval);
  await until(() => heard.some(body => body.case === 'approvalRequested'));
  const asked = heard.find(body => body.case === 'approvalRequested');
  assert.ok(asked?.case === 'approvalRequested');
  assert.equal(asked.value.principal?.kind, PrincipalKind.WORKLOAD);
  assert.equal(asked.value.expiresUnixUs, 9000n);
  heard.length = 0;
  last().fail(14);
  await until(() => streams.length === 2 && heard.some(body => body.case === 'approvalRequested'));
  const decided = {
    $typeName: 'sallyport.agent.v1.ApprovalDecided' as const,
    approvalId: 'ap1',
    by: ['bob'],
    reason: '',
    binding: new Uint8Array(32),
  };
  say({ case: 'approvalDecided', value: { ...decided, state: 'yes' } });
  say({ case: 'approvalDecided', value: { ...decided, state: 'approved' } });
  await until(() => told.length === 1);
  assert.deepEqual(told, [['approval', 'ap1', 'approved']]);
  heard.length = 0;
  last().fail(14);
  await until(() => streams.length === 3 && heard.length === 2);
  assert.ok(heard.every(body => body.case !== 'approvalRequested'));
  stream.stop();
});

test('comes back after every kind of loss, and not after stop', async () => {
  const { stream, streams, told, last } = setUp({ silenceMs: 300 });
  stream.start();
  last().fail(14);
  await until(() => streams.length === 2);
  last().push(null); // the control plane ends the stream
  await until(() => streams.length === 3);
  await until(() => streams.length === 4); // silence
  assert.ok(streams[2]?.cancelled);
  last().fail(16, 'who are you');
  assert.deepEqual(told, [['refused', 'CONTROL_PLANE_UNREACHABLE']]);
  await until(() => streams.length >= 5);
  stream.reopen();
  const count = streams.length;
  stream.stop();
  last().fail(14);
  await new Promise(resolve => setTimeout(resolve, 40));
  assert.equal(streams.length, count);
});

test('pauses grow to the cap, with jitter, and start anew after success', () => {
  const full = new Backoff(100, 1000, () => 1);
  assert.deepEqual(
    [full.nextMs(), full.nextMs(), full.nextMs(), full.nextMs(), full.nextMs(), full.nextMs()],
    [100, 200, 400, 800, 1000, 1000],
  );
  full.reset();
  assert.equal(full.nextMs(), 100);
  assert.equal(new Backoff(100, 1000, () => 0).nextMs(), 10, 'never at once');
  const many = new Backoff(1, 1e9);
  for (let i = 0; i < 2000; i++) assert.ok(Number.isFinite(many.nextMs()));
});
