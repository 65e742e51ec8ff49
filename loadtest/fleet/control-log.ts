/**
 * How long a control plane takes to start on a long control log: from the log, and from a snapshot. Every start is a process of its own,
 * from its launch to its ready line, with compiled code kept from the one before, as `sallyport` keeps it. `npm run -s bench:control-log [-- EVENTS]`; default 100000.
 *
 * The log is written directly, in the mixture of a busy installation: manifests that change, agents, approvals, tickets, checkpoints.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUIDv7 } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { create, toBinary } from '@bufbuild/protobuf';
import { agentAggregate } from '@sallyport/control-plane/aggregates/agent.ts';
import { checkpointAggregate } from '@sallyport/control-plane/aggregates/checkpoint.ts';
import { manifestAggregates } from '@sallyport/control-plane/aggregates/manifest.ts';
import { openFileLog } from '@sallyport/control-plane/log/file-log.ts';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { figure, median, table } from '../harness/figures.ts';
import { cpuSeconds, memoryBytes } from '../harness/processes.ts';

const rounds = 5;
const events = Number(process.argv[2] ?? 100_000);
if (!Number.isInteger(events) || events < 5_000 || events > 5_000_000)
  throw new Error('usage: control-log.ts [EVENTS], from 5000 to 5000000');
const root = path.join(import.meta.dirname, '..', '..');
const data = mkdtempSync(path.join(os.tmpdir(), 'sallyport-control-log-'));
const compiled = path.join(data, 'compiled');

async function start(): Promise<{ child: ChildProcess; tookMs: number; cpuS: number }> {
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [path.join(root, 'control-plane', 'main.ts'), '--data', data, '--http', '127.0.0.1:0', '--grpc', '127.0.0.1:0'],
    { env: { ...process.env, SALLYPORT_LOG_LEVEL: 'error', NODE_COMPILE_CACHE: compiled }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  for await (const line of createInterface({ input: child.stdout })) {
    const { error } = JSON.parse(line) as { error?: { message: string } };
    if (error !== undefined) throw new Error(error.message);
    child.stdout.resume();
    return { child, tookMs: performance.now() - began, cpuS: cpuSeconds(child.pid ?? 0) };
  }
  throw new Error('the control plane ended before it was ready');
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

/** Appends events of many streams, each at the version that its stream expects. */
async function fill(): Promise<void> {
  const log = await openFileLog({ dir: path.join(data, 'log', 'sallyport.control') });
  const versions = new Map<string, bigint>();
  const entry = (stream: string, type: string, payload: unknown) => {
    const expectedVersion = versions.get(stream) ?? 0n;
    versions.set(stream, expectedVersion + 1n);
    const message = create(ControlEventSchema, {
      ...{ eventId: randomUUIDv7(), stream, expectedVersion, type, schema: 1, payload: Buffer.from(JSON.stringify(payload)) },
      ...{ atUnixUs: BigInt(Date.now()) * 1000n, author: 'ann@example.com', reason: 'a change' },
    });
    return { key: Buffer.from(stream), value: toBinary(ControlEventSchema, message) };
  };
  let written = 0;
  let batch: ReturnType<typeof entry>[] = [];
  const add = async (...more: ReturnType<typeof entry>[]) => {
    batch.push(...more);
    written += more.length;
    if (batch.length < 500 && written < events) return;
    await log.append(batch);
    batch = [];
  };
  for (let round = 0; written < events; round++) {
    const name = `role-${round % 500}`;
    const spec = { members: { groups: [`g${round}`], serviceAccounts: [], principals: [] }, resources: {}, session: {} };
    await add(
      entry(`${manifestAggregates.Role.name}/${name}`, 'RoleApplied', { manifest: { kind: 'Role', name, labels: {}, spec }, secrets: {} }),
    );
    const agent = `${agentAggregate.name}/${randomBytes(16).toString('hex')}`;
    const invitation = { secretHash: 'h'.repeat(43), labels: { network: 'eu' }, everyResource: false, expiresAtMs: 1 };
    if (round % 10 === 0) await add(entry(agent, 'AgentInvited', invitation));
    const ledger = `ledger-${round % 2000}`;
    const checkpoint = { agentId: 'a', ledger, number: round, statement: 'c'.repeat(200), signature: 's'.repeat(88) };
    for (let n = 0; n < 4; n++)
      await add(
        entry(`${checkpointAggregate.name}/log`, 'CheckpointsLogged', {
          checkpoints: [{ ...checkpoint, number: round * 4 + n }],
          conflicts: [],
        }),
      );
    const ticket = { ticketId: randomUUIDv7(), principal: 'ann', resource: 'crm', expiresAtMs: Date.now() + 900_000 };
    await add(entry('administration/log', 'TicketIssued', ticket));
  }
  await log.close();
}

try {
  const empty = await start(); // Makes the keys.
  await stop(empty.child, 'SIGTERM');
  await fill();
  const snapshot = path.join(data, 'control-snapshot');
  rmSync(snapshot, { force: true });
  const fromLog: number[] = [];
  const fromSnapshot: number[] = [];
  const cpu = { log: [] as number[], snapshot: [] as number[] };
  let memory = 0;
  for (let round = 0; round < rounds; round++) {
    if (existsSync(snapshot)) renameSync(snapshot, `${snapshot}.aside`);
    const whole = await start();
    fromLog.push(whole.tookMs);
    cpu.log.push(whole.cpuS);
    memory = memoryBytes(whole.child.pid ?? 0).now;
    // A snapshot is written at the first start; the same one serves all rounds.
    await stop(whole.child, 'SIGTERM');
    const short = await start();
    fromSnapshot.push(short.tookMs);
    cpu.snapshot.push(short.cpuS);
    await stop(short.child, 'SIGKILL');
    console.error(
      `  round ${round + 1}/${rounds}: ${Math.round(whole.tookMs)} ms from the log, ${Math.round(short.tookMs)} ms from a snapshot (CPU ${whole.cpuS.toFixed(1)} and ${short.cpuS.toFixed(1)} s)`,
    );
  }
  const one = { bench: 'control-log', subject: 'sallyport' };
  const [log, short] = [median(fromLog) / 1000, median(fromSnapshot) / 1000];
  figure({ ...one, case: `start from a log of ${events} events`, value: log, unit: 's', target: 'under 10 s', met: log < 10 });
  figure({ ...one, case: `start from a snapshot of ${events} events`, value: short, unit: 's', target: 'under 2 s', met: short < 2 });
  figure({ ...one, case: 'CPU of a start with an empty log', value: empty.cpuS, unit: 's' });
  figure({ ...one, case: `CPU of a start from a log of ${events} events`, value: median(cpu.log), unit: 's' });
  figure({ ...one, case: `CPU of a start from a snapshot of ${events} events`, value: median(cpu.snapshot), unit: 's' });
  figure({ ...one, case: `size of the snapshot, ${events} events`, value: statSync(snapshot).size / 1024 / 1024, unit: 'MiB' });
  figure({ ...one, case: `memory of the control plane, ${events} events`, value: memory / 1024 / 1024, unit: 'MiB' });
  table();
} finally {
  rmSync(data, { recursive: true, force: true });
}
