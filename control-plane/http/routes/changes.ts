/**
 * Changes of policy for review: proposing them, looking at them, answering them. An answer needs a person; the administrator's token, which
 * says nothing about who holds it, may look.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { ChangeState } from '../../aggregates/change.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { movedOf } from '../../changes/change-desk.ts';
import { document } from '../../manifests/apply.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';

const closed = { additionalProperties: false } as const;
const ChangeId = Type.Object({ id: Type.String({ pattern: '^[0-9a-f-]{36}$' }) });
const Reason = Type.String({ minLength: 1, maxLength: 500, description: 'Why, for the record and for who reviews it.' });
const proposeBytesMax = 2 * 1024 * 1024;

const ProposeRequest = Type.Object(
  {
    manifests: Type.Optional(schemas.ApplyRequest.properties.manifests),
    delete: Type.Optional(Type.Array(Type.Object({ kind: schemas.Kind, name: schemas.Name }, closed), { maxItems: 100 })),
    reason: Reason,
  },
  closed,
);

const states = ['proposed', 'approved', 'applied', 'rejected', 'withdrawn', 'stale'] as const;
const ProposedChange = Type.Object({
  id: Type.String(),
  state: Type.Enum([...states]),
  author: Type.Object({ kind: Type.Enum(['person', 'workload']), name: Type.String() }),
  reason: Type.String(),
  proposedAt: schemas.Time,
  changes: Type.Array(schemas.Change, { description: 'against what was in force when it was proposed' }),
  answer: Type.Union([Type.Object({ by: Type.String(), reason: Type.String(), at: schemas.Time }), Type.Null()]),
  moved: Type.Array(Type.String(), { description: '`Kind/name` of what has changed since it was proposed: it is not applied any more' }),
});
const ChangeDetails = Type.Intersect([
  ProposedChange,
  Type.Object({
    documents: Type.Array(Type.Object({ apiVersion: Type.String(), kind: schemas.Kind, metadata: Type.Unknown(), spec: Type.Unknown() }), {
      description: 'the manifests as they would be, without secrets',
    }),
  }),
]);

export function changeRoutes({ control, changes }: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/changes',
      bodyLimit: proposeBytesMax,
      schema: {
        operationId: 'proposeChange',
        tags: ['changes'],
        summary: 'Propose a change of policy, for somebody else to approve',
        body: ProposeRequest,
        response: { 201: ChangeDetails, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { manifests = [], delete: deletions = [], reason } = request.body;
        const id = await changes.propose(manifests, deletions, principalOf(request), provenanceOf(request, reason));
        return reply.status(201).send(details(id, control.state));
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/changes',
      schema: {
        operationId: 'listChanges',
        tags: ['changes'],
        summary: 'List changes of policy, newest first; without `state` those that wait',
        querystring: Type.Object({ state: Type.Optional(Type.Enum(['all', ...states])) }, closed),
        response: { 200: Type.Object({ changes: Type.Array(ProposedChange) }), default: schemas.Problem },
      },
      handler: async request => {
        const { state = 'proposed' } = request.query;
        const all = control.state.changes().toReversed();
        return { changes: all.flatMap(([id, each]) => (state === 'all' || each.status === state ? shown(id, each, control.state) : [])) };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/changes/:id',
      schema: {
        operationId: 'showChange',
        tags: ['changes'],
        summary: 'Show one change, with what it would make of the manifests',
        params: ChangeId,
        response: { 200: ChangeDetails, default: schemas.Problem },
      },
      handler: async request => details(request.params.id, control.state),
    });

    for (const answer of ['approve', 'reject', 'withdraw'] as const) {
      app.route({
        method: 'POST',
        url: `/v1/changes/:id/${answer}`,
        preValidation: emptyBodyAsNothing,
        schema: {
          operationId: `${answer}Change`,
          tags: ['changes'],
          summary: {
            approve: 'Approve a change of somebody else’s, and apply it',
            reject: 'Reject a change of somebody else’s',
            withdraw: 'Take one’s own change back',
          }[answer],
          params: ChangeId,
          body: schemas.ReasonRequest,
          response: { 200: ChangeDetails, default: schemas.Problem },
        },
        handler: async request => {
          const { id } = request.params;
          const provenance = provenanceOf(request, request.body.reason ?? '');
          if (answer === 'approve') await changes.approve(id, principalOf(request), provenance);
          else await changes.end(id, answer, principalOf(request), provenance);
          return details(id, control.state);
        },
      });
    }
  };
}

/** @throws {GatewayError} CHANGE_NEEDS_PERSON for the administrator's token. */
function principalOf(request: FastifyRequest): Principal {
  const caller = callerOf(request);
  if (caller.type !== 'admin') return caller.principal;
  throw new GatewayError(
    'CHANGE_NEEDS_PERSON',
    'denied',
    'A change is proposed and answered by people who are signed in; the administrator’s token says nothing about who holds it.',
  );
}

/** @throws {GatewayError} CHANGE_UNKNOWN. */
function details(id: string, projection: Projection): Static<typeof ChangeDetails> {
  const state = projection.change(id);
  const [change] = shown(id, state, projection);
  if (change === undefined || state.status === 'unknown')
    throw new GatewayError('CHANGE_UNKNOWN', 'notFound', 'There is no such change; of old ones the control log knows.');
  return { ...change, documents: state.proposal.items.flatMap(({ manifest }) => (manifest === null ? [] : [document(manifest)])) };
}

export function shown(id: string, state: ChangeState, projection: Projection): Static<typeof ProposedChange>[] {
  if (state.status === 'unknown') return [];
  const { author, reason, atMs, items } = state.proposal;
  const answer = 'answer' in state ? state.answer : null;
  return [
    {
      ...{ id, state: state.status, author: { kind: author.kind, name: author.name }, reason, proposedAt: new Date(atMs).toISOString() },
      changes: items.map(({ kind, name, change, diff }) => ({ kind, name, change, diff })),
      answer: answer === null ? null : { by: answer.by.name, reason: answer.reason, at: new Date(answer.atMs).toISOString() },
      moved: state.status === 'stale' ? state.moved : state.status === 'proposed' ? movedOf(items, projection) : [],
    },
  ];
}
