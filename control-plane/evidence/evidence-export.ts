/**
 * An evidence file (docs/reference/evidence-format.md), line by line: the control log under its signed head, the agents' checkpoints,
 * and the records of the sessions that were asked for, as the agents wrote them. Nothing is judged here: what is missing or altered in
 * the store is missing or altered in the file, and the verifier names it.
 *
 * Entries of the control log that the proof does not rest on are given by stream, type and hash: they may hold sealed secrets.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { startedMs } from '@sallyport/shared/evidence/checkpoint.ts';
import { HtmlReport, reportBytes } from '@sallyport/shared/evidence/html-report.ts';
import type { ShownHead } from '@sallyport/shared/evidence/kept-heads.ts';
import { CLOCKS_APART_MS, OPEN_ENTRIES } from '@sallyport/shared/evidence/log-proof.ts';
import { parseTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { TimestampedRoot } from '../aggregates/timestamp.ts';
import type { SessionHistory } from '../http/session-history.ts';
import { decodeStored } from '../ingest/decode.ts';
import type { LogReader } from '../log/event-log.ts';
import type { CheckpointDesk } from './checkpoint-desk.ts';
import type { Contents } from './contents.ts';
import type { ControlTree } from './control-tree.ts';
import { SessionSummary } from './session-summary.ts';

/** Which sessions; all that is given must hold. Times are of the session's id, RFC 3339. */
export interface EvidenceScope {
  sessions?: string[];
  person?: string;
  resource?: string;
  from?: string;
  to?: string;
}

/** Sizes of the log at which heads were kept. */
export type KeptSizes = readonly number[];

export interface EvidenceExportOptions {
  control: { state: Pick<ControlLog['state'], 'checkpoints' | 'timestamps' | 'contentKeys'> };
  /** Opens keys of sealed contents. */
  contents: Pick<Contents, 'of'>;
  controlTopic: Pick<LogReader, 'read'>;
  tree: ControlTree;
  checkpoints: Pick<CheckpointDesk, 'flush'>;
  history: Pick<SessionHistory, 'rows'>;
  clock: () => number;
}

const PAGE = 500;
/** Of these also the ones that are older than every session of a file. */
const EARLY_ENTRIES: ReadonlySet<string> = new Set(['AgentJoined', 'LegalHoldPlaced', 'LegalHoldReleased']);
/** How long the store may be behind the log. */
const STORE_WAIT_MS = 10_000;
const STORE_POLL_MS = 200;

export class EvidenceExport {
  readonly #options: EvidenceExportOptions;

  constructor(options: EvidenceExportOptions) {
    this.#options = options;
  }

  /** The public key that signs heads of the control log, as people pin it. */
  get key(): string {
    return this.#options.tree.verifierKey;
  }

  /** @throws {GatewayError} STORE_UNAVAILABLE before the first line; later the file ends without its last line. */
  async *lines(scope: EvidenceScope, kept: KeptSizes = []): AsyncGenerator<string> {
    const { checkpoints, tree, control } = this.#options;
    await checkpoints.flush();
    const known = control.state.checkpoints().ledgers;
    const head = tree.head();
    await this.#storeHas(known);
    // A store that does not answer is told before the file begins.
    const ledgers = await this.#ledgers(Object.keys(known));
    let count = 0;
    const line = (value: unknown) => {
      count++;
      return JSON.stringify(value);
    };
    const madeAt = new Date(this.#options.clock()).toISOString();
    yield line({ type: 'header', format: 'sallyport-evidence/1', madeAt, key: this.key, scope });
    yield line({ type: 'tree-head', note: head.note });
    const stamps = this.#stamps(scope, head.size);
    const sizes = [...kept, ...stamps.map(({ size }) => size)];
    for (const { size, proof } of this.#consistency(sizes, head.size)) yield line({ type: 'consistency', size, proof });
    for await (const each of this.#logLines(scope, head.size)) yield line(each);
    for (const { note, token, authority } of stamps) yield line({ type: 'timestamp', note, token, authority });
    for (const ledger of ledgers) {
      for await (const encoded of this.#recordsOf(ledger, await this.#firstCheckpoint(ledger, scope))) {
        const checkpoint = checkpointOf(encoded);
        if (checkpoint !== null) yield line(checkpoint);
      }
    }
    const signed = { origin: tree.key.origin, size: head.size, root: base64(head.root), at: parseTreeHead(head.note)?.head.at ?? '' };
    const report = new HtmlReport({ madeAt, key: this.key, scope: { ...scope }, treeHead: signed });
    for await (const session of this.#sessions(scope)) {
      yield line({ type: 'session', session, ...(await this.#contentKey(session)) });
      const summary = new SessionSummary(session);
      for await (const bytes of this.#recordsOf(session)) {
        yield line({ type: 'record', bytes });
        summary.take(Buffer.from(bytes, 'base64'));
      }
      report.add(summary.end());
    }
    const html = report.end();
    yield line({ type: 'report', html, signature: base64(tree.sign(reportBytes(head.note, html))) });
    yield line({ type: 'end', lines: count + 1 });
  }

  /** With it a reader opens what is sealed in the session's records. */
  async #contentKey(session: string): Promise<{ contentKey?: string }> {
    const { contents, control } = this.#options;
    if (control.state.contentKeys().current === null) return {};
    const found = await contents.of(session);
    return found.state === 'sealed' ? { contentKey: base64(found.key) } : {};
  }

  /** The log is ahead of the store: waits until the newest checkpoints are there, and so the records before them. */
  async #storeHas(known: Readonly<Record<string, { number: number }>>): Promise<void> {
    const ids = Object.keys(known);
    if (ids.length === 0) return;
    const deadline = this.#options.clock() + STORE_WAIT_MS;
    for (;;) {
      const rows = await this.#options.history.rows<{ session_id: string; newest: number }>(
        'SELECT session_id, max(seq) AS newest FROM sallyport.record_rows WHERE session_id IN {ids:Array(String)} GROUP BY session_id',
        { ids },
      );
      const newest = new Map(rows.map(row => [row.session_id, Number(row.newest)]));
      if (ids.every(id => (newest.get(id) ?? -1) >= (known[id]?.number ?? 0))) return;
      // What never comes was taken out: that is for the verifier to say.
      if (this.#options.clock() > deadline) return;
      await delay(STORE_POLL_MS);
    }
  }

  /** The head of the control log as it is now, and proofs that the log of each of these sizes is its beginning. */
  shownHead(kept: KeptSizes): ShownHead {
    const { tree } = this.#options;
    const { size, root, note } = tree.head();
    const at = parseTreeHead(note)?.head.at ?? '';
    return {
      key: this.key,
      head: { origin: tree.key.origin, size, root: base64(root), at, note },
      consistency: this.#consistency(kept, size),
    };
  }

  /** The first time stamp from after the sessions began, which says most about them, and the newest. */
  #stamps(scope: EvidenceScope, size: number): readonly TimestampedRoot[] {
    const roots = this.#options.control.state.timestamps().roots.filter(root => root.size <= size);
    const fromMs = earliestMs(scope) ?? 0;
    const first = roots.find(({ note }) => Date.parse(parseTreeHead(note)?.head.at ?? '') >= fromMs);
    return [...new Set([first, roots.at(-1)])].filter(root => root !== undefined);
  }

  #consistency(kept: KeptSizes, size: number): { size: number; proof: string[] }[] {
    const { tree } = this.#options.tree;
    const sizes = [...new Set(kept)].filter(each => each <= size);
    return sizes.map(each => ({ size: each, proof: tree.consistencyProof(each, size).map(base64) }));
  }

  /**
   * What of the control log the sessions may rest on: each agent's key, legal holds, and everything from well before the first of them;
   * of the rest the hashes that lead to the head.
   */
  async *#logLines(scope: EvidenceScope, size: number): AsyncGenerator<unknown> {
    const { tree } = this.#options;
    const from = this.#firstNeeded(scope);
    const range = (low: number, high: number) => {
      const proof = high - low === size ? [] : tree.tree.rangeProof(low, high, size).map(base64);
      return { type: 'range', from: low, to: high, proof };
    };
    const streams = from === 0 ? [] : [...tree.streams('agent/'), 'retention/log'];
    for (const stream of streams) {
      for (const index of tree.entriesOf(stream).filter(each => each < from)) {
        for await (const { line, event } of this.#entries(index, index + 1)) {
          if (!EARLY_ENTRIES.has(event)) continue;
          yield range(index, index + 1);
          yield line;
        }
      }
    }
    yield range(from, size);
    for await (const { line } of this.#entries(from, size)) yield line;
  }

  /** The last entry that shows by itself that it was written before any session of the scope can have been in the log. */
  #firstNeeded(scope: EvidenceScope): number {
    const { tree } = this.#options;
    const fromMs = earliestMs(scope);
    if (fromMs === null) return 0;
    const shows = tree.entriesOf('checkpoint/log').filter(index => tree.atMs(index) < fromMs - CLOCKS_APART_MS);
    return shows.at(-1) ?? 0;
  }

  async *#entries(from: number, to: number): AsyncGenerator<{ line: unknown; event: string }> {
    const { controlTopic } = this.#options;
    for (let at = from; at < to; ) {
      const entries = await controlTopic.read(BigInt(at), Math.min(PAGE, to - at));
      if (entries.length === 0)
        throw new GatewayError('LOG_CORRUPT', 'internal', `The control log ends at ${at}, before its head of ${to}.`);
      for (const { value } of entries) yield entryLine(value);
      at += entries.length;
    }
  }

  /** Of what the log knows, and of what the store has besides. */
  async #ledgers(known: readonly string[]): Promise<string[]> {
    const rows = await this.#options.history.rows<{ session_id: string }>(
      "SELECT DISTINCT session_id FROM sallyport.record_rows WHERE type = 'checkpoint'",
      {},
    );
    return [...new Set([...known, ...rows.map(row => row.session_id)])].sort();
  }

  /** The last checkpoint that shows by itself that it was signed before any session of the scope began. */
  async #firstCheckpoint(ledger: string, scope: EvidenceScope): Promise<number> {
    const fromMs = earliestMs(scope);
    if (fromMs === null) return 0;
    const rows = await this.#options.history.rows<{ first: string | number }>(
      `SELECT max(seq) AS first FROM sallyport.record_rows
       WHERE session_id = {ledger:String} AND type = 'checkpoint' AND at < fromUnixTimestamp64Milli({before:Int64})`,
      { ledger, before: fromMs - CLOCKS_APART_MS },
    );
    return Number(rows[0]?.first ?? 0);
  }

  /** Bytes of the records of a session or ledger, base64, in order. */
  async *#recordsOf(session: string, first = 0): AsyncGenerator<string> {
    for (let from = first; ; ) {
      const rows = await this.#options.history.rows<{ seq: number; bytes: string }>(
        `SELECT seq, base64Encode(encoded) AS bytes FROM sallyport.records
         WHERE session_id = {session:String} AND seq >= {from:UInt64} ORDER BY seq LIMIT {limit:UInt32}`,
        { session, from, limit: PAGE },
      );
      for (const row of rows) yield row.bytes;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      from = Number(last.seq) + 1;
    }
  }

  async *#sessions(scope: EvidenceScope): AsyncGenerator<string> {
    const conditions = [
      'session_id > {after:String}',
      ...(scope.sessions === undefined ? [] : ['session_id IN {sessions:Array(String)}']),
      ...(scope.person === undefined ? [] : ['principal = {person:String}']),
      ...(scope.resource === undefined ? [] : ['resource = {resource:String}']),
      ...(scope.from === undefined ? [] : ['session_id >= {first:String}']),
      ...(scope.to === undefined ? [] : ['session_id < {end:String}']),
    ];
    const bounds = {
      ...(scope.from === undefined ? {} : { first: idPrefix(scope.from) }),
      ...(scope.to === undefined ? {} : { end: idPrefix(scope.to) }),
    };
    for (let after = ''; ; ) {
      const rows = await this.#options.history.rows<{ session_id: string }>(
        `SELECT session_id FROM sallyport.sessions WHERE ${conditions.join(' AND ')} ORDER BY session_id LIMIT {limit:UInt32}`,
        { ...scope, ...bounds, after, limit: PAGE },
      );
      for (const row of rows) yield row.session_id;
      if (rows.length < PAGE) return;
      after = rows.at(-1)?.session_id ?? '';
    }
  }
}

function entryLine(value: Uint8Array): { line: unknown; event: string } {
  const { stream, type: event } = fromBinary(ControlEventSchema, value);
  return OPEN_ENTRIES.has(event)
    ? { event, line: { type: 'entry', value: base64(value) } }
    : { event, line: { type: 'entry', stream, event, sha256: base64(sha256(value)) } };
}

/** @returns null for what is no checkpoint any more: it will be missed by its number. */
function checkpointOf(encoded: string): unknown {
  try {
    const { body } = decodeStored(Buffer.from(encoded, 'base64'));
    if (body.case !== 'checkpoint') return null;
    const { statement, signature, heads } = body.value;
    return { type: 'checkpoint', statement: base64(statement), signature: base64(signature), heads: heads.map(base64) };
  } catch {
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** When the first session of a scope can have begun, milliseconds since 1970; null when that is any time. */
function earliestMs({ sessions, from }: EvidenceScope): number | null {
  const ms = sessions === undefined ? Date.parse(from ?? '') : Math.min(...sessions.map(startedMs));
  return Number.isFinite(ms) ? ms : null;
}

/** How ids of sessions begin that start at a moment (UUID version 7: milliseconds first). */
function idPrefix(at: string): string {
  const hex = Date.parse(at).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}
