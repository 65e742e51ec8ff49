/**
 * Takes agents' record batches into `sallyport.records`, each record once, and says how far they are durable.
 *
 * A spool's batches are numbered; what the log has already is dropped, also when a batch overlaps it. The marks (how far each spool is
 * in the log) are rebuilt from the log at the start; a side file spares reading all of it, and is never trusted beyond the log's end.
 * Batches of one spool go into the log one after another, whatever streams they come by; different spools share the log's group commit.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type RecordBatch, RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { receivedBytes } from '@sallyport/proto/service-definition.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, EventLog } from '../log/event-log.ts';

/** Where agents' batches go: the log in files (below), or Kafka (kafka-relay.ts). */
export interface Relay {
  readonly counters: RelayCounters;
  /**
   * @param batch its `agentId` has been checked against the caller's certificate.
   * @returns the spool's mark: every record below it is durable. Answers of one spool come in the order of the calls.
   */
  append(batch: RecordBatch): Promise<bigint>;
  close(): Promise<void>;
}

/** The mark of one spool. */
interface Mark {
  nextIndex: bigint;
  /** Set when an append failed, until the spool has come back to where that was: what is behind it must not overtake it. */
  interrupted: boolean;
  /** The end of the queue of this spool's appends. */
  tail: Promise<void>;
}

export interface RelayCounters {
  batches: number;
  records: number;
  duplicates: number;
  /** Records that an agent skipped: the numbers of a spool jumped ahead. */
  gaps: number;
}

/** New spools are refused beyond this: the marks stay in memory. */
const spoolsMax = 100_000;

export class RecordRelay implements Relay {
  readonly counters: RelayCounters = { batches: 0, records: 0, duplicates: 0, gaps: 0 };
  readonly #log: EventLog;
  readonly #marksPath: string;
  readonly #marks = new Map<string, Mark>();
  /** Entries below this offset are in the marks. */
  #offset = 0n;
  /** Offsets above it that are in the marks, too: appends of different spools may be answered out of order. */
  readonly #noted = new Set<bigint>();

  private constructor(log: EventLog, marksPath: string) {
    this.#log = log;
    this.#marksPath = marksPath;
  }

  static async open(log: EventLog, marksPath: string): Promise<RecordRelay> {
    const relay = new RecordRelay(log, marksPath);
    const end = await log.endOffset();
    await relay.#loadMarks(end);
    while (relay.#offset < end) {
      const entries = await log.read(relay.#offset, 1000);
      for (const entry of entries) relay.#note(entry);
    }
    return relay;
  }

  /**
   * Appends what is new of a batch.
   * @param batch its `agentId` has been checked against the caller's certificate.
   * @returns the spool's mark: every record below it is durable.
   * @throws {GatewayError} RELAY_BATCH_INVALID, RELAY_SPOOLS_TOO_MANY, RELAY_OUT_OF_TURN, or the log's errors: nothing is known to be durable then.
   */
  async append(batch: RecordBatch): Promise<bigint> {
    checkSpoolId(batch.spoolId);
    const key = markKey(batch.agentId, batch.spoolId);
    let mark = this.#marks.get(key);
    if (mark === undefined) {
      if (this.#marks.size >= spoolsMax) {
        throw new GatewayError('RELAY_SPOOLS_TOO_MANY', 'unavailable', `There are ${spoolsMax} spools already; no new one is taken.`);
      }
      mark = { nextIndex: 0n, interrupted: false, tail: Promise.resolve() };
      this.#marks.set(key, mark);
    }
    const turn = mark.tail.then(() => this.#appendInTurn(key, mark, batch));
    mark.tail = turn.then(
      () => undefined,
      () => undefined, // The caller has the error; the spool's next batch is judged by itself.
    );
    return turn;
  }

  /** Writes the marks for a quicker next start. */
  async close(): Promise<void> {
    await Promise.all([...this.#marks.values()].map(mark => mark.tail));
    await this.saveMarks();
  }

  async saveMarks(): Promise<void> {
    // Marks may be ahead of `offset`: that is harmless, for each says only what is durable.
    const offset = this.#offset;
    const marks = [...this.#marks].map(([key, mark]) => [key, mark.nextIndex.toString()]);
    const temporary = `${this.#marksPath}.new`;
    await writeFile(temporary, JSON.stringify({ version: 1, offset: offset.toString(), marks }), { mode: 0o600 });
    await rename(temporary, this.#marksPath);
  }

  async #appendInTurn(key: string, mark: Mark, batch: RecordBatch): Promise<bigint> {
    const next = mark.nextIndex;
    const last = batch.firstIndex + BigInt(batch.records.length);
    this.counters.batches++;
    if (last <= next) {
      this.counters.duplicates += batch.records.length;
      return next;
    }
    let fresh = batch;
    if (batch.firstIndex < next) {
      const known = Number(next - batch.firstIndex);
      this.counters.duplicates += known;
      fresh = create(RecordBatchSchema, { ...batch, firstIndex: next, records: batch.records.slice(known) });
    } else if (batch.firstIndex > next) {
      if (mark.interrupted) {
        throw new GatewayError('RELAY_OUT_OF_TURN', 'unavailable', 'The batch before this one was not taken: send that one first.');
      }
      this.counters.gaps += Number(batch.firstIndex - next);
    }
    mark.interrupted = true;
    const value = receivedBytes(fresh) ?? toBinary(RecordBatchSchema, fresh);
    const offset = await this.#log.append([{ key: Buffer.from(key), value }]);
    mark.interrupted = false;
    mark.nextIndex = last;
    this.#noted.add(offset);
    while (this.#noted.delete(this.#offset)) this.#offset++;
    this.counters.records += fresh.records.length;
    return last;
  }

  #note(entry: Entry): void {
    const batch = fromBinary(RecordBatchSchema, entry.value);
    const key = markKey(batch.agentId, batch.spoolId);
    const last = batch.firstIndex + BigInt(batch.records.length);
    const mark = this.#marks.get(key);
    if (mark === undefined) this.#marks.set(key, { nextIndex: last, interrupted: false, tail: Promise.resolve() });
    else if (mark.nextIndex < last) mark.nextIndex = last;
    this.#offset = entry.offset + 1n;
  }

  async #loadMarks(end: bigint): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#marksPath, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw new GatewayError('DATA_UNREADABLE', 'unavailable', `${this.#marksPath} cannot be read: ${errorText(error)}.`, { cause: error });
    }
    const cached = parseMarks(text);
    // A mark from beyond the log's end is of another history (a restored backup): the log alone is right.
    if (cached === null || cached.offset > end) return;
    this.#offset = cached.offset;
    for (const [key, nextIndex] of cached.marks) this.#marks.set(key, { nextIndex, interrupted: false, tail: Promise.resolve() });
  }
}

/** @throws {GatewayError} RELAY_BATCH_INVALID. */
export function checkSpoolId(spoolId: string): void {
  if (/^[A-Za-z0-9._-]{1,128}$/.test(spoolId)) return;
  throw new GatewayError('RELAY_BATCH_INVALID', 'invalid', 'A spool id has 1 to 128 letters, digits, dots, dashes and underscores.');
}

function markKey(agentId: string, spoolId: string): string {
  return `${agentId}/${spoolId}`;
}

/** Null for anything that is not a marks file of this version: the log is read instead. */
function parseMarks(text: string): { offset: bigint; marks: [string, bigint][] } | null {
  try {
    const { version, offset, marks } = JSON.parse(text) as { version: unknown; offset: unknown; marks: unknown };
    if (version !== 1 || typeof offset !== 'string' || !Array.isArray(marks)) return null;
    return { offset: BigInt(offset), marks: marks.map(([key, nextIndex]) => [String(key), BigInt(nextIndex)]) };
  } catch {
    return null;
  }
}
