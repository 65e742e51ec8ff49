/**
 * The first pass: a table over pairs of bytes that says where it is worth to look closer.
 *
 * The scan reads two bytes and steps by two. For each kind of candidate (a bit) the table says which pairs may begin it and which
 * may follow; a candidate is where a pair that may begin is followed by one that may follow. Of a literal of five bytes or more
 * four bytes are tested at either alignment (those of its windows of five that common text has least of), of a shorter one three
 * or four. Literals share a few bits; each is put where it makes least candidates in common text. No literal can be missed; what
 * the table lets through is compared byte by byte.
 */
import { ascii, lower } from './bytes.ts';
import { numberClass } from './number-automaton.ts';
import type { LiteralRule, Matcher } from './rule.ts';
import type { Scan } from './span.ts';

/** Kinds of candidates: digits in a row, `@`, colons, and literals in groups by length. */
export const DIGITS_BIT = 1;
/** In place of digits in a row, where the numbers' automaton runs beside the table: a digit behind `+` or `(`. */
export const PREFIX_BIT = 1;
export const AT_BIT = 2;
export const COLON_BIT = 4;
/** Two pairs of a literal; a literal's first byte and the pair behind it; a literal's first pair and the byte behind it. */
const QUAD_BITS: readonly number[] = [8, 16, 32, 64];
const LATE_BITS: readonly number[] = [128, 256, 512];
const EARLY_BITS: readonly number[] = [1024, 2048];
export const QUAD_MASK = 8 | 16 | 32 | 64;
export const LATE_MASK = 128 | 256 | 512;
export const EARLY_MASK = 1024 | 2048;
export const LITERAL_BITS = QUAD_MASK | LATE_MASK | EARLY_MASK;

/** Layout of an entry of the table: kinds that the pair may begin, kinds that it may follow in, classes for the numbers' automaton. */
export const KINDS = 0xfff;
export const FOLLOW_SHIFT = 12;
export const CLASSES_SHIFT = 25;

/** Literals' sampled bytes by hash: that four bytes are a pair of pairs of one, or three bytes of each of the shorter kinds. */
export const HASH_BITS = 14;
export const HASH_FACTOR = 0x9e3779b1 | 0;
export const HASH_QUAD = 1;
export const HASH_LATE = 2;
export const HASH_EARLY = 4;

interface Entry {
  literal: Uint8Array;
  fold: boolean;
  /** Distance from the literal's start to the sampled pair. */
  offset: number;
  match: Matcher;
}

export interface Prefilter {
  /**
   * Index: first byte | second byte << 8. From the lowest bit up: KINDS that the pair may begin; from FOLLOW_SHIFT on those that it
   * may follow in; from CLASSES_SHIFT on the two bytes' classes for the numbers' automaton.
   */
  table: Int32Array;
  /** Hash of sampled bytes → HASH_QUAD, HASH_LATE, HASH_EARLY. */
  hashes: Uint8Array;
  /** Runs the matchers of every literal of which the pair at `at` is the sampled one; `kinds` are the candidate's bits. */
  literals(scan: Scan, at: number, kinds: number): void;
}

/** A little of what passes a gateway, to tell common pairs of bytes from rare ones. */
const SAMPLE = `
2025-03-14T09:26:53.589Z INFO [http.server] request_id=550e8400-e29b-41d4-a716-446655440000 method=GET path=/api/users/42 status=200
2025-12-01 10:11:12,345 ERROR db.pool: connection to server at "10.0.0.5", port 5432 failed: timeout expired after 30000 ms
{"id":123456,"name":"Some Name","created_at":"2024-11-05T12:00:00Z","amount":19.99,"active":true,"tags":["one","two"],"note":null}
the quick brown fox jumps over the lazy dog and then it was said that which would there be people with other things from here about what
when could this have been in their house before people who were there on that day found their own way through the large country and state
export function total(items) { return items.reduce((a, b) => a + b.price * b.count, 0); } // the sum of all prices, without tax
SELECT id, name, created_at, updated_at FROM orders WHERE status = 'open' AND customer_id = 17 ORDER BY created_at LIMIT 100;
import os, sys; self.assertEqual(response.status_code, 200); const value = await client.query(text, params); <div class="item">
Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua
iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg
da39a3ee5e6b4b0d3255bfef95601890afd80709 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
customer order product account address country status number total price shipping delivered pending cancelled created updated deleted
`;

const sampleCounts: Uint16Array = (() => {
  const counts = new Uint16Array(65536);
  for (let i = 0; i + 1 < SAMPLE.length; i++) {
    const index = SAMPLE.charCodeAt(i) | (SAMPLE.charCodeAt(i + 1) << 8);
    counts[index] = (counts[index] as number) + 1;
  }
  return counts;
})();

/** How often a pair of bytes is met, in no unit: every pair may be. */
const pairWeight: Float64Array = Float64Array.from(sampleCounts, count => 0.05 + count);

function pairCost(a: number, b: number, fold: boolean): number {
  let cost = 0;
  for (const first of cases(a, fold)) {
    for (const second of cases(b, fold)) cost += 0.2 + (sampleCounts[first | (second << 8)] as number);
  }
  return cost;
}

/** Start of the window of `width` bytes of `literal` that common text has least of. */
function rarestWindow(literal: Uint8Array, width: number, fold: boolean): number {
  let best = 0;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i + width <= literal.length; i++) {
    let cost = 0;
    for (let k = 0; k + 1 < Math.min(width, 4); k++)
      cost += Math.log(1 + pairCost(literal[i + k] as number, literal[i + k + 1] as number, fold));
    if (cost < bestCost) {
      bestCost = cost;
      best = i;
    }
  }
  return best;
}

function cases(byte: number, fold: boolean): readonly number[] {
  return fold && byte >= 97 && byte <= 122 ? [byte, byte - 32] : [byte];
}

const EVERY_BYTE: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte);

const SEPARATORS = ascii(' -./+()');

/** Bytes as they occur in forms: 2 a digit, 1 what may stand beside one (a separator, a capital). */
const besideDigit: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 48 && byte <= 57 ? 2 : SEPARATORS.includes(byte) || (byte >= 65 && byte <= 90) ? 1 : 0,
);

/** Pairs of a number's inside: a digit, and a digit, a separator or a capital beside it. */
function isDigitPair(a: number, b: number): boolean {
  const first = besideDigit[a] as number;
  const second = besideDigit[b] as number;
  return first + second >= 3;
}

const separatorBytes: ReadonlySet<number> = new Set(SEPARATORS);
const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;
const isPrefix = (byte: number): boolean => byte === 43 || byte === 40;

/**
 * @param rules literals of three bytes or more.
 * @param kinds what else the table marks: DIGITS_BIT, AT_BIT, COLON_BIT.
 * @param digits whether that is digits in a row or, where the numbers' automaton runs as well, only those behind a `+` or `(`.
 * @param table where the table is put: 65,536 zeros.
 * @param hashes where the hashes are put: as many zeros as HASH_BITS can name.
 * @throws {RangeError} for a literal shorter than three bytes: the stride could step over it.
 */
export function buildPrefilter(
  rules: readonly (Omit<LiteralRule, 'literal'> & { literal: string | Uint8Array })[],
  kinds: number,
  digits: 'all' | 'prefixed',
  table: Int32Array = new Int32Array(65_536),
  hashes: Uint8Array = new Uint8Array(1 << HASH_BITS),
): Prefilter {
  const flag = (hash: number, bit: number): void => {
    hashes[hash] = (hashes[hash] as number) | bit;
  };
  const mark = (a: number, b: number, bits: number): void => {
    const index = a | (b << 8);
    table[index] = (table[index] as number) | bits;
  };
  const begins = mark;
  const follows = (a: number, b: number, bits: number): void => mark(a, b, bits << FOLLOW_SHIFT);
  const followsAny = (bit: number): void => {
    for (let index = 0; index < 65536; index++) table[index] = (table[index] as number) | (bit << FOLLOW_SHIFT);
  };
  const quads = new Map<number, Entry[]>();
  const late = new Map<number, Entry[]>();
  const early = new Map<number, Entry[]>();
  const samples: Sample[] = [];
  for (const { literal, detector, match, fold: folds } of rules) {
    const bytes = typeof literal === 'string' ? ascii(literal) : literal;
    if (bytes.length < 3) throw new RangeError(`the literal of ${detector} is shorter than three bytes`);
    const fold = folds === true;
    const at = (k: number): readonly number[] => cases(bytes[k] as number, fold);
    const quad = (offset: number): void => {
      const entry = { literal: bytes, fold, offset, match };
      const hash = quadHash(bytes[offset] as number, bytes[offset + 1] as number, bytes[offset + 2] as number, bytes[offset + 3] as number);
      put(quads, hash, entry);
      flag(hash, HASH_QUAD);
      samples.push({ bits: QUAD_BITS, first: pairs(at(offset), at(offset + 1)), second: pairs(at(offset + 2), at(offset + 3)) });
    };
    if (bytes.length >= 5) {
      const window = rarestWindow(bytes, 5, fold);
      quad(window);
      quad(window + 1);
      continue;
    }
    const short = tripleHash(bytes[0] as number, bytes[1] as number, bytes[2] as number);
    flag(short, HASH_LATE);
    flag(short, HASH_EARLY);
    if (bytes.length === 4) quad(0);
    else {
      for (const pair of pairs(at(0), at(1))) put(early, pair, { literal: bytes, fold, offset: 0, match });
      samples.push({ bits: EARLY_BITS, first: pairs(at(0), at(1)), second: pairs(at(2), EVERY_BYTE) });
    }
    for (const pair of pairs(at(1), at(2))) put(late, pair, { literal: bytes, fold, offset: -1, match });
    samples.push({ bits: LATE_BITS, first: pairs(EVERY_BYTE, at(0)), second: pairs(at(1), at(2)) });
  }
  for (const [bit, { first, second }] of shareBits(samples)) {
    for (const pair of first) begins(pair & 255, pair >>> 8, bit);
    for (const pair of second) follows(pair & 255, pair >>> 8, bit);
  }
  if (kinds & AT_BIT) {
    for (const other of EVERY_BYTE) {
      begins(64, other, AT_BIT);
      begins(other, 64, AT_BIT);
    }
    followsAny(AT_BIT);
  }
  if (kinds & COLON_BIT) followsAny(COLON_BIT);
  for (const a of EVERY_BYTE) {
    for (const b of EVERY_BYTE) {
      const index = a | (b << 8);
      table[index] = (table[index] as number) | ((((numberClass[a] as number) << 3) | (numberClass[b] as number)) << CLASSES_SHIFT);
      if (kinds & DIGITS_BIT && digits === 'prefixed') {
        if (isPrefix(a) && isDigit(b)) begins(a, b, PREFIX_BIT);
        else if (isPrefix(b)) begins(a, b, PREFIX_BIT);
        if (isDigit(a)) follows(a, b, PREFIX_BIT);
        else if (a === 41 || separatorBytes.has(a)) follows(a, b, PREFIX_BIT);
      } else if (kinds & DIGITS_BIT && isDigitPair(a, b)) {
        begins(a, b, DIGITS_BIT);
        follows(a, b, DIGITS_BIT);
      }
      if (kinds & COLON_BIT && (a === 58 || b === 58)) begins(a, b, COLON_BIT);
    }
  }
  const [quadOf, quadLists] = indexed(quads, 1 << HASH_BITS);
  const [lateOf, lateLists] = indexed(late, 65536);
  const [earlyOf, earlyLists] = indexed(early, 65536);
  return {
    table,
    hashes,
    literals(scan, at, kinds) {
      const { bytes } = scan;
      const a = bytes[at] as number;
      const b = bytes[at + 1] as number;
      const c = bytes[at + 2] as number;
      const d = bytes[at + 3] as number;
      if ((kinds & QUAD_MASK) !== 0) {
        const bucket = quadOf[quadHash(a, b, c, d)] as number;
        if (bucket !== 0) compareAll(scan, at, quadLists[bucket] as Entry[]);
      }
      if ((kinds & LATE_MASK) !== 0) {
        const bucket = lateOf[c | (d << 8)] as number;
        if (bucket !== 0) compareAll(scan, at, lateLists[bucket] as Entry[]);
      }
      if ((kinds & EARLY_MASK) !== 0) {
        const bucket = earlyOf[a | (b << 8)] as number;
        if (bucket !== 0) compareAll(scan, at, earlyLists[bucket] as Entry[]);
      }
    },
  };
}

/** Pairs of bytes as indices of the table. */
function pairs(first: readonly number[], second: readonly number[]): number[] {
  const result: number[] = [];
  for (const a of first) for (const b of second) result.push(a | (b << 8));
  return result;
}

/** What is tested of a literal at one alignment, and the bits that may stand for it. */
interface Sample {
  bits: readonly number[];
  first: readonly number[];
  second: readonly number[];
}

/** Gives each sample the bit that makes least candidates in common text, the worst sample first. */
function* shareBits(samples: readonly Sample[]): Generator<[number, Sample]> {
  const weight = (indices: readonly number[]): number => {
    let sum = 0;
    for (const index of indices) sum += pairWeight[index] as number;
    return sum;
  };
  const seen = new Map<string, number>();
  const first = new Map<number, { seen: Uint8Array; weight: number }>();
  const second = new Map<number, { seen: Uint8Array; weight: number }>();
  const sideOf = (sides: typeof first, bit: number): { seen: Uint8Array; weight: number } => {
    let side = sides.get(bit);
    if (side === undefined) {
      side = { seen: new Uint8Array(65536), weight: 0 };
      sides.set(bit, side);
    }
    return side;
  };
  const added = (side: { seen: Uint8Array }, indices: readonly number[]): number => {
    let sum = 0;
    for (const index of indices) if (side.seen[index] === 0) sum += pairWeight[index] as number;
    return sum;
  };
  const order = samples.map(sample => ({ sample, cost: weight(sample.first) * weight(sample.second) })).sort((a, b) => b.cost - a.cost);
  for (const { sample } of order) {
    const key = `${sample.bits[0]}:${sample.first.length}:${sample.first[0]}:${sample.second.length}:${sample.second[0]}`;
    let best = seen.get(key);
    if (best === undefined) {
      let least = Number.POSITIVE_INFINITY;
      for (const bit of sample.bits) {
        const a = sideOf(first, bit);
        const b = sideOf(second, bit);
        const more = (a.weight + added(a, sample.first)) * (b.weight + added(b, sample.second)) - a.weight * b.weight;
        if (more >= least) continue;
        least = more;
        best = bit;
      }
      if (best === undefined) throw new RangeError('a sample without bits');
      for (const [sides, indices] of [
        [first, sample.first],
        [second, sample.second],
      ] as const) {
        const side = sideOf(sides, best);
        side.weight += added(side, indices);
        for (const index of indices) side.seen[index] = 1;
      }
      seen.set(key, best);
    }
    yield [best, sample];
  }
}

function compareAll(scan: Scan, at: number, entries: readonly Entry[]): void {
  const { bytes, start, end } = scan;
  for (let i = 0; i < entries.length; i++) {
    const { literal, offset, fold, match } = entries[i] as Entry;
    const from = at - offset;
    if (from < start || from + literal.length > end) continue;
    let k = 0;
    if (fold) while (k < literal.length && lower(bytes[from + k] as number) === literal[k]) k++;
    else while (k < literal.length && bytes[from + k] === literal[k]) k++;
    if (k === literal.length) match(scan, from);
  }
}

/** Letters of both cases fall together. */
function quadHash(a: number, b: number, c: number, d: number): number {
  return Math.imul(a | (b << 8) | (c << 16) | (d << 24) | 0x20202020, HASH_FACTOR) >>> (32 - HASH_BITS);
}

function tripleHash(a: number, b: number, c: number): number {
  return Math.imul(a | (b << 8) | (c << 16) | 0x202020, HASH_FACTOR) >>> (32 - HASH_BITS);
}

function put(buckets: Map<number, Entry[]>, index: number, entry: Entry): void {
  const bucket = buckets.get(index);
  if (bucket === undefined) buckets.set(index, [entry]);
  else if (!bucket.includes(entry)) bucket.push(entry);
}

/** A map with small keys as a table of indices into a list; index 0 is empty. */
function indexed(buckets: ReadonlyMap<number, Entry[]>, size: number): [Uint16Array, Entry[][]] {
  const table = new Uint16Array(size);
  const lists: Entry[][] = [[]];
  for (const [index, entries] of buckets) {
    table[index] = lists.length;
    lists.push(entries);
  }
  return [table, lists];
}
