/** What a person or a service may reach, and tickets for it. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { Type } from 'typebox';
import { action } from '../../aggregates/control-log.ts';
import { ticketAggregate } from '../../aggregates/ticket-revocation.ts';
import { type Caller, callerOf, hasRole, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';
import { signTicket, ticketDefaultSeconds, ticketMaxSeconds } from '../ticket.ts';

export function accessRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, fleet, admission, keys, clock } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/resources',
      config: { access: 'principal' },
      schema: {
        operationId: 'listResources',
        tags: ['access'],
        summary: 'List the resources that the caller may reach, with the addresses that agents report',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ resources: Type.Array(schemas.Resource), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const nowMs = clock();
        const resources = control.state
          .manifests('Resource')
          .map(({ manifest }) => manifest as Manifest<'Resource'>)
          .filter(({ name }) => caller.type === 'admin' || seesAll(caller) || admission.isAdmitted(caller.principal, name, nowMs));
        const { rows, next } = pageOf(resources, ({ name }) => name, request.query);
        return { next, resources: rows.map(manifest => shown(context, manifest, seesAll(caller))) };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/tickets',
      config: { access: 'principal' },
      schema: {
        operationId: 'issueTicket',
        tags: ['access'],
        summary: 'Exchange an identity provider’s token for a ticket to one resource',
        description: `A ticket lasts ${ticketDefaultSeconds / 60} minutes unless asked otherwise, ${ticketMaxSeconds / 60} at most, and never longer than the token that it was exchanged for.`,
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
        const { resource, expiresInSeconds = ticketDefaultSeconds } = request.body;
        const nowMs = clock();
        // One answer whether it does not exist or is not for the caller.
        if (!admission.isAdmitted(caller.principal, resource, nowMs)) {
          throw new GatewayError('RESOURCE_UNKNOWN', 'notFound', 'There is no such resource, or you may not use it.');
        }
        const expiresAtMs = Math.min(nowMs + Math.min(expiresInSeconds, ticketMaxSeconds) * 1000, caller.expiresAtMs);
        if (expiresAtMs <= nowMs + 1000) {
          throw new GatewayError(
            'UNAUTHENTICATED',
            'unauthenticated',
            'Your token has expired, or is about to: sign in again (sallyport login).',
          );
        }
        const ticket = await signTicket(keys, caller.principal, resource, nowMs, expiresAtMs);
        const [served] = fleet.addressesOf(resource);
        return reply.code(201).send({
          ticket: ticket.ticket,
          expiresAt: new Date(ticket.expiresAtMs).toISOString(),
          resource,
          ...(served === undefined ? {} : { address: served.address }),
        });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/tickets/:id/revoke',
      config: { access: 'admin' },
      schema: {
        operationId: 'revokeTicket',
        tags: ['access'],
        summary: 'Revoke a ticket by its id (`jti`, as the session’s record has it)',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 256 }) }),
        response: { 200: Type.Object({ revoked: Type.Boolean() }), default: schemas.Problem },
      },
      handler: async request => {
        // Its end is not known here; no ticket lasts longer than this.
        const expiresAtMs = clock() + ticketMaxSeconds * 1000;
        await control.execute(
          [action(ticketAggregate, request.params.id, { type: 'revoke', expiresAtMs })],
          provenanceOf(request, 'ticket revoked'),
        );
        return { revoked: true };
      },
    });
  };
}

function seesAll(caller: Caller): boolean {
  return hasRole(caller, 'viewer', 'operator', 'auditor');
}

function shown({ fleet }: ApiContext, { name, labels, spec }: Manifest<'Resource'>, isAdmin: boolean): schemas.Resource {
  const addresses = [...new Set(fleet.addressesOf(name).map(({ address }) => address))];
  const problems = fleet.connections().flatMap(connection => {
    const reason = connection.problems[name];
    return reason === undefined || !isAdmin ? [] : [{ agent: connection.identity.agent.details.name, reason }];
  });
  return {
    name,
    protocol: spec.protocol,
    labels,
    ...(spec.upstream.database === undefined ? {} : { database: spec.upstream.database }),
    ...(addresses[0] === undefined ? {} : { address: addresses[0] }),
    addresses,
    problems,
  };
}
