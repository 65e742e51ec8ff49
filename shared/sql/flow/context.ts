/**
 * What one analysis carries along: the catalog, the session, and what it has found. The parts of flow analysis (expressions,
 * FROM, queries, functions) call each other through it, so that none imports another in a circle.
 */

import type { Node } from 'libpg-query';
import type { SessionEffect } from '../analyse.ts';
import type { Collected } from '../collect.ts';
import type { CatalogFunction, CatalogRelation, CatalogSnapshot } from './catalog.ts';
import type { CatalogChange, Inference, RefusedSink, UnknownCode, UnknownReason } from './result.ts';
import type { Env } from './scope.ts';
import type { FlowSession } from './session.ts';
import { type Labels, NO_LABELS, unionLabels, type Value } from './value.ts';

const MARK = 'behind statements: ';

/** In FlowSession.changed: something that runs behind statements uses this name since. */
export function behindMark(name: string): string {
  return `${MARK}${name.toLowerCase()}`;
}

/** It says that a name may not be redefined, not that it was. */
function isMark(name: string): boolean {
  return name.startsWith(MARK);
}

/** The columns that a query returns. */
export interface QueryOutput {
  columns: OutputColumn[];
  /** There may be more columns, with these labels; null when the list is complete. */
  rest: Labels | null;
}

export interface OutputColumn {
  name: string;
  value: Value;
}

/** Is this column protected? By policy, not by inheritance: that is relations.ts. */
export type ColumnTest = (schema: string, table: string, column: string) => boolean;

/** Kept over analyses with one catalog and one policy. */
export interface Shared {
  catalog: CatalogSnapshot;
  protects: ColumnTest;
  relationColumns: Map<number, readonly OutputColumn[]>;
  harmlessFunctions: Map<number, boolean>;
  /** Lower-case names of the relations that hold protected values; made when first needed. */
  protectedNames: Set<string> | undefined;
  /** Names by which something runs behind statements; made when first needed. */
  behind: ReadonlyMap<string, 'values' | 'rows'> | undefined;
  /** Names by which stored values were worked out; made when first needed. */
  stored: ReadonlySet<string> | undefined;
  /** Some function's body has a backslash in it; worked out when first needed. */
  backslashes: boolean | undefined;
  pureFunctions: Map<number, boolean>;
  /** What is unclear about a view, by OID. */
  relationUnknowns: Map<number, readonly UnknownReason[]>;
  /** What a view touches of protected columns besides what it shows, by OID. */
  relationTouches: Map<number, Labels>;
}

/** Conditions of one statement over protected columns: each tells one bit, and a value has few. */
const CONDITIONS_MAX = 32;

/** Nesting of views, functions and queries, over which analysis gives up. */
const DEPTH_MAX = 64;

export interface Engine {
  expression(node: Node, env: Env, ctx: Context): Value;
  predicate(node: Node, env: Env, ctx: Context): void;
  query(node: Node, env: Env, ctx: Context): QueryOutput;
  statement(node: Node, env: Env, ctx: Context): QueryOutput | null;
}

export class Context {
  readonly shared: Shared;
  readonly session: FlowSession;
  readonly engine: Engine;
  readonly searchPath: readonly string[];
  /** Values of $1, $2 …; a parameter without one is data of the client. */
  readonly parameters: readonly Value[];
  readonly found: Found;
  readonly depth: number;
  /** Inside a view or function of the database: its own conditions are not the client's inference. */
  readonly inside: boolean;

  constructor(
    from: Pick<Context, 'shared' | 'session' | 'engine' | 'searchPath'> &
      Partial<Pick<Context, 'parameters' | 'found' | 'depth' | 'inside'>>,
  ) {
    this.shared = from.shared;
    this.session = from.session;
    this.engine = from.engine;
    this.searchPath = from.searchPath;
    this.parameters = from.parameters ?? [];
    this.found = from.found ?? new Found();
    this.depth = from.depth ?? 0;
    this.inside = from.inside ?? false;
  }

  /** One level further in; undefined when that is too deep, which is then an unknown. */
  deeper(change: {
    searchPath?: readonly string[];
    session?: FlowSession;
    parameters?: readonly Value[];
    found?: Found;
    inside?: boolean;
  }): Context | undefined {
    if (this.depth >= DEPTH_MAX) {
      this.found.unknown('too-deep', 'queries, views or functions are nested too deeply');
      return undefined;
    }
    return new Context({
      shared: this.shared,
      session: change.session ?? this.session,
      engine: this.engine,
      searchPath: change.searchPath ?? this.searchPath,
      parameters: change.parameters ?? this.parameters,
      found: change.found ?? this.found,
      depth: this.depth + 1,
      inside: change.inside ?? this.inside,
    });
  }

  get catalog(): CatalogSnapshot {
    return this.shared.catalog;
  }

  /** Rows, their order or number depend on this value. */
  infer(value: Value, kind: Inference['kind'] = 'other'): void {
    // What a function does to its arguments is up to who passes them.
    if (this.inside && kind !== 'enumeration') return;
    for (const label of value.labels) this.found.inferences.add(`${kind} ${label}`);
  }

  /** A protected value would leave by something else than the result. */
  sink(kind: RefusedSink['kind'], detail: string, labels: Labels = NO_LABELS): void {
    this.found.sinks.push({ kind, detail, labels: [...labels] });
  }

  unknown(code: UnknownCode, detail: string): void {
    this.found.unknown(code, detail);
  }

  /** Text of a function is read when it is called, by the settings of then: a backslash may or may not end a constant's quote. */
  #hasBackslashes(): boolean {
    this.shared.backslashes ??= [...this.catalog.functions.values()].some(
      ({ language, body }) => (language === 'sql' || language === 'plpgsql') && body?.includes('\\') === true,
    );
    return this.shared.backslashes;
  }

  /**
   * A view or function is used. What it uses in turn may have been redefined by the open transaction, which the snapshot does
   * not see; that is rare enough not to look for the names.
   */
  dependsOnDefinitions(name: string): void {
    if (this.session.changed?.some(changed => !isMark(changed)) === true)
      this.unknown('catalog-stale', `this transaction changed definitions that ${name} may use; commit first`);
    if (this.session.standardConformingStrings === false && this.#hasBackslashes())
      this.unknown('function-opaque', `${name} is read by standard_conforming_strings, which is off or about to change`);
  }
}

/** Collected over one statement. */
export class Found {
  readonly sinks: RefusedSink[] = [];
  readonly inferences = new Set<string>(); // `kind label`
  readonly reads = new Set<string>();
  readonly functions = new Set<string>();
  readonly effects: SessionEffect[] = [];
  readonly unknowns = new Map<string, UnknownReason>();
  /** Names by which what it defines will run, in lower case. */
  readonly runsBehind = new Set<string>();
  /** Columns that get what was computed of themselves. */
  readonly rewrites = new Set<string>();
  touched: Labels = NO_LABELS;
  /** Labels that came out of a function's own reading. */
  functionReads: Labels = NO_LABELS;
  literalSensitive = false;
  /** Calls of functions that do something besides computing. */
  effectCalls = 0;
  created: readonly string[] | undefined;
  /** CREATE FUNCTION: one that can be followed, under a name that is new. */
  madeFunction: CatalogFunction | undefined;
  ownRows = false;
  /** CREATE DOMAIN and CREATE TYPE under a name that no type has, with nothing in it that is not PostgreSQL's own. */
  isNewType = false;
  /** ALTER TABLE: the table, where its statement tells what becomes of its columns. */
  altered: CatalogRelation | undefined;
  /** CREATE VIEW: nothing protected is in its columns. */
  isCleanView = false;
  /** DO: what its definitions change. */
  blockChange: Pick<CatalogChange, 'names' | 'temporary' | 'drops'> | undefined;
  /** CALL: what the bodies say. */
  called: Collected | null = null;
  /** Function bodies that may still be opened: functions that call functions multiply. */
  bodiesLeft = 200;

  unknown(code: UnknownCode, detail: string): void {
    // Bounded: a text of a million missing names is as unknown as one of ten.
    if (this.unknowns.size < 10) this.unknowns.set(`${code} ${detail}`, { code, detail });
  }

  touch(labels: Labels): void {
    this.touched = unionLabels(this.touched, labels);
  }

  /** Conditions over protected columns, by their node: a CTE's are met more than once. */
  private readonly conditions = new Set<Node>();

  /** One condition more. @returns false when they are too many for a question, and must count as enumeration. */
  condition(node: Node): boolean {
    this.conditions.add(node);
    return this.conditions.size <= CONDITIONS_MAX;
  }

  inferenceList(): Inference[] {
    return [...this.inferences].map(entry => {
      const space = entry.indexOf(' ');
      return { kind: entry.slice(0, space) as Inference['kind'], column: entry.slice(space + 1) };
    });
  }
}
