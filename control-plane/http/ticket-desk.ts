/**
 * Issues tickets: judges who asks for what, signs, and records each before it is given out. The one place for both ways to ask
 * (routes/tickets.ts, routes/token-exchange.ts).
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { isNetworkList, isThumbprint, type TokenBounds } from '@sallyport/shared/identity/token-bounds.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { AdministrationLog } from '../aggregates/administration-log.ts';
import type { Provenance } from '../aggregates/control-log.ts';
import type { SigningKeys } from '../pki/signing-keys.ts';
import type { AdmissionDesk } from './admission.ts';
import { signTicket, type Ticket, ticketDefaultSeconds, ticketMaxSeconds } from './ticket.ts';

export interface TicketQuestion {
  principal: Principal;
  /** When the token that is exchanged ends: no ticket outlives it. */
  tokenExpiresAtMs: number;
  /** Who acts for the principal with this ticket, where somebody does. */
  actor?: string;
  resource: string;
  expiresInSeconds?: number;
  bounds: TokenBounds;
  /** Set when secrets of service accounts are exchanged: their ids, and whether they still are good. */
  secrets?: { ids: string[]; areGood: () => boolean };
}

const delegationMax = 8;

export interface TicketDeskOptions {
  admission: AdmissionDesk;
  administration: AdministrationLog;
  keys: SigningKeys;
  clock: () => number;
  /** Whether somebody has registered public keys, for which their groups are to be known. */
  holdsKeys: (principal: Principal) => boolean;
}

export class TicketDesk {
  readonly #admission: AdmissionDesk;
  readonly #administration: AdministrationLog;
  readonly #keys: SigningKeys;
  readonly #clock: () => number;
  readonly #holdsKeys: TicketDeskOptions['holdsKeys'];

  constructor(options: TicketDeskOptions) {
    this.#admission = options.admission;
    this.#administration = options.administration;
    this.#keys = options.keys;
    this.#clock = options.clock;
    this.#holdsKeys = options.holdsKeys;
  }

  /** @throws {GatewayError} RESOURCE_UNKNOWN, UNAUTHENTICATED, TICKET_BOUNDS_INVALID, DELEGATION_TOO_LONG, or the log's errors. */
  async issue(question: TicketQuestion, provenance: Omit<Provenance, 'author' | 'authorIdentity'>): Promise<Ticket> {
    const { principal: asking, actor, resource, expiresInSeconds = ticketDefaultSeconds, bounds, tokenExpiresAtMs, secrets } = question;
    if (bounds.networks !== undefined && !isNetworkList(bounds.networks)) {
      throw new GatewayError(
        'TICKET_BOUNDS_INVALID',
        'invalid',
        'Networks are 1 to 16 in CIDR notation, without bits behind their length.',
      );
    }
    if (bounds.certificate !== undefined && !isThumbprint(bounds.certificate)) {
      throw new GatewayError('TICKET_BOUNDS_INVALID', 'invalid', 'The certificate is given as its SHA-256 in base64url, 43 characters.');
    }
    const principal = actor === undefined ? asking : { ...asking, delegation: [actor, ...asking.delegation] };
    if (principal.delegation.length > delegationMax) {
      throw new GatewayError('DELEGATION_TOO_LONG', 'invalid', `No more than ${delegationMax} may act one for the other.`);
    }
    const nowMs = this.#clock();
    // One answer whether it does not exist or is not for the caller.
    if (!this.#admission.isAdmitted(principal, resource, nowMs, bounds.role)) {
      throw new GatewayError('RESOURCE_UNKNOWN', 'notFound', 'There is no such resource, or you may not use it.');
    }
    const expiresAtMs = Math.min(nowMs + Math.min(expiresInSeconds, ticketMaxSeconds) * 1000, tokenExpiresAtMs);
    if (expiresAtMs <= nowMs + 1000) {
      throw new GatewayError(
        'UNAUTHENTICATED',
        'unauthenticated',
        'Your token has expired, or is about to: sign in again (sallyport login).',
      );
    }
    const ticket = await signTicket(this.#keys.current('ticket'), principal, resource, nowMs, expiresAtMs, bounds);
    const { kind, name, issuer, subject, delegation } = principal;
    await this.#administration.record(
      {
        type: 'TicketIssued',
        payload: {
          ...{
            ticketId: ticket.tokenId,
            resource,
            principal: { kind, name, issuer, subject },
            delegation,
            expiresAtMs: ticket.expiresAtMs,
          },
          ...(bounds.role === undefined ? {} : { role: bounds.role }),
          ...(bounds.networks === undefined ? {} : { networks: [...bounds.networks] }),
          ...(secrets === undefined ? {} : { secrets: secrets.ids }),
          ...(this.#holdsKeys(asking) ? { groups: [...asking.groups] } : {}),
          boundToClient: bounds.certificate !== undefined,
        },
      },
      { ...provenance, author: name, authorIdentity: { issuer, subject } },
    );
    // A secret that was revoked before its ticket is in the log has revoked the tickets that were there.
    if (secrets?.areGood() === false) throw new GatewayError('UNAUTHENTICATED', 'unauthenticated', 'The secret is not good any more.');
    return ticket;
  }
}
