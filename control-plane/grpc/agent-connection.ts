/**
 * One agent's control stream: what the agent told of itself, and a bounded queue of what it is to be told.
 *
 * No lease ever waits in a queue: that one is due is remembered, and what it says is found out when the agent can take it. Other messages
 * queue up to a bound, beyond which the stream is ended: the agent comes back and gets the state as it is then. One slow agent holds
 * back nobody.
 */
import { create } from '@bufbuild/protobuf';
import {
  type AgentMessage,
  type ControlMessage,
  ControlMessageSchema,
  type Health,
  type LiveSession,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { AgentIdentity } from './agent-identity.ts';

/** The part of the gRPC stream that is used here. */
export interface ControlStream {
  write(message: ControlMessage): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

export interface LiveSessionView {
  sessionId: string;
  agentId: string;
  agent: string;
  resource: string;
  principal: string;
  principalKind: string;
  clientAddress: string;
  startedAtMs: number;
  role: string;
  /** Empty when the agent is too old to say it. */
  issuer: string;
}

const queueMax = 1000;
const catalogsMax = 16;
/** Longer than the agent's own bound. */
const catalogTimeoutMs = 90_000;
const sessionsMax = 100_000;
const capabilitiesMax = 64;

/** The last moment that a Date can be. */
const timeMsMax = 8_640_000_000_000_000;

export class AgentConnection {
  readonly identity: AgentIdentity;
  readonly connectedAtMs: number;
  version = '';
  lastSeenAtMs: number;
  /** Acknowledged by the agent. */
  leaseVersion = 0n;
  health: Health | null = null;
  listeners: Record<string, string> = {};
  problems: Record<string, string> = {};
  /** It takes no new sessions. */
  draining = false;
  /** The way to it and back, at the last health report. */
  roundTripMs: number | null = null;
  #ping: { nonce: bigint; sentAtMs: number } | null = null;
  #pings = 0n;
  /** Who waits for an answer to a ping of their own. */
  readonly #probes = new Map<bigint, (answered: boolean) => void>();
  /** Which process speaks; empty: it does not say. */
  instance = '';
  /** What the agent says; see `liveSessions`. */
  readonly sessions = new Map<string, LiveSession>();
  /** Sessions of resources that the agent served when they were first asked for. */
  readonly #vouched = new Set<string>();
  readonly #stream: ControlStream;
  readonly #onOverflow: () => void;
  #queue: ControlMessage['body'][] = [];
  /** Says what is due when the stream can take it; null: nothing is due. */
  #lease: (() => ControlMessage | null) | null = null;
  /** What it said that it understands. */
  capabilities: readonly number[] = [];
  #blocked = false;
  #catalogId = 0n;
  /** Who waits for a catalog; null: it will not come. */
  readonly #catalogs = new Map<bigint, (told: { catalog: Uint8Array; problem: string } | null) => void>();
  #open = true;

  constructor(identity: AgentIdentity, stream: ControlStream, nowMs: number, onOverflow: () => void) {
    this.identity = identity;
    this.#stream = stream;
    this.connectedAtMs = nowMs;
    this.lastSeenAtMs = nowMs;
    this.#onOverflow = onOverflow;
  }

  /** @param compose asked once, when the agent can take it; null when it turns out that nothing is due. */
  leaseDue(compose: () => ControlMessage | null): void {
    if (!this.#open) return;
    this.#lease = compose;
    this.#flush();
  }

  send(body: Exclude<ControlMessage['body'], { case: undefined }>): void {
    if (!this.#open) return;
    if (this.#queue.length >= queueMax) {
      this.#onOverflow();
      return;
    }
    this.#queue.push(body);
    this.#flush();
  }

  /** Takes in what concerns the connection itself; approvals are the server's business. */
  receive(message: AgentMessage, nowMs: number): void {
    this.lastSeenAtMs = nowMs;
    const { body } = message;
    switch (body.case) {
      case 'hello':
        this.version = body.value.version.slice(0, 64);
        this.leaseVersion = body.value.leaseVersion;
        this.instance = body.value.instance.slice(0, 64);
        this.capabilities = body.value.capabilities.slice(0, capabilitiesMax);
        this.sessions.clear();
        this.#vouched.clear();
        for (const session of body.value.sessions) this.#sessionStarted(session);
        break;
      case 'health':
        this.health = body.value;
        this.listeners = body.value.listeners;
        this.problems = body.value.problems;
        this.draining = body.value.draining;
        this.#askForPong();
        break;
      case 'pong':
        this.#probes.get(body.value.nonce)?.(true);
        if (this.#ping?.nonce === body.value.nonce) {
          this.roundTripMs = performance.now() - this.#ping.sentAtMs;
          this.#ping = null;
        }
        break;
      case 'leaseAck':
        this.leaseVersion = body.value.version;
        this.listeners = { ...this.listeners, ...body.value.listeners };
        this.problems = body.value.problems;
        break;
      case 'sessionsChanged':
        for (const session of body.value.started) this.#sessionStarted(session);
        for (const id of body.value.ended) {
          this.sessions.delete(id);
          this.#vouched.delete(id);
        }
        break;
      case 'catalogTold':
        this.#catalogs.get(body.value.id)?.(body.value);
        break;
      case 'checkpointed':
      case 'leaseWanted':
      case 'approvalRequested':
      case 'approvalWithdrawn':
      case undefined:
        break;
    }
  }

  /**
   * Asks the agent for the catalog of a resource's database.
   *
   * @returns gzip of the JSON of a catalog file.
   * @throws {GatewayError} CATALOG_UNAVAILABLE with the agent's reason.
   */
  async catalog(resource: string, database: string): Promise<Uint8Array> {
    if (this.#catalogs.size >= catalogsMax) throw noCatalog('the agent is asked for other catalogs already; try again');
    const id = ++this.#catalogId;
    try {
      const told = await new Promise<{ catalog: Uint8Array; problem: string }>((resolve, reject) => {
        const late = setTimeout(() => reject(noCatalog('the agent did not answer in time')), catalogTimeoutMs);
        this.#catalogs.set(id, answer => {
          clearTimeout(late);
          if (answer === null) reject(noCatalog('the agent’s connection ended'));
          else resolve(answer);
        });
        this.send({ case: 'catalogAsked', value: { $typeName: 'sallyport.agent.v1.CatalogAsked', id, resource, database } });
      });
      if (told.problem !== '') throw noCatalog(told.problem.slice(0, 500));
      return told.catalog;
    } finally {
      this.#catalogs.delete(id);
    }
  }

  /**
   * Sessions of resources that the agent serves: its word on others is nobody's. A session that was one goes on when its resource is
   * given to other agents.
   */
  liveSessions(serves: (resource: string) => boolean): LiveSessionView[] {
    return [...this.sessions.values()].filter(session => this.#isVouched(session, serves)).map(session => this.#view(session));
  }

  liveSession(sessionId: string, serves: (resource: string) => boolean): LiveSessionView | undefined {
    const session = this.sessions.get(sessionId);
    return session === undefined || !this.#isVouched(session, serves) ? undefined : this.#view(session);
  }

  #isVouched({ sessionId, resource }: LiveSession, serves: (resource: string) => boolean): boolean {
    if (this.#vouched.has(sessionId)) return true;
    if (!serves(resource)) return false;
    this.#vouched.add(sessionId);
    return true;
  }

  #view(session: LiveSession): LiveSessionView {
    return {
      sessionId: session.sessionId,
      agentId: this.identity.agentId,
      agent: this.identity.agent.details.name,
      resource: session.resource,
      principal: session.principal,
      principalKind: session.principalKind,
      clientAddress: session.clientAddress,
      // What cannot be a time is none: an agent's word breaks no listing.
      startedAtMs: Math.min(Math.max(0, Number(session.startedUnixUs / 1000n)), timeMsMax),
      role: session.role,
      issuer: session.issuer,
    };
  }

  /** Whether the agent at the other end answers: a connection whose machine is gone looks as open as any other for a while. */
  async isAlive(withinMs: number): Promise<boolean> {
    if (!this.#open) return false;
    const nonce = ++this.#pings;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const late = setTimeout(() => resolve(false), withinMs);
    this.#probes.set(nonce, resolve);
    this.send({ case: 'ping', value: { $typeName: 'sallyport.agent.v1.Ping', nonce } });
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#probes.delete(nonce);
    }
  }

  #askForPong(): void {
    const nonce = ++this.#pings;
    this.#ping = { nonce, sentAtMs: performance.now() };
    this.send({ case: 'ping', value: { $typeName: 'sallyport.agent.v1.Ping', nonce } });
  }

  close(): void {
    this.#open = false;
    for (const answer of [...this.#catalogs.values()]) answer(null);
    for (const answered of [...this.#probes.values()]) answered(false);
    this.#queue = [];
    this.#lease = null;
  }

  #sessionStarted(session: LiveSession): void {
    if (this.sessions.size < sessionsMax) this.sessions.set(session.sessionId, session);
  }

  #flush(): void {
    while (this.#open && !this.#blocked) {
      const message = this.#next();
      if (message === null) return;
      if (!this.#stream.write(message)) {
        this.#blocked = true;
        this.#stream.once('drain', () => {
          this.#blocked = false;
          this.#flush();
        });
      }
    }
  }

  /** What ends a session or a ticket goes first: it must not wait behind a large lease. */
  #next(): ControlMessage | null {
    const body = this.#queue.shift();
    if (body !== undefined) return create(ControlMessageSchema, { body });
    const compose = this.#lease;
    this.#lease = null;
    return compose === null ? null : compose();
  }
}

function noCatalog(why: string): GatewayError {
  return new GatewayError('CATALOG_UNAVAILABLE', 'unavailable', `The catalog is not there: ${why}.`);
}
