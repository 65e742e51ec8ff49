/** How much sessions have been held up by the agent itself, over the last five minutes: a ring of histograms, a slice of time each. */
import { addCounts, LATENCY_BUCKETS, latencyBucket, noLatencies } from '@sallyport/shared/records/latency-buckets.ts';

const SLICE_MS = 30_000;
const SLICES = 10;
/** So many of each slice are all measured, wherever they come from: few commands are no sample, and the first of a connection is none either. */
const MEASURED_WHOLE = 64;
/** Beyond, one of so many. */
const SAMPLE_EVERY = 16;

export class LatencyWindow {
  readonly #slices = Array.from({ length: SLICES }, () => new Uint32Array(LATENCY_BUCKETS));
  readonly #now: () => number;
  #slice = 0;
  #endsAtMs: number;
  /** Of the slice of now. */
  #asked = 0;

  /** @param now milliseconds that never go backwards. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#endsAtMs = now() + SLICE_MS;
  }

  /** Is the command that begins now to be measured? */
  takesNext(): boolean {
    this.#turn();
    this.#asked++;
    return this.#asked <= MEASURED_WHOLE || this.#asked % SAMPLE_EVERY === 0;
  }

  add(us: number): void {
    this.#turn();
    const counts = this.#slices[this.#slice] as Uint32Array;
    const bucket = latencyBucket(us);
    counts[bucket] = (counts[bucket] as number) + 1;
  }

  /** Counts by bucket. */
  counts(): number[] {
    this.#turn();
    const sum = noLatencies();
    for (const counts of this.#slices) addCounts(sum, [...counts]);
    return sum;
  }

  #turn(): void {
    const now = this.#now();
    for (let turns = 0; now >= this.#endsAtMs && turns < SLICES; turns++) {
      this.#slice = (this.#slice + 1) % SLICES;
      this.#slices[this.#slice]?.fill(0);
      this.#asked = 0;
      this.#endsAtMs += SLICE_MS;
    }
    // After a long silence all of it is over.
    if (now >= this.#endsAtMs) this.#endsAtMs = now + SLICE_MS;
  }
}
