/**
 * Reads manifests: YAML files in, validated manifests out, with every problem at its file, line and column. Several problems
 * are reported at once; when there is any, nothing of the set should be used.
 *
 * It reads no files itself: certificates given as `{ file }` come through `readFile`, secrets stay references.
 */
import { checkReferences, type Located } from './cross-references.ts';
import { isKind, KINDS, SPECS } from './kinds.ts';
import type { Kind, Manifest } from './model.ts';
import { didYouMean } from './nearest.ts';
import { defaulted, type FieldDescription, INVALID, list, object, Reading, required, shown, text } from './schema.ts';
import { labels, name } from './values.ts';
import { type Problem, readYaml, type YamlNode } from './yaml-source.ts';

export type { FieldDescription, ValueDescription } from './schema.ts';
export type { Problem } from './yaml-source.ts';

export interface ManifestFile {
  path: string; // as shown in messages
  text: string;
}

export interface ParseOptions {
  /**
   * Reads a file that a manifest names (PEM only, never a secret).
   *
   * @param path as written in the manifest.
   * @param from path of the manifest file; a relative path starts at its folder.
   * @throws when it cannot be read; the `code` of a system error is shown.
   */
  readFile?: (path: string, from: string) => string;
  /**
   * Manifests that are in force already, to which references may point; those given in the files replace them. `unknown`: whoever
   * looks cannot say what there is, and judges no reference.
   */
  existing?: readonly Manifest[] | 'unknown';
}

export interface ParsedManifests {
  manifests: Manifest[];
  problems: Problem[];
  warnings: Problem[];
}

export const API_VERSION = 'sallyport.dev/v1';
const TEXT_LENGTH_MAX = 4_194_304; // of all files together

const METADATA = object({
  name: required(name(), 'Unique among manifests of its kind.'),
  labels: defaulted(labels(), {}, '{}', 'Labels by which selectors find it.'),
});

const API_VERSION_TYPE = text(value => (value === API_VERSION ? null : `must be \`${API_VERSION}\``), [API_VERSION]);
const TOP_LEVEL = ['apiVersion', 'kind', 'metadata', 'spec'];

/**
 * Parses and validates manifests.
 *
 * @returns `manifests` holds only those that are valid by themselves; use them only when `problems` is empty.
 */
export function parseManifests(files: readonly ManifestFile[], options: ParseOptions = {}): ParsedManifests {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const located: Located[] = [];
  let length = 0;
  for (const { path, text: source } of files) {
    length += source.length;
    if (length > TEXT_LENGTH_MAX) {
      problems.push({ file: path, line: 1, column: 1, message: `the files together are longer than ${TEXT_LENGTH_MAX} characters` });
      break;
    }
    const { readFile } = options;
    const reading = new Reading(path, readFile === undefined ? undefined : each => readFile(each, path));
    const { documents, problems: unreadable } = readYaml(path, source);
    for (const document of documents) {
      const manifest = readManifest(document, reading);
      if (manifest !== null) located.push({ file: path, node: document, manifest });
    }
    problems.push(...unreadable, ...reading.problems);
    warnings.push(...reading.warnings);
  }
  const { existing = [] } = options;
  const references = checkReferences(located, existing === 'unknown' ? [] : existing, existing === 'unknown' || problems.length > 0);
  problems.push(...references.problems);
  warnings.push(...references.warnings);
  return {
    manifests: located.map(({ manifest }) => manifest),
    problems: inFileOrder(problems, files),
    warnings: inFileOrder(warnings, files),
  };
}

function readManifest(node: YamlNode, reading: Reading): Manifest | null {
  if (node.type !== 'mapping') {
    reading.problem(node, 'a manifest must be a mapping with `kind`, `metadata` and `spec`');
    return null;
  }
  const before = reading.count;
  const fields = new Map(node.entries.map(entry => [entry.key, entry.value]));
  for (const { key, keyAt } of node.entries) {
    if (!TOP_LEVEL.includes(key))
      reading.problem(keyAt, `unknown field ${shown(key)}${didYouMean(key, TOP_LEVEL) || `; known here: ${list(TOP_LEVEL)}`}`);
  }
  const version = fields.get('apiVersion');
  if (version !== undefined) API_VERSION_TYPE.read(version, 'apiVersion', reading);
  for (const key of ['kind', 'metadata', 'spec']) if (!fields.has(key)) reading.problem(node, `the manifest has no \`${key}\``);
  const kind = readKind(fields.get('kind'), reading);
  const metadataNode = fields.get('metadata');
  const metadata = metadataNode === undefined ? INVALID : METADATA.read(metadataNode, 'metadata', reading);
  const specNode = fields.get('spec');
  const spec = kind === null || specNode === undefined ? INVALID : SPECS[kind].read(specNode, 'spec', reading);
  if (kind === null || metadata === INVALID || spec === INVALID || reading.count > before) return null;
  return { kind, name: metadata.name, labels: metadata.labels, spec };
}

function readKind(node: YamlNode | undefined, reading: Reading): Kind | null {
  if (node === undefined) return null;
  const word = node.type === 'scalar' && typeof node.value === 'string' ? node.value : null;
  if (word !== null && isKind(word)) return word;
  reading.problem(
    node,
    word === null ? '`kind` must be text' : `unknown kind ${shown(word)}${didYouMean(word, KINDS) || `; known: ${list(KINDS)}`}`,
  );
  return null;
}

function inFileOrder(problems: Problem[], files: readonly ManifestFile[]): Problem[] {
  const order = new Map(files.map(({ path }, index) => [path, index]));
  return problems.sort((a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column);
}

/** `file:line:column: message`, one line. */
export function problemText({ file, line, column, message }: Problem): string {
  return `${file}:${line}:${column}: ${message}`;
}

/** Every field of a kind, made from the schema that validates it: for completion, and for the reference page. */
export function manifestFields(kind: Kind): FieldDescription[] {
  const top = (field: string, value: FieldDescription['value'], description: string, fallback?: string): FieldDescription => ({
    name: field,
    required: fallback === undefined,
    description,
    value,
    ...(fallback === undefined ? {} : { default: fallback }),
  });
  return [
    top('apiVersion', API_VERSION_TYPE.description, 'The version of the format.', API_VERSION),
    top('kind', { type: 'text', values: [kind] }, 'What it is.'),
    top('metadata', METADATA.description, 'Its name and labels.'),
    top('spec', SPECS[kind].description, 'What it says.'),
  ];
}
