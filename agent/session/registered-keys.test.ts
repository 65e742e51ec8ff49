import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeasedSshKey } from '@sallyport/shared/policy/bundle.ts';
import { RegisteredKeys } from './registered-keys.ts';

const blob = Buffer.from('a blob');
const person: LeasedSshKey = {
  ...{ id: '1', blob: blob.toString('base64'), kind: 'person', name: 'ann', issuer: 'i', subject: 's', expiresAtMs: 1000 },
  signIn: { groups: ['support'], untilMs: 500 },
};
const groupsOf = (key: LeasedSshKey, nowMs: number, accounts: { name: string; groups: string[] }[] = []) => {
  const serviceAccounts = accounts.map(({ name, groups }) => ({ name, spec: { groups, trusts: [] } }));
  const holder = new RegisteredKeys({ sshKeys: [key], serviceAccounts }).holder(key.id, nowMs);
  return holder.known ? holder.principal.groups : null;
};

test('groups are those of a sign-in as long as that counts, then the directory’s alone, else nothing is known', () => {
  assert.deepEqual(groupsOf(person, 499), ['support']);
  assert.equal(groupsOf(person, 500), null);
  const listed: LeasedSshKey = { ...person, inDirectory: true };
  assert.deepEqual(groupsOf(listed, 499), ['support']);
  assert.deepEqual(groupsOf(listed, 500), []);
  assert.equal(groupsOf(listed, 1000), null, 'it has ended');
  const { signIn: _, ...unseen } = person;
  assert.equal(groupsOf(unseen, 1), null);
  const bot: LeasedSshKey = { ...unseen, kind: 'workload', name: 'bot' };
  assert.deepEqual(groupsOf(bot, 1, [{ name: 'bot', groups: ['bots'] }]), ['bots']);
  assert.equal(groupsOf(bot, 1, [{ name: 'other', groups: ['bots'] }]), null);
});

test('a key is found by all of its bytes, until it ends', () => {
  const keys = new RegisteredKeys({ sshKeys: [person], serviceAccounts: [] });
  assert.equal(keys.find(blob, 999)?.id, '1');
  assert.equal(keys.find(blob, 1000), null);
  assert.equal(keys.find(Buffer.from('a blot'), 1), null);
  assert.equal(keys.find(Buffer.alloc(0), 1), null);
  assert.ok(!keys.holder('2', 1).known);
});
