/** `/v1/signing-keys`: the keys that sign tickets and leases, and their rotation. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { type ShownKey, signingKeyOldMs } from '../../pki/signing-keys.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';

const Kind = Type.Enum(['ticket', 'lease']);
const Moment = Type.Union([schemas.Time, Type.Null()]);
const KeyShown = Type.Object({
  kind: Kind,
  id: Type.String(),
  state: Type.Enum(['announced', 'signs', 'verifies']),
  announcedAt: Moment,
  signsFrom: Moment,
  verifiesUntil: Moment,
  old: Type.Boolean({ description: 'It has signed for more than a year' }),
});

export function signingKeyRoutes({ signingKeys, authority, clock }: ApiContext): FastifyPluginAsyncTypebox {
  const shown = ({ kind, id, state, announcedAtMs, signsFromMs, verifiesUntilMs }: ShownKey) => {
    const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
    // The first keys are as old as the installation's certificate authority.
    const sinceMs = signsFromMs ?? authority.madeAtMs;
    return {
      ...{ kind, id, state, announcedAt: iso(announcedAtMs), signsFrom: iso(signsFromMs), verifiesUntil: iso(verifiesUntilMs) },
      old: state === 'signs' && clock() - sinceMs > signingKeyOldMs,
    };
  };
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/signing-keys',
      schema: {
        operationId: 'listSigningKeys',
        tags: ['operations'],
        summary: 'List the keys that sign tickets and leases, or verify them still',
        response: { 200: Type.Object({ keys: Type.Array(KeyShown) }), default: schemas.Problem },
      },
      handler: async () => ({ keys: (['ticket', 'lease'] as const).flatMap(kind => signingKeys.list(kind)).map(shown) }),
    });

    app.route({
      method: 'POST',
      url: '/v1/signing-keys/:kind/rotate',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'rotateSigningKey',
        tags: ['operations'],
        summary: 'Announce a new key, which signs once every agent has it',
        params: Type.Object({ kind: Kind }),
        body: Type.Object(
          {
            inSeconds: Type.Optional(
              Type.Integer({
                minimum: 5,
                maximum: 30 * 86_400,
                description: 'When it signs; absent: when every lease that does not have it is over',
              }),
            ),
            reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })),
          },
          { additionalProperties: false },
        ),
        response: { 201: KeyShown, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { inSeconds, reason = '' } = request.body;
        const inMs = inSeconds === undefined ? undefined : inSeconds * 1000;
        const made = await signingKeys.rotate(request.params.kind, inMs, provenanceOf(request, reason));
        return reply.code(201).send(shown(made));
      },
    });
  };
}
