import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { giveBack, giveBackPayload } from './own-memory.ts';

/** A packet as a cipher gives it: padding length, payload, padding. */
function packetOf(payloadBytes: number, padding: number): Buffer {
  const clear = Buffer.alloc(1 + payloadBytes + padding, 7);
  clear[0] = padding;
  const enciphered = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(clear);
  return createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(enciphered);
}

test('the memory of a cipher’s result goes when it is done with', () => {
  const result = packetOf(32_768, 11);
  giveBack(result);
  assert.equal(result.length, 0);
  const packet = packetOf(32_768, 11);
  const payload = packet.subarray(1, packet.length - 11);
  assert.ok(payload.every(byte => byte === 7));
  giveBackPayload(payload);
  assert.equal(payload.length, 0);
});

test('memory that others have a part of stays', () => {
  const whole = Buffer.alloc(8192, 1);
  for (const part of [whole.subarray(0, 8191), whole.subarray(1), whole.subarray(0, 100)]) {
    giveBack(part);
    giveBackPayload(part);
  }
  // As long as a pool, at its beginning, and with what looks like a padding length in front.
  for (let first = 0; first < 256; first++) {
    whole[0] = first;
    for (const length of [4000, 7000]) if (whole.length - length - 1 !== first) giveBackPayload(whole.subarray(1, 1 + length));
  }
  assert.equal(whole.length, 8192);
});
