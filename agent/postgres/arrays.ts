/**
 * Arrays as the server writes them, element by element, so that each is judged as the value that it is and not by what the array
 * puts around it. An array that is not of the form is told so, and nothing is guessed.
 *
 * @see https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO; the binary form is array_send() in arrayfuncs.c
 */
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';

/** What becomes of an element: undefined to leave it; null for NULL. */
export type ChangeElement = (bytes: Buffer, start: number, end: number) => Uint8Array | null | undefined;

const OPEN = 0x7b;
const CLOSE = 0x7d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NULL = Buffer.from('NULL');

/**
 * @param delimiter between elements; `,` for all types but box.
 * @returns the array with its changed elements; null when nothing was changed; undefined when it is no array.
 */
export function changeTextArray(
  bytes: Buffer,
  start: number,
  end: number,
  change: ChangeElement,
  delimiter = 0x2c,
): Buffer | null | undefined {
  let at = start;
  // Bounds that are not the usual ones stand in front: [2:3]={a,b}.
  if (bytes[at] === 0x5b) {
    at = bytes.indexOf(OPEN, at);
    if (at < 0 || at >= end || bytes[at - 1] !== 0x3d) return undefined;
  }
  if (bytes[at] !== OPEN) return undefined;
  const pieces: Uint8Array[] = [];
  let copied = start;
  let depth = 0;
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte === OPEN) {
      depth++;
      at++;
    } else if (byte === CLOSE) {
      depth--;
      at++;
      if (depth === 0) break;
      if (depth < 0) return undefined;
    } else if (byte === delimiter) at++;
    else {
      const elementEnd = byte === QUOTE ? quotedEnd(bytes, at + 1, end) : plainEnd(bytes, at, end, delimiter);
      if (elementEnd < 0) return undefined;
      const changed = changeElement(bytes, at, elementEnd, change);
      if (changed !== undefined) {
        pieces.push(bytes.subarray(copied, at), changed);
        copied = elementEnd;
      }
      at = elementEnd;
    }
  }
  if (depth !== 0 || at !== end) return undefined;
  return pieces.length === 0 ? null : Buffer.concat([...pieces, bytes.subarray(copied, end)]);
}

function changeElement(bytes: Buffer, start: number, end: number, change: ChangeElement): Uint8Array | undefined {
  const quoted = bytes[start] === QUOTE;
  if (!quoted && end - start === 4 && bytes.toString('latin1', start, end) === 'NULL') return undefined;
  const value = quoted ? unescaped(bytes, start + 1, end - 1) : null;
  const changed = value === null ? change(bytes, start, end) : change(value, 0, value.length);
  if (changed === undefined) return undefined;
  return changed === null ? NULL : escaped(changed);
}

/** @returns behind the closing quote; -1: there is none. */
function quotedEnd(bytes: Buffer, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    if (bytes[at] === BACKSLASH) at++;
    else if (bytes[at] === QUOTE) return at + 1;
  }
  return -1;
}

function plainEnd(bytes: Buffer, from: number, end: number, delimiter: number): number {
  for (let at = from; at < end; at++) if (bytes[at] === delimiter || bytes[at] === CLOSE) return at;
  return -1;
}

function unescaped(bytes: Buffer, start: number, end: number): Buffer {
  if (!bytes.subarray(start, end).includes(BACKSLASH)) return bytes.subarray(start, end);
  const value = Buffer.allocUnsafe(end - start);
  let length = 0;
  for (let at = start; at < end; at++) {
    if (bytes[at] === BACKSLASH) at++;
    value[length++] = bytes[at] as number;
  }
  return value.subarray(0, length);
}

function escaped(value: Uint8Array): Buffer {
  const out: number[] = [QUOTE];
  for (const byte of value) {
    if (byte === QUOTE || byte === BACKSLASH) out.push(BACKSLASH);
    out.push(byte);
  }
  out.push(QUOTE);
  return Buffer.from(out);
}

const DIMENSIONS_MAX = 6; // MAXDIM

/** The same for the binary form. */
export function changeBinaryArray(bytes: Buffer, start: number, end: number, change: ChangeElement): Buffer | null | undefined {
  if (end - start < 12) return undefined;
  const dimensions = readInt32(bytes, start);
  if (dimensions < 0 || dimensions > DIMENSIONS_MAX || end - start < 12 + 8 * dimensions) return undefined;
  let elements = dimensions === 0 ? 0 : 1;
  for (let i = 0; i < dimensions; i++) elements *= readInt32(bytes, start + 12 + 8 * i);
  const pieces: Uint8Array[] = [];
  let copied = start;
  let madeNull = false;
  let at = start + 12 + 8 * dimensions;
  for (let i = 0; i < elements; i++) {
    if (end - at < 4) return undefined;
    const length = readInt32(bytes, at);
    const from = at + 4;
    if (length < -1 || from + Math.max(0, length) > end) return undefined;
    if (length >= 0) {
      const changed = change(bytes, from, from + length);
      if (changed !== undefined) {
        const head = Buffer.allocUnsafe(4);
        head.writeInt32BE(changed === null ? -1 : changed.length);
        pieces.push(bytes.subarray(copied, at), head, ...(changed === null ? [] : [changed]));
        copied = from + length;
        madeNull ||= changed === null;
      }
    }
    at = from + Math.max(0, length);
  }
  if (at !== end) return undefined;
  if (pieces.length === 0) return null;
  const whole = Buffer.concat([...pieces, bytes.subarray(copied, end)]);
  if (madeNull) whole.writeInt32BE(1, 4);
  return whole;
}
