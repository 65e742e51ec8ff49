/**
 * The FROM clause: what each item is called, which columns it shows, and what reaches them. Follows PostgreSQL's
 * parse_clause.c: a join without an alias leaves its tables' names visible and merges USING columns; functions and LATERAL
 * subqueries see the items to their left.
 */
import type { Alias, JoinExpr, JsonTable, Node, RangeFunction, RangeTableFunc, RangeVar } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import type { CatalogRelation } from './catalog.ts';
import type { Context, OutputColumn } from './context.ts';
import { countTells, mergeEnumerates } from './enumeration.ts';
import { expression, functionCall } from './expressions.ts';
import { operator } from './operators.ts';
import { relationItem, resolveRelation, unitedColumns, useRelation } from './relations.ts';
import { type Env, type FromItem, findCte, within } from './scope.ts';
import { computed, either, type Labels, labelsOf, NO_LABELS, unionLabels, type Value } from './value.ts';

/**
 * The items of a FROM clause.
 *
 * @param env names of the levels outside.
 * @returns items in order; those of a join are several.
 */
export function fromClause(nodes: readonly Node[] | undefined, env: Env, ctx: Context): FromItem[] {
  const items: FromItem[] = [];
  for (const node of nodes ?? []) items.push(...fromNode(node, items, env, ctx));
  return items;
}

/** @param left items to the left, which LATERAL sees. */
function fromNode(node: Node, left: readonly FromItem[], env: Env, ctx: Context): FromItem[] {
  const lateral = (): Env => within(env, left);
  if ('RangeVar' in node) return [rangeVar(node.RangeVar, env, ctx)];
  if ('JoinExpr' in node) return join(node.JoinExpr, left, env, ctx);
  if ('RangeSubselect' in node) {
    const { subquery, alias, lateral: sees } = node.RangeSubselect;
    if (subquery === undefined) return [];
    const output = ctx.engine.query(subquery, sees === true ? lateral() : env, ctx);
    return [
      renamed(
        {
          name: alias?.aliasname ?? '',
          schema: null,
          columns: output.columns,
          rest: output.rest,
          qualified: alias !== undefined,
          bare: true,
          system: false,
          rowType: 0,
        },
        alias,
      ),
    ];
  }
  if ('RangeFunction' in node) return [rangeFunction(node.RangeFunction, lateral(), ctx)];
  if ('RangeTableFunc' in node) return [xmlTable(node.RangeTableFunc, lateral(), ctx)];
  if ('JsonTable' in node) return [jsonTable(node.JsonTable, lateral(), ctx)];
  if ('RangeTableSample' in node) {
    const { relation, args, repeatable, method } = node.RangeTableSample;
    for (const arg of [...(args ?? []), repeatable]) if (arg !== undefined) ctx.infer(expression(arg, lateral(), ctx), 'enumeration');
    const parts = nameParts(method);
    const name = parts.at(-1) ?? '';
    if (name !== 'system' && name !== 'bernoulli') ctx.unknown('function-opaque', `TABLESAMPLE method ${name}`);
    return relation === undefined ? [] : fromNode(relation, left, env, ctx);
  }
  ctx.unknown('unsupported', `${tagOf(node)} in FROM is not understood`);
  return [];
}

export function rangeVar(range: RangeVar, env: Env, ctx: Context): FromItem {
  const name = range.relname ?? '';
  const alias = range.alias?.aliasname;
  if (range.schemaname === undefined) {
    const cte = findCte(env, name);
    if (cte !== undefined) {
      const { columns, rest } = cte.output;
      return renamed(
        { name: alias ?? name, schema: null, columns, rest, qualified: true, bare: true, system: false, rowType: 0 },
        range.alias,
      );
    }
  }
  return renamed(tableItem(range, ctx), range.alias);
}

/** A table by its name, never a CTE: also the target of a change. */
export function tableItem(range: RangeVar, ctx: Context): FromItem {
  const name = range.relname ?? '';
  const alias = range.alias?.aliasname;
  const resolved = resolveRelation(range.schemaname, name, ctx);
  if (!resolved.found) {
    ctx.unknown('relation-missing', `relation ${range.schemaname === undefined ? '' : `${range.schemaname}.`}${name} is not known`);
    return { name: alias ?? name, schema: null, columns: [], rest: NO_LABELS, qualified: true, bare: true, system: true, rowType: 0 };
  }
  const { relation, others } = resolved;
  let columns = useRelation(relation, ctx);
  let rest: Labels | null = null;
  if (others.length > 0) {
    for (const other of others) useRelation(other, ctx);
    columns = unitedColumns(relation, others, ctx);
    // Where they differ in more than labels, `*` may mean either's columns, in either's order.
    const names = (of: CatalogRelation): string => of.columns.map(column => column.name).join('\0');
    if (others.some(other => names(other) !== names(relation))) rest = labelsOf(columns.map(column => column.value));
  }
  return { ...relationItem(relation, columns, alias ?? name, alias === undefined ? relation.schema : null), rest };
}

/** With the names that an alias gives to the first columns. */
function renamed(item: FromItem, alias: Alias | undefined): FromItem {
  const names = nameParts(alias?.colnames);
  if (names.length === 0) return item;
  return { ...item, columns: item.columns.map((column, i) => (names[i] === undefined ? column : { name: names[i], value: column.value })) };
}

function join(node: JoinExpr, left: readonly FromItem[], env: Env, ctx: Context): FromItem[] {
  const { larg, rarg, alias, quals, usingClause, isNatural, jointype, join_using_alias: usingAlias } = node;
  if (larg === undefined || rarg === undefined) return [];
  const leftItems = fromNode(larg, left, env, ctx);
  const rightItems = fromNode(rarg, [...left, ...leftItems], env, ctx);
  const leftColumns = shown(leftItems);
  const rightColumns = shown(rightItems);
  const rest = restOf([...leftItems, ...rightItems]);

  let using = nameParts(usingClause);
  if (isNatural === true) {
    using = leftColumns.filter(column => rightColumns.some(other => other.name === column.name)).map(column => column.name);
    if (rest !== null) ctx.unknown('unsupported', 'a NATURAL JOIN with a function whose columns are not known');
  }
  const merged: OutputColumn[] = [];
  for (const name of using) {
    const l = leftColumns.find(column => column.name === name)?.value;
    const r = rightColumns.find(column => column.name === name)?.value;
    if (l === undefined || r === undefined) {
      ctx.unknown('column-missing', `column ${name} of JOIN USING is not known`);
      continue;
    }
    const kind = mergeEnumerates(l, r) || l.mixed === true || r.mixed === true ? 'enumeration' : 'other';
    for (const side of [l, r]) {
      ctx.infer(side, kind);
      ctx.found.touch(side.labels);
    }
    operator(['='], [l, r], ctx);
    merged.push({ name, value: mergedValue(jointype, l, r) });
  }
  if (quals !== undefined) ctx.engine.predicate(quals, within(env, [...left, ...leftItems, ...rightItems]), ctx);

  const used = new Set(using);
  const columns = [
    ...merged,
    ...leftColumns.filter(column => !used.has(column.name)),
    ...rightColumns.filter(column => !used.has(column.name)),
  ];
  const joined: FromItem = {
    name: alias?.aliasname ?? '',
    schema: null,
    columns,
    rest,
    qualified: alias !== undefined,
    bare: true,
    system: false,
    rowType: 0,
  };
  if (alias !== undefined) return [renamed(joined, alias)];
  // Without an alias the tables inside keep their names, and the join shows the columns.
  const inside = [...leftItems, ...rightItems].filter(item => item.qualified).map(item => ({ ...item, bare: false }));
  if (usingAlias?.aliasname !== undefined)
    inside.push({
      name: usingAlias.aliasname,
      schema: null,
      columns: merged,
      rest: null,
      qualified: true,
      bare: false,
      system: false,
      rowType: 0,
    });
  return [...inside, joined];
}

function mergedValue(type: JoinExpr['jointype'], left: Value, right: Value): Value {
  if (type === 'JOIN_RIGHT') return right;
  if (type === 'JOIN_FULL') return { ...either(left, right), plains: null };
  return left;
}

/** Columns that `*` would show. */
export function shown(items: readonly FromItem[]): OutputColumn[] {
  return items.filter(item => item.bare).flatMap(item => item.columns);
}

export function restOf(items: readonly FromItem[]): Labels | null {
  let rest: Labels | null = null;
  for (const item of items) if (item.bare && item.rest !== null) rest = unionLabels(rest ?? NO_LABELS, item.rest);
  return rest;
}

/** Functions whose rows are written out in a constant argument, as in a VALUES list; a series' rows are not. */
const LISTS: ReadonlySet<string> = new Set(
  'unnest json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text regexp_split_to_table string_to_table'.split(
    ' ',
  ),
);

function rangeFunction(node: RangeFunction, env: Env, ctx: Context): FromItem {
  const columns: OutputColumn[] = [];
  let rest: Labels | null = null;
  let scalar = false;
  const functions = node.functions ?? [];
  let firstName = '';
  for (const entry of functions) {
    const [fn, definitions] = 'List' in entry ? (entry.List.items ?? []) : [];
    if (fn === undefined) continue;
    const name = 'FuncCall' in fn ? (nameParts(fn.FuncCall.funcname).at(-1) ?? '') : functionLikeName(fn);
    firstName ||= name;
    const found = 'FuncCall' in fn ? functionCall(fn.FuncCall, env, ctx) : { value: expression(fn, env, ctx), columns: null, open: false };
    // How many rows come can tell; how many options a foreign server has tells none of them.
    if (name !== 'pg_options_to_table')
      ctx.infer(found.value, countTells('FuncCall' in fn ? (fn.FuncCall.args ?? []) : [fn], env, ctx) ? 'enumeration' : 'other');
    const defined = definitionNames([
      ...(definitions !== undefined && 'List' in definitions ? (definitions.List.items ?? []) : []),
      ...(functions.length === 1 ? (node.coldeflist ?? []) : []),
    ]);
    const argumentsGiven = 'FuncCall' in fn ? (fn.FuncCall.args ?? []).length : 0;
    if (defined.length > 0) for (const column of defined) columns.push({ name: column, value: computed(found.value.labels) });
    else if (name === 'unnest' && argumentsGiven > 1)
      for (let i = 0; i < argumentsGiven; i++) columns.push({ name, value: computed(found.value.labels) });
    else if (found.columns !== null) columns.push(...found.columns);
    else if (found.open) rest = unionLabels(rest ?? NO_LABELS, found.value.labels);
    else {
      columns.push({ name, value: { ...found.value, plains: null, witness: null, constant: found.value.constant && LISTS.has(name) } });
      scalar = functions.length === 1;
    }
  }
  if (node.ordinality === true) columns.push({ name: 'ordinality', value: computed(NO_LABELS) });
  const alias = node.alias?.aliasname;
  // A function that returns one scalar is called like its alias, and so is its column.
  const own =
    scalar && alias !== undefined ? columns.map((column, i) => (i === 0 ? { name: alias, value: column.value } : column)) : columns;
  const item: FromItem = {
    name: alias ?? firstName,
    schema: null,
    columns: own,
    rest,
    qualified: true,
    bare: true,
    system: false,
    rowType: scalar && own.length === 1 ? -1 : 0,
    ...(firstName === 'pg_options_to_table' ? { ofOneRow: true as const } : {}),
  };
  return renamed(item, node.alias);
}

function functionLikeName(node: Node): string {
  const tag = tagOf(node);
  if (tag === 'SQLValueFunction') {
    const op = fieldsOf(node).op;
    return typeof op === 'string' ? op.replace('SVFOP_', '').replace(/_N$/, '').toLowerCase() : '';
  }
  return tag === 'CoalesceExpr' ? 'coalesce' : tag === 'TypeCast' ? 'cast' : tag.toLowerCase();
}

function definitionNames(nodes: readonly Node[]): string[] {
  return nodes.flatMap(node => ('ColumnDef' in node && node.ColumnDef.colname !== undefined ? [node.ColumnDef.colname] : []));
}

function xmlTable(node: RangeTableFunc, env: Env, ctx: Context): FromItem {
  const inputs: Value[] = [];
  for (const input of [
    node.docexpr,
    node.rowexpr,
    ...(node.namespaces ?? []).map(entry => ('ResTarget' in entry ? entry.ResTarget.val : undefined)),
  ])
    if (input !== undefined) inputs.push(expression(input, env, ctx));
  const names: string[] = [];
  for (const column of node.columns ?? []) {
    if (!('RangeTableFuncCol' in column)) continue;
    const { colname, colexpr, coldefexpr } = column.RangeTableFuncCol;
    names.push(colname ?? '');
    for (const part of [colexpr, coldefexpr]) if (part !== undefined) inputs.push(expression(part, env, ctx));
  }
  return documentItem('xmltable', names, labelsOf(inputs), node.alias, ctx);
}

function jsonTable(node: JsonTable, env: Env, ctx: Context): FromItem {
  const inputs: Value[] = [];
  const names: string[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
      return;
    }
    if (!isTree(value)) return;
    const tag = tagOf(value);
    if (tag === 'JsonTableColumn') {
      const column = fieldsOf(value);
      if (column.coltype !== 'JTC_NESTED' && typeof column.name === 'string') names.push(column.name);
      visit(column.columns);
      visit(column.on_empty);
      visit(column.on_error);
    } else if (tag.charCodeAt(0) >= 65 && tag.charCodeAt(0) <= 90) {
      if (tag === 'JsonArgument' || tag === 'JsonValueExpr' || tag === 'JsonBehavior') visit(fieldsOf(value));
      else if (tag !== 'TypeName' && tag !== 'JsonTablePathSpec' && tag !== 'String')
        inputs.push(expression(value as unknown as Node, env, ctx));
    } else for (const key in value) if (key !== 'typeName' && key !== 'format' && key !== 'pathspec' && key !== 'alias') visit(value[key]);
  };
  visit(node.context_item);
  visit(node.passing);
  visit(node.columns);
  visit(node.on_error);
  return documentItem('json_table', names, labelsOf(inputs), node.alias, ctx);
}

function documentItem(name: string, names: readonly string[], labels: Labels, alias: Alias | undefined, ctx: Context): FromItem {
  const value = computed(labels);
  ctx.infer(value);
  return renamed(
    {
      name: alias?.aliasname ?? name,
      schema: null,
      columns: names.map(column => ({ name: column, value })),
      rest: null,
      qualified: true,
      bare: true,
      system: false,
      rowType: 0,
    },
    alias,
  );
}
