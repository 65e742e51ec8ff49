import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIELDS } from './fields.ts';
import { parseQuery, type Query, queryCharactersMax } from './query.ts';

const now = Date.UTC(2026, 10, 21, 12);

function shown(query: Query | null): string {
  if (query === null) return '*';
  if (query.kind === 'not') return `!${shown(query.part)}`;
  if (query.kind === 'term') return `${query.field.name}${query.comparison}${query.values.join('|')}`;
  return `(${query.parts.map(shown).join(query.kind === 'and' ? ' & ' : ' | ')})`;
}

test('the grammar: terms, lists, quotes, negation, alternatives, parentheses', () => {
  const table: [text: string, tree: string][] = [
    ['', '*'],
    ['resource:crm', 'resource=crm'],
    ['resource:crm decision:denied who:someone@example.com', '(resource=crm & decision=deny & who=someone@example.com)'],
    ['text:"drop table"', 'text=drop table'],
    ['drop "a \\"b\\" c"', '(text=drop & text=a "b" c)'],
    ['resource:crm,"my db",x', 'resource=crm|my db|x'],
    ['-is:live NOT kind:person', '(!is=live & !kind=person)'],
    ['(resource:a OR resource:b) rows:>1k', '((resource=a | resource=b) & rows>1000)'],
    ['a AND b OR c', '((text=a & text=b) | text=c)'],
    ['duration:>=1.5s bytes:<10MB duration:20', '(duration>=1500000 & bytes<10000000 & duration=20000)'],
    ['user:x table:public.t', '(who=x & object=public.t)'],
    ['text:--comment', 'text=--comment'],
    ['a-b - c', '(text=a-b & text=- & text=c)'],
  ];
  for (const [text, tree] of table) {
    const result = parseQuery(text, now);
    assert.ok(result.ok, `${text}: ${JSON.stringify(result)}`);
    assert.equal(shown(result.parsed.query), tree, text);
  }
});

test('bounds of time are the whole query’s', () => {
  const table: [text: string, since: number | undefined, until: number | undefined][] = [
    ['since:7d', now - 7 * 86_400_000, undefined],
    ['since:15m resource:crm', now - 900_000, undefined],
    ['since:2026-01-31 until:2026-01-31', Date.UTC(2026, 0, 31), Date.UTC(2026, 0, 31, 23, 59, 59, 999)],
    ['since:2026-01-31T14:00 until:2026-01-31T14:00+02:00', Date.UTC(2026, 0, 31, 14), Date.UTC(2026, 0, 31, 12)],
  ];
  for (const [text, since, until] of table) {
    const result = parseQuery(text, now);
    assert.ok(result.ok);
    assert.deepEqual([result.parsed.sinceMs, result.parsed.untilMs], [since, until], text);
  }
});

test('a mistake has a place and says what would be right', () => {
  const table: [text: string, message: RegExp, at: string][] = [
    ['resorce:crm', /no field "resorce"; do you mean resource/, 'resorce'],
    ['decision:maybe', /one of allowed, denied, held/, 'maybe'],
    ['rows:many', /wants an amount, e\.g\. rows:>1000/, 'many'],
    ['who:', /who: wants a value/, 'who:'],
    ['who:>a', /cannot be compared/, 'who:>a'],
    ['text:"never closed', /not closed/, '"never closed'],
    ['(a', /not closed/, '('],
    ['a)', /closes nothing/, ')'],
    ['a OR', /missing here/, ''],
    ['-since:1d', /not negated/, '-since:1d'],
    ['(since:1d)', /outside of parentheses/, '(since:1d)'],
    ['a OR since:1d', /bound the whole query/, 'a OR since:1d'],
    ['since:tomorrow', /wants a time such as/, 'since:tomorrow'],
    ['since:1d since:2d', /twice/, 'since:2d'],
    ['""', /every command/, '""'],
  ];
  for (const [text, message, at] of table) {
    const result = parseQuery(text, now);
    assert.ok(!result.ok, text);
    assert.match(result.mistake.message, message, text);
    assert.equal(text.slice(result.mistake.start, result.mistake.end), at, text);
  }
});

test('what is too much is refused, and nothing else is ever thrown', () => {
  assert.ok(!parseQuery('a '.repeat(50), now).ok);
  assert.ok(!parseQuery(`${'('.repeat(30)}a`, now).ok);
  assert.ok(!parseQuery(`${'-'.repeat(30)}a`, now).ok);
  assert.ok(!parseQuery('x'.repeat(queryCharactersMax + 1), now).ok);
  const parts = [
    '"',
    '(',
    ')',
    '-',
    ':',
    ',',
    'who',
    'text:',
    ' ',
    '\\',
    '>',
    'OR',
    'NOT',
    'since:',
    '7d',
    '\u202e',
    '__proto__:',
    'constructor:x',
  ];
  let seed = 3;
  for (let round = 0; round < 500; round++) {
    let text = '';
    for (let length = 0; length < 8; length++) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      text += parts[seed % parts.length];
    }
    parseQuery(text, now);
  }
});

test('every example of a field is a query', () => {
  for (const { example } of FIELDS) assert.ok(parseQuery(example, now).ok, example);
});
