/**
 * Is a function whose values cannot be followed at least harmless? A PL/pgSQL body is, when it builds no SQL at run time, names
 * no relation that holds protected values, and calls nothing that is not harmless itself: then nothing protected can come out
 * of it, and it may be called with unprotected arguments. Anything unclear is not harmless.
 */
import type { Node } from 'libpg-query';
import { fieldsOf, isTree, nameParts, type Tree, tagOf } from '../ast.ts';
import { parse } from '../parser.ts';
import { plpgsqlStatements } from '../plpgsql.ts';
import { EFFECT_FUNCTIONS, PROPAGATING_FUNCTIONS } from './builtin-functions.ts';
import { type CatalogFunction, relationKey } from './catalog.ts';
import type { Context } from './context.ts';
import { isProtected, otherPaths, resolveRelation, schemasInOrder } from './relations.ts';
import { isReviewed } from './reviewed.ts';
import { sessionInside } from './session.ts';
import { bodyOf } from './sql-functions.ts';

const STATEMENTS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

export function isHarmless(fn: CatalogFunction, ctx: Context): boolean {
  if (fn.language !== 'plpgsql' || fn.body === null || ctx.found.bodiesLeft-- <= 0) return false;
  const known = ctx.shared.harmlessFunctions.get(fn.oid);
  if (known !== undefined && fn.oid !== 0) return known;
  ctx.shared.harmlessFunctions.set(fn.oid, false); // one that calls itself through others is not worth a proof
  const inner = ctx.deeper(sessionInside(fn, ctx.searchPath, ctx.session));
  const harmless = inner !== undefined && isHarmlessBody(fn.body, inner, fn);
  // With the caller's search_path the answer holds for that path only.
  if (fn.searchPath === null || fn.oid === 0) ctx.shared.harmlessFunctions.delete(fn.oid);
  else ctx.shared.harmlessFunctions.set(fn.oid, harmless);
  return harmless;
}

/**
 * May it be handed protected values? When nothing of them can come out but by its result: a PL/pgSQL body of expressions over PostgreSQL's
 * own functions that only compute.
 */
export function isPure(fn: CatalogFunction, ctx: Context): boolean {
  if (fn.language !== 'plpgsql' || fn.body === null) return false;
  const known = ctx.shared.pureFunctions.get(fn.oid);
  if (known !== undefined && fn.oid !== 0) return known;
  const pure = isPureBody(fn, ctx) && isHarmless(fn, ctx);
  if (fn.searchPath !== null && fn.oid !== 0) ctx.shared.pureFunctions.set(fn.oid, pure);
  return pure;
}

function isPureBody(fn: CatalogFunction, ctx: Context): boolean {
  const found = fn.body === null ? undefined : plpgsqlStatements(fn.body, namesOf(fn));
  if (found === undefined || found.dynamic || found.tells) return false;
  // A variable of a domain has its values checked, by whatever the domain says.
  const words = new Set([...(fn.body ?? '').toLowerCase().matchAll(/[\p{L}_][\p{L}\p{N}_$]*/gu)].map(([word]) => word));
  for (const type of ctx.catalog.types.values())
    if (type.schema !== 'pg_catalog' && type.schema !== 'information_schema' && words.has(type.name.toLowerCase())) return false;
  return found.statements.every(text => {
    const outcome = parse(Buffer.from(text));
    return outcome.ok && outcome.statements.every(({ node }) => tagOf(node) === 'SelectStmt' && computesOnly(node, ctx));
  });
}

function computesOnly(value: unknown, ctx: Context): boolean {
  if (Array.isArray(value)) return value.every(item => computesOnly(item, ctx));
  if (!isTree(value)) return true;
  if (typeof value.relname === 'string' || value.lockingClause !== undefined || value.intoClause !== undefined) return false;
  if (Array.isArray(value.funcname)) {
    const parts = nameParts(value.funcname as Node[]);
    const name = parts.at(-1) ?? '';
    if ((parts.length > 1 && parts[0] !== 'pg_catalog') || !PROPAGATING_FUNCTIONS.has(name) || ctx.catalog.functionNames.has(name))
      return false;
  }
  if (isTree(value.A_Expr) && ctx.catalog.operators.has(nameParts(value.A_Expr.name as Node[] | undefined).at(-1) ?? '')) return false;
  for (const key in value) if (!computesOnly(value[key], ctx)) return false;
  return true;
}

const namesOf = (fn: CatalogFunction): string[] => [...fn.argumentNames, ...(fn.columns ?? []).map(column => column.name)];

/**
 * @param self the function itself, which may call itself.
 * @param judge answers for a statement in another way; undefined: it is to be judged here.
 */
export function isHarmlessBody(
  body: string,
  ctx: Context,
  self?: CatalogFunction,
  judge: (node: Node) => boolean | undefined = () => undefined,
): boolean {
  const found = plpgsqlStatements(body, self === undefined ? [] : namesOf(self));
  if (found === undefined || found.dynamic) return false;
  const isHarmlessText = (text: string): boolean => {
    const outcome = parse(Buffer.from(text));
    if (!outcome.ok) return false;
    for (const { node } of outcome.statements) {
      const answer = judge(node);
      if (answer === false) return false;
      if (answer === true) continue;
      if (!STATEMENTS.has(tagOf(node)) || !harmless(node, new Set(), ctx, self)) return false;
    }
    return true;
  };
  if (!found.statements.every(isHarmlessText)) return false;
  // Should PL/pgSQL's parser ever leave a piece out of its tree, its words are still in the text.
  const names = protectedNames(ctx);
  for (const [word] of without(body, found.sources)
    .toLowerCase()
    .matchAll(/[\p{L}_][\p{L}\p{N}_$]*/gu))
    if (word === 'execute' || names.has(word)) return false;
  return true;
}

/** A body without the pieces that were judged; single words stay, which could stand anywhere. */
function without(body: string, pieces: readonly string[]): string {
  let left = body;
  for (const piece of pieces) {
    if (!/\W/.test(piece.trim())) continue;
    const at = left.indexOf(piece);
    if (at >= 0) left = `${left.slice(0, at)} ${left.slice(at + piece.length)}`;
  }
  return left;
}

/** Lower-case names of all relations that hold protected values. */
export function protectedNames(ctx: Context): ReadonlySet<string> {
  let names = ctx.shared.protectedNames;
  if (names === undefined) {
    names = new Set();
    for (const relation of ctx.catalog.relationsByName.values()) if (isProtected(relation, ctx)) names.add(relation.name.toLowerCase());
    ctx.shared.protectedNames = names;
  }
  return names;
}

function harmless(value: unknown, ctes: ReadonlySet<string>, ctx: Context, self: CatalogFunction | undefined): boolean {
  if (Array.isArray(value)) return value.every(item => harmless(item, ctes, ctx, self));
  if (!isTree(value)) return true;
  if (typeof value.relname === 'string') {
    if (value.schemaname === undefined && ctes.has(value.relname)) return true;
    // Of whatever schema: the path may be another when it runs.
    if (protectedNames(ctx).has(value.relname.toLowerCase())) return false;
    const resolved = resolveRelation(typeof value.schemaname === 'string' ? value.schemaname : undefined, value.relname, ctx);
    if (!resolved.found) return false;
    for (const relation of [resolved.relation, ...resolved.others]) {
      if (relation.kind === 'f' || isProtected(relation, ctx) || (ctx.shared.relationUnknowns.get(relation.oid)?.length ?? 0) > 0)
        return false;
    }
  }
  if (Array.isArray(value.funcname) && !harmlessCall(nameParts(value.funcname as Node[]), ctx, self)) return false;
  if (isTree(value.A_Expr) && !harmlessOperator(value.A_Expr, ctx)) return false;
  let inner = ctes;
  if (isTree(value.withClause) && Array.isArray(value.withClause.ctes)) {
    // A CTE hides a table only behind itself; a table of the same name must be harmless too, so order does not matter.
    const names = value.withClause.ctes.map(cte => String(fieldsOf(cte as Tree).ctename));
    for (const name of names) {
      const resolved = resolveRelation(undefined, name, ctx);
      if (resolved.found && [resolved.relation, ...resolved.others].some(relation => isProtected(relation, ctx))) return false;
    }
    inner = new Set([...ctes, ...names]);
  }
  for (const key in value) if (!harmless(value[key], inner, ctx, self)) return false;
  return true;
}

function harmlessCall(parts: readonly string[], ctx: Context, self: CatalogFunction | undefined): boolean {
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts[parts.length - 2] : undefined;
  const system =
    (schema === undefined || schema === 'pg_catalog') &&
    (PROPAGATING_FUNCTIONS.has(name) || (EFFECT_FUNCTIONS.has(name) && name !== 'set_config'));
  const places = schema === undefined ? new Set([ctx.searchPath, ...otherPaths(ctx)].flatMap(schemasInOrder)) : [schema];
  const own = [...places].flatMap(place => [...(ctx.catalog.functionsByName.get(relationKey(place, name)) ?? [])]);
  if (own.length === 0) return system;
  return own.every(fn => {
    if (self !== undefined && fn.oid === self.oid) return true;
    if (fn.language === 'c' || fn.language === 'internal') return isReviewed(fn);
    if (fn.language === 'plpgsql') {
      const inner = ctx.deeper({});
      return inner !== undefined && isHarmless(fn, inner);
    }
    if (fn.language !== 'sql' || ctx.found.bodiesLeft-- <= 0) return false;
    const statements = bodyOf(fn);
    const inner = ctx.deeper(fn.sqlBody !== null ? { searchPath: [] } : sessionInside(fn, ctx.searchPath, ctx.session));
    return inner !== undefined && statements?.every(node => STATEMENTS.has(tagOf(node)) && harmless(node, new Set(), inner, fn)) === true;
  });
}

function harmlessOperator(expr: Tree, ctx: Context): boolean {
  const parts = Array.isArray(expr.name) ? nameParts(expr.name as Node[]) : [];
  const own = ctx.catalog.operators.get(parts.at(-1) ?? '') ?? [];
  return own.every(operator => {
    const fn = ctx.catalog.functions.get(operator.function);
    // Extensions name PostgreSQL's own code again, for their types.
    return fn !== undefined && (fn.language === 'c' || (fn.language === 'internal' && isReviewed(fn)));
  });
}
