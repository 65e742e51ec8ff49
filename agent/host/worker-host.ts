/**
 * Runs the data path in worker threads: starts them, tells each what it must know, puts their answers together, and starts a dead
 * one again with all that it was told before.
 *
 * A worker that dies takes its sessions with it; its spool closes them when it is opened again. What a worker does with a lease or
 * a session is its own affair (worker.ts).
 */
import { Worker } from 'node:worker_threads';
import { errorText, unreachable } from '@sallyport/shared/errors.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { addCounts, noLatencies } from '@sallyport/shared/records/latency-buckets.ts';
import { Backoff } from '../control/backoff.ts';
import type { Log } from '../log.ts';
import type { ApprovalRequest, FromWorker, LiveSessionInfo, OpenedLease, ToWorker, WorkerData } from '../worker-messages.ts';

export interface WorkerHostEvents {
  sessionStarted(session: LiveSessionInfo): void;
  sessionEnded(sessionId: string): void;
  jwksMiss(issuer: string): void;
  approvalRequested(request: ApprovalRequest): void;
  approvalWithdrawn(approvalId: string, reason: string): void;
  durable(worker: number, nextIndex: number): void;
  checkpoint(ledger: string, statement: Uint8Array, signature: Uint8Array): void;
  /** A session was given this much. */
  usage(key: string, rows: number, bytes: number, atMs: number): void;
  /** All that was given before, for a worker that begins. */
  usages(): Iterable<{ key: string; rows: number; bytes: number; atMs: number }>;
  /** The worker is gone: its spool will be opened by another. */
  died(worker: number): void;
  /** What is listened on, or why it is not, has changed. */
  listenersChanged(): void;
}

export interface WorkerHostOptions {
  count: number;
  agentName: string;
  agentId: string;
  evidenceKey: string;
  spoolDir: (worker: number) => string;
  spoolBytesMax: number;
  stateDir: string;
  /** The worker's program. */
  program: URL;
  events: WorkerHostEvents;
  log: Log;
  readyTimeoutMs?: number;
  backoff?: () => Backoff;
}

interface Slot {
  index: number;
  worker: Worker | null;
  /** Has it said that it is ready? */
  ready: boolean;
  backoff: Backoff;
  retry: NodeJS.Timeout | null;
  listening: Map<string, string>;
  problems: Map<string, string>;
  sessions: Map<string, LiveSessionInfo>;
  addedLatency: readonly number[];
  stopped: boolean;
  onStopped: (() => void) | null;
}

const READY_TIMEOUT_MS = 60_000;
/** What a session makes is either short-lived or small: more room for new objects is memory without speed. */
const YOUNG_MB_MAX = 6;
const STATS_TIMEOUT_MS = 1000;
/** Longer than the worker's own bounds for its queries. */
const CATALOG_TIMEOUT_MS = 75_000;
const CATALOGS_WAITING_MAX = 16;
/** A worker that lived this long is not failing over and over. */
const STEADY_MS = 30_000;

export class WorkerHost {
  readonly #options: WorkerHostOptions;
  readonly #slots: Slot[];
  #lease: Extract<ToWorker, { type: 'lease' }> | null = null;
  readonly #jwks = new Map<string, PublicJwk[]>();
  readonly #revoked = new Set<string>();
  #draining: number | null = null;
  #stopping = false;
  #statsId = 0;
  readonly #statsWaiting = new Map<number, (worker: number, metrics: Record<string, number>) => void>();
  readonly #catalogsWaiting = new Map<number, (told: { catalog: Uint8Array; problem: string }) => void>();
  restarts = 0;
  #connected = false;

  constructor(options: WorkerHostOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      index,
      worker: null,
      ready: false,
      backoff: options.backoff?.() ?? new Backoff(200, 10_000),
      retry: null,
      listening: new Map<string, string>(),
      problems: new Map<string, string>(),
      sessions: new Map<string, LiveSessionInfo>(),
      addedLatency: [],
      stopped: false,
      onStopped: null,
    }));
  }

  get count(): number {
    return this.#slots.length;
  }

  /** Starts all workers. @returns when all are ready. @throws what a worker fails with at its start. */
  async start(): Promise<void> {
    await Promise.all(this.#slots.map(slot => this.#spawn(slot, true)));
  }

  /** Puts a lease in force in all workers. */
  lease(lease: OpenedLease, listen: Record<string, string>): void {
    for (const slot of this.#slots) {
      for (const resource of slot.listening.keys()) {
        if (this.#lease?.listen[resource] !== listen[resource]) slot.listening.delete(resource);
      }
      // A resource that had a problem is tried again with the new lease.
      slot.problems.clear();
    }
    this.#lease = { type: 'lease', lease, listen };
    this.#broadcast(this.#lease);
  }

  jwks(issuer: string, keys: PublicJwk[]): void {
    this.#jwks.set(issuer, keys);
    this.#broadcast({ type: 'jwks', issuer, keys });
  }

  revoked(tokenIds: string[]): void {
    for (const id of tokenIds) this.#revoked.add(id);
    this.#broadcast({ type: 'revoked', tokenIds });
  }

  /** The lease in force holds all revocations: older ones need not be told to a new worker. */
  forgetRevoked(): void {
    this.#revoked.clear();
  }

  kill(sessionId: string, reason: string): void {
    this.#broadcast({ type: 'kill', sessionId, reason });
  }

  observed(sessionId: string, watchId: string, observer: string, forMs: number): void {
    this.#broadcast({ type: 'observed', sessionId, watchId, observer, forMs });
  }

  /** Whether the control plane can be reached: workers tell people who wait. */
  connected(connected: boolean): void {
    this.#connected = connected;
    this.#broadcast({ type: 'connected', connected });
  }

  approval(decided: Omit<Extract<ToWorker, { type: 'approval' }>, 'type'>): void {
    this.#broadcast({ type: 'approval', ...decided });
  }

  shipped(worker: number, nextIndex: number): void {
    this.#slots[worker]?.worker?.postMessage({ type: 'shipped', nextIndex } satisfies ToWorker);
  }

  *sessions(): Iterable<LiveSessionInfo> {
    for (const slot of this.#slots) yield* slot.sessions.values();
  }

  sessionCount(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.sessions.size, 0);
  }

  /** Resources that every worker listens for, with their address. */
  listeners(): Record<string, string> {
    const result: Record<string, string> = {};
    for (const [resource, address] of Object.entries(this.#lease?.listen ?? {})) {
      const addresses = this.#slots.map(slot => slot.listening.get(resource));
      if (addresses.every(each => each !== undefined)) result[resource] = addresses[0] ?? address;
    }
    return result;
  }

  /** Resources that a worker cannot serve, and why. */
  problems(): Record<string, string> {
    const result: Record<string, string> = {};
    for (const slot of this.#slots) for (const [resource, reason] of slot.problems) result[resource] = reason;
    return result;
  }

  /** Has every worker said of every resource whether it serves it? */
  settled(): boolean {
    const resources = Object.keys(this.#lease?.listen ?? {});
    return this.#slots.every(slot => slot.ready && resources.every(name => slot.listening.has(name) || slot.problems.has(name)));
  }

  allReady(): boolean {
    return this.#slots.every(slot => slot.ready);
  }

  /** What workers have added to commands, as they said when `stats` was last asked: counts by bucket. */
  addedLatency(): number[] {
    const sum = noLatencies();
    for (const { addedLatency } of this.#slots) addCounts(sum, addedLatency);
    return sum;
  }

  /** The workers' numbers, by worker; a worker that does not answer in time is missing. */
  async stats(): Promise<Map<number, Record<string, number>>> {
    const id = ++this.#statsId;
    const answers = new Map<number, Record<string, number>>();
    const expected = this.#slots.filter(slot => slot.ready).length;
    if (expected === 0) return answers;
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, STATS_TIMEOUT_MS);
      this.#statsWaiting.set(id, (worker, metrics) => {
        answers.set(worker, metrics);
        if (answers.size < expected) return;
        clearTimeout(timer);
        resolve();
      });
      this.#broadcast({ type: 'stats', id });
    });
    this.#statsWaiting.delete(id);
    return answers;
  }

  /** Has a worker read the catalog of a resource. Never rejects: `problem` says why there is none. */
  async catalog(resource: string, database: string): Promise<{ catalog: Uint8Array; problem: string }> {
    const none = (problem: string) => ({ catalog: new Uint8Array(0), problem });
    const worker = this.#slots.find(slot => slot.ready)?.worker;
    if (worker === undefined || worker === null) return none('no worker of this agent is ready');
    if (this.#catalogsWaiting.size >= CATALOGS_WAITING_MAX) return none('this agent reads other catalogs already; ask again');
    const id = ++this.#statsId;
    const answer = await new Promise<{ catalog: Uint8Array; problem: string }>(resolve => {
      const timer = setTimeout(() => resolve(none('the catalog was not read in time')), CATALOG_TIMEOUT_MS);
      this.#catalogsWaiting.set(id, told => {
        clearTimeout(timer);
        resolve(told);
      });
      worker.postMessage({ type: 'catalog', id, resource, database } satisfies ToWorker);
    });
    this.#catalogsWaiting.delete(id);
    return answer;
  }

  /** Ends a worker hard; another takes its place. For one whose spool is broken: only opening it anew tells what is on disk. */
  restart(worker: number): void {
    void this.#slots[worker]?.worker?.terminate();
  }

  /** No new sessions from now on; those that live may go on until the deadline (milliseconds since 1970). */
  drain(deadlineMs: number): void {
    this.#draining = deadlineMs;
    this.#broadcast({ type: 'drain', deadlineMs });
  }

  /** Ends all sessions, flushes the spools and ends the workers; those that are not done in time are ended hard. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#slots.map(async slot => {
        if (slot.retry !== null) clearTimeout(slot.retry);
        const worker = slot.worker;
        if (worker === null) return;
        await new Promise<void>(resolve => {
          const timer = setTimeout(() => {
            this.#options.log.error({ worker: slot.index }, 'the worker did not stop in time');
            resolve();
          }, timeoutMs);
          slot.onStopped = () => {
            clearTimeout(timer);
            resolve();
          };
          if (slot.stopped) slot.onStopped();
          else worker.postMessage({ type: 'stop' } satisfies ToWorker);
        });
        await worker.terminate();
      }),
    );
  }

  #broadcast(message: ToWorker, except = -1): void {
    for (const slot of this.#slots) if (slot.index !== except && slot.ready) slot.worker?.postMessage(message);
  }

  #spawn(slot: Slot, first: boolean): Promise<void> {
    const options = this.#options;
    const workerData: WorkerData = {
      index: slot.index,
      workers: this.#slots.length,
      agentName: options.agentName,
      agentId: options.agentId,
      evidenceKey: options.evidenceKey,
      spoolDir: options.spoolDir(slot.index),
      spoolBytesMax: options.spoolBytesMax,
      stateDir: options.stateDir,
    };
    return new Promise((resolve, reject) => {
      const startedAtMs = Date.now();
      let failure: unknown = null;
      const worker = new Worker(options.program, {
        workerData,
        name: `sallyport-${slot.index}`,
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB_MAX },
      });
      slot.worker = worker;
      const timer = setTimeout(() => {
        failure = new Error(`the worker was not ready within ${options.readyTimeoutMs ?? READY_TIMEOUT_MS} ms`);
        void worker.terminate();
      }, options.readyTimeoutMs ?? READY_TIMEOUT_MS);
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          clearTimeout(timer);
          this.#welcome(slot, worker);
          resolve();
        } else {
          this.#receive(slot, message);
        }
      });
      worker.on('error', error => {
        failure = error;
      });
      worker.on('exit', code => {
        clearTimeout(timer);
        const wasReady = slot.ready;
        this.#gone(slot);
        if (this.#stopping) {
          resolve();
          return;
        }
        if (first && !wasReady) {
          reject(failure ?? new Error(`a worker ended at its start with code ${code}`));
          return;
        }
        if (Date.now() - startedAtMs > STEADY_MS) slot.backoff.reset();
        const pauseMs = slot.backoff.nextMs();
        this.restarts++;
        options.log.error(
          { worker: slot.index, code, why: failure === null ? '' : errorText(failure), pauseMs: Math.round(pauseMs) },
          'a worker died; it is started again',
        );
        slot.retry = setTimeout(() => void this.#spawn(slot, false), pauseMs);
        resolve();
      });
    });
  }

  /** Tells a new worker all that its predecessor knew. */
  #welcome(slot: Slot, worker: Worker): void {
    slot.ready = true;
    const tell = (message: ToWorker) => worker.postMessage(message);
    for (const usage of this.#options.events.usages()) tell({ type: 'budget', ...usage });
    for (const [issuer, keys] of this.#jwks) tell({ type: 'jwks', issuer, keys });
    tell({ type: 'connected', connected: this.#connected });
    if (this.#lease !== null) tell(this.#lease);
    if (this.#revoked.size > 0) tell({ type: 'revoked', tokenIds: [...this.#revoked] });
    if (this.#draining !== null) tell({ type: 'drain', deadlineMs: this.#draining });
  }

  #gone(slot: Slot): void {
    const sessions = [...slot.sessions.keys()];
    slot.worker = null;
    slot.ready = false;
    slot.listening.clear();
    slot.problems.clear();
    slot.sessions.clear();
    slot.stopped = true;
    slot.onStopped?.();
    slot.stopped = false;
    for (const sessionId of sessions) this.#options.events.sessionEnded(sessionId);
    this.#options.events.died(slot.index);
    this.#options.events.listenersChanged();
  }

  #receive(slot: Slot, message: Exclude<FromWorker, { type: 'ready' }>): void {
    const { events } = this.#options;
    switch (message.type) {
      case 'listening':
        slot.problems.delete(message.resource);
        slot.listening.set(message.resource, message.address);
        events.listenersChanged();
        return;
      case 'problem':
        slot.listening.delete(message.resource);
        slot.problems.set(message.resource, message.reason);
        events.listenersChanged();
        return;
      case 'jwksMiss':
        events.jwksMiss(message.issuer);
        return;
      case 'sessionStarted':
        slot.sessions.set(message.session.sessionId, message.session);
        events.sessionStarted(message.session);
        return;
      case 'sessionEnded':
        if (slot.sessions.delete(message.sessionId)) events.sessionEnded(message.sessionId);
        return;
      case 'cancel':
        this.#slots[message.worker]?.worker?.postMessage({ type: 'cancel', pid: message.pid, secret: message.secret } satisfies ToWorker);
        return;
      case 'approvalRequested':
        events.approvalRequested(message.request);
        return;
      case 'approvalWithdrawn':
        events.approvalWithdrawn(message.approvalId, message.reason);
        return;
      case 'durable':
        events.durable(slot.index, message.nextIndex);
        return;
      case 'checkpoint':
        events.checkpoint(message.ledger, message.statement, message.signature);
        return;
      case 'usage': {
        const { key, rows, bytes } = message;
        const atMs = Date.now();
        events.usage(key, rows, bytes, atMs);
        this.#broadcast({ type: 'budget', key, rows, bytes, atMs }, slot.index);
        return;
      }
      case 'stats':
        slot.addedLatency = message.addedLatency;
        this.#statsWaiting.get(message.id)?.(slot.index, message.metrics);
        return;
      case 'catalog':
        this.#catalogsWaiting.get(message.id)?.({ catalog: message.catalog, problem: message.problem });
        return;
      case 'stopped':
        slot.stopped = true;
        slot.onStopped?.();
        return;
      default:
        unreachable(message);
    }
  }
}
