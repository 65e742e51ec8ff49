/** Groups of a directory: who is in them has what they give, whatever tokens say, and whoever leaves has lost it everywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AgentMessageSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { PrincipalKind } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { decodeJwt } from 'jose';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';
import { type Api, withApi } from './test-api.ts';

const manifests = (issuer: string) => `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
kind: AccessPolicy
metadata: { name: ops }
spec: { roles: [operator], members: { groups: [ops] } }
---
kind: Credential
metadata: { name: c }
spec: { username: u, password: { env: PW } }
---
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: c }
---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
`;
const person = (name: string, ...groups: string[]) => ({ sub: name, email: `${name}@example.com`, groups });

const scim = (api: Api) => (method: string, path: string, sent?: unknown) =>
  api.call(method, `/scim/v2${path}`, {
    ...(sent === undefined ? {} : { body: JSON.stringify(sent), headers: { 'content-type': 'application/scim+json' } }),
  });
const patch = (...operations: object[]) => ({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: operations });
const userOf = async (api: Api, name: string) =>
  String((await scim(api)('POST', '/Users', { userName: `${name}@example.com`, active: true })).body.id);
const groupOf = async (api: Api, displayName: string, ...members: string[]) =>
  String((await scim(api)('POST', '/Groups', { displayName, members: members.map(value => ({ value })) })).body.id);

test('groups come, are found, change and go', () =>
  withApi(manifests, async api => {
    const call = scim(api);
    const [ann, bob] = [await userOf(api, 'ann'), await userOf(api, 'bob')];
    const made = await call('POST', '/Groups', { displayName: 'support', externalId: 'x1', members: [{ value: ann }] });
    const id = String(made.body.id);
    assert.equal(made.status, 201);
    assert.deepEqual(made.body, {
      ...{ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], id, displayName: 'support', externalId: 'x1' },
      members: [{ value: ann, display: 'ann@example.com', $ref: `/scim/v2/Users/${ann}` }],
      meta: { resourceType: 'Group', location: `/scim/v2/Groups/${id}` },
    });
    assert.deepEqual((await call('POST', '/Groups', { displayName: 'support' })).body.scimType, 'uniqueness');
    assert.equal((await call('POST', '/Groups', { displayName: 'x', members: [{ value: 'nobody' }] })).status, 400);
    for (const [filter, found] of [
      ['displayName eq "Support"', 1],
      ['externalId eq "x1"', 1],
      [`id eq "${id}" and members eq "${ann}"`, 1],
      [`members[value eq "${bob}"]`, 0],
    ] as const) {
      const list = await call('GET', `/Groups?filter=${encodeURIComponent(filter)}&excludedAttributes=members`);
      assert.deepEqual([list.body.totalResults, (list.body.Resources as object[]).some(each => 'members' in each)], [found, false], filter);
    }
    for (const filter of ['displayName co "s"', 'members.display eq "a"', 'userName eq "a"'])
      assert.equal((await call('GET', `/Groups?filter=${encodeURIComponent(filter)}`)).body.scimType, 'invalidFilter', filter);
    for (let n = 0; n < 5; n++) await groupOf(api, `g${n}`);
    const second = (await call('GET', '/Groups?startIndex=3&count=2')).body;
    assert.deepEqual(
      [
        second.totalResults,
        second.startIndex,
        second.itemsPerPage,
        (second.Resources as { displayName: string }[]).map(each => each.displayName),
      ],
      [6, 3, 2, ['g1', 'g2']],
    );
    assert.equal((await call('GET', '/Groups?startIndex=99')).body.itemsPerPage, 0);
    assert.equal((await call('GET', '/Groups?count=-1')).status, 400);
    // Two at once both count, at whatever state each was decided.
    const both = await Promise.all([
      call('PATCH', `/Groups/${id}`, patch({ op: 'Add', path: 'members', value: [{ value: bob }] })),
      call('PATCH', `/Groups/${id}`, patch({ op: 'remove', path: `members[value eq "${ann}"]` })),
    ]);
    assert.deepEqual(
      both.map(({ status }) => status),
      [204, 204],
    );
    const members = async () => ((await call('GET', `/Groups/${id}`)).body.members as { value: string }[]).map(({ value }) => value);
    assert.deepEqual(await members(), [bob]);
    assert.equal((await call('PATCH', `/Groups/${id}`, patch({ op: 'add', path: 'members', value: [{ value: 'x' }] }))).status, 400);
    assert.equal((await call('PUT', `/Groups/${id}`, { displayName: 'support', members: [{ value: ann }] })).status, 200);
    await api.restart();
    assert.deepEqual(await members(), [ann]);
    assert.equal((await call('DELETE', `/Users/${ann}`)).status, 204);
    assert.deepEqual(await members(), []);
    assert.equal((await call('DELETE', `/Groups/${id}`)).status, 204);
    for (const method of ['GET', 'DELETE']) assert.equal((await call(method, `/Groups/${id}`)).status, 404);
    assert.equal((await call('PATCH', `/Groups/${id}`, patch({ op: 'remove', path: 'members' }))).status, 404);
  }));

test('two changes of one user at the same time both count', () =>
  withApi(manifests, async api => {
    const call = scim(api);
    for (let round = 0; round < 5; round++) {
      const id = await userOf(api, `ann${round}`);
      await Promise.all([
        call('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: false })),
        call('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'displayName', value: 'Ann' })),
      ]);
      const { active, displayName } = (await call('GET', `/Users/${id}`)).body;
      assert.deepEqual([active, displayName], [false, 'Ann']);
    }
  }));

test('a group of the directory gives and takes, whatever tokens say; leases carry it', () =>
  withApi(manifests, async api => {
    const [annToken, zoeToken] = await Promise.all([person('ann'), person('zoe', 'support', 'ops')].map(each => api.provider.token(each)));
    const ticket = async (token: string | undefined) => api.call('POST', '/v1/tickets', { token: token ?? '', body: { resource: 'crm' } });
    const statuses = async () => [(await ticket(annToken)).status, (await ticket(zoeToken)).status];
    assert.deepEqual(await statuses(), [404, 201], 'without a directory tokens decide');
    const zoeTicket = String((await ticket(zoeToken)).body.ticket);
    assert.deepEqual(decodeJwt(zoeTicket).groups, ['support', 'ops']);
    const ann = await userOf(api, 'Ann');
    const id = await groupOf(api, 'support', ann);
    assert.deepEqual(await statuses(), [201, 404]);
    const groups = async (token: string | undefined) => (await api.call('GET', '/v1/me', { token: token ?? '' })).body.groups;
    assert.deepEqual([await groups(annToken), await groups(zoeToken)], [['support'], ['ops']]);
    assert.equal((await api.call('GET', '/v1/agents', { token: zoeToken ?? '' })).status, 200);
    const ops = await groupOf(api, 'ops');
    assert.equal((await api.call('GET', '/v1/agents', { token: zoeToken ?? '' })).status, 403, 'the roles of the API as well');

    const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
    const agent = new TestAgent(api.plane.grpcAddress);
    await agent.join(String(invited.body.token));
    await agent.connectChannel();
    const stream = agent.control();
    stream.write(hello());
    const leased = async () => {
      const { body } = await nextMessage(stream, message => message.body.case === 'lease');
      assert.ok(body.case === 'lease');
      return (JSON.parse(Buffer.from(body.value.bundle).toString()) as { directoryGroups?: unknown }).directoryGroups;
    };
    assert.deepEqual(await leased(), [
      { name: 'ops', members: [] },
      { name: 'support', members: ['ann@example.com'] },
    ]);
    const told = leased();
    await scim(api)('PATCH', `/Groups/${id}`, patch({ op: 'Remove', path: 'members', value: [{ value: ann }] }));
    assert.deepEqual(await told, [
      { name: 'ops', members: [] },
      { name: 'support', members: [] },
    ]);
    assert.deepEqual(await statuses(), [404, 404]);
    // Deleted, its name stays closed: whoever was taken out of it does not come back by a token.
    await scim(api)('DELETE', `/Groups/${id}`);
    await scim(api)('DELETE', `/Groups/${ops}`);
    assert.deepEqual([...(await statuses()), await groups(zoeToken)], [404, 404, []]);
    await groupOf(api, 'support', ann);
    assert.deepEqual(await statuses(), [201, 404]);
    agent.close();
  }));

test('who has left the group since does not count towards a quorum', () =>
  withApi(manifests, async api => {
    const [ann, bob, cleo] = [await userOf(api, 'ann'), await userOf(api, 'bob'), await userOf(api, 'cleo')];
    const id = await groupOf(api, 'dba', ann, bob, cleo);
    const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
    const agent = new TestAgent(api.plane.grpcAddress);
    await agent.join(String(invited.body.token));
    await agent.connectChannel();
    const stream = agent.control();
    stream.on('error', () => undefined); // It is closed below.
    stream.write(hello());
    const approvalId = '00000000-0000-7000-8000-000000000001';
    stream.write(
      create(AgentMessageSchema, {
        body: {
          case: 'approvalRequested',
          value: {
            $typeName: 'sallyport.agent.v1.ApprovalRequested',
            ...{ approvalId, sessionId: 's', commandSeq: 1n, resource: 'crm', rule: 'safety/writes', text: 'delete from t' },
            binding: new Uint8Array(32),
            principal: {
              $typeName: 'sallyport.records.v1.Principal',
              ...{ kind: PrincipalKind.PERSON, name: 'eve@example.com', issuer: 'i', subject: 'e', groups: [], delegation: [] },
            },
            approvalJson: JSON.stringify({ from: { groups: ['dba'] }, quorum: 2 }),
            ...{ previewJson: '', expiresUnixUs: BigInt(Date.now() + 600_000) * 1000n, fingerprint: 'f', parameters: [] },
          },
        },
      }),
    );
    while ((await api.call('GET', `/v1/approvals/${approvalId}`)).status !== 200) await new Promise(resolve => setTimeout(resolve, 10));
    const approve = async (name: string, ...groups: string[]) => {
      const token = await api.provider.token(person(name, ...groups));
      const { status, body } = await api.call('POST', `/v1/approvals/${approvalId}/approve`, { token, body: {} });
      return [status, body.state ?? body.code];
    };
    assert.deepEqual(await approve('zoe', 'dba'), [404, 'APPROVAL_UNKNOWN'], 'a token alone does not make one of the group');
    assert.deepEqual(await approve('ann', 'dba'), [200, 'pending']);
    await scim(api)('PATCH', `/Groups/${id}`, patch({ op: 'remove', path: `members[value eq "${ann}"]` }));
    assert.deepEqual(await approve('bob'), [200, 'pending'], 'ann has left: one is there');
    assert.deepEqual(await approve('cleo'), [200, 'approved']);
    const { body } = await api.call('GET', `/v1/approvals/${approvalId}`);
    assert.deepEqual(body.approvedBy, ['bob@example.com', 'cleo@example.com']);
    agent.close();
  }));
