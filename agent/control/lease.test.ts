import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { generateSealingKey, seal } from '@sallyport/shared/crypto/seal.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { readPrivateJson } from '../files.ts';
import type { EnrolmentState } from './enrolment.ts';
import type { AgentKeys } from './keys.ts';
import { acceptLease, keptLease, openLease, saveLease } from './lease.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const leaseKey = generateKeyPairSync('ed25519');
const sealing = generateSealingKey();
const enrolment: EnrolmentState = {
  agentId: 'a'.repeat(32),
  name: 'one',
  certificate: '',
  servingCertificate: 'LEAF\n',
  ca: 'CA\n',
  leaseKey: leaseKey.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'),
};
const keys: AgentKeys = {
  tlsKey: '',
  servingKey: 'SERVING KEY',
  signingKey: createPrivateKey(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' })),
  sealingKey: sealing.privateKey,
};

const sealed = (text: string, context: string, to: Uint8Array = sealing.publicKey) =>
  Buffer.from(seal(to, Buffer.from(text), context)).toString('base64');

function bundle(more: object = {}): LeaseBundle {
  const spec = { protocol: 'postgres', upstream: { address: 'h:1', tls: { mode: 'disable' } }, agents: { labels: {} }, unknown: 'deny' };
  return {
    version: 7,
    agentId: enrolment.agentId,
    issuedAt: '2026-06-01T11:00:00.000Z',
    expiresAt: '2026-06-02T11:00:00.000Z',
    tickets: { issuer: 'sallyport', keys: [] },
    identityProviders: [],
    serviceAccounts: [],
    resources: [
      { name: 'crm', labels: {}, spec: { ...spec, credential: 'crm-app' } },
      { name: 'own', labels: {}, spec: { ...spec, credential: 'crm-app', tls: { certificate: 'OWN', key: { value: '' } } } },
    ],
    roles: [],
    guards: [],
    dataPolicies: [],
    auditPolicies: [],
    credentials: { 'crm-app': sealed('{"username":"app","password":"pw-1"}', 'credential:crm-app') },
    servingKeys: { own: sealed('OWN KEY', 'serving-key:own') },
    knownCredentials: {},
    maskKeys: { crm: sealed('k'.repeat(32), 'mask-key:crm'), own: sealed('o'.repeat(32), 'mask-key:own') },
    revokedTokens: [],
    ...more,
  } as unknown as LeaseBundle;
}

function signed(value: unknown, key: KeyObject = leaseKey.privateKey, prefix = 'sallyport-lease-v1\0') {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return { bundle: bytes, signature: sign(null, Buffer.concat([Buffer.from(prefix), bytes]), key) };
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error.code;
  }
};

test('a lease counts when it is signed, ours, not outdated and not expired', () => {
  assert.equal(acceptLease(signed(bundle()), enrolment, null, NOW).version, 7);
  assert.equal(
    codeOf(() => acceptLease(signed(bundle()), enrolment, bundle(), NOW)),
    'accepted',
    'the same one again',
  );
  assert.equal(
    codeOf(() => acceptLease(signed(bundle({ version: 8 })), enrolment, bundle(), NOW)),
    'accepted',
  );
  const later = bundle({ issuedAt: '2026-06-01T11:30:00.000Z' });
  assert.equal(
    codeOf(() => acceptLease(signed(later), enrolment, bundle(), NOW)),
    'accepted',
    'prolonged',
  );
});

test('what is not a lease of ours is refused', () => {
  const other = generateKeyPairSync('ed25519').privateKey;
  assert.equal(
    codeOf(() => acceptLease(signed(bundle(), other), enrolment, null, NOW)),
    'LEASE_SIGNATURE',
  );
  assert.equal(
    codeOf(() => acceptLease(signed(bundle(), leaseKey.privateKey, ''), enrolment, null, NOW)),
    'LEASE_SIGNATURE',
    'signed for another use',
  );
  const changed = signed(bundle());
  changed.bundle[20] = (changed.bundle[20] ?? 0) ^ 1;
  assert.equal(
    codeOf(() => acceptLease(changed, enrolment, null, NOW)),
    'LEASE_SIGNATURE',
  );
  for (const length of [0, 63, 65]) {
    assert.equal(
      codeOf(() => acceptLease({ bundle: changed.bundle, signature: Buffer.alloc(length) }, enrolment, null, NOW)),
      'LEASE_SIGNATURE',
    );
  }
  assert.equal(
    codeOf(() => acceptLease(signed(bundle({ agentId: 'b'.repeat(32) })), enrolment, null, NOW)),
    'LEASE_FOREIGN',
  );
  assert.equal(
    codeOf(() => acceptLease(signed(bundle({ version: 6 })), enrolment, bundle(), NOW)),
    'LEASE_OUTDATED',
  );
  const earlier = bundle({ issuedAt: '2026-06-01T10:59:00.000Z' });
  assert.equal(
    codeOf(() => acceptLease(signed(earlier), enrolment, bundle(), NOW)),
    'LEASE_OUTDATED',
    'an older one of the same version',
  );
  assert.equal(
    codeOf(() => acceptLease(signed(bundle()), enrolment, null, Date.parse('2026-06-02T11:00:00Z'))),
    'LEASE_EXPIRED',
  );
});

test('signed, but malformed', () => {
  for (const value of ['', '{', 'null', '[]', '7', '"x"', {}, bundle({ version: '7' }), bundle({ version: 1.5 })]) {
    assert.equal(
      codeOf(() => acceptLease(signed(value), enrolment, null, NOW)),
      'LEASE_MALFORMED',
    );
  }
  for (const name of Object.keys(bundle())) {
    if (name === 'knownCredentials') continue;
    const without = { ...bundle(), [name]: undefined };
    assert.match(
      codeOf(() => acceptLease(signed(without), enrolment, null, NOW)),
      /^LEASE_(MALFORMED|FOREIGN)$/,
      name,
    );
  }
  for (const expiresAt of ['never', 17, null])
    assert.equal(
      codeOf(() => acceptLease(signed(bundle({ expiresAt })), enrolment, null, NOW)),
      'LEASE_MALFORMED',
    );
});

test('secrets are opened; the certificate that clients see is the own one of a resource, or the agent’s', () => {
  const { lease, problems } = openLease(bundle(), keys, enrolment);
  assert.deepEqual(problems, {});
  assert.deepEqual(lease.credentials, { 'crm-app': { username: 'app', password: 'pw-1' } });
  assert.equal(Buffer.from(lease.maskKeys.crm ?? []).toString(), 'k'.repeat(32));
  assert.deepEqual(lease.serving, {
    '*': { certificate: 'LEAF\nCA\n', key: 'SERVING KEY' },
    own: { certificate: 'OWN', key: 'OWN KEY' },
  });
});

test('a secret that cannot be opened is its resource’s problem alone, and is not told', () => {
  const cases: [object, RegExp][] = [
    [{ servingKeys: {} }, /serving-key:own/],
    [{ servingKeys: { own: sealed('x', 'serving-key:crm') } }, /could not be opened/],
    [{ servingKeys: { own: sealed('x', 'serving-key:own', generateSealingKey().publicKey) } }, /could not be opened/],
    [{ servingKeys: { own: 'AA' } }, /could not be opened/],
  ];
  for (const [more, message] of cases) {
    const { lease, problems } = openLease(bundle(more), keys, enrolment);
    assert.deepEqual(Object.keys(problems), ['own']);
    assert.match(problems.own ?? '', message);
    assert.ok(lease.credentials['crm-app'] !== undefined);
  }
  for (const text of ['no json hunter2', '{"username":"app"}', '["hunter2"]']) {
    const { problems } = openLease(bundle({ credentials: { 'crm-app': sealed(text, 'credential:crm-app') } }), keys, enrolment);
    assert.deepEqual(Object.keys(problems), ['crm', 'own']);
    assert.ok(!JSON.stringify(problems).includes('hunter2'));
  }
});

test('a lease is kept as it came', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-lease-'));
  const file = path.join(dir, 'lease.json');
  const lease = signed(bundle());
  await saveLease(file, lease);
  const kept = keptLease((await readPrivateJson(file)) ?? {});
  assert.ok(kept !== null);
  assert.equal(acceptLease(kept, enrolment, null, NOW).version, 7);
  assert.ok(!fs.readFileSync(file).includes('pw-1'));
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  fs.writeFileSync(file, '{"bundle":');
  await assert.rejects(readPrivateJson(file), (error: unknown) => error instanceof GatewayError && error.code === 'DATA_UNREADABLE');
  fs.rmSync(dir, { recursive: true });
});
