/**
 * What leaves on a connection within one turn, put together in one piece: one system call for all of it, and none of the parts has
 * to live until it is done.
 *
 * A space is a connection's from the first byte of a turn until the system has taken them; spaces go round among the connections of
 * a thread. A client that does not read holds those that it makes wait, up to what its connection lets wait.
 */
import type { Socket } from 'node:net';
import { giveBack } from './own-memory.ts';

/** What a read of packets makes (read-space.ts), with room for what is added to them. */
const SPACE_BYTES = 160 * 1024;
/** Spaces that are kept for the next who needs one: about what one client makes wait. */
const SPARE_MAX = 12;
/** Up to here a copy of its own is cheaper than to hold a space. */
const SMALL_BYTES = 4096;

const spare: Buffer[] = [];

function giveBackSpace(space: Buffer): void {
  if (spare.length < SPARE_MAX) spare.push(space);
  else giveBack(space);
}

export class SendSpace {
  readonly #socket: Socket;
  #space: Buffer | null = null;
  #used = 0;
  #scheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @param data copied; leaves at the end of the turn, or before. */
  write(data: Uint8Array | string): void {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    for (let from = 0; from < bytes.length; ) {
      if (this.#used === SPACE_BYTES) this.flush();
      this.#space ??= spare.pop() ?? Buffer.allocUnsafeSlow(SPACE_BYTES);
      const length = Math.min(bytes.length - from, SPACE_BYTES - this.#used);
      this.#space.set(from === 0 && length === bytes.length ? bytes : bytes.subarray(from, from + length), this.#used);
      this.#used += length;
      from += length;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Everything goes to the socket. */
  flush(): void {
    const space = this.#space;
    const used = this.#used;
    if (space === null || used === 0) return;
    this.#space = null;
    this.#used = 0;
    if (used <= SMALL_BYTES) {
      this.#socket.write(Buffer.from(space.subarray(0, used)));
      giveBackSpace(space);
      return;
    }
    this.#socket.write(space.subarray(0, used), error => {
      // After a failure nobody knows for sure that the system is done with it.
      if (error === null || error === undefined) giveBackSpace(space);
    });
  }

  /** What has not gone to the socket never will. */
  drop(): void {
    const space = this.#space;
    this.#space = null;
    this.#used = 0;
    if (space !== null) giveBackSpace(space);
  }
}
