/** The answer of one person to one approval, whichever way it came: the aggregate decides whether it counts. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { type Approver, approvalAggregate } from '../aggregates/approval.ts';
import { approveRequest, approvingLooksAt } from '../aggregates/approve-request.ts';
import { action, type ControlLog, informedAction, type Provenance } from '../aggregates/control-log.ts';

/** @throws {GatewayError} APPROVAL_NEEDS_PERSON, or why the answer does not count. */
export async function answerApproval(
  { control, clock }: { control: ControlLog; clock: () => number },
  { id, answer, principal, reason }: { id: string; answer: 'approve' | 'deny'; principal: Principal; reason: string },
  provenance: Provenance,
): Promise<void> {
  if (principal.kind !== 'person')
    throw new GatewayError('APPROVAL_NEEDS_PERSON', 'denied', 'An approval needs a person: workloads do not approve.');
  if (principal.delegation.length > 0)
    throw new GatewayError('APPROVAL_NEEDS_PERSON', 'denied', 'An approval needs the person: whoever acts for them does not approve.');
  const { name, issuer, subject, groups } = principal;
  const approver: Approver = { name, issuer, subject, groups, reason, atMs: clock() };
  const answered =
    answer === 'deny'
      ? action(approvalAggregate, id, { type: 'deny', approver })
      : informedAction(approvalAggregate, id, approvingLooksAt, all => approveRequest(all, id, approver, clock()));
  const outcome = await control.execute([answered], provenance);
  if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
}
