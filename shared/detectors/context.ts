/**
 * Keywords near a value: what makes nine digits a social security number.
 *
 * A set of keywords is compiled once to a filter over the first three bytes of each, so that a look at the 48 bytes before a
 * value costs tens of nanoseconds when no keyword is there.
 */
import { is, LOWER, lower, UPPER } from './bytes.ts';
import type { ContextWords } from './rule.ts';
import type { Scan } from './span.ts';

const CONTEXT_BEFORE = 48;
const CONTEXT_AFTER = 16;
/** Keywords up to this length must be words of their own: `tin` is not in `testing`. */
const WORD_LENGTH_MAX = 6;

interface CompiledWords {
  filter: Uint8Array;
  byHash: Map<number, Uint8Array[]>;
  /** Whether its keywords are in the union. */
  isShared: boolean;
}

const compiled = new WeakMap<ContextWords, CompiledWords>();
const encoder = new TextEncoder();

/** Five bits of each of three bytes; letters of both cases fall together. */
const HASHES = 1 << 15;

function hash(a: number, b: number, c: number): number {
  return ((a & 31) << 10) | ((b & 31) << 5) | (c & 31);
}

function compile(words: ContextWords): CompiledWords {
  const filter = new Uint8Array(HASHES);
  const byHash = new Map<number, Uint8Array[]>();
  for (const word of words) {
    const bytes = encoder.encode(word);
    if (bytes.length < 3) throw new RangeError(`the context word ${word} is shorter than three bytes`);
    const index = hash(bytes[0] as number, bytes[1] as number, bytes[2] as number);
    filter[index] = 1;
    const others = byHash.get(index);
    if (others === undefined) byHash.set(index, [bytes]);
    else others.push(bytes);
  }
  return { filter, byHash, isShared: false };
}

/** Every keyword of the forms' rules: most values have none of them near, and one look says so for all rules. */
const union: CompiledWords = { filter: new Uint8Array(HASHES), byHash: new Map(), isShared: true };

/** Compiles a set ahead of its first use, and adds it to those that {@link hasAnyContext} looks for. @throws {RangeError} for a keyword shorter than three bytes. */
export function registerContext(words: ContextWords): void {
  const set = compiledOf(words);
  if (set.isShared) return;
  set.isShared = true;
  for (const [index, list] of set.byHash) {
    union.filter[index] = 1;
    union.byHash.set(index, [...(union.byHash.get(index) ?? []), ...list]);
  }
}

function compiledOf(words: ContextWords): CompiledWords {
  let set = compiled.get(words);
  if (set === undefined) {
    set = compile(words);
    compiled.set(words, set);
  }
  return set;
}

/** Whether any keyword of any registered set stands near the value. The answer for one start is kept with the scan. */
export function hasAnyContext(scan: Scan, start: number, end: number): boolean {
  if (scan.contextStart !== start) {
    scan.contextStart = start;
    scan.contextBefore = look(scan, Math.max(scan.start, start - CONTEXT_BEFORE), start, union);
  }
  return scan.contextBefore || (end < scan.end && look(scan, end, Math.min(scan.end, end + CONTEXT_AFTER), union));
}

/** Whether one of the keywords (lower case) stands within 48 bytes before the value or ends within 16 after it. */
export function hasContext(scan: Scan, start: number, end: number, words: ContextWords): boolean {
  const set = compiledOf(words);
  return (
    look(scan, Math.max(scan.start, start - CONTEXT_BEFORE), start, set) || look(scan, end, Math.min(scan.end, end + CONTEXT_AFTER), set)
  );
}

/** The same for keywords before the value only. */
export function hasContextBefore(scan: Scan, start: number, words: ContextWords): boolean {
  return look(scan, Math.max(scan.start, start - CONTEXT_BEFORE), start, compiledOf(words));
}

function look(scan: Scan, from: number, to: number, { filter, byHash }: CompiledWords): boolean {
  const { bytes } = scan;
  if (to - from < 3) return false;
  let index = (((bytes[from] as number) & 31) << 5) | ((bytes[from + 1] as number) & 31);
  for (let i = from + 2; i < to; i++) {
    index = ((index << 5) | ((bytes[i] as number) & 31)) & (HASHES - 1);
    if (filter[index] === 0) continue;
    for (const word of byHash.get(index) ?? []) if (standsAt(scan, i - 2, to, word)) return true;
  }
  return false;
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
