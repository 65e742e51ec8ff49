/**
 * Asking for access: a role on a resource, for a time. The question is an approval of kind `access`, answered as all approvals are; what
 * comes of it is a grant in the agents' leases, until it ends or somebody ends it.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';
import { type ApprovalQuestion, approvalAggregate } from '../../aggregates/approval.ts';
import { action } from '../../aggregates/control-log.ts';
import { shapesAudit } from '../../aggregates/policy-authors.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { Buckets, type Rate } from '../../buckets.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { RateLimited } from '../rate-limit.ts';
import * as schemas from '../schemas.ts';
import { ApprovalId, isVisible, shown } from './approvals.ts';

/** Of one person that may wait at once: questions are kept for ever in the log. */
const waitingPerPersonMax = 20;
/** Taken back and asked again it is in the log all the same. */
const requestsOfPerson: Rate = { burst: 40, perSecond: 1 / 60 };

export function requestRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, clock } = context;
  const asked = new Buckets(clock);
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/requests',
      config: { access: 'principal' },
      schema: {
        operationId: 'requestAccess',
        tags: ['approvals'],
        summary: 'Ask for access to a resource for a time',
        body: schemas.AccessRequest,
        response: { 201: schemas.Approval, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        if (caller.type !== 'principal' || caller.principal.kind !== 'person' || caller.principal.delegation.length > 0) {
          throw new GatewayError(
            'ACCESS_NEEDS_PERSON',
            'denied',
            'Access is asked for by a person, for themselves: send your identity provider’s token.',
          );
        }
        const { principal } = caller;
        const { resource, seconds, reason, role } = request.body;
        const found = requestable(control.state, principal, resource, role);
        if (found === undefined)
          throw new GatewayError(
            'ACCESS_NOT_OFFERED',
            'notFound',
            `There is no role on ${JSON.stringify(resource)} that you may ask for${role === undefined ? '' : ' by this name'}.`,
          );
        const { approval, maxDurationMs } = found.requests;
        if (seconds * 1000 > maxDurationMs)
          throw new GatewayError(
            'ACCESS_TOO_LONG',
            'invalid',
            `The role ${found.name} is given for ${Math.floor(maxDurationMs / 1000)} seconds at most; ask for less.`,
          );
        const mine = control.state
          .pendingApprovals()
          .filter(
            ([, state]) =>
              state.status === 'pending' &&
              state.question.access !== undefined &&
              state.question.principal.issuer === principal.issuer &&
              state.question.principal.subject === principal.subject,
          );
        if (mine.length >= waitingPerPersonMax)
          throw new GatewayError('ACCESS_TOO_MANY', 'conflict', `You have ${mine.length} requests waiting already; withdraw some first.`);
        const taken = asked.take(JSON.stringify([principal.issuer, principal.subject]), requestsOfPerson);
        if (!taken.taken) {
          void reply.header('retry-after', String(taken.retryAfterSeconds));
          throw new RateLimited(taken.retryAfterSeconds);
        }
        const id = randomUUID();
        const nowMs = clock();
        if (shapesAudit(control.state, principal, resource, nowMs))
          throw new GatewayError(
            'AUDIT_OWN',
            'denied',
            'You have had a hand in how this resource is audited: whoever is audited does not decide how, so access for you takes a role that somebody else gives.',
          );
        const { kind, name, issuer, subject, groups } = principal;
        const question: ApprovalQuestion = {
          access: { role: found.name, seconds, reason },
          agentId: '',
          sessionId: '',
          commandSeq: 0,
          resource,
          rule: `${found.name}/requests`,
          text: `access to ${resource} as ${found.name} for ${seconds} seconds`,
          parameters: [],
          binding: createHash('sha256')
            .update(JSON.stringify([id, issuer, subject, resource, found.name, seconds]))
            .digest('base64'),
          principal: { kind, name, issuer, subject, groups, delegation: [] },
          groups: approval.from.groups,
          quorum: approval.quorum,
          preview: '',
          fingerprint: '',
          expiresAtMs: nowMs + approval.expiresInMs,
        };
        const outcome = await control.execute(
          [action(approvalAggregate, id, { type: 'request', question, nowMs })],
          provenanceOf(request, reason),
        );
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        const [made] = shown(id, control.state.approval(id), control.state);
        if (made === undefined) throw new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
        return reply.code(201).send(made);
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/approvals/:id/revoke',
      config: { access: 'principal' },
      schema: {
        operationId: 'revokeAccess',
        tags: ['approvals'],
        summary: 'End access that was given, or take back the request for it',
        params: ApprovalId,
        body: schemas.ReasonRequest,
        response: { 200: schemas.Approval, default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const state = control.state.approval(id);
        const caller = callerOf(request);
        const hidden = new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
        if (state.status === 'unknown' || !isVisible(caller, state)) throw hidden;
        if (state.question.access === undefined)
          throw new GatewayError(
            'ACCESS_NOT_GIVEN',
            'conflict',
            'This approval is of a command, which has run or will not run; there is nothing to end.',
          );
        const reason = request.body.reason ?? '';
        const by = caller.type === 'admin' ? 'administrator' : caller.principal.name;
        const own =
          caller.type === 'principal' &&
          caller.principal.issuer === state.question.principal.issuer &&
          caller.principal.subject === state.question.principal.subject;
        if (state.status === 'pending' && !own)
          throw new GatewayError('APPROVAL_PENDING', 'conflict', 'This request is still waiting: deny it.');
        const asked =
          state.status === 'pending'
            ? ({ type: 'withdraw', agentId: '', reason } as const)
            : ({ type: 'endAccess', by, reason, nowMs: clock() } as const);
        const outcome = await control.execute([action(approvalAggregate, id, asked)], provenanceOf(request, reason));
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        const [approval] = shown(id, control.state.approval(id), control.state);
        if (approval === undefined) throw hidden;
        return approval;
      },
    });
  };
}

/** The role that a person may ask for on a resource: the named one, or the one that is given for the longest. */
function requestable(state: Projection, principal: Principal, resourceName: string, roleName: string | undefined) {
  const resource = state.manifest('Resource', resourceName)?.manifest;
  if (resource === undefined) return undefined;
  return state
    .manifests('Role')
    .flatMap(({ manifest }) => {
      const { name, spec } = manifest as Manifest<'Role'>;
      const { requests } = spec;
      const offered =
        requests !== undefined &&
        (roleName === undefined || roleName === name) &&
        selects(spec.resources, resource.name, resource.labels) &&
        requests.by.groups.some(group => principal.groups.includes(group));
      return offered ? [{ name, requests }] : [];
    })
    .sort((a, b) => b.requests.maxDurationMs - a.requests.maxDurationMs)[0];
}
