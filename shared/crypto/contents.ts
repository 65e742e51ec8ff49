/**
 * Keys of contents: each session has one, made by the agent, under which it seals what came back and what was bound. Whoever destroys
 * the key makes these contents unreadable in every copy of the records; the records themselves, their hashes and signatures stay.
 *
 * The key travels in the session's first record, sealed to a key of the control plane (seal.ts). A sealed piece is AES-256-GCM with the
 * record's number for a nonce: a session numbers each record once, so that no nonce repeats under a key. Not here: where keys are kept.
 *
 * Layout of a sealed piece: ciphertext (length of the contents) · tag (16).
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { errorText, GatewayError } from '../errors.ts';
import { open, seal } from './seal.ts';

/** To which an agent seals. */
export interface ContentKey {
  id: string;
  /** Raw X25519, 32 bytes. */
  publicKey: Uint8Array;
}

const KEY_BYTES = 32;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

/** Seals the contents of one session. */
export class ContentSealer {
  readonly keyId: string;
  /** The session's key as the control plane can open it, 81 bytes. */
  readonly sealedKey: Uint8Array;
  readonly #key: Uint8Array;

  /** @throws {GatewayError} SEAL_KEY_INVALID. */
  constructor(sessionId: string, { id, publicKey }: ContentKey) {
    this.keyId = id;
    this.#key = randomBytes(KEY_BYTES);
    this.sealedKey = seal(publicKey, this.#key, contextOf(sessionId));
  }

  /** @param seq number of the record that will hold it: never the same for two that are written. @returns 16 bytes more. */
  seal(seq: number, contents: Uint8Array): Uint8Array {
    const cipher = createCipheriv(ALGORITHM, this.#key, nonceOf(seq), { authTagLength: TAG_BYTES });
    return Buffer.concat([cipher.update(contents), cipher.final(), cipher.getAuthTag()]);
  }
}

/** The key of a session. @throws {GatewayError} SEAL_OPEN_FAILED: it is not of this session, or not for this key. */
export function openContentKey(privateKey: Uint8Array, sessionId: string, sealedKey: Uint8Array): Uint8Array {
  const key = open(privateKey, sealedKey, contextOf(sessionId));
  if (key.length !== KEY_BYTES) throw new GatewayError('SEAL_OPEN_FAILED', 'invalid', 'A key of contents has a wrong length.');
  return key;
}

/** @throws {GatewayError} CONTENTS_UNREADABLE: another key, another record, or damage. */
export function openContents(key: Uint8Array, seq: number, sealed: Uint8Array): Uint8Array {
  try {
    const decipher = createDecipheriv(ALGORITHM, key, nonceOf(seq), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new GatewayError('CONTENTS_UNREADABLE', 'invalid', `The contents of record ${seq} cannot be opened: ${errorText(cause)}.`, {
      cause,
    });
  }
}

function contextOf(sessionId: string): string {
  return `content-key:${sessionId}`;
}

function nonceOf(seq: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(seq), 4);
  return nonce;
}
