/**
 * The agent's own keys. Made here, kept here (mode 0600), never sent: the control plane sees the public halves.
 *
 * One key, one use: mTLS (P-256), the certificate that clients see (P-256), opening what is sealed to the agent (X25519), signing
 * evidence (Ed25519).
 */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { generateSealingKey, sealingPublicKey } from '@sallyport/shared/crypto/seal.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readPrivateJson, replacePrivateFile } from '../files.ts';

export interface AgentKeys {
  /** PEM, PKCS#8. */
  tlsKey: string;
  servingKey: string;
  signingKey: KeyObject;
  /** Raw, 32 bytes. */
  sealingKey: Uint8Array;
}

/** Loads the keys from `file`, or makes them at the first start. @throws {GatewayError} DATA_UNREADABLE, DATA_UNWRITABLE. */
export async function loadKeys(file: string): Promise<AgentKeys> {
  const stored = await readPrivateJson(file);
  if (stored !== null) return readKeys(stored, file);
  const made = {
    version: 1,
    tlsKey: newEcKey(),
    servingKey: newEcKey(),
    signingKey: pem(generateKeyPairSync('ed25519').privateKey),
    sealingKey: Buffer.from(generateSealingKey().privateKey).toString('base64'),
  };
  await replacePrivateFile(file, JSON.stringify(made));
  return readKeys(made, file);
}

function readKeys(stored: Record<string, unknown>, file: string): AgentKeys {
  const { tlsKey, servingKey, signingKey, sealingKey } = stored;
  try {
    if (typeof tlsKey !== 'string' || typeof servingKey !== 'string' || typeof signingKey !== 'string' || typeof sealingKey !== 'string') {
      throw new Error('a key is missing');
    }
    createPrivateKey(tlsKey);
    createPrivateKey(servingKey);
    const keys = {
      tlsKey,
      servingKey,
      signingKey: createPrivateKey(signingKey),
      sealingKey: new Uint8Array(Buffer.from(sealingKey, 'base64')),
    };
    sealingPublicKey(keys.sealingKey);
    return keys;
  } catch (error) {
    throw new GatewayError(
      'DATA_UNREADABLE',
      'internal',
      `${file} holds no usable keys: restore it, or remove the data folder and join anew`,
      {
        cause: error,
      },
    );
  }
}

/** Raw Ed25519 public key, 32 bytes. */
export function signingPublicKey(keys: AgentKeys): Uint8Array {
  return new Uint8Array(createPublicKey(keys.signingKey).export({ format: 'der', type: 'spki' }).subarray(-32));
}

/** The evidence key as PEM, for the threads that sign with it. */
export function signingKeyPem(keys: AgentKeys): string {
  return pem(keys.signingKey);
}

/** A PKCS#10 certificate request, DER, signed by the key itself. Names in it are not what the CA goes by. */
export async function certificateRequest(keyPem: string, commonName: string): Promise<Uint8Array> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
  const key = createPrivateKey(keyPem);
  const publicKey = createPublicKey(key);
  const { subtle } = webcrypto;
  const keys = {
    privateKey: await subtle.importKey('pkcs8', key.export({ format: 'der', type: 'pkcs8' }), algorithm, false, ['sign']),
    publicKey: await subtle.importKey('spki', publicKey.export({ format: 'der', type: 'spki' }), algorithm, true, ['verify']),
  };
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [commonName] }],
    keys,
    signingAlgorithm: algorithm,
  });
  return new Uint8Array(request.rawData);
}

function newEcKey(): string {
  return pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
}

function pem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}
