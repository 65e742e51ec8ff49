/**
 * Compares validated manifests, for `plan` and `apply`, and writes them canonically, for hashes and equality. Secrets and keys
 * never show: a secret that is written in a manifest is told apart only as changed or not.
 */
import { createHash } from 'node:crypto';
import type { Manifest } from './model.ts';

export interface Change {
  /** Dotted, entries of a list by their name or place: `spec.rules[no-ddl].action`. */
  path: string;
  /** JSON value; undefined: absent. */
  before: unknown;
  after: unknown;
}

/** JSON with the keys of every object sorted and nothing undefined. Holds secrets that are written in the manifest. */
export function canonicalManifest(manifest: Manifest): string {
  return JSON.stringify(sortedKeys(manifest));
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (!isRecord(value)) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map(key => [key, sortedKeys(value[key])]));
}

/**
 * What differs, field by field, in the order of the fields' names.
 *
 * @param before null: it is new; @param after null: it is removed.
 */
export function diffManifest(before: Manifest | null, after: Manifest | null): Change[] {
  const changes: Change[] = [];
  const visible = (manifest: Manifest | null): unknown =>
    manifest === null ? undefined : { labels: manifest.labels, spec: manifest.spec };
  compare('', visible(before), visible(after), changes);
  return changes;
}

/** A copy that may be shown: secrets replaced, PEM texts by their fingerprint. */
export function redactedManifest(manifest: Manifest): Manifest {
  return redacted(manifest) as Manifest;
}

function redacted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redacted);
  if (!isRecord(value)) return shownValue(value);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, isInlineSecret(value, key) ? SECRET : redacted(each)]));
}

const SECRET = '(secret)';
const CHANGED_SECRET = '(another secret)';

/** `{ value: … }` alone is how a manifest writes a secret out; no other field is called so. */
function isInlineSecret(holder: Record<string, unknown>, key: string): boolean {
  return key === 'value' && typeof holder.value === 'string';
}

function compare(path: string, before: unknown, after: unknown, changes: Change[]): void {
  if (isRecord(before) || isRecord(after)) {
    if (!isRecord(before ?? {}) || !isRecord(after ?? {})) {
      changes.push({ path, before: redacted(before), after: redacted(after) });
      return;
    }
    const [old, now] = [isRecord(before) ? before : {}, isRecord(after) ? after : {}];
    for (const key of [...new Set([...Object.keys(old), ...Object.keys(now)])].sort()) {
      const at = path === '' ? key : `${path}.${key}`;
      const [a, b] = [own(old, key), own(now, key)];
      if (!isInlineSecret(old, key) && !isInlineSecret(now, key)) compare(at, a, b, changes);
      else if (a !== b)
        changes.push({
          path: at,
          before: a === undefined ? a : SECRET,
          after: b === undefined ? b : a === undefined ? SECRET : CHANGED_SECRET,
        });
    }
    return;
  }
  if (isListOfRecords(before) || isListOfRecords(after)) {
    const [old, now] = [keyed(before), keyed(after)];
    const order = [...now.keys()];
    for (const key of new Set([...old.keys(), ...order])) compare(`${path}[${key}]`, old.get(key), now.get(key), changes);
    const kept = [...old.keys()].filter(key => now.has(key));
    const stayed = order.filter(key => old.has(key));
    if (kept.join('\n') !== stayed.join('\n')) changes.push({ path: `${path} (order)`, before: kept, after: stayed });
    return;
  }
  if (JSON.stringify(before) !== JSON.stringify(after)) changes.push({ path, before: redacted(before), after: redacted(after) });
}

function keyed(value: unknown): Map<string, unknown> {
  const result = new Map<string, unknown>();
  if (!Array.isArray(value)) return result;
  value.forEach((item: unknown, index) => {
    const name = isRecord(item) ? (item.name ?? item.match) : undefined;
    const key = typeof name === 'string' ? name : String(index);
    result.set(result.has(key) ? `${key}#${index}` : key, item);
  });
  return result;
}

function isListOfRecords(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isRecord);
}

function shownValue(value: unknown): unknown {
  if (typeof value !== 'string' || !value.includes('-----BEGIN ')) return value;
  return `(PEM, sha256 ${createHash('sha256').update(value).digest('hex').slice(0, 16)})`;
}

function own(holder: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(holder, key) ? holder[key] : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
