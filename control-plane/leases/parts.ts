/**
 * Sets of encoded parts, and what differs between two of them. Encoding and hashing are done once for each object, however many agents
 * are told of it.
 */
import { encodePart, partHash } from '@sallyport/shared/policy/lease-parts.ts';

export interface Part {
  value: Uint8Array;
  hash: string;
}

export type Parts = ReadonlyMap<string, Part>;

const encodedOnce = new WeakMap<object, Part>();

export function encodeParts(parts: ReadonlyMap<string, unknown>): Parts {
  return new Map([...parts].map(([key, value]) => [key, encoded(value)]));
}

/** @param value not changed afterwards. */
function encoded(value: unknown): Part {
  const kept = typeof value === 'object' && value !== null ? encodedOnce.get(value) : undefined;
  if (kept !== undefined) return kept;
  const bytes = encodePart(value);
  const part = { value: bytes, hash: partHash(bytes) };
  if (typeof value === 'object' && value !== null) encodedOnce.set(value, part);
  return part;
}

export function hashesOf(parts: Parts): ReadonlyMap<string, string> {
  return new Map([...parts].map(([key, { hash }]) => [key, hash]));
}

export interface Difference {
  whole: boolean;
  put: { key: string; value: Uint8Array }[];
  removed: string[];
}

/** @param before key → hash of what the other side has; null: nothing that is known. */
export function differenceOf(before: ReadonlyMap<string, string> | null, after: Parts): Difference {
  const put: Difference['put'] = [];
  for (const [key, { value, hash }] of after) if (before?.get(key) !== hash) put.push({ key, value });
  return { whole: before === null, put, removed: before === null ? [] : [...before.keys()].filter(key => !after.has(key)) };
}
