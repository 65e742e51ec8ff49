/**
 * One worker thread of the agent's data path: listeners, sessions, and a spool of its own. It speaks worker-messages.ts with the
 * main thread and nothing else: no control stream, no fetching of keys, no shipping.
 *
 * A fault that nobody caught ends the worker: the host starts another one, whose spool closes the sessions in the evidence.
 */
import { createPrivateKey } from 'node:crypto';
import { promisify } from 'node:util';
import { parentPort, workerData } from 'node:worker_threads';
import { gzip } from 'node:zlib';
import { signEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { errorText, GatewayError, unreachable } from '@sallyport/shared/errors.ts';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import { loadParser } from '@sallyport/shared/sql/parser.ts';
import { CheckpointClock } from './evidence/checkpoint-clock.ts';
import { Ledger } from './evidence/ledger.ts';
import { nowUnixUs } from './session/clock.ts';
import { Gateway } from './session/gateway.ts';
import { LeaseState, type ResourceState } from './session/lease-state.ts';
import { Listener, splitHostPort } from './session/listener.ts';
import { protocols } from './session/protocols.ts';
import { openSpool } from './spool/spool.ts';
import type { FromWorker, ToWorker, WorkerData } from './worker-messages.ts';

const SWEEP_MS = 1000;
const HOUSEKEEPING_MS = 30_000;
/** Of what the control stream takes in one message. */
const CATALOG_BYTES_MAX = 16 * 1024 * 1024;
const compress = promisify(gzip);
/** After `stop`, sessions have this long to tell their clients. */
const FAREWELL_MS = 200;

function reportFault(error: GatewayError): void {
  process.stderr.write(
    `${JSON.stringify({ level: 50, time: Date.now(), worker: data.index, code: error.code, msg: error.message, cause: error.cause === undefined ? undefined : errorText(error.cause) })}\n`,
  );
}

const port = parentPort;
if (port === null) throw new GatewayError('WORKER_ALONE', 'internal', 'worker.ts runs in a worker thread only');
const data = workerData as WorkerData;
const post = (message: FromWorker) => port.postMessage(message);

await loadParser();
const spool = await openSpool({
  dir: data.spoolDir,
  bytesMax: data.spoolBytesMax,
  onDurable: nextIndex => post({ type: 'durable', nextIndex }),
});
const evidenceKey = createPrivateKey(data.evidenceKey);
const ledger = new Ledger({
  agentId: data.agentId,
  ledger: spool.id,
  sink: spool,
  state: spool.recovery.ledger,
  sign: message => signEd25519(evidenceKey, message),
  onCheckpoint: (statement, signature) => post({ type: 'checkpoint', ledger: spool.id, statement, signature }),
  nowUnixUs,
});
const checkpoints = new CheckpointClock(ledger, () => gateway.noteHeads(), reportFault);
const verifyContext = new VerifyContext({ onKeysMissing: issuer => post({ type: 'jwksMiss', issuer }) });

const gateway = new Gateway({
  agentName: data.agentName,
  index: data.index,
  workers: data.workers,
  stateDir: data.stateDir,
  sink: spool,
  verify: token => verifyToken(token, verifyContext),
  post,
  report: reportFault,
  noteHead: head => checkpoints.note(head),
});
for (const head of spool.recovery.uncovered) checkpoints.note(head);
checkpoints.start();

/** resource → its listener and the address that was asked for. */
const listeners = new Map<string, { address: string; protocol: string; listener: Listener }>();
let listenersChanging: Promise<void> = Promise.resolve();

const sweep = setInterval(() => {
  const now = Date.now();
  for (const session of [...gateway.sessions.values()]) session.checkLimits(now);
  gateway.flushRefusals();
}, SWEEP_MS);

/** One worker of the agent tidies up; each resource alone, and none waits for another. */
const housekeeping = new Set<string>();
const housekeeper =
  data.index === 0
    ? setInterval(() => {
        for (const resource of gateway.lease?.resources.values() ?? []) void housekeep(resource);
      }, HOUSEKEEPING_MS)
    : null;

async function housekeep(resource: ResourceState): Promise<void> {
  const protocol = protocols.get(resource.spec.protocol);
  if (protocol?.housekeep === undefined || housekeeping.has(resource.name)) return;
  housekeeping.add(resource.name);
  try {
    await protocol.housekeep(resource, reportFault);
  } catch (error) {
    reportFault(
      error instanceof GatewayError ? error : new GatewayError('HOUSEKEEPING_FAILED', 'internal', errorText(error), { cause: error }),
    );
  } finally {
    housekeeping.delete(resource.name);
  }
}

function takeLease(message: Extract<ToWorker, { type: 'lease' }>): void {
  const { lease, listen } = message;
  let state: LeaseState;
  try {
    state = new LeaseState(lease);
  } catch (error) {
    // The lease that was in force stays; its expiry still counts.
    for (const resource of Object.keys(listen))
      post({ type: 'problem', resource, reason: `the lease cannot be used: ${errorText(error)}` });
    return;
  }
  verifyContext.useLease(lease.bundle);
  gateway.takeLease(state, lease.bundle.revokedTokens, name => protocols.get(name)?.depth);
  listenersChanging = listenersChanging.then(() => changeListeners(state, listen));
}

/** Opens, closes and moves listeners until they are what the lease says. Never rejects. */
async function changeListeners(state: LeaseState, listen: Readonly<Record<string, string>>): Promise<void> {
  for (const [resource, open] of listeners) {
    if (listen[resource] === open.address && state.resources.get(resource)?.spec.protocol === open.protocol) continue;
    open.listener.close();
    listeners.delete(resource);
  }
  for (const [resource, address] of Object.entries(listen)) {
    const problem = state.problems.get(resource);
    const wanted = state.resources.get(resource);
    if (problem !== undefined || wanted === undefined) {
      listeners.get(resource)?.listener.close();
      listeners.delete(resource);
      post({ type: 'problem', resource, reason: problem ?? 'the lease does not hold this resource' });
      continue;
    }
    const open = listeners.get(resource);
    if (open !== undefined) {
      post({ type: 'listening', resource, address: open.listener.address });
      continue;
    }
    try {
      const protocol = protocols.get(wanted.spec.protocol);
      if (protocol === undefined)
        throw new GatewayError('PROTOCOL_UNKNOWN', 'invalid', `this agent does not speak ${wanted.spec.protocol}`);
      const target = splitHostPort(address);
      if (target === null) throw new GatewayError('ADDRESS_INVALID', 'invalid', `'${address}' is not HOST:PORT`);
      const listener = await Listener.open({
        gateway,
        resource,
        protocol,
        host: target.host,
        port: target.port,
        reusePort: data.workers > 1,
      });
      listeners.set(resource, { address, protocol: protocol.name, listener });
      post({ type: 'listening', resource, address: listener.address });
    } catch (error) {
      post({ type: 'problem', resource, reason: errorText(error) });
    }
  }
}

function endSessions(): void {
  for (const session of [...gateway.sessions.values()]) session.onEnd('drained', 'the agent stops');
}

function drain(deadlineMs: number): void {
  gateway.draining = true;
  for (const { listener } of listeners.values()) listener.close();
  setTimeout(endSessions, Math.max(0, deadlineMs - Date.now())).unref();
}

async function stop(): Promise<void> {
  gateway.draining = true;
  clearInterval(sweep);
  if (housekeeper !== null) clearInterval(housekeeper);
  await listenersChanging;
  for (const { listener } of listeners.values()) listener.close();
  endSessions();
  gateway.flushRefusals();
  gateway.budgets.flush();
  await new Promise(resolve => setTimeout(resolve, FAREWELL_MS));
  for (const { listener } of listeners.values()) listener.destroy();
  checkpoints.stop();
  try {
    await spool.close();
  } catch (error) {
    gateway.report(new GatewayError('SPOOL_BROKEN', 'unavailable', `the spool could not be closed: ${errorText(error)}`));
  }
  post({ type: 'stopped' });
  port?.close();
}

/** Reads a resource's catalog for the control plane. Never rejects: what went wrong is the answer. */
async function readCatalog(id: number, resource: string, database: string): Promise<void> {
  const none = new Uint8Array(0);
  try {
    const state = gateway.lease?.resources.get(resource);
    const protocol = protocols.get(state?.spec.protocol ?? '');
    if (state === undefined || protocol?.catalog === undefined) {
      post({ type: 'catalog', id, catalog: none, problem: `this agent has no catalog of ${resource}` });
      return;
    }
    const file = await protocol.catalog(state, database, gateway.lease?.secrets ?? null);
    const catalog = await compress(JSON.stringify(file));
    const tooLarge = catalog.length > CATALOG_BYTES_MAX;
    post({
      type: 'catalog',
      id,
      catalog: tooLarge ? none : catalog,
      problem: tooLarge ? `the catalog of ${resource} is too large to be sent` : '',
    });
  } catch (error) {
    post({ type: 'catalog', id, catalog: none, problem: errorText(error) });
  }
}

function stats(id: number): void {
  const { bytes, records, pending, broken, full } = spool.stats();
  const metrics: Record<string, number> = {
    ...gateway.metrics,
    sessions: gateway.sessions.size,
    spoolBytes: bytes,
    spoolRecords: records,
    spoolPending: pending,
    spoolBroken: broken ? 1 : 0,
    spoolFull: full ? 1 : 0,
    heapBytes: process.memoryUsage().heapUsed,
  };
  post({ type: 'stats', id, metrics, addedLatency: gateway.addedLatency.counts() });
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'lease':
      takeLease(message);
      return;
    case 'jwks':
      verifyContext.useKeys(message.issuer, message.keys);
      return;
    case 'revoked':
      verifyContext.revoke(message.tokenIds);
      gateway.revoke(message.tokenIds);
      return;
    case 'kill':
      gateway.kill(message.sessionId, message.reason);
      return;
    case 'observed':
      gateway.sessions.get(message.sessionId)?.onObserved(message.watchId, message.observer, message.forMs);
      return;
    case 'cancel':
      gateway.cancelHere(message.pid, message.secret);
      return;
    case 'shipped':
      spool.shipped(message.nextIndex);
      return;
    case 'stats':
      stats(message.id);
      return;
    case 'catalog':
      void readCatalog(message.id, message.resource, message.database);
      return;
    case 'drain':
      drain(message.deadlineMs);
      return;
    case 'stop':
      void stop();
      return;
    case 'approval':
      gateway.holds.decided(message);
      return;
    case 'connected':
      gateway.holds.connected = message.connected;
      return;
    case 'budget':
      gateway.budgets.heard(message.key, message.rows, message.bytes, message.atMs);
      return;
    default:
      unreachable(message);
  }
});

post({ type: 'ready' });
