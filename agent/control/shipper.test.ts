import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { type RelayAck, RelayAckSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { type RecordBatch, RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { openSpool, type Spool } from '../spool/spool.ts';
import { Backoff } from './backoff.ts';
import { FakeStream } from './fake-stream.testing.ts';
import { Shipper } from './shipper.ts';

type Stream = FakeStream<Buffer, RelayAck>;
const errors: string[] = [];
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: (_: object, message: string) => void errors.push(message) };
const record = (n: number): Buffer => Buffer.from(`record ${n} ${'.'.repeat((n * 37) % 200)}`);

/** The log's side: keeps what is new of each batch, in order, and acknowledges. */
class Receiver {
  readonly records: string[] = [];
  streams: Stream[] = [];
  batches = 0;
  gaps = 0;
  /** Decides about each batch: acknowledge, swallow the acknowledgement, or break the stream before or after taking it. */
  act: () => 'ack' | 'mute' | 'break-before' | 'break-after' = () => 'ack';

  readonly relay = () => {
    const stream: Stream = new FakeStream((bytes, from) => this.#take(fromBinary(RecordBatchSchema, bytes), from));
    this.streams.push(stream);
    return stream.asCall();
  };

  #take(batch: RecordBatch, stream: Stream): void {
    this.batches++;
    const act = this.act();
    if (act === 'break-before') {
      stream.fail(14);
      return;
    }
    assert.equal(batch.agentId, 'agent');
    const first = Number(batch.firstIndex);
    if (first > this.records.length) this.gaps++;
    for (const [i, bytes] of batch.records.entries())
      if (first + i === this.records.length) this.records.push(Buffer.from(bytes).toString());
    if (act === 'break-after') stream.fail(14);
    if (act === 'ack') stream.say(create(RelayAckSchema, { spoolId: batch.spoolId, nextIndex: BigInt(this.records.length) }));
  }
}

async function setUp(receiver: Receiver, more: { silenceMs?: number; windowBatches?: number } = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-ship-'));
  const shipper = new Shipper({
    relay: receiver.relay,
    agentId: () => 'agent',
    log,
    batchBytes: 2000,
    backoff: new Backoff(2, 4),
    ...more,
  });
  let spool: Spool | null = null;
  const acked: number[] = [];
  const shipment = shipper.add(dir, nextIndex => {
    acked.push(nextIndex);
    spool?.shipped(nextIndex);
  });
  spool = await openSpool({
    dir,
    bytesMax: 1024 * 1024,
    segmentBytes: 64 * 1024,
    durableNoticeMs: 0,
    onDurable: next => shipper.durable(shipment, next),
  });
  const close = async () => {
    await shipper.stop();
    await spool?.close();
    fs.rmSync(dir, { recursive: true });
  };
  return { dir, shipper, shipment, spool, acked, close };
}

async function until(check: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (check()) return;
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  assert.fail('not in time');
}

const expected = (count: number) => Array.from({ length: count }, (_, n) => record(n).toString());

test('everything durable arrives once and in order, and the spool hears of it', async () => {
  const receiver = new Receiver();
  const { shipper, spool, acked, close } = await setUp(receiver);
  for (let n = 0; n < 300; n++) spool.append(record(n));
  await spool.durable(299);
  assert.equal(receiver.batches, 0, 'not before it is started');
  shipper.start();
  await until(() => shipper.idle && receiver.records.length === 300);
  for (let n = 300; n < 310; n++) spool.append(record(n));
  await until(() => receiver.records.length === 310);
  await until(() => shipper.idle);
  assert.deepEqual(receiver.records, expected(310));
  assert.equal(acked.at(-1), 310);
  assert.equal(shipper.recordsShipped, 310);
  assert.equal(shipper.waiting, 0);
  await close();
});

test('no more than a window of batches is on its way', async () => {
  const receiver = new Receiver();
  receiver.act = () => 'mute';
  const { shipper, spool, close } = await setUp(receiver);
  for (let n = 0; n < 300; n++) {
    spool.append(record(n));
    if (n % 10 === 0) await spool.durable(n);
  }
  await spool.durable(299);
  shipper.start();
  await until(() => receiver.batches === 4);
  await new Promise(resolve => setTimeout(resolve, 30));
  assert.equal(receiver.batches, 4);
  assert.equal(shipper.waiting, 300);
  await close();
});

test('a receiver that goes silent is left, and all is sent again from the last acknowledgement', async () => {
  const receiver = new Receiver();
  let mute = true;
  receiver.act = () => (mute ? 'mute' : 'ack');
  const { shipper, spool, close } = await setUp(receiver, { silenceMs: 30 });
  for (let n = 0; n < 50; n++) spool.append(record(n));
  shipper.start();
  await until(() => receiver.streams.length >= 2);
  mute = false;
  await until(() => shipper.idle && receiver.records.length === 50);
  assert.deepEqual(receiver.records, expected(50));
  await close();
});

test('whatever breaks, nothing is missing and nothing is skipped', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    let state = seed;
    const below = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 4294967296) * limit);
    };
    const receiver = new Receiver();
    let calm = false;
    receiver.act = () => {
      if (calm) return 'ack';
      const dice = below(10);
      return dice === 0 ? 'break-before' : dice === 1 ? 'break-after' : dice === 2 ? 'mute' : 'ack';
    };
    const { shipper, spool, close } = await setUp(receiver, { silenceMs: 15 });
    shipper.start();
    let count = 0;
    for (let step = 0; step < 25; step++) {
      for (let n = below(60); n > 0; n--) spool.append(record(count++));
      await new Promise(resolve => setTimeout(resolve, below(4)));
      if (below(8) === 0) shipper.reopen();
    }
    calm = true;
    await until(() => receiver.records.length === count && shipper.idle);
    assert.deepEqual(receiver.records, expected(count), `seed ${seed}`);
    assert.equal(receiver.gaps, 0, `seed ${seed}`);
    await close();
  }
});

test('what an earlier run shipped is not shipped again, beyond the first batches', async () => {
  const receiver = new Receiver();
  const first = await setUp(receiver);
  first.shipper.start();
  for (let n = 0; n < 400; n++) {
    first.spool.append(record(n));
    if (n % 20 === 0) await first.spool.durable(n);
  }
  await until(() => first.shipper.idle && receiver.records.length === 400);
  await first.shipper.stop();
  const before = receiver.batches;
  const shipper = new Shipper({ relay: receiver.relay, agentId: () => 'agent', log, batchBytes: 2000, backoff: new Backoff(2, 4) });
  const shipment = shipper.add(first.dir, () => {});
  shipper.durable(shipment, 400);
  shipper.start();
  await until(() => shipper.idle);
  assert.ok(receiver.batches - before <= 5, `${receiver.batches - before} batches`);
  assert.equal(receiver.records.length, 400);
  await shipper.stop();
  await first.close();
});

test('a spool that was set back behind the log is not shipped: its new records would pass for old ones', async () => {
  const receiver = new Receiver();
  receiver.records.push(...Array.from({ length: 50 }, () => 'of a later spool'));
  const { shipper, spool, close } = await setUp(receiver);
  errors.length = 0;
  shipper.start();
  for (let n = 0; n < 10; n++) spool.append(record(n));
  await until(() => errors.length > 0);
  assert.match(errors[0] ?? '', /older than what the log has/);
  for (let n = 10; n < 60; n++) spool.append(record(n));
  await until(() => shipper.waiting === 60);
  assert.equal(receiver.records.length, 50);
  await close();
});
