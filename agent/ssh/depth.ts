/** What this protocol can enforce. A policy that asks for more is refused at admission, with the rule that asks for it. */
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';

export const SSH_DEPTH: EnforcementDepth = {
  statements: true,
  columnMasking: false,
  detectors: true,
  approvals: true,
  preview: false,
  predicates: false,
  budgets: 'bytes',
  host: true,
  capture: ['none', 'digest', 'head', 'full'],
};
