/**
 * Public keys that people register to sign in with: which are strong enough, and whether a signature is theirs. Also keys of security
 * keys (`sk-…`), which sign what they were touched for.
 *
 * Certificates are not registered: they say themselves whose they are (certificate.ts).
 *
 * @see OpenSSH's PROTOCOL.u2f and PROTOCOL.sshsig
 */
import { createHash, type KeyObject } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { isCertificateAlgorithm } from './certificate.ts';
import { decodePublicKey, fingerprint, readKeyFields, verifySignature } from './keys.ts';
import { SshReader, SshWriter } from './wire.ts';

const RSA_BITS_MIN = 3072;
/** Type → that of the key inside. */
const SECURITY_KEYS: Readonly<Record<string, string>> = {
  'sk-ssh-ed25519@openssh.com': 'ssh-ed25519',
  'sk-ecdsa-sha2-nistp256@openssh.com': 'ecdsa-sha2-nistp256',
};
/** Of a security key's signature: somebody touched it. */
const USER_PRESENT = 1;
const MAKE_ONE = 'Make one with `ssh-keygen -t ed25519`.';

export interface RegisteredKey {
  readonly type: string;
  readonly blob: Buffer;
  /** As `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly key: KeyObject;
  /** What a security key signs for, `ssh:` as a rule; null for keys that are none. */
  readonly application: string | null;
}

function refused(message: string): GatewayError {
  return new GatewayError('SSH_KEY_REFUSED', 'invalid', message);
}

/** @throws {GatewayError} SSH_KEY_REFUSED, which names what would do instead; SSH_KEY_MALFORMED. */
export function decodeRegisteredKey(blob: Buffer): RegisteredKey {
  const type = typeOf(blob);
  if (isCertificateAlgorithm(type))
    throw refused('This is a certificate, which says itself whose it is: register the key that it is for (KEY.pub, not KEY-cert.pub).');
  if (type === 'ssh-dss') throw refused(`DSA keys are too weak. ${MAKE_ONE}`);
  const inner = Object.hasOwn(SECURITY_KEYS, type) ? SECURITY_KEYS[type] : undefined;
  if (inner !== undefined) {
    const reader = new SshReader(blob);
    reader.text();
    const key = readKeyFields(inner, reader);
    const application = reader.text();
    reader.end();
    return { type, blob: Buffer.from(blob), fingerprint: fingerprint(blob), key, application };
  }
  if (!['ssh-ed25519', 'ssh-rsa'].includes(type) && !type.startsWith('ecdsa-sha2-'))
    throw refused(`Keys of the type ${JSON.stringify(type.slice(0, 64))} are not known here. ${MAKE_ONE}`);
  const { key } = decodePublicKey(blob);
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < RSA_BITS_MIN)
    throw refused(`RSA keys have ${RSA_BITS_MIN} bits at least here, and this one has ${bits}. ${MAKE_ONE}`);
  return { type, blob: Buffer.from(blob), fingerprint: fingerprint(blob), key, application: null };
}

function typeOf(blob: Buffer): string {
  try {
    return new SshReader(blob).text();
  } catch {
    throw refused('This is no public key: send the line of KEY.pub, `ssh-ed25519 AAAA…`.');
  }
}

/** One line of KEY.pub. @throws {GatewayError} as `decodeRegisteredKey`. */
export function parseRegisteredKeyLine(line: string): RegisteredKey & { comment: string } {
  const text = line.trim();
  if (text.includes('PRIVATE KEY')) throw refused('This is a private key, which nobody should be shown: send the line of KEY.pub.');
  const [type = '', base64 = '', ...comment] = text.split(/\s+/);
  const key = decodeRegisteredKey(Buffer.from(base64, 'base64'));
  if (key.type !== type) throw refused('The type at the beginning of the line is not that of the key: send the line of KEY.pub as it is.');
  return { ...key, comment: comment.join(' ').slice(0, 200) };
}

/**
 * Checks a signature blob by a key.
 * @param algorithm the one that it must be made with. @returns false for everything that is not a right signature.
 */
export function verifyRegistered(key: RegisteredKey, algorithm: string, signature: Buffer, data: Buffer): boolean {
  if (!signatureFits(key, algorithm)) return false;
  if (key.application === null) return verifySignature(key.key, algorithm, signature, data);
  const inner = SECURITY_KEYS[key.type] ?? '';
  try {
    const reader = new SshReader(signature);
    if (reader.text() !== algorithm) return false;
    const value = reader.bytes();
    const flags = reader.byte();
    const counter = reader.uint32();
    reader.end();
    if ((flags & USER_PRESENT) === 0) return false;
    const signed = new SshWriter().raw(sha256(key.application)).byte(flags).uint32(counter).raw(sha256(data)).finish();
    return verifySignature(key.key, inner, new SshWriter().string(inner).string(value).finish(), signed);
  } catch {
    // Whatever is wrong with it, it proves nothing.
    return false;
  }
}

/** May the key sign by this algorithm? RSA signs by two; SHA-1 is none of them. */
export function signatureFits(key: Pick<RegisteredKey, 'type'>, algorithm: string): boolean {
  return key.type === 'ssh-rsa' ? algorithm === 'rsa-sha2-256' || algorithm === 'rsa-sha2-512' : algorithm === key.type;
}

function sha256(data: string | Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}

const ARMOUR = /^-----BEGIN SSH SIGNATURE-----\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n-----END SSH SIGNATURE-----\s*$/;

/**
 * Checks what `ssh-keygen -Y sign -n NAMESPACE` has made.
 * @param armoured its output. @returns false for everything that is not a right signature by this key.
 */
export function verifyArmoured(key: RegisteredKey, namespace: string, armoured: string, message: string): boolean {
  const base64 = ARMOUR.exec(armoured)?.[1];
  if (base64 === undefined) return false;
  try {
    const reader = new SshReader(Buffer.from(base64, 'base64'), 6);
    const magic = Buffer.from(base64, 'base64').subarray(0, 6).toString('latin1');
    if (magic !== 'SSHSIG' || reader.uint32() !== 1 || !reader.bytes().equals(key.blob) || reader.text() !== namespace) return false;
    const reserved = reader.bytes();
    const hash = reader.text();
    if (hash !== 'sha256' && hash !== 'sha512') return false;
    const signature = reader.bytes();
    reader.end();
    const digest = createHash(hash).update(message).digest();
    const signed = new SshWriter().raw(Buffer.from(magic)).string(namespace).string(reserved).string(hash).string(digest).finish();
    return verifyRegistered(key, new SshReader(signature).text(), signature, signed);
  } catch {
    return false;
  }
}
