/**
 * Detectors that users write: a pattern in RE2's syntax, keywords that must be near, a least entropy, the group that is the
 * secret, and what is allowed.
 */
import { GatewayError } from '../../errors.ts';
import { latin1 } from '../bytes.ts';
import { entropy } from '../entropy.ts';
import { PRIORITY, type Scan } from '../span.ts';
import type { Allowance, CustomDetector } from './definition.ts';
import { compilePattern, Pattern } from './program.ts';
import { type Node, parsePattern } from './syntax.ts';

export type { Allowance, CustomDetector } from './definition.ts';

/** A custom detector ready to run. */
export interface CompiledCustomDetector {
  name: string;
  /** Lower-case ASCII literals of three bytes or more of which one is in every match's value; empty: run on every value. */
  keywords: string[];
  run(scan: Scan): void;
}

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?$/i;
const MATCHES_MAX = 10_000;

/** @throws {GatewayError} DETECTOR_INVALID, PATTERN_INVALID, PATTERN_TOO_LARGE. */
export function compileCustomDetector(detector: CustomDetector): CompiledCustomDetector {
  const invalid = (what: string): GatewayError =>
    new GatewayError('DETECTOR_INVALID', 'invalid', `the detector ${JSON.stringify(detector.name)} ${what}`);
  if (!NAME.test(detector.name)) throw invalid('has a name that is not letters and digits joined by hyphens');
  const { pattern, withoutAssertions, parsed } = compilePattern(detector.pattern);
  const group = detector.secretGroup;
  if (group !== undefined && (!Number.isInteger(group) || group < 0 || group > parsed.groups)) {
    throw invalid(`names group ${group}, but its pattern has ${parsed.groups}`);
  }
  if (detector.entropy !== undefined && !(detector.entropy >= 0 && detector.entropy <= 8))
    throw invalid('has an entropy that is not between 0 and 8');
  const given = (detector.keywords ?? []).map(keyword => keyword.toLowerCase());
  const usable = given.every(keyword => keyword.length >= 3 && /^[\x20-\x7e]+$/.test(keyword));
  const own = requiredLiteral(parsed.root);
  const allowances = (detector.allow ?? []).map(compileAllowance);
  const least = detector.entropy ?? 0;
  const matcher = new Matcher(detector.name, pattern, withoutAssertions, given, group, least, allowances);
  return {
    name: detector.name,
    keywords: given.length > 0 ? (usable ? given : []) : own === undefined ? [] : [own],
    run: scan => matcher.run(scan),
  };
}

class Matcher {
  readonly #name: string;
  readonly #pattern: Pattern;
  readonly #loose: Pattern;
  readonly #keywords: readonly string[];
  readonly #group: number | undefined;
  readonly #entropy: number;
  readonly #allowances: readonly CompiledAllowance[];

  constructor(
    name: string,
    pattern: Pattern,
    loose: Pattern,
    keywords: readonly string[],
    group: number | undefined,
    least: number,
    allowances: readonly CompiledAllowance[],
  ) {
    this.#name = name;
    this.#pattern = pattern;
    this.#loose = loose;
    this.#keywords = keywords;
    this.#group = group;
    this.#entropy = least;
    this.#allowances = allowances;
  }

  run(scan: Scan): void {
    const { bytes, start, end } = scan;
    if (scan.wire) {
      if (this.#loose.test(bytes, start, end)) scan.add(start, end, this.#name, PRIORITY.checked);
      return;
    }
    if (this.#keywords.some(keyword => keyword.length < 3) && !this.#hasShortKeyword(scan)) return;
    if (!this.#pattern.test(bytes, start, end)) return;
    let from = start;
    for (let count = 0; count < MATCHES_MAX && from <= end; count++) {
      const match = this.#pattern.find(bytes, start, end, from);
      if (match === undefined) return;
      this.#judge(scan, match.start, match.end, match.slots);
      from = match.end > match.start ? match.end : match.end + 1;
    }
  }

  #hasShortKeyword(scan: Scan): boolean {
    const text = Buffer.from(scan.bytes.buffer, scan.bytes.byteOffset + scan.start, scan.end - scan.start)
      .toString('latin1')
      .toLowerCase();
    return this.#keywords.some(keyword => text.includes(keyword));
  }

  #judge(scan: Scan, matchStart: number, matchEnd: number, slots: Int32Array): void {
    let start = matchStart;
    let end = matchEnd;
    const use = (group: number): boolean => {
      const from = slots[group * 2] ?? -1;
      const to = slots[group * 2 + 1] ?? -1;
      if (from < 0 || to <= from) return false;
      start = from;
      end = to;
      return true;
    };
    if (this.#group === undefined) for (let group = 1; group * 2 < slots.length && !use(group); group++);
    else if (this.#group > 0) use(this.#group);
    if (end <= start || (this.#entropy > 0 && entropy(scan.bytes, start, end) < this.#entropy)) return;
    if (this.#allowances.some(allowance => isAllowed(allowance, scan, start, end, matchStart, matchEnd))) return;
    scan.add(start, end, this.#name, PRIORITY.checked);
  }
}

interface CompiledAllowance {
  patterns: Pattern[];
  stopWords: string[];
  target: 'secret' | 'match' | 'line';
  all: boolean;
}

export function compileAllowance(allowance: Allowance): CompiledAllowance {
  return {
    patterns: allowance.patterns.map(source => new Pattern(parsePattern(source), source)),
    stopWords: allowance.stopWords.map(word => word.toLowerCase()),
    target: allowance.target,
    all: allowance.all === true,
  };
}

const LINE_BYTES_MAX = 4_096;

function isAllowed(allowance: CompiledAllowance, scan: Scan, start: number, end: number, matchStart: number, matchEnd: number): boolean {
  const { bytes } = scan;
  let from = start;
  let to = end;
  if (allowance.target === 'match') [from, to] = [matchStart, matchEnd];
  if (allowance.target === 'line') {
    while (from > scan.start && start - from < LINE_BYTES_MAX && bytes[from - 1] !== 10) from--;
    while (to < scan.end && to - end < LINE_BYTES_MAX && bytes[to] !== 10) to++;
  }
  const votes: boolean[] = [];
  if (allowance.patterns.length > 0) votes.push(allowance.patterns.some(pattern => pattern.test(bytes, from, to)));
  if (allowance.stopWords.length > 0) {
    const text = latin1(bytes, start, Math.min(end, start + LINE_BYTES_MAX)).toLowerCase();
    votes.push(allowance.stopWords.some(word => text.includes(word)));
  }
  return votes.length > 0 && (allowance.all ? votes.every(Boolean) : votes.some(Boolean));
}

/** The longest literal, in lower case, that every match has; undefined when it is shorter than three bytes. */
export function requiredLiteral(root: Node): string | undefined {
  let best = '';
  let run = '';
  const flush = (): void => {
    if (run.length > best.length) best = run;
    run = '';
  };
  const walk = (node: Node): void => {
    if (node.kind === 'concat') for (const part of node.parts) walk(part);
    else if (node.kind === 'group') walk(node.part);
    else if (node.kind === 'bytes') {
      const byte = singleByte(node.set);
      if (byte === undefined) flush();
      else run += String.fromCharCode(byte);
    } else if (node.kind === 'repeat') {
      if (node.min >= 1 && singleOf(node.part) !== undefined) {
        for (let i = 0; i < Math.min(node.min, 64); i++) walk(node.part);
        if (node.max !== node.min) flush();
      } else {
        flush();
        if (node.min >= 1) walk(node.part);
        flush();
      }
    } else if (node.kind === 'alternate') flush();
  };
  walk(root);
  flush();
  return best.length >= 3 ? best : undefined;
}

function singleOf(node: Node): number | undefined {
  return node.kind === 'bytes' ? singleByte(node.set) : undefined;
}

/** The byte of a set that has one, or one letter in both cases; in lower case. */
function singleByte(set: Uint8Array): number | undefined {
  let found: number | undefined;
  for (let byte = 0; byte < 128; byte++) {
    if (set[byte] !== 1) continue;
    const folded = byte >= 65 && byte <= 90 ? byte | 32 : byte;
    if (found !== undefined && found !== folded) return undefined;
    found = folded;
  }
  for (let byte = 128; byte < 256; byte++) if (set[byte] === 1) return undefined;
  return found;
}
