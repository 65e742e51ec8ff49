/**
 * Makes tickets: short tokens that open one resource, in exchange for an identity provider's token. A ticket never outlives the token
 * that it was exchanged for, nor an hour. It says who the principal is and does not say what they may do: the agent asks its policy at
 * every connection.
 */
import { randomUUIDv7 } from 'node:crypto';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { SignJWT } from 'jose';
import { ticketIssuer, ticketKeyId } from '../leases/lease-bundle.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';

export const ticketDefaultSeconds = 15 * 60;
export const ticketMaxSeconds = 60 * 60;

export interface Ticket {
  ticket: string;
  tokenId: string;
  expiresAtMs: number;
}

/** @param expiresAtMs already within the bounds; rounded down to seconds. */
export async function signTicket(
  keys: ControlPlaneKeys,
  principal: Principal,
  resource: string,
  nowMs: number,
  expiresAtMs: number,
): Promise<Ticket> {
  const tokenId = randomUUIDv7();
  const exp = Math.floor(expiresAtMs / 1000);
  const ticket = await new SignJWT({
    name: principal.name,
    kind: principal.kind,
    groups: principal.groups,
    oiss: principal.issuer,
    ...(principal.delegation.length === 0 ? {} : { act: actorClaim(principal.delegation) }),
  })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: ticketKeyId(keys) })
    .setIssuer(ticketIssuer)
    .setAudience(`resource:${resource}`)
    .setSubject(principal.subject)
    .setJti(tokenId)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(exp)
    .sign(keys.ticketKey);
  return { ticket, tokenId, expiresAtMs: exp * 1000 };
}

/** RFC 8693 4.1: the outermost actor holds the one before it. */
function actorClaim(delegation: readonly string[]): unknown {
  const [sub, ...rest] = delegation;
  return rest.length === 0 ? { sub } : { sub, act: actorClaim(rest) };
}
