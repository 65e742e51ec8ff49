/** Tickets: getting one, seeing those that are good, taking one back. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import type { IssuedTicket } from '../../aggregates/administration.ts';
import { action } from '../../aggregates/control-log.ts';
import { ticketAggregate } from '../../aggregates/ticket-revocation.ts';
import { type Caller, callerOf, hasRole, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';
import { ticketDefaultSeconds, ticketMaxSeconds } from '../ticket.ts';

/** For so long an identity provider's token stays revoked. */
const foreignTokenMsMax = 30 * 24 * 60 * 60 * 1000;

const TicketShown = Type.Object({
  id: Type.String(),
  resource: schemas.Name,
  principal: Type.String(),
  principalKind: Type.Enum(['person', 'workload']),
  delegation: Type.Array(Type.String(), { description: 'Who acts for the principal with it, outermost first' }),
  issuedAt: schemas.Time,
  expiresAt: schemas.Time,
  revoked: Type.Boolean(),
  role: Type.Optional(Type.String({ description: 'The one role that it is for; absent: any' })),
  networks: Type.Optional(Type.Array(Type.String())),
  boundToClient: Type.Boolean({ description: 'Good with one client certificate alone' }),
});

export function ticketRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, fleet, tickets, clock } = context;
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/tickets',
      schema: {
        operationId: 'issueTicket',
        tags: ['access'],
        summary: 'Exchange an identity provider’s token for a ticket to one resource',
        description: `A ticket lasts ${ticketDefaultSeconds / 60} minutes unless asked otherwise, ${ticketMaxSeconds / 60} at most, and never longer than the token that it was exchanged for. It may be bound to a role, to source networks and to a client certificate, and may name who acts for the caller with it.`,
        body: schemas.TicketRequest,
        response: { 201: schemas.TicketResponse, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        if (caller.type === 'admin') {
          throw new GatewayError(
            'TICKET_NEEDS_PRINCIPAL',
            'denied',
            'A ticket is for a person or a service: send their identity provider’s token.',
          );
        }
        const { resource, expiresInSeconds, role, networks, certificateSha256, actor } = request.body;
        if (actor !== undefined && control.state.manifest('ServiceAccount', actor) === undefined) {
          throw new GatewayError('ACTOR_UNKNOWN', 'invalid', 'Who acts for you must be a service account: there is none of this name.');
        }
        const ticket = await tickets.issue(
          {
            ...{ principal: caller.principal, tokenExpiresAtMs: caller.expiresAtMs, resource },
            ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
            ...(actor === undefined ? {} : { actor }),
            bounds: {
              ...(role === undefined ? {} : { role }),
              ...(networks === undefined ? {} : { networks }),
              ...(certificateSha256 === undefined ? {} : { certificate: certificateSha256 }),
            },
          },
          provenanceOf(request, 'ticket issued'),
        );
        const [served] = fleet.addressesOf(resource);
        return reply.code(201).send({
          ticket: ticket.ticket,
          id: ticket.tokenId,
          expiresAt: new Date(ticket.expiresAtMs).toISOString(),
          resource,
          ...(served === undefined ? {} : { address: served.address }),
        });
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/tickets',
      schema: {
        operationId: 'listTickets',
        tags: ['access'],
        summary: 'List tickets that have not expired: one’s own, or all for who sees sessions',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ tickets: Type.Array(TicketShown), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const nowMs = clock();
        const revoked = new Set(control.state.revokedTickets(nowMs));
        const visible = control.state.issuedTickets(nowMs).filter(ticket => seesAll(caller) || isOwn(caller, ticket));
        const { rows, next } = pageOf(visible, ({ ticketId }) => ticketId, request.query);
        return { tickets: rows.map(ticket => shown(ticket, revoked)), next };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/tickets/:id/revoke',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'revokeTicket',
        tags: ['access'],
        summary: 'Revoke a ticket by its id: agents refuse it, and end the sessions that it has opened',
        description: 'One’s own, or for operators any; also the id of an identity provider’s token (`jti`), as a session’s record has it.',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 256 }) }),
        body: schemas.ReasonRequest,
        response: { 200: Type.Object({ revoked: Type.Boolean() }), default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const caller = callerOf(request);
        const ticket = control.state.issuedTickets(clock()).find(({ ticketId }) => ticketId === id);
        if (!hasRole(caller, 'operator') && (ticket === undefined || !isOwn(caller, ticket))) {
          throw new GatewayError('TICKET_UNKNOWN', 'notFound', 'There is no such ticket of yours; those of others are for operators.');
        }
        // The end of a token that is not ours is not known here; identity providers' own last hours, seldom days.
        const expiresAtMs = ticket?.expiresAtMs ?? clock() + foreignTokenMsMax;
        await control.execute(
          [action(ticketAggregate, id, { type: 'revoke', expiresAtMs })],
          provenanceOf(request, request.body.reason ?? 'ticket revoked'),
        );
        return { revoked: true };
      },
    });
  };
}

function seesAll(caller: Caller): boolean {
  return hasRole(caller, 'viewer', 'operator', 'auditor');
}

/** Who acts for somebody sees and revokes nothing in their name. */
function isOwn(caller: Caller, { principal }: IssuedTicket): boolean {
  if (caller.type === 'admin' || caller.principal.delegation.length > 0) return false;
  return caller.principal.issuer === principal.issuer && caller.principal.subject === principal.subject;
}

function shown(ticket: IssuedTicket & { issuedAtMs: number }, revoked: ReadonlySet<string>) {
  const { ticketId, resource, principal, delegation, issuedAtMs, expiresAtMs, role, networks, boundToClient } = ticket;
  return {
    ...{ id: ticketId, resource, principal: principal.name, principalKind: principal.kind, delegation, boundToClient },
    ...{ issuedAt: new Date(issuedAtMs).toISOString(), expiresAt: new Date(expiresAtMs).toISOString(), revoked: revoked.has(ticketId) },
    ...(role === undefined ? {} : { role }),
    ...(networks === undefined ? {} : { networks }),
  };
}
