import assert from 'node:assert/strict';
import { test } from 'node:test';
import { given } from './specification.ts';
import { KeptOut, type UserAttributes, type UserEvent, type UserState, userAggregate } from './user.ts';

const user = (more: Partial<UserAttributes> = {}): UserAttributes => ({ userName: 'ann@example.com', active: true, ...more });
const provisioned: UserEvent = { type: 'UserProvisioned', payload: user() };
const changed: UserEvent = { type: 'UserChanged', payload: user({ active: false }) };
const gone: UserEvent = { type: 'UserDeprovisioned', payload: {} };

test('a user comes, changes and goes, and does not come back under the same id', () => {
  given(userAggregate).when({ type: 'replace', user: user() }).thenRejected('USER_UNKNOWN');
  given(userAggregate).when({ type: 'delete' }).thenRejected('USER_UNKNOWN');
  given(userAggregate, provisioned).when({ type: 'create', user: user() }).thenRejected('USER_ID_TAKEN');
  given(userAggregate, provisioned).when({ type: 'replace', user: user() }).thenNothing();
  given(userAggregate, provisioned)
    .when({ type: 'replace', user: user({ active: false }) })
    .then(changed);
  given(userAggregate, provisioned, changed).when({ type: 'delete' }).then(gone);
  given(userAggregate, provisioned, gone).when({ type: 'replace', user: user() }).thenRejected('USER_UNKNOWN');
  given(userAggregate, provisioned, gone).when({ type: 'create', user: user() }).thenRejected('USER_ID_TAKEN');
});

test('who is kept out', () => {
  const state = (...events: UserEvent[]) => given(userAggregate, ...events).state;
  const names = (...users: UserState[]) => {
    const keptOut = new KeptOut();
    for (const each of users) keptOut.changed({ status: 'absent' }, each);
    return keptOut.names();
  };
  assert.deepEqual(names(state(), state(provisioned)), []);
  assert.deepEqual(names(state(provisioned, changed)), ['ann@example.com']);
  assert.deepEqual(names(state(provisioned, gone)), ['ann@example.com'], 'tokens outlive their people');
  const again: UserEvent = { type: 'UserProvisioned', payload: user({ userName: 'Ann@Example.com' }) };
  assert.deepEqual(names(state(provisioned, gone), state(again)), [], 'back under a new id');
  const renamed: UserEvent = { type: 'UserChanged', payload: user({ userName: 'Smith@example.com' }) };
  assert.deepEqual(names(state(provisioned, renamed, gone)), ['ann@example.com', 'smith@example.com'], 'under every name they had');
});

test('names are not collected for ever', () => {
  const renames = Array.from({ length: 99 }, (_, i): UserEvent => ({ type: 'UserChanged', payload: user({ userName: `n${i}` }) }));
  given(userAggregate, provisioned, ...renames)
    .when({ type: 'replace', user: user({ userName: 'n100' }) })
    .thenRejected('USER_RENAMED_TOO_OFTEN');
});
