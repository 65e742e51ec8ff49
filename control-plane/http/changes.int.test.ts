/** Changes of policy by two people, over the API, with everybody an administrator who tries to do without the other. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Api, withApi } from './test-api.ts';
import { corpProvider, crm } from './test-manifests.ts';

const role = (group: string, name = 'support') => `
kind: Role
metadata: { name: ${name} }
spec: { members: { groups: [${group}] }, resources: { names: [crm] } }
`;
const credential = (value: string) => `
kind: Credential
metadata: { name: c }
spec: { username: u, password: { value: ${value} } }
`;
const guard = `
kind: Guard
metadata: { name: safety }
spec:
  resources: { names: [crm] }
  rules: [{ name: writes, match: { statements: [delete] }, action: hold, message: wait, approval: { from: { groups: [dba] } } }]
`;
const manifests = (issuer: string) => `${corpProvider(issuer)}${crm}---
kind: AccessPolicy
metadata: { name: admins }
spec: { roles: [admin], members: { groups: [platform] } }
---
kind: AuditPolicy
metadata: { name: all }
spec: { resources: {}, responses: head }
---${role('support')}`;

const cleo = { sub: 'c1', email: 'cleo@example.com', groups: ['platform'] };
const dora = { sub: 'd1', email: 'dora@example.com', groups: ['platform'] };
const vera = { sub: 'v1', email: 'vera@example.com', groups: ['support'] };
const sam = { sub: 's1', email: 'sam@example.com', groups: ['platform', 'support'] };

const two = { twoPersonApply: true };
const proposalOf = (api: Api, text: string, reason = 'ticket 17') => ({ manifests: [{ file: join(api.dir, 'm.yaml'), text }], reason });
const code = ({ status, body }: { status: number; body: Record<string, unknown> }) => [status, body['code'] ?? body['state']];

async function people(api: Api) {
  const as = async (who: typeof cleo) => {
    const token = await api.provider.token(who);
    return {
      token,
      propose: async (text: string) => api.call('POST', '/v1/changes', { token, body: proposalOf(api, text) }),
      answer: async (id: unknown, verb: string, reason?: string) =>
        api.call('POST', `/v1/changes/${String(id)}/${verb}`, { token, ...(reason === undefined ? {} : { body: { reason } }) }),
    };
  };
  return { cleo: await as(cleo), dora: await as(dora), vera: await as(vera), sam: await as(sam) };
}

const groupsOf = async (api: Api, name = 'support') => {
  const { body } = await api.call('GET', `/v1/manifests/Role/${name}`);
  return (body as { spec?: { members: { groups: string[] } } }).spec?.members.groups;
};

test('one proposes, another approves, and what was proposed is in force; both have had a hand in it', async () => {
  await withApi(
    manifests,
    async api => {
      const { cleo: author, dora: reviewer, vera: nobody } = await people(api);
      const direct = await api.apply(role('other'), { token: author.token });
      assert.deepEqual(code(direct), [403, 'CHANGE_NEEDS_REVIEW']);
      assert.match(String(direct.body['detail']), /sallyport apply --propose --reason/);
      assert.deepEqual(code(await api.call('DELETE', '/v1/manifests/Role/support', { token: author.token })), [403, 'CHANGE_NEEDS_REVIEW']);
      assert.equal((await api.apply(role('other'), { token: author.token, dryRun: true })).status, 200, 'looking is free');
      assert.deepEqual(await groupsOf(api), ['support']);

      assert.deepEqual(code(await nobody.propose(role('other'))), [403, 'ROLE_MISSING']);
      const proposed = await author.propose(`${role('oncall')}---${credential('hunter22hunter22')}---${guard}`);
      assert.equal(proposed.status, 201, JSON.stringify(proposed.body));
      const { id } = proposed.body;
      assert.doesNotMatch(JSON.stringify(proposed.body), /hunter22/);
      assert.deepEqual(code(await author.answer(id, 'approve')), [403, 'CHANGE_OWN']);
      assert.deepEqual(code(await nobody.answer(id, 'approve')), [403, 'ROLE_MISSING']);
      assert.deepEqual(code(await api.call('POST', `/v1/changes/${String(id)}/approve`)), [403, 'CHANGE_NEEDS_PERSON']);
      const listed = await api.call('GET', '/v1/changes', { token: reviewer.token });
      assert.deepEqual(
        (listed.body['changes'] as { id: string; reason: string }[]).map(each => [each.id, each.reason]),
        [[id, 'ticket 17']],
      );

      assert.deepEqual(code(await reviewer.answer(id, 'approve', 'looks right')), [200, 'applied']);
      assert.deepEqual(await groupsOf(api), ['oncall']);
      assert.deepEqual(code(await reviewer.answer(id, 'approve')), [200, 'applied'], 'a repeat changes nothing');
      const { body } = await api.call('GET', '/v1/history/Role/support');
      assert.match(JSON.stringify(body), /"author":"cleo@example.com".*approved by dora@example.com/);
      await api.restart(two);
      assert.deepEqual(await groupsOf(api), ['oncall'], 'it is all in the log');
    },
    two,
  );
});

test('what has changed since it was proposed is not applied, not even in part', async () => {
  await withApi(
    manifests,
    async api => {
      const { cleo: author, dora: reviewer } = await people(api);
      const { body } = await author.propose(`${role('oncall')}---${role('new', 'second')}`);
      // The administrator's token is for emergencies, and goes past the review.
      assert.equal((await api.apply(role('emergency'))).status, 200);
      const shown = await api.call('GET', `/v1/changes/${String(body['id'])}`, { token: reviewer.token });
      assert.deepEqual(shown.body['moved'], ['Role/support']);
      const refused = await reviewer.answer(body['id'], 'approve');
      assert.deepEqual(code(refused), [409, 'CHANGE_STALE']);
      assert.deepEqual([await groupsOf(api), await groupsOf(api, 'second')], [['emergency'], undefined]);
      assert.deepEqual(code(await reviewer.answer(body['id'], 'approve')), [409, 'CHANGE_CLOSED']);
    },
    two,
  );
});

test('a change is rejected or withdrawn once, and approved by one of two who come at once', async () => {
  await withApi(
    manifests,
    async api => {
      const { cleo: author, dora: reviewer } = await people(api);
      const first = (await author.propose(role('a'))).body['id'];
      assert.deepEqual(code(await author.answer(first, 'reject')), [403, 'CHANGE_OWN']);
      assert.deepEqual(code(await reviewer.answer(first, 'withdraw')), [403, 'CHANGE_NOT_OWN']);
      assert.deepEqual(code(await reviewer.answer(first, 'reject', 'not now')), [200, 'rejected']);
      assert.deepEqual(code(await author.answer(first, 'withdraw')), [409, 'CHANGE_CLOSED']);
      const second = (await author.propose(role('b'))).body['id'];
      const outcomes = await Promise.all([author.answer(second, 'withdraw'), reviewer.answer(second, 'approve')]);
      assert.deepEqual(
        outcomes.map(({ status }) => status).toSorted((a, b) => a - b),
        [200, 409],
      );
      const withdrawn = outcomes[0]?.status === 200;
      assert.deepEqual(await groupsOf(api), [withdrawn ? 'support' : 'b']);
      assert.deepEqual(code(await author.propose(role(withdrawn ? 'support' : 'b'))), [400, 'CHANGE_EMPTY']);
    },
    two,
  );
});

test('whoever is audited does not get it changed by proposing, nor by approving; deletions are reviewed too', async () => {
  await withApi(
    manifests,
    async api => {
      const { cleo: author, dora: reviewer, sam: audited } = await people(api);
      const audit = 'kind: AuditPolicy\nmetadata: { name: all }\nspec: { resources: {}, responses: none }\n';
      assert.deepEqual(code(await audited.propose(audit)), [403, 'AUDIT_OWN']);
      const { body } = await author.propose(audit);
      assert.deepEqual(code(await audited.answer(body['id'], 'approve')), [403, 'AUDIT_OWN']);
      assert.deepEqual(code(await reviewer.answer(body['id'], 'approve')), [200, 'applied']);
      const deletion = await api.call('POST', '/v1/changes', {
        token: author.token,
        body: { delete: [{ kind: 'Role', name: 'support' }], reason: 'over' },
      });
      assert.deepEqual(code(await reviewer.answer(deletion.body['id'], 'approve')), [200, 'applied']);
      assert.equal(await groupsOf(api), undefined);
      const inUse = await api.call('POST', '/v1/changes', {
        token: author.token,
        body: { delete: [{ kind: 'Credential', name: 'c' }], reason: 'over' },
      });
      assert.deepEqual(code(inUse), [409, 'MANIFEST_IN_USE']);
    },
    two,
  );
});
