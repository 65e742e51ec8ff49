/** A process for crash.test.ts to kill: appends records for ever and says on stdout, synchronously, how far they are durable. */
import fs from 'node:fs';
import { contentOf } from './crash-contents.testing.ts';
import { openSpool } from './spool.ts';

const [dir = ''] = process.argv.slice(2);
const spool = await openSpool({ dir, bytesMax: 8 * 1024 * 1024, segmentBytes: 256 * 1024 });
fs.writeSync(1, `${spool.nextIndex}\n`);
const produce = (): void => {
  const index = spool.append(contentOf(spool.nextIndex));
  spool.whenDurable(index, error => {
    if (error !== null) throw error;
    fs.writeSync(1, `${spool.durableIndex}\n`);
    // Acknowledged late, so that segments are deleted too.
    spool.shipped(index - 2000);
    produce();
  });
};
for (let producer = 0; producer < 8; producer++) produce();
