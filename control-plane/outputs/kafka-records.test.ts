import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaRecords } from './kafka-records.ts';
import type { RecordsPosition } from './records-source.ts';

/** A topic in memory: partition → how many messages it has, and the first that it keeps. */
function topic(partitions: { first: bigint; end: bigint }[]) {
  const fetcher = {
    partitionCount: () => Promise.resolve(partitions.length),
    bounds: (asked: readonly number[]) =>
      Promise.resolve(new Map(asked.map(partition => [partition, partitions[partition] ?? { first: 0n, end: 0n }]))),
    fetch: (from: ReadonlyMap<number, bigint>) => {
      const next = new Map<number, bigint>();
      const entries = [...from].flatMap(([partition, offset]) => {
        if (offset >= (partitions[partition]?.end ?? 0n)) return [];
        next.set(partition, offset + 1n);
        return [{ partition, offset, key: new Uint8Array(0), value: Buffer.from(`${partition}/${offset}`), timestampMs: 0 }];
      });
      return Promise.resolve({ entries, next, ends: new Map<number, bigint>() });
    },
    close: () => Promise.resolve(),
  };
  const at = async (position: RecordsPosition) => {
    const records = new KafkaRecords({} as KafkaConfig, fetcher);
    await records.open(position, 'siem');
    return records;
  };
  return { partitions, at };
}

const names = async (records: KafkaRecords) => (await records.read()).map(({ value }) => Buffer.from(value).toString());

test('every partition has its own place, which moves only when what was read has been taken', async () => {
  const { at, partitions } = topic([
    { first: 0n, end: 2n },
    { first: 5n, end: 6n },
  ]);
  const records = await at(null);
  assert.deepEqual(await names(records), ['0/0', '1/5']);
  assert.deepEqual(await names(records), ['0/0', '1/5'], 'it was not taken: it comes again');
  records.advance();
  assert.deepEqual(records.position, { 0: 1n, 1: 6n });
  assert.deepEqual(await names(records), ['0/1']);
  // A cursor goes on; a partition that is new to it is read from its beginning.
  partitions.push({ first: 0n, end: 1n });
  const later = await at(records.position);
  assert.deepEqual(await names(later), ['0/1', '2/0']);
  later.advance();
  assert.deepEqual(later.position, { 0: 2n, 1: 6n, 2: 1n });
});

test('a cursor of another log is refused', async () => {
  const { at } = topic([{ first: 0n, end: 2n }]);
  await assert.rejects(at({ 0: 3n }), { code: 'OUTPUT_LOG_REPLACED' });
  await assert.rejects(at(7n), { code: 'OUTPUT_LOG_REPLACED' });
});
