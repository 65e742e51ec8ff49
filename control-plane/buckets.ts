/**
 * Buckets of tokens, one for each key, which refill steadily. They live in this process: with N replicas a key has up to N times as much.
 * Bounded: the key that was quiet for longest is forgotten first, and starts with a full bucket again.
 */

export interface Rate {
  /** Requests that may come at once. */
  burst: number;
  perSecond: number;
}

const bucketsMax = 50_000;

export class Buckets {
  readonly #clock: () => number;
  /** Least recently used first. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** @returns how many requests are left, or how many seconds to wait for the next. */
  take(key: string, rate: Rate): { taken: true; left: number } | { taken: false; retryAfterSeconds: number } {
    const nowMs = this.#clock();
    const before = this.#buckets.get(key) ?? { tokens: rate.burst, atMs: nowMs };
    // A clock that is set back gives nothing and takes nothing.
    const passedMs = Math.max(0, nowMs - before.atMs);
    const tokens = Math.min(rate.burst, before.tokens + (passedMs / 1000) * rate.perSecond);
    const taken = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, atMs: nowMs });
    if (this.#buckets.size > bucketsMax) {
      const oldest = this.#buckets.keys().next();
      if (!oldest.done) this.#buckets.delete(oldest.value);
    }
    return taken ? { taken, left: Math.floor(tokens - 1) } : { taken, retryAfterSeconds: Math.ceil((1 - tokens) / rate.perSecond) };
  }
}
