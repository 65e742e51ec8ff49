/**
 * One value in, one value out, in the type and the format that the client expects: what a mask does to a whole column value,
 * and what detectors do to parts of one. NULL stands where no faithful mask exists for a type.
 *
 * It walks no rows. docs/postgres.md has the table of types and masks.
 */
import { createHmac } from 'node:crypto';
import type { DetectorSet, Span } from '@sallyport/shared/detectors/engine.ts';
import { maskText, replaceSpans } from '@sallyport/shared/masking/mask.ts';
import type { MaskKind } from '@sallyport/shared/policy/model.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { changeBinaryArray, changeTextArray } from './arrays.ts';
import type { ValueShape } from './types.ts';

export interface MaskedColumn {
  shape: ValueShape;
  binary: boolean;
  as: MaskKind;
  /** The column's name, a hint for what the value looks like. */
  hint: string;
  key: Uint8Array;
  /** The client's encoding is UTF-8; in any other no part of a value is kept. */
  utf8: boolean;
}

/** The masked value; null is SQL NULL. The result is of the caller's own. */
export function maskValue(column: MaskedColumn, bytes: Buffer, start: number, end: number): Uint8Array | null {
  const { as, shape, binary } = column;
  if (as === 'null') return null;
  switch (shape) {
    case 'text':
    case 'xml':
      return masked(column, bytes.toString('utf8', start, end));
    case 'json': {
      const text = maskedText(column, bytes.toString('utf8', start, end));
      return text === null ? null : Buffer.from(JSON.stringify(text));
    }
    case 'jsonb': {
      const text = maskedText(column, bytes.toString('utf8', binary ? start + 1 : start, end));
      if (text === null) return null;
      return Buffer.from(binary ? `\u0001${JSON.stringify(text)}` : JSON.stringify(text));
    }
    case 'bytea': {
      // Of bytes nothing is kept: what `partial` would keep of the hexadecimal form means nothing to anybody.
      const text = maskText(as === 'partial' ? 'redact' : as, bytes.toString('latin1', start, end), column.key, column.hint);
      if (text === null) return null;
      return binary ? Buffer.from(text) : Buffer.from(`\\x${Buffer.from(text).toString('hex')}`);
    }
    case 'uuid':
      return as === 'hash' || as === 'fake' ? pseudonymousUuid(column, bytes, start, end) : null;
    case 'date':
      return as === 'partial' ? yearOf(binary, bytes, start, end) : null;
    case 'textArray':
    case 'never':
    case 'unknown':
      return null;
  }
}

function maskedText(column: MaskedColumn, text: string): string | null {
  return maskText(column.utf8 || column.as !== 'partial' ? column.as : 'redact', text, column.key, column.hint);
}

function masked(column: MaskedColumn, text: string): Uint8Array | null {
  const result = maskedText(column, text);
  return result === null ? null : Buffer.from(result);
}

/** A version 8 UUID (RFC 9562) made of a keyed hash: equal for equal values, so that joins still work. */
function pseudonymousUuid(column: MaskedColumn, bytes: Buffer, start: number, end: number): Uint8Array | null {
  const raw = column.binary ? bytes.subarray(start, end) : Buffer.from(bytes.toString('latin1', start, end).replaceAll('-', ''), 'hex');
  if (raw.length !== 16) return null;
  const digest = createHmac('sha256', column.key).update('sallyport mask uuid\u0000').update(raw).digest().subarray(0, 16);
  digest[6] = 0x80 | ((digest[6] as number) & 0x0f);
  digest[8] = 0x80 | ((digest[8] as number) & 0x3f);
  if (column.binary) return Buffer.from(digest);
  const hex = digest.toString('hex');
  return Buffer.from(`${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`);
}

const DAY_MS = 86_400_000;
const EPOCH_2000_MS = Date.UTC(2000, 0, 1);

/** The first of January of a date's year; NULL for what is not in ISO form or out of range. */
function yearOf(binary: boolean, bytes: Buffer, start: number, end: number): Uint8Array | null {
  if (!binary) {
    const match = /^(\d{4})-\d\d-\d\d$/.exec(bytes.toString('latin1', start, end));
    return match === null ? null : Buffer.from(`${match[1]}-01-01`);
  }
  if (end - start !== 4) return null;
  const date = new Date(EPOCH_2000_MS + readInt32(bytes, start) * DAY_MS);
  const year = date.getUTCFullYear();
  if (!Number.isFinite(year)) return null;
  const first = Buffer.alloc(4);
  first.writeInt32BE(Math.round((new Date(0).setUTCFullYear(year, 0, 1) - EPOCH_2000_MS) / DAY_MS));
  return first;
}

export interface ScannedColumn {
  shape: ValueShape;
  binary: boolean;
  detectors: DetectorSet;
  as: MaskKind;
  key: Uint8Array;
}

/** What detectors found in a value, and the value without it. */
export interface Finding {
  value: Uint8Array | null;
  detectors: string[];
  count: number;
}

/**
 * Scans one value.
 * @returns null when nothing was found: the value may pass as it is.
 */
export function scanValue(column: ScannedColumn, bytes: Buffer, start: number, end: number): Finding | null {
  const { shape, binary } = column;
  if (shape === 'bytea' && !binary) return scanBytea(column, bytes, start, end);
  if (shape === 'textArray') {
    const finding = scanArray(column, bytes, start, end);
    if (finding !== undefined) return finding;
  }
  const from = shape === 'jsonb' && binary ? start + 1 : start;
  const spans = column.detectors.scan(bytes, from, end);
  if (spans.length === 0) return null;
  const found = { detectors: namesOf(spans), count: spans.length };
  // The parts of a type that is not known, or of what is no array after all, have lengths in front that a replacement would belie.
  if (binary && (shape === 'textArray' || shape === 'unknown')) return { ...found, value: null };
  if (column.as === 'null') return { ...found, value: null };
  const json = shape === 'json' || shape === 'jsonb';
  const value = replaceSpans(bytes, from, end, spans, column.as, column.key, json ? 'json' : 'text');
  if (from === start) return { ...found, value };
  const withVersion = new Uint8Array(value.length + 1);
  withVersion[0] = bytes[start] as number;
  withVersion.set(value, 1);
  return { ...found, value: withVersion };
}

/**
 * Each element as a value of its own.
 * @returns undefined when no element has anything, or it is no array: then it is looked at as a whole.
 */
function scanArray(column: ScannedColumn, bytes: Buffer, start: number, end: number): Finding | undefined {
  const found: string[] = [];
  const change = (value: Buffer, from: number, to: number): Uint8Array | null | undefined => {
    // A bytea's text form within; in the binary form its bytes are as they are.
    const shape = !column.binary && value[from] === 0x5c && value[from + 1] === 0x78 ? 'bytea' : 'text';
    const finding = scanValue({ ...column, shape }, value, from, to);
    if (finding === null) return undefined;
    found.push(...finding.detectors);
    return finding.value;
  };
  const value = (column.binary ? changeBinaryArray : changeTextArray)(bytes, start, end, change);
  return value === null || value === undefined ? undefined : { value, detectors: found, count: found.length };
}

/** bytea in its text form: hexadecimal digits that hide what they spell from a scan. */
function scanBytea(column: ScannedColumn, bytes: Buffer, start: number, end: number): Finding | null {
  if (bytes[start] !== 0x5c || bytes[start + 1] !== 0x78) {
    const spans = column.detectors.scan(bytes, start, end);
    return spans.length === 0 ? null : { value: null, detectors: namesOf(spans), count: spans.length };
  }
  const raw = Buffer.from(bytes.toString('latin1', start + 2, end), 'hex');
  const spans = column.detectors.scan(raw, 0, raw.length);
  if (spans.length === 0) return null;
  const found = { detectors: namesOf(spans), count: spans.length };
  if (column.as === 'null') return { ...found, value: null };
  const value = replaceSpans(raw, 0, raw.length, spans, column.as, column.key);
  return { ...found, value: Buffer.from(`\\x${Buffer.from(value).toString('hex')}`) };
}

function namesOf(spans: readonly Span[]): string[] {
  return spans.map(span => span.detector);
}
