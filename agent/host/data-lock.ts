/**
 * One agent per data folder: two would write into each other's spools. The lock is a file with the owner's process id and, where
 * the system tells it, the time that process started, so that a reused id does not pass for the owner. It is left behind by a
 * crash, and then taken over.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

export interface DataLock {
  release(): Promise<void>;
}

/** @throws {GatewayError} DATA_LOCKED when another process has the folder, DATA_UNWRITABLE. */
export async function lockData(dir: string): Promise<DataLock> {
  const file = path.join(dir, 'agent.lock');
  const own = `${process.pid} ${(await startTime(process.pid)) ?? '-'}`;
  try {
    await fs.mkdir(dir, { recursive: true, mode: 0o700 });
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        await fs.writeFile(file, own, { flag: 'wx', mode: 0o600 });
        return { release: () => fs.rm(file, { force: true }) };
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const owner = await fs.readFile(file, 'utf8').catch(() => '');
      if (await lives(owner)) {
        throw new GatewayError(
          'DATA_LOCKED',
          'conflict',
          `${dir} is in use by another agent (process ${owner.split(' ')[0]}): stop it, or use another data folder`,
        );
      }
      await fs.rm(file, { force: true });
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `${dir} cannot be used as a data folder: ${errorText(error)}`, {
      cause: error,
    });
  }
  throw new GatewayError('DATA_LOCKED', 'conflict', `${dir} is being taken by another agent`);
}

async function lives(owner: string): Promise<boolean> {
  const [id = '', started = '-'] = owner.split(' ');
  const pid = Number(id);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  const now = await startTime(pid);
  return started === '-' || now === null || now === started;
}

/** When a process started, in the system's own ticks; null where that is not known. */
async function startTime(pid: number): Promise<string | null> {
  try {
    const text = await fs.readFile(`/proc/${pid}/stat`, 'latin1');
    // The second field, the name, may hold spaces and brackets; the start time is the 22nd.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
