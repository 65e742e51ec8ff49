/**
 * Which errors of a statement that touches protected columns may be shown as the server made them: those whose words cannot come
 * from a row. They are known by what the server itself says of where an error was raised, which no SQL can set:
 *
 * - a position in the client's own text, without a context: the error was found before anything was run;
 * - texts that are the same for every value;
 * - what names of tables, columns and constraints alone are put into, by the routine that raised it.
 *
 * What constraints add to that, a key or a whole row, is shown where it holds nothing protected. Everything else is not known here.
 *
 * @see https://www.postgresql.org/docs/current/protocol-error-fields.html
 */
import { type ErrorField, errorField } from '../messages.ts';

/** Raised with names alone in the message: SQLSTATE and routine. */
const NAMES_ONLY: ReadonlySet<string> = new Set([
  '00000 DropErrorMsgNonExistent',
  '00000 does_not_exist_skipping',
  '23502 ReportNotNullViolationError',
  '23502 ExecConstraints',
  '23503 ri_ReportViolation',
  '23505 _bt_check_unique',
  '23514 ExecConstraints',
  '23P01 check_exclusion_or_unique_constraint',
  '25006 PreventCommandIfReadOnly',
  '2BP01 reportDependentObjects',
  '42501 aclcheck_error',
  '42701 check_for_column_name_collision',
  '42701 CopyGetAttnums',
  '42703 ATExecDropColumn',
  '42704 ATExecDropConstraint',
  '42703 CopyGetAttnums',
  '42712 checkNameSpaceConflicts',
  '42809 DropErrorMsgWrongType',
  '42P01 DropErrorMsgNonExistent',
  '42P07 heap_create_with_catalog',
  '42P16 index_check_primary_key',
  '42P07 index_create',
]);

/** Their DETAIL shows a key, or a whole row. */
const SHOWS_VALUES: ReadonlySet<string> = new Set(['23502', '23503', '23505', '23514', '23P01']);

/** The same for every value: by SQLSTATE. */
const FIXED: Readonly<Record<string, readonly string[]>> = {
  '21000': ['more than one row returned by a subquery used as an expression'],
  '22003': ['smallint out of range', 'integer out of range', 'bigint out of range'],
  '22012': ['division by zero'],
  '2201W': ['LIMIT must not be negative'],
  '2201X': ['OFFSET must not be negative'],
  '25P02': ['current transaction is aborted, commands ignored until end of transaction block'],
  '40001': ['could not serialize access due to concurrent update', 'could not serialize access due to concurrent delete'],
  '55P03': ['canceling statement due to lock timeout'],
  '57014': ['canceling statement due to user request', 'canceling statement due to statement timeout'],
};

export interface ErrorScope {
  /** The statement inserts rows of the client's own and changes none that is there. */
  ownRows: boolean;
  /** Names of all columns that hold protected values, in any table; null: not known. */
  protectedColumns: () => ReadonlySet<string> | null;
}

/** @returns what of the error may be shown; null when that is not known. */
export function valueFree(fields: readonly ErrorField[], scope: ErrorScope): readonly ErrorField[] | null {
  const has = (code: string): boolean => errorField(fields, code) !== '';
  // What a function, a trigger or a statement inside of one has raised.
  if (has('W') || has('q') || has('p')) return null;
  if (has('P')) return fields;
  const code = errorField(fields, 'C');
  const detail = errorField(fields, 'D');
  if (FIXED[code]?.includes(errorField(fields, 'M')) === true && detail === '' && !has('H')) return fields;
  if (!NAMES_ONLY.has(`${code} ${errorField(fields, 'R')}`)) return null;
  if (!SHOWS_VALUES.has(code) || detail === '') return fields;
  const isRow = detail.startsWith('Failing row contains (');
  const mayBeShown = isRow ? scope.ownRows : isUnprotectedKey(detail, scope.protectedColumns());
  return mayBeShown ? fields : fields.filter(([field]) => field !== 'D');
}

/** `Key (id, name)=(1, x) …`, of plain columns none of which is protected anywhere. An expression's key is not known. */
function isUnprotectedKey(detail: string, protectedColumns: ReadonlySet<string> | null): boolean {
  if (protectedColumns === null || !detail.startsWith('Key (')) return false;
  const end = detail.indexOf(')=(');
  if (end < 0) return false;
  return detail
    .slice('Key ('.length, end)
    .split(', ')
    .every(name => isPlainName(name) && !protectedColumns.has(name));
}

function isPlainName(name: string): boolean {
  return /^[a-z0-9_]+$/.test(name);
}
