import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Directory, type GroupEvent, type GroupState, groupAggregate, groupMembersMax } from './group.ts';
import { given } from './specification.ts';
import type { UserState } from './user.ts';

const made: GroupEvent = { type: 'GroupProvisioned', payload: { displayName: 'dba', members: ['u1', 'u2'] } };
const group = { displayName: 'dba' };

test('a group’s members come and go by what differs; a name stays the directory’s', () => {
  given(groupAggregate)
    .when({ type: 'create', group, members: ['u1', 'u2', 'u1'] })
    .then(made);
  given(groupAggregate, made)
    .when({ type: 'change', group, members: ['u2', 'u1'] })
    .thenNothing();
  const changed: GroupEvent = { type: 'GroupChanged', payload: { displayName: 'dbas', added: ['u3'], removed: ['u1'] } };
  given(groupAggregate, made)
    .when({ type: 'change', group: { displayName: 'dbas' }, members: ['u2', 'u3'] })
    .then(changed);
  const renamed = given(groupAggregate, made, changed).state;
  assert.deepEqual(renamed.status === 'present' && [[...renamed.members], renamed.names], [
    ['u2', 'u3'],
    ['dba', 'dbas'],
  ]);
  const gone: GroupEvent = { type: 'GroupDeprovisioned', payload: {} };
  given(groupAggregate, made).when({ type: 'delete' }).then(gone);
  given(groupAggregate, made, gone).when({ type: 'delete' }).thenNothing();
  given(groupAggregate, made, gone).when({ type: 'change', group, members: [] }).thenRejected('GROUP_UNKNOWN');
  given(groupAggregate).when({ type: 'delete' }).thenRejected('GROUP_UNKNOWN');
  const many = Array.from({ length: groupMembersMax + 1 }, (_, n) => String(n));
  given(groupAggregate).when({ type: 'create', group, members: many }).thenRejected('GROUP_TOO_LARGE');
});

test('who is in a group: active users by their name now; a change makes one group anew', () => {
  const user = (userName: string, active = true): UserState => ({ status: 'present', user: { userName, active }, names: [] });
  const users = new Map<string, UserState>([
    ['u1', user('Ann@x')],
    ['u2', user('bob@x', false)],
    ['u3', { status: 'deleted', user: { userName: 'c', active: false }, names: [] }],
  ]);
  const present = (displayName: string, members: string[], names = [displayName]): GroupState => ({
    ...{ status: 'present', group: { displayName }, members: new Set(members), names },
  });
  const groups = new Map<string, GroupState>([
    ['g1', present('dba', ['u1', 'u2', 'u3'])],
    ['g2', present('ops', ['u2'], ['old', 'ops'])],
    ['g3', { status: 'deleted', group: { displayName: 'gone' }, members: new Set(['u1']), names: ['gone'] }],
  ]);
  const directory = new Directory(groups, users);
  const before = directory.list();
  assert.deepEqual(before, [
    { name: 'dba', members: ['ann@x'] },
    { name: 'gone', members: [] },
    { name: 'old', members: [] },
    { name: 'ops', members: [] },
  ]);
  users.set('u1', user('anna@x'));
  directory.userChanged('u1');
  assert.deepEqual(directory.list()[0], { name: 'dba', members: ['anna@x'] });
  for (const at of [1, 2, 3]) assert.equal(directory.list()[at], before[at], 'the same object');
  groups.set('g4', present('old', ['u1']));
  directory.groupChanged('g4');
  assert.deepEqual(directory.groups().get('old')?.has('anna@x'), true, 'another group may take a name over');
});
