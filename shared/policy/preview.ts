/**
 * What approvers are shown of a held command's effect: how many rows it would change, and some of them before and after.
 *
 * An agent makes it, with every value masked as records hold it; it travels as JSON, is an event of the control plane, and is
 * shown by CLI, console and channels. It says why whenever something of it is missing: an empty preview is never just empty.
 */

/** Some rows, values as text; null is SQL's NULL. A value that was cut ends in `…`. */
export interface RowSample {
  columns: string[];
  rows: (string | null)[][];
}

export interface Preview {
  /** Rows that the command inserts, updates or deletes; null: not known, and `unavailable` says why. */
  rowCount: number | null;
  /** Why the effect was not found out; empty: it was. */
  unavailable: string;
  /** The rows as they are now; null: none are, or `notes` says why they are not shown. */
  before: RowSample | null;
  /** The rows as the command would leave them. */
  after: RowSample | null;
  notes: string[];
  limits: { rows: number; valueCharacters: number; lockTimeoutMs: number; statementTimeoutMs: number };
  /** The approval that was given for another number of rows, so that nothing of it was kept. */
  replaces?: { approvalId: string; rowCount: number };
}

export const PREVIEW_LIMITS = { rows: 20, valueCharacters: 256, lockTimeoutMs: 1000, statementTimeoutMs: 5000 } as const;
/** The whole of it as JSON. */
export const PREVIEW_BYTES_MAX = 48 * 1024;

/**
 * Reads what an agent sent.
 * @returns null when it is empty, too large, or no preview.
 */
export function readPreview(json: string): Preview | null {
  if (json === '' || Buffer.byteLength(json) > PREVIEW_BYTES_MAX) return null;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  const { rowCount, unavailable, before, after, notes, limits, replaces } = value;
  if (rowCount !== null && !isCount(rowCount)) return null;
  if (typeof unavailable !== 'string' || !isStrings(notes) || !isObject(limits)) return null;
  const { rows, valueCharacters, lockTimeoutMs, statementTimeoutMs } = limits;
  if (!isCount(rows) || !isCount(valueCharacters) || !isCount(lockTimeoutMs) || !isCount(statementTimeoutMs)) return null;
  if ((before !== null && !isSample(before)) || (after !== null && !isSample(after))) return null;
  const preview: Preview = {
    rowCount,
    unavailable,
    before: before === null ? null : { columns: before.columns, rows: before.rows },
    after: after === null ? null : { columns: after.columns, rows: after.rows },
    notes,
    limits: { rows, valueCharacters, lockTimeoutMs, statementTimeoutMs },
  };
  if (replaces === undefined) return preview;
  if (!isObject(replaces) || typeof replaces['approvalId'] !== 'string' || !isCount(replaces['rowCount'])) return null;
  return { ...preview, replaces: { approvalId: replaces['approvalId'], rowCount: replaces['rowCount'] } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(each => typeof each === 'string');
}

function isSample(value: unknown): value is RowSample {
  if (!isObject(value)) return false;
  const { columns, rows } = value;
  return (
    isStrings(columns) &&
    Array.isArray(rows) &&
    rows.every(row => Array.isArray(row) && row.length === columns.length && row.every(each => each === null || typeof each === 'string'))
  );
}
