import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema, RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { KafkaStream } from './kafka-stream.ts';

const record = (sessionId: string) => toBinary(RecordSchema, create(RecordSchema, { sessionId }));

const batch = (firstIndex: number, sessions: string[]) =>
  Buffer.from(
    toBinary(RecordBatchSchema, create(RecordBatchSchema, { spoolId: 's', firstIndex: BigInt(firstIndex), records: sessions.map(record) })),
  );

/** A producer whose appends are settled by hand, in any order. */
function setUp() {
  const appends: { keys: string[]; done: () => void; fail: (error: Error) => void }[] = [];
  const stream = new KafkaStream({
    appendByKey(messages) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      appends.push({ keys: messages.map(({ key }) => Buffer.from(key).toString()), done: () => resolve(), fail: reject });
      return promise;
    },
  });
  const heard: string[] = [];
  stream.on('data', ({ nextIndex }: { nextIndex: bigint }) => heard.push(`to ${nextIndex}`));
  stream.on('error', (error: Error) => heard.push(error.message));
  return { stream, appends, heard };
}

test('acknowledgements come in order, whichever partition is quicker', async () => {
  const { stream, appends, heard } = setUp();
  stream.write(batch(0, ['a', 'b', 'a']));
  stream.write(batch(3, ['c']));
  assert.deepEqual(
    appends.map(({ keys }) => keys),
    [['a', 'b'], ['c']],
  );
  appends[1]?.done();
  await delay(1);
  assert.deepEqual(heard, []);
  appends[0]?.done();
  await delay(1);
  assert.deepEqual(heard, ['to 3', 'to 4']);
});

test('after a failure nothing is acknowledged, though what came behind it arrived', async () => {
  const { stream, appends, heard } = setUp();
  for (let index = 0; index < 4; index++) stream.write(batch(index, ['a']));
  appends[3]?.done();
  appends[0]?.done();
  appends[2]?.fail(new Error('second failure'));
  appends[1]?.fail(new Error('Kafka is away'));
  await delay(1);
  assert.deepEqual(heard, ['to 1', 'Kafka is away']);
  stream.write(batch(4, ['a']));
  assert.equal(appends.length, 4, 'an ended stream takes nothing');
});

test('a stream that was given up is silent', async () => {
  const { stream, appends, heard } = setUp();
  stream.write(batch(0, ['a']));
  stream.write(batch(1, ['a']));
  stream.cancel();
  appends[0]?.done();
  appends[1]?.fail(new Error('late'));
  await delay(1);
  assert.deepEqual(heard, []);
});
