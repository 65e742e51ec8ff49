/**
 * Takes a spool's batch apart by session, as the topic of records in Kafka has it: messages there are keyed by session, so that all
 * records of a session are in one partition and in order. Pure; what a record says is not looked at beyond its session's id.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type RecordBatch, RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '../errors.ts';

export interface SessionMessage {
  /** The session's id, UTF-8. */
  key: Uint8Array;
  /** An encoded RecordBatch with records of this session alone. */
  value: Uint8Array;
}

/**
 * @param batch a RecordBatch, or its encoding; the records may be views into it.
 * @returns a message a session, sessions in the order of their first record, records in the order of the batch.
 * @throws {GatewayError} RECORD_BATCH_INVALID, when it is not a RecordBatch, or a record of it has no session id.
 */
export function splitBySession(batch: RecordBatch | Uint8Array): SessionMessage[] {
  const { agentId, spoolId, firstIndex, records, indexSteps } = batch instanceof Uint8Array ? decoded(batch) : batch;
  const sessions = new Map<string, { key: Uint8Array; records: Uint8Array[]; steps: number[] }>();
  for (const [place, record] of records.entries()) {
    const key = sessionIdOf(record);
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
    throw invalid('it is not a RecordBatch', cause);
  }
}

const sessionIdField = 1;
const lengthDelimited = 2;

/**
 * The bytes of `session_id`, a view into an encoded Record. It comes first in what we write; any other order is read as well.
 * Of several, the last counts (as in every decoder), so that a reader never finds a record under another session's key.
 */
function sessionIdOf(record: Uint8Array): Uint8Array {
  let found: Uint8Array | null = null;
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = record[at++];
      if (byte === undefined || shift > 2 ** 56) throw invalid('a record of it is cut off');
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < record.length) {
    const tag = varint();
    const [field, wireType] = [Math.floor(tag / 8), tag % 8];
    if (wireType === lengthDelimited) {
      const length = varint();
      if (at + length > record.length) throw invalid('a record of it is cut off');
      if (field === sessionIdField) found = record.subarray(at, at + length);
      at += length;
    } else if (wireType === 0) skipVarint();
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else throw invalid(`a record of it has wire type ${wireType}`);
  }
  if (found === null || found.length === 0) throw invalid('a record of it has no session id');
  return found;

  /** Ten bytes at most; its value does not matter. */
  function skipVarint(): void {
    for (let bytes = 0; bytes < 10; bytes++) {
      const byte = record[at++];
      if (byte === undefined) break;
      if (byte < 0x80) return;
    }
    throw invalid('a record of it is cut off');
  }
}

/** One character a byte: a key for a map, whatever the bytes are. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function invalid(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'RECORD_BATCH_INVALID',
    'invalid',
    `A batch of records is refused: ${why}.`,
    cause === undefined ? {} : { cause },
  );
}
