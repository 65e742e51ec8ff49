import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencyBucket, noLatencies } from '@sallyport/shared/records/latency-buckets.ts';
import { addedQuantiles } from './added-quantile.ts';

function measured(...us: number[]): number[] {
  const counts = noLatencies();
  for (const each of us) counts[latencyBucket(each)] = (counts[latencyBucket(each)] ?? 0) + 1;
  return counts;
}

const whole = (p50Us: number | null, p95Us = p50Us, p99Us = p95Us) => ({ p50Us, p95Us, p99Us });

test('what agents add is never shown as more than the whole', () => {
  assert.deepEqual(addedQuantiles(noLatencies(), whole(1600)), whole(null));
  const usual = addedQuantiles(measured(400, 410, 420), whole(1600));
  for (const us of Object.values(usual)) assert.ok(us !== null && us >= 410 && us < 500);
  assert.deepEqual(addedQuantiles(measured(400, 410, 420), whole(null)), usual, 'without the store there is no whole');
  assert.deepEqual(addedQuantiles(measured(990), whole(1000)), whole(1000), 'nearly all of it: the bucket’s bound lies above');
  assert.deepEqual(addedQuantiles(measured(10_000, 82_000), whole(1600)), whole(null), 'two slow ones do not stand for all');
  assert.deepEqual(addedQuantiles(measured(10_000, 82_000), whole(1600, 90_000)), whole(null), 'nor does one figure without the others');
});
