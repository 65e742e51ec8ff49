/**
 * The control plane's certificate authority: who is an agent, and which certificate clients see.
 *
 * Keys are ECDSA P-256. Of a certificate request only the key is taken, after its self-signature has been checked: names come from
 * the caller, who has authenticated them. There are no revocation lists: agents' certificates are short, and the gRPC server asks
 * the agents' state at every call. Users' own serving certificates do not pass through here.
 */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, randomBytes, type webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { publicFile, secretFile } from './files.ts';

/**
 * The name by which agents check the control plane's certificate, wherever it runs. No agent gets a certificate for it, so an agent
 * that serves on the same address cannot pass for the control plane.
 */
export const controlPlaneServerName = 'control-plane.sallyport.internal';
const reservedSuffix = '.sallyport.internal';

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const csrBytesMax = 8192;
const hostnamesMax = 32;
const dayMs = 24 * 60 * 60 * 1000;
const caLifetimeMs = 10 * 365 * dayMs;
/** Clocks of agents may be a little behind. */
const backdateMs = 5 * 60 * 1000;

export interface IssuedCertificate {
  der: Uint8Array;
  /** Hexadecimal, upper case, as TLS peers print it. */
  serial: string;
  notAfterMs: number;
}

export interface Authority {
  /** The CA's own certificate. */
  readonly caDer: Uint8Array;
  readonly caPem: string;
  /** SHA-256 of `caDer`, base64url: what a join token carries. */
  readonly caFingerprint: string;
  /** When the CA was made. */
  readonly madeAtMs: number;
  /** A new key and a certificate for the gRPC server, good for `lifetimeMs`. The chain includes the CA, so that a joining agent sees it. */
  issueServer(hostnames: readonly string[], lifetimeMs: number): Promise<{ chainPem: string; keyPem: string }>;
  /** @throws {GatewayError} CSR_INVALID. */
  issueAgentClient(agentId: string, csr: Uint8Array, lifetimeMs: number): Promise<IssuedCertificate>;
  /** @throws {GatewayError} CSR_INVALID, HOSTNAME_INVALID. */
  issueAgentServing(hostnames: readonly string[], csr: Uint8Array, lifetimeMs: number): Promise<IssuedCertificate>;
}

/**
 * Loads the CA from `dir` (ca.key 0600, ca.crt), or makes it at the first start.
 * @throws {GatewayError} CA_INVALID when the two files do not belong together or the certificate has expired.
 */
export async function openAuthority(dir: string, clock: () => number = Date.now): Promise<Authority> {
  const keyPem = await secretFile(join(dir, 'ca.key'), async () => {
    const pair = await crypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
    return Buffer.from(await privatePem(pair.privateKey));
  });
  const keys = await importPair(keyPem);
  const caPem = await publicFile(join(dir, 'ca.crt'), async () => Buffer.from((await selfSigned(keys, clock())).toString('pem')));
  const certificate = new x509.X509Certificate(caPem.toString('utf8'));
  checkCa(certificate, keyPem, clock(), dir);
  return new FileAuthority(certificate, keys.privateKey, clock);
}

class FileAuthority implements Authority {
  readonly caDer: Uint8Array;
  readonly caPem: string;
  readonly caFingerprint: string;
  readonly madeAtMs: number;
  readonly #certificate: x509.X509Certificate;
  readonly #signingKey: webcrypto.CryptoKey;
  readonly #clock: () => number;

  constructor(certificate: x509.X509Certificate, signingKey: webcrypto.CryptoKey, clock: () => number) {
    this.#certificate = certificate;
    this.#signingKey = signingKey;
    this.#clock = clock;
    this.madeAtMs = certificate.notBefore.getTime();
    this.caDer = new Uint8Array(certificate.rawData);
    this.caPem = `${certificate.toString('pem')}\n`;
    this.caFingerprint = Buffer.from(new X509Certificate(this.caDer).fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
  }

  async issueServer(hostnames: readonly string[], lifetimeMs: number): Promise<{ chainPem: string; keyPem: string }> {
    const pair = await crypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
    const names = [controlPlaneServerName, ...hostnames.map(checkedHostname)];
    const certificate = await this.#issue([{ CN: [controlPlaneServerName] }], pair.publicKey, serverAuth, names, lifetimeMs);
    return { chainPem: `${certificate.toString('pem')}\n${this.caPem}`, keyPem: await privatePem(pair.privateKey) };
  }

  async issueAgentClient(agentId: string, csr: Uint8Array, lifetimeMs: number): Promise<IssuedCertificate> {
    const publicKey = await requestedKey(csr, ['P-256', 'Ed25519']);
    return issued(await this.#issue([{ CN: [agentId] }], publicKey, clientAuth, [], lifetimeMs));
  }

  async issueAgentServing(hostnames: readonly string[], csr: Uint8Array, lifetimeMs: number): Promise<IssuedCertificate> {
    const names = [...new Set(hostnames.map(checkedHostname))];
    if (names.length === 0 || names.length > hostnamesMax) {
      throw new GatewayError(
        'HOSTNAME_INVALID',
        'invalid',
        `An agent's certificate needs 1 to ${hostnamesMax} host names; ${names.length} were given.`,
      );
    }
    const reserved = names.find(name => name.endsWith(reservedSuffix));
    if (reserved !== undefined) {
      throw new GatewayError('HOSTNAME_INVALID', 'denied', `The name ${reserved} is the control plane's own: no agent serves under it.`);
    }
    const publicKey = await requestedKey(csr, ['P-256']);
    return issued(await this.#issue([{ CN: [names[0] ?? ''] }], publicKey, serverAuth, names, lifetimeMs));
  }

  #issue(
    subject: x509.JsonName,
    publicKey: webcrypto.CryptoKey | x509.PublicKey,
    usage: string,
    names: readonly string[],
    lifetimeMs: number,
  ): Promise<x509.X509Certificate> {
    const nowMs = this.#clock();
    const notAfterMs = Math.min(nowMs + lifetimeMs, this.#certificate.notAfter.getTime());
    return signed(this.#certificate, this.#signingKey, subject, publicKey, usage, names, nowMs - backdateMs, notAfterMs);
  }
}

const serverAuth = x509.ExtendedKeyUsage.serverAuth;
const clientAuth = x509.ExtendedKeyUsage.clientAuth;

async function signed(
  ca: x509.X509Certificate,
  signingKey: webcrypto.CryptoKey,
  subject: x509.JsonName,
  publicKey: webcrypto.CryptoKey | x509.PublicKey,
  usage: string,
  names: readonly string[],
  notBeforeMs: number,
  notAfterMs: number,
): Promise<x509.X509Certificate> {
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage], false),
    await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (names.length > 0) {
    extensions.push(new x509.SubjectAlternativeNameExtension(names.map(value => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))));
  }
  return x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: ca.subjectName,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey,
    signingKey,
    signingAlgorithm: ecdsa,
    extensions,
  });
}

async function selfSigned(keys: webcrypto.CryptoKeyPair, nowMs: number): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // A name of its own, so that two installations' authorities are never taken for one another in a trust store.
    name: [{ CN: [`Sallyport CA ${randomBytes(4).toString('hex')}`] }],
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + caLifetimeMs),
    keys,
    signingAlgorithm: ecdsa,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
}

/** The request's key, once it is known that the asker holds its private half. */
async function requestedKey(der: Uint8Array, allowed: readonly ('P-256' | 'Ed25519')[]): Promise<x509.PublicKey> {
  const invalid = (why: string, cause?: unknown) =>
    new GatewayError('CSR_INVALID', 'invalid', `The certificate request is refused: ${why}.`, cause === undefined ? undefined : { cause });
  if (der.length === 0 || der.length > csrBytesMax) throw invalid(`it has ${der.length} bytes`);
  let request: x509.Pkcs10CertificateRequest;
  let kind: string;
  try {
    request = new x509.Pkcs10CertificateRequest(new Uint8Array(der));
    const { name, namedCurve } = request.publicKey.algorithm as { name: string; namedCurve?: string };
    kind = name === 'ECDSA' && namedCurve !== undefined ? namedCurve : name;
  } catch (cause) {
    throw invalid('it is not PKCS#10 in DER', cause);
  }
  if (!allowed.some(name => name === kind)) throw invalid(`its key must be ${allowed.join(' or ')}, not ${kind}`);
  let verified = false;
  try {
    verified = await request.verify();
  } catch (cause) {
    throw invalid('its signature cannot be checked', cause);
  }
  if (!verified) throw invalid('its signature is not by its own key');
  return request.publicKey;
}

/** @returns the name in lower case, or the address in its canonical form. */
function checkedHostname(name: string): string {
  if (isIP(name) !== 0) return name.toLowerCase();
  const lower = name.toLowerCase();
  // RFC 1123 labels, no wildcard, and not something that only looks like an address.
  if (lower.length > 253 || !/^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/.test(lower) || /^[\d.]+$/.test(lower)) {
    throw new GatewayError('HOSTNAME_INVALID', 'invalid', `${JSON.stringify(name.slice(0, 80))} is neither a host name nor an address.`);
  }
  return lower;
}

function issued(certificate: x509.X509Certificate): IssuedCertificate {
  return {
    der: new Uint8Array(certificate.rawData),
    serial: new X509Certificate(new Uint8Array(certificate.rawData)).serialNumber,
    notAfterMs: certificate.notAfter.getTime(),
  };
}

/** 127 random bits with the top bit clear and the next set: positive, and of one length. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }).toString();
}

async function importPair(pem: Buffer): Promise<webcrypto.CryptoKeyPair> {
  const invalid = (cause?: unknown) =>
    new GatewayError('CA_INVALID', 'internal', 'The CA key file does not hold an ECDSA P-256 key in PEM.', { cause });
  try {
    const key = createPrivateKey(pem);
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
    return {
      privateKey: await crypto.subtle.importKey('pkcs8', key.export({ format: 'der', type: 'pkcs8' }), ecdsa, false, ['sign']),
      publicKey: await crypto.subtle.importKey('spki', spki, ecdsa, true, ['verify']),
    };
  } catch (cause) {
    throw invalid(cause);
  }
}

function checkCa(certificate: x509.X509Certificate, keyPem: Buffer, nowMs: number, dir: string): void {
  const parsed = new X509Certificate(new Uint8Array(certificate.rawData));
  if (!parsed.checkPrivateKey(createPrivateKey(keyPem)) || !parsed.ca) {
    throw new GatewayError('CA_INVALID', 'internal', `ca.crt and ca.key in ${dir} do not belong together. Restore both from one backup.`);
  }
  if (certificate.notAfter.getTime() <= nowMs) {
    throw new GatewayError('CA_INVALID', 'internal', `The CA in ${dir} expired on ${certificate.notAfter.toISOString()}.`);
  }
}
