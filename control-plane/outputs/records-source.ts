/**
 * The records of the log as an output follows them: from where its cursor says, moved on when what was read has been taken. In files that
 * is one offset; in Kafka one for each partition, which this asks for itself and in no group, since every output has a cursor of its own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, LogReader } from '../log/event-log.ts';

/** Next offset in files, or partition → next offset in Kafka; null: the beginning. */
export type RecordsPosition = bigint | Readonly<Record<string, bigint>> | null;

export interface RecordsSource {
  /**
   * Goes to where a cursor says.
   * @throws {GatewayError} OUTPUT_LOG_REPLACED: the cursor belongs to another log; LOG_OFFSET_GONE: the log no longer keeps what comes next.
   */
  open(position: RecordsPosition, output: string): Promise<void>;
  /** Some entries from the position on, in order within each session; none when there is nothing yet. */
  read(max: number): Promise<Entry[]>;
  /** Moves the position behind what `read` gave last. */
  advance(): void;
  /** For a cursor. */
  readonly position: RecordsPosition;
  /** Waits until there may be more. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export class FileRecords implements RecordsSource {
  readonly #reader: LogReader;
  #at = 0n;
  #read = 0;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  async open(position: RecordsPosition, output: string): Promise<void> {
    if (position !== null && typeof position !== 'bigint') throw elsewhere(output, 'Kafka');
    this.#at = position ?? 0n;
    const end = await this.#reader.endOffset();
    if (end < this.#at) throw replaced(output, `sallyport.records ends at ${end}`, this.#at);
  }

  async read(max: number): Promise<Entry[]> {
    const entries = await this.#reader.read(this.#at, max);
    this.#read = entries.length;
    return entries;
  }

  advance(): void {
    this.#at += BigInt(this.#read);
    this.#read = 0;
  }

  get position(): bigint {
    return this.#at;
  }

  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await this.#reader.waitFor(this.#at, timeoutMs, signal);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

const FETCH_BYTES_MAX = 1024 * 1024;
const FETCH_WAIT_MS = 100;
/** How often partitions that were added are looked for. */
const COUNT_EVERY_MS = 30_000;

type Fetcher = Pick<KafkaFetcher, 'fetch' | 'bounds' | 'partitionCount' | 'close'>;

export class KafkaRecords implements RecordsSource {
  readonly #fetcher: Fetcher;
  #at = new Map<number, bigint>();
  #next: ReadonlyMap<number, bigint> = new Map();
  #countedAtMs = 0;

  constructor(config: KafkaConfig, fetcher: Fetcher = new KafkaFetcher(config, config.topics.records)) {
    this.#fetcher = fetcher;
  }

  async open(position: RecordsPosition, output: string): Promise<void> {
    if (typeof position === 'bigint') throw elsewhere(output, 'files');
    this.#at = new Map(Object.entries(position ?? {}).map(([partition, offset]) => [Number(partition), offset]));
    const bounds = await this.#addPartitions();
    for (const [partition, at] of this.#at) {
      const end = bounds.get(partition)?.end ?? 0n;
      if (end < at) throw replaced(output, `Partition ${partition} of the records ends at ${end}`, at);
    }
  }

  async read(): Promise<Entry[]> {
    if (Date.now() - this.#countedAtMs > COUNT_EVERY_MS) await this.#addPartitions();
    const { entries, next } = await this.#fetcher.fetch(this.#at, { waitMs: FETCH_WAIT_MS, bytesMax: FETCH_BYTES_MAX });
    this.#next = next;
    return entries.map(({ offset, key, value, timestampMs }) => ({ offset, key, value, timestampMs }));
  }

  advance(): void {
    for (const [partition, offset] of this.#next) this.#at.set(partition, offset);
    this.#next = new Map();
  }

  get position(): Readonly<Record<string, bigint>> {
    return Object.fromEntries(this.#at);
  }

  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    // `read` has waited already, at the brokers.
    await delay(Math.min(timeoutMs, FETCH_WAIT_MS), undefined, { signal }).catch(() => {}); // the signal ends whoever waits
  }

  close(): Promise<void> {
    return this.#fetcher.close();
  }

  /** A partition that is new to the cursor is read from its beginning. */
  async #addPartitions(): Promise<Map<number, { first: bigint; end: bigint }>> {
    const count = await this.#fetcher.partitionCount();
    const bounds = await this.#fetcher.bounds(Array.from({ length: count }, (_, partition) => partition));
    for (const [partition, { first }] of bounds) if (!this.#at.has(partition)) this.#at.set(partition, first);
    this.#countedAtMs = Date.now();
    return bounds;
  }
}

function replaced(output: string, what: string, at: bigint): GatewayError {
  const message = `${what}, but output ${output} has sent up to ${at}: its cursor belongs to another log.`;
  return new GatewayError('OUTPUT_LOG_REPLACED', 'conflict', message);
}

function elsewhere(output: string, where: string): GatewayError {
  const message = `The cursor of output ${output} is of a log in ${where}. Start as before, or delete the cursor to send everything again.`;
  return new GatewayError('OUTPUT_LOG_REPLACED', 'conflict', message);
}
