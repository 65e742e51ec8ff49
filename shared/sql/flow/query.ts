/** Queries: SELECT, VALUES, TABLE, set operations and WITH; what each output column carries and what the rows depend on. */
import type { CommonTableExpr, Node, SelectStmt, SortBy, WithClause } from 'libpg-query';
import { nameParts } from '../ast.ts';
import type { Context, OutputColumn, QueryOutput } from './context.ts';
import { enumerates, mergeEnumerates, rowsTell } from './enumeration.ts';
import { expression, windowLabels } from './expressions.ts';
import { fromClause, restOf, shown } from './from.ts';
import { fieldsOfRow, findItem, isStar, read } from './names.ts';
import { outputName } from './output-names.ts';
import { inferFrom } from './predicates.ts';
import { schemasInOrder } from './relations.ts';
import { type Cte, type CteScope, type Env, type FromItem, within } from './scope.ts';
import { asComputed, CONSTANT, either, type Labels, NO_LABELS, UNLABELLED, unionLabels, type Value } from './value.ts';

/** Labels only grow, and there are few columns: this many rounds settle any recursive CTE that people write. */
const RECURSION_ROUNDS_MAX = 50;

/** Any statement that can stand where a query can: in a subquery, a CTE, a view. */
export function query(node: Node, env: Env, ctx: Context): QueryOutput {
  const inner = ctx.deeper({});
  if (inner === undefined) return { columns: [], rest: NO_LABELS };
  if ('SelectStmt' in node) return select(node.SelectStmt, env, inner);
  return inner.engine.statement(node, env, inner) ?? { columns: [], rest: null };
}

export function select(stmt: SelectStmt, outer: Env, ctx: Context): QueryOutput {
  const env = withClause(stmt.withClause, outer, ctx);
  if (stmt.op !== undefined && stmt.op !== 'SETOP_NONE') return setOperation(stmt, env, ctx);
  if (stmt.valuesLists !== undefined) return values(stmt, env, ctx);

  const items = fromClause(stmt.fromClause, env, ctx);
  const inside = within(env, items);
  if (stmt.whereClause !== undefined) ctx.engine.predicate(stmt.whereClause, inside, ctx);
  const windows = new Map<string, Labels>();
  for (const window of stmt.windowClause ?? []) {
    if ('WindowDef' in window)
      windows.set(window.WindowDef.name ?? '', windowLabels({ ...window.WindowDef, name: '' }, { ...inside, windows }, ctx));
  }
  const setting = settingRead(stmt, items, ctx);
  const level: Env = { ...inside, windows, ...(setting === undefined ? {} : { setting }) };
  const output = targets(stmt.targetList, items, level, ctx);
  for (const node of stmt.groupClause ?? []) grouped(node, output, level, ctx);
  if (stmt.havingClause !== undefined) ctx.engine.predicate(stmt.havingClause, level, ctx);
  for (const node of stmt.distinctClause ?? []) {
    // An empty item is a plain DISTINCT: every output column decides.
    if (Object.keys(node).length === 0) for (const column of output.columns) inferColumn(column.value, ctx);
    else ordered(node, output, level, ctx);
  }
  for (const node of stmt.sortClause ?? []) if ('SortBy' in node) sorted(node.SortBy, output, level, ctx);
  limits(stmt, level, ctx);
  return output;
}

/** `FROM pg_settings WHERE name = 'x'` and nothing else: x, where these names mean PostgreSQL's own. */
function settingRead(stmt: SelectStmt, items: readonly FromItem[], ctx: Context): string | undefined {
  const [item, ...more] = items;
  if (item?.schema !== 'pg_catalog' || item.name !== 'pg_settings' || more.length > 0) return undefined;
  // Else `=` could be somebody else's.
  if ([ctx.searchPath, ...(ctx.session.otherPaths ?? [])].some(path => schemasInOrder(path)[0] !== 'pg_catalog')) return undefined;
  const where = stmt.whereClause !== undefined && 'A_Expr' in stmt.whereClause ? stmt.whereClause.A_Expr : undefined;
  if (where?.kind !== 'AEXPR_OP' || nameParts(where.name).join('.') !== '=') return undefined;
  const { lexpr, rexpr } = where;
  if (lexpr === undefined || !('ColumnRef' in lexpr) || nameParts(lexpr.ColumnRef.fields).join('.') !== 'name') return undefined;
  return rexpr !== undefined && 'A_Const' in rexpr ? rexpr.A_Const.sval?.sval : undefined;
}

function limits(stmt: SelectStmt, env: Env, ctx: Context): void {
  for (const node of [stmt.limitCount, stmt.limitOffset]) if (node !== undefined) ctx.infer(expression(node, env, ctx), 'enumeration');
}

/** An output column decides over rows. */
function inferColumn(value: Value, ctx: Context): void {
  ctx.infer(value, value.mixed === true ? 'enumeration' : 'other');
}

/** The select list; `*` and `t.*` spread out. */
export function targets(list: readonly Node[] | undefined, items: readonly FromItem[], env: Env, ctx: Context): QueryOutput {
  const output: QueryOutput = { columns: [], rest: null };
  for (const target of list ?? []) {
    if (!('ResTarget' in target) || target.ResTarget.val === undefined) continue;
    const { name, val } = target.ResTarget;
    if ('ColumnRef' in val && isStar(val.ColumnRef)) star(nameParts(val.ColumnRef.fields), items, env, output, ctx);
    else if ('A_Indirection' in val && val.A_Indirection.indirection?.some(step => 'A_Star' in step) === true)
      rowStar(val, env, output, ctx);
    else output.columns.push({ name: name ?? outputName(val), value: marked(val, env, ctx) });
  }
  return output;
}

/** An expression's value, marked when it sets protected values against other rows. */
function marked(node: Node, env: Env, ctx: Context): Value {
  const value = expression(node, env, ctx);
  if (value.labels.size === 0 || value.plains !== null) return value;
  if (rowsTell(node, env, ctx)) ctx.infer(value, 'enumeration');
  return enumerates(node, env, ctx) ? { ...value, mixed: true } : value;
}

function star(parts: readonly string[], items: readonly FromItem[], env: Env, output: QueryOutput, ctx: Context): void {
  let columns: readonly OutputColumn[];
  let rest: Labels | null;
  if (parts.length === 0) {
    columns = shown(items);
    rest = restOf(items);
  } else {
    const item = findItem(parts, env);
    if (item === undefined) {
      ctx.unknown('column-missing', `${parts.join('.')}.* is not known`);
      output.rest = NO_LABELS;
      return;
    }
    columns = item.columns;
    rest = item.rest;
  }
  for (const column of columns) read(column.value, ctx);
  output.columns.push(...columns);
  if (rest !== null) output.rest = unionLabels(output.rest ?? NO_LABELS, rest);
}

/** (expression).* */
function rowStar(node: Extract<Node, { A_Indirection: unknown }>, env: Env, output: QueryOutput, ctx: Context): void {
  const { arg, indirection } = node.A_Indirection;
  if (arg === undefined) return;
  const steps = (indirection ?? []).filter(step => !('A_Star' in step));
  const value = expression(steps.length === 0 ? arg : { A_Indirection: { arg, indirection: steps } }, env, ctx);
  const fields = fieldsOfRow(value, ctx);
  if (fields === undefined) {
    output.rest = unionLabels(output.rest ?? NO_LABELS, value.labels);
    return;
  }
  for (const field of fields) output.columns.push({ name: field.name, value: asComputed(field.value) });
}

/** GROUP BY: a name is a column first, and an output column when there is none. */
function grouped(node: Node, output: QueryOutput, env: Env, ctx: Context): void {
  if ('GroupingSet' in node) {
    for (const item of node.GroupingSet.content ?? []) grouped(item, output, env, ctx);
    return;
  }
  if ('RowExpr' in node || 'List' in node) {
    for (const item of 'RowExpr' in node ? (node.RowExpr.args ?? []) : (node.List.items ?? [])) grouped(item, output, env, ctx);
    return;
  }
  const position = positionOf(node, output, ctx);
  if (position !== undefined) {
    inferColumn(position, ctx);
    return;
  }
  const name = bareName(node);
  const isColumn =
    name !== undefined && env.names?.items.some(item => item.bare && item.columns.some(column => column.name === name)) === true;
  const named = name === undefined || isColumn ? undefined : output.columns.find(column => column.name === name);
  if (named === undefined) inferFrom(node, env, ctx);
  else inferColumn(named.value, ctx);
}

/** ORDER BY and DISTINCT ON: a name is an output column first. */
function ordered(node: Node, output: QueryOutput, env: Env, ctx: Context): void {
  const position = positionOf(node, output, ctx);
  const name = bareName(node);
  const named = name === undefined ? undefined : output.columns.find(column => column.name === name);
  const column = position ?? named?.value;
  if (column === undefined) inferFrom(node, env, ctx);
  else inferColumn(column, ctx);
}

function sorted(sort: SortBy, output: QueryOutput, env: Env, ctx: Context): void {
  if (sort.node !== undefined) ordered(sort.node, output, env, ctx);
}

/** ORDER BY 2: which column depends on the literal. */
function positionOf(node: Node, output: QueryOutput, ctx: Context): Value | undefined {
  if (!('A_Const' in node)) return undefined;
  ctx.found.literalSensitive = true;
  const position = node.A_Const.ival?.ival ?? 0;
  return output.columns[position - 1]?.value ?? (output.rest === null ? CONSTANT : { ...UNLABELLED, labels: output.rest });
}

function bareName(node: Node): string | undefined {
  if (!('ColumnRef' in node) || isStar(node.ColumnRef)) return undefined;
  const parts = nameParts(node.ColumnRef.fields);
  return parts.length === 1 ? parts[0] : undefined;
}

function values(stmt: SelectStmt, env: Env, ctx: Context): QueryOutput {
  const columns: OutputColumn[] = [];
  for (const list of stmt.valuesLists ?? []) {
    const items = 'List' in list ? (list.List.items ?? []) : [];
    for (const [i, item] of items.entries()) {
      const value = asComputed(marked(item, env, ctx));
      const before = columns[i];
      columns[i] = { name: `column${i + 1}`, value: before === undefined ? value : either(before.value, value) };
    }
  }
  const output: QueryOutput = { columns, rest: null };
  for (const node of stmt.sortClause ?? []) if ('SortBy' in node) sorted(node.SortBy, output, within(env, [outputItem(output)]), ctx);
  limits(stmt, env, ctx);
  return output;
}

function setOperation(stmt: SelectStmt, env: Env, ctx: Context): QueryOutput {
  if (stmt.larg === undefined || stmt.rarg === undefined) return { columns: [], rest: null };
  const left = query({ SelectStmt: stmt.larg }, env, ctx);
  const right = query({ SelectStmt: stmt.rarg }, env, ctx);
  // EXCEPT returns rows of the left side only.
  const output = stmt.op === 'SETOP_EXCEPT' && right.rest === null ? combine(left, left) : combine(left, right);
  // All but UNION ALL compare rows with each other.
  if (stmt.all !== true || stmt.op !== 'SETOP_UNION')
    for (const column of [...left.columns, ...right.columns]) inferColumn(column.value, ctx);
  if (stmt.op !== 'SETOP_UNION')
    for (const [i, column] of left.columns.entries()) {
      const taken = right.columns[i]?.value;
      if (taken !== undefined && mergeEnumerates(taken, column.value)) ctx.infer(taken, 'enumeration');
    }
  for (const node of stmt.sortClause ?? []) if ('SortBy' in node) sorted(node.SortBy, output, within(env, [outputItem(output)]), ctx);
  limits(stmt, env, ctx);
  return output;
}

/** Rows of either: column by column. */
export function combine(left: QueryOutput, right: QueryOutput): QueryOutput {
  const rest = left.rest === null && right.rest === null ? null : unionLabels(left.rest ?? NO_LABELS, right.rest ?? NO_LABELS);
  if (rest !== null) {
    // Where one side's columns are not known, any of them may stand at any place.
    let all = rest;
    for (const column of [...left.columns, ...right.columns]) all = unionLabels(all, column.value.labels);
    return { columns: left.columns.map(column => ({ name: column.name, value: { ...UNLABELLED, labels: all } })), rest: all };
  }
  return {
    columns: left.columns.map((column, i) => ({ name: column.name, value: either(column.value, right.columns[i]?.value ?? UNLABELLED) })),
    rest: null,
  };
}

function outputItem(output: QueryOutput): FromItem {
  return { name: '', schema: null, columns: output.columns, rest: output.rest, qualified: false, bare: true, system: false, rowType: 0 };
}

/** The CTEs of a WITH clause, visible behind it. */
export function withClause(clause: WithClause | undefined, env: Env, ctx: Context): Env {
  if (clause === undefined) return env;
  const scope: CteScope = { ctes: new Map(), outer: env.ctes };
  const inside: Env = { names: env.names, ctes: scope };
  const list = (clause.ctes ?? []).flatMap(node => ('CommonTableExpr' in node ? [node.CommonTableExpr] : []));
  if (clause.recursive !== true) {
    for (const cte of list) {
      const before: Env = { names: env.names, ctes: { ctes: new Map(scope.ctes), outer: env.ctes } };
      scope.ctes.set(cte.ctename ?? '', { name: cte.ctename ?? '', output: cteOutput(cte, before, ctx) });
    }
    return inside;
  }
  // RECURSIVE lets a CTE see itself and those behind it.
  const pending = new Set(list);
  const solve = (cte: CommonTableExpr): void => {
    pending.delete(cte);
    scope.ctes.set(cte.ctename ?? '', recursive(cte, scope, inside, ctx));
  };
  // Forward references are rare: solve in an order in which what a CTE names comes first, as far as there is one.
  for (const cte of list) if (pending.has(cte)) for (const first of referredTo(cte, list)) if (pending.has(first)) solve(first);
  return inside;
}

/** The CTEs that a CTE needs, itself last. */
function referredTo(cte: CommonTableExpr, list: readonly CommonTableExpr[], seen: Set<CommonTableExpr> = new Set()): CommonTableExpr[] {
  if (seen.has(cte)) return [];
  seen.add(cte);
  const text = JSON.stringify(cte.ctequery ?? {});
  const order: CommonTableExpr[] = [];
  for (const other of list)
    if (other !== cte && text.includes(`"relname":${JSON.stringify(other.ctename)}`)) order.push(...referredTo(other, list, seen));
  return [...order, cte];
}

function recursive(cte: CommonTableExpr, scope: CteScope, env: Env, ctx: Context): Cte {
  const name = cte.ctename ?? '';
  const stmt = cte.ctequery !== undefined && 'SelectStmt' in cte.ctequery ? cte.ctequery.SelectStmt : undefined;
  const refersToItself = JSON.stringify(cte.ctequery ?? {}).includes(`"relname":${JSON.stringify(name)}`);
  if (stmt?.larg === undefined || !refersToItself) return { name, output: cteOutput(cte, env, ctx) };
  // The first part tells the columns; the second adds labels to them until none are new.
  const start = withClause(stmt.withClause, env, ctx);
  let output = renameCte(cte, query({ SelectStmt: stmt.larg }, start, ctx));
  for (let round = 0; ; round++) {
    scope.ctes.set(name, { name, output: withExtras(cte, output) });
    const whole = cteColumns(cte, env, ctx);
    const grown = combine(output, whole);
    if (weight(grown) === weight(output) || round >= RECURSION_ROUNDS_MAX) {
      if (round >= RECURSION_ROUNDS_MAX) ctx.unknown('too-deep', `recursion of ${name} does not settle`);
      // Rows of a recursive query have no origin in RowDescription.
      return {
        name,
        output: withExtras(cte, {
          columns: grown.columns.map(column => ({ name: column.name, value: { ...column.value, witness: null } })),
          rest: grown.rest,
        }),
      };
    }
    output = grown;
  }
}

function weight(output: QueryOutput): number {
  let sum = output.rest?.size ?? 0;
  for (const column of output.columns) sum += column.value.labels.size * 4 + (column.value.plains?.length ?? -1);
  return sum;
}

function cteColumns(cte: CommonTableExpr, env: Env, ctx: Context): QueryOutput {
  return renameCte(cte, cte.ctequery === undefined ? { columns: [], rest: null } : query(cte.ctequery, env, ctx));
}

function cteOutput(cte: CommonTableExpr, env: Env, ctx: Context): QueryOutput {
  return withExtras(cte, cteColumns(cte, env, ctx));
}

function renameCte(cte: CommonTableExpr, output: QueryOutput): QueryOutput {
  const names = nameParts(cte.aliascolnames);
  if (names.length === 0) return output;
  return { columns: output.columns.map((column, i) => ({ name: names[i] ?? column.name, value: column.value })), rest: output.rest };
}

/** SEARCH and CYCLE add columns made of the ones that they name: take all labels. */
function withExtras(cte: CommonTableExpr, output: QueryOutput): QueryOutput {
  const names: string[] = [];
  if (cte.search_clause?.search_seq_column !== undefined) names.push(cte.search_clause.search_seq_column);
  if (cte.cycle_clause?.cycle_mark_column !== undefined) names.push(cte.cycle_clause.cycle_mark_column);
  if (cte.cycle_clause?.cycle_path_column !== undefined) names.push(cte.cycle_clause.cycle_path_column);
  if (names.length === 0) return output;
  let labels: Labels = NO_LABELS;
  for (const column of output.columns) labels = unionLabels(labels, column.value.labels);
  return {
    columns: [
      ...output.columns,
      ...names
        .filter(name => !output.columns.some(column => column.name === name))
        .map(name => ({ name, value: { ...UNLABELLED, labels } })),
    ],
    rest: output.rest,
  };
}
