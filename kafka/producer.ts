/**
 * Appends to partitions, in order, each message once as far as Kafka itself can tell, and says at which offset.
 *
 * Per partition one produce request is under way at a time and everything that waits goes into the next one: order survives retries,
 * and a request never covers two partitions, whose leaders may differ (a client that retries such a request can take one partition's
 * answer for another's). acks=all, idempotent. What Kafka does not take is sent again until it does, or until the caller's patience
 * ends; then it is not known whether it is in the log, and the reader must be able to tell doubles. What waits behind it in its
 * partition is given up with it, so that nothing overtakes what its writer will send again.
 */
import { compatibilityPartitioner, ProduceAcks, Producer } from '@platformatic/kafka';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { clientOptions, kafkaErrorIds, kafkaErrorText, kafkaFault } from './client.ts';
import type { KafkaConfig } from './config.ts';

export interface KafkaMessage {
  key: Uint8Array;
  value: Uint8Array;
}

export interface KafkaProducerOptions {
  config: KafkaConfig;
  topic: string;
  /** What the values are, for consumers: the header `type` of every message. */
  messageType: string;
  /** How long an append is tried; Infinity: until `close`. */
  patienceMs: number;
  /** Bytes that may wait in memory, all partitions together; more is refused. Default 64 MiB. */
  queueBytesMax?: number;
  /** Told when Kafka begins to refuse, and (null) when it takes again. */
  onProblem?: (problem: string | null) => void;
}

interface Waiting {
  messages: readonly KafkaMessage[];
  bytes: number;
  resolve: (offset: bigint) => void;
  reject: (error: Error) => void;
}

interface Lane {
  partition: number;
  queue: Waiting[];
  draining: boolean;
}

/** Messages of one request; a larger single append goes alone. */
const requestBytesMax = 768 * 1024;
/** Of one message, with room for what the batch adds: topics are made to take it (topics.ts). */
export const messageBytesMax = 15 * 1024 * 1024;
const perMessageBytes = 64;
const retryPauseMs = 250;
/** With the client's pause between attempts, some ten seconds with one producer id: longer than an election takes. */
const attemptsWithin = 50;

export class KafkaProducer {
  readonly #options: KafkaProducerOptions;
  readonly #producer: Producer;
  readonly #lanes = new Map<number, Lane>();
  readonly #headers: Map<Buffer, Buffer>;
  #queueBytes = 0;
  #problem: string | null = null;
  #closed = false;
  #partitions: Promise<number> | null = null;
  readonly #stop = new AbortController();

  constructor(options: KafkaProducerOptions) {
    this.#options = options;
    this.#headers = new Map([[Buffer.from('type'), Buffer.from(options.messageType)]]);
    this.#producer = new Producer({
      ...clientOptions(options.config, attemptsWithin),
      idempotent: true,
      acks: ProduceAcks.ALL,
      compression: options.config.compression,
      repeatOnStaleMetadata: true,
    });
    this.#producer.on('error', () => undefined); // Each call has its own error.
  }

  /** How many there are, as of the first call: a topic that grows is used in full after a restart. */
  partitions(): Promise<number> {
    this.#partitions ??= this.#countPartitions().catch((error: unknown) => {
      this.#partitions = null;
      throw error;
    });
    return this.#partitions;
  }

  /**
   * Appends messages together, in order.
   * @returns the offset of the first.
   * @throws {GatewayError} LOG_ENTRY_TOO_LARGE; LOG_BUSY; LOG_CLOSED; LOG_UNCERTAIN when the patience ended: they may be in the log.
   */
  append(partition: number, messages: readonly KafkaMessage[]): Promise<bigint> {
    if (this.#closed) return Promise.reject(closed());
    let bytes = 0;
    for (const message of messages) {
      const size = message.key.length + message.value.length + perMessageBytes;
      if (size > messageBytesMax) return Promise.reject(tooLarge(size));
      bytes += size;
    }
    if (bytes > messageBytesMax) return Promise.reject(tooLarge(bytes));
    if (this.#queueBytes > 0 && this.#queueBytes + bytes > (this.#options.queueBytesMax ?? 64 * 1024 * 1024)) {
      return Promise.reject(new GatewayError('LOG_BUSY', 'unavailable', 'Kafka cannot keep up with what is appended: try again.'));
    }
    let lane = this.#lanes.get(partition);
    if (lane === undefined) {
      lane = { partition, queue: [], draining: false };
      this.#lanes.set(partition, lane);
    }
    const { promise, resolve, reject } = Promise.withResolvers<bigint>();
    lane.queue.push({ messages, bytes, resolve, reject });
    this.#queueBytes += bytes;
    if (!lane.draining) void this.#drain(lane);
    return promise;
  }

  /**
   * Appends messages, each to the partition of its key. Within a partition they keep their order, also that of the calls.
   * @throws as `append`: then some of them may be in the log, and none is known to be.
   */
  async appendByKey(messages: readonly KafkaMessage[]): Promise<void> {
    // In this order calls that wait for the same answer go on, too.
    const count = await this.partitions();
    const byPartition = Map.groupBy(messages, ({ key }) => this.#hash(key) % count);
    await Promise.all([...byPartition].map(([partition, some]) => this.append(partition, some)));
  }

  /** Bytes that wait for Kafka. */
  get queuedBytes(): number {
    return this.#queueBytes;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop.abort();
    for (const lane of this.#lanes.values()) {
      for (const waiting of lane.queue.splice(0)) waiting.reject(closed());
    }
    await this.#producer.close().catch(() => undefined); // It is of no use any more, whatever it says.
  }

  /** As Kafka's own clients hash keys. */
  #hash(key: Uint8Array): number {
    return compatibilityPartitioner({ topic: this.#options.topic }, asBuffer(key));
  }

  async #countPartitions(): Promise<number> {
    const { topic } = this.#options;
    try {
      const metadata = await this.#producer.metadata({ topics: [topic], forceUpdate: true });
      const count = metadata.topics.get(topic)?.partitionsCount ?? 0;
      if (count === 0) throw new GatewayError('KAFKA_TOPIC_MISSING', 'notFound', `Kafka has no topic ${topic}.`);
      return count;
    } catch (error) {
      throw kafkaFault(error, `topic ${topic}`);
    }
  }

  /** Sends what waits until nothing does. Never throws: each append learns of its own fate. */
  async #drain(lane: Lane): Promise<void> {
    lane.draining = true;
    while (lane.queue.length > 0) {
      const taken = take(lane);
      try {
        let offset = await this.#send(
          lane.partition,
          taken.flatMap(waiting => waiting.messages),
        );
        for (const waiting of taken) {
          waiting.resolve(offset);
          offset += BigInt(waiting.messages.length);
        }
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        // What was refused for its own sake (too large) leaves the others their chance.
        if (failure instanceof GatewayError && failure.kind === 'unavailable') taken.push(...lane.queue.splice(0));
        for (const waiting of taken) waiting.reject(failure);
      }
      for (const waiting of taken) this.#queueBytes -= waiting.bytes;
    }
    lane.draining = false;
  }

  async #send(partition: number, messages: readonly KafkaMessage[]): Promise<bigint> {
    const { topic, patienceMs } = this.#options;
    const deadline = Date.now() + patienceMs;
    for (;;) {
      try {
        const { offsets } = await this.#producer.send({
          messages: messages.map(({ key, value }) => ({
            topic,
            partition,
            key: asBuffer(key),
            value: asBuffer(value),
            headers: this.#headers,
          })),
        });
        const offset = offsets?.find(each => each.topic === topic && each.partition === partition)?.offset;
        if (offset === undefined || offset < 0n) throw new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', 'Kafka named no offset.');
        this.#say(null);
        return offset;
      } catch (error) {
        const ids = kafkaErrorIds(error);
        if (ids.has('MESSAGE_TOO_LARGE') || ids.has('RECORD_LIST_TOO_LARGE')) {
          throw new GatewayError(
            'LOG_ENTRY_TOO_LARGE',
            'invalid',
            `An entry is larger than the topic ${topic} takes (max.message.bytes).`,
            {
              cause: error,
            },
          );
        }
        if (this.#closed || Date.now() >= deadline) {
          throw new GatewayError(
            'LOG_UNCERTAIN',
            'unavailable',
            `Kafka did not answer in time, so it is not known whether the entries are in ${topic}: ${kafkaErrorText(error)}`,
            { cause: error },
          );
        }
        this.#say(kafkaErrorText(error));
        await pause(retryPauseMs, this.#stop.signal);
      }
    }
  }

  #say(problem: string | null): void {
    if ((problem === null) === (this.#problem === null)) return;
    this.#problem = problem;
    this.#options.onProblem?.(problem);
  }
}

function take(lane: Lane): Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const waiting of lane.queue) {
    if (count > 0 && bytes + waiting.bytes > requestBytesMax) break;
    bytes += waiting.bytes;
    count++;
  }
  return lane.queue.splice(0, count);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

function tooLarge(bytes: number): GatewayError {
  return new GatewayError(
    'LOG_ENTRY_TOO_LARGE',
    'invalid',
    `An entry of ${bytes} bytes is larger than the log takes (${messageBytesMax}).`,
  );
}

function closed(): GatewayError {
  return new GatewayError('LOG_CLOSED', 'unavailable', 'The log is closed.');
}
