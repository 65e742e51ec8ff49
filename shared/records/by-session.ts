/**
 * Takes a spool's batch apart by session, as the topic of records in Kafka has it: messages there are keyed by session, so that all
 * records of a session are in one partition and in order. Pure; what a record says is not looked at beyond its session's id. What has
 * none goes on under the spool's id: whoever stores the records says what is wrong with it, and it holds up nothing behind it.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type RecordBatch, RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '../errors.ts';

export interface SessionMessage {
  /** The session's id, UTF-8; the spool's, for what has no session. */
  key: Uint8Array;
  /** An encoded RecordBatch with records of this session alone. */
  value: Uint8Array;
}

/**
 * @param batch a RecordBatch, or its encoding; the records may be views into it.
 * @returns a message a session, sessions in the order of their first record, records in the order of the batch.
 * @throws {GatewayError} RECORD_BATCH_INVALID, when it is not a RecordBatch.
 */
export function splitBySession(batch: RecordBatch | Uint8Array): SessionMessage[] {
  const { agentId, spoolId, firstIndex, records, indexSteps } = batch instanceof Uint8Array ? decoded(batch) : batch;
  const sessions = new Map<string, { key: Uint8Array; records: Uint8Array[]; steps: number[] }>();
  for (const [place, record] of records.entries()) {
    const key = sessionIdOf(record) ?? new TextEncoder().encode(spoolId);
    const id = latin1(key);
    let session = sessions.get(id);
    if (session === undefined) {
      session = { key, records: [], steps: [] };
      sessions.set(id, session);
    }
    session.records.push(record);
    session.steps.push(indexSteps[place] ?? place);
  }
  return [...sessions.values()].map(session => {
    const first = session.steps[0] ?? 0;
    const steps = session.steps.map(step => step - first);
    const isRun = steps.every((step, place) => step === place);
    const part = create(RecordBatchSchema, {
      agentId,
      spoolId,
      firstIndex: firstIndex + BigInt(first),
      records: session.records,
      ...(isRun ? {} : { indexSteps: steps }),
    });
    return { key: session.key, value: toBinary(RecordBatchSchema, part) };
  });
}

function decoded(bytes: Uint8Array): RecordBatch {
  try {
    return fromBinary(RecordBatchSchema, bytes);
  } catch (cause) {
    throw new GatewayError('RECORD_BATCH_INVALID', 'invalid', 'What was sent as a batch of records is none.', { cause });
  }
}

const sessionIdField = 1;
const wireTypes = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;

/**
 * The bytes of `session_id`, a view into an encoded Record. It comes first in what we write; any other order is read as well.
 * Of several, the last counts (as in every decoder), so that a reader never finds a record under another session's key.
 * @returns null when there is none, or the bytes are no message.
 */
function sessionIdOf(record: Uint8Array): Uint8Array | null {
  let found: Uint8Array | null = null;
  let at = 0;
  /** Null at a number that is cut off or has more than ten bytes; beyond 2^53 it is only about right, and too large for any use here. */
  const varint = (): number | null => {
    let value = 0;
    for (let place = 0; place < 10; place++) {
      const byte = record[at++];
      if (byte === undefined) return null;
      value += (byte & 0x7f) * 2 ** (7 * place);
      if (byte < 0x80) return value;
    }
    return null;
  };
  while (at < record.length) {
    const tag = varint();
    if (tag === null) return null;
    const [field, wireType] = [Math.floor(tag / 8), tag % 8];
    if (wireType === wireTypes.lengthDelimited) {
      const length = varint();
      if (length === null || at + length > record.length) return null;
      if (field === sessionIdField) found = record.subarray(at, at + length);
      at += length;
    } else if (wireType === wireTypes.varint) {
      if (varint() === null) return null;
    } else if (wireType === wireTypes.fixed64) at += 8;
    else if (wireType === wireTypes.fixed32) at += 4;
    else return null;
  }
  return found !== null && found.length > 0 && at === record.length ? found : null;
}

/** One character a byte: a key for a map, whatever the bytes are. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
