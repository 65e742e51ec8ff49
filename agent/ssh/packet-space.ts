/**
 * Where a packet in the clear is put together: one space for all connections of a thread. A packet is enciphered as soon as it is
 * complete, into memory of its own, so that its plain form needs none.
 *
 * Only for ciphers whose `encrypt` keeps nothing of the packet; nothing may be put together between the two.
 *
 * @see RFC 4253, 6
 */
import { randomFillSync } from 'node:crypto';

const LENGTH_BYTES = 4;
const PADDING_MIN = 4;
const PADDING_MAX = 19;
/** What is longer gets memory of its own. */
const SPACE_BYTES = 36 * 1024;

const space = Buffer.allocUnsafeSlow(SPACE_BYTES);
/** Random bytes for padding, drawn for many packets at once; each is used once. */
const random = Buffer.allocUnsafeSlow(4096);
let randomAt = random.length;

/**
 * @param blockBytes of the cipher; padding length, payload and padding together are a multiple of it.
 * @returns a packet whose payload, from its sixth byte on, is to be written; it is good until the next call.
 */
export function packetSpace(payloadBytes: number, blockBytes: 8 | 16): Buffer {
  const unpadded = 1 + payloadBytes;
  let padding = blockBytes - (unpadded & (blockBytes - 1));
  if (padding < PADDING_MIN) padding += blockBytes;
  const total = LENGTH_BYTES + unpadded + padding;
  const packet = total <= SPACE_BYTES ? space.subarray(0, total) : Buffer.allocUnsafe(total);
  packet.writeUInt32BE(unpadded + padding, 0);
  packet[LENGTH_BYTES] = padding;
  if (randomAt > random.length - PADDING_MAX) {
    randomFillSync(random);
    randomAt = 0;
  }
  packet.set(random.subarray(randomAt, randomAt + padding), total - padding);
  randomAt += padding;
  return packet;
}
