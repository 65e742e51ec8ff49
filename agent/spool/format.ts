/**
 * What a spool's files hold, as bytes. Pure: no file is touched here.
 *
 * A segment is a file of fixed size: a header, then frames, then bytes that mean nothing (zeros, or what the file held in an
 * earlier life). A frame is one group commit: the records that one synced write made durable. All numbers are little-endian.
 *
 *     segment header (64 bytes)                       frame (20 bytes + payload)
 *      0  8  magic "SPOOL\0\0\1"                       0  4  CRC-32, seeded with the salt, of all that follows
 *      8 16  spool id (UUID)                           4  4  payload length
 *     24  4  segment number                            8  8  index of the first record
 *     28  4  salt                                     16  4  number of records
 *     32  8  index of the first record                20  …  per record: 0x22, its length (varint), the record
 *     40 20  zero
 *     60  4  CRC-32 of bytes 0..60
 *
 * A frame's payload is a run of `records` fields of an encoded RecordBatch (proto/sallyport/records/v1), so that shipping copies
 * frames instead of taking them apart.
 *
 * The salt is drawn when a segment is begun. Without it, a client could send a statement whose text looks like a frame, and hope
 * that the end of the spool falls on it after a crash; who does not know the salt cannot make a frame that checks.
 */
import { crc32 } from 'node:zlib';

export const SEGMENT_HEADER_BYTES = 64;
export const FRAME_HEADER_BYTES = 20;
/** Tag of RecordBatch's field 4, length-delimited. */
const RECORD_TAG = 0x22;

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
  into.writeUInt32LE(crc32(into.subarray(0, 60)), 60);
}

/** @returns null when the bytes are no header: a segment that was prepared and never begun, or whose first write was torn. */
export function readSegmentHeader(from: Buffer): SegmentHeader | null {
  if (from.length < SEGMENT_HEADER_BYTES || MAGIC.compare(from, 0, MAGIC.length) !== 0) return null;
  if (from.readUInt32LE(60) !== crc32(from.subarray(0, 60))) return null;
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
  into.writeUInt32LE(crc32(into.subarray(start + 4, end), salt), start);
}

/** @returns what a frame header claims; nothing is checked. */
export function readFrameHeader(from: Buffer, at: number): { payloadBytes: number; firstIndex: number; count: number } {
  return { payloadBytes: from.readUInt32LE(at + 4), firstIndex: readIndex(from, at + 8), count: from.readUInt32LE(at + 16) };
}

/** Are the frame's bytes those that were written, and does its payload hold exactly `count` records? */
export function frameChecks(from: Buffer, start: number, end: number, salt: number): boolean {
  if (from.readUInt32LE(start) !== crc32(from.subarray(start + 4, end), salt)) return false;
  let left = from.readUInt32LE(start + 16);
  cursor = start + FRAME_HEADER_BYTES;
  while (cursor < end && left > 0) {
    const length = recordLength(from);
    if (length < 0) return false;
    cursor += length;
    left--;
  }
  return cursor === end && left === 0;
}

/** Where the last call of `recordLength` stopped reading, and the next begins. */
let cursor = 0;

/** Reads a record's header at `cursor` and moves behind it. @returns -1 when it is none. */
function recordLength(from: Buffer): number {
  if (from[cursor++] !== RECORD_TAG) return -1;
  let length = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = from[cursor++];
    if (byte === undefined) return -1;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return length;
  }
  return -1;
}

/** How many bytes stand in front of a record of this length (below 2^28). */
export function recordHeaderBytes(length: number): number {
  return length < 0x80 ? 2 : length < 0x4000 ? 3 : length < 0x200000 ? 4 : 5;
}

/** @returns where the record itself begins. */
export function writeRecordHeader(into: Buffer, at: number, length: number): number {
  into[at++] = RECORD_TAG;
  while (length >= 0x80) {
    into[at++] = (length & 0x7f) | 0x80;
    length >>>= 7;
  }
  into[at++] = length;
  return at;
}

/** Calls back with each record of a frame that checks; the bytes are views. */
export function eachRecord(from: Buffer, start: number, end: number, take: (record: Buffer) => void): void {
  for (let at = start + FRAME_HEADER_BYTES; at < end; ) {
    cursor = at;
    const length = recordLength(from);
    const begin = cursor;
    at = begin + length;
    take(from.subarray(begin, at));
  }
}

/** @returns where, in a frame that checks, the payload begins behind its first `count` records. */
export function behindRecords(from: Buffer, start: number, count: number): number {
  cursor = start + FRAME_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const length = recordLength(from);
    cursor += length;
  }
  return cursor;
}

function writeIndex(into: Buffer, index: number, at: number): void {
  into.writeUInt32LE(index >>> 0, at);
  into.writeUInt32LE(Math.floor(index / 0x100000000), at + 4);
}

function readIndex(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 4) * 0x100000000 + from.readUInt32LE(at);
}
