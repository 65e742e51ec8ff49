/**
 * What all sessions of one worker share: the lease in force, revocations, live sessions, cancel keys and the record sink.
 *
 * It knows no protocol and owns no socket.
 */
import { timingSafeEqual } from 'node:crypto';
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import type { GatewayError } from '@sallyport/shared/errors.ts';
import { type Head, headTag } from '@sallyport/shared/evidence/checkpoint.ts';
import type { Peer } from '@sallyport/shared/identity/token-bounds.ts';
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { encodeSessionRefused } from '@sallyport/shared/records/encode.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';
import type { FromWorker } from '../worker-messages.ts';
import { type AuthorisationOutcome, authorise, type TokenVerdict } from './authorisation.ts';
import { Budgets } from './budgets.ts';
import { nowUnixUs } from './clock.ts';
import { Holds } from './holds.ts';
import { uuidv7 } from './identifiers.ts';
import { LatencyWindow } from './latency-window.ts';
import type { LeaseState } from './lease-state.ts';
import type { LiveSession } from './live-session.ts';
import { RateLimit } from './rate-limit.ts';

export interface GatewayOptions {
  agentName: string;
  index: number;
  workers: number;
  /** Folder of what protocols keep over restarts; empty where none keeps anything. */
  stateDir?: string;
  sink: RecordSink;
  verify: (token: string, resource: string) => Promise<TokenVerdict>;
  post: (message: FromWorker) => void;
  /** Takes faults of the gateway itself, for the log. */
  report?: (error: GatewayError) => void;
  /** Takes where sessions stand, for checkpoints; absent where there are none. */
  noteHead?: (head: Head) => void;
}

export interface Refusal {
  resource: string;
  protocol: string;
  clientAddress: string;
  code: string;
  reason: string;
  principal?: Principal | undefined;
  client?: Record<string, string> | undefined;
  told: string;
}

/** A running session that CancelRequests can name. */
export interface CancelTarget {
  secret: Uint8Array;
  cancel: () => void;
}

/** Refusals recorded each second by one worker; those beyond are counted and recorded as one. */
const REFUSALS_PER_SECOND = 200;
/** Bits of a cancel key's pid that count sessions; the bits above hold the worker. */
const PID_BITS = 22;

export class Gateway {
  readonly agentName: string;
  readonly index: number;
  readonly stateDir: string;
  readonly sink: RecordSink;
  readonly sessions = new Map<string, LiveSession>();
  readonly report: (error: GatewayError) => void;
  readonly metrics = {
    sessionsOpened: 0,
    sessionsRefused: 0,
    commands: 0,
    denied: 0,
    held: 0,
    maskedValues: 0,
    rows: 0,
    bytesToClient: 0,
    witnessConflicts: 0,
  };
  /** What the agent itself adds to commands. */
  readonly addedLatency = new LatencyWindow();
  lease: LeaseState | null = null;
  readonly budgets: Budgets;
  readonly holds: Holds;
  draining = false;

  readonly #verify: GatewayOptions['verify'];
  readonly #post: GatewayOptions['post'];
  readonly #workers: number;
  readonly #noteHead: ((head: Head) => void) | undefined;
  readonly #revoked = new Set<string>();
  readonly #cancelTargets = new Map<number, CancelTarget>();
  readonly #refusals = new RateLimit(REFUSALS_PER_SECOND);
  #summarised = new Map<string, number>();
  #nextPid = 1;

  constructor(options: GatewayOptions) {
    this.agentName = options.agentName;
    this.index = options.index;
    this.stateDir = options.stateDir ?? '';
    this.sink = options.sink;
    this.#workers = options.workers;
    this.#verify = options.verify;
    this.#post = options.post;
    this.holds = new Holds(message => this.#post(message));
    this.budgets = new Budgets((key, rows, bytes) => this.#post({ type: 'usage', key, rows, bytes }));
    this.report = options.report ?? (() => undefined);
    this.#noteHead = options.noteHead;
  }

  /** Puts a lease in force for new sessions and for those that live. */
  takeLease(lease: LeaseState, revoked: readonly string[], depthOf: (protocol: string) => EnforcementDepth | undefined): void {
    this.lease = lease;
    this.#revoked.clear();
    this.revoke(revoked);
    const now = new Date();
    for (const session of [...this.sessions.values()]) {
      const depth = depthOf(session.protocol);
      if (depth !== undefined) session.takeLease(lease, depth, now);
    }
  }

  /** Tokens that no longer count, also for sessions that were opened with them. */
  revoke(tokenIds: readonly string[]): void {
    for (const id of tokenIds) this.#revoked.add(id);
    for (const session of [...this.sessions.values()]) {
      if (this.#revoked.has(session.tokenId)) session.onEnd('tokenRevoked', 'the token that opened the session was revoked');
    }
  }

  kill(sessionId: string, reason: string): boolean {
    const session = this.sessions.get(sessionId);
    if (session === undefined) return false;
    session.onEnd('killed', reason);
    return true;
  }

  /** @param verify in place of the verification of tokens, for proofs that a protocol checks itself. */
  async authorise(
    token: string,
    resource: string,
    depth: EnforcementDepth,
    peer: Peer,
    verify: GatewayOptions['verify'] = this.#verify,
  ): Promise<AuthorisationOutcome> {
    if (this.draining) return { authorised: false, code: 'DRAINING', reason: 'the agent is draining' };
    return authorise({
      token,
      resource,
      depth,
      lease: this.lease,
      verify,
      peer,
      isRevoked: id => this.#revoked.has(id),
      now: new Date(),
    });
  }

  /** Records that somebody was turned away. Never throws: a broken spool must not keep a refusal from being sent. */
  recordRefusal(refusal: Refusal): void {
    this.metrics.sessionsRefused++;
    if (!this.#refusals.take(Date.now())) {
      const key = JSON.stringify([refusal.resource, refusal.protocol]);
      this.#summarised.set(key, (this.#summarised.get(key) ?? 0) + 1);
      return;
    }
    this.#appendRefusal(refusal);
  }

  /** Writes one record for the refusals that were too many to be recorded one by one; called about once a second. */
  flushRefusals(): void {
    if (this.#summarised.size === 0) return;
    const summarised = this.#summarised;
    this.#summarised = new Map();
    for (const [key, count] of summarised) {
      const [resource, protocol] = JSON.parse(key) as [string, string];
      this.#appendRefusal({
        resource,
        protocol,
        clientAddress: '',
        code: 'REFUSALS_SUMMARISED',
        reason: `${count} more connections were refused within about a second, too many to be recorded one by one`,
        told: '',
      });
    }
  }

  #appendRefusal(refusal: Refusal): void {
    try {
      const now = nowUnixUs();
      const sessionId = uuidv7(Math.floor(now / 1000));
      const record = encodeSessionRefused(
        { sessionId, seq: 0, atUnixUs: now },
        {
          resource: refusal.resource,
          protocol: refusal.protocol,
          agent: this.agentName,
          clientAddress: refusal.clientAddress,
          code: refusal.code,
          reason: refusal.reason,
          principal: refusal.principal,
          client: refusal.client,
          told: refusal.told,
        },
      );
      this.sink.append(record);
      this.#noteHead?.({
        sessionId,
        records: 1,
        hash: sha256(record),
        ended: true,
        principalTag: headTag('principal', sessionId, refusal.principal?.name ?? '', sha256),
        resourceTag: headTag('resource', sessionId, refusal.resource, sha256),
      });
    } catch {
      // The spool is full or broken; its owner reports that. Nobody was let in.
    }
  }

  sessionOpened(session: LiveSession): void {
    this.sessions.set(session.id, session);
    this.metrics.sessionsOpened++;
    this.#post({
      type: 'sessionStarted',
      session: {
        sessionId: session.id,
        resource: session.resource.name,
        principal: session.principal.name,
        principalKind: session.principal.kind,
        clientAddress: session.clientAddress,
        startedUnixUs: session.startedAtMs * 1000,
        role: session.role,
        issuer: session.principal.issuer,
      },
    });
  }

  sessionClosed(session: LiveSession): void {
    const head = session.head();
    if (head !== null) this.#noteHead?.(head);
    if (this.sessions.delete(session.id)) this.#post({ type: 'sessionEnded', sessionId: session.id });
  }

  /** Notes where the sessions stand that were recorded of since they were noted last. */
  noteHeads(): void {
    if (this.#noteHead === undefined) return;
    for (const session of this.sessions.values()) {
      const head = session.head();
      if (head !== null) this.#noteHead(head);
    }
  }

  /** Reserves a process id for a session's cancel key. */
  registerCancel(target: CancelTarget): number {
    do {
      this.#nextPid = (this.#nextPid + 1) & ((1 << PID_BITS) - 1);
    } while (this.#nextPid === 0 || this.#cancelTargets.has(this.#pid(this.#nextPid)));
    const pid = this.#pid(this.#nextPid);
    this.#cancelTargets.set(pid, target);
    return pid;
  }

  unregisterCancel(pid: number): void {
    this.#cancelTargets.delete(pid);
  }

  #pid(count: number): number {
    return (this.index << PID_BITS) | count;
  }

  /** A CancelRequest from a client: for a session of this worker, or passed on to the worker that its pid names. */
  cancel(pid: number, secret: Uint8Array): void {
    const worker = pid >> PID_BITS;
    if (worker === this.index) this.cancelHere(pid, secret);
    else if (worker >= 0 && worker < this.#workers) this.#post({ type: 'cancel', worker, pid, secret: Uint8Array.from(secret) });
  }

  /** Cancels what a session of this worker runs, when the secret is right; says nothing when it is not. */
  cancelHere(pid: number, secret: Uint8Array): void {
    const target = this.#cancelTargets.get(pid);
    if (target !== undefined && target.secret.length === secret.length && timingSafeEqual(target.secret, secret)) target.cancel();
  }
}
