/** Trades an identity provider's token for a ticket. */
import { type ApiAddress, requestJson } from './http-client.ts';

export interface Ticket {
  ticket: string;
  /** RFC 3339. */
  expiresAt: string;
  resource: string;
  /** host:port where clients connect; absent while no agent serves the resource. */
  address?: string;
}

/** What the ticket is good for besides the resource. */
export interface TicketBounds {
  role?: string;
  /** CIDR. */
  networks?: string[];
  /** SHA-256 of the client certificate, base64url. */
  certificateSha256?: string;
  /** The service account that acts for the caller. */
  actor?: string;
}

/** @throws {GatewayError} what the control plane refuses with, and API_UNREACHABLE. */
export async function requestTicket(
  api: ApiAddress,
  identityToken: string,
  resource: string,
  expiresInSeconds?: number,
  bounds: TicketBounds = {},
): Promise<Ticket> {
  const body = { resource, ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }), ...bounds };
  return (await requestJson({ ...api, token: identityToken }, 'POST', '/v1/tickets', body)) as Ticket;
}
