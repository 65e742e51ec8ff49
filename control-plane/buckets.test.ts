import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Buckets } from './buckets.ts';

const rate = { burst: 3, perSecond: 2 };

test('a burst, then a steady rate; each caller for themselves', () => {
  let nowMs = 0;
  const buckets = new Buckets(() => nowMs);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => buckets.take('a', rate)),
    [
      { taken: true, left: 2 },
      { taken: true, left: 1 },
      { taken: true, left: 0 },
      { taken: false, retryAfterSeconds: 1 },
    ],
  );
  assert.equal(buckets.take('b', rate).taken, true);
  nowMs = 499;
  assert.equal(buckets.take('a', rate).taken, false);
  nowMs = 1000;
  assert.deepEqual(
    [1, 2, 3].map(() => buckets.take('a', rate).taken),
    [true, true, false],
    'asking in vain costs nothing',
  );
  nowMs = 0;
  assert.equal(buckets.take('a', rate).taken, false, 'a clock that is set back gives nothing');
  nowMs = 1_000_000;
  assert.deepEqual(buckets.take('a', rate), { taken: true, left: 2 }, 'never more than the burst');
});

test('bounded: with many others in between, the oldest is forgotten and nothing else', () => {
  const buckets = new Buckets(() => 0);
  for (let i = 0; i < 3; i++) buckets.take('a', rate);
  for (let i = 0; i < 49_999; i++) buckets.take(`x${i}`, rate);
  assert.equal(buckets.take('a', rate).taken, false);
  for (let i = 0; i < 50_000; i++) buckets.take(`y${i}`, rate);
  assert.equal(buckets.take('a', rate).taken, true);
});
