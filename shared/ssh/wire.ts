/**
 * The data types of SSH (RFC 4251, 5): reading and writing, nothing of any message.
 */
import { GatewayError } from '../errors.ts';

/** Reads fields in order; strings are views into the bytes given. */
export class SshReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  #need(bytes: number): void {
    if (bytes > this.rest) throw new GatewayError('SSH_TRUNCATED', 'protocol', 'an SSH message is shorter than its fields');
  }

  byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++] as number;
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    this.#need(4);
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  uint64(): bigint {
    this.#need(8);
    const value = this.#bytes.readBigUInt64BE(this.#at);
    this.#at += 8;
    return value;
  }

  /** A `string`, which is bytes. */
  bytes(): Buffer {
    const length = this.uint32();
    this.#need(length);
    const value = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  /**
   * A `string` that must be UTF-8.
   * @throws {GatewayError} SSH_NOT_UTF8: what is judged must be what is sent, so nothing is replaced on the way.
   */
  text(): string {
    const bytes = this.bytes();
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new GatewayError('SSH_NOT_UTF8', 'protocol', 'a text in an SSH message is not UTF-8', { cause });
    }
  }

  nameList(): string[] {
    const text = this.text();
    return text === '' ? [] : text.split(',');
  }

  /** What is left, as a view. */
  remaining(): Buffer {
    const value = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return value;
  }

  /** Everything from a place that was read before to the end, as a view; nothing is left then. */
  since(at: number): Buffer {
    this.#at = this.#bytes.length;
    return this.#bytes.subarray(at);
  }

  /** @throws {GatewayError} SSH_TRAILING_BYTES. */
  end(): void {
    if (this.rest > 0) throw new GatewayError('SSH_TRAILING_BYTES', 'protocol', 'an SSH message is longer than its fields');
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Writes fields in order into a buffer that grows. */
export class SshWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(sizeHint = 128) {
    this.#bytes = Buffer.allocUnsafe(sizeHint);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }

  byte(value: number): this {
    this.#room(1);
    this.#bytes[this.#at++] = value;
    return this;
  }

  boolean(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  uint32(value: number): this {
    this.#room(4);
    this.#bytes.writeUInt32BE(value >>> 0, this.#at);
    this.#at += 4;
    return this;
  }

  uint64(value: bigint): this {
    this.#room(8);
    this.#bytes.writeBigUInt64BE(value, this.#at);
    this.#at += 8;
    return this;
  }

  /** A `string`: length and bytes. */
  string(value: string | Uint8Array): this {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
    return this.uint32(bytes.length).raw(bytes);
  }

  /** A positive `mpint` from its big-endian bytes. */
  mpint(value: Uint8Array): this {
    let from = 0;
    while (from < value.length && value[from] === 0) from++;
    const rest = value.subarray(from);
    if (rest.length > 0 && (rest[0] as number) >= 0x80)
      return this.uint32(rest.length + 1)
        .byte(0)
        .raw(rest);
    return this.string(rest);
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  nameList(names: readonly string[]): this {
    return this.string(names.join(','));
  }

  /** The caller's own: nothing else writes to it. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}
