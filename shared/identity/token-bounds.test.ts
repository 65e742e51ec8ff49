import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundsOf, peerAt, refusalByBounds } from './token-bounds.ts';

const thumbprint = 'A'.repeat(43);

test('the bounds of tickets, and of tokens of others', () => {
  assert.deepEqual(boundsOf({}, true), {});
  assert.deepEqual(boundsOf({ role: 'r', networks: ['10.0.0.0/8'], cnf: { 'x5t#S256': thumbprint } }, true), {
    role: 'r',
    networks: ['10.0.0.0/8'],
    certificate: thumbprint,
  });
  assert.deepEqual(boundsOf({ role: ['admin'], networks: 'office', cnf: { 'x5t#S256': thumbprint } }, false), { certificate: thumbprint });
});

test('a binding that is malformed or not known makes the token unusable', () => {
  for (const cnf of [null, {}, [], 'x', { jkt: 'x' }, { 'x5t#S256': thumbprint, jkt: 'x' }, { 'x5t#S256': 'short' }, { 'x5t#S256': 1 }]) {
    assert.equal(boundsOf({ cnf }, true), null, JSON.stringify(cnf));
    assert.equal(boundsOf({ cnf }, false), null, JSON.stringify(cnf));
  }
  for (const claims of [
    { role: '' },
    { role: 1 },
    { networks: [] },
    { networks: '10.0.0.0/8' },
    { networks: ['10.0.0.1/8'] },
    { networks: [1] },
    { networks: Array.from({ length: 17 }, () => '10.0.0.0/8') },
  ]) {
    assert.equal(boundsOf(claims, true), null, JSON.stringify(claims));
  }
});

test('the peer of an address as listeners write it', () => {
  assert.equal(peerAt('192.0.2.1:4711').address, '192.0.2.1');
  assert.equal(peerAt('[2001:db8::1]:4711').address, '2001:db8::1');
  assert.equal(peerAt('').address, '');
  assert.equal(refusalByBounds(undefined, peerAt('')), null);
  assert.equal(
    refusalByBounds({ networks: ['::/0'] }, peerAt('[::ffff:192.0.2.1]:1'))?.code,
    'TOKEN_OTHER_NETWORK',
    'IPv4 over IPv6 is IPv4',
  );
});
