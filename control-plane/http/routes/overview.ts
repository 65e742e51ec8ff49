/** `GET /v1/overview`: the numbers of an installation at a glance. Counts only. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import type { ApiContext } from '../context.ts';
import { OverviewDesk } from '../overview.ts';
import * as schemas from '../schemas.ts';

const OrNull = Type.Union([Type.Number(), Type.Null()]);
const Counted = Type.Object({ value: OrNull, list: Type.String({ description: 'The API path of what it counts.' }) });

const OverviewView = Type.Object({
  at: schemas.Time,
  windowSeconds: Type.Integer({ description: 'Commands, decisions and refusals are of this time.' }),
  store: schemas.StoreAnswer,
  commandsPerSecond: Counted,
  decisions: Type.Object({ allow: Counted, deny: Counted, hold: Counted }),
  refusedSessions: Counted,
  duration: Type.Object(
    { p50Us: OrNull, p95Us: OrNull, p99Us: OrNull, list: Type.String() },
    {
      description: 'From a command’s arrival to the last byte of its answer: the resource’s own time and the wait for approvals are in it.',
    },
  ),
  addedLatency: Type.Object(
    { p50Us: OrNull, p95Us: OrNull, p99Us: OrNull, samples: Type.Integer(), list: Type.String() },
    {
      description:
        'What agents themselves add to a command, without the resource’s own time and people’s; of many commands one in sixteen is measured. Null: too few were to say.',
    },
  ),
  held: Counted,
  liveSessions: Counted,
  agents: Type.Object({ online: Counted, offline: Counted, withProblems: Counted }),
  spool: Type.Object(
    { records: Counted, bytes: Counted },
    { description: 'What connected agents have on disk and the log has not acknowledged.' },
  ),
  log: Type.Object({ control: Type.String(), records: Type.String() }, { description: 'Offsets of the next entries.' }),
  storeLag: Type.Object(
    { entries: OrNull, seconds: OrNull, list: Type.String() },
    { description: 'What of the log the store has not taken in, and how old the first of it is.' },
  ),
  series: Type.Array(Type.Object({ at: schemas.Time, allow: Type.Integer(), deny: Type.Integer(), hold: Type.Integer() })),
});

export function overviewRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const desk = new OverviewDesk(context);
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/overview',
      schema: {
        operationId: 'overview',
        tags: ['operations'],
        summary: 'Numbers at a glance, each with the list that it counts',
        response: { 200: OverviewView, default: schemas.Problem },
      },
      handler: async () => desk.overview(),
    });
  };
}
