/**
 * Puts the agent together: its identity, its lease, its workers, and its connection to the control plane.
 *
 * The order of a start: lock the data folder, load or get an identity, start the workers (their spools recover), put the kept lease
 * in force if it still counts, then connect. With the control plane down and a good lease on disk, the agent serves all the same.
 */
import { createHash, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import type { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { signEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { trustedIssuers } from '@sallyport/shared/identity/trusted-issuers.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { latencyQuantile } from '@sallyport/shared/records/latency-buckets.ts';
import { Backoff } from './control/backoff.ts';
import { type ControlPlaneAddress, ControlPlaneClient } from './control/control-plane-client.ts';
import { ControlStream } from './control/control-stream.ts';
import { certificateExpired, type EnrolmentState, join, loadEnrolment, rememberLeaseKeys, renew, renewAtMs } from './control/enrolment.ts';
import { parseJoinToken } from './control/join-token.ts';
import { KafkaStream } from './control/kafka-stream.ts';
import { type AgentKeys, loadKeys, signingKeyPem } from './control/keys.ts';
import { acceptLease, keptLease, openLease, type SignedLease, saveLease } from './control/lease.ts';
import { applyUpdate, type HeldLease, keptHalves, type LeaseUpdate, saveHalves } from './control/lease-halves.ts';
import { type Shipment, Shipper } from './control/shipper.ts';
import { Ledger } from './evidence/ledger.ts';
import { readPrivateJson } from './files.ts';
import { type DataLock, lockData } from './host/data-lock.ts';
import { ListenPorts } from './host/listen-ports.ts';
import { UsageJournal } from './host/usage-journal.ts';
import { WorkerHost } from './host/worker-host.ts';
import { type Metric, metricsText, workerMetrics } from './http/metrics.ts';
import { type HttpServer, startHttp } from './http/server.ts';
import { JwksCache } from './identity/jwks-cache.ts';
import type { Log } from './log.ts';
import { openSpool, type Spool } from './spool/spool.ts';

export interface AgentOptions {
  dataDir: string;
  controlPlane: ControlPlaneAddress;
  joinToken: string | null;
  name: string;
  labels: Record<string, string>;
  /** Names and addresses that clients use: they are in the certificate that clients see. */
  hostnames: string[];
  http: { host: string; port: number };
  workers: number;
  /** Where records go; without it, to the control plane's relay. */
  kafka?: KafkaConfig | null;
  /** Bound of each worker's spool. */
  spoolBytesMax: number;
  /** How long sessions may go on after SIGTERM. */
  drainMs: number;
  version: string;
  log: Log;
  /** Sets how much the log says, for so long; absent: it stays as it is. @returns false for a level that there is not. */
  setLogLevel?: (level: string, forMs: number) => boolean;
  workerProgram?: URL;
  /** How long joining is tried while the control plane cannot be reached; default 30 s. */
  joinPatienceMs?: number;
  /** When certificates are renewed; default after half of their life. */
  renewAtMs?: (enrolment: EnrolmentState) => number;
}

/** What an agent has before it begins. */
interface Opened {
  lock: DataLock;
  keys: AgentKeys;
  ports: ListenPorts;
  usage: UsageJournal;
  enrolment: EnrolmentState;
  /** Null when records go by the control plane. */
  producer: KafkaProducer | null;
}

/** How long a lease may take to be in force in all workers before it is acknowledged as it is. */
const SETTLE_MS = 5000;
const STOP_MS = 5000;
const SHIP_AT_END_MS = 3000;
/** How long a batch is tried before all that was not acknowledged is read from the spool again. */
const KAFKA_PATIENCE_MS = 15_000;
/** The producer ends its own attempts; a broker that answers nothing takes it longest. */
const KAFKA_SILENCE_MS = 15 * 60_000;
const RENEW_POLL_MS = 60_000;
const WATCH_MS = 5000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #lock: DataLock;
  readonly #keys: AgentKeys;
  readonly #ports: ListenPorts;
  readonly #usage: UsageJournal;
  #enrolment: EnrolmentState;
  #client: ControlPlaneClient;
  readonly #host: WorkerHost;
  readonly #stream: ControlStream;
  readonly #shipper: Shipper;
  /** Null when records go by the control plane. */
  readonly #producer: KafkaProducer | null;
  readonly #shipments = new Map<number, Shipment>();
  readonly #adopted: Spool[] = [];
  #jwks: JwksCache | null = null;
  #http: HttpServer | null = null;
  #lease: LeaseBundle | null = null;
  /** The same in the halves that it came in; null when it came in one piece. */
  #halves: HeldLease | null = null;
  #applying: Promise<void> = Promise.resolve();
  /** Resources that cannot be served, for reasons found here rather than in a worker. */
  #problems: Record<string, string> = {};
  #firstLease: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  #listenersChanged: (() => void) | null = null;
  #renewTimer: NodeJS.Timeout | null = null;
  #watchTimer: NodeJS.Timeout | null = null;
  #draining = false;
  #stopped: Promise<void> | null = null;

  private constructor(options: AgentOptions, { lock, keys, ports, usage, enrolment, producer }: Opened) {
    this.#options = options;
    this.#log = options.log;
    this.#lock = lock;
    this.#keys = keys;
    this.#ports = ports;
    this.#usage = usage;
    this.#enrolment = enrolment;
    this.#client = this.#newClient();
    this.#producer = producer;
    this.#shipper = this.#newShipper();
    this.#host = new WorkerHost({
      count: options.workers,
      agentName: enrolment.name,
      agentId: enrolment.agentId,
      evidenceKey: signingKeyPem(keys),
      spoolDir: worker => this.#spoolDir(worker),
      spoolBytesMax: options.spoolBytesMax,
      stateDir: path.join(options.dataDir, 'state'),
      program: options.workerProgram ?? new URL('worker.ts', import.meta.url),
      log: options.log,
      events: {
        sessionStarted: session => this.#stream.sessionStarted(session),
        sessionEnded: sessionId => {
          this.#stream.withdrawApprovalsOf(sessionId, 'its session ended');
          this.#stream.sessionEnded(sessionId);
        },
        jwksMiss: issuer => void this.#jwks?.missed(issuer),
        approvalRequested: request => this.#stream.requestApproval(request),
        approvalWithdrawn: (approvalId, reason) => this.#stream.withdrawApproval(approvalId, reason),
        durable: (worker, nextIndex) => this.#durable(worker, nextIndex),
        checkpoint: (ledger, statement, signature) => this.#stream.checkpoint(ledger, statement, signature),
        usage: (key, rows, bytes, atMs) => this.#usage.add(key, rows, bytes, atMs),
        usages: () => this.#usage.entries(),
        died: worker => this.#forgetShipment(worker),
        listenersChanged: () => this.#listenersChanged?.(),
      },
    });
    this.#stream = new ControlStream({
      connect: () => this.#client.connect(),
      version: options.version,
      leaseVersion: () => this.#lease?.version ?? 0,
      sessions: () => this.#host.sessions(),
      health: () => this.#health(),
      onLease: signed => this.#takeLease(signed),
      onLeaseUpdate: update => this.#takeUpdate(update),
      sharedDigest: () => this.#halves?.shared.claims.digest ?? '',
      onConnected: connected => this.#host.connected(connected),
      onKill: (sessionId, reason) => this.#host.kill(sessionId, reason),
      onObserved: (sessionId, watchId, observer, forMs) => this.#host.observed(sessionId, watchId, observer, forMs),
      onApproval: decided => this.#host.approval(decided),
      onRevoked: tokenIds => this.#host.revoked(tokenIds),
      onDrain: deadlineMs => this.#drain(deadlineMs),
      onLogLevel: (level, forMs) => this.#setLogLevel(level, forMs),
      onCatalogAsked: (resource, database) => this.#host.catalog(resource, database),
      onRefused: error => {
        this.#firstLease?.reject(error);
        if (error.code === 'AGENT_REVOKED') this.#leave();
      },
      log: options.log,
    });
  }

  /**
   * Starts an agent. Resolves when the first lease is in force and its listeners are bound.
   * @throws {GatewayError} JOIN_…, ENROLMENT_…, CONTROL_PLANE_…, DATA_…, PORT_IN_USE, SPOOL_…, WORKER_FAILED; all is closed again then.
   */
  static async start(options: AgentOptions): Promise<Agent> {
    const lock = await lockData(options.dataDir);
    let agent: Agent | null = null;
    try {
      const keys = await loadKeys(path.join(options.dataDir, 'keys.json'));
      const ports = await ListenPorts.open(path.join(options.dataDir, 'ports.json'));
      const usage = await UsageJournal.open(path.join(options.dataDir, 'usage.jsonl'), Date.now(), why =>
        options.log.error({ why }, 'what principals have read is not on disk; budgets count in memory'),
      );
      const enrolment = await enrol(options, keys);
      const producer = options.kafka ? await recordsProducer(options.kafka) : null;
      agent = new Agent(options, { lock, keys, ports, usage, enrolment, producer });
      await agent.#begin();
      return agent;
    } catch (error) {
      if (agent === null) await lock.release();
      else await agent.stop(0);
      throw error;
    }
  }

  get name(): string {
    return this.#enrolment.name;
  }

  /** Address of /healthz, /readyz and /metrics. */
  get httpUrl(): string {
    return this.#http?.url ?? '';
  }

  /** resource → host:port that it is listened on. */
  listeners(): Record<string, string> {
    return this.#host.listeners();
  }

  /**
   * Ends the agent in order: no new sessions, those that live may go on for `drainMs`, then they are ended, the spools are flushed, and
   * what can be shipped is shipped. Called again with less time, it hurries.
   */
  stop(drainMs: number = this.#options.drainMs): Promise<void> {
    this.#stopped ??= this.#stop(drainMs);
    return this.#stopped;
  }

  async #begin(): Promise<void> {
    const first = new Promise<void>((resolve, reject) => {
      this.#firstLease = { resolve, reject };
    });
    // Until `first` is awaited below, another failure may come first.
    first.catch(() => undefined);
    this.#jwks = await JwksCache.open({
      file: path.join(this.#options.dataDir, 'jwks.json'),
      publish: (issuer, keys) => this.#host.jwks(issuer, keys),
      log: this.#log,
    });
    this.#http = await startHttp({ ...this.#options.http, readiness: () => this.#readiness(), metrics: () => this.#metrics() });
    try {
      await this.#host.start();
    } catch (error) {
      throw error instanceof GatewayError
        ? error
        : new GatewayError('WORKER_FAILED', 'internal', `a worker cannot start: ${errorText(error)}`, { cause: error });
    }
    await this.#adoptSpools();
    await this.#useKeptLease();
    this.#stream.start();
    this.#shipper.start();
    this.#scheduleRenewal(0);
    this.#watchTimer = setInterval(() => void this.#watchSpools(), WATCH_MS);
    await first;
  }

  async #stop(drainMs: number): Promise<void> {
    this.#draining = true;
    if (this.#renewTimer !== null) clearTimeout(this.#renewTimer);
    if (this.#watchTimer !== null) clearInterval(this.#watchTimer);
    this.#firstLease?.reject(new GatewayError('AGENT_STOPPED', 'unavailable', 'the agent was stopped'));
    if (drainMs > 0 && this.#host.sessionCount() > 0) {
      const deadlineMs = Date.now() + drainMs;
      this.#host.drain(deadlineMs);
      while (this.#host.sessionCount() > 0 && Date.now() < deadlineMs) await pause(20);
    }
    await this.#host.stop(STOP_MS);
    const shipUntilMs = Date.now() + (drainMs > 0 ? SHIP_AT_END_MS : 0);
    while ((this.#producer !== null || this.#stream.connected) && !this.#shipper.idle && Date.now() < shipUntilMs) await pause(20);
    await this.#shipper.stop();
    await this.#producer?.close();
    for (const spool of this.#adopted) await spool.close();
    this.#stream.stop();
    this.#client.close();
    await this.#jwks?.close();
    await this.#http?.close();
    await this.#usage.close();
    await this.#lock.release();
  }

  #spoolDir(worker: number): string {
    return path.join(this.#options.dataDir, 'spool', `worker-${worker}`);
  }

  #newClient(): ControlPlaneClient {
    const { ca, certificate } = this.#enrolment;
    return new ControlPlaneClient(this.#options.controlPlane, { ca, certificate, key: this.#keys.tlsKey });
  }

  #setLogLevel(level: string, forMs: number): void {
    const done = this.#options.setLogLevel?.(level, forMs) === true;
    if (done) this.#log.warn({ level, forMs }, 'the control plane has set how much the log says');
    else this.#log.warn({}, 'the control plane asks for a log level that there is not');
  }

  get #identityFile(): string {
    return path.join(this.#options.dataDir, 'identity.json');
  }

  // Leases

  get #leaseFile(): string {
    return path.join(this.#options.dataDir, 'lease.json');
  }

  async #useKeptLease(): Promise<void> {
    try {
      const stored = await readPrivateJson(this.#leaseFile);
      if (stored === null) return;
      const halves = keptHalves(stored);
      const signed = keptLease(stored);
      let bundle: LeaseBundle;
      if (halves !== null) ({ held: this.#halves, bundle } = applyUpdate(null, halves, this.#enrolment, null, Date.now()));
      else if (signed !== null) bundle = acceptLease(signed, this.#enrolment, null, Date.now());
      else throw new GatewayError('LEASE_MALFORMED', 'internal', 'it is no lease of this version');
      this.#log.info({ version: bundle.version, expiresAt: bundle.expiresAt }, 'the kept lease is in force');
      await this.#apply(bundle);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'PORT_IN_USE') throw error;
      this.#log.warn({ why: errorText(error) }, 'the kept lease does not count');
    }
  }

  /** A lease in one piece, of a control plane that knows no differences. */
  #takeLease(signed: SignedLease): void {
    this.#inTurn(async () => {
      const bundle = acceptLease(signed, this.#enrolment, this.#lease, Date.now());
      await saveLease(this.#leaseFile, signed);
      this.#halves = null;
      await this.#putInForce(bundle);
    });
  }

  #takeUpdate(update: LeaseUpdate): void {
    this.#inTurn(async () => {
      try {
        const { held, bundle } = applyUpdate(this.#halves, update, this.#enrolment, this.#lease, Date.now());
        await saveHalves(this.#leaseFile, held);
        this.#halves = held;
        await this.#putInForce(bundle);
      } catch (error) {
        // Everything is asked for once at most, for everything is never incomplete.
        if (!(error instanceof GatewayError && error.code === 'LEASE_INCOMPLETE')) throw error;
        this.#log.warn({ why: error.message }, 'the whole lease is asked for');
        this.#stream.wantLease(error.message);
      }
    });
  }

  /** Leases are taken one after another, in the order of their arrival. */
  #inTurn(take: () => Promise<void>): void {
    this.#applying = this.#applying.then(async () => {
      try {
        await take();
      } catch (error) {
        this.#log.error({ why: errorText(error) }, 'a lease was refused');
        this.#firstLease?.reject(error);
      }
    });
  }

  /** Who signs leases from now on. After the lease is kept: the one that is kept was signed by a key that counted until now. */
  async #trustLeaseKeys(leaseKeys: readonly string[] | undefined): Promise<void> {
    if (leaseKeys === undefined || isDeepStrictEqual(leaseKeys, this.#enrolment.leaseKeys)) return;
    this.#enrolment = await rememberLeaseKeys(this.#enrolment, leaseKeys, this.#identityFile);
    this.#log.info({ keys: leaseKeys.length }, 'the keys that may sign leases have changed');
  }

  async #putInForce(bundle: LeaseBundle): Promise<void> {
    await this.#trustLeaseKeys(bundle.leaseKeys);
    await this.#apply(bundle);
    const problems = this.#allProblems();
    this.#stream.acknowledgeLease({ version: BigInt(bundle.version), listeners: this.#host.listeners(), problems });
    this.#log.info({ version: bundle.version, resources: bundle.resources.length, problems }, 'a lease is in force');
  }

  /** Puts a lease in force that was found good. At the start, an address that is taken is an error. */
  async #apply(bundle: LeaseBundle): Promise<void> {
    const { lease, problems } = openLease(bundle, this.#keys, this.#enrolment);
    const servable = bundle.resources.filter(resource => problems[resource.name] === undefined);
    const plan = await this.#ports.plan(servable.map(({ name, spec }) => ({ resource: name, listen: spec.listen ?? null })));
    const [taken] = Object.values(plan.problems);
    if (this.#firstLease !== null && taken !== undefined) throw new GatewayError('PORT_IN_USE', 'conflict', taken);
    this.#problems = { ...problems, ...plan.problems };
    this.#lease = bundle;
    const settled = new Promise<void>(resolve => {
      const timer = setTimeout(resolve, SETTLE_MS);
      this.#listenersChanged = () => {
        if (!this.#host.settled()) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#jwks?.useIssuers(trustedIssuers(bundle));
    this.#host.lease(lease, plan.listen);
    this.#listenersChanged?.();
    await settled;
    this.#listenersChanged = null;
    this.#firstLease?.resolve();
    this.#firstLease = null;
  }

  #allProblems(): Record<string, string> {
    return { ...this.#host.problems(), ...this.#problems };
  }

  /** The control plane has revoked this agent: its lease ends now, not when it would expire. Records go on being kept. */
  #leave(): void {
    if (this.#draining) return;
    this.#log.error({}, 'this agent was revoked: its sessions are ended and no new ones begin; enrol it anew with a new join token');
    this.#draining = true;
    this.#host.drain(Date.now());
    // Nor after a restart while nobody can be asked.
    fs.rm(this.#leaseFile, { force: true }).catch((error: unknown) => {
      this.#log.error({ why: errorText(error) }, 'the kept lease could not be deleted');
    });
  }

  #drain(deadlineMs: number): void {
    this.#log.warn({ deadline: new Date(deadlineMs).toISOString() }, 'the control plane asks for a drain');
    this.#draining = true;
    this.#host.drain(deadlineMs);
  }

  // Certificates

  #scheduleRenewal(failures: number): void {
    const backoff = Math.min(RENEW_POLL_MS * 10, 5000 * 2 ** failures);
    const pauseMs =
      failures > 0 ? backoff * (0.5 + Math.random() / 2) : Math.max(0, Math.min(this.#renewAtMs() - Date.now(), RENEW_POLL_MS));
    this.#renewTimer = setTimeout(() => void this.#renewIfDue(failures), pauseMs);
  }

  #renewAtMs(): number {
    return (this.#options.renewAtMs ?? renewAtMs)(this.#enrolment);
  }

  async #renewIfDue(failures: number): Promise<void> {
    if (this.#stopped !== null) return;
    if (Date.now() < this.#renewAtMs()) {
      this.#scheduleRenewal(0);
      return;
    }
    try {
      this.#enrolment = await renew(this.#client, () => this.#enrolment, this.#keys, this.#options.hostnames, this.#identityFile);
      this.#log.info({}, 'the certificates are renewed');
      const before = this.#client;
      this.#client = this.#newClient();
      this.#stream.reopen();
      this.#shipper.reopen();
      before.close();
      const lease = this.#lease;
      if (lease !== null) {
        this.#applying = this.#applying
          .then(() => this.#apply(lease))
          .catch((error: unknown) => this.#log.error({ why: errorText(error) }, 'the renewed certificate is not in use'));
      }
      this.#scheduleRenewal(0);
    } catch (error) {
      this.#log.warn({ why: errorText(error) }, 'the certificates could not be renewed yet');
      this.#scheduleRenewal(failures + 1);
    }
  }

  // Records

  #newShipper(): Shipper {
    const producer = this.#producer;
    return new Shipper({
      relay: () => (producer === null ? this.#client.relay() : new KafkaStream(producer)),
      ...(producer === null ? {} : { silenceMs: KAFKA_SILENCE_MS }),
      agentId: () => this.#enrolment.agentId,
      log: this.#options.log,
    });
  }

  #durable(worker: number, nextIndex: number): void {
    let shipment = this.#shipments.get(worker);
    if (shipment === undefined) {
      shipment = this.#shipper.add(this.#spoolDir(worker), shippedIndex => this.#host.shipped(worker, shippedIndex));
      this.#shipments.set(worker, shipment);
    }
    this.#shipper.durable(shipment, nextIndex);
  }

  #forgetShipment(worker: number): void {
    const shipment = this.#shipments.get(worker);
    this.#shipments.delete(worker);
    // While the agent stops, what the worker left is still shipped.
    if (shipment !== undefined && this.#stopped === null) void this.#shipper.remove(shipment);
  }

  /** A worker whose spool is broken serves nobody: another is started, which finds out whether the disk is well again. */
  async #watchSpools(): Promise<void> {
    for (const [worker, { spoolBroken }] of await this.#host.stats()) {
      if (spoolBroken !== 1) continue;
      this.#log.error({ worker }, "the disk of the worker's spool failed: the worker is started again");
      this.#host.restart(worker);
    }
  }

  /** Spools of workers that there are no longer: closed, shipped, and left empty. */
  async #adoptSpools(): Promise<void> {
    const dir = path.join(this.#options.dataDir, 'spool');
    const names = await fs.readdir(dir).catch(() => []);
    for (const name of names) {
      const worker = /^worker-(\d+)$/.exec(name)?.[1];
      if (worker === undefined || Number(worker) < this.#options.workers) continue;
      const spool = await openSpool({ dir: path.join(dir, name), bytesMax: this.#options.spoolBytesMax });
      this.#adopted.push(spool);
      this.#closeLedger(spool);
      const shipment = this.#shipper.add(path.join(dir, name), nextIndex => spool.shipped(nextIndex));
      this.#shipper.durable(shipment, spool.durableIndex);
    }
  }

  /** The last checkpoint of a spool that gets no new records. */
  #closeLedger(spool: Spool): void {
    const ledger = new Ledger({
      agentId: this.#enrolment.agentId,
      ledger: spool.id,
      sink: spool,
      state: spool.recovery.ledger,
      sign: message => signEd25519(this.#keys.signingKey, message),
      onCheckpoint: (statement, signature) => this.#stream.checkpoint(spool.id, statement, signature),
      nowUnixUs: () => Date.now() * 1000,
    });
    for (const head of spool.recovery.uncovered) ledger.note(head);
    ledger.cut();
  }

  // Reports

  async #spoolBytes(): Promise<number> {
    let bytes = 0;
    const dir = path.join(this.#options.dataDir, 'spool');
    for (const name of await fs.readdir(dir, { recursive: true }).catch(() => [])) {
      if (!name.endsWith('.spool')) continue;
      bytes += await fs.stat(path.join(dir, name)).then(
        stat => stat.size,
        () => 0, // deleted meanwhile
      );
    }
    return bytes;
  }

  async #health() {
    await this.#host.stats();
    return {
      atUnixUs: BigInt(Date.now()) * 1000n,
      spoolBytes: BigInt(await this.#spoolBytes()),
      spoolRecords: BigInt(this.#shipper.waiting),
      sessions: this.#host.sessionCount(),
      memoryBytes: BigInt(process.memoryUsage.rss()),
      listeners: this.#host.listeners(),
      problems: this.#allProblems(),
      draining: this.#draining,
      addedLatency: this.#host.addedLatency(),
    };
  }

  #readiness(): { ready: boolean; detail: Record<string, unknown> } {
    const reasons: string[] = [];
    if (this.#draining) reasons.push('draining');
    if (this.#lease === null) reasons.push('no lease yet');
    else if (Date.parse(this.#lease.expiresAt) <= Date.now()) reasons.push(`the lease expired at ${this.#lease.expiresAt}`);
    if (!this.#host.allReady()) reasons.push('a worker is starting');
    else if (this.#lease !== null && !this.#host.settled()) reasons.push('listeners are being opened');
    return {
      ready: reasons.length === 0,
      detail: {
        reasons,
        controlPlane: this.#stream.connected ? 'connected' : 'not connected',
        leaseVersion: this.#lease?.version ?? 0,
        leaseExpiresAt: this.#lease?.expiresAt ?? null,
        listeners: this.#host.listeners(),
        problems: this.#allProblems(),
      },
    };
  }

  async #metrics(): Promise<string> {
    const one = (name: string, help: string, type: Metric['type'], value: number): Metric => ({ name, help, type, samples: [{ value }] });
    const lease = this.#lease;
    const stats = await this.#host.stats();
    const latencies = this.#host.addedLatency();
    return metricsText([
      one('ready', '1 when new sessions are served', 'gauge', this.#readiness().ready ? 1 : 0),
      one('control_plane_connected', '1 when the stream to the control plane is up', 'gauge', this.#stream.connected ? 1 : 0),
      one('lease_version', 'version of the lease in force', 'gauge', lease?.version ?? 0),
      one(
        'lease_expires_seconds',
        'when the lease in force expires, seconds since 1970',
        'gauge',
        lease === null ? 0 : Date.parse(lease.expiresAt) / 1000,
      ),
      one('resources', 'resources that are listened for', 'gauge', Object.keys(this.#host.listeners()).length),
      one('resource_problems', 'resources that cannot be served', 'gauge', Object.keys(this.#allProblems()).length),
      one('live_sessions', 'sessions that live', 'gauge', this.#host.sessionCount()),
      one('worker_restarts_total', 'workers that died and were started again', 'counter', this.#host.restarts),
      one('spool_file_bytes', 'size of the spools on disk', 'gauge', await this.#spoolBytes()),
      one('records_waiting', 'durable records that the log has not acknowledged', 'gauge', this.#shipper.waiting),
      one('records_shipped_total', 'records that the log has acknowledged', 'counter', this.#shipper.recordsShipped),
      one('relay_up', '1 when records are being shipped', 'gauge', this.#shipper.problem === '' ? 1 : 0),
      one(
        'identity_provider_problems',
        'identity providers whose keys cannot be fetched',
        'gauge',
        Object.keys(this.#jwks?.problems() ?? {}).length,
      ),
      one('process_resident_memory_bytes', 'resident memory', 'gauge', process.memoryUsage.rss()),
      one('process_cpu_seconds_total', 'user and system CPU time', 'counter', (process.cpuUsage().user + process.cpuUsage().system) / 1e6),
      {
        name: 'added_latency_seconds',
        help: 'what the agent itself adds to a command (PostgreSQL, one in sixteen is measured where there are many), over the last five minutes',
        type: 'gauge',
        samples: [0.5, 0.95, 0.99].flatMap(share => {
          const us = latencyQuantile(latencies, share);
          return us === null ? [] : [{ labels: { quantile: String(share) }, value: us / 1e6 }];
        }),
      },
      ...workerMetrics(stats),
    ]);
  }
}

/** Loads the identity, or joins. @throws {GatewayError} */
async function enrol(options: AgentOptions, keys: AgentKeys): Promise<EnrolmentState> {
  const file = path.join(options.dataDir, 'identity.json');
  const existing = await loadEnrolment(file);
  if (existing !== null && options.joinToken !== null) {
    // Records of one installation must not be shipped to another.
    const { caFingerprint } = parseJoinToken(options.joinToken);
    if (!createHash('sha256').update(new X509Certificate(existing.ca).raw).digest().equals(caFingerprint)) {
      throw new GatewayError(
        'ENROLMENT_FOREIGN',
        'conflict',
        `${options.dataDir} belongs to an agent of another control plane: use another data folder`,
      );
    }
  }
  if (existing !== null && !certificateExpired(existing, Date.now())) return existing;
  if (options.joinToken === null) {
    // Whoever starts agents sees by the file whether one needs a token.
    if (existing !== null) await fs.rename(file, `${file}.expired`);
    throw existing === null
      ? new GatewayError(
          'NOT_ENROLLED',
          'unauthenticated',
          'this agent has not joined: give a join token (--join; make one with `sallyport agents invite`)',
        )
      : new GatewayError(
          'ENROLMENT_EXPIRED',
          'unauthenticated',
          "this agent's certificate has expired: give a new join token (--join; make one with `sallyport agents invite`)",
        );
  }
  const { joinToken: token, controlPlane: address, name, labels, hostnames, version } = options;
  const backoff = new Backoff(200, 2000);
  const untilMs = Date.now() + (options.joinPatienceMs ?? 30_000);
  for (;;) {
    try {
      const state = await join({ token, address, name, labels, hostnames, version }, keys, file);
      options.log.info({ agentId: state.agentId, name }, 'joined');
      return state;
    } catch (error) {
      const unreachable = error instanceof GatewayError && error.code === 'CONTROL_PLANE_UNREACHABLE';
      if (!unreachable || Date.now() >= untilMs) throw error;
      options.log.warn({ why: error.message }, 'joining is tried again');
      await pause(backoff.nextMs());
    }
  }
}

/** Loads Kafka's client, some hundred files, only for an agent that has a way to Kafka. */
async function recordsProducer(config: KafkaConfig): Promise<KafkaProducer> {
  const { KafkaProducer } = await import('@sallyport/kafka/producer.ts');
  return new KafkaProducer({
    config,
    topic: config.topics.records,
    messageType: 'sallyport.records.v1.RecordBatch',
    patienceMs: KAFKA_PATIENCE_MS,
  });
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
