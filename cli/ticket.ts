/** Trades an identity provider's token, or a service account's secret, for a ticket. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type ApiAddress, requestJson, requestTokenExchange } from './http-client.ts';

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
  if (identityToken.startsWith('sps_')) return exchangeSecret(api, identityToken, resource, expiresInSeconds, bounds);
  const body = { resource, ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }), ...bounds };
  return (await requestJson({ ...api, token: identityToken }, 'POST', '/v1/tickets', body)) as Ticket;
}

/** A secret is taken at the token exchange alone. */
async function exchangeSecret(
  api: ApiAddress,
  secret: string,
  resource: string,
  expiresInSeconds: number | undefined,
  { role, networks, certificateSha256, actor }: TicketBounds,
): Promise<Ticket> {
  if (actor !== undefined) {
    throw new GatewayError('ACTOR_UNPROVED', 'invalid', 'who acts for a service account proves it by a token of its own, at /oauth/token.');
  }
  const said = await requestTokenExchange(api, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: secret,
    subject_token_type: 'urn:sallyport:token-type:service-account-secret',
    audience: resource,
    ...(expiresInSeconds === undefined ? {} : { expires_in: String(expiresInSeconds) }),
    ...(role === undefined ? {} : { scope: `role:${role}` }),
    ...(networks === undefined ? {} : { sallyport_networks: networks.join(',') }),
    ...(certificateSha256 === undefined ? {} : { sallyport_certificate_sha256: certificateSha256 }),
  });
  const expiresAt = new Date(Date.now() + Number(said['expires_in']) * 1000).toISOString();
  return { ticket: String(said['access_token']), expiresAt, resource };
}
