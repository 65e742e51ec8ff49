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
import { isProtected, resolveRelation, schemasInOrder } from './relations.ts';
import { effectiveSearchPath } from './session.ts';
import { bodyOf } from './sql-functions.ts';

const STATEMENTS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

export function isHarmless(fn: CatalogFunction, ctx: Context): boolean {
  if (fn.language !== 'plpgsql' || fn.body === null || ctx.found.bodiesLeft-- <= 0) return false;
  const known = ctx.shared.harmlessFunctions.get(fn.oid);
  if (known !== undefined) return known;
  ctx.shared.harmlessFunctions.set(fn.oid, false); // one that calls itself through others is not worth a proof
  const searchPath = fn.searchPath === null ? ctx.searchPath : effectiveSearchPath(fn.searchPath, '');
  const inner = ctx.deeper({ searchPath });
  const harmless = inner !== undefined && isHarmlessBody(fn.body, inner, fn);
  // With the caller's search_path the answer holds for that path only.
  if (fn.searchPath === null) ctx.shared.harmlessFunctions.delete(fn.oid);
  else ctx.shared.harmlessFunctions.set(fn.oid, harmless);
  return harmless;
}

/** @param self the function itself, which may call itself. */
export function isHarmlessBody(body: string, ctx: Context, self?: CatalogFunction): boolean {
  const found = plpgsqlStatements(
    body,
    self === undefined ? [] : [...self.argumentNames, ...(self.columns ?? []).map(column => column.name)],
  );
  if (found === undefined || found.dynamic) return false;
  // Should PL/pgSQL's parser ever leave a piece out of its tree, its words are still in the text.
  const names = protectedNames(ctx);
  for (const [word] of body.toLowerCase().matchAll(/[\p{L}_][\p{L}\p{N}_$]*/gu)) if (word === 'execute' || names.has(word)) return false;
  return found.statements.every(text => {
    const outcome = parse(Buffer.from(text));
    return outcome.ok && outcome.statements.every(({ node }) => STATEMENTS.has(tagOf(node)) && harmless(node, new Set(), ctx, self));
  });
}

/** Lower-case names of all relations that hold protected values. */
function protectedNames(ctx: Context): ReadonlySet<string> {
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
  const places = schema === undefined ? schemasInOrder(ctx.searchPath) : [schema];
  const own = places.flatMap(place => [...(ctx.catalog.functionsByName.get(relationKey(place, name)) ?? [])]);
  if (own.length === 0) return system;
  return own.every(fn => {
    if (self !== undefined && fn.oid === self.oid) return true;
    if (fn.language === 'c') return fn.volatility === 'i';
    if (fn.language === 'plpgsql') {
      const inner = ctx.deeper({});
      return inner !== undefined && isHarmless(fn, inner);
    }
    if (fn.language !== 'sql' || ctx.found.bodiesLeft-- <= 0) return false;
    const statements = bodyOf(fn);
    const inner = ctx.deeper({
      searchPath: fn.sqlBody !== null ? [] : fn.searchPath === null ? ctx.searchPath : effectiveSearchPath(fn.searchPath, ''),
    });
    return inner !== undefined && statements?.every(node => STATEMENTS.has(tagOf(node)) && harmless(node, new Set(), inner, fn)) === true;
  });
}

function harmlessOperator(expr: Tree, ctx: Context): boolean {
  const parts = Array.isArray(expr.name) ? nameParts(expr.name as Node[]) : [];
  const own = ctx.catalog.operators.get(parts.at(-1) ?? '') ?? [];
  return own.every(operator => ctx.catalog.functions.get(operator.function)?.language === 'c');
}
