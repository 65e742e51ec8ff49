/**
 * Encodes `sallyport.records.v1.Record` by hand, for the path that every command takes: one pass into a buffer that is reused,
 * no object per field, no second pass for lengths.
 *
 * The body is written first, behind room for the largest possible head; the head is then written in front of it, so that every
 * length is known when it is written and every varint has its shortest form.
 *
 * What does not change between runs of the same command (its text, facts, decision) is encoded once with `commandPart` and
 * appended as bytes: protobuf takes the fields of a message in any order. A singular field given in both places has the value
 * that was given per call, a repeated one has both.
 *
 * Not here: decoding (proto/gen does that), hashing, and any bound on the sizes of fields, which is the caller's to set.
 *
 * @see proto/sallyport/records/v1/records.proto
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';

/** What every record begins with. Numbers are safe integers, not negative. */
export interface RecordHead {
  sessionId: string;
  seq: number;
  atUnixUs: number;
  /** SHA-256 of the session's record before this one; absent at seq 0. */
  previousHash?: Uint8Array | undefined;
}

export type RecordedDecision = 'allow' | 'deny' | 'hold';
export type RecordedStatus = 'ok' | 'error' | 'refused' | 'cancelled' | 'aborted';

type Optional<T> = { [K in keyof T]?: T[K] | undefined };

export type CommandBody = Optional<{
  kind: string;
  text: string;
  textTruncated: boolean;
  fingerprint: string;
  statements: readonly string[];
  objects: readonly string[];
  columnsRead: readonly string[];
  parameters: readonly string[];
  decision: RecordedDecision;
  rule: string;
  reason: string;
  approvalId: string;
  approvers: readonly string[];
  policyVersion: number;
  inferences: readonly string[];
  textSha256: Uint8Array;
  preparedName: string;
  database: string;
  sealed: Uint8Array;
}>;

export type ResponseBody = Optional<{
  commandSeq: number;
  status: RecordedStatus;
  errorCode: string;
  errorText: string;
  tag: string;
  rows: number;
  bytes: number;
  maskedValues: number;
  dataClasses: readonly string[];
  durationUs: number;
  head: Uint8Array;
  headTruncated: boolean;
  sha256: Uint8Array;
  columns: readonly string[];
  heldUs: number;
  approvers: readonly string[];
  sealed: Uint8Array;
}>;

export type SessionStartedBody = Optional<{
  resource: string;
  protocol: string;
  principal: Principal;
  agent: string;
  clientAddress: string;
  role: string;
  policyVersion: number;
  client: Readonly<Record<string, string>>;
  tokenId: string;
  durability: string;
  accessApprovalId: string;
  accessApprovers: readonly string[];
  contentKey: Uint8Array;
  contentKeyId: string;
}>;

export type SessionRefusedBody = Optional<{
  resource: string;
  protocol: string;
  agent: string;
  clientAddress: string;
  code: string;
  reason: string;
  principal: Principal;
  client: Readonly<Record<string, string>>;
  told: string;
}>;

export type SessionEndedBody = Optional<{
  reason: string;
  commands: number;
  bytesToClient: number;
  bytesToUpstream: number;
  errorCode: string;
}>;

export type GapBody = Optional<{ fromSeq: number; toSeq: number; reason: string }>;

export type CancelRequestedBody = Optional<{ commandSeq: number; by: 'client' | 'console' | 'policy' }>;

export type ApprovalNotedBody = Optional<{
  approvalId: string;
  state: 'requested' | 'approved' | 'denied' | 'expired' | 'withdrawn';
  by: readonly string[];
  reason: string;
  commandSeq: number;
}>;

export type OutputChunkBody = Optional<{ commandSeq: number; offset: number; data: Uint8Array; stream: string; sealed: Uint8Array }>;

/** Room in front of the body: session id of 64 bytes, two varints of 8, a hash of 64, the body's tag and length; rounded up. */
const HEAD_ROOM = 192;
const SESSION_ID_MAX = 64;
const HASH_MAX = 64;
/** Below this length a loop over char codes beats the call into C++. */
const LOOP_MAX = 48;
/** A buffer that one huge record made grow is not kept. */
const KEEP_MAX = 1024 * 1024;

const FIELD_SESSION_STARTED = 10;
const FIELD_SESSION_REFUSED = 11;
const FIELD_SESSION_ENDED = 12;
const FIELD_COMMAND = 13;
const FIELD_RESPONSE = 14;
const FIELD_GAP = 15;
const FIELD_CANCEL_REQUESTED = 16;
const FIELD_APPROVAL_NOTED = 17;
const FIELD_OUTPUT_CHUNK = 18;

const WIRE_VARINT = 0;
const WIRE_LENGTH = 2;

let buffer: Buffer = Buffer.allocUnsafeSlow(16 * 1024);
let at = 0;

function ensure(bytes: number): void {
  if (at + bytes <= buffer.length) return;
  const grown = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, at + bytes));
  buffer.copy(grown, 0, 0, at);
  buffer = grown;
}

function begin(): void {
  if (buffer.length > KEEP_MAX) buffer = Buffer.allocUnsafeSlow(16 * 1024);
  at = HEAD_ROOM;
}

function varintSize(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    size++;
  }
  return size;
}

/** Writes at `at`; there must be room for 8 bytes. */
function varint(value: number): void {
  while (value >= 0x80000000) {
    buffer[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  while (value >= 0x80) {
    buffer[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  buffer[at++] = value;
}

function tag(field: number, wire: number): void {
  varint((field << 3) | wire);
}

function number(field: number, value: number | undefined): void {
  if (value === undefined || value === 0) return;
  if (value < 0 || !Number.isSafeInteger(value)) {
    throw new GatewayError('RECORD_FIELD_RANGE', 'internal', `field ${field} of a record is ${value}, which is no unsigned safe integer`);
  }
  ensure(12);
  tag(field, WIRE_VARINT);
  varint(value);
}

function flag(field: number, value: boolean | undefined): void {
  if (value === true) number(field, 1);
}

function bytes(field: number, value: Uint8Array | undefined): void {
  if (value === undefined || value.length === 0) return;
  ensure(value.length + 12);
  tag(field, WIRE_LENGTH);
  varint(value.length);
  buffer.set(value, at);
  at += value.length;
}

/** Writes one string field, empty or not. */
function element(field: number, value: string): void {
  const length = value.length;
  ensure(length * 3 + 12);
  tag(field, WIRE_LENGTH);
  // The length's varint comes first, and its size follows from the byte length: assume ASCII, and move the text if that was wrong.
  const lengthAt = at;
  const lengthSize = varintSize(length);
  const textAt = lengthAt + lengthSize;
  let written = 0;
  if (length < LOOP_MAX) {
    while (written < length) {
      const code = value.charCodeAt(written);
      if (code >= 0x80) break;
      buffer[textAt + written++] = code;
    }
  }
  if (written < length) written = buffer.write(value, textAt, length * 3, 'utf8');
  const actualSize = varintSize(written);
  if (actualSize !== lengthSize) buffer.copyWithin(lengthAt + actualSize, textAt, textAt + written);
  varint(written);
  at = lengthAt + actualSize + written;
}

function text(field: number, value: string | undefined): void {
  if (value !== undefined && value !== '') element(field, value);
}

function list(field: number, values: readonly string[] | undefined): void {
  if (values === undefined) return;
  for (let i = 0; i < values.length; i++) element(field, values[i] ?? '');
}

/** Writes a sub-message whose length is not known beforehand. */
function nested(field: number, write: () => void): void {
  ensure(16);
  tag(field, WIRE_LENGTH);
  const lengthAt = at;
  at = lengthAt + 1;
  write();
  const length = at - lengthAt - 1;
  const size = varintSize(length);
  if (size > 1) {
    ensure(size);
    buffer.copyWithin(lengthAt + size, lengthAt + 1, at);
  }
  at = lengthAt;
  varint(length);
  at += length;
}

function map(field: number, entries: Readonly<Record<string, string>> | undefined): void {
  if (entries === undefined) return;
  for (const [key, value] of Object.entries(entries)) {
    nested(field, () => {
      element(1, key);
      element(2, value);
    });
  }
}

function principal(field: number, value: Principal | undefined): void {
  if (value === undefined) return;
  nested(field, () => {
    number(1, value.kind === 'person' ? 1 : 2);
    text(2, value.name);
    text(3, value.issuer);
    text(4, value.subject);
    list(5, value.groups);
    list(6, value.delegation);
  });
}

/** Puts the head in front of the body that lies at HEAD_ROOM..at. */
function finish(head: RecordHead, field: number): Uint8Array {
  const bodyLength = at - HEAD_ROOM;
  const id = head.sessionId;
  const hash = head.previousHash;
  if (id.length > SESSION_ID_MAX || (hash !== undefined && hash.length > HASH_MAX)) {
    throw new GatewayError('RECORD_HEAD_TOO_LARGE', 'internal', 'a session id or hash is longer than a record may hold');
  }
  if (!(head.seq >= 0 && Number.isSafeInteger(head.seq) && head.atUnixUs >= 0 && Number.isSafeInteger(head.atUnixUs))) {
    throw new GatewayError('RECORD_FIELD_RANGE', 'internal', `seq ${head.seq} or time ${head.atUnixUs} is no unsigned safe integer`);
  }
  let size = 2 + id.length + (field >= 16 ? 2 : 1) + varintSize(bodyLength);
  if (head.seq !== 0) size += 1 + varintSize(head.seq);
  if (head.atUnixUs !== 0) size += 1 + varintSize(head.atUnixUs);
  if (hash !== undefined && hash.length > 0) size += 2 + hash.length;

  const start = HEAD_ROOM - size;
  at = start;
  buffer[at++] = (1 << 3) | WIRE_LENGTH;
  buffer[at++] = id.length;
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    if (code >= 0x80) throw new GatewayError('RECORD_HEAD_NOT_ASCII', 'internal', 'a session id is not ASCII');
    buffer[at++] = code;
  }
  if (head.seq !== 0) {
    buffer[at++] = (2 << 3) | WIRE_VARINT;
    varint(head.seq);
  }
  if (head.atUnixUs !== 0) {
    buffer[at++] = (3 << 3) | WIRE_VARINT;
    varint(head.atUnixUs);
  }
  if (hash !== undefined && hash.length > 0) {
    buffer[at++] = (4 << 3) | WIRE_LENGTH;
    buffer[at++] = hash.length;
    buffer.set(hash, at);
    at += hash.length;
  }
  tag(field, WIRE_LENGTH);
  varint(bodyLength);
  // A plain Uint8Array: `slice` of a Buffer would give the caller a view where a copy is expected.
  return new Uint8Array(buffer.buffer, buffer.byteOffset + start, size + bodyLength);
}

function part(bytesOfPart: Uint8Array | undefined): void {
  if (bytesOfPart === undefined || bytesOfPart.length === 0) return;
  ensure(bytesOfPart.length);
  buffer.set(bytesOfPart, at);
  at += bytesOfPart.length;
}

function writeCommand(body: CommandBody): void {
  text(1, body.kind);
  text(2, body.text);
  flag(3, body.textTruncated);
  text(4, body.fingerprint);
  list(5, body.statements);
  list(6, body.objects);
  list(7, body.columnsRead);
  list(8, body.parameters);
  if (body.decision !== undefined) number(9, body.decision === 'allow' ? 1 : body.decision === 'deny' ? 2 : 3);
  text(10, body.rule);
  text(11, body.reason);
  text(12, body.approvalId);
  list(13, body.approvers);
  number(14, body.policyVersion);
  list(15, body.inferences);
  bytes(16, body.textSha256);
  text(17, body.preparedName);
  text(18, body.database);
  bytes(19, body.sealed);
}

const STATUS: Readonly<Record<RecordedStatus, number>> = { ok: 1, error: 2, refused: 3, cancelled: 4, aborted: 5 };

function writeResponse(body: ResponseBody): void {
  number(1, body.commandSeq);
  if (body.status !== undefined) number(2, STATUS[body.status]);
  text(3, body.errorCode);
  text(4, body.errorText);
  text(5, body.tag);
  number(6, body.rows);
  number(7, body.bytes);
  number(8, body.maskedValues);
  list(9, body.dataClasses);
  number(10, body.durationUs);
  bytes(11, body.head);
  flag(12, body.headTruncated);
  bytes(13, body.sha256);
  list(14, body.columns);
  number(15, body.heldUs);
  list(16, body.approvers);
  bytes(17, body.sealed);
}

function copyOfBody(): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset + HEAD_ROOM, at - HEAD_ROOM).slice();
}

/**
 * Encodes the fields of a Command that stay the same from run to run, for `encodeCommand`'s `part`.
 * @returns bytes of the caller's own.
 */
export function commandPart(body: CommandBody): Uint8Array {
  begin();
  writeCommand(body);
  return copyOfBody();
}

/** The same for a Response (its columns and data classes, say). */
export function responsePart(body: ResponseBody): Uint8Array {
  begin();
  writeResponse(body);
  return copyOfBody();
}

/**
 * Encodes one record with a Command.
 *
 * @param fixed what `commandPart` made; `body`'s fields are added to it and win over it.
 * @returns a view into a buffer that this thread's next call of any function of this file overwrites: hand it to
 *   `RecordSink.append`, which copies it, before anything else is encoded.
 * @throws {GatewayError} RECORD_FIELD_RANGE, RECORD_HEAD_TOO_LARGE, RECORD_HEAD_NOT_ASCII: a fault in the caller.
 */
export function encodeCommand(head: RecordHead, body: CommandBody, fixed?: Uint8Array): Uint8Array {
  begin();
  part(fixed);
  writeCommand(body);
  return finish(head, FIELD_COMMAND);
}

/** Encodes one record with a Response; everything as in `encodeCommand`. */
export function encodeResponse(head: RecordHead, body: ResponseBody, fixed?: Uint8Array): Uint8Array {
  begin();
  part(fixed);
  writeResponse(body);
  return finish(head, FIELD_RESPONSE);
}

export function encodeSessionStarted(head: RecordHead, body: SessionStartedBody): Uint8Array {
  begin();
  text(1, body.resource);
  text(2, body.protocol);
  principal(3, body.principal);
  text(4, body.agent);
  text(5, body.clientAddress);
  text(6, body.role);
  number(7, body.policyVersion);
  map(8, body.client);
  text(9, body.tokenId);
  text(10, body.durability);
  text(11, body.accessApprovalId);
  list(12, body.accessApprovers);
  bytes(13, body.contentKey);
  text(14, body.contentKeyId);
  return finish(head, FIELD_SESSION_STARTED);
}

export function encodeSessionRefused(head: RecordHead, body: SessionRefusedBody): Uint8Array {
  begin();
  text(1, body.resource);
  text(2, body.protocol);
  text(3, body.agent);
  text(4, body.clientAddress);
  text(5, body.code);
  text(6, body.reason);
  principal(7, body.principal);
  map(8, body.client);
  text(9, body.told);
  return finish(head, FIELD_SESSION_REFUSED);
}

export function encodeSessionEnded(head: RecordHead, body: SessionEndedBody): Uint8Array {
  begin();
  text(1, body.reason);
  number(2, body.commands);
  number(3, body.bytesToClient);
  number(4, body.bytesToUpstream);
  text(5, body.errorCode);
  return finish(head, FIELD_SESSION_ENDED);
}

export function encodeGap(head: RecordHead, body: GapBody): Uint8Array {
  begin();
  number(1, body.fromSeq);
  number(2, body.toSeq);
  text(3, body.reason);
  return finish(head, FIELD_GAP);
}

export function encodeCancelRequested(head: RecordHead, body: CancelRequestedBody): Uint8Array {
  begin();
  number(1, body.commandSeq);
  text(2, body.by);
  return finish(head, FIELD_CANCEL_REQUESTED);
}

export function encodeApprovalNoted(head: RecordHead, body: ApprovalNotedBody): Uint8Array {
  begin();
  text(1, body.approvalId);
  text(2, body.state);
  list(3, body.by);
  text(4, body.reason);
  number(5, body.commandSeq);
  return finish(head, FIELD_APPROVAL_NOTED);
}

export function encodeOutputChunk(head: RecordHead, body: OutputChunkBody): Uint8Array {
  begin();
  writeOutputChunk(body);
  return finish(head, FIELD_OUTPUT_CHUNK);
}

/** Some fields of an OutputChunk; a copy. */
export function outputChunkPart(body: OutputChunkBody): Uint8Array {
  begin();
  writeOutputChunk(body);
  return copyOfBody();
}

function writeOutputChunk(body: OutputChunkBody): void {
  number(1, body.commandSeq);
  number(2, body.offset);
  bytes(3, body.data);
  text(4, body.stream);
  bytes(5, body.sealed);
}

/** A record whose body is encoded already, under its field number; for what is written too seldom to be encoded by hand. */
export function encodeRecordWithBody(head: RecordHead, field: number, body: Uint8Array): Uint8Array {
  begin();
  part(body);
  return finish(head, field);
}
