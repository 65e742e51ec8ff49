/**
 * The agents that are connected now: who they are, what they serve, their live sessions; leases to them, kills, revocations and
 * approvals' outcomes. All of it is live state of this process, gone with it, and told again by the agents when they reconnect.
 */
import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  ApprovalDecidedSchema,
  DrainSchema,
  KillSessionSchema,
  RevocationsSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import { certificateIsGood } from '../aggregates/agent.ts';
import type { ApprovalState } from '../aggregates/approval.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { RecordedEvent } from '../aggregates/projection.ts';
import { LeaseBuilder, serves } from '../leases/lease-bundle.ts';
import { signLease } from '../leases/signed-lease.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import type { AgentConnection, LiveSessionView } from './agent-connection.ts';

export interface FleetOptions {
  control: ControlLog;
  keys: ControlPlaneKeys;
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
  /** Digest of the lease content that was sent last. */
  leaseDigest: string;
  leaseIssuedAtMs: number;
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #builder: LeaseBuilder;
  readonly #connected = new Map<string, Connected>();
  readonly #unsubscribe: () => void;
  readonly #renewal: NodeJS.Timeout;
  #refreshing: NodeJS.Immediate | null = null;
  readonly counters = { leasesSent: 0, connects: 0, kills: 0 };
  readonly #watchers = new Set<(agentId: string) => void>();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#builder = new LeaseBuilder(options.keys, options.consoleUrl);
    this.#unsubscribe = options.control.onAccepted(events => this.#accepted(events));
    this.#renewal = setInterval(() => this.#refresh(), Math.min(60_000, options.leaseLifetimeMs / 10));
    this.#renewal.unref();
  }

  /** Adds a connection; an older one of the same agent is ended, for an agent has one stream. */
  connect(connection: AgentConnection, end: Connected['end']): void {
    const { agentId } = connection.identity;
    this.#connected.get(agentId)?.end('replaced');
    this.#connected.set(agentId, { connection, end, leaseDigest: '', leaseIssuedAtMs: 0 });
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
    return this.#connected.get(agentId)?.leaseIssuedAtMs || undefined;
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

  heardOf(agentId: string): void {
    for (const watcher of this.#watchers) watcher(agentId);
  }

  disconnect(connection: AgentConnection): void {
    const { agentId } = connection.identity;
    if (this.#connected.get(agentId)?.connection === connection) this.#connected.delete(agentId);
    connection.close();
    this.heardOf(agentId);
  }

  /** Sends the lease as it is now, whatever the agent has. */
  sendLease(connection: AgentConnection): void {
    const entry = this.#connected.get(connection.identity.agentId);
    if (entry?.connection === connection) this.#lease(entry, true);
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
    if (this.#refreshing !== null) clearImmediate(this.#refreshing);
    this.#unsubscribe();
    for (const { end } of [...this.#connected.values()]) end('stopping');
  }

  #accepted(events: RecordedEvent[]): void {
    const { state } = this.#options.control;
    const revoked: string[] = [];
    for (const { stream, type, payload, reason } of events) {
      const [kind, id] = [stream.slice(0, stream.indexOf('/')), stream.slice(stream.indexOf('/') + 1)];
      if (kind === 'ticket') revoked.push(id);
      else if (kind === 'approval') this.tellApproval(id, state.approval(id));
      else if (kind === 'agent') this.#agentChanged(id);
      else if (type === 'SessionKilled') this.killSession((payload as { sessionId: string }).sessionId, reason);
    }
    if (revoked.length > 0) {
      for (const { connection } of this.#connected.values()) {
        connection.send({ case: 'revocations', value: create(RevocationsSchema, { tokenIds: revoked }) });
      }
    }
    // Many events in one turn make one new lease.
    this.#refreshing ??= setImmediate(() => {
      this.#refreshing = null;
      this.#refresh();
    });
  }

  #agentChanged(agentId: string): void {
    const entry = this.#connected.get(agentId);
    if (entry === undefined) return;
    const { serial } = entry.connection.identity;
    if (certificateIsGood(this.#options.control.state.agent(agentId), serial, this.#options.clock())) return;
    entry.end('revoked');
    this.#builder.forget(agentId);
  }

  #refresh(): void {
    for (const entry of this.#connected.values()) this.#lease(entry, false);
  }

  #lease(entry: Connected, always: boolean): void {
    const { control, keys, clock, leaseLifetimeMs, logger } = this.#options;
    const { agentId } = entry.connection.identity;
    const agent = control.state.agent(agentId);
    if (agent.status !== 'active') return;
    // Another replica has told the agent more than this one knows yet.
    if (control.position < entry.connection.leaseVersion) return;
    const nowMs = clock();
    try {
      const content = this.#builder.build(agentId, agent, control.state, nowMs);
      const digest = createHash('sha256').update(JSON.stringify(content)).digest('base64');
      const due = nowMs - entry.leaseIssuedAtMs > leaseLifetimeMs / 4;
      if (!always && !due && digest === entry.leaseDigest) return;
      const lease = signLease(
        {
          version: Number(control.position),
          issuedAt: new Date(nowMs).toISOString(),
          expiresAt: new Date(nowMs + leaseLifetimeMs).toISOString(),
          ...content,
        },
        keys.leaseKey,
      );
      entry.leaseDigest = digest;
      entry.leaseIssuedAtMs = nowMs;
      entry.connection.sendLease(lease);
      this.counters.leasesSent++;
    } catch (error) {
      // The agent keeps the lease it has: no lease is better than half of one.
      logger.error({ agentId, err: errorText(error) }, 'no lease could be made');
    }
  }
}
