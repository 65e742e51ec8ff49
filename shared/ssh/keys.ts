/**
 * SSH keys and signatures over Node's own cryptography: public key blobs, fingerprints, signing and verifying.
 *
 * Certificates are in certificate.ts; private keys are read where they are used. DSA, RSA below 2048 bits and SHA-1 signatures are not accepted anywhere.
 *
 * @see RFC 4253, 6.6; RFC 5656; RFC 8332 (rsa-sha2); RFC 8709 (Ed25519)
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { SshReader, SshWriter } from './wire.ts';

const CURVES: Readonly<Record<string, { jwk: string; bytes: number; hash: string }>> = {
  nistp256: { jwk: 'P-256', bytes: 32, hash: 'sha256' },
  nistp384: { jwk: 'P-384', bytes: 48, hash: 'sha384' },
  nistp521: { jwk: 'P-521', bytes: 66, hash: 'sha512' },
};
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 16_384;

export interface PublicKey {
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256` …, `ssh-rsa`. */
  readonly type: string;
  /** The blob as it goes over the wire, without the certificate's parts. */
  readonly blob: Buffer;
  readonly key: KeyObject;
}

function malformed(what: string, cause?: unknown): GatewayError {
  return new GatewayError('SSH_KEY_MALFORMED', 'invalid', `the SSH key cannot be used: ${what}`, { cause });
}

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');

/** Reads the fields of a public key behind its type name. @throws {GatewayError} SSH_KEY_MALFORMED. */
export function readKeyFields(type: string, reader: SshReader): KeyObject {
  if (type === 'ssh-ed25519') {
    const x = reader.bytes();
    if (x.length !== 32) throw malformed('an Ed25519 key has 32 bytes');
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(x) }, format: 'jwk' });
  }
  if (type === 'ssh-rsa') {
    const e = reader.bytes();
    const n = reader.bytes();
    const key = createPublicKey({ key: { kty: 'RSA', e: base64url(trim(e)), n: base64url(trim(n)) }, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) throw malformed(`an RSA key of ${bits} bits is not accepted`);
    return key;
  }
  const curveName = type.startsWith('ecdsa-sha2-') ? type.slice('ecdsa-sha2-'.length) : '';
  const curve = Object.hasOwn(CURVES, curveName) ? CURVES[curveName] : undefined;
  if (curve !== undefined) {
    if (reader.text() !== curveName) throw malformed('its curve is not that of its type');
    const point = reader.bytes();
    if (point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw malformed('its point is not an uncompressed one');
    const jwk = {
      kty: 'EC',
      crv: curve.jwk,
      x: base64url(point.subarray(1, 1 + curve.bytes)),
      y: base64url(point.subarray(1 + curve.bytes)),
    };
    return createPublicKey({ key: jwk, format: 'jwk' });
  }
  throw malformed(`type ${JSON.stringify(type.slice(0, 64))} is not accepted`);
}

function trim(bytes: Buffer): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  return bytes.subarray(from);
}

/** Decodes a plain public key blob. @throws {GatewayError} SSH_KEY_MALFORMED, SSH_TRUNCATED. */
export function decodePublicKey(blob: Buffer): PublicKey {
  const reader = new SshReader(blob);
  const type = reader.text();
  let key: KeyObject;
  try {
    key = readKeyFields(type, reader);
  } catch (error) {
    throw error instanceof GatewayError ? error : malformed('its numbers are not a key', error);
  }
  reader.end();
  return { type, blob: Buffer.from(blob), key };
}

/** The blob of a public key. */
export function encodePublicKey(key: KeyObject): Buffer {
  const jwk = key.export({ format: 'jwk' });
  const field = (value: string | undefined) => Buffer.from(value ?? '', 'base64url');
  const writer = new SshWriter();
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return writer.string('ssh-ed25519').string(field(jwk.x)).finish();
  if (jwk.kty === 'RSA') return writer.string('ssh-rsa').mpint(field(jwk.e)).mpint(field(jwk.n)).finish();
  for (const [name, curve] of Object.entries(CURVES)) {
    if (jwk.kty !== 'EC' || jwk.crv !== curve.jwk) continue;
    const point = Buffer.concat([Buffer.of(4), field(jwk.x), field(jwk.y)]);
    return writer.string(`ecdsa-sha2-${name}`).string(name).string(point).finish();
  }
  throw malformed('it is of a kind that SSH has no name for');
}

/** `SHA256:…` as ssh-keygen prints it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** The hash of a signature algorithm that goes with a key; null when it does not. */
function hashOf(algorithm: string, key: KeyObject): string | null | undefined {
  const kind = key.asymmetricKeyType;
  if (algorithm === 'ssh-ed25519') return kind === 'ed25519' ? null : undefined;
  if (algorithm === 'rsa-sha2-256') return kind === 'rsa' ? 'sha256' : undefined;
  if (algorithm === 'rsa-sha2-512') return kind === 'rsa' ? 'sha512' : undefined;
  const curve = algorithm.startsWith('ecdsa-sha2-') ? algorithm.slice('ecdsa-sha2-'.length) : '';
  if (!Object.hasOwn(CURVES, curve) || kind !== 'ec') return undefined;
  return encodePublicKey(key)
    .subarray(4, 4 + algorithm.length)
    .toString('latin1') === algorithm
    ? CURVES[curve]?.hash
    : undefined;
}

/**
 * Checks a signature blob (algorithm name and signature).
 * @param algorithm the one that it must be made with. @returns false for everything that is not a right signature.
 */
export function verifySignature(key: KeyObject, algorithm: string, signature: Buffer, data: Buffer): boolean {
  try {
    const reader = new SshReader(signature);
    if (reader.text() !== algorithm) return false;
    const value = reader.bytes();
    reader.end();
    const hash = hashOf(algorithm, key);
    if (hash === undefined) return false;
    if (!algorithm.startsWith('ecdsa-')) return verify(hash, data, key, value);
    const inner = new SshReader(value);
    const size = CURVES[algorithm.slice('ecdsa-sha2-'.length)]?.bytes ?? 0;
    const r = trim(inner.bytes());
    const s = trim(inner.bytes());
    inner.end();
    if (r.length > size || s.length > size) return false;
    const joined = Buffer.alloc(2 * size);
    r.copy(joined, size - r.length);
    s.copy(joined, 2 * size - s.length);
    return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, joined);
  } catch {
    // Whatever is wrong with it, it proves nothing.
    return false;
  }
}

/** The signature algorithm that a key signs with here. */
export function signatureAlgorithm(key: KeyObject): string {
  if (key.asymmetricKeyType === 'rsa') return 'rsa-sha2-512';
  const blob = encodePublicKey(key.type === 'private' ? createPublicKey(key) : key);
  return new SshReader(blob).text();
}

/** Makes a signature blob. */
export function makeSignature(privateKey: KeyObject, data: Uint8Array): Buffer {
  const algorithm = signatureAlgorithm(privateKey);
  const hash = hashOf(algorithm, createPublicKey(privateKey)) ?? null;
  if (!algorithm.startsWith('ecdsa-'))
    return new SshWriter()
      .string(algorithm)
      .string(sign(hash, data, privateKey))
      .finish();
  const joined = sign(hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const half = joined.length / 2;
  const inner = new SshWriter().mpint(joined.subarray(0, half)).mpint(joined.subarray(half)).finish();
  return new SshWriter().string(algorithm).string(inner).finish();
}

/** One line of an authorized_keys or known_hosts file without options: `type base64 [comment]`. */
export function parsePublicKeyLine(line: string): PublicKey {
  const [type, base64] = line.trim().split(/\s+/);
  if (type === undefined || base64 === undefined) throw malformed('write it as `ssh-ed25519 AAAA…`');
  const key = decodePublicKey(Buffer.from(base64, 'base64'));
  if (key.type !== type) throw malformed('its type is not that of its bytes');
  return key;
}
