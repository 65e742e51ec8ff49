import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter } from './bytes.ts';

test('a field that makes the output grow is written where it belongs', () => {
  for (let filled = 0; filled < 12; filled++) {
    const writer = new ByteWriter(8);
    for (let i = 0; i < filled; i++) writer.uint8(1);
    const written = writer.int32(0x01020304).int16(5).uint8(6).cstring('é').take();
    assert.equal(written.subarray(filled).toString('hex'), '01020304000506c3a900');
  }
});
