/**
 * Runs the project's tests with Node's own runner: `node .ci/test.ts unit|system|extended [path-part…]`.
 *
 * unit: `x.test.ts` beside `x.ts`, pure and quick. system: `x.int.test.ts` with real servers and everything under e2e/; what
 * they need that npm does not bring is installed first by e2e/setup.sh, and a component that cannot be had fails the run.
 * extended: e2e/extended, against servers that take minutes to install.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A share of the unit tests takes seconds. One that takes so long waits for what will not come: not even its timers fire. */
const SHARE_MS_MAX = 5 * 60_000;

/** Of so many files a failure may be the machine's; of more it is not. */
const RUN_AGAIN_MAX = 3;
/** What failed here may have leaked, once in a thousand times: it counts. */
const FIRST_RESULT_COUNTS = ['e2e/evasion/', 'e2e/flow/', 'shared/shell/'];

const [suite, ...parts] = process.argv.slice(2);
if (suite !== 'unit' && suite !== 'system' && suite !== 'extended') {
  console.error('usage: node .ci/test.ts unit|system|extended [path-part…]');
  process.exit(2);
}
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts'], { encoding: 'utf8' })
  .split('\n')
  .filter(file => file && existsSync(file))
  .filter(file => suiteOf(file) === suite)
  .filter(file => parts.length === 0 || parts.some(part => file.includes(part)));
if (files.length === 0) {
  console.error(`no ${suite} test matches ${parts.join(' ')}`);
  process.exit(1);
}
if (suite !== 'unit') {
  const setup = spawnSync('bash', ['e2e/setup.sh'], { stdio: 'inherit' });
  if (setup.status !== 0) {
    console.error('the components that the system tests need could not be installed; see above');
    process.exit(1);
  }
}
const started = Date.now();
process.exitCode = suite === 'unit' ? await runUnit(files) : runSystem(files);
console.log(`${suite}: ${files.length} files in ${((Date.now() - started) / 1000).toFixed(1)} s`);

function suiteOf(file: string): 'unit' | 'system' | 'extended' {
  if (file.startsWith('e2e/extended/')) return 'extended';
  return file.endsWith('.int.test.ts') || file.startsWith('e2e/') ? 'system' : 'unit';
}

/**
 * Two files side by side: what the smallest machine has cores for. A test that hangs is ended, and counts as failed; what it leaves
 * open then does not keep its file from ending.
 *
 * Dozens of real servers share that machine, so a few files that failed are run once more, alone. One that passes then is named
 * at the end as unsteady, with its failure above: it is a defect of the test or a race of the product, and wants mending. One that
 * fails again, or many that fail, fail the run.
 */
function runSystem(files: string[]): number {
  const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-ci-'));
  const run = (some: string[], sideBySide: number): { status: number; failed: string[] } => {
    const list = path.join(scratch, 'failed');
    rmSync(list, { force: true });
    const args = ['--test', '--test-force-exit', `--test-concurrency=${sideBySide}`, '--test-timeout=900000'];
    args.push('--test-reporter=spec', '--test-reporter-destination=stdout');
    args.push('--test-reporter=./.ci/failed-files.ts', `--test-reporter-destination=${list}`);
    const { status } = spawnSync(process.execPath, [...args, ...some], { stdio: 'inherit' });
    const failed = readFileSync(list, 'utf8').split('\n').filter(Boolean);
    return { status: status ?? 1, failed: failed.map(file => path.relative(process.cwd(), file)) };
  };
  try {
    const { status, failed } = run(files, 2);
    // Who asks for one file wants to see it fail.
    if (status === 0 || failed.length === 0 || failed.length > RUN_AGAIN_MAX || files.length === failed.length) return status;
    if (failed.some(file => FIRST_RESULT_COUNTS.some(start => file.startsWith(start)))) return status;
    console.log(`failed, and run once more alone: ${failed.join(' ')}`);
    const again = run(failed, 1);
    for (const file of failed) console.log(again.failed.includes(file) ? `failed twice: ${file}` : `UNSTEADY, mend it: ${file}`);
    return again.status;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @returns null when it hung, and was ended; what it was at is said. */
async function runShare(share: string[]): Promise<{ text: string; counts: string; status: unknown } | null> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-ci-'));
  const progress = path.join(scratch, 'progress');
  const args = ['--test', '--test-isolation=none', '--test-timeout=60000'];
  args.push('--test-reporter=dot', '--test-reporter-destination=stdout');
  args.push('--test-reporter=./.ci/progress.ts', `--test-reporter-destination=${progress}`);
  args.push('--report-on-signal', '--report-signal=SIGUSR2', '--report-filename=report.json', `--report-directory=${scratch}`);
  const child = spawn(process.execPath, [...args, ...share], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  let hung = false;
  const watch = setTimeout(() => {
    hung = true;
    child.kill('SIGUSR2');
    setTimeout(() => child.kill('SIGKILL'), 5000);
  }, SHARE_MS_MAX);
  const [status] = (await once(child, 'close')) as unknown[];
  clearTimeout(watch);
  const lines = existsSync(progress) ? readFileSync(progress, 'utf8').split('\n') : [];
  if (hung) {
    console.error(`a share of the unit tests hung for ${SHARE_MS_MAX / 60_000} minutes and was ended: ${share.join(' ')}`);
    console.error(text.trim());
    console.error(`under way: ${openOf(lines).join('\n')}`);
    const report = path.join(scratch, 'report.json');
    if (existsSync(report)) {
      const { javascriptStack, libuv } = JSON.parse(readFileSync(report, 'utf8')) as Record<string, unknown>;
      console.error(JSON.stringify({ javascriptStack, libuv }, null, 1));
    } else console.error('it made no report: its main thread does not run');
  }
  rmSync(scratch, { recursive: true, force: true });
  return hung ? null : { text, counts: lines.filter(line => line.startsWith('#')).join('\n'), status };
}

/** What began and did not end. */
function openOf(lines: string[]): string[] {
  const open = new Map<string, number>();
  for (const line of lines) {
    const name = line.slice(2);
    if (line.startsWith('>')) open.set(name, (open.get(name) ?? 0) + 1);
    else if (line.startsWith('<')) open.set(name, (open.get(name) ?? 0) - 1);
  }
  return [...open].flatMap(([name, count]) => (count > 0 ? [name] : []));
}

/**
 * Unit tests are so short that a process for each file would cost more than the tests: a few processes share the files. More of
 * them than cores, because some tests wait. The largest files are dealt first, so that the shares are alike.
 */
async function runUnit(files: string[]): Promise<number> {
  const shares = Array.from({ length: Math.min(4, files.length) }, (): string[] => []);
  const dealt = files.toSorted((a, b) => statSync(b).size - statSync(a).size);
  for (const [i, file] of dealt.entries()) shares[i % shares.length]?.push(file);
  const totals = new Map<string, number>();
  const statuses = await Promise.all(
    shares.map(async share => {
      const { text, counts, status } = (await runShare(share)) ?? (await runShare(share)) ?? { text: '', counts: '', status: 1 };
      process.stdout.write(text.trim());
      for (const [, name = '', count] of counts.matchAll(/^# (\w+) (\d+)$/gm)) totals.set(name, (totals.get(name) ?? 0) + Number(count));
      // A share that was cut short has no counts: it must not look like one without failures.
      if (counts === '') console.error(`a share of the unit tests ended before its counts (status ${String(status)})`);
      return typeof status === 'number' && counts !== '' ? status : 1;
    }),
  );
  console.log();
  for (const [name, count] of totals) console.log(`# ${name} ${count}`);
  return Math.max(...statuses);
}
