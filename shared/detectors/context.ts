/**
 * Keywords near a value: what makes nine digits a social security number.
 *
 * All rules' keywords are looked for at once, by a filter over the first three bytes of each; one look at the 48 bytes before a
 * value and the 16 behind it answers for every rule that asks about the value.
 */
import { is, LOWER, lower, UPPER } from './bytes.ts';
import type { ContextWords } from './rule.ts';
import type { Scan } from './span.ts';

/** Bytes before and behind a value in which a keyword counts for it. */
export const CONTEXT_BEFORE = 48;
export const CONTEXT_AFTER = 16;
/** Keywords up to this length must be words of their own: `tin` is not in `testing`. */
const WORD_LENGTH_MAX = 6;

const encoder = new TextEncoder();

/** Byte → five bits: letters of both cases fall together, digits and most signs are 0. */
export const letterCode: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 128) return 30;
  if (isLetter(byte)) return byte & 31;
  const sign = ' _-'.indexOf(String.fromCharCode(byte));
  if (sign >= 0) return 27 + sign;
  return ':.=#'.includes(String.fromCharCode(byte)) ? 31 : 0;
});

const HASHES = 1 << 15;

function hash(a: number, b: number, c: number): number {
  return ((letterCode[a] as number) << 10) | ((letterCode[b] as number) << 5) | (letterCode[c] as number);
}

/** Flags of a ContextFilter: what begins with the three bytes, or (the last) that they are the last three of a long word's first seven. */
export const SHORT_WORD = 1;
export const LONG_WORD = 2;
export const LONG_TAIL = 4;

/** What tells quickly that there is no keyword: both are indexed by the codes of three bytes. */
export interface ContextFilter {
  /** A mask over the code of the fourth byte; a keyword of three bytes goes with any. */
  fourth: Int32Array;
  flags: Uint8Array;
}

export const CONTEXT_FILTER_ENTRIES = HASHES;

/** The filter of some sets' keywords. A short one has to begin a word. */
export function contextFilter(sets: readonly ContextWords[]): ContextFilter {
  const fourth = new Int32Array(HASHES);
  const flags = new Uint8Array(HASHES);
  const flag = (index: number, bit: number): void => {
    flags[index] = (flags[index] as number) | bit;
  };
  for (const word of new Set(sets.flat().flatMap(written))) {
    const bytes = encoder.encode(word);
    const at = (k: number): number => bytes[k] as number;
    const index = hash(at(0), at(1), at(2));
    fourth[index] = bytes.length === 3 ? -1 : (fourth[index] as number) | (1 << (letterCode[at(3)] as number));
    flag(index, bytes.length > WORD_LENGTH_MAX ? LONG_WORD : SHORT_WORD);
    if (bytes.length > WORD_LENGTH_MAX) flag(hash(at(4), at(5), at(6)), LONG_TAIL);
  }
  return { fourth, flags };
}

interface Keyword {
  bytes: Uint8Array;
  /** Numbers of the sets that have it. */
  sets: number[];
}

const setNumbers = new Map<ContextWords, number>();
/** Hash of three bytes → 1 + index in `keywords`, or 0. */
const filter = new Uint16Array(HASHES);
const keywords: Keyword[][] = [];

/** A keyword of several words as names write it: `tax file`, `tax_file`, `tax-file`, `taxFile`. */
function written(word: string): string[] {
  const joined = word.trim().replaceAll(' ', '');
  return word.trim().includes(' ') ? [word, word.replaceAll(' ', '_'), word.replaceAll(' ', '-'), joined] : [word];
}

/** Adds a set ahead of its first use. @throws {RangeError} for a keyword shorter than three bytes. */
export function registerContext(words: ContextWords): number {
  const known = setNumbers.get(words);
  if (known !== undefined) return known;
  const number = setNumbers.size;
  setNumbers.set(words, number);
  for (const word of new Set(words.flatMap(written))) {
    const bytes = encoder.encode(word);
    if (bytes.length < 3) throw new RangeError(`the context word ${word} is shorter than three bytes`);
    const index = hash(bytes[0] as number, bytes[1] as number, bytes[2] as number);
    if (filter[index] === 0) filter[index] = keywords.push([]);
    const list = keywords[(filter[index] as number) - 1] as Keyword[];
    const same = list.find(other => Buffer.compare(other.bytes, bytes) === 0);
    if (same === undefined) list.push({ bytes, sets: [number] });
    else same.sets.push(number);
  }
  before.grow(setNumbers.size);
  after.grow(setNumbers.size);
  return number;
}

/** The sets of which a keyword stands in one piece of one scan; kept until another piece is looked at. */
class Look {
  #scan: Scan | undefined;
  #round = -1;
  #from = 0;
  #to = 0;
  #any = false;
  /** Set → number of the look that found it. */
  #found = new Float64Array(0);
  #looks = 0;

  grow(sets: number): void {
    if (sets > this.#found.length) this.#found = new Float64Array(2 * sets);
    this.#scan = undefined;
  }

  /** Whether any set has a keyword in [from, to). */
  at(scan: Scan, from: number, to: number): boolean {
    if (this.#scan === scan && this.#round === scan.round && this.#from === from && this.#to === to) return this.#any;
    this.#scan = scan;
    this.#round = scan.round;
    this.#from = from;
    this.#to = to;
    this.#any = false;
    this.#looks++;
    if (to - from < 3) return false;
    const { bytes } = scan;
    let index = ((letterCode[bytes[from] as number] as number) << 5) | (letterCode[bytes[from + 1] as number] as number);
    for (let i = from + 2; i < to; i++) {
      index = ((index << 5) | (letterCode[bytes[i] as number] as number)) & (HASHES - 1);
      const list = filter[index] as number;
      if (list !== 0) this.#compare(scan, i - 2, to, keywords[list - 1] as Keyword[]);
    }
    return this.#any;
  }

  #compare(scan: Scan, at: number, to: number, list: readonly Keyword[]): void {
    for (let k = 0; k < list.length; k++) {
      const { bytes, sets } = list[k] as Keyword;
      if (!standsAt(scan, at, to, bytes)) continue;
      this.#any = true;
      for (let s = 0; s < sets.length; s++) this.#found[sets[s] as number] = this.#looks;
    }
  }

  /** Whether the last look found the set. */
  has(set: number): boolean {
    return this.#found[set] === this.#looks;
  }
}

const before = new Look();
const after = new Look();

function isBefore(scan: Scan, start: number): boolean {
  return before.at(scan, Math.max(scan.start, start - CONTEXT_BEFORE), start);
}

function isAfter(scan: Scan, end: number): boolean {
  return after.at(scan, end, Math.min(scan.end, end + CONTEXT_AFTER));
}

/** Whether any keyword of any registered set stands near the value. */
export function hasAnyContext(scan: Scan, start: number, end: number): boolean {
  return isBefore(scan, start) || isAfter(scan, end);
}

/** Whether one of the keywords (lower case) stands within 48 bytes before the value or ends within 16 after it. */
export function hasContext(scan: Scan, start: number, end: number, words: ContextWords): boolean {
  const set = registerContext(words);
  return (isBefore(scan, start) && before.has(set)) || (isAfter(scan, end) && after.has(set));
}

/** The same for keywords before the value only. */
export function hasContextBefore(scan: Scan, start: number, words: ContextWords): boolean {
  const set = registerContext(words);
  return isBefore(scan, start) && before.has(set);
}

function standsAt(scan: Scan, at: number, limit: number, word: Uint8Array): boolean {
  if (at + word.length > limit) return false;
  for (let k = 0; k < word.length; k++) if (lower(scan.bytes[at + k] as number) !== word[k]) return false;
  if (scan.wire || word.length > WORD_LENGTH_MAX) return true;
  const before = scan.byte(at - 1);
  const after = scan.byte(at + word.length);
  const first = scan.byte(at);
  // `userSsn`: a capital after a small letter begins a word; `\nSSN`: so does what follows an escape.
  const begins = !isLetter(before) || (is(first, UPPER) && is(before, LOWER)) || scan.byte(at - 2) === 92;
  if (!begins) return false;
  return (
    !isLetter(after) ||
    (is(after, UPPER) && is(scan.byte(at + word.length - 1), LOWER)) ||
    (after === 115 && !isLetter(scan.byte(at + word.length + 1)))
  );
}

function isLetter(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122);
}
