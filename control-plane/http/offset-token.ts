/**
 * What a client has seen it goes on seeing, whichever replica answers: every answer says how far its replica had read the control log
 * (`Sallyport-Offset`), and a request that carries such a number is answered by nobody who has read less. A replica that is behind
 * catches up first; one that cannot says 503, and the client asks another.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance } from 'fastify';
import type { ControlLog } from '../aggregates/control-log.ts';

export const offsetHeader = 'sallyport-offset';
const patienceMs = 5_000;
/** A number from nowhere must not make requests wait: no log is that long. */
const offsetMax = 2n ** 48n;

export function useOffsetTokens(app: FastifyInstance, control: Pick<ControlLog, 'position' | 'reach'>): void {
  app.addHook('preHandler', async request => {
    const text = request.headers[offsetHeader];
    if (typeof text !== 'string') return;
    if (!/^\d{1,15}$/.test(text) || BigInt(text) > offsetMax) {
      throw new GatewayError('OFFSET_INVALID', 'invalid', 'The header Sallyport-Offset takes what an earlier answer had in it.');
    }
    if (await control.reach(BigInt(text), patienceMs)) return;
    throw new GatewayError(
      'REPLICA_BEHIND',
      'unavailable',
      `This replica has read the log up to ${control.position}, and you have seen ${text}: ask again, or another replica.`,
    );
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    void reply.header(offsetHeader, String(control.position));
    return payload;
  });
}
