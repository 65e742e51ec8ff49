/** `GET /v1/data-map`: what data was seen where, by whom, and what nobody has labelled. For auditors: it says who read what. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import type { ApiContext } from '../context.ts';
import { dataMap } from '../data-map.ts';
import * as schemas from '../schemas.ts';

const Protection = Type.Union([
  Type.Object({ policy: Type.String(), action: Type.Enum(['mask', 'deny']), as: Type.String() }),
  Type.Null(),
]);
const query = Type.String({ description: 'For /v1/search/commands.' });
const common = { resource: Type.String(), commands: Type.Integer(), lastAt: schemas.Time, query };

const DataMapView = Type.Object({
  since: schemas.Time,
  until: schemas.Time,
  columns: Type.Array(
    Type.Object({
      ...common,
      column: Type.String(),
      protection: Protection,
      rows: Type.Integer(),
      masked: Type.Integer({ description: 'Commands whose answer had it masked.' }),
      clear: Type.Integer({ description: 'Commands whose answer had it as it is, or something computed from it.' }),
      readers: Type.Integer(),
      mostOften: Type.Array(
        Type.Object({ principal: Type.String(), kind: Type.String(), commands: Type.Integer(), clear: Type.Integer() }),
      ),
    }),
  ),
  classes: Type.Array(Type.Object({ ...common, class: Type.String(), readers: Type.Integer() })),
  unlabelled: Type.Array(
    Type.Object({
      ...common,
      column: Type.String(),
      detector: Type.String(),
      certain: Type.Integer({ description: 'Commands that read no other column in which it could have been.' }),
      manifest: Type.Union([Type.String(), Type.Null()], { description: 'YAML for POST /v1/apply that protects the column.' }),
    }),
  ),
  truncated: Type.Boolean(),
});

const weekMs = 7 * 24 * 60 * 60 * 1000;

export function dataMapRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/data-map',
      schema: {
        operationId: 'dataMap',
        tags: ['evidence'],
        summary: 'Which columns and classes of data were seen where, by whom, masked or in clear',
        querystring: Type.Object(
          {
            resource: Type.Optional(schemas.Name),
            since: Type.Optional(Type.String({ format: 'date-time', description: 'Default: seven days ago.' })),
            until: Type.Optional(Type.String({ format: 'date-time', description: 'Default: now.' })),
          },
          { additionalProperties: false },
        ),
        response: { 200: DataMapView, default: schemas.Problem },
      },
      handler: async request => {
        const { resource, since, until } = request.query;
        const untilMs = until === undefined ? context.clock() : Date.parse(until);
        const sinceMs = since === undefined ? untilMs - weekMs : Date.parse(since);
        if (!(sinceMs < untilMs)) throw new GatewayError('PERIOD_INVALID', 'invalid', '`since` must be before `until`.');
        return dataMap(context, { resource, sinceMs, untilMs });
      },
    });
  };
}
