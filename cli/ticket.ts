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

/** @throws {GatewayError} what the control plane refuses with, and API_UNREACHABLE. */
export async function requestTicket(api: ApiAddress, identityToken: string, resource: string, expiresInSeconds?: number): Promise<Ticket> {
  const body = { resource, ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }) };
  return (await requestJson({ ...api, token: identityToken }, 'POST', '/v1/tickets', body)) as Ticket;
}
