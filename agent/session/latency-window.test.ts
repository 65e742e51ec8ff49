import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyWindow } from './latency-window.ts';

const total = (window: LatencyWindow) => window.counts().reduce((sum, count) => sum + count, 0);

test('what is older than five minutes is no longer counted, also after a long silence', () => {
  let now = 1000;
  const window = new LatencyWindow(() => now);
  window.add(100);
  now += 120_000;
  window.add(200);
  assert.equal(total(window), 2);
  now += 200_000;
  assert.equal(total(window), 1, 'the first is over');
  window.add(300);
  now += 10_000_000;
  assert.equal(total(window), 0);
  window.add(400);
  now += 29_000;
  assert.equal(total(window), 1);
});

test('few are all measured; of many one in sixteen, however many connections they come by', () => {
  let now = 1000;
  const window = new LatencyWindow(() => now);
  const taken = (asked: number) => Array.from({ length: asked }, () => window.takesNext()).filter(Boolean).length;
  assert.equal(taken(64), 64);
  assert.equal(taken(1600), 100);
  now += 30_000;
  assert.equal(taken(10), 10, 'each half minute anew');
});
