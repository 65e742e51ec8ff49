import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LONG_BYTES_MAX, LongFindings } from './long-findings.ts';

const some = { names: ['jwt', 'private-key'], reachBytes: 0 };

test('more is fetched as long as a word goes on, up to the bound, and where detectors could find one', () => {
  const word = Buffer.from('eyJhbGciOiJSUzI1NiJ9.abc-_'.repeat(10));
  const long = new LongFindings(some);
  assert.ok(long.needsBefore(5000, 5000 + word.length, word, 0));
  assert.ok(!long.needsBefore(0, word.length, word, 0), 'nothing stands before the beginning of a file');
  assert.ok(!long.needsBefore(5000, 5000 + word.length, word, LONG_BYTES_MAX));
  assert.ok(long.needsAfter(word, 10, 0));
  assert.ok(!long.needsAfter(word, 10, LONG_BYTES_MAX));
  const ended = Buffer.concat([word, Buffer.from('} {'), word]);
  assert.ok(!long.needsAfter(ended, 10, 0) && !long.needsBefore(5000, 5000 + ended.length, ended, 0));
  assert.ok(long.needsAfter(ended, word.length + 3, 0));
  for (const few of [null, { names: [], reachBytes: 0 }, { names: ['known-credentials'], reachBytes: 8 * 1024 }])
    assert.ok(!new LongFindings(few).needsAfter(word, 10, 0));
  assert.ok(new LongFindings({ names: ['known-credentials'], reachBytes: 20_000 }).needsAfter(word, 10, 0));
});
