import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { RecordRelay } from './relay.ts';

const batch = (firstIndex: number, records: string[], spoolId = 's', agentId = 'a') =>
  create(RecordBatchSchema, {
    agentId,
    spoolId,
    firstIndex: BigInt(firstIndex),
    records: records.map(text => new TextEncoder().encode(text)),
  });

async function withLog(body: (log: EventLog, marks: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-relay-'));
  const log = await openFileLog({ dir: join(dir, 'log') });
  try {
    await body(log, join(dir, 'marks.json'));
  } finally {
    await log.close();
    await rm(dir, { recursive: true });
  }
}

async function kept(log: EventLog): Promise<string> {
  const entries = await log.read(0n, 1000);
  return entries
    .map(({ value }) =>
      fromBinary(RecordBatchSchema, value)
        .records.map(record => new TextDecoder().decode(record))
        .join(''),
    )
    .join('|');
}

test('batches of one spool that come by two streams at once are taken once each', () =>
  withLog(async (log, marks) => {
    const relay = await RecordRelay.open(log, marks);
    const results = await Promise.all([
      relay.append(batch(0, ['a', 'b'])),
      relay.append(batch(0, ['a', 'b'])),
      relay.append(batch(2, ['c'])),
      relay.append(batch(0, ['a', 'b', 'c', 'd'])),
    ]);
    assert.deepEqual(results, [2n, 2n, 3n, 4n]);
    assert.equal(await kept(log), 'ab|c|d');
    assert.deepEqual(relay.counters, { batches: 4, records: 4, duplicates: 5, gaps: 0 });
    await relay.close();
  }));

test('spools of different agents with one id are different spools', () =>
  withLog(async (log, marks) => {
    const relay = await RecordRelay.open(log, marks);
    await relay.append(batch(0, ['a'], 's', 'agent1'));
    await relay.append(batch(0, ['b'], 's', 'agent2'));
    assert.equal(await kept(log), 'a|b');
    await relay.close();
  }));

test('an empty batch, a jump ahead and a bad spool id', () =>
  withLog(async (log, marks) => {
    const relay = await RecordRelay.open(log, marks);
    assert.equal(await relay.append(batch(0, [])), 0n);
    assert.equal(await relay.append(batch(5, ['f'])), 6n);
    assert.equal(relay.counters.gaps, 5);
    for (const id of ['', '../x', 'a/b', 'x'.repeat(200)])
      await assert.rejects(relay.append(batch(0, ['x'], id)), { code: 'RELAY_BATCH_INVALID' });
    await relay.close();
  }));

test('a batch that could not be written is not acknowledged, and is taken when it comes again', () =>
  withLog(async (log, marks) => {
    let broken = true;
    const failing: EventLog = Object.assign(Object.create(log) as EventLog, {
      append: (entries: Parameters<EventLog['append']>[0]) =>
        broken ? Promise.reject(new GatewayError('LOG_WRITE_FAILED', 'unavailable', 'disk full')) : log.append(entries),
      read: (from: bigint, max: number) => log.read(from, max),
      endOffset: () => log.endOffset(),
    });
    const relay = await RecordRelay.open(failing, marks);
    const results = await Promise.allSettled([relay.append(batch(0, ['a'])), relay.append(batch(0, ['a', 'b']))]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    broken = false;
    assert.equal(await relay.append(batch(0, ['a', 'b'])), 2n);
    assert.equal(await kept(log), 'ab');
    await relay.close();
  }));

test('the marks after a restart are those of the log, with a marks file that is old, foreign, damaged or missing', () =>
  withLog(async (log, marks) => {
    const first = await RecordRelay.open(log, marks);
    await first.append(batch(0, ['a']));
    await first.saveMarks();
    await first.append(batch(1, ['b'])); // not in the saved marks
    const files = [
      null, // as it was saved
      '{"version":1,"offset":"99","marks":[["a/s","50"]]}',
      '{"version":2}',
      '{"version":1,"offset":"x","marks":[]}',
      '{"ver',
      '',
    ];
    for (const text of files) {
      if (text !== null) await writeFile(marks, text);
      const relay = await RecordRelay.open(log, marks);
      assert.equal(await relay.append(batch(0, ['a', 'b'])), 2n, String(text));
    }
    await rm(marks);
    const relay = await RecordRelay.open(log, marks);
    assert.equal(await relay.append(batch(1, ['b'])), 2n);
    assert.equal(await kept(log), 'a|b');
  }));

test('what comes behind a batch that was not taken is not taken before it', () =>
  withLog(async (log, marks) => {
    let refusals = 1;
    const unsteady: EventLog = {
      append: entries => (refusals-- > 0 ? Promise.reject(new GatewayError('LOG_BUSY', 'unavailable', 'later')) : log.append(entries)),
      read: (from, max) => log.read(from, max),
      endOffset: () => log.endOffset(),
      waitFor: (offset, timeoutMs, signal) => log.waitFor(offset, timeoutMs, signal),
      close: () => log.close(),
    };
    const relay = await RecordRelay.open(unsteady, marks);
    const results = await Promise.allSettled([relay.append(batch(0, ['a'])), relay.append(batch(1, ['b'])), relay.append(batch(2, ['c']))]);
    assert.deepEqual(
      results.map(result => (result.status === 'rejected' ? (result.reason as GatewayError).code : 'taken')),
      ['LOG_BUSY', 'RELAY_OUT_OF_TURN', 'RELAY_OUT_OF_TURN'],
    );
    assert.equal(await relay.append(batch(0, ['a', 'b'])), 2n);
    assert.equal(await relay.append(batch(2, ['c'])), 3n);
    // Once it goes on, a spool whose disk lost records may jump again.
    assert.equal(await relay.append(batch(7, ['h'])), 8n);
    assert.equal(await kept(log), 'ab|c|h');
    await relay.close();
  }));
