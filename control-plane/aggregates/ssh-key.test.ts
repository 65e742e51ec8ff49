import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Projection, type RecordedEvent } from './projection.ts';
import { given } from './specification.ts';
import { type SshKey, type SshKeyEvent, type SshKeyHolder, sshKeyAggregate, sshKeyLifetimeMsMax, sshKeyStreamId } from './ssh-key.ts';

const day = 24 * 3600 * 1000;
const ann: SshKeyHolder = { kind: 'person', name: 'Ann@example.com', issuer: 'https://idp', subject: 'a-1' };
const bob: SshKeyHolder = { ...ann, name: 'bob@example.com', subject: 'b-1' };
const bot: SshKeyHolder = { kind: 'workload', name: 'billing-bot', issuer: 'sallyport', subject: 'service-account:billing-bot' };
const key = (id: string, holder = ann, fingerprint = 'SHA256:a/b+c', expiresAtMs = 30 * day): SshKey => ({
  ...{ id, fingerprint, type: 'ssh-ed25519', blob: 'AAAA', label: '', holder, groups: ['support'] },
  ...{ registeredAtMs: 0, registeredBy: holder.name, expiresAtMs },
});
const registered = (payload: SshKey): SshKeyEvent => ({ type: 'SshKeyRegistered', payload });

test('a key is one person’s until it ends or is removed', () => {
  const register = (asked: SshKey, nowMs = 0) => ({ type: 'register', key: asked, nowMs }) as const;
  given(sshKeyAggregate)
    .when(register(key('1')))
    .then(registered(key('1')));
  const known = given(sshKeyAggregate, registered(key('1')));
  known.when(register(key('1'))).thenNothing();
  known.when(register(key('2'))).thenRejected('SSH_KEY_KNOWN');
  known.when(register(key('2', bob))).thenRejected('SSH_KEY_TAKEN');
  const later = key('2', bob, 'SHA256:a/b+c', 60 * day);
  known.when(register(later, 30 * day)).then(registered(later));
  known.when({ type: 'remove', id: '2' }).thenRejected('SSH_KEY_UNKNOWN');
  const removed: SshKeyEvent = { type: 'SshKeyRemoved', payload: { id: '1', fingerprint: 'SHA256:a/b+c', holder: ann } };
  known.when({ type: 'remove', id: '1' }).then(removed);
  given(sshKeyAggregate, registered(key('1')), removed)
    .when(register(key('2', bob)))
    .then(registered(key('2', bob)));
  for (const expiresAtMs of [0, 59_000, sshKeyLifetimeMsMax + 1, Number.NaN])
    given(sshKeyAggregate)
      .when(register(key('1', ann, 'SHA256:x', expiresAtMs)))
      .thenRejected('SSH_KEY_LIFETIME');
});

function folding() {
  const state = new Projection();
  let atMs = 1000;
  const fold = (stream: string, type: string, payload: unknown, more: Partial<RecordedEvent> = {}) => {
    atMs += 1000;
    const envelope = {
      eventId: '',
      schema: 1,
      atUnixUs: BigInt(atMs) * 1000n,
      author: 'ann',
      authorAddress: '',
      reason: '',
      requestId: '',
    };
    const event: RecordedEvent = { ...envelope, stream, expectedVersion: state.stream(stream).version, type, payload, ...more };
    assert.ok(state.fold(event));
  };
  const register = (made: SshKey) => fold(`ssh-key/${sshKeyStreamId(made.fingerprint)}`, 'SshKeyRegistered', made);
  return { state, fold, register };
}

test('keys end for good with the person, the account and the issuer, and are revoked like tickets', () => {
  const { state, fold, register } = folding();
  const user = (active: boolean) => ({ userName: 'ann@example.com', active });
  fold('user/1', 'UserProvisioned', user(true));
  register(key('1'));
  register(key('2', bob, 'SHA256:bob'));
  register(key('3', bot, 'SHA256:bot'));
  assert.deepEqual(
    state.sshKeys.all().map(({ id }) => id),
    ['1', '2', '3'],
  );
  fold('user/1', 'UserChanged', user(false));
  assert.deepEqual(
    state.sshKeys.all().map(({ id }) => id),
    ['2', '3'],
  );
  assert.deepEqual(state.revokedTickets(2000), ['1']);
  fold('user/1', 'UserChanged', user(true));
  assert.equal(state.sshKeys.get('1'), undefined, 'who comes back registers anew');
  register(key('4'));
  fold('user/1', 'UserDeprovisioned', {});
  assert.equal(state.sshKeys.get('4'), undefined);
  const stream = `ssh-key/${sshKeyStreamId('SHA256:bob')}`;
  fold(stream, 'SshKeyRemoved', { id: '2', fingerprint: 'SHA256:bob', holder: bob });
  assert.deepEqual(state.revokedTickets(2000), ['1', '4', '2']);
  assert.deepEqual(state.revokedTickets(31 * day), []);
  assert.deepEqual(new Projection(structuredClone(state.save())).dump(), state.dump());
  assert.deepEqual(new Projection(structuredClone(state.save())).sshKeys.all(), state.sshKeys.all());
});

test('what is known of a holder’s groups is what the last sign-in said', () => {
  const { state, fold, register } = folding();
  const signIn = (groups: string[], subject = 'a-1') =>
    fold(
      'administration/x',
      'SignedIn',
      { provider: 'corp', consoleSession: '', groups },
      {
        author: 'ann@new.example.com',
        authorIdentity: { issuer: 'https://idp', subject },
      },
    );
  signIn(['before']);
  assert.ok(!state.sshKeys.holds(ann), 'of people without keys nothing is kept');
  register(key('1'));
  assert.deepEqual(state.sshKeys.seen(ann)?.groups, ['support']);
  signIn(['dba'], 'b-1');
  assert.deepEqual(state.sshKeys.seen(ann)?.groups, ['support']);
  signIn(['dba']);
  assert.deepEqual(state.sshKeys.seen(ann), { name: 'ann@new.example.com', groups: ['dba'], atMs: 5000 });
  const { issuer, subject, kind } = ann;
  const ticket = { ticketId: 't', resource: 'web', principal: { kind, name: 'ann@new.example.com', issuer, subject }, delegation: [] };
  fold('administration/x', 'TicketIssued', { ...ticket, expiresAtMs: day, boundToClient: false, groups: ['leads'] });
  assert.deepEqual(state.sshKeys.seen(ann)?.groups, ['leads']);
  // By either name.
  fold('user/1', 'UserProvisioned', { userName: 'ann@new.example.com', active: false });
  assert.ok(!state.sshKeys.holds(ann));
});
