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
import type { ControlLog } from '../aggregates/control-log.ts';
import type { SessionHistory } from '../http/session-history.ts';
import { decodeStored } from '../ingest/decode.ts';
import type { LogReader } from '../log/event-log.ts';
import type { CheckpointDesk } from './checkpoint-desk.ts';
import type { ControlTree } from './control-tree.ts';

/** Which sessions; all that is given must hold. Times are of the session's id, RFC 3339. */
export interface EvidenceScope {
  sessions?: string[];
  person?: string;
  resource?: string;
  from?: string;
  to?: string;
}

export interface EvidenceExportOptions {
  control: ControlLog;
  controlTopic: LogReader;
  tree: ControlTree;
  checkpoints: CheckpointDesk;
  history: SessionHistory;
  clock: () => number;
}

const PAGE = 500;
/** How long the store may be behind the log. */
const STORE_WAIT_MS = 10_000;
const STORE_POLL_MS = 200;
/** Of these the verifier needs the contents; they hold no secrets. */
const OPEN_ENTRIES: ReadonlySet<string> = new Set(['AgentJoined', 'CheckpointsLogged']);

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
  async *lines(scope: EvidenceScope): AsyncGenerator<string> {
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
    yield line({ type: 'range', from: 0, to: head.size, proof: [] });
    for await (const entry of this.#entries(head.size)) yield line(entry);
    for (const ledger of ledgers) {
      for await (const encoded of this.#recordsOf(ledger)) {
        const checkpoint = checkpointOf(encoded);
        if (checkpoint !== null) yield line(checkpoint);
      }
    }
    for await (const session of this.#sessions(scope)) {
      yield line({ type: 'session', session });
      for await (const bytes of this.#recordsOf(session)) yield line({ type: 'record', bytes });
    }
    yield line({ type: 'end', lines: count + 1 });
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

  async *#entries(size: number): AsyncGenerator<unknown> {
    const { controlTopic } = this.#options;
    for (let at = 0; at < size; ) {
      const entries = await controlTopic.read(BigInt(at), Math.min(PAGE, size - at));
      if (entries.length === 0)
        throw new GatewayError('LOG_CORRUPT', 'internal', `The control log ends at ${at}, before its head of ${size}.`);
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

  /** Bytes of the records of a session or ledger, base64, in order. */
  async *#recordsOf(session: string): AsyncGenerator<string> {
    for (let from = 0; ; ) {
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

function entryLine(value: Uint8Array): unknown {
  const { stream, type } = fromBinary(ControlEventSchema, value);
  return OPEN_ENTRIES.has(type)
    ? { type: 'entry', value: base64(value) }
    : { type: 'entry', stream, event: type, sha256: base64(sha256(value)) };
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

/** How ids of sessions begin that start at a moment (UUID version 7: milliseconds first). */
function idPrefix(at: string): string {
  const hex = Date.parse(at).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}
