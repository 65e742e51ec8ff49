/**
 * What a scan finds: byte spans, and the collector that matchers write to.
 *
 * Matchers look at one window of the caller's bytes and never copy it. This file settles overlaps; it finds nothing itself.
 */

/** A finding: bytes [start, end) of the scanned array. The value alone, without its keyword or quotes. */
export interface Span {
  start: number;
  end: number;
  detector: string;
}

/** The shared answer of a scan without findings. */
export const NO_SPANS: readonly Span[] = Object.freeze([]);

/** Who wins where two findings overlap: the more specific form. */
export const PRIORITY = {
  known: 100,
  privateKey: 95,
  vendor: 90,
  token: 85,
  url: 80,
  checked: 70,
  email: 65,
  address: 60,
  header: 55,
  generic: 40,
  phone: 30,
} as const;

/**
 * One scan in progress: the window [start, end) of `bytes` and the findings so far.
 *
 * With `wire` set the window is a piece of a wire buffer whose values lie among length prefixes and type bytes: matchers then
 * treat every boundary as possibly met, leave checksums out, and the first finding ends the scan. That is an over-approximation
 * of scanning every value by itself.
 */
export class Scan {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  wire = false;
  count = 0;
  /** In wire mode: the lowest position at which the first finding may begin; -1 without one. */
  hit = -1;
  /** Counts the scans made with this object. */
  round = 0;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #names: string[] = [];
  readonly #priorities: number[] = [];

  reset(bytes: Uint8Array, start: number, end: number, wire: boolean): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.wire = wire;
    this.count = 0;
    this.hit = -1;
    this.round++;
  }

  /** Adds a finding; bytes outside of the window are an error of the matcher and are cut off. */
  add(start: number, end: number, detector: string, priority: number): void {
    const from = Math.max(start, this.start);
    const to = Math.min(end, this.end);
    if (from >= to) return;
    if (this.wire) {
      if (this.hit < 0) this.hit = from;
      return;
    }
    const at = this.count++;
    this.#starts[at] = from;
    this.#ends[at] = to;
    this.#names[at] = detector;
    this.#priorities[at] = priority;
  }

  /** The byte at `at`, or -1 outside of the window: no matcher sees what is not the value's. */
  byte(at: number): number {
    return at >= this.start && at < this.end ? (this.bytes[at] as number) : -1;
  }

  /**
   * The findings, sorted and without overlap. Of two that overlap the higher priority names the span, then the longer; a secret
   * that reaches beyond the winner widens it, because half a secret must not stay readable.
   */
  spans(): Span[] {
    const count = this.count;
    if (count === 1) {
      return [{ start: this.#starts[0] as number, end: this.#ends[0] as number, detector: this.#names[0] as string }];
    }
    const order: number[] = [];
    for (let i = 0; i < count; i++) order.push(i);
    order.sort(
      (a, b) => (this.#starts[a] as number) - (this.#starts[b] as number) || (this.#ends[b] as number) - (this.#ends[a] as number),
    );
    const result: { start: number; end: number; detector: string; priority: number; length: number }[] = [];
    for (const index of order) {
      const start = this.#starts[index] as number;
      const end = this.#ends[index] as number;
      const priority = this.#priorities[index] as number;
      const last = result.at(-1);
      if (last === undefined || start >= last.end) {
        result.push({ start, end, detector: this.#names[index] as string, priority, length: end - start });
        continue;
      }
      const wins = priority > last.priority || (priority === last.priority && end - start > last.length);
      const weak = wins ? last.priority : priority;
      if (wins) {
        last.detector = this.#names[index] as string;
        last.priority = priority;
        last.length = end - start;
        if (weak <= PRIORITY.phone) {
          last.start = start;
          last.end = end;
          continue;
        }
      } else if (weak <= PRIORITY.phone) continue;
      if (end > last.end) last.end = end;
    }
    return result.map(({ start, end, detector }) => ({ start, end, detector }));
  }
}
