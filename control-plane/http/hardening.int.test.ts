/** Rate limits, pages, ETags and idempotency keys over the API, and in its description. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Api, withApi } from './test-api.ts';
import { corpProvider } from './test-manifests.ts';

const role = (name: string, group = 'x') => `
kind: Role
metadata: { name: ${name} }
spec: { members: { groups: [${group}] }, resources: {} }
`;
const manifests = (issuer: string) => `${corpProvider(issuer)}---
kind: AccessPolicy
metadata: { name: admins }
spec: { roles: [admin], members: { groups: [platform] } }
---${role('support')}`;
const cleo = { sub: 'c1', email: 'cleo@example.com', groups: ['platform'] };
const dora = { sub: 'd1', email: 'dora@example.com', groups: ['platform'] };

const asProblem = ({ status, headers, body }: Awaited<ReturnType<Api['call']>>) => {
  assert.match(headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(body.status, status);
  return [status, body.code];
};

test('a caller who asks too much waits; others, other tokens of the same caller, and the administrator', () => {
  const nowMs = Date.now();
  return withApi(
    manifests,
    async api => {
      const [token = '', again = '', other = ''] = await Promise.all(
        [cleo, { ...cleo, jti: 'another' }, dora].map(claims => api.provider.token(claims)),
      );
      const me = (using: string | null) => api.call('GET', '/v1/me', { token: using });
      const first = await me(token);
      assert.deepEqual(
        [first.status, first.headers.get('ratelimit'), first.headers.get('ratelimit-policy')],
        [200, '"default";r=2', '"default";q=3;w=3000'],
      );
      await me(token);
      await me(token);
      const refused = await me(token);
      assert.deepEqual(asProblem(refused), [429, 'RATE_LIMITED']);
      assert.equal(refused.headers.get('retry-after'), '1000');
      assert.equal((await me(again)).status, 429, 'a new token is the same caller');
      assert.equal((await me(other)).status, 200);
      assert.equal((await api.call('POST', '/v1/apply', { token, body: {} })).status, 400, 'writes have a bucket of their own');
      for (let i = 0; i < 10; i++) assert.equal((await api.call('GET', '/v1/status')).status, 200, 'the administrator’s token');
      // Without a token: by address, whatever is asked for.
      const anonymous: number[] = [];
      for (let i = 0; i < 6; i++)
        anonymous.push((await api.call('GET', i % 2 === 0 ? '/auth/providers' : '/healthz', { token: null })).status);
      assert.deepEqual(anonymous, [200, 200, 200, 200, 429, 429]);
    },
    {
      rateLimits: {
        reads: { burst: 3, perSecond: 0.001 },
        writes: { burst: 3, perSecond: 0.001 },
        anonymous: { burst: 4, perSecond: 0.001 },
      },
      // It stands: the seconds that are left are those of the whole bucket.
      clock: () => nowMs,
    },
  );
});

test('listings come in pages', () =>
  withApi(manifests, async api => {
    await api.apply(['a', 'b', 'c'].map(name => role(name)).join('---'));
    const names: unknown[] = [];
    let cursor = '';
    for (let page = 0; page < 10 && cursor !== 'null'; page++) {
      const { body } = await api.call('GET', `/v1/manifests/Role?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`);
      names.push((body.manifests as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name));
      cursor = String(body.next);
    }
    assert.deepEqual(names, [['a', 'b', 'c'], ['support']]);
    assert.deepEqual(asProblem(await api.call('GET', '/v1/manifests/Role?cursor=%21')), [400, 'CURSOR_INVALID']);
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'offset=1']) {
      assert.deepEqual(asProblem(await api.call('GET', `/v1/agents?${query}`)), [400, 'REQUEST_INVALID'], query);
    }
  }));

test('ETags: what is the same is not sent again, and what has changed is not overwritten', () =>
  withApi(manifests, async api => {
    const path = '/v1/manifests/Role/support';
    const read = await api.call('GET', path);
    const tag = read.headers.get('etag') ?? '';
    assert.equal(tag, '"v1"');
    for (const known of [tag, `W/${tag}`, '*', `"x", ${tag}`]) {
      const same = await api.call('GET', path, { headers: { 'if-none-match': known } });
      assert.deepEqual([same.status, same.body.text, same.headers.get('etag')], [304, '', tag], known);
    }
    const list = await api.call('GET', '/v1/manifests/Role');
    const weak = list.headers.get('etag') ?? '';
    assert.match(weak, /^W\/"/);
    assert.equal((await api.call('GET', '/v1/manifests/Role', { headers: { 'if-none-match': weak } })).status, 304);

    const plan = await api.apply(role('support', 'y'), { dryRun: true });
    const planned = plan.headers.get('etag') ?? '';
    assert.equal(plan.body.etag, planned);
    await api.apply(role('support', 'z'));
    assert.equal((await api.call('GET', path, { headers: { 'if-none-match': tag } })).status, 200);
    const stale = await api.apply(role('support', 'y'), { headers: { 'if-match': planned } });
    assert.deepEqual(asProblem(stale), [412, 'MANIFEST_MOVED']);
    for (const ifMatch of [tag, 'W/"v2"', '"v3"']) {
      assert.deepEqual(asProblem(await api.call('DELETE', path, { headers: { 'if-match': ifMatch } })), [412, 'MANIFEST_MOVED'], ifMatch);
    }
    assert.deepEqual(asProblem(await api.call('DELETE', path, { headers: { 'if-match': 'v2' } })), [400, 'IF_MATCH_INVALID']);
    assert.equal((await api.call('DELETE', path, { headers: { 'if-match': '"v2"' } })).status, 200);
    // What is not there yet can be planned as well; `*` wants something there.
    const fresh = (await api.apply(role('new'), { dryRun: true })).headers.get('etag') ?? '';
    assert.deepEqual(asProblem(await api.apply(role('new'), { headers: { 'if-match': '*' } })), [412, 'MANIFEST_MOVED']);
    assert.equal((await api.apply(role('new'), { headers: { 'if-match': fresh } })).status, 200);
    assert.deepEqual(asProblem(await api.apply(role('new'), { headers: { 'if-match': fresh } })), [412, 'MANIFEST_MOVED']);
  }));

test('of two who change the same at the same time on the same plan, one wins', () =>
  withApi(manifests, async api => {
    for (let round = 0; round < 5; round++) {
      const tag = (await api.apply(role('support', `r${round}`), { dryRun: true })).headers.get('etag') ?? '';
      const answers = await Promise.all(
        ['a', 'b', 'c', 'd'].map(who => api.apply(role('support', `${who}${round}`), { headers: { 'if-match': tag } })),
      );
      assert.deepEqual(
        answers.map(({ status }) => status).toSorted((a, b) => a - b),
        [200, 412, 412, 412],
      );
    }
  }));

test('a write is done once under its key, and the key is the caller’s own', () =>
  withApi(manifests, async api => {
    const [token = '', other = ''] = await Promise.all([cleo, dora].map(claims => api.provider.token(claims)));
    const invite = (using: string, key: string, body: unknown = {}) =>
      api.call('POST', '/v1/agents/invitations', { token: using, body, headers: { 'idempotency-key': key } });
    const [one, two] = [await invite(token, 'k1'), await invite(token, 'k1')];
    assert.deepEqual([one.status, two.status, two.headers.get('idempotent-replayed')], [201, 201, 'true']);
    assert.equal(one.body.token, two.body.token);
    assert.deepEqual(asProblem(await invite(token, 'k1', { everyResource: true })), [409, 'IDEMPOTENCY_KEY_REUSED']);
    const foreign = await invite(other, 'k1');
    assert.notEqual(foreign.body.token, one.body.token, 'another’s key tells nothing');
    assert.equal(((await api.call('GET', '/v1/agents')).body.agents as unknown[]).length, 2);
    const many = await Promise.all(Array.from({ length: 8 }, () => invite(token, 'k2')));
    assert.equal(new Set(many.filter(({ status }) => status === 201).map(({ body }) => body.token)).size, 1);
    for (const answer of many.filter(({ status }) => status !== 201)) assert.deepEqual(asProblem(answer), [409, 'IDEMPOTENCY_KEY_IN_USE']);
    assert.deepEqual(asProblem(await invite(token, 'x'.repeat(256))), [400, 'IDEMPOTENCY_KEY_INVALID']);
    // A refusal is an answer: the same again.
    const refused = [1, 2].map(() => api.call('POST', '/v1/agents/none/revoke', { token, body: {}, headers: { 'idempotency-key': 'k3' } }));
    for (const answer of await Promise.all(refused)) assert.ok([400, 409].includes(answer.status));
    // Who may no longer ask is not given what was answered before.
    assert.equal((await api.call('DELETE', '/v1/manifests/AccessPolicy/admins')).status, 200);
    assert.deepEqual(asProblem(await invite(token, 'k1')), [403, 'ROLE_MISSING']);
  }));

test('the description has all of it', () =>
  withApi(manifests, async api => {
    const { body } = await api.call('GET', '/openapi.json', { token: null });
    const paths = body.paths as Record<
      string,
      Record<string, { parameters: { in: string; name: string }[]; responses: Record<string, unknown> }>
    >;
    const headers = (path: string, method: string) =>
      paths[path]?.[method]?.parameters.filter(each => each.in === 'header').map(({ name }) => name);
    assert.deepEqual(headers('/v1/apply', 'post'), ['If-Match', 'Idempotency-Key']);
    assert.deepEqual(headers('/v1/manifests/{kind}/{name}', 'delete'), ['If-Match', 'Idempotency-Key']);
    assert.deepEqual(headers('/v1/tickets', 'post'), ['Idempotency-Key']);
    assert.deepEqual(headers('/v1/agents', 'get'), ['If-None-Match']);
    assert.ok(paths['/v1/apply']?.post?.responses['412']);
    assert.ok(paths['/v1/agents']?.get?.responses['304']);
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { responses }] of Object.entries(operations)) assert.ok(responses['429'], `${method} ${path}`);
    }
  }));

test('behind a trusted proxy everybody has their own address, in limits and in the record; nobody else says where they come from', () =>
  withApi(
    manifests,
    async api => {
      const guess = async (from: string) =>
        (await api.call('GET', '/v1/me', { token: 'guess', headers: { 'x-forwarded-for': from } })).status;
      for (let i = 0; i < 20; i++) assert.equal(await guess('203.0.113.7'), 401);
      assert.equal(await guess('198.51.100.1, 203.0.113.7'), 429, 'what the client itself sends before it changes nothing');
      assert.equal(await guess('203.0.113.8'), 401);
      await api.restart({});
      for (let i = 0; i < 19; i++) assert.equal(await guess(`203.0.113.${i}`), 401);
      assert.deepEqual([await guess('203.0.113.50'), await guess('203.0.113.51')], [401, 429], 'without a trusted proxy all are one');
      assert.ok(api.lines.some(line => line.includes('"ip":"203.0.113.7"')));
    },
    { trustedProxies: ['127.0.0.0/8'] },
  ));
