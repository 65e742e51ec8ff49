/** Short queries by pgbench: throughput and CPU at 16 clients, latency at one, and new connections. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { alternate, figure, median } from '../harness/figures.ts';
import { cpuSeconds } from '../harness/processes.ts';
import type { Bench, Subject } from './subjects.ts';

const run = promisify(execFile);
const bench = 'postgres';

export interface Bounds {
  rounds: number;
  seconds: number;
  wanted: (name: string) => boolean;
}

async function pgbench(subject: Subject, ...args: string[]): Promise<string> {
  const { stdout } = await run('pgbench', ['-n', '-S', '-h', '127.0.0.1', '-p', String(subject.port), '-U', 'app', ...args, 'app'], {
    env: { ...process.env, ...subject.env },
    maxBuffer: 1 << 24,
  });
  return stdout;
}
const number = (text: string, pattern: RegExp): number => {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`pgbench printed nothing like ${pattern}:\n${text}`);
  return Number(found);
};
const tps = (text: string) => number(text, /^tps = ([\d.]+)/m);
const latencyMs = (text: string) => number(text, /^latency average = ([\d.]+) ms/m);
const transactions = (text: string) => number(text, /^number of transactions actually processed: (\d+)/m);

/** Makes pgbench's tables in the database of the bench. */
export async function prepare(on: Bench): Promise<void> {
  await run('pgbench', ['-i', '-q', '-s', '10', '-h', '127.0.0.1', '-p', String(on.postgres.port), '-U', 'app', 'app'], {
    env: { ...process.env, PGPASSWORD: on.postgres.app.password },
  });
}

export async function throughput(subjects: Subject[], mode: 'prepared' | 'simple', { rounds, seconds, wanted }: Bounds): Promise<void> {
  const name = `select-${mode}-16`;
  if (!wanted(name)) return;
  const cpu = new Map<string, number[]>();
  const values = await alternate(subjects, rounds, async subject => {
    const before = subject.pid ? cpuSeconds(subject.pid) : 0;
    const text = await pgbench(subject, '-M', mode, '-c', '16', '-j', '2', '-T', String(seconds));
    if (subject.pid)
      cpu.set(subject.name, [...(cpu.get(subject.name) ?? []), ((cpuSeconds(subject.pid) - before) * 1e6) / transactions(text)]);
    return tps(text);
  });
  const of = (subject: string) => median(values.get(subject) ?? []);
  const least = mode === 'prepared' ? 0.7 : 0.6;
  for (const subject of values.keys()) {
    const ratio = of(subject) / of('pgbouncer-tls');
    figure({
      bench,
      case: name,
      subject,
      value: of(subject),
      unit: 'tps',
      ratios: { direct: of(subject) / of('direct'), 'pgbouncer-tls': ratio },
      ...(subject === 'agent' ? { target: `≥ ${least} × pgbouncer-tls`, met: ratio >= least } : {}),
    });
  }
  const cost = (subject: string) => median(cpu.get(subject) ?? []);
  for (const subject of cpu.keys()) {
    const ratio = cost(subject) / cost('pgbouncer-tls');
    figure({
      bench,
      case: `${name}-cpu`,
      subject,
      value: cost(subject),
      unit: 'µs/command',
      ratios: { 'pgbouncer-tls': ratio },
      ...(subject === 'agent' ? { target: '≤ 2.5 × pgbouncer-tls', met: ratio <= 2.5 } : {}),
    });
  }
}

export async function latency(subjects: Subject[], mode: 'prepared' | 'simple', { rounds, seconds, wanted }: Bounds): Promise<void> {
  const name = `latency-${mode}-1`;
  if (!wanted(name)) return;
  const values = await alternate(
    subjects,
    rounds,
    async subject => latencyMs(await pgbench(subject, '-M', mode, '-c', '1', '-T', String(seconds))) * 1000,
  );
  const of = (subject: string) => median(values.get(subject) ?? []);
  for (const subject of values.keys()) {
    if (subject === 'direct') continue;
    const ratio = (of(subject) - of('direct')) / (of('pgbouncer-tls') - of('direct'));
    figure({
      bench,
      case: name,
      subject,
      value: of(subject) - of('direct'),
      unit: 'µs added',
      ratios: { 'pgbouncer-tls': ratio },
      ...(subject === 'agent' ? { target: '≤ 1.7 × pgbouncer-tls', met: ratio <= 1.7 } : {}),
    });
  }
}

export async function connections(subjects: Subject[], clients: number, { rounds, seconds, wanted }: Bounds): Promise<void> {
  const name = `connect-${clients}`;
  if (!wanted(name)) return;
  const values = await alternate(subjects, rounds, async subject =>
    tps(await pgbench(subject, '-C', '-c', String(clients), '-j', String(Math.min(2, clients)), '-T', String(seconds))),
  );
  const of = (subject: string) => median(values.get(subject) ?? []);
  for (const subject of values.keys()) {
    const ratio = of(subject) / of('direct-tls');
    figure({
      bench,
      case: name,
      subject,
      value: of(subject),
      unit: 'connections/s',
      ratios: { 'direct-tls': ratio },
      ...(subject === 'agent' ? { target: '≥ 0.6 × direct-tls', met: ratio >= 0.6 } : {}),
    });
  }
}
