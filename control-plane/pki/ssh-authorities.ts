/**
 * Sallyport's SSH authorities, each derived from the installation's derivation key for one purpose, so that all replicas have the
 * same ones and nothing is stored:
 *
 * - the user authority signs certificates of people (`sallyport ssh cert`); agents accept them;
 * - the host authority signs the host keys that agents show, one per resource;
 * - one authority per credential with `certificate: true`; hosts trust it (TrustedUserCAKeys), agents sign with it.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { issueCertificate } from '@sallyport/shared/ssh/certificate.ts';
import { encodePublicKey } from '@sallyport/shared/ssh/keys.ts';
import { writeHolder } from '@sallyport/shared/ssh/principal.ts';
import type { ControlPlaneKeys } from './keys.ts';

/** RFC 8410: an Ed25519 private key in PKCS #8 is this and the 32 bytes. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

function derivedKey(keys: ControlPlaneKeys, purpose: string): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, keys.derive(purpose)]), format: 'der', type: 'pkcs8' });
}

function publicBlob(key: KeyObject): Buffer {
  return encodePublicKey(createPublicKey(key));
}

function pem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** As known_hosts and TrustedUserCAKeys want it. */
export function publicKeyLine(blob: Uint8Array, comment: string): string {
  return `ssh-ed25519 ${Buffer.from(blob).toString('base64')} ${comment}`;
}

export function userAuthority(keys: ControlPlaneKeys): Buffer {
  return publicBlob(derivedKey(keys, 'ssh-user-authority'));
}

export function hostAuthority(keys: ControlPlaneKeys): Buffer {
  return publicBlob(derivedKey(keys, 'ssh-host-authority'));
}

/** The authority of one credential: its private key is sealed to the agents that use the credential. */
export function credentialAuthority(keys: ControlPlaneKeys, credential: string): { blob: Buffer; pem: string } {
  const key = derivedKey(keys, `ssh-credential-authority:${credential}`);
  return { blob: publicBlob(key), pem: pem(key) };
}

/** The key that a resource shows to clients, whichever agent serves it, and its certificate for `names`. The same every time. */
export function resourceHostKey(keys: ControlPlaneKeys, resource: string, names: readonly string[]): { pem: string; certificate: Buffer } {
  const key = derivedKey(keys, `ssh-host-key:${resource}`);
  const certificate = issueCertificate(
    {
      key: createPublicKey(key),
      role: 'host',
      serial: 0n,
      keyId: `sallyport resource ${resource}`,
      principals: names,
      nonce: createHash('sha256').update(names.join('\n')).update(publicBlob(key)).digest(),
    },
    derivedKey(keys, 'ssh-host-authority'),
  );
  return { pem: pem(key), certificate };
}

export interface UserCertificateRequest {
  key: KeyObject;
  principal: Principal;
  tokenId: string;
  resource?: string;
  serial: bigint;
  nowMs: number;
  expiresAtMs: number;
  sourceAddress?: string;
}

/** A certificate by which a person connects through agents. @returns its blob. */
export function issueUserCertificate(keys: ControlPlaneKeys, request: UserCertificateRequest): Buffer {
  const { key, principal, tokenId, resource, serial, nowMs, expiresAtMs, sourceAddress } = request;
  return issueCertificate(
    {
      key,
      role: 'user',
      serial,
      keyId: `sallyport ${principal.name} ${tokenId}`,
      principals: [principal.name],
      // Clocks differ: what was issued a moment ago is valid on an agent that is a minute behind.
      validAfter: Math.floor(nowMs / 1000) - 60,
      validBefore: Math.floor(expiresAtMs / 1000),
      criticalOptions: sourceAddress === undefined ? {} : { 'source-address': sourceAddress },
      extensions: {
        'permit-port-forwarding': '',
        'permit-pty': '',
        ...writeHolder({ principal, tokenId, ...(resource === undefined ? {} : { resource }) }),
      },
    },
    derivedKey(keys, 'ssh-user-authority'),
  );
}
