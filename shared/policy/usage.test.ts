import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BudgetMeter, Usage } from './usage.ts';

test('usage counts for its window, never too short and at most a sixty-fourth too long, in a bounded number of buckets', () => {
  const usage = new Usage();
  const windowMs = 86_400_000;
  const added: number[] = [];
  let seed = 7;
  for (let at = 0; at < 3 * windowMs; at += 500 + (seed % 20_000)) {
    seed = (seed * 48_271) % 2_147_483_647;
    usage.add(at, 1, 10);
    added.push(at);
  }
  const nowMs = added.at(-1) ?? 0;
  const { rows, bytes } = usage.within(windowMs, nowMs);
  const least = added.filter(at => at > nowMs - windowMs).length;
  const most = added.filter(at => at > nowMs - windowMs * (1 + 1 / 32)).length;
  assert.ok(rows >= least && rows <= most, `${least} ${rows} ${most}`);
  assert.equal(bytes, rows * 10);
  usage.compact(nowMs);
  assert.ok(usage.buckets.length < 1200, String(usage.buckets.length));
  assert.equal(usage.within(365 * windowMs, nowMs).rows, added.length);
});

test('a meter sees what others add at once, and what leaves the window when it leaves', () => {
  const usage = new Usage();
  const meter = new BudgetMeter({ rows: 10, perMs: 60_000 }, usage);
  assert.equal(meter.exceededBy(10, 0, 0), false);
  assert.equal(meter.exceededBy(11, 0, 0), true);
  usage.add(1000, 6, 0);
  usage.add(30_000, 4, 0);
  assert.deepEqual([meter.spent(30_000), meter.exceededBy(1, 0, 30_000)], [true, true]);
  assert.match(
    meter.describe('staff', 30_000),
    /role staff is spent: 10 of 10 rows in 1m are used; it frees again from 1970-01-01T00:01:01Z on$/,
  );
  assert.deepEqual([meter.spent(60_999), meter.spent(61_000), meter.used(61_000).rows], [true, false, 4]);
  assert.equal(meter.used(90_001).rows, 0);
  const byBytes = new BudgetMeter({ bytes: 100, perMs: 60_000 }, new Usage());
  assert.deepEqual([byBytes.exceededBy(1000, 100, 0), byBytes.exceededBy(1, 101, 0)], [false, true]);
});
