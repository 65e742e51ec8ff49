import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Decision, PrincipalKind, RecordBatchSchema, RecordSchema, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { type RecordEvent, RecordEvents, textCharactersMax } from './record-events.ts';

type Body = NonNullable<MessageInitShape<typeof RecordSchema>['body']>;
const us = BigInt(Date.UTC(2026, 10, 1)) * 1000n;
let offset = 0n;

function entry(...records: { session: string; seq: number; body: Body }[]) {
  const encoded = records.map(({ session, seq, body }) =>
    toBinary(RecordSchema, create(RecordSchema, { sessionId: session, seq: BigInt(seq), atUnixUs: us + BigInt(seq), body })),
  );
  const value = toBinary(
    RecordBatchSchema,
    create(RecordBatchSchema, { agentId: 'a', spoolId: 's', firstIndex: offset, records: encoded }),
  );
  return { offset: offset++, key: new Uint8Array(), value, timestampMs: 0 };
}
const principal = { kind: PrincipalKind.PERSON, name: 'ann', issuer: 'https://idp', subject: 'u-1', groups: ['support'] };
const started = (session = 's1') => ({
  session,
  seq: 0,
  body: {
    case: 'sessionStarted' as const,
    value: { resource: 'crm', principal, agent: 'a1', clientAddress: '10.0.0.1:5', role: 'support' },
  },
});
const command = (seq: number, text = 'select 1', decision = Decision.ALLOW, session = 's1') => ({
  session,
  seq,
  body: { case: 'command' as const, value: { kind: 'query', text, decision, rule: decision === Decision.DENY ? 'g/no' : '' } },
});
const response = (seq: number, commandSeq: number, session = 's1') => ({
  session,
  seq,
  body: {
    case: 'response' as const,
    value: { commandSeq: BigInt(commandSeq), status: Status.OK, rows: 3n, maskedValues: 2n, durationUs: 12n, dataClasses: ['email'] },
  },
});
const ended = (seq: number, session = 's1') => ({
  session,
  seq,
  body: { case: 'sessionEnded' as const, value: { reason: 'client closed', commands: 1n } },
});
const brief = (events: RecordEvent[]) =>
  events.map(event => (event.type === 'session' ? `session ${event.session.status}` : `${event.command.text} ${event.command.status}`));

test('a session and its commands, each told once when it is answered', () => {
  const events = new RecordEvents(() => undefined);
  const [began] = events.take(entry(started()), 0);
  assert.deepEqual(began?.type === 'session' && [began.session.live, began.session.resource, began.session.role, began.owner], [
    true,
    'crm',
    'support',
    { principal: 'ann', issuer: 'https://idp' },
  ]);
  assert.deepEqual(events.take(entry(command(1)), 0), []);
  const [answered, ...more] = events.take(entry(response(2, 1)), 5);
  assert.deepEqual(more, []);
  assert.ok(answered?.type === 'command');
  assert.deepEqual(
    [answered.command.status, answered.command.rows, answered.command.maskedValues, answered.command.principal, answered.command.seq],
    ['ok', 3, 2, 'ann', 1],
  );
  assert.deepEqual(events.announce(60_000), [], 'what was answered is not announced');
  assert.deepEqual(brief(events.take(entry(ended(3)), 10)), ['session ended']);
});

test('what takes long is shown while it runs, once, and again when its session ends without an answer', () => {
  const events = new RecordEvents(() => undefined);
  events.take(entry(started(), command(1, 'slow'), command(2, 'waits', Decision.HOLD)), 0);
  assert.deepEqual(events.announce(999), []);
  assert.deepEqual(brief(events.announce(1000)), ['slow running', 'waits held']);
  assert.deepEqual(events.announce(5000), []);
  assert.deepEqual(brief(events.take(entry(ended(3)), 6000)), ['slow aborted', 'waits aborted', 'session ended']);
});

test('a session that began before is looked up; an answer to what was asked before tells nothing; refusals are told', () => {
  const events = new RecordEvents(id => {
    if (id !== 'known') return undefined;
    const context = { agent: 'a1', resource: 'crm', protocol: '', principal: 'ben', principal_kind: 'person', groups: [], delegation: [] };
    return { startedAt: us, context: { ...context, client_address: '', role: '', issuer: 'https://idp' } };
  });
  const [known] = events.take(entry(command(7, 'x', Decision.DENY, 'known'), response(8, 7, 'known')), 0);
  assert.deepEqual(known?.owner, { principal: 'ben', issuer: 'https://idp' });
  assert.deepEqual(events.take(entry(response(9, 3, 'known')), 0), []);
  const [strange] = events.take(entry(ended(9, 'strange')), 0);
  assert.deepEqual(strange?.owner, { principal: '', issuer: '' });
  const [refused] = events.take(
    entry({ session: 'r', seq: 0, body: { case: 'sessionRefused', value: { resource: 'crm', code: 'NO_GRANT', reason: 'no role' } } }),
    0,
  );
  assert.ok(refused?.type === 'session');
  assert.deepEqual([refused.session.status, refused.session.code, refused.session.endReason], ['refused', 'NO_GRANT', 'no role']);
});

test('texts are cut, rubbish tells nothing, and what is remembered has a bound', () => {
  const events = new RecordEvents(() => undefined);
  const [long] = events.take(entry(command(1, 'x'.repeat(100_000)), response(2, 1)), 0);
  assert.ok(long?.type === 'command' && long.command.text.length === textCharactersMax && long.command.textTruncated);
  assert.deepEqual(events.take({ offset: 9n, key: new Uint8Array(), value: Uint8Array.of(255, 1), timestampMs: 0 }, 0), []);
  const many = Array.from({ length: 10_005 }, (_, index) => command(index + 10, 'x'));
  events.take(entry(...many), 0);
  assert.equal(events.announce(5000).length, 10_000);
});
