import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { parseFilter, parsePath } from './filter.ts';

test('what directories ask', () => {
  const cases: [string, [string, string][]][] = [
    ['userName eq "ann@example.com"', [['username', 'ann@example.com']]],
    ['displayName Eq "a \\"b\\" \\u00e9 and c"', [['displayname', 'a "b" é and c']]],
    [
      'id eq "g1" and members eq "u1"',
      [
        ['id', 'g1'],
        ['members', 'u1'],
      ],
    ],
    [
      'members[value eq "u1"] and externalId eq ""',
      [
        ['members.value', 'u1'],
        ['externalid', ''],
      ],
    ],
    ['urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "x"', [['displayname', 'x']]],
    [' members.value  eq  "u1" ', [['members.value', 'u1']]],
  ];
  for (const [text, expected] of cases)
    assert.deepEqual(
      parseFilter(text).map(({ attribute, value }) => [attribute, value]),
      expected,
      text,
    );
  assert.deepEqual(parsePath('members[value eq "u1"]'), { attribute: 'members', chosen: 'u1' });
  assert.deepEqual(parsePath('urn:ietf:params:scim:schemas:core:2.0:Group:members'), { attribute: 'members', chosen: null });
});

test('what is not a comparison with eq is refused, whatever it is', () => {
  const bad = [
    ...['', ' ', 'eq', 'userName', 'userName eq', 'userName eq a', 'userName eq "a', 'userName eq "a\\"', 'userName eq "a" or id eq "b"'],
    ...[
      'userName sw "a"',
      'userName ne "a"',
      'not (id eq "a")',
      '(id eq "a")',
      'id eq "a" and',
      'id eq "a" "b"',
      'active eq true',
      'id eq "\n"',
    ],
    ...[
      'members[value eq "a"',
      'members[display eq "a"]',
      'members[value eq "a"].display',
      'urn:x: eq "a"',
      'a:b eq "c"',
      `id eq "${'a'.repeat(3000)}"`,
    ],
    Array(20).fill('id eq "a"').join(' and '),
  ];
  for (const text of bad)
    assert.throws(
      () => parseFilter(text),
      (error: unknown) => error instanceof GatewayError && error.code === 'FILTER_INVALID',
      text,
    );
  for (const text of ['', 'members[value eq "a"].display', 'members[]', 'a b']) assert.throws(() => parsePath(text), GatewayError, text);
});
