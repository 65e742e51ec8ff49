/**
 * Follows one topic from where the store says that it stands: reads, gathers a batch, has it written, notes the progress, again.
 *
 * The note comes after the acknowledgement of everything that it speaks of. It may be behind what is stored, never ahead; so a crash
 * anywhere costs only that some entries are written once more. While the store does not answer nothing is read: what waits, waits in
 * the log. Not here: what the entries mean (records-batch.ts, control-batch.ts).
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, LogReader } from '../log/event-log.ts';
import type { BatchResult } from './records-batch.ts';
import { untilDone, untilRead } from './retry.ts';
import type { SessionStore } from './session-store.ts';

export interface TopicFollowerOptions {
  topic: string;
  reader: LogReader;
  store: SessionStore;
  writer: { write(entries: readonly Entry[]): Promise<BatchResult> };
  /** A batch is written once it is so old, or so large. */
  batchAgeMs: number;
  batchBytesMax: number;
  log: FollowerLog;
  /** Those of a follower before it, to be counted on. */
  figures?: TopicFigures;
}

export type FollowerLog = (level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, message: string) => void;

/** What the metrics show of a topic. */
export interface TopicFigures {
  nextOffset: bigint;
  endOffset: bigint;
  batches: number;
  entries: number;
  records: number;
  doubles: number;
  deadLetters: number;
  storeErrors: number;
  /** Seconds since 1970; 0 before the first. */
  lastWriteAt: number;
  /** Set while the store or the log refuses. */
  problem: string | null;
}

/** Few: one entry may hold many records. */
const readEntriesMax = 64;
const idleWaitMs = 5_000;

export function noFigures(): TopicFigures {
  return {
    nextOffset: 0n,
    endOffset: 0n,
    batches: 0,
    entries: 0,
    records: 0,
    doubles: 0,
    deadLetters: 0,
    storeErrors: 0,
    lastWriteAt: 0,
    problem: null,
  };
}

/** Counts a batch that was written. */
export function countBatch(figures: TopicFigures, entries: number, result: BatchResult): void {
  figures.batches += 1;
  figures.entries += entries;
  figures.records += result.records;
  figures.doubles += result.doubles;
  figures.deadLetters += result.deadLetters;
  figures.lastWriteAt = Date.now() / 1000;
}

export class TopicFollower {
  readonly figures: TopicFigures;
  readonly #options: TopicFollowerOptions;

  constructor(options: TopicFollowerOptions) {
    this.#options = options;
    this.figures = options.figures ?? noFigures();
  }

  /**
   * Runs until the signal fires, or the log says what cannot be.
   * @throws {GatewayError} LOG_CORRUPT and its like; INGEST_LOG_REPLACED, when the log is shorter than what was taken from it.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { reader, topic } = this.#options;
    this.figures.nextOffset = (await this.#persist(signal, () => this.#progress())) ?? 0n;
    const end = await untilRead(topic, this.figures, this.#options.log, signal, () => reader.endOffset());
    if (end === undefined) return;
    this.figures.endOffset = end;
    if (this.figures.endOffset < this.figures.nextOffset) {
      throw new GatewayError(
        'INGEST_LOG_REPLACED',
        'conflict',
        `${topic} ends at ${this.figures.endOffset}, but entries up to ${this.figures.nextOffset} were taken from it: this store belongs to another log. Give ingest the log that it followed before, or an empty store.`,
      );
    }
    while (!signal.aborted) {
      const entries = await untilRead(topic, this.figures, this.#options.log, signal, () => this.#gather(signal));
      if (entries === undefined || entries.length === 0) continue;
      const next = this.figures.nextOffset + BigInt(entries.length);
      const result = await this.#persist(signal, async () => {
        const written = await this.#options.writer.write(entries);
        await this.#options.store.command(
          'INSERT INTO sallyport.ingest_progress (topic, next_offset) VALUES ({topic:String}, {next:UInt64})',
          { topic, next: String(next) },
        );
        return written;
      });
      if (result === undefined) return;
      this.#count(entries.length, next, result);
    }
  }

  async #progress(): Promise<bigint> {
    const [row] = await this.#options.store.rows<{ next: string }>(
      'SELECT max(next_offset) AS next FROM sallyport.ingest_progress WHERE topic = {topic:String}',
      { topic: this.#options.topic },
    );
    return BigInt(row?.next ?? 0);
  }

  /** The next entries: what is there, and what comes until the batch is old or large enough. */
  async #gather(signal: AbortSignal): Promise<Entry[]> {
    const { reader, batchAgeMs, batchBytesMax } = this.#options;
    const batch: Entry[] = [];
    let bytes = 0;
    let next = this.figures.nextOffset;
    if (!(await reader.waitFor(next, idleWaitMs, signal))) {
      this.figures.endOffset = await reader.endOffset();
      return batch;
    }
    const closesAt = Date.now() + batchAgeMs;
    while (!signal.aborted && bytes < batchBytesMax) {
      const entries = await reader.read(next, readEntriesMax);
      for (const entry of entries) {
        batch.push(entry);
        bytes += entry.value.length;
      }
      next += BigInt(entries.length);
      const left = closesAt - Date.now();
      if (left <= 0 || (entries.length === 0 && !(await reader.waitFor(next, left, signal)))) break;
    }
    this.figures.endOffset = await reader.endOffset();
    return batch;
  }

  #persist<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result | undefined> {
    return untilDone(this.#options.topic, this.figures, this.#options.log, signal, work);
  }

  #count(entries: number, next: bigint, result: BatchResult): void {
    const { figures } = this;
    figures.nextOffset = next;
    countBatch(figures, entries, result);
    if (result.deadLetters > 0) {
      this.#options.log('error', { topic: this.#options.topic, count: result.deadLetters }, 'dead letters: see sallyport.dead_letters');
    }
  }
}
