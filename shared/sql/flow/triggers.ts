/**
 * Triggers on tables with protected columns: which of them can be shown to leave every protected value where it is. A function does
 * when its text never reads one: `new.updated_at := now(); return new` does not, whatever else of the row it looks at or stores.
 *
 * Variables need no following: what is never read is in none of them. Values that a trigger moves on purpose, also back into their own
 * column, are not shown to be safe here.
 */
import type { Node } from 'libpg-query';
import { isTree, nameParts, type Tree } from '../ast.ts';
import { parse } from '../parser.ts';
import { plpgsqlStatements } from '../plpgsql.ts';
import { EFFECT_FUNCTIONS, PROPAGATING_FUNCTIONS, REFUSED_FUNCTIONS } from './builtin-functions.ts';
import type { CatalogFunction, CatalogRelation } from './catalog.ts';
import type { Context } from './context.ts';
import { isHarmless } from './harmless.ts';
import { relationColumns, underAnyPath } from './relations.ts';

/** Native code of extensions that sets one column to the time, the user or a number of a sequence. */
const INERT_EXTENSIONS: ReadonlySet<string> = new Set(['autoinc', 'insert_username', 'moddatetime']);

/** CREATE TRIGGER: neither its condition nor any function that its name may mean reads a protected column of the table. */
export function isInertTrigger(fields: Tree, relation: CatalogRelation, ctx: Context): boolean {
  // They stand for rows under names of their own.
  if (Array.isArray(fields.transitionRels) && fields.transitionRels.length > 0) return false;
  const parts = nameParts(fields.funcname as Node[] | undefined);
  const name = parts.at(-1) ?? '';
  if (EFFECT_FUNCTIONS.has(name) || PROPAGATING_FUNCTIONS.has(name) || REFUSED_FUNCTIONS.has(name)) return false;
  const own = [...ctx.catalog.functions.values(), ...(ctx.session.functions?.values() ?? [])].filter(fn => fn.name === name);
  return (
    own.length > 0 && own.every(fn => isInert(fn, relation, ctx)) && readsNoneOf([fields.whenClause], unprotectedColumns(relation, ctx))
  );
}

/** A function that may run for rows of this table. */
export function isInert(fn: CatalogFunction, relation: CatalogRelation, ctx: Context): boolean {
  if (fn.language === 'c') return fn.extension !== null && INERT_EXTENSIONS.has(fn.extension);
  if (fn.language !== 'plpgsql' || fn.body === null) return false;
  const found = plpgsqlStatements(fn.body, [], ['trigger']);
  // `r ALIAS FOR new` is no expression.
  if (found === undefined || found.dynamic || /\balias\b/i.test(fn.body)) return false;
  const nodes: Node[] = [];
  for (const text of found.statements) {
    const outcome = parse(Buffer.from(text));
    if (!outcome.ok) return false;
    nodes.push(...outcome.statements.map(({ node }) => node));
  }
  return readsNoneOf(nodes, unprotectedColumns(relation, ctx)) && isHarmless(fn, underAnyPath(ctx));
}

function unprotectedColumns(relation: CatalogRelation, ctx: Context): ReadonlySet<string> {
  return new Set(relationColumns(relation, ctx).flatMap(({ name, value }) => (value.labels.size === 0 ? [name] : [])));
}

/** Is `new` or `old` read by these columns alone? */
function readsNoneOf(value: unknown, columns: ReadonlySet<string>): boolean {
  if (Array.isArray(value)) return value.every(item => readsNoneOf(item, columns));
  if (!isTree(value)) return true;
  if (isTree(value.ColumnRef)) {
    const steps = value.ColumnRef.fields as readonly Node[];
    const names = steps.map(step => ('String' in step ? (step.String.sval ?? '') : '*'));
    const at = names.findIndex(isRow);
    if (at < 0) return true;
    return at === 0 && names.length === 2 && columns.has(names[1] ?? '') && !isRow(names[1] ?? '');
  }
  // A table of that name would not be the row.
  if (typeof value.relname === 'string' && isRow(value.relname)) return false;
  if (typeof value.aliasname === 'string' && isRow(value.aliasname)) return false;
  return Object.values(value).every(item => readsNoneOf(item, columns));
}

function isRow(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'new' || lower === 'old';
}
