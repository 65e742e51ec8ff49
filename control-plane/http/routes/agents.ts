/** The fleet: inviting, listing and revoking agents. */
import { randomUUIDv7 } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { isNetworkList } from '@sallyport/shared/identity/token-bounds.ts';
import { Type } from 'typebox';
import { type AgentState, agentAggregate } from '../../aggregates/agent.ts';
import { action, type Outcome } from '../../aggregates/control-log.ts';
import { mintJoinToken } from '../../pki/join-token.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';

const AgentId = Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{32}$' }) });

export function agentRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, authority, clock } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/agents',
      config: { access: 'admin' },
      schema: {
        operationId: 'listAgents',
        tags: ['agents'],
        summary: 'List agents, with what they serve now',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ agents: Type.Array(schemas.Agent), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const { rows, next } = pageOf(control.state.agents(), ([id]) => id, request.query);
        return { agents: rows.map(([id, state]) => shown(context, id, state)), next };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/agents/invitations',
      config: { access: 'admin' },
      schema: {
        operationId: 'inviteAgent',
        tags: ['agents'],
        summary: 'Make a one-time join token for a new agent',
        description:
          'The labels decide which resources the agent will serve and which credentials it will get; the agent cannot choose them.',
        body: schemas.InvitationRequest,
        response: { 201: schemas.InvitationResponse, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { labels = {}, everyResource = false, expiresInSeconds = 3600, networks } = request.body;
        if (networks !== undefined && !isNetworkList(networks))
          throw new GatewayError(
            'NETWORK_INVALID',
            'invalid',
            '`networks` are addresses or networks (CIDR) without bits behind their length.',
          );
        const agentId = randomUUIDv7().replaceAll('-', '');
        const { token, secretHash } = mintJoinToken(agentId, authority.caFingerprint);
        const expiresAtMs = clock() + expiresInSeconds * 1000;
        const invitation = { secretHash, labels, everyResource, ...(networks === undefined ? {} : { networks }), expiresAtMs };
        grantedOrThrow(
          await control.execute([action(agentAggregate, agentId, { type: 'invite', invitation })], provenanceOf(request, 'agent invited')),
        );
        return reply.code(201).send({ token, agentId, expiresAt: new Date(expiresAtMs).toISOString() });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/agents/:id/drain',
      schema: {
        operationId: 'drainAgent',
        tags: ['agents'],
        summary: 'Let an agent take no new sessions; those that live go on until the deadline',
        description: 'Clients that connect are refused and go to another agent of the resource. An agent serves again after a restart.',
        params: AgentId,
        body: Type.Object(
          {
            withinSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400, default: 600 })),
            reason: Type.Optional(Type.String({ maxLength: 500 })),
          },
          { additionalProperties: false },
        ),
        response: { 200: schemas.Agent, default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const { withinSeconds = 600, reason = '' } = request.body;
        const state = control.state.agent(id);
        if (state.status !== 'active') throw new GatewayError('AGENT_UNKNOWN', 'notFound', 'There is no such agent.');
        await context.administration.record(
          { type: 'AgentDrained', payload: { agentId: id, withinSeconds } },
          provenanceOf(request, reason),
        );
        if (!context.fleet.drain(id, clock() + withinSeconds * 1000)) {
          throw new GatewayError('AGENT_OFFLINE', 'conflict', 'This agent is not connected here: stop its process, it drains by itself.');
        }
        return shown(context, id, state);
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/agents/:id/revoke',
      config: { access: 'admin' },
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'revokeAgent',
        tags: ['agents'],
        summary: 'Revoke an agent or an invitation: it is refused from now on',
        params: AgentId,
        body: schemas.ReasonRequest,
        response: { 200: schemas.Agent, default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const reason = request.body.reason ?? '';
        grantedOrThrow(await control.execute([action(agentAggregate, id, { type: 'revoke', reason })], provenanceOf(request, reason)));
        return shown(context, id, control.state.agent(id));
      },
    });
  };
}

function grantedOrThrow(outcome: Outcome): void {
  if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
}

export function shown({ fleet }: ApiContext, id: string, state: AgentState): schemas.Agent {
  const nothingLive = { sessions: 0, listeners: {}, problems: {} };
  const iso = (ms: number) => new Date(ms).toISOString();
  switch (state.status) {
    case 'unknown':
      throw new GatewayError('AGENT_UNKNOWN', 'notFound', 'There is no such agent.');
    case 'invited':
      return {
        ...{ id, name: '', status: 'invited' as const, labels: state.invitation.labels, version: '', ...nothingLive },
        invitationExpiresAt: iso(state.invitation.expiresAtMs),
      };
    case 'revoked':
      return {
        ...{ id, name: state.details?.name ?? '', status: 'revoked' as const, labels: state.labels },
        ...{ version: state.details?.version ?? '', ...nothingLive },
        ...(state.reason === '' ? {} : { revokedBecause: state.reason }),
      };
    case 'active': {
      const connection = fleet.connection(id);
      const leaseIssuedAtMs = fleet.leaseIssuedAtMs(id);
      const enrolled = {
        ...{ id, name: state.details.name, labels: state.invitation.labels, joinedAt: iso(state.joinedAtMs) },
        ...(state.copySeen === undefined ? {} : { copySeenAt: iso(state.copySeen.atMs), copySeenFrom: state.copySeen.address }),
        ...(state.certificates[0] === undefined ? {} : { certificateExpiresAt: iso(state.certificates[0].notAfterMs) }),
      };
      if (connection === undefined) return { ...enrolled, status: 'offline' as const, version: state.details.version, ...nothingLive };
      return {
        ...enrolled,
        status: 'online' as const,
        version: connection.version || state.details.version,
        connectedAt: iso(connection.connectedAtMs),
        lastSeenAt: iso(connection.lastSeenAtMs),
        address: connection.identity.address,
        leaseVersion: Number(connection.leaseVersion),
        sessions: connection.sessions.size,
        health: connection.draining
          ? ('draining' as const)
          : Object.keys(connection.problems).length > 0
            ? ('problems' as const)
            : ('healthy' as const),
        ...(leaseIssuedAtMs === undefined ? {} : { leaseIssuedAt: iso(leaseIssuedAtMs) }),
        ...(connection.roundTripMs === null ? {} : { roundTripMs: Math.round(connection.roundTripMs * 10) / 10 }),
        ...(connection.health === null
          ? {}
          : {
              spoolRecords: Number(connection.health.spoolRecords),
              spoolBytes: Number(connection.health.spoolBytes),
              memoryBytes: Number(connection.health.memoryBytes),
            }),
        listeners: connection.listeners,
        problems: connection.problems,
      };
    }
  }
}
