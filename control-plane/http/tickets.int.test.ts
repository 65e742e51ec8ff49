/** Tickets and token exchange: who gets one for what, bound to what, who sees and revokes it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { decodeJwt } from 'jose';
import { type Api, withApi } from './test-api.ts';
import { billingBot, corpProvider, credential, resource } from './test-manifests.ts';

const manifests = (issuer: string) => `${corpProvider(issuer)}${billingBot(issuer)}${credential}${resource('crm', 'env: prod')}---
kind: Role
metadata: { name: reader }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
---
kind: Role
metadata: { name: writer }
spec: { members: { groups: [dba] }, resources: { names: [crm] } }
---
kind: AccessPolicy
metadata: { name: ops }
spec: { roles: [operator], members: { groups: [ops] } }
`;
const ann = { sub: 'a1', email: 'ann@example.com', groups: ['support'] };
const zoe = { sub: 'z1', email: 'zoe@example.com', groups: ['support'] };
const oscar = { sub: 'o1', email: 'oscar@example.com', groups: ['ops'] };
const bot = { sub: 'repo:billing' };

const jwt = 'urn:ietf:params:oauth:token-type:jwt';
const thumbprint = 'A'.repeat(43);

async function exchange(
  api: Api,
  form: Record<string, string> | [string, string][],
): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${api.plane.httpUrl}/oauth/token`, { method: 'POST', body: new URLSearchParams(form) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const asked = (subject: string, more: Record<string, string> = {}) => ({
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token: subject,
  subject_token_type: jwt,
  audience: 'crm',
  ...more,
});

/** As an agent: with the ticket keys and nothing else. */
async function verified(api: Api, ticket: string) {
  const { body } = await api.call('GET', '/oauth/jwks', { token: null });
  const context = new VerifyContext();
  context.useLease({
    tickets: { issuer: 'sallyport', keys: body.keys as PublicJwk[] },
    identityProviders: [],
    serviceAccounts: [],
    revokedTokens: [],
  });
  const outcome = await verifyToken(ticket, context);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome;
}

test('token exchange: a ticket to one resource and role, bound, with who acts for whom', () =>
  withApi(manifests, async api => {
    const [token, actor] = [await api.provider.token(ann), await api.provider.token(bot, { lifetimeSeconds: 120 })];
    const { status, body } = await exchange(
      api,
      asked(token, {
        ...{ actor_token: actor, actor_token_type: jwt, scope: 'role:reader', expires_in: '300' },
        ...{ sallyport_networks: '10.0.0.0/8, 192.0.2.0/24', sallyport_certificate_sha256: thumbprint },
      }),
    );
    assert.equal(status, 200, JSON.stringify(body));
    const { access_token: ticket, expires_in: seconds, ...rest } = body;
    assert.deepEqual(rest, { issued_token_type: jwt, token_type: 'N_A', scope: 'role:reader' });
    assert.ok(Number(seconds) <= 120 && Number(seconds) > 100, 'nor longer than the actor’s token');
    const outcome = await verified(api, String(ticket));
    assert.deepEqual(
      [outcome.principal.name, outcome.principal.delegation, outcome.ticketResource, outcome.bounds],
      ['ann@example.com', ['billing-bot'], 'crm', { role: 'reader', networks: ['10.0.0.0/8', '192.0.2.0/24'], certificate: thumbprint }],
    );
    assert.deepEqual(decodeJwt(String(ticket)).act, { sub: 'billing-bot' });
    const listed = (await api.call('GET', '/v1/tickets')).body.tickets as Record<string, unknown>[];
    const { id, issuedAt, expiresAt, ...shown } = listed[0] ?? {};
    assert.equal(id, outcome.tokenId);
    assert.ok(Date.parse(String(expiresAt)) - Date.parse(String(issuedAt)) <= 121_000);
    assert.deepEqual(shown, {
      ...{ resource: 'crm', principal: 'ann@example.com', principalKind: 'person', delegation: ['billing-bot'], revoked: false },
      ...{ role: 'reader', networks: ['10.0.0.0/8', '192.0.2.0/24'], boundToClient: true },
    });
    assert.ok(!api.lines.join('').includes(String(ticket).slice(-30)), 'no ticket in the log');
    const metadata = (await api.call('GET', '/.well-known/oauth-authorization-server', { token: null })).body;
    assert.equal(metadata.token_endpoint, `${api.plane.httpUrl}/oauth/token`);
  }));

test('token exchange refuses, with OAuth’s errors', () =>
  withApi(manifests, async api => {
    const token = await api.provider.token(ann);
    const actor = await api.provider.token(bot);
    const ticket = String((await exchange(api, asked(token))).body.access_token);
    const expired = await api.provider.token(ann, { lifetimeSeconds: -600 });
    const acting = await api.provider.token({ ...bot, act: { sub: 'other' } });
    const onlyAlice = await api.provider.token({ ...ann, may_act: { sub: 'repo:other' } });
    const bound = await api.provider.token({ ...ann, cnf: { 'x5t#S256': thumbprint } });
    const withActor = { actor_token: actor, actor_token_type: jwt };
    const cases: [string, Record<string, string> | [string, string][], string][] = [
      ['another grant', asked(token, { grant_type: 'client_credentials' }), 'unsupported_grant_type'],
      ['no token', asked(''), 'invalid_request'],
      ['a ticket', asked(ticket), 'invalid_grant'],
      ['an expired token', asked(expired), 'invalid_grant'],
      ['a token of nobody', asked('x.y.z'), 'invalid_grant'],
      ['the administrator’s token', asked(api.plane.adminToken), 'invalid_grant'],
      ['a token that is bound to a certificate', asked(bound), 'invalid_grant'],
      ['another resource', asked(token, { audience: 'vault' }), 'invalid_target'],
      ['no resource', asked(token, { audience: '' }), 'invalid_target'],
      ['two resources', asked(token, { resource: 'urn:sallyport:resource:vault' }), 'invalid_target'],
      ['a role that is not the person’s', asked(token, { scope: 'role:writer' }), 'invalid_target'],
      ['two roles', asked(token, { scope: 'role:reader role:writer' }), 'invalid_scope'],
      ['another scope', asked(token, { scope: 'openid' }), 'invalid_scope'],
      ['a network that is none', asked(token, { sallyport_networks: '10.0.0.1/8' }), 'invalid_request'],
      ['a certificate that is none', asked(token, { sallyport_certificate_sha256: 'x' }), 'invalid_request'],
      ['a parameter that is not known', asked(token, { sallyport_network: '10.0.0.0/8' }), 'invalid_request'],
      ['a parameter twice', [...Object.entries(asked(token)), ['audience', 'crm']], 'invalid_request'],
      ['an actor without a type', asked(token, { actor_token: actor }), 'invalid_request'],
      ['an actor without a token', asked(token, { actor_token_type: jwt }), 'invalid_request'],
      ['an actor who acts already', asked(token, { actor_token: acting, actor_token_type: jwt }), 'invalid_grant'],
      ['an actor who is the subject', asked(token, { actor_token: token, actor_token_type: jwt }), 'invalid_request'],
      ['an actor whom the subject did not name', asked(onlyAlice, withActor), 'invalid_grant'],
    ];
    for (const [what, form, error] of cases) {
      const { status, body } = await exchange(api, form);
      assert.deepEqual([status, body.error], [400, error], what);
      assert.ok(typeof body.error_description === 'string' && !body.error_description.includes(token.slice(0, 40)), what);
    }
    const named = await api.provider.token({ ...ann, may_act: { sub: bot.sub, iss: api.provider.issuer } });
    assert.equal((await exchange(api, asked(named, withActor))).status, 200);
    assert.equal((await api.call('POST', '/oauth/token', { token: null, body: {} })).status, 400);
    // Guessing costs the guesser, and nobody else at the same address.
    for (let i = 0; i < 20; i++) await exchange(api, asked('x.y.z'));
    assert.match(String((await exchange(api, asked('x.y.z'))).body.error_description), /Too many failures/);
    assert.equal((await exchange(api, asked(token))).status, 200);
  }));

test('people see and revoke their own tickets; operators any; programs that act for them none', () =>
  withApi(manifests, async api => {
    const [annToken, zoeToken, oscarToken] = await Promise.all([ann, zoe, oscar].map(claims => api.provider.token(claims)));
    const acting = await api.provider.token({ ...ann, act: { sub: 'bot' } });
    const get = async (token: string | undefined, more: object = {}) =>
      String((await api.call('POST', '/v1/tickets', { token: token ?? '', body: { resource: 'crm', ...more } })).body.id);
    const seen = async (token: string | undefined) =>
      ((await api.call('GET', '/v1/tickets', { token: token ?? '' })).body.tickets as { id: string; revoked: boolean }[]).map(
        ({ id, revoked }) => [id, revoked],
      );
    const revoke = async (token: string | undefined, id: string) =>
      (await api.call('POST', `/v1/tickets/${id}/revoke`, { token: token ?? '', body: { reason: 'lost' } })).status;
    const [first, second] = [await get(annToken), await get(annToken, { actor: 'billing-bot', role: 'reader' })];
    const zoes = await get(zoeToken);
    assert.deepEqual(await seen(annToken), [
      [first, false],
      [second, false],
    ]);
    assert.deepEqual(await seen(acting), []);
    assert.equal((await seen(oscarToken)).length, 3);
    assert.equal(await revoke(zoeToken, first), 404);
    assert.equal(await revoke(acting, first), 404);
    assert.equal(await revoke(annToken, 'no-such'), 404, 'as if it were another’s');
    assert.equal(await revoke(annToken, first), 200);
    assert.equal(await revoke(annToken, first), 200, 'again');
    assert.equal(await revoke(oscarToken, zoes), 200);
    assert.equal(await revoke(oscarToken, 'jti-of-a-provider'), 200);
    assert.deepEqual(await seen(annToken), [
      [first, true],
      [second, false],
    ]);
    await api.restart();
    await api.call('GET', '/v1/me', { token: annToken ?? '' });
    assert.deepEqual(
      await seen(annToken),
      [
        [first, true],
        [second, false],
      ],
      'after a restart',
    );
    const refused = await api.call('POST', '/v1/tickets', { token: annToken ?? '', body: { resource: 'crm', actor: 'nobody' } });
    assert.deepEqual([refused.status, refused.body.code], [400, 'ACTOR_UNKNOWN']);
  }));
