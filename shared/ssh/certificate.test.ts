import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { GatewayError } from '../errors.ts';
import {
  addressMatches,
  type CertificateRequest,
  type CertificateUse,
  certificateProblem,
  decodeCertificate,
  issueCertificate,
} from './certificate.ts';
import { encodePublicKey } from './keys.ts';

const authority = generateKeyPairSync('ed25519').privateKey;
const user = generateKeyPairSync('ed25519').publicKey;
const blobOf = (key: KeyObject) => encodePublicKey(createPublicKey(key));
const nowMs = 1_800_000_000_000;
const now = nowMs / 1000;

function issued(more: Partial<CertificateRequest> = {}): Buffer {
  const request = {
    key: user,
    role: 'user' as const,
    serial: 7n,
    keyId: 'id',
    principals: ['olga'],
    validAfter: now - 60,
    validBefore: now + 60,
  };
  return issueCertificate({ ...request, ...more }, authority);
}

const problem = (blob: Buffer, use: Partial<CertificateUse> = {}) =>
  certificateProblem(decodeCertificate(blob), {
    role: 'user',
    authorities: [blobOf(authority)],
    nowMs,
    address: '10.1.2.3',
    enforced: ['force-command'],
    ...use,
  });

test('a certificate says what it was issued with, and counts', () => {
  const blob = issued({ criticalOptions: { 'force-command': 'uptime' }, extensions: { 'permit-pty': '', 'x@y': 'z' } });
  const certificate = decodeCertificate(blob);
  assert.equal(certificate.keyId, 'id');
  assert.deepEqual(certificate.principals, ['olga']);
  assert.equal(certificate.criticalOptions.get('force-command'), 'uptime');
  assert.equal(certificate.extensions.get('x@y'), 'z');
  assert.equal(problem(blob), null);
});

test('every reason for which one does not count', () => {
  const stranger = generateKeyPairSync('ed25519').privateKey;
  assert.match(problem(issued(), { authorities: [blobOf(stranger)] }) ?? '', /another authority/);
  assert.match(problem(issued({ role: 'host' })) ?? '', /for a host/);
  assert.match(problem(issued({ validBefore: now })) ?? '', /expired/);
  assert.match(problem(issued({ validAfter: now + 1 })) ?? '', /not valid yet/);
  assert.match(problem(issued({ criticalOptions: { 'verify-required': '' } })) ?? '', /verify-required/);
  assert.match(problem(issued({ criticalOptions: { 'source-address': '10.9.0.0/16' } })) ?? '', /this address/);
  assert.equal(problem(issued({ criticalOptions: { 'source-address': '10.9.0.0/16,10.1.2.0/24' } })), null);
  assert.match(problem(issued({ criticalOptions: { 'force-command': 'x' } }), { enforced: [] }) ?? '', /force-command/);
});

test('a byte that is changed anywhere makes it nothing', () => {
  const blob = issued({ extensions: { 'permit-pty': '' } });
  for (let at = 0; at < blob.length; at++) {
    const changed = Buffer.from(blob);
    changed[at] = (changed[at] as number) ^ 1;
    try {
      assert.notEqual(problem(changed), null, `byte ${at}`);
    } catch (error) {
      assert.ok(error instanceof GatewayError, `byte ${at}: ${String(error)}`);
    }
  }
  for (let length = 0; length < blob.length; length++) assert.throws(() => decodeCertificate(blob.subarray(0, length)), GatewayError);
});

test('addresses and blocks of them', () => {
  assert.ok(addressMatches('::ffff:10.1.2.3', '10.1.2.3/32'));
  assert.ok(addressMatches('2001:db8::1', '2001:db8::/32'));
  assert.ok(addressMatches('127.0.0.1', '10.0.0.0/8, 127.0.0.1'));
  for (const list of ['10.0.0.0/33', '10.0.0/8', '', '*', '0.0.0.0/0x0', '::/0']) assert.ok(!addressMatches('10.1.2.3', list), list);
});
