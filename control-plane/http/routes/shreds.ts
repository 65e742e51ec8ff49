/** Making the contents of a person's sessions unreadable: one asks, another confirms. */
import { randomUUIDv7 } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { action } from '../../aggregates/control-log.ts';
import { retentionAggregate, SHRED_REQUEST_MS, type Shred, type ShredRequest } from '../../aggregates/retention.ts';
import { GRACE_MS } from '../../evidence/contents.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';
import { DELETION_MS } from './retention.ts';

const Reason = Type.String({ minLength: 1, maxLength: 2000 });
const Common = { id: Type.String(), person: Type.String(), reason: Type.String(), askedBy: Type.String() };
const Counted = {
  sessions: Type.Integer({ description: 'sessions of the person by now' }),
  readable: Type.Integer({
    description: 'of these, recorded while no audit policy said `erasable`: their contents stay, until their retention is over',
  }),
};
const Waiting = Type.Object({ ...Common, askedAt: Type.String() });
const Done = Type.Object({
  ...Common,
  confirmedBy: Type.String(),
  through: Type.String({ description: 'sessions that began until then' }),
  sessions: Type.Integer(),
});

export function shredRoutes({ control, contents, retention, clock }: ApiContext): FastifyPluginAsyncTypebox {
  const shownRequest = ({ askedAtMs, askedBy, ...rest }: ShredRequest) => ({
    ...rest,
    askedBy: askedBy.name,
    askedAt: new Date(askedAtMs).toISOString(),
  });
  const shownShred = ({ throughMs, ...rest }: Shred) => ({ ...rest, through: new Date(throughMs).toISOString() });
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/evidence/shreds',
      schema: {
        operationId: 'listShreds',
        tags: ['evidence'],
        summary: 'List what was shredded, and what waits to be confirmed',
        response: { 200: Type.Object({ waiting: Type.Array(Waiting), done: Type.Array(Done) }), default: schemas.Problem },
      },
      handler: async () => {
        const { shredRequests, shreds } = control.state.retention();
        const waiting = Object.values(shredRequests).filter(({ askedAtMs }) => clock() - askedAtMs <= SHRED_REQUEST_MS);
        return { waiting: waiting.map(shownRequest), done: shreds.map(shownShred) };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/shreds',
      schema: {
        operationId: 'askToShred',
        tags: ['evidence'],
        summary: 'Ask that the contents of a person’s sessions be made unreadable; somebody else confirms',
        body: Type.Object({ person: Type.String({ minLength: 1, maxLength: 512 }), reason: Reason }, { additionalProperties: false }),
        response: { 201: Type.Object({ ...Waiting.properties, ...Counted }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { person, reason } = request.body;
        await refuseHeld(person);
        const counted = await contents.sessionsOf(person, clock());
        const provenance = provenanceOf(request, reason);
        const asked = {
          ...{ id: randomUUIDv7(), person, reason, askedAtMs: clock() },
          askedBy: { name: provenance.author, ...provenance.authorIdentity },
        };
        const outcome = await control.execute([action(retentionAggregate, 'log', { type: 'askToShred', request: asked })], provenance);
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        return reply.status(201).send({ ...shownRequest(asked), ...counted });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/evidence/shreds/:id/confirm',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'confirmShred',
        tags: ['evidence'],
        summary: 'Confirm what somebody else asked: the contents are unreadable from now on',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        body: Type.Object(
          {
            now: Type.Optional(
              Type.Boolean({
                description: 'Destroy the replaced sealing key at once: contents that agents have not delivered yet are lost.',
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({
            ...Done.properties,
            ...Counted,
            finalAt: Type.String({ description: 'From then on nobody can open a copy of the log either.' }),
          }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        request.raw.setTimeout(DELETION_MS);
        const { id } = request.params;
        const { shredRequests, shreds } = control.state.retention();
        const asked = Object.hasOwn(shredRequests, id) ? shredRequests[id] : undefined;
        const before = shreds.find(shred => shred.id === id);
        const person = asked?.person ?? before?.person ?? '';
        const nowMs = clock();
        const checkedHolds = before === undefined && person !== '' ? await refuseHeld(person) : [];
        const counted = await contents.sessionsOf(person, nowMs);
        const provenance = provenanceOf(request, asked?.reason ?? '');
        const confirmedBy = { name: provenance.author, ...provenance.authorIdentity };
        const outcome = await control.execute(
          [action(retentionAggregate, 'log', { type: 'shred', id, confirmedBy, nowMs, sessions: counted.sessions, checkedHolds })],
          provenance,
        );
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        const graceMs = request.body?.now === true ? 0 : GRACE_MS;
        await contents.settle(graceMs);
        const done = control.state.retention().shreds.find(shred => shred.id === id);
        if (done === undefined) throw new GatewayError('SHRED_UNKNOWN', 'notFound', 'There is no such request.');
        return { ...shownShred(done), ...counted, finalAt: new Date(clock() + graceMs).toISOString() };
      },
    });

    /** @returns ids of the holds that are not about the person. @throws {GatewayError} SHRED_HELD, STORE_UNAVAILABLE. */
    async function refuseHeld(person: string): Promise<string[]> {
      const checked = retention.holds.map(({ id }) => id);
      const held = await retention.heldOf(person);
      if (held > 0)
        throw new GatewayError(
          'SHRED_HELD',
          'conflict',
          `Legal holds are about ${held} sessions of ${person}, or about the person: nothing is shredded before they are released.`,
        );
      return checked;
    }
  };
}
