/**
 * Keywords near a value: what makes nine digits a social security number.
 *
 * All rules' keywords are looked for at once, by a filter over the first three bytes of each; one look at the 48 bytes before a
 * value and the 16 behind it answers for every rule that asks about the value.
 */
import { is, LOWER, lower, UPPER } from './bytes.ts';
import type { ContextWords } from './rule.ts';
import type { Scan } from './span.ts';

const CONTEXT_BEFORE = 48;
const CONTEXT_AFTER = 16;
/** Keywords up to this length must be words of their own: `tin` is not in `testing`. */
const WORD_LENGTH_MAX = 6;

const encoder = new TextEncoder();

/** Five bits of each of three bytes; letters of both cases fall together. */
const HASHES = 1 << 15;

function hash(a: number, b: number, c: number): number {
  return ((a & 31) << 10) | ((b & 31) << 5) | (c & 31);
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
    let index = (((bytes[from] as number) & 31) << 5) | ((bytes[from + 1] as number) & 31);
    for (let i = from + 2; i < to; i++) {
      index = ((index << 5) | ((bytes[i] as number) & 31)) & (HASHES - 1);
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
