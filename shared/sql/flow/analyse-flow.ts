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
 * - `changesCatalog`: take a new snapshot once the statement is committed, before the next one is judged. Until then the
 *   snapshot does not see it: add `change.made` to FlowSession.temporary, `change.madeFunction` to FlowSession.functions,
 *   `change.names` to FlowSession.changed, and set FlowSession.dropped for `change.drops`, as soon as
 *   the server says that it worked, and drop all of them when the transaction is over and the new snapshot is in use.
 * Names are shared between SQL and the wire: EXECUTE runs what a Parse message named, FETCH reads what a Bind message named, so
 * FlowSession.prepared and .cursor must know those too, and a closed name must be forgotten.
 * If RowDescription shows another number of columns than `columns` (and `complete` is true), mask all of them whole.
 * A result holds for one snapshot, policy and search_path, and — unless `literalSensitive` — for every text with the same
 * key, which is as long as analysis gives the same `facts` object. Parameters of the extended protocol are data: they carry no label.
 *
 * Pure: no I/O, no clock. Whatever is not understood is reported as unknown; nothing is guessed.
 */
import type { Node } from 'libpg-query';
import { notificationsTell } from './behind.ts';
import type { CatalogFunction, CatalogSnapshot } from './catalog.ts';
import { catalogChange, changesCatalog, intoOf, isIndependentOf } from './catalog-changes.ts';
import { insert, merge, remove, update } from './change.ts';
import { behindMark, type ColumnTest, Context, type Engine, Found, type QueryOutput, type Shared } from './context.ts';
import { expression } from './expressions.ts';
import { predicate } from './predicates.ts';
import { query, select } from './query.ts';
import { relationColumns } from './relations.ts';
import type { FlowColumn, FlowResult } from './result.ts';
import { EMPTY_ENV, type Env } from './scope.ts';
import { effectiveSearchPath, type FlowSession, NO_SESSION } from './session.ts';
import { storeInto, utility } from './utility.ts';
import { NO_LABELS, unionLabels } from './value.ts';

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

export { temporaryMade } from './catalog-changes.ts';

export class FlowAnalyser {
  private readonly shared: Shared;
  /** What names mean where something was dropped: kept apart. */
  #sharedDropped: Shared | undefined;
  #notificationsTell: boolean | undefined;
  #protectedColumnNames: ReadonlySet<string> | undefined;

  /**
   * @param protects whether policy protects a column, by schema, table and column. Asked for every column of a relation
   *   when it is first used; the answer must not change.
   */
  constructor(catalog: CatalogSnapshot, protects: ColumnTest) {
    this.shared = sharedOf(catalog, protects);
  }

  /** Judges one statement. Never throws for what is in it. */
  analyse(node: Node, session: FlowSession): FlowResult {
    const found = new Found();
    const ctx = new Context({
      shared: session.dropped === true ? this.#whereDropped() : this.shared,
      session,
      engine,
      searchPath: session.searchPath,
      found,
    });
    let output: QueryOutput | null = null;
    try {
      output = statement(node, EMPTY_ENV, ctx);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      found.unknown('too-deep', 'the statement is nested too deeply');
    }
    if (!isIndependentOf(node, session.changed ?? [])) {
      found.unknown('catalog-stale', 'an earlier statement of this transaction changed what this one uses; commit first');
    }
    const result = resultOf(output, found, changesCatalog(node));
    const change = catalogChange(node, result, session, found);
    return {
      ...result,
      change: result.changesCatalog ? { ...change, names: [...change.names, ...[...found.runsBehind].map(behindMark)] } : change,
    };
  }

  #whereDropped(): Shared {
    this.#sharedDropped ??= sharedOf(this.shared.catalog, this.shared.protects);
    return this.#sharedDropped;
  }

  /** Names of all columns that hold protected values, in any table. */
  get protectedColumnNames(): ReadonlySet<string> {
    if (this.#protectedColumnNames !== undefined) return this.#protectedColumnNames;
    const ctx = new Context({ shared: this.shared, session: NO_SESSION, engine, searchPath: ['public'] });
    const names = new Set<string>();
    for (const relation of this.shared.catalog.relations.values())
      for (const { name, value } of relationColumns(relation, ctx)) if (value.labels.size > 0) names.add(name);
    this.#protectedColumnNames = names;
    return names;
  }

  /** May a notification of this database hold a protected value? */
  get notificationsTell(): boolean {
    this.#notificationsTell ??= notificationsTell(
      new Context({ shared: this.shared, session: NO_SESSION, engine, searchPath: ['public'] }),
    );
    return this.#notificationsTell;
  }

  /**
   * Judges the statements of one text in order, as one simple query runs them: search_path set by an earlier one counts for
   * the later ones; what an earlier one made is known by its columns, and what it changed is unknown.
   */
  analyseCommand(nodes: readonly Node[], session: FlowSession): FlowResult[] {
    const results = this.#inOrder(nodes, session);
    const isUnsure =
      session.standardConformingStrings !== false && nodes.some((node, i) => changesLexing(node, results[i], nodes.length > 1));
    return isUnsure ? this.#inOrder(nodes, { ...session, standardConformingStrings: false }) : results;
  }

  #inOrder(nodes: readonly Node[], session: FlowSession): FlowResult[] {
    const results: FlowResult[] = [];
    const made = new Map(session.temporary);
    const changed = [...(session.changed ?? [])];
    const functions = new Map<string, CatalogFunction>(session.functions);
    let { dropped = false } = session;
    const prepared = new Map<string, Node>();
    const cursors = new Map<string, FlowResult>();
    let { searchPath, otherPaths = [] } = session;
    for (const node of nodes) {
      const result = this.analyse(node, {
        searchPath,
        otherPaths,
        temporary: made,
        changed,
        functions,
        dropped,
        ...(session.user === undefined ? {} : { user: session.user }),
        ...(session.standardConformingStrings === undefined ? {} : { standardConformingStrings: session.standardConformingStrings }),
        prepared: name => prepared.get(name) ?? session.prepared(name),
        cursor: name => cursors.get(name) ?? session.cursor(name),
      });
      results.push(result);
      const path = searchPathAfter(node, result);
      if (path === 'earlier') otherPaths = [...otherPaths, searchPath, session.searchPath];
      else if (path !== undefined) {
        searchPath = path;
        otherPaths = [];
      }
      if ('PrepareStmt' in node && node.PrepareStmt.query !== undefined) prepared.set(node.PrepareStmt.name ?? '', node.PrepareStmt.query);
      if ('DeclareCursorStmt' in node) cursors.set(node.DeclareCursorStmt.portalname ?? '', result);
      const { change } = result;
      if (change.made !== undefined && !changed.includes(change.made.name)) made.set(change.made.name, change.made);
      if (change.madeFunction !== undefined) functions.set(change.madeFunction.name, change.madeFunction);
      if (change.drops === true) dropped = true;
      changed.push(...change.names);
    }
    return results;
  }
}

function sharedOf(catalog: CatalogSnapshot, protects: ColumnTest): Shared {
  return {
    catalog,
    protects,
    relationColumns: new Map(),
    harmlessFunctions: new Map(),
    relationUnknowns: new Map(),
    relationTouches: new Map(),
    protectedNames: undefined,
    behind: undefined,
    stored: undefined,
    backslashes: undefined,
    pureFunctions: new Map(),
  };
}

/** May text that later statements run be read by another setting than this text was? */
function changesLexing(node: Node, result: FlowResult | undefined, isOneOfMany: boolean): boolean {
  if (result?.effects.some(effect => effect.type === 'set' && effect.name === 'standard_conforming_strings') === true) return true;
  if (!isOneOfMany) return false;
  if ('TransactionStmt' in node) return /COMMIT|ROLLBACK/.test(node.TransactionStmt.kind ?? '');
  if ('DiscardStmt' in node) return true;
  if (!('VariableSetStmt' in node)) return false;
  return node.VariableSetStmt.kind === 'VAR_RESET_ALL' || node.VariableSetStmt.name?.toLowerCase() === 'standard_conforming_strings';
}

function resultOf(output: QueryOutput | null, found: Found, changes: boolean): Omit<FlowResult, 'change'> {
  // Where columns may be others than these, each may be any of them.
  const rest = output?.rest ?? NO_LABELS;
  const columns = output?.columns.map(
    ({ name, value }): FlowColumn => ({
      name,
      labels: unionLabels(value.labels, rest),
      plain: rest.size === 0 && value.plains !== null && value.plains.length === 1 ? (value.plains[0] ?? null) : null,
      plains: rest.size === 0 ? value.plains : null,
      witness: output.rest === null ? value.witness : undefined,
    }),
  );
  found.touch(rest);
  for (const column of columns ?? []) found.touch(column.labels);
  return {
    columns: columns ?? null,
    complete: output === null || output.rest === null,
    restLabels: rest,
    sinks: found.sinks,
    inferences: found.inferenceList(),
    reads: [...found.reads],
    touched: found.touched,
    ownRows: found.ownRows,
    rewrites: [...found.rewrites],
    unknown: [...found.unknowns.values()],
    effects: found.effects,
    literalSensitive: found.literalSensitive,
    changesCatalog: changes,
    functions: [...found.functions],
    created: found.created,
    called: found.called,
  };
}

/** The search_path behind a statement; `earlier` when it may be one of before; undefined when it stays. */
export function searchPathAfter(node: Node, result: FlowResult, user = ''): readonly string[] | 'earlier' | undefined {
  for (const effect of result.effects) {
    if (effect.type === 'set' && effect.name === 'search_path' && effect.value !== null) return effectiveSearchPath(effect.value, user);
  }
  if ('TransactionStmt' in node)
    return node.TransactionStmt.kind?.startsWith('TRANS_STMT_ROLLBACK') === true || node.TransactionStmt.kind === 'TRANS_STMT_COMMIT'
      ? 'earlier'
      : undefined;
  if ('DiscardStmt' in node) return 'earlier';
  if (!('VariableSetStmt' in node)) return undefined;
  const { name: setting, kind, args } = node.VariableSetStmt;
  if (kind === 'VAR_RESET_ALL') return 'earlier';
  if (setting?.toLowerCase() !== 'search_path') return undefined;
  if (kind !== 'VAR_SET_VALUE') return 'earlier';
  return (args ?? []).flatMap(arg => {
    const name = 'A_Const' in arg ? arg.A_Const.sval?.sval : undefined;
    return name === undefined ? [] : [name === '$user' ? user : name];
  });
}
