import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fetched, KafkaEntry } from '@sallyport/kafka/fetcher.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { logOffset, PartitionsFollower } from './partitions-follower.ts';
import type { SessionStore } from './session-store.ts';
import { noFigures } from './topic-follower.ts';

/** A topic in memory: partition → the first kept offset and the values from there. */
class MemoryTopic {
  readonly partitions: { first: bigint; values: string[] }[];
  failures = 0;
  constructor(partitions: { first: bigint; values: string[] }[]) {
    this.partitions = partitions;
  }
  async bounds(wanted: readonly number[]) {
    return new Map(
      wanted.map(partition => {
        const { first, values } = this.partitions[partition] ?? { first: 0n, values: [] };
        return [partition, { first, end: first + BigInt(values.length) }];
      }),
    );
  }
  async fetch(from: ReadonlyMap<number, bigint>): Promise<Fetched> {
    await delay(1);
    if (this.failures-- > 0) throw new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', 'away');
    const fetched: Fetched = { entries: [], ends: new Map(), next: new Map() };
    for (const [partition, offset] of from) {
      const { first, values } = this.partitions[partition] ?? { first: 0n, values: [] };
      if (offset < first) throw new GatewayError('LOG_OFFSET_GONE', 'notFound', 'gone');
      const rest = values.slice(Number(offset - first), Number(offset - first) + 2);
      fetched.ends.set(partition, first + BigInt(values.length));
      if (rest.length > 0) fetched.next.set(partition, offset + BigInt(rest.length));
      for (const [place, value] of rest.entries()) {
        const entry: KafkaEntry = {
          partition,
          offset: offset + BigInt(place),
          key: new Uint8Array(),
          value: Buffer.from(value),
          timestampMs: 0,
        };
        fetched.entries.push(entry);
      }
    }
    return fetched;
  }
}

/** Remembers progress and dead letters. */
function memoryStore(progress: Record<string, number>) {
  const lost: string[] = [];
  const state = { failures: 0 };
  const store: SessionStore = {
    async command(sql, parameters = {}) {
      if (state.failures-- > 0) throw new Error('no store');
      if (sql.includes('dead_letter_rows')) lost.push(String(parameters['reason']));
      else {
        const [topics, next] = [parameters['topics'] as string[], parameters['next'] as string[]];
        for (const [place, topic] of topics.entries()) progress[topic] = Number(next[place]);
      }
    },
    async rows<Row>(_sql: string, parameters: Record<string, unknown> = {}) {
      const topics = parameters['topics'] as string[];
      return topics.filter(topic => progress[topic] !== undefined).map(topic => ({ topic, next: String(progress[topic]) }) as Row);
    },
    insert: async () => undefined,
    close: async () => undefined,
  };
  return { store, lost, state };
}

function follow(topic: MemoryTopic, progress: Record<string, number>, partitions: number[]) {
  const stored: string[] = [];
  const offsets: bigint[] = [];
  const { store, lost, state } = memoryStore(progress);
  const figures = noFigures();
  const stop = new AbortController();
  const follower = new PartitionsFollower({
    topic: 't',
    partitions,
    fetcher: topic,
    store,
    writer: {
      async write(entries) {
        stored.push(...entries.map(({ value }) => Buffer.from(value).toString()));
        offsets.push(...entries.map(({ offset }) => offset));
        return { records: entries.length, doubles: 0, deadLetters: 0 };
      },
    },
    batchAgeMs: 2,
    batchBytesMax: 100,
    figures,
    log: () => undefined,
  });
  const until = async (done: () => boolean) => {
    const running = follower.run(stop.signal);
    for (let tries = 0; !done() && tries < 15_000; tries++) await delay(2);
    stop.abort();
    await running;
  };
  return { follower, stop, stored, offsets, lost, state, figures, until };
}

test('each partition goes on from where the store says, and places in the log name the partition', async () => {
  const progress: Record<string, number> = { 't/1': 2 };
  const topic = new MemoryTopic([
    { first: 0n, values: ['a0', 'a1', 'a2'] },
    { first: 0n, values: ['b0', 'b1', 'b2'] },
    { first: 0n, values: ['of another ingester'] },
  ]);
  topic.failures = 2;
  const { stored, offsets, figures, state, until } = follow(topic, progress, [0, 1]);
  state.failures = 1;
  await until(() => progress['t/0'] === 3 && progress['t/1'] === 3);
  assert.deepEqual([...new Set(stored)].sort(), ['a0', 'a1', 'a2', 'b2']);
  assert.ok(offsets.includes(logOffset(1, 2n)) && logOffset(1, 2n) === 2n ** 48n + 2n);
  assert.deepEqual(progress, { 't/0': 3, 't/1': 3 });
  assert.deepEqual([figures.nextOffset, figures.endOffset, figures.problem], [6n, 6n, null]);
});

test('what retention deleted unread is said in a dead letter, and the rest is stored', async () => {
  const progress: Record<string, number> = { 't/0': 4 };
  const topic = new MemoryTopic([{ first: 9n, values: ['x', 'y'] }]);
  const { stored, lost, figures, until } = follow(topic, progress, [0]);
  await until(() => progress['t/0'] === 11);
  assert.deepEqual(stored, ['x', 'y']);
  assert.equal(lost.length, 1);
  assert.match(lost[0] ?? '', /^entries 4 to 8 of partition 0 were deleted/);
  assert.equal(figures.deadLetters, 1);
});

test('it is said as well when that happens while it follows', async () => {
  const progress: Record<string, number> = {};
  const partition = { first: 0n, values: ['a'] };
  const { stored, lost, until } = follow(new MemoryTopic([partition]), progress, [0]);
  await until(() => {
    if (progress['t/0'] === 1 && partition.first === 0n) {
      partition.first = 5n;
      partition.values = ['f'];
    }
    return progress['t/0'] === 6;
  });
  assert.deepEqual(stored, ['a', 'f']);
  assert.deepEqual(lost.length, 1);
});

test('a partition that is shorter than what was taken from it is another log: nothing goes on', async () => {
  const { follower, stop, stored } = follow(new MemoryTopic([{ first: 0n, values: ['a'] }]), { 't/0': 7 }, [0]);
  await assert.rejects(follower.run(stop.signal), { code: 'INGEST_LOG_REPLACED', message: /Partition 0 of t ends at 1/ });
  assert.deepEqual(stored, []);
});
