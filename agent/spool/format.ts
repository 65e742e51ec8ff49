/**
 * What a spool's files hold, as bytes. Pure: no file is touched here.
 *
 * A segment is a file of fixed size: a header, then frames, then bytes that mean nothing (zeros, or what the file held in an
 * earlier life). A frame is one group commit: the records that one synced write made durable. All numbers are little-endian.
 *
 *     segment header (64 bytes)                       frame (20 bytes + payload)
 *      0  8  magic "SPOOL\0\0\1"                       0  4  CRC-32C, seeded with the salt, of all that follows
 *      8 16  spool id (UUID)                           4  4  payload length
 *     24  4  segment number                            8  8  index of the first record
 *     28  4  salt                                     16  4  number of records
 *     32  8  index of the first record                20  …  per record: 4 bytes length, then the record
 *     40 20  zero
 *     60  4  CRC-32C of bytes 0..60
 *
 * The salt is drawn when a segment is begun. Without it, a client could send a statement whose text looks like a frame, and hope
 * that the end of the spool falls on it after a crash; who does not know the salt cannot make a frame that checks.
 */
import { crc32c } from '@sallyport/shared/records/crc32c.ts';

export const SEGMENT_HEADER_BYTES = 64;
export const FRAME_HEADER_BYTES = 20;
export const RECORD_HEADER_BYTES = 4;

const MAGIC = Buffer.from('SPOOL\0\0\u0001', 'latin1');
const SEGMENT_NAME = /^(\d{10})\.spool$/;

export interface SegmentHeader {
  spoolId: string;
  number: number;
  salt: number;
  firstIndex: number;
}

/** @returns the file name of a segment; names sort in the order of numbers. */
export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.spool`;
}

/** @returns the number in a segment's file name, or null for any other file. */
export function segmentNumber(name: string): number | null {
  const match = SEGMENT_NAME.exec(name);
  return match?.[1] === undefined ? null : Number(match[1]);
}

export function writeSegmentHeader(into: Buffer, header: SegmentHeader): void {
  into.fill(0, 0, SEGMENT_HEADER_BYTES);
  MAGIC.copy(into, 0);
  into.write(header.spoolId.replaceAll('-', ''), 8, 16, 'hex');
  into.writeUInt32LE(header.number, 24);
  into.writeUInt32LE(header.salt, 28);
  writeIndex(into, header.firstIndex, 32);
  into.writeUInt32LE(crc32c(into, 0, 60), 60);
}

/** @returns null when the bytes are no header: a segment that was prepared and never begun, or whose first write was torn. */
export function readSegmentHeader(from: Buffer): SegmentHeader | null {
  if (from.length < SEGMENT_HEADER_BYTES || MAGIC.compare(from, 0, MAGIC.length) !== 0) return null;
  if (from.readUInt32LE(60) !== crc32c(from, 0, 60)) return null;
  const id = from.toString('hex', 8, 24);
  return {
    spoolId: `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`,
    number: from.readUInt32LE(24),
    salt: from.readUInt32LE(28),
    firstIndex: readIndex(from, 32),
  };
}

/** Fills in the header of a frame whose payload already lies at `start + FRAME_HEADER_BYTES .. end`. */
export function sealFrame(into: Buffer, start: number, end: number, firstIndex: number, count: number, salt: number): void {
  into.writeUInt32LE(end - start - FRAME_HEADER_BYTES, start + 4);
  writeIndex(into, firstIndex, start + 8);
  into.writeUInt32LE(count, start + 16);
  into.writeUInt32LE(crc32c(into, start + 4, end, salt), start);
}

/** @returns what a frame header claims; nothing is checked. */
export function readFrameHeader(from: Buffer, at: number): { payloadBytes: number; firstIndex: number; count: number } {
  return { payloadBytes: from.readUInt32LE(at + 4), firstIndex: readIndex(from, at + 8), count: from.readUInt32LE(at + 16) };
}

/** Are the frame's bytes those that were written, and does its payload hold exactly `count` records? */
export function frameChecks(from: Buffer, start: number, end: number, salt: number): boolean {
  if (from.readUInt32LE(start) !== crc32c(from, start + 4, end, salt)) return false;
  let at = start + FRAME_HEADER_BYTES;
  let left = from.readUInt32LE(start + 16);
  while (at + RECORD_HEADER_BYTES <= end && left > 0) {
    at += RECORD_HEADER_BYTES + from.readUInt32LE(at);
    left--;
  }
  return at === end && left === 0;
}

/** Calls back with each record of a frame that checks; the bytes are views. */
export function eachRecord(from: Buffer, start: number, end: number, take: (record: Buffer) => void): void {
  for (let at = start + FRAME_HEADER_BYTES; at < end; ) {
    const length = from.readUInt32LE(at);
    at += RECORD_HEADER_BYTES;
    take(from.subarray(at, at + length));
    at += length;
  }
}

function writeIndex(into: Buffer, index: number, at: number): void {
  into.writeUInt32LE(index >>> 0, at);
  into.writeUInt32LE(Math.floor(index / 0x100000000), at + 4);
}

function readIndex(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 4) * 0x100000000 + from.readUInt32LE(at);
}
