/**
 * OpenSSH certificates: reading, judging and making them. Pure but for the randomness of a nonce; the time is given.
 *
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.certkeys
 */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { decodePublicKey, encodePublicKey, makeSignature, type PublicKey, readKeyFields, verifySignature } from './keys.ts';
import { SshReader, SshWriter } from './wire.ts';

const SUFFIX = '-cert-v01@openssh.com';
const CERTIFICATE_BYTES_MAX = 16_384;
const FOR_EVER = 0xffff_ffff_ffff_ffffn;

export interface Certificate {
  /** Of the key in it: `ssh-ed25519` … */
  readonly keyType: string;
  readonly key: KeyObject;
  readonly serial: bigint;
  readonly role: 'user' | 'host';
  readonly keyId: string;
  readonly principals: readonly string[];
  /** Seconds since 1970. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  readonly authority: PublicKey;
  readonly signature: Buffer;
  /** What the authority signed. */
  readonly signed: Buffer;
}

export function isCertificateAlgorithm(name: string): boolean {
  return name.endsWith(SUFFIX);
}

/** The signature algorithm that goes with a certificate algorithm: `rsa-sha2-512-cert-v01@openssh.com` → `rsa-sha2-512`. */
export function plainAlgorithm(name: string): string {
  return name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : name;
}

function malformed(what: string): GatewayError {
  return new GatewayError('SSH_CERTIFICATE_MALFORMED', 'invalid', `the SSH certificate cannot be read: ${what}`);
}

/** Options and extensions: names in ascending order, each once; the data of one with a value is a string in a string. */
function readOptions(bytes: Buffer): Map<string, string> {
  const reader = new SshReader(bytes);
  const options = new Map<string, string>();
  let last: string | null = null;
  while (reader.rest > 0) {
    const name = reader.text();
    if (last !== null && name <= last) throw malformed('its options are not in order');
    last = name;
    const data = reader.bytes();
    if (data.length === 0) options.set(name, '');
    else {
      const inner = new SshReader(data);
      options.set(name, inner.text());
      inner.end();
    }
  }
  return options;
}

/** Decodes a certificate. Nothing of it is proved yet. @throws {GatewayError} SSH_CERTIFICATE_MALFORMED, SSH_KEY_MALFORMED, SSH_TRUNCATED … */
export function decodeCertificate(blob: Buffer): Certificate {
  if (blob.length > CERTIFICATE_BYTES_MAX) throw malformed('it is too long');
  const reader = new SshReader(blob);
  const name = reader.text();
  if (!isCertificateAlgorithm(name)) throw malformed('its type is none of a certificate');
  const keyType = plainAlgorithm(name);
  reader.bytes(); // the nonce
  const key = readKeyFields(keyType, reader);
  const serial = reader.uint64();
  const type = reader.uint32();
  if (type !== 1 && type !== 2) throw malformed('it is for neither a user nor a host');
  const keyId = reader.text();
  const principalsReader = new SshReader(reader.bytes());
  const principals: string[] = [];
  while (principalsReader.rest > 0) principals.push(principalsReader.text());
  const validAfter = reader.uint64();
  const validBefore = reader.uint64();
  const criticalOptions = readOptions(reader.bytes());
  const extensions = readOptions(reader.bytes());
  reader.bytes(); // reserved
  const authorityBlob = reader.bytes();
  const signed = blob.subarray(0, reader.at);
  const signature = reader.bytes();
  reader.end();
  return {
    keyType,
    key,
    serial,
    role: type === 1 ? 'user' : 'host',
    keyId,
    principals,
    validAfter,
    validBefore,
    criticalOptions,
    extensions,
    authority: decodePublicKey(authorityBlob),
    signature,
    signed,
  };
}

export interface CertificateUse {
  role: 'user' | 'host';
  /** Blobs of the authorities that count. */
  authorities: readonly Uint8Array[];
  nowMs: number;
  /** Address of the client without its port, for `source-address`. */
  address: string;
  /** Critical options that the caller enforces. */
  enforced: readonly string[];
}

/** Why a certificate does not count, or null. Its principals are the caller's to judge. */
export function certificateProblem(certificate: Certificate, use: CertificateUse): string | null {
  if (!use.authorities.some(each => Buffer.compare(each, certificate.authority.blob) === 0)) return 'it is signed by another authority';
  const algorithm = signatureName(certificate.signature);
  if (algorithm === null || !verifySignature(certificate.authority.key, algorithm, certificate.signature, certificate.signed))
    return 'its signature is wrong';
  if (certificate.role !== use.role) return `it is a certificate for a ${certificate.role}`;
  const now = BigInt(Math.floor(use.nowMs / 1000));
  if (now < certificate.validAfter) return 'it is not valid yet';
  if (certificate.validBefore !== FOR_EVER && now >= certificate.validBefore) return 'it has expired';
  for (const [option, value] of certificate.criticalOptions) {
    if (option === 'source-address') {
      if (!addressMatches(use.address, value)) return 'it is not valid from this address';
    } else if (!use.enforced.includes(option))
      return `it has the critical option ${JSON.stringify(option.slice(0, 64))}, which is not known`;
  }
  return null;
}

function signatureName(signature: Buffer): string | null {
  try {
    return new SshReader(signature).text();
  } catch {
    // No name, no signature.
    return null;
  }
}

/** `source-address`: a comma-separated list of addresses and CIDR blocks, no negation. */
export function addressMatches(address: string, list: string): boolean {
  const bits = addressBits(address);
  if (bits === null) return false;
  return list.split(',').some(each => {
    const [base = '', lengthText] = each.trim().split('/');
    const wanted = addressBits(base);
    if (wanted === null || wanted.length !== bits.length) return false;
    if (lengthText !== undefined && !/^\d{1,3}$/.test(lengthText)) return false;
    const length = lengthText === undefined ? wanted.length : Number(lengthText);
    return length <= wanted.length && wanted.slice(0, length) === bits.slice(0, length);
  });
}

/** An address as a string of 32 or 128 binary digits, null when it is none; IPv4 inside of IPv6 counts as IPv4. */
function addressBits(text: string): string | null {
  const bare = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  const v4 = bare.toLowerCase().startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare;
  if (!v4.includes(':')) return ipv4Bits(v4);
  const halves = bare.split('::');
  if (halves.length > 2) return null;
  const [before, after] = [groupBits(halves[0] ?? ''), groupBits(halves[1] ?? '')];
  if (before === null || after === null) return null;
  const missing = 128 - before.length - after.length;
  if (halves.length === 1) return missing === 0 ? before : null;
  return missing >= 16 ? before + '0'.repeat(missing) + after : null;
}

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, '0');
}

function ipv4Bits(text: string): string | null {
  const octets = text.split('.');
  if (octets.length !== 4 || !octets.every(octet => /^\d{1,3}$/.test(octet) && Number(octet) <= 255)) return null;
  return octets.map(octet => binary(Number(octet), 8)).join('');
}

function groupBits(text: string): string | null {
  if (text === '') return '';
  let bits = '';
  for (const group of text.split(':')) {
    const part = group.includes('.') ? ipv4Bits(group) : /^[0-9a-fA-F]{1,4}$/.test(group) ? binary(Number.parseInt(group, 16), 16) : null;
    if (part === null) return null;
    bits += part;
  }
  return bits;
}

export interface CertificateRequest {
  key: KeyObject;
  role: 'user' | 'host';
  serial: bigint;
  keyId: string;
  principals: readonly string[];
  /** Seconds since 1970; absent: for ever. */
  validAfter?: number;
  validBefore?: number;
  criticalOptions?: Readonly<Record<string, string>>;
  extensions?: Readonly<Record<string, string>>;
  /** Fixed, where the same request must give the same certificate. */
  nonce?: Uint8Array;
}

function writeOptions(options: Readonly<Record<string, string>>): Buffer {
  const writer = new SshWriter();
  for (const name of Object.keys(options).sort()) {
    const value = options[name] ?? '';
    writer.string(name).string(value === '' ? '' : new SshWriter().string(value).finish());
  }
  return writer.finish();
}

/** Issues a certificate. @returns its blob. */
export function issueCertificate(request: CertificateRequest, authority: KeyObject): Buffer {
  const plain = encodePublicKey(request.key);
  const reader = new SshReader(plain);
  const keyType = reader.text();
  const principals = new SshWriter();
  for (const principal of request.principals) principals.string(principal);
  const writer = new SshWriter(512)
    .string(`${keyType}${SUFFIX}`)
    .string(request.nonce ?? randomBytes(32))
    .raw(reader.remaining())
    .uint64(request.serial)
    .uint32(request.role === 'user' ? 1 : 2)
    .string(request.keyId)
    .string(principals.finish())
    .uint64(request.validAfter === undefined ? 0n : BigInt(request.validAfter))
    .uint64(request.validBefore === undefined ? FOR_EVER : BigInt(request.validBefore))
    .string(writeOptions(request.criticalOptions ?? {}))
    .string(writeOptions(request.extensions ?? {}))
    .string('')
    .string(encodePublicKey(createPublicKey(authority)));
  const signed = Buffer.from(writer.finish());
  return writer.string(makeSignature(authority, signed)).finish();
}
