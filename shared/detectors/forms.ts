/**
 * Values that are recognised by their form of digits and letters: cards, social security numbers, national ids, telephone
 * numbers, addresses.
 *
 * A hit of the prefilter is widened to a word (a run of letters and digits); words joined by one separator (space, `-`, `.`, `/`)
 * are a phrase. From each word on, a tree of forms is walked; a node's rules are run on the phrase so far. The tree's depth
 * bounds the work. Values that a form cannot describe (IBAN, `+` numbers, IP addresses) have hooks.
 */
import { ALNUM, CLASS, DIGIT, is, lower, UPPER } from './bytes.ts';
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
const RUNS_MAX = 7;
/** A longer word is no form of ours: base64, hex dumps. */
const WORD_BYTES_MAX = 34;

interface Node {
  next: Map<number, Node> | undefined;
  rules: FormRule[] | undefined;
  form: string;
}

/** Called at the first word of a phrase and at each later one; returns true when it took the phrase. */
export type WordHook = (scan: Scan, wordStart: number, wordEnd: number) => boolean;

export interface FormTable {
  /** Handles the phrase around `at`, from `floor` on; returns the position up to which digits need not be looked at again. */
  run(scan: Scan, at: number, floor: number): number;
}

/** Code of a word by its runs of digits and letters, exact up to RUNS_MAX runs; 0 for what no form describes. */
function wordCode(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > WORD_BYTES_MAX) return 0;
  let code = 0;
  let runs = 0;
  let i = start;
  while (i < end) {
    const digits = ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0;
    let j = i + 1;
    while (j < end && (((CLASS[bytes[j] as number] as number) & DIGIT) !== 0) === digits) j++;
    if (++runs > RUNS_MAX || j - i > 31) return 0;
    code = code * 64 + (digits ? 32 : 0) + (j - i);
    i = j;
  }
  return code;
}

function formWordCode(word: string): number {
  let code = 0;
  for (const [, kind, length] of word.matchAll(/([ad])(\d+)/g)) code = code * 64 + (kind === 'd' ? 32 : 0) + Number(length);
  return code;
}

/** Builds the tree. @throws {RangeError} for a form that cannot be read. */
export function buildForms(rules: readonly FormRule[], hooks: readonly WordHook[]): FormTable {
  const root: Node = { next: new Map(), rules: undefined, form: '' };
  for (const rule of rules) {
    for (const form of rule.forms) {
      const parts = form.split(/([ \-./])/);
      let node = root;
      let separator = 0;
      for (let i = 0; i < parts.length; i++) {
        const part = parts[i] as string;
        if (i % 2 === 1) {
          separator = separatorCode[part.charCodeAt(0)] as number;
          continue;
        }
        const code = formWordCode(part);
        if (code === 0) throw new RangeError(`the form ${form} of ${rule.detector} cannot be read`);
        const key = code * 8 + separator;
        node.next ??= new Map();
        let child: Node | undefined = node.next.get(key);
        if (child === undefined) {
          child = { next: undefined, rules: undefined, form: parts.slice(0, i + 1).join('') };
          node.next.set(key, child);
        }
        node = child;
      }
      node.rules ??= [];
      node.rules.push(rule);
    }
  }
  const digitRoots: (Node | undefined)[] = [];
  for (let length = 0; length < 32; length++) digitRoots[length] = root.next?.get((32 + length) * 8);
  const phrase: Phrase = { scan: undefined as unknown as Scan, start: 0, end: 0, digits: [], form: '', text: '' };

  function judge(scan: Scan, node: Node, start: number, end: number): boolean {
    const candidates = node.rules;
    if (candidates === undefined) return false;
    if (!scan.wire && !standsAlone(scan, start, end)) return false;
    const { digits } = phrase;
    digits.length = 0;
    phrase.scan = scan;
    phrase.start = start;
    phrase.end = end;
    phrase.form = node.form;
    let text = '';
    for (let i = start; i < end; i++) {
      const byte = scan.bytes[i] as number;
      const kind = CLASS[byte] as number;
      if (kind & DIGIT) digits.push(byte - 48);
      if (kind & ALNUM) text += String.fromCharCode(byte >= 97 ? byte - 32 : byte);
    }
    phrase.text = text;
    let found = false;
    for (let i = 0; i < candidates.length; i++) {
      const rule = candidates[i] as FormRule;
      if (!rule.check(phrase)) continue;
      if (rule.context !== undefined && !hasContext(scan, start, end, rule.context)) continue;
      scan.add(start, end, rule.detector, rule.priority);
      found = true;
    }
    return found;
  }

  /** Walks the tree from the word at `start`; returns the end of the longest finding, or -1. */
  function walk(scan: Scan, start: number, node: Node | undefined, end: number): number {
    let found = -1;
    let current = node;
    let wordEnd = end;
    for (let depth = 0; current !== undefined && depth < 12; depth++) {
      if (judge(scan, current, start, wordEnd)) found = wordEnd;
      if (current.next === undefined || wordEnd + 1 >= scan.end) break;
      const separator = separatorCode[scan.bytes[wordEnd] as number] as number;
      if (separator === 0) break;
      const nextStart = wordEnd + 1;
      const nextEnd = wordLimit(scan, nextStart);
      if (nextEnd === nextStart) break;
      const code = wordCode(scan.bytes, nextStart, nextEnd);
      if (scan.wire && scan.bytes[nextEnd] !== undefined && is(scan.bytes[nextEnd - 1] as number, UPPER)) {
        // The last letter may be the type byte of the next message.
        const shorter = current.next.get(wordCode(scan.bytes, nextStart, nextEnd - 1) * 8 + separator);
        if (shorter !== undefined && judge(scan, shorter, start, nextEnd - 1)) found = nextEnd;
      }
      current = code === 0 ? undefined : current.next.get(code * 8 + separator);
      wordEnd = nextEnd;
    }
    return found;
  }

  function rootOf(scan: Scan, start: number, end: number): Node | undefined {
    const code = wordCode(scan.bytes, start, end);
    if (code === 0) return undefined;
    return code < 64 && code > 32 ? digitRoots[code - 32] : root.next?.get(code * 8);
  }

  return {
    run(scan, at, floor) {
      const { bytes } = scan;
      // The pair's digit may be its second byte.
      const seed = is(bytes[at] as number, ALNUM) ? at : at + 1;
      let start = seed;
      while (start > scan.start && ((CLASS[bytes[start - 1] as number] as number) & ALNUM) !== 0) start--;
      let end = wordLimit(scan, seed);
      const last = end;
      if (end - start > WORD_BYTES_MAX && !scan.wire) return end;
      // Short words before it may begin the phrase: `1 85 05 …`, `AB 12 34 56 C`.
      let first = start;
      for (let n = 0; n < WORDS_BEFORE && first > floor + 1; n++) {
        if ((separatorCode[bytes[first - 1] as number] as number) === 0) break;
        let i = first - 1;
        while (i > floor && first - 1 - i < 5 && ((CLASS[bytes[i - 1] as number] as number) & ALNUM) !== 0) i--;
        if (i === first - 1 || first - 1 - i > 4) break;
        first = i;
      }
      let position = first;
      while (position <= start) {
        end = wordLimit(scan, position);
        let found = -1;
        if (scan.wire) {
          for (let skip = 0; skip < 4 && position + skip < end && scan.hit < 0; skip++) {
            wireWalk(scan, position + skip, end);
          }
          if (scan.hit >= 0) return last;
        } else {
          for (let i = 0; i < hooks.length && found < 0; i++) if ((hooks[i] as WordHook)(scan, position, end)) found = end;
          const reached = walk(scan, position, rootOf(scan, position, end), end);
          if (reached > found) found = reached;
        }
        if (found > last) return found;
        position = end + 1;
      }
      return last;
    },
  };

  /** The looser walk of wire mode: a word may begin or end with a byte of the framing. */
  function wireWalk(scan: Scan, start: number, end: number): void {
    for (let i = 0; i < hooks.length; i++) (hooks[i] as WordHook)(scan, start, end);
    walk(scan, start, rootOf(scan, start, end), end);
    if (end - start > 1 && is(scan.bytes[end - 1] as number, UPPER)) {
      const node = rootOf(scan, start, end - 1);
      if (node !== undefined) judge(scan, node, start, end - 1);
    }
  }
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

const CONTEXT_BEFORE = 48;
const CONTEXT_AFTER = 16;

/** Whether one of the keywords stands within 48 bytes before the value or 16 after it. */
export function hasContext(scan: Scan, start: number, end: number, words: ContextWords): boolean {
  const from = Math.max(scan.start, start - CONTEXT_BEFORE);
  const to = Math.min(scan.end, end + CONTEXT_AFTER);
  if (from === start && to === end) return false;
  let text = '';
  for (let i = from; i < start; i++) text += String.fromCharCode(lower(scan.bytes[i] as number));
  text += '\u0000';
  const boundary = text.length;
  for (let i = end; i < to; i++) text += String.fromCharCode(lower(scan.bytes[i] as number));
  for (let w = 0; w < words.length; w++) {
    const word = words[w] as string;
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (scan.wire || word.length > 6) return true;
      const source = at < boundary ? from + at : end + (at - boundary);
      if (!isLetter(scan.byte(source - 1)) || startsHump(scan, source)) {
        if (!isLetter(scan.byte(source + word.length)) || is(scan.byte(source + word.length), UPPER)) return true;
      }
    }
  }
  return false;
}

function isLetter(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122);
}

/** `userSsn`: a capital after a small letter begins a word. */
function startsHump(scan: Scan, at: number): boolean {
  return is(scan.byte(at), UPPER) && !is(scan.byte(at - 1), UPPER);
}
