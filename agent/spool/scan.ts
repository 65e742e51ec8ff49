/**
 * Reads a segment's frames in order and stops at the first that does not check. Used by recovery, by the checkpoint and by the
 * reader that ships; it never writes.
 */
import type { SegmentFile } from './disk.ts';
import { FRAME_HEADER_BYTES, frameChecks, readFrameHeader, readSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './format.ts';

const WINDOW_BYTES = 256 * 1024;

/** A frame in the scanner's window: `window[start..end)`, valid until the next call of `next`. */
export interface ScannedFrame {
  window: Buffer;
  start: number;
  end: number;
  firstIndex: number;
  count: number;
}

/** @returns the header of the segment with this number, or null when the segment holds nothing yet. */
export async function scanHeader(file: SegmentFile, number: number): Promise<SegmentHeader | null> {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  if ((await file.read(bytes, 0, bytes.length, 0)) < bytes.length) return null;
  const header = readSegmentHeader(bytes);
  return header?.number === number ? header : null;
}

export class SegmentScanner {
  readonly #file: SegmentFile;
  readonly #salt: number;
  #window: Buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #windowAt = 0; // position in the file of window[0]
  #windowBytes = 0;
  /** Where the next frame begins in the file. */
  position: number = SEGMENT_HEADER_BYTES;
  /** The index that the next frame must begin with. */
  nextIndex: number;

  constructor(file: SegmentFile, header: SegmentHeader) {
    this.#file = file;
    this.#salt = header.salt;
    this.nextIndex = header.firstIndex;
  }

  /**
   * @param limit frames that begin at this index or later are left alone (they may be half written).
   * @returns null at the end of what checks. Called again later, it looks again: the spool may have grown.
   */
  async next(limit: number = Number.MAX_SAFE_INTEGER): Promise<ScannedFrame | null> {
    if (this.nextIndex >= limit) return null;
    const kept = this.#windowBytes > 0;
    const frame = await this.#take();
    if (frame !== null) return frame;
    // The window may be from before the frame was written: what ends the scan must be what the file holds now.
    this.#windowBytes = 0;
    return kept ? this.#take() : null;
  }

  async #take(): Promise<ScannedFrame | null> {
    if (!(await this.#fill(FRAME_HEADER_BYTES))) return null;
    let start = this.position - this.#windowAt;
    const { payloadBytes, firstIndex, count } = readFrameHeader(this.#window, start);
    const bytes = FRAME_HEADER_BYTES + payloadBytes;
    if (firstIndex !== this.nextIndex || count === 0 || this.position + bytes > this.#file.bytes) return null;
    if (!(await this.#fill(bytes))) return null;
    start = this.position - this.#windowAt;
    const end = start + bytes;
    if (!frameChecks(this.#window, start, end, this.#salt)) return null;
    this.position += bytes;
    this.nextIndex += count;
    return { window: this.#window, start, end, firstIndex, count };
  }

  /** Sees to it that the window holds `bytes` bytes from the position on. */
  async #fill(bytes: number): Promise<boolean> {
    const offset = this.position - this.#windowAt;
    if (offset >= 0 && offset + bytes <= this.#windowBytes) return true;
    if (bytes > this.#window.length) this.#window = Buffer.allocUnsafeSlow(bytes);
    this.#windowAt = this.position;
    this.#windowBytes = await this.#file.read(this.#window, 0, this.#window.length, this.position);
    return bytes <= this.#windowBytes;
  }
}
