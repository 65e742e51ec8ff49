/**
 * All partitions of a topic as one log, for those who watch what happens and need no exact order between partitions.
 *
 * An entry's offset is how many entries came before it over all partitions, in the order in which this reader met them: within a
 * partition the log's own order, between partitions about that of time. Another reader may number neighbours the other way round, so a
 * position that is carried from one replica to another may repeat or skip some entries of the moment at which it was taken.
 * What was read lately is kept, bounded; what is asked for from before that is fetched again.
 */

import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, LogReader } from './event-log.ts';

const keptEntriesMax = 6_000;
const keptBytesMax = 16 * 1024 * 1024;
const fetchBytesMax = 2 * 1024 * 1024;
const pollMsMax = 250;
const pauseMs = 200;

export class KafkaMergedReader implements LogReader {
  readonly #fetcher: Pick<KafkaFetcher, 'fetch' | 'bounds' | 'partitionCount' | 'close'>;
  #partitions: number[] = [];
  /** partition → where to read on; their sum is `#end`. */
  #positions = new Map<number, bigint>();
  #kept: Entry[] = [];
  #keptBytes = 0;
  /** The number of the next entry to fetch. */
  #end = 0n;
  /** Fetches come one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(config: KafkaConfig, topic: string, fetcher?: Pick<KafkaFetcher, 'fetch' | 'bounds' | 'partitionCount' | 'close'>) {
    this.#fetcher = fetcher ?? new KafkaFetcher(config, topic);
  }

  async endOffset(): Promise<bigint> {
    return sum([...(await this.#bounds()).values()].map(({ end }) => end));
  }

  read(fromOffset: bigint, max: number): Promise<Entry[]> {
    return this.#inTurn(async () => {
      if (!this.#has(fromOffset)) await this.#moveTo(fromOffset);
      if (fromOffset >= this.#end) await this.#fetch(1);
      return this.#slice(fromOffset, max);
    });
  }

  async waitFor(offset: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#closed && !signal?.aborted) {
      const isThere = await this.#inTurn(async () => {
        if (!this.#has(offset)) await this.#moveTo(offset);
        if (offset >= this.#end) await this.#fetch(Math.max(1, Math.min(pollMsMax, deadline - Date.now())));
        return offset < this.#end;
      }).catch((error: unknown) => {
        // An outage ends: whoever waits goes on waiting.
        if (error instanceof GatewayError && error.kind === 'unavailable') return null;
        throw error;
      });
      if (isThere === true) return true;
      if (Date.now() >= deadline) return false;
      if (isThere === null) await new Promise(resolve => setTimeout(resolve, pauseMs));
    }
    return false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#fetcher.close();
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(new GatewayError('LOG_CLOSED', 'unavailable', 'The log reader is closed.'));
    const turn = this.#turn.then(work, work);
    this.#turn = turn;
    return turn;
  }

  async #bounds(): Promise<Map<number, { first: bigint; end: bigint }>> {
    if (this.#partitions.length === 0) {
      const count = await this.#fetcher.partitionCount();
      this.#partitions = Array.from({ length: count }, (_, partition) => partition);
    }
    return this.#fetcher.bounds(this.#partitions);
  }

  /** Whether an offset is among what is kept, or the very next. */
  #has(offset: bigint): boolean {
    return this.#positions.size > 0 && offset >= this.#end - BigInt(this.#kept.length) && offset <= this.#end;
  }

  #slice(fromOffset: bigint, max: number): Entry[] {
    const start = Number(fromOffset - (this.#end - BigInt(this.#kept.length)));
    return start < 0 ? [] : this.#kept.slice(start, start + max);
  }

  /** Goes to where as many entries lie behind as the offset says: back from the ends, from each partition alike. */
  async #moveTo(offset: bigint): Promise<void> {
    const bounds = await this.#bounds();
    let back = sum([...bounds.values()].map(({ end }) => end)) - offset;
    const available = [...bounds].map(([partition, { first, end }]) => ({ partition, end, kept: end - first, take: 0n }));
    if (back > sum(available.map(({ kept }) => kept))) {
      throw new GatewayError('LOG_OFFSET_GONE', 'notFound', 'The topic does not keep what is to be read any more.');
    }
    available.sort((a, b) => (a.kept < b.kept ? -1 : a.kept > b.kept ? 1 : 0));
    for (const [place, each] of available.entries()) {
      if (back <= 0n) break;
      const left = BigInt(available.length - place);
      const share = (back + left - 1n) / left;
      each.take = share < each.kept ? share : each.kept;
      back -= each.take;
    }
    this.#positions = new Map(available.map(({ partition, end, take }) => [partition, end - take]));
    this.#kept = [];
    this.#keptBytes = 0;
    this.#end = sum([...this.#positions.values()]);
  }

  async #fetch(waitMs: number): Promise<void> {
    const { entries, next } = await this.#fetcher.fetch(this.#positions, { waitMs, bytesMax: fetchBytesMax });
    for (const [partition, to] of next) this.#positions.set(partition, to);
    for (const { key, value, timestampMs } of entries.sort((a, b) => a.timestampMs - b.timestampMs || Number(a.offset - b.offset))) {
      // Copies: an entry that is kept must not keep all that came with it.
      this.#kept.push({ offset: this.#end++, key: new Uint8Array(key), value: new Uint8Array(value), timestampMs });
      this.#keptBytes += value.length;
    }
    let dropped = 0;
    for (const { value } of this.#kept) {
      if (this.#kept.length - dropped <= keptEntriesMax && this.#keptBytes <= keptBytesMax) break;
      this.#keptBytes -= value.length;
      dropped++;
    }
    if (dropped > 0) this.#kept.splice(0, dropped);
  }
}

function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}
