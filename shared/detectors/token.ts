/**
 * Tokens with a vendor's own form, written as a pattern of literals and bounded runs: `ghp_<a:36>`, `xoxb-<d:10-13>-<a:24>`.
 *
 * A run is greedy and never given back, so a match costs at most the pattern's greatest length. The run's class letters are in
 * RUN_CLASSES. There is no alternation and no repetition of groups: write another pattern instead.
 */
import {
  ALNUM,
  ALPHA,
  ascii,
  BASE32,
  BASE64,
  BASE64URL,
  CLASS,
  DIGIT,
  DOT,
  EQUALS,
  HEX_LOWER,
  HEX_UPPER,
  hasAt,
  is,
  LOWER,
  PERCENT,
  PLUS_SLASH,
  runStart,
  TILDE,
  UPPER,
  WORD,
} from './bytes.ts';
import { entropy } from './entropy.ts';
import type { LiteralRule, Matcher } from './rule.ts';
import { PRIORITY, type Scan } from './span.ts';

const RUN_CLASSES: Readonly<Record<string, number>> = {
  d: DIGIT,
  h: HEX_LOWER,
  H: HEX_LOWER | HEX_UPPER,
  u: UPPER | DIGIT,
  U: UPPER,
  l: LOWER | DIGIT,
  p: ALPHA,
  a: ALNUM,
  w: WORD,
  b: BASE64URL,
  B: BASE64,
  E: BASE64 | EQUALS,
  e: EQUALS,
  q: BASE64URL | EQUALS,
  '2': BASE32,
  '.': BASE64URL | DOT,
  '%': ALNUM | PERCENT,
  c: ALNUM | DOT | PLUS_SLASH, // crypt(3)'s alphabet, and `+`
  '~': BASE64URL | DOT | TILDE,
  t: BASE64URL | DOT | EQUALS,
};

type Segment = { literal: Uint8Array } | { mask: number; min: number; max: number };

/** A pattern ready to match at a position. */
export interface TokenPattern {
  /** The longest leading or inner literal, for the prefilter, and its distance from the token's start. */
  anchor: string;
  anchorOffset: number;
  /** End of the token that starts at `at`, or -1. */
  end(bytes: Uint8Array, at: number, limit: number): number;
  /** Classes of the bytes that must not follow. */
  tail: number;
}

/**
 * @param source literals and runs `<class:min-max>` or `<class:length>`.
 * @throws {RangeError} for a pattern without a literal of three bytes at a fixed distance from its start.
 */
export function tokenPattern(source: string): TokenPattern {
  const segments: Segment[] = [];
  let tail = ALNUM;
  let anchor = '';
  let anchorOffset = 0;
  let distance = 0;
  let fixed = true;
  for (const part of source.match(/<[^>]*>|[^<]+/g) ?? []) {
    if (!part.startsWith('<')) {
      segments.push({ literal: ascii(part) });
      if (fixed && part.length > anchor.length) {
        anchor = part;
        anchorOffset = distance;
      }
      distance += part.length;
      tail = ALNUM;
      continue;
    }
    const [kind = '', range = ''] = part.slice(1, -1).split(':');
    const mask = RUN_CLASSES[kind];
    if (mask === undefined) throw new RangeError(`unknown class in token pattern ${source}`);
    const [min = '', max = min] = range.split('-');
    segments.push({ mask, min: Number(min), max: Number(max) });
    if (min === max) distance += Number(min);
    else fixed = false;
    tail = mask & ~EQUALS;
  }
  if (anchor.length < 3) throw new RangeError(`token pattern ${source} has no literal of three bytes at a fixed place`);
  return {
    anchor,
    anchorOffset,
    tail,
    end(bytes, at, limit) {
      let position = at;
      for (let s = 0; s < segments.length; s++) {
        const segment = segments[s] as Segment;
        if ('literal' in segment) {
          const literal = segment.literal;
          if (position + literal.length > limit) return -1;
          for (let i = 0; i < literal.length; i++) if (bytes[position + i] !== literal[i]) return -1;
          position += literal.length;
          continue;
        }
        const { mask, max } = segment;
        const stop = Math.min(position + max, limit);
        let run = position;
        while (run < stop && ((CLASS[bytes[run] as number] as number) & mask) !== 0) run++;
        if (run - position < segment.min) return -1;
        position = run;
      }
      return position;
    },
  };
}

export interface TokenOptions {
  /** Least Shannon entropy in bits a byte; default 2.5, which only stops fillers such as `xxxx`. */
  entropy?: number;
  /** A checksum or a decoding of the whole token; left out in wire mode. */
  check?: (bytes: Uint8Array, start: number, end: number) => boolean;
  /** The token is the end of an address whose host and scheme belong to it. */
  address?: boolean;
  priority?: number;
}

/** A literal rule for a token pattern. The token must not continue a word, nor be continued by one. */
export function token(detector: string, source: string, options: TokenOptions = {}): LiteralRule {
  const pattern = tokenPattern(source);
  const least = options.entropy ?? 2.5;
  const { check } = options;
  const isAddress = options.address === true;
  const priority = options.priority ?? PRIORITY.vendor;
  const match: Matcher = (scan: Scan, at: number) => {
    const start = at - pattern.anchorOffset;
    if (start < scan.start) return;
    let end = pattern.end(scan.bytes, start, scan.end);
    if (end < 0) return;
    // The full stop of a sentence is no part of a token.
    while (scan.bytes[end - 1] === 46) end--;
    if (!scan.wire) {
      if (!isAddress && is(scan.byte(start - 1), ALNUM) && !escapeBefore(scan, start)) return;
      if (is(scan.byte(end), pattern.tail)) return;
      if (least > 0 && entropy(scan.bytes, start, end) < least) return;
      if (check !== undefined && !check(scan.bytes, start, end)) return;
    }
    scan.add(isAddress ? addressStart(scan, start) : start, end, detector, priority);
  };
  return { detector, literal: pattern.anchor, match };
}

/** Start of the address that goes on at `at`: back over the host's labels and `https://`. */
function addressStart(scan: Scan, at: number): number {
  const host = runStart(scan.bytes, at, Math.max(scan.start, at - 100), BASE64URL | DOT);
  for (const scheme of SCHEMES)
    if (hasAt(scan.bytes, host - scheme.length, scan.end, scheme) && host - scheme.length >= scan.start) return host - scheme.length;
  return host;
}

const SCHEMES = [ascii('https://'), ascii('http://')];

/** Whether the letter before `at` belongs to an escape (`\n`, `\t`, `%20`, `\u003d`) and is no part of a word. */
export function escapeBefore(scan: Scan, at: number): boolean {
  const previous = scan.byte(at - 1);
  if ((previous === 110 || previous === 116 || previous === 114) && scan.byte(at - 2) === 92) return true;
  if (is(previous, HEX_LOWER | HEX_UPPER) && is(scan.byte(at - 2), HEX_LOWER | HEX_UPPER)) {
    if (scan.byte(at - 3) === 37) return true;
    if (scan.byte(at - 5) === 117 && scan.byte(at - 6) === 92) return true;
  }
  return false;
}
