/** The history of manifests: who changed what, when, from where and why; and everything of a kind as it was at a time. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import type { ApiContext } from '../context.ts';
import { pastOrThrow } from '../past.ts';
import * as schemas from '../schemas.ts';
import { shown } from './manifests.ts';

const Change = Type.Object({
  version: Type.Integer({ description: 'Counts the changes of this manifest from 1.' }),
  change: Type.Enum(['created', 'changed', 'deleted']),
  at: schemas.Time,
  author: Type.String(),
  address: Type.String({ description: 'Where the request came from.' }),
  reason: Type.String(),
  requestId: Type.String({ description: 'As in `x-request-id` of the answer and in the log.' }),
  diff: Type.Array(Type.Object({ path: Type.String(), before: Type.Optional(Type.Unknown()), after: Type.Optional(Type.Unknown()) })),
  secrets: Type.Array(Type.String(), { description: 'Paths of secrets whose values came, went or changed.' }),
});

const changesMax = 1000;

export function historyRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { manifestHistory, clock } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/history/:kind/:name',
      schema: {
        operationId: 'manifestHistory',
        tags: ['manifests'],
        summary: 'Show the changes of one manifest, the newest first; also of one that was deleted',
        params: Type.Object({ kind: schemas.Kind, name: schemas.Name }),
        querystring: Type.Object(
          { limit: Type.Optional(Type.Integer({ minimum: 1, maximum: changesMax, default: 100 })) },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({ kind: schemas.Kind, name: schemas.Name, changes: Type.Array(Change), truncated: Type.Boolean() }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const { kind, name } = request.params;
        const { limit = 100 } = request.query;
        const changes = await manifestHistory.changes(kind, name);
        if (changes.length === 0) throw new GatewayError('MANIFEST_UNKNOWN', 'notFound', `There never was a ${kind} ${name}.`);
        return { kind, name, changes: changes.slice(0, limit), truncated: changes.length > limit };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/history/:kind',
      schema: {
        operationId: 'manifestsAt',
        tags: ['manifests'],
        summary: 'List the manifests of a kind as they were at a time',
        params: Type.Object({ kind: schemas.Kind }),
        querystring: Type.Object({ at: schemas.Time }, { additionalProperties: false }),
        response: { 200: Type.Object({ at: schemas.Time, manifests: Type.Array(schemas.ManifestDocument) }), default: schemas.Problem },
      },
      handler: async request => {
        const atMs = pastOrThrow(request.query.at, clock());
        const stored = await manifestHistory.allAt(request.params.kind, atMs);
        return { at: new Date(atMs).toISOString(), manifests: stored.map(shown) };
      },
    });
  };
}
