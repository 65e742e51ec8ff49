import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COLUMN_FORMS, isPattern, joinName, matchName, needsQuotedIdentifier, OBJECT_FORMS, parsePattern, splitName } from './patterns.ts';

function match(pattern: string, ...name: string[]) {
  const parsed = parsePattern(pattern, [...OBJECT_FORMS, ...COLUMN_FORMS]);
  assert.ok(isPattern(parsed), pattern);
  return matchName(parsed, name);
}

test('exact names and wildcards', () => {
  assert.equal(match('public.customers.email', 'public', 'customers', 'email'), 'yes');
  assert.equal(match('public.customers.email', 'public', 'customers', 'emails'), 'no');
  assert.equal(match('public.*.email', 'public', 'orders', 'email'), 'yes');
  assert.equal(match('*.*.*', 'a', 'b', 'c'), 'yes');
  assert.equal(match('public.cust*', 'public', 'customers'), 'yes');
  assert.equal(match('public.*_id*x', 'public', 'user_id_x'), 'yes');
  assert.equal(match('public.ab*ab', 'public', 'ab'), 'no'); // the ends may not overlap
  assert.equal(match('public.a*b*a', 'public', 'aba'), 'yes');
  assert.equal(match('public.a*b*a', 'public', 'aa'), 'no');
  assert.equal(match('public.**', 'public', ''), 'yes');
  assert.equal(match('public.customers', 'public', 'customers', 'email'), 'no');
});

test('a star does not reach over a dot', () => {
  assert.equal(match('public.*', 'public', 'a', 'b'), 'no');
});

test('case matters, as it does to the server', () => {
  assert.equal(match('public.Customers', 'public', 'customers'), 'no');
  assert.equal(needsQuotedIdentifier('public.Customers'), true);
  assert.equal(needsQuotedIdentifier('public."Customers"'), false);
});

test('what is not resolved matches perhaps', () => {
  assert.equal(match('public.customers', '*', 'customers'), 'maybe');
  assert.equal(match('*.customers', '*', 'customers'), 'yes'); // any schema is any schema
  assert.equal(match('public.customers', '*', 'orders'), 'no');
});

test('quoted parts are literal', () => {
  assert.equal(match('public."a.b"', 'public', 'a.b'), 'yes');
  assert.equal(match('public."a*"', 'public', 'ab'), 'no');
  assert.equal(match('public."say ""hi"""', 'public', 'say "hi"'), 'yes');
  for (const broken of ['"a', 'a"b"', '"a"b', '"a".', 'a..b', '.a.b', '', '"".x']) {
    const parsed = parsePattern(broken, OBJECT_FORMS);
    assert.ok(!isPattern(parsed), broken);
  }
});

test('join and split are inverse for any part that is not empty', () => {
  const alphabet = ['a', 'B', '.', '"', '*', ' ', 'é', '_'];
  let seed = 1;
  const next = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 2000; round++) {
    const parts = Array.from({ length: 1 + next(3) }, () =>
      Array.from({ length: 1 + next(5) }, () => alphabet[next(alphabet.length)]).join(''),
    );
    assert.deepEqual(
      splitName(joinName(parts))?.map(part => part.text),
      parts,
    );
  }
});

test('hostile: many stars against a long name', () => {
  assert.equal(match(`public.${'a*'.repeat(290)}b`, 'public', 'a'.repeat(100_000)), 'no');
});
