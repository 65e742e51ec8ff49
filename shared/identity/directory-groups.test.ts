import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from '../policy/model.ts';
import { directoryGroups, inDirectory } from './directory-groups.ts';

const ann = (...groups: string[]): Principal => ({
  ...{ kind: 'person', name: 'Ann@example.com', issuer: 'i', subject: 's', groups, delegation: [] },
});

test('a group of the directory is the directory’s alone; of others tokens decide', () => {
  const directory = directoryGroups([
    { name: 'dba', members: ['ann@example.com'] },
    { name: 'admins', members: ['zoe@example.com'] },
    { name: 'gone', members: [] },
  ]);
  assert.deepEqual(inDirectory(ann('support', 'admins', 'gone'), directory).groups, ['support', 'dba']);
  assert.deepEqual(inDirectory(ann(), directory).groups, ['dba']);
  assert.deepEqual(inDirectory(ann('Admins'), directory).groups, ['Admins', 'dba'], 'groups are told apart by case, as policies do');
  const same = ann('support', 'dba');
  assert.equal(inDirectory(same, directory), same);
  assert.equal(inDirectory(same, directoryGroups()), same);
  const bot: Principal = { ...ann('admins'), kind: 'workload' };
  assert.equal(inDirectory(bot, directory), bot, 'a service account’s groups are its manifest’s');
  const odd = directoryGroups([{ name: '__proto__', members: ['ann@example.com'] }]);
  assert.deepEqual(inDirectory(ann('constructor'), odd).groups, ['constructor', '__proto__']);
});
