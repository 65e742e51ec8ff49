/**
 * The seat of the information-flow analysis: what an output column may be made of, said before the statement runs.
 *
 * RowDescription's origin (table and column) is the other witness. Where both speak, the stricter wins (row-plan.ts).
 */
import type { ColumnRule } from '@sallyport/shared/policy/decide.ts';

/** What reaches one output column. */
export type ColumnVerdict =
  | { kind: 'clear' } // nothing protected
  | { kind: 'plain'; rule: ColumnRule; column: string } // the protected column itself: masked by its own rule
  | { kind: 'computed'; rule: ColumnRule; columns: readonly string[] }; // made from protected columns: masked whole

/** The verdict over one statement's result. `unknown`: not analysed; RowDescription's origin alone decides. */
export type ResultVerdict = { kind: 'unknown' } | { kind: 'columns'; columns: readonly ColumnVerdict[] };

export const UNKNOWN_RESULT: ResultVerdict = { kind: 'unknown' };
