/**
 * Labels through expressions: whatever an expression reads reaches its value, conditions included. An expression node that is
 * not understood makes the statement unknown; nothing is assumed about it.
 */
import type { FuncCall, Node, SubLink, WindowDef } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import type { Context, QueryOutput } from './context.ts';
import { call } from './functions.ts';
import { columnReference, fieldOf, isStar, rowReference } from './names.ts';
import { cast, operator, typeOf } from './operators.ts';
import type { Env } from './scope.ts';
import { isSystemLabel } from './system-columns.ts';
import {
  asComputed,
  CONSTANT,
  computed,
  type Field,
  type Labels,
  labelsOf,
  NO_LABELS,
  UNLABELLED,
  unionLabels,
  type Value,
} from './value.ts';

/** JSON and XML expressions: the value carries everything inside. */
const CONTAINERS: ReadonlySet<string> = new Set([
  'XmlExpr',
  'XmlSerialize',
  'JsonFuncExpr',
  'JsonObjectConstructor',
  'JsonArrayConstructor',
  'JsonArrayQueryConstructor',
  'JsonParseExpr',
  'JsonScalarExpr',
  'JsonSerializeExpr',
  'JsonIsPredicate',
  'JsonValueExpr',
  'JsonKeyValue',
  'JsonArgument',
  'JsonBehavior',
  'JsonOutput',
  'JsonObjectAgg',
  'JsonArrayAgg',
  'JsonAggConstructor',
]);

export function expression(node: Node, env: Env, ctx: Context): Value {
  if ('ColumnRef' in node)
    return isStar(node.ColumnRef) ? rowReference(node.ColumnRef, env, ctx) : columnReference(node.ColumnRef, env, ctx);
  if ('A_Const' in node) return CONSTANT;
  if ('ParamRef' in node) return ctx.parameters[(node.ParamRef.number ?? 0) - 1] ?? CONSTANT;
  if ('A_Expr' in node) return operatorExpression(node, env, ctx);
  if ('FuncCall' in node) return functionCall(node.FuncCall, env, ctx).value;
  if ('TypeCast' in node) return typeCast(node, env, ctx);
  if ('BoolExpr' in node) return inTurn(node.BoolExpr.args, env, ctx);
  if ('SubLink' in node) return sublink(node.SubLink, env, ctx);
  if ('CaseExpr' in node) return caseExpression(node, env, ctx);
  if ('CoalesceExpr' in node) return inTurn(node.CoalesceExpr.args, env, ctx);
  if ('MinMaxExpr' in node) return all(node.MinMaxExpr.args, env, ctx);
  if ('NullTest' in node) return all([node.NullTest.arg], env, ctx);
  if ('BooleanTest' in node) return all([node.BooleanTest.arg], env, ctx);
  if ('CollateClause' in node) return all([node.CollateClause.arg], env, ctx);
  if ('NamedArgExpr' in node) return all([node.NamedArgExpr.arg], env, ctx);
  if ('A_ArrayExpr' in node) return all(node.A_ArrayExpr.elements, env, ctx);
  if ('RowExpr' in node) return row(node.RowExpr.args ?? [], env, ctx);
  if ('List' in node) return row(node.List.items ?? [], env, ctx);
  if ('A_Indirection' in node) return indirection(node, env, ctx);
  if ('SQLValueFunction' in node) return UNLABELLED;
  if ('GroupingFunc' in node) {
    all(node.GroupingFunc.args, env, ctx); // it tells the grouping set, not the value
    return UNLABELLED;
  }
  if ('MergeSupportFunc' in node || 'SetToDefault' in node || 'CurrentOfExpr' in node) return UNLABELLED;
  const tag = tagOf(node);
  if (tag === '') return CONSTANT;
  if (CONTAINERS.has(tag)) return container(node, env, ctx);
  ctx.unknown('unsupported', `the expression ${tag} is not understood`);
  return UNLABELLED;
}

function all(nodes: readonly (Node | undefined)[] | undefined, env: Env, ctx: Context): Value {
  let labels = NO_LABELS;
  let constant = true;
  for (const node of nodes ?? []) {
    if (node === undefined) continue;
    const value = expression(node, env, ctx);
    labels = unionLabels(labels, value.labels);
    constant &&= value.constant;
  }
  return computed(labels, 0, constant);
}

/** Whether the later ones are worked out at all depends on the earlier ones: what they do besides would tell. */
function inTurn(nodes: readonly Node[] | undefined, env: Env, ctx: Context): Value {
  let labels = NO_LABELS;
  let constant = true;
  for (const node of nodes ?? []) {
    const effects = ctx.found.effectCalls;
    const value = expression(node, env, ctx);
    dependentEffect(effects, labels, ctx);
    labels = unionLabels(labels, value.labels);
    constant &&= value.constant;
  }
  return computed(labels, 0, constant);
}

/** @param before the count of calls with effects, before what only runs if a value with these labels says so. */
function dependentEffect(before: number, labels: Labels, ctx: Context): void {
  if (labels.size > 0 && ctx.found.effectCalls > before)
    ctx.sink('function', 'whether a function with effects is called depends on a protected value', labels);
}

function operatorExpression(node: Extract<Node, { A_Expr: unknown }>, env: Env, ctx: Context): Value {
  const { lexpr, rexpr, name, kind } = node.A_Expr;
  const operands: Value[] = [];
  if (lexpr !== undefined) operands.push(expression(lexpr, env, ctx));
  if (rexpr !== undefined) {
    // IN (…) and BETWEEN have a list on the right: each item is an operand.
    if ('List' in rexpr && (kind === 'AEXPR_IN' || kind?.startsWith('AEXPR_BETWEEN') || kind?.startsWith('AEXPR_NOT_BETWEEN'))) {
      const [first] = operands;
      const items = (rexpr.List.items ?? []).map(item => expression(item, env, ctx));
      const value = computed(
        labelsOf([...operands, ...items]),
        0,
        [...operands, ...items].every(operand => operand.constant),
      );
      if (value.constant || first === undefined) return value;
      return hiddenOperators(kind === 'AEXPR_IN' ? [nameParts(name)] : RANGE, first, value, ctx);
    }
    operands.push(expression(rexpr, env, ctx));
  }
  if (kind === 'AEXPR_NULLIF' && operands[0] !== undefined) {
    const value = computed(labelsOf(operands), operands[0].type, false);
    return { ...hiddenOperators([EQUALS], operands[0], value, ctx), type: value.type };
  }
  return operator(nameParts(name), operands, ctx);
}

const EQUALS = ['='];
const RANGE = [['>='], ['<='], ['<'], ['>']];

/** Operators that stand in no place where one would look for them, and which may be somebody's own. */
function hiddenOperators(names: readonly (readonly string[])[], first: Value, others: Value, ctx: Context): Value {
  let { labels } = others;
  if (ctx.catalog.operators.size === 0) return others;
  for (const name of names)
    for (const operand of [others, computed(others.labels)]) labels = unionLabels(labels, operator(name, [first, operand], ctx).labels);
  return { ...others, labels };
}

function typeCast(node: Extract<Node, { TypeCast: unknown }>, env: Env, ctx: Context): Value {
  const { arg, typeName } = node.TypeCast;
  const value = arg === undefined ? CONSTANT : expression(arg, env, ctx);
  return typeName === undefined ? asComputed(value) : cast(value, typeName, ctx);
}

function caseExpression(node: Extract<Node, { CaseExpr: unknown }>, env: Env, ctx: Context): Value {
  const { arg, args, defresult } = node.CaseExpr;
  const test = arg === undefined ? undefined : expression(arg, env, ctx);
  if (test !== undefined) ctx.infer(test);
  let labels = test?.labels ?? NO_LABELS;
  let constant = test?.constant ?? true;
  for (const when of args ?? []) {
    if (!('CaseWhen' in when)) continue;
    const { expr, result } = when.CaseWhen;
    if (expr !== undefined) {
      // Which branch is taken can be told by time and errors, whatever happens to the value.
      const condition = expression(expr, env, ctx);
      // Whether a catalog's secret is there at all is none: psql asks for it.
      const there = 'NullTest' in expr && [...condition.labels].every(isSystemLabel);
      if (test === undefined && !there) ctx.engine.predicate(expr, env, ctx);
      if (test !== undefined) ctx.infer(condition);
      labels = unionLabels(labels, condition.labels);
      if (test !== undefined) labels = hiddenOperators([EQUALS], test, computed(unionLabels(labels, condition.labels)), ctx).labels;
      constant &&= condition.constant;
    }
    if (result !== undefined) {
      const effects = ctx.found.effectCalls;
      const value = expression(result, env, ctx);
      dependentEffect(effects, labels, ctx);
      labels = unionLabels(labels, value.labels);
      constant &&= value.constant;
    }
  }
  if (defresult !== undefined) {
    const effects = ctx.found.effectCalls;
    const value = expression(defresult, env, ctx);
    dependentEffect(effects, labels, ctx);
    labels = unionLabels(labels, value.labels);
    constant &&= value.constant;
  }
  return computed(labels, 0, constant);
}

function row(items: readonly Node[], env: Env, ctx: Context): Value {
  const fields: Field[] = [];
  for (const item of items) {
    if ('ColumnRef' in item && isStar(item.ColumnRef)) {
      // row(t.*) has t's columns as fields.
      const whole = rowReference(item.ColumnRef, env, ctx);
      for (const field of whole.fields ?? [{ name: '', value: computed(whole.labels) }])
        fields.push({ name: `f${fields.length + 1}`, value: field.value });
    } else fields.push({ name: `f${fields.length + 1}`, value: expression(item, env, ctx) });
  }
  const values = fields.map(field => field.value);
  return { labels: labelsOf(values), plains: null, witness: null, type: 0, fields, constant: values.every(value => value.constant) };
}

function indirection(node: Extract<Node, { A_Indirection: unknown }>, env: Env, ctx: Context): Value {
  const { arg, indirection: steps } = node.A_Indirection;
  let value = arg === undefined ? CONSTANT : expression(arg, env, ctx);
  let labels = NO_LABELS;
  for (const step of steps ?? []) {
    if ('A_Indices' in step) {
      const { lidx, uidx } = step.A_Indices;
      const index = all([lidx, uidx], env, ctx);
      labels = unionLabels(labels, index.labels);
      const element = ctx.catalog.types.get(value.type)?.element ?? 0;
      value = computed(value.labels, step.A_Indices.is_slice === true ? value.type : element, value.constant && index.constant);
    } else if ('String' in step) value = fieldOf(value, step.String.sval ?? '', ctx);
  }
  const result = asComputed(value);
  return labels.size === 0 ? result : { ...result, labels: unionLabels(result.labels, labels) };
}

function sublink(link: SubLink, env: Env, ctx: Context): Value {
  if (link.subselect === undefined) return UNLABELLED;
  const { inferences, effectCalls, sinks, unknowns } = ctx.found;
  const before = new Set(inferences);
  const [sinksBefore, unknownsBefore] = [sinks.length, unknowns.size];
  const output = ctx.engine.query(link.subselect, env, ctx);
  let value = sublinkValue(link, output, env, ctx);
  const isPure = ctx.found.effectCalls === effectCalls && sinks.length === sinksBefore && unknowns.size === unknownsBefore;
  if (link.subLinkType === 'ARRAY_SUBLINK' && isPure && readsNoTable(link.subselect)) {
    // Which of its own rows are in the array, and in what order, only the array tells: it is masked for that as well.
    let labels = value.labels;
    for (const entry of [...inferences]) {
      if (before.has(entry)) continue;
      inferences.delete(entry);
      labels = unionLabels(labels, new Set([entry.slice(entry.indexOf(' ') + 1)]));
    }
    value = { ...value, labels };
  }
  return value.labels.size > 0 && output.columns.some(column => column.value.mixed === true) ? { ...value, mixed: true } : value;
}

/** One SELECT over what functions make of their arguments. */
export function readsNoTable(node: Node): boolean {
  if (!('SelectStmt' in node)) return false;
  const { op, withClause, valuesLists, fromClause } = node.SelectStmt;
  const isPlain = (op === undefined || op === 'SETOP_NONE') && withClause === undefined && valuesLists === undefined;
  return isPlain && fromClause !== undefined && fromClause.length > 0 && fromClause.every(item => 'RangeFunction' in item);
}

function sublinkValue(link: SubLink, output: QueryOutput, env: Env, ctx: Context): Value {
  const test = link.testexpr === undefined ? undefined : expression(link.testexpr, env, ctx);
  const values = output.columns.map(column => column.value);
  let labels = unionLabels(labelsOf(values), output.rest ?? NO_LABELS);
  if (test !== undefined) {
    const name = nameParts(link.operName);
    labels = hiddenOperators([name.length === 0 ? EQUALS : name], computed(test.labels), computed(labels), ctx).labels;
  }
  switch (link.subLinkType) {
    case 'EXISTS_SUBLINK':
      return UNLABELLED; // whether a row is there is inference, found where the rows are chosen
    case 'EXPR_SUBLINK': {
      const first = values[0];
      return values.length === 1 && first !== undefined
        ? { ...first, labels, plains: null, witness: null, constant: false }
        : computed(labels);
    }
    case 'MULTIEXPR_SUBLINK':
      return { labels, plains: null, witness: null, type: 0, fields: output.columns, constant: false };
    case 'ARRAY_SUBLINK':
      return computed(labels, ctx.catalog.types.get(values[0]?.type ?? 0)?.array ?? 0);
    default:
      return computed(unionLabels(labels, test?.labels ?? NO_LABELS));
  }
}

/** Everything inside a JSON or XML expression. */
function container(node: Node, env: Env, ctx: Context): Value {
  let labels: Labels = NO_LABELS;
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
      return;
    }
    if (!isTree(value)) return;
    const tag = tagOf(value);
    const wrapped = tag.charCodeAt(0) >= 65 && tag.charCodeAt(0) <= 90;
    if (!wrapped) {
      for (const key in value) {
        if (key === 'typeName' || key === 'output' || key === 'format' || key === 'over' || key === 'agg_order' || key === 'agg_filter')
          continue;
        visit(value[key]);
      }
      if (isTree(value.over) || value.agg_order !== undefined || value.agg_filter !== undefined)
        labels = unionLabels(labels, aggregation(value, env, ctx));
      return;
    }
    if (tag === 'ResTarget') visit(fieldsOf(value).val);
    else if (tag === 'SelectStmt') {
      const output = ctx.engine.query(value as unknown as Node, env, ctx);
      labels = unionLabels(labels, unionLabels(labelsOf(output.columns.map(column => column.value)), output.rest ?? NO_LABELS));
    } else if (CONTAINERS.has(tag)) visit(fieldsOf(value));
    else if (tag !== 'TypeName' && tag !== 'JsonFormat' && tag !== 'String' && tag !== 'JsonTablePathSpec')
      labels = unionLabels(labels, expression(value as unknown as Node, env, ctx).labels);
  };
  visit(fieldsOf(node));
  return computed(labels);
}

/** The parts of an aggregate that choose and order its rows. */
function aggregation(fields: { readonly [key: string]: unknown }, env: Env, ctx: Context): Labels {
  let labels: Labels = NO_LABELS;
  const note = (value: Value): void => {
    ctx.infer(value);
    labels = unionLabels(labels, value.labels);
  };
  for (const sort of Array.isArray(fields.agg_order) ? (fields.agg_order as Node[]) : [])
    if ('SortBy' in sort && sort.SortBy.node !== undefined) note(expression(sort.SortBy.node, env, ctx));
  if (isTree(fields.agg_filter)) {
    const filter = fields.agg_filter as unknown as Node;
    ctx.engine.predicate(filter, env, ctx);
    labels = unionLabels(labels, expression(filter, env, ctx).labels);
  }
  if (isTree(fields.over)) labels = unionLabels(labels, windowLabels(fields.over as WindowDef, env, ctx));
  return labels;
}

/** What a window is made of: the rows' partition and order. */
export function windowLabels(window: WindowDef, env: Env, ctx: Context): Labels {
  const values: Value[] = [];
  for (const node of window.partitionClause ?? []) values.push(expression(node, env, ctx));
  for (const node of window.orderClause ?? [])
    if ('SortBy' in node && node.SortBy.node !== undefined) values.push(expression(node.SortBy.node, env, ctx));
  for (const node of [window.startOffset, window.endOffset]) if (node !== undefined) values.push(expression(node, env, ctx));
  for (const value of values) ctx.infer(value);
  const named = window.name ?? window.refname;
  const referred = named === undefined ? undefined : env.windows?.get(named);
  return unionLabels(labelsOf(values), referred ?? NO_LABELS);
}

/** A call, also where it stands in FROM. */
export function functionCall(node: FuncCall, env: Env, ctx: Context): NonNullable<ReturnType<typeof call>> {
  const parts = nameParts(node.funcname);
  const args: Value[] = [];
  for (const arg of node.args ?? []) args.push(expression(arg, env, ctx));
  // Named arguments may stand for any parameter.
  if ((node.args ?? []).some(arg => 'NamedArgExpr' in arg)) {
    const labels = labelsOf(args);
    if (labels.size > 0) args.splice(0, args.length, ...args.map(() => computed(labels)));
  }
  const extra = aggregation(node as { readonly [key: string]: unknown }, env, ctx);
  if (isSetConfig(parts)) setConfig(node.args ?? [], env, ctx);
  // WITHIN GROUP (ORDER BY x): x is an argument as well.
  if (node.agg_within_group === true)
    for (const sort of node.agg_order ?? [])
      if ('SortBy' in sort && sort.SortBy.node !== undefined) args.push(expression(sort.SortBy.node, env, ctx));
  const found = call(parts, args, ctx) ?? disguisedCast(parts, args, ctx);
  if (found === undefined) {
    const only = args[0];
    // f(row) may be row.f
    if (args.length === 1 && only?.fields?.some(field => field.name === parts.at(-1)) === true)
      return { value: asComputed(fieldOf(only, parts.at(-1) ?? '', ctx)), columns: null, open: false };
    ctx.unknown('function-missing', `function ${parts.join('.')}() is not known`);
    return { value: computed(unionLabels(labelsOf(args), extra)), columns: null, open: true };
  }
  const aggregate = node.agg_star === true || node.over !== undefined || node.agg_filter !== undefined;
  const value = {
    ...found.value,
    labels: unionLabels(found.value.labels, extra),
    constant: found.value.constant && !aggregate && args.length > 0,
  };
  return { ...found, value };
}

/** text(x), int4(x): a type's name called with one argument is a cast. */
function disguisedCast(parts: readonly string[], args: readonly Value[], ctx: Context): ReturnType<typeof call> {
  const only = args[0];
  if (only === undefined || args.length !== 1) return undefined;
  const typeName = { names: parts.map(sval => ({ String: { sval } })) };
  return typeOf(typeName, ctx) === 0 ? undefined : { value: cast(only, typeName, ctx), columns: null, open: false };
}

function isSetConfig(parts: readonly string[]): boolean {
  return parts.at(-1) === 'set_config' && (parts.length === 1 || parts[parts.length - 2] === 'pg_catalog');
}

/** Settings that mean nothing to how statements are read: whether one is set or not need not be known. */
const SETTINGS_WITHOUT_MEANING: ReadonlySet<string> = new Set(['restrict_nonsystem_relation_kind']);

/** Settings that change neither what names and texts mean nor who somebody is, whatever their value. */
const FREE_SETTINGS: ReadonlySet<string> = new Set([
  'application_name',
  'enable_bitmapscan',
  'enable_hashjoin',
  'enable_indexscan',
  'enable_mergejoin',
  'enable_nestloop',
  'enable_seqscan',
  'idle_in_transaction_session_timeout',
  'jit',
  'lock_timeout',
  'maintenance_work_mem',
  'plan_cache_mode',
  'statement_timeout',
  'work_mem',
]);

/** Also an application's own, as row security policies read: they have a dot in their name. */
function isFreeSetting(name: string | undefined): boolean {
  const setting = name?.toLowerCase() ?? '';
  return FREE_SETTINGS.has(setting) || (setting.includes('.') && !setting.startsWith('plpgsql.'));
}

function isParameter(node: Node | undefined): boolean {
  if (node === undefined) return false;
  return 'ParamRef' in node || ('TypeCast' in node && isParameter(node.TypeCast.arg));
}

/** set_config() changes the session as SET does; with a name or value that is not written out nobody knows how. */
function setConfig(args: readonly Node[], env: Env, ctx: Context): void {
  ctx.found.literalSensitive = true;
  // pg_dump sets what a server may not have: `set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = '…'`.
  const [first] = args;
  const isSettingRead = first !== undefined && 'ColumnRef' in first && nameParts(first.ColumnRef.fields).join('.') === 'name';
  if (isSettingRead && SETTINGS_WITHOUT_MEANING.has(env.setting ?? '')) return;
  const [name, value, local] = args.map(arg => ('A_Const' in arg ? arg.A_Const : undefined));
  // asyncpg turns `jit` off and on again around its own questions, by a parameter: `set_config('jit', $1, false)`.
  if (isFreeSetting(name?.sval?.sval) && isParameter(args[1]) && !ctx.inside && ctx.depth === 0) return;
  if (name?.sval === undefined || value === undefined || (args.length === 3 && local === undefined)) {
    ctx.unknown('dynamic-sql', 'set_config() with a setting that is not written out');
    return;
  }
  if (ctx.inside || ctx.depth > 0) {
    ctx.unknown('dynamic-sql', 'set_config() inside a function or subquery');
    return;
  }
  ctx.found.effects.push({
    type: 'set',
    name: (name.sval.sval ?? '').toLowerCase(),
    value: value.sval?.sval ?? '',
    local: local?.boolval?.boolval ?? false,
  });
}
