/**
 * Reads `keyword = value` in the forms that it has in env files, JSON, YAML, XML, code, URLs, logs, connection strings and chat.
 *
 * From the keyword's end: the rest of the identifier (48 bytes at most), quotes, an operator, a quote, the value (512 bytes at most).
 * Everything is a greedy run; nothing is tried twice.
 */
import { ALNUM, ALPHA, CLASS, DIGIT, is, lower } from '../bytes.ts';
import type { Scan } from '../span.ts';

export interface Assignment {
  /** The value, without quotes. */
  start: number;
  end: number;
  quoted: boolean;
  /** Where the keyword's identifier ends. */
  nameEnd: number;
  /** `=`, `:`, `>` (an XML element), ` ` (a flag or SQL), `i` (the word "is"). */
  operator: string;
  /** Words between the name and the operator. */
  gap: number;
}

const TAIL_BYTES_MAX = 48;
const VALUE_BYTES_MAX = 512;

/** Bytes that end a value without quotes. */
const unquotedEnd: Uint8Array = (() => {
  const table = new Uint8Array(256);
  for (let byte = 0; byte <= 32; byte++) table[byte] = 1;
  for (const character of '"\'`,;&<>)]}|\\') table[character.charCodeAt(0)] = 1;
  return table;
})();

/**
 * @param at the end of the keyword.
 * @param words words that may stand between the name and the operator: `heroku api key: …`, `password for bob is …`.
 * @returns undefined when nothing is assigned there.
 */
export function readAssignment(scan: Scan, at: number, words = 0): Assignment | undefined {
  const { bytes, end } = scan;
  let i = at;
  const tailLimit = Math.min(end, at + TAIL_BYTES_MAX);
  while (i < tailLimit && (is(bytes[i] as number, ALNUM) || bytes[i] === 95 || bytes[i] === 45 || bytes[i] === 46)) i++;
  const nameEnd = i;
  let gap = 0;
  while (gap < words && bytes[i] === 32 && is(bytes[i + 1] as number, ALNUM) && !isIs(bytes, i + 1)) {
    const wordLimit = Math.min(end, i + 14);
    i++;
    while (i < wordLimit && (is(bytes[i] as number, ALNUM) || bytes[i] === 95 || bytes[i] === 45)) i++;
    gap++;
  }
  if (gap > 0 && bytes[i] !== 58 && bytes[i] !== 61 && bytes[i] !== 32) return undefined;
  // `"password": …`, `password[0] = …`, `['password'] = …`, also with the quote escaped.
  i = skipClosers(bytes, i, end);
  i = skipBlanks(bytes, i, end, 4);
  const first = i < end ? (bytes[i] as number) : -1;
  let operator = '';
  const attribute = i > nameEnd ? valueAttribute(bytes, i, end) : 0;
  const entry = valueEntry(bytes, i, end);
  if (attribute > 0) {
    operator = '=';
    i += attribute;
  } else if (entry > 0) {
    operator = ':';
    i += entry;
  } else if (first === 61 || first === 58) {
    operator = first === 61 ? '=' : ':';
    i++;
    while (i < end && (bytes[i] === 61 || bytes[i] === 62 || bytes[i] === 58)) i++;
    if (first === 58) {
      i += declaredType(bytes, i, end);
      const before = scan.wire ? '' : precedingSigns(scan, at);
      // `https://x-access-token:…@host` belongs to the rules of addresses.
      if (before === '//') return undefined;
      if (before === '${') {
        // A shell's `${NAME:-default}` has a value, `${NAME:?message}` and `${NAME:+instead}` have none.
        if (bytes[i] !== 45) return undefined;
        i++;
      }
    }
  } else if (first === 62 && (nameEnd === i || bytes[i - 1] === 34)) {
    operator = '>';
    i++;
  } else if (first === 44 && i > nameEnd) {
    operator = ',';
    i++;
  } else if (first === 37 && lower(bytes[i + 2] as number) === 100 && bytes[i + 1] === 51) {
    operator = '='; // %3D
    i += 3;
  } else if (i > nameEnd && lower(first) === 105 && lower(bytes[i + 1] as number) === 115 && isBlank(bytes[i + 2])) {
    operator = 'i';
    i += 2;
    if (bytes[i + 1] === 58) i++;
  } else if (i > nameEnd && (first === 39 || first === 34)) operator = ' ';
  else if (i > nameEnd && isFlag(scan, at)) operator = ' ';
  else return undefined;
  i = skipBlanks(bytes, i, end, 8);
  if (bytes[i] === 60 && bytes[i + 1] === 33) i = skipCdata(bytes, i, end);
  let quote = 0;
  let escapes = 0;
  // A quote that is itself inside of a string: `{\"password\":\"…\"}`.
  while (i < end && bytes[i] === 92 && escapes < 4) {
    escapes++;
    i++;
  }
  const opening = bytes[i];
  if (i < end && (opening === 34 || opening === 39 || opening === 96)) {
    quote = opening;
    i++;
  } else if (escapes > 0) return undefined;
  const start = i;
  const limit = Math.min(end, start + VALUE_BYTES_MAX);
  if (quote !== 0) {
    while (i < limit && bytes[i] !== quote && bytes[i] !== 10 && bytes[i] !== 13) {
      if (bytes[i] === 92) {
        if (escapes > 0 && bytes[i + escapes] === quote) break;
        i++;
      }
      i++;
    }
    i = Math.min(i, limit);
  } else {
    while (i < limit && (unquotedEnd[bytes[i] as number] === 0 || (bytes[i] === 38 && !startsParameter(bytes, i + 1, end)))) i++;
    if (operator === '=' && isQueryParameter(scan, at)) {
      const fragment = bytes.subarray(start, i).indexOf(35);
      if (fragment >= 0) i = start + fragment;
    }
    // A sentence's full stop, or the colon of what follows.
    while (i > start && (bytes[i - 1] === 46 || bytes[i - 1] === 58)) i--;
  }
  if (i <= start) return undefined;
  return { start, end: i, quoted: quote !== 0, nameEnd, operator, gap };
}

/** Whether the name that `at` is in stands in the query of an address: `?token=…#fragment`. */
function isQueryParameter(scan: Scan, at: number): boolean {
  let i = at - 1;
  const floor = Math.max(scan.start, at - TAIL_BYTES_MAX);
  while (i >= floor && (is(scan.bytes[i] as number, ALNUM) || scan.bytes[i] === 45 || scan.bytes[i] === 95)) i--;
  return scan.byte(i) === 63 || scan.byte(i) === 38;
}

/** Length of `value=` (or `value =`), as XML writes what its `key="…"` names; 0 when it is not there. */
function valueAttribute(bytes: Uint8Array, at: number, end: number): number {
  const word = 'value';
  for (let k = 0; k < word.length; k++) if (at + k >= end || lower(bytes[at + k] as number) !== word.charCodeAt(k)) return 0;
  let i = at + word.length;
  while (i < end && bytes[i] === 32 && i < at + 8) i++;
  return bytes[i] === 61 ? i + 1 - at : 0;
}

/**
 * Length of what leads to the value where a list names things and gives their values apart, up to the colon: `name: DB_PASS` and on the
 * next line `value: …`, or `"name":"DB_PASS","value":"…"`; 0 when it is not there.
 */
function valueEntry(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  const limit = Math.min(end, at + 32);
  while (i < limit && ' \t\r\n,"'.includes(String.fromCharCode(bytes[i] as number))) i++;
  if (i === at) return 0;
  const word = 'value';
  for (let k = 0; k < word.length; k++) if (i + k >= end || lower(bytes[i + k] as number) !== word.charCodeAt(k)) return 0;
  i += word.length;
  if (bytes[i] === 34) i++;
  i = skipBlanks(bytes, i, end, 4);
  return i < end && bytes[i] === 58 ? i + 1 - at : 0;
}

/** Length of a type and the `=` behind it, with a quote after that: `token: &str = "…"`, `password: string = '…'`; else 0. */
function declaredType(bytes: Uint8Array, at: number, end: number): number {
  let i = skipBlanks(bytes, at, end, 2);
  const limit = Math.min(end, at + 40);
  if (!is(bytes[i] as number, ALPHA) && bytes[i] !== 38) return 0;
  while (i < limit && (is(bytes[i] as number, ALNUM) || "_&<>[]'?|. ".includes(String.fromCharCode(bytes[i] as number)))) i++;
  if (i >= limit || bytes[i] !== 61) return 0;
  const quote = bytes[skipBlanks(bytes, i + 1, end, 4)];
  return quote === 34 || quote === 39 || quote === 96 ? i + 1 - at : 0;
}

/** The two bytes before the name that `at` is in. */
function precedingSigns(scan: Scan, at: number): string {
  let i = at - 1;
  const floor = Math.max(scan.start, at - TAIL_BYTES_MAX);
  while (i >= floor && (is(scan.bytes[i] as number, ALNUM) || scan.bytes[i] === 45 || scan.bytes[i] === 95)) i--;
  return i > scan.start ? String.fromCharCode(scan.bytes[i - 1] as number, scan.bytes[i] as number) : '';
}

/** The word `is`, which is an operator. */
function isIs(bytes: Uint8Array, at: number): boolean {
  return lower(bytes[at] as number) === 105 && lower(bytes[at + 1] as number) === 115 && isBlank(bytes[at + 2]);
}

/** Whether an `&` goes on with the next parameter of a query, or ends a reference. */
function startsParameter(bytes: Uint8Array, at: number, end: number): boolean {
  let i = at;
  while (i < end && i < at + 32 && (is(bytes[i] as number, ALNUM) || bytes[i] === 95 || bytes[i] === 45)) i++;
  return bytes[i] === 61 || bytes[i] === 59;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 9 || byte === 58;
}

function skipBlanks(bytes: Uint8Array, at: number, end: number, most: number): number {
  let i = at;
  const limit = Math.min(end, at + most);
  while (i < limit && (bytes[i] === 32 || bytes[i] === 9)) i++;
  return i;
}

/** Quotes, backslashes and brackets between a name and its operator. */
function skipClosers(bytes: Uint8Array, at: number, end: number): number {
  let i = at;
  const limit = Math.min(end, at + 5);
  while (i < limit && (bytes[i] === 34 || bytes[i] === 39 || bytes[i] === 96 || bytes[i] === 93 || bytes[i] === 92)) i++;
  return i;
}

function skipCdata(bytes: Uint8Array, at: number, end: number): number {
  return at + 9 <= end && bytes[at + 8] === 91 ? at + 9 : at;
}

/** `--password value`, `-token value`. */
function isFlag(scan: Scan, at: number): boolean {
  let i = at - 1;
  const floor = Math.max(scan.start, at - 40);
  while (i >= floor && (is(scan.bytes[i] as number, ALNUM) || scan.bytes[i] === 45 || scan.bytes[i] === 95)) i--;
  return scan.byte(i + 1) === 45 && scan.byte(i + 2) === 45;
}

/** What kinds of characters a value has, and whether it looks like one that was chosen to be secret. */
export interface Texture {
  digits: number;
  lowers: number;
  uppers: number;
  others: number;
  high: number;
}

export function textureOf(bytes: Uint8Array, start: number, end: number): Texture {
  const texture: Texture = { digits: 0, lowers: 0, uppers: 0, others: 0, high: 0 };
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if ((CLASS[byte] as number) & DIGIT) texture.digits++;
    else if (byte >= 97 && byte <= 122) texture.lowers++;
    else if (byte >= 65 && byte <= 90) texture.uppers++;
    else if (byte >= 128) texture.high++;
    else texture.others++;
  }
  return texture;
}
