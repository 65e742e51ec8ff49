/**
 * From an entry of `sallyport.records` to its records, or to the reason why it cannot be read. Pure.
 *
 * Whatever an agent may have written, this returns: what cannot be read becomes a dead letter with its bytes, and the next is read.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema, RecordSchema, type Record as SessionRecord } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';

/** Where something lies in a topic: the entry, and the record in its batch. */
export interface LogPosition {
  offset: bigint;
  index: number;
}

export type RecordType =
  | 'session_started'
  | 'session_refused'
  | 'session_ended'
  | 'command'
  | 'response'
  | 'gap'
  | 'cancel_requested'
  | 'approval_noted'
  | 'output_chunk'
  | 'checkpoint'
  | 'unknown';

export interface DecodedRecord {
  position: LogPosition;
  agentId: string;
  spoolId: string;
  spoolIndex: bigint;
  sessionId: string;
  seq: number;
  /** Microseconds since 1970. */
  at: bigint;
  type: RecordType;
  message: SessionRecord;
  /** As the agent wrote it; a view into the entry. */
  encoded: Uint8Array;
}

export interface DeadLetter {
  position: LogPosition;
  code: string;
  reason: string;
  value: Uint8Array;
}

const typeNames: Readonly<Record<string, RecordType>> = {
  sessionStarted: 'session_started',
  sessionRefused: 'session_refused',
  sessionEnded: 'session_ended',
  command: 'command',
  response: 'response',
  gap: 'gap',
  cancelRequested: 'cancel_requested',
  approvalNoted: 'approval_noted',
  outputChunk: 'output_chunk',
  checkpoint: 'checkpoint',
};

const earliestAt = BigInt(Date.UTC(2000, 0, 1)) * 1000n;
const latestAt = BigInt(Date.UTC(2200, 0, 1)) * 1000n;
const sessionIdLengthMax = 128;

/** The records of one entry, in order, and what of it cannot be read. */
export function decodeEntry(offset: bigint, value: Uint8Array): { records: DecodedRecord[]; deadLetters: DeadLetter[] } {
  let batch: { agentId: string; spoolId: string; firstIndex: bigint; records: Uint8Array[]; indexSteps: number[] };
  try {
    batch = fromBinary(RecordBatchSchema, value);
  } catch (error) {
    return {
      records: [],
      deadLetters: [{ position: { offset, index: 0 }, code: 'BATCH_UNREADABLE', reason: errorText(error), value }],
    };
  }
  const records: DecodedRecord[] = [];
  const deadLetters: DeadLetter[] = [];
  for (const [index, encoded] of batch.records.entries()) {
    const position = { offset, index };
    const dead = (code: string, reason: string) => deadLetters.push({ position, code, reason, value: encoded });
    let message: SessionRecord;
    try {
      message = fromBinary(RecordSchema, encoded);
    } catch (error) {
      dead('RECORD_UNREADABLE', errorText(error));
      continue;
    }
    const { sessionId, atUnixUs } = message;
    if (sessionId === '' || sessionId.length > sessionIdLengthMax)
      dead('SESSION_ID_INVALID', `a session id of ${sessionId.length} characters`);
    else if (message.seq > Number.MAX_SAFE_INTEGER) dead('SEQ_INVALID', `sequence number ${message.seq}`);
    else if (atUnixUs < earliestAt || atUnixUs >= latestAt) dead('TIME_INVALID', `a time of ${atUnixUs} microseconds since 1970`);
    else {
      records.push({
        position,
        agentId: batch.agentId,
        spoolId: batch.spoolId,
        spoolIndex: batch.firstIndex + BigInt(batch.indexSteps[index] ?? index),
        sessionId,
        seq: Number(message.seq),
        at: atUnixUs,
        // A body of a kind that this version does not know is kept as it is: an agent may be newer than we are.
        type: typeNames[message.body.case ?? ''] ?? 'unknown',
        message,
        encoded,
      });
    }
  }
  return { records, deadLetters };
}

/** Reads back a record that was stored before. */
export function decodeStored(encoded: Uint8Array): SessionRecord {
  return fromBinary(RecordSchema, encoded);
}
