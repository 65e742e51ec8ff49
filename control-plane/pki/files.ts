/**
 * Secrets as files of the data folder: written once, readable by their owner alone, never replaced by accident.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

/**
 * Reads the file, or makes it (mode 0600) from `create` when there is none. A crash in between leaves no half file, and of two
 * processes that create at once one wins and both read the same.
 * @throws {GatewayError} SECRET_FILE_OPEN when others may read the file; DATA_UNWRITABLE.
 */
export async function secretFile(path: string, create: () => Promise<Uint8Array> | Uint8Array): Promise<Buffer> {
  return createdOnce(path, create, 0o600);
}

/** The same for what anybody may read, such as a certificate (mode 0644). */
export async function publicFile(path: string, create: () => Promise<Uint8Array> | Uint8Array): Promise<Buffer> {
  return createdOnce(path, create, 0o644);
}

async function createdOnce(path: string, create: () => Promise<Uint8Array> | Uint8Array, mode: number): Promise<Buffer> {
  const existing = await readExisting(path, mode);
  if (existing !== null) return existing;
  const temporary = `${path}.${randomBytes(8).toString('hex')}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(await create());
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path).catch(ignoreExisting);
    await unlink(temporary);
    await syncFolder(dirname(path));
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `${path} cannot be written: ${errorText(cause)}.`, { cause });
  }
  const written = await readExisting(path, mode);
  if (written === null) throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `${path} went away while it was being made.`);
  return written;
}

async function readExisting(path: string, expectedMode: number): Promise<Buffer | null> {
  try {
    const { mode } = await stat(path);
    if (expectedMode === 0o600 && (mode & 0o077) !== 0) {
      throw new GatewayError(
        'SECRET_FILE_OPEN',
        'denied',
        `${path} may be read by others (mode ${(mode & 0o777).toString(8)}). Look who has, then: chmod 600 ${path}`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null;
    throw new GatewayError('DATA_UNREADABLE', 'unavailable', `${path} cannot be read: ${errorText(cause)}.`, { cause });
  }
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
