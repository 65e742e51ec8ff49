/**
 * What every implementation of the event log must do. Called from a test file with a way to open a log, to open it again, and to
 * follow it as another process would.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EventLog, LogReader } from './event-log.ts';

export interface LogUnderTest {
  open(): Promise<EventLog>;
  /** A reader that shares no memory with the log. */
  follow(): LogReader;
  /** Releases what was made for this one test. */
  dispose(): Promise<void>;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const entry = (value: string, key = 'k') => ({ key: bytes(key), value: bytes(value) });

/** @param create makes a fresh, empty topic. */
export function eventLogConformance(name: string, create: () => Promise<LogUnderTest>): void {
  describe(`event log: ${name}`, () => {
    const withLog = (title: string, body: (log: EventLog, subject: LogUnderTest) => Promise<void>) => {
      test(title, async () => {
        const subject = await create();
        try {
          const log = await subject.open();
          try {
            await body(log, subject);
          } finally {
            await log.close();
          }
        } finally {
          await subject.dispose();
        }
      });
    };

    withLog('an empty log ends at 0 and reads nothing', async log => {
      assert.equal(await log.endOffset(), 0n);
      assert.deepEqual(await log.read(0n, 10), []);
      assert.deepEqual(await log.read(99n, 10), []);
    });

    withLog('offsets count from 0 without holes, in the order of the calls', async log => {
      const offsets = await Promise.all([log.append([entry('a'), entry('b')]), log.append([entry('c')]), log.append([entry('d')])]);
      assert.deepEqual(offsets, [0n, 2n, 3n]);
      const read = await log.read(0n, 10);
      assert.deepEqual(
        read.map(e => [e.offset, text(e.value)]),
        [
          [0n, 'a'],
          [1n, 'b'],
          [2n, 'c'],
          [3n, 'd'],
        ],
      );
    });

    withLog('key, value and time come back as they were', async log => {
      const value = Uint8Array.from({ length: 100_000 }, (_, i) => i & 255);
      const before = Date.now();
      await log.append([
        { key: bytes('stream/ü'), value },
        { key: new Uint8Array(0), value: new Uint8Array(0) },
      ]);
      const [first, second] = await log.read(0n, 10);
      assert.ok(first && second);
      assert.equal(text(first.key), 'stream/ü');
      assert.deepEqual(first.value, value);
      assert.ok(first.timestampMs >= before && first.timestampMs <= Date.now());
      assert.equal(second.key.length + second.value.length, 0);
    });

    withLog('reading begins at any offset and takes at most what was asked', async log => {
      for (let i = 0; i < 50; i += 5) await log.append(Array.from({ length: 5 }, (_, j) => entry(`v${i + j}`)));
      for (const from of [0, 1, 7, 49]) {
        const read = await log.read(BigInt(from), 3);
        assert.deepEqual(
          read.map(e => text(e.value)),
          Array.from({ length: Math.min(3, 50 - from) }, (_, j) => `v${from + j}`),
        );
      }
      assert.deepEqual(
        (await log.read(10n, 2)).map(e => text(e.value)),
        ['v10', 'v11'],
        'backwards, too',
      );
      assert.deepEqual(await log.read(50n, 3), []);
      assert.deepEqual(await log.read(0n, 0), []);
    });

    withLog('a follower sees what was acknowledged, at the same offsets', async (log, subject) => {
      const follower = subject.follow();
      try {
        assert.equal(await follower.endOffset(), 0n);
        const waiting = follower.waitFor(1n, 30_000);
        await log.append([entry('a')]);
        await log.append([entry('b')]);
        assert.equal(await waiting, true);
        assert.deepEqual(
          (await follower.read(0n, 10)).map(e => text(e.value)),
          ['a', 'b'],
        );
        await log.append([entry('c')]);
        assert.deepEqual(
          (await follower.read(2n, 10)).map(e => text(e.value)),
          ['c'],
        );
        assert.equal(await follower.endOffset(), 3n);
      } finally {
        await follower.close();
      }
    });

    withLog('waiting ends with the time or the signal', async (log, subject) => {
      const follower = subject.follow();
      try {
        for (const reader of [log, follower]) {
          assert.equal(await reader.waitFor(0n, 1), false);
          const abort = new AbortController();
          const waiting = reader.waitFor(0n, 60_000, abort.signal);
          abort.abort();
          assert.equal(await waiting, false);
        }
        await log.append([entry('a')]);
        assert.equal(await log.waitFor(0n, 0), true);
        assert.equal(await follower.waitFor(0n, 0), true);
      } finally {
        await follower.close();
      }
    });

    withLog('an entry beyond the size limit is refused and takes no offset', async log => {
      await assert.rejects(log.append([entry('a'), { key: bytes('k'), value: new Uint8Array(40 * 1024 * 1024) }]), {
        code: 'LOG_ENTRY_TOO_LARGE',
      });
      assert.equal(await log.append([entry('b')]), 0n);
    });

    withLog('a closed log takes nothing', async log => {
      await log.append([entry('a')]);
      await log.close();
      await assert.rejects(log.append([entry('b')]), { code: 'LOG_CLOSED' });
      await assert.rejects(log.read(0n, 1), { code: 'LOG_CLOSED' });
    });

    test('opened again it goes on where it ended', async () => {
      const subject = await create();
      try {
        for (let round = 0; round < 3; round++) {
          const log = await subject.open();
          assert.equal(await log.append([entry(`r${round}`), entry(`s${round}`)]), BigInt(round * 2));
          await log.close();
        }
        const log = await subject.open();
        assert.deepEqual(
          (await log.read(0n, 100)).map(e => text(e.value)),
          ['r0', 's0', 'r1', 's1', 'r2', 's2'],
        );
        await log.close();
      } finally {
        await subject.dispose();
      }
    });

    withLog('many small appends at once keep their order per caller, and every one is there once', async log => {
      const callers = Array.from({ length: 20 }, async (_, caller) => {
        for (let n = 0; n < 20; n++) await log.append([entry(`${n}`, `c${caller}`)]);
      });
      await Promise.all(callers);
      const next = new Map<string, number>();
      let from = 0n;
      for (;;) {
        const read = await log.read(from, 37);
        if (read.length === 0) break;
        for (const e of read) {
          assert.equal(e.offset, from++);
          const expected = next.get(text(e.key)) ?? 0;
          assert.equal(text(e.value), `${expected}`);
          next.set(text(e.key), expected + 1);
        }
      }
      assert.equal(next.size, 20);
      assert.ok([...next.values()].every(count => count === 20));
    });
  });
}
