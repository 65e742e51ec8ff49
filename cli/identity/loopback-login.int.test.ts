/** `sallyport login --browser` and `logout` against the sample provider, and against who knocks at the loopback port. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { identityHandler, identityKeys, sampleProvider } from '../demo/identity-provider.ts';
import { run } from '../main.ts';
import { watchedTerminal } from '../watched-terminal.testing.ts';
import { awaitCallback } from './loopback-login.ts';

async function withProvider(body: (issuer: string, home: string) => Promise<void>): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'sallyport-login-'));
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  server.on('request', identityHandler(sampleProvider(`http://${host}`, await identityKeys(join(home, 'idp'))), host));
  try {
    await body(`http://${host}`, home);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(home, { recursive: true });
  }
}

/** Follows redirects with cookies, as a browser does, and says who one is when it is asked. */
async function visit(start: string, person: string): Promise<Response> {
  const cookies = new Map<string, string>();
  let next = { url: start, method: 'GET' };
  for (let hop = 0; hop < 20; hop++) {
    const response = await fetch(next.url, {
      method: next.method,
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const location = response.headers.get('location');
    if (location !== null) next = { url: new URL(location, next.url).href, method: 'GET' };
    else if (next.url.includes('/interaction/') && next.method === 'GET') next = { url: `${next.url}?person=${person}`, method: 'POST' };
    else return response;
  }
  throw new Error('too many redirects');
}

test('login --browser: code and PKCE to a loopback address; the token and what renews it are kept for their owner alone; logout', () =>
  withProvider(async (issuer, home) => {
    const terminal = watchedTerminal({ HOME: home, BROWSER: 'none' });
    const done = run(['login', '--browser', '--issuer', issuer, '--client-id', 'sallyport', '--audience', 'sallyport'], terminal);
    let page: string | undefined;
    while (page === undefined) {
      page = /goes to (\S+)/.exec(terminal.errLines.join('\n'))?.[1];
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    const asked = new URL(page).searchParams;
    assert.equal(asked.get('code_challenge_method'), 'S256');
    const redirect = asked.get('redirect_uri') ?? '';
    assert.match(redirect, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    // Others knock first: nothing of it ends the waiting, nor is taken.
    for (const path of [
      '/callback',
      '/callback?code=x',
      '/callback?code=x&state=wrong',
      `/other?code=x&state=${asked.get('state')}`,
      `/callback?state=${asked.get('state')}&state=x&code=x`,
    ]) {
      assert.equal((await fetch(new URL(path, redirect))).status, 404, path);
    }
    assert.equal((await fetch(`${redirect}?code=x&state=${asked.get('state')}`, { method: 'POST' })).status, 404);
    const last = await visit(page, 'bob');
    assert.match(await last.text(), /You may close this page/);
    assert.equal(await done, 0, terminal.errLines.join('\n'));
    assert.match(terminal.errLines.join('\n'), /Signed in as bob@example\.com/);
    await assert.rejects(fetch(redirect), 'the port is closed');
    const file = join(home, '.config', 'sallyport', 'logins.json');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { logins } = JSON.parse(await readFile(file, 'utf8')) as { logins: Record<string, { refreshToken?: string }> };
    const refreshToken = logins[issuer]?.refreshToken ?? '';
    assert.notEqual(refreshToken, '');
    assert.equal(await run(['token'], terminal), 0);

    assert.equal(await run(['logout'], terminal), 0);
    assert.match(terminal.errLines.join('\n'), /Signed out of/);
    assert.equal(await run(['token'], terminal), 1);
    assert.ok(!(await readFile(file, 'utf8')).includes(refreshToken));
    const again = await fetch(`${issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: 'sallyport' }),
    });
    assert.equal(again.status, 400, 'the provider no longer takes it');
    assert.equal(await run(['logout'], terminal), 0, 'again');
  }));

test('who comes under another name, or too late', async () => {
  const callback = await awaitCallback('the-state', 60_000);
  const { port } = new URL(callback.redirectUri);
  const foreign = await fetch(`http://localhost:${port}/callback?code=x&state=the-state`).catch(() => null);
  assert.ok(foreign === null || foreign.status === 404);
  await callback.close();
  const late = await awaitCallback('the-state', 1);
  await assert.rejects(late.answer, { code: 'SIGN_IN_FAILED' });
  await late.close();
});
