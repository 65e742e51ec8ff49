/** Native code of the database that is known to compute from its arguments and no more: what functions.ts may pass values through. */
import type { CatalogFunction } from './catalog.ts';

/**
 * Extensions whose C functions are reviewed: they compute from their arguments (and their own configuration), whatever
 * volatility they declare. For others only IMMUTABLE C functions are trusted; those can be made by superusers alone.
 */
export const REVIEWED_EXTENSIONS: ReadonlySet<string> = new Set([
  'btree_gin',
  'btree_gist',
  'citext',
  'cube',
  'earthdistance',
  'fuzzystrmatch',
  'hstore',
  'intarray',
  'isn',
  'ltree',
  'pg_trgm',
  'pgcrypto',
  'seg',
  'unaccent',
  'uuid-ossp',
  'vector',
]);

/** Native code that computes from its arguments: citext and others name PostgreSQL's own functions again, for their types. */
export function isReviewed(fn: CatalogFunction): boolean {
  const reviewed = fn.extension !== null && REVIEWED_EXTENSIONS.has(fn.extension);
  if (fn.language === 'internal') return reviewed || CONSTRUCTORS.has(fn.body ?? '');
  return fn.language === 'c' && (fn.volatility === 'i' || reviewed);
}

/** The code of the functions that CREATE TYPE … AS RANGE makes. */
const CONSTRUCTORS: ReadonlySet<string> = new Set([
  'range_constructor2',
  'range_constructor3',
  'multirange_constructor0',
  'multirange_constructor1',
  'multirange_constructor2',
]);
