import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalEvent, ApprovalQuestion } from './approval.ts';
import { Projection, type RecordedEvent } from './projection.ts';

const question = (text: string): ApprovalQuestion => ({
  ...{ agentId: 'a', sessionId: 's', commandSeq: 1, resource: 'crm', rule: 'g/r', text, binding: 'b' },
  principal: { kind: 'person', name: 'ann', issuer: 'i', subject: 's', groups: [], delegation: [] },
  ...{ groups: ['dba'], quorum: 1, preview: '', fingerprint: '', expiresAtMs: 1000 },
});

function folded() {
  const state = new Projection();
  let n = 0;
  const fold = (stream: string, event: { type: string; payload: unknown }, expectedVersion: bigint, atMs = 0) => {
    const atUnixUs = BigInt(atMs) * 1000n + 1n;
    const envelope = { eventId: String(n++), schema: 1, atUnixUs, author: 'a', authorAddress: '', reason: '', requestId: '' };
    const recorded: RecordedEvent = { ...envelope, stream, expectedVersion, type: event.type, payload: event.payload };
    return state.fold(recorded);
  };
  const approval = (id: string, text: string) => {
    const [asked, ended]: ApprovalEvent[] = [
      { type: 'ApprovalRequested', payload: question(text) },
      { type: 'ApprovalWithdrawn', payload: { reason: '' } },
    ];
    assert.ok(asked && fold(`approval/${id}`, asked, 0n));
    return () => ended !== undefined && fold(`approval/${id}`, ended, 1n);
  };
  return { state, fold, approval };
}

test('approvals that are over are forgotten, the oldest first, by number and by size; who waits is kept', () => {
  const { state, approval } = folded();
  const waiting = approval('waiting', 'x');
  for (let i = 0; i < 10_050; i++) assert.ok(approval(`n${i}`, 'x')());
  assert.equal(state.approval('n49').status, 'unknown');
  assert.equal(state.approval('n50').status, 'withdrawn');
  assert.equal(state.approval('waiting').status, 'pending');
  const large = 'x'.repeat(1024 * 1024);
  for (let i = 0; i < 40; i++) assert.ok(approval(`large${i}`, large)());
  assert.equal(state.approval('n10049').status, 'unknown');
  assert.deepEqual([state.approval('large7').status, state.approval('large8').status], ['unknown', 'withdrawn']);
  assert.ok(waiting());
});

test('an event that looked at other kinds counts only if they are as they were', () => {
  const { state, fold } = folded();
  assert.ok(fold('user/1', { type: 'UserProvisioned', payload: { userName: 'a', active: true } }, 0n));
  const entry = (expectedKinds: Record<string, bigint>) =>
    state.fold({
      ...{ eventId: 'x', stream: 'user/2', expectedVersion: 0n, expectedKinds, type: 'UserProvisioned', schema: 1, atUnixUs: 1n },
      ...{ payload: { userName: 'b', active: true }, author: '', authorAddress: '', reason: '', requestId: '' },
    });
  assert.equal(entry({ user: 0n }), false);
  assert.equal(entry({ user: 2n }), false);
  assert.equal(entry({ user: 1n, role: 1n }), false);
  assert.equal(entry({ user: 1n, role: 0n }), true);
});

test('a person is kept out by every name that they ever had, and ten thousand changes are folded at once', () => {
  const { state, fold } = folded();
  const change = (id: string, version: bigint, userName: string, active = true) =>
    fold(`user/${id}`, { type: version === 0n ? 'UserProvisioned' : 'UserChanged', payload: { userName, active } }, version);
  assert.ok(change('1', 0n, 'Ann'));
  assert.ok(change('1', 1n, 'ann.smith'));
  assert.deepEqual(state.blockedPeople(), []);
  assert.ok(change('1', 2n, 'ann.jones', false));
  assert.deepEqual(state.blockedPeople(), ['ann', 'ann.jones', 'ann.smith']);
  assert.ok(state.isBlocked('ANN.Smith'));
  assert.ok(change('2', 0n, 'ann'), 'somebody else has the name now');
  assert.deepEqual(state.blockedPeople(), ['ann.jones', 'ann.smith']);
  assert.ok(change('1', 3n, 'ann.jones'));
  assert.deepEqual(state.blockedPeople(), [], 'back');
  // Work that grew with the number of users would take minutes here.
  for (let i = 0; i < 10_000; i++) assert.ok(change(`u${i}`, 0n, `user-${i}`, i % 2 === 0));
  assert.equal(state.blockedPeople().length, 5000);
});

test('revoked tickets that have ended are forgotten, those that have not are kept, however many there are', () => {
  const { state, fold } = folded();
  const revoke = (id: string, expiresAtMs: number, atMs: number) =>
    assert.ok(fold(`ticket/${id}`, { type: 'TicketRevoked', payload: { expiresAtMs } }, 0n, atMs));
  for (let i = 0; i < 500; i++) revoke(`long${i}`, 1_000_000, i);
  for (let i = 0; i < 5_000; i++) revoke(`short${i}`, 1_000 + i + 10, 1_000 + i);
  assert.equal(state.revokedTickets(7_000).length, 500);
  assert.ok(state.save().revokedTickets.size < 700, `${state.save().revokedTickets.size}`);
  for (let i = 0; i < 100; i++) revoke(`last${i}`, 2_000_001, 2_000_000);
  assert.equal(state.save().revokedTickets.size, 100);
});
