import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptAnswers } from './idempotency.ts';

const answer = (payload = '{}', status = 200) => ({ status, contentType: 'application/json', payload });

test('the first answer is the answer, for an hour', () => {
  let nowMs = 0;
  const kept = new KeptAnswers(() => nowMs);
  assert.equal(kept.begin('k', 'r'), null);
  assert.throws(() => kept.begin('k', 'r'), { code: 'IDEMPOTENCY_KEY_IN_USE' });
  kept.finish('k', answer('first', 409));
  kept.finish('k', answer('second'));
  assert.equal(kept.begin('k', 'r')?.payload, 'first');
  assert.throws(() => kept.begin('k', 'another'), { code: 'IDEMPOTENCY_KEY_REUSED' });
  nowMs = 3_600_000;
  assert.equal(kept.begin('k', 'another'), null);
});

test('faults, refusals for load and answers that are too large are not kept', () => {
  const kept = new KeptAnswers(() => 0);
  for (const outcome of [answer('', 500), answer('', 503), answer('', 429), answer('x'.repeat(300_000)), null]) {
    assert.equal(kept.begin('k', 'r'), null);
    kept.finish('k', outcome);
  }
});

test('bounded in number and bytes; the oldest go first', () => {
  const kept = new KeptAnswers(() => 0);
  for (let i = 0; i < 200; i++) {
    kept.begin(`k${i}`, 'r');
    kept.finish(`k${i}`, answer('x'.repeat(256 * 1024)));
  }
  assert.equal(kept.begin('k0', 'r'), null);
  assert.notEqual(kept.begin('k199', 'r'), null);
  for (let i = 0; i < 20_000; i++) kept.begin(`n${i}`, 'r');
  assert.equal(kept.begin('k199', 'r'), null);
});
