/**
 * A lease that comes in two signed halves, as differences to what is there (shared/policy/lease-parts.ts): applies them, checks the result
 * against what was signed, and puts the bundle together. Nothing of an update counts unless all of it does.
 */
import { verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import {
  assembleBundle,
  OWN_PREFIX,
  type PartsStatement,
  partHash,
  partsDigest,
  SHARED_PREFIX,
} from '@sallyport/shared/policy/lease-parts.ts';
import { replacePrivateFile } from '../files.ts';
import { type EnrolmentState, trustedLeaseKeys } from './enrolment.ts';

/** A half as it comes over the stream. */
export interface SignedHalf {
  statement: Uint8Array;
  signature: Uint8Array;
  /** `put` is all there is. */
  whole: boolean;
  put: readonly { key: string; value: Uint8Array }[];
  removed: readonly string[];
}

export interface LeaseUpdate {
  /** Absent: as before. */
  shared?: SignedHalf | undefined;
  own?: SignedHalf | undefined;
}

interface HeldHalf {
  statement: Uint8Array;
  signature: Uint8Array;
  claims: PartsStatement & { agentId?: string };
  /** key → JSON. */
  parts: ReadonlyMap<string, Uint8Array>;
  hashes: ReadonlyMap<string, string>;
}

export interface HeldLease {
  shared: HeldHalf;
  own: HeldHalf;
}

const PARTS_MAX = 1_000_000;

/**
 * @param held what is in force; null: nothing, or a lease in one piece.
 * @param notBefore a lease in one piece that is in force, which the new one must not be older than.
 * @throws {GatewayError} LEASE_SIGNATURE, LEASE_MALFORMED, LEASE_FOREIGN, LEASE_OUTDATED, LEASE_EXPIRED, LEASE_UNKNOWN_PART; LEASE_INCOMPLETE
 *   when the difference is one to something else than what is held: everything must be asked for.
 */
export function applyUpdate(
  held: HeldLease | null,
  update: LeaseUpdate,
  enrolment: Pick<EnrolmentState, 'agentId' | 'leaseKey' | 'leaseKeys'>,
  notBefore: Pick<LeaseBundle, 'version'> | null,
  nowMs: number,
): { held: HeldLease; bundle: LeaseBundle } {
  const keys = trustedLeaseKeys(enrolment).map(key => Buffer.from(key, 'base64'));
  const shared = update.shared === undefined ? held?.shared : applied(held?.shared ?? null, update.shared, SHARED_PREFIX, keys);
  const own = update.own === undefined ? held?.own : applied(held?.own ?? null, update.own, OWN_PREFIX, keys);
  if (shared === undefined || own === undefined) throw incomplete('one half of the lease is missing');
  if (own.claims.agentId !== enrolment.agentId) throw new GatewayError('LEASE_FOREIGN', 'denied', 'the lease is for another agent');
  if (own.claims.group !== shared.claims.group)
    throw new GatewayError('LEASE_FOREIGN', 'denied', 'the policy in the lease is for agents that serve other resources');
  const [issuedAt, expiresAt] = [
    later(shared.claims.issuedAt, own.claims.issuedAt),
    earlier(shared.claims.expiresAt, own.claims.expiresAt),
  ];
  if (Date.parse(expiresAt) <= nowMs) throw new GatewayError('LEASE_EXPIRED', 'denied', `the lease expired at ${expiresAt}`);
  const version = Math.max(shared.claims.version, own.claims.version);
  if (notBefore !== null && version < notBefore.version) throw outdated(version, notBefore.version);
  const envelope = { agentId: enrolment.agentId, version, issuedAt, expiresAt };
  return { held: { shared, own }, bundle: assembleBundle(parsed(shared.parts), parsed(own.parts), envelope) };
}

/** One half after an update, checked. */
function applied(before: HeldHalf | null, half: SignedHalf, prefix: string, keys: readonly Uint8Array[]): HeldHalf {
  const message = Buffer.concat([Buffer.from(prefix, 'latin1'), half.statement]);
  if (!keys.some(key => verifyEd25519(key, message, half.signature))) {
    throw new GatewayError('LEASE_SIGNATURE', 'denied', "the lease is not signed by this control plane's lease key");
  }
  const claims = parseStatement(half.statement);
  if (before !== null && claims.version < before.claims.version) throw outdated(claims.version, before.claims.version);
  if (before === null && !half.whole) throw incomplete('it is a difference, and there is nothing that it differs from');
  const parts = new Map(half.whole ? [] : before?.parts);
  const hashes = new Map(half.whole ? [] : before?.hashes);
  for (const removed of half.removed) {
    parts.delete(removed);
    hashes.delete(removed);
  }
  for (const { key: name, value } of half.put) {
    if (name.includes('\n')) throw malformed('a key has a line break');
    // A copy: the bytes that came are a view into a larger message.
    parts.set(name, Uint8Array.from(value));
    hashes.set(name, partHash(value));
  }
  if (parts.size > PARTS_MAX) throw malformed('it has too many parts');
  if (partsDigest(hashes) !== claims.digest) {
    if (half.whole) throw new GatewayError('LEASE_SIGNATURE', 'denied', 'the parts of the lease are not those that were signed');
    throw incomplete('what it differs from is not what this agent has');
  }
  return { statement: Uint8Array.from(half.statement), signature: Uint8Array.from(half.signature), claims, parts, hashes };
}

/** Keeps a lease as it came: signed, and with its secrets sealed. */
export async function saveHalves(file: string, held: HeldLease): Promise<void> {
  const text = (half: HeldHalf) => ({
    statement: Buffer.from(half.statement).toString('base64'),
    signature: Buffer.from(half.signature).toString('base64'),
    parts: Object.fromEntries([...half.parts].map(([key, value]) => [key, Buffer.from(value).toString('utf8')])),
  });
  await replacePrivateFile(file, JSON.stringify({ shared: text(held.shared), own: text(held.own) }));
}

/** @returns what `saveHalves` wrote, as an update that is to be checked like any other; null when it is something else. */
export function keptHalves(stored: Readonly<Record<string, unknown>>): LeaseUpdate | null {
  const shared = keptHalf(stored['shared']);
  const own = keptHalf(stored['own']);
  return shared === null || own === null ? null : { shared, own };
}

function keptHalf(value: unknown): SignedHalf | null {
  if (typeof value !== 'object' || value === null) return null;
  const { statement, signature, parts } = value as Record<string, unknown>;
  if (typeof statement !== 'string' || typeof signature !== 'string' || typeof parts !== 'object' || parts === null) return null;
  return {
    statement: Buffer.from(statement, 'base64'),
    signature: Buffer.from(signature, 'base64'),
    whole: true,
    put: Object.entries(parts).map(([key, text]) => ({ key, value: Buffer.from(String(text), 'utf8') })),
    removed: [],
  };
}

function parsed(parts: ReadonlyMap<string, Uint8Array>): Map<string, unknown> {
  return new Map([...parts].map(([key, value]) => [key, parseJson(value, key)]));
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw malformed(`${what} is no JSON`, cause);
  }
}

function parseStatement(bytes: Uint8Array): HeldHalf['claims'] {
  const value = parseJson(bytes, 'what was signed');
  const { group, version, issuedAt, expiresAt, digest, agentId } = (value ?? {}) as Record<string, unknown>;
  if (typeof group !== 'string' || typeof digest !== 'string' || !isTime(issuedAt) || !isTime(expiresAt))
    throw malformed('a field is missing');
  if (typeof version !== 'number' || !Number.isSafeInteger(version)) throw malformed('it has no version');
  return { group, version, issuedAt, expiresAt, digest, ...(typeof agentId === 'string' ? { agentId } : {}) };
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && Number.isFinite(Date.parse(value));
}

function later(a: string, b: string): string {
  return Date.parse(a) > Date.parse(b) ? a : b;
}

function earlier(a: string, b: string): string {
  return Date.parse(a) < Date.parse(b) ? a : b;
}

function outdated(version: number, before: number): GatewayError {
  return new GatewayError('LEASE_OUTDATED', 'denied', `lease ${version} is older than lease ${before}, which is in force`);
}

function incomplete(why: string): GatewayError {
  return new GatewayError('LEASE_INCOMPLETE', 'conflict', `the difference of the lease cannot be applied: ${why}`);
}

function malformed(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'LEASE_MALFORMED',
    'protocol',
    `the lease cannot be read: ${why}${cause === undefined ? '' : ` (${errorText(cause)})`}`,
    {
      cause,
    },
  );
}
