/** Writes the generated part of docs/reference/cli.md: `node cli/generate-reference.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { commandReference, withReference } from './reference-page.ts';

const page = path.join(import.meta.dirname, '..', 'docs', 'reference', 'cli.md');
writeFileSync(page, withReference(readFileSync(page, 'utf8'), await commandReference()));
