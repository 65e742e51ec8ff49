import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Author, authorsAfter, authorsInForce } from './authors.ts';

const dayMs = 86_400_000;
const by = (author: string, atMs: number) => ({
  author,
  authorIdentity: { issuer: 'i', subject: `s-${author}` },
  atUnixUs: BigInt(atMs) * 1000n,
});
const names = (authors: readonly Author[], nowMs: number) => authorsInForce(authors, nowMs).map(({ name }) => name);

test('a change on top does not wash off those below it', () => {
  let authors = authorsAfter([], by('ann', 0), 'created');
  authors = authorsAfter(authors, by('bob', 1), 'changed');
  authors = authorsAfter(authors, by('ann', 2), 'changed');
  authors = authorsAfter(authors, by('bob', 3), 'changed');
  assert.deepEqual(names(authors, 10_000 * dayMs), ['ann', 'bob']);
});

test('deleting a policy does not forget its authors while a command may still wait under it', () => {
  let authors = authorsAfter([], by('ann', 0), 'created');
  authors = authorsAfter(authors, by('ann', 1), 'deleted');
  assert.deepEqual(names(authors, 100 * dayMs), ['ann']);
  authors = authorsAfter(authors, by('bob', 2), 'created');
  assert.deepEqual(names(authors, 3 + 6 * dayMs), ['ann', 'bob']);
  assert.deepEqual(names(authors, 3 + 7 * dayMs), ['bob']);
  // Made anew twice: the time does not start again, nor end sooner.
  authors = authorsAfter(authorsAfter(authors, by('bob', 3), 'deleted'), by('bob', dayMs), 'created');
  assert.deepEqual(names(authors, 3 + 6 * dayMs), ['ann', 'bob']);
  // Who comes back counts again for good.
  authors = authorsAfter(authors, by('ann', 2 * dayMs), 'changed');
  assert.deepEqual(names(authors, 100 * dayMs), ['bob', 'ann']);
});

test('bounded', () => {
  let authors: Author[] = [];
  for (let i = 0; i < 600; i++) authors = authorsAfter(authors, by(`p${i}`, i), 'changed');
  assert.equal(authors.length, 512);
  assert.equal(authors.at(-1)?.name, 'p599');
});
