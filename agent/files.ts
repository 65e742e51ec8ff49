/** Small files of the agent's data folder: private to its user, and replaced whole, so that a crash leaves the old or the new one. */
import fs from 'node:fs/promises';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

/** @returns null when there is no such file. @throws {GatewayError} DATA_UNREADABLE */
export async function readPrivateFile(file: string): Promise<Buffer | null> {
  try {
    return await fs.readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw new GatewayError('DATA_UNREADABLE', 'unavailable', `${file} cannot be read: ${errorText(error)}`, { cause: error });
  }
}

/** Writes a file with mode 0600. @throws {GatewayError} DATA_UNWRITABLE */
export async function replacePrivateFile(file: string, contents: string | Uint8Array): Promise<void> {
  try {
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const temporary = `${file}.new`;
    const handle = await fs.open(temporary, 'w', 0o600);
    try {
      await handle.chmod(0o600);
      await handle.writeFile(contents);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, file);
    const dir = await fs.open(path.dirname(file), 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  } catch (error) {
    throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `${file} cannot be written: ${errorText(error)}`, { cause: error });
  }
}

/** Reads a JSON object. @returns null when there is no such file. @throws {GatewayError} DATA_UNREADABLE, also for what is no JSON object. */
export async function readPrivateJson(file: string): Promise<Record<string, unknown> | null> {
  const bytes = await readPrivateFile(file);
  if (bytes === null) return null;
  let value: unknown = null;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // Falls through: null is no object.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GatewayError('DATA_UNREADABLE', 'internal', `${file} is damaged: restore it from a backup, or remove it`);
  }
  return value as Record<string, unknown>;
}
