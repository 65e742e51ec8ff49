/**
 * Takes agents' record batches into the topic of records in Kafka, a message for each session of a batch, keyed by it.
 *
 * No marks are kept: replicas of the control plane would each have others. Whatever an agent sends is appended, also what it sends again
 * because an answer was lost on its way; ingest takes every record once. What is promised is order: an answer says that everything
 * before it is durable, and what waits behind a failure fails with it.
 */
import type { KafkaProducer } from '@sallyport/kafka/producer.ts';
import type { RecordBatch } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { splitBySession } from '@sallyport/shared/records/by-session.ts';
import { checkSpoolId, type Relay, type RelayCounters } from './relay.ts';

export class KafkaRelay implements Relay {
  readonly counters: RelayCounters = { batches: 0, records: 0, duplicates: 0, gaps: 0 };
  readonly #producer: KafkaProducer;
  /** spool → the answer to its last batch. */
  readonly #tails = new Map<string, Promise<bigint>>();

  constructor(producer: KafkaProducer) {
    this.#producer = producer;
  }

  append(batch: RecordBatch): Promise<bigint> {
    const spool = `${batch.agentId}/${batch.spoolId}`;
    const before = this.#tails.get(spool);
    const turn = this.#append(batch, before);
    this.#tails.set(spool, turn);
    const settled = () => {
      if (this.#tails.get(spool) === turn) this.#tails.delete(spool);
    };
    turn.then(settled, settled);
    return turn;
  }

  close(): Promise<void> {
    return this.#producer.close();
  }

  async #append(batch: RecordBatch, before: Promise<bigint> | undefined): Promise<bigint> {
    checkSpoolId(batch.spoolId);
    this.counters.batches++;
    await this.#producer.appendByKey(splitBySession(batch));
    await before;
    this.counters.records += batch.records.length;
    return batch.firstIndex + BigInt(batch.records.length);
  }
}
