/**
 * Sealing of secrets to one reader's X25519 key: what the control plane puts into a lease, only the agent can open.
 *
 * The construction is ECIES in the shape of RFC 9180's base mode (ephemeral X25519, HKDF-SHA256, AES-256-GCM), with one message
 * per key and therefore a fixed nonce. It is deliberately not HPKE on the wire: no suite negotiation, no sequence of messages.
 * It gives secrecy and binding to a context; it does not say who sealed (the lease's signature does that).
 *
 * Layout of a sealed value: version (1 byte, 0x01) · ephemeral public key (32) · ciphertext (length of the plaintext) · tag (16).
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { GatewayError } from '../errors.ts';

const version = 1;
const keyLength = 32;
const tagLength = 16;
const headerLength = 1 + keyLength;
/** The key is used for one message only, so a fixed nonce never repeats under a key. */
const nonce = new Uint8Array(12);
const label = 'sallyport-seal-v1';

/** DER in front of a raw X25519 key (RFC 8410), so that no JWK round trip through base64 is needed. */
const privatePrefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b656e032100', 'hex');

/** Makes a new X25519 key pair, both halves raw, 32 bytes. The private half must never leave its process unsealed. */
export function generateSealingKey(): { publicKey: Uint8Array; privateKey: Uint8Array } {
  const pair = generateKeyPairSync('x25519');
  return {
    publicKey: rawPublic(pair.publicKey),
    privateKey: new Uint8Array(pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(privatePrefix.length)),
  };
}

/** The public half of a raw private key. @throws {GatewayError} SEAL_KEY_INVALID. */
export function sealingPublicKey(privateKey: Uint8Array): Uint8Array {
  return rawPublic(createPublicKey(privateFromRaw(privateKey)));
}

/**
 * Seals `plaintext` so that only the holder of the private key opens it, and only for the same `context`.
 *
 * @param publicKey raw X25519, 32 bytes.
 * @param context what the value is for, e.g. `credential:crm-app`; authenticated, not hidden.
 * @returns 49 bytes more than the plaintext; every call gives another value.
 * @throws {GatewayError} SEAL_KEY_INVALID when the key has a wrong length or is a point of low order.
 */
export function seal(publicKey: Uint8Array, plaintext: Uint8Array, context: string): Uint8Array {
  const recipient = publicFromRaw(publicKey);
  const ephemeral = generateKeyPairSync('x25519');
  const ephemeralPublic = rawPublic(ephemeral.publicKey);
  const key = deriveKey(ephemeral.privateKey, recipient, ephemeralPublic, publicKey, context);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
  const sealed = new Uint8Array(headerLength + plaintext.length + tagLength);
  sealed[0] = version;
  sealed.set(ephemeralPublic, 1);
  cipher.setAAD(sealed.subarray(0, headerLength));
  sealed.set(cipher.update(plaintext), headerLength);
  cipher.final();
  sealed.set(cipher.getAuthTag(), headerLength + plaintext.length);
  key.fill(0);
  return sealed;
}

/**
 * Opens what `seal` made. One error for every way in which it can fail: the message tells an attacker nothing.
 *
 * @param privateKey raw X25519, 32 bytes.
 * @returns the plaintext, in memory of its own: overwrite it when it has been used.
 * @throws {GatewayError} SEAL_OPEN_FAILED: another key, another context, or changed or cut bytes.
 */
export function open(privateKey: Uint8Array, sealed: Uint8Array, context: string): Uint8Array {
  const own = privateFromRaw(privateKey);
  if (sealed.length < headerLength + tagLength || sealed[0] !== version) throw openFailed();
  try {
    const ephemeralPublic = sealed.subarray(1, headerLength);
    const key = deriveKey(own, publicFromRaw(ephemeralPublic), ephemeralPublic, sealingPublicKey(privateKey), context);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
    key.fill(0);
    decipher.setAAD(sealed.subarray(0, headerLength));
    decipher.setAuthTag(sealed.subarray(sealed.length - tagLength));
    const plaintext = new Uint8Array(decipher.update(sealed.subarray(headerLength, sealed.length - tagLength)));
    try {
      decipher.final();
    } catch (cause) {
      plaintext.fill(0);
      throw cause;
    }
    return plaintext;
  } catch (cause) {
    throw openFailed(cause);
  }
}

function openFailed(cause?: unknown): GatewayError {
  return new GatewayError(
    'SEAL_OPEN_FAILED',
    'invalid',
    'A sealed value could not be opened: it was sealed to another key or for another use, or it was changed.',
    cause === undefined ? undefined : { cause },
  );
}

/** Both public keys and the context enter the derivation, so a sealed value cannot be moved to another reader or use. */
function deriveKey(
  privateKey: KeyObject,
  publicKey: KeyObject,
  ephemeralPublic: Uint8Array,
  recipientPublic: Uint8Array,
  context: string,
): Buffer {
  let shared: Buffer;
  try {
    shared = diffieHellman({ privateKey, publicKey });
  } catch (cause) {
    // OpenSSL refuses an all-zero shared secret: the other key is a point of low order.
    throw new GatewayError('SEAL_KEY_INVALID', 'invalid', 'The sealing key is not a usable X25519 public key.', { cause });
  }
  const salt = Buffer.concat([ephemeralPublic, recipientPublic]);
  const key = Buffer.from(hkdfSync('sha256', shared, salt, Buffer.from(`${label}\0${context}`, 'utf8'), 32));
  shared.fill(0);
  return key;
}

function rawPublic(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }).subarray(publicPrefix.length));
}

function publicFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== keyLength) throw keyLengthWrong(raw.length);
  return createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' });
}

function privateFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== keyLength) throw keyLengthWrong(raw.length);
  return createPrivateKey({ key: Buffer.concat([privatePrefix, raw]), format: 'der', type: 'pkcs8' });
}

function keyLengthWrong(length: number): GatewayError {
  return new GatewayError('SEAL_KEY_INVALID', 'invalid', `A sealing key has ${keyLength} bytes; this one has ${length}.`);
}
