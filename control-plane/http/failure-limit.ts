/** Counts failed sign-ins per address, in a window of a minute. Bounded: beyond its size the oldest address is forgotten. */

const failuresMax = 20;
const windowMs = 60_000;
const addressesMax = 10_000;

export class FailureLimit {
  readonly #clock: () => number;
  readonly #addresses = new Map<string, { count: number; sinceMs: number }>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  failed(address: string): void {
    const nowMs = this.#clock();
    const entry = this.#addresses.get(address);
    this.#addresses.delete(address);
    const inWindow = entry !== undefined && nowMs - entry.sinceMs < windowMs;
    this.#addresses.set(address, inWindow ? { count: entry.count + 1, sinceMs: entry.sinceMs } : { count: 1, sinceMs: nowMs });
    if (this.#addresses.size > addressesMax) {
      const oldest = this.#addresses.keys().next();
      if (!oldest.done) this.#addresses.delete(oldest.value);
    }
  }

  /** 0 when the address may try. */
  retryAfterSeconds(address: string): number {
    const entry = this.#addresses.get(address);
    if (entry === undefined || entry.count < failuresMax) return 0;
    const remainingMs = entry.sinceMs + windowMs - this.#clock();
    return remainingMs <= 0 ? 0 : Math.ceil(remainingMs / 1000);
  }
}
