/**
 * How fast the detectors are on mixed text, beside ripgrep with the same patterns; one core each.
 *
 *   npm run -s bench:detectors
 *
 * 200 MB of logs, JSON, rows, prose, code and base64 (mixed-text.ts). Sallyport runs every built-in detector, with its checks, over
 * windows of 64 KiB and once more over every line as a value of its own; ripgrep counts the lines that match any of the patterns in
 * detector-patterns.ts, which are the detectors' forms without their checks; gitleaks runs its own rules, on a part of the text because
 * it takes long, and is built with Go when that is there. RE2.Set is added when the package `re2` can be loaded. Each value is MB/s,
 * the median of five rounds.
 */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { compileDetectors } from '@sallyport/shared/detectors/engine.ts';
import { DETECTOR_NAMES } from '@sallyport/shared/detectors/names.ts';
import { errorText } from '@sallyport/shared/errors.ts';
import { PATTERNS } from './detector-patterns.ts';
import { alternate, figure, median, table } from './harness/figures.ts';
import { mixedText } from './mixed-text.ts';

const run = promisify(execFile);
const ROUNDS = 5;
const BYTES = 200_000_000;
const UNIQUE_BYTES = 20_000_000;
const GITLEAKS_BYTES = 4_000_000;
const WINDOW = 65_536;
const TARGET = 250;

/** ripgrep's program; installed with the system's package manager when it is missing. */
async function ripgrep(): Promise<string | undefined> {
  try {
    await run('rg', ['--version']);
    return 'rg';
  } catch {
    console.error('ripgrep is missing, installing it');
  }
  try {
    await run('apt-get', ['install', '-y', 'ripgrep']);
    return 'rg';
  } catch (error) {
    console.error(`ripgrep cannot be installed (${errorText(error)}); it is left out`);
    return undefined;
  }
}

const GITLEAKS = 'github.com/zricethezav/gitleaks/v8@v8.30.1';

/** gitleaks' program; built once into a folder that is kept. */
async function gitleaks(): Promise<string | undefined> {
  const bin = path.join(tmpdir(), 'sallyport-bench-bin');
  const program = path.join(bin, 'gitleaks');
  try {
    await access(program);
    return program;
  } catch {
    console.error('building gitleaks; this takes minutes the first time');
  }
  try {
    await run('go', ['install', GITLEAKS], { env: { ...process.env, GOBIN: bin }, timeout: 900_000 });
    return program;
  } catch (error) {
    console.error(`gitleaks is left out: ${errorText(error).split('\n')[0]}`);
    return undefined;
  }
}

interface Re2Set {
  test(text: Buffer): boolean;
}

async function re2Set(): Promise<Re2Set | undefined> {
  try {
    const name = 're2';
    const loaded = (await import(name)) as { default: { Set: new (patterns: readonly string[]) => Re2Set } };
    return new loaded.default.Set(PATTERNS);
  } catch (error) {
    console.error(`RE2.Set is left out: ${errorText(error).split('\n')[0]}`);
    return undefined;
  }
}

interface Subject {
  name: string;
  /** One pass over the text; returns milliseconds. */
  pass(): Promise<number> | number;
  /** Bytes of the text that a pass reads; all when left out. */
  bytes?: number;
}

const part = mixedText(UNIQUE_BYTES, 1);
const text = Buffer.alloc(BYTES);
for (let at = 0; at < BYTES; at += part.length) part.copy(text, at, 0, Math.min(part.length, BYTES - at));
const lineEnds: number[] = [];
for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) lineEnds.push(at);

const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-detectors-'));
try {
  const textFile = path.join(folder, 'mixed.txt');
  const patternFile = path.join(folder, 'patterns');
  await writeFile(textFile, text);
  await writeFile(patternFile, `${PATTERNS.join('\n')}\n`);
  const set = compileDetectors(['all']);
  const timed = (pass: () => void): number => {
    const start = performance.now();
    pass();
    return performance.now() - start;
  };
  const windows = (): number =>
    timed(() => {
      for (let at = 0; at < text.length; at += WINDOW) set.scan(text, at, Math.min(at + WINDOW, text.length));
    });
  const lines = (): number =>
    timed(() => {
      let start = 0;
      for (const end of lineEnds) {
        set.scan(text, start, end);
        start = end + 1;
      }
    });
  const subjects: Subject[] = [
    { name: 'sallyport', pass: windows },
    { name: 'sallyport, a value per line', pass: lines },
  ];
  const rg = await ripgrep();
  if (rg !== undefined) {
    subjects.push({
      name: 'ripgrep',
      pass: async () => {
        const start = performance.now();
        await run(rg, ['-j1', '--no-config', '--no-unicode', '-c', '-f', patternFile, textFile]);
        return performance.now() - start;
      },
    });
  }
  const leaks = await gitleaks();
  if (leaks !== undefined) {
    const file = path.join(folder, 'part.txt');
    const report = path.join(folder, 'report.json');
    await writeFile(file, text.subarray(0, GITLEAKS_BYTES));
    subjects.push({
      name: 'gitleaks',
      bytes: GITLEAKS_BYTES,
      pass: async () => {
        const start = performance.now();
        await run(leaks, ['dir', file, '--no-banner', '--exit-code', '0', '-r', report], { env: { ...process.env, GOMAXPROCS: '1' } });
        return performance.now() - start;
      },
    });
  }
  const re2 = await re2Set();
  if (re2 !== undefined) {
    subjects.push({
      name: 'RE2.Set',
      pass: () =>
        timed(() => {
          let start = 0;
          for (const end of lineEnds) {
            re2.test(text.subarray(start, end));
            start = end + 1;
          }
        }),
    });
  }
  console.error(
    `${BYTES / 1e6} MB, ${lineEnds.length} lines, ${DETECTOR_NAMES.length} detectors, ${PATTERNS.length} patterns for the peers`,
  );
  // The first pass compiles.
  set.scan(part, 0, part.length);
  const values = await alternate(subjects, ROUNDS, async subject => (subject.bytes ?? BYTES) / 1e3 / (await subject.pass()));
  const medians = new Map([...values].map(([name, rounds]) => [name, median(rounds)]));
  for (const [name, value] of medians) {
    const own = name.startsWith('sallyport');
    const ratios = Object.fromEntries(
      [...medians].filter(([peer]) => own && !peer.startsWith('sallyport')).map(([peer, other]) => [peer, value / other]),
    );
    figure({
      bench: 'detectors',
      case: 'mixed text, 200 MB, one core',
      subject: name,
      value,
      unit: 'MB/s',
      ratios,
      ...(name === 'sallyport' ? { target: `at least ${TARGET} MB/s`, met: value >= TARGET } : {}),
    });
  }

  const small = Buffer.from('Jane Roe, 12');
  const scans = 2_000_000;
  const perScan = timed(() => {
    for (let i = 0; i < scans; i++) set.scan(small, 0, small.length);
  });
  figure({ bench: 'detectors', case: 'one value of 12 bytes', subject: 'sallyport', value: (perScan * 1e6) / scans, unit: 'ns' });
  table();
} finally {
  await rm(folder, { recursive: true, force: true });
}
