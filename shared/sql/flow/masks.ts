/**
 * From labels to masks: a plain column is masked by its own rule, whatever is computed from a protected column whole. Every
 * output column's mask is decided here and nowhere else.
 */
import type { MaskKind } from '../../policy/model.ts';
import type { FlowColumn, FlowResult } from './result.ts';
import { isSystemLabel } from './system-columns.ts';

export interface LabelRule {
  action: 'mask' | 'deny';
  as: MaskKind;
  rule: string;
}

/** The rule of a protected column by its label (`schema.table.column`); undefined for labels that no policy made. */
export type RuleOf = (label: string) => LabelRule | undefined;

export type ColumnMask =
  | { mask: null } // send it as it is
  | { mask: MaskKind; whole: boolean; labels: readonly string[]; rules: readonly string[] }
  | { denied: true; labels: readonly string[]; rules: readonly string[] };

/** What happens to one output column. */
export function columnMask(column: Pick<FlowColumn, 'labels' | 'plains'>, ruleOf: RuleOf): ColumnMask {
  if (column.labels.size === 0) return { mask: null };
  const labels = [...column.labels];
  const found = labels.map(label => ruleOf(label));
  const rules = [...new Set(found.flatMap(rule => (rule === undefined ? [] : [rule.rule])))];
  if (found.some(rule => rule?.action === 'deny')) return { denied: true, labels, rules };
  const kinds = new Set(found.map(rule => rule?.as ?? 'redact'));
  const [only] = kinds;
  // Unchanged from columns that have one mask between them: that mask. Anything else could be taken apart.
  if (column.plains !== null && kinds.size === 1 && only !== undefined && found.every(rule => rule !== undefined))
    return { mask: only, whole: false, labels, rules };
  return { mask: 'redact', whole: true, labels, rules };
}

/** The masks of a result's columns, in order; null when the statement returns no rows. */
export function columnMasks(result: FlowResult, ruleOf: RuleOf): ColumnMask[] | null {
  return result.columns?.map(column => columnMask(column, ruleOf)) ?? null;
}

/** What may be asked of a system column that holds values: nothing of statistics, anything of statements of other sessions. */
export function systemPredicate(label: string): 'allow' | 'deny' | undefined {
  if (!isSystemLabel(label)) return undefined;
  return label === 'pg_catalog.pg_stat_activity.query' ? 'allow' : 'deny';
}
