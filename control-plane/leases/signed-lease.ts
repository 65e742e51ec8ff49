/** A lease as it goes over the stream: the bundle's bytes and the signature over them. */
import { type KeyObject, sign } from 'node:crypto';
import type { LeaseBundle } from '@sallyport/shared/policy/bundle.ts';

const prefix = Buffer.from('sallyport-lease-v1\0', 'latin1');

/** Ed25519 over the prefix and the very bytes that are sent, so that nobody has to agree on how JSON is written. */
export function signLease(bundle: LeaseBundle, leaseKey: KeyObject): { bundle: Uint8Array; signature: Uint8Array } {
  const bytes = Buffer.from(JSON.stringify(bundle), 'utf8');
  return { bundle: bytes, signature: sign(null, Buffer.concat([prefix, bytes]), leaseKey) };
}
