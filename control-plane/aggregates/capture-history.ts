/**
 * Makes a recorded history out of a control log: `node capture-history.ts DATA > histories/NAME.jsonl`, one event a line, as decoded. A history
 * is never edited and never made anew: it is what an installation of that time has in its log. histories.test.ts replays all of them.
 */
import path from 'node:path';
import { openLogReader } from '../log/event-log.ts';
import { decodeEvent } from './control-log.ts';

const data = process.argv[2];
if (data === undefined) throw new Error('usage: capture-history.ts DATA');
const log = openLogReader(path.join(data, 'log', 'sallyport.control'));
for (let next = 0n; next < (await log.endOffset()); ) {
  for (const entry of await log.read(next, 500)) {
    next = entry.offset + 1n;
    console.log(JSON.stringify(decodeEvent(entry), (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)));
  }
}
await log.close();
