/**
 * From the text of a command to facts, quickly and repeatably: parse, collect, and remember.
 *
 * Two caches, both bounded: by a key in which literals are left out (lex.ts), and by the exact text for statements whose
 * outcome depends on a literal or that have no key. A cached answer is always the answer that a fresh analysis would give;
 * analyse.test.ts proves it over a corpus and random changes.
 *
 * It knows no catalog: objects are as written, and which columns are read is for flow/. Text that cannot be parsed is never
 * guessed at: `facts.unparseable` says why.
 */
import type { A_Const, Node } from 'libpg-query';
import type { CommandFacts } from '../policy/facts.ts';
import { constantOf, fieldsOf, isTree, type Tree, tagOf } from './ast.ts';
import { type Collected, collectStatement, emptyCollection } from './collect.ts';
import { lex } from './lex.ts';
import { fingerprint, type ParseOutcome, parse } from './parser.ts';
import { TextCache } from './text-cache.ts';

/** What a statement does to the session that carries it; the session follows it only after the server said that it worked. */
export type SessionEffect =
  | { type: 'set'; name: string; value: string | null; local: boolean } // value null: its default
  | { type: 'reset-all' }
  | { type: 'transaction'; verb: string } // the statement's kind
  | { type: 'prepare'; name: string; facts: CommandFacts; text: string } // text: the statement that it prepares
  | { type: 'execute'; name: string }
  | { type: 'deallocate'; name: string | null } // null: all
  | { type: 'discard'; target: string }
  | { type: 'declare-cursor'; name: string; hold: boolean }
  | { type: 'close-cursor'; name: string | null }
  | { type: 'fetch'; name: string }
  | { type: 'copy'; direction: 'in' | 'out' };

export interface AnalysedStatement {
  kind: string;
  /** Offsets in the text that was given: string indices for analyse(), bytes for analyseBytes(). Without the `;`. */
  start: number;
  end: number;
  effects: readonly SessionEffect[];
}

export interface Analysis {
  statements: readonly AnalysedStatement[];
  facts: CommandFacts;
  /** libpg_query's, 16 hex digits; '' when the text does not parse or is empty. */
  fingerprint: string;
  /** The parser's message when the text does not parse; it may quote the text. */
  error?: string;
  /** Names that EXECUTE uses: their facts are not in `facts` (withPrepared adds them). */
  executes: readonly string[];
}

export interface AnalysisSettings {
  /** The session's standard_conforming_strings, as the server last reported it. */
  standardConformingStrings: boolean;
}

/** Facts and trees of one text, when flow analysis needs more than facts. */
export type ParsedText = { ok: true; statements: { node: Node; start: number; end: number }[] } | { ok: false; reason: string };

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encodeScratch = new Uint8Array(96 * 1024);
const encoder = new TextEncoder();

interface KeyedAnalysis {
  key: Uint8Array;
  analysis: Analysis;
}

/** Texts longer than this are not remembered. */
const CACHED_TEXT_MAX = 64 * 1024;

export class StatementAnalyser {
  private readonly byText: TextCache<Analysis>;
  private readonly byKey = new Map<number, KeyedAnalysis>();
  private readonly keysMax: number;
  private readonly counts = { keyHits: 0, textHits: 0, parsed: 0 };

  /** @param options.cacheEntries of each cache; the cache by text is also held under 1 KiB an entry on average. */
  constructor(options: { cacheEntries: number }) {
    this.keysMax = options.cacheEntries;
    this.byText = new TextCache(options.cacheEntries, options.cacheEntries * 1024);
  }

  /** Hits and misses since the start, for metrics. */
  stats(): { keyHits: number; textHits: number; parsed: number } {
    return { ...this.counts };
  }

  /**
   * Analyses a command's text.
   *
   * @returns an object shared with other callers: do not change it. Never throws for what is in the text.
   */
  analyse(text: string, settings: AnalysisSettings): Analysis {
    if (settings.standardConformingStrings) {
      const known = this.byText.get(text);
      if (known !== undefined) {
        this.counts.textHits++;
        return known;
      }
    }
    if (!text.isWellFormed()) return unparseable('the text is not valid Unicode');
    if (text.length * 3 > encodeScratch.length) return this.fresh(Buffer.from(text), text, settings, false);
    const { written } = encoder.encodeInto(text, encodeScratch);
    return this.fresh(encodeScratch.subarray(0, written), text, settings, false);
  }

  /**
   * The same for bytes of a Query or Parse message, without making a string of them when the statement was seen before.
   *
   * @param bytes UTF-8 without the closing NUL; not kept. Anything but valid UTF-8 is unparseable.
   */
  analyseBytes(bytes: Uint8Array, settings: AnalysisSettings): Analysis {
    return this.fresh(bytes, undefined, settings, true);
  }

  private fresh(bytes: Uint8Array, given: string | undefined, settings: AnalysisSettings, byteOffsets: boolean): Analysis {
    const lexed = lex(bytes, 0, bytes.length);
    const { ascii, keyed, hash, start, end } = lexed;
    if (!settings.standardConformingStrings) {
      // PostgreSQL would read a backslash in a plain string as an escape, this parser would not: the two would split the
      // text at different places.
      if (lexed.backslashInPlain || (lexed.confused && bytes.includes(92))) {
        return unparseable("a plain string holds a backslash while standard_conforming_strings is off; write E'…' instead");
      }
    }
    if (keyed) {
      const hit = this.byKey.get(hash);
      if (hit !== undefined && sameKey(hit.key, lexed.key, lexed.keyLength)) {
        this.counts.keyHits++;
        return at(hit.analysis, start, end);
      }
    }
    let text = given;
    if (text === undefined) {
      if (ascii) text = latin1(bytes);
      else {
        try {
          text = strictDecoder.decode(bytes);
        } catch {
          return unparseable('the text is not valid UTF-8');
        }
      }
      // Offsets in bytes and in characters differ outside ASCII: such a text is remembered apart, behind a NUL.
      if (!ascii) text = `\0${text}`;
      const known = this.byText.get(text);
      if (known !== undefined) {
        this.counts.textHits++;
        return known;
      }
    }
    const key = keyed ? lexed.key.slice(0, lexed.keyLength) : undefined; // the parse below may lex again
    this.counts.parsed++;
    const { analysis, literalSensitive, lasting } = analyseText(bytes, byteOffsets || ascii);
    if (key !== undefined && !literalSensitive && analysis.statements.length === 1 && analysis.error === undefined) {
      if (this.byKey.size >= this.keysMax && !this.byKey.has(hash)) {
        const oldest = this.byKey.keys().next();
        if (!oldest.done) this.byKey.delete(oldest.value);
      }
      const keyedAnalysis = at(analysis, start, end);
      this.byKey.set(hash, { key, analysis: keyedAnalysis });
      return keyedAnalysis;
    }
    if (text.length <= CACHED_TEXT_MAX && lasting) this.byText.set(text, analysis);
    return analysis;
  }
}

/** The trees of a text, for flow analysis; kept for the text that was analysed last only. */
export function parseText(bytes: Uint8Array): ParsedText {
  if (lastParsed !== undefined && lastParsed.bytes.length === bytes.length && lastParsed.bytes.equals(bytes)) return lastParsed.outcome;
  const outcome = parse(bytes);
  return outcome.ok ? outcome : { ok: false, reason: outcome.reason };
}

/** The text that was analysed last: flow analysis asks for its tree next. Trees are never changed. */
let lastParsed: { bytes: Buffer; outcome: Extract<ParseOutcome, { ok: true }> } | undefined;

/**
 * Facts with those of the prepared statements that EXECUTE uses.
 *
 * @param prepared facts of a statement prepared in this session; undefined makes the command opaque.
 */
export function withPrepared(analysis: Analysis, prepared: (name: string) => CommandFacts | undefined): CommandFacts {
  if (analysis.executes.length === 0) return analysis.facts;
  let facts = analysis.facts;
  for (const name of analysis.executes) {
    const inner = prepared(name);
    facts =
      inner === undefined
        ? { ...facts, writes: true, opaque: [...facts.opaque, 'EXECUTE of a statement that is not known'] }
        : mergeFacts(facts, inner);
  }
  return facts;
}

/** Both together: the union of what they name, the weaker WHERE, writes if either does. */
export function mergeFacts(a: CommandFacts, b: CommandFacts): CommandFacts {
  const rank = ['notApplicable', 'some', 'tautology', 'none'] as const;
  const union = (x: readonly string[], y: readonly string[]): string[] => [...new Set([...x, ...y])];
  const unparseableReason = a.unparseable ?? b.unparseable;
  return {
    statements: union(a.statements, b.statements),
    objects: union(a.objects, b.objects),
    columnsRead: union(a.columnsRead, b.columnsRead),
    functions: union(a.functions, b.functions),
    where: rank[Math.max(rank.indexOf(a.where), rank.indexOf(b.where))] ?? 'none',
    multiStatement: a.multiStatement || b.multiStatement,
    writes: a.writes || b.writes,
    opaque: union(a.opaque, b.opaque),
    inferences: [...a.inferences, ...b.inferences],
    ...(unparseableReason === undefined ? {} : { unparseable: unparseableReason }),
  };
}

/** An analysis whose only statement stands elsewhere in the text. */
function at(analysis: Analysis, start: number, end: number): Analysis {
  const only = analysis.statements[0];
  if (only === undefined || (only.start === start && only.end === end)) return analysis;
  const { facts, fingerprint: print, executes } = analysis; // an analysis with an error is not kept by key
  return { statements: [{ kind: only.kind, start, end, effects: only.effects }], facts, fingerprint: print, executes };
}

function sameKey(key: Uint8Array, bytes: Uint8Array, length: number): boolean {
  if (key.length !== length) return false;
  for (let i = 0; i < length; i++) if (key[i] !== bytes[i]) return false;
  return true;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Parses and collects, without any cache. */
function analyseText(bytes: Uint8Array, byteOffsets: boolean): { analysis: Analysis; literalSensitive: boolean; lasting: boolean } {
  const outcome: ParseOutcome = parse(bytes);
  if (!outcome.ok) {
    // A restarting parser knows nothing of the text: no answer that may be remembered.
    return { analysis: unparseable(outcome.reason), literalSensitive: true, lasting: outcome.cause !== 'engine' };
  }
  lastParsed = bytes.length <= CACHED_TEXT_MAX ? { bytes: Buffer.from(bytes), outcome } : undefined;
  const offset = byteOffsets ? (byte: number) => byte : stringOffsets(bytes);
  const collected = emptyCollection();
  const statements: AnalysedStatement[] = [];
  const executes: string[] = [];
  try {
    for (const { node, start, end } of outcome.statements) {
      const own = collectStatement(node, collected);
      const trimmed = lex(bytes, start, end);
      const from = trimmed.confused ? start : trimmed.start;
      const to = trimmed.confused ? end : trimmed.end;
      statements.push({ kind: own, start: offset(from), end: offset(to), effects: effectsOf(node, bytes.subarray(from, to)) });
      findExecutes(node, executes);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { analysis: unparseable('the statement is nested too deeply'), literalSensitive: true, lasting: false };
  }
  const multi = statements.length > 1;
  return {
    analysis: {
      statements,
      facts: factsOf(collected, multi),
      fingerprint: statements.length === 0 ? '' : fingerprint(bytes),
      executes,
    },
    literalSensitive: collected.literalSensitive || multi,
    lasting: true,
  };
}

function factsOf(collected: Collected, multiStatement: boolean): CommandFacts {
  if (collected.kinds.size === 0) collected.kinds.add('empty');
  return {
    statements: [...collected.kinds],
    objects: [...collected.objects],
    columnsRead: [],
    functions: [...collected.functions],
    where: collected.where,
    multiStatement,
    writes: collected.writes,
    opaque: [...collected.opaque],
    inferences: [],
  };
}

function unparseable(reason: string): Analysis {
  return {
    statements: [],
    facts: {
      statements: ['unknown'],
      objects: [],
      columnsRead: [],
      functions: [],
      where: 'notApplicable',
      multiStatement: false,
      writes: true,
      opaque: [],
      unparseable: reason,
      inferences: [],
    },
    fingerprint: '',
    error: reason,
    executes: [],
  };
}

/** From byte offsets to string indices, asked in rising order. */
function stringOffsets(bytes: Uint8Array): (byte: number) => number {
  let at = 0;
  let index = 0;
  return byte => {
    if (byte < at) {
      at = 0;
      index = 0;
    }
    for (; at < byte; at++) {
      const b = bytes[at] ?? 0;
      if ((b & 0xc0) !== 0x80) index += b >= 0xf0 ? 2 : 1;
    }
    return index;
  };
}

function findExecutes(node: Node, into: string[]): void {
  const tag = tagOf(node);
  const fields = fieldsOf(node);
  if (tag === 'ExecuteStmt') into.push(String(fields.name));
  else if ((tag === 'ExplainStmt' || tag === 'CreateTableAsStmt') && isTree(fields.query))
    findExecutes(fields.query as unknown as Node, into);
}

function effectsOf(node: Node, bytes: Uint8Array): readonly SessionEffect[] {
  const fields = fieldsOf(node);
  switch (tagOf(node)) {
    case 'VariableSetStmt':
      return [settingOf(fields)];
    case 'TransactionStmt': {
      const kind = emptyCollection();
      return [{ type: 'transaction', verb: collectStatement(node, kind) }];
    }
    case 'PrepareStmt':
      return isTree(fields.query) ? [preparedOf(fields, bytes)] : [];
    case 'ExecuteStmt':
      return [{ type: 'execute', name: String(fields.name) }];
    case 'DeallocateStmt':
      return [{ type: 'deallocate', name: typeof fields.name === 'string' ? fields.name : null }];
    case 'DiscardStmt':
      return [{ type: 'discard', target: String(fields.target) }];
    case 'DeclareCursorStmt':
      // CURSOR_OPT_HOLD, nodes/parsenodes.h
      return [{ type: 'declare-cursor', name: String(fields.portalname), hold: (Number(fields.options ?? 0) & 0x20) !== 0 }];
    case 'ClosePortalStmt':
      return [{ type: 'close-cursor', name: typeof fields.portalname === 'string' ? fields.portalname : null }];
    case 'FetchStmt':
      return [{ type: 'fetch', name: String(fields.portalname) }];
    case 'CopyStmt':
      return typeof fields.filename === 'string' ? [] : [{ type: 'copy', direction: fields.is_from === true ? 'in' : 'out' }];
    default:
      return [];
  }
}

function settingOf(fields: Tree): SessionEffect {
  if (fields.kind === 'VAR_RESET_ALL') return { type: 'reset-all' };
  const values: string[] = [];
  for (const arg of Array.isArray(fields.args) ? fields.args : []) {
    if (!isTree(arg) || !isTree(arg.A_Const)) continue;
    const value = constantOf(arg.A_Const as A_Const);
    values.push(typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value));
  }
  // A list (search_path) is quoted as SHOW would print it.
  const value = values.length > 1 ? values.map(quoteIdentifier).join(', ') : (values[0] ?? null);
  return {
    type: 'set',
    name: String(fields.name).toLowerCase(),
    value: fields.kind === 'VAR_SET_VALUE' ? value : null,
    local: fields.is_local === true,
  };
}

function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function preparedOf(fields: Tree, bytes: Uint8Array): SessionEffect {
  const collected = emptyCollection();
  collectStatement(fields.query as unknown as Node, collected);
  const text = Buffer.from(bytes).toString();
  return { type: 'prepare', name: String(fields.name), facts: factsOf(collected, false), text };
}
