import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitWith } from './waiting-bytes.ts';

test('what waits is the same bytes in few pieces, however it was cut', () => {
  const pieces: Buffer[] = [];
  const all = Buffer.from(Array.from({ length: 20_000 }, (_, i) => i & 255));
  for (let i = 0; i < all.length; i++) waitWith(pieces, all.subarray(i, i + 1));
  assert.ok(Buffer.concat(pieces).equals(all));
  assert.ok(pieces.length <= 5);
  const large = Buffer.alloc(30_000, 1);
  waitWith(pieces, large);
  assert.equal(pieces.at(-1), large);
});
