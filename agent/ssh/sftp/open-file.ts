/**
 * One open file or folder: its command, how much of it went through, and the SHA-256 of that where it went through in order.
 * What is read is looked at by the detectors with what stands around it, so that a value is found wherever a client cuts it.
 */
import { createHash, type Hash } from 'node:crypto';
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import type { HostCommand } from '../command.ts';
import { LongFindings } from './long-findings.ts';

const MASK = 0x2a;

/** What a session has appended to files that are open now: a size that was read is true only together with it. */
export class Appended {
  #files = 0;
  bytes = 0;

  opened(): void {
    this.#files++;
  }

  closed(): void {
    if (--this.#files === 0) this.bytes = 0;
  }
}

/** How a file is appended to, where offsets mean nothing. */
export interface Appending {
  /** When it was opened. */
  readonly sizeBytes: number;
  /** Of the session. */
  readonly appended: Appended;
}

export interface OpenFileOptions {
  command: HostCommand;
  path: string;
  detectors: DetectorSet | null;
  uploadBytesMax: number | null;
  /** The host puts what is written at the end, whatever the offset. */
  appending: Appending | null;
}

export class OpenFile {
  readonly command: HostCommand;
  readonly path: string;
  readonly detectors: DetectorSet | null;
  readonly #uploadBytesMax: number | null;
  readonly #appending: Appending | null;
  /** That was appended by others of the session before. */
  readonly #appendedBefore: number;
  readonly long: LongFindings;
  /** A role's budget was spent while it was read. */
  overBudget = false;
  #hash: Hash | null = createHash('sha256');
  #next = 0;
  #read = 0;
  #written = 0;

  constructor(options: OpenFileOptions) {
    this.command = options.command;
    this.path = options.path;
    this.detectors = options.detectors;
    this.long = new LongFindings(options.detectors);
    this.#uploadBytesMax = options.uploadBytesMax;
    this.#appending = options.appending;
    this.#appendedBefore = this.#appending?.appended.bytes ?? 0;
    this.#appending?.appended.opened();
  }

  /** Contents that went to the client. */
  wasRead(offset: number, data: Buffer): void {
    this.#read += data.length;
    this.command.released(data);
    this.#contents(offset, data);
  }

  /** Contents that go to the host. @returns false: the file would be larger than it may be, and nothing may go. */
  mayWrite(offset: number, data: Buffer): boolean {
    const to = this.#appending;
    if (to === null) {
      if (!this.maySize(offset + data.length)) return false;
      this.#contents(offset, data);
    } else {
      // Files may be the same under several names: what is appended to one may have made the other longer.
      if (!this.maySize(to.sizeBytes + to.appended.bytes - this.#appendedBefore + data.length)) return false;
      to.appended.bytes += data.length;
      this.#contents(this.#next, data);
    }
    this.#written += data.length;
    return true;
  }

  maySize(bytes: number): boolean {
    return this.#uploadBytesMax === null || bytes <= this.#uploadBytesMax;
  }

  get uploadBytesMax(): number | null {
    return this.#uploadBytesMax;
  }

  #contents(offset: number, data: Buffer): void {
    if (this.#hash === null) return;
    // Read or written here and there: there is no one content to speak of.
    if (offset !== this.#next) this.#hash = null;
    else {
      this.#hash.update(data);
      this.#next += data.length;
    }
  }

  close(status: 'ok' | 'aborted', more: { errorCode?: string; errorText?: string } = {}): void {
    this.#appending?.appended.closed();
    const moved = this.#read + this.#written;
    this.command.end({
      ...(this.overBudget ? { status: 'refused', errorCode: 'SSH_BUDGET_SPENT' } : { status }),
      tag: `read ${this.#read} wrote ${this.#written}${this.#hash === null ? ' not in order' : ''}`,
      bytes: moved,
      ...(this.#hash === null || moved === 0 ? {} : { sha256: this.#hash.digest() }),
      ...more,
    });
  }

  /**
   * Masks what of `joined` is found between `from` and `to`, letter for letter, so that every offset of the file stays true.
   * @param offset in the file of what stands at `from`.
   * @returns null: it is no text, so that masks would break it, and it holds what must not be seen.
   */
  masked(joined: Buffer, from: number, to: number, offset: number): Buffer | null {
    if (this.detectors === null) return joined.subarray(from, to);
    const scanned = this.detectors.scan(joined, 0, joined.length);
    const spans = this.long
      .extend(scanned, joined, offset - from, offset, offset - from + to)
      .filter(span => span.end > from && span.start < to);
    if (spans.length === 0) return joined.subarray(from, to);
    for (const span of spans) this.command.classify(span.detector);
    if (joined.includes(0)) return null;
    const result = Buffer.from(joined.subarray(from, to));
    for (const span of spans) {
      for (let i = Math.max(span.start, from); i < Math.min(span.end, to); i++) {
        const byte = joined[i] as number;
        if (byte !== 0x0a && byte !== 0x0d) result[i - from] = MASK;
      }
    }
    return result;
  }
}
