import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fromBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { readRecordLink } from '@sallyport/shared/evidence/record-bytes.ts';
import { contentOf } from './crash-contents.testing.ts';
import { SpoolReader } from './reader.ts';
import { openSpool } from './spool.ts';

const PROGRAM = fileURLToPath(new URL('crash.testing.ts', import.meta.url));

test('kill -9 at random moments: every record reported durable is there, byte for byte, and the sessions are closed', async () => {
  for (let round = 1; round <= 4; round++) {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-spool-'));
    const child = spawn(process.execPath, [PROGRAM, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
    let reported = 0;
    let lines = 0;
    const killAfter = 1 + ((round * 977) % 3000);
    let rest = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) {
        reported = Math.max(reported, Number(line));
        if (++lines === killAfter) child.kill('SIGKILL');
      }
    });
    await once(child, 'close');
    assert.equal(child.signalCode, 'SIGKILL');

    const spool = await openSpool({ dir, bytesMax: 8 * 1024 * 1024 });
    assert.deepEqual(spool.recovery.lost, []);
    const closed = spool.recovery.closedSessions.length;
    const recovered = spool.nextIndex - closed;
    assert.ok(recovered >= reported, `${recovered} records of ${reported} reported durable`);
    assert.equal(closed, Math.min(3, recovered), 'all three sessions are closed, also those whose start is deleted');
    const reader = new SpoolReader(dir);
    let at = 0;
    let first = -1;
    while (at < spool.durableIndex) {
      const batch = await reader.read(at, spool.durableIndex, 100_000);
      assert.ok(batch !== null);
      if (first < 0) first = batch.firstIndex;
      else assert.equal(batch.firstIndex, at);
      at = batch.firstIndex;
      for (const bytes of fromBinary(RecordBatchSchema, Buffer.concat(batch.encoded)).records) {
        if (at < recovered) assert.ok(Buffer.compare(bytes, contentOf(at)) === 0, `record ${at}`);
        else assert.equal(readRecordLink(bytes)?.body, 12);
        at++;
      }
    }
    assert.ok(first <= Math.max(0, reported - 2000), 'nothing is deleted that was not acknowledged');
    await reader.close();
    await spool.close();
    fs.rmSync(dir, { recursive: true });
  }
});
