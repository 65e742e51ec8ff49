import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addCounts, LATENCY_BUCKETS, latencyBucket, latencyQuantile, noLatencies } from './latency-buckets.ts';

test('a time is found again within a fifth of it, whatever it is', () => {
  for (const us of [20.5, 25, 99, 100, 1000, 4321, 65_000, 999_999]) {
    const counts = noLatencies();
    counts[latencyBucket(us)] = 1;
    const found = latencyQuantile(counts, 0.5) ?? 0;
    assert.ok(found >= us * 0.999 && found <= us * 1.2, `${us} was found as ${found}`);
  }
  for (const us of [0, -1, 3, 20, Number.NaN]) assert.equal(latencyBucket(us), 0);
  assert.equal(latencyBucket(1e12), LATENCY_BUCKETS - 1);
});

test('quantiles are of the sum of several', () => {
  assert.equal(latencyQuantile(noLatencies(), 0.5), null);
  const sum = noLatencies();
  for (const [us, times] of [
    [100, 90],
    [10_000, 10],
  ] as const) {
    const counts = noLatencies();
    counts[latencyBucket(us)] = times;
    addCounts(sum, counts);
  }
  addCounts(sum, [0, 0, 0]);
  assert.ok((latencyQuantile(sum, 0.5) ?? 0) < 120);
  assert.ok((latencyQuantile(sum, 0.99) ?? 0) > 9900);
});
