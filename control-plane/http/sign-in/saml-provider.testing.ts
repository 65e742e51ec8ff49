/** A SAML provider for tests: responses as a provider signs and encrypts them, and parts of them for those who move them about. */
import { constants, createCipheriv, publicEncrypt, randomBytes, randomUUID, webcrypto } from 'node:crypto';
import 'reflect-metadata';
import { createRequire } from 'node:module';
import * as x509 from '@peculiar/x509';

const load = createRequire(import.meta.url);
type KeyInfoContent = (options: { publicCert?: string }) => string | null;
interface XmlSigner {
  addReference(reference: { xpath: string; transforms: string[]; digestAlgorithm: string }): void;
  computeSignature(xml: string, options: { prefix: string; location: { reference: string; action: 'after' } }): void;
  getSignedXml(): string;
}
const { SignedXml } = load('xml-crypto') as {
  SignedXml: { new (options: Record<string, unknown>): XmlSigner; getKeyInfoContent: KeyInfoContent };
};
const { encrypt } = load('xml-encryption') as {
  encrypt: (content: string, options: Record<string, unknown>, answer: (error: Error | null, result?: string) => void) => void;
};

export interface Signer {
  keyPem: string;
  certificatePem: string;
  publicKeyPem: string;
}

export async function samlSigner(name: string): Promise<Signer> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 86_400_000),
      signingAlgorithm: algorithm,
      keys,
    },
    webcrypto as Crypto,
  );
  const pem = (bytes: ArrayBuffer, label: string) =>
    `-----BEGIN ${label}-----\n${Buffer.from(bytes)
      .toString('base64')
      .replace(/(.{64})/g, '$1\n')
      .trimEnd()}\n-----END ${label}-----\n`;
  return {
    keyPem: pem(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
    publicKeyPem: pem(await webcrypto.subtle.exportKey('spki', keys.publicKey), 'PUBLIC KEY'),
    certificatePem: certificate.toString('pem'),
  };
}

export interface Said {
  issuer: string;
  entityId: string;
  acsUrl: string;
  requestId: string;
  nameId: string;
  groups: readonly string[];
  nowMs: number;
  /** Offsets to now. */
  startsMs: number;
  endsMs: number;
  nameIdFormat: string;
  email: string;
  /** Of the subject's confirmation; default `acsUrl`. */
  recipient: string;
  assertionId: string;
  status: string;
}

/** The assertion, not signed. */
export function assertionXml(said: Said): string {
  const at = (offsetMs: number) => new Date(said.nowMs + offsetMs).toISOString();
  const values = said.groups.map(group => `<saml:AttributeValue>${group}</saml:AttributeValue>`).join('');
  return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="${said.assertionId}" Version="2.0" IssueInstant="${at(0)}"><saml:Issuer>${said.issuer}</saml:Issuer><saml:Subject><saml:NameID Format="${said.nameIdFormat}">${said.nameId}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="${said.requestId}" NotOnOrAfter="${at(said.endsMs)}" Recipient="${said.recipient}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="${at(said.startsMs)}" NotOnOrAfter="${at(said.endsMs)}"><saml:AudienceRestriction><saml:Audience>${said.entityId}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="${at(0)}" SessionIndex="session-1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="groups">${values}</saml:Attribute><saml:Attribute Name="urn:oid:0.9.2342.19200300.100.1.3" FriendlyName="email"><saml:AttributeValue>${said.email}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>`;
}

/** @param inside what stands for the assertion; `id` of the response. */
export function responseXml(said: Said, inside: string, id = '_response'): string {
  return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="${id}" Version="2.0" IssueInstant="${new Date(said.nowMs).toISOString()}" Destination="${said.acsUrl}" InResponseTo="${said.requestId}"><saml:Issuer>${said.issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="${said.status}"/></samlp:Status>${inside}</samlp:Response>`;
}

export interface SigningOptions {
  signatureAlgorithm?: string;
  digestAlgorithm?: string;
  transforms?: string[];
  /** Puts the signer's certificate into the signature. */
  withCertificate?: boolean;
}

/** Signs the element of a local name; the signature comes after its Issuer. */
export function signed(xml: string, signer: Signer, element: 'Assertion' | 'Response', options: SigningOptions = {}): string {
  const where = `//*[local-name(.)='${element}']`;
  const signature = new SignedXml({
    privateKey: signer.keyPem,
    signatureAlgorithm: options.signatureAlgorithm ?? 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    canonicalizationAlgorithm: 'http://www.w3.org/2001/10/xml-exc-c14n#',
    ...(options.withCertificate === true
      ? { publicCert: signer.certificatePem, getKeyInfoContent: SignedXml.getKeyInfoContent.bind(SignedXml) }
      : {}),
  });
  signature.addReference({
    xpath: where,
    transforms: options.transforms ?? ['http://www.w3.org/2000/09/xmldsig#enveloped-signature', 'http://www.w3.org/2001/10/xml-exc-c14n#'],
    digestAlgorithm: options.digestAlgorithm ?? 'http://www.w3.org/2001/04/xmlenc#sha256',
  });
  signature.computeSignature(xml, { prefix: 'ds', location: { reference: `${where}/*[local-name(.)='Issuer']`, action: 'after' } });
  return signature.getSignedXml();
}

export async function encrypted(
  assertion: string,
  to: Signer,
  content = 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
  transport = 'http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p',
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { rsa_pub: to.publicKeyPem, pem: to.certificatePem, encryptionAlgorithm: content, keyEncryptionAlgorithm: transport };
  encrypt(assertion, { ...options, disallowEncryptionWithInsecureAlgorithm: false, warnInsecureAlgorithm: false }, (error, result) =>
    error ? reject(error) : resolve(String(result)),
  );
  return `<saml:EncryptedAssertion>${await promise}</saml:EncryptedAssertion>`;
}

/** Encrypted as today's servers do it: `rsa-oaep` with one hash for both. */
export function sealedTo(assertion: string, to: Signer, hash: 'sha256' | 'sha512', content: 'aes128-gcm' | 'aes256-gcm'): string {
  const dataKey = randomBytes(content === 'aes128-gcm' ? 16 : 32);
  const nonce = randomBytes(12);
  const cipher = createCipheriv(content === 'aes128-gcm' ? 'aes-128-gcm' : 'aes-256-gcm', dataKey, nonce);
  const bytes = Buffer.concat([nonce, cipher.update(assertion), cipher.final(), cipher.getAuthTag()]).toString('base64');
  const key = publicEncrypt({ key: to.publicKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash }, dataKey).toString(
    'base64',
  );
  const method = `<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#${hash}"/><xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1${hash}"/></xenc:EncryptionMethod>`;
  return `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#${content}"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>${method}<xenc:CipherData><xenc:CipherValue>${key}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>${bytes}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`;
}

export function said(over: Partial<Said> = {}): Said {
  const acsUrl = over.acsUrl ?? 'http://127.0.0.1:8420/auth/saml';
  return {
    ...{ issuer: 'https://idp.example/saml', entityId: 'sallyport', acsUrl, requestId: '_request', nameId: 'ann@example.com' },
    ...{ groups: ['support', 'dba'], nowMs: Date.now(), startsMs: -60_000, endsMs: 300_000, email: 'ann.smith@example.com' },
    nameIdFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
    ...{ recipient: acsUrl, assertionId: `_${randomUUID()}`, status: 'urn:oasis:names:tc:SAML:2.0:status:Success' },
    ...over,
  };
}
