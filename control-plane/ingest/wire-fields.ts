/**
 * Reads a protobuf message of known shape in place: where each field lies, and not what it says. Ingest copies texts from a record to a
 * row without making strings of them; the generated code, which makes an object of everything, takes some ten times as long.
 *
 * Whatever is not exactly as the shape says (another wire type, a field that we do not know, text that is no UTF-8) is not read here:
 * the caller then asks the generated code, which knows all of protobuf. One instance serves for one message after another.
 */
import { isUtf8 } from 'node:buffer';

/** What a field holds. A field that is not in the shape is none of this version. */
export const Holds = { nothing: 0, number: 1, text: 2, texts: 3, bytes: 4 } as const;
export type HoldsOf = (typeof Holds)[keyof typeof Holds];

/** By field number. */
export type Shape = Uint8Array;

export function shapeOf(fields: Readonly<Record<number, HoldsOf>>): Shape {
  const shape = new Uint8Array(FIELDS_MAX);
  for (const [field, holds] of Object.entries(fields)) shape[Number(field)] = holds;
  return shape;
}

/** Field numbers are below this. */
const FIELDS_MAX = 32;
/** From this length on the platform's check is quicker than a look at each byte. */
const LONG_TEXT = 64;

export class WireFields {
  bytes: Uint8Array = new Uint8Array(0);
  /** Of texts and bytes, by field; equal where there is none. Of a field that came more than once, the last. */
  readonly starts = new Uint32Array(FIELDS_MAX);
  readonly ends = new Uint32Array(FIELDS_MAX);
  /** Of numbers, by field: the lower and the upper half. */
  readonly low = new Uint32Array(FIELDS_MAX);
  readonly high = new Uint32Array(FIELDS_MAX);
  /** How often the field came. */
  readonly counts = new Uint32Array(FIELDS_MAX);
  /** Of lists: all items of all lists, in the order in which they came. */
  itemFields: number[] = [];
  itemStarts: number[] = [];
  itemEnds: number[] = [];
  #at = 0;
  #low = 0;
  #high = 0;

  /** @returns false when it is not of this shape; what was read of it means nothing then. */
  read(bytes: Uint8Array, start: number, end: number, shape: Shape): boolean {
    this.bytes = bytes;
    this.starts.fill(0);
    this.ends.fill(0);
    this.low.fill(0);
    this.high.fill(0);
    this.counts.fill(0);
    if (this.itemFields.length > 0) {
      this.itemFields = [];
      this.itemStarts = [];
      this.itemEnds = [];
    }
    this.#at = start;
    while (this.#at < end) {
      if (!this.#varint(end) || this.#high !== 0) return false;
      const field = this.#low >>> 3;
      const wireType = this.#low & 7;
      const holds = field < FIELDS_MAX ? shape[field] : Holds.nothing;
      if (holds === undefined || holds === Holds.nothing) return false;
      this.counts[field] = (this.counts[field] as number) + 1;
      if (holds === Holds.number) {
        if (wireType !== 0 || !this.#varint(end)) return false;
        this.low[field] = this.#low;
        this.high[field] = this.#high;
        continue;
      }
      if (wireType !== 2 || !this.#varint(end) || this.#high !== 0) return false;
      const from = this.#at;
      const to = from + this.#low;
      if (to > end) return false;
      this.#at = to;
      if (holds !== Holds.bytes && !isText(bytes, from, to)) return false;
      if (holds === Holds.texts) {
        this.itemFields.push(field);
        this.itemStarts.push(from);
        this.itemEnds.push(to);
      } else {
        this.starts[field] = from;
        this.ends[field] = to;
      }
    }
    return true;
  }

  /** A number that is known to be small. */
  number(field: number): number {
    return (this.high[field] as number) * 0x1_0000_0000 + (this.low[field] as number);
  }

  signed(field: number): bigint {
    return BigInt.asIntN(64, (BigInt(this.high[field] as number) << 32n) | BigInt(this.low[field] as number));
  }

  isEmpty(field: number): boolean {
    return this.starts[field] === this.ends[field];
  }

  /** A view. */
  slice(field: number): Uint8Array {
    return this.bytes.subarray(this.starts[field], this.ends[field]);
  }

  #varint(end: number): boolean {
    const { bytes } = this;
    let at = this.#at;
    if (at >= end) return false;
    let byte = bytes[at++] as number;
    let low = byte & 0x7f;
    let high = 0;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      // Ten bytes at most, of which the last has one bit.
      if (at >= end || shift > 63) return false;
      byte = bytes[at++] as number;
      if (shift === 63 && byte > 1) return false;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >>> 4;
      } else high |= (byte & 0x7f) << (shift - 32);
    }
    this.#at = at;
    this.#low = low >>> 0;
    this.#high = high >>> 0;
    return true;
  }
}

function isText(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < LONG_TEXT) {
    let at = start;
    while (at < end && (bytes[at] as number) < 0x80) at++;
    if (at === end) return true;
  }
  return isUtf8(bytes.subarray(start, end));
}
