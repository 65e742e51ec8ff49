import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';
import { CHACHA20, chachaDecrypt, chachaEncrypt } from './chacha20.ts';
import { cipherPrototypes } from './ciphers.ts';

const key = randomBytes(64);
const cipherInfo = ssh2Crypto.CIPHER_INFO['chacha20-poly1305@openssh.com'];
type Encrypts = { encrypt(packet: Buffer): void; allocPacket(payloadBytes: number): Buffer };
type Decrypts = { decrypt(data: Buffer, from: number, length: number): number | undefined };

before(() => ssh2Crypto.init);

/** Payloads as they leave. */
function enciphered(payloads: readonly Buffer[], how: 'ours' | 'ssh2', seqno = 0): Buffer {
  const out: Buffer[] = [];
  const onWrite = (data: Buffer) => void out.push(Buffer.from(data));
  const cipher = ssh2Crypto.createCipher({
    outbound: { seqno, onWrite, cipherInfo, cipherKey: key, cipherIV: null, macInfo: null, forceNative: true },
  }) as Encrypts;
  const encrypt = (how === 'ours' ? chachaEncrypt : cipherPrototypes(CHACHA20).cipher.encrypt) as (this: Encrypts, packet: Buffer) => void;
  for (const payload of payloads) {
    const packet = cipher.allocPacket(payload.length);
    payload.copy(packet, 5);
    encrypt.call(cipher, packet);
  }
  return Buffer.concat(out);
}

function deciphered(pieces: readonly Buffer[], how: 'ours' | 'ssh2', seqno = 0): Buffer[] {
  const out: Buffer[] = [];
  const onPayload = (payload: Buffer) => void out.push(Buffer.from(payload));
  const decipher = ssh2Crypto.createDecipher({
    inbound: { seqno, onPayload, decipherInfo: cipherInfo, decipherKey: key, decipherIV: null, macInfo: null, forceNative: true },
  }) as Decrypts;
  const decrypt = (how === 'ours' ? chachaDecrypt : cipherPrototypes(CHACHA20).decipher.decrypt) as (
    this: Decrypts,
    data: Buffer,
    from: number,
    length: number,
  ) => number | undefined;
  for (const piece of pieces) {
    const data = Buffer.from(piece);
    assert.equal(decrypt.call(decipher, data, 0, data.length), undefined);
    // The socket's memory is somebody else's by now.
    data.fill(0xff);
  }
  return out;
}

test('what one of both enciphers the other deciphers, over the end of the numbers', () => {
  const payloads = [1, 2, 11, 12, 13, 255, 4096, 32_768].map(bytes => randomBytes(bytes));
  for (const seqno of [0, 2 ** 32 - 3])
    for (const [from, to] of [
      ['ours', 'ssh2'],
      ['ssh2', 'ours'],
      ['ours', 'ours'],
    ] as const)
      assert.deepEqual(deciphered([enciphered(payloads, from, seqno)], to, seqno), payloads, `${from} to ${to}`);
});

test('packets are read however they are cut', () => {
  const payloads = [randomBytes(5), randomBytes(30), randomBytes(1)];
  const bytes = enciphered(payloads, 'ssh2');
  for (let cut = 0; cut <= bytes.length; cut++)
    assert.deepEqual(deciphered([bytes.subarray(0, cut), bytes.subarray(cut)], 'ours'), payloads, `at ${cut}`);
  assert.deepEqual(
    deciphered(
      Array.from(bytes, byte => Buffer.of(byte)),
      'ours',
    ),
    payloads,
  );
});

test('a changed bit is found, wherever it is, before anything comes out', () => {
  const bytes = enciphered([randomBytes(20)], 'ours');
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] as number) ^ 1;
    let out: Buffer[] | null = null;
    try {
      out = deciphered([changed, Buffer.alloc(36_000)], 'ours');
    } catch (error) {
      assert.match(String(error), /Bad packet length|Invalid MAC/);
    }
    assert.equal(out, null, `byte ${at}`);
  }
});
