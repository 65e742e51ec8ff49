/**
 * chacha20-poly1305@openssh.com for ssh2 where its native addon is not built: the same messages by Node’s own stream cipher and its own
 * Poly1305, in about half of the time that ssh2 takes with WebAssembly and a cipher for each step.
 *
 * Authentication comes before decryption, in constant time, as there. Who puts it in place is ciphers.ts.
 *
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.chacha20poly1305
 */
import { createCipheriv, createDecipheriv, createMac, timingSafeEqual } from 'node:crypto';
import type { CipherKind } from './ciphers.ts';
import { giveBack } from './own-memory.ts';
import { packetSpace } from './packet-space.ts';

declare module 'node:crypto' {
  /** Not in the types of Node.js yet. @see https://nodejs.org/api/crypto.html */
  function createMac(algorithm: string, key: Uint8Array): { update(data: Uint8Array): ReturnType<typeof createMac>; final(): Buffer };
}

const LENGTH_BYTES = 4;
const MAC_BYTES = 16;
/** As ssh2 takes them: what RFC 4253 (6.1) has everybody take. */
const PACKET_BYTES_MAX = 35_000;
/** The first block of a packet's key stream gives the key of its MAC; the packet itself begins with the second. */
const FIRST_BLOCK = Buffer.alloc(64);
const MAC_KEY_BYTES = 32;

/** What ssh2's objects of this cipher hold; the others of their fields are not touched. */
interface Enciphering {
  outSeqno: number;
  /** The bytes are good for the call alone. */
  readonly _onWrite: (data: Buffer) => void;
  readonly _encKeyMain: Buffer;
  readonly _encKeyPktLen: Buffer;
  readonly _dead: boolean;
}

interface Deciphering {
  inSeqno: number;
  readonly _onPayload: (payload: Buffer) => number | false | undefined;
  readonly _decKeyMain: Buffer;
  readonly _decKeyPktLen: Buffer;
  _len: number;
  readonly _lenBuf: Buffer;
  _lenPos: number;
  _packet: Buffer | null;
  _pktLen: number;
  readonly _mac: Buffer;
  _macPos: number;
}

/** Block counter 0, and the number of the packet as the nonce. Used and done with before anybody else runs. */
const iv = Buffer.alloc(16);

function numbered(seqno: number): Buffer {
  iv.writeUInt32BE(seqno, 12);
  return iv;
}

function allocPacket(payloadBytes: number): Buffer {
  return packetSpace(payloadBytes, 8);
}

/** @param packet in the clear: length, padding length, payload, padding. Nothing of it is kept. */
function encrypt(this: Enciphering, packet: Buffer): void {
  if (this._dead) return;
  const nonce = numbered(this.outSeqno);
  const length = createCipheriv('chacha20', this._encKeyPktLen, nonce).update(packet.subarray(0, LENGTH_BYTES));
  const stream = createCipheriv('chacha20', this._encKeyMain, nonce);
  const macKey = stream.update(FIRST_BLOCK).subarray(0, MAC_KEY_BYTES);
  const rest = stream.update(packet.subarray(LENGTH_BYTES));
  this.outSeqno = (this.outSeqno + 1) >>> 0;
  this._onWrite(length);
  this._onWrite(rest);
  this._onWrite(createMac('poly1305', macKey).update(length).update(rest).final());
  giveBack(rest);
}

/** @returns where in `data` reading stopped when it was told to; undefined: all of it was taken. @throws what breaks the connection. */
function decrypt(this: Deciphering, data: Buffer, from: number, dataLength: number): number | undefined {
  let at = from;
  while (at < dataLength) {
    if (this._lenPos < LENGTH_BYTES) {
      while (this._lenPos < LENGTH_BYTES && at < dataLength) this._lenBuf[this._lenPos++] = data[at++] as number;
      if (this._lenPos < LENGTH_BYTES) return undefined;
      this._len = createDecipheriv('chacha20', this._decKeyPktLen, numbered(this.inSeqno)).update(this._lenBuf).readUInt32BE(0);
      if (this._len > PACKET_BYTES_MAX || this._len < 8 || (this._len & 7) !== 0) throw new Error('Bad packet length');
    }
    if (this._pktLen < this._len) {
      const taken = Math.min(this._len - this._pktLen, dataLength - at);
      const piece = data.subarray(at, at + taken);
      if (taken === this._len) this._packet = piece;
      else {
        this._packet ??= Buffer.allocUnsafe(this._len);
        this._packet.set(piece, this._pktLen);
      }
      at += taken;
      this._pktLen += taken;
      if (this._pktLen < this._len) return undefined;
    }
    const taken = Math.min(MAC_BYTES - this._macPos, dataLength - at);
    this._mac.set(data.subarray(at, at + taken), this._macPos);
    at += taken;
    this._macPos += taken;
    const enciphered = this._packet;
    if (enciphered === null) throw new Error('Bad packet');
    if (this._macPos < MAC_BYTES) {
      // The bytes are the socket's: they may not be there any more when the rest comes.
      if (taken < MAC_BYTES && enciphered.buffer === data.buffer) this._packet = Buffer.from(enciphered);
      return undefined;
    }
    const stream = createDecipheriv('chacha20', this._decKeyMain, numbered(this.inSeqno));
    const macKey = stream.update(FIRST_BLOCK).subarray(0, MAC_KEY_BYTES);
    const mac = createMac('poly1305', macKey).update(this._lenBuf).update(enciphered).final();
    if (!timingSafeEqual(mac, this._mac)) throw new Error('Invalid MAC');
    const packet = stream.update(enciphered);
    const paddingBytes = packet[0] as number;
    if (paddingBytes >= packet.length - 1) throw new Error('Bad padding');
    const payload = packet.subarray(1, packet.length - paddingBytes);
    this.inSeqno = (this.inSeqno + 1) >>> 0;
    this._len = 0;
    this._lenPos = 0;
    this._packet = null;
    this._pktLen = 0;
    this._macPos = 0;
    const stop = this._onPayload(payload);
    if (stop !== undefined) return stop === false ? at : stop;
  }
  return undefined;
}

export const CHACHA20: CipherKind = {
  ...{ name: 'chacha20-poly1305@openssh.com', keyBytes: 64, ivBytes: null },
  cipherFields: ['outSeqno', '_onWrite', '_encKeyMain', '_encKeyPktLen', '_dead'],
  decipherFields: [
    'inSeqno',
    '_onPayload',
    '_decKeyMain',
    '_decKeyPktLen',
    '_len',
    '_lenBuf',
    '_lenPos',
    '_packet',
    '_pktLen',
    '_mac',
    '_macPos',
  ],
  ...{ encrypt, allocPacket, decrypt },
};

export { decrypt as chachaDecrypt, encrypt as chachaEncrypt };
