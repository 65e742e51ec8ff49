import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSql, sqlTokens } from './highlight.ts';

const kinds = (text: string) =>
  sqlTokens(text)
    .filter(({ kind }) => kind !== 'space')
    .map(({ kind, text: token }) => `${kind}:${token}`);

test('tokens follow PostgreSQL’s lexical structure', () => {
  const table: [sql: string, expected: string[]][] = [
    ['select 1', ['keyword:select', 'number:1']],
    ["E'it\\'s' 'a''b' N'x'", ["string:E'it\\'s'", "string:'a''b'", "string:N'x'"]],
    ['"a""b".c', ['quoted:"a""b"', 'punctuation:.', 'name:c']],
    ['/* a /* b */ c */ x', ['comment:/* a /* b */ c */', 'name:x']],
    ['-- from here\nselect', ['comment:-- from here', 'keyword:select']],
    ['$$ a $b$ $$ $t$ $$ $t$ $1', ['string:$$ a $b$ $$', 'string:$t$ $$ $t$', 'parameter:$1']],
    ['count(*) > 1.5e-3', ['function:count', 'punctuation:(', 'punctuation:*', 'punctuation:)', 'punctuation:>', 'number:1.5e-3']],
    ['t.select', ['name:t', 'punctuation:.', 'name:select']],
    ["'never ends", ["string:'never ends"]],
    ['größe', ['name:größe']],
  ];
  for (const [sql, expected] of table) assert.deepEqual(kinds(sql), expected, sql);
});

test('every text comes back whole, whatever it is', () => {
  const parts = [
    "'",
    '"',
    '$',
    '$$',
    '$a$',
    '/*',
    '*/',
    '--',
    '\n',
    'select',
    ' ',
    '1',
    '.',
    'e',
    '\\',
    '😀',
    '\u202e',
    '\0',
    'U&"',
    "x'",
    '<b>',
  ];
  let seed = 7;
  for (let round = 0; round < 400; round++) {
    let text = '';
    for (let length = 0; length < 12; length++) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      text += parts[seed % parts.length];
    }
    assert.equal(
      sqlTokens(text)
        .map(token => token.text)
        .join(''),
      text,
    );
  }
});

test('formatting changes white space only, and leaves what has lines alone', () => {
  const sql = "select a, left(b, 3) from t left join u on t.id = u.id where a between 1 and 2 and b = ' from  x ' order by a limit 3";
  const formatted = formatSql(sql);
  assert.deepEqual(kinds(formatted), kinds(sql));
  assert.deepEqual(
    formatted.split('\n').map(line => line.trim().split(' ')[0]),
    ['select', 'from', 'left', 'on', 'where', 'and', 'order', 'limit'],
  );
  assert.equal(formatSql('select 1\nfrom t'), 'select 1\nfrom t');
  const commented = 'select a from t -- where this is a comment, which must stay one to its end';
  assert.equal(formatSql(commented), commented);
});
