/**
 * INSERT, UPDATE, DELETE and MERGE: protected values may not be stored anywhere but in the column that they came from; what
 * RETURNING gives back is output like any other.
 */
import type { DeleteStmt, InsertStmt, MergeStmt, Node, OnConflictClause, RangeVar, ReturningClause, UpdateStmt } from 'libpg-query';
import { nameParts } from '../ast.ts';
import type { CatalogRelation } from './catalog.ts';
import { type Context, Found, type OutputColumn, type QueryOutput } from './context.ts';
import { expression } from './expressions.ts';
import { fromClause, tableItem } from './from.ts';
import { isHarmless } from './harmless.ts';
import { query, targets, withClause } from './query.ts';
import { parseExpression, resolveRelation } from './relations.ts';
import { EMPTY_ENV, type Env, type FromItem, within } from './scope.ts';
import { computed, type Labels, labelsOf, NO_LABELS, type Value } from './value.ts';

const NO_NAMES: ReadonlySet<string> = new Set();

interface Target {
  item: FromItem;
  title: string;
}

function targetOf(relation: RangeVar | undefined, ctx: Context): Target {
  const range = relation ?? {};
  const item = tableItem(range, ctx);
  // An error of a constraint shows the whole row.
  ctx.found.touch(labelsOf(item.columns.map(column => column.value)));
  const resolved = resolveRelation(range.schemaname, range.relname ?? '', ctx);
  if (resolved.found) for (const each of [resolved.relation, ...resolved.others]) triggersOf(each, ctx);
  return { item, title: `${item.schema ?? range.schemaname ?? '*'}.${range.relname ?? ''}` };
}

/** What a trigger brings to light is its owner's to answer for; what it says in errors and notices is not passed on. */
function triggersOf(relation: CatalogRelation, ctx: Context): void {
  for (const oid of relation.triggers ?? []) {
    const fn = ctx.catalog.functions.get(oid);
    if (fn === undefined || fn.extension !== null) continue;
    ctx.dependsOnDefinitions(`the trigger function ${fn.schema}.${fn.name}()`);
    if (!isHarmless(fn, ctx)) ctx.found.touch(BY_TRIGGER);
  }
}

const BY_TRIGGER: Labels = new Set(['*.*.*']);

/**
 * What columns get by themselves: a default that calls somebody's function may bring what that reads.
 * @param given columns that get a value, or perhaps the word DEFAULT.
 */
function defaults(relation: RangeVar | undefined, target: Target, given: ReadonlySet<string>, values: unknown, ctx: Context): void {
  const resolved = resolveRelation(relation?.schemaname, relation?.relname ?? '', ctx);
  if (!resolved.found) return;
  const own = resolved.relation.columns.filter(column => column.default !== null);
  if (own.length === 0) return;
  const byWord = JSON.stringify(values ?? null).includes('"SetToDefault"');
  for (const { name, default: text } of own) {
    if (given.has(name) && !byWord) continue;
    // A function of the schema's that cannot be followed is the schema's owner's to answer for, as triggers are.
    // Its own names are written in full; those in the bodies of what it calls are looked for where the session looks.
    const inner = ctx.deeper({ parameters: [], found: new Found(), inside: true });
    const node = parseExpression(text ?? '');
    if (inner !== undefined && node !== undefined) store(inner.engine.expression(node, EMPTY_ENV, inner).labels, target, name, ctx);
  }
}

export function insert(stmt: InsertStmt, outer: Env, ctx: Context): QueryOutput | null {
  const env = withClause(stmt.withClause, outer, ctx);
  const target = targetOf(stmt.relation, ctx);
  const names =
    stmt.cols === undefined
      ? target.item.columns.map(column => column.name)
      : stmt.cols.flatMap(node => ('ResTarget' in node ? [node.ResTarget.name ?? ''] : []));
  defaults(stmt.relation, target, new Set(stmt.selectStmt === undefined ? [] : names), stmt.selectStmt, ctx);
  if (stmt.selectStmt !== undefined) {
    const source = query(stmt.selectStmt, env, ctx);
    for (const [i, column] of source.columns.entries()) store(column.value.labels, target, names[i] ?? '?', ctx);
    if (source.rest !== null) store(source.rest, target, '*', ctx);
  }
  if (stmt.onConflictClause !== undefined) onConflict(stmt.onConflictClause, target, env, ctx);
  ctx.found.ownRows = isOwnRows(stmt, ctx);
  return returning(stmt.returningClause, target, [target.item], env, ctx);
}

/** Constants and parameters into a table without triggers or rules: a row that an error shows is what the client brought. */
function isOwnRows(stmt: InsertStmt, ctx: Context): boolean {
  const resolved = resolveRelation(stmt.relation?.schemaname, stmt.relation?.relname ?? '', ctx);
  if (!resolved.found || resolved.others.length > 0 || stmt.withClause !== undefined) return false;
  const { kind, triggers, rules, columns } = resolved.relation;
  if (kind !== 'r' || triggers?.length !== 0 || rules || columns.some(column => column.default !== null)) return false;
  if (stmt.onConflictClause?.action === 'ONCONFLICT_UPDATE') return false;
  if (stmt.selectStmt === undefined) return true;
  if (!('SelectStmt' in stmt.selectStmt)) return false;
  const { valuesLists, fromClause, targetList, larg } = stmt.selectStmt.SelectStmt;
  if (fromClause !== undefined || larg !== undefined) return false;
  return (valuesLists ?? targetList)?.every(isGiven) === true;
}

function isGiven(node: Node): boolean {
  if ('List' in node) return node.List.items?.every(isGiven) === true;
  if ('ResTarget' in node) return node.ResTarget.val !== undefined && isGiven(node.ResTarget.val);
  if ('TypeCast' in node) return node.TypeCast.arg !== undefined && isGiven(node.TypeCast.arg);
  return 'A_Const' in node || 'ParamRef' in node || 'SetToDefault' in node;
}

function onConflict(clause: OnConflictClause, target: Target, env: Env, ctx: Context): void {
  const proposed: FromItem = { ...target.item, name: 'excluded', schema: null, bare: false, system: true };
  const inside = within(env, [target.item, proposed]);
  for (const node of clause.infer?.indexElems ?? [])
    if ('IndexElem' in node && node.IndexElem.expr !== undefined) expression(node.IndexElem.expr, inside, ctx);
  if (clause.infer?.whereClause !== undefined) ctx.engine.predicate(clause.infer.whereClause, inside, ctx);
  assign(clause.targetList, target, inside, ctx, proposed);
  if (clause.whereClause !== undefined) ctx.engine.predicate(clause.whereClause, inside, ctx);
}

function namesIn(target: Target): ReadonlySet<string> {
  return new Set(target.item.columns.map(column => column.name));
}

export function update(stmt: UpdateStmt, outer: Env, ctx: Context): QueryOutput | null {
  const env = withClause(stmt.withClause, outer, ctx);
  const target = targetOf(stmt.relation, ctx);
  const items = [target.item, ...fromClause(stmt.fromClause, env, ctx)];
  const inside = within(env, items);
  if (stmt.targetList !== undefined) defaults(stmt.relation, target, namesIn(target), stmt.targetList, ctx);
  assign(stmt.targetList, target, inside, ctx);
  if (stmt.whereClause !== undefined) ctx.engine.predicate(stmt.whereClause, inside, ctx);
  return returning(stmt.returningClause, target, items, env, ctx);
}

export function remove(stmt: DeleteStmt, outer: Env, ctx: Context): QueryOutput | null {
  const env = withClause(stmt.withClause, outer, ctx);
  const target = targetOf(stmt.relation, ctx);
  const items = [target.item, ...fromClause(stmt.usingClause, env, ctx)];
  if (stmt.whereClause !== undefined) ctx.engine.predicate(stmt.whereClause, within(env, items), ctx);
  return returning(stmt.returningClause, target, items, env, ctx);
}

export function merge(stmt: MergeStmt, outer: Env, ctx: Context): QueryOutput | null {
  const env = withClause(stmt.withClause, outer, ctx);
  const target = targetOf(stmt.relation, ctx);
  const source = stmt.sourceRelation === undefined ? [] : fromClause([stmt.sourceRelation], env, ctx);
  const items = [target.item, ...source];
  const inside = within(env, items);
  defaults(stmt.relation, target, NO_NAMES, null, ctx);
  if (stmt.joinCondition !== undefined) ctx.engine.predicate(stmt.joinCondition, inside, ctx);
  for (const node of stmt.mergeWhenClauses ?? []) {
    if (!('MergeWhenClause' in node)) continue;
    const { condition, targetList, values, commandType } = node.MergeWhenClause;
    if (condition !== undefined) ctx.engine.predicate(condition, inside, ctx);
    if (commandType === 'CMD_INSERT') {
      const names =
        targetList?.flatMap(column => ('ResTarget' in column ? [column.ResTarget.name ?? ''] : [])) ??
        target.item.columns.map(column => column.name);
      for (const [i, value] of (values ?? []).entries()) store(expression(value, inside, ctx).labels, target, names[i] ?? '?', ctx);
    } else assign(targetList, target, inside, ctx);
  }
  return returning(stmt.returningClause, target, [...source, target.item], env, ctx);
}

/**
 * SET column = value: back into its own column a protected value may go, changed or not; but not into that of another row. Copies
 * in many rows could be set against what else those hold, character by character.
 */
function assign(list: readonly Node[] | undefined, target: Target, env: Env, ctx: Context, proposed?: FromItem): void {
  const others = ofOtherRows(env, target.item, proposed);
  const sources = new Map<Node, Value>(); // SET (a, b) = (…) refers to one source from each column
  for (const node of list ?? []) {
    if (!('ResTarget' in node) || node.ResTarget.val === undefined) continue;
    const { name = '', val } = node.ResTarget;
    for (const step of node.ResTarget.indirection ?? [])
      if ('A_Indices' in step)
        for (const index of [step.A_Indices.lidx, step.A_Indices.uidx]) if (index !== undefined) ctx.infer(expression(index, env, ctx));
    let value: Value;
    if ('MultiAssignRef' in val) {
      const { source, colno = 1 } = val.MultiAssignRef;
      if (source === undefined) continue;
      let whole = sources.get(source);
      if (whole === undefined) {
        whole = expression(source, env, ctx);
        sources.set(source, whole);
      }
      value = whole.fields?.[colno - 1]?.value ?? computed(whole.labels);
    } else value = expression(val, env, ctx);
    const own = target.item.columns.find(column => column.name === name)?.value.labels ?? NO_LABELS;
    if (value.plains === null && ('MultiAssignRef' in val || !isWhole(val, env, ctx)))
      for (const label of value.labels) if (own.has(label)) ctx.found.rewrites.add(label);
    const fromOthers =
      value.labels.size === 0 ? NO_LABELS : labelsApart('MultiAssignRef' in val ? val.MultiAssignRef.source : val, others, ctx);
    store(new Set([...value.labels].filter(label => !own.has(label) || fromOthers.has(label))), target, name, ctx);
  }
}

/** The same names, of which those of the changed row's own columns carry nothing. */
function ofOtherRows(env: Env, ...own: readonly (FromItem | undefined)[]): Env {
  if (env.names === null) return env;
  const items = env.names.items.map(item =>
    own.includes(item)
      ? { ...item, columns: item.columns.map(({ name, value }) => ({ name, value: { ...value, labels: NO_LABELS } })) }
      : item,
  );
  return { ...env, names: { ...env.names, items } };
}

function labelsApart(node: Node | undefined, env: Env, ctx: Context): Labels {
  const inner = ctx.deeper({ found: new Found() });
  return node === undefined || inner === undefined ? NO_LABELS : expression(node, env, inner).labels;
}

/** As it is, or nearly: nothing is cut off, put in front, or chosen by what it says. */
export function isWhole(node: Node, env: Env, ctx: Context): boolean {
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return isWhole(node.TypeCast.arg, env, ctx);
  if ('CollateClause' in node && node.CollateClause.arg !== undefined) return isWhole(node.CollateClause.arg, env, ctx);
  if ('CoalesceExpr' in node) return (node.CoalesceExpr.args ?? []).every(arg => isWhole(arg, env, ctx));
  if ('A_Expr' in node && node.A_Expr.kind === 'AEXPR_NULLIF' && node.A_Expr.lexpr !== undefined && node.A_Expr.rexpr !== undefined)
    return [node.A_Expr.lexpr, node.A_Expr.rexpr].every(arg => isWhole(arg, env, ctx));
  if ('FuncCall' in node) {
    const [only, ...others] = node.FuncCall.args ?? [];
    const parts = nameParts(node.FuncCall.funcname);
    const isOwn = ctx.catalog.functionNames.has(parts.at(-1) ?? '');
    return KEEPS_WHOLE.has(parts.at(-1) ?? '') && !isOwn && only !== undefined && others.length === 0 && isWhole(only, env, ctx);
  }
  const value = expression(node, env, ctx);
  return value.plains !== null || value.labels.size === 0;
}

const KEEPS_WHOLE: ReadonlySet<string> = new Set(['lower', 'upper', 'initcap', 'btrim', 'ltrim', 'rtrim', 'casefold', 'normalize']);

function store(labels: Labels, target: Target, column: string, ctx: Context): void {
  if (labels.size > 0) ctx.sink('table', `a protected value would be stored in ${target.title}.${column}`, labels);
}

function returning(
  clause: ReturningClause | undefined,
  target: Target,
  items: readonly FromItem[],
  env: Env,
  ctx: Context,
): QueryOutput | null {
  if (clause === undefined) return null;
  const names = { old: 'old', new: 'new' };
  for (const option of clause.options ?? []) {
    if (!('ReturningOption' in option) || option.ReturningOption.value === undefined) continue;
    if (option.ReturningOption.option === 'RETURNING_OPTION_OLD') names.old = option.ReturningOption.value;
    else names.new = option.ReturningOption.value;
  }
  const taken = new Set(items.map(item => item.name));
  const versions = [names.old, names.new]
    .filter(name => !taken.has(name))
    .map((name): FromItem => ({ ...target.item, name, schema: null, bare: false, columns: target.item.columns.map(withoutWitness) }));
  const all = [...items, ...versions];
  return targets(clause.exprs, items, within(env, all), ctx);
}

function withoutWitness(column: OutputColumn): OutputColumn {
  return { name: column.name, value: { ...column.value, witness: null } };
}
