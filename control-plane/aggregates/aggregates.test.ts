import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Kind, Manifest } from '@sallyport/shared/policy/model.ts';
import { type AgentDetails, type AgentEvent, agentAggregate, certificateIsGood, copiedReason, type Invitation } from './agent.ts';
import { type ApprovalEvent, type ApprovalQuestion, type Approver, approvalAggregate, quorumReached } from './approval.ts';
import { type CheckpointEvent, checkpointAggregate, type LoggedCheckpoint } from './checkpoint.ts';
import { contentKeyAggregate } from './content-key.ts';
import { type ManifestEvent, manifestAggregates } from './manifest.ts';
import { retentionAggregate } from './retention.ts';
import { given } from './specification.ts';
import { ticketAggregate } from './ticket-revocation.ts';

describe('manifests', () => {
  for (const kind of Object.keys(manifestAggregates) as Kind[]) {
    const aggregate = manifestAggregates[kind];
    const manifest = (label: string) => ({ kind, name: 'x', labels: { l: label }, spec: {} }) as unknown as Manifest;
    const applied = (label: string, fingerprint = 'f1'): ManifestEvent => ({
      type: `${kind}Applied`,
      payload: { manifest: manifest(label), secrets: { password: { sealed: 's', fingerprint } } },
    });
    const apply = (label: string, fingerprint = 'f1', sealed = 's') => ({
      type: 'apply' as const,
      manifest: manifest(label),
      secrets: { password: { sealed, fingerprint } },
    });

    test(`${kind}: applied, applied again, changed, deleted`, () => {
      given(aggregate).when(apply('a')).then(applied('a'));
      given(aggregate, applied('a'))
        .when(apply('a', 'f1', 'sealed anew'))
        .thenNothing();
      given(aggregate, applied('a')).when(apply('b')).then(applied('b'));
      given(aggregate, applied('a')).when(apply('a', 'f2')).then(applied('a', 'f2'));
      given(aggregate, applied('a'))
        .when({ type: 'apply', manifest: manifest('a'), secrets: {} })
        .then({
          type: `${kind}Applied`,
          payload: { manifest: manifest('a'), secrets: {} },
        });
      given(aggregate, applied('a'))
        .when({ type: 'delete' })
        .then({ type: `${kind}Deleted`, payload: {} });
      given(aggregate).when({ type: 'delete' }).thenNothing();
      given(aggregate, applied('a'), { type: `${kind}Deleted`, payload: {} })
        .when(apply('a'))
        .then(applied('a'));
    });

    test(`${kind}: an event that cannot be is a fault`, () => {
      assert.throws(() => given(aggregate, { type: `${kind}Deleted`, payload: {} }), { code: 'EVENT_IMPOSSIBLE' });
      const other: Kind = kind === 'Role' ? 'Guard' : 'Role';
      assert.throws(() => given(aggregate, { type: `${other}Applied`, payload: { manifest: manifest('a'), secrets: {} } }), {
        code: 'EVENT_IMPOSSIBLE',
      });
    });
  }
});

describe('agent', () => {
  const invitation: Invitation = { secretHash: 'hash', labels: { network: 'eu' }, everyResource: false, expiresAtMs: 1000 };
  const details: AgentDetails = {
    ...{ name: 'a', version: '1', hostnames: ['h'] },
    keys: { certificateKey: 'c', sealingKey: 's', signingKey: 'g' },
  };
  const first = { serial: '01', notAfterMs: 5000 };
  const second = { serial: '02', notAfterMs: 6000 };
  const invited: AgentEvent = { type: 'AgentInvited', payload: invitation };
  const joined: AgentEvent = { type: 'AgentJoined', payload: { details, joinedAtMs: 500, certificate: first } };
  const renewed = (certificate = second): AgentEvent => ({ type: 'AgentRenewed', payload: { hostnames: ['h'], certificate } });
  const revoked: AgentEvent = { type: 'AgentRevoked', payload: { reason: 'lost' } };
  const join = (over: object = {}) => ({
    type: 'join' as const,
    secretHash: 'hash',
    nowMs: 500,
    address: '10.1.2.3',
    details,
    certificate: first,
    ...over,
  });
  const renew = (over: object = {}) => ({
    ...{ type: 'renew' as const, currentSerial: '01', nowMs: 600, hostnames: ['h'], certificate: second },
    ...over,
  });

  test('is invited once', () => {
    given(agentAggregate).when({ type: 'invite', invitation }).then(invited);
    given(agentAggregate, invited).when({ type: 'invite', invitation }).thenNothing();
    given(agentAggregate, invited)
      .when({ type: 'invite', invitation: { ...invitation, secretHash: 'other' } })
      .thenRejected('AGENT_EXISTS');
    given(agentAggregate, invited, revoked).when({ type: 'invite', invitation }).thenRejected('AGENT_EXISTS');
  });

  test('joins with the secret, in time, once', () => {
    given(agentAggregate, invited).when(join()).then(joined);
    given(agentAggregate).when(join()).thenRejected('JOIN_TOKEN_REFUSED');
    given(agentAggregate, invited)
      .when(join({ secretHash: 'hasx' }))
      .thenRejected('JOIN_TOKEN_REFUSED');
    given(agentAggregate, invited)
      .when(join({ secretHash: '' }))
      .thenRejected('JOIN_TOKEN_REFUSED');
    given(agentAggregate, invited)
      .when(join({ nowMs: 1000 }))
      .thenRejected('JOIN_TOKEN_REFUSED');
    given(agentAggregate, invited, revoked).when(join()).thenRejected('JOIN_TOKEN_REFUSED');
  });

  test('one process after another speaks for it; one that comes back after another proves a copy', () => {
    const started = (instance: string): AgentEvent => ({ type: 'AgentStarted', payload: { instance } });
    const start = (instance: string) => ({ type: 'start' as const, instance });
    given(agentAggregate, invited, joined).when(start('p1')).then(started('p1'));
    given(agentAggregate, invited, joined, started('p1')).when(start('p1')).thenNothing();
    given(agentAggregate, invited, joined, started('p1')).when(start('p2')).then(started('p2'));
    given(agentAggregate, invited, joined, started('p1'), started('p2'))
      .when(start('p1'))
      .then({ type: 'AgentRevoked', payload: { reason: copiedReason } });
    // An agent of an older version says nothing of itself; a copy that says nothing is found out when the agent comes back.
    given(agentAggregate, invited, joined).when(start('')).thenNothing();
    given(agentAggregate, invited, joined, started('p1')).when(start('')).then(started(''));
    given(agentAggregate, invited, joined, started('p1'), started(''))
      .when(start('p1'))
      .then({ type: 'AgentRevoked', payload: { reason: copiedReason } });
    given(agentAggregate, invited, joined, started(''), started('p1')).when(start('')).then(started(''));
    given(agentAggregate, invited, joined, revoked).when(start('p1')).thenRejected('AGENT_REVOKED');
  });

  test('a copy that keeps trying is told of once an hour', () => {
    const copySeen = (nowMs: number, address = '10.0.0.9') => ({ type: 'copySeen' as const, address, nowMs });
    const seen = (atMs: number): AgentEvent => ({ type: 'AgentCopySeen', payload: { address: '10.0.0.9', atMs } });
    given(agentAggregate, invited, joined).when(copySeen(1000)).then(seen(1000));
    given(agentAggregate, invited, joined, seen(1000)).when(copySeen(2000)).thenNothing();
    given(agentAggregate, invited, joined, seen(1000))
      .when(copySeen(1000 + 3_600_000))
      .then(seen(3_601_000));
  });

  test('may repeat its own join with the same keys while the token lasts; nobody else may', () => {
    given(agentAggregate, invited, joined)
      .when(join({ certificate: second }))
      .then(renewed());
    given(agentAggregate, invited, joined)
      .when(join({ nowMs: 1000 }))
      .thenRejected('JOIN_TOKEN_REFUSED');
    for (const key of ['certificateKey', 'sealingKey', 'signingKey']) {
      given(agentAggregate, invited, joined)
        .when(join({ details: { ...details, keys: { ...details.keys, [key]: 'mine' } } }))
        .thenRejected('JOIN_TOKEN_REFUSED');
    }
  });

  test('renews with its current certificate or the one before it', () => {
    given(agentAggregate, invited, joined).when(renew()).then(renewed());
    const third = { serial: '03', notAfterMs: 7000 };
    given(agentAggregate, invited, joined, renewed())
      .when(renew({ certificate: third }))
      .then(renewed(third));
    given(agentAggregate, invited, joined, renewed(), renewed(third)).when(renew()).thenRejected('AGENT_CERTIFICATE_REPLACED');
    given(agentAggregate, invited, joined)
      .when(renew({ currentSerial: '99' }))
      .thenRejected('AGENT_CERTIFICATE_REPLACED');
    given(agentAggregate, invited, joined)
      .when(renew({ nowMs: 5000 }))
      .thenRejected('AGENT_CERTIFICATE_REPLACED');
    given(agentAggregate, invited).when(renew()).thenRejected('AGENT_REVOKED');
    given(agentAggregate, invited, joined, revoked).when(renew()).thenRejected('AGENT_REVOKED');
  });

  test('is revoked for good', () => {
    given(agentAggregate, invited, joined).when({ type: 'revoke', reason: 'lost' }).then(revoked);
    given(agentAggregate, invited).when({ type: 'revoke', reason: 'lost' }).then(revoked);
    given(agentAggregate, invited, revoked).when({ type: 'revoke', reason: 'lost' }).thenNothing();
    given(agentAggregate).when({ type: 'revoke', reason: '' }).thenRejected('AGENT_UNKNOWN');
    const { state } = given(agentAggregate, invited, joined, revoked);
    assert.equal(certificateIsGood(state, '01', 600), false);
    assert.throws(() => given(agentAggregate, invited, joined, revoked, renewed()), { code: 'EVENT_IMPOSSIBLE' });
    assert.throws(() => given(agentAggregate, joined), { code: 'EVENT_IMPOSSIBLE' });
  });

  test('a certificate speaks for it until it expires', () => {
    const { state } = given(agentAggregate, invited, joined, renewed());
    assert.deepEqual(
      ['01', '02', '03'].map(serial => certificateIsGood(state, serial, 5000)),
      [false, true, false],
    );
    assert.equal(certificateIsGood(state, '01', 4999), true);
  });
});

describe('ticket revocation', () => {
  test('happens once', () => {
    given(ticketAggregate)
      .when({ type: 'revoke', expiresAtMs: 5 })
      .then({ type: 'TicketRevoked', payload: { expiresAtMs: 5 } });
    given(ticketAggregate, { type: 'TicketRevoked', payload: { expiresAtMs: 5 } })
      .when({ type: 'revoke', expiresAtMs: 9 })
      .thenNothing();
  });
});

describe('approval', () => {
  const person = (name: string, ...groups: string[]): Approver => ({
    ...{ name, issuer: 'https://idp', subject: `sub-${name}`, groups, reason: '', atMs: 100 },
  });
  const question = (over: Partial<ApprovalQuestion> = {}): ApprovalQuestion => ({
    ...{
      agentId: 'agent',
      sessionId: 's',
      commandSeq: 1,
      resource: 'crm',
      rule: 'g/r',
      text: 'UPDATE …',
      binding: 'b',
      preview: '',
      fingerprint: '',
    },
    principal: { kind: 'person', name: 'ann', issuer: 'https://idp', subject: 'sub-ann', groups: ['dba'], delegation: [] },
    ...{ groups: ['dba'], quorum: 1, expiresAtMs: 1000 },
    ...over,
  });
  const requested = (over: Partial<ApprovalQuestion> = {}): ApprovalEvent => ({ type: 'ApprovalRequested', payload: question(over) });
  const gave = (approver: Approver, complete: boolean): ApprovalEvent => ({ type: 'ApprovalGiven', payload: { approver, complete } });
  const bob = person('bob', 'dba');
  const cleo = person('cleo', 'dba', 'security');
  const dan = person('dan', 'security');

  test('is asked for once; the agent repeats itself without effect', () => {
    given(approvalAggregate).when({ type: 'request', question: question(), nowMs: 0 }).then(requested());
    given(approvalAggregate, requested()).when({ type: 'request', question: question(), nowMs: 1 }).thenNothing();
    for (const over of [{ binding: 'other' }, { sessionId: 't' }, { agentId: 'b' }, { commandSeq: 2 }]) {
      given(approvalAggregate, requested())
        .when({ type: 'request', question: question(over), nowMs: 1 })
        .thenRejected('APPROVAL_ID_TAKEN');
    }
    for (const over of [{ groups: [] }, { quorum: 0 }]) {
      given(approvalAggregate)
        .when({ type: 'request', question: question(over), nowMs: 0 })
        .thenRejected('APPROVAL_UNANSWERABLE');
    }
  });

  test('one of the group approves or denies, with a reason', () => {
    given(approvalAggregate, requested())
      .when({ type: 'approve', approver: bob, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(bob, true));
    given(approvalAggregate, requested())
      .when({ type: 'deny', approver: bob })
      .then({ type: 'ApprovalDenied', payload: { approver: bob } });
    given(approvalAggregate, requested(), gave(bob, true))
      .when({ type: 'approve', approver: cleo, keptOut: [], ruleNow: null, policyAuthors: [] })
      .thenNothing();
    given(approvalAggregate, requested(), gave(bob, true)).when({ type: 'deny', approver: cleo }).thenRejected('APPROVAL_CLOSED');
  });

  test('never one’s own, by whatever name', () => {
    const self = person('ann', 'dba');
    for (const type of ['approve', 'deny'] as const) {
      given(approvalAggregate, requested())
        .when({ type, approver: self, keptOut: [], ruleNow: null, policyAuthors: [] })
        .thenRejected('APPROVAL_OWN');
      // The same person at another identity provider, and the person whose program asks.
      given(approvalAggregate, requested())
        .when({ type, approver: { ...self, issuer: 'https://other' }, keptOut: [], ruleNow: null, policyAuthors: [] })
        .thenRejected('APPROVAL_OWN');
      const byProgram = requested({ principal: { ...question().principal, name: 'bot', subject: 'bot', delegation: ['sub-bob'] } });
      given(approvalAggregate, byProgram)
        .when({ type, approver: bob, keptOut: [], ruleNow: null, policyAuthors: [] })
        .thenRejected('APPROVAL_OWN');
    }
  });

  test('who has changed the policy that asks may deny and not approve', () => {
    const pending = given(approvalAggregate, requested());
    for (const author of [
      { name: bob.name },
      { name: 'renamed', issuer: bob.issuer, subject: bob.subject },
      { name: bob.name, issuer: 'https://other', subject: 'x' },
    ]) {
      pending
        .when({ type: 'approve', approver: bob, keptOut: [], ruleNow: null, policyAuthors: [{ name: 'zoe' }, author] })
        .thenRejected('APPROVAL_OWN_POLICY');
    }
    pending
      .when({
        type: 'approve',
        approver: bob,
        keptOut: [],
        ruleNow: null,
        policyAuthors: [{ name: 'admin' }, { name: 'zoe', issuer: bob.issuer, subject: 'z' }],
      })
      .then(gave(bob, true));
    pending.when({ type: 'deny', approver: bob }).then({ type: 'ApprovalDenied', payload: { approver: bob } });
    given(approvalAggregate, requested())
      .when({ type: 'approve', approver: dan, keptOut: [], ruleNow: null, policyAuthors: [dan] })
      .thenRejected('APPROVAL_UNKNOWN');
  });

  test('who is in none of the groups learns nothing', () => {
    for (const approver of [dan, person('eve')]) {
      given(approvalAggregate, requested())
        .when({ type: 'approve', approver, keptOut: [], ruleNow: null, policyAuthors: [] })
        .thenRejected('APPROVAL_UNKNOWN');
      given(approvalAggregate)
        .when({ type: 'approve', approver, keptOut: [], ruleNow: null, policyAuthors: [] })
        .thenRejected('APPROVAL_UNKNOWN');
    }
  });

  test('a quorum counts people, not clicks', () => {
    const two = requested({ quorum: 2 });
    given(approvalAggregate, two)
      .when({ type: 'approve', approver: bob, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(bob, false));
    given(approvalAggregate, two, gave(bob, false))
      .when({ type: 'approve', approver: bob, keptOut: [], ruleNow: null, policyAuthors: [] })
      .thenNothing();
    given(approvalAggregate, two, gave(bob, false))
      .when({ type: 'approve', approver: cleo, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(cleo, true));
  });

  test('access that was given ends when its time is over, or when somebody ends it, once', () => {
    const asked = requested({ access: { role: 'oncall', seconds: 60, reason: 'r' }, agentId: '', sessionId: '' });
    const end = (by: string, nowMs: number) => ({ type: 'endAccess', by, reason: 'enough', nowMs }) as const;
    const given_ = given(approvalAggregate, asked, gave(bob, true)); // at 100
    given_.when(end('', 60_099)).thenNothing();
    given_.when(end('', 60_100)).then({ type: 'AccessEnded', payload: { why: 'expired', by: '', reason: 'its time is over' } });
    const revoked: ApprovalEvent = { type: 'AccessEnded', payload: { why: 'revoked', by: 'bob', reason: 'enough' } };
    given_.when(end('bob', 200)).then(revoked);
    given(approvalAggregate, asked, gave(bob, true), revoked).when(end('bob', 300)).thenNothing();
    given(approvalAggregate, asked).when(end('bob', 200)).thenRejected('ACCESS_NOT_GIVEN');
    given(approvalAggregate, requested(), gave(bob, true)).when(end('bob', 200)).thenRejected('ACCESS_NOT_GIVEN');
  });

  test('several groups: all must approve, and nobody counts for two', () => {
    const both = requested({ groups: ['dba', 'security'] });
    given(approvalAggregate, both)
      .when({ type: 'approve', approver: cleo, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(cleo, false));
    given(approvalAggregate, both, gave(cleo, false))
      .when({ type: 'approve', approver: dan, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(dan, true));
    // Cleo came first and could sit in either group: she moves to the one that bob cannot fill.
    given(approvalAggregate, both, gave(cleo, false))
      .when({ type: 'approve', approver: bob, keptOut: [], ruleNow: null, policyAuthors: [] })
      .then(gave(bob, true));
    assert.equal(quorumReached(question({ groups: ['dba', 'security'], quorum: 2 }), [bob, cleo, dan]), false);
    assert.equal(quorumReached(question({ groups: ['dba', 'security'], quorum: 2 }), [bob, cleo, dan, person('fay', 'dba')]), true);
  });

  test('ends with its time, or when the agent takes it back', () => {
    given(approvalAggregate, requested())
      .when({ type: 'approve', approver: { ...bob, atMs: 1000 }, keptOut: [], ruleNow: null, policyAuthors: [] })
      .thenRejected('APPROVAL_CLOSED');
    given(approvalAggregate, requested()).when({ type: 'expire', nowMs: 999 }).thenNothing();
    given(approvalAggregate, requested()).when({ type: 'expire', nowMs: 1000 }).then({ type: 'ApprovalExpired', payload: {} });
    given(approvalAggregate, requested(), gave(bob, true)).when({ type: 'expire', nowMs: 1000 }).thenNothing();
    given(approvalAggregate, requested())
      .when({ type: 'withdraw', agentId: 'agent', reason: 'gone' })
      .then({ type: 'ApprovalWithdrawn', payload: { reason: 'gone' } });
    given(approvalAggregate, requested()).when({ type: 'withdraw', agentId: 'another', reason: 'x' }).thenRejected('APPROVAL_UNKNOWN');
    assert.throws(() => given(approvalAggregate, gave(bob, true)), { code: 'EVENT_IMPOSSIBLE' });
    assert.throws(() => given(approvalAggregate, requested(), gave(bob, true), gave(cleo, true)), { code: 'EVENT_IMPOSSIBLE' });
  });
});

describe('shredding', () => {
  const anna = { name: 'anna', issuer: 'i', subject: '1' };
  const request = { id: 's', person: 'sam', reason: 'r', askedBy: anna, askedAtMs: 1000 };
  const requested = { type: 'ShredRequested' as const, payload: request };
  const hold = { type: 'LegalHoldPlaced' as const, payload: { id: 'h', person: 'pia', reason: 'case', placedAtMs: 1 } };
  const confirm = (name: string, checkedHolds: string[] = [], nowMs = 2000) =>
    ({ type: 'shred', id: 's', confirmedBy: { name, issuer: 'i', subject: name }, nowMs, sessions: 3, checkedHolds }) as const;
  const shredded = {
    type: 'ContentsShredded' as const,
    payload: { id: 's', person: 'sam', reason: 'r', askedBy: 'anna', confirmedBy: 'ben', throughMs: 2000, sessions: 3 },
  };

  test('takes two, once', () => {
    given(retentionAggregate).when({ type: 'askToShred', request }).then(requested);
    given(retentionAggregate).when(confirm('ben')).thenRejected('SHRED_UNKNOWN');
    given(retentionAggregate, requested)
      .when({ ...confirm('ben'), confirmedBy: anna })
      .thenRejected('SHRED_NEEDS_ANOTHER');
    given(retentionAggregate, requested).when(confirm('ben')).then(shredded);
    given(retentionAggregate, requested, shredded).when(confirm('cleo')).thenNothing();
    const late = 1000 + 8 * 86_400_000;
    given(retentionAggregate, requested)
      .when(confirm('ben', [], late))
      .thenRejected('SHRED_UNKNOWN');
  });

  test('not past a hold that nobody has looked at', () => {
    given(retentionAggregate, requested, hold).when(confirm('ben')).thenRejected('HOLDS_CHANGED');
    given(retentionAggregate, requested, hold)
      .when(confirm('ben', ['h']))
      .then(shredded);
  });

  test('a sealing key is made once, retired by the next, and destroyed', () => {
    const make = (id: string, replaces: string | null, nowMs: number) => ({ type: 'make' as const, id, publicKey: 'p', replaces, nowMs });
    const made = (id: string, atMs: number) => ({ type: 'ContentKeyMade' as const, payload: { id, publicKey: 'p', atMs } });
    given(contentKeyAggregate)
      .when(make('a', null, 1))
      .then(made('a', 1));
    given(contentKeyAggregate, made('a', 1))
      .when(make('b', null, 2))
      .thenNothing();
    given(contentKeyAggregate, made('a', 1))
      .when(make('b', 'a', 2))
      .then(made('b', 2));
    const { state } = given(contentKeyAggregate, made('a', 1), made('b', 2));
    assert.deepEqual([state.current?.id, state.retired], ['b', [{ id: 'a', retiredAtMs: 2 }]]);
    given(contentKeyAggregate, made('a', 1), made('b', 2))
      .when({ type: 'destroyed', ids: ['a', 'b'] })
      .then({ type: 'ContentKeysDestroyed', payload: { ids: ['a'] } });
  });
});

describe('checkpoints', () => {
  const at = (number: number, statement: string, agentId = 'a') => ({ agentId, ledger: '0f', number, statement, signature: 's' });
  const logged = (checkpoints: LoggedCheckpoint[], conflicts: LoggedCheckpoint[] = []): CheckpointEvent => ({
    type: 'CheckpointsLogged',
    payload: { checkpoints, conflicts },
  });

  test('a ledger goes on, and what is repeated is not logged again', () => {
    given(checkpointAggregate)
      .when({ type: 'log', checkpoints: [at(3, 'x')] })
      .then(logged([at(3, 'x')]));
    given(checkpointAggregate, logged([at(3, 'x')]))
      .when({ type: 'log', checkpoints: [at(5, 'y')] })
      .then(logged([at(5, 'y')]));
    given(checkpointAggregate, logged([at(3, 'x')]))
      .when({ type: 'log', checkpoints: [at(3, 'x')] })
      .thenNothing();
  });

  test('another statement under a known number and a lower one are conflicts, logged once each', () => {
    for (const wrong of [at(3, 'other'), at(2, 'older')]) {
      given(checkpointAggregate, logged([at(3, 'x')]))
        .when({ type: 'log', checkpoints: [wrong] })
        .then(logged([], [wrong]));
      given(checkpointAggregate, logged([at(3, 'x')]), logged([], [wrong]))
        .when({ type: 'log', checkpoints: [wrong] })
        .thenNothing();
    }
    given(checkpointAggregate)
      .when({ type: 'log', checkpoints: [at(0, 'x'), at(1, 'y', 'b')] })
      .then(logged([at(0, 'x')]));
  });

  test('an agent can say nothing of another’s ledger: neither go on with it nor accuse it', () => {
    for (const poison of [at(9, 'y', 'b'), at(3, 'other', 'b'), at(3, 'x', 'b')]) {
      given(checkpointAggregate, logged([at(3, 'x')]))
        .when({ type: 'log', checkpoints: [poison] })
        .thenNothing();
    }
  });
});
