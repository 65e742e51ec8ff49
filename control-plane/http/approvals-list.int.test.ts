/** Approvals over the API: those that wait, and those that are over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withApi } from './test-api.ts';
import { corpProvider, crm } from './test-manifests.ts';

const manifests = (issuer: string) => `${corpProvider(issuer)}${crm}---
kind: Role
metadata: { name: oncall }
spec:
  members: {}
  resources: { names: [crm] }
  requests: { by: { groups: [sales] }, approval: { from: { groups: [dba] }, expiresIn: 1h }, maxDuration: 2h }
`;

test('approvals are listed by how they stand, the newest first, to those who may see them', () =>
  withApi(manifests, async api => {
    const [sid, dora, eve] = await Promise.all([
      api.provider.token({ sub: 's', email: 'sid@example.com', groups: ['sales'] }),
      api.provider.token({ sub: 'd', email: 'dora@example.com', groups: ['dba'] }),
      api.provider.token({ sub: 'e', email: 'eve@example.com', groups: ['other'] }),
    ]);
    const ids: string[] = [];
    for (const reason of ['one', 'two', 'three', 'four']) {
      const asked = await api.call('POST', '/v1/requests', { token: sid, body: { resource: 'crm', seconds: 600, reason } });
      assert.equal(asked.status, 201, JSON.stringify(asked.body));
      ids.push(String(asked.body.id));
    }
    const [one = '', two = '', three = '', four = ''] = ids;
    const answer = async (id: string, how: string) =>
      assert.equal((await api.call('POST', `/v1/approvals/${id}/${how}`, { token: dora, body: { reason: 'r' } })).status, 200);
    await answer(one, 'deny');
    await answer(two, 'deny');
    await answer(three, 'approve');

    const listed = async (query: string, token?: string) => {
      const { status, body } = await api.call('GET', `/v1/approvals${query}`, token === undefined ? {} : { token });
      assert.equal(status, 200, JSON.stringify(body));
      return (body.approvals as { id: string }[]).map(({ id }) => id);
    };
    for (const token of [undefined, sid, dora]) {
      assert.deepEqual(await listed('', token), [four]);
      assert.deepEqual(await listed('?state=denied', token), [two, one]);
      assert.deepEqual(await listed('?state=approved', token), [three]);
      assert.deepEqual(await listed('?state=withdrawn', token), []);
      assert.deepEqual(new Set(await listed('?state=all', token)), new Set(ids));
    }
    assert.deepEqual(await listed('?state=denied&limit=1'), [two]);
    assert.deepEqual(await listed('?state=all', eve), []);
    assert.equal((await api.call('GET', '/v1/approvals?state=whatever')).status, 400);
    // A restart folds to the same.
    await api.restart();
    assert.deepEqual(await listed('?state=denied'), [two, one]);
  }));
