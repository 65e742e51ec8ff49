/**
 * An agent's spool: the append-only file log that a session's records are durable in before anything is released.
 *
 * - One write is in flight at a time, to a preallocated file opened with O_DSYNC. Whatever is appended meanwhile goes into the
 *   next write: one sync serves every session that waits (group commit).
 * - A record that nobody waits for starts no write of its own for a moment: the next one takes it along.
 * - Where a record will lie is settled when it is appended, so that a full spool is refused then, before the session forwards.
 * - Segments go when their records are acknowledged (`shipped`); what they said about open sessions is kept in the checkpoint.
 * - After a disk error nothing is known of what is on disk: the spool is broken until it is opened again.
 *
 * Not here: reading for shipment (reader.ts), the bytes of files (format.ts), recovery's scan (recover.ts). Nothing here may be
 * used by two processes at a time; whoever owns the data folder holds a lock.
 */
import { randomInt, randomUUID } from 'node:crypto';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Head } from '@sallyport/shared/evidence/checkpoint.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';
import { nodeDisk, type SegmentFile, type SpoolDisk } from './disk.ts';
import {
  FRAME_HEADER_BYTES,
  recordHeaderBytes,
  SEGMENT_HEADER_BYTES,
  sealFrame,
  segmentName,
  writeRecordHeader,
  writeSegmentHeader,
} from './format.ts';
import { closeCrashed, headOf, type LedgerState, OpenSessions } from './open-sessions.ts';
import { CHECKPOINT_NAME, type Checkpoint, foldSegment, type Recovered, recoverSpool } from './recover.ts';

export interface SpoolOptions {
  /** The spool's own folder; made when missing. */
  dir: string;
  /** Bound of all of its segments together. */
  bytesMax: number;
  /** Size of one file; default an eighth of `bytesMax`, at most 16 MiB. */
  segmentBytes?: number;
  /** Called with `durableIndex` once the spool is open, and after it rose, at most every `durableNoticeMs` (default 25). */
  onDurable?: (nextIndex: number) => void;
  durableNoticeMs?: number;
  /** How long a record that nobody waits for lies in memory so that another's write takes it along; default 10. */
  lingerMs?: number;
  disk?: SpoolDisk;
  /** Microseconds since 1970 UTC, for the records that recovery writes. */
  nowUnixUs?: () => number;
}

export interface SpoolStats {
  /** Bytes of the live segments' files. */
  bytes: number;
  /** Records not yet shipped. */
  records: number;
  /** Records appended and not yet durable. */
  pending: number;
  broken: boolean;
  full: boolean;
}

/** What opening found, for a log line. */
export interface RecoveryReport {
  closedSessions: string[];
  lost: { fromIndex: number; toIndex: number }[];
  /** Ended sessions that no checkpoint vouches for yet. */
  uncovered: Head[];
  ledger: LedgerState;
}

const SEGMENT_BYTES_MAX = 16 * 1024 * 1024;
const SEGMENT_BYTES_MIN = 64 * 1024;
const FRAME_BYTES_MAX = 1024 * 1024;
const RECORD_BYTES_MAX = 2 * 1024 * 1024;
const PENDING_BYTES_MAX = 16 * 1024 * 1024;
/** How long after a failed preparation of a file the next one is tried. */
const RETRY_MS = 1000;
const LINGER_MS = 10;
const BUFFER_BYTES = 64 * 1024;
const BUFFER_KEEP_BYTES = 2 * 1024 * 1024;

interface Segment {
  number: number;
  bytes: number;
  firstIndex: number;
  nextIndex: number;
  salt: number;
  /** Where the next frame will begin. */
  end: number;
  /** null while the file is being prepared. */
  file: SegmentFile | null;
}

interface Frame {
  buffer: Buffer;
  used: number;
  /** Where the frame begins in the buffer: behind the segment's header when it is the segment's first. */
  start: number;
  segment: Segment;
  position: number;
  firstIndex: number;
  count: number;
}

/**
 * Opens a spool, recovers it, and closes the sessions that its last owner left open.
 *
 * @throws {GatewayError} SPOOL_FOREIGN, SPOOL_CHECKPOINT_INVALID, SPOOL_SIZE; SPOOL_BROKEN when the disk fails.
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const disk = options.disk ?? nodeDisk;
  if (options.bytesMax < 4 * SEGMENT_BYTES_MIN) {
    throw new GatewayError(
      'SPOOL_SIZE',
      'invalid',
      `a spool of ${options.bytesMax} bytes is too small: give at least ${4 * SEGMENT_BYTES_MIN}`,
    );
  }
  let spool: Spool;
  try {
    const recovered = await recoverSpool(options.dir, disk);
    spool = new Spool(options, disk, recovered);
    await spool.begin(recovered);
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('SPOOL_BROKEN', 'unavailable', `the spool in ${options.dir} cannot be opened: ${errorText(error)}`, {
      cause: error,
    });
  }
  return spool;
}

export class Spool implements RecordSink {
  /** UUID; with an index it names a record's place for ever. */
  readonly id: string;
  /** Records with an index below this are on disk. */
  durableIndex: number;
  /** What recovery did. */
  readonly recovery: RecoveryReport = { closedSessions: [], lost: [], uncovered: [], ledger: { number: 0, previous: '' } };

  readonly #options: SpoolOptions;
  readonly #disk: SpoolDisk;
  readonly #segmentBytes: number;
  readonly #segmentsMax: number;

  #nextIndex: number;
  #shippedIndex: number;
  /** Oldest first; the last one takes new frames. */
  readonly #segments: Segment[] = [];
  /** A prepared file that the next segment will use. */
  #spare: Segment | null = null;
  /** Settles when no file is in the making. */
  #preparations: Promise<void> = Promise.resolve();
  #retryAtMs = 0;
  /** Segments beyond the bound: one, while recovery closes sessions, so that a full spool can be opened. */
  #reserve = 1;
  #nextNumber: number;
  #checkpoint: Checkpoint;
  #reclaiming: Promise<void> | null = null;

  /** Frames to write, oldest first; the last may still be filling. */
  readonly #queue: Frame[] = [];
  #filling: Frame | null = null;
  #pendingBytes = 0;
  #writing = false;
  #scheduled = false;
  /** Records below this are waited for, or may be. */
  #awaited = 0;
  #lingerTimer: NodeJS.Timeout | null = null;
  #free: Buffer[] = [];

  #waitIndex: number[] = [];
  #waitDone: ((error: Error | null) => void)[] = [];
  #waitHead = 0;

  #broken: GatewayError | null = null;
  #closed = false;
  #noticeTimer: NodeJS.Timeout | null = null;

  /** Use `openSpool`. */
  constructor(options: SpoolOptions, disk: SpoolDisk, recovered: Recovered) {
    this.#options = options;
    this.#disk = disk;
    const wanted = options.segmentBytes ?? Math.floor(options.bytesMax / 8);
    this.#segmentBytes = Math.max(SEGMENT_BYTES_MIN, Math.min(SEGMENT_BYTES_MAX, wanted));
    this.#segmentsMax = Math.max(2, Math.floor(options.bytesMax / this.#segmentBytes));
    this.id = recovered.spoolId ?? randomUUID();
    this.#nextIndex = recovered.nextIndex;
    this.durableIndex = recovered.nextIndex;
    this.#checkpoint = recovered.checkpoint ?? { version: 1, spoolId: this.id, throughSegment: 0, nextIndex: 0, open: [] };
    this.#shippedIndex = recovered.segments[0]?.firstIndex ?? recovered.nextIndex;
    const last = recovered.segments.at(-1)?.number ?? this.#checkpoint.throughSegment;
    this.#nextNumber = last + 1;
  }

  /** Makes the recovered segments this spool's own. Called once, by `openSpool`. */
  async begin(recovered: Recovered): Promise<void> {
    this.recovery.lost.push(...recovered.lost);
    // What was prepared ahead is made anew: it is cheap, and its size may not be the one wanted now.
    for (const { number } of recovered.empty) await this.#disk.unlink(this.#path(number));
    for (const found of recovered.segments) {
      this.#segments.push({ ...found, file: null });
    }
    const tail = this.#segments.at(-1);
    if (tail !== undefined) tail.file = await this.#disk.open(this.#path(tail.number));
    else await this.#disk.replaceFile(path.join(this.#options.dir, CHECKPOINT_NAME), JSON.stringify(this.#checkpoint));
    this.#prepareSpare();
    await this.#preparations;

    const now = this.#options.nowUnixUs ?? (() => Date.now() * 1000);
    let last = -1;
    for (const [sessionId, session] of recovered.open.entries()) {
      if (session.ended !== true) {
        last = closeCrashed(sessionId, session, now(), record => this.append(record));
        this.recovery.closedSessions.push(sessionId);
      }
      this.recovery.uncovered.push(headOf(sessionId, session));
    }
    this.recovery.ledger = recovered.open.ledger;
    if (last >= 0) await this.durable(last);
    this.#reserve = 0;
    this.#options.onDurable?.(this.durableIndex);
  }

  /** The index that the next record will have. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  append(record: Uint8Array, isAwaited = true): number {
    if (this.#broken !== null) throw this.#broken;
    if (this.#closed) throw new GatewayError('SPOOL_BROKEN', 'unavailable', 'the spool is closed');
    const need = recordHeaderBytes(record.length) + record.length;
    let frame = this.#filling;
    if (
      frame === null ||
      frame.used + need > FRAME_BYTES_MAX ||
      frame.position + frame.used + need > frame.segment.bytes ||
      this.#pendingBytes + need > PENDING_BYTES_MAX
    ) {
      frame = this.#openFrame(need, record.length);
    }
    if (frame.used + need > frame.buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(frame.buffer.length * 2, frame.used + need));
      frame.buffer.copy(grown, 0, 0, frame.used);
      frame.buffer = grown;
    }
    const buffer = frame.buffer;
    buffer.set(record, writeRecordHeader(buffer, frame.used, record.length));
    frame.used += need;
    frame.count++;
    frame.segment.end = frame.position + frame.used;
    this.#pendingBytes += need;
    const index = this.#nextIndex++;
    frame.segment.nextIndex = this.#nextIndex;
    if (isAwaited) this.#awaited = this.#nextIndex;
    this.#schedule();
    return index;
  }

  /** Sees to it that what lies in the queue is written: at once if somebody waits for it, else soon. */
  #schedule(): void {
    if (this.#writing || this.#scheduled) return;
    if (this.#awaited > this.durableIndex || this.#queue.length > 1) {
      this.#scheduled = true;
      setImmediate(this.#flush);
    } else if (this.#lingerTimer === null) {
      this.#lingerTimer = setTimeout(this.#lingered, this.#options.lingerMs ?? LINGER_MS);
    }
  }

  readonly #lingered = (): void => {
    this.#lingerTimer = null;
    if (!this.#scheduled) this.#flush();
  };

  whenDurable(index: number, done: (error: Error | null) => void): void {
    if (index < this.durableIndex) {
      done(null);
      return;
    }
    if (this.#broken !== null) {
      done(this.#broken);
      return;
    }
    if (index >= this.#nextIndex) {
      done(new GatewayError('SPOOL_INDEX_UNKNOWN', 'internal', `record ${index} was never appended`));
      return;
    }
    if (index >= this.#awaited) {
      this.#awaited = index + 1;
      this.#schedule();
    }
    const indexes = this.#waitIndex;
    let at = indexes.length;
    while (at > this.#waitHead && (indexes[at - 1] as number) > index) at--;
    if (at === indexes.length) {
      indexes.push(index);
      this.#waitDone.push(done);
    } else {
      indexes.splice(at, 0, index);
      this.#waitDone.splice(at, 0, done);
    }
  }

  /** `whenDurable` as a promise. */
  durable(index: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.whenDurable(index, error => (error === null ? resolve() : reject(error)));
    });
  }

  /** Records below `nextIndex` are safe elsewhere: segments that hold nothing else may go. */
  shipped(nextIndex: number): void {
    if (nextIndex <= this.#shippedIndex) return;
    this.#shippedIndex = Math.min(nextIndex, this.durableIndex);
    if (this.#reclaiming !== null || !this.#reclaimable()) return;
    this.#reclaiming = this.#reclaim()
      .catch((error: unknown) => this.#break(error))
      .finally(() => {
        this.#reclaiming = null;
      });
  }

  stats(): SpoolStats {
    let bytes = this.#spare?.bytes ?? 0;
    for (const segment of this.#segments) bytes += segment.bytes;
    return {
      bytes,
      records: this.#nextIndex - this.#shippedIndex,
      pending: this.#nextIndex - this.durableIndex,
      broken: this.#broken !== null,
      full: !this.#roomFor(1024),
    };
  }

  /** Waits until everything appended is on disk, and closes the files. The first error of the spool, if any, is thrown. */
  async close(): Promise<void> {
    this.#closed = true;
    try {
      if (this.#nextIndex > this.durableIndex) await this.durable(this.#nextIndex - 1);
      await this.#reclaiming;
      await this.#preparations;
      if (this.#broken !== null) throw this.#broken;
    } finally {
      if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
      if (this.#noticeTimer !== null) {
        clearTimeout(this.#noticeTimer);
        this.#notice();
      }
      for (const segment of this.#segments) await segment.file?.close();
      await this.#spare?.file?.close();
      if (this.#spare?.file != null) await this.#disk.unlink(this.#path(this.#spare.number));
    }
  }

  #path(number: number): string {
    return path.join(this.#options.dir, segmentName(number));
  }

  /** Would a record that needs this many bytes find room? */
  #roomFor(need: number): boolean {
    const tail = this.#segments.at(-1);
    return (tail !== undefined && tail.end + FRAME_HEADER_BYTES + need <= tail.bytes) || this.#mayAdvance();
  }

  #mayAdvance(): boolean {
    return this.#spare !== null || this.#mayPrepare();
  }

  #mayPrepare(): boolean {
    return this.#segments.length < this.#segmentsMax + this.#reserve && Date.now() >= this.#retryAtMs;
  }

  /** Opens the frame that the next record goes into, in this segment or a new one. */
  #openFrame(need: number, length: number): Frame {
    if (length > Math.min(RECORD_BYTES_MAX, this.#segmentBytes / 4)) {
      throw new GatewayError('SPOOL_RECORD_TOO_LARGE', 'invalid', `a record of ${length} bytes is larger than a spool takes`);
    }
    if (this.#pendingBytes + need > PENDING_BYTES_MAX) {
      throw new GatewayError('SPOOL_FULL', 'unavailable', 'records wait for the disk, and no more may wait: the disk is too slow or stuck');
    }
    let segment = this.#segments.at(-1);
    let first = false;
    if (segment === undefined || segment.end + FRAME_HEADER_BYTES + need > segment.bytes) {
      if (!this.#mayAdvance()) {
        const why = this.#segments.length >= this.#segmentsMax ? 'its records are not acknowledged' : 'no new file can be made for it';
        throw new GatewayError(
          'SPOOL_FULL',
          'unavailable',
          `the spool of ${this.#options.bytesMax} bytes is full because ${why}: restore the connection to the control plane, or disk space`,
        );
      }
      segment = this.#advance();
      first = true;
    }
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const start = first ? SEGMENT_HEADER_BYTES : 0;
    const frame: Frame = {
      buffer,
      start,
      used: start + FRAME_HEADER_BYTES,
      segment,
      position: segment.end - start,
      firstIndex: this.#nextIndex,
      count: 0,
    };
    this.#queue.push(frame);
    this.#filling = frame;
    return frame;
  }

  /** Begins the next segment. Its file may still be in the making: its frames wait for it. */
  #advance(): Segment {
    const segment = this.#spare ?? this.#prepare();
    this.#spare = null;
    segment.firstIndex = this.#nextIndex;
    segment.nextIndex = this.#nextIndex;
    this.#segments.push(segment);
    return segment;
  }

  /** Prepares the next segment ahead of its use. */
  #prepareSpare(): void {
    if (this.#spare === null && this.#mayPrepare() && !this.#closed && this.#broken === null) this.#spare = this.#prepare();
  }

  #newSegment(): Segment {
    return {
      number: this.#nextNumber++,
      bytes: this.#segmentBytes,
      firstIndex: 0,
      nextIndex: 0,
      salt: randomInt(0x100000000),
      end: SEGMENT_HEADER_BYTES,
      file: null,
    };
  }

  /**
   * Gives the file of a deleted segment to the next one: its blocks are allocated already. What it holds does not check any more,
   * because number, salt and indexes are others.
   */
  async #reuse(number: number, file: SegmentFile): Promise<void> {
    const segment = this.#newSegment();
    this.#spare = segment;
    await this.#disk.rename(this.#path(number), this.#path(segment.number));
    await this.#disk.syncDir(this.#options.dir);
    segment.file = file;
    this.#flush();
  }

  /** Starts to make the file of the next segment. */
  #prepare(): Segment {
    const segment = this.#newSegment();
    const done = this.#makeFile(segment.number).then(
      file => {
        segment.file = file;
        this.#flush();
      },
      (error: unknown) => {
        if (this.#spare === segment) {
          // Nothing waits for it. Appends see SPOOL_FULL where they would need it, until a later attempt succeeds.
          this.#spare = null;
          this.#retryAtMs = Date.now() + RETRY_MS;
        } else {
          this.#break(error);
        }
      },
    );
    this.#preparations = Promise.all([this.#preparations, done]).then(() => undefined);
    return segment;
  }

  async #makeFile(number: number): Promise<SegmentFile> {
    const name = this.#path(number);
    const temporary = `${name}.new`;
    await this.#disk.allocate(temporary, this.#segmentBytes);
    await this.#disk.rename(temporary, name);
    await this.#disk.syncDir(this.#options.dir);
    return this.#disk.open(name);
  }

  /** Starts the next write if none is in flight. */
  readonly #flush = (): void => {
    this.#scheduled = false;
    const frame = this.#queue[0];
    if (this.#writing || frame === undefined || this.#broken !== null) return;
    const file = frame.segment.file;
    if (file === null) return; // #prepare comes back
    if (frame === this.#filling) this.#filling = null;
    if (frame.start > 0) {
      writeSegmentHeader(frame.buffer, {
        spoolId: this.id,
        number: frame.segment.number,
        salt: frame.segment.salt,
        firstIndex: frame.segment.firstIndex,
      });
    }
    sealFrame(frame.buffer, frame.start, frame.used, frame.firstIndex, frame.count, frame.segment.salt);
    this.#writing = true;
    this.#write(file, frame, 0);
  };

  #write(file: SegmentFile, frame: Frame, from: number): void {
    file.write(frame.buffer, from, frame.used - from, frame.position + from, (error, written) => {
      if (error !== null) {
        this.#break(error);
      } else if (written <= 0) {
        this.#break(new Error('the disk took no bytes'));
      } else if (from + written < frame.used) {
        this.#write(file, frame, from + written);
      } else {
        this.#written(frame);
      }
    });
  }

  #written(frame: Frame): void {
    this.#writing = false;
    if (this.#broken !== null) return;
    this.#queue.shift();
    this.#pendingBytes -= frame.used - frame.start - FRAME_HEADER_BYTES;
    if (frame.buffer.length <= BUFFER_KEEP_BYTES && this.#free.length < 3) this.#free.push(frame.buffer);
    this.durableIndex = frame.firstIndex + frame.count;
    // The disk goes on with what is waited for already while the sessions are told.
    if (this.#awaited > this.durableIndex || this.#queue.length > 1) this.#flush();
    else if (this.#queue.length > 0) this.#schedule();
    if (frame.segment.end > frame.segment.bytes / 2) this.#prepareSpare();
    if (this.#options.onDurable !== undefined && this.#noticeTimer === null) {
      this.#noticeTimer = setTimeout(this.#notice, this.#options.durableNoticeMs ?? 25);
    }
    this.#tell(null);
  }

  readonly #notice = (): void => {
    this.#noticeTimer = null;
    this.#options.onDurable?.(this.durableIndex);
  };

  /** Calls back those that wait: up to what is durable, or everyone with the error. A callback's fault does not stop the others. */
  #tell(error: GatewayError | null): void {
    const indexes = this.#waitIndex;
    const faults: unknown[] = [];
    while (this.#waitHead < indexes.length && (error !== null || (indexes[this.#waitHead] as number) < this.durableIndex)) {
      const done = this.#waitDone[this.#waitHead++] as (error: Error | null) => void;
      try {
        done(error);
      } catch (fault) {
        faults.push(fault);
      }
    }
    if (this.#waitHead === indexes.length) {
      this.#waitIndex = [];
      this.#waitDone = [];
      this.#waitHead = 0;
    } else if (this.#waitHead > 1024) {
      indexes.splice(0, this.#waitHead);
      this.#waitDone.splice(0, this.#waitHead);
      this.#waitHead = 0;
    }
    if (faults.length > 0) throw faults[0];
  }

  #break(cause: unknown): void {
    if (this.#broken !== null) return;
    this.#broken = new GatewayError(
      'SPOOL_BROKEN',
      'unavailable',
      `the spool's disk failed (${errorText(cause)}): nothing more is recorded until the agent is started again`,
      { cause },
    );
    this.#filling = null;
    this.#queue.length = 0;
    this.#tell(this.#broken);
  }

  #reclaimable(): boolean {
    const oldest = this.#segments[0];
    return oldest !== undefined && this.#segments.length > 1 && oldest.nextIndex <= this.#shippedIndex;
  }

  /** Folds acknowledged segments into the checkpoint, then deletes them. */
  async #reclaim(): Promise<void> {
    const open = new OpenSessions(this.#checkpoint.open, this.#checkpoint.ledger);
    while (this.#reclaimable()) {
      const segment = this.#segments[0] as Segment;
      const file = segment.file ?? (await this.#disk.open(this.#path(segment.number)));
      segment.file = file;
      await foldSegment(file, segment.number, open);
      this.#checkpoint = {
        version: 1,
        spoolId: this.id,
        throughSegment: segment.number,
        nextIndex: segment.nextIndex,
        open: open.entries().map(([id, session]) => [id, { ...session }]),
        ledger: open.ledger,
      };
      await this.#disk.replaceFile(path.join(this.#options.dir, CHECKPOINT_NAME), JSON.stringify(this.#checkpoint));
      this.#segments.shift();
      if (this.#spare === null && segment.bytes === this.#segmentBytes && !this.#closed) await this.#reuse(segment.number, file);
      else {
        await file.close();
        await this.#disk.unlink(this.#path(segment.number));
      }
    }
  }
}
