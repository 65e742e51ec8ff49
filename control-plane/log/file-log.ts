/**
 * The event log in files: a folder per topic, segments of bounded size, one writer.
 *
 * Group commit: appends that arrive while a sync is under way go out together with the next one. What a crash leaves behind the
 * durable end is cut off at the next start when it is torn, and kept when it is whole. Damage before the durable end is not a crash's
 * doing: the log then refuses to open. The data folder's lock (directory-lock.ts) is the caller's to take; two writers on one folder
 * are not noticed here.
 */
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type DurableEnd, encodeEnd, endFileName, readEnd } from './durable-end.ts';
import type { Entry, EventLog, LogReader, NewEntry } from './event-log.ts';
import { openLogReader } from './log-reader.ts';
import {
  bodyBytesMax,
  checkFrame,
  checkHeader,
  corrupt,
  encodeFrame,
  encodeHeader,
  frameHeaderLength,
  frameLength,
  headerLength,
  segmentBases,
  segmentName,
} from './segment.ts';

export interface FileLogOptions {
  dir: string;
  /** A new segment begins once this one is at least so large. Default 64 MiB. */
  segmentBytesMax?: number;
  /** Appends wait in memory up to this size; more is refused. Default 64 MiB. */
  queueBytesMax?: number;
  clock?: () => number;
}

/** Entries written before one sync: bounds memory and the time to the first acknowledgement. */
const batchBytesMax = 8 * 1024 * 1024;
/** Larger writes have a buffer of their own. */
const bufferKeptBytesMax = 2 * 1024 * 1024;

/**
 * Opens a topic for its one writer, repairing what a crash left.
 * @throws {GatewayError} LOG_CORRUPT, LOG_UNWRITABLE.
 */
export async function openFileLog(options: FileLogOptions): Promise<EventLog> {
  const opened: FileHandle[] = [];
  try {
    await mkdir(options.dir, { recursive: true, mode: 0o700 });
    const endFile = await openEndFile(options.dir);
    opened.push(endFile);
    const { file, end } = await recover(options.dir, await readEnd(endFile));
    opened.push(file);
    await file.datasync();
    await publish(endFile, end);
    return new FileLog(options, file, endFile, end);
  } catch (cause) {
    for (const file of opened) await file.close();
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError('LOG_UNWRITABLE', 'unavailable', `The log in ${options.dir} cannot be opened: ${errorText(cause)}.`, { cause });
  }
}

interface Pending {
  entries: readonly NewEntry[];
  bytes: number;
  resolve: (offset: bigint) => void;
  reject: (error: Error) => void;
}

class FileLog implements EventLog {
  readonly #dir: string;
  readonly #segmentBytesMax: number;
  readonly #queueBytesMax: number;
  readonly #clock: () => number;
  readonly #reader: LogReader;
  readonly #endFile: FileHandle;
  #file: FileHandle;
  #end: DurableEnd;
  #queue: Pending[] = [];
  #queueBytes = 0;
  #writing: Promise<void> | null = null;
  #broken: GatewayError | null = null;
  #closed = false;
  readonly #waiters = new Set<() => void>();
  #buffer: Buffer = Buffer.allocUnsafeSlow(0);

  constructor(options: FileLogOptions, file: FileHandle, endFile: FileHandle, end: DurableEnd) {
    this.#dir = options.dir;
    this.#segmentBytesMax = options.segmentBytesMax ?? 64 * 1024 * 1024;
    this.#queueBytesMax = options.queueBytesMax ?? 64 * 1024 * 1024;
    this.#clock = options.clock ?? Date.now;
    this.#reader = openLogReader(options.dir);
    this.#file = file;
    this.#endFile = endFile;
    this.#end = end;
  }

  append(entries: readonly NewEntry[]): Promise<bigint> {
    let bytes = 0;
    for (const entry of entries) {
      const length = frameLength(entry);
      if (length - frameHeaderLength > bodyBytesMax) {
        return rejected('LOG_ENTRY_TOO_LARGE', 'invalid', `An entry of ${length} bytes is larger than the log takes (${bodyBytesMax}).`);
      }
      bytes += length;
    }
    if (this.#closed) return rejected('LOG_CLOSED', 'unavailable', 'The log is closed.');
    if (this.#broken !== null) return Promise.reject(this.#broken);
    if (entries.length === 0) return Promise.resolve(this.#end.nextOffset);
    if (this.#queueBytes + bytes > this.#queueBytesMax && this.#queue.length > 0) {
      return rejected('LOG_BUSY', 'unavailable', 'The log cannot keep up with what is appended: try again.');
    }
    const { promise, resolve, reject } = Promise.withResolvers<bigint>();
    this.#queue.push({ entries, bytes, resolve, reject });
    this.#queueBytes += bytes;
    this.#writing ??= this.#drain();
    return promise;
  }

  read(fromOffset: bigint, max: number): Promise<Entry[]> {
    return this.#reader.read(fromOffset, max);
  }

  async endOffset(): Promise<bigint> {
    return this.#end.nextOffset;
  }

  waitFor(offset: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#end.nextOffset > offset) return Promise.resolve(true);
    if (signal?.aborted || this.#closed) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const done = () => {
      clearTimeout(timer);
      this.#waiters.delete(check);
      signal?.removeEventListener('abort', done);
      resolve(this.#end.nextOffset > offset);
    };
    const check = () => {
      if (this.#end.nextOffset > offset || this.#closed) done();
    };
    const timer = setTimeout(done, timeoutMs);
    this.#waiters.add(check);
    signal?.addEventListener('abort', done, { once: true });
    return promise;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writing;
    this.#wake();
    await this.#reader.close();
    await this.#file.close();
    await this.#endFile.close();
  }

  /** Writes what is queued until nothing is. Never throws: each append learns of its own fate. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        if (this.#broken !== null) throw this.#broken;
        const first = await this.#write(batch);
        let offset = first;
        for (const pending of batch) {
          pending.resolve(offset);
          offset += BigInt(pending.entries.length);
        }
        this.#wake();
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(errorText(error));
        for (const pending of batch) pending.reject(failure);
      }
    }
    this.#writing = null;
  }

  #takeBatch(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#queue) {
      if (count > 0 && bytes + pending.bytes > batchBytesMax) break;
      bytes += pending.bytes;
      count++;
    }
    this.#queueBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  async #write(batch: Pending[]): Promise<bigint> {
    const timestampMs = this.#clock();
    if (this.#end.position >= this.#segmentBytesMax) await this.#roll();
    const first = this.#end.nextOffset;
    const bytes = this.#room(batch.reduce((sum, pending) => sum + pending.bytes, 0));
    let at = 0;
    let offset = first;
    for (const pending of batch) {
      for (const entry of pending.entries) at = encodeFrame(bytes, at, offset++, timestampMs, entry);
    }
    try {
      await writeAll(this.#file, bytes, this.#end.position);
    } catch (cause) {
      await this.#cutBack(cause);
      throw new GatewayError(
        'LOG_WRITE_FAILED',
        'unavailable',
        `The log could not be written: ${errorText(cause)}. Nothing was appended.`,
        {
          cause,
        },
      );
    }
    const end = { ...this.#end, position: this.#end.position + bytes.length, nextOffset: offset };
    try {
      await this.#file.datasync();
      await publish(this.#endFile, end);
    } catch (cause) {
      // After a failed sync the kernel may have dropped the pages and call the next sync a success: only a restart reads the truth.
      throw this.#breakWith(cause);
    }
    this.#end = end;
    return first;
  }

  /** Bytes to write; the same for one write after another, which saves the collector the most of its work. */
  #room(length: number): Buffer {
    if (length > bufferKeptBytesMax) return Buffer.allocUnsafe(length);
    if (this.#buffer.length < length) this.#buffer = Buffer.allocUnsafeSlow(Math.min(bufferKeptBytesMax, length * 2));
    return this.#buffer.subarray(0, length);
  }

  /** After a failed write, half an entry must not stay in front of the next one. */
  async #cutBack(writeError: unknown): Promise<void> {
    try {
      await this.#file.truncate(this.#end.position);
    } catch {
      throw this.#breakWith(writeError);
    }
  }

  async #roll(): Promise<void> {
    const baseOffset = this.#end.nextOffset;
    try {
      const file = await createSegment(this.#dir, baseOffset);
      const end = { baseOffset, position: headerLength, nextOffset: baseOffset };
      await publish(this.#endFile, end);
      await this.#file.close();
      this.#file = file;
      this.#end = end;
    } catch (cause) {
      throw this.#breakWith(cause);
    }
  }

  #breakWith(cause: unknown): GatewayError {
    this.#broken ??= new GatewayError(
      'LOG_BROKEN',
      'unavailable',
      `The log in ${this.#dir} takes nothing more: ${errorText(cause)}. Look at the disk and restart.`,
      { cause },
    );
    return this.#broken;
  }

  #wake(): void {
    for (const check of [...this.#waiters]) check();
  }
}

function rejected(code: string, kind: 'invalid' | 'unavailable', message: string): Promise<never> {
  return Promise.reject(new GatewayError(code, kind, message));
}

async function openEndFile(dir: string): Promise<FileHandle> {
  try {
    return await open(join(dir, endFileName), 'r+');
  } catch {
    return open(join(dir, endFileName), 'wx+', 0o600);
  }
}

async function publish(endFile: FileHandle, end: DurableEnd): Promise<void> {
  await writeAll(endFile, encodeEnd(end), 0);
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function createSegment(dir: string, baseOffset: bigint): Promise<FileHandle> {
  const file = await open(join(dir, segmentName(baseOffset)), 'w+', 0o600);
  try {
    await writeAll(file, encodeHeader(baseOffset), 0);
    await file.datasync();
    await syncDirectory(dir);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Makes a new file's name durable. */
async function syncDirectory(dir: string): Promise<void> {
  for (const path of [dir, dirname(dir)]) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** Finds the end of the log: the last segment's whole entries. Cuts what is torn behind them. */
async function recover(dir: string, marked: DurableEnd | null): Promise<{ file: FileHandle; end: DurableEnd }> {
  const bases = segmentBases(await readdir(dir));
  const base = bases.at(-1);
  if (base === undefined) {
    if (marked !== null && marked.nextOffset > 0n) throw corrupt(marked.baseOffset, 0, 'it is missing');
    return { file: await createSegment(dir, 0n), end: { baseOffset: 0n, position: headerLength, nextOffset: 0n } };
  }
  if (marked !== null && marked.baseOffset > base) throw corrupt(marked.baseOffset, 0, 'it is missing');
  const durable = marked === null || marked.baseOffset < base ? 0 : marked.position;
  const file = await open(join(dir, segmentName(base)), 'r+');
  try {
    const size = (await file.stat()).size;
    if (size >= headerLength || durable > headerLength) {
      const whole = await scan(file, base, size);
      if (whole.position < durable) throw corrupt(base, whole.position, whole.reason);
      if (whole.position < size) await file.truncate(whole.position);
      return { file, end: { baseOffset: base, position: whole.position, nextOffset: whole.nextOffset } };
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  // The crash came while the segment was being made: no entry was in it.
  await file.close();
  return { file: await createSegment(dir, base), end: { baseOffset: base, position: headerLength, nextOffset: base } };
}

async function scan(file: FileHandle, base: bigint, size: number): Promise<{ position: number; nextOffset: bigint; reason: string }> {
  const header = Buffer.alloc(headerLength);
  await file.read(header, 0, headerLength, 0);
  checkHeader(header, base);
  let position = headerLength;
  let nextOffset = base;
  let reason = 'it ends there';
  let length = 1024 * 1024;
  while (position < size) {
    const chunk = Buffer.allocUnsafe(Math.min(length, size - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    const read = chunk.subarray(0, bytesRead);
    let at = 0;
    let needed = 0;
    for (;;) {
      const frame = checkFrame(read, at, nextOffset);
      if (frame.state === 'damaged') return { position: position + at, nextOffset, reason: frame.reason };
      if (frame.state === 'incomplete') {
        needed = frame.needed;
        break;
      }
      at = frame.end;
      nextOffset++;
    }
    position += at;
    if (needed > size - position) {
      if (position < size) reason = 'an entry reaches past its end';
      break;
    }
    length = Math.max(1024 * 1024, needed);
  }
  return { position, nextOffset, reason };
}
