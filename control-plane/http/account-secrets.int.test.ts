/** Secrets of service accounts: made, exchanged, rotated, revoked, reviewed; and what they do not open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { type Api, withApi } from './test-api.ts';
import { billingBot, corpProvider, crm } from './test-manifests.ts';

const manifests = (issuer: string) => `${corpProvider(issuer)}${billingBot(issuer)}${crm}---
kind: Role
metadata: { name: batch }
spec: { members: { groups: [support], serviceAccounts: [billing-bot] }, resources: { names: [crm] } }
---
kind: AccessPolicy
metadata: { name: admins }
spec: { roles: [admin], members: { groups: [admins] } }
---
kind: AccessPolicy
metadata: { name: operators }
spec: { roles: [operator], members: { groups: [ops] } }
`;
const path = '/v1/service-account-secrets';
const day = 24 * 3600;

async function exchange(api: Api, secret: string, more: Record<string, string> = {}) {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: secret,
    subject_token_type: 'urn:sallyport:token-type:service-account-secret',
    audience: 'crm',
    ...more,
  };
  const answer = await fetch(`${api.plane.httpUrl}/oauth/token`, { method: 'POST', body: new URLSearchParams(form) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function create(api: Api, expiresInSeconds = 90 * day, token?: string) {
  const { status, body } = await api.call('POST', path, {
    body: { account: 'billing-bot', expiresInSeconds, reason: 'no issuer there' },
    ...(token === undefined ? {} : { token }),
  });
  return { status, secret: String(body.secret), id: String(body.id), code: body.code };
}

const list = async (api: Api) => (await api.call('GET', path)).body.secrets as Record<string, unknown>[];

test('a secret is exchanged for a ticket, and nothing else takes it', () =>
  withApi(manifests, async api => {
    const { status, secret, id } = await create(api);
    assert.equal(status, 201);
    const { status: got, body } = await exchange(api, secret, { expires_in: '300' });
    assert.equal(got, 200, JSON.stringify(body));
    const { body: jwks } = await api.call('GET', '/oauth/jwks', { token: null });
    const agent = new VerifyContext();
    const tickets = { issuer: 'sallyport', keys: jwks.keys as PublicJwk[] };
    agent.useLease({ tickets, identityProviders: [], serviceAccounts: [], revokedTokens: [] });
    const verified = await verifyToken(String(body.access_token), agent);
    assert.ok(verified.ok);
    assert.deepEqual(verified.principal, {
      ...{ kind: 'workload', name: 'billing-bot', issuer: 'sallyport', subject: 'service-account:billing-bot' },
      ...{ groups: ['bots'], delegation: [] },
    });
    assert.equal(verified.ticketResource, 'crm');
    assert.deepEqual(await verifyToken(secret, agent), {
      ...{ ok: false, code: 'TOKEN_MALFORMED', reason: 'the password is no compact JWS (three parts with dots between)' },
    });
    assert.equal((await api.call('GET', '/v1/me', { token: secret })).status, 401);
    assert.equal((await api.call('POST', '/v1/tickets', { token: secret, body: { resource: 'crm' } })).status, 401);
    const asJwt = { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' };
    assert.equal((await exchange(api, secret, asJwt)).body.error, 'invalid_grant');
    const person = await api.provider.token({ sub: 'a', email: 'ann@example.com', groups: ['support'] });
    assert.equal((await exchange(api, person)).body.error, 'invalid_grant', 'a token is no secret');
    assert.equal((await exchange(api, String(body.access_token))).body.error, 'invalid_grant', 'nor is a ticket');
    assert.equal((await exchange(api, secret, { audience: 'vault' })).body.error, 'invalid_target');
    // It proves who acts for somebody as well.
    const acting = await exchange(api, person, {
      ...{ subject_token_type: 'urn:ietf:params:oauth:token-type:jwt', actor_token: secret },
      actor_token_type: 'urn:sallyport:token-type:service-account-secret',
    });
    const acted = await verifyToken(String(acting.body.access_token), agent);
    assert.deepEqual(acted.ok && [acted.principal.name, acted.principal.delegation], ['ann@example.com', ['billing-bot']]);
    const other = `sps_${id}_${'A'.repeat(43)}`;
    assert.equal((await exchange(api, other)).body.error, 'invalid_grant');
    assert.equal((await exchange(api, secret.replace(id, '0'.repeat(32)))).body.error, 'invalid_grant');
    const [shown] = await list(api);
    assert.equal(shown?.tickets, 2);
    assert.ok(Date.parse(String(shown?.lastUsedAt)) > Date.now() - 60_000);
    assert.match(String(shown?.lastUsedFrom), /^127\.0\.0\.1/);
    const everywhere = JSON.stringify([await list(api), await api.call('GET', '/v1/events?types=control')]) + api.lines.join('');
    assert.ok(!everywhere.includes(secret.slice(-43)), 'it is in no answer and no log');
    await api.restart();
    assert.equal((await list(api))[0]?.tickets, 2, 'what is known of its use is in the log');
    assert.equal((await exchange(api, secret)).status, 200);
  }));

test('rotation: at most two, the old one until it is revoked, with its tickets', () =>
  withApi(manifests, async api => {
    const [old, next] = [await create(api), await create(api)];
    assert.deepEqual(await create(api).then(({ status, code }) => [status, code]), [409, 'SECRETS_TOO_MANY']);
    const racing = await Promise.all([old, next].map(({ secret }) => exchange(api, secret)));
    assert.deepEqual(
      racing.map(({ status }) => status),
      [200, 200],
    );
    const operator = await api.provider.token({ sub: 'o', email: 'oscar@example.com', groups: ['ops'] });
    assert.equal((await api.call('POST', `${path}/${old.id}/revoke`, { token: operator, body: { reason: 'rotated' } })).status, 200);
    assert.equal((await exchange(api, old.secret)).body.error, 'invalid_grant');
    assert.equal((await exchange(api, next.secret)).status, 200);
    const tickets = (await api.call('GET', '/v1/tickets')).body.tickets as { revoked: boolean }[];
    assert.equal(tickets.filter(({ revoked }) => revoked).length, 1);
    assert.equal((await api.call('POST', `${path}/${old.id}/revoke`)).status, 404);
    assert.equal((await create(api)).status, 201);
    assert.deepEqual(
      (await list(api)).map(({ account }) => account),
      ['billing-bot', 'billing-bot'],
    );
  }));

test('a secret ends, its ticket no later, and none comes back with its account', () => {
  let nowMs = Date.now();
  return withApi(
    manifests,
    async api => {
      const { secret } = await create(api, 120);
      const { body } = await exchange(api, secret, { expires_in: '3600' });
      assert.ok(Number(body.expires_in) <= 120);
      nowMs += 121_000;
      assert.equal((await exchange(api, secret)).body.error, 'invalid_grant');
      assert.deepEqual(await list(api), []);
      const { secret: second } = await create(api);
      assert.equal((await exchange(api, second)).status, 200);
      const gone = manifests(api.provider.issuer).replace(', serviceAccounts: [billing-bot]', '');
      assert.equal((await api.apply(gone)).status, 200);
      assert.equal((await api.call('DELETE', '/v1/manifests/ServiceAccount/billing-bot')).status, 200);
      assert.equal((await exchange(api, second)).body.error, 'invalid_grant');
      assert.equal((await create(api)).code, 'ACCOUNT_UNKNOWN');
      assert.equal((await api.apply(manifests(api.provider.issuer))).status, 200);
      assert.equal((await exchange(api, second)).body.error, 'invalid_grant');
    },
    { clock: () => nowMs },
  );
});

test('who may make one; bounds; guessing and flooding', () => {
  // It stands: how quick this machine is decides nothing.
  const nowMs = Date.now();
  return withApi(
    manifests,
    async api => {
      const admin = await api.provider.token({ sub: 'z', email: 'zoe@example.com', groups: ['admins'] });
      const operator = await api.provider.token({ sub: 'o', email: 'oscar@example.com', groups: ['ops'] });
      assert.equal((await create(api, day, operator)).status, 403);
      const { secret } = await create(api, day, admin);
      assert.equal((await list(api))[0]?.createdBy, 'zoe@example.com');
      for (const expiresInSeconds of [undefined, 0, 59, 367 * day, 1.5, '90d'])
        assert.equal(
          (await api.call('POST', path, { body: { account: 'billing-bot', expiresInSeconds } })).status,
          400,
          String(expiresInSeconds),
        );
      assert.equal((await api.call('POST', path, { body: { account: 'nobody', expiresInSeconds: day } })).status, 404);
      const statuses = [];
      for (let i = 0; i < 125; i++) statuses.push((await exchange(api, secret)).status);
      assert.ok(statuses.slice(0, 120).every(status => status === 200));
      assert.ok(
        statuses.slice(120).every(status => status === 429),
        'a program that asks at each connection does not fill the log',
      );
    },
    { clock: () => nowMs },
  );
});

test('where changes need two people, nobody makes a secret alone', () =>
  withApi(
    manifests,
    async api => {
      const admin = await api.provider.token({ sub: 'z', email: 'zoe@example.com', groups: ['admins'] });
      assert.deepEqual(await create(api, day, admin).then(({ status, code }) => [status, code]), [403, 'CHANGE_NEEDS_REVIEW']);
      assert.equal((await create(api)).status, 201);
    },
    { twoPersonApply: true },
  ));
