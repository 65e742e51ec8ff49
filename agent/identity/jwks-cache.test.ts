import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { isLoopback, JwksCache, type JwksCacheOptions } from './jwks-cache.ts';

const ISSUER = 'https://idp.example/realm';
const key = (kid: string): PublicJwk => ({ kty: 'OKP', crv: 'Ed25519', x: 'x', kid });
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

class Provider {
  answers = new Map<string, unknown>();
  asked: string[] = [];
  down = false;

  constructor(issuer: string, keys: PublicJwk[]) {
    const base = issuer.replace(/\/$/, '');
    this.answers.set(`${base}/.well-known/openid-configuration`, { issuer, jwks_uri: `${base}/keys` });
    this.answers.set(`${base}/keys`, { keys });
  }

  readonly get = async (url: URL): Promise<unknown> => {
    this.asked.push(url.href);
    if (this.down) throw new Error('down');
    const answer = this.answers.get(url.href);
    if (answer === undefined) throw new Error('404');
    return answer;
  };
}

async function open(more: Partial<JwksCacheOptions>): Promise<{ cache: JwksCache; published: [string, string][]; file: string }> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-jwks-'));
  const published: [string, string][] = [];
  const file = more.file ?? path.join(dir, 'jwks.json');
  const cache = await JwksCache.open({
    file,
    publish: (issuer, keys) => published.push([issuer, keys.map(each => each.kid).join()]),
    log,
    ...more,
  });
  return { cache, published, file };
}

async function until(check: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (check()) return;
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  assert.fail('not in time');
}

test('discovers, fetches, publishes, keeps; a restart with the provider down has the keys', async () => {
  const provider = new Provider(ISSUER, [key('a')]);
  const first = await open({ get: provider.get });
  first.cache.useIssuers([ISSUER]);
  await until(() => first.published.length === 1);
  assert.deepEqual(first.published, [[ISSUER, 'a']]);
  assert.deepEqual(provider.asked, [`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/keys`]);
  first.cache.useIssuers([ISSUER]);
  assert.equal(provider.asked.length, 2, 'known already');
  await first.cache.close();
  assert.equal(fs.statSync(first.file).mode & 0o777, 0o600);

  provider.down = true;
  const second = await open({ get: provider.get, file: first.file });
  second.cache.useIssuers([ISSUER]);
  assert.deepEqual(second.published, [[ISSUER, 'a']], 'at once');
  await until(() => second.published.length === 2);
  assert.deepEqual(second.cache.keys(ISSUER).length, 1);
  assert.match(second.cache.problems()[ISSUER] ?? '', /down/);
  await second.cache.close();
});

test('kept keys serve for a bounded time', async () => {
  const provider = new Provider(ISSUER, [key('a')]);
  let now = 1_000_000;
  const first = await open({ get: provider.get, now: () => now });
  first.cache.useIssuers([ISSUER]);
  await until(() => first.published.length === 1);
  await first.cache.close();
  provider.down = true;
  now += 24 * 60 * 60 * 1000;
  const second = await open({ get: provider.get, file: first.file, now: () => now });
  second.cache.useIssuers([ISSUER]);
  await until(() => second.published.length === 1);
  assert.deepEqual(second.published, [[ISSUER, '']]);
  await second.cache.close();
});

test('a miss fetches at most once per interval, and is answered always', async () => {
  const provider = new Provider(ISSUER, [key('a')]);
  let now = 1_000_000;
  const { cache, published } = await open({ get: provider.get, now: () => now });
  cache.useIssuers([ISSUER]);
  await until(() => published.length === 1);
  provider.answers.set(`${ISSUER}/keys`, { keys: [key('a'), key('b')] });
  for (let i = 0; i < 5; i++) await cache.missed(ISSUER);
  assert.equal(provider.asked.length, 2);
  assert.deepEqual(published.at(-1), [ISSUER, 'a']);
  assert.equal(published.length, 6);
  now += 10_000;
  await Promise.all([cache.missed(ISSUER), cache.missed(ISSUER), cache.missed(ISSUER)]);
  assert.equal(provider.asked.length, 4, 'one fetch serves all');
  assert.deepEqual(published.at(-1), [ISSUER, 'a,b']);
  provider.down = true;
  now += 10_000;
  await cache.missed(ISSUER);
  assert.deepEqual(published.at(-1), [ISSUER, 'a,b'], 'old keys stay while the provider is down');
  await cache.missed('https://never.example');
  assert.ok(!provider.asked.some(url => url.includes('never')), 'only issuers of the lease are asked');
  await cache.close();
});

test('an issuer that leaves the lease is forgotten, also on disk', async () => {
  const one = new Provider('https://one.example', [key('a')]);
  const two = new Provider('https://two.example', [key('b')]);
  const get = (url: URL) => (url.host === 'one.example' ? one : two).get(url);
  const { cache, published, file } = await open({ get });
  cache.useIssuers(['https://one.example', 'https://two.example']);
  await until(() => published.length === 2);
  cache.useIssuers(['https://two.example']);
  assert.deepEqual(cache.keys('https://one.example'), []);
  cache.useIssuers(['https://two.example', 'https://two.example']);
  await cache.close();
  await new Promise(resolve => setTimeout(resolve, 5));
  assert.ok(fs.readFileSync(file, 'utf8').includes('two.example'));
});

test('documents that are not believed', async () => {
  const cases: [string, string, unknown][] = [
    ['another issuer', `${ISSUER}/.well-known/openid-configuration`, { issuer: 'https://idp.example', jwks_uri: `${ISSUER}/keys` }],
    ['no issuer', `${ISSUER}/.well-known/openid-configuration`, { jwks_uri: `${ISSUER}/keys` }],
    ['no jwks_uri', `${ISSUER}/.well-known/openid-configuration`, { issuer: ISSUER }],
    ['an http jwks_uri', `${ISSUER}/.well-known/openid-configuration`, { issuer: ISSUER, jwks_uri: 'http://idp.example/keys' }],
    [
      'an http loopback jwks_uri of an https issuer',
      `${ISSUER}/.well-known/openid-configuration`,
      { issuer: ISSUER, jwks_uri: 'http://127.0.0.1/keys' },
    ],
    ['a file jwks_uri', `${ISSUER}/.well-known/openid-configuration`, { issuer: ISSUER, jwks_uri: 'file:///etc/passwd' }],
    [
      'credentials in the jwks_uri',
      `${ISSUER}/.well-known/openid-configuration`,
      { issuer: ISSUER, jwks_uri: 'https://u:p@idp.example/keys' },
    ],
    ['no object', `${ISSUER}/.well-known/openid-configuration`, null],
    ['no keys', `${ISSUER}/keys`, {}],
    ['an empty set', `${ISSUER}/keys`, { keys: [] }],
    ['too many keys', `${ISSUER}/keys`, { keys: Array.from({ length: 101 }, (_, i) => key(`${i}`)) }],
    ['a list of nothing usable', `${ISSUER}/keys`, { keys: [null, 5, 'x', {}] }],
  ];
  for (const [name, url, answer] of cases) {
    const provider = new Provider(ISSUER, [key('a')]);
    provider.answers.set(url, answer);
    const { cache, published } = await open({ get: provider.get });
    cache.useIssuers([ISSUER]);
    await until(() => published.length === 1);
    assert.deepEqual(published, [[ISSUER, '']], name);
    assert.ok(cache.problems()[ISSUER], name);
    await cache.close();
  }
});

test('issuers that are not asked at all', async () => {
  for (const issuer of [
    'http://idp.example',
    'ftp://idp.example',
    'nonsense',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'https://u:p@idp.example',
  ]) {
    const provider = new Provider(issuer, [key('a')]);
    const { cache, published } = await open({ get: provider.get });
    cache.useIssuers([issuer]);
    await until(() => published.length === 1);
    assert.deepEqual(provider.asked, [], issuer);
    await cache.close();
  }
  assert.ok(isLoopback('127.8.9.1') && isLoopback('[::1]') && isLoopback('localhost'));
  assert.ok(!isLoopback('128.0.0.1') && !isLoopback('127.0.0.1.nip.io') && !isLoopback('localhost.'));
});

test('over HTTP: redirects, errors, floods and nonsense give no keys', async () => {
  let base = '';
  let elsewhere = 0;
  const behaviours: Record<string, http.RequestListener> = {
    good: (request, response) => {
      response.end(
        request.url?.endsWith('/keys')
          ? JSON.stringify({ keys: [key('a')] })
          : JSON.stringify({ issuer: `${base}/good`, jwks_uri: `${base}/good/keys` }),
      );
    },
    redirect: (_, response) => void response.writeHead(302, { location: `${base}/elsewhere` }).end(),
    missing: (_, response) => void response.writeHead(404).end('{}'),
    nonsense: (_, response) => void response.end('<html>'),
    flood: (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, ' ')));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    },
    cut: (_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{');
      setTimeout(() => response.destroy(), 5);
    },
    elsewhere: (_, response) => {
      elsewhere++;
      response.end('{}');
    },
  };
  const server = http.createServer((request, response) => behaviours[request.url?.split('/')[1] ?? '']?.(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { cache, published } = await open({});
  const issuers = ['good', 'redirect', 'missing', 'nonsense', 'flood', 'cut'].map(name => `${base}/${name}`);
  cache.useIssuers(issuers);
  await until(() => published.length === issuers.length);
  assert.deepEqual(new Map(published), new Map(issuers.map(issuer => [issuer, issuer.endsWith('good') ? 'a' : ''])));
  assert.equal(elsewhere, 0);
  await cache.close();
  server.close();
  server.closeAllConnections();
});

test('a damaged file of kept keys is an empty cache', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-jwks-'));
  const file = path.join(dir, 'jwks.json');
  for (const text of ['{', '[]', JSON.stringify({ [ISSUER]: { keys: 'x' } }), JSON.stringify({ [ISSUER]: null, __proto__: {} })]) {
    fs.writeFileSync(file, text);
    const provider = new Provider(ISSUER, [key('a')]);
    const { cache, published } = await open({ get: provider.get, file });
    cache.useIssuers([ISSUER]);
    await until(() => published.length === 1);
    assert.deepEqual(published, [[ISSUER, 'a']]);
    await cache.close();
  }
});
