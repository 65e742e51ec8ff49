import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccessGrant, admitWithGrants, rolesWithGrants } from './access-grants.ts';
import { EVERY_DEPTH } from './enforcement-depth.ts';
import type { Manifest, Principal, RoleSpec } from './model.ts';
import { policyOf } from './policy-of.ts';

const principal: Principal = {
  kind: 'person',
  name: 'sid@example.com',
  issuer: 'https://idp',
  subject: 's-1',
  groups: ['sales'],
  delegation: [],
};
const grant: AccessGrant = {
  approvalId: 'a-1',
  role: 'oncall',
  resource: 'crm',
  principal: { kind: 'person', issuer: 'https://idp', subject: 's-1' },
  expiresAtMs: 1000,
  approvers: ['dan@example.com'],
};
const requests: RoleSpec['requests'] = {
  by: { groups: ['sales'] },
  approval: { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 1, preview: false },
  maxDurationMs: 1000,
};
const manifests = (role: Partial<RoleSpec>, grants: AccessGrant[]): Manifest[] => {
  const spec: RoleSpec = {
    members: { groups: [], serviceAccounts: [], principals: [] },
    resources: { names: ['crm', 'hr'] },
    session: {},
    requests,
    ...role,
  };
  const resource = (name: string): Manifest =>
    ({
      kind: 'Resource',
      name,
      labels: {},
      spec: {
        protocol: 'postgres',
        upstream: { address: 'x:1', tls: { mode: 'disable' } },
        agents: { labels: {} },
        credential: 'c',
        unknown: 'deny',
      },
    }) as unknown as Manifest;
  const [made] = rolesWithGrants([{ name: 'oncall', spec }], grants);
  return [resource('crm'), resource('hr'), { kind: 'Role', name: 'oncall', labels: {}, spec: made?.spec } as unknown as Manifest];
};
const admitted = (
  options: { who?: Partial<Principal>; grants?: AccessGrant[]; resource?: string; at?: number; role?: Partial<RoleSpec> } = {},
) => {
  const { who = {}, grants = [grant], resource = 'crm', at = 999, role = {} } = options;
  return admitWithGrants(policyOf(manifests(role, grants)), grants, { ...principal, ...who }, resource, EVERY_DEPTH, new Date(at));
};

test('a grant admits whom it names, to what it names, until it ends', () => {
  const admission = admitted();
  assert.deepEqual([admission.admitted, admission.admitted && admission.access?.approvalId], [true, 'a-1']);
  const refused = [
    { at: 1000 },
    { resource: 'hr' },
    { grants: [] },
    { who: { issuer: 'https://other' } },
    { who: { subject: 's-2' } },
    { who: { kind: 'workload' as const } },
    { who: { delegation: ['bot'] } },
    { who: { subject: 's-2', groups: ['\0access/a-1'] } },
    { role: { requests: undefined as never } },
    { role: { when: 'false' } },
  ];
  for (const [i, options] of refused.entries()) assert.equal(admitted(options).admitted, false, `case ${i}`);
});

test('who may by themselves needs no grant', () => {
  const admission = admitted({ role: { members: { groups: ['sales'], serviceAccounts: [], principals: [] } } });
  assert.equal(admission.admitted && admission.access, undefined);
});
