/** Changes of policy by two people: who may answer, once, on what was proposed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ChangeParty, type ChangeRequest, type ChangeState, changeAggregate, openChangesMax, type Proposal } from './change.ts';
import { manifestAggregates } from './manifest.ts';
import { Projection } from './projection.ts';

const person = (name: string, more: Partial<ChangeParty> = {}): ChangeParty => ({
  ...{ kind: 'person', name, issuer: 'https://idp', subject: name, groups: [] },
  ...more,
});
const [alice, bob] = [person('alice@example.com'), person('bob@example.com')];
const item = { kind: 'Role', name: 'support', version: 3, manifest: null, secrets: {}, change: 'deleted', diff: [] } as const;
const proposal: Proposal = { author: alice, items: [{ ...item, diff: [] }], reason: 'ticket 17', atMs: 1 };
const by = (party: ChangeParty) => ({ by: party, reason: '', atMs: 2 });
const propose: ChangeRequest = { type: 'propose', proposal, open: 0 };
const approve = (party: ChangeParty, moved: string[] = []): ChangeRequest => ({ type: 'approve', answer: by(party), moved });

/** The state after these requests; each must be granted. */
function after(...requests: ChangeRequest[]): ChangeState {
  return requests.reduce<ChangeState>((state, request) => {
    const decision = changeAggregate.decide(request, state);
    assert.ok(decision.accepted, JSON.stringify(decision));
    return decision.events.reduce((next, event) => changeAggregate.evolve(next, event), state);
  }, changeAggregate.initialState);
}

function code(state: ChangeState, request: ChangeRequest): string {
  const decision = changeAggregate.decide(request, state);
  return decision.accepted ? decision.events.map(({ type }) => type).join() : decision.rejection.code;
}

test('proposed, approved by another person, applied', () => {
  assert.equal(after(propose, approve(bob), { type: 'applied' }).status, 'applied');
});

test('nobody approves their own, by whatever name or provider; programs approve nothing', () => {
  const state = after(propose);
  assert.equal(code(state, approve(alice)), 'CHANGE_OWN');
  assert.equal(code(state, approve(person('Alice@Example.com', { issuer: 'https://other', subject: 'x' }))), 'CHANGE_OWN');
  assert.equal(code(state, approve(person('alice.b@example.com', { subject: alice.subject }))), 'CHANGE_OWN');
  assert.equal(code(state, approve(person('ci', { kind: 'workload' }))), 'CHANGE_NEEDS_PERSON');
  assert.equal(code(state, { type: 'reject', answer: by(alice) }), 'CHANGE_OWN');
  assert.equal(code(state, { type: 'withdraw', answer: by(bob) }), 'CHANGE_NOT_OWN');
});

test('what has changed since is stale, and approving it changes nothing', () => {
  const state = after(propose, approve(bob, ['Role/support']));
  assert.equal(state.status, 'stale');
  assert.equal(code(state, approve(bob)), 'CHANGE_CLOSED');
});

test('an end is an end; a repeat of what was granted is none', () => {
  for (const type of ['reject', 'withdraw'] as const) {
    const state = after(propose, { type, answer: by(type === 'reject' ? bob : alice) });
    assert.equal(code(state, approve(bob)), 'CHANGE_CLOSED');
  }
  const approved = after(propose, approve(bob));
  assert.equal(code(approved, approve(bob)), '');
  assert.equal(code(approved, { type: 'withdraw', answer: by(alice) }), 'CHANGE_CLOSED');
  assert.equal(code(approved, { type: 'reject', answer: by(bob) }), 'CHANGE_CLOSED');
  assert.equal(code(changeAggregate.initialState, { type: 'applied' }), 'CHANGE_UNKNOWN');
});

test('what is proposed is bounded, and changes something', () => {
  const none = changeAggregate.initialState;
  assert.equal(code(none, { ...propose, open: openChangesMax }), 'CHANGES_TOO_MANY');
  assert.equal(code(none, { ...propose, proposal: { ...proposal, items: [] } }), 'CHANGE_EMPTY');
  assert.equal(code(none, { ...propose, proposal: { ...proposal, reason: 'x'.repeat(1024 * 1024) } }), 'CHANGE_TOO_LARGE');
});

test('who approved a manifest has had a hand in it, like who proposed it', () => {
  const projection = new Projection();
  const manifest = { kind: 'Role', name: 'support', labels: {}, spec: {} } as never;
  const decision = manifestAggregates.Role.decide(
    { type: 'apply', manifest, secrets: {}, approvedBy: { name: bob.name, issuer: bob.issuer, subject: bob.subject } },
    { status: 'absent' },
  );
  assert.ok(decision.accepted);
  for (const { type, payload } of decision.events) {
    projection.fold({
      ...{ eventId: 'e', stream: 'role/support', expectedVersion: 0n, type, schema: 1, payload, atUnixUs: 1n },
      ...{ author: alice.name, authorIdentity: alice, authorAddress: '', reason: '', requestId: '' },
    });
  }
  assert.deepEqual(
    projection.authorsOf('Role', 'support', 2).map(({ name }) => name),
    [alice.name, bob.name],
  );
});
