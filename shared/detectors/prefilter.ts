/**
 * The first pass: a table over pairs of bytes that says where it is worth to look closer.
 *
 * The scan reads two bytes and steps by two. For each kind of candidate (a bit) the table says which pairs may begin it (low byte)
 * and which may follow (high byte); a candidate is where a pair that may begin is followed by one that may follow. A literal of
 * five bytes or more has two whole pairs in a row at either alignment, so four of its bytes are tested; of the window of five
 * that common text has least of. A shorter literal is tested with what it has. No literal can be missed; what the table lets
 * through is compared byte by byte.
 */
import { ascii, CLASS, HEX_LOWER, HEX_UPPER, lower } from './bytes.ts';
import type { LiteralRule, Matcher } from './rule.ts';
import type { Scan } from './span.ts';

/** Kinds of candidates: digits in a row, `@`, colons between hexadecimal digits, and literals in groups by length. */
export const DIGITS_BIT = 1;
export const AT_BIT = 2;
export const COLON_BIT = 4;
const SHORT_BITS = [8, 16] as const;
const LONG_BITS = [32, 64, 128] as const;
const SHORT_MASK = 8 | 16;
const LONG_MASK = 32 | 64 | 128;
export const LITERAL_BITS = SHORT_MASK | LONG_MASK;

interface Entry {
  literal: Uint8Array;
  fold: boolean;
  /** Distance from the literal's start to the sampled pair. */
  offset: number;
  match: Matcher;
}

export interface Prefilter {
  /** Index: first byte | second byte << 8. Low byte: kinds that the pair may begin; high byte: kinds that it may follow in. */
  table: Uint16Array;
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

/** Bytes of IPv6 addresses: 2 the colon, 1 a hexadecimal digit. */
const inAddress: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 58 ? 2 : ((CLASS[byte] as number) & (HEX_LOWER | HEX_UPPER)) !== 0 ? 1 : 0,
);

/**
 * @param rules literals of three bytes or more.
 * @param kinds what else the table marks: DIGITS_BIT, AT_BIT, COLON_BIT.
 * @throws {RangeError} for a literal shorter than three bytes: the stride could step over it.
 */
export function buildPrefilter(
  rules: readonly (Omit<LiteralRule, 'literal'> & { literal: string | Uint8Array })[],
  kinds: number,
): Prefilter {
  const table = new Uint16Array(65536);
  /** Short literals by their pair, long ones by a hash of two pairs. */
  const buckets = new Map<number, Entry[]>();
  const quads = new Map<number, Entry[]>();
  const begins = (a: number, b: number, bit: number): void => {
    const index = a | (b << 8);
    table[index] = (table[index] as number) | bit;
  };
  const follows = (a: number, b: number, bit: number): void => begins(a, b, bit << 8);
  const followsAny = (bit: number): void => {
    for (let index = 0; index < 65536; index++) table[index] = (table[index] as number) | (bit << 8);
  };
  const literals = rules.map(rule => ({ ...rule, bytes: typeof rule.literal === 'string' ? ascii(rule.literal) : rule.literal }));
  const longs = literals.filter(rule => rule.bytes.length >= 5).length;
  let longIndex = 0;
  for (const { bytes, detector, match, fold: folds } of literals.toSorted((a, b) => compareBytes(a.bytes, b.bytes))) {
    if (bytes.length < 3) throw new RangeError(`the literal of ${detector} is shorter than three bytes`);
    const fold = folds === true;
    const width = Math.min(5, bytes.length);
    const window = rarestWindow(bytes, width, fold);
    // Neighbours in the alphabet share a bit, so that a bit's pairs are alike and few.
    const bit =
      width === 5 ? (LONG_BITS[Math.floor((longIndex++ * LONG_BITS.length) / longs)] as number) : (SHORT_BITS[width - 3] as number);
    for (const offset of [window, window + 1]) {
      const entry: Entry = { literal: bytes, fold, offset, match };
      const at = (k: number): readonly number[] => {
        const byte = offset + k < window + width ? bytes[offset + k] : undefined;
        return byte === undefined ? EVERY_BYTE : cases(byte, fold);
      };
      for (const a of at(0)) {
        for (const b of at(1)) {
          begins(a, b, bit);
          if (width < 5) put(buckets, a | (b << 8), entry);
        }
      }
      if (width === 5)
        put(
          quads,
          quadHash(bytes[offset] as number, bytes[offset + 1] as number, bytes[offset + 2] as number, bytes[offset + 3] as number),
          entry,
        );
      if (at(2) === EVERY_BYTE) followsAny(bit);
      else for (const c of at(2)) for (const d of at(3)) follows(c, d, bit);
    }
  }
  if (kinds & AT_BIT) {
    for (const other of EVERY_BYTE) {
      begins(64, other, AT_BIT);
      begins(other, 64, AT_BIT);
    }
    followsAny(AT_BIT);
  }
  for (const a of EVERY_BYTE) {
    for (const b of EVERY_BYTE) {
      if (kinds & DIGITS_BIT && isDigitPair(a, b)) {
        begins(a, b, DIGITS_BIT);
        follows(a, b, DIGITS_BIT);
      }
      if (kinds & COLON_BIT && (inAddress[a] as number) > 0 && (inAddress[b] as number) > 0) {
        if (a === 58 || b === 58) begins(a, b, COLON_BIT);
        follows(a, b, COLON_BIT);
      }
    }
  }
  const [bucketOf, lists] = indexed(buckets, 65536);
  const [quadOf, quadLists] = indexed(quads, QUAD_HASHES);
  return {
    table,
    literals(scan, at, kinds) {
      const { bytes } = scan;
      const a = bytes[at] as number;
      const b = bytes[at + 1] as number;
      if ((kinds & SHORT_MASK) !== 0) compareAll(scan, at, lists[bucketOf[a | (b << 8)] as number] as Entry[]);
      if ((kinds & LONG_MASK) !== 0) {
        const bucket = quadOf[quadHash(a, b, bytes[at + 2] as number, bytes[at + 3] as number)] as number;
        if (bucket !== 0) compareAll(scan, at, quadLists[bucket] as Entry[]);
      }
    },
  };
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

const QUAD_HASHES = 1 << 14;

/** Letters of both cases fall together. */
function quadHash(a: number, b: number, c: number, d: number): number {
  return Math.imul((a << 24) | (b << 16) | (c << 8) | d | 0x20202020, 0x9e3779b1) >>> 18;
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

const EVERY_BYTE: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte);

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
