/**
 * The records of the log in Kafka as an output follows them: from every partition, asked for itself and in no group, since every output has
 * a cursor of its own. Loaded only where there is a Kafka.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import type { Entry } from '../log/event-log.ts';
import { elsewhere, type RecordsPosition, type RecordsSource, replaced } from './records-source.ts';

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
