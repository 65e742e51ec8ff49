/**
 * Makes tickets: short tokens that open one resource, in exchange for an identity provider's token. A ticket never outlives the token
 * that it was exchanged for, nor an hour. It says who the principal is, and may bind itself to a role, a network, a certificate; what
 * they may do it does not say: the agent asks its policy at every connection.
 */
import { randomUUIDv7 } from 'node:crypto';
import type { TokenBounds } from '@sallyport/shared/identity/token-bounds.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { SignJWT } from 'jose';
import { ticketIssuer } from '../leases/lease-bundle.ts';
import type { SigningKey } from '../pki/signing-keys.ts';

export const ticketDefaultSeconds = 15 * 60;
export const ticketMaxSeconds = 60 * 60;

export interface Ticket {
  ticket: string;
  tokenId: string;
  expiresAtMs: number;
}

/** @param expiresAtMs already within the bounds; rounded down to seconds. */
export async function signTicket(
  signing: Pick<SigningKey, 'id' | 'key'>,
  principal: Principal,
  resource: string,
  nowMs: number,
  expiresAtMs: number,
  bounds: TokenBounds = {},
): Promise<Ticket> {
  const tokenId = randomUUIDv7();
  const exp = Math.floor(expiresAtMs / 1000);
  const ticket = await new SignJWT({
    name: principal.name,
    kind: principal.kind,
    groups: principal.groups,
    oiss: principal.issuer,
    ...(bounds.role === undefined ? {} : { role: bounds.role }),
    ...(bounds.networks === undefined ? {} : { networks: bounds.networks }),
    ...(bounds.certificate === undefined ? {} : { cnf: { 'x5t#S256': bounds.certificate } }),
    ...(principal.delegation.length === 0 ? {} : { act: actorClaim(principal.delegation) }),
  })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: signing.id })
    .setIssuer(ticketIssuer)
    .setAudience(`resource:${resource}`)
    .setSubject(principal.subject)
    .setJti(tokenId)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(exp)
    .sign(signing.key);
  return { ticket, tokenId, expiresAtMs: exp * 1000 };
}

/** RFC 8693 4.1: the outermost actor holds the one before it. */
function actorClaim(delegation: readonly string[]): unknown {
  const [sub, ...rest] = delegation;
  return rest.length === 0 ? { sub } : { sub, act: actorClaim(rest) };
}
