/** Separation of duties over the API: whoever tries to get around it has an admin's rights. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { AgentMessageSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { PrincipalKind } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { hello, TestAgent } from '../grpc/test-agent.ts';
import { openLogReader } from '../log/log-reader.ts';
import { type Api, withApi } from './test-api.ts';
import { corpProvider, credential } from './test-manifests.ts';

const guard = (groups = 'dba', message = 'wait') => `
kind: Guard
metadata: { name: safety }
spec:
  resources: { names: [crm] }
  rules: [{ name: writes, match: { statements: [delete] }, action: hold, message: "${message}", approval: { from: { groups: [${groups}] } } }]
`;
const audit = (responses: string) => `
kind: AuditPolicy
metadata: { name: all }
spec: { resources: { labels: { env: prod } }, responses: ${responses} }
`;
const crm = (env = 'prod') => `
kind: Resource
metadata: { name: crm, labels: { env: ${env} } }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: c }
`;
const role = (group = 'support') => `
kind: Role
metadata: { name: support }
spec: { members: { groups: [${group}] }, resources: { names: [crm] } }
`;
const manifests = (issuer: string) => `${corpProvider(issuer)}${credential}---
kind: AccessPolicy
metadata: { name: admins }
spec: { roles: [admin], members: { groups: [platform] } }
---${crm()}---${role()}---${guard()}---${audit('full')}`;

const cleo = { sub: 'c1', email: 'cleo@example.com', groups: ['platform', 'dba'] };
const dora = { sub: 'd1', email: 'dora@example.com', groups: ['platform', 'dba'] };
const sam = { sub: 's1', email: 'sam@example.com', groups: ['platform', 'support'] };

/** An agent asks for an approval. */
async function held(api: Api, agent: TestAgent, n: number, account?: string): Promise<string> {
  const approvalId = `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const stream = agent.control();
  stream.on('error', () => undefined); // The control plane is restarted below.
  stream.write(hello());
  stream.write(
    create(AgentMessageSchema, {
      body: {
        case: 'approvalRequested',
        value: {
          $typeName: 'sallyport.agent.v1.ApprovalRequested',
          ...{ approvalId, sessionId: 's', commandSeq: BigInt(n), resource: 'crm', rule: 'safety/writes', text: 'delete from t' },
          binding: new Uint8Array(32).fill(n),
          principal: {
            $typeName: 'sallyport.records.v1.Principal',
            ...{
              kind: account === undefined ? PrincipalKind.PERSON : PrincipalKind.WORKLOAD,
              name: account ?? 'eve@example.com',
              issuer: api.provider.issuer,
              subject: 'e1',
              groups: [],
              delegation: [],
            },
          },
          approvalJson: JSON.stringify({ from: { groups: ['dba'] }, quorum: 1 }),
          ...{ previewJson: '', expiresUnixUs: BigInt(Date.now() + 600_000) * 1000n, fingerprint: 'f', parameters: [] },
        },
      },
    }),
  );
  while ((await api.call('GET', `/v1/approvals/${approvalId}`)).status !== 200) await new Promise(resolve => setTimeout(resolve, 10));
  stream.end();
  return approvalId;
}

async function enrolled(api: Api): Promise<TestAgent> {
  const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
  const agent = new TestAgent(api.plane.grpcAddress);
  await agent.join(String(invited.body.token));
  await agent.connectChannel();
  return agent;
}

test('who has changed a guard does not approve under it, whatever comes after the change', () =>
  withApi(manifests, async api => {
    const [cleoToken, doraToken] = await Promise.all([cleo, dora].map(claims => api.provider.token(claims)));
    let agent = await enrolled(api);
    const approve = async (id: string, token: string | undefined, answer = 'approve') => {
      const { status, body } = await api.call('POST', `/v1/approvals/${id}/${answer}`, { token: token ?? '', body: {} });
      return [status, body.code ?? body.state];
    };
    assert.deepEqual(await approve(await held(api, agent, 1), cleoToken), [200, 'approved'], 'before she touches it');

    assert.equal((await api.apply(guard('dba', 'hers'), { token: cleoToken ?? '' })).status, 200);
    const second = await held(api, agent, 2);
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY']);
    // Somebody else's change on top, her own repeated, the policy deleted, and her own sign-in under another name.
    assert.equal((await api.apply(guard('dba', 'by the administrator'))).status, 200);
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY']);
    assert.equal((await api.call('DELETE', '/v1/manifests/Guard/safety', { token: cleoToken ?? '' })).status, 200);
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY']);
    assert.equal((await api.apply(guard())).status, 200);
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY'], 'held under what she wrote');
    const renamed = await api.provider.token({ ...cleo, email: 'c.smith@example.com' });
    assert.deepEqual(await approve(second, renamed), [403, 'APPROVAL_OWN_POLICY'], 'the subject is hers');
    agent.close();
    await api.restart();
    agent = await enrolled(api);
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY'], 'after a restart');
    assert.deepEqual(await approve(second, doraToken), [200, 'approved'], 'somebody else of the group');

    // The labels that choose the rules, and the provider that says who is in which group, are policy as well.
    assert.equal((await api.apply(crm().replace('env: prod', 'env: prod, tier: a'), { token: doraToken ?? '' })).status, 200);
    const third = await held(api, agent, 3);
    assert.deepEqual(await approve(third, doraToken), [403, 'APPROVAL_OWN_POLICY']);
    assert.deepEqual(await approve(third, doraToken, 'deny'), [200, 'denied'], 'denying widens nothing');
    agent.close();
  }));

test('who could have given a service account’s command does not approve it', () =>
  withApi(manifests, async api => {
    const [cleoToken = '', doraToken = ''] = await Promise.all([cleo, dora].map(claims => api.provider.token(claims)));
    const account = (subject: string) =>
      `kind: ServiceAccount\nmetadata: { name: bot }\nspec: { trusts: [{ issuer: "${api.provider.issuer}", subject: "${subject}" }] }`;
    assert.equal((await api.apply(account('a'))).status, 200);
    const agent = await enrolled(api);
    const approve = async (id: string, token: string) => {
      const { status, body } = await api.call('POST', `/v1/approvals/${id}/approve`, { token, body: {} });
      return [status, body.code ?? body.state];
    };
    assert.deepEqual(await approve(await held(api, agent, 1, 'bot'), cleoToken), [200, 'approved']);
    const made = await api.call('POST', '/v1/service-account-secrets', {
      token: cleoToken,
      body: { account: 'bot', expiresInSeconds: 3600 },
    });
    assert.equal(made.status, 201);
    const second = await held(api, agent, 2, 'bot');
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY'], 'she has a secret of it');
    await api.call('POST', `/v1/service-account-secrets/${String(made.body.id)}/revoke`, { token: cleoToken });
    assert.deepEqual(await approve(second, cleoToken), [403, 'APPROVAL_OWN_POLICY'], 'she had one');
    assert.equal((await api.apply(account('b'), { token: doraToken })).status, 200);
    assert.deepEqual(await approve(second, doraToken), [403, 'APPROVAL_OWN_POLICY'], 'she said whom it trusts');
    assert.deepEqual(await approve(await held(api, agent, 3), doraToken), [200, 'approved'], 'a person’s command');
    agent.close();
  }));

test('who is audited does not change the audit, in one step or in two', () =>
  withApi(manifests, async api => {
    const token = await api.provider.token(sam);
    const refused = async (text: string, why: string) => {
      for (const dryRun of [true, false]) {
        const { status, body } = await api.apply(text, { token, dryRun });
        assert.deepEqual([status, body.code], [403, 'AUDIT_OWN'], why);
      }
      assert.match(String((await api.apply(text, { token })).body.detail), /crm/);
    };
    await refused(audit('none'), 'the policy');
    await refused(crm('dev'), 'the label that it selects by');
    await refused(`${audit('none')}---${role('others')}`, 'out of the role at the same time');
    assert.equal((await api.call('DELETE', '/v1/manifests/AuditPolicy/all', { token })).body.code, 'AUDIT_OWN');
    assert.equal((await api.apply(audit('digest'))).status, 200, 'the administrator’s token is nobody’s');
    // In two steps: out of the role, the change, and back: the last is refused.
    assert.equal((await api.apply(role('others'), { token })).status, 200);
    assert.equal((await api.apply(audit('none'), { token })).status, 200);
    await refused(role('support'), 'back into the role');
    const other = await api.provider.token(cleo);
    assert.equal((await api.apply(role('support'), { token: other })).status, 200, 'it takes a second person');
  }));

test('uses of the administrator’s token, kills and changes are events with author, address and reason', () =>
  withApi(manifests, async api => {
    const token = await api.provider.token(cleo);
    for (let i = 0; i < 3; i++) await api.call('GET', '/v1/status');
    assert.equal((await api.apply(guard('dba', 'x'), { token, reason: 'ticket 4711' })).status, 200);
    assert.equal((await api.call('DELETE', '/v1/manifests/Guard/safety?reason=not%20needed', { token })).status, 200);
    assert.equal((await api.call('POST', '/v1/sessions/none/kill', { token, body: { reason: 'x' } })).status, 404);
    await api.plane.close();
    const reader = openLogReader(join(api.dir, 'data', 'log', 'sallyport.control'));
    const events = (await reader.read(0n, 1000)).map(({ value }) => fromBinary(ControlEventSchema, value));
    await reader.close();
    const uses = events.filter(({ type }) => type === 'AdministratorTokenUsed');
    assert.deepEqual(
      uses.map(({ payload }) => JSON.parse(Buffer.from(payload).toString())),
      [
        { method: 'POST', route: '/v1/apply' },
        { method: 'GET', route: '/v1/status' },
      ],
      'each write, and the first of the reads',
    );
    for (const { author, authorAddress, requestId } of uses) {
      assert.equal(author, 'admin');
      assert.match(authorAddress, /^127\.0\.0\.1:\d+$/);
      assert.notEqual(requestId, '');
    }
    const first = events.findIndex(({ type }) => type === 'AdministratorTokenUsed');
    assert.ok(first < events.findIndex(({ type }) => type === 'GuardApplied'), 'the use is in the log before what was done with it');
    const [, changed] = events.filter(({ type }) => type === 'GuardApplied');
    assert.deepEqual(
      [changed?.author, changed?.reason, changed?.authorIssuer, changed?.authorSubject],
      ['cleo@example.com', 'ticket 4711', api.provider.issuer, 'c1'],
    );
    assert.equal(events.find(({ type }) => type === 'GuardDeleted')?.reason, 'not needed');
    await api.restart();
  }));
