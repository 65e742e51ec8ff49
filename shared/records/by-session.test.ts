import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema, RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { splitBySession } from './by-session.ts';

const record = (sessionId: string, seq: number) =>
  toBinary(RecordSchema, create(RecordSchema, { sessionId, seq: BigInt(seq), atUnixUs: 1n, body: { case: 'gap', value: {} } }));

const batch = (records: Uint8Array[], firstIndex = 100n) => create(RecordBatchSchema, { agentId: 'a', spoolId: 's', firstIndex, records });

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** session → [index in the spool, seq] of its records. */
function places(messages: ReturnType<typeof splitBySession>): Record<string, number[][]> {
  return Object.fromEntries(
    messages.map(({ key, value }) => {
      const part = fromBinary(RecordBatchSchema, value);
      assert.equal(`${part.agentId}/${part.spoolId}`, 'a/s');
      const found = part.records.map((encoded, place) => {
        const { sessionId, seq } = fromBinary(RecordSchema, encoded);
        assert.equal(sessionId, text(key), 'a record lies under its own key');
        return [Number(part.firstIndex) + (part.indexSteps[place] ?? place), Number(seq)];
      });
      return [text(key), found];
    }),
  );
}

test('a batch is taken apart by session; order and places in the spool stay', () => {
  const whole = batch([record('x', 0), record('y', 0), record('x', 1), record('x', 2), record('y', 1), record('zü', 0)]);
  const expected = {
    x: [
      [100, 0],
      [102, 1],
      [103, 2],
    ],
    y: [
      [101, 0],
      [104, 1],
    ],
    zü: [[105, 0]],
  };
  assert.deepEqual(places(splitBySession(whole)), expected);
  assert.deepEqual(places(splitBySession(toBinary(RecordBatchSchema, whole))), expected);
});

test('a run of one session stays as it is, and a part can be taken apart again', () => {
  const [only] = splitBySession(batch([record('x', 0), record('x', 1)]));
  assert.ok(only);
  assert.deepEqual(fromBinary(RecordBatchSchema, only.value).indexSteps, []);
  const [part] = splitBySession(batch([record('x', 0), record('y', 0), record('x', 1)]));
  assert.ok(part);
  assert.deepEqual(splitBySession(part.value), [part]);
});

test('of several session ids in a record the last counts, as for every reader', () => {
  const odd = Buffer.concat([record('first', 0), Buffer.from([0x0a, 1, 0x62])]);
  assert.equal(fromBinary(RecordSchema, odd).sessionId, 'b');
  assert.deepEqual(places(splitBySession(batch([odd]))), { b: [[100, 0]] });
});

test('what has no session, or no end, goes under the id of the spool; what is no batch is refused', () => {
  const good = record('x', 0);
  const odd = ['', '0a00', '1001', '0b', '1080', '0a0178ffffffffffffffffffff01', '0a017809'].map(hex => Buffer.from(hex, 'hex'));
  for (const each of odd) assert.deepEqual(keysOf([each]), ['s']);
  for (let length = 0; length < good.length; length++) {
    // A cut between two fields leaves a record, any other none.
    const cut = good.subarray(0, length);
    const [key] = keysOf([cut]);
    if (key === 'x') assert.equal(fromBinary(RecordSchema, cut).sessionId, 'x');
    else assert.equal(key, 's');
  }
  assert.deepEqual(keysOf([good, ...odd, good]), ['x', 's']);
  assert.throws(() => splitBySession(Buffer.from([0xff])), { code: 'RECORD_BATCH_INVALID' });
});

function keysOf(records: Uint8Array[]): string[] {
  return splitBySession(batch(records)).map(({ key }) => text(key));
}
