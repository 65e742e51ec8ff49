/**
 * Decrypts an encrypted assertion: AES-GCM for the content, RSA-OAEP for its key, one recipient. Whatever goes wrong with the keys is told
 * in one way, so that nobody can ask what is in a ciphertext by how it fails.
 *
 * OAEP uses one hash for the label and for the mask, as OpenSSL does here: `rsa-oaep-mgf1p`, whose mask is by SHA-1, with SHA-1, and
 * `rsa-oaep` with equal ones.
 *
 * @see XML Encryption 1.1, sections 5.2.4 and 5.5.2
 */
import { constants, createDecipheriv, privateDecrypt } from 'node:crypto';
import { elementsOf, only, parsed, refused } from './saml-document.ts';
import type { XmlElement } from './xml-libraries.ts';

const namespaces = {
  assertion: 'urn:oasis:names:tc:SAML:2.0:assertion',
  encryption: 'http://www.w3.org/2001/04/xmlenc#',
  signature: 'http://www.w3.org/2000/09/xmldsig#',
} as const;
const contents = new Map([
  ['http://www.w3.org/2009/xmlenc11#aes128-gcm', { cipher: 'aes-128-gcm', keyLength: 16 }],
  ['http://www.w3.org/2009/xmlenc11#aes256-gcm', { cipher: 'aes-256-gcm', keyLength: 32 }],
] as const);
const sha1 = 'http://www.w3.org/2000/09/xmldsig#sha1';
const hashes = new Map([
  [sha1, 'sha1'],
  ['http://www.w3.org/2001/04/xmlenc#sha256', 'sha256'],
  ['http://www.w3.org/2001/04/xmldsig-more#sha384', 'sha384'],
  ['http://www.w3.org/2001/04/xmlenc#sha512', 'sha512'],
]);
const masks = new Map(['sha1', 'sha256', 'sha384', 'sha512'].map(hash => [`http://www.w3.org/2009/xmlenc11#mgf1${hash}`, hash]));

/**
 * @param xml the EncryptedAssertion.
 * @param key PEM.
 * @returns the assertion's XML, of which nothing is known yet.
 * @throws {GatewayError} SAML_REFUSED.
 */
export function decryptAssertion(xml: string, key: string): string {
  const root = parsed(xml);
  const data = only(root, 'EncryptedData', namespaces.encryption);
  const content = contents.get(algorithmOf(only(data, 'EncryptionMethod', namespaces.encryption)) as never);
  if (content === undefined) return notTaken();
  // In the KeyInfo of what it is for, or beside it.
  const info = elementsOf(data).filter(({ localName }) => localName === 'KeyInfo');
  const keys = [root, ...info].flatMap(parent => elementsOf(parent).filter(({ localName }) => localName === 'EncryptedKey'));
  const [encryptedKey] = keys;
  if (encryptedKey === undefined || keys.length !== 1) refused('its assertion is not encrypted to exactly one recipient');
  const oaepHash = hashOf(only(encryptedKey, 'EncryptionMethod', namespaces.encryption));
  let plain: Buffer;
  try {
    const dataKey = privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, cipherValueOf(encryptedKey));
    const bytes = cipherValueOf(data);
    if (dataKey.length !== content.keyLength) throw new Error('the key has another length');
    const decipher = createDecipheriv(content.cipher, dataKey, bytes.subarray(0, 12), { authTagLength: 16 });
    decipher.setAuthTag(bytes.subarray(-16));
    plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    dataKey.fill(0);
  } catch (cause) {
    refused('it cannot be decrypted with the manifest’s key', cause);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(plain);
  } catch (cause) {
    refused('what was encrypted is no text', cause);
  }
}

function hashOf(method: XmlElement): string {
  const child = (name: string) => elementsOf(method).filter(({ localName }) => localName === name);
  const [digests, maskings] = [child('DigestMethod'), child('MGF')];
  if (digests.length > 1 || maskings.length > 1 || child('OAEPparams').length > 0) return notTaken();
  const [digest] = digests;
  const [masking] = maskings;
  const hash = hashes.get(digest === undefined ? sha1 : algorithmOf(digest));
  const algorithm = algorithmOf(method);
  const isOld = algorithm === 'http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p';
  if (!isOld && algorithm !== 'http://www.w3.org/2009/xmlenc11#rsa-oaep') return notTaken();
  const mask = isOld || masking === undefined ? 'sha1' : masks.get(algorithmOf(masking));
  if (hash === undefined || mask === undefined || hash !== mask) return notTaken();
  return hash;
}

function notTaken(): never {
  return refused(
    'its assertion is encrypted by an algorithm that is not taken here: use AES-GCM, and for the key RSA-OAEP (xmlenc11#rsa-oaep) with SHA-256 for both of its hashes',
  );
}

function cipherValueOf(parent: XmlElement): Buffer {
  const value = only(only(parent, 'CipherData', namespaces.encryption), 'CipherValue', namespaces.encryption);
  return Buffer.from((value.textContent ?? '').replace(/\s+/g, ''), 'base64');
}

function algorithmOf(element: XmlElement): string {
  return element.getAttribute('Algorithm') ?? '';
}
