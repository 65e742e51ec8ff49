import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';
import { AES_GCM, gcmDecrypt, gcmEncrypt } from './aes-gcm.ts';
import { cipherPrototypes } from './ciphers.ts';
import { packetSpace } from './packet-space.ts';

type Encrypts = { encrypt(packet: Buffer): void; allocPacket(payloadBytes: number): Buffer };
type Decrypts = { decrypt(data: Buffer, from: number, length: number): number | undefined };
type How = 'ours' | 'ssh2';

const key = randomBytes(32);
const nonce = randomBytes(12);
/** One whose counter is about to begin again. */
const lastNonce = Buffer.concat([randomBytes(4), Buffer.alloc(8, 0xff)]);

before(() => ssh2Crypto.init);

const cipherOf = (keyBytes: number): unknown => ssh2Crypto.CIPHER_INFO[`aes${keyBytes * 8}-gcm@openssh.com`];

/** Payloads as they leave. */
function enciphered(payloads: readonly Buffer[], how: How, keyBytes = 16, iv = nonce): Buffer {
  const out: Buffer[] = [];
  const onWrite = (data: Buffer) => void out.push(Buffer.from(data));
  const cipherKey = key.subarray(0, keyBytes);
  const cipher = ssh2Crypto.createCipher({
    outbound: { seqno: 0, onWrite, cipherInfo: cipherOf(keyBytes), cipherKey, cipherIV: Buffer.from(iv), macInfo: null, forceNative: true },
  }) as Encrypts;
  for (const payload of payloads) {
    const packet = how === 'ours' ? packetSpace(payload.length, 16) : cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    if (how === 'ours') (gcmEncrypt as unknown as (this: Encrypts, packet: Buffer) => void).call(cipher, packet);
    else cipher.encrypt(packet);
  }
  return Buffer.concat(out);
}

function deciphered(pieces: readonly Buffer[], how: How, keyBytes = 16, iv = nonce): Buffer[] {
  const out: Buffer[] = [];
  const onPayload = (payload: Buffer) => void out.push(Buffer.from(payload));
  const decipherKey = key.subarray(0, keyBytes);
  const decipherInfo = cipherOf(keyBytes);
  const decipher = ssh2Crypto.createDecipher({
    inbound: { seqno: 0, onPayload, decipherInfo, decipherKey, decipherIV: Buffer.from(iv), macInfo: null, forceNative: true },
  }) as Decrypts;
  for (const piece of pieces) {
    const data = Buffer.from(piece);
    const stopped =
      how === 'ours'
        ? (gcmDecrypt as unknown as (this: Decrypts, data: Buffer, from: number, length: number) => unknown).call(
            decipher,
            data,
            0,
            data.length,
          )
        : decipher.decrypt(data, 0, data.length);
    assert.equal(stopped, undefined);
    // The socket's memory is somebody else's by now.
    data.fill(0xff);
  }
  return out;
}

test('what one of both enciphers the other deciphers, over the end of the counter', () => {
  assert.notEqual(cipherPrototypes(AES_GCM).cipher.encrypt, gcmEncrypt, 'ssh2’s own is compared with');
  const payloads = [1, 2, 11, 12, 13, 255, 4096, 32_768].map(bytes => randomBytes(bytes));
  for (const keyBytes of [16, 32])
    for (const iv of [nonce, lastNonce])
      for (const [from, to] of [
        ['ours', 'ssh2'],
        ['ssh2', 'ours'],
        ['ours', 'ours'],
      ] as const)
        assert.deepEqual(deciphered([enciphered(payloads, from, keyBytes, iv)], to, keyBytes, iv), payloads, `${from} to ${to}`);
});

test('packets are read however they are cut', () => {
  const payloads = [randomBytes(5), randomBytes(30), randomBytes(1)];
  const bytes = enciphered(payloads, 'ssh2');
  for (let cut = 0; cut <= bytes.length; cut++)
    assert.deepEqual(deciphered([bytes.subarray(0, cut), bytes.subarray(cut)], 'ours'), payloads, `at ${cut}`);
  const single = Array.from(bytes, byte => Buffer.of(byte));
  assert.deepEqual(deciphered(single, 'ours'), payloads);
});

test('a changed bit is found, wherever it is, before anything comes out', () => {
  const bytes = enciphered([randomBytes(20)], 'ours');
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] as number) ^ 1;
    let out: Buffer[] = [];
    try {
      out = deciphered([changed, Buffer.alloc(36_000)], 'ours');
      assert.fail(`byte ${at} was taken`);
    } catch (error) {
      assert.match(String(error), /Bad packet length|unable to authenticate data/);
    }
    assert.deepEqual(out, []);
  }
});

test('the padding of a packet is of the length that the cipher wants, and new each time', () => {
  for (const block of [8, 16] as const)
    for (let bytes = 0; bytes < 40; bytes++) {
      const packet = packetSpace(bytes, block);
      const padding = packet[4] as number;
      assert.ok(padding >= 4 && padding <= 19);
      assert.equal((packet.length - 4) % block, 0);
      assert.equal(packet.readUInt32BE(0), packet.length - 4);
      assert.equal(packet.length, 5 + bytes + padding);
    }
  const paddings = new Set(Array.from({ length: 1000 }, () => packetSpace(3, 16).toString('hex', 8)));
  assert.equal(paddings.size, 1000);
});
