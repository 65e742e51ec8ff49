/**
 * Values inside of values: bytea in hex, JSON escapes, percent-encoding, XML character references. A copy without the escapes is
 * scanned, and its findings are mapped back to the bytes that they were written with.
 *
 * One level is decoded. Base64 is not: known credentials have base64 forms of their own, and everything else would be a guess.
 */
import { CLASS, HEX_LOWER, HEX_UPPER } from './bytes.ts';

/** Bytes without escapes, and for each of them (and the end) where it stood. */
export interface Decoded {
  bytes: Uint8Array;
  length: number;
  /** offsets[i] is the source position of byte i; offsets[length] the source's end. */
  offsets: Uint32Array;
}

export const ESCAPE_JSON = 1;
export const ESCAPE_PERCENT = 2;
export const ESCAPE_XML = 4;

/** Literals that make decoding worth while, and what they ask for. */
export const ESCAPE_MARKS: readonly { literal: string; kind: number }[] = [
  { literal: '\\u00', kind: ESCAPE_JSON },
  { literal: ':\\/', kind: ESCAPE_JSON },
  ...['%40', '%20', '%2d', '%2D', '%3a', '%3A', '%2b', '%2B', '%3d', '%3D'].map(literal => ({ literal, kind: ESCAPE_PERCENT })),
  { literal: '&#6', kind: ESCAPE_XML },
  { literal: '&#4', kind: ESCAPE_XML },
  { literal: '&#5', kind: ESCAPE_XML },
  { literal: '&#x', kind: ESCAPE_XML },
  { literal: '&commat;', kind: ESCAPE_XML },
  { literal: '&amp;', kind: ESCAPE_XML },
  { literal: '&quot;', kind: ESCAPE_XML },
];

function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

const ENTITIES: readonly [string, number][] = [
  ['amp;', 38],
  ['lt;', 60],
  ['gt;', 62],
  ['quot;', 34],
  ['apos;', 39],
  ['commat;', 64],
];

/** Bytes [start, end) with the escapes of the given kinds resolved; those that stand for more than ASCII stay as they are. */
export function decodeEscapes(bytes: Uint8Array, start: number, end: number, kinds: number): Decoded {
  const result = new Uint8Array(end - start);
  const offsets = new Uint32Array(end - start + 1);
  let length = 0;
  let i = start;
  while (i < end) {
    const byte = bytes[i] as number;
    let value = byte;
    let width = 1;
    if (byte === 92 && (kinds & ESCAPE_JSON) !== 0) [value, width] = jsonEscape(bytes, i, end);
    else if (byte === 37 && (kinds & ESCAPE_PERCENT) !== 0 && i + 2 < end) {
      const high = hexValue(bytes[i + 1] as number);
      const low = hexValue(bytes[i + 2] as number);
      if (high >= 0 && low >= 0) [value, width] = [high * 16 + low, 3];
    } else if (byte === 38 && (kinds & ESCAPE_XML) !== 0) [value, width] = xmlReference(bytes, i, end);
    offsets[length] = i;
    result[length++] = value;
    i += width;
  }
  offsets[length] = end;
  return { bytes: result, length, offsets };
}

function jsonEscape(bytes: Uint8Array, at: number, end: number): [number, number] {
  const next = bytes[at + 1] as number;
  if (at + 1 >= end) return [92, 1];
  if (next === 117 && at + 5 < end) {
    let value = 0;
    for (let k = 2; k < 6; k++) {
      const digit = hexValue(bytes[at + k] as number);
      if (digit < 0) return [92, 1];
      value = value * 16 + digit;
    }
    return value < 128 ? [value, 6] : [92, 1];
  }
  const at2 = '"\\/nrt'.indexOf(String.fromCharCode(next));
  return at2 < 0 ? [92, 1] : ['"\\/\n\r\t'.charCodeAt(at2), 2];
}

function xmlReference(bytes: Uint8Array, at: number, end: number): [number, number] {
  if (bytes[at + 1] === 35) {
    const isHex = ((bytes[at + 2] as number) | 32) === 120;
    let value = 0;
    for (let i = at + (isHex ? 3 : 2); i < end && i < at + 10; i++) {
      const byte = bytes[i] as number;
      if (byte === 59) return value > 0 && value < 128 ? [value, i + 1 - at] : [38, 1];
      const digit = hexValue(byte);
      if (digit < 0 || (!isHex && digit > 9)) return [38, 1];
      value = value * (isHex ? 16 : 10) + digit;
    }
    return [38, 1];
  }
  for (const [name, value] of ENTITIES) {
    let k = 0;
    while (k < name.length && at + 1 + k < end && bytes[at + 1 + k] === name.charCodeAt(k)) k++;
    if (k === name.length) return [value, name.length + 1];
  }
  return [38, 1];
}

/** The run of hex digits from `at` on as bytes; undefined when it is shorter than eight bytes. */
export function decodeHex(bytes: Uint8Array, at: number, end: number): Decoded | undefined {
  let stop = at;
  while (stop < end && ((CLASS[bytes[stop] as number] as number) & (HEX_LOWER | HEX_UPPER)) !== 0) stop++;
  const length = (stop - at) >>> 1;
  if (length < 8) return undefined;
  const result = new Uint8Array(length);
  const offsets = new Uint32Array(length + 1);
  for (let i = 0; i < length; i++) {
    result[i] = hexValue(bytes[at + 2 * i] as number) * 16 + hexValue(bytes[at + 2 * i + 1] as number);
    offsets[i] = at + 2 * i;
  }
  offsets[length] = at + 2 * length;
  return { bytes: result, length, offsets };
}
