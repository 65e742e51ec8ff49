/** Evidence files: one compressed download, streamed, so that its size is bounded by nothing here. */
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { anchorsOf } from '../../evidence/anchors.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const Moment = Type.String({ maxLength: 40, description: 'RFC 3339.' });
/** As many as fit into a line: somebody who keeps more asks in turns. */
const Sizes = Type.String({
  maxLength: 4000,
  pattern: '^\\d{1,15}(,\\d{1,15})*$',
  description:
    'Sizes of the control log at which heads were kept, separated by commas: for each the answer shows that the log goes on from there.',
});
const HeadsQuery = Type.Object({ heads: Type.Optional(Sizes) }, { additionalProperties: false });
const ShownHead = Type.Object({
  key: Type.String({ description: 'The key that signs, NAME+ID+BASE64.' }),
  head: Type.Object({
    origin: Type.String(),
    size: Type.Integer(),
    root: Type.String({ description: 'Base64.' }),
    at: Type.String(),
    note: Type.String({ description: 'The signed head (C2SP tlog-checkpoint).' }),
  }),
  consistency: Type.Array(Type.Object({ size: Type.Integer(), proof: Type.Array(Type.String()) })),
});
const Nothing = Type.Null();
const Anchors = Type.Object({
  ledgers: Type.Array(
    Type.Object({
      agentId: Type.String(),
      ledger: Type.String(),
      number: Type.Integer({ description: 'of the newest checkpoint in the control log' }),
      at: Type.Union([Type.String(), Nothing], { description: 'when the agent signed it' }),
      sessions: Type.Integer({ description: 'sessions whose heads it covers' }),
      conflict: Type.Boolean({ description: 'the agent has shown another one under this number: its spool was set back or copied' }),
    }),
  ),
  stamps: Type.Array(
    Type.Object({
      size: Type.Integer(),
      note: Type.String({ description: 'The signed head (C2SP tlog-checkpoint).' }),
      url: Type.String(),
      headAt: Type.String(),
      stamp: Type.Union([Type.Object({ at: Type.String(), authority: Type.String() }), Nothing], {
        description: 'what the authority says, verified just now; null: it does not hold',
      }),
      problem: Type.String(),
    }),
    { description: 'The newest RFC 3161 stamps of heads of the control log.' },
  ),
});
const ExportQuery = Type.Object(
  {
    session: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    person: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    resource: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    from: Type.Optional(Moment),
    to: Type.Optional(Moment),
    heads: Type.Optional(Sizes),
  },
  { additionalProperties: false },
);

export function evidenceRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/evidence/heads',
      schema: {
        operationId: 'getEvidenceHead',
        tags: ['evidence'],
        summary: 'The signed head of the control log, and proofs that it goes on from earlier ones',
        querystring: HeadsQuery,
        response: { 200: ShownHead, default: schemas.Problem },
      },
      handler: async request => context.evidence.shownHead(sizes(request.query.heads)),
    });
    app.route({
      method: 'GET',
      url: '/v1/evidence/anchors',
      schema: {
        operationId: 'listAnchors',
        tags: ['evidence'],
        summary: 'The newest checkpoint of each agent’s ledger, and the time stamps of the control log',
        response: { 200: Anchors, default: schemas.Problem },
      },
      handler: async () => anchorsOf(context.control.state, context.timestampsTrusted),
    });
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
        const { session, heads, ...rest } = request.query;
        for (const at of [rest.from, rest.to]) {
          if (at !== undefined && Number.isNaN(Date.parse(at)))
            throw new GatewayError('TIME_INVALID', 'invalid', `${JSON.stringify(at)} is no time: give one like 2026-04-01T09:30:00Z.`);
        }
        const lines = context.evidence.lines({ ...rest, ...(session === undefined ? {} : { sessions: [session] }) }, sizes(heads));
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

function sizes(text: string | undefined): number[] {
  return text === undefined ? [] : text.split(',').map(Number);
}
