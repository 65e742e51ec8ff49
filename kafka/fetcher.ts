/**
 * Reads given partitions of one topic from given offsets: one long poll per broker that leads some of them.
 *
 * No group and no positions are kept here; who calls says where to read. Follows leaders as they move. What it returns is committed in
 * Kafka's sense (below the high watermark): with acks=all and enough replicas it survives what the topic's settings say it survives.
 */
import { Consumer, FetchIsolationLevels, ListOffsetTimestamps, type RecordsBatch } from '@platformatic/kafka';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { clientOptions, kafkaErrorIds, kafkaFault } from './client.ts';
import type { KafkaConfig } from './config.ts';

/** As the log's entries are (control-plane/log/event-log.ts), with the partition. */
export interface KafkaEntry {
  partition: number;
  offset: bigint;
  key: Uint8Array;
  value: Uint8Array;
  timestampMs: number;
}

export interface Fetched {
  entries: KafkaEntry[];
  /** partition → offset that its next message will get, for those that answered. */
  ends: Map<number, bigint>;
  /** partition → where to read on. It may be behind the last entry by more than one: offsets that Kafka uses for itself are skipped. */
  next: Map<number, bigint>;
}

export interface FetchLimits {
  /** How long a broker may wait for something to come. */
  waitMs: number;
  /** Of one answer. A single larger message comes whole. */
  bytesMax: number;
}

const isControlBatch = 0b10_0000;
const retriesWithin = 5;

export class KafkaFetcher {
  readonly #config: KafkaConfig;
  readonly #topic: string;
  /** Not joined to a group: the client only offers reading to consumers. A consumer per broker, since a long poll blocks its connection. */
  readonly #consumers = new Map<number, Consumer>();
  readonly #asking: Consumer;
  #closed = false;

  constructor(config: KafkaConfig, topic: string) {
    this.#config = config;
    this.#topic = topic;
    this.#asking = this.#newConsumer();
  }

  /** The first kept and the next offset of every given partition. */
  async bounds(partitions: readonly number[]): Promise<Map<number, { first: bigint; end: bigint }>> {
    const topic = this.#topic;
    const ask = async (timestamp: bigint) =>
      (await this.#asking.listOffsets({ topics: [topic], partitions: { [topic]: [...partitions] }, timestamp })).get(topic) ?? [];
    try {
      const [first, end] = [await ask(ListOffsetTimestamps.EARLIEST), await ask(ListOffsetTimestamps.LATEST)];
      return new Map(partitions.map(partition => [partition, { first: first[partition] ?? 0n, end: end[partition] ?? 0n }]));
    } catch (error) {
      throw this.#fault(error);
    }
  }

  async partitionCount(): Promise<number> {
    try {
      const metadata = await this.#asking.metadata({ topics: [this.#topic], forceUpdate: true });
      return metadata.topics.get(this.#topic)?.partitionsCount ?? 0;
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /**
   * @param from partition → offset to read from. Empty: returns at once with nothing.
   * @throws {GatewayError} LOG_OFFSET_GONE when an offset is below what the topic keeps, KAFKA_… when brokers do not answer.
   */
  async fetch(from: ReadonlyMap<number, bigint>, limits: FetchLimits): Promise<Fetched> {
    const fetched: Fetched = { entries: [], ends: new Map(), next: new Map() };
    if (from.size === 0) return fetched;
    try {
      const metadata = await this.#asking.metadata({ topics: [this.#topic] });
      const topic = metadata.topics.get(this.#topic);
      if (topic === undefined) throw new GatewayError('KAFKA_TOPIC_MISSING', 'notFound', `Kafka has no topic ${this.#topic}.`);
      const byLeader = Map.groupBy(from, ([partition]) => topic.partitions[partition]?.leader ?? -1);
      const answers = [...byLeader].map(async ([leader, wanted]) => {
        if (leader < 0) throw new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', `Partitions of ${this.#topic} have no leader.`);
        const response = await this.#consumerFor(leader).fetch({
          node: leader,
          maxWaitTime: limits.waitMs,
          minBytes: 1,
          maxBytes: limits.bytesMax,
          isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED,
          topics: [
            {
              topicId: topic.id,
              partitions: wanted.map(([partition, fetchOffset]) => ({
                partition,
                fetchOffset,
                currentLeaderEpoch: -1,
                lastFetchedEpoch: -1,
                partitionMaxBytes: limits.bytesMax,
              })),
            },
          ],
        });
        for (const { partitions } of response.responses) {
          for (const { partitionIndex, highWatermark, records } of partitions) {
            const start = from.get(partitionIndex);
            // A broker may answer for a partition that an earlier request wanted.
            if (start === undefined) continue;
            fetched.ends.set(partitionIndex, highWatermark);
            const next = collect(fetched.entries, partitionIndex, start, records ?? []);
            if (next > start) fetched.next.set(partitionIndex, next);
          }
        }
      });
      // All are waited for: an answer that came must not be lost to another that failed, and none may come after this call.
      const outcomes = await Promise.allSettled(answers);
      const failed = outcomes.find(outcome => outcome.status === 'rejected');
      if (failed !== undefined && fetched.entries.length === 0) throw failed.reason;
      return fetched;
    } catch (error) {
      await this.#forgetConnections();
      throw this.#fault(error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#asking.close(true).catch(() => undefined), this.#forgetConnections()]);
  }

  #consumerFor(node: number): Consumer {
    if (this.#closed) throw new GatewayError('LOG_CLOSED', 'unavailable', 'The log reader is closed.');
    let consumer = this.#consumers.get(node);
    if (consumer === undefined) {
      consumer = this.#newConsumer();
      this.#consumers.set(node, consumer);
    }
    return consumer;
  }

  #newConsumer(): Consumer {
    const consumer = new Consumer({ ...clientOptions(this.#config, retriesWithin), groupId: 'sallyport-readers' });
    consumer.topics.track(this.#topic);
    consumer.on('error', () => undefined); // Each call has its own error.
    return consumer;
  }

  /** After a failure: leaders may have moved, and a session with a broker may be half-way. */
  async #forgetConnections(): Promise<void> {
    this.#asking.clearMetadata();
    const consumers = [...this.#consumers.values()];
    this.#consumers.clear();
    await Promise.all(consumers.map(consumer => consumer.close(true).catch(() => undefined)));
  }

  #fault(error: unknown): GatewayError {
    if (kafkaErrorIds(error).has('OFFSET_OUT_OF_RANGE')) {
      return new GatewayError('LOG_OFFSET_GONE', 'notFound', `${this.#topic} does not keep what is to be read any more, or not yet.`, {
        cause: error,
      });
    }
    return kafkaFault(error, `reading ${this.#topic}`);
  }
}

/** @returns where to read on. */
function collect(entries: KafkaEntry[], partition: number, start: bigint, batches: readonly RecordsBatch[]): bigint {
  let next = start;
  for (const batch of batches) {
    const end = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n;
    if (end > next) next = end;
    if ((batch.attributes & isControlBatch) !== 0) continue;
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta);
      // Kafka answers with whole batches.
      if (offset < start) continue;
      entries.push({
        partition,
        offset,
        key: record.key ?? new Uint8Array(0),
        value: record.value ?? new Uint8Array(0),
        timestampMs: Number(batch.firstTimestamp + record.timestampDelta),
      });
    }
  }
  return next;
}
