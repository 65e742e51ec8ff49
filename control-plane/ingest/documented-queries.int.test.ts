/** Every query of the documentation runs, as the reader that people are given, over tables with rows in them. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { Entry } from '../log/event-log.ts';
import { reader, spawnStore, writer } from '../session-store/spawn-process.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { RecordsWriter } from './records-batch.ts';
import { batchOf, sampleSession, seededRandom } from './sample-records.ts';
import { openSessionStore } from './session-store.ts';

const pages = ['../../docs/reference/clickhouse.md', '../../docs/guides/compliance.md'];
const views = ['approvals', 'commands', 'control_events', 'dead_letters', 'gaps', 'output', 'records', 'refusals', 'sessions', 'who_saw'];

it('runs as written, and every column is on the page', async () => {
  const root = await mkdtemp(join(tmpdir(), 'sallyport-docs-'));
  const process = await spawnStore(root);
  const owner = openSessionStore({ url: process.url, username: writer.name, password: writer.password });
  const people = openSessionStore({ url: process.url, username: reader.name, password: reader.password });
  try {
    await migrate(owner, await loadMigrations());
    const random = seededRandom(5);
    const entries: Entry[] = [];
    for (let number = 0; number < 40; number += 1) {
      const value = batchOf('s', number * 1000, sampleSession(random, number, 20).records);
      entries.push({ offset: BigInt(number), key: new Uint8Array(), value, timestampMs: 0 });
    }
    await new RecordsWriter(owner).write(entries);
    let queries = 0;
    let reference = '';
    for (const page of pages) {
      const text = await readFile(new URL(page, import.meta.url), 'utf8');
      if (page.includes('reference')) reference = text;
      for (const [, sql] of text.matchAll(/```sql\n([\s\S]*?)```/g)) {
        await people.rows(sql ?? '');
        queries += 1;
      }
    }
    assert.ok(queries >= 19, `${queries} queries`);
    assert.ok((await people.rows("SELECT * FROM sallyport.who_saw WHERE column = 'public.customers.email'")).length > 0);
    for (const view of views) {
      const columns = await people.rows<{ name: string }>(
        'SELECT name FROM system.columns WHERE database = {db:String} AND table = {view:String}',
        {
          db: 'sallyport',
          view,
        },
      );
      assert.ok(columns.length > 0, view);
      for (const { name } of columns) assert.match(reference, new RegExp(`\\b${name}\\b`), `${view}.${name}`);
    }
  } finally {
    await owner.close();
    await people.close();
    await process.kill('SIGKILL');
    await rm(root, { recursive: true, force: true });
  }
});
