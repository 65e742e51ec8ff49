/** SCIM as directories speak it, and what it takes away from people who are gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';
import { type Api, withApi } from './test-api.ts';
import { corpProvider, crm } from './test-manifests.ts';

const manifests = (issuer: string) => `${corpProvider(issuer)}---
kind: ServiceAccount
metadata: { name: directory }
spec: { trusts: [ { issuer: "${issuer}", subject: directory } ] }
---
kind: AccessPolicy
metadata: { name: directory }
spec: { roles: [admin], members: { serviceAccounts: [directory] } }
${crm}---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
`;
const ann = { sub: 'a1', email: 'Ann@example.com', groups: ['support'] };
const user = 'urn:ietf:params:scim:schemas:core:2.0:User';
const patchOp = (...operations: object[]) => ({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: operations });

async function withDirectory(
  body: (api: Api, scim: (method: string, path: string, body?: unknown) => ReturnType<Api['call']>) => Promise<void>,
) {
  await withApi(manifests, async api => {
    const token = await api.provider.token({ sub: 'directory' });
    const scim = (method: string, path: string, sent?: unknown) =>
      api.call(method, `/scim/v2${path}`, {
        token,
        ...(sent === undefined ? {} : { body: JSON.stringify(sent), headers: { 'content-type': 'application/scim+json' } }),
      });
    await body(api, scim);
  });
}

test('users come, are found, change and go', () =>
  withDirectory(async (api, scim) => {
    const made = await scim('POST', '/Users', {
      schemas: [user],
      userName: 'ann@example.com',
      externalId: 'x1',
      name: { givenName: 'Ann' },
      emails: [{ value: 'a' }],
      active: true,
    });
    assert.equal(made.status, 201);
    assert.match(made.headers.get('content-type') ?? '', /^application\/scim\+json/);
    const id = String(made.body.id);
    assert.deepEqual(made.body, {
      schemas: [user],
      id,
      userName: 'ann@example.com',
      externalId: 'x1',
      active: true,
      meta: { resourceType: 'User', location: `/scim/v2/Users/${id}` },
    });
    const again = await scim('POST', '/Users', { userName: 'ANN@example.com' });
    assert.deepEqual([again.status, again.body.scimType, again.body.status], [409, 'uniqueness', '409']);
    for (const [filter, found] of [
      ['userName eq "ANN@EXAMPLE.COM"', 1],
      ['externalId eq "x1"', 1],
      ['externalId eq "X1"', 0],
      ['userName eq "bob"', 0],
    ] as const) {
      const list = await scim('GET', `/Users?filter=${encodeURIComponent(filter)}&startIndex=1&count=10`);
      assert.deepEqual([list.status, list.body.totalResults, (list.body.Resources as unknown[]).length], [200, found, found], filter);
    }
    for (const filter of ['userName sw "a"', 'userName eq a', 'userName eq "a" or active eq true', 'active eq true']) {
      const refused = await scim('GET', `/Users?filter=${encodeURIComponent(filter)}`);
      assert.deepEqual([refused.status, refused.body.scimType], [400, 'invalidFilter'], filter);
    }
    assert.equal(
      (await scim('PUT', `/Users/${id}`, { userName: 'ann@example.com', displayName: 'Ann S.', active: true })).body.displayName,
      'Ann S.',
    );
    for (const bad of [{ active: true }, { userName: 7 }, { userName: 'a', active: 'perhaps' }, [], 'x'])
      assert.equal((await scim('PUT', `/Users/${id}`, bad)).status, 400, JSON.stringify(bad));
    for (const bad of [
      {},
      patchOp(),
      patchOp({ op: 'move', path: 'active', value: true }),
      patchOp({ op: 'remove', path: 'userName' }),
      patchOp({ op: 'replace', path: 'active', value: null }),
    ]) {
      assert.equal((await scim('PATCH', `/Users/${id}`, bad)).status, 400, JSON.stringify(bad));
    }
    assert.equal(
      (await scim('PATCH', `/Users/${id}`, patchOp({ op: 'Replace', value: { active: 'False', 'name.familyName': 'S' } }))).body.active,
      false,
    );
    assert.equal((await scim('PATCH', `/Users/${id}`, patchOp({ op: 'Replace', path: `${user}:active`, value: true }))).body.active, true);
    // Whatever way it is written, who is taken out is out; and saying nothing of it lets nobody in again.
    const inactive = async (...operations: object[]) => {
      await scim('PATCH', `/Users/${id}`, patchOp({ op: 'replace', path: 'active', value: true }));
      return (await scim('PATCH', `/Users/${id}`, patchOp(...operations))).body.active;
    };
    assert.equal(await inactive({ op: 'Replace', path: 'Active', value: false }), false);
    assert.equal(await inactive({ op: 'replace', path: `${user.toUpperCase()}:ACTIVE`, value: 'False' }), false);
    assert.equal(await inactive({ op: 'replace', value: { Active: false, title: 'x' } }), false);
    assert.equal((await scim('PUT', `/Users/${id}`, { UserName: 'ann@example.com' })).body.active, false);
    assert.equal((await scim('PUT', `/Users/${id}`, { userName: 'ann@example.com', active: true, Active: false })).status, 400);
    assert.equal((await scim('PATCH', `/Users/${id}`, patchOp({ op: 'remove', path: 'Active' }))).status, 400);
    assert.equal((await scim('PUT', `/Users/${id}`, { userName: 'ann@example.com', active: true })).body.active, true);
    assert.equal((await scim('DELETE', `/Users/${id}`)).status, 204);
    assert.equal((await scim('GET', `/Users/${id}`)).status, 404);
    assert.equal((await scim('PATCH', `/Users/${id}`, patchOp({ op: 'replace', path: 'active', value: true }))).status, 404);
    assert.equal((await scim('GET', '/Users/nobody')).status, 404);
    assert.equal((await scim('GET', '/Users')).body.totalResults, 0);
    assert.equal(
      (await api.call('GET', '/scim/v2/Users', { token: await api.provider.token({ ...ann, sub: 'z1', email: 'zoe@example.com' }) }))
        .status,
      403,
      'people have no business here',
    );
    assert.equal((await api.call('GET', '/scim/v2/Users', { token: null })).status, 401);
    assert.equal((await scim('GET', '/ServiceProviderConfig')).status, 200);
  }));

test('who is taken out is kept out: the API, tickets, token exchange, and agents, which end the sessions', () =>
  withDirectory(async (api, scim) => {
    const token = await api.provider.token(ann);
    const id = String((await scim('POST', '/Users', { userName: 'ann@example.com', active: true })).body.id);
    const ticket = () => api.call('POST', '/v1/tickets', { token, body: { resource: 'crm' } });
    const exchange = async () => {
      const answer = await fetch(`${api.plane.httpUrl}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: token,
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
          audience: 'crm',
        }),
      });
      return answer.status;
    };
    assert.deepEqual([(await ticket()).status, await exchange()], [201, 200]);
    const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
    const agent = new TestAgent(api.plane.grpcAddress);
    await agent.join(String(invited.body.token));
    await agent.connectChannel();
    const stream = agent.control();
    stream.write(hello());
    const blocked = async () => {
      const { body } = await nextMessage(stream, message => message.body.case === 'lease');
      assert.ok(body.case === 'lease');
      return (JSON.parse(Buffer.from(body.value.bundle).toString()) as { blockedPeople?: string[] }).blockedPeople;
    };
    assert.equal(await blocked(), undefined);
    const told = blocked();
    assert.equal((await scim('PATCH', `/Users/${id}`, patchOp({ op: 'replace', path: 'active', value: false }))).status, 200);
    assert.deepEqual(await told, ['ann@example.com']);
    assert.deepEqual([(await api.call('GET', '/v1/me', { token })).status, (await ticket()).status, await exchange()], [401, 401, 400]);
    const acting = await api.provider.token({ ...ann, act: { sub: 'bot' } });
    assert.equal((await api.call('GET', '/v1/me', { token: acting })).status, 401, 'nor does anybody act for them');
    await api.restart();
    assert.equal((await api.call('GET', '/v1/me', { token })).status, 401, 'after a restart');
    assert.equal((await scim('PATCH', `/Users/${id}`, patchOp({ op: 'replace', path: 'active', value: true }))).status, 200);
    assert.equal((await ticket()).status, 201, 'and back');
    assert.equal((await scim('DELETE', `/Users/${id}`)).status, 204);
    assert.equal((await ticket()).status, 401, 'a deleted person’s token is good no more');
    assert.equal((await scim('POST', '/Users', { userName: 'ann@example.com' })).status, 201);
    assert.equal((await ticket()).status, 201, 'hired again');
    agent.close();
  }));
