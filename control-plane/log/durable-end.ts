/**
 * The side file `end`: how far the log is durable. The writer replaces its 40 bytes after each sync; readers in other processes go no
 * further than it says, so that they never return an entry that a crash could take back.
 *
 * The file itself needs no sync: after a power failure it may say less than is there, never more.
 *
 *     end = "SPEND" version:u8(1) reserved:u16 baseOffset:u64 position:u64 nextOffset:u64 crc32c:u32 reserved:u32
 */
import type { FileHandle } from 'node:fs/promises';
import { crc32c } from '@sallyport/shared/records/crc32c.ts';

export const endFileName = 'end';
const length = 40;
const magic = Buffer.from('SPEND\u0001\0\0', 'latin1');

export interface DurableEnd {
  /** The segment that holds the last entry, by its base offset. */
  baseOffset: bigint;
  /** Bytes of it that are durable. */
  position: number;
  nextOffset: bigint;
}

export function encodeEnd(end: DurableEnd): Buffer {
  const bytes = Buffer.alloc(length);
  magic.copy(bytes);
  bytes.writeBigUInt64LE(end.baseOffset, 8);
  bytes.writeBigUInt64LE(BigInt(end.position), 16);
  bytes.writeBigUInt64LE(end.nextOffset, 24);
  bytes.writeUInt32LE(crc32c(bytes, 0, 32), 32);
  return bytes;
}

/** Null when the bytes are not (yet, or for this instant) a whole end mark. */
export function decodeEnd(bytes: Buffer): DurableEnd | null {
  if (bytes.length !== length || !bytes.subarray(0, 8).equals(magic) || bytes.readUInt32LE(32) !== crc32c(bytes, 0, 32)) return null;
  return { baseOffset: bytes.readBigUInt64LE(8), position: Number(bytes.readBigUInt64LE(16)), nextOffset: bytes.readBigUInt64LE(24) };
}

/**
 * Reads the mark from an open file. A read may meet a write half-way, which the checksum shows; then it is read again.
 * @returns null when no read gave a whole mark: the writer died in mid-write, or never wrote.
 */
export async function readEnd(file: FileHandle): Promise<DurableEnd | null> {
  const bytes = Buffer.alloc(length);
  for (let attempt = 0; attempt < 8; attempt++) {
    const { bytesRead } = await file.read(bytes, 0, length, 0);
    const end = bytesRead === length ? decodeEnd(bytes) : null;
    if (end !== null) return end;
  }
  return null;
}
