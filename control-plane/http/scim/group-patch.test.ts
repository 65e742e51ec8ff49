import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { groupOf, patchedGroup } from './group-patch.ts';

const before = { group: { displayName: 'dba', externalId: 'x' }, members: new Set(['u1', 'u2']) };
const patched = (...operations: object[]) => {
  const { group, members } = patchedGroup(before, { schemas: [], Operations: operations });
  return [group.displayName, group.externalId, ...members];
};

test('members come and go in all the forms that directories send', () => {
  const cases: [string, object[], unknown[]][] = [
    ['Okta adds', [{ op: 'add', path: 'members', value: [{ value: 'u3', display: 'c@x' }] }], ['dba', 'x', 'u1', 'u2', 'u3']],
    ['Okta removes', [{ op: 'remove', path: 'members[value eq "u1"]' }], ['dba', 'x', 'u2']],
    ['Okta renames', [{ op: 'replace', value: { id: 'g1', displayName: 'dbas' } }], ['dbas', 'x', 'u1', 'u2']],
    ['Okta replaces', [{ op: 'replace', path: 'members', value: [{ value: 'u9' }] }], ['dba', 'x', 'u9']],
    ['Entra adds', [{ op: 'Add', path: 'members', value: [{ $ref: null, value: 'u3' }] }], ['dba', 'x', 'u1', 'u2', 'u3']],
    ['Entra removes', [{ op: 'Remove', path: 'members', value: [{ $ref: null, value: 'u1' }] }], ['dba', 'x', 'u2']],
    ['Entra renames', [{ op: 'Replace', path: 'displayName', value: 'dbas' }], ['dbas', 'x', 'u1', 'u2']],
    ['Entra adds one without a list', [{ op: 'Add', path: 'members', value: { value: 'u3' } }], ['dba', 'x', 'u1', 'u2', 'u3']],
    ['without a path', [{ op: 'add', value: { members: [{ value: 'u3' }] } }], ['dba', 'x', 'u1', 'u2', 'u3']],
    ['by the schema’s name', [{ op: 'remove', path: 'urn:ietf:params:scim:schemas:core:2.0:Group:members' }], ['dba', 'x']],
    ['ids as texts', [{ op: 'remove', path: 'members', value: ['u2'] }], ['dba', 'x', 'u1']],
    ['all', [{ op: 'remove', path: 'members' }], ['dba', 'x']],
    ['nobody', [{ op: 'replace', path: 'members', value: [] }], ['dba', 'x']],
    ['who is not there', [{ op: 'remove', path: 'members[value eq "u7"]' }], ['dba', 'x', 'u1', 'u2']],
    [
      'in their order',
      [
        { op: 'remove', path: 'members' },
        { op: 'add', path: 'Members', value: [{ value: 'u1' }] },
      ],
      ['dba', 'x', 'u1'],
    ],
    ['an attribute that is not kept', [{ op: 'add', path: 'description', value: 'd' }], ['dba', 'x', 'u1', 'u2']],
    ['no external id', [{ op: 'remove', path: 'externalId' }], ['dba', undefined, 'u1', 'u2']],
  ];
  for (const [what, operations, expected] of cases) assert.deepEqual(patched(...operations), expected, what);
  assert.deepEqual([...before.members], ['u1', 'u2'], 'what was is not changed');
});

test('what cannot be understood is refused as a whole', () => {
  const cases: object[][] = [
    [],
    [{ op: 'remove' }],
    [{ op: 'move', path: 'members' }],
    [{ op: 'add', path: 'members', value: [{ display: 'ann' }] }],
    [{ op: 'add', path: 'members', value: null }],
    [{ op: 'add', path: 'members', value: [7] }],
    [{ op: 'add', path: 'members[value eq "u1"]', value: [{ value: 'u2' }] }],
    [{ op: 'remove', path: 'members[display eq "ann"]' }],
    [{ op: 'remove', path: 'members[value eq "u1"].display' }],
    [{ op: 'replace', path: 'members.value', value: 'u1' }],
    [{ op: 'remove', path: 'displayName' }],
    [{ op: 'replace', path: 'displayName', value: '' }],
    [{ op: 'replace', path: 7, value: '' }],
    [{ op: 'remove', path: 'members', value: [{}] }],
  ];
  for (const operations of cases) assert.throws(() => patched(...operations), GatewayError, JSON.stringify(operations));
  for (const body of [
    {},
    { displayName: '' },
    { displayName: 'a\nb' },
    { displayName: 'x', members: [{}] },
    { displayName: 'x', members: 'u\n' },
  ])
    assert.throws(() => groupOf(body), GatewayError, JSON.stringify(body));
});
