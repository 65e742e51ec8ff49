/**
 * The spool alone: 300-byte records of 64 producers that each wait until theirs is on disk, and how long one producer waits, against one
 * raw O_DSYNC write of the same disk. Subjects alternate.
 */
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSpool, type Spool } from '@sallyport/agent/spool/spool.ts';
import { alternate, figure, median } from '../harness/figures.ts';

const RECORD = Buffer.alloc(300, 'r');
const ROUND_MS = 1500;
const PRODUCERS = 64;
const RECORDS_PER_SECOND = 250_000;
const WAIT_RATIO = 1.3;

/** @returns records per second, and the median wait in milliseconds. */
async function produce(spool: Spool, producers: number): Promise<{ rate: number; waitMs: number }> {
  const waits: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + ROUND_MS;
  let records = 0;
  await Promise.all(
    Array.from({ length: producers }, async () => {
      for (let now = performance.now(); now < endMs; ) {
        await spool.durable(spool.append(RECORD));
        const then = now;
        now = performance.now();
        records++;
        if (records % 16 === 0 || producers === 1) waits.push(now - then);
      }
    }),
  );
  spool.shipped(spool.nextIndex);
  return { rate: records / ((performance.now() - startedMs) / 1000), waitMs: median(waits) };
}

/** Median of one write of a page to a preallocated file that is opened with O_DSYNC, milliseconds. */
async function rawSync(dir: string): Promise<number> {
  const page = Buffer.alloc(4096, 'r');
  const file = await open(path.join(dir, 'raw'), constants.O_CREAT | constants.O_RDWR | constants.O_DSYNC, 0o600);
  const size = 16 * 1024 * 1024;
  await file.write(Buffer.alloc(size), 0, size, 0);
  const waits: number[] = [];
  const endMs = performance.now() + ROUND_MS;
  for (let at = 0; performance.now() < endMs; at = (at + page.length) % size) {
    const then = performance.now();
    await file.write(page, 0, page.length, at);
    waits.push(performance.now() - then);
  }
  await file.close();
  return median(waits);
}

export async function run({ rounds }: { rounds: number }): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-spool-'));
  try {
    const spool = await openSpool({ dir: path.join(dir, 'spool'), bytesMax: 512 * 1024 * 1024 });
    const rates: number[] = [];
    const values = await alternate([{ name: 'raw' }, { name: 'one' }, { name: 'many' }], rounds, async ({ name }) => {
      if (name === 'raw') return rawSync(dir);
      const { rate, waitMs } = await produce(spool, name === 'one' ? 1 : PRODUCERS);
      if (name === 'many') rates.push(rate);
      return waitMs;
    });
    await spool.close();
    const of = (name: string) => median(values.get(name) ?? []);
    const rate = median(rates);
    figure({
      bench: 'evidence',
      case: 'spool, 64 producers that wait for the disk',
      subject: 'sallyport',
      value: rate,
      unit: 'records/s',
      target: `at least ${RECORDS_PER_SECOND} on a quiet disk`,
      met: rate >= RECORDS_PER_SECOND,
    });
    figure({ bench: 'evidence', case: 'one raw O_DSYNC write', subject: 'disk', value: of('raw'), unit: 'ms p50' });
    for (const [name, words] of [
      ['one', '1 producer'],
      ['many', '64 producers'],
    ] as const) {
      const ratio = of(name) / of('raw');
      figure({
        bench: 'evidence',
        case: `spool, wait of ${words}`,
        subject: 'sallyport',
        value: of(name),
        unit: 'ms p50',
        ratios: { disk: ratio },
        ...(name === 'one' ? { target: `at most ${WAIT_RATIO} × one raw sync`, met: ratio <= WAIT_RATIO } : {}),
      });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
