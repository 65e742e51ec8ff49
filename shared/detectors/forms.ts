/**
 * Values that are recognised by their form of digits and letters: cards, social security numbers, national ids, telephone
 * numbers, addresses.
 *
 * A hit of the prefilter is widened to a word (a run of letters and digits); words joined by one separator (space, `-`, `.`, `/`)
 * are a phrase. From each word on, a tree of forms is walked; a node's rules are run on the phrase so far. The tree's depth
 * bounds the work. Values that a form cannot describe (IBAN, `+` numbers, IP addresses) have hooks.
 */
import { ALNUM, ALPHA, CLASS, DIGIT, HEX_LOWER, HEX_UPPER, is, UPPER } from './bytes.ts';
import { type ContextFilter, contextFilter, hasAnyContext, hasContext, registerContext } from './context.ts';
import {
  buildNumberAutomaton,
  type FormSteps,
  type NumberAutomaton,
  STRONG_EVENT,
  WEAK_EVENT,
  WEAK_LENGTH_MAX,
} from './number-automaton.ts';
import type { ContextWords, FormRule, Phrase } from './rule.ts';
import type { Scan } from './span.ts';

const SEPARATORS = ' -./';
/** Byte → 1 + index in SEPARATORS, or 0. */
const separatorCode: Uint8Array = (() => {
  const table = new Uint8Array(256);
  for (let i = 0; i < SEPARATORS.length; i++) table[SEPARATORS.charCodeAt(i)] = i + 1;
  return table;
})();

const WORDS_BEFORE = 3;
/** Longer than any value of several words. */
const PHRASE_BYTES_MAX = 64;
/** A longer word is no form of ours: base64, hex dumps. */
const WORD_BYTES_MAX = 34;

/** Symbols of the tree: a run of 1–31 letters, of 1–31 digits (+ 32), a separator (64 + its code). */
const DIGIT_RUN = 32;
const SEPARATOR = 64;
const SYMBOLS = 72;

/** Inputs of the automaton: a digit, a letter, a separator (its code added), anything else. */
const DIGIT_INPUT = 0;
const LETTER_INPUT = 1;
const SEPARATOR_INPUT = 2;
const OTHER_INPUT = 7;
const INPUT_BITS = 3;
const ROOT_STATE = 1;

/** Byte → input of the automaton. */
const inputOf: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const kind = CLASS[byte] as number;
  if ((kind & DIGIT) !== 0) return DIGIT_INPUT;
  if ((kind & ALPHA) !== 0) return LETTER_INPUT;
  const code = separatorCode[byte] as number;
  return code === 0 ? OTHER_INPUT : SEPARATOR_INPUT + code - 1;
});

/**
 * The tree as a table that takes one byte at a time: a state is a node and the run of digits or letters read since.
 *
 * @returns `step[state << 3 | input]`, 0 for a dead end, and the node that a run ends at when it ends in a state (0: none).
 */
function buildSteps(moves: Uint16Array, nodes: number): { step: Uint16Array; nodeOf: Uint16Array } {
  const step: number[] = new Array<number>(2 << INPUT_BITS).fill(0);
  const nodeOf: number[] = [0, 0];
  const fresh = new Map<number, number>([[0, ROOT_STATE]]);
  const runs = new Map<number, number>();
  const pending: (() => void)[] = [];
  const newState = (node: number): number => {
    for (let i = 0; i < 1 << INPUT_BITS; i++) step.push(0);
    return nodeOf.push(node) - 1;
  };
  const longest = (node: number, kind: number): number => {
    for (let length = 31; length > 0; length--) if (moves[node * SYMBOLS + kind + length] !== 0) return length;
    return 0;
  };
  const link = (state: number, input: number, target: number): void => {
    step[(state << INPUT_BITS) | input] = target;
  };
  /** The state after `length` digits (kind 32) or letters (kind 0) behind `node`; 0 when no form goes on so. */
  function runState(node: number, kind: number, length: number): number {
    if (length > longest(node, kind)) return 0;
    const key = node * SYMBOLS + kind + length;
    const known = runs.get(key);
    if (known !== undefined) return known;
    const child = moves[key] as number;
    const state = newState(child);
    runs.set(key, state);
    pending.push(() => {
      link(state, kind === DIGIT_RUN ? DIGIT_INPUT : LETTER_INPUT, runState(node, kind, length + 1));
      if (child === 0) return;
      link(state, kind === DIGIT_RUN ? LETTER_INPUT : DIGIT_INPUT, runState(child, kind === DIGIT_RUN ? 0 : DIGIT_RUN, 1));
      for (let code = 1; code <= SEPARATORS.length; code++) {
        const behind = moves[child * SYMBOLS + SEPARATOR + code] as number;
        if (behind !== 0) link(state, SEPARATOR_INPUT + code - 1, freshState(behind));
      }
    });
    return state;
  }
  /** The state at a node before its next run. */
  function freshState(node: number): number {
    let state = fresh.get(node);
    if (state === undefined) {
      state = newState(0);
      fresh.set(node, state);
      open(state, node);
    }
    return state;
  }
  function open(state: number, node: number): void {
    pending.push(() => {
      link(state, DIGIT_INPUT, runState(node, DIGIT_RUN, 1));
      link(state, LETTER_INPUT, runState(node, 0, 1));
    });
  }
  open(ROOT_STATE, 0);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) next();
  if (nodes > 0xffff || nodeOf.length > 0xffff) throw new RangeError('the forms make too many states');
  return { step: Uint16Array.from(step), nodeOf: Uint16Array.from(nodeOf) };
}

/** Called at a word of a phrase; returns true when it took the word and what follows. */
export interface WordHook {
  /** The words it wants: digits alone, or beginning with two letters (and of digits and letters). */
  words: 'digits' | 'letters-first';
  /** What number-automaton.ts has to report for it. */
  begins: 'iban' | 'ipv4' | 'phone';
  /** What an IBAN begins with. */
  countries?: readonly string[];
  /** Keywords without which it takes nothing but what number-automaton.ts reports as strong. */
  context?: ContextWords;
  run(scan: Scan, wordStart: number, wordEnd: number): boolean;
}

export interface FormTable {
  /**
   * Handles the phrase around `at`, from `floor` on; returns the position up to which digits need not be looked at again, as a
   * negative number when everything before it is a date or a UUID, in which nothing at all can be.
   */
  run(scan: Scan, at: number, floor: number): number;
  /**
   * Handles what may end at one of the two bytes from `at` on, or right before them: the words there and those that they may be one
   * value with. Returns the position up to which digits need not be looked at again.
   */
  settle(scan: Scan, at: number, floor: number): number;
  /** The same where an IBAN may have begun whose fourth byte is one of the two from `at` on. */
  settleIban(scan: Scan, at: number, floor: number): number;
  /** The automaton that reports where to settle. */
  numbers: NumberAutomaton;
  /** Filter of the keywords that its weak ends ask for (context.ts). */
  context: ContextFilter;
}

/** The phrase under judgement; one object, reused. */
class CurrentPhrase implements Phrase {
  scan: Scan = undefined as unknown as Scan; // set before every use
  start = 0;
  end = 0;
  form = '';
  readonly digits: number[] = [];
  #text: string | undefined;

  set(scan: Scan, start: number, end: number, form: string): void {
    this.scan = scan;
    this.start = start;
    this.end = end;
    this.form = form;
    this.#text = undefined;
    const { digits } = this;
    let count = 0;
    for (let i = start; i < end; i++) {
      const byte = scan.bytes[i] as number;
      if (byte >= 48 && byte <= 57) digits[count++] = byte - 48;
    }
    digits.length = count;
  }

  get text(): string {
    if (this.#text !== undefined) return this.#text;
    let text = '';
    for (let i = this.start; i < this.end; i++) {
      const byte = this.scan.bytes[i] as number;
      if (((CLASS[byte] as number) & ALNUM) !== 0) text += String.fromCharCode(byte >= 97 ? byte - 32 : byte);
    }
    this.#text = text;
    return text;
  }
}

function symbolsOf(form: string, detector: string): number[] {
  const symbols: number[] = [];
  for (const [part, kind, length] of form.matchAll(/([ad])(\d+)|[ \-./]|./g)) {
    const separator = part.length === 1 ? (separatorCode[part.charCodeAt(0)] as number) : 0;
    if (separator !== 0) symbols.push(SEPARATOR + separator);
    else if (kind !== undefined && Number(length) >= 1 && Number(length) <= 31)
      symbols.push((kind === 'd' ? DIGIT_RUN : 0) + Number(length));
    else throw new RangeError(`the form ${form} of ${detector} cannot be read`);
  }
  return symbols;
}

/** Builds the tree. @throws {RangeError} for a form that cannot be read. */
export function buildForms(rules: readonly FormRule[], hooks: readonly WordHook[]): FormTable {
  /** next[node * SYMBOLS + symbol], 0 for none; node 0 is the root. */
  const next: number[] = new Array<number>(SYMBOLS).fill(0);
  const rulesOf: (FormRule[] | undefined)[] = [undefined];
  const formOf: string[] = [''];
  for (const rule of rules) {
    for (const form of rule.forms) {
      let node = 0;
      for (const symbol of symbolsOf(form, rule.detector)) {
        let child = next[node * SYMBOLS + symbol] as number;
        if (child === 0) {
          child = rulesOf.length;
          next[node * SYMBOLS + symbol] = child;
          for (let i = 0; i < SYMBOLS; i++) next.push(0);
          rulesOf.push(undefined);
          formOf.push('');
        }
        node = child;
      }
      formOf[node] = form;
      const others = rulesOf[node];
      if (others === undefined) rulesOf[node] = [rule];
      else others.push(rule);
    }
  }
  const moves = Uint16Array.from(next);
  const { step, nodeOf } = buildSteps(moves, rulesOf.length);
  const lengthOf = (node: number): number =>
    (formOf[node] as string).replace(/[ad](\d+)/g, (_, length: string) => 'x'.repeat(Number(length))).length;
  const steps: FormSteps = {
    next: (state, kind, separator) => step[(state << INPUT_BITS) | (kind + separator * (kind >> 1))] as number,
    ends: state => {
      const list = rulesOf[nodeOf[state] as number];
      if (list === undefined) return 0;
      return list.every(rule => rule.context !== undefined) && lengthOf(nodeOf[state] as number) <= WEAK_LENGTH_MAX
        ? WEAK_EVENT
        : STRONG_EVENT;
    },
    root: ROOT_STATE,
    states: nodeOf.length,
  };
  for (const rule of rules) if (rule.context !== undefined) registerContext(rule.context);
  const needsContext = rulesOf.map(list => list?.some(rule => rule.context !== undefined) === true);
  const alwaysContext = rulesOf.map(list => list?.every(rule => rule.context !== undefined) === true);
  const digitHooks = hooks.filter(hook => hook.words === 'digits');
  const letterHooks = hooks.filter(hook => hook.words === 'letters-first');
  const phrase = new CurrentPhrase();
  const numbers = buildNumberAutomaton({
    forms: steps,
    iban: hooks.flatMap(hook => hook.countries ?? []),
    ipv4: hooks.some(hook => hook.begins === 'ipv4'),
    phone: hooks.some(hook => hook.begins === 'phone'),
  });

  function judge(scan: Scan, node: number, start: number, end: number): boolean {
    const candidates = rulesOf[node];
    if (candidates === undefined) return false;
    if (!scan.wire && !standsAlone(scan, start, end)) return false;
    const near = needsContext[node] === true && hasAnyContext(scan, start, end);
    if (!near && alwaysContext[node] === true) return false;
    phrase.set(scan, start, end, formOf[node] as string);
    let found = false;
    for (let i = 0; i < candidates.length; i++) {
      const rule = candidates[i] as FormRule;
      if (rule.context !== undefined && (!near || !hasContext(scan, start, end, rule.context))) continue;
      if (!rule.check(phrase)) continue;
      scan.add(start, end, rule.detector, rule.priority);
      found = true;
    }
    return found;
  }

  /** Walks the tree from `start` on, byte by byte; returns the end of the longest finding, or -1. */
  function walk(scan: Scan, start: number): number {
    const { bytes, end } = scan;
    let found = -1;
    let state = ROOT_STATE;
    for (let i = start; i < end; i++) {
      const input = inputOf[bytes[i] as number] as number;
      if (input >= SEPARATOR_INPUT) {
        const node = nodeOf[state] as number;
        if (node !== 0 && rulesOf[node] !== undefined && judge(scan, node, start, i)) found = i;
      }
      state = step[(state << INPUT_BITS) | input] as number;
      if (state === 0) return found;
    }
    const node = nodeOf[state] as number;
    return node !== 0 && rulesOf[node] !== undefined && judge(scan, node, start, end) ? end : found;
  }

  /**
   * The same for wire mode, run by run. `stop` cuts the first word short: wire mode gives the word without its last letter.
   */
  function walkWire(scan: Scan, start: number, stop: number): number {
    const { bytes, end, wire } = scan;
    let found = -1;
    let node = 0;
    let i = start;
    let limit = stop;
    for (;;) {
      const runStart = i;
      const kind = (CLASS[bytes[i] as number] as number) & (DIGIT | ALPHA);
      if (kind === 0 || i >= limit) return found;
      if ((kind & DIGIT) !== 0) while (i < limit && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) i++;
      else while (i < limit && ((CLASS[bytes[i] as number] as number) & ALPHA) !== 0) i++;
      const length = i - runStart;
      if (length > 31) return found;
      if (wire && limit === end && (kind & DIGIT) === 0 && length > 1 && (i >= end || bytes[i] === 0)) {
        // The last letter may be the type byte of the next message.
        const shorter = moves[node * SYMBOLS + length - 1] as number;
        if (shorter !== 0 && judge(scan, shorter, start, i - 1)) found = i - 1;
      }
      if (
        wire &&
        limit === end &&
        (kind & DIGIT) === 0 &&
        length === 1 &&
        (i >= end || bytes[i] === 0) &&
        node !== 0 &&
        judge(scan, node, start, i - 1)
      )
        found = i - 1;
      node = moves[node * SYMBOLS + ((kind & DIGIT) !== 0 ? DIGIT_RUN : 0) + length] as number;
      if (node === 0) return found;
      if (i < limit && ((CLASS[bytes[i] as number] as number) & ALNUM) !== 0) continue;
      if (rulesOf[node] !== undefined && judge(scan, node, start, i)) found = i;
      if (i + 1 >= end || (i !== stop && limit === stop && stop !== end)) return found;
      const separator = separatorCode[bytes[i] as number] as number;
      if (separator === 0) return found;
      node = moves[node * SYMBOLS + SEPARATOR + separator] as number;
      if (node === 0) return found;
      i++;
      limit = end;
    }
  }

  /** Tries the phrase that begins with the word [start, end); returns the end of what was found, or -1. */
  function tryWord(scan: Scan, start: number, end: number): number {
    const { bytes } = scan;
    const found = scan.wire ? walkWire(scan, start, end) : walk(scan, start);
    if (found >= 0) return found;
    const first = CLASS[bytes[start] as number] as number;
    if ((first & DIGIT) !== 0) {
      for (let i = 0; i < digitHooks.length; i++) if ((digitHooks[i] as WordHook).run(scan, start, end)) return end;
    } else if (end - start > 3 && ((CLASS[bytes[start + 1] as number] as number) & ALPHA) !== 0) {
      for (let i = 0; i < letterHooks.length; i++) if ((letterHooks[i] as WordHook).run(scan, start, end)) return end;
    }
    return -1;
  }

  /**
   * The same for wire mode, where a word may begin with up to three bytes of a length prefix (whose first byte is zero) and end
   * with the type byte of the next message (which a zero byte follows).
   */
  function tryWireWord(scan: Scan, start: number, end: number): void {
    const { bytes } = scan;
    const prefixed = start === scan.start || bytes[start - 1] === 0 || bytes[start - 2] === 0 || bytes[start - 3] === 0;
    const suffixed = (end >= scan.end || bytes[end] === 0) && end - start > 1 && is(bytes[end - 1] as number, ALPHA);
    for (let skip = 0; skip <= (prefixed ? 3 : 0) && start + skip < end && scan.hit < 0; skip++) {
      tryWord(scan, start + skip, end);
      if (suffixed && scan.hit < 0) tryWord(scan, start + skip, end - 1);
    }
  }

  function run(scan: Scan, at: number, floor: number): number {
    const { bytes } = scan;
    // The first digit of the four sampled bytes that is not settled.
    let seed = Math.max(at, floor);
    while (seed < scan.end && seed < at + 4 && ((CLASS[bytes[seed] as number] as number) & DIGIT) === 0) seed++;
    if (seed >= scan.end || seed >= at + 4) return floor;
    let start = seed;
    while (start > scan.start && ((CLASS[bytes[start - 1] as number] as number) & ALNUM) !== 0) start--;
    const skipped = longKnown(scan, start);
    if (skipped > 0) return -skipped;
    const last = wordLimit(scan, seed);
    if (last - start > WORD_BYTES_MAX && !scan.wire) return last;
    let position =
      start > floor + 1 && (separatorCode[bytes[start - 1] as number] as number) !== 0 ? phraseStart(scan, start, floor) : start;
    while (position <= start) {
      const end = position === start ? last : wordLimit(scan, position);
      if (scan.wire) {
        tryWireWord(scan, position, end);
        if (scan.hit >= 0) return last;
      } else {
        const found = tryWord(scan, position, end);
        if (found > last) return found;
      }
      position = end + 1;
    }
    return last;
  }

  /** Handles the words of [from, to) that have a digit. */
  function settleWords(scan: Scan, from: number, to: number, floor: number): number {
    const { bytes } = scan;
    let done = floor;
    for (let i = Math.max(from, floor); i < to; i++) {
      if (((CLASS[bytes[i] as number] as number) & DIGIT) === 0) continue;
      done = Math.abs(run(scan, i, done));
      i = Math.max(i, done - 1);
    }
    return done;
  }

  return {
    run,
    settleIban,
    numbers,
    context: contextFilter([...rules, ...hooks].flatMap(rule => (rule.context === undefined ? [] : [rule.context]))),
    settle(scan, at, floor) {
      const inWord = is(scan.byte(at), ALNUM);
      const done = settleWord(scan, inWord ? at : at - 1, floor);
      return !inWord && is(scan.byte(at + 1), ALNUM) ? settleWord(scan, at + 1, done) : done;
    },
  };

  /** Tries the hooks of words that begin with letters on the word around the byte before `at`. */
  function settleIban(scan: Scan, at: number, floor: number): number {
    const { bytes } = scan;
    for (let start = Math.max(at - 3, floor); start <= at - 2; start++) {
      if (!isOpening(bytes, start) || is(scan.byte(start - 1), ALNUM)) continue;
      const end = wordLimit(scan, start);
      for (let i = 0; i < letterHooks.length; i++) if ((letterHooks[i] as WordHook).run(scan, start, end)) return end;
    }
    return floor;
  }

  /** Handles the word around `at` and the words before it that it may be one value with. */
  function settleWord(scan: Scan, at: number, floor: number): number {
    const { bytes } = scan;
    if (at < floor || ((CLASS[bytes[at] as number] as number) & ALNUM) === 0) return floor;
    const end = at + 1;
    let start = end - 1;
    while (start > floor && ((CLASS[bytes[start - 1] as number] as number) & ALNUM) !== 0) start--;
    // Words with a digit before it, each after a single separator, may be part of the same value.
    const limit = Math.max(floor, end - PHRASE_BYTES_MAX);
    while (start - 1 > limit && (separatorCode[bytes[start - 1] as number] as number) !== 0) {
      let i = start - 1;
      let hasDigit = false;
      while (i > limit && ((CLASS[bytes[i - 1] as number] as number) & ALNUM) !== 0) {
        i--;
        if (((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) hasDigit = true;
      }
      if (!hasDigit) break;
      start = i;
    }
    return settleWords(scan, start, wordLimit(scan, at), floor);
  }
}

/**
 * End of an ISO 8601 date (with its time) or a UUID at `at`, or 0. Nothing of ours is inside of them, and they are most of the
 * digits that pass.
 */
function longKnown(scan: Scan, at: number): number {
  const { bytes, end } = scan;
  if (
    at + 10 <= end &&
    bytes[at + 4] === 45 &&
    bytes[at + 7] === 45 &&
    isDigitAt(bytes, at + 1) &&
    isDigitAt(bytes, at + 5) &&
    isDigitAt(bytes, at + 9)
  ) {
    if (at > scan.start && ((CLASS[bytes[at - 1] as number] as number) & ALNUM) !== 0) return 0;
    let i = at + 10;
    if (bytes[i + 3] !== 58 || bytes[i + 6] !== 58 || (bytes[i] !== 84 && bytes[i] !== 32)) return is(scan.byte(i), DIGIT) ? 0 : i;
    i += 9;
    if (i > end) return at + 10;
    if (bytes[i] === 46 || bytes[i] === 44) i++;
    while (i < end && isDigitAt(bytes, i)) i++;
    return i;
  }
  if (at + 36 <= end && bytes[at + 8] === 45 && bytes[at + 13] === 45 && bytes[at + 18] === 45 && bytes[at + 23] === 45) {
    if (at > scan.start && ((CLASS[bytes[at - 1] as number] as number) & ALNUM) !== 0) return 0;
    for (let i = 0; i < 36; i++)
      if (i !== 8 && i !== 13 && i !== 18 && i !== 23 && !is(bytes[at + i] as number, HEX_LOWER | HEX_UPPER)) return 0;
    return at + 36;
  }
  return 0;
}

function isDigitAt(bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at] as number;
  return byte >= 48 && byte <= 57;
}

/** Two letters and two digits. */
function isOpening(bytes: Uint8Array, at: number): boolean {
  return is(bytes[at] as number, ALPHA) && is(bytes[at + 1] as number, ALPHA) && isDigitAt(bytes, at + 2) && isDigitAt(bytes, at + 3);
}

/** Short words before a word may begin the phrase: `1 85 05 …`, `AB 12 34 56 C`, `X-1234567-L`. */
function phraseStart(scan: Scan, start: number, floor: number): number {
  const { bytes } = scan;
  let first = start;
  for (let n = 0; n < WORDS_BEFORE && first > floor + 1; n++) {
    if ((separatorCode[bytes[first - 1] as number] as number) === 0) break;
    let i = first - 1;
    while (i > floor && first - 1 - i < 5 && ((CLASS[bytes[i - 1] as number] as number) & ALNUM) !== 0) i--;
    const length = first - 1 - i;
    if (length === 0 || length > 4) break;
    const isDigit = ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0;
    if (isDigit && length > 1 && !scan.wire) break;
    if (!isDigit && length > 3 && ((CLASS[bytes[i] as number] as number) & UPPER) === 0 && !scan.wire) break;
    first = i;
  }
  return first;
}

function wordLimit(scan: Scan, at: number): number {
  const { bytes, end } = scan;
  let i = at;
  while (i < end && ((CLASS[bytes[i] as number] as number) & ALNUM) !== 0) i++;
  return i;
}

/** Whether a phrase is no part of something longer: a decimal, a UUID, a dotted version, an identifier. */
export function standsAlone(scan: Scan, start: number, end: number): boolean {
  const before = scan.byte(start - 1);
  if (before === 95) return false;
  if (before === 45 || before === 46 || before === 47) {
    const further = scan.byte(start - 2);
    if (is(further, DIGIT)) return false;
    if (before !== 47 && is(further, ALNUM) && joinedToDigits(scan, start - 2)) return false;
  }
  const after = scan.byte(end);
  if (after === 95) return false;
  if (after === 45 || after === 46) return !is(scan.byte(end + 1), ALNUM);
  return true;
}

/** Whether the word that ends at `at` has a digit, or follows another one by a hyphen. */
function joinedToDigits(scan: Scan, at: number): boolean {
  for (let i = at; i >= scan.start && i > at - 40; i--) {
    const kind = CLASS[scan.bytes[i] as number] as number;
    if (kind & DIGIT) return true;
    if ((kind & ALNUM) === 0) return scan.bytes[i] === 45;
  }
  return false;
}
