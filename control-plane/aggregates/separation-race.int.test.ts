/** Separation of duties when the change that forbids an approval is in the log already, and the replica that is asked has not read it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { type ApprovalQuestion, type Approver, approvalAggregate } from './approval.ts';
import { approveRequest, approvingLooksAt } from './approve-request.ts';
import { action, ControlLog, informedAction, type Provenance } from './control-log.ts';
import { manifestAggregates } from './manifest.ts';
import { userAggregate } from './user.ts';

const by = (name: string): Provenance => ({
  ...{ author: name, authorAddress: '', reason: '', requestId: '' },
  authorIdentity: { issuer: 'i', subject: `s-${name}` },
});
const approver = (name: string): Approver => ({ name, issuer: 'i', subject: `s-${name}`, groups: ['dba'], reason: '', atMs: 5 });
const question: ApprovalQuestion = {
  ...{ agentId: 'a', sessionId: 's', commandSeq: 1, resource: 'crm', rule: 'safety/writes', text: 't', binding: 'b' },
  principal: { kind: 'person', name: 'eve', issuer: 'i', subject: 's-eve', groups: [], delegation: [] },
  ...{ groups: ['dba'], quorum: 1, preview: '', fingerprint: '', expiresAtMs: 1000 },
};
const guard = (message: string, quorum = 1): Manifest =>
  ({
    ...{ kind: 'Guard', name: 'safety', labels: {} },
    spec: {
      ...{ resources: {}, priority: 0 },
      rules: [
        {
          name: 'writes',
          match: {},
          action: 'hold',
          message,
          approval: { from: { groups: ['dba'] }, quorum, expiresInMs: 1, preview: false },
        },
      ],
    },
  }) as Manifest;
const applyGuard = (message: string, quorum = 1) =>
  action(manifestAggregates.Guard, 'safety', { type: 'apply', manifest: guard(message, quorum), secrets: {} });
const asked = (id: string, over: Partial<ApprovalQuestion> = {}) =>
  action(approvalAggregate, id, { type: 'request', question: { ...question, ...over }, nowMs: 1 });
const approve = (id: string, name: string) =>
  informedAction(approvalAggregate, id, approvingLooksAt, all => approveRequest(all, id, approver(name), 5));

/** Two replicas on one log; what `between` does happens after the first has decided and before its events are in the log. */
async function withReplicas(body: (slow: ControlLog, other: ControlLog, between: (work: () => Promise<unknown>) => void) => Promise<void>) {
  const root = await mkdtemp(join(tmpdir(), 'sallyport-race-'));
  const log = await openFileLog({ dir: join(root, 'sallyport.control') });
  let work: (() => Promise<unknown>) | null = null;
  const slowLog: EventLog = {
    read: (from, max) => log.read(from, max),
    endOffset: () => log.endOffset(),
    waitFor: (offset, timeoutMs, signal) => log.waitFor(offset, timeoutMs, signal),
    close: () => Promise.resolve(),
    async append(entries) {
      const due = work;
      work = null;
      await due?.();
      return log.append(entries);
    },
  };
  const onFault = (error: Error) => {
    throw error;
  };
  const [slow, other] = [await ControlLog.open(slowLog, { onFault }), await ControlLog.open(log, { onFault })];
  try {
    await body(slow, other, next => {
      work = next;
    });
    assert.equal(work, null, 'nothing got in between');
    await slow.reach(await log.endOffset(), 10_000);
    await other.reach(await log.endOffset(), 10_000);
    assert.deepEqual(slow.state.dump(), other.state.dump());
  } finally {
    await slow.close();
    await other.close();
    await log.close();
    await rm(root, { recursive: true });
  }
}

test('a change of the rule that gets in before the approval forbids it to its author', () =>
  withReplicas(async (slow, other, between) => {
    assert.ok((await slow.execute([applyGuard('old'), asked('1')], by('admin'))).accepted);
    between(() => other.execute([applyGuard('cleo’s')], by('cleo')));
    const outcome = await slow.execute([approve('1', 'cleo')], by('cleo'));
    assert.ok(!outcome.accepted && outcome.rejection.code === 'APPROVAL_OWN_POLICY', JSON.stringify(outcome));
    assert.equal(slow.state.approval('1').status, 'pending');
    // A change that forbids nothing has the same approval decided again, and given.
    between(() => other.execute([applyGuard('dora’s')], by('dora')));
    assert.ok((await slow.execute([approve('1', 'bob')], by('bob'))).accepted);
    assert.equal(slow.state.approval('1').status, 'approved');
  }));

test('who is taken out of the directory in between does not approve, and what they gave before does not count', () =>
  withReplicas(async (slow, other, between) => {
    const user = { userName: 'Bob', active: true };
    const out = action(userAggregate, 'u1', { type: 'replace', user: { ...user, active: false } });
    assert.ok(
      (await slow.execute([action(userAggregate, 'u1', { type: 'create', user }), asked('1', { quorum: 2 }), asked('2')], by('admin')))
        .accepted,
    );
    assert.ok((await slow.execute([approve('1', 'bob')], by('bob'))).accepted);
    between(() => other.execute([out], by('admin')));
    const outcome = await slow.execute([approve('2', 'bob')], by('bob'));
    assert.ok(!outcome.accepted && outcome.rejection.code === 'APPROVAL_UNKNOWN');
    await slow.execute([approve('1', 'cleo')], by('cleo'));
    assert.equal(slow.state.approval('1').status, 'pending', 'one of the two has left');
    await slow.execute([approve('1', 'dora')], by('dora'));
    const approved = slow.state.approval('1');
    assert.ok(approved.status === 'approved');
    assert.deepEqual(approved.by, ['cleo', 'dora']);
  }));

test('a rule that asks for more people by now is asked as well', () =>
  withReplicas(async (slow, other, between) => {
    assert.ok((await slow.execute([applyGuard('one'), asked('1')], by('admin'))).accepted);
    between(() => other.execute([applyGuard('two', 2)], by('admin')));
    await slow.execute([approve('1', 'cleo')], by('cleo'));
    assert.equal(slow.state.approval('1').status, 'pending');
    await slow.execute([approve('1', 'dora')], by('dora'));
    assert.equal(slow.state.approval('1').status, 'approved');
  }));

test('several changes of one request that look at each other’s kinds count together', () =>
  withReplicas(async slow => {
    const looking = (message: string) => ({ ...applyGuard(message), looksAt: ['guard', 'user'] });
    const second = { ...looking('x'), stream: 'guard/other' };
    const before = slow.position;
    assert.ok((await slow.execute([looking('a'), second], by('ann'))).accepted);
    assert.equal(slow.position, before + 2n, 'in one round');
    assert.equal(slow.state.kindVersion('guard'), 2n);
  }));
