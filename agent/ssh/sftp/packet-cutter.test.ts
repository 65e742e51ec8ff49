/** Packets come out the same wherever the stream is cut; lengths that lie end it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { PacketCutter } from './packet-cutter.ts';

function framed(...payloads: Buffer[]): Buffer {
  return Buffer.concat(
    payloads.flatMap(payload => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(payload.length);
      return [length, payload];
    }),
  );
}

test('packets at every cut, and letter by letter', () => {
  const payloads = [Buffer.from('one'), Buffer.from('x'), Buffer.from('and the third'), Buffer.alloc(300, 7)];
  const stream = framed(...payloads);
  const cutAt = (...ends: number[]) => {
    const cutter = new PacketCutter();
    const got: Buffer[] = [];
    let from = 0;
    for (const end of [...ends, stream.length]) {
      for (const payload of cutter.push(stream.subarray(from, end))) got.push(Buffer.from(payload));
      from = end;
    }
    return got;
  };
  for (let cut = 0; cut < stream.length; cut++) assert.deepEqual(cutAt(cut), payloads);
  assert.deepEqual(cutAt(...Array.from({ length: stream.length }, (_, i) => i)), payloads);
});

test('a large packet in pieces of one byte costs its own size once', () => {
  const cutter = new PacketCutter();
  const payload = Buffer.alloc(200_000, 3);
  const stream = framed(payload);
  const got: Buffer[] = [];
  for (let i = 0; i < stream.length; i++) got.push(...cutter.push(stream.subarray(i, i + 1)));
  assert.equal(got.length, 1);
  assert.ok(got[0]?.equals(payload));
});

test('no packet is empty or larger than one may be', () => {
  for (const length of [0, 256 * 1024 + 1025, 0xffff_ffff]) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    const isRefused = (error: unknown) => error instanceof GatewayError && error.code === 'SFTP_PACKET_LENGTH';
    assert.throws(() => [...new PacketCutter().push(head)], isRefused);
    const cutter = new PacketCutter();
    assert.throws(() => {
      for (const byte of head) assert.deepEqual([...cutter.push(Buffer.of(byte))], []);
    }, isRefused);
  }
});
