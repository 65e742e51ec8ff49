/**
 * What a token is bound to besides its audience: a role, source networks, a client certificate. Whoever takes the token checks them
 * against what it sees of the client; a binding that this version does not know makes the token unusable, not free.
 *
 * @see RFC 7800 (`cnf`), RFC 8705 section 3.1 (`x5t#S256`)
 */
import { isInNetworks, parseNetwork } from './networks.ts';

export interface TokenBounds {
  /** The only role that may admit. */
  role?: string;
  /** CIDR; the client's address must lie in one. */
  networks?: readonly string[];
  /** SHA-256 of the client's certificate (DER), base64url. */
  certificate?: string;
}

/** What is known of the client's end of the connection. */
export interface Peer {
  /** IP address, without a port; empty: not known. */
  address: string;
  /** SHA-256 of the certificate whose key the client has proved to hold, base64url; null: it has shown none. */
  certificate: string | null;
}

export const NETWORKS_MAX = 16;

/** The bounds in a token's verified claims; null when they are malformed or of a kind that is not known. */
export function boundsOf(claims: Readonly<Record<string, unknown>>, isTicket: boolean): TokenBounds | null {
  const bounds: TokenBounds = {};
  const { cnf } = claims;
  if (cnf !== undefined) {
    if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return null;
    const { 'x5t#S256': thumbprint, ...others } = cnf as Record<string, unknown>;
    if (Object.keys(others).length > 0 || !isThumbprint(thumbprint)) return null;
    bounds.certificate = thumbprint;
  }
  // Claims of these names mean something in a ticket alone.
  if (!isTicket) return bounds;
  const { role, networks } = claims;
  if (role !== undefined) {
    if (typeof role !== 'string' || role === '') return null;
    bounds.role = role;
  }
  if (networks !== undefined) {
    if (!isNetworkList(networks)) return null;
    bounds.networks = networks;
  }
  return bounds;
}

export function isThumbprint(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{43}$/.test(value);
}

export function isNetworkList(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= NETWORKS_MAX &&
    value.every(each => typeof each === 'string' && parseNetwork(each) !== null)
  );
}

/** Why the client may not use a token with these bounds; null: it may. The role is for admission to judge. */
export function refusalByBounds(bounds: TokenBounds | undefined, peer: Peer): { code: string; reason: string } | null {
  if (bounds?.networks !== undefined && !isInNetworks(peer.address, bounds.networks)) {
    return {
      code: 'TOKEN_OTHER_NETWORK',
      reason: `the token is bound to ${bounds.networks.join(', ')}, and the client comes from elsewhere`,
    };
  }
  if (bounds?.certificate !== undefined && peer.certificate !== bounds.certificate) {
    const shown = peer.certificate === null ? 'showed none' : 'showed another';
    return { code: 'TOKEN_OTHER_CERTIFICATE', reason: `the token is bound to a client certificate, and the client ${shown}` };
  }
  return null;
}

/** @param clientAddress `host:port` or `[v6]:port`. */
export function peerAt(clientAddress: string, certificate: string | null = null): Peer {
  return { address: clientAddress.slice(0, Math.max(0, clientAddress.lastIndexOf(':'))).replace(/^\[|\]$/g, ''), certificate };
}
