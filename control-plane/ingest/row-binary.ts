/**
 * ClickHouse's RowBinary: rows as bytes, for the column types that our tables have.
 *
 * A table is a list of columns with a type each; a row is an object with those names. Not here: reading RowBinary, and types that no
 * table has.
 * @see https://clickhouse.com/docs/interfaces/formats/RowBinary
 */

/** How a value of each type is given. `time` is microseconds since 1970 (DateTime64(6)); `string` takes text or bytes. */
export interface ColumnValues {
  string: string | Uint8Array;
  strings: readonly string[];
  stringMap: Readonly<Record<string, string>>;
  uint8: number;
  uint32: number;
  uint64: bigint | number;
  optionalUint64: bigint | number | null;
  bool: boolean;
  time: bigint;
  optionalTime: bigint | null;
}

export type ColumnType = keyof ColumnValues;
export type Columns = Readonly<Record<string, ColumnType>>;
export type RowOf<C extends Columns> = { [Name in keyof C]: ColumnValues[C[Name]] };

const BLOCK_BYTES = 64 * 1024;
const BLOCK_KEPT_BYTES_MAX = 16 * 1024 * 1024;
/** Byte strings shorter than this are copied byte by byte: for them that is the quickest, and the length fits into one byte. */
const SHORT = 64;
/** Texts shorter than this are at most 127 bytes. */
const SHORT_TEXT = 43;
const DIGITS = Buffer.from('0123456789abcdef');

/** Collects rows of one table into one block. Its buffer is used again after `reset`. */
export class BlockWriter<C extends Columns> {
  readonly columns: readonly string[];
  readonly #types: readonly ColumnType[];
  #bytes: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;
  #rows = 0;

  constructor(columns: C) {
    this.columns = Object.keys(columns);
    this.#types = Object.values(columns);
  }

  get rows(): number {
    return this.#rows;
  }

  get byteLength(): number {
    return this.#length;
  }

  add(row: RowOf<C>): void {
    const values = row as Record<string, ColumnValues[ColumnType]>;
    for (let index = 0; index < this.#types.length; index += 1) {
      const type = this.#types[index];
      const name = this.columns[index];
      if (type !== undefined && name !== undefined) this.#write(type, values[name]);
    }
    this.#rows += 1;
  }

  /** The block; a view into the writer's buffer until `reset`. */
  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
    this.#rows = 0;
    // A batch with huge values must not keep its buffer for ever.
    if (this.#bytes.length > BLOCK_KEPT_BYTES_MAX) this.#use(Buffer.allocUnsafeSlow(BLOCK_BYTES));
  }

  /** Another row is complete: its columns were written one by one, in order, by the methods below. */
  endRow(): void {
    this.#rows += 1;
  }

  /** What was encoded before. */
  raw(encoded: Uint8Array): void {
    this.#reserve(encoded.length);
    this.#bytes.set(encoded, this.#length);
    this.#length += encoded.length;
  }

  /** A String: `source[start..end)`. */
  bytes(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length >= SHORT) {
      this.count(length);
      this.raw(source.subarray(start, end));
      return;
    }
    this.#reserve(length + 1);
    const target = this.#bytes;
    let at = this.#length;
    target[at++] = length;
    for (let i = start; i < end; i++) target[at++] = source[i] as number;
    this.#length = at;
  }

  /** A String: `source[start..end)` in hexadecimal digits. */
  hex(source: Uint8Array, start: number, end: number): void {
    const digits = (end - start) * 2;
    this.count(digits);
    this.#reserve(digits);
    const target = this.#bytes;
    let at = this.#length;
    for (let i = start; i < end; i++) {
      const byte = source[i] as number;
      target[at++] = DIGITS[byte >> 4] as number;
      target[at++] = DIGITS[byte & 15] as number;
    }
    this.#length = at;
  }

  text(value: string): void {
    const { length } = value;
    if (length < SHORT_TEXT) {
      // At most 3 bytes a code unit: the length fits into one byte, whatever the text is.
      this.#reserve(1 + length * 3);
      const target = this.#bytes;
      const at = this.#length;
      let i = 0;
      for (; i < length; i++) {
        const unit = value.charCodeAt(i);
        if (unit >= 0x80) break;
        target[at + 1 + i] = unit;
      }
      const written = i === length ? length : target.write(value, at + 1);
      target[at] = written;
      this.#length = at + 1 + written;
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.count(bytes);
    this.#reserve(bytes);
    this.#bytes.write(value, this.#length);
    this.#length += bytes;
  }

  /** The length of a String or an Array that follows. */
  count(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  uint8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  uint64(value: number): void {
    this.halves(value % 0x1_0000_0000, Math.floor(value / 0x1_0000_0000));
  }

  /** A UInt64 as its lower and upper 32 bits. */
  halves(low: number, high: number): void {
    this.#reserve(8);
    this.#view.setUint32(this.#length, low, true);
    this.#view.setUint32(this.#length + 4, high, true);
    this.#length += 8;
  }

  time(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigInt64(this.#length, value, true);
    this.#length += 8;
  }

  optionalTime(value: bigint | null): void {
    this.uint8(value === null ? 1 : 0);
    if (value !== null) this.time(value);
  }

  #write(type: ColumnType, value: unknown): void {
    switch (type) {
      case 'string':
        this.#string(value as string | Uint8Array);
        break;
      case 'strings': {
        const list = value as readonly string[];
        this.count(list.length);
        for (const text of list) this.text(text);
        break;
      }
      case 'stringMap': {
        const entries = Object.entries(value as Record<string, string>);
        this.count(entries.length);
        for (const [key, text] of entries) {
          this.text(key);
          this.text(text);
        }
        break;
      }
      case 'uint8':
        this.uint8(value as number);
        break;
      case 'bool':
        this.uint8(value === true ? 1 : 0);
        break;
      case 'uint32':
        this.#reserve(4);
        this.#view.setUint32(this.#length, value as number, true);
        this.#length += 4;
        break;
      case 'uint64':
        this.#uint64(value as bigint | number);
        break;
      case 'time':
        this.time(value as bigint);
        break;
      case 'optionalUint64':
        this.uint8(value === null ? 1 : 0);
        if (value !== null) this.#uint64(value as bigint | number);
        break;
      case 'optionalTime':
        this.optionalTime(value as bigint | null);
        break;
    }
  }

  #uint64(value: bigint | number): void {
    if (typeof value === 'number') {
      this.uint64(value);
      return;
    }
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
  }

  #string(value: string | Uint8Array): void {
    if (typeof value === 'string') this.text(value);
    else this.bytes(value, 0, value.length);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#use(grown);
  }

  #use(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}
