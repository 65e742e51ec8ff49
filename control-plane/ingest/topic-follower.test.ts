import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Entry, LogReader } from '../log/event-log.ts';
import { metricsText } from './metrics.ts';
import type { SessionStore } from './session-store.ts';
import { TopicFollower } from './topic-follower.ts';

function memoryLog(length: number): LogReader {
  const entry = (offset: bigint): Entry => ({ offset, key: new Uint8Array(), value: new Uint8Array(10), timestampMs: 0 });
  return {
    read: async (from, max) => Array.from({ length: Math.max(0, Math.min(max, length - Number(from))) }, (_, i) => entry(from + BigInt(i))),
    endOffset: async () => BigInt(length),
    async waitFor(offset) {
      if (offset >= length) await delay(1);
      return offset < length;
    },
    close: async () => undefined,
  };
}

/** Remembers the progress; fails as often as `failures` says. */
function memoryStore(progress: bigint, failures = 0) {
  const state = { progress, failures };
  const store: SessionStore = {
    async command(_sql, parameters) {
      if (state.failures-- > 0) throw new Error('no store');
      state.progress = BigInt(String(parameters?.['next']));
    },
    async rows<Row>() {
      return [{ next: String(state.progress) } as Row];
    },
    insert: async () => undefined,
    close: async () => undefined,
  };
  return { state, store };
}

function follow(length: number, progress: bigint, failures = 0) {
  const { state, store } = memoryStore(progress, failures);
  const stop = new AbortController();
  const seen: bigint[] = [];
  const follower = new TopicFollower({
    topic: 't',
    reader: memoryLog(length),
    store,
    writer: {
      async write(entries) {
        seen.push(...entries.map(({ offset }) => offset));
        return { records: entries.length, doubles: 0, deadLetters: 0 };
      },
    },
    batchAgeMs: 0,
    batchBytesMax: 100,
    log: () => undefined,
  });
  const run = async () => {
    const running = follower.run(stop.signal);
    while (state.progress < BigInt(length)) await delay(5);
    stop.abort();
    await running;
  };
  return { follower, seen, state, run, stop };
}

describe('TopicFollower', () => {
  it('begins where the store says, and notes how far it is', async () => {
    const { run, seen, state, follower } = follow(200, 150n);
    await run();
    assert.deepEqual(
      seen,
      Array.from({ length: 50 }, (_, index) => BigInt(150 + index)),
    );
    assert.equal(state.progress, 200n);
    assert.equal(follower.figures.entries, 50);
  });

  it('writes again what it could not note, and skips nothing', async () => {
    const { run, seen, follower } = follow(20, 0n, 2);
    await run();
    assert.equal(seen.length, 60);
    assert.deepEqual(
      seen.slice(-20),
      Array.from({ length: 20 }, (_, index) => BigInt(index)),
    );
    assert.equal(follower.figures.storeErrors, 2);
    assert.match(metricsText(new Map([['t', follower.figures]])), /sallyport_ingest_store_errors_total\{topic="t"\} 2\n/);
  });

  it('refuses a log that is shorter than what was taken from it', async () => {
    const { follower, stop } = follow(10, 11n);
    await assert.rejects(follower.run(stop.signal), { code: 'INGEST_LOG_REPLACED' });
  });
});
