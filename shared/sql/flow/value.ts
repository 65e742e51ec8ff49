/**
 * What is known of the value of an expression: which protected columns can reach it, and where it comes from unchanged.
 * Values are immutable and shared.
 */

/** Protected columns, as `schema.table.column`. */
export type Labels = ReadonlySet<string>;

export const NO_LABELS: Labels = new Set();

export interface Origin {
  schema: string;
  table: string;
  column: string;
}

export interface Value {
  labels: Labels;
  /** The columns that it is, unchanged; null when it is computed. More than one behind UNION. */
  plains: readonly Origin[] | null;
  /** What RowDescription says of an output column that is this value; null when it says 0, 0. */
  witness: { relation: number; attnum: number } | null;
  type: number; // OID; 0 when not known
  /** The fields of a row value, when known. */
  fields: readonly Field[] | null;
  /** Does not depend on any row: literals, parameters, and what is computed from them. */
  constant: boolean;
  /** A protected value set against other rows: rows chosen by it spell the protected value out (enumeration.ts). */
  mixed?: true;
}

export interface Field {
  name: string;
  value: Value;
}

export const CONSTANT: Value = { labels: NO_LABELS, plains: null, witness: null, type: 0, fields: null, constant: true };

/** Computed, from nothing protected. */
export const UNLABELLED: Value = { ...CONSTANT, constant: false };

export function computed(labels: Labels, type = 0, constant = false): Value {
  if (labels.size === 0 && type === 0) return constant ? CONSTANT : UNLABELLED;
  return { labels, plains: null, witness: null, type, fields: null, constant };
}

/** Labels of all; no new set when one holds the others. */
export function unionLabels(a: Labels, b: Labels): Labels {
  if (b.size === 0 || a === b) return a;
  if (a.size === 0) return b;
  let all: Set<string> | undefined;
  for (const label of b) {
    if (a.has(label)) continue;
    all ??= new Set(a);
    all.add(label);
  }
  return all ?? a;
}

export function labelsOf(values: Iterable<Value>): Labels {
  let labels = NO_LABELS;
  for (const value of values) labels = unionLabels(labels, value.labels);
  return labels;
}

/** Either of the two, row by row: UNION, a FULL JOIN's merged column. Plain only where both are. */
export function either(a: Value, b: Value): Value {
  const labels = unionLabels(a.labels, b.labels);
  const plains = a.plains !== null && b.plains !== null ? uniqueOrigins([...a.plains, ...b.plains]) : null;
  const fields =
    a.fields !== null && b.fields !== null && a.fields.length === b.fields.length
      ? a.fields.map((field, i) => ({ name: field.name, value: either(field.value, b.fields?.[i]?.value ?? field.value) }))
      : null;
  const value: Value = { labels, plains, witness: null, type: a.type === b.type ? a.type : 0, fields, constant: a.constant && b.constant };
  return a.mixed === true || b.mixed === true ? { ...value, mixed: true } : value;
}

/** The same value passed through something that RowDescription does not see through, or that computes. */
export function asComputed(value: Value): Value {
  return value.plains === null && value.witness === null ? value : { ...value, plains: null, witness: null };
}

export function uniqueOrigins(origins: readonly Origin[]): Origin[] {
  const seen = new Map<string, Origin>();
  for (const origin of origins) seen.set(`${origin.schema}\0${origin.table}\0${origin.column}`, origin);
  return [...seen.values()];
}
