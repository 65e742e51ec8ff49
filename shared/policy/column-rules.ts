/**
 * What protects a column, over all data policies that apply to a session. The strictest answer wins: deny, then the masks from
 * `null` to `partial`. An `allow` with an exact name lifts the wildcard rules of its own policy, and nothing else.
 */
import type { CompiledColumnRule, CompiledDataPolicy } from './compile.ts';
import type { ApprovalSpec, MaskKind, PredicateRule } from './model.ts';
import { matchName } from './patterns.ts';
import { strictestMask, strictestPredicate } from './strictness.ts';

export interface ColumnRule {
  action: 'mask' | 'deny';
  as: MaskKind; // the strictest mask of all rules that match, also where the action is deny
  rule: string; // `policy/pattern` of the rule that won
  predicates: PredicateRule; // the strictest of each
  /** Who releases what `predicates: hold` holds; present when either predicate is `hold`. */
  approval?: ApprovalSpec;
}

export interface ColumnRules {
  any: boolean;
  find: (schema: string, table: string, column: string) => ColumnRule | null;
}

/** Answers are kept: a session asks for the same columns again and again. */
const KEPT_MAX = 4096;

export function columnRules(policies: readonly CompiledDataPolicy[]): ColumnRules {
  const protecting = policies.filter(policy => policy.columns.some(rule => rule.action !== 'allow'));
  if (protecting.length === 0) return { any: false, find: () => null };
  const kept = new Map<string, ColumnRule | null>();
  return {
    any: true,
    find(schema, table, column) {
      const key = `${schema}\u0000${table}\u0000${column}`;
      const known = kept.get(key);
      if (known !== undefined) return known;
      const found = strictest(protecting.flatMap(policy => rulesOf(policy, [schema, table, column])));
      if (kept.size >= KEPT_MAX) kept.clear();
      kept.set(key, found);
      return found;
    },
  };
}

function rulesOf(policy: CompiledDataPolicy, name: readonly string[]): CompiledColumnRule[] {
  const allowed = policy.columns.some(rule => rule.action === 'allow' && rule.pattern.exact && matchName(rule.pattern, name) === 'yes');
  return policy.columns.filter(
    rule => rule.action !== 'allow' && !(allowed && !rule.pattern.exact) && matchName(rule.pattern, name) !== 'no',
  );
}

function strictest(rules: readonly CompiledColumnRule[]): ColumnRule | null {
  const [first, ...rest] = rules;
  if (first === undefined) return null;
  let winner = first;
  let { as, predicates } = first;
  for (const rule of rest) {
    const stricter = strictestMask(as, rule.as);
    const wins = rule.action === 'deny' ? winner.action !== 'deny' : winner.action !== 'deny' && stricter !== as;
    if (wins) winner = rule;
    as = stricter;
    predicates = {
      equality: strictestPredicate(predicates.equality, rule.predicates.equality),
      other: strictestPredicate(predicates.other, rule.predicates.other),
    };
  }
  const holding = [winner, ...rules].find(rule => rule.approval !== undefined && holds(rule.predicates));
  const approval = holds(predicates) ? holding?.approval : undefined;
  return {
    action: winner.action === 'deny' ? 'deny' : 'mask',
    as,
    rule: winner.name,
    predicates,
    ...(approval === undefined ? {} : { approval }),
  };
}

function holds({ equality, other }: PredicateRule): boolean {
  return equality === 'hold' || other === 'hold';
}
