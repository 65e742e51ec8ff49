/**
 * Scans a stream whose values are cut anywhere: bytes are held back until nothing that ends in them can still begin a finding.
 *
 * Held are at most `holdBytes`, and the whole of a finding that reaches the end of what has come, up to `heldBytesMax`. A longer
 * one is released as a finding, and what follows belongs to it until a byte comes that cannot.
 */
import type { DetectorSet, Span } from './engine.ts';

/** A piece that may go on: bytes [start, end) of `bytes`, findings inside of it. The caller owns it. */
export interface ScannedPiece {
  bytes: Uint8Array;
  start: number;
  end: number;
  spans: readonly Span[];
}

export interface StreamScannerOptions {
  /** Bytes held back at the least; longer findings than this may be seen only in part. Default 4 KiB. */
  holdBytes?: number;
  /** Bytes held back at the most. Default 64 KiB. */
  heldBytesMax?: number;
}

/** Bytes before a value that detectors look at: keywords and what a word is joined to. */
const CONTEXT_BYTES = 256;

export class StreamScanner {
  readonly #set: DetectorSet;
  readonly #holdBytes: number;
  readonly #heldBytesMax: number;
  /** Released context, then what is held. */
  #buffer = new Uint8Array(0);
  #released = 0;
  /** The finding that goes on into what comes, when it was too long to be held. */
  #open: string | undefined;

  constructor(set: DetectorSet, options: StreamScannerOptions = {}) {
    this.#set = set;
    this.#holdBytes = options.holdBytes ?? 4_096;
    this.#heldBytesMax = Math.max(options.heldBytesMax ?? 65_536, this.#holdBytes);
  }

  /** Bytes that are held now. */
  get heldBytes(): number {
    return this.#buffer.length - this.#released;
  }

  /** Takes a chunk, which the caller may reuse afterwards. */
  push(chunk: Uint8Array): ScannedPiece {
    const joined = new Uint8Array(this.#buffer.length + chunk.length);
    joined.set(this.#buffer);
    joined.set(chunk, this.#buffer.length);
    return this.#release(joined, false);
  }

  /** Releases everything: at the end of the stream, or of a message that no finding crosses. */
  flush(): ScannedPiece {
    return this.#release(this.#buffer, true);
  }

  #release(bytes: Uint8Array, isLast: boolean): ScannedPiece {
    const start = this.#released;
    const { length } = bytes;
    const spans: Span[] = [];
    let from = start;
    if (this.#open !== undefined) {
      while (from < length && continues(bytes[from] as number)) from++;
      if (from > start) spans.push({ start, end: from, detector: this.#open });
      if (from < length || isLast) this.#open = undefined;
    }
    for (const span of this.#set.scan(bytes, 0, length)) {
      if (span.end <= from) continue;
      spans.push(span.start < from ? { ...span, start: from } : span);
    }
    let cut = isLast ? length : Math.max(from, length - this.#holdBytes);
    if (!isLast) {
      for (const span of spans) {
        if (span.end <= cut || span.start >= cut) {
          if (span.start < cut || span.end < length) continue;
        }
        // Across the cut, or up to the end: it may become longer.
        if (span.start < cut) cut = Math.max(from, span.start);
      }
      if (length - cut > this.#heldBytesMax) {
        // Too long to be held: released as it is, and open.
        const last = spans.at(-1);
        cut = length;
        if (last !== undefined && last.end >= length - 1) this.#open = last.detector;
      }
    }
    const context = Math.max(0, cut - CONTEXT_BYTES);
    this.#buffer = bytes.slice(context);
    this.#released = cut - context;
    return { bytes, start, end: cut, spans: spans.filter(span => span.end <= cut) };
  }
}

/** Bytes that a long secret (a key block, a token) may go on with. */
function continues(byte: number): boolean {
  return (
    (byte >= 48 && byte <= 57) ||
    (byte >= 65 && byte <= 90) ||
    (byte >= 97 && byte <= 122) ||
    '+/=-_.\n\r \\'.includes(String.fromCharCode(byte))
  );
}
