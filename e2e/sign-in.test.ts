/**
 * Signing in to the console, as a browser does it: against the sample provider (oidc-provider), over loopback. The browser here
 * follows redirects, keeps cookies by their rules and fills in the provider's form; nothing of the gateway is faked.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@sallyport/control-plane/control-plane.ts';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import pino from 'pino';
import { identityHandler, identityKeys, sampleProvider } from 'sallyport/demo/identity-provider.ts';
import { run } from 'sallyport/main.ts';
import { watchedTerminal } from 'sallyport/watched-terminal.testing.ts';
import { Browser } from './components/browser.ts';
import { EventReader } from './components/event-source.ts';

let dir: string;
let plane: ControlPlane;
let issuer: string;
let server: Server;
let signingKey: Parameters<SignJWT['sign']>[0];
let nowMs = Date.now();
const lines: string[] = [];

const manifests = () => `
kind: IdentityProvider
metadata: { name: company }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups, clientId: sallyport } }
---
kind: AccessPolicy
metadata: { name: database-people }
spec: { roles: [viewer, operator], members: { groups: [dba] } }
---
kind: AccessPolicy
metadata: { name: carol }
spec: { roles: [admin], members: { principals: [carol@example.com] } }
`;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-sign-in-'));
  server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  issuer = `http://${host}`;
  const keys = await identityKeys(join(dir, 'idp'));
  const [jwk] = keys.signing;
  signingKey = jwk as never;
  const provider = sampleProvider(issuer, keys);
  server.on('request', identityHandler(provider, host));
  plane = await startControlPlane({
    ...{ dataDir: join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: 'test', clock: () => nowMs },
    logger: pino({ level: 'debug' }, { write: line => lines.push(line) }),
    onFault: error => {
      throw error;
    },
  });
  const applied = await fetch(`${plane.httpUrl}/v1/apply`, {
    method: 'POST',
    headers: { authorization: `Bearer ${plane.adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ manifests: [{ file: join(dir, 'm.yaml'), text: manifests() }] }),
  });
  assert.equal(applied.status, 200, await applied.text());
});

after(async () => {
  await plane?.close();
  server?.closeAllConnections();
  server?.close();
  await rm(dir, { recursive: true });
});

/** A browser at the provider's page that asks who one is. */
async function atProvider(browser: Browser, path = '/auth/login'): Promise<{ page: Response; url: string }> {
  const page = await browser.go(plane.httpUrl + path);
  return { page, url: page.url };
}

/** Signs in as a person of the sample provider; ends where the console sends the browser. */
async function signIn(browser: Browser, person: string, path = '/auth/login'): Promise<Response> {
  const { url } = await atProvider(browser, path);
  assert.match(url, /\/interaction\//, `the provider asks: ${url}`);
  return browser.go(`${url}?person=${person}`, { method: 'POST' });
}

const me = async (browser: Browser) => {
  const answer = await browser.fetch(`${plane.httpUrl}/v1/me`);
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> & { csrf: string; roles: string[] } };
};

test('a person signs in by code and PKCE, has their roles, and signs out here and at the provider', async () => {
  const browser = new Browser();
  const providers = await browser.fetch(`${plane.httpUrl}/auth/providers`);
  assert.deepEqual(await providers.json(), [{ name: 'company', kind: 'oidc' }]);
  assert.equal((await me(browser)).status, 401);

  const page = await signIn(browser, 'bob', '/auth/login?provider=company&return=/docs%3Fa=1');
  assert.equal(page.url, `${plane.httpUrl}/docs?a=1`);
  const asked = browser.visited.map(url => new URL(url)).find(({ pathname }) => pathname === '/auth');
  assert.equal(asked?.searchParams.get('code_challenge_method'), 'S256');
  assert.equal(asked?.searchParams.get('response_type'), 'code');
  assert.ok((asked?.searchParams.get('state') ?? '').length >= 32);
  assert.ok((asked?.searchParams.get('nonce') ?? '').length >= 32);

  const { status, body } = await me(browser);
  assert.equal(status, 200);
  const { csrf, expiresAt, ...who } = body;
  assert.deepEqual(who, {
    ...{ name: 'bob@example.com', subject: 'bob', issuer, kind: 'person', groups: ['dba'], delegation: [] },
    roles: ['viewer', 'operator'],
  });
  assert.ok(csrf.length >= 43);
  assert.equal(Date.parse(String(expiresAt)), nowMs + 8 * 60 * 60 * 1000);

  const cookie = browser.cookie('sallyport-session');
  assert.ok(cookie?.httpOnly && cookie.sameSite === 'Strict' && cookie.path === '/', JSON.stringify(cookie));

  const refused = await browser.fetch(`${plane.httpUrl}/auth/logout`, { method: 'POST' });
  assert.equal(refused.status, 403);
  assert.equal(((await refused.json()) as { code: string }).code, 'CSRF_REFUSED');
  const out = await browser.fetch(`${plane.httpUrl}/auth/logout`, { method: 'POST', headers: { 'x-sallyport-csrf': csrf } });
  const { endSession } = (await out.json()) as { endSession: string };
  assert.equal(new URL(endSession).origin, issuer);
  assert.ok(new URL(endSession).searchParams.get('id_token_hint'));
  assert.equal((await me(browser)).status, 401);
  browser.setCookie('sallyport-session', cookie.value);
  assert.equal((await me(browser)).status, 401, 'the old cookie opens nothing');
  assert.ok(!lines.join('').includes(cookie.value), 'no session secret in the log');
});

test('a stream of events ends when its browser signs out', async () => {
  const browser = new Browser();
  await signIn(browser, 'bob');
  const cookie = browser.cookie('sallyport-session');
  const stream = await EventReader.open(`${plane.httpUrl}/v1/events`, { cookie: `sallyport-session=${cookie?.value ?? ''}` });
  const { csrf } = (await me(browser)).body;
  const other = new Browser();
  await signIn(other, 'bob');
  assert.equal(stream.ended, false, 'another sign-in of the same person ends nothing');
  await browser.fetch(`${plane.httpUrl}/auth/logout`, { method: 'POST', headers: { 'x-sallyport-csrf': csrf } });
  await stream.end();
});

test('writes by cookie need the header of this very session, and no other site’s page', async () => {
  const [bob, carol] = [new Browser(), new Browser()];
  await signIn(bob, 'bob');
  await signIn(carol, 'carol');
  const { csrf } = (await me(bob)).body;
  const foreign = (await me(carol)).body.csrf;
  const invite = (headers: Record<string, string>) =>
    bob.fetch(`${plane.httpUrl}/v1/agents/invitations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{}',
    });
  for (const headers of [
    {},
    { 'x-sallyport-csrf': '' },
    { 'x-sallyport-csrf': foreign },
    { 'x-sallyport-csrf': csrf.slice(0, -1) },
    { 'x-sallyport-csrf': csrf, 'sec-fetch-site': 'cross-site' },
    { 'x-sallyport-csrf': csrf, 'sec-fetch-site': 'same-site' },
  ] as Record<string, string>[]) {
    const answer = await invite(headers);
    assert.equal(answer.status, 403, JSON.stringify(headers));
    assert.equal(((await answer.json()) as { code: string }).code, 'CSRF_REFUSED');
  }
  assert.equal((await invite({ 'x-sallyport-csrf': csrf, 'sec-fetch-site': 'same-origin' })).status, 201);
  const events = lines.join('');
  assert.ok(!events.includes(csrf));
});

test('roles decide by route: an operator does not apply, a person without a role sees their own alone, an admin does all', async () => {
  const [alice, bob, carol] = [new Browser(), new Browser(), new Browser()];
  for (const [browser, person] of [
    [alice, 'alice'],
    [bob, 'bob'],
    [carol, 'carol'],
  ] as const)
    await signIn(browser, person);
  const status = async (browser: Browser, method: string, path: string, body?: unknown) => {
    const { csrf } = (await me(browser)).body;
    const answer = await browser.fetch(plane.httpUrl + path, {
      method,
      headers: { 'x-sallyport-csrf': csrf, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return answer.status;
  };
  assert.deepEqual((await me(alice)).body.roles, []);
  assert.deepEqual((await me(carol)).body.roles, ['viewer', 'approver', 'operator', 'auditor', 'admin']);
  assert.equal(await status(alice, 'GET', '/v1/agents'), 403);
  assert.equal(await status(alice, 'GET', '/v1/sessions'), 200);
  assert.equal(await status(bob, 'GET', '/v1/agents'), 200);
  assert.equal(await status(bob, 'POST', '/v1/apply', { manifests: [{ file: 'a.yaml', text: manifests() }] }), 403);
  assert.equal(await status(carol, 'POST', '/v1/apply', { manifests: [{ file: 'a.yaml', text: manifests() }] }), 200);
});

test('an id that the browser brings is never taken up; two cookies of the name are none', async () => {
  const browser = new Browser();
  const planted = 'A'.repeat(43);
  browser.setCookie('sallyport-session', planted);
  await signIn(browser, 'bob');
  const first = browser.cookie('sallyport-session')?.value ?? '';
  assert.notEqual(first, planted);
  await signIn(browser, 'bob').catch(() => browser.go(`${plane.httpUrl}/auth/login`));
  const second = browser.cookie('sallyport-session')?.value ?? '';
  assert.notEqual(second, first);
  const old = await fetch(`${plane.httpUrl}/v1/me`, { headers: { cookie: `sallyport-session=${first}` } });
  assert.equal(old.status, 401, 'the session before the new one has ended');
  const both = await fetch(`${plane.httpUrl}/v1/me`, { headers: { cookie: `sallyport-session=${planted}; sallyport-session=${second}` } });
  assert.equal(both.status, 401);
  assert.equal((await fetch(`${plane.httpUrl}/v1/me`, { headers: { cookie: `sallyport-session=${second}` } })).status, 200);
});

test('an answer that was not asked for in this browser, changed, or late starts no session', async () => {
  const callback = async (browser: Browser, change: (url: URL) => void = () => {}) => {
    const { url } = await atProvider(browser);
    const back = await browser.go(`${url}?person=bob`, { method: 'POST', stopAt: '/auth/callback' });
    const target = new URL(back.url);
    change(target);
    return target.href;
  };
  const fails = async (browser: Browser, url: string, message: string) => {
    const answer = await browser.go(url);
    assert.equal(answer.status, 401, message);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/html/);
    assert.match(await answer.text(), /SIGN_IN_FAILED/);
    assert.equal((await me(browser)).status, 401, message);
  };
  const victim = new Browser();
  await fails(victim, await callback(new Browser()), "somebody else's code in a browser that began nothing");
  const began = new Browser();
  await atProvider(began);
  await fails(began, await callback(new Browser()), "somebody else's code in a browser that began its own");
  const changed = new Browser();
  await fails(changed, await callback(changed, url => url.searchParams.set('state', 'x'.repeat(43))), 'another state');
  const mixed = new Browser();
  await fails(mixed, await callback(mixed, url => url.searchParams.set('iss', 'https://other.example')), 'another issuer');
  const late = new Browser();
  const url = await callback(late);
  nowMs += 11 * 60 * 1000;
  await fails(late, url, 'after ten minutes');
  nowMs -= 11 * 60 * 1000;
  const twice = new Browser();
  const once = await callback(twice);
  await twice.go(once);
  assert.equal((await me(twice)).status, 200);
  const { csrf } = (await me(twice)).body;
  await twice.fetch(`${plane.httpUrl}/auth/logout`, { method: 'POST', headers: { 'x-sallyport-csrf': csrf } });
  await fails(twice, once, 'a second time');
});

test('the way back leads nowhere but to the console; a foreign Host header sends nobody anywhere', async () => {
  for (const bad of ['https://evil.example/', '//evil.example', '/\\evil.example', '/%09/evil.example\t', 'javascript:alert(1)', '/a b']) {
    const browser = new Browser();
    const page = await signIn(browser, 'alice', `/auth/login?return=${encodeURIComponent(bad)}`);
    assert.equal(new URL(page.url).origin, plane.httpUrl, bad);
  }
  const browser = new Browser();
  const answer = await browser.go(`${plane.httpUrl}/auth/login`, { headers: { host: 'evil.example' }, stopAt: '/' });
  assert.equal(answer.status, 400);
  assert.match(await answer.text(), /ADDRESS_UNKNOWN/);
});

test('a session ends after half an hour without a request, and after eight hours whatever happens', async () => {
  const browser = new Browser();
  await signIn(browser, 'bob');
  const startedAtMs = nowMs;
  for (let minutes = 29; minutes < 8 * 60; minutes += 29) {
    nowMs = startedAtMs + minutes * 60_000;
    assert.equal((await me(browser)).status, 200, `after ${minutes} minutes`);
  }
  nowMs = startedAtMs + 8 * 60 * 60_000;
  assert.equal((await me(browser)).status, 401);
  nowMs = startedAtMs;
  const idle = new Browser();
  await signIn(idle, 'bob');
  nowMs = startedAtMs + 30 * 60_000;
  assert.equal((await me(idle)).status, 401);
  nowMs = startedAtMs;
});

test('the provider ends its people’s sessions by a signed logout token, once', async () => {
  const [bob, alice] = [new Browser(), new Browser()];
  await signIn(bob, 'bob');
  await signIn(alice, 'alice');
  const event = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const token = async (claims: Record<string, unknown>, key = signingKey, typ = 'logout+jwt') =>
    new SignJWT({
      iss: issuer,
      aud: 'sallyport',
      sub: 'bob',
      events: event,
      iat: Math.floor(nowMs / 1000),
      jti: crypto.randomUUID(),
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', typ, kid: (signingKey as { kid?: string }).kid ?? '' })
      .sign(key);
  const send = async (logoutToken: string) =>
    fetch(`${plane.httpUrl}/auth/backchannel-logout`, { method: 'POST', body: new URLSearchParams({ logout_token: logoutToken }) });
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const stranger = { ...(await exportJWK(privateKey)), alg: 'RS256' };
  for (const [what, bad] of [
    ['another key', await token({}, stranger as never)],
    ['another client', await token({ aud: 'other' })],
    ['another issuer', await token({ iss: 'https://other.example' })],
    ['a nonce', await token({ nonce: 'n' })],
    ['no event', await token({ events: {} })],
    ['nobody', await token({ sub: undefined })],
    ['old', await token({ iat: Math.floor(nowMs / 1000) - 3600 })],
  ] as const) {
    const answer = await send(bad);
    assert.equal(answer.status, 400, what);
    assert.equal(((await answer.json()) as { code: string }).code, 'LOGOUT_TOKEN_INVALID', what);
  }
  assert.equal((await me(bob)).status, 200);
  const good = await token({});
  assert.equal((await send(good)).status, 200);
  assert.equal((await me(bob)).status, 401);
  assert.equal((await me(alice)).status, 200);
  assert.equal((await send(good)).status, 400, 'a second time');
});

test('`sallyport login --console`: the console’s own page asks, and the command gets a token of the API', async () => {
  const terminal = watchedTerminal({ HOME: dir, BROWSER: 'none' });
  const done = run(['login', '--console', '--api', plane.httpUrl], terminal);
  let page: string | undefined;
  while (page === undefined) {
    page = /goes to (\S+)/.exec(terminal.errLines.join('\n'))?.[1];
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  const browser = new Browser();
  const asks = await browser.go(page);
  assert.match(await asks.text(), /Sign in the command line\?/);
  const yes = async () => browser.go(`${plane.httpUrl}/auth/cli`, { method: 'POST', body: new URL(page ?? '').searchParams });
  const atProvider = await yes();
  assert.match(atProvider.url, /\/interaction\//, 'nobody is signed in yet');
  const again = await browser.go(`${atProvider.url}?person=bob`, { method: 'POST' });
  assert.match(again.url, /\/auth\/cli\?/, 'back at the page that asks');
  assert.match(await (await yes()).text(), /You may close this page/);
  assert.equal(await done, 0, terminal.errLines.join('\n'));
  assert.match(terminal.errLines.join('\n'), /Signed in as bob@example\.com/);
  assert.equal(await run(['token'], terminal), 0);
  const token = terminal.outLines.at(-1) ?? '';
  const who = await fetch(`${plane.httpUrl}/v1/me`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(((await who.json()) as { groups: string[] }).groups, ['dba']);
  assert.equal(await run(['logout'], terminal), 0, terminal.errLines.join('\n'));
});
