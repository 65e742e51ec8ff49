/** What this protocol can enforce. A policy that asks for more is refused at admission, with the rule that asks for it. */
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';

export const POSTGRES_DEPTH: EnforcementDepth = {
  statements: true,
  columnMasking: true,
  detectors: true,
  approvals: true,
  preview: true,
  budgets: true,
  predicates: true,
  estimates: true,
  capture: ['none', 'digest', 'head', 'full'],
};
