/**
 * The bytes of a log segment: header, frames, names. Pure; files are opened elsewhere.
 *
 *     segment = header frame*
 *     header  = "SPLOG" version:u8(1) reserved:u16 baseOffset:u64                                      16 bytes
 *     frame   = bodyLength:u32 crc32c:u32 body                    the checksum covers bodyLength and body
 *     body    = offset:u64 timestampMs:u64 keyLength:u32 key value
 *
 * Integers are little-endian. A segment's name is its first entry's offset in 20 digits and `.log`.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { crc32c } from '@sallyport/shared/records/crc32c.ts';
import type { Entry, NewEntry } from './event-log.ts';

export const headerLength = 16;
export const frameHeaderLength = 8;
const bodyHeaderLength = 20;
/** Up to and with the offset. */
export const frameHeadLength = frameHeaderLength + 8;
/** Larger entries are refused at append, so a larger length on disk is damage. */
export const bodyBytesMax = 32 * 1024 * 1024;
const magic = Buffer.from('SPLOG\u0001\0\0', 'latin1');

export function segmentName(baseOffset: bigint): string {
  return `${baseOffset.toString().padStart(20, '0')}.log`;
}

/** The base offsets of the segments among a folder's names, ascending. */
export function segmentBases(names: readonly string[]): bigint[] {
  return names
    .filter(name => /^\d{20}\.log$/.test(name))
    .map(name => BigInt(name.slice(0, 20)))
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function encodeHeader(baseOffset: bigint): Buffer {
  const header = Buffer.alloc(headerLength);
  magic.copy(header);
  header.writeBigUInt64LE(baseOffset, 8);
  return header;
}

/** @throws {GatewayError} LOG_CORRUPT unless `bytes` is the header of the segment that starts at `baseOffset`. */
export function checkHeader(bytes: Buffer, baseOffset: bigint): void {
  if (bytes.length < headerLength || !bytes.subarray(0, 8).equals(magic) || bytes.readBigUInt64LE(8) !== baseOffset) {
    throw corrupt(baseOffset, 0, 'its header is not one of this version');
  }
}

export function frameLength(entry: NewEntry): number {
  return frameHeaderLength + bodyHeaderLength + entry.key.length + entry.value.length;
}

/** Writes one frame into `target` at `at` and returns the position behind it. */
export function encodeFrame(target: Buffer, at: number, offset: bigint, timestampMs: number, entry: NewEntry): number {
  const bodyLength = bodyHeaderLength + entry.key.length + entry.value.length;
  const body = at + frameHeaderLength;
  target.writeUInt32LE(bodyLength, at);
  target.writeBigUInt64LE(offset, body);
  target.writeBigUInt64LE(BigInt(timestampMs), body + 8);
  target.writeUInt32LE(entry.key.length, body + 16);
  target.set(entry.key, body + bodyHeaderLength);
  target.set(entry.value, body + bodyHeaderLength + entry.key.length);
  target.writeUInt32LE(checksum(target, at, body + bodyLength), at + 4);
  return body + bodyLength;
}

export type Unreadable =
  | { state: 'incomplete'; needed: number } // more bytes are wanted from `at` on
  | { state: 'damaged'; reason: string };
export type Frame = { state: 'whole'; entry: Entry; end: number } | Unreadable;

/**
 * Decodes the frame at `at`. The entry's key and value are copies.
 * @param expectedOffset frames carry their offset, so a frame left over from elsewhere is never taken for the next one.
 */
export function decodeFrame(bytes: Buffer, at: number, expectedOffset: bigint): Frame {
  const frame = checkFrame(bytes, at, expectedOffset);
  if (frame.state !== 'whole') return frame;
  const { keyStart, keyEnd, end } = frame;
  const entry: Entry = {
    offset: expectedOffset,
    timestampMs: Number(bytes.readBigUInt64LE(keyStart - bodyHeaderLength + 8)),
    key: new Uint8Array(bytes.subarray(keyStart, keyEnd)),
    value: new Uint8Array(bytes.subarray(keyEnd, end)),
  };
  return { state: 'whole', entry, end };
}

/** As `decodeFrame`, without making the entry. */
export function checkFrame(
  bytes: Buffer,
  at: number,
  expectedOffset: bigint,
): { state: 'whole'; keyStart: number; keyEnd: number; end: number } | Unreadable {
  const head = frameHead(bytes, at, expectedOffset);
  if (head.state !== 'whole') return head;
  const { end } = head;
  if (bytes.length < end) return { state: 'incomplete', needed: end - at };
  if (bytes.readUInt32LE(at + 4) !== checksum(bytes, at, end)) return { state: 'damaged', reason: 'a wrong checksum' };
  const body = at + frameHeaderLength;
  const keyStart = body + bodyHeaderLength;
  const keyEnd = keyStart + bytes.readUInt32LE(body + 16);
  if (keyEnd > end) return { state: 'damaged', reason: 'a key longer than its entry' };
  return { state: 'whole', keyStart, keyEnd, end };
}

/**
 * Where the frame at `at` ends, by its head alone: for going past entries that nobody reads. Its checksum is not looked at, and `end` may be
 * behind `bytes`.
 */
export function frameHead(bytes: Buffer, at: number, expectedOffset: bigint): { state: 'whole'; end: number } | Unreadable {
  if (bytes.length - at < frameHeadLength) return { state: 'incomplete', needed: frameHeadLength };
  const bodyLength = bytes.readUInt32LE(at);
  if (bodyLength < bodyHeaderLength || bodyLength > bodyBytesMax) return { state: 'damaged', reason: `a length of ${bodyLength} bytes` };
  const offset = bytes.readBigUInt64LE(at + frameHeaderLength);
  if (offset !== expectedOffset) return { state: 'damaged', reason: `offset ${offset} where ${expectedOffset} belongs` };
  return { state: 'whole', end: at + frameHeaderLength + bodyLength };
}

export function corrupt(baseOffset: bigint, position: number, reason: string): GatewayError {
  return new GatewayError(
    'LOG_CORRUPT',
    'internal',
    `The log's segment ${segmentName(baseOffset)} is damaged at byte ${position}: ${reason}. Nothing was changed; restore the folder from a backup.`,
  );
}

/** Over the length and everything behind the checksum field. */
function checksum(bytes: Buffer, at: number, end: number): number {
  return crc32c(bytes, at + frameHeaderLength, end, crc32c(bytes, at, at + 4));
}
