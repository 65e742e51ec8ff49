import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commandReference, withReference } from './reference-page.ts';

test('docs/reference/cli.md says what the commands say (run `node cli/generate-reference.ts`)', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '..', 'docs', 'reference', 'cli.md'), 'utf8');
  assert.equal(page, withReference(page, await commandReference()));
});
