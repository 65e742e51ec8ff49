/** Large results from a server that makes them without work, and memory while many are pulled and one reader stops. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import path from 'node:path';
import { alternate, figure, median } from '../harness/figures.ts';
import { memoryBytes, start } from '../harness/processes.ts';
import type { Bounds } from './pgbench.ts';
import type { Bench, Subject } from './subjects.ts';

const bench = 'postgres';
const program = (name: string) => path.join(import.meta.dirname, '..', 'harness', name);

/** A canned server of `megabytes` a query in front of the bench's PostgreSQL. */
export async function canned(on: Bench, megabytes: number, tls: boolean): Promise<number> {
  const psql = (...args: string[]) =>
    execFileSync('psql', ['-X', '-A', '-t', '-h', '127.0.0.1', '-p', String(on.postgres.port), '-U', 'app', '-d', 'app', ...args], {
      env: { ...process.env, PGPASSWORD: on.postgres.app.password },
      encoding: 'utf8',
    });
  psql('-c', 'create table if not exists bulk (id int, a text, b text, c text)');
  const [oid] = psql('-c', "select 'bulk'::regclass::oid").trim().split('\n');
  // The RowDescription that PostgreSQL would send for it.
  const field = (name: string, attnum: number, type: number, size: number) => {
    const bytes = Buffer.alloc(18);
    bytes.writeInt32BE(Number(oid), 0);
    bytes.writeInt16BE(attnum, 4);
    bytes.writeInt32BE(type, 6);
    bytes.writeInt16BE(size, 10);
    bytes.writeInt32BE(-1, 12);
    return Buffer.concat([Buffer.from(`${name}\0`), bytes]);
  };
  const body = Buffer.concat([
    Buffer.from([0, 4]),
    field('id', 1, 23, 4),
    field('a', 2, 25, -1),
    field('b', 3, 25, -1),
    field('c', 4, 25, -1),
  ]);
  const head = Buffer.alloc(5);
  head.write('T');
  head.writeInt32BE(body.length + 4, 1);
  const { key, certificate } = on.certificate();
  const child = start(process.execPath, [
    program('canned-server.ts'),
    String(on.postgres.port),
    Buffer.concat([head, body]).toString('hex'),
    String(megabytes),
    ...(tls ? [key, certificate] : []),
  ]);
  return Number(await firstLine(child));
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = '';
    let errors = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk;
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-4000);
    });
    child.once('exit', code => reject(new Error(`ended with ${code} before it said anything: ${errors}`)));
  });
}

const drain = (subject: Subject, stall = false): ChildProcess =>
  start(process.execPath, [
    program('drain-client.ts'),
    String(subject.port),
    subject.login.mode,
    subject.login.user,
    subject.login.password,
    'app',
    'select * from bulk',
    ...(stall ? ['stall'] : []),
  ]);

async function rate(subject: Subject): Promise<number> {
  const { bytes, seconds } = JSON.parse(await firstLine(drain(subject))) as { bytes: number; seconds: number };
  return bytes / 1e6 / seconds;
}

/** MB/s of one client; the peer is the second subject. */
export async function bulk(
  name: string,
  subjects: Subject[],
  peer: string,
  least: number | null,
  { rounds, wanted }: Bounds,
): Promise<void> {
  if (!wanted(name)) return;
  const values = await alternate(subjects, rounds, rate);
  const of = (subject: string) => median(values.get(subject) ?? []);
  for (const subject of values.keys()) {
    const ratio = of(subject) / of(peer);
    figure({
      bench,
      case: name,
      subject,
      value: of(subject),
      unit: 'MB/s',
      ratios: { [peer]: ratio },
      ...(subject === 'agent' && least !== null ? { target: `≥ ${least} × ${peer}`, met: ratio >= least } : {}),
    });
  }
}

/** 20 clients pull at once, then 19 pull beside one that has stopped reading: the agent's memory, and the others' rate. */
export async function memory(subject: Subject, { rounds, wanted }: Bounds): Promise<void> {
  if (!wanted('memory')) return;
  const pid = subject.pid ?? 0;
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, memoryBytes(pid).now);
  }, 50);
  const crowd = async (clients: number): Promise<number> => {
    const started = performance.now();
    const results = await Promise.all(
      Array.from({ length: clients }, async () => JSON.parse(await firstLine(drain(subject))) as { bytes: number }),
    );
    return results.reduce((sum, one) => sum + one.bytes, 0) / 1e3 / (performance.now() - started);
  };
  const values = await alternate([{ name: 'all-read' }, { name: 'one-stopped' }], rounds, async ({ name }) => {
    const stopped = name === 'one-stopped' ? drain(subject, true) : undefined;
    if (stopped) await new Promise(resolve => setTimeout(resolve, 1500));
    const value = await crowd(19);
    stopped?.kill('SIGKILL');
    return value;
  });
  clearInterval(watch);
  figure({
    bench,
    case: 'memory-20-clients',
    subject: 'agent',
    value: most / 2 ** 20,
    unit: 'MiB',
    target: '< 256 MiB',
    met: most < 256 * 2 ** 20,
  });
  const ratio = median(values.get('one-stopped') ?? []) / median(values.get('all-read') ?? []);
  figure({
    bench,
    case: 'rate-beside-a-stopped-reader',
    subject: 'agent',
    value: median(values.get('one-stopped') ?? []),
    unit: 'MB/s',
    ratios: { 'all-read': ratio },
    target: '≥ 0.9 × all-read',
    met: ratio >= 0.9,
  });
}
