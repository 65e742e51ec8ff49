import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  AgentMessageSchema,
  type ControlMessage,
  ControlMessageSchema,
  KillSessionSchema,
  LeaseSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { AgentConnection } from './agent-connection.ts';
import type { AgentIdentity } from './agent-identity.ts';

const identity: AgentIdentity = {
  ...{ agentId: 'a', serial: '1', certificateNotAfterMs: 0, address: '' },
  agent: {
    status: 'active',
    invitation: { secretHash: '', labels: {}, everyResource: false, expiresAtMs: 0 },
    details: { name: 'a', version: '1', hostnames: [], keys: { certificateKey: '', sealingKey: '', signingKey: '' } },
    joinedAtMs: 0,
    certificates: [],
    instances: [],
  },
};

/** A stream that takes `room` messages before it asks to wait. */
function slowStream(room: number) {
  const written: ControlMessage[] = [];
  let drain: (() => void) | null = null;
  return {
    written,
    write: (message: ControlMessage) => {
      written.push(message);
      return written.length < room;
    },
    once: (_event: 'drain', listener: () => void) => {
      drain = listener;
    },
    drained: (more: number) => {
      room = written.length + more;
      const listener = drain;
      drain = null;
      listener?.();
    },
  };
}

const lease = (n: number) => () =>
  create(ControlMessageSchema, { body: { case: 'lease', value: create(LeaseSchema, { bundle: Uint8Array.of(n) }) } });
const kill = (sessionId: string) => ({ case: 'killSession' as const, value: create(KillSessionSchema, { sessionId }) });
const session = (sessionId: string) => ({
  ...{ $typeName: 'sallyport.agent.v1.LiveSession' as const, sessionId, resource: 'r', principal: 'p', principalKind: 'person' },
  ...{ clientAddress: '', startedUnixUs: 1_000_000n, role: '', commands: 0n, issuer: '' },
});

test('an agent that reads slowly gets the newest lease only, and kills before it', () => {
  const stream = slowStream(1);
  const connection = new AgentConnection(identity, stream, 0, () => assert.fail('overflow'));
  for (const n of [1, 2, 3]) connection.leaseDue(lease(n));
  connection.send(kill('s'));
  assert.equal(stream.written.length, 1);
  stream.drained(10);
  assert.deepEqual(
    stream.written.map(({ body }) => (body.case === 'lease' ? body.value.bundle[0] : body.case)),
    [1, 'killSession', 3],
  );
});

test('its queue is bounded: an agent that does not read is disconnected', () => {
  let overflows = 0;
  const connection = new AgentConnection(identity, slowStream(1), 0, () => overflows++);
  for (let n = 0; n < 1002; n++) connection.send(kill(`s${n}`));
  assert.equal(overflows, 1);
});

test('nothing is written once it is closed', () => {
  const stream = slowStream(1);
  const connection = new AgentConnection(identity, stream, 0, () => undefined);
  connection.send(kill('a'));
  connection.send(kill('b'));
  connection.close();
  stream.drained(10);
  connection.leaseDue(lease(1));
  assert.equal(stream.written.length, 1);
});

test('an agent’s word on resources that it does not serve is nobody’s; a session goes on when its resource moves to others', () => {
  const connection = new AgentConnection(identity, slowStream(1), 0, () => undefined);
  const tell = (body: Parameters<typeof create<typeof AgentMessageSchema>>[1]) => connection.receive(create(AgentMessageSchema, body), 5);
  const other = { ...session('lie'), resource: 'vault' };
  tell({ body: { case: 'sessionsChanged', value: { started: [session('x'), other], ended: [] } } });
  const ids = (serves: (resource: string) => boolean) => connection.liveSessions(serves).map(({ sessionId }) => sessionId);
  assert.deepEqual(
    ids(resource => resource !== 'vault'),
    ['x'],
  );
  assert.equal(
    connection.liveSession('lie', resource => resource !== 'vault'),
    undefined,
  );
  assert.deepEqual(
    ids(() => false),
    ['x'],
    'it served it when the session began',
  );
  tell({ body: { case: 'sessionsChanged', value: { started: [], ended: ['x'] } } });
  tell({ body: { case: 'sessionsChanged', value: { started: [session('x')], ended: [] } } });
  assert.deepEqual(
    ids(() => false),
    [],
    'a new session of the same name is asked anew',
  );
});

test('live sessions follow what the agent says; a hello starts over', () => {
  const connection = new AgentConnection(identity, slowStream(1), 0, () => undefined);
  const tell = (body: Parameters<typeof create<typeof AgentMessageSchema>>[1]) => connection.receive(create(AgentMessageSchema, body), 5);
  tell({ body: { case: 'sessionsChanged', value: { started: [session('x'), session('y')], ended: ['x', 'unknown'] } } });
  assert.deepEqual(
    connection.liveSessions(() => true).map(({ sessionId, startedAtMs }) => [sessionId, startedAtMs]),
    [['y', 1000]],
  );
  tell({ body: { case: 'hello', value: { version: '2', leaseVersion: 7n, sessions: [session('z')] } } });
  assert.deepEqual([...connection.sessions.keys()], ['z']);
  tell({ body: { case: 'leaseAck', value: { version: 8n, listeners: { r: '127.0.0.1:1' }, problems: {} } } });
  assert.deepEqual([connection.leaseVersion, connection.listeners, connection.lastSeenAtMs], [8n, { r: '127.0.0.1:1' }, 5]);
});
