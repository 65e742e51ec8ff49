import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hidden, pieces } from './hidden-characters.ts';

test('what cannot be seen gets a mark; what is seen stays, joined it is the text', () => {
  const text = 'a\u202eb\u200b\u001b[31mé\u00a0名\u{e0041}\ud800z\n\t ';
  assert.deepEqual(
    pieces(text).flatMap(({ mark }) => mark ?? []),
    ['RLO', 'ZWSP', 'ESC', 'U+00A0', 'U+E0041', 'U+D800'],
  );
  assert.equal(
    pieces(text)
      .map(piece => piece.text)
      .join(''),
    text,
  );
});

test('every character of the classes that hide is marked', () => {
  for (const code of [
    0, 7, 8, 0x0b, 0x1b, 0x7f, 0x85, 0xad, 0x61c, 0x180e, 0x200e, 0x2028, 0x2066, 0x3164, 0xfeff, 0xfff9, 0xe000, 0xe007f,
  ])
    assert.ok(hidden.test(String.fromCodePoint(code)), code.toString(16));
  for (const character of ['<', '&', '"', 'é', 'ﬁ', '\u0301', '👩', 'א', ' ', '\n', '\t']) {
    const [piece] = pieces(character);
    assert.equal(piece?.mark, undefined, character);
  }
});
