import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultWorkers } from './default-workers.ts';

test('a second thread only where there are cores for it', () => {
  assert.deepEqual([1, 2, 3, 4, 8, 64].map(defaultWorkers), [1, 1, 1, 2, 2, 2]);
});
