/**
 * Compares what the policy of a session asks for with what its protocol can enforce. What cannot be enforced is not skipped:
 * the session is refused, and the reason names the rule.
 */
import type { CompiledDataPolicy, CompiledResource, CompiledRule } from './compile.ts';
import type { EnforcementDepth } from './decision.ts';
import { strictestAudit } from './strictness.ts';

/** For whoever asks about policy alone: what the protocol can do is the agent's to judge, which knows it. */
export const EVERY_DEPTH: EnforcementDepth = {
  statements: true,
  columnMasking: true,
  detectors: true,
  approvals: true,
  preview: true,
  budgets: true,
  predicates: true,
  host: true,
  estimates: true,
  capture: ['none', 'digest', 'head', 'full'],
};

/**
 * @param rules, data those that apply to this principal (conditions about the principal alone are already decided, exempt
 *   policies left out).
 * @returns the first thing that is asked for and cannot be enforced, or null.
 */
export function missingDepth(
  resource: CompiledResource,
  rules: readonly CompiledRule[],
  data: readonly CompiledDataPolicy[],
  depth: EnforcementDepth,
): string | null {
  const cannot = (rule: string, what: string) => `${rule} needs ${what}, which protocol ${resource.spec.protocol} cannot enforce here`;
  for (const rule of rules) {
    const name = `guard rule ${rule.name}`;
    if (!depth.statements) return cannot(name, 'commands to be understood');
    if (rule.action === 'hold' && !depth.approvals) return cannot(name, 'approvals');
    if (rule.action === 'hold' && rule.source.approval?.preview === true && !depth.preview) return cannot(name, 'previews');
    if (rule.maxRows !== null && depth.estimates !== true) return cannot(name, 'row estimates');
    if (rule.shell !== null && depth.host !== true) return cannot(name, 'programs, paths or connections to be known');
  }
  if (resource.spec.unknown === 'hold' && !depth.approvals) return cannot('`unknown: hold` of the resource', 'approvals');
  if (resource.spec.unknown === 'hold' && resource.spec.approval?.preview === true && !depth.preview) {
    return cannot('`unknown: hold` of the resource', 'previews');
  }
  for (const policy of data) {
    for (const column of policy.columns) {
      if (column.action === 'allow') continue;
      const name = `data policy rule ${column.name}`;
      if (!depth.columnMasking) return cannot(name, 'column rules');
      const predicates = [column.predicates.equality, column.predicates.other];
      if (predicates.some(each => each === 'deny' || each === 'hold') && !depth.predicates) return cannot(name, 'rules about predicates');
      if (predicates.includes('hold') && !depth.approvals) return cannot(name, 'approvals');
    }
    if (policy.detectors.length > 0 && !depth.detectors) return cannot(`data policy ${policy.name}`, 'detectors');
  }
  const { responses } = strictestAudit(resource.auditPolicies);
  if (!depth.capture.includes(responses)) return cannot('the audit policy', `responses to be captured as \`${responses}\``);
  return null;
}
