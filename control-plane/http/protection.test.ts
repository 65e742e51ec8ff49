import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { protectingManifest, protectionOf } from './protection.ts';

function policies(text: string): Manifest<'DataPolicy'>[] {
  const { manifests, problems } = parseManifests([{ path: 'a.yaml', text }]);
  assert.deepEqual(problems, []);
  return manifests as Manifest<'DataPolicy'>[];
}

const crm = { name: 'crm', labels: { env: 'prod' } };

test('the manifest that is suggested is one, and protects that very column and no other', () => {
  for (const [column, match] of [
    ['public.customers.notes', 'public.customers.notes'],
    ['public.Odd Table.E-Mail', 'public."Odd Table"."E-Mail"'],
    ['public.t.*', 'public.t."*"'],
  ] as const) {
    const text = protectingManifest('crm', column, 'email');
    assert.ok(text !== null);
    const [policy, ...more] = policies(text);
    assert.equal(more.length, 0);
    assert.equal(policy?.spec.columns[0]?.match, match);
    assert.deepEqual(protectionOf(policies(text), crm, column), { policy: policy?.name, action: 'mask', as: 'partial' });
    assert.equal(protectionOf(policies(text), crm, 'public.customers.other'), null);
    assert.equal(protectionOf(policies(text), { name: 'shop', labels: {} }, column), null);
  }
  assert.match(String(protectingManifest('crm', 'public.t.c', 'us-ssn')), /as: redact/);
});

test('nothing is suggested for names that cannot be written down, and nothing of a name gets out of its place', () => {
  for (const column of ['customers.notes', 'a.b.c.d', 'public..x', 'public.t."x"'])
    assert.equal(protectingManifest('crm', column, 'email'), null);
  const text = protectingManifest('crm', "public.t.x', action: allow }\n    - { match: y #", 'email');
  const [policy] = policies(String(text));
  assert.deepEqual(
    policy?.spec.columns.map(({ match, action }) => [match, action]),
    [[`public.t."x', action: allow }\n    - { match: y #"`, 'mask']],
  );
});

test('the strictest rule of the policies that apply is told; an exact `allow` lifts the wildcards of its own policy', () => {
  const all = policies(`
kind: DataPolicy
metadata: { name: wide }
spec: { resources: { labels: { env: prod } }, columns: [ { match: "public.*.email", action: mask, as: hash }, { match: "public.news.email", action: allow } ] }
---
kind: DataPolicy
metadata: { name: other }
spec: { resources: { names: [shop] }, columns: [ { match: "*.*.*", action: deny } ] }
---
kind: DataPolicy
metadata: { name: secrets }
spec: { resources: { names: [crm] }, columns: [ { match: "public.users.email", action: deny } ] }
`);
  assert.deepEqual(protectionOf(all, crm, 'public.customers.email'), { policy: 'wide', action: 'mask', as: 'hash' });
  assert.equal(protectionOf(all, crm, 'public.news.email'), null);
  assert.deepEqual(protectionOf(all, crm, 'public.users.email')?.action, 'deny');
  assert.equal(protectionOf(all, { name: 'dev', labels: {} }, 'public.customers.email'), null);
});
