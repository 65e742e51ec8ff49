/**
 * What flow analysis knows of a database: a snapshot of its system catalogs, taken over a side connection
 * (catalog-queries.ts) and built by build-catalog.ts. Plain, immutable data with look-ups; no I/O.
 *
 * A snapshot is as old as it is. Flow analysis refuses what it cannot find in it, so an object that is newer is `unknown`
 * until the next snapshot; an object that was *replaced* since is the danger, which is why every statement that changes
 * the catalog is reported as such (FlowResult.changesCatalog) and must be followed by a new snapshot before the next
 * statement is judged.
 */

import type { Node } from 'libpg-query';

export interface CatalogColumn {
  name: string;
  attnum: number; // from 1; dropped columns are not listed, so numbers may have gaps
  type: number; // OID
  /** The expression of a generated column, deparsed with an empty search_path. */
  generated: string | null;
  /** Its default, where that calls a function that somebody has made; deparsed likewise. */
  default: string | null;
  /** pg_attribute.attmissingval may hold the value that rows had before the column; absent: of a table that is not in the catalog. */
  hasMissing?: boolean;
}

/** pg_class.relkind: r table, p partitioned table, v view, m materialized view, f foreign table, S sequence, c composite type. */
export type RelationKind = 'r' | 'p' | 'v' | 'm' | 'f' | 'S' | 'c';

export interface CatalogRelation {
  oid: number;
  schema: string;
  name: string;
  kind: RelationKind;
  columns: readonly CatalogColumn[];
  /** OIDs of the tables that it inherits from or is a partition of. */
  parents: readonly number[];
  /** A view's SELECT, deparsed with an empty search_path; null for the system's own views. */
  definition: string | null;
  /** Has rules for INSERT, UPDATE or DELETE. */
  rules: boolean;
  rowType: number; // OID of its composite type; 0 for none
  /** Row security policies choose its rows. */
  rowSecurity?: boolean;
  /** OIDs of the functions of its triggers. */
  triggers?: readonly number[];
  /** Made by this session, for itself alone. */
  temporary?: boolean;
  /** A view that the open transaction made, of which `columns` is all that is known: nothing protected was in them then. */
  derived?: boolean;
}

/** pg_proc.prokind: f function, p procedure, a aggregate, w window function. */
export type FunctionKind = 'f' | 'p' | 'a' | 'w';

export interface CatalogFunction {
  oid: number;
  schema: string;
  name: string;
  kind: FunctionKind;
  /** Types of the input arguments. */
  arguments: readonly number[];
  argumentNames: readonly string[];
  /** The last arguments' defaults, with commas, deparsed with an empty search_path; null: none. */
  defaultValues: string | null;
  /** Parameters that are only for output, which CALL names as well. */
  outputs: number;
  defaults: number; // how many of the last arguments may be left out
  variadic: boolean;
  language: string;
  volatility: 'i' | 's' | 'v';
  returnType: number;
  returnsSet: boolean;
  /** OUT and TABLE columns; null when it has none. */
  columns: readonly { name: string; type: number }[] | null;
  /** The text of an SQL or PL/pgSQL body; of an internal function the name of its code. */
  body: string | null;
  /** The body in SQL's own syntax (BEGIN ATOMIC … END, RETURN …), deparsed with an empty search_path. */
  sqlBody: string | null;
  /** A search_path that it sets for itself. */
  searchPath: string | null;
  /** The extension that owns it. */
  extension: string | null;
  /**
   * What calls it behind statements that do not show it: `values`, a constraint, index, policy, cast or the like, which hands values
   * to it; `rows`, a trigger.
   */
  behind: 'values' | 'rows' | null;
  /** As whom it runs, where that is not the caller: SECURITY DEFINER, or a role that it sets. */
  definer: string | null;
  /** The body as nodes, of a function that is not in the catalog yet. */
  statements?: readonly Node[];
  /** For an aggregate: the functions that it is made of, as `schema` and `name`, or by OID when not in pg_catalog. */
  parts: readonly { oid: number; schema: string; name: string }[];
}

/** pg_type.typtype: b base, c composite, d domain, e enum, p pseudo, r range, m multirange. */
export interface CatalogType {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  element: number; // of an array; 0 otherwise
  base: number; // of a domain; 0 otherwise
  relation: number; // of a composite type; 0 otherwise
  array: number; // the array of it; 0 otherwise
}

/** An operator outside pg_catalog. */
export interface CatalogOperator {
  schema: string;
  name: string;
  left: number; // 0 for a prefix operator
  right: number;
  function: number;
}

/** A cast by a function outside pg_catalog. */
export interface CatalogCast {
  source: number;
  target: number;
  function: number;
}

export interface CatalogSnapshot {
  serverVersion: number; // as server_version_num: 180004
  schemas: ReadonlySet<string>;
  /** The role that it was read as; null: not known. */
  user: string | null;
  /** Schemas that this role may use: others are left out of its search path. */
  usable: ReadonlySet<string>;
  relations: ReadonlyMap<number, CatalogRelation>;
  relationsByName: ReadonlyMap<string, CatalogRelation>; // keyed by relationKey()
  children: ReadonlyMap<number, readonly number[]>;
  functions: ReadonlyMap<number, CatalogFunction>; // outside pg_catalog
  functionsByName: ReadonlyMap<string, readonly CatalogFunction[]>; // by relationKey(schema, name)
  /** In whatever schema but those of PostgreSQL. */
  functionNames: ReadonlySet<string>;
  /** Functions of pg_catalog that return columns: their names. */
  systemColumns: ReadonlyMap<string, readonly string[]>;
  /** Functions of pg_catalog whose overloads all return one type that is not polymorphic: its OID. */
  systemTypes: ReadonlyMap<string, number>;
  types: ReadonlyMap<number, CatalogType>;
  typesByName: ReadonlyMap<string, CatalogType>;
  operators: ReadonlyMap<string, readonly CatalogOperator[]>; // by name
  casts: ReadonlyMap<number, readonly CatalogCast[]>; // by target type
}

/** A key that no two pairs of names share: identifiers hold no NUL. */
export function relationKey(schema: string, name: string): string {
  return `${schema}\0${name}`;
}

/** The composite relation behind a type: through domains and, when `elements` is set, arrays. */
export function compositeOf(catalog: CatalogSnapshot, type: number, elements = false): CatalogRelation | undefined {
  let at = catalog.types.get(type);
  for (let depth = 0; at !== undefined && depth < 16; depth++) {
    if (at.relation !== 0) return catalog.relations.get(at.relation);
    if (at.kind === 'd') at = catalog.types.get(at.base);
    else if (elements && at.element !== 0) at = catalog.types.get(at.element);
    else return undefined;
  }
  return undefined;
}
