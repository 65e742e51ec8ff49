/**
 * One process per data folder. The lock is the kernel's (a POSIX record lock, taken through SQLite, which is part of Node), so it
 * ends with its process however that dies: nothing stale is ever left behind, and nothing has to be guessed from process ids.
 * The file `lock.owner` beside it only serves the error message.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the folder's lock or throws at once.
 * @throws {GatewayError} DATA_LOCKED (conflict) when another process, or this one, has it; DATA_UNWRITABLE.
 */
export function lockDirectory(dir: string): DirectoryLock {
  const ownerPath = join(dir, 'lock.owner');
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(join(dir, 'lock'), { timeout: 0 });
  } catch (cause) {
    throw unwritable(dir, cause);
  }
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!(cause instanceof Error && 'errcode' in cause && cause.errcode === sqliteBusy)) throw unwritable(dir, cause);
    throw new GatewayError(
      'DATA_LOCKED',
      'conflict',
      `The data folder ${dir} is in use by another Sallyport process${owner(ownerPath)}. Stop that one, or give another --data.`,
      { cause },
    );
  }
  try {
    writeFileSync(ownerPath, `${process.pid}\n`, { mode: 0o600 });
  } catch (cause) {
    database.close();
    throw unwritable(dir, cause);
  }
  return {
    release() {
      if (database.isOpen) database.close();
    },
  };
}

const sqliteBusy = 5;

function owner(path: string): string {
  try {
    const pid = readFileSync(path, 'utf8').trim();
    return /^\d+$/.test(pid) ? ` (process ${pid})` : '';
  } catch {
    return ''; // Only the message is poorer for it.
  }
}

function unwritable(dir: string, cause: unknown): GatewayError {
  return new GatewayError('DATA_UNWRITABLE', 'unavailable', `The data folder ${dir} cannot be written: ${errorText(cause)}.`, { cause });
}
