/**
 * What a call brings: resolution by name as PostgreSQL does it, but over every overload that the arguments' number allows, and
 * the strictest answer of them counts, so that no type has to be guessed.
 */

import { parse } from '../parser.ts';
import { EFFECT_FUNCTIONS, PROPAGATING_FUNCTIONS, REFUSED_FUNCTIONS } from './builtin-functions.ts';
import { type CatalogFunction, compositeOf, relationKey } from './catalog.ts';
import type { Context, OutputColumn } from './context.ts';
import { isHarmless, isPure } from './harmless.ts';
import { otherPaths, schemasInOrder } from './relations.ts';
import { isReviewed } from './reviewed.ts';
import { EMPTY_ENV } from './scope.ts';
import { analyseSqlFunction } from './sql-functions.ts';
import { computed, either, labelsOf, type Value } from './value.ts';

/** Built-ins whose result has the type of their first argument (or its element), so that fields of rows can be followed. */
const KEEPS_TYPE: ReadonlySet<string> = new Set(
  'max min any_value lag lead first_value last_value nth_value json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset'.split(
    ' ',
  ),
);

export interface Call {
  value: Value;
  /** Columns when the function stands in FROM; null: one column with the function's name. */
  columns: readonly OutputColumn[] | null;
  /** There may be other columns: the row type is not known. */
  open: boolean;
}

/** A call by name; undefined when no such function is known. Labels, sinks and unknowns go to `ctx`. */
export function call(parts: readonly string[], args: readonly Value[], ctx: Context): Call | undefined {
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts[parts.length - 2] : undefined;
  const system = schema === undefined || schema === 'pg_catalog' ? builtin(name, args, ctx) : undefined;
  const candidates = candidatesOf(schema, name, args, ctx);
  let result = system;
  for (const candidate of candidates) {
    if (system !== undefined && notMeant(candidate, args, ctx)) continue;
    ctx.found.functions.add(`${candidate.schema}.${candidate.name}`);
    const own = callFunction(candidate, args, ctx);
    result =
      result === undefined
        ? own
        : { value: either(result.value, own.value), columns: result.columns ?? own.columns, open: result.open || own.open };
  }
  return result;
}

/** The same where only the value matters. */
export function callByName(parts: readonly string[], args: readonly Value[], ctx: Context): Value | undefined {
  return call(parts, args, ctx)?.value;
}

function builtin(name: string, args: readonly Value[], ctx: Context): Call | undefined {
  const labels = labelsOf(args);
  const constant = args.every(arg => arg.constant);
  if (PROPAGATING_FUNCTIONS.has(name)) {
    ctx.found.functions.add(`pg_catalog.${name}`);
    const first = args[0];
    let type = KEEPS_TYPE.has(name) ? (first?.type ?? 0) : (ctx.catalog.systemTypes.get(name) ?? 0);
    if (name === 'unnest') type = ctx.catalog.types.get(first?.type ?? 0)?.element ?? 0;
    if (name === 'unnest' && ctx.catalog.types.get(first?.type ?? 0)?.name === 'tsvector') {
      return {
        value: computed(labels),
        columns: ['lexeme', 'positions', 'weights'].map(column => ({ name: column, value: computed(labels) })),
        open: false,
      };
    }
    const value = computed(labels, type, constant);
    const names = ctx.catalog.systemColumns.get(name);
    // One OUT parameter names the column, whatever the alias.
    if (names?.length === 1) return { value, columns: names.map(column => ({ name: column, value })), open: false };
    if (names !== undefined && names.length > 1)
      return {
        value: { ...value, fields: names.map(field => ({ name: field, value })) },
        columns: names.map(column => ({ name: column, value })),
        open: false,
      };
    const relation = compositeOf(ctx.catalog, type);
    if (relation !== undefined) {
      return { value, columns: relation.columns.map(column => ({ name: column.name, value: computed(labels, column.type) })), open: false };
    }
    return {
      value,
      columns: null,
      open: RETURNS_RECORD.has(name) || (names === undefined && KEEPS_TYPE.has(name) && name.includes('populate')),
    };
  }
  if (EFFECT_FUNCTIONS.has(name)) {
    ctx.found.effectCalls++;
    ctx.found.functions.add(`pg_catalog.${name}`);
    if (labels.size > 0) ctx.sink('function', `${name}() would carry a protected value away`, labels);
    return { value: computed(labels), columns: null, open: false };
  }
  if (REFUSED_FUNCTIONS.has(name)) {
    ctx.found.functions.add(`pg_catalog.${name}`);
    ctx.sink('function', `${name}() reads by name what cannot be followed`, labels);
    return { value: computed(labels), columns: null, open: true };
  }
  return undefined;
}

/** Built-ins that return rows whose columns the query names (AS x(a int, …)). */
const RETURNS_RECORD: ReadonlySet<string> = new Set('json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset'.split(' '));

function candidatesOf(schema: string | undefined, name: string, args: readonly Value[], ctx: Context): CatalogFunction[] {
  const schemas = schema === undefined ? new Set([ctx.searchPath, ...otherPaths(ctx)].flatMap(schemasInOrder)) : [schema];
  const found: CatalogFunction[] = [];
  for (const place of schemas) {
    for (const candidate of ctx.catalog.functionsByName.get(relationKey(place, name)) ?? []) {
      const most = candidate.arguments.length + (candidate.kind === 'p' ? candidate.outputs : 0);
      if (
        args.length <= most
          ? args.length >= candidate.arguments.length - candidate.defaults - (candidate.variadic ? 1 : 0)
          : candidate.variadic
      )
        found.push(candidate);
    }
  }
  const made = ctx.session.functions?.get(name);
  if (
    made !== undefined &&
    (schema === undefined || schema === made.schema) &&
    args.length <= made.arguments.length &&
    args.length >= made.arguments.length - made.defaults
  )
    found.push(made);
  return found;
}

/** An overload for a type of someone's own, while no argument has that type: the built-in is meant. */
function notMeant(candidate: CatalogFunction, args: readonly Value[], ctx: Context): boolean {
  return candidate.arguments.some((type, i) => {
    const wanted = ctx.catalog.types.get(type);
    const given = args[i]?.type ?? 0;
    // A value becomes one of a domain by itself, or of what somebody has made a cast to.
    if (wanted === undefined || wanted.schema === 'pg_catalog' || wanted.kind === 'd') return false;
    return given !== 0 && given !== type && (ctx.catalog.casts.get(type)?.some(({ source }) => source === given) ?? false) === false;
  });
}

/** The values of a function's parameters: what a variadic one gathers, and the defaults of those that were left out. */
function parameters(fn: CatalogFunction, given: readonly Value[], ctx: Context): readonly Value[] {
  const count = fn.arguments.length;
  if (fn.variadic && given.length >= count && count > 0) {
    const gathered = labelsOf(given.slice(count - 1));
    return gathered.size === 0 ? given : [...given.slice(0, count - 1), computed(gathered)];
  }
  if (given.length >= count || fn.defaultValues === null) return given;
  const statement = parse(Buffer.from(`SELECT ${fn.defaultValues}`));
  const node = statement.ok ? statement.statements[0]?.node : undefined;
  const inner = ctx.deeper({ searchPath: [], parameters: [], inside: true });
  if (node === undefined || inner === undefined) {
    ctx.unknown('function-opaque', `the defaults of ${fn.schema}.${fn.name}() cannot be read`);
    return given;
  }
  const value = computed(labelsOf(inner.engine.query(node, EMPTY_ENV, inner).columns.map(column => column.value)));
  return [...given, ...Array.from({ length: count - given.length }, () => value)];
}

/** Calls one function of the database. */
export function callFunction(fn: CatalogFunction, given: readonly Value[], ctx: Context): Call {
  const args = parameters(fn, given, ctx);
  const labels = labelsOf(args);
  if (fn.volatility === 'v' && !isReviewed(fn)) ctx.found.effectCalls++;
  const title = `${fn.schema}.${fn.name}`;
  if (!isReviewed(fn)) ctx.dependsOnDefinitions(`${title}()`);
  if (fn.kind === 'a') return aggregate(fn, args, ctx);
  // Which of a CALL's arguments stand for parameters that are only for output is not told here: any may be any.
  if (fn.outputs > 0 && fn.kind === 'p' && args.length > fn.arguments.length && labels.size > 0)
    return callFunction(
      fn,
      fn.arguments.map(() => computed(labels)),
      ctx,
    );
  if (isReviewed(fn)) {
    return shaped(
      fn,
      computed(
        labels,
        fn.returnType,
        args.every(arg => arg.constant),
      ),
      ctx,
    );
  }
  if (fn.language === 'sql') return analyseSqlFunction(fn, args, ctx);
  if (fn.schema === 'information_schema') return shaped(fn, computed(labels, fn.returnType), ctx);
  if (labels.size > 0 && isPure(fn, ctx)) return shaped(fn, computed(labels, fn.returnType), ctx);
  if (labels.size > 0) {
    ctx.sink('function', `${title}() in ${fn.language} could do anything with a protected value`, labels);
    return shaped(fn, computed(labels, fn.returnType), ctx);
  }
  if (!isHarmless(fn, ctx)) ctx.unknown('function-opaque', `${title}() in ${fn.language} could read anything`);
  return shaped(fn, computed(labels, fn.returnType), ctx);
}

function aggregate(fn: CatalogFunction, args: readonly Value[], ctx: Context): Call {
  let value = computed(labelsOf(args), fn.returnType);
  for (const part of fn.parts) {
    if (part.schema === 'pg_catalog') {
      if (!PROPAGATING_FUNCTIONS.has(part.name)) ctx.unknown('function-opaque', `${fn.schema}.${fn.name}() is made of ${part.name}()`);
      continue;
    }
    const inner = ctx.catalog.functions.get(part.oid);
    if (inner === undefined) ctx.unknown('function-missing', `${part.schema}.${part.name}() is not known`);
    else value = either(value, callFunction(inner, args, ctx).value);
  }
  return { value, columns: null, open: false };
}

/** With the columns that the function declares. */
function shaped(fn: CatalogFunction, value: Value, ctx: Context): Call {
  if (fn.columns !== null && (fn.columns.length > 1 || fn.returnsSet)) {
    const columns = fn.columns.map(column => ({ name: column.name, value: computed(value.labels, column.type) }));
    return { value: { ...value, fields: columns }, columns, open: false };
  }
  const relation = compositeOf(ctx.catalog, fn.returnType);
  if (relation !== undefined)
    return {
      value,
      columns: relation.columns.map(column => ({ name: column.name, value: computed(value.labels, column.type) })),
      open: false,
    };
  const type = ctx.catalog.types.get(fn.returnType);
  return { value, columns: null, open: type?.name === 'record' || type?.kind === 'p' };
}
