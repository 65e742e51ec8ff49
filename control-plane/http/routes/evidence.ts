/** Evidence files: one compressed download, streamed, so that its size is bounded by nothing here. */
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const Moment = Type.String({ maxLength: 40, description: 'RFC 3339.' });
const ExportQuery = Type.Object(
  {
    session: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    person: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    resource: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    from: Type.Optional(Moment),
    to: Type.Optional(Moment),
  },
  { additionalProperties: false },
);

export function evidenceRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/evidence/export',
      schema: {
        operationId: 'exportEvidence',
        tags: ['evidence'],
        summary: 'Download records with the proof that they are complete, as gzip of JSON lines',
        querystring: ExportQuery,
        response: { 200: Type.Unknown({ description: 'The file; its last line says that it is whole.' }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { session, ...rest } = request.query;
        for (const at of [rest.from, rest.to]) {
          if (at !== undefined && Number.isNaN(Date.parse(at)))
            throw new GatewayError('TIME_INVALID', 'invalid', `${JSON.stringify(at)} is no time: give one like 2026-04-01T09:30:00Z.`);
        }
        const lines = context.evidence.lines({ ...rest, ...(session === undefined ? {} : { sessions: [session] }) });
        // The first line comes when the store has answered: until then an error is an answer of its own.
        const first = await lines.next();
        const text = async function* () {
          if (!first.done) yield `${first.value}\n`;
          for await (const line of lines) yield `${line}\n`;
        };
        const source = Readable.from(text());
        const gzip = createGzip();
        source.on('error', error => {
          request.log.error({ err: error }, 'an export of evidence broke off');
          gzip.destroy(error);
        });
        gzip.on('close', () => source.destroy());
        return reply.type('application/gzip').header('x-sallyport-evidence-key', context.evidence.key).send(source.pipe(gzip));
      },
    });
  };
}
