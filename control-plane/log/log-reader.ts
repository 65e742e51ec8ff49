/**
 * Follows a topic's files, in the writer's process or in another, while the writer appends. It returns only what the writer has
 * marked as durable (durable-end.ts) and whose checksum is right; it holds no entries, one open segment, and a position in it.
 */
import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type DurableEnd, endFileName, readEnd } from './durable-end.ts';
import type { Entry, LogReader } from './event-log.ts';
import {
  checkHeader,
  corrupt,
  decodeFrame,
  frameHead,
  frameHeaderLength,
  frameHeadLength,
  headerLength,
  segmentBases,
  segmentName,
} from './segment.ts';

/** What one call of `read` returns at most, unless a single entry is larger. */
const readBytesMax = 8 * 1024 * 1024;
const chunkBytes = 256 * 1024;
/** Watching files is a hint that some file systems do not give; polling is what makes `waitFor` right. */
const pollMs = 200;

/**
 * Opens a reader on a topic's folder, which need not exist yet.
 * @param dir e.g. DATA/log/sallyport.records.
 */
export function openLogReader(dir: string): LogReader {
  return new FileLogReader(dir);
}

interface Cursor {
  file: FileHandle;
  baseOffset: bigint;
  /** The entry at `position` has this offset. */
  offset: bigint;
  position: number;
}

class FileLogReader implements LogReader {
  readonly #dir: string;
  #endFile: FileHandle | null = null;
  #lastEnd: DurableEnd | null = null;
  #cursor: Cursor | null = null;
  /** Calls are served one after another: they share the cursor. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;
  #watcher: FSWatcher | null = null;
  readonly #waiting = new Set<() => void>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  read(fromOffset: bigint, max: number): Promise<Entry[]> {
    return this.#inTurn(() => this.#read(fromOffset, max));
  }

  endOffset(): Promise<bigint> {
    return this.#inTurn(async () => (await this.#end())?.nextOffset ?? 0n);
  }

  async waitFor(offset: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (this.#closed || signal?.aborted) return false;
      // Listening begins before the look, so that no change falls between the two.
      const change = this.#nextChange(Math.max(0, Math.min(deadline - Date.now(), pollMs)), signal);
      if ((await this.endOffset()) > offset) {
        change.cancel();
        return true;
      }
      await change.happened;
      if (Date.now() >= deadline) return (await this.endOffset()) > offset;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher?.close();
    for (const wake of [...this.#waiting]) wake();
    await this.#turn;
    await this.#cursor?.file.close();
    await this.#endFile?.close();
    this.#cursor = null;
    this.#endFile = null;
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(() => {
      if (this.#closed) throw new GatewayError('LOG_CLOSED', 'unavailable', 'The log reader is closed.');
      return work();
    });
    this.#turn = result.catch(() => undefined); // The caller has the error; the next one's turn comes all the same.
    return result;
  }

  async #end(): Promise<DurableEnd | null> {
    if (this.#endFile === null) {
      try {
        this.#endFile = await open(join(this.#dir, endFileName), 'r');
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    }
    const end = await readEnd(this.#endFile);
    // A mark torn by the writer's death is written again at its next start; until then what was durable still is.
    if (end !== null) this.#lastEnd = end;
    return this.#lastEnd;
  }

  async #read(fromOffset: bigint, max: number): Promise<Entry[]> {
    if (fromOffset < 0n) throw new GatewayError('LOG_OFFSET_INVALID', 'invalid', `A log has no offset ${fromOffset}.`);
    const end = await this.#end();
    const entries: Entry[] = [];
    if (end === null || fromOffset >= end.nextOffset || max <= 0) return entries;
    let bytes = 0;
    let next = fromOffset;
    while (next < end.nextOffset && entries.length < max && bytes < readBytesMax) {
      const cursor = await this.#seek(next, end);
      const limit = cursor.baseOffset === end.baseOffset ? end.position : (await cursor.file.stat()).size;
      await goTo(next, cursor, limit);
      for await (const entry of frames(cursor, limit)) {
        entries.push(entry);
        next = entry.offset + 1n;
        bytes += entry.key.length + entry.value.length;
        if (entries.length >= max || bytes >= readBytesMax) break;
      }
      if (cursor.position >= limit && cursor.offset < end.nextOffset && cursor.baseOffset === end.baseOffset) {
        throw corrupt(cursor.baseOffset, cursor.position, 'it ends before the entries that were durable');
      }
    }
    return entries;
  }

  /** Puts the cursor at or before `offset`, in the segment that holds it. */
  async #seek(offset: bigint, end: DurableEnd): Promise<Cursor> {
    const current = this.#cursor;
    if (current?.offset === offset && (await this.#goesOn(current, end))) return current;
    const base = segmentBases(await readdir(this.#dir)).findLast(candidate => candidate <= offset);
    if (base === undefined) {
      throw new GatewayError('LOG_OFFSET_GONE', 'notFound', `Offset ${offset} is before the first entry that the log keeps.`);
    }
    if (current?.baseOffset === base && current.offset <= offset) {
      if (await this.#goesOn(current, end)) return current;
      throw corrupt(base, current.position, `it ends before offset ${offset}`);
    }
    this.#cursor = null;
    await current?.file.close();
    const file = await open(join(this.#dir, segmentName(base)), 'r');
    this.#cursor = { file, baseOffset: base, offset: base, position: headerLength };
    const header = Buffer.alloc(headerLength);
    const { bytesRead } = await file.read(header, 0, headerLength, 0);
    checkHeader(header.subarray(0, bytesRead), base);
    return this.#cursor;
  }

  /** Whether there is more in the open segment than the cursor has seen. A finished segment's cursor stands at its end one day. */
  async #goesOn(cursor: Cursor, end: DurableEnd): Promise<boolean> {
    return cursor.position < (cursor.baseOffset === end.baseOffset ? end.position : (await cursor.file.stat()).size);
  }

  /** The next change of the mark, or `timeoutMs`, whichever comes first. */
  #nextChange(timeoutMs: number, signal?: AbortSignal): { happened: Promise<void>; cancel: () => void } {
    this.#watch();
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = () => {
      clearTimeout(timer);
      this.#waiting.delete(done);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    this.#waiting.add(done);
    signal?.addEventListener('abort', done, { once: true });
    return { happened: promise, cancel: done };
  }

  #watch(): void {
    if (this.#watcher !== null || this.#closed) return;
    try {
      const watcher = watch(join(this.#dir, endFileName), { persistent: false }, () => {
        for (const wake of [...this.#waiting]) wake();
      });
      watcher.on('error', () => {
        watcher.close();
        this.#watcher = null;
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = null; // Not there yet, or it cannot be watched: the poll finds it.
    }
  }
}

/** Moves the cursor to `offset`, from one entry's head to the next; what is between is not checked. Ends earlier at `limit`. */
async function goTo(offset: bigint, cursor: Cursor, limit: number): Promise<void> {
  let buffer: Buffer = Buffer.alloc(0);
  let bufferStart = cursor.position;
  while (cursor.offset < offset && cursor.position < limit) {
    const at = cursor.position - bufferStart;
    if (buffer.length - at < frameHeadLength) {
      const length = Math.min(chunkBytes, limit - cursor.position);
      buffer = await readAt(cursor, length, frameHeadLength);
      bufferStart = cursor.position;
      continue;
    }
    const head = frameHead(buffer, at, cursor.offset);
    if (head.state !== 'whole') throw corrupt(cursor.baseOffset, cursor.position, head.state === 'damaged' ? head.reason : 'it ends there');
    if (bufferStart + head.end > limit) throw corrupt(cursor.baseOffset, cursor.position, 'an entry reaches past its end');
    cursor.position = bufferStart + head.end;
    cursor.offset += 1n;
  }
}

/** Yields the entries from the cursor up to `limit`, moving it behind each one. */
async function* frames(cursor: Cursor, limit: number): AsyncGenerator<Entry> {
  let buffer: Buffer = Buffer.alloc(0);
  let bufferStart = cursor.position;
  let wanted = frameHeaderLength;
  while (cursor.position < limit) {
    const at = cursor.position - bufferStart;
    if (buffer.length - at < wanted) {
      const length = Math.min(Math.max(wanted, chunkBytes), limit - cursor.position);
      if (length < wanted) throw corrupt(cursor.baseOffset, cursor.position, 'an entry reaches past its end');
      buffer = await readAt(cursor, length, wanted);
      bufferStart = cursor.position;
      continue;
    }
    const frame = decodeFrame(buffer, at, cursor.offset);
    if (frame.state === 'damaged') throw corrupt(cursor.baseOffset, cursor.position, frame.reason);
    if (frame.state === 'incomplete') {
      wanted = frame.needed;
      continue;
    }
    cursor.position = bufferStart + frame.end;
    cursor.offset += 1n;
    wanted = frameHeaderLength;
    yield frame.entry;
  }
}

/** Bytes from the cursor on. @throws {GatewayError} LOG_CORRUPT when there are fewer than `needed`. */
async function readAt(cursor: Cursor, length: number, needed: number): Promise<Buffer> {
  const fresh = Buffer.allocUnsafe(length);
  const { bytesRead } = await cursor.file.read(fresh, 0, length, cursor.position);
  if (bytesRead < needed) throw corrupt(cursor.baseOffset, cursor.position, 'it is shorter than what was durable');
  return fresh.subarray(0, bytesRead);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
