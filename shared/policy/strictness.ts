/**
 * Which of two answers is the stricter, for every choice that several policies may make about the same thing. Strictest wins:
 * adding a policy can take away, never give.
 */
import type { ApprovalSpec, AuditPolicySpec, MaskKind, PredicateAction } from './model.ts';

/** Strictest first: what leaves less of the value. `hash` keeps equality, `fake` the shape, `partial` some characters. */
export const MASK_KINDS: readonly MaskKind[] = ['null', 'redact', 'hash', 'fake', 'partial'];
export const PREDICATE_ACTIONS: readonly PredicateAction[] = ['deny', 'hold', 'record', 'allow'];
export const DURABILITIES: readonly AuditPolicySpec['durability'][] = ['strict', 'buffered'];
/** Here the strictest is what keeps most evidence. */
export const RESPONSE_CAPTURES: readonly AuditPolicySpec['responses'][] = ['full', 'head', 'digest', 'none'];

function stricter<T>(order: readonly T[], a: T, b: T): T {
  const rankA = order.indexOf(a);
  const rankB = order.indexOf(b);
  // A word that is not in the order comes from a newer control plane: it stands for the strictest that is known here.
  if (rankA < 0 || rankB < 0) return order[0] ?? a;
  return rankA <= rankB ? a : b;
}

export function strictestMask(a: MaskKind, b: MaskKind): MaskKind {
  return stricter(MASK_KINDS, a, b);
}

export function strictestPredicate(a: PredicateAction, b: PredicateAction): PredicateAction {
  return stricter(PREDICATE_ACTIONS, a, b);
}

/** What satisfies both: every group of either, the larger quorum of each, the shorter time. */
export function strictestApproval(a: ApprovalSpec, b: ApprovalSpec): ApprovalSpec {
  return {
    from: { groups: [...new Set([...a.from.groups, ...b.from.groups])] },
    quorum: Math.max(a.quorum, b.quorum),
    expiresInMs: Math.min(a.expiresInMs, b.expiresInMs),
    preview: a.preview || b.preview,
  };
}

/** What applies where no audit policy does; durable before released, and the beginning of each response kept. */
export const DEFAULT_AUDIT: AuditPolicySpec = { resources: {}, durability: 'strict', responses: 'head', headBytes: 65_536 };

/** The strictest of every field; an empty list gives the default. */
export function strictestAudit(policies: readonly AuditPolicySpec[]): AuditPolicySpec {
  const [first, ...rest] = policies;
  if (first === undefined) return DEFAULT_AUDIT;
  const audit = { ...first, resources: {} };
  for (const each of rest) {
    audit.durability = stricter(DURABILITIES, audit.durability, each.durability);
    audit.responses = stricter(RESPONSE_CAPTURES, audit.responses, each.responses);
    audit.headBytes = Math.max(audit.headBytes, each.headBytes);
    const retentionMs = Math.max(audit.retentionMs ?? 0, each.retentionMs ?? 0);
    if (retentionMs > 0) audit.retentionMs = retentionMs;
    if (each.erasable === true) audit.erasable = true;
  }
  return audit;
}
