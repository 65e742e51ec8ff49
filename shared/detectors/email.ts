/**
 * Email addresses: what stands around an `@`.
 *
 * The local part is a run of at most 64 bytes, the domain one of at most 253, so the work is bounded for each `@`. Left out on
 * purpose: quoted local parts and address literals in brackets.
 * @see https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1
 */
import { ALNUM, ALPHA, CLASS, HEX_LOWER, HEX_UPPER, HIGH, is, latin1, WORD } from './bytes.ts';
import { PRIORITY, type Scan } from './span.ts';

/** Endings that look like a top-level domain and are file names: `logo@2x.png`. */
const FILE_ENDINGS = new Set(
  'png jpg jpeg gif svg webp bmp ico avif css scss less js mjs cjs ts tsx jsx json html htm xml yml yaml toml txt pdf exe dll jar class java log conf cfg ini lock map woff ttf so'.split(
    ' ',
  ),
);

/** 1: letters, digits, `_` and what is not ASCII; 2: what may stand inside of a local part only. */
const LOCAL_BYTES: Uint8Array = (() => {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if (((CLASS[byte] as number) & (WORD | HIGH)) !== 0) table[byte] = 1;
  for (const character of ".+-'&%") table[character.charCodeAt(0)] = 2;
  return table;
})();

const HEX = HEX_LOWER | HEX_UPPER;

/** Looks at the `@` (or an encoded one, `width` bytes wide) at `at`. */
export function matchEmail(scan: Scan, at: number, width = 1): void {
  const { bytes } = scan;
  const floor = Math.max(scan.start, at - 65);
  let start = at;
  while (start > floor && LOCAL_BYTES[bytes[start - 1] as number] !== 0) start--;
  if (at - start > 64 && !scan.wire) return;
  // A percent-encoded byte ends the run on the left: `q=a%20bob@…`.
  for (let i = at - 3; i >= start; i--) {
    if (bytes[i] === 37 && is(bytes[i + 1] as number, HEX) && is(bytes[i + 2] as number, HEX)) {
      start = i + 3;
      break;
    }
  }
  // An escape (`\n`, `\t`) is no part of the address.
  if (start < at - 1 && scan.byte(start - 1) === 92 && 'nrt'.includes(String.fromCharCode(bytes[start] as number))) start++;
  while (start < at && LOCAL_BYTES[bytes[start] as number] === 2) start++;
  let localEnd = at;
  while (localEnd > start && LOCAL_BYTES[bytes[localEnd - 1] as number] === 2 && bytes[localEnd - 1] !== 43 && bytes[localEnd - 1] !== 45)
    localEnd--;
  if (localEnd === start || localEnd !== at) return;

  const limit = Math.min(scan.end, at + width + 254);
  let end = -1;
  let label = at + width;
  let labels = 0;
  for (;;) {
    let i = label;
    while (i < limit && (is(bytes[i] as number, ALNUM | HIGH) || bytes[i] === 45)) i++;
    if (i === label || bytes[label] === 45) break;
    let stop = i;
    while (stop > label && bytes[stop - 1] === 45) stop--;
    labels++;
    if (labels > 1 && isTopLevel(bytes, label, stop)) end = stop;
    if (stop !== i || i >= limit || bytes[i] !== 46) break;
    label = i + 1;
  }
  if (end < 0) return;
  if (scan.wire) {
    scan.add(start, end, 'email', PRIORITY.email);
    return;
  }
  if (isFileName(bytes, end, at) || isUserInfo(scan, start) || isRemotePath(scan, start, at, end)) return;
  scan.add(start, end, 'email', PRIORITY.email);
}

function isTopLevel(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 2 || end - start > 24) return false;
  if (bytes[start] === 120 && bytes[start + 1] === 110 && bytes[start + 2] === 45) return true; // xn--
  for (let i = start; i < end; i++) if (!is(bytes[i] as number, ALPHA | HIGH)) return false;
  return true;
}

function isFileName(bytes: Uint8Array, end: number, at: number): boolean {
  let dot = end;
  while (dot > at && bytes[dot - 1] !== 46) dot--;
  return end - dot <= 5 && FILE_ENDINGS.has(latin1(bytes, dot, end).toLowerCase());
}

/** `scheme://user:password@host`: what stands before the `@` is a login, found by others. */
function isUserInfo(scan: Scan, start: number): boolean {
  let i = start - 1;
  const floor = Math.max(scan.start, start - 128);
  for (; i >= floor; i--) {
    const byte = scan.bytes[i] as number;
    if (byte <= 32 || byte === 34 || byte === 39 || byte === 60 || byte === 62 || byte === 63 || byte === 38 || byte === 35) return false;
    if (byte === 47) {
      // `://`, also as JSON may write it: `:\/\/`.
      const previous = scan.byte(i - 1) === 92 ? i - 2 : i - 1;
      const first = scan.byte(previous - 1) === 92 ? previous - 2 : previous - 1;
      return scan.byte(previous) === 47 && scan.byte(first) === 58;
    }
  }
  return false;
}

/** `git@host.example:org/repo.git` and `deploy@host:/srv`: an account on a host with a path. */
function isRemotePath(scan: Scan, start: number, at: number, end: number): boolean {
  if (scan.byte(end) !== 58) return false;
  const next = scan.byte(end + 1);
  if (next === 47 || next === 126) return true;
  if (!is(next, ALPHA)) return false;
  const local = latin1(scan.bytes, start, at);
  if (local === 'git' || local === 'hg' || local === 'svn') return true;
  for (let i = end + 1; i < scan.end && i < end + 64; i++) {
    if (scan.bytes[i] === 47) return true;
    if (!is(scan.bytes[i] as number, WORD) && scan.bytes[i] !== 45 && scan.bytes[i] !== 46) return false;
  }
  return false;
}
