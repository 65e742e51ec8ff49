/**
 * Findings that are longer than what a read takes along on either side: private keys. Where a read ended, it is known whether one was
 * open there, so that the next read, in order, goes on from that; a read that begins elsewhere, in the midst of what could be one, has
 * what stands before it fetched, up to 64 KiB. Positions are offsets in the file.
 *
 * Values of other kinds are not followed beyond what a read takes along.
 */

import { blockEnd, mayBeInsideBlock } from '@sallyport/shared/detectors/secrets/private-key.ts';
import type { Span } from '@sallyport/shared/detectors/span.ts';

/** A private key in text is no longer than this, as a rule. */
export const LONG_BYTES_MAX = 64 * 1024;
const DETECTOR = 'private-key';
/** Places that are remembered of one file: more than a client reads at the same time. */
const PLACES_MAX = 256;

export class LongFindings {
  /** Where a read ended, and whether a key was open there. In the order in which they were learned. */
  readonly #places = new Map<number, boolean>();
  readonly #follows: boolean;

  /** @param names of the detectors that are in force. */
  constructor(names: readonly string[]) {
    this.#follows = names.includes(DETECTOR);
  }

  /** Must more be fetched from before `start`, to know what the bytes up to `offset` are in the midst of? */
  needsBefore(start: number, offset: number, joined: Uint8Array, fetchedBytes: number): boolean {
    if (!this.#follows || start === 0 || fetchedBytes >= LONG_BYTES_MAX || this.#placeIn(start, offset) !== null) return false;
    return mayBeInsideBlock(joined, 0, offset - start);
  }

  /** Adds to the spans what was open where it is known, and remembers what is open at `end`. @param start of `joined` in the file. */
  extend(spans: readonly Span[], joined: Uint8Array, start: number, offset: number, end: number): Span[] {
    if (!this.#follows) return [...spans];
    const all = [...spans];
    const place = this.#placeIn(start, offset);
    if (place !== null && this.#places.get(place) === true)
      all.push({ start: place - start, end: blockEnd(joined, place - start, joined.length), detector: DETECTOR });
    const at = end - start;
    const isOpen = all.some(span => span.detector === DETECTOR && span.start < at && span.end > at);
    this.#places.delete(end);
    this.#places.set(end, isOpen);
    if (this.#places.size > PLACES_MAX) {
      const [oldest] = this.#places.keys();
      if (oldest !== undefined) this.#places.delete(oldest);
    }
    return all;
  }

  #placeIn(start: number, offset: number): number | null {
    if (this.#places.has(offset)) return offset;
    for (const place of this.#places.keys()) if (place >= start && place <= offset) return place;
    return null;
  }
}
