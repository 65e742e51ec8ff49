/**
 * What happens to each column of a result: passes, is masked whole, or is scanned by detectors. Made once per RowDescription and
 * kept by its bytes; rows are then handled without another look at policy.
 */
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import type { ColumnRule } from '@sallyport/shared/policy/decide.ts';
import type { MaskKind } from '@sallyport/shared/policy/model.ts';
import type { PolicyInForce } from '../session/lease-state.ts';
import type { CatalogIndex } from './catalog-index.ts';
import type { ColumnVerdict, ResultVerdict } from './flow.ts';
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
  /** What records get instead of what the client gets; null: the same. */
  recorded: RowPlan | null;
}

export type PlanOutcome =
  | { kind: 'plan'; plan: RowPlan }
  | { kind: 'unknownTable'; oid: number }
  | { kind: 'denied'; rule: string; column: string };

export interface PlanContext {
  inForce: PolicyInForce;
  catalog: CatalogIndex | null;
  maskKey: Uint8Array;
  utf8: boolean;
  /** The unknown tables were looked up and are not there: what comes from them is masked whole. */
  tablesSettled: boolean;
  /** The session has made tables that the catalog does not hold. */
  ownTables: boolean;
  /** Columns that may not be read are masked whole instead of refused: for rows that nobody asked to read. */
  withholdsDenied?: boolean;
  /** Told when flow analysis and RowDescription disagree on where a column comes from. */
  onConflict: () => void;
}

/** `unknown table`: the strictest rule that any table could have. */
const ANY = '*';

interface Masking {
  as: MaskKind;
  source: string;
}

type Judgement =
  | { kind: 'mask'; masking: Masking }
  | { kind: 'pass' }
  | { kind: 'denied'; rule: string; column: string }
  | { kind: 'unknownTable' };

const PASS: Judgement = { kind: 'pass' };

/** What becomes of one column: the stricter of what flow analysis says and what RowDescription's origin says. */
function judgeColumn(field: FieldDescription, flow: ColumnVerdict | undefined, predicted: boolean, context: PlanContext): Judgement {
  const { inForce, catalog } = context;
  const { policy } = inForce;
  if (!policy.hasColumnRules) return PASS;
  let masking: Masking | null = null;
  const add = (as: MaskKind, source: string) => {
    if (masking === null || MASK_ORDER.indexOf(as) > MASK_ORDER.indexOf(masking.as)) masking = { as, source };
  };
  const addRule = (rule: ColumnRule, source: string): Judgement | null => {
    if (rule.action === 'deny') return { kind: 'denied', rule: rule.rule, column: source };
    add(rule.as, source);
    return null;
  };
  if (flow !== undefined) {
    if ('denied' in flow.mask) return { kind: 'denied', rule: flow.mask.rules[0] ?? 'flow', column: flow.mask.labels.join(', ') };
    if (flow.mask.mask !== null) add(flow.mask.mask, flow.mask.labels[0] ?? 'computed');
  }
  // A table that this session has made is not in the catalog, and flow analysis has said what is in it.
  const own = context.ownTables && flow?.witness === null;
  if (field.tableOid !== 0) {
    const relation = catalog?.relation(field.tableOid);
    const column = relation?.columns[field.columnNumber];
    if (relation === undefined || (column === undefined && field.columnNumber > 0)) {
      if (own) return masking === null ? PASS : { kind: 'mask', masking };
      if (!context.tablesSettled) return { kind: 'unknownTable' };
      const rule = policy.column(ANY, ANY, field.name);
      const denied = rule === null ? null : addRule(rule, `*.*.${field.name}`);
      if (denied !== null) return denied;
    } else {
      // A whole row is all of its columns; a system column (below 0) is none that a policy could name.
      const numbers = field.columnNumber === 0 ? [...relation.columns.keys()] : column === undefined ? [] : [field.columnNumber];
      for (const number of numbers) {
        for (const each of catalog?.originsOf(field.tableOid, number, !predicted) ?? []) {
          const rule = policy.column(each.schema, each.table, each.column);
          const denied = rule === null ? null : addRule(rule, `${each.schema}.${each.table}.${each.column}`);
          if (denied !== null) return denied;
        }
      }
    }
  }
  if (predicted && conflicts(field, flow, catalog)) {
    // One of the two witnesses is wrong, so neither can be believed when it says that nothing is protected.
    context.onConflict();
    add('redact', 'witnesses disagree');
  }
  return masking === null ? PASS : { kind: 'mask', masking };
}

/**
 * Do the witnesses contradict each other in a way that leaves open what the value is? Where RowDescription names a column of a
 * table, the value is that column's, whatever was predicted, and that column's rule has been applied. Views and computed
 * columns are known by flow analysis alone.
 */
function conflicts(field: FieldDescription, flow: ColumnVerdict | undefined, catalog: CatalogIndex | null): boolean {
  if (flow === undefined) return true; // a column more than was predicted
  const { witness } = flow;
  if (witness === undefined) return false;
  if (field.tableOid === 0) return witness !== null;
  if (catalog?.relation(field.tableOid)?.derived === false) return false;
  return witness === null || field.tableOid !== witness.relation || field.columnNumber !== witness.attnum;
}

/**
 * Makes the plan of a result.
 *
 * @param verdict what flow analysis says of the statement's columns.
 */
export function planRows(fields: readonly FieldDescription[], verdict: ResultVerdict, context: PlanContext): PlanOutcome {
  const masking: (Masking | null)[] = [];
  for (const [i, field] of fields.entries()) {
    const predicted = verdict.kind === 'columns';
    const flow = verdict.kind === 'columns' ? (verdict.columns[i] ?? verdict.rest ?? undefined) : undefined;
    const judgement = judgeColumn(field, flow, predicted, context);
    if (judgement.kind === 'denied') {
      if (context.withholdsDenied !== true) return judgement;
      masking.push({ as: 'null', source: judgement.column });
      continue;
    }
    if (judgement.kind === 'unknownTable') return { kind: 'unknownTable', oid: field.tableOid };
    masking.push(judgement.kind === 'mask' ? judgement.masking : null);
  }
  const { inForce } = context;
  const plan = compose(fields, masking, inForce.detectors, inForce.policy.detectorMask, context);
  const { recording } = inForce;
  // Columns are not masked for those who are exempt; their records hold no rows of protected tables at all (relay.ts), and of
  // other rows only what detectors let through.
  if (recording !== null) {
    const recorded = compose(fields, masking, recording.detectors, recording.policy.detectorMask, context);
    if (!recorded.untouched) plan.recorded = recorded;
  }
  return { kind: 'plan', plan };
}

function compose(
  fields: readonly FieldDescription[],
  masking: readonly (Masking | null)[],
  detectors: DetectorSet | null,
  detectorMask: MaskKind,
  { catalog, maskKey, utf8 }: PlanContext,
): RowPlan {
  const actions = new Uint8Array(fields.length);
  const masks: (MaskedColumn | null)[] = new Array(fields.length).fill(null);
  const scans: (ScannedColumn | null)[] = new Array(fields.length).fill(null);
  const dataClasses: string[] = new Array(fields.length).fill('');
  let masked = 0;
  let scanned = 0;
  for (const [i, field] of fields.entries()) {
    const shape = catalog?.isCitext(field.typeOid) === true ? 'text' : shapeOf(field.typeOid);
    const binary = field.format === 1;
    const mask = masking[i];
    if (mask !== null && mask !== undefined) {
      actions[i] = Action.Mask;
      masks[i] = { shape, binary, as: mask.as, hint: field.name, key: maskKey, utf8 };
      dataClasses[i] = `column:${mask.source}`;
      masked++;
    } else if (detectors !== null && shape !== 'never' && shape !== 'uuid' && shape !== 'date') {
      actions[i] = Action.Scan;
      scans[i] = { shape, binary, detectors, as: detectorMask, key: maskKey };
      scanned++;
    }
  }
  return {
    actions,
    masks,
    scans,
    dataClasses,
    names: fields.map(field => field.name),
    untouched: masked + scanned === 0,
    // bytea's text form hides its contents from a look at the wire.
    scanOnly: masked === 0 && scanned > 0 && !scans.some(scan => scan !== null && scan.shape === 'bytea' && !scan.binary),
    detectors,
    recorded: null,
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
    recorded: null,
  };
}

const MASK_ORDER = ['partial', 'fake', 'hash', 'redact', 'null'] as const;
