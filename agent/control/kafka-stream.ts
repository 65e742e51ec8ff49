/**
 * A relay's stream that ends in Kafka: batches are taken apart by session and appended by this agent itself. For the shipper it looks
 * like the control plane's Relay: an acknowledgement says that everything before it is durable, and an error ends the stream, after
 * which another one is opened and everything that was not acknowledged is sent again.
 */
import { EventEmitter } from 'node:events';
import { fromBinary } from '@bufbuild/protobuf';
import type { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { splitBySession } from '@sallyport/shared/records/by-session.ts';
import type { RelayStream } from './shipper.ts';

export class KafkaStream extends EventEmitter implements RelayStream {
  /** What waits is bounded by the shipper's window of batches. */
  readonly writableNeedDrain = false;
  readonly #producer: Pick<KafkaProducer, 'appendByKey'>;
  /** The acknowledgements that were promised so far; rejects with the first failure. */
  #acknowledged: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(producer: Pick<KafkaProducer, 'appendByKey'>) {
    super();
    this.#producer = producer;
  }

  /** @param encoded a RecordBatch. */
  write(encoded: Buffer): void {
    if (this.#ended) return;
    const batch = fromBinary(RecordBatchSchema, encoded);
    const ack = { spoolId: batch.spoolId, nextIndex: batch.firstIndex + BigInt(batch.records.length) };
    const appended = this.#producer.appendByKey(splitBySession(batch));
    appended.catch(() => undefined); // Seen in its turn, below.
    this.#acknowledged = this.#acknowledged.then(async () => {
      await appended;
      if (!this.#ended) this.emit('data', ack);
    });
    this.#acknowledged.catch((error: unknown) => {
      if (this.#ended) return;
      this.#ended = true;
      this.emit('error', error);
    });
  }

  /** Nothing more is acknowledged; what was appended stays. */
  cancel(): void {
    this.#ended = true;
  }

  end(): void {
    this.#ended = true;
  }
}
