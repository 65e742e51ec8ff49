/**
 * SSH through an agent against OpenSSH directly, on this machine: bulk output by cipher, with bytes counted, with digests, and with
 * detectors and full recording; `ssh host true`; the echo of a key in a shell; memory of idle and of busy sessions. Subjects
 * alternate; medians.
 *
 *     node loadtest/ssh.ts [--rounds N] [--megabytes N] [--keys N] [--sessions N] [--busy N] [--only bulk|command|keys|memory]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Bastion, startBastion } from '../e2e/components/bastion.ts';
import { runProgram } from '../e2e/components/ssh-client.ts';
import { PROMPT, Terminal } from '../e2e/components/terminal.ts';
import { alternate, figure, median, table } from './harness/figures.ts';
import { memoryBytes } from './harness/processes.ts';

const { values: asked } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    megabytes: { type: 'string', default: '128' },
    keys: { type: 'string', default: '300' },
    sessions: { type: 'string', default: '500' },
    busy: { type: 'string', default: '50' },
    only: { type: 'string' },
  },
});
const [rounds, megabytes, keys, sessions, busy] = [asked.rounds, asked.megabytes, asked.keys, asked.sessions, asked.busy].map(Number) as [
  number,
  number,
  number,
  number,
  number,
];

interface Subject {
  name: string;
  args: string[];
}

const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-bench-ssh-'));
const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
const quiet = [
  '-F',
  '/dev/null',
  '-o',
  'StrictHostKeyChecking=no',
  '-o',
  'UserKnownHostsFile=/dev/null',
  '-o',
  'LogLevel=ERROR',
  '-o',
  'IdentitiesOnly=yes',
  '-o',
  'IdentityAgent=none',
  '-o',
  'BatchMode=yes',
];
const children: ChildProcess[] = [];

/** By resource: bytes counted; digests and heads of what comes back, as by default; detectors and full recording. */
const NAMES = { 'web-counted': 'sallyport', web: 'sallyport-head', 'web-full': 'sallyport-full' } as const;

async function subjectsOf(bastion: Bastion): Promise<{ direct: Subject; counted: Subject; agent: Subject; full: Subject }> {
  const through = async (resource: keyof typeof NAMES): Promise<Subject> => {
    const key = path.join(dir, resource);
    const made = await runProgram(process.execPath, [cli, 'ssh', 'cert', resource, '--data', bastion.gateway.data, '--key', key], {
      env: { SALLYPORT_TOKEN: await bastion.token() },
    });
    if (made.code !== 0) throw new Error(made.stderr);
    const { host, port } = bastion.gateway.address(resource);
    return {
      name: NAMES[resource],
      args: [...quiet, '-i', key, '-p', String(port), '-l', resource, host],
    };
  };
  const { sshd } = bastion;
  return {
    direct: { name: 'openssh', args: [...quiet, '-i', sshd.userKey, '-p', String(sshd.port), '-l', sshd.account, sshd.host] },
    counted: await through('web-counted'),
    agent: await through('web'),
    full: await through('web-full'),
  };
}

/** Seconds of one run. */
function timed(args: readonly string[]): Promise<number> {
  const begun = performance.now();
  const child = spawn('ssh', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => (code === 0 ? resolve((performance.now() - begun) / 1000) : reject(new Error(`ssh ended with ${code}`))));
  });
}

async function bulk({ direct, counted, agent, full }: Awaited<ReturnType<typeof subjectsOf>>): Promise<void> {
  const targets: Record<string, number> = { 'aes128-gcm@openssh.com': 0.6, 'chacha20-poly1305@openssh.com': 0.85 };
  for (const [cipher, target] of Object.entries(targets)) {
    const subjects = cipher.startsWith('aes') ? [direct, counted, agent, full] : [direct, counted, agent];
    const values = await alternate(subjects, rounds, async ({ args }) => {
      const seconds = await timed(['-c', cipher, ...args, `head -c ${megabytes}M /dev/zero`]);
      return (megabytes * 1.048576) / seconds;
    });
    const of = (name: string) => median(values.get(name) ?? []);
    for (const { name } of subjects) {
      const ratio = of(name) / of('openssh');
      const wanted = name === NAMES['web-counted'] ? target : name === NAMES['web-full'] ? 0.35 : null;
      figure({
        ...{ bench: 'ssh', case: `bulk ${cipher}`, subject: name, value: of(name), unit: 'MB/s' },
        ...(name === 'openssh' ? {} : { ratios: { openssh: ratio } }),
        ...(wanted === null ? {} : { target: `at least ${wanted} × openssh`, met: ratio >= wanted }),
      });
    }
  }
}

async function oneCommand({ direct, agent }: Awaited<ReturnType<typeof subjectsOf>>): Promise<void> {
  const values = await alternate([direct, agent], rounds * 2, async ({ args }) => 1000 * (await timed([...args, 'true'])));
  const added = median(values.get(agent.name) ?? []) - median(values.get('openssh') ?? []);
  figure({ bench: 'ssh', case: 'ssh host true', subject: 'openssh', value: median(values.get('openssh') ?? []), unit: 'ms' });
  figure({
    ...{ bench: 'ssh', case: 'ssh host true', subject: agent.name, value: median(values.get(agent.name) ?? []), unit: 'ms' },
    ...{ ratios: { 'openssh + ms': added }, target: 'at most 60 ms added', met: added <= 60 },
  });
}

/** Milliseconds from each key to its echo, in a shell. */
async function echoes(args: readonly string[]): Promise<number[]> {
  const terminal = new Terminal(['ssh', '-tt', ...args], { columns: 200 });
  const result: number[] = [];
  try {
    await terminal.until(PROMPT);
    for (let i = 0; i < keys; i++) {
      const from = terminal.output.length;
      const begun = performance.now();
      // Now and then a key that takes one back, and one that empties the line: there the shell draws its prompt again, which is output and
      // no echo.
      const key = i % 100 === 99 ? '\u0015' : i % 10 === 9 ? '\u007f' : 'x';
      terminal.type(key);
      while (terminal.output.length === from) await new Promise(resolve => setImmediate(resolve));
      if (key !== '\u0015') result.push(performance.now() - begun);
      await new Promise(resolve => setTimeout(resolve, 5));
    }
  } finally {
    terminal.stop();
  }
  return result;
}

async function keystrokes({ direct, agent, full }: Awaited<ReturnType<typeof subjectsOf>>): Promise<void> {
  const values = new Map<string, number[]>();
  for (const subject of [direct, agent, full, direct, agent, full])
    values.set(subject.name, [...(values.get(subject.name) ?? []), ...(await echoes(subject.args))]);
  const percentile = (name: string, p: number) =>
    (values.get(name) ?? []).toSorted((a, b) => a - b)[Math.floor((values.get(name)?.length ?? 0) * p)] ?? Number.NaN;
  for (const p of [0.5, 0.99])
    for (const name of values.keys()) {
      const added = percentile(name, p) - percentile('openssh', p);
      figure({
        ...{ bench: 'ssh', case: `echo of a key, p${p * 100}`, subject: name, value: percentile(name, p), unit: 'ms' },
        ...(name === 'openssh' || p === 0.5 ? {} : { ratios: { 'openssh + ms': added }, target: 'less than 3 ms added', met: added < 3 }),
      });
    }
}

/** Memory of sessions that wait, and of some more that write without pause, at a terminal's pace. */
async function memory(bastion: Bastion, { agent }: Awaited<ReturnType<typeof subjectsOf>>): Promise<void> {
  const pid = bastion.gateway.endpoints().pids['agent'] ?? 0;
  const open = async (command: string) => {
    const child = spawn('ssh', [...agent.args, command], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('close', code => reject(new Error(`ssh ended with ${code}`)));
    });
    child.stdout.resume();
  };
  const grown = async (count: number, command: string): Promise<number> => {
    const before = memoryBytes(pid).now;
    for (let opened = 0; opened < count; opened += 10)
      await Promise.all(Array.from({ length: Math.min(10, count - opened) }, () => open(command)));
    await new Promise(resolve => setTimeout(resolve, 5000));
    return (memoryBytes(pid).now - before) / count / 2 ** 20;
  };
  const each = await grown(sessions, 'echo here; sleep 600');
  figure({
    ...{ bench: 'ssh', case: `memory of ${sessions} idle sessions`, subject: agent.name, value: each, unit: 'MiB a session' },
    ...{ target: 'at most 1.5 MiB', met: each <= 1.5 },
  });
  const working = await grown(busy, 'for i in $(seq 600); do seq 1000; sleep 0.1; done');
  figure({
    ...{ bench: 'ssh', case: `memory of ${busy} busy sessions beside ${sessions} idle ones`, subject: agent.name },
    ...{ value: working, unit: 'MiB a session' },
  });
}

const bastion = await startBastion({
  extra: `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: web-full }
spec: { protocol: ssh, upstream: { address: "$ADDRESS", hostKeys: $HOSTKEYS }, credential: web-account }
---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: web-counted }
spec: { protocol: ssh, upstream: { address: "$ADDRESS", hostKeys: $HOSTKEYS }, credential: web-account }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: more }
spec: { members: { groups: [operators] }, resources: { names: [web-full, web-counted] } }
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: counted }
spec: { resources: { names: [web-counted] }, durability: strict, responses: none }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: full }
spec: { resources: { names: [web-full] }, detectors: [secrets, email, payment-card] }
---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: full }
spec: { resources: { names: [web-full] }, durability: strict, responses: full }
`,
});
try {
  const subjects = await subjectsOf(bastion);
  const parts: Record<string, () => Promise<void>> = {
    bulk: () => bulk(subjects),
    command: () => oneCommand(subjects),
    keys: () => keystrokes(subjects),
    memory: () => memory(bastion, subjects),
  };
  for (const [name, run] of Object.entries(parts)) if (asked.only === undefined || asked.only === name) await run();
  table();
} finally {
  for (const child of children) child.kill('SIGKILL');
  await bastion.stop();
  rmSync(dir, { recursive: true, force: true });
}
