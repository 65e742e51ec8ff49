import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimAt, isTrusted } from './trusts.ts';

const issuer = 'https://ci.example';
const claims = {
  sub: 'repo:acme/billing:ref:refs/heads/main',
  repository: 'acme/billing',
  ref_protected: true,
  run_attempt: 1,
  environments: ['prod', 'dr'],
  'kubernetes.io': { namespace: 'billing', serviceaccount: { name: 'job' } },
  'https://acme.example/claims': { team: 'a' },
};

test('a trust by claims: nested, text or list; all must fit', () => {
  const fits = (wanted: Record<string, string[]>, subject?: string) =>
    isTrusted({ issuer, claims: wanted, ...(subject === undefined ? {} : { subject }) }, issuer, claims);
  assert.ok(fits({ repository: ['acme/billing'] }));
  assert.ok(fits({ repository: ['acme/other', 'acme/billing'], environments: ['dr'] }));
  assert.ok(fits({ 'kubernetes.io.namespace': ['billing'], 'kubernetes.io.serviceaccount.name': ['job'] }));
  assert.ok(fits({ 'https://acme.example/claims.team': ['a'] }));
  assert.ok(fits({ ref_protected: ['true'], run_attempt: ['1'] }, claims.sub));
  for (const wanted of [
    { repository: ['acme'] },
    { repository: ['acme/billing'], environments: ['test'] },
    { missing: ['undefined'] },
    { constructor: ['x'] },
    { 'kubernetes.io': ['[object Object]'] },
    { 'kubernetes.io.serviceaccount': ['job'] },
    { repository: [] },
  ] as Record<string, string[]>[]) {
    assert.ok(!fits(wanted), JSON.stringify(wanted));
  }
  assert.ok(!fits({ repository: ['acme/billing'] }, 'another'));
  assert.ok(!isTrusted({ issuer: 'https://other', subject: claims.sub }, issuer, claims));
  assert.ok(!isTrusted({ issuer }, issuer, claims), 'an issuer alone is nobody');
  assert.ok(!isTrusted({ issuer, claims: {} }, issuer, claims));
});

test('a name with dots before the way that its dots lead', () => {
  assert.equal(claimAt({ 'a.b': 1, a: { b: 2 } }, 'a.b'), 1);
  assert.equal(claimAt({ a: { b: 2 } }, 'a.b'), 2);
  assert.equal(claimAt({ a: ['x'] }, 'a.0'), undefined);
  assert.equal(claimAt({}, '__proto__.toString'), undefined);
});
