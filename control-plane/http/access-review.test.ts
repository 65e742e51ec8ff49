import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { reviewOf, type Use } from './access-review.ts';

const manifest = (kind: Manifest['kind'], name: string, spec: object, labels = {}) => ({ kind, name, labels, spec }) as unknown as Manifest;
const members = (more: object) => ({ groups: [], principals: [], serviceAccounts: [], ...more });
const use = (more: Partial<Use>): Use => ({
  ...{
    role: 'reader',
    resource: 'crm',
    principal: 'ann',
    principalKind: 'person',
    groups: ['support'],
    lastAt: '2026-01-01T00:00:00Z',
    sessions: 1,
  },
  ...more,
});
const never = { lastUsedAt: null, sessions: 0 };

test('every grant, account and credential, with the last session that needed it', () => {
  const review = reviewOf(
    [
      manifest('Resource', 'crm', { credential: 'app' }, { env: 'prod' }),
      manifest('Resource', 'old', { credential: 'legacy' }),
      manifest('Credential', 'app', {}),
      manifest('Credential', 'legacy', {}),
      manifest('Credential', 'orphan', {}),
      manifest('ServiceAccount', 'bot', {}),
      manifest('Role', 'reader', {
        members: members({ groups: ['support', 'sales'], principals: ['ann', 'bot'], serviceAccounts: ['bot'] }),
        resources: { labels: { env: 'prod' } },
      }),
    ],
    [
      use({}),
      use({ principal: 'bob', groups: ['support', 'dba'], lastAt: '2026-03-01T00:00:00Z', sessions: 3 }),
      use({ principal: 'bot', principalKind: 'workload', groups: [], lastAt: '2026-02-01T00:00:00Z' }),
      use({ role: 'another', groups: ['sales'], lastAt: '2026-04-01T00:00:00Z' }),
    ],
  );
  const reader = { role: 'reader', resources: ['crm'] };
  assert.deepEqual(review.grants, [
    { ...reader, kind: 'group', member: 'support', lastUsedAt: '2026-03-01T00:00:00Z', sessions: 4 },
    { ...reader, kind: 'group', member: 'sales', ...never },
    { ...reader, kind: 'person', member: 'ann', lastUsedAt: '2026-01-01T00:00:00Z', sessions: 1 },
    { ...reader, kind: 'person', member: 'bot', ...never },
    { ...reader, kind: 'serviceAccount', member: 'bot', lastUsedAt: '2026-02-01T00:00:00Z', sessions: 1 },
  ]);
  assert.deepEqual(review.serviceAccounts, [{ name: 'bot', lastUsedAt: '2026-02-01T00:00:00Z', sessions: 1 }]);
  assert.deepEqual(review.credentials, [
    { name: 'app', resources: ['crm'], lastUsedAt: '2026-04-01T00:00:00Z', sessions: 6 },
    { name: 'legacy', resources: ['old'], ...never },
    { name: 'orphan', resources: [], ...never },
  ]);
});
