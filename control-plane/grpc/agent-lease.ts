/**
 * What one connected agent has of its lease, and what it is told next: the shared half of its group and its own half, each only where it
 * differs from what was sent before. Agents that do not understand differences get whole bundles.
 *
 * Nothing is sent from here: the connection asks when its stream can take a message, and gets the state of that moment.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  Capability,
  type ControlMessage,
  ControlMessageSchema,
  LeasePartSchema,
  LeaseSchema,
  LeaseUpdateSchema,
  type SignedParts,
  SignedPartsSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { ownParts, partsDigest } from '@sallyport/shared/policy/lease-parts.ts';
import type { Projection } from '../aggregates/projection.ts';
import type { ActiveAgent, LeaseBuilder, Stored } from '../leases/lease-bundle.ts';
import { differenceOf, encodeParts, hashesOf } from '../leases/parts.ts';
import type { SharedLease } from '../leases/shared-lease.ts';
import { signLease, signStatement } from '../leases/signed-lease.ts';

/** What all leases are made from at one moment. */
export interface LeaseSources {
  builder: LeaseBuilder;
  /** Signs. */
  leaseKey: KeyObject;
  state: Projection;
  /** The control log's position. */
  version: number;
  nowMs: number;
  lifetimeMs: number;
  /** Rises when something may have changed that is sealed to agents. */
  ownEpoch: number;
  /** The resources of an agent and the half that it shares with those that serve the same. */
  groupOf(agent: ActiveAgent): { resources: readonly Stored<'Resource'>[]; shared: SharedLease };
}

export class AgentLease {
  readonly #agentId: string;
  /** Spreads renewals: 0 to 1. */
  readonly #spread: number;
  #isGreeted = false;
  #differences = false;
  #group = '';
  #sharedDigest = '';
  #sharedIssuedAtMs = 0;
  /** What the agent has is not older than this, as far as is known. */
  #sharedVersion = 0;
  /** key → hash; null: nothing was sent. */
  #own: ReadonlyMap<string, string> | null = null;
  #ownIssuedAtMs = 0;
  /** What `#own` was made from. */
  #ownFrom: { agent: ActiveAgent; epoch: number } | null = null;
  #wholeDigest = '';
  #everything = true;

  constructor(agentId: string, spread = Math.random()) {
    this.#agentId = agentId;
    this.#spread = spread;
  }

  /** When what the agent has was signed; 0: it has nothing. */
  get issuedAtMs(): number {
    return this.#differences ? Math.min(this.#sharedIssuedAtMs, this.#ownIssuedAtMs) : this.#ownIssuedAtMs;
  }

  /** Takes in what the agent says that it has and understands. */
  greeted(capabilities: readonly number[], sharedDigest: string, leaseVersion: number): void {
    this.#differences = capabilities.includes(Capability.LEASE_DIFFERENCES);
    this.#sharedDigest = sharedDigest;
    this.#sharedVersion = leaseVersion;
    this.#isGreeted = true;
  }

  get isGreeted(): boolean {
    return this.#isGreeted;
  }

  /** Of the shared half that it was sent last. */
  get group(): string {
    return this.#group;
  }

  /** The agent has lost the thread: the next message has everything. */
  wanted(): void {
    this.#everything = true;
    this.#sharedDigest = '';
  }

  /** Whether it is time for a new signature, at a different moment for each agent. */
  isDue(nowMs: number, lifetimeMs: number): boolean {
    return nowMs - this.issuedAtMs > (lifetimeMs / 4) * (0.75 + this.#spread / 4);
  }

  /**
   * @returns null when the agent has what there is.
   * @throws {GatewayError} SECRET_UNSEALABLE; nothing counts as sent then.
   */
  compose(agent: ActiveAgent, sources: LeaseSources): ControlMessage | null {
    return this.#differences ? this.#difference(agent, sources) : this.#whole(agent, sources);
  }

  #difference(agent: ActiveAgent, sources: LeaseSources): ControlMessage | null {
    const { builder, state, nowMs, lifetimeMs } = sources;
    const { resources, shared } = sources.groupOf(agent);
    const renew = this.#everything || this.#group !== shared.group || this.isDue(nowMs, lifetimeMs);
    const sharedIsNew = renew || this.#sharedDigest !== shared.digest;
    if (sharedIsNew) shared.reach(this.#sharedVersion, sources.version, nowMs);
    const has = this.#sharedDigest;
    if (!renew && this.#ownFrom?.agent === agent && this.#ownFrom.epoch === sources.ownEpoch) {
      if (!sharedIsNew) return null;
      this.#sharedSent(shared);
      return shared.message(has);
    }
    const parts = encodeParts(ownParts(builder.own(this.#agentId, agent, resources, state)));
    const hashes = hashesOf(parts);
    const before = this.#everything ? null : this.#own;
    const difference = differenceOf(before, parts);
    const ownIsNew = renew || difference.whole || difference.put.length > 0 || difference.removed.length > 0;
    this.#ownFrom = { agent, epoch: sources.ownEpoch };
    if (!sharedIsNew && !ownIsNew) return null;
    let own: SignedParts | undefined;
    if (ownIsNew) {
      const statement = {
        ...{ agentId: this.#agentId, group: shared.group, version: sources.version, digest: partsDigest(hashes) },
        ...{ issuedAt: new Date(nowMs).toISOString(), expiresAt: new Date(nowMs + lifetimeMs).toISOString() },
      };
      own = create(SignedPartsSchema, {
        ...signStatement('own', statement, sources.leaseKey),
        ...{ whole: difference.whole, removed: difference.removed },
        put: difference.put.map(part => create(LeasePartSchema, part)),
      });
      this.#ownIssuedAtMs = nowMs;
    }
    this.#own = hashes;
    this.#everything = false;
    this.#group = shared.group;
    if (sharedIsNew) this.#sharedSent(shared);
    if (own === undefined) return shared.message(has);
    const value = create(LeaseUpdateSchema, { own, ...(sharedIsNew ? { shared: shared.half(has) } : {}) });
    return create(ControlMessageSchema, { body: { case: 'leaseUpdate', value } });
  }

  #sharedSent(shared: SharedLease): void {
    this.#sharedDigest = shared.digest;
    this.#sharedVersion = shared.version;
    this.#sharedIssuedAtMs = shared.issuedAtMs;
  }

  #whole(agent: ActiveAgent, sources: LeaseSources): ControlMessage | null {
    const { builder, leaseKey, state, version, nowMs, lifetimeMs } = sources;
    const content = builder.build(this.#agentId, agent, state, nowMs);
    const digest = createHash('sha256').update(JSON.stringify(content)).digest('base64');
    if (!this.#everything && digest === this.#wholeDigest && !this.isDue(nowMs, lifetimeMs)) return null;
    const times = { issuedAt: new Date(nowMs).toISOString(), expiresAt: new Date(nowMs + lifetimeMs).toISOString() };
    const lease = signLease({ version, ...times, ...content }, leaseKey);
    this.#wholeDigest = digest;
    this.#ownIssuedAtMs = nowMs;
    this.#everything = false;
    return create(ControlMessageSchema, { body: { case: 'lease', value: create(LeaseSchema, lease) } });
  }
}
