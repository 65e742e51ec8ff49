/**
 * A manifest as people write it, made from the form that is stored: durations and sizes with their units, without what is the default
 * anyway. Guided by the schema that validates manifests; whether it says the same is found out by reading it back (`isFaithful`).
 */
import { type FieldDescription, manifestFields, parseManifests, type ValueDescription } from '@sallyport/shared/policy/manifests.ts';
import type { Kind } from '@sallyport/shared/policy/model.ts';
import { parse, stringify } from 'yaml';

export interface StoredDocument {
  apiVersion: string;
  kind: Kind;
  metadata: { name: string; labels: Record<string, string> };
  spec: unknown;
}

export function manifestText(document: StoredDocument): string {
  const { apiVersion, kind, metadata } = document;
  const fields = manifestFields(kind);
  const spec = fields.find(({ name }) => name === 'spec')?.value.fields ?? [];
  const written = {
    apiVersion,
    kind,
    metadata: { name: metadata.name, ...(Object.keys(metadata.labels).length === 0 ? {} : { labels: metadata.labels }) },
    spec: writtenObject(document.spec, spec),
  };
  return stringify(written, { lineWidth: 120, flowCollectionPadding: true });
}

/** Does the text say what is stored? Not where a secret was sealed, whose place is all that is left of it. */
export function isFaithful(document: StoredDocument, text: string, path: string): boolean {
  const { manifests } = parseManifests([{ path, text }]);
  const [read] = manifests;
  return read !== undefined && canonical(read.spec) === canonical(document.spec);
}

function writtenObject(value: unknown, fields: readonly FieldDescription[]): unknown {
  if (!isObject(value)) return value;
  const known = new Map(fields.map(field => [field.name, field]));
  const out: [string, unknown][] = [];
  for (const [key, stored] of Object.entries(value)) {
    // What a denied column would be masked as is stored, and means nothing.
    if (stored === undefined || (key === 'as' && value['action'] === 'deny')) continue;
    const bare = key.endsWith('Ms') ? key.slice(0, -2) : key;
    const field = known.get(key) ?? known.get(bare);
    const name = field?.name ?? key;
    let written = field === undefined ? stored : writtenValue(stored, field.value);
    if (isObject(stored) && isObject(written) && Object.keys(written).length === 0) written = stored;
    // A field with a short form: one word for all of its parts.
    const words = isObject(stored) ? new Set(Object.values(stored)) : new Set();
    if (field?.default !== undefined && typeof parse(field.default) === 'string' && words.size === 1) [written] = words;
    if (field?.default !== undefined && canonical(parse(field.default)) === canonical(written)) continue;
    out.push([name, written]);
  }
  const order = new Map(fields.map(({ name }, index) => [name, index]));
  out.sort(([a], [b]) => (order.get(a) ?? out.length) - (order.get(b) ?? out.length));
  return Object.fromEntries(out);
}

function writtenValue(stored: unknown, description: ValueDescription): unknown {
  const { type, fields = [], items } = description;
  if (type === 'duration' && typeof stored === 'number') return durationText(stored);
  if (type === 'size' && typeof stored === 'number') return sizeText(stored);
  if (Array.isArray(stored)) return items === undefined ? stored : stored.map(each => writtenValue(each, items));
  // Given by a file or by its text, stored as the text.
  if (type === 'object' && typeof stored === 'string' && fields.some(({ name }) => name === 'value')) return { value: stored };
  return fields.length > 0 ? writtenObject(stored, fields) : stored;
}

const durationUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

export function durationText(ms: number): string {
  let [rest, text] = [ms, ''];
  for (const [unit, size] of durationUnits) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0ms' : text;
}

export function sizeText(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['GiB', 2 ** 30],
    ['MB', 1e6],
    ['MiB', 2 ** 20],
    ['kB', 1e3],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same text for the same value, in whatever order its keys are. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    isObject(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each,
  );
}
