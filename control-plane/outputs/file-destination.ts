/**
 * OCSF events as lines of a file that is rotated by size: PATH is written, PATH.1 is the one before, up to PATH.N. A batch is on disk
 * before it counts. A line that a crash tore is ended first, so that the next one is whole; the events come again.
 */
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import type { Target } from './config.ts';
import type { Destination } from './destination.ts';
import { ocsf } from './ocsf.ts';

export function fileDestination(target: Extract<Target, { kind: 'file' }>, version: string): Destination {
  let file: FileHandle | null = null;
  let size = 0;
  const prepared = async (): Promise<FileHandle> => {
    if (file !== null && !(await isStill(file, target.path))) {
      // Somebody moved it (logrotate): the next line goes into a new one.
      await file.close();
      file = null;
    }
    if (file !== null && size >= target.rotateBytes) {
      await file.close();
      file = null;
      for (let number = target.keep - 1; number >= 1; number--) await moved(`${target.path}.${number}`, `${target.path}.${number + 1}`);
      await moved(target.path, `${target.path}.1`);
    }
    if (file === null) {
      file = await open(target.path, 'a+', 0o600);
      ({ size } = await file.stat());
      if (size > 0 && (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] !== 0x0a) await file.appendFile('\n');
    }
    return file;
  };
  return {
    async send(events) {
      const bytes = Buffer.from(events.map(event => `${JSON.stringify(ocsf(event, { version }))}\n`).join(''));
      const used = await prepared();
      await used.appendFile(bytes);
      await used.datasync();
      size += bytes.length;
    },
    async close() {
      await file?.close();
      file = null;
    },
  };
}

async function isStill(file: FileHandle, path: string): Promise<boolean> {
  const [ours, there] = await Promise.all([file.stat(), stat(path).catch(() => null)]);
  return there !== null && there.ino === ours.ino && there.dev === ours.dev;
}

async function moved(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
