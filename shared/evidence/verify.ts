/**
 * Verifies an evidence file (docs/reference/evidence-format.md), line by line, in memory that does not grow with the records.
 *
 * Pure: hashing and signature checks are given, so the same code runs in the CLI and in a browser. Whom to trust is the caller's: a
 * pinned key of the control plane.
 *
 * The order of a file is fixed (header, head of the control log, entries, checkpoints, sessions, end), so that what is needed to judge a
 * line is known when it comes: entries give the agents' keys and the logged checkpoints, checkpoints give where each session must stand,
 * records are then chained up to that.
 */
import { base64, fromBase64 } from './base64.ts';
import { decodeHead, decodeStatement, type Head, headsRoot, headTag, type Statement, signedBytes, startedMs } from './checkpoint.ts';
import { reportBytes } from './html-report.ts';
import { CLOCKS_APART_MS, type LogEvent, LogProof } from './log-proof.ts';
import { type Sha256, sameBytes } from './merkle.ts';
import type { Finding, Note, Report } from './report.ts';
import { type SessionWalk, walkSession } from './session-walk.ts';
import { type LogKey, openTreeHead, parseLogKey, parseTreeHead, type TreeHead, type VerifyEd25519 } from './tree-head.ts';

export interface VerifierOptions {
  sha256: Sha256;
  verifyEd25519: VerifyEd25519;
  /** The control plane's key as the auditor pinned it; without it the file's own is believed, and the report says so. */
  key?: LogKey;
  /** Signed heads of the control log that were kept elsewhere: the log in the file must go on from each. */
  heads?: readonly string[];
  /**
   * Checks a time stamp (RFC 3161) of a note against authorities that the caller trusts, and throws when it does not hold; without it
   * time stamps are not checked, and the report says so.
   */
  verifyTimeStamp?: (token: Uint8Array, hash: Uint8Array) => { atMs: number; authority: string };
}

const FORMAT = 'sallyport-evidence/1';
const FINDINGS_MAX = 1000;
const RECORD_LINE = '{"type":"record","bytes":"';
const RETENTION_STREAM = 'retention/log';
/** What is newer than this when the file is made may not have reached the log yet; clocks differ by less. */
const FRESH_MS = 60_000;

/** As the file says. Whoever changes it changes what the file claims: a reader must see it. */
export interface Scope {
  sessions?: string[];
  person?: string;
  resource?: string;
  from?: string;
  to?: string;
}

type Line = Record<string, unknown>;

interface Ledger {
  last: Statement;
  lastHash: Uint8Array;
  /** The newest number whose statement is in the control log. */
  covered: number;
}

/** Where a session must stand by the newest checkpoint that names it, and where it stood by the others. */
interface Expected extends Head {
  seen: boolean;
  /** The ledger that names it: no other may. */
  ledger: string;
  /** When the checkpoint was signed that calls it ended, microseconds; null when none does. */
  endedUnixUs: number | null;
  /** Records → hash of the last of them, of every checkpoint. */
  heads: Map<number, Uint8Array>;
}

/** A deletion that the control plane logged, with the legal holds that were in force. */
interface Expiry {
  resource: string;
  beforeMs: number;
  holds: Hold[];
}

/** Contents of a person's sessions that were made unreadable, as the control plane logged it. */
interface Shred {
  person: string;
  throughMs: number;
  askedBy: string;
  confirmedBy: string;
  reason: string;
}

type Hold = Record<'person' | 'resource' | 'session', string | undefined>;

export class EvidenceVerifier {
  readonly #options: VerifierOptions;
  readonly #sha256: Sha256;
  readonly #findings: Finding[] = [];
  #more = 0;
  readonly #notes: Note[] = [];
  readonly #counts = { lines: 0, sessions: 0, records: 0, checkpoints: 0 };
  #scope: Scope | null = null;
  /** By the signed head: what the file says of itself anybody could have written. */
  #madeAtMs = 0;
  #key: LogKey | null = null;
  #treeHead: TreeHead | null = null;
  #headNote = '';
  #page: string | null = null;
  readonly #stamped: { at: string; entries: number; authority: string; head: TreeHead }[] = [];
  readonly #log: LogProof;
  /** Heads that were kept elsewhere, with a good signature. */
  #kept: TreeHead[] = [];
  readonly #agentKeys = new Map<string, { key: Uint8Array; name: string }>();
  /** ledger → number → SHA-256 of the statement in the control log. */
  readonly #logged = new Map<string, Map<number, Uint8Array>>();
  readonly #expiries: Expiry[] = [];
  readonly #shreds: Shred[] = [];
  /** Legal holds that were placed, by id, and whether each is in force at this place of the log. */
  readonly #holds = new Map<string, { hold: Hold; isInForce: boolean }>();
  /** Accepted entries of the stream of holds and deletions. */
  #retentionVersion = 0n;
  readonly #ledgers = new Map<string, Ledger>();
  readonly #expected = new Map<string, Expected>();
  #walk: SessionWalk | null = null;
  /** Sessions that the scope names and that have not come yet. */
  #asked = new Set<string>();
  #ended = false;
  #broken = false;

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#sha256 = options.sha256;
    this.#log = new LogProof({
      sha256: options.sha256,
      find: finding => this.#find(finding),
      malformed: why => this.#malformed(why),
      believe: (index, event) => this.#believe(index, event),
    });
  }

  /** Takes the next line, without its line feed. Records, nearly all there are, are done with when it returns. */
  take(line: string): void | Promise<void> {
    this.#counts.lines++;
    if (this.#walk !== null && line.startsWith(RECORD_LINE) && line.endsWith('"}')) {
      const bytes = fromBase64(line.slice(RECORD_LINE.length, -2));
      if (bytes !== null) {
        this.#counts.records++;
        this.#walk.take(bytes);
        return;
      }
    }
    return this.#takeOther(line);
  }

  /** The page for people, when the control plane signed it for this file. */
  get page(): string | null {
    return this.#page;
  }

  /** Call once after the last line. */
  async finish(): Promise<Report> {
    this.#endSession();
    if (!this.#ended) this.#find({ code: 'FILE_CUT', message: 'The file has no last line: it was cut, or its export did not finish.' });
    this.#checkLedgers();
    this.#checkScope();
    this.#checkLog();
    if (this.#options.key === undefined && this.#key !== null) {
      this.#note({
        code: 'KEY_NOT_PINNED',
        message: 'The control plane’s key was taken from the file itself. Get it another way and give it (--key) to be sure who signed.',
      });
    }
    if (this.#log.withheld > 0) {
      this.#note({
        code: 'WITHHELD',
        message: `${this.#log.withheld} entries of the control log are given by stream, type and hash only, because they may hold secrets.`,
      });
    }
    const { treeHead } = this.#summary();
    return {
      ok: this.#findings.length === 0,
      scope: { ...this.#scope },
      findings: this.#findings,
      more: this.#more,
      notes: this.#notes,
      counts: { ...this.#counts, entries: this.#log.entries },
      treeHead,
      timestamps: this.#stamped.filter(({ at }) => at !== '').map(({ head: _head, ...stamp }) => stamp),
      pinned: this.#options.key !== undefined,
    };
  }

  #summary() {
    const head = this.#treeHead;
    return { treeHead: head === null ? null : { origin: head.origin, size: head.size, root: base64(head.root), at: head.at } };
  }

  #find(finding: Finding): void {
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(finding);
    else this.#more++;
  }

  #note(note: Note): void {
    if (this.#notes.length < FINDINGS_MAX) this.#notes.push(note);
  }

  #malformed(why: string): void {
    // One broken line may make every following one look wrong.
    if (this.#broken) return;
    this.#broken = true;
    this.#find({ code: 'FILE_MALFORMED', message: `Line ${this.#counts.lines} of the file cannot be used: ${why}.` });
  }

  async #takeOther(text: string): Promise<void> {
    let line: Line;
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
      line = value as Line;
    } catch {
      this.#malformed('it is not a JSON object');
      return;
    }
    if (this.#ended) {
      this.#malformed('the file goes on after its last line');
      return;
    }
    if (this.#scope === null && line['type'] !== 'header') {
      this.#malformed('a file begins with its header');
      return;
    }
    if (line['type'] !== 'entry') this.#log.end(this.#treeHead);
    if (line['type'] !== 'record') this.#endSession();
    switch (line['type']) {
      case 'header':
        this.#header(line);
        return;
      case 'tree-head':
        await this.#treeHeadLine(line);
        return;
      case 'range':
        this.#log.begin(line);
        return;
      case 'entry':
        this.#log.entry(line);
        return;
      case 'consistency':
        this.#log.consistency(line);
        return;
      case 'checkpoint':
        await this.#checkpoint(line);
        return;
      case 'session':
        this.#session(line);
        return;
      case 'timestamp':
        await this.#timestamp(line);
        return;
      case 'report':
        await this.#reportLine(line);
        return;
      case 'end':
        this.#ended = true;
        if (line['lines'] !== this.#counts.lines)
          this.#find({
            code: 'FILE_CUT',
            message: `The file has ${this.#counts.lines} lines, its last one says ${String(line['lines'])}: lines were taken out or added.`,
          });
        return;
      default:
        this.#malformed(`${JSON.stringify(line['type'] ?? null)} is no type of line`);
    }
  }

  #header(line: Line): void {
    if (this.#scope !== null) {
      this.#malformed('there is a second header');
      return;
    }
    if (line['format'] !== FORMAT) {
      this.#malformed(`its format is not ${FORMAT}`);
      return;
    }
    this.#scope = (typeof line['scope'] === 'object' && line['scope'] !== null ? line['scope'] : {}) as Scope;
    this.#asked = new Set(this.#scope.sessions);
    const own = parseLogKey(String(line['key']), this.#sha256);
    this.#key = this.#options.key ?? own;
    if (own === null) this.#malformed('its key is none');
  }

  async #treeHeadLine(line: Line): Promise<void> {
    if (this.#treeHead !== null) {
      this.#malformed('there is a second head of the control log');
      return;
    }
    const note = String(line['note']);
    this.#headNote = note;
    const { verifyEd25519 } = this.#options;
    this.#treeHead = this.#key === null ? null : await openTreeHead(note, this.#key, verifyEd25519, this.#sha256);
    if (this.#treeHead === null) {
      this.#find({
        code: 'TREE_HEAD_FORGED',
        message: 'The head of the control log is not signed by the control plane’s key: who made this file is not who it says.',
      });
      // What follows is still checked against what the head says.
      this.#treeHead = parseTreeHead(note)?.head ?? null;
    }
    this.#madeAtMs = Date.parse(this.#treeHead?.at ?? '');
    for (const kept of this.#options.heads ?? []) {
      const head = this.#key === null ? null : await openTreeHead(kept, this.#key, verifyEd25519, this.#sha256);
      if (head !== null) this.#kept.push(head);
      else
        this.#find({
          code: 'KEPT_HEAD_FORGED',
          message: `A kept head (${kept.split('\n', 1)[0] ?? ''}) is not signed by the control plane’s key.`,
        });
    }
  }

  async #timestamp(line: Line): Promise<void> {
    const note = String(line['note']);
    const token = fromBase64(String(line['token']));
    const { verifyEd25519, verifyTimeStamp } = this.#options;
    const head = this.#key === null ? null : await openTreeHead(note, this.#key, verifyEd25519, this.#sha256);
    const forged = (why: string) => this.#find({ code: 'TIMESTAMP_FORGED', message: `A time stamp in the file does not hold: ${why}` });
    if (head === null || token === null) {
      forged('what it stamps is not signed by the control plane’s key.');
      return;
    }
    try {
      const stamp = verifyTimeStamp?.(token, this.#sha256(new TextEncoder().encode(note)));
      const at = stamp === undefined ? '' : new Date(stamp.atMs).toISOString();
      this.#stamped.push({ at, entries: head.size, authority: stamp?.authority ?? '', head });
    } catch (error) {
      forged(error instanceof Error ? error.message : String(error));
    }
  }

  async #reportLine(line: Line): Promise<void> {
    const html = String(line['html']);
    const signature = fromBase64(String(line['signature']));
    const bytes = reportBytes(this.#headNote, html);
    if (this.#key !== null && signature !== null && (await this.#options.verifyEd25519(this.#key.publicKey, bytes, signature)))
      this.#page = html;
    else
      this.#find({
        code: 'REPORT_FORGED',
        message: 'The page for people is not the one that the control plane made for this file: do not read it.',
      });
  }

  // What entries of the control log say

  #believe(index: number, event: LogEvent): void {
    let payload: Line;
    try {
      payload = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(event.payload)) as Line;
    } catch {
      this.#malformed(`entry ${index} of the control log has no JSON in it`);
      return;
    }
    if (event.type === 'AgentJoined') {
      const details = objectOf(payload['details']);
      const key = fromBase64(String(objectOf(details['keys'])['signingKey']));
      const agent = event.stream.slice('agent/'.length);
      // An agent joins once: a later entry cannot change its key.
      if (key !== null && !this.#agentKeys.has(agent)) this.#agentKeys.set(agent, { key, name: String(details['name']) });
    } else if (event.stream === RETENTION_STREAM) {
      this.#retention(index, event, payload);
    } else if (event.type === 'CheckpointsLogged') {
      for (const logged of listOf(payload['checkpoints'])) this.#noteLogged(logged);
      for (const conflict of listOf(payload['conflicts'])) this.#conflict(index, conflict);
    }
  }

  /** Legal holds and deletions, in the order of the log: a deletion counts only for what no hold is about. */
  #retention(index: number, event: LogEvent, payload: Line): void {
    // Of two that expect one version the second was not accepted.
    if (event.expectedVersion < this.#retentionVersion) return;
    this.#retentionVersion = event.expectedVersion + 1n;
    const { id, person, askedBy, confirmedBy, reason } = textsOf(payload);
    if (event.type === 'LegalHoldPlaced') {
      const { resource, session } = textsOf(payload);
      this.#holds.set(id ?? '', { hold: { person, resource, session }, isInForce: true });
    } else if (event.type === 'LegalHoldReleased') {
      const placed = this.#holds.get(id ?? '');
      if (placed !== undefined) placed.isInForce = false;
    } else if (event.type === 'EvidenceExpired') {
      // The deletion names the holds of its time: one whose entry was left out of the file is missed.
      const named = Array.isArray(payload['holds']) ? payload['holds'].map(String) : [];
      if (named.some(each => !this.#holds.has(each))) {
        this.#find({
          code: 'ENTRY_ALTERED',
          entry: index,
          message: `Entry ${index} of the control log deletes evidence while legal holds were in force whose entries are missing.`,
        });
      }
      const holds = [...this.#holds].filter(([each, { isInForce }]) => isInForce || named.includes(each)).map(([, { hold }]) => hold);
      this.#expiries.push({ resource: String(payload['resource']), beforeMs: Number(payload['beforeMs']), holds });
    } else if (event.type === 'ContentsShredded' && person !== undefined) {
      const by = { askedBy: askedBy ?? '', confirmedBy: confirmedBy ?? '', reason: reason ?? '' };
      this.#shreds.push({ person, throughMs: Number(payload['throughMs']), ...by });
    }
  }

  #noteLogged(logged: Line): void {
    const bytes = fromBase64(String(logged['statement']));
    const statement = bytes === null ? null : decodeStatement(bytes);
    if (bytes === null || statement === null) return;
    let numbers = this.#logged.get(statement.ledger);
    if (numbers === undefined) {
      numbers = new Map();
      this.#logged.set(statement.ledger, numbers);
    }
    numbers.set(statement.number, this.#sha256(bytes));
  }

  #conflict(index: number, conflict: Line): void {
    const { ledger, number, agentId } = conflict;
    this.#find({
      code: 'CHECKPOINT_FORK',
      entry: index,
      ledger: String(ledger),
      number: Number(number),
      message: `Agent ${this.#agentName(String(agentId))} came back with another checkpoint ${String(number)} than the one it had shown before: its spool was set back or copied, and what lay in between may be gone.`,
    });
  }

  #agentName(agentId: string): string {
    return this.#agentKeys.get(agentId)?.name ?? agentId;
  }

  #checkLog(): void {
    const head = this.#treeHead;
    if (head === null) {
      this.#find({ code: 'TREE_HEAD_FORGED', message: 'There is no signed head of the control log in the file: nothing of it is proven.' });
      return;
    }
    this.#log.checkComplete(head, this.#fromMs());
    this.#log.checkKept(head, this.#kept);
    for (const { head: old } of this.#stamped) {
      if (this.#log.isBeginning(head, old) !== true)
        this.#find({
          code: 'TIMESTAMP_FORGED',
          entry: old.size,
          message: `The control log that was time-stamped with ${old.size} entries is not the beginning of the one in this file.`,
        });
    }
    if (this.#stamped.length > 0 && this.#options.verifyTimeStamp === undefined)
      this.#note({
        code: 'TIMESTAMP_UNCHECKED',
        message: 'The time stamps in the file were not checked: say which authority you trust (--tsa-ca).',
      });
  }

  /** The earliest moment at which a session in scope can have begun, milliseconds; null when there is none. */
  #fromMs(): number | null {
    const { sessions, from } = this.#scope ?? {};
    const ms = sessions === undefined ? Date.parse(from ?? '') : Math.min(...sessions.map(startedMs));
    return Number.isFinite(ms) ? ms : null;
  }

  // Checkpoints

  async #checkpoint(line: Line): Promise<void> {
    this.#counts.checkpoints++;
    const bytes = fromBase64(String(line['statement']));
    const signature = fromBase64(String(line['signature']));
    const statement = bytes === null ? null : decodeStatement(bytes);
    if (bytes === null || signature === null || statement === null) {
      this.#malformed('a checkpoint that cannot be read');
      return;
    }
    const { ledger, number } = statement;
    const name = this.#agentName(statement.agentId);
    const key = this.#agentKeys.get(statement.agentId);
    const place = { ledger, number };
    if (key === undefined) {
      this.#find({ code: 'KEY_UNKNOWN', ...place, message: `No proven entry of the control log says which key agent ${name} signs with.` });
      return;
    }
    if (!(await this.#options.verifyEd25519(key.key, signedBytes(bytes), signature))) {
      this.#find({
        code: 'CHECKPOINT_FORGED',
        ...place,
        message: `Checkpoint ${number} of agent ${name} is not signed by that agent’s key: it is forged or was altered.`,
      });
      return;
    }
    const hash = this.#sha256(bytes);
    this.#follow(statement, hash, name);
    await this.#heads(line, statement, name);
  }

  /** The place of a checkpoint in its ledger, and in the control log. */
  #follow(statement: Statement, hash: Uint8Array, name: string): void {
    const { ledger, number } = statement;
    const before = this.#ledgers.get(ledger);
    if (before === undefined) {
      // Sessions that only the first ones name would be missed by nothing else.
      const fromMs = this.#fromMs();
      const isEarly = fromMs !== null && statement.atUnixUs / 1000 < fromMs - CLOCKS_APART_MS;
      if (number > 0 && !isEarly) this.#checkpointsMissing(ledger, 0, number - 1, name);
    } else {
      if (number > before.last.number + 1) this.#checkpointsMissing(ledger, before.last.number + 1, number - 1, name);
      else if (
        number <= before.last.number ||
        statement.agentId !== before.last.agentId ||
        !sameBytes(statement.previous, before.lastHash)
      ) {
        this.#find({
          code: 'CHECKPOINT_FORK',
          ledger,
          number,
          message: `Checkpoint ${number} of agent ${name} does not follow checkpoint ${before.last.number}: there are two histories.`,
        });
      }
    }
    const logged = this.#logged.get(ledger)?.get(number);
    if (logged !== undefined && !sameBytes(logged, hash)) {
      this.#find({
        code: 'CHECKPOINT_FORK',
        ledger,
        number,
        message: `Checkpoint ${number} of agent ${name} is not the one that the control plane logged: its spool was set back, or the record was replaced.`,
      });
    }
    const covered = logged !== undefined && sameBytes(logged, hash) ? number : (before?.covered ?? -1);
    this.#ledgers.set(ledger, { last: statement, lastHash: hash, covered });
  }

  #checkpointsMissing(ledger: string, from: number, to: number, name: string): void {
    this.#find({
      code: 'CHECKPOINT_MISSING',
      ledger,
      number: from,
      message: `Checkpoint${from === to ? ` ${from}` : `s ${from} to ${to}`} of agent ${name} (ledger ${ledger}) ${from === to ? 'is' : 'are'} missing: evidence of sessions may be missing with ${from === to ? 'it' : 'them'}.`,
    });
  }

  async #heads(line: Line, statement: Statement, name: string): Promise<void> {
    const altered = () =>
      this.#find({
        code: 'HEADS_ALTERED',
        ledger: statement.ledger,
        number: statement.number,
        message: `The list of sessions in checkpoint ${statement.number} of agent ${name} is not the one that the agent signed.`,
      });
    if (Array.isArray(line['heads'])) {
      const encoded = line['heads'].map(each => fromBase64(String(each)));
      const whole = encoded.filter(each => each !== null);
      if (whole.length !== statement.heads || !sameBytes(headsRoot(whole, this.#sha256), statement.headsRoot)) {
        altered();
        return;
      }
      for (const bytes of whole) this.#expect(decodeHead(bytes), statement);
    } else {
      altered();
    }
  }

  /** A session is named by one ledger, and never goes back there. */
  #expect(head: Head | null, { ledger, number, agentId, atUnixUs }: Statement): void {
    if (head === null || !this.#isInScope(head)) return;
    const { sessionId, records, hash, ended } = head;
    const before = this.#expected.get(sessionId);
    const signed = before?.heads.get(records);
    if (
      before !== undefined &&
      (before.ledger !== ledger || records < before.records || (before.ended && !ended) || !sameBytes(signed ?? hash, hash))
    ) {
      this.#find({
        code: 'CHECKPOINT_FORK',
        session: sessionId,
        ledger,
        number,
        message: `Checkpoint ${number} of agent ${this.#agentName(agentId)} gives session ${sessionId} another history than the one that was signed before.`,
      });
      return;
    }
    const heads = (before?.heads ?? new Map<number, Uint8Array>()).set(records, hash);
    const endedUnixUs = before?.endedUnixUs ?? (ended ? atUnixUs : null);
    this.#expected.set(sessionId, { ...head, seen: before?.seen ?? false, ledger, endedUnixUs, heads });
  }

  #isInScope(head: Head): boolean {
    const scope = this.#scope ?? {};
    if (scope.sessions !== undefined) return scope.sessions.includes(head.sessionId);
    const started = startedMs(head.sessionId);
    if (scope.from !== undefined && started < Date.parse(scope.from)) return false;
    if (scope.to !== undefined && started >= Date.parse(scope.to)) return false;
    if (scope.person !== undefined && !this.#isOf('principal', scope.person, head)) return false;
    return scope.resource === undefined || this.#isOf('resource', scope.resource, head);
  }

  /** Every checkpoint must be covered by the control log, and everything in that log be here. */
  #checkLedgers(): void {
    for (const [ledger, { last, covered }] of this.#ledgers) {
      const name = this.#agentName(last.agentId);
      const newest = Math.max(-1, ...(this.#logged.get(ledger)?.keys() ?? []));
      if (newest > last.number) this.#checkpointsMissing(ledger, last.number + 1, newest, name);
      if (covered >= 0) continue;
      // What is missing or forked has been named already; here nothing was logged at all.
      if (newest >= 0 && newest >= last.number) continue;
      // Older than every session in scope, it can name none of them; the log that covers it may be left out.
      if (last.atUnixUs / 1000 < (this.#fromMs() ?? 0)) continue;
      if (this.#isFresh(last.atUnixUs)) {
        this.#note({ code: 'NOT_YET_COVERED', message: `The newest checkpoints of agent ${name} had not reached the control log yet.` });
      } else {
        this.#find({
          code: 'CHECKPOINT_UNLOGGED',
          ledger,
          number: last.number,
          message: `No entry of the control log covers the checkpoints of agent ${name} up to ${last.number}.`,
        });
      }
    }
    for (const [ledger, numbers] of this.#logged) {
      if (this.#ledgers.has(ledger)) continue;
      this.#find({
        code: 'CHECKPOINT_MISSING',
        ledger,
        number: Math.min(...numbers.keys()),
        message: `The control log knows a ledger ${ledger} of which no checkpoint is here: all of its evidence is missing.`,
      });
    }
  }

  #isFresh(atUnixUs: number): boolean {
    const ageMs = this.#madeAtMs - atUnixUs / 1000;
    return ageMs < FRESH_MS && ageMs >= -FRESH_MS;
  }

  // Sessions

  #session(line: Line): void {
    const id = String(line['session']);
    this.#counts.sessions++;
    const expected = this.#expected.get(id) ?? null;
    if (expected?.seen) this.#find({ code: 'RECORD_REPEATED', session: id, message: `Session ${id} is in the file more than once.` });
    if (expected !== null) expected.seen = true;
    this.#asked.delete(id);
    this.#walk = walkSession({
      id,
      expected,
      heads: expected?.heads ?? new Map(),
      sha256: this.#sha256,
      find: finding => this.#find(finding),
      note: note => this.#note(note),
      isFresh: atUnixUs => this.#isFresh(atUnixUs),
    });
  }

  #endSession(): void {
    this.#walk?.end();
    this.#walk = null;
  }

  /** Did the control plane log that it deletes sessions of that resource and age, and was there no legal hold about this one? */
  #hasExpired(head: Expected): boolean {
    const { endedUnixUs } = head;
    if (endedUnixUs === null) return false;
    return this.#expiries.some(
      ({ resource, beforeMs, holds }) =>
        startedMs(head.sessionId) < beforeMs &&
        endedUnixUs / 1000 < beforeMs + CLOCKS_APART_MS &&
        this.#isOf('resource', resource, head) &&
        !holds.some(hold => this.#isAbout(hold, head)),
    );
  }

  /** All that a hold names must match. */
  #isAbout({ person, resource, session }: Hold, head: Head): boolean {
    return (
      (session === undefined || session === head.sessionId) &&
      (person === undefined || this.#isOf('principal', person, head)) &&
      (resource === undefined || this.#isOf('resource', resource, head))
    );
  }

  #isOf(what: 'principal' | 'resource', name: string, head: Head): boolean {
    const tag = what === 'principal' ? head.principalTag : head.resourceTag;
    return sameBytes(tag, headTag(what, head.sessionId, name, this.#sha256));
  }

  #checkScope(): void {
    let expired = 0;
    for (const [session, head] of this.#expected) {
      const { seen, records } = head;
      if (!seen && this.#hasExpired(head)) expired++;
      else if (!seen)
        this.#find({
          code: 'SESSION_MISSING',
          session,
          message: `Session ${session}, of which the agent signed ${records} records, is missing altogether.`,
        });
    }
    for (const { person, throughMs, askedBy, confirmedBy, reason } of this.#shreds) {
      const heads = [...this.#expected.values()].filter(head => head.seen && startedMs(head.sessionId) <= throughMs);
      const sessions = heads.filter(head => this.#isOf('principal', person, head)).length;
      if (sessions === 0) continue;
      this.#note({
        code: 'SHREDDED',
        message: `The contents of ${sessions} sessions of ${person} were shredded at ${new Date(throughMs).toISOString()} by ${confirmedBy}, asked for by ${askedBy}: ${reason}. Their records are whole; what came back can be read no more.`,
      });
    }
    if (expired > 0) {
      const when = this.#expiries.map(({ resource, beforeMs }) => `${resource} before ${new Date(beforeMs).toISOString()}`);
      this.#note({
        code: 'EXPIRED',
        message: `${expired} sessions are not here because their retention was over: the control plane logged that it deletes what ended on ${when.join(', ')}.`,
      });
    }
    for (const session of this.#asked) {
      if (!this.#expected.has(session))
        this.#find({
          code: 'SESSION_MISSING',
          session,
          message: `Session ${session} is not in the file, and no checkpoint here names it.`,
        });
    }
  }
}

function objectOf(value: unknown): Line {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Line) : {};
}

/** The members of a payload that are texts. */
function textsOf(payload: Line): Partial<Record<string, string>> {
  return Object.fromEntries(Object.entries(payload).filter((each): each is [string, string] => typeof each[1] === 'string'));
}

function listOf(value: unknown): Line[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}
