/** A process for file-log.test.ts to kill: appends without end and prints each offset once it is acknowledged; or holds the lock. */
import { lockDirectory } from './directory-lock.ts';
import { openFileLog } from './file-log.ts';

const [dir = '', mode] = process.argv.slice(2);
if (mode === 'lock') {
  lockDirectory(dir);
  process.stdout.write('locked\n');
  setInterval(() => undefined, 1000);
} else {
  const log = await openFileLog({ dir, segmentBytesMax: 20_000 });
  for (let n = 0; ; n++) {
    const appends = Array.from({ length: 4 }, (_, i) =>
      log.append([{ key: new Uint8Array(0), value: new TextEncoder().encode(`${process.pid} ${n} ${i} ${'x'.repeat((n * 37) % 900)}`) }]),
    );
    for (const append of appends) process.stdout.write(`${await append}\n`);
  }
}
