import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import { durationText, isFaithful, manifestText, type StoredDocument, sizeText } from './manifest-text.ts';

const repository = join(import.meta.dirname, '../../../../..');
const texts = [
  join(repository, 'shared/policy/fixtures/every-kind.yaml'),
  ...readdirSync(join(repository, 'cli/demo/manifests')).map(file => join(repository, 'cli/demo/manifests', file)),
];
const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

test('every kind is written as people write it, and read back it is what is stored', () => {
  const { manifests, problems } = parseManifests(
    texts.filter(file => file.endsWith('.yaml')).map(path => ({ path, text: readFileSync(path, 'utf8') })),
    { readFile: () => pem },
  );
  const own = problems.filter(({ message }) => !/twice|already|more than one|no .* named/.test(message));
  assert.deepEqual(own, []);
  assert.ok(new Set(manifests.map(({ kind }) => kind)).size >= 9);
  for (const { kind, name, labels, spec } of manifests) {
    const document: StoredDocument = {
      apiVersion: 'sallyport.dev/v1',
      kind,
      metadata: { name, labels },
      spec: JSON.parse(JSON.stringify(spec)),
    };
    const text = manifestText(document);
    assert.ok(isFaithful(document, text, 'x.yaml'), `${kind} ${name}:\n${text}\n${JSON.stringify(spec)}`);
    assert.doesNotMatch(text, /\w+Ms:/);
  }
});

test('durations and sizes with the largest units that are exact', () => {
  assert.deepEqual([28_800_000, 5_400_000, 900_000, 0, 1].map(durationText), ['8h', '1h30m', '15m', '0ms', '1ms']);
  assert.deepEqual([50_000_000, 65_536, 1000, 999].map(sizeText), ['50MB', '64KiB', '1kB', '999B']);
});
