/** What is kept of the evidence and for how long: legal holds, what is due, and deleting it at once instead of within the hour. */
import { randomUUIDv7 } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { action } from '../../aggregates/control-log.ts';
import { retentionAggregate } from '../../aggregates/retention.ts';
import type { Due } from '../../evidence/retention.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';

const Subject = {
  person: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  resource: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  session: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
};
/** The session store rewrites what it deletes from: that takes longer than other answers may. */
export const DELETION_MS: number = 600_000;
const Reason = Type.String({ minLength: 1, maxLength: 2000 });
const Hold = Type.Object({ id: Type.String(), ...Subject, reason: Type.String(), placedAt: Type.String() });
const DueShown = Type.Object({
  resource: Type.String(),
  policies: Type.Array(Type.String()),
  retentionMs: Type.Union([Type.Integer(), Type.Null()], { description: 'null: kept for ever' }),
  before: Type.Union([Type.String(), Type.Null()], { description: 'sessions that ended earlier are due' }),
  sessions: Type.Integer({ description: 'how many are due (after a run: were deleted)' }),
  held: Type.Integer({ description: 'how many only legal holds keep' }),
  open: Type.Integer({ description: 'how many began before that and have no end in the records: none is deleted' }),
  next: Type.Union([Type.String(), Type.Null()], { description: 'when the next session is due that is not yet' }),
});

export function retentionRoutes({ control, retention, clock }: ApiContext): FastifyPluginAsyncTypebox {
  const shownHold = ({ placedAtMs, ...hold }: (typeof retention.holds)[number]) => ({
    ...hold,
    placedAt: new Date(placedAtMs).toISOString(),
  });
  const shownDue = ({ beforeMs, nextMs, ...due }: Due) => ({ ...due, before: timeOf(beforeMs), next: timeOf(nextMs) });
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/evidence/holds',
      schema: {
        operationId: 'listLegalHolds',
        tags: ['evidence'],
        summary: 'List legal holds',
        response: { 200: Type.Object({ holds: Type.Array(Hold) }), default: schemas.Problem },
      },
      handler: async () => ({ holds: retention.holds.map(shownHold) }),
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/holds',
      schema: {
        operationId: 'placeLegalHold',
        tags: ['evidence'],
        summary: 'Keep the sessions of a person, a resource or a session, whatever audit policies say',
        body: Type.Object({ ...Subject, reason: Reason }, { additionalProperties: false }),
        response: { 201: Hold, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const hold = { id: randomUUIDv7(), ...request.body, placedAtMs: clock() };
        const outcome = await control.execute(
          [action(retentionAggregate, 'log', { type: 'place', hold })],
          provenanceOf(request, hold.reason),
        );
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        return reply.status(201).send(shownHold(hold));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/holds/:id/release',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'releaseLegalHold',
        tags: ['evidence'],
        summary: 'Release a legal hold: what is due goes with the next run',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        body: Type.Object({ reason: Reason }, { additionalProperties: false }),
        response: { 204: Type.Null(), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { id } = request.params;
        const outcome = await control.execute(
          [action(retentionAggregate, 'log', { type: 'release', id })],
          provenanceOf(request, request.body.reason),
        );
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        return reply.status(204).send(null);
      },
    });

    const answer = { 200: Type.Object({ resources: Type.Array(DueShown) }), default: schemas.Problem };
    app.route({
      method: 'GET',
      url: '/v1/evidence/retention',
      schema: {
        operationId: 'showRetention',
        tags: ['evidence'],
        summary: 'What is kept for how long, and what is due to be deleted',
        response: answer,
      },
      handler: async () => ({ resources: (await retention.due()).map(shownDue) }),
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/retention/run',
      preValidation: emptyBodyAsNothing,
      schema: { operationId: 'runRetention', tags: ['evidence'], summary: 'Delete what is due now', response: answer },
      handler: async request => {
        request.raw.setTimeout(DELETION_MS);
        return { resources: (await retention.run(provenanceOf(request, 'asked for'))).map(shownDue) };
      },
    });
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
