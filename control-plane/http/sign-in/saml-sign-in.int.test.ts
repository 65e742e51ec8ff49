/** Signing in to the console with SAML, as a browser does it: what is posted by whom, with which cookies, and how often. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import { type Api, withApi } from '../test-api.ts';
import { crm } from '../test-manifests.ts';
import { assertionXml, encrypted, responseXml, type Said, said, samlSigner, signed } from './saml-provider.testing.ts';

const idp = await samlSigner('idp');
const ours = await samlSigner('ours');
const issuer = 'https://idp.example/saml';

const indented = (text: string, spaces: number) => text.trimEnd().replace(/^/gm, ' '.repeat(spaces));
const manifests = () => `
kind: IdentityProvider
metadata: { name: corp }
spec:
  saml:
    issuer: ${issuer}
    signInUrl: https://idp.example/sso?tenant=1
    entityId: sallyport
    certificates:
      - value: |
${indented(idp.certificatePem, 10)}
---
kind: IdentityProvider
metadata: { name: sealed }
spec:
  saml:
    issuer: https://sealed.example
    signInUrl: https://sealed.example/sso
    entityId: sallyport
    groupsAttribute: groups
    certificates:
      - value: |
${indented(idp.certificatePem, 10)}
    decryptionKey: { env: SAML_KEY }
---
kind: AccessPolicy
metadata: { name: viewers }
spec: { roles: [viewer], members: { groups: [dba] } }
`;

interface Begun {
  requestId: string;
  cookie: string;
  location: URL;
}

async function begin(api: Api, provider = 'corp', back = '/sessions'): Promise<Begun> {
  const answer = await fetch(`${api.plane.httpUrl}/auth/login?provider=${provider}&return=${encodeURIComponent(back)}`, {
    redirect: 'manual',
  });
  assert.equal(answer.status, 302, await answer.text());
  const location = new URL(answer.headers.get('location') ?? '');
  const [cookie = ''] = (answer.headers.getSetCookie()[0] ?? '').split(';');
  const request = inflateRawSync(Buffer.from(location.searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
  return { requestId: /ID="([^"]+)"/.exec(request)?.[1] ?? '', cookie, location };
}

const answered = (api: Api, { requestId }: Begun, over: Partial<Said> = {}) => {
  const about = said({ acsUrl: `${api.plane.httpUrl}/auth/saml`, issuer, requestId, ...over });
  return responseXml(about, signed(assertionXml(about), idp, 'Assertion'));
};

/** What the page of the first answer posts. */
async function posted(api: Api, xml: string, cookie: string, relayState = ''): Promise<Response> {
  const send = (form: Record<string, string>, headers: Record<string, string>) =>
    fetch(`${api.plane.httpUrl}/auth/saml`, { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' });
  const first = await send({ SAMLResponse: Buffer.from(xml).toString('base64'), RelayState: relayState }, {});
  assert.deepEqual([first.status, first.headers.getSetCookie()], [200, []]);
  assert.match(
    first.headers.get('content-security-policy') ?? '',
    /^default-src 'none'; script-src 'sha256-[^']+'; form-action 'self'; frame-ancestors 'none'/,
  );
  const page = await first.text();
  const value = /name="SAMLResponse" value="([^"]*)"/.exec(page)?.[1] ?? '';
  return send({ SAMLResponse: value, again: '1', ...(relayState === '' ? {} : { RelayState: relayState }) }, { cookie });
}

const sessionIn = (answer: Response) =>
  answer.headers
    .getSetCookie()
    .find(each => each.startsWith('sallyport-session='))
    ?.split(';')[0] ?? '';

const env = { PW: 'x', SAML_KEY: ours.keyPem };

test('a person signs in, comes back to where they were, and has the roles of their groups', () =>
  withApi(
    manifests,
    async api => {
      assert.deepEqual((await api.call('GET', '/auth/providers', { token: null })).body, [
        { name: 'corp', kind: 'saml' },
        { name: 'sealed', kind: 'saml' },
      ]);
      const begun = await begin(api);
      assert.equal(begun.location.searchParams.get('tenant'), '1');
      assert.equal(begun.location.searchParams.get('RelayState') ?? '', '');
      const done = await posted(api, answered(api, begun), begun.cookie, 'https://evil.example/');
      assert.deepEqual([done.status, done.headers.get('location')], [302, '/sessions'], 'RelayState sends nobody anywhere');
      const me = await api.call('GET', '/v1/me', { token: null, headers: { cookie: sessionIn(done) } });
      const { name, groups, roles } = me.body;
      assert.deepEqual(
        { name, groups, roles, issuer: me.body.issuer },
        { name: 'ann@example.com', groups: ['support', 'dba'], roles: ['viewer'], issuer },
      );
      const out = await api.call('POST', '/auth/logout', {
        token: null,
        headers: { cookie: sessionIn(done), 'x-sallyport-csrf': String(me.body.csrf) },
      });
      assert.deepEqual(out.body, { endSession: null });
    },
    { env },
  ));

test('an assertion is good once, also after a restart; in the browser that asked, within its time, and with what it asked for', () =>
  withApi(
    manifests,
    async api => {
      const refused = async (work: Promise<Response>, code: string, why: string) => {
        const answer = await work;
        const text = await answer.text();
        assert.ok(answer.status >= 400 && text.includes(code), `${why}: ${answer.status} ${text}`);
        assert.equal(sessionIn(answer), '', why);
      };
      const begun = await begin(api);
      const xml = answered(api, begun);
      await refused(posted(api, xml, ''), 'SIGN_IN_FAILED', 'another browser');
      const another = await begin(api);
      await refused(posted(api, xml, another.cookie), 'SAML_REFUSED', 'the answer to another sign-in');
      assert.equal((await posted(api, xml, begun.cookie)).status, 302);
      await refused(posted(api, xml, begun.cookie), 'SAML_REFUSED', 'a replay');
      assert.match(await (await posted(api, xml, begun.cookie)).text(), /used before/);
      const { httpUrl } = api.plane;
      await api.restart({ env, http: new URL(httpUrl).host });
      assert.match(await (await posted(api, xml, begun.cookie)).text(), /used before/, 'after a restart');
      await refused(
        posted(api, answered(api, another).replace('ann@example.com', 'eve@example.com'), another.cookie),
        'SAML_REFUSED',
        'changed',
      );
      const callback = await fetch(`${httpUrl}/auth/callback?code=x&state=y`, { headers: { cookie: another.cookie }, redirect: 'manual' });
      await refused(Promise.resolve(callback), 'SIGN_IN_FAILED', 'the other protocol’s way back');
      await refused(posted(api, '<x/>', another.cookie), 'SAML_REFUSED', 'no response');
      const hostile = await fetch(`${httpUrl}/auth/saml`, {
        method: 'POST',
        body: new URLSearchParams({ SAMLResponse: '"><script>alert(1)</script>' }),
      });
      assert.ok(!(await hostile.text()).includes('alert'));
      assert.ok(!api.lines.join('').includes('PRIVATE KEY'));
    },
    { env },
  ));

test('encrypted assertions, for the provider whose manifest has the key; a session ends with the provider’s', () =>
  withApi(
    manifests,
    async api => {
      const begun = await begin(api, 'sealed', '//evil.example');
      const about = said({ acsUrl: `${api.plane.httpUrl}/auth/saml`, issuer: 'https://sealed.example', requestId: begun.requestId });
      const ending = assertionXml(about).replace(
        '<saml:AuthnStatement ',
        `<saml:AuthnStatement SessionNotOnOrAfter="${new Date(Date.now() + 600_000).toISOString()}" `,
      );
      const done = await posted(api, responseXml(about, await encrypted(signed(ending, idp, 'Assertion'), ours)), begun.cookie);
      assert.deepEqual([done.status, done.headers.get('location')], [302, '/']);
      const me = await api.call('GET', '/v1/me', { token: null, headers: { cookie: sessionIn(done) } });
      assert.ok(Date.parse(String(me.body.expiresAt)) <= Date.now() + 600_000);
    },
    { env },
  ));

test('the command line signs in by way of the console, once for a code, and gets tickets with its token', () =>
  withApi(
    issuer => `${manifests()}
${crm}---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
---
kind: IdentityProvider
metadata: { name: tokens }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport] } }
`,
    async api => {
      const verifier = 'v'.repeat(43);
      const form = {
        ...{ redirect_uri: 'http://127.0.0.1:4711/callback', state: 's'.repeat(32) },
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      };
      const post = (body: Record<string, string>, headers: Record<string, string> = {}) =>
        fetch(`${api.plane.httpUrl}/auth/cli`, { method: 'POST', body: new URLSearchParams(body), headers, redirect: 'manual' });
      const page = await fetch(`${api.plane.httpUrl}/auth/cli?${new URLSearchParams(form).toString()}`);
      assert.match(await page.text(), /Sign in the command line\?/);
      for (const bad of [
        'https://evil.example/callback',
        'http://127.0.0.1:1@evil.example/callback',
        'http://127.0.0.1:1/other',
        'http://localhost:1/callback',
      ])
        assert.equal((await post({ ...form, redirect_uri: bad })).status, 400, bad);
      const away = await post({ ...form, provider: 'corp' });
      const to = new URL(away.headers.get('location') ?? '', api.plane.httpUrl);
      assert.deepEqual([away.status, to.pathname, to.searchParams.get('provider')], [303, '/auth/login', 'corp']);
      const begun = await begin(api, 'corp', to.searchParams.get('return') ?? '');
      const signedIn = await posted(api, answered(api, begun), begun.cookie);
      assert.match(signedIn.headers.get('location') ?? '', /^\/auth\/cli\?redirect_uri=/, 'back to the page that asks');
      const cookie = sessionIn(signedIn);
      assert.equal((await post(form, { cookie, 'sec-fetch-site': 'cross-site' })).status, 403, 'another site does not say yes');

      const allowed = await post(form, { cookie, 'sec-fetch-site': 'same-origin' });
      const back = new URL(allowed.headers.get('location') ?? '');
      assert.deepEqual([back.origin + back.pathname, back.searchParams.get('state')], ['http://127.0.0.1:4711/callback', form.state]);
      const code = back.searchParams.get('code') ?? '';
      const redeem = (codeVerifier: string, given = code) =>
        api.call('POST', '/auth/cli/token', { token: null, body: { code: given, codeVerifier } });
      assert.equal((await redeem('w'.repeat(43))).status, 401, 'whoever saw the code does not have the verifier');
      const got = await redeem(verifier);
      assert.equal(got.status, 200, JSON.stringify(got.body));
      assert.equal((await redeem(verifier)).status, 401, 'once');
      assert.equal((await redeem(verifier, 'x')).status, 401);
      const token = String(got.body.token);
      const me = await api.call('GET', '/v1/me', { token });
      assert.deepEqual([me.status, me.body.name, me.body.groups, me.body.issuer], [200, 'ann@example.com', ['support', 'dba'], issuer]);
      const ticket = await api.call('POST', '/v1/tickets', { token, body: { resource: 'crm' } });
      assert.equal(ticket.status, 201, JSON.stringify(ticket.body));
      // It is for the API alone, and nobody else makes one.
      const [head = '', claims = '', signature = ''] = token.split('.');
      for (const forged of [
        `${head}.${Buffer.from(JSON.stringify({ ...(JSON.parse(Buffer.from(claims, 'base64url').toString()) as object), name: 'root' })).toString('base64url')}.${signature}`,
        `${Buffer.from('{"alg":"none","typ":"login+jwt"}').toString('base64url')}.${claims}.`,
        String(ticket.body.ticket),
      ])
        assert.equal((await api.call('GET', '/v1/me', { token: forged })).status, 401);
      const context = new VerifyContext();
      context.useLease({ tickets: { issuer: 'sallyport', keys: [] }, identityProviders: [], serviceAccounts: [], revokedTokens: [] });
      assert.equal((await verifyToken(token, context)).ok, false);
      const directory = await api.call('POST', '/scim/v2/Users', { body: { userName: 'Ann@example.com', active: false } });
      assert.equal(directory.status, 201);
      assert.equal((await api.call('GET', '/v1/me', { token })).status, 401, 'whom the directory takes out');

      await api.call('PUT', `/scim/v2/Users/${String(directory.body.id)}`, { body: { userName: 'Ann@example.com', active: true } });
      const who = async () => [
        (await api.call('GET', '/v1/me', { token })).status,
        (await api.call('GET', '/v1/me', { token: null, headers: { cookie } })).status,
      ];
      assert.deepEqual(await who(), [200, 200]);
      assert.equal((await api.call('DELETE', '/v1/manifests/IdentityProvider/corp')).status, 200);
      assert.deepEqual(await who(), [401, 401], 'whose provider is believed no more');
      const { tickets } = (await api.call('GET', '/v1/tickets')).body as { tickets: { revoked: boolean }[] };
      assert.deepEqual(
        tickets.map(({ revoked }) => revoked),
        [true],
      );
    },
    { env },
  ));
