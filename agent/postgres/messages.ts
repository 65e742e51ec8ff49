/**
 * PostgreSQL frontend/backend protocol 3.0 and 3.2: the codec of every message that the agent reads or makes. Pure.
 *
 * A frame is: type byte, int32 length (itself included), payload; the startup packets have no type byte. Decoders take a
 * buffer and the payload's bounds, never copy bytes, and demand that the payload ends exactly where its last field does.
 * What is forwarded untouched never comes here: relay.ts moves it as views. Deliberately absent: sockets, state, policy, and the
 * walk over DataRow (rows.ts), which is done in place.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { ByteReader, ByteWriter } from '@sallyport/shared/wire/bytes.ts';

/** Type bytes of frontend messages (client to server). */
export const Frontend = {
  Bind: 0x42, // B
  Close: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyFail: 0x66, // f
  Describe: 0x44, // D
  Execute: 0x45, // E
  Flush: 0x48, // H
  FunctionCall: 0x46, // F
  Parse: 0x50, // P
  Password: 0x70, // p: PasswordMessage, SASLInitialResponse, SASLResponse
  Query: 0x51, // Q
  Sync: 0x53, // S
  Terminate: 0x58, // X
} as const;

/** Type bytes of backend messages (server to client). */
export const Backend = {
  Authentication: 0x52, // R
  BackendKeyData: 0x4b, // K
  BindComplete: 0x32, // 2
  CloseComplete: 0x33, // 3
  CommandComplete: 0x43, // C
  CopyBothResponse: 0x57, // W
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyInResponse: 0x47, // G
  CopyOutResponse: 0x48, // H
  DataRow: 0x44, // D
  EmptyQueryResponse: 0x49, // I
  ErrorResponse: 0x45, // E
  FunctionCallResponse: 0x56, // V
  NegotiateProtocolVersion: 0x76, // v
  NoData: 0x6e, // n
  NoticeResponse: 0x4e, // N
  NotificationResponse: 0x41, // A
  ParameterDescription: 0x74, // t
  ParameterStatus: 0x53, // S
  ParseComplete: 0x31, // 1
  PortalSuspended: 0x73, // s
  ReadyForQuery: 0x5a, // Z
  RowDescription: 0x54, // T
} as const;

/** Codes that stand where a startup packet has its protocol version. */
export const StartupCode = {
  CancelRequest: (1234 << 16) | 5678,
  SSLRequest: (1234 << 16) | 5679,
  GSSENCRequest: (1234 << 16) | 5680,
} as const;

/** `v3.0` and `v3.2` as StartupMessage carries them: major in the upper 16 bits. */
export const PROTOCOL_3_0 = 3 << 16;
export const PROTOCOL_3_2 = (3 << 16) | 2;

/** One field of ErrorResponse and NoticeResponse: a type letter and its text. */
export type ErrorField = readonly [code: string, text: string];

export interface FieldDescription {
  name: string;
  tableOid: number; // 0: not a plain column
  columnNumber: number; // attnum; 0: not a plain column
  typeOid: number;
  format: number; // 0 text, 1 binary
}

export interface ParseMessage {
  statement: string;
  /** Bounds of the query's text in the buffer, without the terminator. */
  textStart: number;
  textEnd: number;
  parameterTypes: number[];
}

export interface BindMessage {
  portal: string;
  statement: string;
  parameterFormats: number[];
  /** Bounds of each value in the buffer, start and end after each other; -1, -1 is NULL. */
  parameters: number[];
  resultFormats: number[];
}

function malformed(what: string): GatewayError {
  return new GatewayError('PG_MESSAGE_MALFORMED', 'protocol', `malformed PostgreSQL message: ${what}`);
}

// ---------------------------------------------------------------------------------------------------------------- frontend

export interface StartupMessage {
  version: number;
  /** In order of arrival; a repeated name keeps its last value, as in PostgreSQL. */
  parameters: Map<string, string>;
}

/**
 * Decodes a StartupMessage's payload (after the length).
 *
 * @throws {GatewayError} PG_STARTUP_MALFORMED when a string is not terminated, is not UTF-8 or bytes trail.
 */
export function decodeStartup(buffer: Buffer, start: number, end: number): StartupMessage {
  try {
    const reader = new ByteReader(buffer, start, end);
    const version = reader.int32();
    const parameters = new Map<string, string>();
    for (;;) {
      const name = reader.cstring();
      if (name === '') break;
      parameters.set(name, reader.cstring());
    }
    reader.finish();
    return { version, parameters };
  } catch (error) {
    throw new GatewayError('PG_STARTUP_MALFORMED', 'protocol', 'the startup packet is malformed', { cause: error });
  }
}

/** The text of Query: exactly one NUL, at the end. Returns the end of the text in the buffer. */
export function queryTextEnd(buffer: Buffer, start: number, end: number): number {
  if (end <= start || buffer.indexOf(0, start) !== end - 1) throw malformed('Query is not one terminated string');
  return end - 1;
}

export function decodeParse(buffer: Buffer, start: number, end: number): ParseMessage {
  const reader = new ByteReader(buffer, start, end);
  const statement = reader.cstring('latin1');
  const textStart = reader.at;
  const nul = buffer.indexOf(0, textStart);
  if (nul < 0 || nul >= end) throw malformed('Parse has no terminated text');
  reader.at = nul + 1;
  const parameterTypes = new Array<number>(reader.uint16());
  for (let i = 0; i < parameterTypes.length; i++) parameterTypes[i] = reader.uint32();
  reader.finish();
  return { statement, textStart, textEnd: nul, parameterTypes };
}

function formats(reader: ByteReader): number[] {
  const list = new Array<number>(reader.uint16());
  for (let i = 0; i < list.length; i++) {
    const format = reader.int16();
    if (format !== 0 && format !== 1) throw malformed(`format code ${format}`);
    list[i] = format;
  }
  return list;
}

export function decodeBind(buffer: Buffer, start: number, end: number): BindMessage {
  const reader = new ByteReader(buffer, start, end);
  const portal = reader.cstring('latin1');
  const statement = reader.cstring('latin1');
  const parameterFormats = formats(reader);
  const count = reader.uint16();
  const parameters = new Array<number>(count * 2);
  for (let i = 0; i < count; i++) {
    const length = reader.int32();
    if (length < -1) throw malformed('negative length of a parameter');
    if (length === -1) {
      parameters[2 * i] = -1;
      parameters[2 * i + 1] = -1;
    } else {
      parameters[2 * i] = reader.at;
      reader.bytes(length);
      parameters[2 * i + 1] = reader.at;
    }
  }
  const resultFormats = formats(reader);
  reader.finish();
  if (parameterFormats.length > 1 && parameterFormats.length !== count) throw malformed('number of parameter formats');
  return { portal, statement, parameterFormats, parameters, resultFormats };
}

/** Describe and Close: `S` statement or `P` portal, and its name. */
export function decodeTarget(buffer: Buffer, start: number, end: number): { kind: 'S' | 'P'; name: string } {
  const reader = new ByteReader(buffer, start, end);
  const kind = reader.uint8();
  if (kind !== 0x53 && kind !== 0x50) throw malformed('neither statement nor portal is named');
  const name = reader.cstring('latin1');
  reader.finish();
  return { kind: kind === 0x53 ? 'S' : 'P', name };
}

export function decodeExecute(buffer: Buffer, start: number, end: number): { portal: string; maxRows: number } {
  const reader = new ByteReader(buffer, start, end);
  const portal = reader.cstring('latin1');
  const maxRows = reader.int32();
  reader.finish();
  return { portal, maxRows };
}

/** PasswordMessage: one terminated string. */
export function decodePassword(buffer: Buffer, start: number, end: number): string {
  const reader = new ByteReader(buffer, start, end);
  const password = reader.cstring();
  reader.finish();
  return password;
}

function frame(type: number, write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter();
  writer.uint8(type).int32(0);
  write(writer);
  return writer.patchInt32(1, writer.length - 1).take();
}

function untyped(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter();
  writer.int32(0);
  write(writer);
  return writer.patchInt32(0, writer.length).take();
}

export function encodeStartup(version: number, parameters: Iterable<readonly [string, string]>): Buffer {
  return untyped(writer => {
    writer.int32(version);
    for (const [name, value] of parameters) writer.cstring(name).cstring(value);
    writer.uint8(0);
  });
}

export function encodeSSLRequest(): Buffer {
  return untyped(writer => writer.int32(StartupCode.SSLRequest));
}

export function encodeCancelRequest(pid: number, secret: Uint8Array): Buffer {
  return untyped(writer => writer.int32(StartupCode.CancelRequest).int32(pid).bytes(secret));
}

export function encodePassword(password: string): Buffer {
  return frame(Frontend.Password, writer => writer.cstring(password));
}

export function encodeSASLInitialResponse(mechanism: string, response: Uint8Array): Buffer {
  return frame(Frontend.Password, writer => writer.cstring(mechanism).int32(response.length).bytes(response));
}

export function encodeSASLResponse(response: Uint8Array): Buffer {
  return frame(Frontend.Password, writer => writer.bytes(response));
}

export function encodeQuery(text: string): Buffer {
  return frame(Frontend.Query, writer => writer.cstring(text));
}

/** Names are latin1 views of the client's bytes, so that they travel unchanged whatever the client's encoding. */
function name(writer: ByteWriter, text: string): ByteWriter {
  return writer.bytes(Buffer.from(text, 'latin1')).uint8(0);
}

export function encodeParse(statement: string, text: string): Buffer {
  return frame(Frontend.Parse, writer => name(writer, statement).cstring(text).int16(0));
}

/** Parse with another name. @param tail what follows the name in a Parse message: text and parameter types. */
export function encodeParseTail(statement: string, tail: Uint8Array): Buffer {
  return frame(Frontend.Parse, writer => name(writer, statement).bytes(tail));
}

/** Bind without parameters, with text results. */
export function encodeBind(portal: string, statement: string): Buffer {
  return frame(Frontend.Bind, writer => name(name(writer, portal), statement).int16(0).int16(0).int16(0));
}

/** Bind with parameters as text, with text results. */
export function encodeBindTexts(portal: string, statement: string, values: readonly (string | null)[]): Buffer {
  return frame(Frontend.Bind, writer => {
    name(name(writer, portal), statement).int16(0).int16(values.length);
    for (const value of values) {
      const bytes = value === null ? null : Buffer.from(value);
      writer.int32(bytes === null ? -1 : bytes.length);
      if (bytes !== null) writer.bytes(bytes);
    }
    writer.int16(0);
  });
}

/** Bind with other names. @param tail what follows the names in a Bind message: formats, parameters, result formats. */
export function encodeBindTail(portal: string, statement: string, tail: Uint8Array): Buffer {
  return frame(Frontend.Bind, writer => name(name(writer, portal), statement).bytes(tail));
}

/** What a Bind says behind its names, with all results as text. */
export function textResults(tail: Buffer): Buffer {
  const whole = Buffer.concat([Buffer.from([0, 0]), tail]);
  const { resultFormats } = decodeBind(whole, 0, whole.length);
  return Buffer.concat([tail.subarray(0, tail.length - 2 - 2 * resultFormats.length), Buffer.from([0, 0])]);
}

/** Parse that says which types its parameters have. */
export function encodeParseTyped(statement: string, text: string, types: readonly number[]): Buffer {
  return frame(Frontend.Parse, writer => {
    name(writer, statement).cstring(text).int16(types.length);
    for (const type of types) writer.int32(type | 0);
  });
}

export function encodeDescribe(kind: 'S' | 'P', target: string): Buffer {
  return frame(Frontend.Describe, writer => name(writer.uint8(kind.charCodeAt(0)), target));
}

export function encodeClose(kind: 'S' | 'P', target: string): Buffer {
  return frame(Frontend.Close, writer => name(writer.uint8(kind.charCodeAt(0)), target));
}

export function encodeExecute(portal: string, maxRows: number): Buffer {
  return frame(Frontend.Execute, writer => name(writer, portal).int32(maxRows));
}

export function encodeSync(): Buffer {
  return frame(Frontend.Sync, () => undefined);
}

export function encodeTerminate(): Buffer {
  return frame(Frontend.Terminate, () => undefined);
}

// ----------------------------------------------------------------------------------------------------------------- backend

export type AuthenticationRequest =
  | { kind: 'ok' }
  | { kind: 'cleartext' }
  | { kind: 'md5'; salt: Buffer }
  | { kind: 'sasl'; mechanisms: string[] }
  | { kind: 'saslContinue'; data: Buffer }
  | { kind: 'saslFinal'; data: Buffer }
  | { kind: 'unsupported'; code: number };

export function decodeAuthentication(buffer: Buffer, start: number, end: number): AuthenticationRequest {
  const reader = new ByteReader(buffer, start, end);
  const code = reader.int32();
  switch (code) {
    case 0:
      reader.finish();
      return { kind: 'ok' };
    case 3:
      reader.finish();
      return { kind: 'cleartext' };
    case 5: {
      const salt = reader.bytes(4);
      reader.finish();
      return { kind: 'md5', salt };
    }
    case 10: {
      const mechanisms: string[] = [];
      for (;;) {
        const mechanism = reader.cstring();
        if (mechanism === '') break;
        mechanisms.push(mechanism);
      }
      reader.finish();
      return { kind: 'sasl', mechanisms };
    }
    case 11:
      return { kind: 'saslContinue', data: reader.bytes(reader.remaining) };
    case 12:
      return { kind: 'saslFinal', data: reader.bytes(reader.remaining) };
    default:
      return { kind: 'unsupported', code };
  }
}

export function decodeRowDescription(buffer: Buffer, start: number, end: number): FieldDescription[] {
  const reader = new ByteReader(buffer, start, end);
  const fields = new Array<FieldDescription>(reader.uint16());
  for (let i = 0; i < fields.length; i++) {
    const name = reader.cstring();
    const tableOid = reader.uint32();
    const columnNumber = reader.int16();
    const typeOid = reader.uint32();
    reader.bytes(6); // type size and modifier
    const format = reader.int16();
    if (format !== 0 && format !== 1) throw malformed(`format code ${format}`);
    fields[i] = { name, tableOid, columnNumber, typeOid, format };
  }
  reader.finish();
  return fields;
}

/** ErrorResponse and NoticeResponse, in order of arrival. */
export function decodeErrorFields(buffer: Buffer, start: number, end: number): ErrorField[] {
  const reader = new ByteReader(buffer, start, end);
  const fields: ErrorField[] = [];
  for (;;) {
    const code = reader.uint8();
    if (code === 0) break;
    fields.push([String.fromCharCode(code), reader.cstring()]);
  }
  reader.finish();
  return fields;
}

export function errorField(fields: readonly ErrorField[], code: string): string {
  for (const field of fields) if (field[0] === code) return field[1];
  return '';
}

export function decodeParameterStatus(buffer: Buffer, start: number, end: number): { name: string; value: string } {
  const reader = new ByteReader(buffer, start, end);
  const status = { name: reader.cstring(), value: reader.cstring() };
  reader.finish();
  return status;
}

export function decodeBackendKeyData(buffer: Buffer, start: number, end: number): { pid: number; secret: Buffer } {
  const reader = new ByteReader(buffer, start, end);
  const pid = reader.int32();
  const secret = reader.bytes(reader.remaining);
  if (secret.length < 4 || secret.length > 256) throw malformed('length of a cancel key');
  return { pid, secret };
}

export function decodeNotification(buffer: Buffer, start: number, end: number): { pid: number; channel: string; payload: string } {
  const reader = new ByteReader(buffer, start, end);
  const notification = { pid: reader.int32(), channel: reader.cstring(), payload: reader.cstring() };
  reader.finish();
  return notification;
}

/** CopyInResponse, CopyOutResponse, CopyBothResponse. */
export function decodeCopyResponse(buffer: Buffer, start: number, end: number): { format: number; columnFormats: number[] } {
  const reader = new ByteReader(buffer, start, end);
  const format = reader.uint8();
  if (format !== 0 && format !== 1) throw malformed(`format code ${format}`);
  const columnFormats = formats(reader);
  reader.finish();
  return { format, columnFormats };
}

/** The tag of CommandComplete, e.g. `SELECT 3`. */
export function decodeCommandComplete(buffer: Buffer, start: number, end: number): string {
  const reader = new ByteReader(buffer, start, end);
  const tag = reader.cstring();
  reader.finish();
  return tag;
}

/** The values of a DataRow's body whose columns are text. */
export function decodeRowTexts(buffer: Buffer, start: number, end: number): (string | null)[] {
  const reader = new ByteReader(buffer, start, end);
  const values = new Array<string | null>(reader.uint16());
  for (let i = 0; i < values.length; i++) {
    const length = reader.int32();
    values[i] = length < 0 ? null : reader.bytes(length).toString('utf8');
  }
  reader.finish();
  return values;
}

/** ReadyForQuery's transaction status: `I` idle, `T` in a transaction, `E` in a failed one. */
export function decodeReadyForQuery(buffer: Buffer, start: number, end: number): 'I' | 'T' | 'E' {
  if (end - start !== 1) throw malformed('ReadyForQuery');
  const status = buffer[start];
  if (status === 0x49) return 'I';
  if (status === 0x54) return 'T';
  if (status === 0x45) return 'E';
  throw malformed('transaction status');
}

/** OIDs of the parameters' types, from a ParameterDescription's body. */
export function decodeParameterDescription(buffer: Buffer, start: number, end: number): number[] {
  const reader = new ByteReader(buffer, start, end);
  const types = new Array<number>(reader.uint16());
  for (let i = 0; i < types.length; i++) types[i] = reader.uint32();
  reader.finish();
  return types;
}

export function encodeErrorResponse(fields: readonly ErrorField[]): Buffer {
  return errorLike(Backend.ErrorResponse, fields);
}

export function encodeNoticeResponse(fields: readonly ErrorField[]): Buffer {
  return errorLike(Backend.NoticeResponse, fields);
}

function errorLike(type: number, fields: readonly ErrorField[]): Buffer {
  return frame(type, writer => {
    for (const [code, text] of fields) writer.uint8(code.charCodeAt(0)).cstring(text.includes('\0') ? text.replaceAll('\0', '') : text);
    writer.uint8(0);
  });
}

export function encodeAuthenticationOk(): Buffer {
  return frame(Backend.Authentication, writer => writer.int32(0));
}

export function encodeAuthenticationCleartextPassword(): Buffer {
  return frame(Backend.Authentication, writer => writer.int32(3));
}

export function encodeParameterStatus(parameter: string, value: string): Buffer {
  return frame(Backend.ParameterStatus, writer => writer.cstring(parameter).cstring(value));
}

export function encodeBackendKeyData(pid: number, secret: Uint8Array): Buffer {
  return frame(Backend.BackendKeyData, writer => writer.int32(pid).bytes(secret));
}

export function encodeReadyForQuery(status: 'I' | 'T' | 'E'): Buffer {
  return frame(Backend.ReadyForQuery, writer => writer.uint8(status.charCodeAt(0)));
}

/** @param newestMinor the newest minor version of protocol 3 that is served; @param options the `_pq_.` names that are not known. */
export function encodeNegotiateProtocolVersion(newestMinor: number, options: readonly string[]): Buffer {
  return frame(Backend.NegotiateProtocolVersion, writer => {
    writer.int32((3 << 16) | newestMinor).int32(options.length);
    for (const option of options) writer.cstring(option);
  });
}

export function encodeNotification(pid: number, channel: string, payload: string): Buffer {
  return frame(Backend.NotificationResponse, writer => writer.int32(pid).cstring(channel).cstring(payload));
}
