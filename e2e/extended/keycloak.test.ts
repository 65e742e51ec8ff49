/** Signing in by a real Keycloak: OpenID Connect with code and PKCE, the device flow, logout from its side, SAML signed and encrypted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@sallyport/control-plane/control-plane.ts';
import pino from 'pino';
import { deviceLogin } from 'sallyport/identity/oauth.ts';
import { Browser } from '../components/browser.ts';
import { type Keycloak, startKeycloak } from '../components/keycloak.ts';
import { freePort } from '../components/postgres.ts';

const dir = mkdtempSync(join(tmpdir(), 'sallyport-keycloak-test-'));
let keycloak: Keycloak;
let plane: ControlPlane;
const lines: string[] = [];

before(async () => {
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=sallyport', '-keyout', 'saml.key', '-out', 'saml.crt'],
    {
      cwd: dir,
      stdio: 'pipe',
    },
  );
  const http = `127.0.0.1:${await freePort()}`;
  keycloak = await startKeycloak({ consoleUrl: `http://${http}`, encryptionCertificate: readFileSync(join(dir, 'saml.crt'), 'utf8') });
  plane = await startControlPlane({
    ...{ dataDir: join(dir, 'data'), http, grpc: '127.0.0.1:0', version: 'test' },
    env: { CONSOLE_SECRET: 'gateway-secret', SAML_KEY: readFileSync(join(dir, 'saml.key'), 'utf8') },
    logger: pino({ level: 'debug' }, { write: line => lines.push(line) }),
    onFault: error => {
      throw error;
    },
  });
  await apply(`
kind: IdentityProvider
metadata: { name: openid }
spec:
  oidc:
    { issuer: "${keycloak.realm}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups, clientId: cli, console: { clientId: gateway, clientSecret: { env: CONSOLE_SECRET } } }
---
kind: AccessPolicy
metadata: { name: dba }
spec: { roles: [viewer], members: { groups: [dba] } }
`);
});

after(async () => {
  await plane?.close();
  await keycloak?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function apply(text: string): Promise<void> {
  const applied = await fetch(`${plane.httpUrl}/v1/apply`, {
    method: 'POST',
    headers: { authorization: `Bearer ${plane.adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ manifests: [{ file: join(dir, 'm.yaml'), text }] }),
  });
  assert.equal(applied.status, 200, await applied.text());
}

const samlManifest = (entityId: string, more = '') => `
kind: IdentityProvider
metadata: { name: saml }
spec:
  saml:
    issuer: ${keycloak.realm}
    signInUrl: ${keycloak.realm}/protocol/saml
    entityId: ${entityId}
    certificates:
      - value: |
${keycloak.samlCertificate.trimEnd().replace(/^/gm, '          ')}
${more}`;

const unescaped = (text: string) => text.replaceAll('&amp;', '&').replaceAll('&#x2b;', '+').replaceAll('&#x3d;', '=');

/** The page's form, with what it has filled in. */
function formOf(html: string, base: string): { action: string; fields: Record<string, string> } {
  const form = /<form[^>]*action="([^"]*)"[^>]*>(.*?)<\/form>/is.exec(html) ?? assert.fail(`no form: ${html.slice(0, 2000)}`);
  const fields: Record<string, string> = {};
  for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*>/gi)) {
    const name = /name="([^"]*)"/i.exec(input)?.[1];
    if (name !== undefined) fields[name] = unescaped(/value="([^"]*)"/i.exec(input)?.[1] ?? '');
  }
  return { action: new URL(unescaped(form[1] ?? ''), base).href, fields };
}

async function submit(browser: Browser, page: Response, more: Record<string, string> = {}): Promise<Response> {
  const { action, fields } = formOf(await page.text(), page.url);
  return browser.go(action, { method: 'POST', body: new URLSearchParams({ ...fields, ...more }) });
}

async function signIn(browser: Browser, provider: string, person: string): Promise<Response> {
  const page = await browser.go(`${plane.httpUrl}/auth/login?provider=${provider}&return=/agents`);
  return submit(browser, page, { username: person, password: `${person}-secret` });
}

const me = async (browser: Browser) => {
  const answer = await browser.fetch(`${plane.httpUrl}/v1/me`);
  return { status: answer.status, ...((await answer.json()) as Record<string, unknown>) } as Record<string, unknown>;
};

test('OpenID: code with PKCE, groups from the claim, and logout from Keycloak’s side', async () => {
  const browser = new Browser();
  const page = await signIn(browser, 'openid', 'alice');
  assert.equal(page.url, `${plane.httpUrl}/agents`);
  const asked = browser.visited.map(url => new URL(url)).find(({ pathname }) => pathname.endsWith('/protocol/openid-connect/auth'));
  assert.equal(asked?.searchParams.get('code_challenge_method'), 'S256');
  const { name, groups, roles, issuer } = await me(browser);
  assert.deepEqual(
    { name, groups: (groups as string[]).toSorted(), roles, issuer },
    { name: 'alice@example.test', groups: ['dba', 'oncall'], roles: ['viewer'], issuer: keycloak.realm },
  );
  const other = new Browser();
  await signIn(other, 'openid', 'bob');
  await keycloak.endSessionsOf('alice');
  // Keycloak tells it before it answers, but nothing promises that.
  for (let i = 0; i < 100 && (await me(browser)).status === 200; i++) await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal((await me(browser)).status, 401);
  assert.equal((await me(other)).status, 200, 'nobody else’s session ended');
});

test('the device flow of the command line gives a token that the API takes', async () => {
  const browser = new Browser();
  const login = await deviceLogin(keycloak.realm, 'cli', ['sallyport'], (_page, _code, complete) => {
    const approve = async () => {
      const consent = await submit(browser, await browser.go(complete ?? ''), { username: 'bob', password: 'bob-secret' });
      const html = await consent.text();
      if (/name="accept"/.test(html)) {
        const { action, fields } = formOf(html, consent.url);
        await browser.go(action, { method: 'POST', body: new URLSearchParams({ ...fields, accept: 'Yes' }) });
      }
    };
    approve().catch((error: unknown) => lines.push(`the device could not be approved: ${String(error)}`));
  });
  const answer = await fetch(`${plane.httpUrl}/v1/me`, { headers: { authorization: `Bearer ${login.token}` } });
  const { name, groups } = (await answer.json()) as Record<string, unknown>;
  assert.deepEqual({ name, groups }, { name: 'bob@example.test', groups: ['dev'] });
});

for (const [entityId, more] of [
  ['urn:test:signed', ''],
  ['urn:test:sealed', '    decryptionKey: { env: SAML_KEY }\n'],
] as const) {
  test(`SAML: ${entityId}`, async () => {
    await apply(samlManifest(entityId, more));
    const browser = new Browser();
    const atKeycloak = await signIn(browser, 'saml', 'alice');
    const html = await atKeycloak.text();
    const { action, fields } = formOf(html, atKeycloak.url);
    assert.equal(action, `${plane.httpUrl}/auth/saml`);
    const xml = Buffer.from(fields['SAMLResponse'] ?? '', 'base64').toString();
    assert.equal(xml.includes('EncryptedAssertion'), more !== '');
    const again = await browser.go(action, { method: 'POST', body: new URLSearchParams(fields) });
    const done = await submit(browser, again);
    assert.equal(done.url, `${plane.httpUrl}/agents`, `${await done.text()}\n${lines.filter(line => line.includes('refused')).join('\n')}`);
    const { name, groups, issuer } = await me(browser);
    assert.deepEqual(
      { name, groups: (groups as string[]).toSorted(), issuer },
      { name: 'alice@example.test', groups: ['dba', 'oncall'], issuer: keycloak.realm },
    );
    // What was good once, changed by one letter of a group, or sent again, is not.
    const other = new Browser();
    await other.go(`${plane.httpUrl}/auth/login?provider=saml`, { stopAt: '/realms/test/protocol/saml' });
    const stolen = await submit(other, await other.go(action, { method: 'POST', body: new URLSearchParams(fields) }));
    assert.match(await stolen.text(), /SAML_REFUSED/);
  });
}
