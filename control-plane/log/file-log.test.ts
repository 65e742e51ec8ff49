import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventLogConformance } from './conformance.ts';
import { lockDirectory } from './directory-lock.ts';
import { type Entry, openLogReader } from './event-log.ts';
import { openFileLog } from './file-log.ts';

const tempDir = () => mkdtemp(join(tmpdir(), 'sallyport-log-'));
const entry = (value: string) => ({ key: new Uint8Array(0), value: new TextEncoder().encode(value) });
const values = (entries: Entry[]) => entries.map(e => new TextDecoder().decode(e.value));

for (const [name, segmentBytesMax] of [
  ['files', undefined],
  ['files, a segment per batch', 1],
] as const) {
  eventLogConformance(name, async () => {
    const root = await tempDir();
    const dir = join(root, 'topic');
    return {
      open: () => openFileLog({ dir, ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }) }),
      follow: () => openLogReader(dir),
      dispose: () => rm(root, { recursive: true }),
    };
  });
}

async function filled(count: number, segmentBytesMax = 1 << 20): Promise<string> {
  const dir = join(await tempDir(), 'topic');
  const log = await openFileLog({ dir, segmentBytesMax });
  for (let i = 0; i < count; i++) await log.append([entry(`value ${i}`)]);
  await log.close();
  return dir;
}

async function lastSegment(dir: string): Promise<string> {
  return join(
    dir,
    (await readdir(dir))
      .filter(name => name.endsWith('.log'))
      .sort()
      .at(-1) ?? 'none',
  );
}

test('what a crash left torn behind the durable end is cut, at every length', async () => {
  const dir = await filled(3);
  const segment = await lastSegment(dir);
  const whole = await readFile(segment);
  const mark = await readFile(join(dir, 'end'));
  const log = await openFileLog({ dir });
  await log.append([entry('torn')]);
  await log.close();
  const longer = await readFile(segment);
  for (let length = whole.length; length < longer.length; length += 3) {
    await writeFile(segment, longer.subarray(0, length));
    await writeFile(join(dir, 'end'), mark);
    const again = await openFileLog({ dir });
    assert.equal(await again.endOffset(), 3n);
    assert.equal(await again.append([entry('next')]), 3n);
    assert.deepEqual(values(await again.read(2n, 9)), ['value 2', 'next']);
    await again.close();
  }
});

test('a whole entry behind the durable end is kept: it may have been acknowledged', async () => {
  const dir = await filled(3);
  const mark = await readFile(join(dir, 'end'));
  const log = await openFileLog({ dir });
  await log.append([entry('written')]);
  await log.close();
  await writeFile(join(dir, 'end'), mark);
  const reader = openLogReader(dir);
  assert.equal((await reader.read(0n, 9)).length, 3, 'a reader stops at the mark');
  const again = await openFileLog({ dir });
  assert.equal(await again.endOffset(), 4n);
  assert.deepEqual(values(await reader.read(3n, 9)), ['written']);
  await reader.close();
  await again.close();
});

test('garbage and zeros behind the durable end are cut', async () => {
  for (const junk of [Buffer.alloc(5000), Buffer.from('ffffffffffffffffffff', 'hex'), Buffer.alloc(9, 1)]) {
    const dir = await filled(2);
    await appendFile(await lastSegment(dir), junk);
    const log = await openFileLog({ dir });
    assert.equal(await log.append([entry('next')]), 2n);
    await log.close();
  }
});

test('damage before the durable end is refused by the writer and by readers', async () => {
  const dir = await filled(3);
  const file = await open(await lastSegment(dir), 'r+');
  await file.write('X', 60);
  await file.close();
  await assert.rejects(openFileLog({ dir }), { code: 'LOG_CORRUPT' });
  const reader = openLogReader(dir);
  await assert.rejects(reader.read(0n, 9), { code: 'LOG_CORRUPT' });
  await reader.close();
});

test('a cut-off durable end and a missing segment are refused', async () => {
  const dir = await filled(3);
  const segment = await lastSegment(dir);
  await truncate(segment, (await stat(segment)).size - 1);
  await assert.rejects(openFileLog({ dir }), { code: 'LOG_CORRUPT' });
  await rm(segment);
  await assert.rejects(openFileLog({ dir }), { code: 'LOG_CORRUPT' });
});

test('a torn end mark is written again at the start', async () => {
  const dir = await filled(3);
  await truncate(join(dir, 'end'), 17);
  const log = await openFileLog({ dir });
  assert.equal(await log.endOffset(), 3n);
  await log.close();
  const reader = openLogReader(dir);
  assert.equal((await reader.read(0n, 9)).length, 3);
  await reader.close();
});

test('segments are bounded, and a reader crosses them', async () => {
  const dir = await filled(100, 200);
  assert.ok((await readdir(dir)).filter(name => name.endsWith('.log')).length > 10);
  const reader = openLogReader(dir);
  assert.deepEqual(
    values(await reader.read(0n, 1000)),
    Array.from({ length: 100 }, (_, i) => `value ${i}`),
  );
  assert.deepEqual(values(await reader.read(57n, 2)), ['value 57', 'value 58']);
  assert.deepEqual(values(await reader.read(3n, 1)), ['value 3']);
  await reader.close();
});

test('a write that fails is cut back, and the queue has a bound', async () => {
  const dir = join(await tempDir(), 'topic');
  const log = await openFileLog({ dir, queueBytesMax: 1000 });
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => log.append([entry('x'.repeat(100))])));
  const busy = results.filter(r => r.status === 'rejected' && r.reason.code === 'LOG_BUSY').length;
  assert.ok(busy > 0 && busy < 100);
  assert.equal(await log.endOffset(), BigInt(100 - busy));
  await log.close();
});

const writer = fileURLToPath(new URL('./file-log.test.writer.ts', import.meta.url));

/** Reads acknowledged offsets from the child until it is killed. */
async function runAndKill(dir: string, afterAcks: number, onAck?: (offset: bigint) => void): Promise<bigint> {
  const child: ChildProcess = spawn(process.execPath, [writer, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  let acknowledged = -1n;
  let count = 0;
  assert.ok(child.stdout);
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = BigInt(line);
    onAck?.(acknowledged);
    if (++count === afterAcks) child.kill('SIGKILL');
  }
  const [, signal] = await exited;
  assert.equal(signal, 'SIGKILL');
  return acknowledged;
}

test('kill -9: what was acknowledged stays, what a reader returned stays, in the same place', async () => {
  const dir = join(await tempDir(), 'topic');
  const reader = openLogReader(dir);
  const seen: string[] = [];
  const stop = new AbortController();
  const following = (async () => {
    while (!stop.signal.aborted) {
      await reader.waitFor(BigInt(seen.length), 1000, stop.signal);
      for (const e of await reader.read(BigInt(seen.length), 100)) {
        assert.equal(e.offset, BigInt(seen.length));
        seen.push(new TextDecoder().decode(e.value));
      }
    }
  })();
  let acknowledged = -1n;
  for (const acks of [1, 7, 40, 90]) acknowledged = await runAndKill(dir, acks);
  const log = await openFileLog({ dir });
  const kept: string[] = [];
  for (;;) {
    const read = await log.read(BigInt(kept.length), 1000);
    if (read.length === 0) break;
    kept.push(...values(read));
  }
  stop.abort();
  await following;
  await reader.close();
  await log.close();
  assert.ok(BigInt(kept.length) > acknowledged);
  assert.ok(seen.length > 0);
  assert.deepEqual(kept.slice(0, seen.length), seen);
});

test('the lock of a data folder: one holder, and none after kill -9', async () => {
  const dir = await tempDir();
  const lock = lockDirectory(dir);
  assert.throws(() => lockDirectory(dir), { code: 'DATA_LOCKED' });
  lock.release();
  const child = spawn(process.execPath, [writer, dir, 'lock'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  assert.throws(() => lockDirectory(dir), { code: 'DATA_LOCKED', message: new RegExp(`process ${child.pid}`) });
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockDirectory(dir).release();
  await rm(dir, { recursive: true });
  assert.throws(() => lockDirectory(dir), { code: 'DATA_UNWRITABLE' });
});
