/**
 * Names in a query: the FROM items that a column reference can mean, level by level, and CTEs. Follows PostgreSQL's
 * parse_relation.c: the innermost level that has the name wins; joins merge columns; LATERAL items see their left neighbours.
 */

import type { OutputColumn, QueryOutput } from './context.ts';
import type { Labels, Value } from './value.ts';

export interface FromItem {
  /** The name by which its columns are qualified; '' for an unnamed join. */
  name: string;
  /** The relation's schema, when it is one that has no alias: then `schema.table.column` means it too. */
  schema: string | null;
  columns: readonly OutputColumn[];
  /** It may have more columns, with these labels (a function whose row type is not known). */
  rest: Labels | null;
  /** Found by `name.column`. */
  qualified: boolean;
  /** Found by `column`. */
  bare: boolean;
  /** A real table has system columns (ctid, xmin, tableoid …), which are never protected. */
  system: boolean;
  /** The type of the whole row, 0 when not known. */
  rowType: number;
  /** Its columns are parts of one value. */
  ofOneRow?: true;
}

export interface Scope {
  items: readonly FromItem[];
  outer: Scope | null;
}

export interface Cte {
  name: string;
  output: QueryOutput;
}

export interface CteScope {
  ctes: Map<string, Cte>;
  outer: CteScope | null;
}

export interface Env {
  names: Scope | null;
  ctes: CteScope | null;
  /** Labels of this level's named windows. */
  windows?: ReadonlyMap<string, Labels>;
  /** The one setting whose row of pg_settings this level reads. */
  setting?: string;
}

export const EMPTY_ENV: Env = { names: null, ctes: null };

export function within(env: Env, items: readonly FromItem[]): Env {
  return { names: { items, outer: env.names }, ctes: env.ctes };
}

export function findCte(env: Env, name: string): Cte | undefined {
  for (let at = env.ctes; at !== null; at = at.outer) {
    const cte = at.ctes.get(name);
    if (cte !== undefined) return cte;
  }
  return undefined;
}

export const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

export type Lookup =
  | { found: 'value'; value: Value }
  | { found: 'item'; item: FromItem }
  | { found: 'ambiguous' }
  | { found: 'system' }
  | { found: 'none' };
