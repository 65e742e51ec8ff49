import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clock, readCast } from './cast.ts';

const rows = (...events: unknown[]) => [{ version: 3, title: 'sam on web' }, ...events].map(each => JSON.stringify(each)).join('\n');

test('what was shown, line by line, with its time and without escapes', () => {
  const cast = readCast(
    rows(
      [0.5, 'o', '\u001b[32m$ \u001b[0mecho nee'],
      [1, 'o', 'dle\r\nneedle\r\n'],
      [2, 'm', 'denied: touch x'],
      [1, 'o', '\u001b]0;title\u0007bye'],
    ),
  );
  assert.deepEqual(cast, {
    seconds: 4.5,
    title: 'sam on web',
    lines: [
      { seconds: 1.5, text: '$ echo needle' },
      { seconds: 1.5, text: 'needle' },
      { seconds: 4.5, text: 'bye' },
    ],
    marks: [{ seconds: 3.5, text: 'denied: touch x' }],
  });
});

test('cut off or malformed, it gives what can be read', () => {
  const text = `${rows([1, 'o', 'a\n'])}\n[1, "o", "b`;
  assert.deepEqual(readCast(text).lines, [{ seconds: 1, text: 'a' }]);
  assert.deepEqual(readCast('null\n[]\n["x"]\n[1,"o",7]'.replace('null\n', '')).lines, []);
  assert.equal(clock(3725), '1:02:05');
});
