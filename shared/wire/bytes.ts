/**
 * Reading and writing of network byte order over plain `Uint8Array`s, for codecs that parse in place.
 *
 * It knows no protocol. Readers are bounds-checked by their callers' frame limits: `ByteReader` throws WIRE_TRUNCATED instead of
 * reading past `end`, so that a lying length inside a frame can never reach the bytes of the next one.
 */
import { GatewayError } from '../errors.ts';

/** Big-endian signed 32-bit integer at `at`; the caller has checked that four bytes are there. */
export function readInt32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
}

/** Big-endian unsigned 16-bit integer at `at`; the caller has checked that two bytes are there. */
export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** A cursor over `buffer[start..end)`. Byte fields that it returns are views: copy what must outlive the buffer. */
export class ByteReader {
  readonly buffer: Buffer;
  readonly end: number;
  at: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.buffer = buffer;
    this.at = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.at;
  }

  private take(count: number): number {
    if (count < 0 || count > this.end - this.at)
      throw new GatewayError('WIRE_TRUNCATED', 'protocol', 'a field runs past the end of its message');
    const at = this.at;
    this.at = at + count;
    return at;
  }

  uint8(): number {
    return this.buffer[this.take(1)] as number;
  }

  uint16(): number {
    return readUint16(this.buffer, this.take(2));
  }

  int16(): number {
    return (this.uint16() << 16) >> 16;
  }

  int32(): number {
    return readInt32(this.buffer, this.take(4));
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  /** A view of the next `count` bytes. */
  bytes(count: number): Buffer {
    const at = this.take(count);
    return this.buffer.subarray(at, at + count);
  }

  /** A NUL-terminated string; the terminator is consumed. */
  cstring(encoding: 'utf8' | 'latin1' = 'utf8'): string {
    const nul = this.buffer.indexOf(0, this.at);
    if (nul < 0 || nul >= this.end) throw new GatewayError('WIRE_UNTERMINATED', 'protocol', 'a string in a message has no terminator');
    const text = this.buffer.toString(encoding, this.at, nul);
    this.at = nul + 1;
    return text;
  }

  /** Throws unless everything was read: trailing bytes in a message are an error. */
  finish(): void {
    if (this.at !== this.end) throw new GatewayError('WIRE_TRAILING', 'protocol', 'a message has bytes after its last field');
  }
}

/** A growing output. `take()` gives the bytes written so far and starts afresh. */
export class ByteWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#at;
  }

  private reserve(count: number): number {
    const at = this.#at;
    const needed = at + count;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#at = needed;
    return at;
  }

  uint8(value: number): this {
    const at = this.reserve(1);
    this.#buffer[at] = value;
    return this;
  }

  int16(value: number): this {
    const at = this.reserve(2);
    this.#buffer[at] = value >>> 8;
    this.#buffer[at + 1] = value;
    return this;
  }

  int32(value: number): this {
    const at = this.reserve(4); // first: it may replace the buffer
    writeInt32(this.#buffer, at, value);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.reserve(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  cstring(value: string): this {
    const length = Buffer.byteLength(value);
    const at = this.reserve(length + 1);
    this.#buffer.write(value, at, 'utf8');
    this.#buffer[at + length] = 0;
    return this;
  }

  /** Overwrites an earlier 32-bit field, e.g. a length that is known only at the end. */
  patchInt32(at: number, value: number): this {
    writeInt32(this.#buffer, at, value);
    return this;
  }

  take(): Buffer {
    const out = this.#buffer.subarray(0, this.#at);
    this.#buffer = Buffer.allocUnsafe(256);
    this.#at = 0;
    return out;
  }
}
