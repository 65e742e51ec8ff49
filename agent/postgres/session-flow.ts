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
import type { FlowResult } from '@sallyport/shared/sql/flow/result.ts';
import { effectiveSearchPath, type FlowSession } from '@sallyport/shared/sql/flow/session.ts';
import type { Node } from 'libpg-query';
import type { PolicyInForce } from '../session/lease-state.ts';
import type { Catalog } from './catalog.ts';
import type { CatalogIndex } from './catalog-index.ts';
import { type FlowJudgement, judgeFlow, type StatementFlow } from './flow.ts';
import { ownCatalogOf, ownCatalogStatements } from './own-catalog.ts';
import { SessionNames } from './session-names.ts';

const CURSORS_MAX = 1000;
/** A catalog that is larger is not asked for on a client's connection. */
const OWN_BYTES_MAX = 32 * 1024 * 1024;

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
  readonly namesVersion: number;
  readonly searchPath: readonly string[];
}

export class SessionFlow {
  readonly catalog: Catalog;
  /** The statement behind a prepared name: its text. */
  preparedText: (name: string) => Buffer | null = () => null;
  /** How the text of a function is read that is called now. */
  standardConformingStrings: () => boolean = () => true;
  readonly #names: SessionNames;
  readonly #cursors = new Map<string, FlowResult>();
  #scope: FlowScope | null = null;
  #pathKnown = false;
  #user = '';
  /** The current transaction has set something that its end may take back. */
  #pathTouched = false;
  /** A transaction block is open, as far as answers tell; null: they do not. */
  #block: boolean | null = false;

  constructor(catalog: Catalog) {
    this.catalog = catalog;
    this.#names = new SessionNames(catalog);
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
    return this.#names.temporary.size > 0;
  }

  /** What results name by number. */
  get index(): CatalogIndex {
    return this.#names.own?.index ?? this.catalog.index;
  }

  /** Is a transaction block open? Null: not known before the next ReadyForQuery. */
  get block(): boolean | null {
    return this.#block;
  }

  /** The end of the transaction will change what names mean: nothing is judged while its outcome is under way. */
  get transactional(): boolean {
    return this.#pathTouched || this.#names.defined;
  }

  /** What a judgement made now holds for. */
  get scope(): FlowScope {
    const { version } = this.catalog;
    const namesVersion = this.#names.version;
    if (this.#scope === null || this.#scope.catalogVersion !== version || this.#scope.namesVersion !== namesVersion)
      this.#scope = { catalogVersion: version, namesVersion, searchPath: this.#scope?.searchPath ?? [] };
    return this.#scope;
  }

  /** The answers to PATH_SETTINGS. */
  pathIs(values: readonly (string | null)[]): void {
    const [path, role, authorization] = values;
    const user = role === null || role === undefined || role === 'none' ? (authorization ?? '') : role;
    this.#user = user;
    this.#scope = {
      catalogVersion: this.catalog.version,
      namesVersion: this.#names.version,
      searchPath: effectiveSearchPath(path ?? '', user),
    };
    this.#pathKnown = true;
  }

  /** Something outside of statements may have changed the path. */
  forgetPath(): void {
    this.#pathKnown = false;
  }

  /** Statements may have run that nobody has followed. */
  forget(): void {
    this.#pathKnown = false;
    this.#block = null;
    this.#names.forget();
  }

  /**
   * Should the catalog be read as the session's own connection shows it? When that would tell what a statement is refused for not
   * knowing; and before a transaction, which may be one that keeps its snapshot.
   */
  wantsOwnCatalog(judgement: FlowJudgement | null, begins: boolean): boolean {
    return (
      judgement !== null &&
      this.#names.canBeRead &&
      this.catalog.bytes <= OWN_BYTES_MAX &&
      (begins || judgement.statements.some(({ result }) => result.unknown.length > 0))
    );
  }

  ownCatalogStatements(clientEncoding: string): string[] {
    return ownCatalogStatements(this.catalog.snapshot, clientEncoding);
  }

  /** @param row what the last of the statements returned; null: none was, and what is in doubt stays so. */
  ownCatalogIs(row: readonly (string | null)[] | null, clientEncoding: string): void {
    this.#names.ownIs(row === null ? null : ownCatalogOf(this.catalog.snapshot, clientEncoding, row));
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
      user: this.#user,
      standardConformingStrings: this.standardConformingStrings(),
      temporary: this.#names.temporary,
      changed: this.#names.inDoubt,
      functions: this.#names.functions,
      dropped: this.#names.dropped,
      prepared: name => this.#prepared(name),
      cursor: name => this.#cursors.get(name),
    };
    const analyser = this.#names.own?.analyser(inForce) ?? analyserFor(this.catalog, inForce);
    const results = analyser.analyseCommand(nodes, session);
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
    const { result } = flow;
    for (const effect of [...effects, ...result.effects] as {
      type: string;
      name?: string;
      verb?: string;
    }[]) {
      if (effect.type === 'set' && PATH_SETTINGS.some(name => name === effect.name)) this.#touchPath();
      else if (effect.type === 'reset-all') this.#touchPath();
      else if (effect.type === 'discard') {
        this.#touchPath();
        this.#names.discarded();
        this.#cursors.clear();
      } else if (effect.type === 'transaction') {
        if (this.#pathTouched) this.#pathKnown = false;
        this.#transaction(effect.verb ?? '');
      } else if (effect.type === 'declare-cursor') {
        if (this.#cursors.size >= CURSORS_MAX) this.#cursors.clear();
        this.#cursors.set(effect.name ?? '', result);
        this.#renew();
      }
    }
    this.#names.completed(flow, this.#scope?.searchPath[0]);
  }

  #transaction(verb: string): void {
    if (verb === 'begin' || verb === 'start-transaction') this.#block = true;
    else if (verb === 'savepoint' || verb === 'release-savepoint') return;
    else if (verb === 'rollback-to-savepoint') this.#names.undone();
    else {
      // It may be AND CHAIN.
      this.#block = null;
      if (verb === 'rollback') this.#names.undone();
    }
  }

  /** An error has come: what its transaction did may be undone. */
  failed(): void {
    this.#names.failed();
  }

  /** May notifications that reach this session hold protected values? */
  notificationsTell(inForce: PolicyInForce): boolean {
    return (this.#names.own?.analyser(inForce) ?? analyserFor(this.catalog, inForce)).notificationsTell;
  }

  /** Names of all columns that hold protected values, in any table. */
  protectedColumnNames(inForce: PolicyInForce): ReadonlySet<string> {
    return (this.#names.own?.analyser(inForce) ?? analyserFor(this.catalog, inForce)).protectedColumnNames;
  }

  /** Text of functions is read in another way from here on. */
  readingChanged(): void {
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
    this.#block = status === 'T';
    if (status !== 'I') return;
    if (this.#pathTouched) {
      this.#pathTouched = false;
      this.#pathKnown = false;
    }
    // Nothing is judged until the catalog was read again, and that reading sees what was committed.
    if (this.#names.transactionEnded()) this.catalog.changed();
  }
}
