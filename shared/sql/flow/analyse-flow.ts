/**
 * Information flow of SQL statements: for every output column, which protected columns can reach it, and everything else that
 * a protected value could leave by.
 *
 * How to use it (agent): keep one `FlowAnalyser` per catalog snapshot and column policy; make a new one when either changes.
 * Parse the text with parseText() (shared/sql/analyse.ts), give its statements to `analyseCommand` in order, together with the
 * session as it stands before the text. Then, for each statement in turn:
 * - any `sinks`: refuse; any `unknown`: refuse or hold, as policy says for what cannot be resolved. For `relation-missing`
 *   and `column-missing` take a new snapshot first and ask again: the object may be new;
 * - `inferences`: judge each by its column's predicate rule (columnMasks() in masks.ts gives the rule of system columns);
 * - `columns`: mask by columnMasks(), and compare `witness` with RowDescription; where they differ, mask whole;
 * - `touched` not empty: reduce the server's errors and notices to SQLSTATE and a safe text;
 * - `changesCatalog`: take a new snapshot after the statement has run, before the next one is judged.
 * A result holds for one snapshot, policy and search_path, and — unless `literalSensitive` — for every text with the same
 * key (Analysis.shape). Parameters of the extended protocol are data: they carry no label.
 *
 * Pure: no I/O, no clock. Whatever is not understood is reported as unknown; nothing is guessed.
 */
import type { Node } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import type { CatalogRelation, CatalogSnapshot } from './catalog.ts';
import { insert, merge, remove, update } from './change.ts';
import { type ColumnTest, Context, type Engine, Found, type QueryOutput, type Shared } from './context.ts';
import { expression } from './expressions.ts';
import { predicate } from './predicates.ts';
import { query, select } from './query.ts';
import type { FlowColumn, FlowResult } from './result.ts';
import { EMPTY_ENV, type Env } from './scope.ts';
import { effectiveSearchPath, type FlowSession } from './session.ts';
import { storeInto, utility } from './utility.ts';
import { NO_LABELS } from './value.ts';

const engine: Engine = { expression, predicate, query, statement };

/** One statement, also inside functions, EXPLAIN, CTEs and COPY. */
function statement(node: Node, env: Env, ctx: Context): QueryOutput | null {
  if ('SelectStmt' in node) {
    const output = select(node.SelectStmt, env, ctx);
    const into = intoOf(node);
    if (into === undefined) return output;
    storeInto(output, into.rel, ctx);
    return null;
  }
  if ('InsertStmt' in node) return insert(node.InsertStmt, env, ctx);
  if ('UpdateStmt' in node) return update(node.UpdateStmt, env, ctx);
  if ('DeleteStmt' in node) return remove(node.DeleteStmt, env, ctx);
  if ('MergeStmt' in node) return merge(node.MergeStmt, env, ctx);
  return utility(node, env, ctx);
}

/** SELECT … INTO stands in the leftmost SELECT of a set operation. */
function intoOf(node: Extract<Node, { SelectStmt: unknown }>): { rel?: { schemaname?: string; relname?: string } } | undefined {
  let at: typeof node.SelectStmt | undefined = node.SelectStmt;
  while (at !== undefined) {
    if (at.intoClause !== undefined) return at.intoClause;
    at = at.larg;
  }
  return undefined;
}

/** Kinds of nodes after which a snapshot is old. */
const KEEPS_CATALOG: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CopyStmt',
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'ConstraintsSetStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
  'LockStmt',
  'CheckPointStmt',
  'PrepareStmt',
  'DeclareCursorStmt',
  'FetchStmt',
  'VacuumStmt',
  'TruncateStmt',
  'ReindexStmt',
  'ClusterStmt',
  'CommentStmt',
  'RefreshMatViewStmt',
]);

function changesCatalog(node: Node): boolean {
  const tag = tagOf(node);
  if (tag === 'ExplainStmt') {
    const inner = fieldsOf(node).query;
    return isTree(inner) && changesCatalog(inner as unknown as Node);
  }
  if ('SelectStmt' in node && intoOf(node) !== undefined) return true;
  return !KEEPS_CATALOG.has(tag); // EXECUTE and CALL may do anything
}

export class FlowAnalyser {
  private readonly shared: Shared;

  /**
   * @param protects whether policy protects a column, by schema, table and column. Asked for every column of a relation
   *   when it is first used; the answer must not change.
   */
  constructor(catalog: CatalogSnapshot, protects: ColumnTest) {
    this.shared = {
      catalog,
      protects,
      relationColumns: new Map(),
      harmlessFunctions: new Map(),
      relationUnknowns: new Map(),
      protectedNames: undefined,
    };
  }

  /** Judges one statement. Never throws for what is in it. */
  analyse(node: Node, session: FlowSession): FlowResult {
    const found = new Found();
    const ctx = new Context({ shared: this.shared, session, engine, searchPath: session.searchPath, found });
    let output: QueryOutput | null = null;
    try {
      output = statement(node, EMPTY_ENV, ctx);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      found.unknown('too-deep', 'the statement is nested too deeply');
    }
    return resultOf(output, found, changesCatalog(node));
  }

  /**
   * Judges the statements of one text in order, as one simple query runs them: search_path set by an earlier one counts for
   * the later ones; what an earlier one made is known by its columns, and what it changed is unknown.
   */
  analyseCommand(nodes: readonly Node[], session: FlowSession): FlowResult[] {
    const results: FlowResult[] = [];
    const temporary = new Map(session.temporary);
    const prepared = new Map<string, Node>();
    const cursors = new Map<string, FlowResult>();
    let searchPath = session.searchPath;
    let changed: string[] | undefined;
    for (const node of nodes) {
      const current: FlowSession = {
        searchPath,
        temporary,
        prepared: name => prepared.get(name) ?? session.prepared(name),
        cursor: name => cursors.get(name) ?? session.cursor(name),
      };
      let result = this.analyse(node, current);
      if (changed !== undefined && usesAny(node, changed)) {
        result = {
          ...result,
          unknown: [
            ...result.unknown,
            { code: 'catalog-stale', detail: 'an earlier statement of the same text changed what this one uses; send them apart' },
          ],
        };
      }
      results.push(result);
      searchPath = searchPathAfter(node, result, searchPath, session.searchPath);
      if ('PrepareStmt' in node && node.PrepareStmt.query !== undefined) prepared.set(node.PrepareStmt.name ?? '', node.PrepareStmt.query);
      if ('DeclareCursorStmt' in node) cursors.set(node.DeclareCursorStmt.portalname ?? '', result);
      if (result.changesCatalog) {
        const made = temporaryMade(node, result);
        if (made !== undefined && result.sinks.length === 0 && result.unknown.length === 0) temporary.set(made.name, made);
        else changed = [...(changed ?? []), ...namesChanged(node)];
      }
    }
    return results;
  }
}

/** The function form, for one statement. */
export function analyseFlow(node: Node, catalog: CatalogSnapshot, session: FlowSession, protects: ColumnTest): FlowResult {
  return new FlowAnalyser(catalog, protects).analyse(node, session);
}

function resultOf(output: QueryOutput | null, found: Found, changes: boolean): FlowResult {
  const columns = output?.columns.map(
    ({ name, value }): FlowColumn => ({
      name,
      labels: value.labels,
      plain: value.plains !== null && value.plains.length === 1 ? (value.plains[0] ?? null) : null,
      plains: value.plains,
      witness: value.witness,
    }),
  );
  for (const column of columns ?? []) found.touch(column.labels);
  return {
    columns: columns ?? null,
    complete: output === null || output.rest === null,
    restLabels: output?.rest ?? NO_LABELS,
    sinks: found.sinks,
    inferences: found.inferenceList(),
    reads: [...found.reads],
    touched: found.touched,
    unknown: [...found.unknowns.values()],
    effects: found.effects,
    literalSensitive: found.literalSensitive,
    changesCatalog: changes,
    functions: [...found.functions],
    created: found.created,
  };
}

/**
 * A table that a statement makes, as far as its columns are known from the statement: for `FlowSession.temporary`, once the
 * server has said that it worked. Undefined when the statement makes none, or none whose columns are written out.
 */
export function temporaryMade(node: Node, result: FlowResult): CatalogRelation | undefined {
  const relation = (name: string, columns: readonly string[]): CatalogRelation => ({
    oid: 0,
    schema: 'pg_temp',
    name,
    kind: 'r',
    columns: columns.map((column, i) => ({ name: column, attnum: i + 1, type: 0, generated: null })),
    parents: [],
    definition: null,
    rules: false,
    rowType: 0,
  });
  if ('CreateStmt' in node) {
    const { relation: range, tableElts, inhRelations, ofTypename } = node.CreateStmt;
    if (range?.relname === undefined || range.schemaname !== undefined || inhRelations !== undefined || ofTypename !== undefined)
      return undefined;
    const columns: string[] = [];
    for (const element of tableElts ?? []) {
      if ('ColumnDef' in element) columns.push(element.ColumnDef.colname ?? '');
      else if (!('Constraint' in element)) return undefined; // LIKE
    }
    return relation(range.relname, columns);
  }
  const into =
    'CreateTableAsStmt' in node && node.CreateTableAsStmt.objtype === 'OBJECT_TABLE'
      ? node.CreateTableAsStmt.into
      : 'SelectStmt' in node
        ? intoOf(node)
        : undefined;
  if (into?.rel?.relname === undefined || into.rel.schemaname !== undefined) return undefined;
  const source = 'CreateTableAsStmt' in node ? node.CreateTableAsStmt.query : node;
  if (source === undefined || result.created === undefined) return undefined;
  const given = 'colNames' in into ? nameParts(into.colNames as Node[] | undefined) : [];
  return relation(
    into.rel.relname,
    result.created.map((name, i) => given[i] ?? name),
  );
}

/** Names that a definition touches; `*` when they cannot be told. */
function namesChanged(node: Node): string[] {
  const names: string[] = [];
  collectNames(node, names);
  return 'ExecuteStmt' in node || 'CallStmt' in node || 'DoStmt' in node || 'AlterExtensionStmt' in node || 'CreateExtensionStmt' in node
    ? ['*']
    : names;
}

function usesAny(node: Node, changed: readonly string[]): boolean {
  const names: string[] = [];
  collectNames(node, names);
  return names.length > 0 && (changed.includes('*') || names.some(name => changed.includes(name)));
}

/** Last parts of every relation, function and object name in a tree. */
function collectNames(value: unknown, into: string[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectNames(item, into);
    return;
  }
  if (!isTree(value)) return;
  if (typeof value.relname === 'string') into.push(value.relname);
  for (const key of ['funcname', 'objname', 'names', 'defnames', 'typeName', 'domainname', 'items']) {
    const list = value[key];
    if (Array.isArray(list)) {
      const last = nameParts(list as Node[]).at(-1);
      if (last !== undefined) into.push(last);
    }
  }
  if (typeof value.newname === 'string') into.push(value.newname);
  if (typeof value.subname === 'string') into.push(value.subname);
  for (const key in value) collectNames(value[key], into);
}

function searchPathAfter(node: Node, result: FlowResult, now: readonly string[], atStart: readonly string[]): readonly string[] {
  let path = now;
  for (const effect of result.effects)
    if (effect.type === 'set' && effect.name === 'search_path' && effect.value !== null) path = effectiveSearchPath(effect.value, '');
  if (!('VariableSetStmt' in node) || node.VariableSetStmt.name !== 'search_path') return path;
  if (node.VariableSetStmt.kind !== 'VAR_SET_VALUE') return atStart;
  return (node.VariableSetStmt.args ?? []).flatMap(arg =>
    'A_Const' in arg && arg.A_Const.sval !== undefined ? [arg.A_Const.sval.sval ?? ''] : [],
  );
}
