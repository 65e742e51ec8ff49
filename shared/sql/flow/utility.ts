/**
 * Statements that are no queries: which of them could carry a protected value away, let one be read under another name, or
 * run something that is not known. A statement that this file does not list is unknown.
 */
import type { AlterTableStmt, ConstrType, CopyStmt, CreateStmt, ExplainStmt, FuncCall, Node, RangeVar, TypeName } from 'libpg-query';
import { fieldsOf, isTree, nameParts, type Tree, tagOf } from '../ast.ts';
import { explainRuns } from '../kinds.ts';
import { functionBehind, functionMade, functionMovedBehind, functionOf, relationBehind, runsWith } from './behind.ts';
import { doBlock } from './blocks.ts';
import { PROPAGATING_FUNCTIONS } from './builtin-functions.ts';
import type { CatalogFunction, CatalogRelation } from './catalog.ts';
import { isWhole } from './change.ts';
import { behindMark, type Context, Found, type OutputColumn, type QueryOutput } from './context.ts';
import { expression, functionCall } from './expressions.ts';
import { tableItem } from './from.ts';
import { callByName } from './functions.ts';
import { read } from './names.ts';
import { cast, operator } from './operators.ts';
import { procedureFacts } from './procedures.ts';
import { query } from './query.ts';
import { isProtected, relationColumns, relationItem, relationLabels, resolveRelation, underAnyPath } from './relations.ts';
import { EMPTY_ENV, type Env, within } from './scope.ts';
import { isInert, isInertTrigger } from './triggers.ts';
import { computed, labelsOf, NO_LABELS, UNLABELLED, type Value } from './value.ts';

/** They hold no expression that is run, and change no object whose columns are protected by name. */
const HARMLESS: ReadonlySet<string> = new Set([
  'TransactionStmt',
  'VariableSetStmt', // the gateway follows search_path and the like
  'VariableShowStmt',
  'ConstraintsSetStmt',
  'DiscardStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt', // its payload is a literal
  'LockStmt',
  'CheckPointStmt',
  'PrepareStmt', // judged when it is executed
]);

/** They change the catalog, but give no value a new way out. */
const HARMLESS_DEFINITIONS: ReadonlySet<string> = new Set([
  'DropStmt',
  'TruncateStmt',
  'CommentStmt',
  'SecLabelStmt',
  'GrantStmt',
  'GrantRoleStmt',
  'CreateRoleStmt',
  'AlterRoleStmt',
  'AlterRoleSetStmt',
  'DropRoleStmt',
  'CreatedbStmt',
  'AlterDatabaseStmt',
  'AlterDatabaseSetStmt',
  'AlterDatabaseRefreshCollStmt',
  'DropdbStmt',
  'CreateTableSpaceStmt',
  'DropTableSpaceStmt',
  'AlterTableSpaceOptionsStmt',
  'AlterTableMoveAllStmt',
  'CreateSeqStmt',
  'AlterSeqStmt',
  'CreateEnumStmt',
  'AlterEnumStmt',
  'CompositeTypeStmt',
  'CreateRangeStmt',
  'VacuumStmt',
  'ReindexStmt',
  'ClusterStmt',
  'RefreshMatViewStmt', // its definition is already followed
  'AlterOwnerStmt',
  'AlterDefaultPrivilegesStmt',
  'DropOwnedStmt',
  'ReassignOwnedStmt',
  'ViewStmt', // reading it follows its definition, once the catalog has been read again
  'CreateFunctionStmt', // judged where it is called; see below for languages that cannot be read
  'AlterFunctionStmt',
  'CreateSchemaStmt',
  'CreateStatsStmt',
  'AlterStatsStmt',
  'AlterTSDictionaryStmt',
  'AlterTSConfigurationStmt',
  'AlterCollationStmt',
  'CreatePublicationStmt',
  'AlterExtensionStmt',
  'CreateExtensionStmt',
  'AlterObjectDependsStmt',
]);

/** What cannot be allowed while anything is protected: it moves data, or hides from the catalog what a name means. */
const REFUSED: ReadonlySet<string> = new Set([
  'CreateForeignTableStmt',
  'ImportForeignSchemaStmt',
  'CreateForeignServerStmt',
  'AlterForeignServerStmt',
  'CreateUserMappingStmt',
  'AlterUserMappingStmt',
  'CreateSubscriptionStmt',
  'AlterSubscriptionStmt',
  'AlterPublicationStmt',
  'CreateFdwStmt',
  'AlterFdwStmt',
  'CreateCastStmt',
  'CreatePLangStmt',
  'CreateEventTrigStmt',
  'AlterEventTrigStmt',
  'CreateTransformStmt',
  'CreateConversionStmt',
  'LoadStmt',
  'AlterSystemStmt',
  'CreateOpClassStmt',
  'CreateOpFamilyStmt',
  'AlterOpFamilyStmt',
  'CreateAmStmt',
  'AlterExtensionContentsStmt',
]);

/** @returns the output columns; null when there are none. */
export function utility(node: Node, env: Env, ctx: Context): QueryOutput | null {
  const tag = tagOf(node);
  if (HARMLESS.has(tag)) return tag === 'VariableShowStmt' ? { columns: [{ name: 'setting', value: UNLABELLED }], rest: NO_LABELS } : null;
  if ('ExplainStmt' in node) return explain(node.ExplainStmt, env, ctx);
  if ('CopyStmt' in node) return copy(node.CopyStmt, env, ctx);
  if ('ExecuteStmt' in node) return execute(node.ExecuteStmt.name ?? '', node.ExecuteStmt.params ?? [], env, ctx);
  if ('DeclareCursorStmt' in node) {
    // Its rows come with FETCH; what they are is found here, and kept by the session.
    return node.DeclareCursorStmt.query === undefined ? null : query(node.DeclareCursorStmt.query, env, ctx);
  }
  if ('FetchStmt' in node) return fetch(node.FetchStmt.portalname ?? '', node.FetchStmt.ismove === true, ctx);
  if ('CreateTableAsStmt' in node) {
    const { query: source, into, objtype } = node.CreateTableAsStmt;
    if (source === undefined) return null;
    const output = ctx.engine.statement(source, env, ctx);
    storeInto(output, into?.rel, ctx);
    if (objtype === 'OBJECT_MATVIEW' && output?.rest === null) noteView(into?.rel?.relname ?? '', output.columns, ctx);
    return null;
  }
  if ('CallStmt' in node) {
    if (node.CallStmt.funccall === undefined) return null;
    ctx.found.called = procedureFacts(node.CallStmt.funccall, ctx);
    const found = functionCall(node.CallStmt.funccall, env, ctx);
    return { columns: (found.columns ?? []).map(column => column), rest: found.value.labels };
  }
  if ('DoStmt' in node) {
    doBlock(node.DoStmt.args ?? [], ctx);
    return null;
  }
  definition(tag, fieldsOf(node), node, ctx);
  return null;
}

/** A view that nothing existing goes by the name of, and that tells nothing of protected values: its columns are all there is to know. */
function noteView(name: string, columns: readonly OutputColumn[], ctx: Context): void {
  const isTaken = [...ctx.catalog.relations.values()].some(relation => relation.name === name);
  if (isTaken || ctx.session.changed?.some(changed => changed === name || changed === '*') === true) return;
  const { touched, functionReads, inferences } = ctx.found;
  if (touched.size > 0 || functionReads.size > 0 || inferences.size > 0 || columns.some(({ value }) => value.labels.size > 0)) return;
  ctx.found.created = columns.map(column => column.name);
  ctx.found.isCleanView = true;
}

/** SELECT INTO and CREATE TABLE AS */
export function storeInto(output: QueryOutput | null, into: RangeVar | undefined, ctx: Context): void {
  if (output === null) return;
  if (output.rest === null) ctx.found.created = output.columns.map(column => column.name);
  const title = `${into?.schemaname === undefined ? '' : `${into.schemaname}.`}${into?.relname ?? 'a new table'}`;
  for (const column of output.columns) {
    if (column.value.labels.size > 0)
      ctx.sink('table', `a protected value would be stored in ${title}.${column.name}`, column.value.labels);
  }
  if (output.rest !== null && output.rest.size > 0) ctx.sink('table', `a protected value would be stored in ${title}`, output.rest);
}

function explain(stmt: ExplainStmt, env: Env, ctx: Context): QueryOutput {
  const runs = explainRuns(stmt as Tree);
  const output: OutputColumn = { name: 'QUERY PLAN', value: UNLABELLED };
  if (stmt.query !== undefined) {
    const sinksBefore = ctx.found.sinks.length;
    const inner = ctx.engine.statement(stmt.query, env, ctx);
    // Not run, nothing is stored; but a function of constants may be worked out while planning.
    if (!runs) {
      const kept = ctx.found.sinks.slice(sinksBefore).filter(sink => sink.kind === 'function');
      ctx.found.sinks.splice(sinksBefore, ctx.found.sinks.length, ...kept);
    }
    // A plan shows the statement's own constants, costs and row counts. A function that the planner folds into a constant
    // would be shown by its value.
    output.value = computed(ctx.found.functionReads);
    if (inner !== null) for (const column of inner.columns) ctx.found.touch(column.value.labels);
  }
  return { columns: [output], rest: null };
}

function copy(stmt: CopyStmt, env: Env, ctx: Context): QueryOutput | null {
  const file = stmt.is_program === true ? 'a program of the server' : stmt.filename === undefined ? undefined : 'a file of the server';
  if (file !== undefined) ctx.unknown('server-file', `COPY with ${file}`);
  let output: QueryOutput | null = null;
  if (stmt.query !== undefined) output = ctx.engine.statement(stmt.query, env, ctx);
  else if (stmt.relation !== undefined) {
    const item = tableItem(stmt.relation, ctx);
    const names = stmt.attlist === undefined ? undefined : nameParts(stmt.attlist);
    if (stmt.is_from === true) {
      if (stmt.whereClause !== undefined) ctx.engine.predicate(stmt.whereClause, within(env, [item]), ctx);
      for (const column of item.columns) ctx.found.touch(column.value.labels);
      return null;
    }
    const generated = generatedNames(stmt.relation, ctx);
    const columns =
      names === undefined
        ? item.columns.filter(column => !generated.has(column.name))
        : names.map(name => item.columns.find(column => column.name === name) ?? missing(name, ctx));
    for (const column of columns) read(column.value, ctx);
    output = { columns: [...columns], rest: item.rest };
  }
  if (output !== null && file !== undefined) {
    for (const column of output.columns)
      if (column.value.labels.size > 0) ctx.sink('file', `a protected value would be written to ${file}`, column.value.labels);
  }
  return file === undefined ? output : null;
}

function missing(name: string, ctx: Context): OutputColumn {
  ctx.unknown('column-missing', `column ${name} is not known`);
  return { name, value: UNLABELLED };
}

/** COPY leaves generated columns out. */
function generatedNames(range: RangeVar, ctx: Context): ReadonlySet<string> {
  const resolved = resolveRelation(range.schemaname, range.relname ?? '', ctx);
  return new Set(resolved.found ? resolved.relation.columns.filter(column => column.generated !== null).map(column => column.name) : []);
}

function execute(name: string, params: readonly Node[], env: Env, ctx: Context): QueryOutput | null {
  const prepared = ctx.session.prepared(name);
  const values = params.map(param => expression(param, env, ctx));
  if (prepared === undefined) {
    ctx.unknown('prepared-missing', `the prepared statement ${name} is not known`);
    return { columns: [], rest: NO_LABELS };
  }
  const inner = ctx.deeper({ parameters: values });
  return inner === undefined ? null : inner.engine.statement(prepared, EMPTY_ENV, inner);
}

function fetch(name: string, move: boolean, ctx: Context): QueryOutput | null {
  if (move) return null;
  const declared = ctx.session.cursor(name);
  if (declared === undefined) {
    ctx.unknown('cursor-missing', `the cursor ${name} is not known`);
    return { columns: [], rest: NO_LABELS };
  }
  ctx.found.touch(declared.touched);
  return {
    columns: (declared.columns ?? []).map(column => ({
      name: column.name,
      value: { ...computed(column.labels), plains: column.plains, witness: column.witness ?? null },
    })),
    rest: declared.complete ? null : declared.restLabels,
  };
}

/** They work out expressions over a table's rows, and say in an error what they met. */
const WORKS_ON_ROWS: ReadonlySet<string> = new Set(['VacuumStmt', 'ReindexStmt', 'ClusterStmt', 'RefreshMatViewStmt']);

function touchAll(fields: Tree, ctx: Context): void {
  const ranges = [fields.relation, ...(Array.isArray(fields.rels) ? fields.rels : []).map(each => fieldsOf(each as Tree).relation)];
  const relations = ranges.flatMap(range => {
    if (!isTree(range)) return [];
    const { schemaname, relname } = range as RangeVar;
    const resolved = resolveRelation(schemaname, relname ?? '', ctx);
    return resolved.found ? [resolved.relation, ...resolved.others] : [];
  });
  const { is_vacuumcmd: vacuums, options } = fields;
  if (ranges.every(range => !isTree(range)) && vacuums === true && !JSON.stringify(options ?? []).includes('analyze')) return;
  // An index is not looked up by its table, and without a name it is all of them.
  for (const relation of relations.length > 0 ? relations : ctx.catalog.relations.values()) ctx.found.touch(relationLabels(relation, ctx));
}

/** CREATE, ALTER and the like. */
function definition(tag: string, fields: Tree, node: Node, ctx: Context): void {
  if (REFUSED.has(tag)) {
    ctx.sink(
      'definition',
      `${tag.replace(/Stmt$/, '')} is not allowed while columns are protected: where values go could no longer be followed`,
    );
    return;
  }
  if ('AlterTableStmt' in node) {
    alterTable(node.AlterTableStmt, ctx);
    return;
  }
  if ('RenameStmt' in node || 'AlterObjectSchemaStmt' in node) {
    renamed(fields, ctx);
    return;
  }
  if ('CreateStmt' in node) {
    createTable(node.CreateStmt, ctx);
    return;
  }
  if ('IndexStmt' in node || tag === 'CreatePolicyStmt' || tag === 'AlterPolicyStmt') {
    onRelation(fields, ctx);
    return;
  }
  if (tag === 'CreateDomainStmt' || tag === 'AlterDomainStmt') {
    functionsIn(fields, ctx);
    if (tag === 'CreateDomainStmt') noteType(nameParts(fields.domainname as Node[] | undefined), fields, ctx);
    return;
  }
  if ('CompositeTypeStmt' in node) {
    const { relname = '', schemaname } = node.CompositeTypeStmt.typevar ?? {};
    noteType(schemaname === undefined ? [relname] : [schemaname, relname], fields, ctx);
    return;
  }
  if (tag === 'CreateTrigStmt') {
    // What it runs, it runs behind statements that do not show it: with every value of the row.
    const range = fields.relation as RangeVar | undefined;
    const resolved = range === undefined ? undefined : resolveRelation(range.schemaname, range.relname ?? '', ctx);
    if (resolved?.found === true)
      for (const relation of [resolved.relation, ...resolved.others])
        if (isProtected(relation, ctx) && !isInertTrigger(fields, relation, ctx)) refuseChange(relation, 'a trigger', ctx);
    walkExpressions(fields.whenClause, EMPTY_ENV, ctx);
    const name = nameParts(fields.funcname as Node[] | undefined);
    if (range?.relname !== undefined) ctx.found.runsBehind.add(triggersMark(range.relname));
    calls({ funcname: name.map(sval => ({ String: { sval } })) }, EMPTY_ENV, ctx);
    return;
  }
  if (tag === 'RuleStmt') {
    ctx.sink('definition', 'rules are not allowed while columns are protected: they change what a statement does');
    return;
  }
  if (tag === 'DefineStmt') {
    // CREATE OPERATOR, AGGREGATE, TYPE …: judged by their functions where they are used; a base type names C functions.
    if (fields.kind === 'OBJECT_TYPE' && Array.isArray(fields.definition))
      ctx.sink('definition', 'a new base type is made of functions that cannot be followed');
    return;
  }
  if (tag === 'CreateFunctionStmt') {
    const language = languageOf(fields);
    if (language === 'c' || language === 'internal') ctx.sink('definition', `a function in ${language} cannot be followed`);
    if ('CreateFunctionStmt' in node) {
      if (fields.replace === true)
        replacesTrigger(functionOf(node.CreateFunctionStmt, nameParts(fields.funcname as Node[]).at(-1) ?? ''), ctx);
      functionBehind(node.CreateFunctionStmt, ctx);
      ctx.found.madeFunction = functionMade(node.CreateFunctionStmt, ctx);
    }
    return;
  }
  if (tag === 'AlterOperatorStmt' || tag === 'AlterTypeStmt') {
    functionsIn(fields, ctx);
    return;
  }
  if ('AlterFunctionStmt' in node) {
    // With a path of its own its names may mean others.
    const name = nameParts(node.AlterFunctionStmt.func?.objname).at(-1) ?? '';
    const sets = (node.AlterFunctionStmt.actions ?? []).some(action => 'DefElem' in action && action.DefElem.defname === 'set');
    if (sets) relationBehind(name, false, ctx);
    return;
  }
  if (tag === 'CreateSchemaStmt') {
    for (const element of Array.isArray(fields.schemaElts) ? (fields.schemaElts as Node[]) : [])
      definition(tagOf(element), fieldsOf(element), element, ctx);
    return;
  }
  if (tag === 'CreatePublicationStmt') {
    ctx.sink('definition', 'a publication sends tables to other servers');
    return;
  }
  if ('ViewStmt' in node && node.ViewStmt.query !== undefined) {
    // What reading it will bring is found when it is read; what its rows tell is asked here.
    const before = ctx.found.sinks.length;
    const unknowns = ctx.found.unknowns.size;
    const { columns, rest } = query(node.ViewStmt.query, EMPTY_ENV, ctx);
    const isClean = ctx.found.sinks.length === before && ctx.found.unknowns.size === unknowns && rest === null;
    ctx.found.sinks.splice(before);
    const name = node.ViewStmt.view?.relname ?? '';
    const holdsNothing = isClean && columns.every(column => column.value.labels.size === 0);
    relationBehind(name, holdsNothing, ctx, node.ViewStmt.replace === true);
    if (holdsNothing) noteView(name, columns, ctx);
    return;
  }
  if (tag === 'CreateStatsStmt') {
    for (const range of Array.isArray(fields.relations) ? (fields.relations as Node[]) : [])
      if ('RangeVar' in range) {
        const item = tableItem(range.RangeVar, ctx);
        for (const element of Array.isArray(fields.exprs) ? (fields.exprs as Node[]) : [])
          if ('StatsElem' in element && element.StatsElem.expr !== undefined)
            handed(element.StatsElem.expr, within(EMPTY_ENV, [item]), ctx);
      }
    return;
  }
  if (tag === 'CreateRangeStmt') {
    for (const option of Array.isArray(fields.params) ? (fields.params as Node[]) : []) {
      if (!('DefElem' in option) || (option.DefElem.defname !== 'subtype_diff' && option.DefElem.defname !== 'canonical')) continue;
      const name = option.DefElem.arg !== undefined && 'TypeName' in option.DefElem.arg ? option.DefElem.arg.TypeName.names : undefined;
      const args = option.DefElem.defname === 'canonical' ? [VALUE] : [VALUE, VALUE];
      handed({ FuncCall: { ...(name === undefined ? {} : { funcname: name }), args } }, VALUE_ENV, ctx);
    }
    return;
  }
  if (WORKS_ON_ROWS.has(tag)) {
    touchAll(fields, ctx);
    return;
  }
  if (tag === 'DropStmt' || tag === 'DropOwnedStmt') dropped(fields, ctx);
  if (HARMLESS_DEFINITIONS.has(tag)) return;
  ctx.unknown('unsupported', `${tag} is not understood`);
}

/** A type that shadows none, and by which values are handed to nobody's functions or operators. */
function noteType(parts: readonly string[], fields: Tree, ctx: Context): void {
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts.at(-2) : ctx.searchPath.find(place => place !== 'pg_catalog');
  if (schema === undefined || schema.startsWith('pg_') || [...ctx.catalog.types.values()].some(type => type.name === name)) return;
  if (ctx.session.changed?.some(changed => changed === name || changed === '*') === true) return;
  ctx.found.isNewType = isOfServer(fields, ctx);
}

function isOfServer(value: unknown, ctx: Context): boolean {
  if (Array.isArray(value)) return value.every(item => isOfServer(item, ctx));
  if (!isTree(value)) return true;
  const called = Array.isArray(value.funcname) ? (nameParts(value.funcname as Node[]).at(-1) ?? '') : undefined;
  if (called !== undefined && (!PROPAGATING_FUNCTIONS.has(called) || ctx.catalog.functionNames.has(called))) return false;
  const own = isTree(value.A_Expr) ? ctx.catalog.operators.get(nameParts(value.A_Expr.name as Node[] | undefined).at(-1) ?? '') : undefined;
  // Native code is made by superusers alone.
  if (own?.some(operator => ctx.catalog.functions.get(operator.function)?.language !== 'c') === true) return false;
  const type = isTree(value.TypeName) ? value.TypeName : isTree(value.typeName) ? value.typeName : undefined;
  if (type !== undefined && !isSystemType(nameParts(type.names as Node[] | undefined), ctx)) return false;
  return Object.values(value).every(item => isOfServer(item, ctx));
}

/** Under no path is it somebody's own, whose checks would run. */
function isSystemType(parts: readonly string[], ctx: Context): boolean {
  const named = [...ctx.catalog.types.values()].filter(type => type.name === parts.at(-1));
  return named.length > 0 && named.every(type => type.schema === 'pg_catalog');
}

/** The function of a trigger of a protected table, under any schema. */
function replacesTrigger(fn: CatalogFunction, ctx: Context): void {
  for (const relation of ctx.catalog.relations.values()) {
    if (relation.triggers?.some(oid => ctx.catalog.functions.get(oid)?.name === fn.name) !== true) continue;
    if (!isProtected(relation, ctx) || isInert(fn, relation, ctx)) continue;
    refuseChange(relation, 'another body of its trigger’s function', ctx);
    return;
  }
}

function languageOf(fields: Tree): string {
  for (const option of Array.isArray(fields.options) ? fields.options : []) {
    const element = isTree(option) && isTree(option.DefElem) ? option.DefElem : undefined;
    if (element?.defname === 'language' && isTree(element.arg)) return (nameParts([element.arg as unknown as Node])[0] ?? '').toLowerCase();
  }
  return 'sql';
}

/** Expressions of an index, policy or constraint over a relation's columns. */
function onRelation(fields: Tree, ctx: Context): void {
  const range = (fields.relation ?? fields.table) as RangeVar | undefined;
  const item = range === undefined ? undefined : tableItem(range, ctx);
  if (item !== undefined) for (const column of item.columns) ctx.found.touch(column.value.labels);
  const env = item === undefined ? EMPTY_ENV : within(EMPTY_ENV, [item]);
  walkExpressions(fields, env, ctx);
  for (const element of Array.isArray(fields.indexParams) ? (fields.indexParams as Node[]) : [])
    if ('IndexElem' in element && element.IndexElem.expr !== undefined) handed(element.IndexElem.expr, env, ctx);
  if (isTree(fields.whereClause)) handed(fields.whereClause as unknown as Node, env, ctx);
  // A policy chooses rows as a condition does.
  for (const condition of [fields.qual, fields.with_check])
    if (isTree(condition)) ctx.engine.predicate(condition as unknown as Node, env, ctx);
}

function functionsIn(fields: Tree, ctx: Context): void {
  walkExpressions({ ...fields, domainname: { name: 'value' } }, VALUE_ENV, ctx);
  // Whoever casts to a domain hands its checks what is cast.
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    else if (isTree(value)) {
      if (value.contype === 'CONSTR_CHECK' && isTree(value.raw_expr)) handed(value.raw_expr as unknown as Node, VALUE_ENV, ctx);
      else for (const key in value) visit(value[key]);
    }
  };
  visit(fields);
}

/** VALUE in a domain's check: it may be any. */
const VALUE_ENV = within(EMPTY_ENV, [
  {
    name: '',
    schema: null,
    columns: [{ name: 'value', value: computed(new Set(['*.*.value'])) }],
    rest: null,
    qualified: false,
    bare: true,
    system: false,
    rowType: 0,
  },
]);
const VALUE: Node = { ColumnRef: { fields: [{ String: { sval: 'value' } }] } };

/** An expression that is worked out over values later, and keeps them where they are: what its functions could do with them is asked. */
function handed(node: Node, env: Env, ctx: Context): void {
  const found = new Found();
  const inner = ctx.deeper({ found });
  if (inner === undefined) return;
  expression(node, env, underAnyPath(inner));
  for (const { kind, detail, labels } of found.sinks) ctx.sink(kind, detail, new Set(labels));
  for (const { code, detail } of found.unknowns.values()) ctx.unknown(code, detail);
}

/** Judges every call inside, without following values: what a definition runs later must not be opaque. */
function walkExpressions(value: unknown, env: Env, ctx: Context): void {
  if (Array.isArray(value)) {
    for (const item of value) walkExpressions(item, env, ctx);
    return;
  }
  if (!isTree(value)) return;
  if (isTree(value.FuncCall)) calls(value.FuncCall as FuncCall, env, ctx);
  else unwrittenCalls(value, env, ctx);
  if (isTree(value.SubLink)) {
    const before = ctx.found.sinks.length;
    const { labels } = expression(value as unknown as Node, env, ctx);
    ctx.found.sinks.splice(before);
    if (labels.size > 0) ctx.sink('definition', 'what it runs later reads a protected value', labels);
    return;
  }
  for (const key in value) walkExpressions(value[key], env, ctx);
}

/** Operators, casts and `row.f`: functions of somebody's own by other ways to write them. */
function unwrittenCalls(value: Tree, env: Env, now: Context): void {
  const ctx = underAnyPath(now);
  const brought: Value[] = [];
  if (isTree(value.A_Expr)) {
    const { name, lexpr, rexpr, kind } = value.A_Expr as { name?: Node[]; lexpr?: unknown; rexpr?: unknown; kind?: string };
    const operands = [lexpr, rexpr].flatMap(side => (side === undefined ? [] : [UNLABELLED]));
    const names = kind?.includes('BETWEEN') === true ? [['>='], ['<='], ['<'], ['>']] : [nameParts(name)];
    for (const parts of names) brought.push(operator(parts, operands, ctx));
  } else if (isTree(value.TypeCast) && isTree(value.TypeCast.typeName)) {
    brought.push(cast(UNLABELLED, value.TypeCast.typeName as TypeName, ctx));
  } else {
    const steps = isTree(value.A_Indirection)
      ? value.A_Indirection.indirection
      : isTree(value.ColumnRef) && Array.isArray(value.ColumnRef.fields)
        ? value.ColumnRef.fields.slice(1)
        : [];
    for (const name of nameParts(steps as Node[])) {
      const isColumn = 'ColumnRef' in value && env.names?.items.some(item => item.columns.some(column => column.name === name)) === true;
      const isOwn = ctx.catalog.functionNames.has(name) || ctx.session.functions?.has(name) === true;
      if (isOwn && !isColumn) brought.push(callByName([name], [UNLABELLED], ctx) ?? UNLABELLED);
    }
  }
  if (brought.some(({ labels }) => labels.size > 0))
    ctx.sink('definition', 'a function that it runs later brings a protected value', labelsOf(brought));
}

function calls(node: FuncCall, env: Env, ctx: Context): void {
  const name = nameParts(node.funcname).at(-1) ?? '';
  if (ctx.catalog.functionNames.has(name) || ctx.session.functions?.has(name) === true)
    for (const used of runsWith(name, ctx)) ctx.found.runsBehind.add(used);
  const args = (node.args ?? []).map((): Node => ({ A_Const: { isnull: true } }));
  const { value } = functionCall({ ...node, args }, env, underAnyPath(ctx));
  // Its value would come back as a default, in an index's statistics, or in the text of an error.
  if (value.labels.size > 0) ctx.sink('definition', 'a function that it runs later brings a protected value', value.labels);
}

function createTable(stmt: CreateStmt, ctx: Context): void {
  for (const element of stmt.tableElts ?? []) walkExpressions(element, EMPTY_ENV, ctx);
  for (const parent of stmt.inhRelations ?? []) if ('RangeVar' in parent) tableItem(parent.RangeVar, ctx);
}

/** Changes of a table with protected columns that leave every column where its name says. */
const SAFE_CHANGES: ReadonlySet<string> = new Set([
  'AT_DropColumn',
  'AT_SetNotNull',
  'AT_DropNotNull',
  'AT_DropConstraint',
  'AT_ValidateConstraint',
  'AT_AlterConstraint',
  'AT_SetStatistics',
  'AT_SetOptions',
  'AT_ResetOptions',
  'AT_SetStorage',
  'AT_SetCompression',
  'AT_ChangeOwner',
  'AT_ClusterOn',
  'AT_DropCluster',
  'AT_SetLogged',
  'AT_SetUnLogged',
  'AT_SetTableSpace',
  'AT_SetRelOptions',
  'AT_ResetRelOptions',
  'AT_EnableTrig',
  'AT_DisableTrig',
  'AT_EnableTrigAll',
  'AT_DisableTrigAll',
  'AT_EnableTrigUser',
  'AT_DisableTrigUser',
  'AT_EnableAlwaysTrig',
  'AT_EnableReplicaTrig',
  'AT_EnableRowSecurity',
  'AT_DisableRowSecurity',
  'AT_ForceRowSecurity',
  'AT_NoForceRowSecurity',
  'AT_ReplicaIdentity',
  'AT_ColumnDefault',
  'AT_AddIdentity',
  'AT_SetIdentity',
  'AT_DropIdentity',
  'AT_AttachPartition', // more is protected, not less
  'AT_AddInherit',
]);

const VALUE_CONSTRAINTS: ReadonlySet<ConstrType> = new Set(['CONSTR_GENERATED']);

/** A plain table that its name certainly means, and that no other follows. */
function alterable({ relation, others }: { relation: CatalogRelation; others: readonly CatalogRelation[] }, ctx: Context) {
  const { oid, kind, parents, schema } = relation;
  const isPlain = kind === 'r' && oid !== 0 && parents.length === 0 && (ctx.catalog.children.get(oid) ?? []).length === 0;
  return isPlain && others.length === 0 && !schema.startsWith('pg_') && ctx.session.dropped !== true ? relation : undefined;
}

function alterTable(stmt: AlterTableStmt, ctx: Context): void {
  if (stmt.relation === undefined) return;
  const resolved = resolveRelation(stmt.relation.schemaname, stmt.relation.relname ?? '', ctx);
  // An index, a view or a missing table (IF EXISTS) has no rows of its own to move.
  const relation = resolved.found ? resolved.relation : undefined;
  const guarded = relation !== undefined && isProtected(relation, ctx);
  if (relation !== undefined) ctx.found.touch(relationLabels(relation, ctx));
  if (resolved.found) ctx.found.altered = alterable(resolved, ctx);
  const env =
    relation === undefined
      ? EMPTY_ENV
      : within(EMPTY_ENV, [relationItem(relation, relationColumns(relation, ctx), relation.name, relation.schema)]);
  for (const node of stmt.cmds ?? []) {
    if (!('AlterTableCmd' in node)) continue;
    const { subtype = 'AT_AddColumn', def, name = '' } = node.AlterTableCmd;
    walkExpressions(def, env, ctx);
    if (!guarded || relation === undefined) continue;
    if (subtype === 'AT_AttachPartition') attached(def, relation, ctx);
    if (subtype === 'AT_AddInherit' && def !== undefined && 'RangeVar' in def) relationBehind(def.RangeVar.relname ?? '', false, ctx);
    if (subtype === 'AT_AlterColumnType') changeType(def, name, relation, env, ctx);
    else if (subtype === 'AT_AddColumn') addColumn(def, relation, env, ctx);
    else if (subtype === 'AT_AddConstraint') checkConstraint(def, env, ctx);
    else if (!SAFE_CHANGES.has(subtype) || (subtype === 'AT_DropColumn' && staysBelow(relation, name, ctx)))
      refuseChange(relation, subtype, ctx);
  }
}

/** What is above a dropped table may have got rows of it, and is protected for its sake alone. */
function dropped(fields: Tree, ctx: Context): void {
  const objects = (Array.isArray(fields.objects) ? (fields.objects as Node[]) : []).map(object =>
    'List' in object ? nameParts(object.List.items) : nameParts([object]),
  );
  const all = [...ctx.catalog.relations.values()];
  const gone = new Set(
    fields.removeType === 'OBJECT_TABLE'
      ? objects.flatMap(parts => {
          const resolved = resolveRelation(parts.length > 1 ? parts.at(-2) : undefined, parts.at(-1) ?? '', ctx);
          return resolved.found ? [resolved.relation, ...resolved.others] : [];
        })
      : fields.removeType === 'OBJECT_SCHEMA'
        ? all.filter(({ schema }) => objects.some(([name]) => name === schema))
        : fields.removeType === undefined
          ? all
          : [],
  );
  for (const relation of gone)
    for (let above = relation.parents; above.length > 0; ) {
      const parents = above.flatMap(oid => ctx.catalog.relations.get(oid) ?? []);
      for (const parent of parents)
        if (relation.columns.some(({ name }) => isProtectedBy(relation, parent, name, ctx)))
          refuseChange(relation, `dropping what ${parent.name} is protected for`, ctx);
      above = parents.flatMap(parent => parent.parents);
    }
}

/** Is a column of one table protected because the other's is, and not by itself? */
function isProtectedBy(source: CatalogRelation, other: CatalogRelation, name: string, ctx: Context): boolean {
  const { protects } = ctx.shared;
  return protects(source.schema, source.name, name) && !protects(other.schema, other.name, name);
}

/** Columns of children stay, where they were defined there as well. */
function staysBelow(relation: CatalogRelation, name: string, ctx: Context): boolean {
  if (relation.kind === 'p') return false;
  return (ctx.catalog.children.get(relation.oid) ?? []).some(oid => {
    const child = ctx.catalog.relations.get(oid);
    return child !== undefined && (isProtectedBy(relation, child, name, ctx) || staysBelow(child, name, ctx));
  });
}

/** Rows that are moved into a partition run its triggers. */
function attached(def: Node | undefined, parent: CatalogRelation, ctx: Context): void {
  const range = def !== undefined && 'PartitionCmd' in def ? def.PartitionCmd.name : undefined;
  const resolved = resolveRelation(range?.schemaname, range?.relname ?? '', ctx);
  if (!resolved.found) ctx.unknown('relation-missing', `relation ${range?.relname ?? ''} is not known`);
  else if (resolved.relation.triggers?.length !== 0 || resolved.relation.rules)
    refuseChange(parent, 'attaching a table with triggers', ctx);
  if (ctx.session.changed?.includes(behindMark(triggersMark(range?.relname ?? ''))) === true)
    ctx.unknown('catalog-stale', `${range?.relname ?? ''} has got a trigger in this transaction; commit first`);
}

/** In Found.runsBehind: this table has got a trigger. */
function triggersMark(table: string): string {
  return `triggers of ${table}`;
}

function refuseChange(relation: CatalogRelation, what: string, ctx: Context): void {
  ctx.sink(
    'definition',
    `${what} on ${relation.schema}.${relation.name} could move protected values out of the columns that policy names`,
    relationLabels(relation, ctx),
  );
}

/** ALTER COLUMN … TYPE … USING expression writes the expression into the column. */
function changeType(def: Node | undefined, name: string, relation: CatalogRelation, env: Env, ctx: Context): void {
  const using = def !== undefined && 'ColumnDef' in def ? def.ColumnDef.raw_default : undefined;
  if (using === undefined) return;
  const own = relationColumns(relation, ctx).find(column => column.name === name)?.value.labels ?? NO_LABELS;
  const labels = new Set([...expression(using, env, ctx).labels].filter(label => !own.has(label)));
  if (labels.size > 0) ctx.sink('table', `a protected value would be stored in ${relation.schema}.${relation.name}.${name}`, labels);
  if (!isWhole(using, env, ctx)) for (const label of own) ctx.found.rewrites.add(label);
}

function addColumn(def: Node | undefined, relation: CatalogRelation, env: Env, ctx: Context): void {
  if (def === undefined || !('ColumnDef' in def)) return;
  for (const constraint of def.ColumnDef.constraints ?? []) {
    if (!('Constraint' in constraint)) continue;
    const { contype, raw_expr } = constraint.Constraint;
    if (raw_expr === undefined || contype === undefined) continue;
    if (VALUE_CONSTRAINTS.has(contype)) {
      const labels = expression(raw_expr, env, ctx).labels;
      if (labels.size > 0)
        ctx.sink(
          'table',
          `a protected value would be stored in ${relation.schema}.${relation.name}.${def.ColumnDef.colname ?? ''}`,
          labels,
        );
    } else if (contype === 'CONSTR_CHECK') ctx.engine.predicate(raw_expr, env, ctx);
  }
}

/** Adding a check tells whether every row meets it. */
function checkConstraint(def: Node | undefined, env: Env, ctx: Context): void {
  if (def === undefined || !('Constraint' in def)) return;
  const { raw_expr: check, exclusions, where_clause: where } = def.Constraint;
  if (check !== undefined) ctx.engine.predicate(check, env, ctx);
  if (where !== undefined) handed(where, env, ctx);
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    else if (isTree(value)) {
      if (isTree(value.IndexElem) && isTree(value.IndexElem.expr)) handed(value.IndexElem.expr as unknown as Node, env, ctx);
      for (const key in value) visit(value[key]);
    }
  };
  visit(exclusions);
}

/** RENAME and SET SCHEMA: policy names columns by their path. */
function renamed(fields: Tree, ctx: Context): void {
  const what = [fields.renameType, fields.objectType].find(type => typeof type === 'string');
  if (what === 'OBJECT_FUNCTION' || what === 'OBJECT_PROCEDURE' || what === 'OBJECT_ROUTINE') {
    const object = isTree(fields.object) && isTree(fields.object.ObjectWithArgs) ? fields.object.ObjectWithArgs : {};
    const from = nameParts(object.objname as Node[] | undefined).at(-1) ?? '';
    functionMovedBehind(
      from,
      typeof fields.newname === 'string' && what !== undefined && fields.renameType === what ? fields.newname : from,
      ctx,
    );
    return;
  }
  if (what === 'OBJECT_ATTRIBUTE') {
    // Tables of the type follow.
    for (const relation of ctx.catalog.relations.values())
      if (relationColumns(relation, ctx).some(column => column.name === fields.subname && column.value.labels.size > 0)) {
        refuseChange(relation, 'renaming a column of its type', ctx);
        return;
      }
  }
  if (isTree(fields.relation)) {
    const range = fields.relation as RangeVar;
    const resolved = resolveRelation(range.schemaname, range.relname ?? '', ctx);
    if (!resolved.found) return;
    const { relation } = resolved;
    ctx.found.altered = alterable(resolved, ctx);
    if (!isProtected(relation, ctx)) return;
    const column =
      typeof fields.subname === 'string' ? relationColumns(relation, ctx).find(candidate => candidate.name === fields.subname) : undefined;
    const harmless =
      what === 'OBJECT_TABCONSTRAINT' ||
      what === 'OBJECT_TRIGGER' ||
      what === 'OBJECT_POLICY' ||
      what === 'OBJECT_RULE' ||
      (column !== undefined && column.value.labels.size === 0 && what === 'OBJECT_COLUMN');
    if (!harmless) refuseChange(relation, 'renaming', ctx);
    return;
  }
  if (what === 'OBJECT_SCHEMA') {
    const schema =
      typeof fields.subname === 'string' ? fields.subname : nameParts(isTree(fields.object) ? [fields.object as unknown as Node] : [])[0];
    for (const relation of ctx.catalog.relations.values()) {
      if (relation.schema === schema && isProtected(relation, ctx)) {
        refuseChange(relation, 'renaming its schema', ctx);
        return;
      }
    }
  }
}
