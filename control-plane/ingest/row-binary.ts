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

/** Collects rows of one table into one block. Its buffer is used again after `reset`. */
export class BlockWriter<C extends Columns> {
  readonly columns: readonly string[];
  readonly #types: readonly ColumnType[];
  #bytes = Buffer.allocUnsafe(64 * 1024);
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
    if (this.#bytes.length > 16 * 1024 * 1024) this.#bytes = Buffer.allocUnsafe(64 * 1024);
  }

  #write(type: ColumnType, value: unknown): void {
    switch (type) {
      case 'string':
        this.#string(value as string | Uint8Array);
        break;
      case 'strings': {
        const list = value as readonly string[];
        this.#varint(list.length);
        for (const text of list) this.#string(text);
        break;
      }
      case 'stringMap': {
        const entries = Object.entries(value as Record<string, string>);
        this.#varint(entries.length);
        for (const [key, text] of entries) {
          this.#string(key);
          this.#string(text);
        }
        break;
      }
      case 'uint8':
        this.#reserve(1);
        this.#bytes[this.#length++] = value as number;
        break;
      case 'bool':
        this.#reserve(1);
        this.#bytes[this.#length++] = value === true ? 1 : 0;
        break;
      case 'uint32':
        this.#reserve(4);
        this.#length = this.#bytes.writeUInt32LE(value as number, this.#length);
        break;
      case 'uint64':
        this.#uint64(value as bigint | number);
        break;
      case 'time':
        this.#reserve(8);
        this.#length = this.#bytes.writeBigInt64LE(value as bigint, this.#length);
        break;
      case 'optionalUint64':
        this.#reserve(1);
        this.#bytes[this.#length++] = value === null ? 1 : 0;
        if (value !== null) this.#uint64(value as bigint | number);
        break;
      case 'optionalTime':
        this.#reserve(9);
        this.#bytes[this.#length++] = value === null ? 1 : 0;
        if (value !== null) this.#length = this.#bytes.writeBigInt64LE(value as bigint, this.#length);
        break;
    }
  }

  #uint64(value: bigint | number): void {
    this.#reserve(8);
    if (typeof value === 'number') {
      this.#bytes.writeUInt32LE(value % 0x1_0000_0000, this.#length);
      this.#bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), this.#length + 4);
      this.#length += 8;
    } else {
      this.#length = this.#bytes.writeBigUInt64LE(value, this.#length);
    }
  }

  #string(value: string | Uint8Array): void {
    if (typeof value === 'string') {
      const { length } = value;
      if (length === 0) {
        this.#reserve(1);
        this.#bytes[this.#length++] = 0;
        return;
      }
      if (length < 43) {
        // At most 3 bytes a code unit: the length fits into one byte, whatever the text is.
        this.#reserve(1 + length * 3);
        const written = this.#bytes.write(value, this.#length + 1);
        this.#bytes[this.#length] = written;
        this.#length += 1 + written;
        return;
      }
      const bytes = Buffer.byteLength(value);
      this.#varint(bytes);
      this.#reserve(bytes);
      this.#bytes.write(value, this.#length);
      this.#length += bytes;
      return;
    }
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
