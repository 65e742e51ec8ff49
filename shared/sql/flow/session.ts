/** What flow analysis must know of the session in which a statement runs. */
import type { Node } from 'libpg-query';
import type { CatalogFunction, CatalogRelation } from './catalog.ts';
import type { FlowResult } from './result.ts';

export interface FlowSession {
  /** Schemas in the order in which they are searched, `$user` replaced (effectiveSearchPath()); pg_catalog may be left out. */
  searchPath: readonly string[];
  /** The current role; absent: the one that the catalog was read as. */
  user?: string;
  /** Other search_paths that may be in force instead, when that is not certain (behind ROLLBACK TO SAVEPOINT, for example). */
  otherPaths?: readonly (readonly string[])[];
  /**
   * Tables that this session made or extended and that the snapshot does not hold, by name: temporary ones, and those of a
   * transaction that is still open. A name that is also a table of the search path means either of the two.
   */
  temporary: ReadonlyMap<string, CatalogRelation>;
  /**
   * Names that definitions of the open transaction have changed, as far as `temporary` does not tell them
   * (CatalogChange.names of each statement that worked); `*` means any. A snapshot does not see an open transaction: without
   * this list a view that the transaction replaced would be taken for the old one.
   */
  changed?: readonly string[];
  /** Functions that the open transaction made, under names that no function of the snapshot has. */
  functions?: ReadonlyMap<string, CatalogFunction>;
  /** The open transaction has dropped something, behind which other tables of the search path may have come to light. */
  dropped?: boolean;
  /** Absent: on. Off, or about to change: then text that is read when it is run may mean something else. */
  standardConformingStrings?: boolean;
  /** The statement behind PREPARE name AS …, as the parser gave it. */
  prepared(name: string): Node | undefined;
  /** What was found when the cursor was declared. */
  cursor(name: string): FlowResult | undefined;
}

export const NO_SESSION: FlowSession = {
  searchPath: ['public'],
  temporary: new Map(),
  prepared: () => undefined,
  cursor: () => undefined,
};

/**
 * Where a function's names are looked for when its own text does not say: its path or the caller's, and for one that runs as somebody
 * else, with that one's schema for `$user`, and with schemas that only that one may use.
 */
export function sessionInside(
  fn: { searchPath: string | null; definer: string | null },
  searchPath: readonly string[],
  session: FlowSession,
): { searchPath: readonly string[]; session: FlowSession } {
  if (fn.definer === null)
    return { searchPath: fn.searchPath === null ? searchPath : effectiveSearchPath(fn.searchPath, session.user ?? ''), session };
  const path = fn.searchPath === null ? [fn.definer, ...searchPath] : effectiveSearchPath(fn.searchPath, fn.definer);
  return { searchPath: path, session: { ...session, user: fn.definer, searchPath: fn.searchPath === null ? path : session.searchPath } };
}

/**
 * The schemas that a search_path setting means.
 *
 * @param setting as SHOW prints it: `"$user", public`.
 * @param user the session's current role.
 */
export function effectiveSearchPath(setting: string, user: string): string[] {
  const schemas: string[] = [];
  let at = 0;
  while (at < setting.length) {
    const c = setting[at] ?? '';
    if (c === ',' || /\s/.test(c)) {
      at++;
      continue;
    }
    let name = '';
    if (c === '"') {
      at++;
      for (;;) {
        const end = setting.indexOf('"', at);
        if (end < 0) return schemas;
        name += setting.slice(at, end);
        at = end + 1;
        if (setting[at] !== '"') break;
        name += '"';
        at++;
      }
    } else {
      const start = at;
      while (at < setting.length && setting[at] !== ',' && !/\s/.test(setting[at] ?? '')) at++;
      name = setting.slice(start, at).toLowerCase();
    }
    schemas.push(name === '$user' ? user : name);
  }
  return schemas;
}
