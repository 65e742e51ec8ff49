import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencyBucket, noLatencies } from '@sallyport/shared/records/latency-buckets.ts';
import { addedQuantile } from './added-quantile.ts';

function measured(...us: number[]): number[] {
  const counts = noLatencies();
  for (const each of us) counts[latencyBucket(each)] = (counts[latencyBucket(each)] ?? 0) + 1;
  return counts;
}

test('what agents add is never shown as more than the whole', () => {
  assert.equal(addedQuantile(noLatencies(), 0.5, 1600), null);
  const usual = addedQuantile(measured(400, 410, 420), 0.5, 1600) ?? 0;
  assert.ok(usual >= 410 && usual < 500);
  assert.equal(addedQuantile(measured(400, 410, 420), 0.5, null), usual, 'without the store there is no whole');
  assert.equal(addedQuantile(measured(990), 0.5, 1000), 1000, 'nearly all of it: the bucket’s bound lies above');
  assert.equal(addedQuantile(measured(10_000, 82_000), 0.5, 1600), null, 'two slow ones do not stand for all');
});
