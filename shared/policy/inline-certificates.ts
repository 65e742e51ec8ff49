/**
 * Puts the certificates, and the gitleaks configurations, that a manifest names by file into its text, for sending it to where those
 * files are not. Nothing else: secrets stay references, to be read where they are used.
 *
 * The text is edited in place, so lines stay where they are and later problems still point to the user's own file.
 */
import { isMap, isScalar, isSeq, type Node, parseAllDocuments } from 'yaml';
import type { ManifestFile } from './manifests.ts';

/** Where a Resource may name a certificate. */
const CERTIFICATES: readonly (readonly string[])[] = [
  ['spec', 'upstream', 'tls', 'ca'],
  ['spec', 'tls', 'certificate'],
];
/** Other files that are public, by kind. */
const FILES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  Resource: CERTIFICATES,
  DataPolicy: [['spec', 'gitleaks']],
  // A list of them.
  IdentityProvider: [['spec', 'saml', 'certificates']],
};

/**
 * @param manifest a file that was validated before; text that is not readable is returned as it is.
 * @param readFile as in `ParseOptions`; what it throws passes through.
 * @returns the same file with `{ file: … }` replaced by `{ value: … }`.
 */
export function inlineCertificates(manifest: ManifestFile, readFile: (path: string, from: string) => string): ManifestFile {
  const parsed = parseAllDocuments(manifest.text, { uniqueKeys: false, prettyErrors: false, logLevel: 'silent' });
  const documents = Array.isArray(parsed) ? parsed : [];
  const edits: { start: number; end: number; text: string }[] = [];
  for (const document of documents) {
    const paths = FILES[String(document.get('kind'))];
    if (document.errors.length > 0 || paths === undefined) continue;
    for (const path of paths) {
      const node: unknown = document.getIn(path, true);
      const maps = (isSeq(node) ? node.items : [node]).filter(each => isMap(each));
      for (const { key, value } of maps.flatMap(({ items }) => items)) {
        if (!isScalar(key) || key.value !== 'file' || !isScalar(value) || typeof value.value !== 'string') continue;
        edits.push({ ...rangeOf(key), text: 'value' }, { ...rangeOf(value), text: JSON.stringify(readFile(value.value, manifest.path)) });
      }
    }
  }
  let { text } = manifest;
  for (const edit of edits.sort((a, b) => b.start - a.start)) text = text.slice(0, edit.start) + edit.text + text.slice(edit.end);
  return { path: manifest.path, text };
}

function rangeOf(node: Node): { start: number; end: number } {
  const [start, end] = node.range ?? [0, 0];
  return { start, end };
}
