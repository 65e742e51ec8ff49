/**
 * Findings that are longer than what a read takes along on either side. Positions are offsets in the file.
 *
 * - Private keys, which go over many lines. Where a read ended, it is known whether one was open there, so that the next read, in order,
 *   goes on from that; a read that begins elsewhere, in the midst of what could be one, has what stands before it fetched.
 * - Tokens, and credentials that are known in one of their forms: words of letters, digits and what encodings are made of. What stands on either side is
 *   fetched until the word has ended there.
 *
 * Both up to 64 KiB on a side. Values of other kinds that hold blanks are not followed beyond what a read takes along.
 */

import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import { blockEnd, mayBeInsideBlock } from '@sallyport/shared/detectors/secrets/private-key.ts';
import type { Span } from '@sallyport/shared/detectors/span.ts';

/** No detector's token is longer, nor a private key in text as a rule. */
export const LONG_BYTES_MAX = 64 * 1024;
const DETECTOR = 'private-key';
/** Of known credentials those up to this length are in what every read takes along. */
const SHORT_BYTES = 8 * 1024;
/** Places that are remembered of one file: more than a client reads at the same time. */
const PLACES_MAX = 256;

/** Letters, digits, and what base64 in its forms, hex, tokens' parts and per cent encoding have beside them. */
const WORD_BYTE: Uint8Array = (() => {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 128; byte++) if (/[\w+/=.%~:-]/.test(String.fromCharCode(byte))) table[byte] = 1;
  return table;
})();

function isWord(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (WORD_BYTE[bytes[i] as number] !== 1) return false;
  return true;
}

export class LongFindings {
  /** Where a read ended, and whether a key was open there. In the order in which they were learned. */
  readonly #places = new Map<number, boolean>();
  readonly #follows: boolean;
  readonly #followsWords: boolean;

  /** @param detectors that are in force; null: none. */
  constructor(detectors: Pick<DetectorSet, 'names' | 'reachBytes'> | null) {
    const names = detectors?.names ?? [];
    this.#follows = names.includes(DETECTOR);
    this.#followsWords = names.some(name => name !== 'known-credentials') || (detectors?.reachBytes ?? 0) > SHORT_BYTES;
  }

  /** Must more be fetched from before `start`, to know what the bytes up to `offset` are in the midst of? */
  needsBefore(start: number, offset: number, joined: Uint8Array, fetchedBytes: number): boolean {
    if (start === 0 || fetchedBytes >= LONG_BYTES_MAX) return false;
    if (this.#followsWords && isWord(joined, 0, offset - start)) return true;
    return this.#follows && this.#placeIn(start, offset) === null && mayBeInsideBlock(joined, 0, offset - start);
  }

  /** Must more be fetched from behind `joined`, to know what the bytes up to `to` are the beginning of? */
  needsAfter(joined: Uint8Array, to: number, fetchedBytes: number): boolean {
    return this.#followsWords && fetchedBytes < LONG_BYTES_MAX && isWord(joined, to, joined.length);
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
