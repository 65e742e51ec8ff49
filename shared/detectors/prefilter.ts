/**
 * The first pass: a table of byte pairs that says where it is worth to look closer.
 *
 * The scan reads two bytes and steps by two. Any three bytes in a row contain a pair at an even offset, whatever the alignment,
 * so a literal is found by marking the two pairs of one of its trigrams; a single byte (`@`) by marking every pair that has it.
 * The trigram is the one that common text has least of. No literal can be missed; what the table lets through is verified.
 */
import { ascii, hasAt, hasFoldedAt, lower } from './bytes.ts';
import type { LiteralRule, Matcher } from './rule.ts';
import type { Scan } from './span.ts';

/** Bits of the table: which kinds of candidates a pair may begin or belong to. */
export const PAIR_DIGITS = 1;
export const PAIR_AT = 2;
export const PAIR_LITERAL = 4;
export const PAIR_COLON = 8;

interface Entry {
  literal: Uint8Array;
  fold: boolean;
  /** Distance from the literal's start to the pair. */
  offset: number;
  match: Matcher;
}

export interface Prefilter {
  /** Index: first byte | second byte << 8. */
  pairs: Uint8Array;
  /** Runs the matchers of every literal whose sampled pair stands at `at`. */
  literals(scan: Scan, at: number): void;
}

/** How common a byte is in the text that passes a gateway: logs, JSON, SQL rows, prose. Higher is more common. */
function commonness(byte: number): number {
  const character = String.fromCharCode(byte);
  const rank = ' etaoinsrhdlucmfpgwybvkxjqz'.indexOf(character);
  if (rank >= 0) return 30 - rank;
  if (character >= '0' && character <= '9') return 18;
  if ('.,:"-/='.includes(character)) return 14;
  if (character >= 'A' && character <= 'Z') return 7;
  return 5;
}

function pairCost(a: number, b: number, fold: boolean): number {
  return Math.exp((commonness(a) + commonness(b)) / 6) * (fold ? 1.1 : 1);
}

/** Start of the trigram of `literal` that common text has least of. */
function rarestTrigram(literal: Uint8Array, fold: boolean): number {
  let best = 0;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 2 < literal.length; i++) {
    const a = literal[i] as number;
    const b = literal[i + 1] as number;
    const c = literal[i + 2] as number;
    const cost = pairCost(a, b, fold) + pairCost(b, c, fold);
    if (cost < bestCost) {
      bestCost = cost;
      best = i;
    }
  }
  return best;
}

function cases(byte: number, fold: boolean): number[] {
  return fold && byte >= 97 && byte <= 122 ? [byte, byte - 32] : [byte];
}

/**
 * @param rules literals of three bytes or more.
 * @param classes bits of what else the table marks: PAIR_DIGITS, PAIR_AT, PAIR_COLON.
 * @throws {RangeError} for a literal shorter than three bytes: the stride could step over it.
 */
export function buildPrefilter(
  rules: readonly (Omit<LiteralRule, 'literal'> & { literal: string | Uint8Array })[],
  classes: number,
): Prefilter {
  const pairs = new Uint8Array(65536);
  const buckets = new Map<number, Entry[]>();
  const mark = (first: number, second: number, bit: number): void => {
    const index = first | (second << 8);
    pairs[index] = (pairs[index] as number) | bit;
  };
  for (const rule of rules) {
    const literal = typeof rule.literal === 'string' ? ascii(rule.literal) : rule.literal;
    if (literal.length < 3) throw new RangeError(`the literal of ${rule.detector} is shorter than three bytes`);
    const fold = rule.fold === true;
    const trigram = rarestTrigram(literal, fold);
    for (const offset of [trigram, trigram + 1]) {
      const entry: Entry = { literal, fold, offset, match: rule.match };
      for (const first of cases(literal[offset] as number, fold)) {
        for (const second of cases(literal[offset + 1] as number, fold)) {
          mark(first, second, PAIR_LITERAL);
          const index = first | (second << 8);
          const bucket = buckets.get(index);
          if (bucket === undefined) buckets.set(index, [entry]);
          else if (!bucket.includes(entry)) bucket.push(entry);
        }
      }
    }
  }
  if (classes & PAIR_AT) {
    for (let other = 0; other < 256; other++) {
      mark(64, other, PAIR_AT);
      mark(other, 64, PAIR_AT);
    }
  }
  if (classes & PAIR_DIGITS) {
    for (let a = 48; a <= 57; a++) {
      for (let b = 48; b <= 57; b++) mark(a, b, PAIR_DIGITS);
      // An address such as 1.2.3.4 has no two digits in a row.
      mark(a, 46, PAIR_DIGITS);
      mark(46, a, PAIR_DIGITS);
    }
  }
  if (classes & PAIR_COLON) {
    for (const hex of '0123456789abcdefABCDEF:') {
      mark(hex.charCodeAt(0), 58, PAIR_COLON);
      mark(58, hex.charCodeAt(0), PAIR_COLON);
    }
  }
  const bucketOf = new Uint16Array(65536);
  const lists: Entry[][] = [[]];
  for (const [index, entries] of buckets) {
    bucketOf[index] = lists.length;
    lists.push(entries);
  }
  return {
    pairs,
    literals(scan, at) {
      const bytes = scan.bytes;
      const entries = lists[bucketOf[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number] as Entry[];
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[i] as Entry;
        const from = at - entry.offset;
        if (from < scan.start) continue;
        const first = bytes[from] as number;
        if ((entry.fold ? lower(first) : first) !== entry.literal[0]) continue;
        if (entry.fold ? hasFoldedAt(bytes, from, scan.end, entry.literal) : hasAt(bytes, from, scan.end, entry.literal))
          entry.match(scan, from);
      }
    },
  };
}
