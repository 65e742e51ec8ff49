/**
 * From an entry of `sallyport.records` to its records, or to the reason why it cannot be read. Pure.
 *
 * Whatever an agent may have written, this returns: what cannot be read becomes a dead letter with its bytes, and the next is read.
 * Commands and responses, nearly all there is, are looked through in place and made an object of only when somebody asks for one.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CommandSchema,
  RecordBatchSchema,
  RecordSchema,
  ResponseSchema,
  type Record as SessionRecord,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';
import { COMMAND, RESPONSE } from './command-fields.ts';
import { Holds, shapeOf, WireFields } from './wire-fields.ts';

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

/** What a record has, whatever its body is. */
interface Envelope {
  sessionId: string;
  seq: number;
  /** Microseconds since 1970. */
  at: bigint;
  type: RecordType;
  /** Empty when there is none. */
  previousHash: Uint8Array;
}

/** The encoded message in a record: of a Command or a Response exactly the fields that we know, so that they can be read in place. */
export interface EncodedBody {
  bytes: Uint8Array;
  start: number;
  end: number;
}

export class DecodedRecord implements Envelope {
  readonly position: LogPosition;
  readonly agentId: string;
  readonly spoolId: string;
  readonly spoolIndex: bigint;
  readonly sessionId: string;
  readonly seq: number;
  readonly at: bigint;
  readonly type: RecordType;
  readonly previousHash: Uint8Array;
  /** As the agent wrote it; a view into the entry. */
  readonly encoded: Uint8Array;
  /** Of commands and responses; null for all others. */
  readonly body: EncodedBody | null;
  readonly #message: SessionRecord | null;

  constructor(
    place: Pick<DecodedRecord, 'position' | 'agentId' | 'spoolId' | 'spoolIndex' | 'encoded'>,
    envelope: Envelope,
    content: { body: EncodedBody; message: null } | { body: EncodedBody | null; message: SessionRecord },
  ) {
    this.position = place.position;
    this.agentId = place.agentId;
    this.spoolId = place.spoolId;
    this.spoolIndex = place.spoolIndex;
    this.encoded = place.encoded;
    this.sessionId = envelope.sessionId;
    this.seq = envelope.seq;
    this.at = envelope.at;
    this.type = envelope.type;
    this.previousHash = envelope.previousHash;
    this.body = content.body;
    this.#message = content.message;
  }

  /** All of it, as an object; of commands and responses made anew at each call. */
  get message(): SessionRecord {
    return this.#message ?? fromBinary(RecordSchema, this.encoded);
  }
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

const SESSION_ID = 1;
const SEQ = 2;
const AT = 3;
const PREVIOUS_HASH = 4;
const COMMAND_BODY = 13;
const RESPONSE_BODY = 14;
const ENVELOPE = shapeOf({
  [SESSION_ID]: Holds.text,
  [SEQ]: Holds.number,
  [AT]: Holds.number,
  [PREVIOUS_HASH]: Holds.bytes,
  [COMMAND_BODY]: Holds.bytes,
  [RESPONSE_BODY]: Holds.bytes,
});
const fields = new WireFields();

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
  const { agentId, spoolId, firstIndex, indexSteps } = batch;
  const records: DecodedRecord[] = [];
  const deadLetters: DeadLetter[] = [];
  for (const [index, encoded] of batch.records.entries()) {
    const position = { offset, index };
    const dead = (code: string, reason: string) => deadLetters.push({ position, code, reason, value: encoded });
    let read: Decoded;
    try {
      read = inPlace(encoded) ?? decoded(encoded);
    } catch (error) {
      dead('RECORD_UNREADABLE', errorText(error));
      continue;
    }
    const { sessionId, seq, at } = read.envelope;
    if (sessionId === '' || sessionId.length > sessionIdLengthMax)
      dead('SESSION_ID_INVALID', `a session id of ${sessionId.length} characters`);
    else if (!Number.isSafeInteger(seq)) dead('SEQ_INVALID', `sequence number ${seq}`);
    else if (at < earliestAt || at >= latestAt) dead('TIME_INVALID', `a time of ${at} microseconds since 1970`);
    else {
      const spoolIndex = firstIndex + BigInt(indexSteps[index] ?? index);
      records.push(new DecodedRecord({ position, agentId, spoolId, spoolIndex, encoded }, read.envelope, read.content));
    }
  }
  return { records, deadLetters };
}

interface Decoded {
  envelope: Envelope;
  content: { body: EncodedBody; message: null } | { body: EncodedBody | null; message: SessionRecord };
}

/** A command or a response without anything unusual; null: anything else. */
function inPlace(encoded: Uint8Array): Decoded | null {
  if (!fields.read(encoded, 0, encoded.length, ENVELOPE)) return null;
  const isCommand = fields.counts[COMMAND_BODY] === 1;
  // Twice, or both: what then counts is the generated code's to say.
  if ((fields.counts[COMMAND_BODY] as number) + (fields.counts[RESPONSE_BODY] as number) !== 1) return null;
  const bodyField = isCommand ? COMMAND_BODY : RESPONSE_BODY;
  const start = fields.starts[bodyField] as number;
  const end = fields.ends[bodyField] as number;
  const envelope: Envelope = {
    sessionId: text(fields.slice(SESSION_ID)),
    seq: fields.number(SEQ),
    at: fields.signed(AT),
    type: isCommand ? 'command' : 'response',
    previousHash: fields.slice(PREVIOUS_HASH),
  };
  if (!fields.read(encoded, start, end, isCommand ? COMMAND : RESPONSE)) return null;
  return { envelope, content: { body: { bytes: encoded, start, end }, message: null } };
}

/** @throws what the generated code throws at bytes that are no record. */
function decoded(encoded: Uint8Array): Decoded {
  const message = fromBinary(RecordSchema, encoded);
  const { body } = message;
  const envelope: Envelope = {
    sessionId: message.sessionId,
    seq: Number(message.seq),
    at: message.atUnixUs,
    // A body of a kind that this version does not know is kept as it is: an agent may be newer than we are.
    type: typeNames[body.case ?? ''] ?? 'unknown',
    previousHash: message.previousHash,
  };
  return { envelope, content: { message, body: encodedBody(message) } };
}

/** What a command or response says in the fields that we know; null for other records. */
export function encodedBody({ body }: SessionRecord): EncodedBody | null {
  if (body.case !== 'command' && body.case !== 'response') return null;
  const bytes =
    body.case === 'command'
      ? toBinary(CommandSchema, create(CommandSchema, body.value), { writeUnknownFields: false })
      : toBinary(ResponseSchema, create(ResponseSchema, body.value), { writeUnknownFields: false });
  return { bytes, start: 0, end: bytes.length };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}

/** Reads back a record that was stored before. */
export function decodeStored(encoded: Uint8Array): SessionRecord {
  return fromBinary(RecordSchema, encoded);
}
