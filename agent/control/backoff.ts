/** Pauses between attempts: exponential, capped, with full jitter, so that a fleet does not come back all at once. */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(baseMs: number, capMs: number, random: () => number = Math.random) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
  }

  /** Milliseconds to wait before the next attempt: between a tenth of the base and base × 2ⁿ, at most the cap. */
  nextMs(): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt++, 30));
    return Math.max(this.#baseMs / 10, this.#random() * ceiling);
  }

  /** It worked: the next failure starts anew. */
  reset(): void {
    this.#attempt = 0;
  }
}
