/**
 * Reads durable records back from a spool's folder, for shipment. It may run in another thread than the spool that writes: it
 * sees only the files, and is told how far they are durable.
 */
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { nodeDisk, type SegmentFile, type SpoolDisk } from './disk.ts';
import { behindRecords, segmentName, segmentNumber } from './format.ts';
import { SegmentScanner, scanHeader } from './scan.ts';

export interface ReadBatch {
  spoolId: string;
  firstIndex: number;
  /** How many records; their indexes are contiguous from `firstIndex`. */
  count: number;
  /** The records as `records` fields of an encoded RecordBatch, in pieces; bytes of the caller's own. */
  encoded: Buffer[];
}

export class SpoolReader {
  readonly #dir: string;
  readonly #disk: SpoolDisk;
  #number = 0;
  #file: SegmentFile | null = null;
  #scanner: SegmentScanner | null = null;
  #spoolId = '';

  constructor(dir: string, disk: SpoolDisk = nodeDisk) {
    this.#dir = dir;
    this.#disk = disk;
  }

  /**
   * Reads on from `fromIndex`. Frames are read whole: a batch is larger than `bytesMax` only if its first frame is.
   *
   * @param fromIndex usually where the last batch ended; going back costs a new search.
   * @param durableIndex records at or above it are not read.
   * @returns null when there is nothing to read yet. `firstIndex` is above `fromIndex` only if the records in between are gone:
   *   deleted because they were acknowledged, or lost by the disk.
   * @throws {GatewayError} SPOOL_UNREADABLE: a durable record cannot be read back.
   */
  async read(fromIndex: number, durableIndex: number, bytesMax: number): Promise<ReadBatch | null> {
    if (fromIndex >= durableIndex) return null;
    if (this.#scanner === null || this.#scanner.nextIndex !== fromIndex) await this.#seek(fromIndex, durableIndex);
    const pieces: Buffer[] = [];
    let bytes = 0;
    let count = 0;
    let firstIndex = fromIndex;
    while (this.#scanner !== null && bytes < bytesMax) {
      const frame = await this.#scanner.next(durableIndex);
      if (frame === null) {
        if (this.#scanner.nextIndex >= durableIndex || count > 0) break;
        await this.#follow(fromIndex, durableIndex);
        continue;
      }
      const known = Math.max(0, fromIndex - frame.firstIndex);
      if (known >= frame.count) continue;
      if (count === 0) firstIndex = frame.firstIndex + known;
      count += frame.count - known;
      const piece = Buffer.from(frame.window.subarray(behindRecords(frame.window, frame.start, known), frame.end));
      pieces.push(piece);
      bytes += piece.length;
    }
    return count === 0 ? null : { spoolId: this.#spoolId, firstIndex, count, encoded: pieces };
  }

  /** @returns the spool's id and the oldest index that is still there, or null when nothing was ever written. */
  async identify(): Promise<{ spoolId: string; firstIndex: number } | null> {
    for (const number of await this.#numbers()) {
      if (await this.#open(number)) return { spoolId: this.#spoolId, firstIndex: this.#scanner?.nextIndex ?? 0 };
    }
    return null;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    this.#scanner = null;
    await file?.close();
  }

  async #numbers(): Promise<number[]> {
    const numbers = (await this.#disk.list(this.#dir)).map(segmentNumber).filter(number => number !== null);
    return numbers.sort((a, b) => a - b);
  }

  /** Opens the segment that holds `index`, or the first after it. */
  async #seek(index: number, durableIndex: number): Promise<void> {
    await this.close();
    for (const number of (await this.#numbers()).reverse()) {
      if (!(await this.#open(number))) continue;
      if (this.#scanner !== null && this.#scanner.nextIndex <= index) break;
    }
    const scanner = this.#scanner as SegmentScanner | null;
    if (scanner === null) throw this.#unreadable(index, durableIndex);
    if (scanner.nextIndex >= index) return;
    // The frame that holds the index is read again when the caller reads on; what is before it in that frame is skipped there.
    for (let position = scanner.position, nextIndex = scanner.nextIndex; ; position = scanner.position, nextIndex = scanner.nextIndex) {
      const frame = await scanner.next(durableIndex);
      if (frame === null) return;
      if (scanner.nextIndex > index) {
        scanner.position = position;
        scanner.nextIndex = nextIndex;
        return;
      }
    }
  }

  /** Goes on to the next segment that has records. */
  async #follow(fromIndex: number, durableIndex: number): Promise<void> {
    const current = this.#number;
    for (const number of await this.#numbers()) {
      if (number > current && (await this.#open(number))) return;
    }
    await this.close();
    throw this.#unreadable(fromIndex, durableIndex);
  }

  #unreadable(fromIndex: number, durableIndex: number): GatewayError {
    return new GatewayError(
      'SPOOL_UNREADABLE',
      'unavailable',
      `records ${fromIndex}..${durableIndex - 1} of the spool in ${this.#dir} are durable and cannot be read back: check the disk`,
    );
  }

  /** @returns false when the segment holds nothing. */
  async #open(number: number): Promise<boolean> {
    let file: SegmentFile;
    try {
      file = await this.#disk.open(path.join(this.#dir, segmentName(number)));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
      throw error;
    }
    const header = await scanHeader(file, number);
    if (header === null) {
      await file.close();
      return false;
    }
    await this.#file?.close();
    this.#file = file;
    this.#number = number;
    this.#spoolId = header.spoolId;
    this.#scanner = new SegmentScanner(file, header);
    return true;
  }
}
