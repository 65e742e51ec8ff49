/**
 * Reads packets and frames one at a time while a client is not authenticated. It takes no more from the socket than it needs,
 * so that what is left stays where the next owner (the TLS handshake, the relay) finds it, and memory per connection is one
 * small buffer.
 */
import type { Socket } from 'node:net';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';

export class PacketReader {
  readonly #socket: Socket;
  readonly #wake = () => this.#pending?.();
  #pending: (() => void) | null = null;
  #released = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', this.#wake);
    socket.on('end', this.#wake);
    socket.on('close', this.#wake);
  }

  /** Bytes that came and were not read. */
  get buffered(): number {
    return this.#socket.readableLength;
  }

  /** Hands the socket on. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#socket.off('readable', this.#wake);
    this.#socket.off('end', this.#wake);
    this.#socket.off('close', this.#wake);
  }

  /** Exactly `count` bytes; null when the client closed before. */
  async #bytes(count: number): Promise<Buffer | null> {
    for (;;) {
      const socket = this.#socket;
      if (socket.readableLength >= count || socket.readableEnded) {
        const bytes = socket.read(count) as Buffer | null;
        if (bytes !== null && bytes.length === count) return bytes;
      }
      if (socket.readableEnded || socket.destroyed) return null;
      // Asking for more than is there makes the stream read on.
      socket.read(0);
      await new Promise<void>(resolve => {
        this.#pending = resolve;
      });
      this.#pending = null;
    }
  }

  /** The next `count` bytes without taking them. */
  async peek(count: number): Promise<Buffer | null> {
    const bytes = await this.#bytes(count);
    if (bytes !== null) this.#socket.unshift(bytes);
    return bytes;
  }

  /**
   * One packet without a type byte: length, code, rest.
   * @throws {GatewayError} PG_STARTUP_MALFORMED when the length is below 8 or above `bytesMax`.
   */
  async startupPacket(bytesMax: number): Promise<Buffer | null> {
    const head = await this.#bytes(8);
    if (head === null) return null;
    const length = readInt32(head, 0);
    if (length < 8 || length > bytesMax) throw new GatewayError('PG_STARTUP_MALFORMED', 'protocol', 'invalid length of startup packet');
    if (length === 8) return head;
    const rest = await this.#bytes(length - 8);
    return rest === null ? null : Buffer.concat([head, rest]);
  }

  /**
   * One typed message.
   * @throws {GatewayError} PG_MESSAGE_LENGTH when the payload is negative or longer than `payloadMax`.
   */
  async message(payloadMax: number): Promise<{ type: number; payload: Buffer } | null> {
    const head = await this.#bytes(5);
    if (head === null) return null;
    const length = readInt32(head, 1) - 4;
    if (length < 0 || length > payloadMax) throw new GatewayError('PG_MESSAGE_LENGTH', 'protocol', 'invalid message length');
    const type = head[0] as number;
    if (length === 0) return { type, payload: Buffer.alloc(0) };
    const payload = await this.#bytes(length);
    return payload === null ? null : { type, payload };
  }
}
