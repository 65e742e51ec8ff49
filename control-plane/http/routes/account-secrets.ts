/** `/v1/service-account-secrets`: secrets of service accounts, for programs that no issuer gives a token. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { secretLifetimeMsMax, secretLifetimeMsMin } from '../../aggregates/account-secret.ts';
import type { AccountSecrets, ShownSecret } from '../account-secrets.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';

export const SecretShown = Type.Object({
  id: Type.String(),
  account: schemas.Name,
  createdAt: schemas.Time,
  createdBy: Type.String(),
  expiresAt: schemas.Time,
  lastUsedAt: Type.Union([schemas.Time, Type.Null()], { description: 'When a ticket was last issued for it; null: never' }),
  lastUsedFrom: Type.Union([Type.String(), Type.Null()]),
  tickets: Type.Integer({ description: 'How many were issued for it' }),
});

export function accountSecretRoutes({ twoPersonApply }: ApiContext, secrets: AccountSecrets): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/service-account-secrets',
      schema: {
        operationId: 'listServiceAccountSecrets',
        tags: ['access'],
        summary: 'List secrets of service accounts that are good, with when they were last used',
        querystring: Type.Object({ account: Type.Optional(schemas.Name), ...PageQuery }, { additionalProperties: false }),
        response: { 200: Type.Object({ secrets: Type.Array(SecretShown), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const { rows, next } = pageOf(secrets.list(request.query.account), ({ account, id }) => `${account} ${id}`, request.query);
        return { secrets: rows.map(shownSecret), next };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/service-account-secrets',
      schema: {
        operationId: 'createServiceAccountSecret',
        tags: ['access'],
        summary: 'Make a secret for a service account, to be exchanged for tickets at /oauth/token',
        description:
          'For programs that no issuer gives a token. It is shown once, ends by itself, and is one of at most two of its account, so that it can be rotated without a gap. Who makes one does not approve commands of that account.',
        body: Type.Object(
          {
            account: schemas.Name,
            expiresInSeconds: Type.Integer({ minimum: secretLifetimeMsMin / 1000, maximum: secretLifetimeMsMax / 1000 }),
            reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })),
          },
          { additionalProperties: false },
        ),
        response: {
          201: Type.Object({ secret: Type.String({ description: 'Shown once' }), id: Type.String(), expiresAt: schemas.Time }),
          default: schemas.Problem,
        },
      },
      handler: async (request, reply) => {
        const { account, expiresInSeconds, reason } = request.body;
        if (twoPersonApply && callerOf(request).type !== 'admin') {
          throw new GatewayError(
            'CHANGE_NEEDS_REVIEW',
            'denied',
            'A secret is a new way in, and changes need two people here: the administrator’s token makes it.',
          );
        }
        const { text, secret } = await secrets.create(account, expiresInSeconds * 1000, provenanceOf(request, reason ?? 'secret created'));
        return reply.code(201).send({ secret: text, id: secret.id, expiresAt: new Date(secret.expiresAtMs).toISOString() });
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/service-account-secrets/:id/revoke',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'revokeServiceAccountSecret',
        tags: ['access'],
        summary: 'Revoke a secret, its tickets, and the sessions that these have opened',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        body: schemas.ReasonRequest,
        response: { 200: Type.Object({ revoked: Type.Boolean() }), default: schemas.Problem },
      },
      handler: async request => {
        await secrets.revoke(request.params.id, provenanceOf(request, request.body.reason ?? 'secret revoked'));
        return { revoked: true };
      },
    });
  };
}

export function shownSecret({ id, account, createdAtMs, createdBy, expiresAtMs, use }: ShownSecret) {
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    ...{ id, account, createdAt: iso(createdAtMs), createdBy, expiresAt: iso(expiresAtMs) },
    ...{ lastUsedAt: use === null ? null : iso(use.atMs), lastUsedFrom: use?.from ?? null, tickets: use?.tickets ?? 0 },
  };
}
