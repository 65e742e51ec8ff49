/** `GET /v1/access-review`: grants, service accounts and credentials, with when they were last used. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { allManifests } from '../../manifests/apply.ts';
import { reviewOf, type Use, usesMax, usesQuery } from '../access-review.ts';
import type { AccountSecrets } from '../account-secrets.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';
import { SecretShown, shownSecret } from './account-secrets.ts';

const dayMs = 24 * 60 * 60 * 1000;
const Used = {
  lastUsedAt: Type.Union([schemas.Time, Type.Null()], { description: 'null: not in the time that was looked at' }),
  sessions: Type.Integer(),
};

export function accessReviewRoutes({ control, history, clock }: ApiContext, secrets: AccountSecrets): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/access-review',
      schema: {
        operationId: 'accessReview',
        tags: ['access'],
        summary: 'Who has what, and when they last used it',
        querystring: Type.Object({ since: Type.Optional(schemas.Time) }, { additionalProperties: false }),
        response: {
          200: Type.Object({
            since: schemas.Time,
            grants: Type.Array(
              Type.Object({
                ...{ role: schemas.Name, member: Type.String(), kind: Type.Enum(['group', 'person', 'serviceAccount']) },
                resources: Type.Array(schemas.Name),
                ...Used,
              }),
            ),
            serviceAccounts: Type.Array(Type.Object({ name: schemas.Name, ...Used })),
            secrets: Type.Array(SecretShown, { description: 'Of service accounts; whenever they were last used' }),
            credentials: Type.Array(Type.Object({ name: schemas.Name, resources: Type.Array(schemas.Name), ...Used })),
          }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const since = request.query.since ?? new Date(clock() - 90 * dayMs).toISOString();
        const uses = await history.rows<Use>(usesQuery, { since });
        if (uses.length > usesMax) {
          throw new GatewayError('REVIEW_TOO_LARGE', 'invalid', 'Too many people have had sessions in that time: ask for a shorter one.');
        }
        return { since, ...reviewOf(allManifests(control.state), uses), secrets: secrets.list().map(shownSecret) };
      },
    });
  };
}
