/**
 * The half of a lease that a group of agents has in common: made, signed and encoded once for all of them. It remembers a few of the
 * states before, so that an agent that has one of these is told only what differs.
 */
import type { KeyObject } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  type ControlMessage,
  ControlMessageSchema,
  LeasePartSchema,
  LeaseUpdateSchema,
  type SignedParts,
  SignedPartsSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { partsDigest, type SharedContent, sharedParts } from '@sallyport/shared/policy/lease-parts.ts';
import { differenceOf, encodeParts, hashesOf, type Parts } from './parts.ts';
import { signStatement } from './signed-lease.ts';

/** An agent that is further behind gets everything. */
const STATES_KEPT = 16;

export class SharedLease {
  readonly group: string;
  readonly #leaseKey: () => KeyObject;
  readonly #lifetimeMs: number;
  #parts: Parts = new Map();
  #digest = '';
  #version = 0;
  #issuedAtMs = 0;
  #signed: { statement: Uint8Array; signature: Uint8Array } | null = null;
  /** digest → key → hash, oldest first. */
  readonly #states = new Map<string, ReadonlyMap<string, string>>();
  /** Digest that the agent has → what it is told; of the present state and signature only. */
  readonly #halves = new Map<string, SignedParts>();
  readonly #messages = new Map<string, ControlMessage>();

  constructor(group: string, leaseKey: () => KeyObject, lifetimeMs: number) {
    this.group = group;
    this.#leaseKey = leaseKey;
    this.#lifetimeMs = lifetimeMs;
  }

  /** Of the parts as they are. */
  get digest(): string {
    return this.#digest;
  }

  get issuedAtMs(): number {
    return this.#issuedAtMs;
  }

  /** Takes the content as it is now; signs anew when it has changed, or when an eighth of the signature's life is over. */
  update(content: SharedContent, version: number, nowMs: number): void {
    const parts = encodeParts(sharedParts(content));
    const hashes = hashesOf(parts);
    const digest = partsDigest(hashes);
    if (digest === this.#digest && nowMs - this.#issuedAtMs < this.#lifetimeMs / 8) return;
    this.#states.delete(digest);
    this.#states.set(digest, hashes);
    for (const oldest of this.#states.keys()) {
      if (this.#states.size <= STATES_KEPT) break;
      this.#states.delete(oldest);
    }
    this.#parts = parts;
    this.#digest = digest;
    this.#reissue(version, nowMs);
  }

  /**
   * Signs anew, unless it was signed at this position or later: an agent that comes from another group or replica takes nothing that is
   * older than what it has.
   * @param atLeast what the agent has.
   * @param version the control log's position.
   */
  reach(atLeast: number, version: number, nowMs: number): void {
    if (this.#version < atLeast) this.#reissue(version, nowMs);
  }

  get version(): number {
    return this.#version;
  }

  #reissue(version: number, nowMs: number): void {
    this.#version = version;
    this.#issuedAtMs = nowMs;
    this.#signed = null;
    this.#halves.clear();
    this.#messages.clear();
  }

  /** What an agent is told whose shared half has this digest; '' for none. */
  half(has: string): SignedParts {
    const kept = this.#halves.get(has);
    if (kept !== undefined) return kept;
    const before = this.#states.get(has) ?? null;
    // One message for all whose state is not known any more.
    if (before === null && has !== '') return this.half('');
    this.#signed ??= signStatement(
      'shared',
      {
        group: this.group,
        version: this.#version,
        issuedAt: new Date(this.#issuedAtMs).toISOString(),
        expiresAt: new Date(this.#issuedAtMs + this.#lifetimeMs).toISOString(),
        digest: this.#digest,
      },
      this.#leaseKey(),
    );
    const { whole, put, removed } = differenceOf(before, this.#parts);
    const half = create(SignedPartsSchema, {
      ...this.#signed,
      whole,
      removed,
      put: put.map(part => create(LeasePartSchema, part)),
    });
    this.#halves.set(has, half);
    return half;
  }

  /** The same as a message: one object for all agents, which is encoded once. */
  message(has: string): ControlMessage {
    const half = this.half(has);
    const key = half.whole ? '' : has;
    let message = this.#messages.get(key);
    if (message === undefined) {
      message = create(ControlMessageSchema, { body: { case: 'leaseUpdate', value: create(LeaseUpdateSchema, { shared: half }) } });
      // Frozen messages are encoded once (proto/service-definition.ts).
      Object.freeze(message);
      this.#messages.set(key, message);
    }
    return message;
  }
}
