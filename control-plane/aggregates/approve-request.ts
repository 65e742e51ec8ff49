/**
 * The request to approve, made of the state that it is decided on: who has shaped the policy, who was taken out of the directory or of a
 * group of it, how the rule reads now. None of it may be older than the approval itself, so the event says at which state it was decided
 * (control-log.ts, `looksAt`), and a change that gets in between has it decided again, at whatever replica.
 */
import type { ApprovalSpec, Manifest } from '@sallyport/shared/policy/model.ts';
import { accountSecretAggregate } from './account-secret.ts';
import type { ApprovalQuestion, ApprovalRequest, Approver } from './approval.ts';
import { type Rejection, reject } from './decider.ts';
import { groupAggregate } from './group.ts';
import { manifestKinds } from './manifest.ts';
import { policyAuthors, shapesAudit } from './policy-authors.ts';
import type { Projection } from './projection.ts';
import { sshKeyAggregate } from './ssh-key.ts';
import { userAggregate } from './user.ts';

/** Kinds of streams that decide whether somebody's approval counts. */
export const approvingLooksAt: readonly string[] = [
  manifestKinds.Resource,
  manifestKinds.Guard,
  manifestKinds.DataPolicy,
  manifestKinds.AuditPolicy,
  manifestKinds.Role,
  manifestKinds.IdentityProvider,
  manifestKinds.ServiceAccount,
  accountSecretAggregate.name,
  sshKeyAggregate.name,
  userAggregate.name,
  groupAggregate.name,
];

export function approveRequest(all: Projection, id: string, asked: Approver, nowMs: number): ApprovalRequest | Rejection {
  const groupsNow = ({ name, issuer, subject, groups }: Approver) =>
    all.asInDirectory({ kind: 'person', name, issuer, subject, groups, delegation: [] }).groups;
  const approver = { ...asked, groups: groupsNow(asked) };
  const approval = all.approval(id);
  const question = approval.status === 'unknown' ? undefined : approval.question;
  if (question?.access !== undefined && shapesAudit(all, question.principal, question.resource, nowMs)) {
    return reject(
      'AUDIT_OWN',
      'denied',
      'Who asks has had a hand in how this resource is audited: whoever is audited does not decide how, so this access cannot be given.',
    ).rejection;
  }
  const earlier = approval.status === 'pending' ? approval.approvers : [];
  return {
    type: 'approve',
    approver,
    policyAuthors: policyAuthors(all, id, approver, nowMs),
    keptOut: [...earlier, approver].filter(({ name }) => all.isBlocked(name)).map(({ name }) => name),
    earlierGroups: earlier.map(groupsNow),
    ruleNow: question === undefined ? null : ruleNow(all, question),
  };
}

/** Who must approve by the policy as it is now; null: the rule is not there any more, and the question stands as it was asked. */
function ruleNow(all: Projection, { rule, resource, access }: ApprovalQuestion): { groups: string[]; quorum: number } | null {
  const spec = (): ApprovalSpec | undefined => {
    if (access !== undefined) return (all.manifest('Role', access.role)?.manifest as Manifest<'Role'> | undefined)?.spec.requests?.approval;
    if (rule === 'unknown') return (all.manifest('Resource', resource)?.manifest as Manifest<'Resource'> | undefined)?.spec.approval;
    const slash = rule.indexOf('/');
    const [name, part] = [rule.slice(0, Math.max(0, slash)), rule.slice(slash + 1)];
    const guard = all.manifest('Guard', name)?.manifest as Manifest<'Guard'> | undefined;
    const asked = guard?.spec.rules.find(each => each.name === part);
    if (asked !== undefined) return asked.approval;
    return (all.manifest('DataPolicy', name)?.manifest as Manifest<'DataPolicy'> | undefined)?.spec.approval;
  };
  const found = spec();
  return found === undefined ? null : { groups: found.from.groups, quorum: found.quorum };
}
