/**
 * The control plane's own secrets, each in a file of its own under DATA/pki (mode 0600), made at the first start:
 *
 * - kek: AES-256 key-encryption key. Secrets at rest are sealed to it as envelopes (a fresh data key per secret, wrapped by the kek).
 *   A keeper of keys may have it instead (key-encryption.ts).
 * - lease.key: Ed25519, signs leases. ticket.key: Ed25519, signs tickets. They are apart so that neither passes for the other.
 * - evidence.key: Ed25519, signs the heads of the control log's tree; auditors pin its public half.
 * - derivation.key: input of HKDF for keys that must stay the same for ever: masks, fingerprints.
 *
 * Losing them loses what they seal: a backup of the event log needs this folder beside it.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { join } from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { secretFile } from './files.ts';

export interface ControlPlaneKeys {
  readonly leaseKey: KeyObject;
  /** Raw Ed25519, 32 bytes. */
  readonly leasePublicKey: Uint8Array;
  readonly ticketKey: KeyObject;
  readonly evidenceKey: KeyObject;
  /** Raw Ed25519, 32 bytes. */
  readonly evidencePublicKey: Uint8Array;
  /** Seals a secret for rest. `context` is authenticated: a sealed value opens only where it was sealed for. @returns base64. */
  sealAtRest(plaintext: Uint8Array, context: string): string;
  /** @throws {GatewayError} SECRET_UNSEALABLE: another kek, another context, or damage. */
  openAtRest(sealed: string, context: string): Buffer;
  /** Equal for equal secrets of one context, and no way back. base64url. */
  fingerprint(plaintext: Uint8Array, context: string): string;
  /** 32 bytes that depend on the installation and the purpose alone. */
  derive(purpose: string): Buffer;
}

/** @param given the key-encryption key; absent: that of the folder. */
export async function openKeys(dir: string, given?: Buffer): Promise<ControlPlaneKeys> {
  const kek = given ?? (await secretFile(join(dir, 'kek'), () => randomBytes(32)));
  const derivation = await secretFile(join(dir, 'derivation.key'), () => randomBytes(32));
  for (const [name, key] of Object.entries({ kek, 'derivation.key': derivation })) {
    if (key.length !== 32) throw new GatewayError('KEY_INVALID', 'internal', `${join(dir, name)} must have 32 bytes, not ${key.length}.`);
  }
  const leaseKey = await ed25519(join(dir, 'lease.key'));
  const ticketKey = await ed25519(join(dir, 'ticket.key'));
  const evidenceKey = await ed25519(join(dir, 'evidence.key'));
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', derivation, 'sallyport-derive-v1', purpose, 32));
  const fingerprintKey = derive('secret-fingerprint');
  return {
    leaseKey,
    leasePublicKey: rawPublic(leaseKey),
    ticketKey,
    evidenceKey,
    evidencePublicKey: rawPublic(evidenceKey),
    ...sealer(kek),
    fingerprint: (plaintext, context) => createHmac('sha256', fingerprintKey).update(`${context}\0`).update(plaintext).digest('base64url'),
    derive,
  };
}

/** Sealing by a key-encryption key alone. */
export function sealer(kek: Buffer): Pick<ControlPlaneKeys, 'sealAtRest' | 'openAtRest'> {
  return {
    sealAtRest: (plaintext, context) => sealEnvelope(kek, plaintext, context),
    openAtRest: (sealed, context) => openEnvelope(kek, sealed, context),
  };
}

const version = 1;
const nonceLength = 12;
const tagLength = 16;
const wrappedLength = nonceLength + 32 + tagLength;

/** version:u8 · data key wrapped by the kek (nonce, key, tag) · the secret under the data key (nonce, secret, tag). */
function sealEnvelope(kek: Buffer, plaintext: Uint8Array, context: string): string {
  const dataKey = randomBytes(32);
  const envelope = Buffer.concat([Buffer.of(version), encrypt(kek, dataKey, `wrap\0${context}`), encrypt(dataKey, plaintext, context)]);
  dataKey.fill(0);
  return envelope.toString('base64');
}

function openEnvelope(kek: Buffer, sealed: string, context: string): Buffer {
  const envelope = Buffer.from(sealed, 'base64');
  try {
    if (envelope[0] !== version || envelope.length < 1 + wrappedLength + nonceLength + tagLength) throw new Error('not an envelope');
    const dataKey = decrypt(kek, envelope.subarray(1, 1 + wrappedLength), `wrap\0${context}`);
    const plaintext = decrypt(dataKey, envelope.subarray(1 + wrappedLength), context);
    dataKey.fill(0);
    return plaintext;
  } catch (cause) {
    throw new GatewayError(
      'SECRET_UNSEALABLE',
      'internal',
      `The secret of ${context} cannot be opened: the key-encryption key is another one than it was sealed to, or it was changed. Restore pki/kek or apply the manifest again.`,
      { cause },
    );
  }
}

function encrypt(key: Buffer, plaintext: Uint8Array, context: string): Buffer {
  const nonce = randomBytes(nonceLength);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
  cipher.setAAD(Buffer.from(context, 'utf8'));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, bytes: Buffer, context: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceLength), { authTagLength: tagLength });
  decipher.setAAD(Buffer.from(context, 'utf8'));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagLength));
  return Buffer.concat([decipher.update(bytes.subarray(nonceLength, bytes.length - tagLength)), decipher.final()]);
}

async function ed25519(path: string): Promise<KeyObject> {
  const pem = await secretFile(path, () => Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' })));
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new GatewayError('KEY_INVALID', 'internal', `${path} does not hold an Ed25519 key.`);
  return key;
}

function rawPublic(key: KeyObject): Uint8Array {
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x ?? '', 'base64url'));
}
