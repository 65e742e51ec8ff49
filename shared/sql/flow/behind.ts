/**
 * What runs behind statements that do not show it — triggers, constraints, indexes, policies, casts — runs by names. Somebody who
 * gives such a name another meaning has a statement that looks harmless read protected values, or is handed them. So a new
 * definition under a name that is used there is judged as what it is, when it is made: here.
 *
 * What was there before is its owner's to answer for. Names are compared in lower case and without schemas: what only looks like a
 * use of one counts as one.
 */
import type { CreateFunctionStmt, Node } from 'libpg-query';
import { isTree, nameParts, type Tree } from '../ast.ts';
import { parse } from '../parser.ts';
import { plpgsqlStatements } from '../plpgsql.ts';
import { EFFECT_FUNCTIONS, PROPAGATING_FUNCTIONS, REFUSED_FUNCTIONS } from './builtin-functions.ts';
import type { CatalogFunction } from './catalog.ts';
import { behindMark, type Context, Found } from './context.ts';
import { callFunction } from './functions.ts';
import { isHarmless, protectedNames } from './harmless.ts';
import { isProtected, underAnyPath } from './relations.ts';
import { bodyOf, flattenBody } from './sql-functions.ts';
import { computed, UNLABELLED, type Value } from './value.ts';

/** Stands for any value that something behind may hand on. */
const ANY_VALUE: Value = computed(new Set(['*.*.value']));

/** What runs when functions of this name run, by name, in lower case. */
export function runsWith(name: string, ctx: Context): ReadonlySet<string> {
  const names = new Set<string>();
  const note = (one: string): void => {
    if (names.has(one)) return;
    names.add(one);
    for (const fn of [...ctx.catalog.functions.values(), ...(ctx.session.functions?.values() ?? [])])
      if (fn.name.toLowerCase() === one && fn.extension === null) for (const word of words(fn)) note(word);
    for (const relation of ctx.catalog.relations.values())
      if (relation.name.toLowerCase() === one && relation.definition !== null)
        for (const word of namesIn(parsed(relation.definition), relation.definition)) note(word);
  };
  note(name.toLowerCase());
  return names;
}

/** @returns lower-case names, and whether what bears them is handed values (`values`) or only run (`rows`). */
function namesBehind(ctx: Context): ReadonlyMap<string, 'values' | 'rows'> {
  const known = ctx.shared.behind;
  if (known !== undefined) return known;
  const names = new Map<string, 'values' | 'rows'>();
  ctx.shared.behind = names;
  const byName = new Map<string, CatalogFunction[]>();
  for (const fn of ctx.catalog.functions.values()) {
    const list = byName.get(fn.name.toLowerCase());
    if (list === undefined) byName.set(fn.name.toLowerCase(), [fn]);
    else list.push(fn);
  }
  const views = new Map<string, string>();
  for (const { name, kind, definition } of ctx.catalog.relations.values())
    if (definition !== null && (kind === 'v' || kind === 'm')) views.set(name.toLowerCase(), definition);
  const note = (name: string, how: 'values' | 'rows'): void => {
    const before = names.get(name);
    if (before === how || before === 'values') return;
    names.set(name, how);
    for (const fn of byName.get(name) ?? []) if (fn.extension === null) for (const word of words(fn)) note(word, how);
    const view = views.get(name);
    if (view !== undefined) for (const word of namesIn(parsed(view), view)) note(word, how);
  };
  for (const fn of ctx.catalog.functions.values()) if (fn.behind !== null && fn.extension === null) note(fn.name.toLowerCase(), fn.behind);
  return names;
}

/** Names of relations and functions in a body. */
function words(fn: CatalogFunction): Iterable<string> {
  const text = `${fn.body ?? ''} ${fn.sqlBody ?? ''}`;
  if (fn.language === 'sql') return namesIn(bodyOf(fn), text);
  const pieces = fn.language === 'plpgsql' && fn.body !== null ? plpgsqlStatements(fn.body, fn.argumentNames) : undefined;
  if (pieces === undefined || pieces.dynamic) return wordsOf(text);
  const nodes: Node[] = [];
  for (const piece of pieces.statements) {
    const statements = parsed(piece);
    if (statements === undefined) return wordsOf(text);
    nodes.push(...statements);
  }
  return namesIn(nodes, text);
}

function parsed(text: string): readonly Node[] | undefined {
  const outcome = parse(Buffer.from(text));
  return outcome.ok ? outcome.statements.map(({ node }) => node) : undefined;
}

/** Names of relations and functions; every word of what cannot be read. */
function namesIn(nodes: readonly Node[] | undefined, text: string): Iterable<string> {
  if (nodes === undefined) return wordsOf(text);
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    else if (isTree(value)) {
      if (typeof value.relname === 'string') found.add(value.relname.toLowerCase());
      if (Array.isArray(value.funcname)) found.add((nameParts(value.funcname as Node[]).at(-1) ?? '').toLowerCase());
      for (const key in value) visit(value[key]);
    }
  };
  visit(nodes);
  return found;
}

function* wordsOf(text: string): Generator<string> {
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}_][\p{L}\p{N}_$]*/gu)) yield word;
}

/** A name that something behind statements uses; undefined for others. */
function behind(name: string, ctx: Context): 'values' | 'rows' | undefined {
  // The open transaction has put something behind statements that uses it.
  if (ctx.session.changed?.includes(behindMark(name)) === true)
    ctx.unknown('catalog-stale', `${name} has come to be used behind statements`);
  return namesBehind(ctx).get(name.toLowerCase());
}

/**
 * Names of views and functions by which protected values were worked out that are stored now, in materialized views and generated columns:
 * with other definitions it could no longer be told that they are protected.
 */
function namesStored(ctx: Context): ReadonlySet<string> {
  const known = ctx.shared.stored;
  if (known !== undefined) return known;
  const names = new Set<string>();
  ctx.shared.stored = names;
  for (const relation of ctx.catalog.relations.values()) {
    const texts = relation.kind === 'm' ? [relation.definition] : relation.columns.map(column => column.generated);
    if (texts.every(text => text === null) || !isProtected(relation, ctx)) continue;
    for (const text of texts)
      if (text !== null)
        for (const word of relation.kind === 'm' ? namesIn(parsed(text), text) : namesIn(parsed(`SELECT ${text}`), text))
          for (const name of runsWith(word, ctx)) names.add(name);
  }
  return names;
}

/** CREATE OR REPLACE of a view or function by which stored values were worked out. */
function redefined(name: string, ctx: Context): void {
  if (namesStored(ctx).has(name.toLowerCase()))
    ctx.sink('definition', `protected values are stored that ${name} brought; with another definition they could not be told from others`);
}

/** Does a notification tell protected values? When something that sends one reads them, or is run with them by a trigger. */
export function notificationsTell(ctx: Context): boolean {
  const triggers = new Set<number>();
  for (const relation of ctx.catalog.relations.values())
    if ((relation.triggers ?? []).length > 0 && isProtected(relation, ctx)) for (const oid of relation.triggers ?? []) triggers.add(oid);
  return [...ctx.catalog.functions.values()].some(fn => {
    if (!/notify/i.test(`${fn.body ?? ''} ${fn.sqlBody ?? ''}`) || fn.extension !== null) return false;
    if (triggers.has(fn.oid)) return true;
    if (fn.language === 'plpgsql') return !isHarmless(fn, ctx);
    return [...words(fn)].some(name => protectedNames(ctx).has(name));
  });
}

/** A view or table that would bear such a name: it must hold nothing protected. */
export function relationBehind(name: string, isClean: boolean, ctx: Context, replaces = false): void {
  if (replaces) redefined(name, ctx);
  if (!isClean && behind(name, ctx) !== undefined) refuse(name, ctx);
}

/** CREATE FUNCTION under such a name: it must neither bring protected values nor keep what it is handed. */
export function functionBehind(stmt: CreateFunctionStmt, ctx: Context): void {
  const name = nameParts(stmt.funcname).at(-1) ?? '';
  if (stmt.replace === true) redefined(name, ctx);
  const how = behind(name, ctx);
  if (how !== undefined && !isInnocuous(functionOf(stmt, name), how, ctx)) refuse(name, ctx);
}

/** A function that gets such a name, or comes to where it is found. */
export function functionMovedBehind(from: string, to: string, ctx: Context): void {
  const how = behind(to, ctx);
  if (how === undefined) return;
  for (const fn of ctx.catalog.functions.values()) if (fn.name === from && !isInnocuous(fn, how, ctx)) refuse(to, ctx);
}

function refuse(name: string, ctx: Context): void {
  ctx.sink('definition', `what runs behind statements uses the name ${name}, and would read or keep protected values by it`);
}

/**
 * A new function that can be followed as those of the catalog are, by its text, wherever it is called: under a name that nothing has
 * yet, with names that are looked up when it is called, and a result whose columns are written out.
 */
export function functionMade(stmt: CreateFunctionStmt, ctx: Context): CatalogFunction | undefined {
  const parts = nameParts(stmt.funcname);
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts.at(-2) : ctx.searchPath.find(place => place !== 'pg_catalog');
  const isTaken = ctx.catalog.functionNames.has(name) || isBuiltin(name) || ctx.session.functions?.has(name) === true;
  if (isTaken || schema === undefined || schema.startsWith('pg_') || stmt.is_procedure === true || stmt.sql_body !== undefined)
    return undefined;
  if (ctx.session.changed?.some(changed => changed === name || changed === '*') === true) return undefined;
  let defaults = 0;
  const columns: { name: string; type: number }[] = [];
  for (const node of stmt.parameters ?? []) {
    if (!('FunctionParameter' in node)) return undefined;
    const { mode, defexpr, name: parameter = '' } = node.FunctionParameter;
    if (mode === 'FUNC_PARAM_VARIADIC' || mode === 'FUNC_PARAM_INOUT') return undefined;
    if (mode === 'FUNC_PARAM_OUT' || mode === 'FUNC_PARAM_TABLE') columns.push({ name: parameter, type: 0 });
    if (defexpr === undefined) continue;
    if (!isConstant(defexpr)) return undefined;
    defaults++;
  }
  const returns = nameParts(stmt.returnType?.names);
  if (columns.length === 0 && !RETURNED.has(returns.at(-1) ?? '')) return undefined;
  const options = stmt.options ?? [];
  const named = new Set(options.flatMap(node => ('DefElem' in node ? [node.DefElem.defname ?? ''] : [])));
  if ([...named].some(option => !FOLLOWED_OPTIONS.has(option))) return undefined;
  const fn = functionOf(stmt, name);
  // A backslash is read by standard_conforming_strings when it is called.
  if ((fn.language !== 'sql' && fn.language !== 'plpgsql') || fn.body === null || fn.body.includes('\\')) return undefined;
  return {
    ...fn,
    schema,
    defaults,
    returnsSet: stmt.returnType?.setof === true || columns.length > 1,
    columns: columns.length === 0 ? null : columns,
    searchPath: named.has('set') ? '' : null,
  };
}

/** What a function may return without columns of its own: PostgreSQL's own types of one value. */
const RETURNED: ReadonlySet<string> = new Set(
  'bool bytea char date float4 float8 int2 int4 int8 interval json jsonb numeric text time timestamp timestamptz trigger uuid varchar void'.split(
    ' ',
  ),
);

const FOLLOWED_OPTIONS: ReadonlySet<string> = new Set([
  'as',
  'cost',
  'language',
  'leakproof',
  'parallel',
  'rows',
  'set',
  'strict',
  'volatility',
]);

function isConstant(node: Node): boolean {
  return 'A_Const' in node || ('TypeCast' in node && node.TypeCast.arg !== undefined && isConstant(node.TypeCast.arg));
}

function isBuiltin(name: string): boolean {
  return PROPAGATING_FUNCTIONS.has(name) || EFFECT_FUNCTIONS.has(name) || REFUSED_FUNCTIONS.has(name);
}

function isInnocuous(fn: CatalogFunction, how: 'values' | 'rows', ctx: Context): boolean {
  const found = new Found();
  const inner = ctx.deeper({ found });
  if (inner === undefined) return false;
  const args = fn.arguments.map(() => (how === 'values' ? ANY_VALUE : UNLABELLED));
  const { value } = callFunction(fn, args, underAnyPath(inner));
  const isOther = (label: string): boolean => !ANY_VALUE.labels.has(label);
  return (
    found.sinks.length === 0 &&
    found.unknowns.size === 0 &&
    ![...value.labels, ...found.touched, ...found.functionReads].some(isOther) &&
    !found.inferenceList().some(({ column }) => isOther(column))
  );
}

/** A function as its definition says, before the catalog has it. */
export function functionOf(stmt: CreateFunctionStmt, name: string): CatalogFunction {
  const option = (wanted: string): unknown => {
    for (const node of stmt.options ?? []) if ('DefElem' in node && node.DefElem.defname === wanted) return node.DefElem.arg;
    return undefined;
  };
  const text = (node: unknown): string | undefined => (isTree(node) ? nameParts([node as unknown as Node])[0] : undefined);
  const as = option('as');
  const list = isTree(as) && isTree(as.List) && Array.isArray(as.List.items) ? (as.List.items as Node[]) : [];
  const language = (text(option('language')) ?? 'sql').toLowerCase();
  const inputs = (stmt.parameters ?? []).flatMap(node =>
    'FunctionParameter' in node && node.FunctionParameter.mode !== 'FUNC_PARAM_OUT' && node.FunctionParameter.mode !== 'FUNC_PARAM_TABLE'
      ? [node.FunctionParameter.name ?? '']
      : [],
  );
  const statements = stmt.sql_body === undefined ? undefined : flattenBody(stmt.sql_body);
  // Settings of its own, a path among them, are not read here: it is then not known what its names mean.
  const settings = (stmt.options ?? []).some(node => 'DefElem' in node && node.DefElem.defname === 'set');
  return {
    oid: 0,
    schema: nameParts(stmt.funcname).at(-2) ?? '',
    name,
    kind: stmt.is_procedure === true ? 'p' : 'f',
    arguments: inputs.map(() => 0),
    argumentNames: inputs,
    defaultValues: null,
    outputs: 0,
    defaults: 0,
    variadic: false,
    language: settings && !isHarmlessSetting(stmt.options ?? []) ? '' : language,
    volatility: 'v',
    returnType: 0,
    returnsSet: false,
    columns: null,
    body: list[0] === undefined ? null : (nameParts([list[0]])[0] ?? null),
    sqlBody: null,
    searchPath: null,
    extension: null,
    behind: null,
    definer: null,
    parts: [],
    ...(statements === undefined ? {} : { statements }),
  };
}

/** `SET search_path = ''` and the like, which only take names away. */
function isHarmlessSetting(options: readonly Node[]): boolean {
  return options.every(node => {
    if (!('DefElem' in node) || node.DefElem.defname !== 'set') return true;
    const set = (node.DefElem.arg as unknown as Tree | undefined)?.VariableSetStmt;
    if (!isTree(set) || set.name !== 'search_path' || !Array.isArray(set.args)) return false;
    return (set.args as Node[]).every(arg => 'A_Const' in arg && ['', 'pg_catalog', 'pg_temp'].includes(arg.A_Const.sval?.sval ?? ''));
  });
}
