/** `GET /v1/access-review`: grants, service accounts, their secrets, credentials and registered SSH keys, with when they were last used. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { allManifests } from '../../manifests/apply.ts';
import { reviewOf, type Use, usesMax, usesQuery } from '../access-review.ts';
import type { AccountSecrets } from '../account-secrets.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';
import { SshKeys } from '../ssh-keys.ts';
import { SecretShown, shownSecret } from './account-secrets.ts';

const dayMs = 24 * 60 * 60 * 1000;
const Used = {
  lastUsedAt: Type.Union([schemas.Time, Type.Null()], { description: 'null: not in the time that was looked at' }),
  sessions: Type.Integer(),
};

const SshKeyReviewed = Type.Object({
  ...{ id: Type.String(), fingerprint: Type.String(), label: Type.String() },
  ...{ principal: Type.String(), principalKind: Type.Enum(['person', 'workload']), expiresAt: schemas.Time },
  ...Used,
});

export function accessReviewRoutes({ control, history, clock }: ApiContext, secrets: AccountSecrets): FastifyPluginAsyncTypebox {
  const sshKeys = new SshKeys({ control, history, clock });
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
            sshKeys: Type.Array(SshKeyReviewed, { description: 'Registered public keys that are good; whenever they were last used' }),
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
        return {
          since,
          ...reviewOf(allManifests(control.state), uses),
          secrets: secrets.list().map(shownSecret),
          sshKeys: await reviewedKeys(),
        };
      },
    });
  };

  async function reviewedKeys() {
    const keys = sshKeys.list();
    const uses = await sshKeys.uses(keys);
    // Not known is not the same as not used.
    if (uses === null) throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', 'The session store does not answer: try again later.');
    return keys.map(({ id, fingerprint, label, holder, expiresAtMs }) => {
      const { lastUsedAt = null, sessions = 0 } = uses.get(id) ?? {};
      const ends = new Date(expiresAtMs).toISOString();
      return { id, fingerprint, label, principal: holder.name, principalKind: holder.kind, expiresAt: ends, lastUsedAt, sessions };
    });
  }
}
