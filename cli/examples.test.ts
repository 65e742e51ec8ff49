import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { checkManifests, readManifestFiles } from './manifest-files.ts';

test('the example for hosts is valid, without warnings', async () => {
  const files = await readManifestFiles(path.join(import.meta.dirname, '..', 'examples', 'ssh'));
  const { manifests, warnings } = await checkManifests(files);
  assert.deepEqual(warnings, []);
  assert.equal(manifests.filter(({ kind }) => kind === 'Role').length, 2);
});

test('the example for an own database is valid, without warnings', async () => {
  const files = await readManifestFiles(path.join(import.meta.dirname, '..', 'examples', 'own-database'));
  const { manifests, warnings } = await checkManifests(files);
  assert.deepEqual(warnings, []);
  assert.deepEqual(manifests.map(({ kind }) => kind).sort(), ['Credential', 'DataPolicy', 'Guard', 'IdentityProvider', 'Resource', 'Role']);
});
