import assert from 'node:assert/strict';
import { test } from 'node:test';
import { progress, size } from './progress.ts';

test('a line that is drawn over, not too often, on a terminal only', () => {
  let now = 0;
  const drawn: string[] = [];
  const line = progress({ isErrTerminal: true, rawErr: text => void drawn.push(text) }, 'verifying', String, () => now);
  for (now = 0; now < 250; now += 10) line.update(now, 500);
  line.end();
  assert.equal(drawn.length, 4);
  assert.equal(drawn[2], '\r\u001b[Kverifying: 200 [##########..............] of 500');
  assert.equal(drawn[3], '\r\u001b[K');
  const silent: string[] = [];
  const none = progress({ isErrTerminal: false, rawErr: text => void silent.push(text) }, 'x', String);
  none.update(1);
  none.end();
  assert.deepEqual(silent, []);
  assert.deepEqual([0, 999, 1500, 20_000_000].map(size), ['0 B', '999 B', '1.5 kB', '20.0 MB']);
});
