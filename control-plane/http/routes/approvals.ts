/**
 * Approvals: who waits, and the answers of people. The administrator's token says nothing about who holds it, so it may look and not
 * answer. Who may answer what is the aggregate's to decide.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { readPreview } from '@sallyport/shared/policy/preview.ts';
import { Type } from 'typebox';
import type { ApprovalState } from '../../aggregates/approval.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { answerApproval } from '../answer-approval.ts';
import { type Caller, callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';

export const ApprovalId = Type.Object({ id: Type.String({ pattern: '^[0-9a-f-]{36}$' }) });

const ListQuery = Type.Object(
  {
    state: Type.Optional(
      Type.Enum(['pending', 'approved', 'denied', 'expired', 'withdrawn', 'all'], {
        description: 'Default `pending`. Of those that are over, the newest ten thousand are known; the session store has all.',
      }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Of those that are over; default 200.' })),
    like: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f-]{36}$',
        description: 'Only others of the same fingerprint and resource as this approval: what people decided on the same command.',
      }),
    ),
  },
  { additionalProperties: false },
);

export function approvalRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/approvals',
      config: { access: 'principal' },
      schema: {
        operationId: 'listApprovals',
        tags: ['approvals'],
        summary: 'List approvals that the caller may see: those that wait, or the newest that are over',
        querystring: ListQuery,
        response: { 200: Type.Object({ approvals: Type.Array(schemas.Approval) }), default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const { state: wanted = 'pending', limit = 200, like } = request.query;
        const { state } = control;
        const fits = like === undefined ? () => true : isLike(like, caller, state);
        const listed = [
          ...(wanted === 'pending' || wanted === 'all' ? state.pendingApprovals() : []),
          ...(wanted === 'pending' ? [] : state.answeredApprovals()),
        ];
        const approvals: schemas.Approval[] = [];
        for (const [id, each] of listed) {
          if ((wanted !== 'all' && each.status !== wanted) || !fits(id, each)) continue;
          // Who waits is listed whole.
          if (wanted !== 'pending' && approvals.length >= limit) break;
          if (isVisible(caller, each)) approvals.push(...shown(id, each, state));
        }
        return { approvals };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/approvals/:id',
      config: { access: 'principal' },
      schema: {
        operationId: 'showApproval',
        tags: ['approvals'],
        summary: 'Show one approval',
        params: ApprovalId,
        response: { 200: schemas.Approval, default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const state = control.state.approval(id);
        const [approval] = isVisible(callerOf(request), state) ? shown(id, state, control.state) : [];
        if (approval === undefined) throw new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
        return approval;
      },
    });

    for (const answer of ['approve', 'deny'] as const) {
      app.route({
        method: 'POST',
        url: `/v1/approvals/:id/${answer}`,
        config: { access: 'principal' },
        preValidation: emptyBodyAsNothing,
        schema: {
          operationId: `${answer}Command`,
          tags: ['approvals'],
          summary: answer === 'approve' ? 'Approve a held command; never one’s own' : 'Deny a held command',
          params: ApprovalId,
          body: schemas.ReasonRequest,
          response: { 200: schemas.Approval, default: schemas.Problem },
        },
        handler: async request => {
          const { id } = request.params;
          const caller = callerOf(request);
          if (caller.type === 'admin') {
            throw new GatewayError('APPROVAL_NEEDS_PERSON', 'denied', 'An approval needs a person: send your identity provider’s token.');
          }
          const reason = request.body.reason ?? '';
          await answerApproval(context, { id, answer, principal: caller.principal, reason }, provenanceOf(request, reason));
          const [approval] = shown(id, control.state.approval(id), control.state);
          if (approval === undefined) throw new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
          return approval;
        },
      });
    }
  };
}

/** @throws {GatewayError} APPROVAL_UNKNOWN, of an approval that the caller may not see either. */
function isLike(like: string, caller: Caller, projection: Projection): (id: string, state: ApprovalState) => boolean {
  const known = projection.approval(like);
  if (known.status === 'unknown' || !isVisible(caller, known))
    throw new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
  const { fingerprint, resource } = known.question;
  return (id, state) =>
    fingerprint !== '' &&
    id !== like &&
    state.status !== 'unknown' &&
    state.question.fingerprint === fingerprint &&
    state.question.resource === resource;
}

/** The administrator, who asked, and who may answer. */
export function isVisible(caller: Caller, state: ApprovalState): boolean {
  if (state.status === 'unknown') return false;
  if (caller.type === 'admin') return true;
  const { question } = state;
  const asked = question.principal.issuer === caller.principal.issuer && question.principal.subject === caller.principal.subject;
  return asked || caller.principal.groups.some(group => question.groups.includes(group));
}

function givenAccess(state: ApprovalState): Pick<NonNullable<schemas.Approval['access']>, 'until' | 'ended'> {
  const given = state.status === 'approved' ? state.access : undefined;
  return { until: given === undefined ? null : new Date(given.untilMs).toISOString(), ended: given?.ended ?? null };
}

/** What a guard's rule says; a rule is known as `GUARD/RULE`. */
function messageOf(rule: string, projection: Projection): string {
  const slash = rule.indexOf('/');
  const guard = projection.manifest('Guard', rule.slice(0, slash))?.manifest as Manifest<'Guard'> | undefined;
  return guard?.spec.rules.find(({ name }) => name === rule.slice(slash + 1))?.message ?? '';
}

/** @param projection what the rule says is looked up there. @returns none of an approval that is unknown. */
export function shown(id: string, state: ApprovalState, projection: Projection): schemas.Approval[] {
  if (state.status === 'unknown') return [];
  const { question } = state;
  const pending = state.status === 'pending';
  return [
    {
      kind: question.access === undefined ? 'command' : 'access',
      access: question.access === undefined ? null : { ...question.access, ...givenAccess(state) },
      ...{ id, state: state.status, resource: question.resource, sessionId: question.sessionId, commandSeq: question.commandSeq },
      ...{ rule: question.rule, text: question.text, groups: question.groups, quorum: question.quorum },
      ...{ message: messageOf(question.rule, projection), fingerprint: question.fingerprint },
      ...{ parameters: question.parameters ?? [], preview: readPreview(question.preview) },
      principal: { kind: question.principal.kind, name: question.principal.name, delegation: question.principal.delegation },
      expiresAt: new Date(question.expiresAtMs).toISOString(),
      approvedBy: pending ? state.approvers.map(({ name }) => name) : state.by,
      reason: pending ? '' : state.reason,
    },
  ];
}
