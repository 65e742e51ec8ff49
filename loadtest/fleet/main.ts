/**
 * What a fleet costs one control plane: memory for each connected agent, how long a change of policy takes to the last agent, and how
 * long all take to come back after a kill -9. `npm run -s bench:fleet [-- AGENTS,AGENTS,…]`; default 100,1000,5000.
 *
 * Server and simulated agents share the machine: times include the agents' own TLS and parsing, which a fleet does on its own machines.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { controlPlaneServerName } from '@sallyport/control-plane/pki/authority.ts';
import { figure, median, table } from '../harness/figures.ts';
import { cpuSeconds, memoryBytes } from '../harness/processes.ts';
import type { Order, Report } from './simulated-agents.ts';

const rounds = 5;
const mebi = 1024 * 1024;

interface Plane {
  process: ChildProcess;
  http: string;
  grpc: string;
  adminToken: string;
  readyAtMs: number;
}

const root = path.join(import.meta.dirname, '..', '..');

async function startPlane(data: string, http: string, grpc: string): Promise<Plane> {
  const child = spawn(process.execPath, [path.join(root, 'control-plane', 'main.ts'), '--data', data, '--http', http, '--grpc', grpc], {
    env: { ...process.env, SALLYPORT_LOG_LEVEL: 'fatal', BENCH_PASSWORD: 'p' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { http: string; grpc: string; adminToken: string; error?: { message: string } };
    if (said.error !== undefined) throw new Error(said.error.message);
    child.stdout.resume();
    return { process: child, http: said.http, grpc: said.grpc, adminToken: said.adminToken, readyAtMs: Date.now() };
  }
  throw new Error('the control plane ended before it was ready');
}

async function api(plane: Plane, route: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(plane.http + route, {
    method: 'POST',
    headers: { authorization: `Bearer ${plane.adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${route}: ${JSON.stringify(answer)}`);
  return answer;
}

const role = (limit: number) => `kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: {}, budget: { rows: ${limit}, per: 24h } }
`;
const base = `kind: Credential
metadata: { name: app }
spec: { username: app, password: { env: BENCH_PASSWORD } }
---
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: app }
---
`;

function told<Kind extends Report['report']>(agents: ChildProcess, kind: Kind): Promise<Extract<Report, { report: Kind }>> {
  return new Promise((resolve, reject) => {
    const take = (report: Report) => {
      if (report.report !== kind) return;
      agents.off('message', take);
      resolve(report as Extract<Report, { report: Kind }>);
    };
    agents.on('message', take);
    agents.once('exit', code => reject(new Error(`the simulated agents ended with ${code}`)));
  });
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

async function measure(count: number): Promise<void> {
  const data = mkdtempSync(path.join(os.tmpdir(), 'sallyport-fleet-'));
  let plane = await startPlane(data, '127.0.0.1:0', '127.0.0.1:0');
  const agents = fork(path.join(import.meta.dirname, 'simulated-agents.ts'));
  const order = (what: Order) => agents.send(what);
  const one = { bench: 'fleet', subject: 'sallyport' };
  try {
    await api(plane, '/v1/apply', { manifests: [{ file: path.join(data, 'm.yaml'), text: base + role(1000) }] });
    const tokens: string[] = [];
    let invited = 0;
    const invite = async () => {
      while (invited++ < count)
        tokens.push(String((await api(plane, '/v1/agents/invitations', { everyResource: true, expiresInSeconds: 86_400 })).token));
    };
    await Promise.all(Array.from({ length: 16 }, invite));
    const joined = told(agents, 'joined');
    order({ order: 'join', grpc: plane.grpc, serverName: controlPlaneServerName, tokens });
    await joined;
    console.error(`  ${count} agents have joined`);
    const pid = () => plane.process.pid ?? 0;
    // What the joins left behind is not what connected agents cost.
    await ended(plane.process, 'SIGTERM');
    plane = await startPlane(data, new URL(plane.http).host, plane.grpc);
    const before = memoryBytes(pid()).now;
    const connected = told(agents, 'connected');
    order({ order: 'connect' });
    await connected;
    await new Promise(resolve => setTimeout(resolve, 3000));
    const { now } = memoryBytes(pid());
    figure({
      ...one,
      case: `memory of the control plane, ${count} agents`,
      value: now / mebi,
      unit: 'MiB',
      ...(count === 5000 ? { target: 'at most 1024 MiB', met: now <= 1024 * mebi } : {}),
    });
    figure({ ...one, case: `memory for each agent, ${count} agents`, value: Math.max(0, now - before) / count / 1024, unit: 'KiB' });

    const p99: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const leases = told(agents, 'leases');
      order({ order: 'awaitLeases' });
      await new Promise(resolve => setTimeout(resolve, 500));
      const cpuBefore = cpuSeconds(pid());
      const startedAtMs = Date.now();
      await api(plane, '/v1/apply', { manifests: [{ file: path.join(data, 'm.yaml'), text: role(2000 + round) }] });
      const { atMs } = await leases;
      p99.push(
        quantile(
          atMs.map(at => at - startedAtMs),
          0.99,
        ),
      );
      cpu.push(((cpuSeconds(pid()) - cpuBefore) / count) * 1e6);
      console.error(`  round ${round + 1}/${rounds}: ${p99.at(-1)} ms`);
    }
    const change = median(p99);
    figure({
      ...one,
      case: `policy change to an agent, p99, ${count} agents`,
      value: change,
      unit: 'ms',
      target: 'under 2000 ms',
      met: change < 2000,
    });
    figure({ ...one, case: `CPU of a policy change for each agent, ${count} agents`, value: median(cpu), unit: 'µs' });

    const returned = told(agents, 'returned');
    order({ order: 'awaitReturn' });
    await new Promise(resolve => setTimeout(resolve, 200));
    const { http, grpc } = plane;
    await ended(plane.process, 'SIGKILL');
    plane = await startPlane(data, new URL(http).host, grpc);
    const cpuBefore = cpuSeconds(pid());
    const { atMs } = await returned;
    const tookMs = Math.max(...atMs) - plane.readyAtMs;
    figure({
      ...one,
      case: `all agents back after a kill -9, ${count} agents`,
      value: tookMs / 1000,
      unit: 's',
      target: 'within 60 s',
      met: tookMs <= 60_000,
    });
    figure({
      ...one,
      case: `CPU of a reconnect for each agent, ${count} agents`,
      value: ((cpuSeconds(pid()) - cpuBefore) / count) * 1e6,
      unit: 'µs',
    });
  } finally {
    agents.removeAllListeners('exit');
    agents.send({ order: 'stop' } satisfies Order);
    await ended(plane.process, 'SIGTERM');
    rmSync(data, { recursive: true, force: true });
  }
}

const sizes = (process.argv[2] ?? '100,1000,5000').split(',').map(Number);
if (!sizes.every(size => Number.isInteger(size) && size > 0 && size <= 20_000))
  throw new Error('usage: main.ts [AGENTS,AGENTS,…], each from 1 to 20000');
for (const size of sizes) await measure(size);
table();
