/**
 * What makes a lease count: its signature, whose it is, its version and its expiry; and the opening of what is sealed in it. The
 * bytes are checked before they are parsed. Policy inside is judged elsewhere.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { open } from '@sallyport/shared/crypto/seal.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { replacePrivateFile } from '../files.ts';
import type { LeasedCredential, OpenedLease } from '../worker-messages.ts';
import { type EnrolmentState, trustedLeaseKeys } from './enrolment.ts';
import type { AgentKeys } from './keys.ts';

export interface SignedLease {
  bundle: Uint8Array;
  signature: Uint8Array;
}

const PREFIX = Buffer.from('sallyport-lease-v1\0', 'latin1');
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * @param current the lease in force, which a new one must not be older than.
 * @throws {GatewayError} LEASE_SIGNATURE, LEASE_MALFORMED, LEASE_FOREIGN, LEASE_OUTDATED, LEASE_EXPIRED; it does not count then.
 */
export function acceptLease(
  signed: SignedLease,
  enrolment: Pick<EnrolmentState, 'agentId' | 'leaseKey' | 'leaseKeys'>,
  current: LeaseBundle | null,
  nowMs: number,
): LeaseBundle {
  const message = Buffer.concat([PREFIX, signed.bundle]);
  const isSigned = trustedLeaseKeys(enrolment).some(key => verify(null, message, publicKeyOf(key), signed.signature));
  if (signed.signature.length !== 64 || !isSigned) {
    throw new GatewayError('LEASE_SIGNATURE', 'denied', "the lease is not signed by this control plane's lease key");
  }
  const bundle = parseBundle(signed.bundle);
  if (bundle.agentId !== enrolment.agentId) throw new GatewayError('LEASE_FOREIGN', 'denied', 'the lease is for another agent');
  if (Date.parse(bundle.expiresAt) <= nowMs) throw new GatewayError('LEASE_EXPIRED', 'denied', `the lease expired at ${bundle.expiresAt}`);
  if (current !== null) {
    const older = bundle.version < current.version || (bundle.version === current.version && bundle.issuedAt < current.issuedAt);
    if (older) {
      throw new GatewayError(
        'LEASE_OUTDATED',
        'denied',
        `lease ${bundle.version} of ${bundle.issuedAt} is older than lease ${current.version} of ${current.issuedAt}, which is in force`,
      );
    }
  }
  return bundle;
}

/**
 * Opens the secrets of a lease with the agent's sealing key. What cannot be opened is left out, and its resource is a problem: the
 * others are served all the same.
 */
export function openLease(
  bundle: LeaseBundle,
  keys: AgentKeys,
  enrolment: EnrolmentState,
): { lease: OpenedLease; problems: Record<string, string> } {
  const problems: Record<string, string> = {};
  const credentials: OpenedLease['credentials'] = {};
  const maskKeys: OpenedLease['maskKeys'] = {};
  const hostKeys: Record<string, string> = {};
  const serving: OpenedLease['serving'] = {
    '*': { certificate: `${enrolment.servingCertificate.trimEnd()}\n${enrolment.ca}`, key: keys.servingKey },
  };
  const unseal = (sealed: string | undefined, context: string): Uint8Array => {
    if (sealed === undefined) throw new GatewayError('LEASE_SECRET_MISSING', 'unavailable', `the lease has no ${context}`);
    return open(keys.sealingKey, Buffer.from(sealed, 'base64'), context);
  };
  for (const { name, spec } of bundle.resources) {
    try {
      maskKeys[name] = unseal(bundle.maskKeys[name], `mask-key:${name}`);
      credentials[spec.credential] ??= parseCredential(
        unseal(bundle.credentials[spec.credential], `credential:${spec.credential}`),
        spec.credential,
      );
      if (spec.protocol === 'ssh') {
        hostKeys[name] = Buffer.from(unseal(bundle.servingKeys[name], `serving-key:${name}`)).toString('utf8');
      } else if (spec.tls !== undefined) {
        serving[name] = {
          certificate: spec.tls.certificate,
          key: Buffer.from(unseal(bundle.servingKeys[name], `serving-key:${name}`)).toString('utf8'),
        };
      }
    } catch (error) {
      problems[name] = errorText(error);
    }
  }
  return { lease: { bundle, credentials, maskKeys, serving, hostKeys }, problems };
}

/** Keeps a lease as it came: signed, and with its secrets sealed. */
export async function saveLease(file: string, signed: SignedLease): Promise<void> {
  const text = { bundle: Buffer.from(signed.bundle).toString('base64'), signature: Buffer.from(signed.signature).toString('base64') };
  await replacePrivateFile(file, JSON.stringify(text));
}

/** @returns what `saveLease` wrote; null when it is something else. Whether it counts is for `acceptLease` to say. */
export function keptLease(stored: Readonly<Record<string, unknown>>): SignedLease | null {
  const { bundle, signature } = stored;
  if (typeof bundle !== 'string' || typeof signature !== 'string') return null;
  return { bundle: Buffer.from(bundle, 'base64'), signature: Buffer.from(signature, 'base64') };
}

function publicKeyOf(leaseKey: string): KeyObject {
  const raw = Buffer.from(leaseKey, 'base64');
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
}

function parseBundle(bytes: Uint8Array): LeaseBundle {
  const malformed = (why: string, cause?: unknown) =>
    new GatewayError('LEASE_MALFORMED', 'protocol', `the lease cannot be read: ${why}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw malformed('it is no JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw malformed('it is no object');
  const bundle = value as Record<string, unknown>;
  if (!Number.isSafeInteger(bundle.version)) throw malformed('it has no version');
  for (const time of [bundle.issuedAt, bundle.expiresAt]) {
    if (typeof time !== 'string' || !Number.isFinite(Date.parse(time))) throw malformed('a time in it is no time');
  }
  for (const name of [
    'identityProviders',
    'serviceAccounts',
    'resources',
    'roles',
    'guards',
    'dataPolicies',
    'auditPolicies',
    'revokedTokens',
  ]) {
    if (!Array.isArray(bundle[name])) throw malformed(`it has no list '${name}'`);
  }
  for (const name of ['tickets', 'credentials', 'servingKeys', 'maskKeys']) {
    if (typeof bundle[name] !== 'object' || bundle[name] === null) throw malformed(`it has no '${name}'`);
  }
  return value as LeaseBundle;
}

function parseCredential(bytes: Uint8Array, name: string): OpenedLease['credentials'][string] {
  let value: unknown = null;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    // Not repeated in an error: it is the secret.
  }
  bytes.fill(0);
  const { username, password, privateKey, authorityKey, dynamic, awsRdsIam, vaultDatabase } = (value ?? {}) as Record<string, unknown>;
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new GatewayError('CREDENTIAL_MALFORMED', 'unavailable', `the credential ${name} in the lease cannot be read`);
  }
  return {
    username,
    password,
    ...(typeof privateKey === 'string' ? { privateKey } : {}),
    ...(typeof authorityKey === 'string' ? { authorityKey } : {}),
    ...(dynamic === undefined ? {} : { dynamic: { grants: (dynamic as { grants: string[] }).grants } }),
    ...(typeof vaultDatabase === 'string' ? { vaultDatabase } : {}),
    ...(awsRdsIam === undefined ? {} : { awsRdsIam: awsRdsIam as NonNullable<LeasedCredential['awsRdsIam']> }),
  };
}
