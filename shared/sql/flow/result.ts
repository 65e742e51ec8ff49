/** What flow analysis says of one statement. */

import type { SessionEffect } from '../analyse.ts';
import type { Collected } from '../collect.ts';
import type { CatalogFunction, CatalogRelation } from './catalog.ts';
import type { Labels, Origin } from './value.ts';

/** An output column of the result set, in the order of RowDescription. */
export interface FlowColumn {
  name: string;
  /** Protected columns (`schema.table.column`) that can reach it; empty: send it as it is. */
  labels: Labels;
  /** The one column that it is, unchanged; null when computed, or when several (see `plains`). */
  plain: Origin | null;
  /** Every column that it is unchanged, behind UNION and the like; null when any of it is computed. */
  plains: readonly Origin[] | null;
  /** The table OID and attribute number that RowDescription must show; null: 0, 0. Undefined: not predicted. */
  witness: { relation: number; attnum: number } | null | undefined;
}

export interface RefusedSink {
  /** Where the value would go. */
  kind: 'table' | 'view' | 'function' | 'file' | 'setting' | 'definition' | 'foreign';
  detail: string; // for people: what, without any value
  labels: readonly string[]; // empty when it is refused whatever flows
}

export interface Inference {
  column: string; // `schema.table.column`
  /**
   * `equality`: the column itself compared with constants; `enumeration`: set against other rows, which can spell the value out;
   * `other`: everything else that tells something of it.
   */
  kind: 'equality' | 'other' | 'enumeration';
}

export type UnknownCode =
  | 'relation-missing' // not in the catalog snapshot: new, or does not exist
  | 'column-missing'
  | 'function-missing'
  | 'function-opaque' // its body is not known, or may read anything
  | 'dynamic-sql'
  | 'foreign-table'
  | 'server-file'
  | 'prepared-missing' // EXECUTE of a statement that the session does not know
  | 'cursor-missing'
  | 'catalog-stale' // an earlier statement of the same text changed what this one uses
  | 'unsupported' // a construct that is not understood
  | 'too-deep';

export interface UnknownReason {
  code: UnknownCode;
  detail: string; // for people
}

export interface CatalogChange {
  /** A table or view as it is behind the statement. */
  made: CatalogRelation | undefined;
  /** A function that it made under a name that is new. */
  madeFunction?: CatalogFunction;
  /** It dropped something: behind a name that goes, another table of the search path may come to light. */
  drops?: boolean;
  /** Names whose meaning the snapshot does not tell any more; `*` for any. */
  names: readonly string[];
  /** It may have to do with temporary objects, which no other connection sees. */
  temporary: boolean;
}

export interface FlowResult {
  /** Output columns; null when the statement returns no rows. */
  columns: readonly FlowColumn[] | null;
  /** False when there may be more or other columns than `columns` says; then each has `restLabels` at least. */
  complete: boolean;
  restLabels: Labels;
  /** Refused, whatever else policy says. */
  sinks: readonly RefusedSink[];
  /** Protected columns on which rows, their order or grouping depend. */
  inferences: readonly Inference[];
  /** Columns read, as `schema.table.column`. */
  reads: readonly string[];
  /** Protected columns that the statement touches in any way: its errors and notices may hold their values. */
  touched: Labels;
  /** INSERT of rows that the client brings, which changes no row that is there: an error that shows a row shows one of those. */
  ownRows: boolean;
  /** Columns into which it writes what it computes of themselves: a mask that shows some of a value would show it in pieces. */
  rewrites: readonly string[];
  /** Why it is not known where values go; empty when it is. */
  unknown: readonly UnknownReason[];
  /** What functions in it do to the session (set_config), beside the effects that analyse.ts finds. */
  effects: readonly SessionEffect[];
  /** Holds for these literals only: do not keep it under a key that leaves them out. */
  literalSensitive: boolean;
  /** It changes tables, views, functions or the like: take a new snapshot before the next statement is judged. */
  changesCatalog: boolean;
  /**
   * What later statements of the same transaction must know once this one has worked: `made` goes into FlowSession.temporary,
   * `names` into FlowSession.changed, until the transaction is over and a new snapshot is in use.
   */
  change: CatalogChange;
  /** The columns of the table that it makes (CREATE TABLE AS, SELECT INTO); undefined when it makes none. */
  created: readonly string[] | undefined;
  /** CALL: what the bodies of the procedures say, for guards; null when they are not known, and for other statements. */
  called: Collected | null;
  /** Functions that it calls, as resolved: `schema.name`. */
  functions: readonly string[];
}
