/**
 * AES-GCM for ssh2 where its native addon is not built: the same messages by Node’s own cipher, with a third of the memory that ssh2
 * takes for each packet. A packet that came in pieces is deciphered at once, and one that leaves is enciphered out of a space that all
 * share.
 *
 * Nothing of a packet is looked at before its tag is right. Who puts it in place is ciphers.ts.
 *
 * @see RFC 5647; https://github.com/openssh/openssh-portable/blob/master/PROTOCOL, 1.6
 */
import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import type { CipherKind } from './ciphers.ts';
import { giveBack } from './own-memory.ts';
import { packetSpace } from './packet-space.ts';

const LENGTH_BYTES = 4;
const TAG_BYTES = 16;
/** As ssh2 takes them: what RFC 4253 (6.1) has everybody take. */
const PACKET_BYTES_MAX = 35_000;
const BLOCK_BYTES = 16;
/** The nonce: 4 bytes that stay, 8 that count packets. */
const NONCE_BYTES = 12;

/** What ssh2's objects of this cipher hold; the others of their fields are not touched. */
interface Enciphering {
  outSeqno: number;
  /** The bytes are good for the call alone. */
  readonly _onWrite: (data: Buffer) => void;
  readonly _encSSLName: CipherGCMTypes;
  readonly _encKey: Buffer;
  readonly _encIV: Buffer;
  readonly _dead: boolean;
}

interface Deciphering {
  inSeqno: number;
  readonly _onPayload: (payload: Buffer) => number | false | undefined;
  readonly _decipherSSLName: CipherGCMTypes;
  readonly _decipherKey: Buffer;
  readonly _decipherIV: Buffer;
  _len: number;
  _lenBytes: number;
  /** Where a packet that comes in pieces is put together; kept for the next. */
  _packet: Buffer | null;
  /** How much of it is there. */
  _packetPos: number;
}

/** Of the packet in hand; used and done with before anybody else runs. */
const lengthField = Buffer.alloc(LENGTH_BYTES);

function allocPacket(payloadBytes: number): Buffer {
  return packetSpace(payloadBytes, BLOCK_BYTES);
}

/** @param packet in the clear: length, padding length, payload, padding. Nothing of it is kept. */
function encrypt(this: Enciphering, packet: Buffer): void {
  if (this._dead) return;
  const cipher = createCipheriv(this._encSSLName, this._encKey, this._encIV);
  const length = packet.subarray(0, LENGTH_BYTES);
  cipher.setAAD(length);
  const enciphered = cipher.update(packet.subarray(LENGTH_BYTES));
  cipher.final();
  countUp(this._encIV);
  this.outSeqno = (this.outSeqno + 1) >>> 0;
  this._onWrite(length);
  this._onWrite(enciphered);
  this._onWrite(cipher.getAuthTag());
  giveBack(enciphered);
}

/** @returns where in `data` reading stopped when it was told to; undefined: all of it was taken. @throws what breaks the connection. */
function decrypt(this: Deciphering, data: Buffer, from: number, dataLength: number): number | undefined {
  let at = from;
  while (at < dataLength) {
    if (this._lenBytes < LENGTH_BYTES) {
      while (this._lenBytes < LENGTH_BYTES && at < dataLength) {
        this._len = ((this._len << 8) | (data[at++] as number)) >>> 0;
        this._lenBytes++;
      }
      if (this._lenBytes < LENGTH_BYTES) return undefined;
      if (this._len > PACKET_BYTES_MAX - LENGTH_BYTES - TAG_BYTES || this._len < BLOCK_BYTES || this._len % BLOCK_BYTES !== 0)
        throw new Error('Bad packet length');
    }
    const length = this._len;
    const need = length + TAG_BYTES;
    let whole: Buffer;
    if (this._packetPos === 0 && dataLength - at >= need) {
      whole = data.subarray(at, at + need);
      at += need;
    } else {
      // The bytes are the socket's: they may not be there any more when the rest comes.
      if (this._packet === null || this._packet.length < need) {
        const grown = Buffer.allocUnsafeSlow(need);
        this._packet?.copy(grown, 0, 0, this._packetPos);
        this._packet = grown;
      }
      const taken = Math.min(need - this._packetPos, dataLength - at);
      this._packet.set(data.subarray(at, at + taken), this._packetPos);
      this._packetPos += taken;
      at += taken;
      if (this._packetPos < need) return undefined;
      whole = this._packet.subarray(0, need);
    }
    const decipher = createDecipheriv(this._decipherSSLName, this._decipherKey, this._decipherIV);
    lengthField.writeUInt32BE(length, 0);
    decipher.setAAD(lengthField);
    decipher.setAuthTag(whole.subarray(length));
    const packet = decipher.update(whole.subarray(0, length));
    decipher.final();
    const paddingBytes = packet[0] as number;
    if (paddingBytes >= packet.length - 1) throw new Error('Bad padding');
    const payload = packet.subarray(1, packet.length - paddingBytes);
    countUp(this._decipherIV);
    this.inSeqno = (this.inSeqno + 1) >>> 0;
    this._len = 0;
    this._lenBytes = 0;
    this._packetPos = 0;
    const stop = this._onPayload(payload);
    if (stop !== undefined) return stop === false ? at : stop;
  }
  return undefined;
}

/** The counter is the nonce's last eight bytes, and begins again at its end. */
function countUp(nonce: Buffer): void {
  for (let i = NONCE_BYTES - 1; i >= NONCE_BYTES - 8; i--) {
    const next = ((nonce[i] as number) + 1) & 0xff;
    nonce[i] = next;
    if (next !== 0) return;
  }
}

/** Every AES-GCM of ssh2 has the same prototypes. */
export const AES_GCM: CipherKind = {
  ...{ name: 'aes128-gcm@openssh.com', keyBytes: 16, ivBytes: NONCE_BYTES },
  cipherFields: ['outSeqno', '_onWrite', '_encSSLName', '_encKey', '_encIV', '_dead'],
  decipherFields: [
    'inSeqno',
    '_onPayload',
    '_decipherSSLName',
    '_decipherKey',
    '_decipherIV',
    '_len',
    '_lenBytes',
    '_packet',
    '_packetPos',
  ],
  ...{ encrypt, allocPacket, decrypt },
};

export { decrypt as gcmDecrypt, encrypt as gcmEncrypt };
