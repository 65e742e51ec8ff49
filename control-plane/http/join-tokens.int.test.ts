/** Workloads that enrol agents by the token of their issuer: who may, what the agent gets, and each token once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from '../grpc/test-agent.ts';
import { type Api, withApi } from './test-api.ts';

const manifests = (issuer: string) => `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: sub, groupsClaim: groups } }
---
kind: ServiceAccount
metadata: { name: runners }
spec:
  trusts: [{ issuer: "${issuer}", audience: join, claims: { "kubernetes.io.namespace": sallyport, ref: [main, release] } }]
  joins: { labels: { network: ci } }
---
kind: ServiceAccount
metadata: { name: elsewhere }
spec: { trusts: [{ issuer: "${issuer}", subject: far }], joins: { labels: { network: far }, networks: [192.0.2.0/24] } }
---
kind: ServiceAccount
metadata: { name: spiffe }
spec: { trusts: [{ issuer: "${issuer}", subject: "spiffe://example.org/ns/sallyport/sa/agent", audience: join }], joins: { labels: { network: mesh } } }
---
kind: ServiceAccount
metadata: { name: plain }
spec: { trusts: [{ issuer: "${issuer}", subject: plain }] }
`;
const runner = { sub: 'job:1', aud: 'join', ref: 'main', 'kubernetes.io': { namespace: 'sallyport' } };

const trade = (api: Api, token: string) => api.call('POST', '/v1/agents/join-tokens', { token, body: {} });
const joined = async (api: Api, token: string) => {
  const agent = new TestAgent(api.plane.grpcAddress);
  await agent.join(token);
  return agent;
};

test('a workload’s token is good for one agent, with the labels of its account', () =>
  withApi(manifests, async api => {
    const token = await api.provider.token({ ...runner, jti: 'one' });
    const racing = await Promise.all([trade(api, token), trade(api, token), trade(api, token)]);
    assert.deepEqual(
      racing.map(({ status }) => status).toSorted((a, b) => a - b),
      [201, 409, 409],
    );
    const made = racing.find(({ status }) => status === 201);
    await joined(api, String(made?.body.token));
    const listed = (await api.call('GET', '/v1/agents')).body.agents as { id: string; labels: object }[];
    assert.deepEqual(
      listed.map(({ id, labels }) => [id, labels]),
      [[made?.body.agentId, { network: 'ci' }]],
    );
    await assert.rejects(joined(api, String(made?.body.token)), /join token is not valid/, 'nor is the join token good twice');
    await api.restart();
    assert.equal((await trade(api, token)).body.code, 'TOKEN_USED', 'after a restart');
    // Another token under the same id is the same token; without an id each is its own.
    assert.equal((await trade(api, await api.provider.token({ ...runner, jti: 'one', sub: 'job:2' }))).body.code, 'TOKEN_USED');
    const unnamed = await api.provider.token(runner);
    assert.deepEqual([(await trade(api, unnamed)).status, (await trade(api, unnamed)).status], [201, 409]);
  }));

test('nobody else gets one', () =>
  withApi(manifests, async api => {
    const cases: [string, Record<string, unknown>, number][] = [
      ['another audience', { ...runner, aud: 'sallyport' }, 401],
      ['another branch', { ...runner, ref: 'feature' }, 401],
      ['another namespace', { ...runner, 'kubernetes.io': { namespace: 'x' } }, 401],
      ['a SPIFFE JWT-SVID', { sub: 'spiffe://example.org/ns/sallyport/sa/agent', aud: ['join'] }, 201],
      ['of another trust domain', { sub: 'spiffe://example.com/ns/sallyport/sa/agent', aud: ['join'] }, 401],
      ['an account without joins', { sub: 'plain' }, 403],
      ['a person', { sub: 'ann', groups: ['admins'] }, 403],
      ['who acts for a workload', { ...runner, act: { sub: 'other' } }, 403],
    ];
    for (const [what, claims, status] of cases) assert.equal((await trade(api, await api.provider.token(claims))).status, status, what);
    assert.equal((await trade(api, await api.provider.token(runner, { lifetimeSeconds: -600 }))).status, 401, 'too late');
    assert.equal((await trade(api, api.plane.adminToken)).status, 403, 'the administrator invites');
    const bound = await trade(api, await api.provider.token({ sub: 'far' }));
    assert.equal(bound.status, 201);
    await assert.rejects(joined(api, String(bound.body.token)), /join token is not valid/, 'it is for another network');
    const without = manifests(api.provider.issuer).replace('\n  joins: { labels: { network: ci } }', '');
    assert.equal((await api.apply(without)).status, 200);
    assert.equal((await trade(api, await api.provider.token({ ...runner, jti: 'late' }))).body.code, 'JOIN_DENIED');
    for (const joins of [
      '{ labels: {} }',
      '{}',
      '{ labels: { a: b }, networks: [10.0.0.1/8] }',
      '{ labels: { a: b }, everyResource: true }',
    ]) {
      const { status } = await api.apply(`kind: ServiceAccount\nmetadata: { name: x }\nspec: { joins: ${joins} }\n`);
      assert.equal(status, 422, joins);
    }
  }));
