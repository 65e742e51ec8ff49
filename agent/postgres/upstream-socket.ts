/**
 * Reading from the database with as few copies as the transport allows.
 *
 * A plain socket reads into two buffers of this object's own in turn (Node's `onread`), so that a bulk answer allocates nothing;
 * over TLS Node hands out fresh chunks. Either way the reader sees chunks that are valid until it returns, unless it borrows
 * one: then the buffer is not read into until it is given back, and reading pauses when both are out. Buffers start small
 * and grow when reads fill them.
 *
 * It knows nothing of messages.
 */
import type { OnReadOpts, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

const SMALL_BYTES = 16 * 1024;
const LARGE_BYTES = 256 * 1024;

interface Slot {
  buffer: Buffer;
  borrowed: number;
}

export class UpstreamSocket {
  readonly onread: OnReadOpts;
  #socket: Socket | null = null;
  #onChunk: ((chunk: Buffer) => void) | null = null;
  #onClose: ((error: Error | null) => void) | null = null;
  readonly #slots: [Slot, Slot] | null;
  #current = 0;
  #wantsPause = false;
  #slotsOut = false;
  #bytes = SMALL_BYTES;

  private constructor(plain: boolean) {
    this.#slots = plain
      ? [
          { buffer: Buffer.allocUnsafeSlow(SMALL_BYTES), borrowed: 0 },
          { buffer: Buffer.allocUnsafeSlow(SMALL_BYTES), borrowed: 0 },
        ]
      : null;
    this.onread = { buffer: () => this.#nextBuffer(), callback: (length, buffer) => this.#read(length, buffer as Buffer) };
  }

  /** For a socket that is yet to be connected with this object's `onread`. */
  static plain(): UpstreamSocket {
    return new UpstreamSocket(true);
  }

  static over(socket: TLSSocket): UpstreamSocket {
    const upstream = new UpstreamSocket(false);
    upstream.attach(socket);
    socket.on('data', (chunk: Buffer) => upstream.#onChunk?.(chunk));
    return upstream;
  }

  /** Chunks may be borrowed, and are overwritten when they are not. */
  get reusesBuffers(): boolean {
    return this.#slots !== null;
  }

  attach(socket: Socket): void {
    this.#socket = socket;
    socket.on('close', () => this.#onClose?.(null));
    socket.on('end', () => this.#onClose?.(null));
  }

  start(onChunk: (chunk: Buffer) => void, onClose: (error: Error | null) => void): void {
    this.#onChunk = onChunk;
    this.#onClose = onClose;
    this.resume();
  }

  #nextBuffer(): Buffer {
    const slots = this.#slots as [Slot, Slot];
    // The one just read may have been borrowed; the other one is then next, and is waited for when it is out too.
    if (slots[this.#current as 0 | 1].borrowed > 0) this.#current ^= 1;
    const slot = slots[this.#current as 0 | 1];
    if (slot.borrowed === 0 && slot.buffer.length < this.#bytes) slot.buffer = Buffer.allocUnsafeSlow(this.#bytes);
    return slot.buffer;
  }

  #read(length: number, buffer: Buffer): boolean {
    if (length === buffer.length && this.#bytes < LARGE_BYTES) this.#bytes *= 4;
    this.#onChunk?.(buffer.subarray(0, length));
    const slots = this.#slots as [Slot, Slot];
    this.#slotsOut = slots[0].borrowed > 0 && slots[1].borrowed > 0;
    return !this.#wantsPause && !this.#slotsOut;
  }

  /** Keeps the chunk that is being read from being overwritten. @returns what to give back. */
  borrow(): number {
    const slots = this.#slots;
    if (slots === null) return 0;
    slots[this.#current as 0 | 1].borrowed++;
    return this.#current;
  }

  giveBack(slot: number): void {
    const slots = this.#slots;
    if (slots === null) return;
    slots[slot as 0 | 1].borrowed--;
    if (this.#slotsOut && slots[this.#current as 0 | 1].borrowed === 0) {
      this.#slotsOut = false;
      if (!this.#wantsPause) this.#socket?.resume();
    }
  }

  pause(): void {
    this.#wantsPause = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#wantsPause = false;
    if (!this.#slotsOut) this.#socket?.resume();
  }

  get paused(): boolean {
    return this.#wantsPause;
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket?.write(bytes) ?? false;
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (socket === null) return false;
    if (pieces.length === 1) return socket.write(pieces[0] as Uint8Array);
    return socket.write(Buffer.concat(pieces));
  }

  onDrain(callback: () => void): void {
    this.#socket?.on('drain', callback);
  }

  end(bytes: Uint8Array): void {
    this.#socket?.end(bytes);
  }

  destroy(): void {
    this.#socket?.destroy();
  }
}
