import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSealingKey, open, seal, sealingPublicKey } from './seal.ts';

const text = (value: string) => new TextEncoder().encode(value);
const failed = { code: 'SEAL_OPEN_FAILED' };

test('a sealed value opens with its key and context', () => {
  const { publicKey, privateKey } = generateSealingKey();
  assert.equal(publicKey.length, 32);
  assert.equal(privateKey.length, 32);
  for (const length of [0, 1, 15, 16, 17, 4096]) {
    const plaintext = new Uint8Array(length).fill(7);
    const sealed = seal(publicKey, plaintext, 'credential:crm-app');
    assert.equal(sealed.length, length + 49);
    assert.deepEqual(open(privateKey, sealed, 'credential:crm-app'), plaintext);
  }
});

test('the public key follows from the private key', () => {
  const { publicKey, privateKey } = generateSealingKey();
  assert.deepEqual(sealingPublicKey(privateKey), publicKey);
});

test('the plaintext is not visible, and no two sealed values are alike', () => {
  const { publicKey } = generateSealingKey();
  const first = Buffer.from(seal(publicKey, text('correct horse battery'), 'c'));
  const second = Buffer.from(seal(publicKey, text('correct horse battery'), 'c'));
  assert.equal(first.includes('horse'), false);
  assert.notDeepEqual(first, second);
  assert.notDeepEqual(first.subarray(33), second.subarray(33));
});

test('another key does not open it', () => {
  const sealed = seal(generateSealingKey().publicKey, text('secret'), 'c');
  assert.throws(() => open(generateSealingKey().privateKey, sealed, 'c'), failed);
});

test('another context does not open it', () => {
  const { publicKey, privateKey } = generateSealingKey();
  const sealed = seal(publicKey, text('secret'), 'credential:crm-app');
  for (const context of ['credential:crm', 'credential:crm-app2', 'mask-key:crm-app', '', 'credential:crm-app\0']) {
    assert.throws(() => open(privateKey, sealed, context), failed);
  }
});

test('every flipped bit is noticed', () => {
  const { publicKey, privateKey } = generateSealingKey();
  const sealed = seal(publicKey, text('secret'), 'c');
  for (let index = 0; index < sealed.length; index++) {
    // X25519 ignores the top bit of a point's last byte; the derivation and the tag cover the bytes as they are.
    for (const bit of [0, 7]) {
      const changed = Uint8Array.from(sealed);
      changed[index] = (changed[index] ?? 0) ^ (1 << bit);
      assert.throws(() => open(privateKey, changed, 'c'), failed, `byte ${index}, bit ${bit}`);
    }
  }
});

test('cut and lengthened values are refused at every length', () => {
  const { publicKey, privateKey } = generateSealingKey();
  const sealed = seal(publicKey, text('secret'), 'c');
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => open(privateKey, sealed.subarray(0, length), 'c'), failed, `length ${length}`);
  }
  assert.throws(() => open(privateKey, Buffer.concat([sealed, Buffer.of(0)]), 'c'), failed);
});

test('keys of a wrong length and points of low order are refused', () => {
  const { privateKey } = generateSealingKey();
  for (const length of [0, 31, 33]) {
    assert.throws(() => seal(new Uint8Array(length), text('x'), 'c'), { code: 'SEAL_KEY_INVALID' });
    assert.throws(() => open(new Uint8Array(length), new Uint8Array(60), 'c'), { code: 'SEAL_KEY_INVALID' });
  }
  assert.throws(() => seal(new Uint8Array(32), text('x'), 'c'), { code: 'SEAL_KEY_INVALID' });
  const low = new Uint8Array(33 + 20);
  low[0] = 1;
  assert.throws(() => open(privateKey, low, 'c'), failed);
});

test('an error never holds the plaintext or the key', () => {
  const { publicKey, privateKey } = generateSealingKey();
  const sealed = seal(publicKey, text('hunter2-hunter2'), 'c');
  try {
    open(privateKey, sealed, 'd');
    assert.fail('it opened');
  } catch (error) {
    assert.equal(JSON.stringify(error, Object.getOwnPropertyNames(error)).includes('hunter2'), false);
  }
});
