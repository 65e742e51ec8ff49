/** Leases as they go over the stream: a bundle's bytes, or a half's statement, and the signature over them. */
import { type KeyObject, sign } from 'node:crypto';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';
import { OWN_PREFIX, type PartsStatement, SHARED_PREFIX } from '@sallyport/shared/policy/lease-parts.ts';

const prefix = Buffer.from('sallyport-lease-v1\0', 'latin1');

/** Ed25519 over the prefix and the very bytes that are sent, so that nobody has to agree on how JSON is written. */
export function signLease(bundle: LeaseBundle, leaseKey: KeyObject): { bundle: Uint8Array; signature: Uint8Array } {
  const bytes = Buffer.from(JSON.stringify(bundle), 'utf8');
  return { bundle: bytes, signature: sign(null, Buffer.concat([prefix, bytes]), leaseKey) };
}

/** Ed25519 over the prefix of the half and the very bytes that are sent. */
export function signStatement(
  half: 'shared' | 'own',
  statement: PartsStatement & { agentId?: string },
  leaseKey: KeyObject,
): { statement: Uint8Array; signature: Uint8Array } {
  const bytes = Buffer.from(JSON.stringify(statement), 'utf8');
  const message = Buffer.concat([Buffer.from(half === 'shared' ? SHARED_PREFIX : OWN_PREFIX, 'latin1'), bytes]);
  return { statement: bytes, signature: sign(null, message, leaseKey) };
}
