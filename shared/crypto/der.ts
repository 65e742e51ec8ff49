/**
 * DER (X.690) as far as time stamps need it: reads values without interpreting them, and writes a few. Strict: definite, shortest lengths
 * and one-byte tags only. Bytes of the results are views.
 */

export interface DerValue {
  /** The identifier octet, e.g. 0x30 for a SEQUENCE. */
  tag: number;
  contents: Uint8Array;
  /** With identifier and length. */
  whole: Uint8Array;
}

export const SEQUENCE = 0x30;
export const SET = 0x31;
export const INTEGER = 0x02;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const GENERALIZED_TIME = 0x18;
export const BOOLEAN = 0x01;

export class DerError extends Error {}

/** Reads the values that lie one after the other. @throws {DerError}. */
export function readAll(bytes: Uint8Array): DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const value = readAt(bytes, at);
    values.push(value);
    at += value.whole.length;
  }
  return values;
}

/** Reads one value that is all of the bytes. @throws {DerError}. */
export function readOne(bytes: Uint8Array, tag?: number): DerValue {
  const [value, more] = readAll(bytes);
  if (value === undefined || more !== undefined) throw new DerError('one value is needed');
  return tag === undefined ? value : expect(value, tag);
}

/** The values inside of a constructed one. @throws {DerError}. */
export function inside(value: DerValue | undefined, tag: number = SEQUENCE): DerValue[] {
  return readAll(expect(value, tag).contents);
}

/** @throws {DerError} when there is none, or it has another tag. */
export function expect(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag !== tag) throw new DerError(`tag ${tag.toString(16)} is needed, not ${value?.tag.toString(16) ?? 'nothing'}`);
  return value;
}

/** @throws {DerError}. */
export function objectIdentifier(value: DerValue | undefined): string {
  const { contents } = expect(value, OBJECT_IDENTIFIER);
  const parts: number[] = [];
  let part = 0;
  for (const byte of contents) {
    part = part * 128 + (byte & 0x7f);
    if (part > 2 ** 40) throw new DerError('an object identifier with a huge part');
    if (byte >= 128) continue;
    if (parts.length === 0) parts.push(Math.min(Math.floor(part / 40), 2), part - 40 * Math.min(Math.floor(part / 40), 2));
    else parts.push(part);
    part = 0;
  }
  return parts.join('.');
}

export function write(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, each) => sum + each.length, 0);
  const header = length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  const bytes = new Uint8Array(header.length + length);
  bytes.set(header);
  let at = header.length;
  for (const each of contents) {
    bytes.set(each, at);
    at += each.length;
  }
  return bytes;
}

function readAt(bytes: Uint8Array, start: number): DerValue {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new DerError('no value');
  let length = first;
  let at = start + 2;
  if (first >= 128) {
    const octets = first & 0x7f;
    if (octets < 1 || octets > 3) throw new DerError('an indefinite or huge length');
    length = 0;
    for (let each = 0; each < octets; each++) length = length * 256 + (bytes[at++] ?? Number.NaN);
    if (!(length >= 128) || (octets > 1 && length < 256 ** (octets - 1))) throw new DerError('a length that is not the shortest');
  }
  const end = at + length;
  if (!(end <= bytes.length)) throw new DerError('a value that is cut off');
  return { tag, contents: bytes.subarray(at, end), whole: bytes.subarray(start, end) };
}
