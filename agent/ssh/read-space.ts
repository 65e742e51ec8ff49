/**
 * What comes from a socket, lent: all connections of a thread read into one space, and a read's bytes are good until the call with
 * them returns. A socket that gives memory away with every read costs memory for each, and the system's time to get it.
 */
import type { OnReadOpts, Socket } from 'node:net';

/** More than a packet, so that several are taken in one call; less than a processor's cache. */
const SPACE_BYTES = 128 * 1024;
/** Of what comes before anybody takes it: a host speaks first, and briefly. */
const EARLY_BYTES_MAX = 64 * 1024;

const space = Buffer.allocUnsafeSlow(SPACE_BYTES);

export class LentReads {
  #take: ((bytes: Buffer) => void) | null = null;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  /** For the options of `net.connect`. */
  readonly onread: OnReadOpts;

  constructor() {
    const came = (bytes: Buffer) => this.#came(bytes);
    this.onread = {
      buffer: space,
      callback(this: Socket, length: number): boolean {
        if (!came(space.subarray(0, length))) this.destroy();
        return true;
      },
    } as OnReadOpts;
  }

  #came(bytes: Buffer): boolean {
    if (this.#take !== null) this.#take(bytes);
    else {
      this.#earlyBytes += bytes.length;
      if (this.#earlyBytes > EARLY_BYTES_MAX) return false;
      this.#early.push(Buffer.from(bytes));
    }
    return true;
  }

  /** @param take gets what has come and what comes; the bytes are good for the call alone. */
  deliverTo(take: (bytes: Buffer) => void): void {
    this.#take = take;
    for (const bytes of this.#early.splice(0)) take(bytes);
  }
}
