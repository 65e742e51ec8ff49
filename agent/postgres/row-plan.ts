/**
 * What happens to each column of a result: passes, is masked whole, or is scanned by detectors. Made once per RowDescription and
 * kept by its bytes; rows are then handled without another look at policy.
 */
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import type { ColumnRule } from '@sallyport/shared/policy/decide.ts';
import type { PolicyInForce } from '../session/lease-state.ts';
import type { Catalog } from './catalog.ts';
import type { ResultVerdict } from './flow.ts';
import type { MaskedColumn, ScannedColumn } from './mask-value.ts';
import type { FieldDescription } from './messages.ts';
import { shapeOf } from './types.ts';

export const Action = { Pass: 0, Mask: 1, Scan: 2 } as const;

export interface RowPlan {
  /** By column. */
  readonly actions: Uint8Array;
  readonly masks: readonly (MaskedColumn | null)[];
  readonly scans: readonly (ScannedColumn | null)[];
  readonly dataClasses: readonly string[];
  readonly names: readonly string[];
  /** No column is masked or scanned: rows pass without being looked into. */
  readonly untouched: boolean;
  /** Columns are scanned only: rows in a stretch of bytes without candidates pass without being looked into. */
  readonly scanOnly: boolean;
  readonly detectors: DetectorSet | null;
}

export type PlanOutcome =
  | { kind: 'plan'; plan: RowPlan }
  | { kind: 'unknownTable'; oid: number }
  | { kind: 'denied'; rule: ColumnRule; column: string };

export interface PlanContext {
  inForce: PolicyInForce;
  catalog: Catalog | null;
  maskKey: Uint8Array;
  utf8: boolean;
  /** The unknown tables were looked up and are not there: what comes from them is masked whole. */
  tablesSettled: boolean;
}

/** `unknown table`: the strictest rule that any table could have. */
const ANY = '*';

export function planRows(fields: readonly FieldDescription[], verdict: ResultVerdict, context: PlanContext): PlanOutcome {
  const { inForce, catalog, maskKey, utf8 } = context;
  const { policy, detectors } = inForce;
  const actions = new Uint8Array(fields.length);
  const masks: (MaskedColumn | null)[] = new Array(fields.length).fill(null);
  const scans: (ScannedColumn | null)[] = new Array(fields.length).fill(null);
  const dataClasses: string[] = new Array(fields.length).fill('');
  let masked = 0;
  let scanned = 0;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as FieldDescription;
    const shape = catalog?.isCitext(field.typeOid) === true ? 'text' : shapeOf(field.typeOid);
    const binary = field.format === 1;
    let rule: ColumnRule | null = null;
    let source = '';
    if (policy.hasColumnRules && field.tableOid !== 0) {
      const relation = catalog?.relation(field.tableOid);
      if (relation === undefined) {
        if (!context.tablesSettled) return { kind: 'unknownTable', oid: field.tableOid };
        rule = policy.column(ANY, ANY, field.name);
        source = `*.*.${field.name}`;
      } else if (field.columnNumber > 0) {
        const column = relation.columns[field.columnNumber];
        if (column === undefined && !context.tablesSettled) return { kind: 'unknownTable', oid: field.tableOid };
        const origin = catalog?.originsOf(field.tableOid, field.columnNumber, verdict.kind === 'unknown') ?? [];
        for (const each of origin) {
          const found = policy.column(each.schema, each.table, each.column);
          if (found !== null && (rule === null || stricter(found, rule))) {
            rule = found;
            source = `${each.schema}.${each.table}.${each.column}`;
          }
        }
      }
    }
    const flow = verdict.kind === 'columns' ? verdict.columns[i] : undefined;
    if (flow !== undefined && flow.kind !== 'clear' && (rule === null || stricter(flow.rule, rule))) {
      rule = flow.rule;
      source = flow.kind === 'plain' ? flow.column : (flow.columns[0] ?? '');
    }
    if (rule !== null && rule.action === 'deny') return { kind: 'denied', rule, column: source };
    if (rule !== null) {
      actions[i] = Action.Mask;
      // What is computed from a protected value keeps nothing of it.
      const as = flow?.kind === 'computed' && rule.as === 'partial' ? 'redact' : rule.as;
      masks[i] = { shape, binary, as, hint: field.name, key: maskKey, utf8 };
      dataClasses[i] = `column:${source}`;
      masked++;
    } else if (detectors !== null && shape !== 'never' && shape !== 'uuid' && shape !== 'date') {
      actions[i] = Action.Scan;
      scans[i] = { shape, binary, detectors, as: policy.detectorMask, key: maskKey };
      scanned++;
    }
  }
  return {
    kind: 'plan',
    plan: {
      actions,
      masks,
      scans,
      dataClasses,
      names: fields.map(field => field.name),
      untouched: masked + scanned === 0,
      // bytea's text form hides its contents from a look at the wire.
      scanOnly: masked === 0 && scanned > 0 && !scans.some(scan => scan !== null && scan.shape === 'bytea' && !scan.binary),
      detectors,
    },
  };
}

/** A result without columns, and the answer to commands that return none. */
export function passingPlan(names: readonly string[]): RowPlan {
  const none = new Array<null>(names.length).fill(null);
  return {
    actions: new Uint8Array(names.length),
    masks: none,
    scans: none,
    dataClasses: names.map(() => ''),
    names,
    untouched: true,
    scanOnly: false,
    detectors: null,
  };
}

const MASK_ORDER = ['partial', 'fake', 'hash', 'redact', 'null'] as const;

function stricter(a: ColumnRule, b: ColumnRule): boolean {
  if (a.action !== b.action) return a.action === 'deny';
  return MASK_ORDER.indexOf(a.as) > MASK_ORDER.indexOf(b.as);
}
