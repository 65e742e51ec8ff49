/**
 * Ciphers of our own in the place of ssh2's, where its native addon is not built. Only what enciphers, deciphers and makes room for a
 * packet is put there; ssh2's objects, their fields and who makes them stay. The ciphers are in files of their own.
 */
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';

/** Methods of ssh2's two kinds of object: of what leaves, and of what comes. */
export interface CipherPrototypes {
  cipher: { encrypt: unknown; allocPacket: unknown };
  decipher: { decrypt: unknown };
}

export interface CipherKind {
  /** As it is negotiated. */
  readonly name: string;
  readonly keyBytes: number;
  /** null: the cipher has none but the packet's number. */
  readonly ivBytes: number | null;
  /** Fields of ssh2's objects that the methods read and write. */
  readonly cipherFields: readonly string[];
  readonly decipherFields: readonly string[];
  readonly encrypt: unknown;
  readonly allocPacket: (payloadBytes: number) => Buffer;
  readonly decrypt: unknown;
}

/** The prototypes that ssh2 makes its objects of a kind from. @throws when they are not what they were: the version is pinned. */
export function cipherPrototypes({ name, keyBytes, ivBytes, cipherFields, decipherFields }: CipherKind): CipherPrototypes {
  const cipherInfo = ssh2Crypto.CIPHER_INFO[name];
  const key = Buffer.alloc(keyBytes);
  const iv = ivBytes === null ? null : Buffer.alloc(ivBytes);
  const common = { seqno: 0, cipherInfo, macInfo: null, forceNative: true };
  const cipher = ssh2Crypto.createCipher({ outbound: { ...common, onWrite: () => undefined, cipherKey: key, cipherIV: iv } });
  const decipher = ssh2Crypto.createDecipher({
    inbound: { ...common, onPayload: () => undefined, decipherInfo: cipherInfo, decipherKey: key, decipherIV: iv },
  });
  for (const [object, fields] of [
    [cipher, cipherFields],
    [decipher, decipherFields],
  ] as const)
    for (const field of fields) if (!(field in object)) throw new Error(`ssh2's ${name} has no field ${field} any more`);
  return {
    cipher: Object.getPrototypeOf(cipher) as CipherPrototypes['cipher'],
    decipher: Object.getPrototypeOf(decipher) as CipherPrototypes['decipher'],
  };
}

/** Puts a cipher in place, for every connection of this process. */
export function installCipher(kind: CipherKind): void {
  if (ssh2Crypto.bindingAvailable) return;
  const { cipher, decipher } = cipherPrototypes(kind);
  cipher.encrypt = kind.encrypt;
  cipher.allocPacket = kind.allocPacket;
  decipher.decrypt = kind.decrypt;
}
