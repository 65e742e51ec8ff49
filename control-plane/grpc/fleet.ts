/**
 * The agents that are connected now: who they are, what they serve, their live sessions; leases to them, kills, revocations and
 * approvals' outcomes. All of it is live state of this process, gone with it, and told again by the agents when they reconnect.
 */
import { create } from '@bufbuild/protobuf';
import {
  ApprovalDecidedSchema,
  Capability,
  type ControlMessage,
  DrainSchema,
  KillSessionSchema,
  LogLevelSchema,
  RevocationsSchema,
  SessionObservedSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';
import { partHash } from '@sallyport/shared/policy/lease-parts.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import type { IssuedTicket, WatchElsewhere } from '../aggregates/administration.ts';
import { certificateIsGood } from '../aggregates/agent.ts';
import type { ApprovalState } from '../aggregates/approval.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { RecordedEvent } from '../aggregates/projection.ts';
import { type ActiveAgent, LeaseBuilder, type Stored, serves } from '../leases/lease-bundle.ts';
import { SharedLease } from '../leases/shared-lease.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import type { SigningKeys } from '../pki/signing-keys.ts';
import type { AgentConnection, LiveSessionView } from './agent-connection.ts';
import { AgentLease, type LeaseSources } from './agent-lease.ts';

export interface FleetOptions {
  control: ControlLog;
  keys: ControlPlaneKeys;
  signingKeys: SigningKeys;
  logger: Logger;
  clock: () => number;
  leaseLifetimeMs: number;
  /** Where people find the console; absent: not known. */
  consoleUrl?: string;
}

interface Connected {
  connection: AgentConnection;
  /** Ends the stream with the reason. */
  end: (why: 'replaced' | 'revoked' | 'stopping') => void;
  lease: AgentLease;
}

/** Streams whose changes are in no lease, or in that of one agent: most events of a busy installation are of these. */
const UNLEASED = new Set(['agent', 'checkpoint', 'timestamp', 'retention', 'administration', 'key', 'channel', 'access-policy']);
/** Whose changes may be in what is sealed to agents. */
const SEALED = new Set(['resource', 'credential']);
/** Whose changes may end tickets, and keys, by the fold. */
const REVOKING = new Set(['account-secret', 'identity-provider', 'ssh-key']);
const WATCHES = new Set(['SessionWatched', 'SessionWatchContinued', 'SessionWatchEnded']);
/** Agents that are told between two turns of the event loop: a kill does not wait for thousands of leases. */
const SWEEP_STEP = 64;
const RENEWAL_LOOK_MS = 1000;
/** What is in a lease for a time only ends without an event. */
const REFRESH_MS = 60_000;

export class Fleet {
  readonly #options: FleetOptions;
  readonly #builder: LeaseBuilder;
  readonly #connected = new Map<string, Connected>();
  readonly #unsubscribe: () => void;
  readonly #renewal: NodeJS.Timeout;
  /** Whether the sweep that tells the agents is to begin once more. */
  #sweep: 'idle' | 'running' | 'again' = 'idle';
  #closed = false;
  /** Group → what its agents share; groups that nobody is of are forgotten. */
  readonly #shared = new Map<string, SharedLease>();
  /** Labels of an invitation → what its agents serve. Forgotten when resources change. */
  readonly #groups = new Map<string, { resources: readonly Stored<'Resource'>[]; shared: SharedLease }>();
  /** Groups whose shared half is as the state is now. */
  readonly #fresh = new Set<SharedLease>();
  #ownEpoch = 0;
  #refreshedAtMs = 0;
  readonly counters = { leasesSent: 0, connects: 0, kills: 0 };
  readonly #watchers = new Set<(agentId: string) => void>();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#builder = new LeaseBuilder(options.keys, options.signingKeys, options.consoleUrl);
    this.#unsubscribe = options.control.onAccepted(events => this.#accepted(events));
    this.#renewal = setInterval(() => this.#renew(), Math.min(RENEWAL_LOOK_MS, options.leaseLifetimeMs / 10));
    this.#renewal.unref();
  }

  /** Adds a connection; an older one of the same agent is ended, for an agent has one stream. */
  connect(connection: AgentConnection, end: Connected['end']): void {
    const { agentId } = connection.identity;
    this.#connected.get(agentId)?.end('replaced');
    this.#connected.set(agentId, { connection, end, lease: new AgentLease(agentId) });
    this.counters.connects++;
    this.heardOf(agentId);
  }

  /** Calls back whenever an agent came, went, or told something new of itself. */
  onAgentChanged(watcher: (agentId: string) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** When the agent's lease was signed; undefined when it is not connected or has none yet. */
  leaseIssuedAtMs(agentId: string): number | undefined {
    return this.#connected.get(agentId)?.lease.issuedAtMs || undefined;
  }

  /** @returns whether the agent is connected and was told to take no new sessions. */
  drain(agentId: string, deadlineMs: number): boolean {
    const connection = this.connection(agentId);
    if (connection === undefined) return false;
    connection.send({ case: 'drain', value: create(DrainSchema, { deadlineUnixUs: BigInt(deadlineMs) * 1000n }) });
    connection.draining = true;
    this.heardOf(agentId);
    return true;
  }

  /** Tells the agent how much its log is to say, where it is connected here and understands that. */
  setLogLevel(agentId: string, level: string, forMs: number): void {
    const connection = this.connection(agentId);
    if (connection?.capabilities.includes(Capability.LOG_LEVEL) !== true) return;
    connection.send({ case: 'logLevel', value: create(LogLevelSchema, { level, forMs: Math.max(0, forMs) }) });
  }

  heardOf(agentId: string): void {
    for (const watcher of this.#watchers) watcher(agentId);
  }

  disconnect(connection: AgentConnection): void {
    const { agentId } = connection.identity;
    if (this.#connected.get(agentId)?.connection === connection) this.#connected.delete(agentId);
    connection.close();
    this.heardOf(agentId);
  }

  /** An agent has come and told what it has: it gets the lease as it is now, or what differs. */
  greeted(connection: AgentConnection, sharedDigest: string): void {
    const entry = this.#connected.get(connection.identity.agentId);
    if (entry?.connection !== connection) return;
    entry.lease.greeted(connection.capabilities, sharedDigest, Number(connection.leaseVersion));
    this.#lease(entry);
  }

  /** An agent could not apply what it was told: it gets everything. */
  leaseWanted(connection: AgentConnection): void {
    const entry = this.#connected.get(connection.identity.agentId);
    if (entry?.connection !== connection) return;
    entry.lease.wanted();
    this.#lease(entry);
  }

  connection(agentId: string): AgentConnection | undefined {
    return this.#connected.get(agentId)?.connection;
  }

  /** A connected agent that serves the resource, if there is one. */
  servingAgent(resource: string): AgentConnection | undefined {
    return this.#servingConnections(resource)[0];
  }

  liveSessions(): LiveSessionView[] {
    return [...this.#connected.values()].flatMap(({ connection }) => connection.liveSessions(this.#servedBy(connection)));
  }

  liveSession(sessionId: string): LiveSessionView | undefined {
    for (const { connection } of this.#connected.values()) {
      const session = connection.liveSession(sessionId, this.#servedBy(connection));
      if (session !== undefined) return session;
    }
    return undefined;
  }

  /** Whether an agent may serve a resource, by its labels. */
  #servedBy({ identity }: AgentConnection): (resource: string) => boolean {
    const { state } = this.#options.control;
    const agent = state.agent(identity.agentId);
    const known = new Map<string, boolean>();
    return resource => {
      const before = known.get(resource);
      if (before !== undefined) return before;
      const manifest = state.manifest('Resource', resource)?.manifest as Manifest<'Resource'> | undefined;
      const isServed = manifest !== undefined && agent.status === 'active' && serves(agent, manifest);
      known.set(resource, isServed);
      return isServed;
    };
  }

  connections(): AgentConnection[] {
    return [...this.#connected.values()].map(({ connection }) => connection);
  }

  /** @returns whether an agent has this session and was told to end it. */
  killSession(sessionId: string, reason: string): boolean {
    // To each that says it has it: one that lies must not keep the message from the one that does.
    const claiming = this.connections().filter(connection => connection.sessions.has(sessionId));
    for (const connection of claiming) connection.send({ case: 'killSession', value: create(KillSessionSchema, { sessionId, reason }) });
    if (claiming.length > 0) this.counters.kills++;
    return claiming.length > 0;
  }

  /** Tells the agent that somebody watches this session, for so long from now on; 0: no more. */
  observeSession(sessionId: string, watchId: string, observer: string, forMs: number): void {
    for (const connection of this.connections())
      if (connection.sessions.has(sessionId))
        connection.send({ case: 'sessionObserved', value: create(SessionObservedSchema, { sessionId, watchId, observer, forMs }) });
  }

  /** Addresses where a resource can be reached now, as its agents report them. */
  addressesOf(resource: string): { agent: string; address: string }[] {
    return this.#servingConnections(resource).flatMap(connection => {
      const address = connection.listeners[resource] ?? '';
      return connection.draining ? [] : [{ agent: connection.identity.agent.details.name, address }];
    });
  }

  /** Agents that listen for a resource and may: what an agent says of others' resources would lead people and their tickets to it. */
  #servingConnections(resource: string): AgentConnection[] {
    const { state } = this.#options.control;
    const manifest = state.manifest('Resource', resource)?.manifest as Manifest<'Resource'> | undefined;
    if (manifest === undefined) return [];
    return this.connections().filter(connection => {
      const agent = state.agent(connection.identity.agentId);
      return (connection.listeners[resource] ?? '') !== '' && agent.status === 'active' && serves(agent, manifest);
    });
  }

  /** Tells the outcome of an approval to the agent that asked. */
  tellApproval(approvalId: string, state: ApprovalState): void {
    if (state.status === 'unknown' || state.status === 'pending') return;
    const { question } = state;
    this.#connected.get(question.agentId)?.connection.send({
      case: 'approvalDecided',
      value: create(ApprovalDecidedSchema, {
        approvalId,
        state: state.status,
        by: state.by,
        reason: state.reason,
        binding: Buffer.from(question.binding, 'base64'),
      }),
    });
  }

  close(): void {
    clearInterval(this.#renewal);
    this.#closed = true;
    this.#unsubscribe();
    for (const { end } of [...this.#connected.values()]) end('stopping');
  }

  #accepted(events: RecordedEvent[]): void {
    const { state } = this.#options.control;
    const revoked: string[] = [];
    let isLeased = false;
    for (const { stream, type, payload, reason, atUnixUs, authorIdentity } of events) {
      const [kind, id] = [stream.slice(0, stream.indexOf('/')), stream.slice(stream.indexOf('/') + 1)];
      if (!UNLEASED.has(kind) || this.#isHolderSeen(type, payload, authorIdentity)) isLeased = true;
      if (kind === 'resource') this.#groups.clear();
      if (SEALED.has(kind)) this.#ownEpoch++;
      if (kind === 'ticket') revoked.push(id);
      else if (kind === 'approval') this.tellApproval(id, state.approval(id));
      else if (kind === 'agent') this.#agentChanged(id);
      else if (REVOKING.has(kind) || type === 'ServiceAccountDeleted') revoked.push(...state.revokedTickets(this.#options.clock()));
      else if (type === 'AgentLogLevelSet') this.#logLevelSet(payload as { agentId: string; level: string; forSeconds: number }, atUnixUs);
      else if (type === 'SessionKilled') this.killSession((payload as { sessionId: string }).sessionId, reason);
      else if (WATCHES.has(type))
        this.#watchedElsewhere(payload as { sessionId: string; watch?: WatchElsewhere }, Number(atUnixUs / 1000n));
    }
    if (revoked.length > 0) {
      for (const { connection } of this.#connected.values()) {
        connection.send({ case: 'revocations', value: create(RevocationsSchema, { tokenIds: revoked }) });
      }
    }
    if (isLeased) this.#refresh();
  }

  /** Somebody has signed in whose public keys are in leases, with what is known of their groups. */
  #isHolderSeen(type: string, payload: unknown, author: RecordedEvent['authorIdentity']): boolean {
    if (type === 'TicketIssued') return (payload as IssuedTicket).groups !== undefined;
    return type === 'SignedIn' && author !== undefined && this.#options.control.state.sshKeys.holds(author);
  }

  /** What is read late, or of a clock that goes wrong, is good for less time: nobody counts as present for longer than was said. */
  #watchedElsewhere({ sessionId, watch }: { sessionId: string; watch?: WatchElsewhere }, atMs: number): void {
    if (watch === undefined) return;
    const ageMs = Math.max(0, this.#options.clock() - atMs);
    this.observeSession(sessionId, watch.watchId, watch.observer, Math.max(0, watch.forMs - ageMs));
  }

  /** At whatever replica it was asked for; what is left of the time counts from then. */
  #logLevelSet({ agentId, level, forSeconds }: { agentId: string; level: string; forSeconds: number }, atUnixUs: bigint): void {
    const untilMs = Number(atUnixUs / 1000n) + forSeconds * 1000;
    this.setLogLevel(agentId, level, untilMs - this.#options.clock());
  }

  #agentChanged(agentId: string): void {
    const entry = this.#connected.get(agentId);
    if (entry === undefined) return;
    const { serial } = entry.connection.identity;
    if (certificateIsGood(this.#options.control.state.agent(agentId), serial, this.#options.clock())) {
      this.#lease(entry); // Its names may have changed, which are in certificates.
      return;
    }
    entry.end('revoked');
    this.#builder.forget(agentId);
  }

  /** Tells every agent what has changed for it. Many events in one turn make one sweep; one that comes meanwhile makes one more. */
  #refresh(): void {
    this.#fresh.clear();
    this.#refreshedAtMs = this.#options.clock();
    if (this.#sweep !== 'idle') {
      this.#sweep = 'again';
      return;
    }
    this.#sweep = 'again';
    setImmediate(() => void this.#sweepAll());
  }

  async #sweepAll(): Promise<void> {
    while (this.#sweep === 'again' && !this.#closed) {
      this.#sweep = 'running';
      let told = 0;
      for (const entry of [...this.#connected.values()]) {
        this.#lease(entry);
        if (++told % SWEEP_STEP === 0) await new Promise(resolve => setImmediate(resolve));
        if (this.#closed) break;
      }
    }
    this.#sweep = 'idle';
  }

  #renew(): void {
    const nowMs = this.#options.clock();
    const { leaseLifetimeMs } = this.#options;
    if (nowMs - this.#refreshedAtMs >= Math.min(REFRESH_MS, leaseLifetimeMs / 10)) {
      const used = new Set([...this.#connected.values()].map(({ lease }) => lease.group));
      for (const group of this.#shared.keys()) if (!used.has(group)) this.#shared.delete(group);
      this.#groups.clear();
      this.#refresh();
      return;
    }
    for (const entry of this.#connected.values()) if (entry.lease.isDue(nowMs, leaseLifetimeMs)) this.#lease(entry);
  }

  /** What the lease says is found out when the agent's stream can take it. */
  #lease(entry: Connected): void {
    // Before it has said what it has and understands, nothing is sent.
    if (!entry.lease.isGreeted) return;
    entry.connection.leaseDue(() => this.#compose(entry));
  }

  #compose({ connection, lease }: Connected): ControlMessage | null {
    const { control, logger } = this.#options;
    const { agentId } = connection.identity;
    const agent = control.state.agent(agentId);
    if (agent.status !== 'active') return null;
    // Another replica has told the agent more than this one knows yet.
    if (control.position < connection.leaseVersion) return null;
    try {
      const message = lease.compose(agent, this.#sources());
      if (message !== null) this.counters.leasesSent++;
      return message;
    } catch (error) {
      // The agent keeps the lease it has: no lease is better than half of one.
      logger.error({ agentId, err: errorText(error) }, 'no lease could be made');
      return null;
    }
  }

  #sources(): LeaseSources {
    const { control, signingKeys, clock, leaseLifetimeMs } = this.#options;
    return {
      ...{ builder: this.#builder, leaseKey: signingKeys.current('lease').key, state: control.state, version: Number(control.position) },
      ...{ nowMs: clock(), lifetimeMs: leaseLifetimeMs, ownEpoch: this.#ownEpoch },
      groupOf: agent => this.#groupOf(agent),
    };
  }

  #groupOf(agent: ActiveAgent): ReturnType<LeaseSources['groupOf']> {
    const { control, signingKeys, clock, leaseLifetimeMs } = this.#options;
    const { labels, everyResource } = agent.invitation;
    const key = everyResource ? '' : JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
    let group = this.#groups.get(key);
    if (group === undefined) {
      const resources = this.#builder.resourcesFor(agent.invitation, control.state);
      const id = partHash(Buffer.from(JSON.stringify(resources.map(({ manifest }) => manifest.name)))).slice(0, 32);
      const shared = this.#shared.get(id) ?? new SharedLease(id, () => signingKeys.current('lease').key, leaseLifetimeMs);
      this.#shared.set(id, shared);
      group = { resources, shared };
      this.#groups.set(key, group);
    }
    if (!this.#fresh.has(group.shared)) {
      group.shared.update(this.#builder.shared(group.resources, control.state, clock()), Number(control.position), clock());
      this.#fresh.add(group.shared);
    }
    return group;
  }
}
