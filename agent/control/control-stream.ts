/**
 * The agent's one stream to the control plane: keeps it up, says hello, reports health and sessions, hands on what arrives.
 *
 * Nothing here is in the way of a session: with the stream down, sessions go on, and what they report is told anew by the next
 * Hello. Only approval requests are kept until they are decided.
 */
import { randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import {
  type AgentMessage,
  AgentMessageSchema,
  type ApprovalRequested,
  Capability,
  type ControlMessage,
  type Health,
  type Hello,
  type LeaseAck,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { PrincipalKind } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText, type GatewayError, unreachable } from '@sallyport/shared/errors.ts';
import { decodeStatement } from '@sallyport/shared/evidence/checkpoint.ts';
import type { Log } from '../log.ts';
import type { ApprovalRequest, LiveSessionInfo } from '../worker-messages.ts';
import { Backoff } from './backoff.ts';
import { fromStatus } from './control-plane-client.ts';
import type { SignedLease } from './lease.ts';
import type { LeaseUpdate } from './lease-halves.ts';

type Fields<T> = Omit<T, '$typeName' | '$unknown'>;

export interface ControlStreamOptions {
  connect: () => ClientDuplexStream<AgentMessage, ControlMessage>;
  version: string;
  leaseVersion: () => number;
  sessions: () => Iterable<LiveSessionInfo>;
  health: () => Promise<Fields<Health>>;
  /** A failure must not reach the stream: what is handed on is handed on. */
  onLease: (lease: SignedLease) => void;
  onLeaseUpdate: (update: LeaseUpdate) => void;
  /** Digest of the shared half that it has, hex; empty: none. */
  sharedDigest: () => string;
  onConnected?: (connected: boolean) => void;
  onKill: (sessionId: string, reason: string) => void;
  /** Somebody watches a session for so long from now on; 0: no more. */
  onObserved: (sessionId: string, watchId: string, observer: string, forMs: number) => void;
  onApproval: (decided: {
    approvalId: string;
    state: 'approved' | 'denied' | 'expired';
    by: string[];
    reason: string;
    binding: Uint8Array;
  }) => void;
  onRevoked: (tokenIds: string[]) => void;
  onDrain: (deadlineUnixMs: number) => void;
  /** How much the log is to say, for so long; absent: it stays as it is. */
  onLogLevel?: (level: string, forMs: number) => void;
  /** Never rejects; absent: this agent reads no catalogs. */
  onCatalogAsked?: (resource: string, database: string) => Promise<{ catalog: Uint8Array; problem: string }>;
  /** The control plane knows this agent no longer, or its certificate has expired. What is served goes on until the lease expires. */
  onRefused: (error: GatewayError) => void;
  log: Log;
  healthMs?: number;
  silenceMs?: number;
  backoff?: Backoff;
}

const HEALTH_MS = 10_000;
/** The control plane answers Hello with a lease; one that says nothing at all is hung, or no control plane. */
const SILENCE_MS = 15_000;
/** Sessions that come and go within this time are told in one message, or not at all. */
const GATHER_MS = 100;
/** Beyond this, the control plane does not read: health reports wait for the next turn. */
const WAITING_BYTES_MAX = 1024 * 1024;
const APPROVALS_MAX = 10_000;

export class ControlStream {
  readonly #options: ControlStreamOptions;
  readonly #backoff: Backoff;
  /** Of this process, and nowhere on disk: whoever copies the data folder does not have it. */
  readonly #instance = randomBytes(16).toString('hex');
  #call: ClientDuplexStream<AgentMessage, ControlMessage> | null = null;
  #established = false;
  #stopped = false;
  #retry: NodeJS.Timeout | null = null;
  #healthTimer: NodeJS.Timeout | null = null;
  #started = new Map<string, LiveSessionInfo>();
  #ended = new Set<string>();
  #gather: NodeJS.Timeout | null = null;
  #silence: NodeJS.Timeout | null = null;
  /** Approval requests without a decision, to be repeated. */
  readonly #approvals = new Map<string, Fields<ApprovalRequested>>();
  /** What was withdrawn, until the control plane has said that it is decided, or it would have expired anyway. */
  readonly #withdrawals = new Map<string, { reason: string; expiresUnixUs: bigint }>();
  /** The newest checkpoint of each ledger (one per spool) that is not in the control plane's log yet. */
  readonly #checkpoints = new Map<string, { number: number; statement: Uint8Array; signature: Uint8Array }>();

  constructor(options: ControlStreamOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff(250, 10_000);
  }

  /** Has the control plane said anything on the present stream? */
  get connected(): boolean {
    return this.#established;
  }

  start(): void {
    this.#open();
  }

  /** Ends the stream and opens another at once, with whatever certificate there is now. */
  reopen(): void {
    if (this.#stopped) return;
    this.#backoff.reset();
    this.#drop();
    this.#open();
  }

  stop(): void {
    this.#stopped = true;
    const call = this.#call;
    this.#drop();
    call?.end();
  }

  acknowledgeLease(ack: Fields<LeaseAck>): void {
    this.#send({ case: 'leaseAck', value: { ...ack, $typeName: 'sallyport.agent.v1.LeaseAck' } });
  }

  /** What differs could not be applied: asks for everything. */
  wantLease(reason: string): void {
    this.#send({ case: 'leaseWanted', value: { $typeName: 'sallyport.agent.v1.LeaseWanted', reason } });
  }

  sessionStarted(session: LiveSessionInfo): void {
    this.#started.set(session.sessionId, session);
    this.#gather ??= setTimeout(() => this.#tellSessions(), GATHER_MS);
  }

  sessionEnded(sessionId: string): void {
    if (!this.#started.delete(sessionId)) this.#ended.add(sessionId);
    this.#gather ??= setTimeout(() => this.#tellSessions(), GATHER_MS);
  }

  /** Asks for an approval, now and after every reconnect, until it is decided or withdrawn. */
  requestApproval(request: ApprovalRequest): void {
    const message: Fields<ApprovalRequested> = {
      approvalId: request.approvalId,
      sessionId: request.sessionId,
      commandSeq: BigInt(request.commandSeq),
      resource: request.resource,
      rule: request.rule,
      text: request.text,
      binding: request.binding,
      principal: {
        $typeName: 'sallyport.records.v1.Principal',
        ...request.principal,
        kind: request.principal.kind === 'person' ? PrincipalKind.PERSON : PrincipalKind.WORKLOAD,
      },
      approvalJson: request.approvalJson,
      previewJson: request.previewJson,
      expiresUnixUs: BigInt(request.expiresUnixMs) * 1000n,
      fingerprint: request.fingerprint,
      parameters: request.parameters ?? [],
    };
    if (this.#approvals.size >= APPROVALS_MAX) {
      const oldest = this.#approvals.keys().next();
      if (!oldest.done) this.#approvals.delete(oldest.value);
    }
    this.#approvals.set(request.approvalId, message);
    this.#send({ case: 'approvalRequested', value: { $typeName: 'sallyport.agent.v1.ApprovalRequested', ...message } });
  }

  /** Tells a checkpoint, now and after every reconnect, until it or a later one of its ledger is logged. */
  checkpoint(ledger: string, statement: Uint8Array, signature: Uint8Array): void {
    const number = decodeStatement(statement)?.number ?? 0;
    this.#checkpoints.set(ledger, { number, statement, signature });
    this.#send({ case: 'checkpointed', value: { $typeName: 'sallyport.agent.v1.Checkpointed', statement, signature } });
  }

  /** Are all checkpoints in the control plane's log? */
  get checkpointsLogged(): boolean {
    return this.#checkpoints.size === 0;
  }

  /** A session is gone, perhaps with its worker: nobody waits for its approvals. */
  withdrawApprovalsOf(sessionId: string, reason: string): void {
    for (const [approvalId, request] of this.#approvals) if (request.sessionId === sessionId) this.withdrawApproval(approvalId, reason);
  }

  /** Takes a question back, now and after every reconnect, until the control plane has said that it is decided. */
  withdrawApproval(approvalId: string, reason: string): void {
    const request = this.#approvals.get(approvalId);
    if (request !== undefined) {
      this.#approvals.delete(approvalId);
      const oldest = this.#withdrawals.size >= APPROVALS_MAX ? this.#withdrawals.keys().next() : null;
      if (oldest?.done === false) this.#withdrawals.delete(oldest.value);
      this.#withdrawals.set(approvalId, { reason, expiresUnixUs: request.expiresUnixUs });
    }
    this.#tellWithdrawn(approvalId, reason);
  }

  #tellWithdrawn(approvalId: string, reason: string): void {
    this.#send({ case: 'approvalWithdrawn', value: { $typeName: 'sallyport.agent.v1.ApprovalWithdrawn', approvalId, reason } });
  }

  #open(): void {
    if (this.#stopped) return;
    const call = this.#options.connect();
    this.#call = call;
    call.on('data', (message: ControlMessage) => {
      if (this.#call !== call) return;
      if (!this.#established) {
        this.#established = true;
        this.#options.onConnected?.(true);
        if (this.#silence !== null) clearTimeout(this.#silence);
        this.#backoff.reset();
        this.#options.log.info({}, 'connected to the control plane');
      }
      this.#receive(message);
    });
    call.on('error', (error: Error & Partial<ServiceError>) => {
      if (this.#call === call && error.code === status.UNAUTHENTICATED) this.#options.onRefused(fromStatus(error as ServiceError));
      this.#lost(call, errorText(error));
    });
    call.on('end', () => this.#lost(call, 'the control plane ended the stream'));
    const silenceMs = this.#options.silenceMs ?? SILENCE_MS;
    this.#silence = setTimeout(() => this.#lost(call, `no answer within ${silenceMs} ms`), silenceMs);
    this.#send({ case: 'hello', value: this.#hello() });
    for (const message of this.#approvals.values()) {
      this.#send({ case: 'approvalRequested', value: { $typeName: 'sallyport.agent.v1.ApprovalRequested', ...message } });
    }
    const nowUs = BigInt(Date.now()) * 1000n;
    for (const [approvalId, { reason, expiresUnixUs }] of this.#withdrawals) {
      if (expiresUnixUs <= nowUs) this.#withdrawals.delete(approvalId);
      else this.#tellWithdrawn(approvalId, reason);
    }
    for (const { statement, signature } of this.#checkpoints.values()) {
      this.#send({ case: 'checkpointed', value: { $typeName: 'sallyport.agent.v1.Checkpointed', statement, signature } });
    }
    void this.#tellHealth(call);
  }

  #hello(): Hello {
    // Everything that is gathered is in the list of sessions.
    this.#started.clear();
    this.#ended.clear();
    return {
      $typeName: 'sallyport.agent.v1.Hello',
      version: this.#options.version,
      leaseVersion: BigInt(this.#options.leaseVersion()),
      sessions: Array.from(this.#options.sessions(), liveSession),
      capabilities: [Capability.LEASE_DIFFERENCES, Capability.LOG_LEVEL],
      sharedDigest: Buffer.from(this.#options.sharedDigest(), 'hex'),
      instance: this.#instance,
    };
  }

  #lost(call: ClientDuplexStream<AgentMessage, ControlMessage>, why: string): void {
    if (this.#call !== call) return;
    const was = this.#established;
    this.#drop();
    const pauseMs = this.#backoff.nextMs();
    if (was) this.#options.log.warn({ why }, 'lost the control plane; sessions go on');
    else this.#options.log.warn({ why, pauseMs: Math.round(pauseMs) }, 'the control plane cannot be reached');
    if (!this.#stopped) this.#retry = setTimeout(() => this.#open(), pauseMs);
  }

  #drop(): void {
    const call = this.#call;
    this.#call = null;
    if (this.#established) this.#options.onConnected?.(false);
    this.#established = false;
    for (const timer of [this.#retry, this.#healthTimer, this.#gather, this.#silence]) if (timer !== null) clearTimeout(timer);
    this.#retry = null;
    this.#healthTimer = null;
    this.#gather = null;
    // A call that is dropped may still fail; nobody is interested any more.
    call?.on('error', () => undefined);
    if (!this.#stopped) call?.cancel();
  }

  #send(body: AgentMessage['body']): void {
    this.#options.log.debug({ message: body.case }, 'to the control plane');
    this.#call?.write(create(AgentMessageSchema, { body }));
  }

  async #tellHealth(call: ClientDuplexStream<AgentMessage, ControlMessage>): Promise<void> {
    try {
      const health = await this.#options.health();
      if (this.#call !== call) return;
      if (call.writableLength < WAITING_BYTES_MAX)
        this.#send({ case: 'health', value: { $typeName: 'sallyport.agent.v1.Health', ...health } });
    } catch (error) {
      this.#options.log.warn({ why: errorText(error) }, 'no health report');
    }
    if (this.#call === call) this.#healthTimer = setTimeout(() => void this.#tellHealth(call), this.#options.healthMs ?? HEALTH_MS);
  }

  /** The answer goes to the stream that asked, or nowhere: whoever asked has given up with it. */
  async #tellCatalog(id: bigint, resource: string, database: string): Promise<void> {
    const call = this.#call;
    const asked = this.#options.onCatalogAsked;
    const { catalog, problem } =
      asked === undefined ? { catalog: new Uint8Array(0), problem: 'this agent reads no catalogs' } : await asked(resource, database);
    if (this.#call === call)
      this.#send({ case: 'catalogTold', value: { $typeName: 'sallyport.agent.v1.CatalogTold', id, catalog, problem } });
  }

  #tellSessions(): void {
    this.#gather = null;
    if (this.#call === null || (this.#started.size === 0 && this.#ended.size === 0)) return;
    const started = Array.from(this.#started.values(), liveSession);
    const ended = [...this.#ended];
    this.#started.clear();
    this.#ended.clear();
    this.#send({ case: 'sessionsChanged', value: { $typeName: 'sallyport.agent.v1.SessionsChanged', started, ended } });
  }

  #receive(message: ControlMessage): void {
    const { body } = message;
    this.#options.log.debug({ message: body.case }, 'from the control plane');
    switch (body.case) {
      case 'lease':
        this.#options.onLease({ bundle: body.value.bundle, signature: body.value.signature });
        return;
      case 'leaseUpdate':
        this.#options.onLeaseUpdate(body.value);
        return;
      case 'killSession':
        this.#options.onKill(body.value.sessionId, body.value.reason);
        return;
      case 'sessionObserved': {
        const { sessionId, watchId, observer, forMs } = body.value;
        this.#options.onObserved(sessionId, watchId, observer, forMs);
        return;
      }
      case 'approvalDecided': {
        const { approvalId, state, by, reason, binding } = body.value;
        this.#withdrawals.delete(approvalId);
        // An unknown word is no approval.
        if (state !== 'approved' && state !== 'denied' && state !== 'expired') return;
        this.#approvals.delete(approvalId);
        this.#options.onApproval({ approvalId, state, by, reason, binding });
        return;
      }
      case 'revocations':
        this.#options.onRevoked(body.value.tokenIds);
        return;
      case 'checkpointLogged': {
        const { ledger, number } = body.value;
        if ((this.#checkpoints.get(ledger)?.number ?? Number.POSITIVE_INFINITY) <= Number(number)) this.#checkpoints.delete(ledger);
        return;
      }
      case 'catalogAsked':
        void this.#tellCatalog(body.value.id, body.value.resource, body.value.database);
        return;
      case 'ping':
        this.#send({ case: 'pong', value: { $typeName: 'sallyport.agent.v1.Pong', nonce: body.value.nonce } });
        return;
      case 'drain':
        this.#options.onDrain(Number(body.value.deadlineUnixUs / 1000n));
        return;
      case 'logLevel':
        this.#options.onLogLevel?.(body.value.level, body.value.forMs);
        return;
      case undefined:
        return; // of a newer control plane
      default:
        unreachable(body);
    }
  }
}

function liveSession(session: LiveSessionInfo) {
  return {
    $typeName: 'sallyport.agent.v1.LiveSession' as const,
    sessionId: session.sessionId,
    resource: session.resource,
    principal: session.principal,
    principalKind: session.principalKind,
    clientAddress: session.clientAddress,
    startedUnixUs: BigInt(Math.round(session.startedUnixUs)),
    role: session.role,
    commands: 0n,
    issuer: session.issuer,
  };
}
