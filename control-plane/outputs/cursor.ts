/** Where an output stands in the log: kept in a file of its own, replaced whole after what it speaks of was taken by the far side. */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { SessionFields } from './event.ts';
import type { RecordsPosition } from './records-source.ts';

export interface Cursor {
  records: RecordsPosition;
  /** Next offset. */
  control: bigint;
  /** What is known of the sessions that had not ended there. */
  sessions: Record<string, SessionFields>;
}

/** @throws {GatewayError} OUTPUT_CURSOR_INVALID: it is never guessed, since a wrong one would lose or repeat everything. */
export async function readCursor(file: string): Promise<Cursor> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return { records: null, control: 0n, sessions: {} };
    throw invalid(file, cause);
  }
  try {
    const { records, control, sessions } = JSON.parse(text) as {
      records: string | Record<string, string>;
      control: string;
      sessions: Cursor['sessions'];
    };
    const partitions = () => Object.fromEntries(Object.entries(records).map(([partition, offset]) => [partition, BigInt(offset)]));
    return { records: typeof records === 'string' ? BigInt(records) : partitions(), control: BigInt(control), sessions };
  } catch (cause) {
    throw invalid(file, cause);
  }
}

export async function writeCursor(file: string, cursor: Cursor): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const beside = `${file}.next`;
  const handle = await open(beside, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify(cursor, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value)));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
}

function invalid(file: string, cause: unknown): GatewayError {
  const message = `The cursor ${file} cannot be read: ${errorText(cause)}. Put it back, or delete it to send everything again.`;
  return new GatewayError('OUTPUT_CURSOR_INVALID', 'internal', message, { cause });
}
