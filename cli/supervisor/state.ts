/**
 * What `sallyport up` keeps in `DATA/supervisor` from one start to the next: the ports it chose, the session store's
 * password, and which processes it has started, so that the start after a kill -9 can end what is left.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type DirectoryLock, lockDirectory } from '@sallyport/control-plane/log/directory-lock.ts';
import { canConfine } from '@sallyport/control-plane/session-store/confine.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { replaceFile } from '../endpoints.ts';
import { readIfThere } from '../read-if-there.ts';
import { signalGroup } from './child.ts';

export interface SupervisorState {
  ports: Record<string, number>;
  store: { user: string; password: string };
  /** Who may only read the session store; absent where the platform cannot keep that user inside it. */
  storeReader?: { user: string; password: string };
  /** `Kind/name` of what the configuration folder held at the last start: what has left it since is deleted. */
  applied: string[];
  processes: Record<string, { pid: number; startedAt: string }>;
}

/**
 * Takes the data folder for this process and reads what earlier starts kept.
 * @throws {GatewayError} ALREADY_RUNNING; DATA_UNWRITABLE.
 */
export async function openState(dataFolder: string): Promise<{ lock: DirectoryLock; state: SupervisorState; save: () => Promise<void> }> {
  const folder = path.join(dataFolder, 'supervisor');
  try {
    await mkdir(dataFolder, { recursive: true, mode: 0o700 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `the data folder ${dataFolder} cannot be made. Give another with --data.`, {
      cause,
    });
  }
  const lock = takeLock(folder, dataFolder);
  const file = path.join(folder, 'state.json');
  const state = await readState(file);
  let saving: Promise<void> = Promise.resolve();
  return {
    lock,
    state,
    save: () => {
      // One after the other: an older state must not overtake a newer one. A write that failed told its own caller.
      saving = saving.catch(() => {}).then(() => replaceFile(file, JSON.stringify(state)));
      return saving;
    },
  };
}

function takeLock(folder: string, dataFolder: string): DirectoryLock {
  try {
    return lockDirectory(folder);
  } catch (cause) {
    if (cause instanceof GatewayError && cause.code === 'DATA_LOCKED') {
      const owner = /\(process \d+\)/.exec(cause.message)?.[0];
      throw new GatewayError(
        'ALREADY_RUNNING',
        'conflict',
        `Sallyport is already running on ${dataFolder}${owner ? ` ${owner}` : ''}. Stop that one first, or give another folder with --data.`,
        { cause },
      );
    }
    throw cause;
  }
}

async function readState(file: string): Promise<SupervisorState> {
  const text = await readIfThere(file);
  if (text !== null) {
    try {
      return withReader(JSON.parse(text) as SupervisorState);
    } catch (cause) {
      throw new GatewayError('STATE_UNREADABLE', 'internal', `${file} is damaged. Delete it: only ports are forgotten with it.`, { cause });
    }
  }
  return withReader({ ports: {}, store: { user: 'sallyport', password: newPassword() }, applied: [], processes: {} });
}

/** A platform that cannot confine the engine has no reader, also when the data folder came from one that can. */
function withReader({ storeReader, ...state }: SupervisorState): SupervisorState {
  return canConfine() ? { ...state, storeReader: storeReader ?? { user: 'reader', password: newPassword() } } : state;
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

/** When a process started, in the kernel's clock ticks since boot; undefined when there is none, or no /proc. */
export async function processStart(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold spaces and parentheses itself; field 22 is the twentieth after it.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Ends what an earlier start has left running. A process id that has gone to another program meanwhile is left alone. */
export async function endLeftovers(processes: SupervisorState['processes']): Promise<void> {
  for (const [, { pid, startedAt }] of Object.entries(processes)) {
    if (startedAt === '' || (await processStart(pid)) !== startedAt) continue;
    signalGroup(pid, 'SIGTERM');
    for (let waitedMs = 0; (await processStart(pid)) === startedAt && !(await isZombie(pid)); waitedMs += 50) {
      if (waitedMs >= 5_000) signalGroup(pid, 'SIGKILL');
      if (waitedMs >= 8_000) break;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}

async function isZombie(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
}
