/**
 * What flow analysis must know of a session, kept true while the session runs: the search path, the tables that it made, what
 * its prepared statements and cursors are; and the shared catalog, which must not be old when a statement is judged.
 *
 * The search path is not worked out but asked for: after anything that may have changed it, and before the next statement is
 * judged, the server is asked on the session's own connection (`SHOW`, which takes no snapshot and is not a query to any
 * isolation level). frontend.ts sends the question; nothing here touches a socket.
 */

import type { CommandFacts } from '@sallyport/shared/policy/facts.ts';
import { parseText } from '@sallyport/shared/sql/analyse.ts';
import { FlowAnalyser } from '@sallyport/shared/sql/flow/analyse-flow.ts';
import type { CatalogRelation } from '@sallyport/shared/sql/flow/catalog.ts';
import type { FlowResult } from '@sallyport/shared/sql/flow/result.ts';
import { effectiveSearchPath, type FlowSession } from '@sallyport/shared/sql/flow/session.ts';
import type { Node } from 'libpg-query';
import type { PolicyInForce } from '../session/lease-state.ts';
import type { Catalog } from './catalog.ts';
import { type FlowJudgement, judgeFlow, type StatementFlow } from './flow.ts';

const TEMPORARY_MAX = 1000;
const CURSORS_MAX = 1000;
const CHANGED_MAX = 200;

/** The settings that a search path depends on, in the order in which the answers come. */
export const PATH_SETTINGS = ['search_path', 'role', 'session_authorization'] as const;

/** Analysers are kept by catalog reading and policy: sessions of one principal share one. */
const analysers = new WeakMap<PolicyInForce, { catalog: Catalog; version: number; analyser: FlowAnalyser }>();

function analyserFor(catalog: Catalog, inForce: PolicyInForce): FlowAnalyser {
  const known = analysers.get(inForce);
  if (known !== undefined && known.catalog === catalog && known.version === catalog.version) return known.analyser;
  const analyser = new FlowAnalyser(catalog.snapshot, (schema, table, column) => inForce.policy.column(schema, table, column) !== null);
  analysers.set(inForce, { catalog, version: catalog.version, analyser });
  return analyser;
}

/** A state of the session's names: a judgement holds for one of these. */
export interface FlowScope {
  readonly catalogVersion: number;
  readonly searchPath: readonly string[];
}

export class SessionFlow {
  readonly catalog: Catalog;
  /** The statement behind a prepared name: its text. */
  preparedText: (name: string) => Buffer | null = () => null;
  readonly #temporary = new Map<string, CatalogRelation>();
  readonly #cursors = new Map<string, FlowResult>();
  #scope: FlowScope | null = null;
  #pathKnown = false;
  /** The current transaction has set something that its end may take back. */
  #pathTouched = false;
  #definitionsInTransaction = false;
  /** Names that the open transaction has given another meaning, which no other connection can see yet. */
  readonly #changed = new Set<string>();
  /** Tables that the open transaction extended: the snapshot has them once it is over. */
  readonly #extended = new Set<string>();

  constructor(catalog: Catalog) {
    this.catalog = catalog;
  }

  /** The path must be asked for before anything is judged. */
  get asksForPath(): boolean {
    return !this.#pathKnown;
  }

  /** May a statement be judged now? */
  get ready(): boolean {
    return this.#pathKnown && this.catalog.fresh;
  }

  get hasTemporary(): boolean {
    return this.#temporary.size > 0;
  }

  /** The end of the transaction will change what names mean: nothing is judged while its outcome is under way. */
  get transactional(): boolean {
    return this.#pathTouched || this.#definitionsInTransaction;
  }

  /** What a judgement made now holds for. */
  get scope(): FlowScope {
    const { version } = this.catalog;
    if (this.#scope === null || this.#scope.catalogVersion !== version)
      this.#scope = { catalogVersion: version, searchPath: this.#scope?.searchPath ?? [] };
    return this.#scope;
  }

  /** The answers to PATH_SETTINGS. */
  pathIs(values: readonly (string | null)[]): void {
    const [path, role, authorization] = values;
    const user = role === null || role === undefined || role === 'none' ? (authorization ?? '') : role;
    this.#scope = { catalogVersion: this.catalog.version, searchPath: effectiveSearchPath(path ?? '', user) };
    this.#pathKnown = true;
  }

  /** Something outside of statements may have changed the path. */
  forgetPath(): void {
    this.#pathKnown = false;
  }

  /**
   * @param unwraps the text is of a PREPARE, and what it prepares is meant.
   * @returns null when the text does not parse.
   */
  judge(text: Uint8Array, facts: CommandFacts, inForce: PolicyInForce, unwraps: boolean): FlowJudgement | null {
    const parsed = parseText(text);
    if (!parsed.ok) return null;
    const nodes = parsed.statements.map(({ node }) =>
      unwraps && 'PrepareStmt' in node && node.PrepareStmt.query !== undefined ? node.PrepareStmt.query : node,
    );
    const session: FlowSession = {
      searchPath: this.scope.searchPath,
      temporary: this.#temporary,
      changed: [...this.#changed],
      prepared: name => this.#prepared(name),
      cursor: name => this.#cursors.get(name),
    };
    const results = analyserFor(this.catalog, inForce).analyseCommand(nodes, session);
    return judgeFlow(nodes, results, facts, inForce.policy);
  }

  #prepared(name: string): Node | undefined {
    const text = this.preparedText(name);
    if (text === null) return undefined;
    const parsed = parseText(text);
    const node = parsed.ok ? parsed.statements[0]?.node : undefined;
    return node !== undefined && 'PrepareStmt' in node ? node.PrepareStmt.query : node;
  }

  /** A statement has worked. */
  completed(flow: StatementFlow, effects: readonly { type: string }[]): void {
    const { result, makes } = flow;
    for (const effect of [...effects, ...result.effects] as { type: string; name?: string; target?: string; local?: boolean }[]) {
      if (effect.type === 'set' && PATH_SETTINGS.some(name => name === effect.name)) this.#touchPath();
      else if (effect.type === 'reset-all') this.#touchPath();
      else if (effect.type === 'discard') {
        this.#touchPath();
        this.#temporary.clear();
        this.#cursors.clear();
      } else if (effect.type === 'transaction' && this.#pathTouched) this.#pathKnown = false;
      else if (effect.type === 'declare-cursor') {
        if (this.#cursors.size >= CURSORS_MAX) this.#cursors.clear();
        this.#cursors.set(effect.name ?? '', result);
        this.#renew();
      }
    }
    if (makes !== undefined) {
      if (this.#temporary.size >= TEMPORARY_MAX) this.#temporary.clear();
      this.#temporary.set(makes.name, makes);
      this.#renew();
    }
    this.#changedBy(result);
    if (result.changesCatalog) this.#definitionsInTransaction = true;
  }

  #changedBy({ change }: FlowResult): void {
    const { made, names } = change;
    if (made !== undefined && !this.#temporary.has(made.name)) {
      this.#temporary.set(made.name, made);
      this.#extended.add(made.name);
      this.#renew();
    }
    if (names.length === 0) return;
    for (const name of this.#changed.size + names.length > CHANGED_MAX ? ['*'] : names) this.#changed.add(name);
    this.#renew();
  }

  /** Judgements made so far hold no longer. */
  #renew(): void {
    if (this.#scope !== null) this.#scope = { ...this.#scope };
  }

  #touchPath(): void {
    this.#pathTouched = true;
    this.#pathKnown = false;
  }

  /** ReadyForQuery: what a transaction did is now there for all, or gone. */
  transactionStatus(status: 'I' | 'T' | 'E'): void {
    if (status !== 'I') return;
    if (this.#pathTouched) {
      this.#pathTouched = false;
      this.#pathKnown = false;
    }
    if (this.#definitionsInTransaction) {
      this.#definitionsInTransaction = false;
      // Nothing is judged until the catalog was read again, and that reading sees what was committed.
      this.catalog.changed();
      for (const name of this.#extended) this.#temporary.delete(name);
      this.#extended.clear();
      this.#changed.clear();
      this.#renew();
    }
  }
}
