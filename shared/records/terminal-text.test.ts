import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withShown } from './terminal-text.ts';

test('colours, titles, links and modes are gone; words stay together', () => {
  assert.equal(
    withShown('', '\u001b[1;31mpass\u001b[0mword\u001b]0;a title\u0007 \u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\'),
    'password link',
  );
  assert.equal(withShown('', '\u001b[?2004h$ ls\u001b(B\u001b[K'), '$ ls');
});

test('moves of the cursor are breaks, and backspaces wipe out, also what a piece before showed', () => {
  assert.equal(withShown('', 'one\u001b[5;10Htwo\r\nthree\rfour\tfive\u001b[3Csix'), 'one\ntwo\nthree\nfour five six');
  assert.equal(withShown('dropp', '\b table\b \b'), 'drop tabl');
  assert.equal(withShown('a\n', '\b\bb'), 'a\nb');
});

test('what is cut or hostile ends, and acts on nobody', () => {
  assert.equal(withShown('', 'seen\u001b]52;c;never ended'), 'seen');
  assert.equal(withShown('', '\u001b[9999999999;mx\u009b31my\u0000\u007fz'), 'x31myz');
  assert.equal(withShown('', '\u001b'), '');
  assert.equal(withShown('', 'a\n'.repeat(10_000)).length, 20_000);
});
