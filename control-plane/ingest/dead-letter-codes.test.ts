import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

test('docs/reference/kafka.md explains every code of a dead letter, and no other', () => {
  const folder = new URL('./', import.meta.url);
  const sources = readdirSync(folder)
    .filter(name => /^(decode|records-batch|control-batch|partitions-follower)\.ts$/.test(name))
    .map(name => readFileSync(new URL(name, folder), 'utf8'));
  const codes = sources.flatMap(source =>
    [...source.matchAll(/(?:dead\(|code: |0, now64\(6\), )'([A-Z_]+)'/g)].map(([, code]) => code ?? ''),
  );
  const page = readFileSync(new URL('../../docs/reference/kafka.md', import.meta.url), 'utf8');
  const table = page.slice(page.indexOf('| code | |'), page.indexOf('`INGEST_LOG_REPLACED`'));
  const explained = [...table.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code ?? '');
  assert.ok(codes.length >= 7);
  assert.deepEqual(explained.sort(), [...new Set(codes)].sort());
});
