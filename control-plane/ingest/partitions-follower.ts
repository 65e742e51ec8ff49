/**
 * Follows some partitions of the records' topic in Kafka, those that this ingester has been given, from where the store says that each
 * stands: reads, gathers one batch over all of them, has it written, notes the progress of each, again.
 *
 * Who else reads a partition does not matter for what is stored, only for the work: rows follow from the records alone, a record that
 * is written twice is one row, and progress never goes back. So positions are kept in the store, beside the rows that they speak of,
 * and Kafka's group divides the work and nothing else. A record's place in the log is partition · 2^48 + offset.
 *
 * Not here: which partitions (kafka/group.ts), and what the entries mean (records-batch.ts).
 */
import type { Fetched, KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry } from '../log/event-log.ts';
import type { BatchResult } from './records-batch.ts';
import { untilDone, untilRead } from './retry.ts';
import type { SessionStore } from './session-store.ts';
import { countBatch, type FollowerLog, type TopicFigures } from './topic-follower.ts';

export interface PartitionsFollowerOptions {
  topic: string;
  partitions: readonly number[];
  fetcher: Pick<KafkaFetcher, 'fetch' | 'bounds'>;
  store: SessionStore;
  /** New for this follower: what another remembers may be old. */
  writer: { write(entries: readonly Entry[]): Promise<BatchResult> };
  batchAgeMs: number;
  batchBytesMax: number;
  figures: TopicFigures;
  log: FollowerLog;
}

const partitionShift = 48n;
/** How long a broker that has nothing may let one that has something wait. */
const pollMsMax = 250;

/** Where an entry lies, as one number. */
export function logOffset(partition: number, offset: bigint): bigint {
  return (BigInt(partition) << partitionShift) | offset;
}

export class PartitionsFollower {
  readonly #options: PartitionsFollowerOptions;
  /** partition → the next offset to store. */
  readonly #positions = new Map<number, bigint>();
  /** partition → its end, as far as is known. */
  readonly #ends = new Map<number, bigint>();

  constructor(options: PartitionsFollowerOptions) {
    this.#options = options;
  }

  /**
   * Runs until the signal fires, or the log says what cannot be.
   * @throws {GatewayError} INGEST_LOG_REPLACED, when a partition is shorter than what was taken from it.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { partitions, figures, topic, log } = this.#options;
    if (partitions.length === 0) return;
    if ((await untilDone(topic, figures, log, signal, () => this.#begin())) === undefined) return;
    if ((await this.#fromLog(signal, () => this.#checkBounds(signal))) === undefined) return;
    while (!signal.aborted) {
      const batch = await this.#fromLog(signal, () => this.#gather(signal));
      if (batch === undefined || batch.next.size === 0) continue;
      const result = await untilDone(topic, figures, log, signal, () => this.#write(batch));
      if (result === undefined) return;
      for (const [partition, next] of batch.next) this.#positions.set(partition, next);
      this.#showPositions();
      countBatch(figures, batch.entries.length, result);
      if (result.deadLetters > 0) log('error', { topic, count: result.deadLetters }, 'dead letters: see sallyport.dead_letters');
    }
  }

  async #fromLog<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result | undefined> {
    const { topic, figures, log } = this.#options;
    try {
      return await untilRead(topic, figures, log, signal, work);
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'LOG_OFFSET_GONE')) throw error;
      await untilRead(topic, figures, log, signal, () => this.#checkBounds(signal));
      return undefined;
    }
  }

  async #begin(): Promise<true> {
    const { store, topic, partitions } = this.#options;
    const rows = await store.rows<{ topic: string; next: string }>(
      'SELECT topic, max(next_offset) AS next FROM sallyport.ingest_progress WHERE topic IN {topics:Array(String)} GROUP BY topic',
      { topics: partitions.map(partition => progressName(topic, partition)) },
    );
    const known = new Map(rows.map(row => [row.topic, BigInt(row.next)]));
    for (const partition of partitions) this.#positions.set(partition, known.get(progressName(topic, partition)) ?? 0n);
    return true;
  }

  /** Whether the log still has what comes next. What its retention has deleted unread is said in a dead letter, and left behind. */
  async #checkBounds(signal: AbortSignal): Promise<true> {
    const { fetcher, topic, partitions, figures, log } = this.#options;
    const bounds = await fetcher.bounds(partitions);
    for (const [partition, { first, end }] of bounds) {
      const next = this.#positions.get(partition) ?? 0n;
      this.#ends.set(partition, end);
      if (end < next) {
        throw new GatewayError(
          'INGEST_LOG_REPLACED',
          'conflict',
          `Partition ${partition} of ${topic} ends at ${end}, but entries up to ${next} were taken from it: this store belongs to another log. Give ingest the log that it followed before, or an empty store.`,
        );
      }
      if (first <= next) continue;
      const reason = `entries ${next} to ${first - 1n} of partition ${partition} were deleted by the topic's retention before they were taken`;
      await untilDone(topic, figures, log, signal, () => this.#noteLoss(partition, next, first, reason));
      this.#positions.set(partition, first);
      figures.deadLetters += 1;
      log('error', { topic, partition, from: String(next), to: String(first - 1n) }, reason);
    }
    this.#showPositions();
    return true;
  }

  async #noteLoss(partition: number, from: bigint, next: bigint, reason: string): Promise<true> {
    const { store } = this.#options;
    await store.command(
      `INSERT INTO sallyport.dead_letter_rows (topic, log_offset, log_index, at, code, reason, key, value)
       VALUES ('sallyport.records', {offset:UInt64}, 0, now64(6), 'LOG_ENTRIES_GONE', {reason:String}, '', '')`,
      { offset: String(logOffset(partition, from)), reason },
    );
    await this.#noteProgress(new Map([[partition, next]]));
    return true;
  }

  /** What is there, and what comes until the batch is old or large enough. */
  async #gather(signal: AbortSignal): Promise<{ entries: Entry[]; next: Map<number, bigint> }> {
    const { fetcher, batchAgeMs, batchBytesMax } = this.#options;
    const entries: Entry[] = [];
    const from = new Map(this.#positions);
    const next = new Map<number, bigint>();
    let bytes = 0;
    let closesAt = Number.POSITIVE_INFINITY;
    while (!signal.aborted && bytes < batchBytesMax && Date.now() < closesAt) {
      const waitMs = Math.max(1, Math.min(pollMsMax, closesAt - Date.now()));
      const fetched: Fetched = await fetcher.fetch(from, { waitMs, bytesMax: batchBytesMax });
      for (const [partition, end] of fetched.ends) this.#ends.set(partition, end);
      for (const { partition, offset, key, value, timestampMs } of fetched.entries) {
        entries.push({ offset: logOffset(partition, offset), key, value, timestampMs });
        bytes += value.length;
      }
      for (const [partition, to] of fetched.next) {
        from.set(partition, to);
        next.set(partition, to);
      }
      if (closesAt === Number.POSITIVE_INFINITY) {
        if (fetched.next.size === 0) break;
        closesAt = Date.now() + batchAgeMs;
      }
    }
    this.#showPositions();
    return { entries, next };
  }

  async #write(batch: { entries: readonly Entry[]; next: ReadonlyMap<number, bigint> }): Promise<BatchResult> {
    const result = await this.#options.writer.write(batch.entries);
    await this.#noteProgress(batch.next);
    return result;
  }

  async #noteProgress(next: ReadonlyMap<number, bigint>): Promise<void> {
    const { store, topic } = this.#options;
    await store.command(
      `INSERT INTO sallyport.ingest_progress (topic, next_offset)
       SELECT place.1, toUInt64(place.2) FROM (SELECT arrayJoin(arrayZip({topics:Array(String)}, {next:Array(String)})) AS place)`,
      { topics: [...next.keys()].map(partition => progressName(topic, partition)), next: [...next.values()].map(String) },
    );
  }

  #showPositions(): void {
    const { figures } = this.#options;
    figures.nextOffset = sum(this.#positions.values());
    figures.endOffset = sum(this.#ends.values());
  }
}

function progressName(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

function sum(values: Iterable<bigint>): bigint {
  let total = 0n;
  for (const value of values) total += value;
  return total;
}
