/**
 * Time stamps of RFC 3161: what is asked of an authority, and whether its answer holds: the right hash, a signature by a certificate that
 * may stamp time and that leads to an authority which the caller trusts, all of it valid at the time that it states.
 *
 * Not here: HTTP, revocation lists (none are fetched; an authority that was revoked later had stamped rightly before), and RSA-PSS.
 *
 * @see https://www.rfc-editor.org/rfc/rfc3161
 * @see https://www.rfc-editor.org/rfc/rfc5816
 */
import { createHash, randomBytes, verify, X509Certificate } from 'node:crypto';
import { errorText, GatewayError } from '../errors.ts';
import {
  BOOLEAN,
  DerError,
  type DerValue,
  expect,
  GENERALIZED_TIME,
  INTEGER,
  inside,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  objectIdentifier,
  readAll,
  readOne,
  SEQUENCE,
  SET,
  write,
} from './der.ts';

const SHA256 = Uint8Array.of(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01);
const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const SIGNING_CERTIFICATE_V1 = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.47';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const RSA_PSS = '1.2.840.113549.1.1.10';
const CHAIN_MAX = 6;

export interface TimeStamp {
  /** Milliseconds since 1970. */
  atMs: number;
  /** The subject of the certificate that signed. */
  authority: string;
  /** Hexadecimal; empty when there is none. */
  nonce: string;
}

/** A TimeStampReq for a SHA-256 hash, with a nonce of its own, and with the request for the certificates. */
export function timeStampRequest(hash: Uint8Array): { request: Uint8Array; nonce: string } {
  const random = randomBytes(8);
  random[0] = ((random[0] ?? 0) & 0x7f) | 0x40; // positive, and not to be shortened
  const algorithm = write(SEQUENCE, write(OBJECT_IDENTIFIER, SHA256), Uint8Array.of(0x05, 0x00));
  const imprint = write(SEQUENCE, algorithm, write(OCTET_STRING, hash));
  const request = write(SEQUENCE, write(INTEGER, Uint8Array.of(1)), imprint, write(INTEGER, random), write(BOOLEAN, Uint8Array.of(0xff)));
  return { request, nonce: random.toString('hex') };
}

/** The TimeStampToken of an authority's answer. @throws {GatewayError} TIMESTAMP_REFUSED. */
export function tokenOf(response: Uint8Array): Uint8Array {
  try {
    const [status, token] = inside(readOne(response));
    const [code] = inside(status);
    const granted = expect(code, INTEGER).contents;
    if (granted.length !== 1 || (granted[0] ?? 9) > 1) throw new DerError(`status ${granted[0]}`);
    return expect(token, SEQUENCE).whole;
  } catch (cause) {
    throw new GatewayError('TIMESTAMP_REFUSED', 'unavailable', `The time-stamping authority gave no time stamp: ${errorText(cause)}.`, {
      cause,
    });
  }
}

/**
 * @param token a TimeStampToken, DER.
 * @param hash SHA-256 that it must be about.
 * @param trusted PEM of the authorities, one or several.
 * @throws {GatewayError} TIMESTAMP_INVALID, with what is wrong.
 */
export function verifyTimeStamp(token: Uint8Array, hash: Uint8Array, trusted: string): TimeStamp {
  try {
    return verified(token, hash, certificates(trusted));
  } catch (cause) {
    throw new GatewayError('TIMESTAMP_INVALID', 'invalid', `The time stamp does not hold: ${errorText(cause)}.`, { cause });
  }
}

/** @throws when there is none, or one cannot be read. */
export function certificates(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new Error('no certificate is trusted');
  return found.map(each => new X509Certificate(each));
}

function verified(token: Uint8Array, hash: Uint8Array, trusted: readonly X509Certificate[]): TimeStamp {
  const [type, wrapped] = inside(readOne(token));
  if (objectIdentifier(type) !== SIGNED_DATA) throw new DerError('it is no signed data');
  const [, , content, ...rest] = inside(inside(wrapped, 0xa0)[0]);
  const [contentType, contentWrapped] = inside(content);
  if (objectIdentifier(contentType) !== TST_INFO) throw new DerError('what is signed is no time stamp');
  const info = expect(inside(contentWrapped, 0xa0)[0], OCTET_STRING).contents;
  const embedded = rest
    .filter(({ tag }) => tag === 0xa0)
    .flatMap(({ contents }) => readAll(contents))
    .map(({ whole }) => new X509Certificate(whole));
  const [signer, another] = inside(rest.at(-1), SET);
  if (another !== undefined) throw new DerError('it has more than one signature');
  const certificate = signedBy(signer, info, [...embedded, ...trusted]);
  const { atMs, nonce } = stated(info, hash);
  if (!certificate.keyUsage?.includes(TIME_STAMPING) || certificate.keyUsage.length !== 1)
    throw new Error('its certificate is not for stamping time');
  checkChain(certificate, embedded, trusted, atMs);
  return { atMs, nonce, authority: certificate.subject.replaceAll('\n', ', ') };
}

/** @returns the certificate whose key signed the attributes that hold the contents' hash. */
function signedBy(signer: DerValue | undefined, info: Uint8Array, known: readonly X509Certificate[]): X509Certificate {
  const [, , digestAlgorithm, attributes, signatureAlgorithm, signature] = inside(signer);
  const hashName = HASHES[objectIdentifier(inside(digestAlgorithm)[0])];
  if (hashName === undefined) throw new DerError('its hash is not one of SHA-2');
  if (objectIdentifier(inside(signatureAlgorithm)[0]) === RSA_PSS) throw new DerError('RSA-PSS is not known here');
  const signed = new Map<string, DerValue>();
  for (const attribute of readAll(expect(attributes, 0xa0).contents)) {
    const [name, values] = inside(attribute);
    const [value, more] = inside(values, SET);
    if (value === undefined || more !== undefined || signed.has(objectIdentifier(name)))
      throw new DerError('an attribute that is there twice');
    signed.set(objectIdentifier(name), value);
  }
  if (objectIdentifier(signed.get(CONTENT_TYPE)) !== TST_INFO) throw new DerError('the signed type of the contents is another');
  const digest = createHash(hashName).update(info).digest();
  if (!digest.equals(expect(signed.get(MESSAGE_DIGEST), OCTET_STRING).contents)) throw new Error('its contents were altered');
  // The attributes are signed as a SET; in the message they have a tag of their own.
  const bytes = Uint8Array.from((attributes as DerValue).whole);
  bytes[0] = SET;
  const named = namedCertificate(signed);
  const certificate = known.find(each => createHash(named.hashName).update(each.raw).digest().equals(named.hash));
  if (certificate === undefined) throw new Error('the certificate that it names is not there');
  if (!verify(hashName, bytes, certificate.publicKey, expect(signature, OCTET_STRING).contents)) throw new Error('its signature is wrong');
  return certificate;
}

/** The hash of the signer's certificate, which is signed too, so that no other can be put in its place. */
function namedCertificate(signed: ReadonlyMap<string, DerValue>): { hashName: string; hash: Uint8Array } {
  const newer = signed.get(SIGNING_CERTIFICATE);
  const [ids] = inside(newer ?? signed.get(SIGNING_CERTIFICATE_V1));
  const [first, second] = inside(inside(ids)[0]);
  if (newer === undefined) return { hashName: 'sha1', hash: expect(first, OCTET_STRING).contents };
  if (first?.tag === OCTET_STRING) return { hashName: 'sha256', hash: first.contents };
  const hashName = HASHES[objectIdentifier(inside(first)[0])];
  if (hashName === undefined) throw new DerError('the hash of its certificate is not one of SHA-2');
  return { hashName, hash: expect(second, OCTET_STRING).contents };
}

function stated(info: Uint8Array, hash: Uint8Array): { atMs: number; nonce: string } {
  const [, , imprint, , time, ...rest] = inside(readOne(info));
  const [algorithm, imprinted] = inside(imprint);
  const ours =
    HASHES[objectIdentifier(inside(algorithm)[0])] === 'sha256' && Buffer.from(hash).equals(expect(imprinted, OCTET_STRING).contents);
  if (!ours) throw new Error('it is about something else');
  const text = Buffer.from(expect(time, GENERALIZED_TIME).contents).toString('latin1');
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text);
  const atMs = match === null ? Number.NaN : Date.parse(`${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}Z`);
  if (!Number.isFinite(atMs)) throw new DerError('its time is none');
  const nonce = rest.find(({ tag }) => tag === INTEGER);
  return { atMs, nonce: nonce === undefined ? '' : Buffer.from(nonce.contents).toString('hex') };
}

function checkChain(
  certificate: X509Certificate,
  embedded: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  atMs: number,
): void {
  let current = certificate;
  for (let depth = 0; depth < CHAIN_MAX; depth++) {
    if (atMs < Date.parse(current.validFrom) || atMs > Date.parse(current.validTo))
      throw new Error('a certificate was not valid at that time');
    if (trusted.some(({ fingerprint256 }) => fingerprint256 === current.fingerprint256)) return;
    const issuer = [...trusted, ...embedded].find(each => each.ca && current.checkIssued(each) && current.verify(each.publicKey));
    if (issuer === undefined || issuer.fingerprint256 === current.fingerprint256) break;
    current = issuer;
  }
  throw new Error('its certificate does not lead to an authority that is trusted here');
}
