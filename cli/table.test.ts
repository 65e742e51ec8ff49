import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, shortened, table } from './table.ts';
import { styleOf, wantsColor } from './terminal.ts';

const plain = styleOf(false);

test('columns are as wide as their widest value, and numbers stand to the right', () => {
  const rows = [
    { name: 'crm', rows: 7 },
    { name: 'warehouse', rows: 12_345 },
  ];
  const text = table(
    rows,
    [
      { title: 'NAME', value: row => row.name },
      { title: 'ROWS', value: row => row.rows, align: 'right' },
    ],
    plain,
    'none',
  );
  assert.equal(text, ['NAME        ROWS', 'crm            7', 'warehouse  12345'].join('\n'));
});

test('no rows: the sentence for it, without titles', () => {
  assert.equal(table([], [{ title: 'NAME', value: () => '' }], plain, 'no sessions yet'), 'no sessions yet');
});

test('what a client sent cannot move the cursor or turn the text around', () => {
  assert.equal(printable('a\u001b[2Jb\r\nc\u202ed'), 'a·[2Jb c·d');
});

test('long values end in an ellipsis', () => {
  assert.equal(shortened('select 1', 8), 'select 1');
  assert.equal(shortened('select 10', 8), 'select …');
});

test('NO_COLOR turns colour off, FORCE_COLOR turns it on without a terminal', () => {
  assert.equal(wantsColor({ isTTY: true }, {}), true);
  assert.equal(wantsColor({ isTTY: true }, { NO_COLOR: '1' }), false);
  assert.equal(wantsColor({ isTTY: true }, { TERM: 'dumb' }), false);
  assert.equal(wantsColor({}, {}), false);
  assert.equal(wantsColor({}, { FORCE_COLOR: '1' }), true);
  assert.equal(styleOf(false).red('x'), 'x');
});
