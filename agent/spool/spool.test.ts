import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { type Record, RecordBatchSchema, RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { encodeCommand, encodeSessionEnded, encodeSessionStarted } from '@sallyport/shared/records/encode.ts';
import {
  FRAME_HEADER_BYTES,
  frameChecks,
  recordHeaderBytes,
  SEGMENT_HEADER_BYTES,
  sealFrame,
  segmentName,
  writeRecordHeader,
} from './format.ts';
import { MemoryDisk } from './memory-disk.testing.ts';
import { type ReadBatch, SpoolReader } from './reader.ts';
import { openSpool, type Spool, type SpoolOptions } from './spool.ts';

const KIB = 1024;
const DIR = '/spool';

const open = (disk: MemoryDisk, options: Partial<SpoolOptions> = {}): Promise<Spool> =>
  openSpool({ dir: DIR, bytesMax: 1024 * KIB, segmentBytes: 64 * KIB, disk, nowUnixUs: () => 5_000_000, ...options });

const record = (n: number, size = 100): Buffer => Buffer.alloc(size, `record ${n} `);
const codeOf = (error: unknown): string => (error instanceof GatewayError ? error.code : String(error));
const settled = (ms = 5) => new Promise(resolve => setTimeout(resolve, ms));

const recordsOf = (batch: ReadBatch): Uint8Array[] => {
  const { records } = fromBinary(RecordBatchSchema, Buffer.concat(batch.encoded));
  assert.equal(records.length, batch.count);
  return records.map(each => new Uint8Array(each));
};

async function readAll(
  disk: MemoryDisk,
  from: number,
  durable: number,
  bytesMax = 10_000,
): Promise<{ first: number; records: Uint8Array[] }> {
  const reader = new SpoolReader(DIR, disk);
  const records: Uint8Array[] = [];
  let first = -1;
  for (let at = from; at < durable; ) {
    const batch = await reader.read(at, durable, bytesMax);
    assert.ok(batch !== null);
    if (first < 0) first = batch.firstIndex;
    assert.equal(batch.firstIndex, first + records.length, 'batches are contiguous');
    records.push(...recordsOf(batch));
    at = batch.firstIndex + batch.count;
  }
  await reader.close();
  return { first, records };
}

function random(seed: number): (limit: number) => number {
  let state = seed;
  return limit => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * limit);
  };
}

test('records become durable in order, one write at a time, and read back as they were', async () => {
  const disk = new MemoryDisk();
  const notices: number[] = [];
  const spool = await open(disk, { onDurable: index => notices.push(index), durableNoticeMs: 0 });
  const order: number[] = [];
  for (let i = 0; i < 500; i++) {
    assert.equal(spool.append(record(i)), i);
    spool.whenDurable(i, error => {
      assert.equal(error, null);
      assert.ok(spool.durableIndex > i);
      order.push(i);
    });
  }
  assert.equal(spool.durableIndex, 0);
  await spool.durable(499);
  assert.deepEqual(
    order,
    Array.from({ length: 500 }, (_, i) => i),
  );
  let sync = false;
  spool.whenDurable(3, () => {
    sync = true;
  });
  assert.ok(sync, 'calls back at once for what is durable');
  await settled();
  assert.equal(notices.at(-1), 500);
  for (const from of [0, 1, 250, 499]) {
    const { first, records } = await readAll(disk, from, 500, 1000);
    assert.equal(first, from);
    assert.deepEqual(
      records,
      Array.from({ length: 500 - from }, (_, i) => new Uint8Array(record(from + i))),
    );
  }
  await spool.close();
  assert.equal(disk.opened, 0, 'no file is left open');
});

test('a reader that follows the spool gets what was written after it looked', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  const reader = new SpoolReader(DIR, disk);
  assert.equal(await reader.identify(), null);
  assert.equal(await reader.read(0, 0, 1000), null);
  for (let i = 0; i < 200; i++) {
    spool.append(record(i, 2000));
    await spool.durable(i);
    const batch = await reader.read(i, i + 1, 1000);
    assert.ok(batch !== null);
    assert.deepEqual(recordsOf(batch), [new Uint8Array(record(i, 2000))]);
    assert.equal(batch.spoolId, spool.id);
  }
  await reader.close();
  await spool.close();
});

test('callbacks that wait out of order run in order of index', async () => {
  const spool = await open(new MemoryDisk());
  for (let i = 0; i < 5; i++) spool.append(record(i));
  const order: number[] = [];
  for (const index of [4, 1, 3, 0, 2, 1]) spool.whenDurable(index, () => order.push(index));
  await spool.durable(4);
  assert.deepEqual(order, [0, 1, 1, 2, 3, 4]);
  await assert.rejects(spool.durable(5), error => codeOf(error) === 'SPOOL_INDEX_UNKNOWN');
  await spool.close();
});

test('the bytes are copied: the caller may reuse its buffer at once', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  const bytes = Buffer.from('first');
  spool.append(bytes);
  bytes.fill(0);
  await spool.durable(0);
  assert.deepEqual((await readAll(disk, 0, 1)).records, [new Uint8Array(Buffer.from('first'))]);
  await spool.close();
});

test('short writes are continued', async () => {
  const disk = new MemoryDisk();
  disk.writeBytesMax = 7;
  const spool = await open(disk);
  for (let i = 0; i < 20; i++) spool.append(record(i, i * 3));
  await spool.durable(19);
  assert.deepEqual(
    (await readAll(disk, 0, 20)).records,
    Array.from({ length: 20 }, (_, i) => new Uint8Array(record(i, i * 3))),
  );
  await spool.close();
});

test('a full spool refuses before it takes, frees what is shipped, and goes on', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk, { bytesMax: 256 * KIB });
  let count = 0;
  for (let full = false; !full; ) {
    try {
      spool.append(record(count, 1000));
      count++;
    } catch (error) {
      assert.equal(codeOf(error), 'SPOOL_FULL');
      full = true;
    }
    if (count % 40 === 0) await spool.durable(count - 1);
  }
  await spool.durable(count - 1);
  assert.ok(count * 1000 > 180 * KIB, `took ${count}`);
  assert.ok(spool.stats().bytes <= 256 * KIB);
  assert.equal(spool.stats().records, count);
  assert.ok(spool.stats().full);
  assert.throws(() => spool.append(record(0, 1000)), GatewayError);
  assert.equal(spool.nextIndex, count, 'nothing was taken');

  spool.shipped(80);
  await settled();
  assert.equal(spool.append(record(count, 1000)), count);
  await spool.durable(count);
  const { first, records } = await readAll(disk, 0, count + 1);
  assert.ok(first > 0 && first <= 80, 'only whole acknowledged segments are gone');
  assert.equal(records.length, count + 1 - first);
  assert.deepEqual(records.at(-1), new Uint8Array(record(count, 1000)));
  await spool.close();
});

test('long use in little room: the index goes on over many segments and starts', async () => {
  const disk = new MemoryDisk();
  let total = 0;
  for (let start = 0; start < 3; start++) {
    const spool = await open(disk, { bytesMax: 256 * KIB });
    assert.equal(spool.nextIndex, total);
    for (let i = 0; i < 300; i++) {
      spool.append(record(total, 1500));
      await spool.durable(total);
      total++;
      spool.shipped(total);
    }
    await spool.close();
  }
  assert.ok(disk.files.size <= 6, [...disk.files.keys()].join());
});

test('what waits for the disk is bounded', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk, { bytesMax: 256 * 1024 * KIB, segmentBytes: 16 * 1024 * KIB });
  disk.hold();
  let taken = 0;
  assert.throws(
    () => {
      for (; taken < 100; taken++) spool.append(record(0, 1024 * KIB));
    },
    (error: unknown) => codeOf(error) === 'SPOOL_FULL',
  );
  assert.ok(taken <= 16);
  disk.release();
  await spool.durable(taken - 1);
  spool.append(record(0));
  await spool.close();
});

test('a record that is too large is refused and harms nothing', async () => {
  const spool = await open(new MemoryDisk(), { segmentBytes: 16 * 1024 * KIB, bytesMax: 64 * 1024 * KIB });
  assert.throws(
    () => spool.append(Buffer.alloc(3 * 1024 * KIB)),
    (error: unknown) => codeOf(error) === 'SPOOL_RECORD_TOO_LARGE',
  );
  assert.equal(spool.append(Buffer.alloc(2 * 1024 * KIB)), 0);
  await spool.durable(0);
  await spool.close();
});

for (const code of ['EIO', 'ENOSPC']) {
  test(`${code} on a write breaks the spool: every waiter gets the error, nothing is taken any more`, async () => {
    const disk = new MemoryDisk();
    const spool = await open(disk);
    spool.append(record(0));
    await spool.durable(0);
    disk.fault = operation => {
      if (operation === 'write') throw Object.assign(new Error('disk says no'), { code });
    };
    const errors: unknown[] = [];
    for (let i = 1; i <= 3; i++) {
      spool.append(record(i));
      spool.whenDurable(i, error => errors.push(codeOf(error)));
    }
    await assert.rejects(spool.durable(3), error => codeOf(error) === 'SPOOL_BROKEN');
    assert.deepEqual(errors, ['SPOOL_BROKEN', 'SPOOL_BROKEN', 'SPOOL_BROKEN']);
    assert.throws(
      () => spool.append(record(4)),
      (error: unknown) => codeOf(error) === 'SPOOL_BROKEN',
    );
    await assert.rejects(spool.durable(2), error => codeOf(error) === 'SPOOL_BROKEN');
    await spool.durable(0);
    assert.ok(spool.stats().broken);
    disk.fault = () => {};
    await assert.rejects(spool.close(), error => codeOf(error) === 'SPOOL_BROKEN');
    const again = await open(disk);
    assert.equal(again.nextIndex, 1);
    await again.close();
  });
}

test('no room for the next file is SPOOL_FULL, not the end: it is tried again', async t => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  disk.fault = operation => {
    if (operation === 'allocate') throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
  };
  let count = 0;
  let code = '';
  while (code === '') {
    try {
      spool.append(record(count, 4000));
      await spool.durable(count);
      count++;
    } catch (error) {
      code = codeOf(error);
    }
  }
  assert.equal(code, 'SPOOL_FULL');
  assert.equal(count, 16, 'one file was there');
  disk.fault = () => {};
  assert.throws(() => spool.append(record(count, 4000)), GatewayError, 'not before the pause is over');
  t.mock.timers.tick(1001);
  assert.equal(spool.append(record(count, 4000)), count);
  await spool.durable(count);
  await spool.close();
});

test('a folder that cannot be used is one clear error', async () => {
  const disk = new MemoryDisk();
  disk.fault = () => {
    throw new Error('read-only file system');
  };
  await assert.rejects(open(disk), error => codeOf(error) === 'SPOOL_BROKEN' && /read-only file system/.test(String(error)));
  await assert.rejects(open(new MemoryDisk(), { bytesMax: 1000 }), error => codeOf(error) === 'SPOOL_SIZE');
});

const session = (name: string) => ({
  started: (seq = 0) => encodeSessionStarted({ sessionId: name, seq, atUnixUs: 1_000_000 }, { resource: 'crm', protocol: 'postgres' }),
  command: (seq: number) => encodeCommand({ sessionId: name, seq, atUnixUs: 1_000_000 + seq }, { kind: 'query', text: `select ${seq}` }),
  ended: (seq: number) => encodeSessionEnded({ sessionId: name, seq, atUnixUs: 2_000_000 }, { reason: 'client closed' }),
});

const decode = (bytes: Uint8Array): Record => fromBinary(RecordSchema, bytes);

test('sessions that a crash left open are closed at the next start, chained to their last record, once', async () => {
  const disk = new MemoryDisk();
  const first = await open(disk);
  const [a, b, c] = [session('a'), session('b'), session('c')];
  first.append(a.started());
  first.append(b.started());
  first.append(b.command(1));
  first.append(c.started());
  const lastOfA = a.command(1).slice();
  first.append(lastOfA);
  first.append(b.ended(2));
  await first.durable(5);
  const after = disk.crash(() => 0);

  const second = await open(after);
  assert.deepEqual(second.recovery.closedSessions.toSorted(), ['a', 'c']);
  assert.equal(second.nextIndex, 8);
  const { records } = await readAll(after, 0, 8);
  const ends = records.slice(6).map(decode);
  const endOfA = ends.find(end => end.sessionId === 'a');
  assert.ok(endOfA?.body.case === 'sessionEnded');
  assert.equal(endOfA.seq, 2n);
  assert.equal(endOfA.atUnixUs, 5_000_000n);
  assert.equal(endOfA.body.value.reason, 'agent crashed');
  assert.equal(endOfA.body.value.errorCode, 'AGENT_CRASHED');
  assert.equal(endOfA.body.value.commands, 1n);
  assert.deepEqual(endOfA.previousHash, new Uint8Array(createHash('sha256').update(lastOfA).digest()));
  await second.close();

  const third = await open(after);
  assert.deepEqual(third.recovery.closedSessions, []);
  assert.equal(third.nextIndex, 8);
  await third.close();
});

test('a session whose beginning was shipped and deleted is still closed after a crash', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk, { bytesMax: 256 * KIB });
  const old = session('old');
  spool.append(old.started());
  spool.append(old.command(1));
  const id = spool.id;
  let n = 2;
  for (; n < 400; n++) {
    spool.append(n % 2 === 0 ? session(`s${n}`).started() : session(`s${n - 1}`).ended(1));
    spool.append(record(n, 1000));
    await spool.durable(spool.nextIndex - 1);
    spool.shipped(spool.nextIndex);
    await settled(0);
  }
  await settled();
  assert.equal(disk.files.has(`${DIR}/${segmentName(1)}`), false, 'the first segment is gone');
  const after = disk.crash(() => 0);
  const next = await open(after, { bytesMax: 256 * KIB });
  assert.equal(next.id, id);
  assert.deepEqual(next.recovery.closedSessions, ['old']);
  const last = next.nextIndex - 1;
  const { records } = await readAll(after, last, last + 1);
  const end = decode(records[0] ?? new Uint8Array());
  assert.equal(end.sessionId, 'old');
  assert.equal(end.seq, 2n);
  await next.close();
});

test('a full spool can be opened, and closes what the crash left open', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk, { bytesMax: 256 * KIB });
  for (let i = 0; i < 40; i++) spool.append(session(`s${i}`).started());
  try {
    for (;;) {
      const index = spool.append(record(0, 900));
      if (index % 50 === 0) await spool.durable(index);
    }
  } catch (error) {
    assert.equal(codeOf(error), 'SPOOL_FULL');
  }
  await spool.durable(spool.nextIndex - 1);
  const after = disk.crash(() => 0);
  const next = await open(after, { bytesMax: 256 * KIB });
  assert.equal(next.recovery.closedSessions.length, 40);
  assert.throws(() => {
    for (let i = 0; i < 1000; i++) next.append(record(0, 900));
  }, GatewayError);
  await next.durable(next.nextIndex - 1);
  await next.close();
});

test('after a crash at any moment, with any part of the last write on disk: all that was durable is there, nothing torn is served', async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const below = random(seed);
    let disk = new MemoryDisk();
    const written: Buffer[] = [];
    for (let life = 0; life < 4; life++) {
      disk.writeBytesMax = below(3) === 0 ? 50 : Number.POSITIVE_INFINITY;
      const spool = await open(disk);
      assert.ok(spool.nextIndex <= written.length, `seed ${seed}`);
      written.length = spool.nextIndex;
      const steps = below(40);
      for (let i = 0; i < steps; i++) {
        for (let n = below(12); n > 0; n--) {
          const bytes = record(written.length, below(4) === 0 ? below(5000) : below(300));
          written.push(bytes);
          spool.append(bytes);
        }
        if (below(2) === 0) await new Promise(resolve => setImmediate(resolve));
      }
      const durable = spool.durableIndex;
      disk = disk.crash(length => below(length + 1));
      const found = await open(disk);
      assert.ok(found.nextIndex >= durable, `seed ${seed}: ${found.nextIndex} of ${durable} durable records`);
      assert.deepEqual(found.recovery.lost, []);
      written.length = found.nextIndex;
      if (written.length > 0) {
        const { first, records } = await readAll(disk, 0, written.length, 1000 + below(20_000));
        assert.equal(first, 0);
        assert.ok(
          records.every((bytes, i) => Buffer.compare(bytes, written[i] ?? Buffer.alloc(0)) === 0),
          `seed ${seed}`,
        );
        assert.equal(records.length, written.length);
      }
      await found.close();
    }
  }
});

test('the tail torn at every byte of the last frame is cut there', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  spool.append(record(0, 30));
  await spool.durable(0);
  const before = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 2 + 30;
  spool.append(record(1, 30));
  await spool.durable(1);
  const end = before + FRAME_HEADER_BYTES + 2 + 30;
  const name = `${DIR}/${segmentName(1)}`;
  const whole = Buffer.from(disk.files.get(name) ?? []);
  for (let cut = before; cut < end; cut++) {
    for (const filler of [0, 0xff]) {
      const torn = new MemoryDisk();
      for (const [file, data] of disk.files) torn.files.set(file, Buffer.from(data));
      const data = Buffer.from(whole);
      if (whole.subarray(cut, end).every(byte => byte === filler)) continue;
      data.fill(filler, cut, end);
      torn.files.set(name, data);
      const found = await open(torn);
      assert.equal(found.nextIndex, 1, `cut at ${cut}`);
      found.append(record(7, 50));
      await found.durable(1);
      assert.deepEqual((await readAll(torn, 0, 2)).records, [new Uint8Array(record(0, 30)), new Uint8Array(record(7, 50))]);
      await found.close();
    }
  }
});

test('a record whose text looks like a frame is never taken for one, even where a torn tail was cut', async () => {
  // The forger knows the format and the index, and where the tail will be cut, but not the salt.
  const forged = Buffer.alloc(FRAME_HEADER_BYTES + 2 + 6);
  forged.write('forged', writeRecordHeader(forged, FRAME_HEADER_BYTES, 6));
  sealFrame(forged, 0, forged.length, 1, 1, 0);
  const disk = new MemoryDisk();
  const spool = await open(disk);
  // This frame (index 0) is torn at its head; the next life writes a shorter one over it that ends where the forged frame begins.
  const shorter = 40;
  const padding = Buffer.alloc(shorter, 'x');
  spool.append(Buffer.concat([padding, forged]));
  await spool.durable(0);
  const name = `${DIR}/${segmentName(1)}`;
  disk.files.get(name)?.writeUInt32LE(0, SEGMENT_HEADER_BYTES);
  const next = await open(disk);
  assert.equal(next.nextIndex, 0);
  next.append(Buffer.alloc(shorter, 'y'));
  await next.durable(0);
  const after = disk.crash(() => 0);
  const found = await open(after);
  assert.equal(found.nextIndex, 1);
  await found.close();
});

test('a durable record that the disk lost is reported, not passed over in silence', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  for (let i = 0; i < 60; i++) {
    spool.append(record(i, 4000));
    await spool.durable(i);
  }
  await spool.close();
  const data = disk.files.get(`${DIR}/${segmentName(2)}`);
  assert.ok(data !== undefined);
  data[SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + 5000] = 1;
  const found = await open(disk);
  assert.equal(found.recovery.lost.length, 1);
  const [lost] = found.recovery.lost;
  assert.ok(lost !== undefined && lost.fromIndex === 17 && lost.toIndex === 32, JSON.stringify(lost));
  assert.equal(found.nextIndex, 60);
  const reader = new SpoolReader(DIR, disk);
  const batch = await reader.read(17, 60, 100);
  assert.equal(batch?.firstIndex, 32);
  await reader.close();
  await found.close();
});

test('records of every length are framed; a frame that lies about its records does not check', () => {
  for (const length of [0, 1, 127, 128, 16383, 16384, 2_000_000, 2_097_152]) {
    const header = recordHeaderBytes(length);
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + header + length + 2);
    assert.equal(writeRecordHeader(frame, FRAME_HEADER_BYTES, length), FRAME_HEADER_BYTES + header);
    writeRecordHeader(frame, frame.length - 2, 0);
    sealFrame(frame, 0, frame.length, 7, 2, 99);
    assert.ok(frameChecks(frame, 0, frame.length, 99), String(length));
    assert.ok(!frameChecks(frame, 0, frame.length, 98), 'another salt');
    for (const count of [0, 1, 3]) {
      sealFrame(frame, 0, frame.length, 7, count, 99);
      assert.ok(!frameChecks(frame, 0, frame.length, 99), `${count} records`);
    }
  }
  for (const payload of [[0x22], [0x22, 0x80], [0x22, 5, 1], [0x21, 0], [0x22, 0xff, 0xff, 0xff, 0xff, 0x0f]]) {
    const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), Buffer.from(payload)]);
    sealFrame(frame, 0, frame.length, 0, 1, 0);
    assert.ok(!frameChecks(frame, 0, frame.length, 0), payload.join());
  }
});

test('a folder with segments of another spool is refused', async () => {
  const one = new MemoryDisk();
  const two = new MemoryDisk();
  for (const disk of [one, two]) {
    const spool = await open(disk);
    for (let i = 0; i < 30; i++) {
      spool.append(record(i, 4000));
      await spool.durable(i);
    }
    await spool.close();
  }
  const foreign = two.files.get(`${DIR}/${segmentName(2)}`);
  assert.ok(foreign !== undefined);
  one.files.set(`${DIR}/${segmentName(2)}`, foreign);
  await assert.rejects(open(one), error => codeOf(error) === 'SPOOL_FOREIGN');
  one.files.set(`${DIR}/checkpoint.json`, Buffer.from('{"version":1'));
  await assert.rejects(open(one), error => codeOf(error) === 'SPOOL_CHECKPOINT_INVALID');
});

test('a callback that throws does not keep others from being called', async () => {
  const disk = new MemoryDisk();
  const spool = await open(disk);
  const seen: number[] = [];
  const uncaught = new Promise<unknown>(resolve => {
    const handlers = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', error => {
      for (const handler of handlers) process.on('uncaughtException', handler);
      resolve(error);
    });
  });
  for (let i = 0; i < 3; i++) {
    spool.append(record(i));
    spool.whenDurable(i, () => {
      seen.push(i);
      if (i === 1) throw new Error('fault in a session');
    });
  }
  assert.match(String(await uncaught), /fault in a session/);
  assert.deepEqual(seen, [0, 1, 2]);
  spool.append(record(3));
  await spool.durable(3);
  await spool.close();
});

test('a record that nobody waits for starts no write of its own: the next one takes it along', async () => {
  const disk = new MemoryDisk();
  let writes = 0;
  disk.fault = operation => {
    if (operation === 'write') writes++;
  };
  const spool = await open(disk, { lingerMs: 3_600_000 });
  await spool.durable(spool.append(record(0)));
  const before = writes;
  const turns = async (count: number) => {
    for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve));
  };
  for (let i = 0; i < 3; i++) {
    spool.append(record(1), false);
    await turns(5);
    assert.equal(writes, before + i);
    await spool.durable(spool.append(record(2)));
    assert.equal(writes, before + i + 1);
  }
  const late = spool.append(record(3), false);
  await spool.durable(late);
  assert.equal(writes, before + 4, 'whoever waits hastens it');
  spool.append(record(4), false);
  await spool.close();
  assert.equal((await readAll(disk, 0, 9)).records.length, 9, 'an orderly end writes what is left');
});

test('a record that nobody waits for is on disk by itself after a moment', async () => {
  const spool = await open(new MemoryDisk(), { lingerMs: 0 });
  const index = spool.append(record(0), false);
  while (spool.durableIndex <= index) await settled(1);
  await spool.close();
});

test('of records that nobody waits for, no more than a frame waits', async () => {
  const spool = await open(new MemoryDisk(), { lingerMs: 3_600_000 });
  for (let i = 0; i < 100; i++) spool.append(record(i, 1000), false);
  while (spool.durableIndex === 0) await settled(1);
  await spool.close();
});
