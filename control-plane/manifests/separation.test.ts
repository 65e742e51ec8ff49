import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { ownAuditChanged } from './separation.ts';

const ann: Principal = { kind: 'person', name: 'ann', issuer: 'i', subject: 's-ann', groups: ['dba'], delegation: [] };
const manifest = (kind: Manifest['kind'], name: string, spec: object, labels: Record<string, string> = {}) =>
  ({ kind, name, labels, spec }) as unknown as Manifest;
const crm = (env = 'prod') => manifest('Resource', 'crm', {}, { env });
const audit = (responses = 'full', resources: object = { labels: { env: 'prod' } }) =>
  manifest('AuditPolicy', 'prod', { resources, responses });
const role = (members: object = { groups: ['dba'] }, when?: string) =>
  manifest('Role', 'dba', { members: { groups: [], serviceAccounts: [], principals: [], ...members }, resources: {}, when });
const inForce = [crm(), audit(), role()];
const changed = (
  after: Manifest[],
  options: { before?: Manifest[]; existed?: boolean; shaped?: boolean; granted?: boolean; editor?: Principal } = {},
) =>
  ownAuditChanged(options.editor ?? ann, {
    before: options.before ?? inForce,
    after,
    existed: () => options.existed ?? true,
    shaped: () => options.shaped ?? false,
    granted: () => options.granted ?? false,
  });

test('who may use a resource changes nothing about its audit, by whatever way', () => {
  const ways: Record<string, Manifest[]> = {
    'the policy itself': [crm(), audit('none'), role()],
    'a field of it that is new here': [crm(), manifest('AuditPolicy', 'prod', { ...audit().spec, retention: 1 }), role()],
    'what it selects': [crm(), audit('full', { names: ['other'] }), role()],
    'the label that it selects by': [crm('dev'), audit(), role()],
    'another policy beside it': [crm(), audit(), manifest('AuditPolicy', 'lax', { resources: {}, responses: 'none' }), role()],
    'no policy at all': [crm(), role()],
    'out of the role in the same breath': [crm(), audit('none')],
    'a role that holds at night only': [crm(), audit('none'), role({ groups: ['dba'] }, 'now.getHours() < 6')],
    'without the resource, for a moment': [audit(), role()],
  };
  for (const [way, after] of Object.entries(ways)) assert.deepEqual(changed(after), ['crm'], way);
  assert.deepEqual(changed([crm(), audit('none'), role({ principals: ['ann'] })], { before: [crm(), audit()] }), ['crm'], 'into the role');
});

test('a role again, for who has done away with the audit policy meanwhile', () => {
  assert.deepEqual(changed([crm(), role()], { before: [crm()], shaped: true }), ['crm'], 'the policy is gone');
  assert.deepEqual(
    changed([crm('dev'), audit(), role()], { before: [crm('dev'), audit()], shaped: true }),
    ['crm'],
    'or selects it no more',
  );
});

test('access that is given for a time counts like a role', () => {
  assert.deepEqual(changed([crm(), audit('none')], { before: [crm(), audit()], granted: true }), ['crm']);
});

test('a role again, for who has shaped the audit policy meanwhile', () => {
  assert.deepEqual(changed(inForce, { before: [crm(), audit()], shaped: true }), ['crm']);
  assert.deepEqual(changed(inForce, { before: [crm(), audit()] }), []);
  assert.deepEqual(
    changed([...inForce, manifest('Guard', 'g', {})], { shaped: true }),
    [],
    'who is in the role already changes other things',
  );
});

test('everybody else, and everything else', () => {
  const after = [crm(), audit('none'), role()];
  assert.deepEqual(changed(after, { editor: { ...ann, groups: ['security'] } }), []);
  assert.deepEqual(changed(after, { editor: { ...ann, kind: 'workload', groups: [] } }), []);
  assert.deepEqual(changed([crm(), audit(), role(), manifest('Guard', 'g', {})]), []);
  assert.deepEqual(changed(inForce, { before: [audit(), role()], existed: false }), [], 'a new resource has no records');
});
