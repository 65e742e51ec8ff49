/**
 * The detectors' engine: bytes in, byte spans out, in one pass and in time linear in the input.
 *
 * `scan` is for one value, `mightMatch` and `nextCandidate` for a piece of a wire buffer with many values. Masking is in
 * ../masking; values split across chunks are in stream.ts.
 */

import { GatewayError } from '../errors.ts';
import { builtinForms, builtinHooks, builtinLiterals } from './builtin.ts';
import { DIGIT, is } from './bytes.ts';
import { type CompiledCustomDetector, type CustomDetector, compileCustomDetector } from './custom/custom-detector.ts';
import { type Decoded, decodeEscapes, decodeHex, ESCAPE_MARKS } from './decoded.ts';
import { matchEmail } from './email.ts';
import { buildForms, type FormTable } from './forms.ts';
import type { KnownCredentials } from './known-credentials.ts';
import { expandDetectors, isDetectorOrGroup } from './names.ts';
import { BEFORE_WORD } from './number-automaton.ts';
import { BEFORE_BYTES, BEHIND_BYTES, CHUNK_BYTES, createPass, IBAN_REPORT, NUMBER_REPORT, type Pass, REPORT_SHIFT } from './pass.ts';
import { matchColon } from './personal/ip-address.ts';
import {
  AT_BIT,
  buildPrefilter,
  CLASSES_SHIFT,
  COLON_BIT,
  DIGITS_BIT,
  FOLLOW_SHIFT,
  KINDS,
  LITERAL_BITS,
  PREFIX_BIT,
  type Prefilter,
} from './prefilter.ts';
import type { LiteralRule } from './rule.ts';
import { NO_SPANS, PRIORITY, Scan, type Span } from './span.ts';

export type { CustomDetector } from './custom/custom-detector.ts';
export type { Span } from './span.ts';

export interface DetectorOptions {
  /** What `known-credentials` looks for; without it that detector finds nothing. */
  known?: KnownCredentials;
  /** Users' own detectors; those that `names` has are used. */
  custom?: readonly CustomDetector[];
}

/** A compiled choice of detectors. Not to be shared between threads; every call is synchronous. */
export interface DetectorSet {
  readonly names: readonly string[];
  /** Bytes of the longest value that is looked for as it is: known credentials in their forms. */
  readonly reachBytes: number;
  /**
   * Findings in one value: bytes [start, end) and nothing outside of them.
   * @returns byte offsets into `bytes`, sorted, without overlap; the same empty array whenever there are none.
   */
  scan(bytes: Uint8Array, start: number, end: number): readonly Span[];
  /** The same over a text; offsets are UTF-16 code units. */
  scanText(text: string): readonly Span[];
  /**
   * Whether any value inside of [start, end) may hold a finding, wherever the values begin and end. May be wrongly true, never
   * wrongly false for values that lie wholly inside of the window.
   */
  mightMatch(bytes: Uint8Array, start: number, end: number): boolean;
  /**
   * Like mightMatch, with the place: a value that ends before the returned offset has no finding; -1 when none has. Scan the row
   * around the offset by its values, and go on behind it.
   */
  nextCandidate(bytes: Uint8Array, start: number, end: number): number;
}

/**
 * Compiles detectors.
 *
 * @param names built-in detectors and groups (names.ts), and names of `options.custom`.
 * @throws {GatewayError} DETECTOR_UNKNOWN for a name that is none; DETECTOR_INVALID, PATTERN_INVALID, PATTERN_TOO_LARGE for a
 *   custom detector that cannot be used.
 */
export function compileDetectors(names: readonly string[], options: DetectorOptions = {}): DetectorSet {
  const custom = new Set(options.custom?.map(detector => detector.name));
  for (const name of names) {
    if (!isDetectorOrGroup(name) && !custom.has(name)) {
      throw new GatewayError(
        'DETECTOR_UNKNOWN',
        'invalid',
        `there is no detector ${JSON.stringify(name)}; \`docs/reference/detectors.md\` lists them`,
      );
    }
  }
  return new CompiledDetectors(expandDetectors(names), options);
}

/** Below every other: what is found as it stands is named by that. */
const PRIORITY_OF_DECODED = 35;

const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
const encoder = new TextEncoder();

/** Shorter windows are not worth a copy into the pass's memory. */
const PASS_FROM = 160;

function isBesideColon(bytes: Uint8Array, at: number): boolean {
  return bytes[at - 1] === 58 || bytes[at + 1] === 58;
}

/** The next colon within the five bytes behind one; -1 without one, or when `at` is -1. */
function followingColon(bytes: Uint8Array, at: number): number {
  if (at >= 0) for (let i = at + 1; i <= at + 5; i++) if (bytes[i] === 58) return i;
  return -1;
}

class CompiledDetectors implements DetectorSet {
  readonly names: readonly string[];
  readonly reachBytes: number;
  readonly #prefilter: Prefilter;
  readonly #table: Int32Array;
  readonly #pass: Pass;
  readonly #buildWirePrefilter: () => Prefilter;
  /** For wire mode; made when first needed. */
  #wirePrefilter: Prefilter | undefined;
  readonly #forms: FormTable;
  readonly #known: KnownCredentials | undefined;
  readonly #scan = new Scan();
  readonly #custom: readonly CompiledCustomDetector[];
  /** Custom detectors whose keyword the scan in progress has seen. */
  readonly #due: Uint8Array;
  /** Whether something is to see every value, whatever the pass says. */
  readonly #seesAll: boolean;
  readonly #hasForeignLiterals: boolean;
  /** Kinds of escapes that the scan in progress has met, and where bytes written in hex begin. */
  #escapes = 0;
  /** Positions up to which the scan in progress has settled digits and colons. */
  #digitsDone = 0;
  #colonsDone = 0;
  readonly #hexRuns: number[] = [];
  /** The same detectors without decoding, for what is decoded; made when first needed. */
  readonly #options: DetectorOptions;
  readonly #isNested: boolean;
  #nested: CompiledDetectors | undefined;

  constructor(names: readonly string[], options: DetectorOptions, isNested = false) {
    this.names = names;
    this.#options = options;
    this.#isNested = isNested;
    const wanted = new Set(names);
    this.#known = wanted.has('known-credentials') ? options.known : undefined;
    this.reachBytes = (this.#known?.literals ?? []).reduce(
      (longest, { bytes, before, after }) => Math.max(longest, before + bytes.length + after),
      this.#known?.fingerprints?.reachBytes ?? 0,
    );
    const literals: (Omit<LiteralRule, 'literal'> & { literal: string | Uint8Array })[] = builtinLiterals.filter(rule =>
      wanted.has(rule.detector),
    );
    for (const { bytes, before, after } of this.#known?.literals ?? []) {
      literals.push({
        detector: 'known-credentials',
        literal: bytes,
        match: (scan, at) => scan.add(at - before, at + bytes.length + after, 'known-credentials', PRIORITY.known),
      });
    }
    this.#custom = (options.custom ?? []).filter(detector => wanted.has(detector.name)).map(compileCustomDetector);
    this.#due = new Uint8Array(this.#custom.length);
    this.#custom.forEach((detector, index) => {
      for (const literal of detector.keywords) {
        const match = (): void => {
          this.#due[index] = 1;
        };
        literals.push({ detector: detector.name, literal, fold: true, match });
      }
    });
    this.#hasForeignLiterals = this.#custom.length > 0 || (this.#known?.literals.length ?? 0) > 0;
    if (!isNested) literals.push(...this.#decoders());
    const forms = builtinForms.filter(rule => wanted.has(rule.detector));
    const hooks = builtinHooks.filter(entry => wanted.has(entry.detector)).map(entry => entry.hook);
    let classes = 0;
    if (wanted.has('email')) classes |= AT_BIT;
    if (forms.length > 0 || hooks.length > 0) classes |= DIGITS_BIT;
    if (wanted.has('ip-address')) classes |= COLON_BIT;
    this.#buildWirePrefilter = () => buildPrefilter(literals, classes, 'all');
    this.#forms = buildForms(forms, hooks);
    this.#pass = createPass(this.#forms.numbers, this.#forms.context);
    this.#table = this.#pass.table;
    this.#prefilter = buildPrefilter(literals, classes, 'prefixed', this.#table, this.#pass.hashes);
    this.#seesAll = this.#known?.fingerprints !== undefined || this.#custom.some(detector => detector.keywords.length === 0);
  }

  /** Matchers that note what is to be decoded. In wire mode the value has to be seen by itself. */
  #decoders(): LiteralRule[] {
    const marks = ESCAPE_MARKS.map(
      ({ literal, kind }): LiteralRule => ({
        detector: 'decoded',
        literal,
        match: (scan, at) => {
          this.#escapes |= kind;
          if (scan.wire) scan.add(Math.max(scan.start, at - 1), at + literal.length, 'decoded', 0);
        },
      }),
    );
    const hex = Array.from(
      '0123456789abcdefABCDEF',
      (digit): LiteralRule => ({
        detector: 'decoded',
        literal: `\\x${digit}`,
        match: (scan, at) => {
          const settled = this.#hexRuns.at(-1);
          if (settled === undefined || settled < at) this.#hexRuns.push(at + 2);
          if (scan.wire) scan.add(at, at + 3, 'decoded', 0);
        },
      }),
    );
    return [...marks, ...hex];
  }

  #scanDecoded(scan: Scan): void {
    const { bytes, start, end } = scan;
    this.#nested ??= new CompiledDetectors(this.names, this.#options, true);
    const nested = this.#nested;
    const add = ({ bytes: inner, length, offsets }: Decoded): void => {
      for (const span of nested.#matches(inner, 0, length)) {
        scan.add(offsets[span.start] as number, offsets[span.end] as number, span.detector, PRIORITY_OF_DECODED);
      }
    };
    if (this.#escapes !== 0) add(decodeEscapes(bytes, start, end, this.#escapes));
    for (const at of this.#hexRuns) {
      const decoded = decodeHex(bytes, at, end);
      if (decoded !== undefined) add(decoded);
    }
  }

  scan(bytes: Uint8Array, start: number, end: number): readonly Span[] {
    if (end - start >= PASS_FROM || this.#seesAll) return this.#matches(bytes, start, end);
    // A short value, of which most hold nothing: the pass of #run without what only a candidate needs.
    const table = this.#table;
    const steps = this.#pass.steps;
    const { eventsFrom } = this.#forms.numbers;
    const last = end - 1;
    let begun = 0;
    let state = BEFORE_WORD;
    let i = start;
    for (; i < last; i += 2) {
      const pair = table[(bytes[i] as number) | ((bytes[i + 1] as number) << 8)] as number;
      state = steps[(state << 6) | (pair >>> CLASSES_SHIFT)] as number;
      if ((begun & (pair >>> FOLLOW_SHIFT) & KINDS) !== 0 || state >= eventsFrom) return this.#matches(bytes, start, end);
      begun = pair & KINDS;
    }
    const pair = table[i === last ? (bytes[i] as number) : 0] as number;
    state = steps[(state << 6) | (pair >>> CLASSES_SHIFT)] as number;
    if ((begun & ~PREFIX_BIT) !== 0 || state >= eventsFrom) return this.#matches(bytes, start, end);
    return NO_SPANS;
  }

  #matches(bytes: Uint8Array, start: number, end: number): readonly Span[] {
    const scan = this.#scan;
    scan.reset(bytes, start, end, false);
    this.#escapes = 0;
    this.#hexRuns.length = 0;
    this.#run(scan);
    this.#known?.fingerprints?.scan(scan, end);
    if (this.#custom.length > 0) this.#runCustom(scan);
    if (!this.#isNested && (this.#escapes !== 0 || this.#hexRuns.length > 0)) this.#scanDecoded(scan);
    return scan.count === 0 ? NO_SPANS : scan.spans();
  }

  #runCustom(scan: Scan): void {
    for (let i = 0; i < this.#custom.length; i++) {
      const detector = this.#custom[i] as CompiledCustomDetector;
      if (this.#due[i] === 1 || detector.keywords.length === 0) detector.run(scan);
    }
    this.#due.fill(0);
  }

  /** The one pass: pairs of bytes through the prefilter's table and the numbers' automaton, and a look at what they report. */
  #run(scan: Scan): void {
    const { text, reports, after, run } = this.#pass;
    const { bytes, start, end } = scan;
    this.#digitsDone = start;
    this.#colonsDone = start;
    let state = BEFORE_WORD;
    let entry = 0;
    text.fill(0, BEFORE_BYTES - 2, BEFORE_BYTES);
    for (let base = start; base < end; base += CHUNK_BYTES) {
      const from = Math.max(start, base - BEFORE_BYTES);
      const to = Math.min(end, base + CHUNK_BYTES + BEHIND_BYTES);
      text.set(bytes.subarray(from, to), BEFORE_BYTES - (base - from));
      let length = CHUNK_BYTES;
      if (end - base <= CHUNK_BYTES) {
        length = end - base;
        text.fill(0, BEFORE_BYTES + length, BEFORE_BYTES + length + 8);
        // The pair that ends the last word, and one for what the last pair begins.
        length = (length + 7) & ~3;
      }
      const count = run(length, state, entry);
      state = after[0] as number;
      entry = after[1] as number;
      for (let n = 0; n < count; n++) {
        const report = reports[n] as number;
        const at = base + (report >>> REPORT_SHIFT);
        if ((report & KINDS) !== 0) this.#candidate(scan, at - 2, report & KINDS);
        if ((report & NUMBER_REPORT) !== 0 && at + 1 >= this.#digitsDone) this.#digitsDone = this.#forms.settle(scan, at, this.#digitsDone);
        if ((report & IBAN_REPORT) !== 0) this.#digitsDone = this.#forms.settleIban(scan, at, this.#digitsDone);
      }
    }
  }

  /** Runs what the four bytes at `at` may begin. */
  #candidate(scan: Scan, at: number, kinds: number): void {
    if ((kinds & PREFIX_BIT) !== 0) {
      const digit = is(scan.byte(at + 1), DIGIT) ? at + 1 : at + 2;
      if (digit >= this.#digitsDone && is(scan.byte(digit), DIGIT))
        this.#digitsDone = Math.abs(this.#forms.run(scan, digit, this.#digitsDone));
    }
    if ((kinds & LITERAL_BITS) !== 0) this.#prefilter.literals(scan, at, kinds);
    if ((kinds & AT_BIT) !== 0) matchEmail(scan, scan.byte(at) === 64 ? at : at + 1);
    if ((kinds & COLON_BIT) !== 0 && at >= this.#colonsDone) this.#colonsDone = matchColon(scan, scan.byte(at) === 58 ? at : at + 1);
  }

  /** The pass over a piece of a wire buffer, up to the first finding. Words have no certain ends there: digits in a row are looked at. */
  #runWire(scan: Scan): void {
    this.#wirePrefilter ??= this.#buildWirePrefilter();
    const prefilter = this.#wirePrefilter;
    const { table } = prefilter;
    const { bytes, start, end } = scan;
    const maySkip = !this.#hasForeignLiterals;
    const last = end - 1;
    let digitsDone = start;
    let colonsDone = start;
    let begun = 0;
    for (let i = start; i <= last + 1; i += 2) {
      // Four bytes at a time while they are nothing: most of the text.
      while (i + 2 < last) {
        const first = table[(bytes[i] as number) | ((bytes[i + 1] as number) << 8)] as number;
        const second = table[(bytes[i + 2] as number) | ((bytes[i + 3] as number) << 8)] as number;
        if ((((begun & (first >>> FOLLOW_SHIFT)) | (first & (second >>> FOLLOW_SHIFT))) & KINDS) !== 0) break;
        begun = second & KINDS;
        i += 4;
      }
      let kinds = begun;
      if (i < last) {
        const pair = table[(bytes[i] as number) | ((bytes[i + 1] as number) << 8)] as number;
        kinds &= pair >>> FOLLOW_SHIFT;
        begun = pair & KINDS;
      } else begun = 0;
      if (kinds === 0) continue;
      const at = i - 2;
      if ((kinds & DIGITS_BIT) !== 0 && at + 3 >= digitsDone) {
        digitsDone = this.#forms.run(scan, at, digitsDone);
        if (digitsDone < 0) {
          digitsDone = -digitsDone;
          if (maySkip && kinds === DIGITS_BIT) {
            i = start + ((digitsDone - start) & ~1) - 2;
            begun = 0;
            continue;
          }
        }
      }
      if ((kinds & LITERAL_BITS) !== 0) prefilter.literals(scan, at, kinds);
      if ((kinds & AT_BIT) !== 0) matchEmail(scan, bytes[at] === 64 ? at : at + 1);
      if ((kinds & COLON_BIT) !== 0 && at >= colonsDone) {
        const colon = bytes[at] === 58 ? at : at + 1;
        // A colon of an address is beside another, or two more follow soon.
        if (isBesideColon(bytes, colon) || followingColon(bytes, followingColon(bytes, colon)) > 0) colonsDone = matchColon(scan, colon);
      }
      if (scan.hit >= 0) return;
    }
  }

  scanText(text: string): readonly Span[] {
    const bytes = encoder.encode(text);
    const spans = this.scan(bytes, 0, bytes.length);
    if (spans.length === 0 || bytes.length === text.length) return spans;
    const result: Span[] = [];
    let at = 0;
    let units = 0;
    const unitsAt = (offset: number): number => {
      units += decoder.decode(bytes.subarray(at, offset)).length;
      at = offset;
      return units;
    };
    for (const span of spans) result.push({ start: unitsAt(span.start), end: unitsAt(span.end), detector: span.detector });
    return result;
  }

  mightMatch(bytes: Uint8Array, start: number, end: number): boolean {
    const scan = this.#scan;
    scan.reset(bytes, start, end, true);
    this.#runWire(scan);
    if (scan.hit < 0 && this.#custom.length > 0) this.#runCustom(scan);
    if (scan.hit < 0) this.#known?.fingerprints?.scan(scan, end);
    this.#due.fill(0);
    return scan.hit >= 0;
  }

  nextCandidate(bytes: Uint8Array, start: number, end: number): number {
    // A custom detector's keyword may stand anywhere in its value, so that nothing can be said before the values are known.
    if (this.#custom.length > 0) return start < end ? start : -1;
    const scan = this.#scan;
    scan.reset(bytes, start, end, true);
    this.#runWire(scan);
    const { hit } = scan;
    const { fingerprints } = this.#known ?? {};
    if (fingerprints === undefined) return hit;
    scan.reset(bytes, start, end, true);
    fingerprints.scan(scan, hit < 0 ? end : hit);
    return scan.hit < 0 ? hit : scan.hit;
  }
}
