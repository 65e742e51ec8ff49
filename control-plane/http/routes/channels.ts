/**
 * Where Slack says that somebody has pressed a button. Open to anyone by address, and to nobody without the app's signature; who the
 * person is, and whether they may answer, is found out behind the answer (channels/slack-channel.ts).
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import type { Channels } from '../../channels/channels.ts';
import { pressedIn } from '../../channels/slack-channel.ts';
import * as schemas from '../schemas.ts';

const BODY_BYTES_MAX = 256 * 1024;

export function channelRoutes(channels: Channels): FastifyPluginAsyncTypebox {
  return async app => {
    // The signature is over the bytes as they came.
    app.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX },
      (_request, body, done) => done(null, body),
    );
    app.route({
      method: 'POST',
      url: '/v1/channels/:name/slack',
      config: { access: 'public' },
      bodyLimit: BODY_BYTES_MAX,
      schema: {
        operationId: 'answerBySlack',
        tags: ['approvals'],
        summary: 'Where Slack posts what was pressed in messages of a channel; signed by Slack',
        security: [],
        params: Type.Object({ name: Type.String({ maxLength: 128 }) }),
        response: { 200: Type.Object({}), default: schemas.Problem },
      },
      handler: async request => {
        const channel = channels.slack(request.params.name);
        const body: unknown = request.body;
        const { 'x-slack-request-timestamp': timestamp, 'x-slack-signature': signature } = request.headers;
        // A channel that there is not answers as a wrong signature does.
        const verdict = channel === undefined || !Buffer.isBuffer(body) ? 'forged' : channel.verify(timestamp, signature, body);
        if (verdict !== 'genuine' || channel === undefined || !Buffer.isBuffer(body)) {
          request.log.warn({ channel: request.params.name, verdict, ip: request.ip }, 'a request in Slack’s name was refused');
          throw new GatewayError('SLACK_SIGNATURE', 'unauthenticated', 'This is not signed by Slack, is old, or was here before.');
        }
        const pressed = pressedIn(payloadOf(body));
        if (pressed === null) return {};
        if (!channel.take(pressed, { requestId: request.id, address: `${request.ip}:${request.socket.remotePort ?? 0}` }))
          throw new GatewayError('CHANNEL_BUSY', 'unavailable', 'Too many answers are being worked on; press again.');
        return {};
      },
    });
  };
}

function payloadOf(body: Buffer): unknown {
  try {
    return JSON.parse(new URLSearchParams(body.toString('utf8')).get('payload') ?? 'null') as unknown;
  } catch {
    return null;
  }
}
