/**
 * The event log in one partition of a Kafka topic: the same interface as the log in files, for any number of writers and readers.
 *
 * An acknowledged append is on as many brokers as the topic's min.insync.replicas says. One append is one batch in the log, whole or
 * absent. When Kafka does not answer in time, LOG_UNCERTAIN says that the entries may be there: whoever appends must be able to tell
 * his own entry when it comes by (control-log.ts can: an event counts once, whatever is sent twice).
 * Not here: topics with many partitions, which are written by key and read a partition at a time.
 */
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, EventLog, LogReader, NewEntry } from './event-log.ts';

export interface KafkaLogOptions {
  config: KafkaConfig;
  topic: string;
  /** What the values are, for other consumers. */
  messageType: string;
  /** How long an append is tried before it is given up as uncertain. */
  patienceMs: number;
}

const partition = 0;
const readBytesMax = 8 * 1024 * 1024;
/** A long poll that nobody waits for any more ends after this. */
const pollMsMax = 1_000;
const retryPauseMs = 200;
/** How much later others' entries are seen right after an append of our own. */
const quietMs = 15;

/** Opens a topic that exists and was checked (kafka/topics.ts). Whether Kafka answers shows at the first call. */
export function openKafkaLog(options: KafkaLogOptions): EventLog {
  const reader = new KafkaLogReader(options.config, options.topic);
  const producer = new KafkaProducer(options);
  return {
    async append(entries: readonly NewEntry[]): Promise<bigint> {
      if (entries.length === 0) return reader.endOffset();
      const offset = await producer.append(partition, entries);
      reader.ownEntries(offset, entries);
      return offset;
    },
    read: (fromOffset, max) => reader.read(fromOffset, max),
    endOffset: () => reader.endOffset(),
    waitFor: (offset, timeoutMs, signal) => reader.waitFor(offset, timeoutMs, signal),
    async close() {
      await Promise.all([producer.close(), reader.close()]);
    },
  };
}

export function openKafkaLogReader(config: KafkaConfig, topic: string): LogReader {
  return new KafkaLogReader(config, topic);
}

class KafkaLogReader implements LogReader {
  readonly #topic: string;
  readonly #fetcher: KafkaFetcher;
  readonly #stop = new AbortController();
  /** Contiguous in the order of the log: what was fetched and not yet asked for. */
  #buffer: Entry[] = [];
  /** As far as is known; it only rises. */
  #end = 0n;
  /** The one fetch that is under way. */
  #fetching: Promise<void> | null = null;
  /** Where the last append of our own ended that joined on to what was known, and when. */
  #ownEnd = -1n;
  #ownAtMs = 0;
  /** Resolves when this process has appended something. */
  #arrival = Promise.withResolvers<void>();
  #closed = false;

  constructor(config: KafkaConfig, topic: string) {
    this.#topic = topic;
    this.#fetcher = new KafkaFetcher(config, topic);
  }

  async read(fromOffset: bigint, max: number): Promise<Entry[]> {
    this.#checkOpen();
    if (fromOffset < 0n) throw new GatewayError('LOG_OFFSET_INVALID', 'invalid', `A log has no offset ${fromOffset}.`);
    if (max <= 0) return [];
    for (;;) {
      const buffered = this.#fromBuffer(fromOffset, max);
      if (buffered.length > 0) return buffered;
      if (fromOffset >= this.#end && fromOffset >= (await this.endOffset())) return [];
      await this.#fetch(fromOffset, 0);
      if (this.#buffer.length === 0 && fromOffset >= this.#end) return [];
    }
  }

  async endOffset(): Promise<bigint> {
    this.#checkOpen();
    const end = (await this.#fetcher.bounds([partition])).get(partition)?.end ?? 0n;
    this.#checkOpen();
    this.#appended(end);
    return end;
  }

  async waitFor(offset: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    for (let first = true; ; first = false) {
      if (this.#end > offset) return true;
      if (this.#closed || signal?.aborted) return false;
      const left = deadline - Date.now();
      if (left <= 0 && !first) return false;
      try {
        // Far behind the end of the log there is nothing to poll for: the offset itself may not exist.
        if (first && offset > this.#end + 1n) await this.endOffset();
        else if (await this.#isQuietAfterOwn(offset, signal)) continue;
        else {
          const fetched = this.#fetch(this.#readable(offset), Math.max(0, Math.min(left, pollMsMax)));
          await this.#interruptible(Promise.race([fetched, this.#arrival.promise]), signal);
        }
      } catch (error) {
        if (this.#closed) return false;
        // An outage ends: whoever waits goes on waiting. What cannot get better is for `read` to say.
        if (!(error instanceof GatewayError) || error.kind !== 'unavailable') throw error;
        if (Date.now() >= deadline) return false;
        await this.#interruptible(new Promise(resolve => setTimeout(resolve, Math.min(retryPauseMs, deadline - Date.now()))), signal);
      }
    }
  }

  /** What this process has appended itself need not come back from Kafka: whoever waits for it has it now. */
  ownEntries(offset: bigint, entries: readonly NewEntry[]): void {
    const last = this.#buffer.at(-1);
    if (last === undefined || last.offset + 1n === offset) {
      const timestampMs = Date.now();
      for (const [place, { key, value }] of entries.entries()) {
        this.#buffer.push({ offset: offset + BigInt(place), key, value, timestampMs });
      }
      if (offset === this.#end) {
        this.#ownEnd = offset + BigInt(entries.length);
        this.#ownAtMs = timestampMs;
      }
    }
    this.#appended(offset + BigInt(entries.length));
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }

  /**
   * An append of our own that joined on to what is known says that nobody else has written up to there. Asking again at once would make
   * the broker answer twice for each append: the next poll waits a moment, or for the next append.
   * @returns whether it waited.
   */
  async #isQuietAfterOwn(offset: bigint, signal: AbortSignal | undefined): Promise<boolean> {
    const left = this.#ownAtMs + quietMs - Date.now();
    if (left <= 0 || offset !== this.#ownEnd) return false;
    await this.#interruptible(Promise.race([this.#arrival.promise, new Promise(resolve => setTimeout(resolve, left))]), signal);
    return true;
  }

  /** What we know to be there without asking. */
  #appended(end: bigint): void {
    if (end > this.#end) this.#end = end;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    await this.#fetcher.close();
    this.#buffer = [];
  }

  #checkOpen(): void {
    if (this.#closed) throw new GatewayError('LOG_CLOSED', 'unavailable', 'The log reader is closed.');
  }

  #fromBuffer(fromOffset: bigint, max: number): Entry[] {
    const start = this.#buffer.findIndex(entry => entry.offset >= fromOffset);
    const first = this.#buffer[0];
    if (start < 0 || first === undefined || fromOffset < first.offset) return [];
    const taken = this.#buffer.slice(start, start + max);
    // Who reads on does not come back: what was read goes.
    this.#buffer = this.#buffer.slice(start + taken.length);
    return taken;
  }

  /** Kafka refuses to be asked beyond the end. */
  #readable(offset: bigint): bigint {
    return offset > this.#end ? this.#end : offset;
  }

  /** Fetches from an offset, or waits for the fetch that is under way. What comes is in the buffer then. */
  async #fetch(fromOffset: bigint, waitMs: number): Promise<void> {
    while (this.#fetching !== null) {
      await this.#fetching;
      if (this.#buffer.some(entry => entry.offset === fromOffset)) return;
    }
    this.#checkOpen();
    const work = this.#fetcher
      .fetch(new Map([[partition, fromOffset]]), { waitMs, bytesMax: readBytesMax })
      .then(({ entries: fetched, ends }) => {
        this.#appended(ends.get(partition) ?? 0n);
        // Copies: an entry that is kept must not keep all that came with it.
        const entries = fetched.map(({ offset, key, value, timestampMs }) => ({
          offset,
          key: new Uint8Array(key),
          value: new Uint8Array(value),
          timestampMs,
        }));
        const last = this.#buffer.at(-1);
        const isNext = last !== undefined && entries[0]?.offset === last.offset + 1n;
        if (entries.length > 0) this.#buffer = isNext ? [...this.#buffer, ...entries] : entries;
      });
    this.#fetching = work.then(
      () => undefined,
      () => undefined, // Each caller has its own error.
    );
    try {
      await work;
    } catch (error) {
      if (this.#closed) throw new GatewayError('LOG_CLOSED', 'unavailable', 'The log reader is closed.');
      if (error instanceof GatewayError && error.code === 'LOG_OFFSET_GONE') {
        const bounds = (await this.#fetcher.bounds([partition])).get(partition);
        if (bounds !== undefined && fromOffset > bounds.end) {
          throw new GatewayError(
            'LOG_REPLACED',
            'conflict',
            `${this.#topic} ends at ${bounds.end}, before offset ${fromOffset}, which was there: the topic was made anew or cut.`,
          );
        }
      }
      throw error instanceof GatewayError
        ? error
        : new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', errorText(error), { cause: error });
    } finally {
      this.#fetching = null;
    }
  }

  /** Until it is done, or the signal or our own end comes first. What was begun goes on and is kept. */
  #interruptible(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ended = () => resolve();
    signal?.addEventListener('abort', ended, { once: true });
    this.#stop.signal.addEventListener('abort', ended, { once: true });
    work.then(() => resolve(), reject);
    return promise.finally(() => {
      signal?.removeEventListener('abort', ended);
      this.#stop.signal.removeEventListener('abort', ended);
    });
  }
}
