/**
 * One authenticated use of a resource, from admission to its last record. Opened with a `SessionAuthorization` and nothing else.
 *
 * It holds what every protocol needs of a session: who, which policy is in force now, records, limits of time. How a session is
 * told to end is the protocol's: it registers `onEnd`.
 */

import { type ContentKey, ContentSealer } from '@sallyport/shared/crypto/contents.ts';
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { type Head, headTag } from '@sallyport/shared/evidence/checkpoint.ts';
import type { AccessGrant } from '@sallyport/shared/policy/access-grants.ts';
import type { AuditPolicySpec, Principal, RoleSsh } from '@sallyport/shared/policy/model.ts';
import type { Budget } from '@sallyport/shared/policy/usage.ts';
import type { SessionAuthorization } from './authorisation.ts';
import { SessionBudget, usageKey } from './budgets.ts';
import type { Gateway } from './gateway.ts';
import { uuidv7 } from './identifiers.ts';
import type { LeaseState, PolicyInForce, ResourceState } from './lease-state.ts';
import { type Contents, SessionRecorder } from './recorder.ts';

/** Why the gateway itself ends a session. */
export type EndCause =
  | 'killed'
  | 'idleTimeout'
  | 'maxDuration'
  | 'grantWithdrawn'
  | 'tokenRevoked'
  | 'drained'
  | 'recordsUnavailable'
  | 'leaseExpired';

/** How long after the lease's end a session with `onExpiry: drain` may go on when something always runs in it. */
export const EXPIRY_DRAIN_MS = 15 * 60_000;

/** Settled when a session begins: a policy that comes later is for later sessions. */
function contentsOf(sessionId: string, audit: AuditPolicySpec, key: ContentKey | null): Contents {
  if (audit.erasable !== true) return 'readable';
  return key === null ? 'left out' : new ContentSealer(sessionId, key);
}

export class LiveSession {
  readonly id: string;
  /** In the groups that they are in by the lease in force. */
  principal: Principal;
  readonly resource: ResourceState;
  readonly clientAddress: string;
  readonly protocol: string;
  readonly role: string;
  readonly tokenId: string;
  readonly startedAtMs: number;
  readonly recorder: SessionRecorder;
  /** Read at every command: a new lease replaces it while the session lives. */
  inForce: PolicyInForce;
  /** The protocol sets it: ends the session in its native form. */
  onEnd: (cause: EndCause, reason: string) => void = () => undefined;
  /** The protocol may set it: somebody watches the session for so long from now on; 0: no more. */
  onObserved: (watchId: string, observer: string, forMs: number) => void = () => undefined;
  /** The protocol keeps it up to date: the last time either side sent something that counts as use. */
  lastActiveAtMs: number;
  /** A command is running or unanswered: the session is not idle, however long it takes. */
  isBusy: () => boolean = () => false;
  /** How much may be read; null: as much as there is. */
  budget: SessionBudget | null = null;

  /** What the role gives over SSH. */
  sshAccess: RoleSsh | undefined;

  readonly #gateway: Gateway;
  #verified: Principal;
  readonly #byRegisteredKey: boolean;
  /** The approval that gives the role for a time; null: it is the principal's own. */
  #access: AccessGrant | null;
  #maxDurationMs: number | undefined;
  #idleTimeoutMs: number | undefined;
  readonly #onlyRole: string | undefined;
  #ended = false;
  #headSeq = 0;
  #tags: Pick<Head, 'principalTag' | 'resourceTag'> | null = null;

  constructor(gateway: Gateway, authorization: SessionAuthorization, options: { protocol: string; clientAddress: string }) {
    const grant = authorization.consume();
    const now = Date.now();
    this.#gateway = gateway;
    this.id = uuidv7(now);
    this.principal = grant.principal;
    this.#verified = grant.verified;
    this.#byRegisteredKey = grant.byRegisteredKey;
    this.resource = grant.resource;
    this.clientAddress = options.clientAddress;
    this.protocol = options.protocol;
    this.role = grant.admission.role;
    this.tokenId = grant.tokenId;
    this.#onlyRole = grant.onlyRole;
    this.startedAtMs = now;
    this.lastActiveAtMs = now;
    this.#maxDurationMs = grant.admission.session.maxDurationMs;
    this.#idleTimeoutMs = grant.admission.session.idleTimeoutMs;
    this.sshAccess = grant.admission.ssh;
    this.#access = grant.admission.access ?? null;
    this.inForce = grant.lease.policyFor(grant.principal, grant.resource.name);
    this.recorder = new SessionRecorder(gateway.sink, this.id, contentsOf(this.id, this.inForce.policy.audit, grant.lease.contentKey));
    this.#useBudget(this.role, grant.admission.budget);
    gateway.sessionOpened(this);
  }

  #useBudget(role: string, budget: Budget | undefined): void {
    if (budget === undefined) this.budget = null;
    else if (JSON.stringify(budget) !== JSON.stringify(this.budget?.meter.budget) || this.budget?.role !== role)
      this.budget = new SessionBudget(this.#gateway.budgets, usageKey(this.principal, this.resource.name), role, budget);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Where the session's records stand, for a checkpoint; null when nothing was recorded since the last call. */
  head(): Head | null {
    const { nextSeq, lastHash, isEnded: ended } = this.recorder;
    if (nextSeq === this.#headSeq) return null;
    this.#headSeq = nextSeq;
    this.#tags ??= {
      principalTag: headTag('principal', this.id, this.principal.name, sha256),
      resourceTag: headTag('resource', this.id, this.resource.name, sha256),
    };
    return { sessionId: this.id, records: nextSeq, hash: lastHash, ended, ...this.#tags };
  }

  /** Writes the first record. @returns its index: nothing is released to the client before it is durable. */
  recordStarted(client: Record<string, string>): number {
    return this.recorder.started({
      resource: this.resource.name,
      protocol: this.protocol,
      principal: this.principal,
      agent: this.#gateway.agentName,
      clientAddress: this.clientAddress,
      role: this.role,
      policyVersion: this.inForce.version,
      client,
      tokenId: this.tokenId,
      durability: this.inForce.policy.audit.durability,
      ...(this.#access === null ? {} : { accessApprovalId: this.#access.approvalId, accessApprovers: this.#access.approvers }),
    });
  }

  /** Takes a new lease into force, or ends the session when it no longer admits the principal. */
  takeLease(lease: LeaseState, depth: Parameters<LeaseState['admit']>[2], now: Date): void {
    if (this.#ended) return;
    if (this.#byRegisteredKey) {
      const holder = lease.holderOfKey(this.tokenId, this.resource.name, now);
      if (!holder.known) {
        this.onEnd('tokenRevoked', holder.reason);
        return;
      }
      this.#verified = holder.principal;
    }
    this.principal = lease.principalOf(this.#verified);
    const admission = lease.resources.has(this.resource.name)
      ? lease.admit(this.principal, this.resource.name, depth, now, this.#onlyRole)
      : null;
    if (admission === null || !admission.admitted) {
      this.onEnd('grantWithdrawn', admission === null ? 'the resource is no longer served' : admission.reason);
      return;
    }
    this.#maxDurationMs = admission.session.maxDurationMs;
    this.#idleTimeoutMs = admission.session.idleTimeoutMs;
    this.#useBudget(admission.role, admission.budget);
    this.sshAccess = admission.ssh;
    this.#access = admission.access ?? null;
    this.inForce = lease.policyFor(this.principal, this.resource.name);
  }

  /** Ends the session when one of its limits has passed; called about once a second. */
  checkLimits(nowMs: number): void {
    if (this.#ended) return;
    if (this.#access !== null && nowMs >= this.#access.expiresAtMs) {
      this.onEnd('grantWithdrawn', `the time of access ${this.#access.approvalId} is over`);
    } else if (this.#maxDurationMs !== undefined && nowMs - this.startedAtMs >= this.#maxDurationMs) {
      this.onEnd('maxDuration', 'the session has reached the longest time that its role allows');
    } else if (this.#idleTimeoutMs !== undefined && !this.isBusy() && nowMs - this.lastActiveAtMs >= this.#idleTimeoutMs) {
      this.onEnd('idleTimeout', 'the session was idle for longer than its role allows');
    } else if (this.#expiryEnds(nowMs)) {
      this.onEnd('leaseExpired', 'the lease of the agent has ended and the control plane has not renewed it');
    }
  }

  /** Whether the lease is over, and the resource wants that to end this session now. */
  #expiryEnds(nowMs: number): boolean {
    const { lease } = this.#gateway;
    if (lease === null || nowMs < lease.expiresAtMs) return false;
    switch (lease.resources.get(this.resource.name)?.spec.onExpiry ?? 'keep') {
      case 'keep':
        return false;
      case 'close':
        return true;
      case 'drain':
        return !this.isBusy() || nowMs >= lease.expiresAtMs + EXPIRY_DRAIN_MS;
    }
  }

  /** The protocol is done: both sockets are closed, the last record is written. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#gateway.sessionClosed(this);
  }
}
