import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccountSecret, type AccountSecretEvent, accountSecretAggregate, secretLifetimeMsMax } from './account-secret.ts';
import { Projection, type RecordedEvent } from './projection.ts';
import { given } from './specification.ts';

const day = 24 * 3600 * 1000;
const secret = (id: string, createdAtMs = 0, expiresAtMs = createdAtMs + 30 * day): AccountSecret => ({
  ...{ id, secretHash: `hash of ${id}`, createdAtMs, createdBy: 'ann', expiresAtMs },
});
const created = (made: AccountSecret): AccountSecretEvent => ({ type: 'AccountSecretCreated', payload: made });

test('two secrets overlap and a third waits until one is gone or over; every one ends', () => {
  const [one, two, three] = [secret('1'), secret('2', day), secret('3', 2 * day)];
  given(accountSecretAggregate).when({ type: 'create', secret: one, nowMs: 0 }).then(created(one));
  given(accountSecretAggregate, created(one)).when({ type: 'create', secret: one, nowMs: 0 }).thenNothing();
  given(accountSecretAggregate, created(one)).when({ type: 'create', secret: two, nowMs: day }).then(created(two));
  const both = given(accountSecretAggregate, created(one), created(two));
  both.when({ type: 'create', secret: three, nowMs: 2 * day }).thenRejected('SECRETS_TOO_MANY');
  const revoked: AccountSecretEvent = { type: 'AccountSecretRevoked', payload: { id: '1', atMs: 2 * day } };
  both.when({ type: 'revoke', id: '1', nowMs: 2 * day }).then(revoked);
  given(accountSecretAggregate, created(one), created(two), revoked)
    .when({ type: 'create', secret: three, nowMs: 2 * day })
    .then(created(three));
  const later = secret('3', 30 * day);
  both.when({ type: 'create', secret: later, nowMs: 30 * day }).then(created(later));
  both.when({ type: 'revoke', id: 'x', nowMs: 0 }).thenRejected('SECRET_UNKNOWN');
  for (const expiresAtMs of [0, 59_000, secretLifetimeMsMax + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const bad = secret('b', 0, expiresAtMs);
    const decision = accountSecretAggregate.decide({ type: 'create', secret: bad, nowMs: 0 }, accountSecretAggregate.initialState);
    assert.equal(decision.accepted, false, String(expiresAtMs));
  }
});

function folded() {
  const state = new Projection();
  const fold = (stream: string, type: string, payload: unknown) => {
    const envelope = { eventId: '', schema: 1, atUnixUs: 1000n, author: 'ann', authorAddress: '10.0.0.9:4', reason: '', requestId: '' };
    const event: RecordedEvent = { ...envelope, stream, expectedVersion: state.stream(stream).version, type, payload };
    assert.ok(state.fold(event));
  };
  const account = () =>
    fold('service-account/bot', 'ServiceAccountApplied', {
      manifest: { kind: 'ServiceAccount', name: 'bot', labels: {}, spec: { groups: [], trusts: [] } },
      secrets: {},
    });
  const ticket = (ticketId: string, secrets: string[], name = 'bot') =>
    fold('administration/p', 'TicketIssued', {
      ...{ ticketId, resource: 'crm', principal: { kind: 'workload', name, issuer: 'i', subject: 's' }, delegation: [] },
      ...{ expiresAtMs: day, boundToClient: false, secrets },
    });
  return { state, fold, account, ticket };
}

test('a secret’s last use comes from the tickets that it was exchanged for, which end with it', () => {
  const { state, fold, account, ticket } = folded();
  account();
  fold('account-secret/bot', 'AccountSecretCreated', secret('1'));
  assert.equal(state.accountSecretUse('1'), null);
  ticket('t1', ['1']);
  ticket('t2', ['1']);
  ticket('t3', ['gone']);
  assert.deepEqual(state.accountSecretUse('1'), { atMs: 1, from: '10.0.0.9:4', tickets: 2 });
  assert.deepEqual(state.revokedTickets(2), []);
  fold('account-secret/bot', 'AccountSecretRevoked', { id: '1', atMs: 1 });
  assert.deepEqual(state.revokedTickets(2), ['t1', 't2']);
  assert.deepEqual([state.accountSecret('1'), state.accountSecretUse('1')], [undefined, null]);
});

test('an account that is deleted and made anew has no secrets, and its tickets are no longer good', () => {
  const { state, fold, account, ticket } = folded();
  account();
  fold('account-secret/bot', 'AccountSecretCreated', secret('1'));
  ticket('t1', ['1']);
  ticket('t2', []);
  ticket('t3', [], 'another');
  fold('service-account/bot', 'ServiceAccountDeleted', {});
  account();
  assert.deepEqual([state.accountSecrets(), state.revokedTickets(2)], [[], ['t1', 't2']]);
  fold('account-secret/bot', 'AccountSecretCreated', secret('2'));
  assert.equal(state.accountSecret('2')?.account, 'bot');
  assert.ok(state.authorsOf('ServiceAccount', 'bot', 2).some(({ name }) => name === 'ann'));
});
