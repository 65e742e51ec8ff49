/**
 * What a masked value becomes. One kind, one text; deterministic per key, so that joins over `hash` and `fake` still work.
 *
 * Typed masks for wire types (numbers, dates, binary formats) belong to the protocols; this file knows text only.
 */

import { isUtf8 } from 'node:buffer';
import { createHmac } from 'node:crypto';
import type { Span } from '../detectors/span.ts';
import { unreachable } from '../errors.ts';
import type { MaskKind } from '../policy/model.ts';
import { fakeText } from './fake.ts';

/** What `redact` puts in place; it says nothing of the value, its length or its kind. Plain in JSON strings, arrays and XML. */
export const REDACTED = '[redacted]';

/**
 * Masks a text.
 *
 * @param key the resource's mask key, 32 bytes; used by `hash` and `fake`.
 * @param hint the detector's or the column's name: decides what `partial` and `fake` may take the text for.
 * @returns null for `null` only.
 */
export function maskText(kind: MaskKind, text: string, key: Uint8Array, hint = ''): string | null {
  switch (kind) {
    case 'redact':
      return REDACTED;
    case 'partial':
      return partialText(text, hint);
    case 'hash':
      return hashText(text, key);
    case 'null':
      return null;
    case 'fake':
      return fakeText(text, key, hint);
    default:
      return unreachable(kind);
  }
}

/** `h_` and 96 bits of a keyed HMAC-SHA256 in base64url: equal values stay equal, and nobody without the key can try guesses. */
export function hashText(text: string, key: Uint8Array): string {
  const digest = createHmac('sha256', key).update('sallyport mask hash\u0000').update(text, 'utf8').digest();
  return `h_${digest.subarray(0, 12).toString('base64url')}`;
}

const EMAIL = /^([^@\s]{1,64})@([^@\s]{1,253})$/u;

/**
 * Keeps a hint: the domain and the first character of an email address, the last four digits of a number (a quarter of its
 * digits when it has fewer than nine), the first letter or digit of any other text of four characters or more.
 */
export function partialText(text: string, hint = ''): string {
  const email = EMAIL.exec(text.trim());
  if (email !== null) {
    const [, local = '', domain = ''] = email;
    return `${local.length >= 4 ? keepable(local) : ''}***@${domain}`;
  }
  const digits = text.match(/[0-9]/g)?.length ?? 0;
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  if (digits >= 4 && (letters <= 4 || hint === 'iban') && digits > letters && text.length <= 64 && !/[^\x20-\x7e]/.test(text)) {
    let kept = digits >= 9 ? 4 : Math.floor(digits / 4);
    let masked = '';
    for (let i = text.length - 1; i >= 0; i--) {
      const character = text.charAt(i);
      if (character >= '0' && character <= '9' && kept > 0) {
        kept--;
        masked = character + masked;
      } else masked = (/[0-9A-Za-z]/.test(character) ? '*' : character) + masked;
    }
    return masked;
  }
  return `${Array.from(text).length >= 4 ? keepable(text) : ''}***`;
}

/** The first character when it is a letter or digit: a quote or a backslash would break what surrounds it. */
function keepable(text: string): string {
  const first = String.fromCodePoint(text.codePointAt(0) ?? 0);
  return /^[\p{L}\p{N}]$/u.test(first) ? first : '';
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Bytes [start, end) with every span masked.
 *
 * @param spans sorted, not overlapping, inside of the window (DetectorSet.scan). A span that cuts a UTF-8 sequence is widened.
 * @param kind `null` has no meaning inside of a text and gives what `redact` gives.
 * @param format with `json` a number outside of a string is replaced by a string, so that the document stays valid.
 * @returns a new array that the caller owns. A bytea in hex (`\x…`) stays one.
 */
export function replaceSpans(
  bytes: Uint8Array,
  start: number,
  end: number,
  spans: readonly Span[],
  kind: MaskKind,
  key: Uint8Array,
  format: 'text' | 'json' = 'text',
): Uint8Array {
  if (spans.length === 0) return bytes.slice(start, end);
  const hex = isHexBytea(bytes, start, end);
  const quoted = format === 'json' ? insideStrings(bytes, start, spans) : undefined;
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (part: Uint8Array): void => {
    parts.push(part);
    length += part.length;
  };
  let at = start;
  for (let i = 0; i < spans.length; i++) {
    const span = spans[i] as Span;
    let from = Math.max(span.start, at);
    let to = Math.min(span.end, end);
    if (from >= to) continue;
    if (hex) {
      from -= (from - start) % 2;
      to += (to - start) % 2;
      if (from < start + 2) from = start + 2;
      if (to > end) to = end;
    } else {
      while (from > at && isContinuation(bytes[from] as number)) from--;
      while (to < end && isContinuation(bytes[to] as number)) to++;
    }
    push(bytes.subarray(at, from));
    push(replacement(bytes.subarray(from, to), span.detector, kind, key, hex, quoted === undefined || quoted[i] === true));
    at = to;
  }
  push(bytes.subarray(at, end));
  const result = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

function replacement(value: Uint8Array, detector: string, kind: MaskKind, key: Uint8Array, hex: boolean, inText: boolean): Uint8Array {
  const source = hex ? Buffer.from(Buffer.from(value).toString('latin1'), 'hex') : value;
  const text = decoder.decode(source);
  // Escapes must not be rewritten letter by letter, and what is no UTF-8 has no shape to keep.
  const shapeless = /[\\%&]/.test(text) || !isUtf8(source);
  const masked = (kind === 'fake' || kind === 'partial') && shapeless ? REDACTED : (maskText(kind, text, key, detector) ?? REDACTED);
  if (hex) return encoder.encode(Buffer.from(masked, 'utf8').toString('hex'));
  if (inText) return encoder.encode(masked);
  if (kind === 'null') return encoder.encode('null');
  return encoder.encode(JSON.stringify(masked));
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

function isHexBytea(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 4 || (end - start) % 2 !== 0 || bytes[start] !== 92 || bytes[start + 1] !== 120) return false;
  for (let i = start + 2; i < end; i++) {
    const byte = bytes[i] as number;
    if (!((byte >= 48 && byte <= 57) || (byte >= 97 && byte <= 102) || (byte >= 65 && byte <= 70))) return false;
  }
  return true;
}

/** For each span whether it begins inside of a JSON string. */
function insideStrings(bytes: Uint8Array, start: number, spans: readonly Span[]): boolean[] {
  const result: boolean[] = [];
  let inside = false;
  let at = start;
  for (const span of spans) {
    for (; at < span.start; at++) {
      const byte = bytes[at];
      if (byte === 34) inside = !inside;
      else if (byte === 92 && inside) at++;
    }
    result.push(inside);
  }
  return result;
}
