/**
 * Reads what the evidence rests on from the bytes of an encoded Record, without decoding the rest: a verifier reads a hundred
 * thousand records a second. What a record says is for the generated code to decode.
 *
 * Not here: hashing, and whether the chain holds (verify.ts).
 */

/** What is needed of a record. */
export interface RecordLink {
  sessionId: string;
  seq: number;
  atUnixUs: number;
  /** Empty when there is none. */
  previousHash: Uint8Array;
  /** Field number of the body; 0 when there is none. */
  body: number;
  /** Where the body's message lies in the bytes. */
  bodyStart: number;
  bodyEnd: number;
}

export const BODY_SESSION_STARTED = 10;
export const BODY_SESSION_REFUSED = 11;
export const BODY_SESSION_ENDED = 12;
export const BODY_GAP = 15;
export const BODY_CHECKPOINT = 19;

const BODY_FIRST = 10;
const BODY_LAST = 29;
const NONE = new Uint8Array(0);

let cursor = 0;

/** @returns -1 at the end of the bytes, or for a number that is not a safe integer. */
function varint(bytes: Uint8Array): number {
  const first = bytes[cursor];
  if (first !== undefined && first < 0x80) {
    cursor++;
    return first;
  }
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[cursor++];
    if (byte === undefined) return -1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : -1;
    scale *= 0x80;
  }
  return -1;
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

/**
 * @param text of the bytes of the session's id; where many records are read, what the platform has for that.
 * @returns null when the bytes are no Record. Byte fields are views.
 */
export function readRecordLink<Bytes extends Uint8Array>(
  bytes: Bytes,
  text: (bytes: Bytes, start: number, end: number) => string = ascii,
): RecordLink | null {
  const link: RecordLink = { sessionId: '', seq: 0, atUnixUs: 0, previousHash: NONE, body: 0, bodyStart: 0, bodyEnd: 0 };
  cursor = 0;
  while (cursor < bytes.length) {
    const tag = varint(bytes);
    const field = Math.floor(tag / 8);
    if (field < 1) return null;
    if (tag % 8 === 0) {
      const value = varint(bytes);
      if (value < 0) return null;
      if (field === 2) link.seq = value;
      else if (field === 3) link.atUnixUs = value;
    } else if (tag % 8 === 2) {
      const length = varint(bytes);
      const start = cursor;
      const end = start + length;
      if (length < 0 || end > bytes.length) return null;
      if (field === 1) link.sessionId = text(bytes, start, end);
      else if (field === 4) link.previousHash = bytes.subarray(start, end);
      else if (field >= BODY_FIRST && field <= BODY_LAST) {
        link.body = field;
        link.bodyStart = start;
        link.bodyEnd = end;
      }
      cursor = end;
    } else {
      return null;
    }
  }
  return link;
}

/**
 * Calls back with every field of the message in `bytes[start..end)`: a number for a varint, bytes for anything with a length.
 * @returns false when the bytes are no message.
 */
export function eachField(
  bytes: Uint8Array,
  start: number,
  end: number,
  take: (field: number, value: number, valueStart: number, valueEnd: number) => void,
): boolean {
  const within = end === bytes.length ? bytes : bytes.subarray(0, end);
  let position = start;
  while (position < end) {
    cursor = position;
    const tag = varint(within);
    const field = Math.floor(tag / 8);
    const wire = tag % 8;
    if (field < 1 || (wire !== 0 && wire !== 2)) return false;
    const value = varint(within);
    if (value < 0) return false;
    position = cursor;
    if (wire === 0) {
      take(field, value, position, position);
    } else {
      if (position + value > end) return false;
      take(field, 0, position, position + value);
      position += value;
    }
  }
  return true;
}
