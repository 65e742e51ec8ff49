/**
 * IP addresses. Loopback, unspecified and netmask values are no data about anybody and are left out; so are version numbers.
 * @see https://www.rfc-editor.org/rfc/rfc4291#section-2.2
 */
import { ALNUM, CLASS, COLON, DIGIT, DOT, HEX_LOWER, HEX_UPPER, is, latin1 } from '../bytes.ts';
import type { WordHook } from '../forms.ts';
import { PRIORITY, type Scan } from '../span.ts';

const VERSION_WORDS = [
  'version',
  'ver',
  'v',
  'release',
  'build',
  'firmware',
  'assemblyversion',
  'fileversion',
  'upgrade',
  'chrome',
  'safari',
  'firefox',
  'edg',
  'opr',
  'webkit',
  'gecko',
  'driver',
  'rev',
  'oid',
  'section',
  'chapter',
];

/** Four numbers 0–255 without leading zeros, from the word at `start` on. */
export const ipv4Word: WordHook = { words: 'digits', begins: 'ipv4', run: matchIpv4 };

function matchIpv4(scan: Scan, start: number, end: number): boolean {
  if (end - start > 3 || scan.byte(end) !== 46) return false;
  const { bytes } = scan;
  let i = start;
  let octets = 0;
  let packed = 0;
  for (;;) {
    let value = 0;
    let digits = 0;
    while (i < scan.end && digits < 4 && is(bytes[i] as number, DIGIT)) {
      value = value * 10 + (bytes[i] as number) - 48;
      digits++;
      i++;
    }
    if (digits === 0 || digits > 3 || value > 255 || (digits > 1 && value < 10 ** (digits - 1))) return false;
    packed = packed * 256 + value;
    if (++octets === 4) break;
    if (bytes[i] !== 46 || i >= scan.end) return false;
    i++;
  }
  if (!scan.wire) {
    const before = scan.byte(start - 1);
    const after = scan.byte(i);
    if (is(before, ALNUM) || before === 95 || (before === 46 && is(scan.byte(start - 2), ALNUM))) return false;
    if (before === 45 && is(scan.byte(start - 2), ALNUM)) return false;
    if (is(after, ALNUM) || after === 95) return false;
    if ((after === 46 || after === 45) && is(scan.byte(i + 1), ALNUM)) return false;
    const network = Math.floor(packed / 16_777_216);
    if (network === 127 || network === 0 || network === 255) return false;
    if (isVersion(scan, start)) return false;
  }
  scan.add(start, i, 'ip-address', PRIORITY.address);
  return true;
}

/** `version 1.2.3.4`, `Chrome/120.0.0.0`, `"version": "10.0.0.1"`. */
function isVersion(scan: Scan, start: number): boolean {
  let i = start - 1;
  const floor = Math.max(scan.start, start - 8);
  while (i >= floor && ' \t="\':/([-'.includes(String.fromCharCode(scan.bytes[i] as number))) i--;
  const wordEnd = i + 1;
  while (i >= Math.max(scan.start, wordEnd - 20) && is(scan.bytes[i] as number, ALNUM)) i--;
  const word = latin1(scan.bytes, i + 1, wordEnd).toLowerCase();
  if (VERSION_WORDS.includes(word)) return true;
  // `Product/1.2.3.4` as in user agents: a slash right before, and a word before it that is no path.
  return scan.byte(start - 1) === 47 && word.length > 0 && scan.byte(i) !== 47 && scan.byte(start - 2) !== 47;
}

const HEX = HEX_LOWER | HEX_UPPER;

/**
 * Looks at the run of hexadecimal digits and colons around a colon.
 * @returns the run's end: its other colons need not be looked at.
 */
export function matchColon(scan: Scan, at: number): number {
  const { bytes } = scan;
  // A time of day, which is most of what has colons.
  if (scan.byte(at + 3) === 58 && !is(scan.byte(at + 6), HEX | COLON) && !is(scan.byte(at - 3), HEX | COLON)) return at + 4;
  let start = at;
  const floor = Math.max(scan.start, at - 40);
  while (start > floor && ((CLASS[bytes[start - 1] as number] as number) & (HEX | COLON)) !== 0) start--;
  let end = at + 1;
  const limit = Math.min(scan.end, at + 46);
  while (end < limit && ((CLASS[bytes[end] as number] as number) & (HEX | COLON)) !== 0) end++;
  if (end - start >= 6 && mayBeIpv6(bytes, start, end)) judgeIpv6(scan, start, end);
  return end;
}

function judgeIpv6(scan: Scan, start: number, runEnd: number): void {
  const { bytes } = scan;
  let end = runEnd;
  // An IPv4 tail: `::ffff:192.0.2.1`.
  if (scan.byte(end) === 46) {
    const limit = Math.min(scan.end, start + 46);
    while (end < limit && ((CLASS[bytes[end] as number] as number) & (DIGIT | DOT)) !== 0) end++;
  }
  while (end > start && (bytes[end - 1] === 46 || (bytes[end - 1] === 58 && bytes[end - 2] !== 58))) end--;
  // In wire mode bytes of the framing may stand before the address.
  const tries = scan.wire ? Math.min(4, end - start) : 1;
  for (let skip = 0; skip < tries; skip++) {
    for (let drop = 0; drop < tries; drop++) {
      if (!isIpv6(bytes, start + skip, end - drop)) continue;
      if (!scan.wire) {
        const before = scan.byte(start - 1);
        const after = scan.byte(end);
        if (is(before, ALNUM) || before === 46 || before === 95 || is(after, ALNUM) || after === 95) return;
        const text = latin1(bytes, start, end);
        if (text === '::1' || !/[1-9a-f]/i.test(text)) return;
      }
      scan.add(start + skip, end - drop, 'ip-address', PRIORITY.address);
      return;
    }
  }
}

/** Cheap: a `::`, or seven colons. Clock times have two. */
function mayBeIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  let colons = 0;
  for (let i = start; i < end; i++) {
    if (bytes[i] !== 58) continue;
    colons++;
    if (bytes[i + 1] === 58) return true;
  }
  return colons >= 6;
}

/** Eight groups of one to four hex digits, or fewer with one `::`; a dotted tail counts as two. */
export function isIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  let groups = 0;
  let compressed = false;
  let i = start;
  let long = 0;
  if (bytes[i] === 58) {
    if (bytes[i + 1] !== 58) return false;
    compressed = true;
    i += 2;
  }
  while (i < end) {
    const groupStart = i;
    while (i < end && is(bytes[i] as number, HEX)) i++;
    const size = i - groupStart;
    if (size === 0 || size > 4) return false;
    if (i < end && bytes[i] === 46) {
      // A dotted tail.
      const parts = latin1(bytes, groupStart, end).split('.');
      if (parts.length !== 4 || parts.some(part => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return false;
      groups += 2;
      long++;
      break;
    }
    groups++;
    if (size > 2) long++;
    if (i >= end) break;
    if (bytes[i] !== 58) return false;
    i++;
    if (bytes[i] === 58 && i < end) {
      if (compressed) return false;
      compressed = true;
      i++;
      if (i >= end) break;
    } else if (i >= end) return false;
  }
  // `a::b` is C++ or Perl, and eight groups of two digits are a port's name or a key's fingerprint: some group is longer.
  return long > 0 && (compressed ? groups <= 7 && groups >= 1 : groups === 8);
}
