/**
 * What a terminal showed, from the session store, as asciicast version 3: masked as it was recorded. It is streamed in pages, so that a
 * recording of a day costs no more memory than one of a minute.
 */
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Record as SessionRecord } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { AsciicastWriter } from '@sallyport/shared/records/asciicast.ts';
import { Type } from 'typebox';
import { whyGone, withContents } from '../../evidence/contents.ts';
import { callerOf, hasRole } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';
import { ofSession, type SessionHistory } from '../session-history.ts';
import { exitOf, type Recorded, recordedPieces } from './recorded-pieces.ts';

interface RecordedTerminal extends Recorded {
  principal: string;
  resource: string;
}

export function recordingRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { contents, history } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/sessions/:id/recording',
      config: { access: 'principal' },
      schema: {
        operationId: 'getRecording',
        tags: ['sessions'],
        summary: 'What a terminal of the session showed, as asciicast version 3',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        querystring: Type.Object(
          {
            command: Type.Optional(
              Type.String({
                pattern: '^\\d{1,15}$',
                description: 'seq of the command that had the terminal; absent: the first of the session',
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: Type.Unknown({ description: 'application/x-asciicast' }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const own = caller.type === 'admin' || hasRole(caller, 'auditor') ? undefined : caller.principal;
        const [found] = await history.rows<RecordedTerminal>(
          `SELECT seq, text, tag, principal, resource, toUnixTimestamp64Micro(at) AS started_us,
                  if(answered_at IS NULL, NULL, toUnixTimestamp64Micro(answered_at)) AS answered_us
           FROM sallyport.commands
           WHERE ${ofSession('id')} ${own === undefined ? '' : 'AND principal = {principal:String} AND issuer = {issuer:String}'}
             AND seq IN (SELECT command_seq FROM sallyport.record_rows WHERE session_id = {id:String} AND type = 'output_chunk')
             ${request.query.command === undefined ? '' : 'AND seq = {command:UInt64}'}
           ORDER BY kind IN ('ssh-shell', 'ssh-exec') DESC, seq LIMIT 1`,
          { id: request.params.id, command: request.query.command, principal: own?.name, issuer: own?.issuer },
        );
        if (found === undefined)
          throw new GatewayError('RECORDING_UNKNOWN', 'notFound', 'There is no recording of this session, or it is still on its way.');
        const recorded = await contents.of(request.params.id);
        const gone = whyGone(recorded);
        if (gone !== null) throw new GatewayError('RECORDING_GONE', 'notFound', `What the terminal showed is ${gone}.`);
        const open = (record: SessionRecord) => (recorded.state === 'sealed' ? withContents(record, recorded.key) : record);
        const source = Readable.from(linesOf(history, request.params.id, found, open));
        source.on('error', error => request.log.error({ err: error }, 'a recording broke off'));
        return reply.type('application/x-asciicast').send(source);
      },
    });
  };
}

async function* linesOf(
  history: SessionHistory,
  id: string,
  command: RecordedTerminal,
  open: (record: SessionRecord) => SessionRecord,
): AsyncGenerator<string> {
  const startedUnixUs = Number(command.started_us);
  const writer = new AsciicastWriter({ startedUnixUs, title: `${command.principal} on ${command.resource}`, command: command.text });
  let lastUs = startedUnixUs;
  for await (const piece of recordedPieces(history, id, Number(command.seq), open)) {
    lastUs = piece.atUnixUs;
    for (const line of writer.lines(piece)) yield `${line}\n`;
  }
  const endedUs = command.answered_us === null ? lastUs : Number(command.answered_us);
  for (const line of writer.end(endedUs, exitOf(command.tag))) yield `${line}\n`;
}
