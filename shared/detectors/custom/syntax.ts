/**
 * Reads patterns in RE2's syntax (the syntax of Go, gitleaks and Hyperscan users) into a tree over bytes.
 *
 * What needs backtracking does not exist: no backreferences, no lookaround. Left out as well: Unicode classes (`\p{…}`) and
 * characters beyond ASCII inside of brackets. Outside of brackets such characters stand for their UTF-8 bytes.
 * @see https://github.com/google/re2/wiki/Syntax
 */
import { GatewayError } from '../../errors.ts';

/** A set of bytes. */
export type ByteSet = Uint8Array; // 256 flags

export type Assertion = 'start' | 'end' | 'line-start' | 'line-end' | 'word' | 'not-word';

export type Node =
  | { kind: 'empty' }
  | { kind: 'bytes'; set: ByteSet }
  | { kind: 'assert'; assertion: Assertion }
  | { kind: 'concat'; parts: Node[] }
  | { kind: 'alternate'; parts: Node[] }
  | { kind: 'repeat'; part: Node; min: number; max: number; greedy: boolean }
  | { kind: 'group'; part: Node; index: number };

const REPEAT_MAX = 1_000; // RE2's own limit
const DEPTH_MAX = 100;
const PATTERN_CHARACTERS_MAX = 16_384;

interface Flags {
  fold: boolean;
  dotAll: boolean;
  multiLine: boolean;
  ungreedy: boolean;
}

export interface ParsedPattern {
  root: Node;
  /** Number of capturing groups. */
  groups: number;
}

/** @throws {GatewayError} PATTERN_INVALID with the position and what to do. */
export function parsePattern(source: string): ParsedPattern {
  if (source.length > PATTERN_CHARACTERS_MAX) throw invalid(source, 0, `it is longer than ${PATTERN_CHARACTERS_MAX} characters`);
  return new Parser(source).parse();
}

function invalid(source: string, at: number, what: string): GatewayError {
  const shown = source.length > 80 ? `${source.slice(0, 77)}...` : source;
  return new GatewayError(
    'PATTERN_INVALID',
    'invalid',
    `the pattern ${JSON.stringify(shown)} cannot be used: ${what}, at character ${at + 1}`,
  );
}

function setOf(...ranges: readonly (readonly [number, number])[]): ByteSet {
  const set = new Uint8Array(256);
  for (const [from, to] of ranges) set.fill(1, from, to + 1);
  return set;
}

function inverted(set: ByteSet): ByteSet {
  return set.map(flag => 1 - flag);
}

function union(target: ByteSet, other: ByteSet): void {
  for (let i = 0; i < 256; i++) if (other[i] === 1) target[i] = 1;
}

function folded(set: ByteSet): ByteSet {
  const result = set.slice();
  for (let byte = 65; byte <= 90; byte++) {
    if (set[byte] === 1) result[byte | 32] = 1;
    if (set[byte | 32] === 1) result[byte] = 1;
  }
  return result;
}

const DIGITS = setOf([48, 57]);
const WORDS = setOf([48, 57], [65, 90], [97, 122], [95, 95]);
const BLANKS = setOf([9, 10], [12, 13], [32, 32]);
const CLASSES: Readonly<Record<string, ByteSet>> = {
  d: DIGITS,
  D: inverted(DIGITS),
  w: WORDS,
  W: inverted(WORDS),
  s: BLANKS,
  S: inverted(BLANKS),
};
const POSIX: Readonly<Record<string, ByteSet>> = {
  alnum: setOf([48, 57], [65, 90], [97, 122]),
  alpha: setOf([65, 90], [97, 122]),
  ascii: setOf([0, 127]),
  blank: setOf([9, 9], [32, 32]),
  cntrl: setOf([0, 31], [127, 127]),
  digit: DIGITS,
  graph: setOf([33, 126]),
  lower: setOf([97, 122]),
  print: setOf([32, 126]),
  punct: setOf([33, 47], [58, 64], [91, 96], [123, 126]),
  space: setOf([9, 13], [32, 32]),
  upper: setOf([65, 90]),
  word: WORDS,
  xdigit: setOf([48, 57], [65, 70], [97, 102]),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 };

class Parser {
  readonly #source: string;
  #at = 0;
  #groups = 0;
  #depth = 0;
  #flags: Flags = { fold: false, dotAll: false, multiLine: false, ungreedy: false };

  constructor(source: string) {
    this.#source = source;
  }

  parse(): ParsedPattern {
    const root = this.#alternation();
    if (this.#at < this.#source.length) throw this.#fail('a closing bracket has no opening one');
    return { root, groups: this.#groups };
  }

  #fail(what: string): GatewayError {
    return invalid(this.#source, this.#at, what);
  }

  #peek(): string {
    return this.#source.charAt(this.#at);
  }

  #alternation(): Node {
    if (++this.#depth > DEPTH_MAX) throw this.#fail(`groups are nested deeper than ${DEPTH_MAX}`);
    const saved = { ...this.#flags };
    const parts: Node[] = [this.#concatenation()];
    while (this.#peek() === '|') {
      this.#at++;
      parts.push(this.#concatenation());
    }
    this.#flags = saved;
    this.#depth--;
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'alternate', parts };
  }

  #concatenation(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && this.#peek() !== '|' && this.#peek() !== ')') {
      const atom = this.#atom();
      if (atom === undefined) continue;
      parts.push(this.#quantified(atom));
    }
    if (parts.length === 0) return { kind: 'empty' };
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'concat', parts };
  }

  #quantified(atom: Node): Node {
    let node = atom;
    for (let stacked = 0; ; stacked++) {
      const character = this.#peek();
      let min: number;
      let max: number;
      if (character === '*') [min, max] = [0, Number.POSITIVE_INFINITY];
      else if (character === '+') [min, max] = [1, Number.POSITIVE_INFINITY];
      else if (character === '?') [min, max] = [0, 1];
      else if (character === '{') {
        const counted = /^\{(\d{1,6})(?:(,)(\d{0,6}))?\}/.exec(this.#source.slice(this.#at, this.#at + 20));
        if (counted === null) return node;
        min = Number(counted[1]);
        max = counted[2] === undefined ? min : counted[3] === '' ? Number.POSITIVE_INFINITY : Number(counted[3]);
        if (min > REPEAT_MAX || (max !== Number.POSITIVE_INFINITY && max > REPEAT_MAX))
          throw this.#fail(`it repeats more than ${REPEAT_MAX} times`);
        if (max < min) throw this.#fail('its greatest repetition is smaller than its least');
        this.#at += counted[0].length - 1;
      } else return node;
      if (stacked > 0) throw this.#fail('a repetition follows a repetition; put the inner one in a group');
      this.#at++;
      let greedy = !this.#flags.ungreedy;
      if (this.#peek() === '?') {
        greedy = !greedy;
        this.#at++;
      }
      node = { kind: 'repeat', part: node, min, max, greedy };
    }
  }

  #atom(): Node | undefined {
    const character = this.#peek();
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return { kind: 'bytes', set: this.#bracket() };
      case '.':
        this.#at++;
        return { kind: 'bytes', set: this.#flags.dotAll ? setOf([0, 255]) : inverted(setOf([10, 10])) };
      case '^':
        this.#at++;
        return { kind: 'assert', assertion: this.#flags.multiLine ? 'line-start' : 'start' };
      case '$':
        this.#at++;
        return { kind: 'assert', assertion: this.#flags.multiLine ? 'line-end' : 'end' };
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw this.#fail('a repetition has nothing to repeat');
      default:
        return this.#literal(String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0));
    }
  }

  #literal(character: string): Node {
    this.#at += character.length;
    const bytes = new TextEncoder().encode(character);
    if (bytes.length === 1) return { kind: 'bytes', set: this.#byte(bytes[0] as number) };
    return {
      kind: 'group',
      index: -1,
      part: { kind: 'concat', parts: Array.from(bytes, byte => ({ kind: 'bytes', set: setOf([byte, byte]) })) },
    };
  }

  #byte(byte: number): ByteSet {
    const set = setOf([byte, byte]);
    return this.#flags.fold ? folded(set) : set;
  }

  #group(): Node | undefined {
    this.#at++;
    let index = -1;
    if (this.#peek() === '?') {
      const rest = this.#source.slice(this.#at, this.#at + 200);
      const named = /^\?P?<([A-Za-z_]\w{0,99})>/.exec(rest);
      const flags = /^\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])/.exec(rest);
      if (named !== null) {
        this.#at += named[0].length;
        index = ++this.#groups;
      } else if (flags !== null) {
        const saved = { ...this.#flags };
        this.#set(flags[1] ?? '', true);
        this.#set(flags[2] ?? '', false);
        this.#at += flags[0].length;
        // `(?i)` holds to the end of the group that it stands in.
        if (flags[3] === ')') return undefined;
        const part = this.#alternation();
        this.#flags = saved;
        this.#close();
        return { kind: 'group', part, index: -1 };
      } else throw this.#fail('lookaround and other extensions cannot be run in linear time');
    } else index = ++this.#groups;
    const part = this.#alternation();
    this.#close();
    return { kind: 'group', part, index };
  }

  #close(): void {
    if (this.#peek() !== ')') throw this.#fail('a group is not closed');
    this.#at++;
  }

  #set(letters: string, on: boolean): void {
    for (const letter of letters) {
      if (letter === 'i') this.#flags.fold = on;
      else if (letter === 's') this.#flags.dotAll = on;
      else if (letter === 'm') this.#flags.multiLine = on;
      else if (letter === 'U') this.#flags.ungreedy = on;
      else throw this.#fail(`the flag ${letter} is unknown`);
    }
  }

  #escape(): Node {
    const next = this.#source.charAt(this.#at + 1);
    const simple: Readonly<Record<string, Assertion>> = { b: 'word', B: 'not-word', A: 'start', z: 'end' };
    const assertion = simple[next];
    if (assertion !== undefined) {
      this.#at += 2;
      return { kind: 'assert', assertion };
    }
    const named = CLASSES[next];
    if (named !== undefined) {
      this.#at += 2;
      return { kind: 'bytes', set: named };
    }
    if (next === 'Q') {
      const close = this.#source.indexOf('\\E', this.#at);
      const text = this.#source.slice(this.#at + 2, close < 0 ? undefined : close);
      const parts: Node[] = Array.from(new TextEncoder().encode(text), byte => ({ kind: 'bytes', set: this.#byte(byte) }));
      this.#at = close < 0 ? this.#source.length : close + 2;
      return parts.length === 0 ? { kind: 'empty' } : { kind: 'group', index: -1, part: { kind: 'concat', parts } };
    }
    const byte = this.#escapedByte();
    return { kind: 'bytes', set: this.#byte(byte) };
  }

  /** `\n`, `\x60`, `\x{60}`, `\101`, an escaped punctuation character. */
  #escapedByte(): number {
    const next = this.#source.charAt(this.#at + 1);
    const control = CONTROLS[next];
    if (control !== undefined) {
      this.#at += 2;
      return control;
    }
    if (next === 'x') {
      const hex = /^\\x(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(this.#source.slice(this.#at, this.#at + 12));
      const value = hex === null ? Number.NaN : Number.parseInt(hex[1] ?? hex[2] ?? '', 16);
      if (!(value <= 127)) throw this.#fail('only \\x00 to \\x7f can be written as an escape');
      this.#at += hex?.[0].length ?? 0;
      return value;
    }
    const octal = /^\\([0-7]{3}|0)/.exec(this.#source.slice(this.#at, this.#at + 4));
    if (octal !== null) {
      const value = Number.parseInt(octal[1] ?? '0', 8);
      if (value > 127) throw this.#fail('only \\000 to \\177 can be written as an escape');
      this.#at += octal[0].length;
      return value;
    }
    if (/^[1-9]$/.test(next)) throw this.#fail('backreferences cannot be run in linear time');
    if (next === 'p' || next === 'P') throw this.#fail('Unicode classes are not supported; name the bytes');
    const code = next.charCodeAt(0);
    if (next === '' || /[A-Za-z0-9]/.test(next) || code > 127) throw this.#fail('an escape is unknown');
    this.#at += 2;
    return code;
  }

  #bracket(): ByteSet {
    this.#at++;
    const negated = this.#peek() === '^';
    if (negated) this.#at++;
    const set = new Uint8Array(256);
    for (let first = true; ; first = false) {
      const character = this.#peek();
      if (character === '') throw this.#fail('a bracket is not closed');
      if (character === ']' && !first) break;
      const posix = /^\[:(\^?)([a-z]{1,8}):\]/.exec(this.#source.slice(this.#at, this.#at + 16));
      if (posix !== null) {
        const named = POSIX[posix[2] ?? ''];
        if (named === undefined) throw this.#fail('a class in brackets is unknown');
        union(set, posix[1] === '^' ? inverted(named) : named);
        this.#at += posix[0].length;
        continue;
      }
      const named = character === '\\' ? CLASSES[this.#source.charAt(this.#at + 1)] : undefined;
      if (named !== undefined) {
        union(set, named);
        this.#at += 2;
        continue;
      }
      const from = this.#bracketByte();
      let to = from;
      if (this.#peek() === '-' && this.#source.charAt(this.#at + 1) !== ']' && this.#source.charAt(this.#at + 1) !== '') {
        this.#at++;
        to = this.#bracketByte();
        if (to < from) throw this.#fail('a range in brackets runs backwards');
      }
      set.fill(1, from, to + 1);
    }
    this.#at++;
    const result = this.#flags.fold ? folded(set) : set;
    return negated ? inverted(result) : result;
  }

  #bracketByte(): number {
    if (this.#peek() === '\\') return this.#escapedByte();
    const code = this.#source.charCodeAt(this.#at);
    if (code > 127) throw this.#fail('characters beyond ASCII cannot stand in brackets');
    this.#at++;
    return code;
  }
}
