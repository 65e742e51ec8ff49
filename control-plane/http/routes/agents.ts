/** The fleet: inviting, listing and revoking agents. */
import { createHash, randomUUIDv7 } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Capability } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { isNetworkList } from '@sallyport/shared/identity/token-bounds.ts';
import type { Manifest, Principal, ServiceAccountSpec } from '@sallyport/shared/policy/model.ts';
import { Type } from 'typebox';
import { type AgentRequest, type AgentState, agentAggregate } from '../../aggregates/agent.ts';
import { action, informedAction, type Outcome } from '../../aggregates/control-log.ts';
import type { Rejection } from '../../aggregates/decider.ts';
import { manifestKinds } from '../../aggregates/manifest.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { mintJoinToken } from '../../pki/join-token.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';

const AgentId = Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{32}$' }) });

/** Between the trade and the agent's first call. */
const joinGrantedMs = 10 * 60 * 1000;

export function agentRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, administration, authority, clock } = context;
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
      url: '/v1/agents/join-tokens',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'joinTokenForWorkload',
        tags: ['agents'],
        summary: 'Trade a workload’s token for a join token',
        description:
          'For workloads whose ServiceAccount has `joins`: the token of their issuer, once, for a join token that is good once and for ten minutes, with the labels that the account says.',
        body: Type.Object({}, { additionalProperties: false }),
        response: { 201: schemas.InvitationResponse, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const account = caller.type === 'principal' && isWorkloadItself(caller.principal) ? caller.principal.name : null;
        if (caller.type !== 'principal' || account === null || joinsOf(control.state, account) === undefined) throw mayNotJoin();
        const agentId = randomUUIDv7().replaceAll('-', '');
        const { issuer } = caller.principal;
        // Used up before anything is given for it, at whatever replica it comes again.
        const used = createHash('sha256')
          .update(JSON.stringify([issuer, caller.tokenId]))
          .digest('hex');
        const granted = { type: 'AgentJoinGranted', payload: { agentId, account, tokenId: caller.tokenId } } as const;
        try {
          await administration.recordOnce(`join-${used}`, granted, provenanceOf(request, 'join token for a workload'));
        } catch (error) {
          if (!(error instanceof GatewayError && error.code === 'ALREADY_DONE')) throw error;
          throw new GatewayError('TOKEN_USED', 'conflict', 'This token was traded for a join token before: each is good for one.');
        }
        const { token, secretHash } = mintJoinToken(agentId, authority.caFingerprint);
        const expiresAtMs = clock() + joinGrantedMs;
        const invite = informedAction(agentAggregate, agentId, [manifestKinds.ServiceAccount], (all): AgentRequest | Rejection => {
          const joins = joinsOf(all, account);
          return joins === undefined
            ? { code: 'JOIN_DENIED', kind: 'denied', message: mayNotJoin().message }
            : { type: 'invite', invitation: { secretHash, everyResource: false, expiresAtMs, ...joins } };
        });
        grantedOrThrow(await control.execute([invite], provenanceOf(request, `agent invited by ${account}`)));
        return reply.code(201).send({ token, agentId, expiresAt: new Date(expiresAtMs).toISOString() });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/agents/:id/log-level',
      schema: {
        operationId: 'setAgentLogLevel',
        tags: ['agents'],
        summary: 'Have an agent’s log say more or less for a while; it is back by itself',
        description:
          'An agent that starts again says as much as before. What it logs holds no statements, values, tokens or credentials at any level.',
        params: AgentId,
        body: Type.Object(
          {
            level: Type.Enum(['debug', 'info', 'warn', 'error']),
            forSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400, default: 600, description: '0: back at once' })),
            reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })),
          },
          { additionalProperties: false },
        ),
        response: { 200: Type.Object({ until: schemas.Time }), default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const { level, forSeconds = 600, reason = '' } = request.body;
        if (control.state.agent(id).status !== 'active') throw new GatewayError('AGENT_UNKNOWN', 'notFound', 'There is no such agent.');
        const connection = context.fleet.connection(id);
        if (connection !== undefined && !connection.capabilities.includes(Capability.LOG_LEVEL))
          throw new GatewayError('AGENT_TOO_OLD', 'conflict', 'This agent does not know how to change its log level: upgrade it.');
        const set = { type: 'AgentLogLevelSet', payload: { agentId: id, level, forSeconds } } as const;
        await administration.record(set, provenanceOf(request, reason));
        return { until: new Date(clock() + forSeconds * 1000).toISOString() };
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

/** Who acts for a workload is not the workload. */
function isWorkloadItself({ kind, delegation }: Principal): boolean {
  return kind === 'workload' && delegation.length === 0;
}

function joinsOf(all: Projection, account: string): ServiceAccountSpec['joins'] {
  return (all.manifest('ServiceAccount', account)?.manifest as Manifest<'ServiceAccount'> | undefined)?.spec.joins;
}

function mayNotJoin(): GatewayError {
  return new GatewayError('JOIN_DENIED', 'denied', 'Join tokens are traded here for tokens of workloads whose ServiceAccount has `joins`.');
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
