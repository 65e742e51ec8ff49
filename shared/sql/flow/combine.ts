/** One decision of two: what guards say of a command, and what information flow says of it. */
import type { Decision } from '../../policy/decision.ts';
import { strictestApproval } from '../../policy/strictness.ts';
import type { FlowJudgement } from './judge-flow.ts';

/**
 * A guard's refusal says more than what flow analysis would say; its permission says less.
 *
 * @param flow null: no column rule applies.
 */
export function combineDecisions(guard: Decision, flow: FlowJudgement | null): Decision {
  if (guard.action === 'deny' || flow === null) return guard;
  if (flow.refusal !== null) return { action: 'deny', ...flow.refusal };
  if (flow.hold === null) return guard;
  return guard.action === 'hold' ? bothHold(guard, flow.hold) : { action: 'hold', ...flow.hold };
}

/** A guard holds it, and so does a predicate on a protected column: whoever answers must answer both. */
function bothHold(guard: Decision & { action: 'hold' }, flow: NonNullable<FlowJudgement['hold']>): Decision {
  return {
    ...guard,
    reason: `${guard.reason}; ${flow.reason}`,
    message: `${guard.message} ${flow.message}`,
    approval: strictestApproval(guard.approval, flow.approval),
  };
}
