/**
 * Private keys in textual form: PEM (RFC 7468, also with `\n` written out as in JSON and env files), OpenPGP (RFC 9580),
 * SSH2, PuTTY, age.
 *
 * The span is the whole block from `-----BEGIN` to the end of the `-----END` line. A block without its end (a head of a longer
 * value) reaches to the last byte that may belong to it.
 */
import { ascii, BASE64, CLASS, EQUALS, hasAt, SPACE, UPPER } from '../bytes.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';

const PRIVATE = ascii('PRIVATE KEY');
const END = ascii('-----END ');
const DASHES = ascii('-----');
const SSH2 = ascii('---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----');
const LABEL_BYTES_MAX = 64;

/** Bytes of a block's body: base64, white space, escapes and quotes of source code, and header lines (`Proc-Type: 4,ENCRYPTED`). */
const bodyByte: Uint8Array = (() => {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) if (((CLASS[byte] as number) & (BASE64 | EQUALS | SPACE)) !== 0) table[byte] = 1;
  for (const character of '\\"\'-:,.()<>@;_#+&%') table[character.charCodeAt(0)] = 1;
  return table;
})();

function matchPem(scan: Scan, at: number): void {
  const { bytes, end } = scan;
  let label = at + 11;
  const labelLimit = Math.min(end, label + LABEL_BYTES_MAX);
  let isPrivate = false;
  while (label < labelLimit && bytes[label] !== 45) {
    const byte = bytes[label] as number;
    if (!(((CLASS[byte] as number) & UPPER) !== 0 || byte === 32 || (byte >= 48 && byte <= 57))) return;
    if (byte === 80 && hasAt(bytes, label, end, PRIVATE)) isPrivate = true;
    label++;
  }
  if (!isPrivate || !hasAt(bytes, label, end, DASHES)) return;
  let i = label + 5;
  while (i < end && bodyByte[bytes[i] as number] === 1) {
    if (bytes[i] === 45 && bytes[i + 1] === 45 && bytes[i + 2] === 45 && hasAt(bytes, i, end, DASHES)) {
      if (!hasAt(bytes, i, end, END)) break;
      let close = i + 9;
      const closeLimit = Math.min(end, close + LABEL_BYTES_MAX);
      while (close < closeLimit && bytes[close] !== 45) close++;
      i = hasAt(bytes, close, end, DASHES) ? close + 5 : close;
      scan.add(at, i, 'private-key', PRIORITY.privateKey);
      return;
    }
    i++;
  }
  while (i > label + 5 && ((CLASS[bytes[i - 1] as number] as number) & (BASE64 | EQUALS)) === 0) i--;
  // A BEGIN line alone, as in documentation, is no key.
  if (i - label > 5 + 32 || scan.wire) scan.add(at, i, 'private-key', PRIORITY.privateKey);
}

/** Could all of these bytes lie inside of a block whose first line is not among them? */
export function mayBeInsideBlock(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bodyByte[bytes[i] as number] !== 1) return false;
  return true;
}

/** @returns where a block ends that was open at `from`: behind its `-----END …-----`, or where no more of it can follow. */
export function blockEnd(bytes: Uint8Array, from: number, to: number): number {
  let i = from;
  while (i < to && bodyByte[bytes[i] as number] === 1) {
    if (bytes[i] === 45 && hasAt(bytes, i, to, END)) {
      let close = i + END.length;
      const limit = Math.min(to, close + LABEL_BYTES_MAX);
      while (close < limit && bytes[close] !== 45) close++;
      return hasAt(bytes, close, to, DASHES) ? close + DASHES.length : close;
    }
    i++;
  }
  return i;
}

function matchSsh2(scan: Scan, at: number): void {
  const { bytes, end } = scan;
  if (!hasAt(bytes, at, end, SSH2)) return;
  const close = ascii('---- END SSH2 ENCRYPTED PRIVATE KEY ----');
  for (let i = at + SSH2.length; i < end && bodyByte[bytes[i] as number] === 1; i++) {
    if (bytes[i] === 45 && hasAt(bytes, i, end, close)) {
      scan.add(at, i + close.length, 'private-key', PRIORITY.privateKey);
      return;
    }
  }
}

/** PuTTY's format: from its first line to the MAC, or as far as the lines go. */
function matchPutty(scan: Scan, at: number): void {
  const { bytes, end } = scan;
  const mac = ascii('Private-MAC: ');
  let i = at;
  while (i < end && bodyByte[bytes[i] as number] === 1) {
    if (bytes[i] === 80 && hasAt(bytes, i, end, mac)) {
      i += mac.length;
      while (i < end && ((CLASS[bytes[i] as number] as number) & BASE64) !== 0) i++;
      break;
    }
    i++;
  }
  if (i - at > 100) scan.add(at, i, 'private-key', PRIORITY.privateKey);
}

export const privateKey: readonly LiteralRule[] = [
  { detector: 'private-key', literal: '-----BEGIN ', match: matchPem },
  { detector: 'private-key', literal: '---- BEGIN SSH2', match: matchSsh2 },
  { detector: 'private-key', literal: 'PuTTY-User-Key-File-', match: matchPutty },
];
