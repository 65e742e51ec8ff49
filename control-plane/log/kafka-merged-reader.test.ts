import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import type { Fetched } from '@sallyport/kafka/fetcher.ts';
import { KafkaMergedReader } from './kafka-merged-reader.ts';

/** partition → its values; `first` offsets are deleted. */
function reader(partitions: string[][], first = 0) {
  const config = kafkaConfig({ kafka: 'localhost:1' }, {}, 'test');
  assert.ok(config);
  let fetches = 0;
  const merged = new KafkaMergedReader(config, 't', {
    partitionCount: async () => partitions.length,
    bounds: async wanted =>
      new Map(wanted.map(partition => [partition, { first: BigInt(first), end: BigInt(partitions[partition]?.length ?? 0) }])),
    async fetch(from): Promise<Fetched> {
      fetches++;
      const fetched: Fetched = { entries: [], ends: new Map(), next: new Map() };
      for (const [partition, offset] of from) {
        const values = (partitions[partition] ?? []).slice(Number(offset), Number(offset) + 3);
        if (values.length > 0) fetched.next.set(partition, offset + BigInt(values.length));
        for (const [place, value] of values.entries()) {
          const at = offset + BigInt(place);
          fetched.entries.push({
            partition,
            offset: at,
            key: Buffer.from('k'),
            value: Buffer.from(value),
            timestampMs: Number(at) * 10 + partition,
          });
        }
      }
      return fetched;
    },
    close: async () => undefined,
  });
  const read = async (from: bigint, max: number) =>
    (await merged.read(from, max)).map(({ offset, value }) => `${offset}${Buffer.from(value).toString()}`);
  return { merged, read, fetches: () => fetches };
}

test('all partitions are one log, numbered without holes and in the order of each', async () => {
  const partitions = [['a', 'b', 'c', 'd'], ['x', 'y'], []];
  const { merged, read } = reader(partitions);
  assert.equal(await merged.endOffset(), 6n);
  const all = [];
  for (let next = 0n; next < 6n; ) {
    const some = await read(next, 2);
    assert.ok(some.length > 0);
    all.push(...some);
    next += BigInt(some.length);
  }
  assert.deepEqual(
    all.map(text => text[0]),
    ['0', '1', '2', '3', '4', '5'],
  );
  for (const values of partitions)
    assert.deepEqual(
      all.map(text => text[1]).filter(value => values.includes(value ?? '')),
      values,
    );
  assert.deepEqual(await read(6n, 10), []);
  partitions[2]?.push('z');
  assert.equal(await merged.waitFor(6n, 1000), true);
  assert.deepEqual(await read(6n, 10), ['6z']);
});

test('it can begin near the end, and go back over what it keeps without asking again', async () => {
  const { read, fetches } = reader([
    ['a', 'b', 'c', 'd'],
    ['w', 'x', 'y', 'z'],
  ]);
  assert.equal((await read(6n, 10)).length, 2);
  const before = fetches();
  assert.equal((await read(7n, 10)).length, 1);
  assert.equal(fetches(), before);
  const [first] = await read(2n, 10);
  assert.equal(first?.[0], '2');
});

test('what is not kept any more is said', async () => {
  const { merged } = reader([['a', 'b', 'c']], 2);
  await assert.rejects(merged.read(1n, 1), { code: 'LOG_OFFSET_GONE' });
  await merged.close();
  await assert.rejects(merged.read(0n, 1), { code: 'LOG_CLOSED' });
});
