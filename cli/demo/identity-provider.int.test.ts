import assert from 'node:assert/strict';
import { mkdtemp, stat } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { requestToken } from '../http-client.ts';
import { claimsOf } from '../identity/claims.ts';
import { readLogin, saveLogin } from '../identity/login-store.ts';
import { clientCredentialsToken, deviceLogin, refreshLogin } from '../identity/oauth.ts';
import { identityHandler, identityKeys, sampleProvider } from './identity-provider.ts';
import { AUDIENCE, DEMO_CLIENT, DEMO_GRANT, LOGIN_CLIENT, SERVICE_ACCOUNT } from './people.ts';

let folder: string;
let issuer: string;
const server = createServer();

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-idp-'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  issuer = `http://${host}`;
  server.on('request', identityHandler(sampleProvider(issuer, await identityKeys(folder)), host));
});

after(() => {
  server.close();
  server.closeAllConnections();
});

/** A browser of three lines: keeps cookies, follows redirects, sends the page's only form. */
class Browser {
  readonly #cookies = new Map<string, string>();
  page = '';

  async open(url: string, form?: Record<string, string>): Promise<void> {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form ? { method: 'POST', body: new URLSearchParams(form) } : {}),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [name = '', value = ''] = cookie.split(';')[0]?.split('=') ?? [];
      this.#cookies.set(name, value);
    }
    this.page = await response.text();
    const next = response.headers.get('location');
    if (next) await this.open(new URL(next, url).href);
  }

  /** Sends the form, or the one whose action holds `which`. */
  async submit(which = ''): Promise<void> {
    const forms = [...this.page.matchAll(/<form[^>]*action="([^"]*)"[^>]*>(.*?)<\/form>/gs)];
    const [, action = '', inner = ''] = forms.find(form => form[1]?.includes(which)) ?? [];
    const fields = [...inner.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) => [name, value] as [string, string]);
    await this.open(new URL(action.replaceAll('&#38;', '&'), issuer).href, Object.fromEntries(fields));
  }
}

test('the device flow: a person signs in with the browser, and the login can be renewed', async () => {
  const login = await deviceLogin(issuer, LOGIN_CLIENT, [AUDIENCE], (_page, code, complete) => {
    void (async () => {
      const browser = new Browser();
      await browser.open(complete ?? '');
      await browser.submit(); // the code, sent on by the page itself
      assert.match(browser.page, new RegExp(code));
      await browser.submit(); // yes, it is my code
      assert.match(browser.page, /Alice Moreau/);
      await browser.submit('person=alice');
      assert.match(browser.page, /Signed in/);
    })();
  });
  const claims = claimsOf(login.token);
  assert.equal(claims?.aud, AUDIENCE);
  assert.equal(claims?.email, 'alice@example.com');
  assert.deepEqual(claims?.groups, ['support']);
  assert.ok(login.expiresAt > Date.now());

  const renewed = await refreshLogin(login, login.refreshToken ?? '');
  assert.equal(claimsOf(renewed.token)?.email, 'alice@example.com');

  const env = { XDG_CONFIG_HOME: folder };
  await saveLogin(env, renewed);
  assert.deepEqual(await readLogin(env), renewed);
  assert.equal((await stat(path.join(folder, 'sallyport', 'logins.json'))).mode & 0o777, 0o600);
});

test('a service account gets its own token, with its secret only', async () => {
  const { serviceAccountSecret } = await identityKeys(folder);
  const claims = claimsOf(await clientCredentialsToken(issuer, SERVICE_ACCOUNT, serviceAccountSecret));
  assert.equal(claims?.sub, SERVICE_ACCOUNT);
  assert.equal(claims?.aud, AUDIENCE);
  await assert.rejects(clientCredentialsToken(issuer, SERVICE_ACCOUNT, 'guessed'), { code: 'SIGN_IN_FAILED' });
});

test("the demo's own grant: sample people only", async () => {
  const form = { grant_type: DEMO_GRANT, client_id: DEMO_CLIENT };
  const claims = claimsOf(await requestToken(issuer, { ...form, person: 'bob' }));
  assert.deepEqual(claims?.groups, ['dba']);
  await assert.rejects(requestToken(issuer, { ...form, person: 'mallory' }), { code: 'SIGN_IN_FAILED' });
  await assert.rejects(requestToken(issuer, { ...form, client_id: LOGIN_CLIENT, person: 'alice' }), { code: 'SIGN_IN_FAILED' });
});

test('a page that rebinds its name to this address gets nothing', async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request(`${issuer}/token`, { method: 'POST', headers: { host: 'evil.example' } }, response => resolve(response.resume().statusCode))
      .on('error', reject)
      .end();
  });
  assert.equal(status, 421);
});

test('the signing keys stay the same from start to start', async () => {
  assert.deepEqual((await identityKeys(folder)).signing, (await identityKeys(folder)).signing);
  assert.equal((await stat(path.join(folder, 'keys.json'))).mode & 0o777, 0o600);
});
