/**
 * Opens a spool's folder after any end, orderly or not: finds the valid segments, where the last one ends, and which sessions
 * were left open. It deletes what was already checkpointed and files that were
 * never finished, and changes nothing else.
 *
 * The checkpoint is a small file beside the segments. It remembers what deleted segments would have told: how far they went and
 * which sessions they left open.
 */
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { SegmentFile, SpoolDisk } from './disk.ts';
import { eachRecord, segmentName, segmentNumber } from './format.ts';
import { type LedgerState, type OpenSession, OpenSessions } from './open-sessions.ts';
import { SegmentScanner, scanHeader } from './scan.ts';

export const CHECKPOINT_NAME = 'checkpoint.json';

export interface Checkpoint {
  version: 1;
  spoolId: string;
  /** Segments up to this number are folded in here, and deleted or about to be. 0: none. */
  throughSegment: number;
  /** The index after the last record of those segments. */
  nextIndex: number;
  /** Sessions that those segments left open, or without a checkpoint. */
  open: [string, OpenSession][];
  /** Where the ledger of checkpoints stood at their end. */
  ledger?: LedgerState;
}

/** A segment with records. */
export interface RecoveredSegment {
  number: number;
  firstIndex: number;
  /** The index after its last record. */
  nextIndex: number;
  /** Where its last frame ends. */
  end: number;
  bytes: number;
  salt: number;
}

export interface Recovered {
  checkpoint: Checkpoint | null;
  spoolId: string | null;
  segments: RecoveredSegment[];
  /** Numbers of segments that hold nothing: they were prepared ahead. */
  empty: { number: number; bytes: number }[];
  nextIndex: number;
  open: OpenSessions;
  /** Runs of records that were durable and cannot be read any more: the disk lost them. */
  lost: { fromIndex: number; toIndex: number }[];
}

/**
 * @throws {GatewayError} SPOOL_FOREIGN: the folder holds segments of two spools. What the disk throws goes through.
 */
export async function recoverSpool(dir: string, disk: SpoolDisk): Promise<Recovered> {
  const names = await disk.list(dir);
  const checkpoint = parseCheckpoint(await disk.readFile(path.join(dir, CHECKPOINT_NAME)));
  for (const name of names) if (name.endsWith('.new')) await disk.unlink(path.join(dir, name));
  const numbers = names.map(segmentNumber).filter(number => number !== null);
  numbers.sort((a, b) => a - b);

  const open = new OpenSessions(checkpoint?.open, checkpoint?.ledger);
  const segments: RecoveredSegment[] = [];
  const empty: Recovered['empty'] = [];
  const lost: Recovered['lost'] = [];
  let spoolId = checkpoint?.spoolId ?? null;
  let nextIndex = checkpoint?.nextIndex ?? 0;
  let known = checkpoint !== null;

  for (const number of numbers) {
    const name = path.join(dir, segmentName(number));
    if (checkpoint !== null && number <= checkpoint.throughSegment) {
      await disk.unlink(name);
      continue;
    }
    const file = await disk.open(name);
    try {
      const header = await scanHeader(file, number);
      if (header === null) {
        empty.push({ number, bytes: file.bytes });
        continue;
      }
      if (spoolId !== null && header.spoolId !== spoolId) {
        throw new GatewayError(
          'SPOOL_FOREIGN',
          'internal',
          `${name} belongs to spool ${header.spoolId}, the folder to ${spoolId}: move it away and start again`,
        );
      }
      spoolId = header.spoolId;
      if (known && header.firstIndex !== nextIndex) lost.push({ fromIndex: nextIndex, toIndex: header.firstIndex });
      known = true;
      const { end, nextIndex: after } = await foldSegment(file, number, open);
      nextIndex = after;
      segments.push({ number, firstIndex: header.firstIndex, nextIndex, end, bytes: file.bytes, salt: header.salt });
    } finally {
      await file.close();
    }
  }
  // Only what was prepared ahead may be used again: an empty segment in front of a full one is no place to go on.
  const last = segments.at(-1)?.number ?? checkpoint?.throughSegment ?? 0;
  return { checkpoint, spoolId, segments, empty: empty.filter(segment => segment.number > last), nextIndex, open, lost };
}

/** Takes every record of a segment into `open`, a frame at a time, so that other work goes on in between. */
export async function foldSegment(file: SegmentFile, number: number, open: OpenSessions): Promise<{ end: number; nextIndex: number }> {
  const header = await scanHeader(file, number);
  if (header === null) throw new GatewayError('SPOOL_SEGMENT_GONE', 'internal', `segment ${number} has no header any more`);
  const scanner = new SegmentScanner(file, header);
  for (let frame = await scanner.next(); frame !== null; frame = await scanner.next()) {
    eachRecord(frame.window, frame.start, frame.end, record => open.take(record));
  }
  return { end: scanner.position, nextIndex: scanner.nextIndex };
}

function parseCheckpoint(bytes: Buffer | null): Checkpoint | null {
  if (bytes === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    value = null;
  }
  if (!isCheckpoint(value)) {
    throw new GatewayError(
      'SPOOL_CHECKPOINT_INVALID',
      'internal',
      `${CHECKPOINT_NAME} of the spool cannot be read: restore it, or remove the spool's folder once its records are shipped`,
    );
  }
  return value;
}

function isCheckpoint(value: unknown): value is Checkpoint {
  if (typeof value !== 'object' || value === null) return false;
  const { version, spoolId, throughSegment, nextIndex, open, ledger } = value as Record<string, unknown>;
  return (
    version === 1 &&
    (ledger === undefined || isLedger(ledger)) &&
    typeof spoolId === 'string' &&
    Number.isSafeInteger(throughSegment) &&
    Number.isSafeInteger(nextIndex) &&
    Array.isArray(open) &&
    open.every(
      entry =>
        Array.isArray(entry) &&
        typeof entry[0] === 'string' &&
        typeof entry[1] === 'object' &&
        entry[1] !== null &&
        Number.isSafeInteger(entry[1].nextSeq) &&
        Number.isSafeInteger(entry[1].commands) &&
        Number.isSafeInteger(entry[1].lastAtUnixUs) &&
        typeof entry[1].lastHash === 'string',
    )
  );
}

function isLedger(value: unknown): value is LedgerState {
  if (typeof value !== 'object' || value === null) return false;
  const { number, previous } = value as Record<string, unknown>;
  return Number.isSafeInteger(number) && typeof previous === 'string';
}
