import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import {
  encodePart,
  OWN_PREFIX,
  type OwnContent,
  ownParts,
  partHash,
  partsDigest,
  SHARED_PREFIX,
  type SharedContent,
  sharedParts,
} from '@sallyport/shared/policy/lease-parts.ts';
import { readPrivateJson } from '../files.ts';
import { applyUpdate, type HeldLease, keptHalves, type LeaseUpdate, type SignedHalf, saveHalves } from './lease-halves.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const leaseKey = generateKeyPairSync('ed25519');
const enrolment = {
  agentId: 'a'.repeat(32),
  leaseKey: leaseKey.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'),
};

const role = (name: string, rows = 1) => ({ name, spec: { budget: { rows } } }) as unknown as SharedContent['roles'][number];
const shared = {
  tickets: { issuer: 'sallyport', keys: [{ kty: 'OKP' }] },
  identityProviders: [{ name: 'corp', spec: {} }],
  serviceAccounts: [{ name: 'bot', spec: {} }],
  resources: [{ name: 'crm', labels: { env: 'prod' }, spec: { protocol: 'postgres' } }],
  roles: [role('support'), role('zebra')],
  guards: [{ name: 'safety', spec: {} }],
  dataPolicies: [],
  auditPolicies: [{ name: 'default', spec: {} }],
  knownCredentials: { key: 'k', fingerprints: [{ forms: [1] }] },
  revokedTokens: ['t1', 't2'],
  blockedPeople: ['eve'],
  grants: [{ approvalId: 'g1', resource: 'crm' }],
  console: 'http://c',
  contentKey: { id: 'k', publicKey: 'cHVibGlj' },
  sshUserAuthority: 'ua',
} as unknown as SharedContent;
const own: OwnContent = {
  credentials: { app: 'sealed' },
  servingKeys: { crm: 'key' },
  maskKeys: { crm: 'mask' },
  hostCertificates: { crm: 'cert' },
};

interface Claims {
  group: string;
  version: number;
  issuedAt: string;
  expiresAt: string;
  agentId: string;
  digest: string;
}

/** A half as a control plane makes it, whole or as the difference to `before`. */
function half(
  prefix: string,
  parts: ReadonlyMap<string, unknown>,
  before: ReadonlyMap<string, unknown> | null = null,
  claims: Partial<Claims> = {},
  key: KeyObject = leaseKey.privateKey,
): SignedHalf {
  const encoded = new Map([...parts].map(([name, value]) => [name, encodePart(value)]));
  const digest = partsDigest(new Map([...encoded].map(([name, value]) => [name, partHash(value)])));
  const statement = Buffer.from(
    JSON.stringify({
      ...{ group: 'g', version: 7, issuedAt: '2026-06-01T11:00:00.000Z', expiresAt: '2026-06-02T11:00:00.000Z', digest },
      ...(prefix === OWN_PREFIX ? { agentId: enrolment.agentId } : {}),
      ...claims,
    }),
  );
  return {
    statement,
    signature: sign(null, Buffer.concat([Buffer.from(prefix, 'latin1'), statement]), key),
    whole: before === null,
    put: [...encoded].filter(([name]) => before?.get(name) !== parts.get(name)).map(([name, value]) => ({ key: name, value })),
    removed: before === null ? [] : [...before.keys()].filter(name => !parts.has(name)),
  };
}

const sharedHalf = (more: Partial<SharedContent> = {}, before: ReadonlyMap<string, unknown> | null = null, claims: Partial<Claims> = {}) =>
  half(SHARED_PREFIX, sharedParts({ ...shared, ...more }), before, claims);
const ownHalf = (claims: Partial<Claims> = {}) => half(OWN_PREFIX, ownParts(own), null, claims);
const apply = (update: LeaseUpdate, held: HeldLease | null = null, notBefore: { version: number } | null = null, nowMs = NOW) =>
  applyUpdate(held, update, enrolment, notBefore, nowMs);
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error.code;
  }
};

test('both halves together are the bundle that they were taken apart from', () => {
  const { bundle } = apply({ shared: sharedHalf(), own: ownHalf() });
  const { sshUserAuthority: userAuthority, ...rest } = shared;
  const { hostCertificates, ...sealed } = own;
  assert.deepEqual(bundle, {
    ...{ ...rest, ...sealed, ssh: { userAuthority, hostCertificates }, agentId: enrolment.agentId, version: 7 },
    ...{ issuedAt: '2026-06-01T11:00:00.000Z', expiresAt: '2026-06-02T11:00:00.000Z' },
  });
});

test('a difference changes what it names and leaves the rest', () => {
  const { held } = apply({ shared: sharedHalf(), own: ownHalf() });
  const update = sharedHalf({ roles: [role('support', 2)] }, sharedParts(shared), { version: 8 });
  assert.deepEqual(
    update.put.map(({ key }) => key).filter(key => key.startsWith('role')),
    ['role/support'],
  );
  assert.ok(update.removed.includes('role/zebra'));
  const { bundle } = apply({ shared: update }, held);
  assert.deepEqual(bundle.roles, [role('support', 2)]);
  assert.equal(bundle.version, 8);
  assert.equal(bundle.credentials['app'], 'sealed');
});

test('what is not signed, or not what was signed, does not count', () => {
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const good = { shared: sharedHalf(), own: ownHalf() };
  const refused = (update: LeaseUpdate, code: string) =>
    assert.equal(
      codeOf(() => apply(update)),
      code,
    );
  refused({ ...good, shared: half(SHARED_PREFIX, sharedParts(shared), null, {}, stranger) }, 'LEASE_SIGNATURE');
  refused({ ...good, shared: half(OWN_PREFIX, sharedParts(shared)) }, 'LEASE_SIGNATURE');
  const forged = sharedHalf();
  refused({ ...good, shared: { ...forged, put: forged.put.slice(1) } }, 'LEASE_SIGNATURE');
  const [first, ...others] = forged.put;
  assert.ok(first);
  refused({ ...good, shared: { ...forged, put: [{ ...first, value: encodePart('other') }, ...others] } }, 'LEASE_SIGNATURE');
  // Two parts' values under each other's keys.
  const [second, ...more] = others;
  assert.ok(second);
  const swapped = [{ ...first, value: second.value }, { ...second, value: first.value }, ...more];
  refused({ ...good, shared: { ...forged, put: swapped } }, 'LEASE_SIGNATURE');
  refused({ ...good, own: ownHalf({ agentId: 'b'.repeat(32) }) }, 'LEASE_FOREIGN');
  // The policy of agents that serve other resources, which may be laxer.
  refused({ ...good, shared: sharedHalf({}, null, { group: 'other' }) }, 'LEASE_FOREIGN');
  refused({ ...good, shared: sharedHalf({}, null, { expiresAt: '2026-06-01T11:59:00Z' }) }, 'LEASE_EXPIRED');
  refused({ ...good, own: ownHalf({ expiresAt: 'soon' }) }, 'LEASE_MALFORMED');
  refused({ shared: good.shared }, 'LEASE_INCOMPLETE');
});

test('a difference to something else asks for everything; an old half is no way back', () => {
  const { held } = apply({ shared: sharedHalf(), own: ownHalf() });
  const elsewhere = sharedParts({ ...shared, guards: [] });
  assert.equal(
    codeOf(() => apply({ shared: sharedHalf({ guards: [], roles: [] }, elsewhere, { version: 8 }) }, held)),
    'LEASE_INCOMPLETE',
  );
  assert.equal(
    codeOf(() => apply({ shared: sharedHalf({}, null, { version: 6 }) }, held)),
    'LEASE_OUTDATED',
  );
  assert.equal(
    codeOf(() => apply({ shared: sharedHalf(), own: ownHalf() }, null, { version: 8 })),
    'LEASE_OUTDATED',
  );
});

test('of a newer control plane: what may be ignored is, what may restrict refuses the lease', () => {
  const more = (key: string) => ({ shared: half(SHARED_PREFIX, new Map([...sharedParts(shared), [key, { name: 'x' }]])), own: ownHalf() });
  assert.equal(apply(more('~hint/x')).bundle.roles.length, 2);
  assert.equal(
    codeOf(() => apply(more('embargo/x'))),
    'LEASE_UNKNOWN_PART',
  );
});

test('it is kept as it came, and checked again when it is read', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-halves-'));
  const file = path.join(dir, 'lease.json');
  const { held, bundle } = apply({ shared: sharedHalf(), own: ownHalf() });
  await saveHalves(file, held);
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const kept = keptHalves((await readPrivateJson(file)) ?? {});
  assert.ok(kept);
  assert.deepEqual(apply(kept).bundle, bundle);
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('support', 'zupport'));
  const changed = keptHalves((await readPrivateJson(file)) ?? {});
  assert.ok(changed);
  assert.equal(
    codeOf(() => apply(changed)),
    'LEASE_SIGNATURE',
  );
  assert.equal(keptHalves({ bundle: 'x', signature: 'y' }), null);
  fs.rmSync(dir, { recursive: true });
});
