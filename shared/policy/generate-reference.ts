/** Run by hand after a change of the schema or the vocabulary: `node shared/policy/generate-reference.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fillPage } from './reference-page.ts';

for (const page of ['manifests', 'facts', 'policy-tests']) {
  const path = new URL(`../../docs/reference/${page}.md`, import.meta.url);
  writeFileSync(path, fillPage(readFileSync(path, 'utf8')));
}
