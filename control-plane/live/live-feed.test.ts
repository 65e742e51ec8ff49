import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry, LogReader } from '../log/event-log.ts';
import { LiveFeed, type LiveFeedOptions } from './live-feed.ts';

test('who has gone is read nothing more', async () => {
  const gone = new AbortController();
  let reads = 0;
  const topic = {
    read(from: bigint): Promise<Entry[]> {
      reads++;
      if (reads === 2) gone.abort();
      return Promise.resolve([{ offset: from, key: new TextEncoder().encode('role/r'), value: new Uint8Array(), timestampMs: 0 }]);
    },
  } as unknown as LogReader;
  const feed = new LiveFeed({ controlTopic: topic, records: topic, clock: () => 0 } as unknown as LiveFeedOptions);
  assert.equal(await feed.between({ control: 0n, records: 0n }, { control: 4000n, records: 4000n }, gone.signal), null);
  assert.equal(reads, 2);
});
