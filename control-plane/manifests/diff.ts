/** What differs between two plain JSON values, leaf by leaf, for people who want to see a change before they make it. */
import { isDeepStrictEqual } from 'node:util';

export interface Difference {
  /** e.g. `spec.upstream.address`; lists are compared whole. */
  path: string;
  /** Absent when there was, or will be, nothing. */
  before?: unknown;
  after?: unknown;
}

export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap(key => differences(before[key], after[key], path === '' ? key : `${path}.${key}`));
  }
  return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
