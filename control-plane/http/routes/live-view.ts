/**
 * A terminal of a session while it runs, for those who may see recordings: what was shown so far, and then what is shown, masked as it
 * is recorded. Whoever watches is in the control log and, from their coming to their going, in the session's own record; the agent is
 * told again and again that they are still there.
 *
 * It reads the session store, so that what is watched is what is kept: a second or so behind the terminal. For that reason any replica
 * can show a session; one to which its agent is not connected lets the control log say who has come and gone, and tells the other replicas
 * in between that they are still there (live/watch-presence.ts).
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Record as SessionRecord } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { AsciicastWriter } from '@sallyport/shared/records/asciicast.ts';
import { Type } from 'typebox';
import type { WatchElsewhere } from '../../aggregates/administration.ts';
import type { Provenance } from '../../aggregates/control-log.ts';
import { whyGone, withContents } from '../../evidence/contents.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';
import { ofSession } from '../session-history.ts';
import { openElsewhere } from './open-elsewhere.ts';
import { exitOf, PAGE, pageOfPieces, type Recorded } from './recorded-pieces.ts';

/** The agent hears so often that somebody watches, and believes it for so long. */
const BEAT_MS = 5000;
const PRESENT_MS = 15_000;
/** The same by way of other replicas, where word may come late. */
const ELSEWHERE_BEAT_MS = 10_000;
const ELSEWHERE_PRESENT_MS = 30_000;
const POLL_MS = 300;
const STORE_PATIENCE_MS = 60_000;
/** Views at the same time, of all sessions. */
const VIEWS_MAX = 100;
/** A comment line of asciicast: it shows that the line lives. */
const NOTHING_NEW = '#\n';

export function liveViewRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { fleet } = context;
  let views = 0;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/sessions/:id/live',
      config: { access: 'principal' },
      schema: {
        operationId: 'watchSession',
        tags: ['sessions'],
        summary: 'What terminals of a live session show, as it happens: asciicast version 3, a header for each terminal',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: { 200: Type.Unknown({ description: 'application/x-asciicast' }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { id } = request.params;
        const caller = callerOf(request);
        const here = fleet.liveSession(id);
        const live = here ?? (await openElsewhere(context, id));
        if (live === null) throw new GatewayError('SESSION_NOT_LIVE', 'notFound', 'There is no live session with this id.');
        // Four eyes are those of two people.
        if (caller.type !== 'admin' && caller.principal.name === live.principal)
          throw new GatewayError('WATCH_OWN_SESSION', 'denied', 'Nobody watches their own session: somebody else has to.');
        if (views >= VIEWS_MAX)
          throw new GatewayError('TOO_MANY_VIEWS', 'unavailable', 'Too many sessions are being watched: end another view first.');
        const { principal, resource } = live;
        const gone = new AbortController();
        reply.raw.once('close', () => gone.abort());
        const observer = caller.type === 'admin' ? 'administrator' : caller.principal.name;
        const presence = new Presence(context, id, observer, provenanceOf(request, 'live view'));
        await presence.begin(principal, resource, here !== undefined);
        views++;
        const source = Readable.from(
          watched(context, id, `${principal} on ${resource}`, presence, gone.signal, () => {
            views--;
          }),
        );
        source.on('error', error => request.log.error({ err: error }, 'a live view broke off'));
        return reply.type('application/x-asciicast').send(source);
      },
    });
  };
}

async function* watched(
  context: ApiContext,
  id: string,
  title: string,
  presence: Presence,
  gone: AbortSignal,
  over: () => void,
): AsyncGenerator<string> {
  const beat = setInterval(() => presence.beat(), BEAT_MS);
  try {
    presence.beat();
    yield NOTHING_NEW;
    let shown = -1;
    let saidAtMs = Date.now();
    while (!gone.aborted) {
      // Asked before the store: a session that has ended since is looked at once more.
      const isLive = await isOpen(context, id, gone);
      const terminal = await whenStoreAnswers(() => nextTerminal(context, id, shown), gone);
      if (terminal !== null) {
        yield* follow(context, id, title, terminal, gone);
        shown = Number(terminal.seq);
        saidAtMs = Date.now();
        continue;
      }
      if (!isLive) return;
      if (Date.now() - saidAtMs > BEAT_MS) {
        yield NOTHING_NEW;
        saidAtMs = Date.now();
      }
      await delay(POLL_MS, undefined, { signal: gone }).catch(() => undefined); // The loop sees that they have gone.
    }
  } finally {
    clearInterval(beat);
    presence.end();
    over();
  }
}

/**
 * That somebody watches: told to the session's agent where it is connected here, and to the other replicas where it is not. Which of both it
 * is may change while they watch, for agents connect anew.
 */
class Presence {
  readonly #context: ApiContext;
  readonly #sessionId: string;
  readonly #observer: string;
  readonly #provenance: Provenance;
  readonly #watchId = randomUUID();
  #elsewhereAtMs = Number.NEGATIVE_INFINITY;

  constructor(context: ApiContext, sessionId: string, observer: string, provenance: Provenance) {
    this.#context = context;
    this.#sessionId = sessionId;
    this.#observer = observer;
    this.#provenance = provenance;
  }

  /** Puts on record that they watch; nobody does before that. @throws {GatewayError} of the log. */
  async begin(principal: string, resource: string, here: boolean): Promise<void> {
    if (!here) this.#elsewhereAtMs = Date.now();
    await this.#context.administration.record(
      {
        type: 'SessionWatched',
        payload: { sessionId: this.#sessionId, principal, resource, ...(here ? {} : { watch: this.#watch(ELSEWHERE_PRESENT_MS) }) },
      },
      this.#provenance,
    );
  }

  beat(): void {
    const { fleet, presence } = this.#context;
    if (fleet.liveSession(this.#sessionId) !== undefined) fleet.observeSession(this.#sessionId, this.#watchId, this.#observer, PRESENT_MS);
    else if (Date.now() - this.#elsewhereAtMs >= ELSEWHERE_BEAT_MS - BEAT_MS / 2) {
      this.#elsewhereAtMs = Date.now();
      void presence.tell(this.#sessionId, this.#watchId, this.#observer, ELSEWHERE_PRESENT_MS);
    }
  }

  end(): void {
    this.#context.fleet.observeSession(this.#sessionId, this.#watchId, this.#observer, 0);
    if (this.#elsewhereAtMs > 0) this.#logEnd();
  }

  #logEnd(): void {
    const { administration, logger } = this.#context;
    // Where it cannot be written they count as gone a little later: nothing runs unobserved for that.
    administration
      .record({ type: 'SessionWatchEnded', payload: { sessionId: this.#sessionId, watch: this.#watch(0) } }, this.#provenance)
      .catch((error: unknown) => logger.warn({ err: errorText(error) }, 'that a session is not watched any more could not be logged'));
  }

  #watch(forMs: number): WatchElsewhere {
    return { watchId: this.#watchId, observer: this.#observer, forMs };
  }
}

/** Does the session go on: at an agent that is connected here, or by what the store has of it? */
async function isOpen(context: ApiContext, id: string, gone: AbortSignal): Promise<boolean> {
  if (context.fleet.liveSession(id) !== undefined) return true;
  return (await whenStoreAnswers(() => openElsewhere(context, id), gone)) !== null;
}

/** The first terminal behind the one that was shown; at first the newest, for who comes later wants to see what goes on now. */
async function nextTerminal({ history }: ApiContext, id: string, shown: number): Promise<Recorded | null> {
  const [found] = await history.rows<Recorded>(
    `SELECT seq, text, tag, toUnixTimestamp64Micro(at) AS started_us,
            if(answered_at IS NULL, NULL, toUnixTimestamp64Micro(answered_at)) AS answered_us
     FROM sallyport.commands
     WHERE ${ofSession('id')} AND seq > {shown:Int64}
       AND seq IN (SELECT command_seq FROM sallyport.record_rows WHERE session_id = {id:String} AND type = 'output_chunk')
     ORDER BY seq ${shown < 0 ? 'DESC' : 'ASC'} LIMIT 1`,
    { id, shown },
  );
  return found ?? null;
}

async function* follow(context: ApiContext, id: string, title: string, terminal: Recorded, gone: AbortSignal): AsyncGenerator<string> {
  const { contents, history } = context;
  const recorded = await contents.of(id);
  const whyNot = whyGone(recorded);
  if (whyNot !== null) throw new GatewayError('RECORDING_GONE', 'notFound', `What the terminal showed is ${whyNot}.`);
  const open = (record: SessionRecord) => (recorded.state === 'sealed' ? withContents(record, recorded.key) : record);
  const startedUnixUs = Number(terminal.started_us);
  const writer = new AsciicastWriter({ startedUnixUs, title, command: terminal.text });
  let after = -1;
  let lastUs = startedUnixUs;
  let saidAtMs = Date.now();
  let endedAtMs: number | null = null;
  while (!gone.aborted) {
    // The agent says that a session has ended before its last records have reached the store.
    if (endedAtMs === null && !(await isOpen(context, id, gone))) endedAtMs = Date.now();
    const isOver = endedAtMs !== null && Date.now() - endedAtMs > STORE_PATIENCE_MS;
    const [row] = await whenStoreAnswers(
      () =>
        history.rows<Pick<Recorded, 'tag' | 'answered_us'>>(
          `SELECT tag, if(answered_at IS NULL, NULL, toUnixTimestamp64Micro(answered_at)) AS answered_us
           FROM sallyport.commands WHERE ${ofSession('id')} AND seq = {seq:UInt64} LIMIT 1`,
          { id, seq: terminal.seq },
        ),
      gone,
    );
    const pieces = await whenStoreAnswers(() => pageOfPieces(history, id, Number(terminal.seq), after, open), gone);
    for (const piece of pieces) {
      after = piece.seq;
      lastUs = piece.atUnixUs;
      for (const line of writer.lines(piece)) yield `${line}\n`;
      saidAtMs = Date.now();
    }
    if (pieces.length === PAGE) continue;
    const answeredUs = row?.answered_us ?? null;
    if (answeredUs !== null || isOver) {
      for (const line of writer.end(answeredUs === null ? lastUs : Number(answeredUs), exitOf(row?.tag ?? ''))) yield `${line}\n`;
      return;
    }
    if (Date.now() - saidAtMs > BEAT_MS) {
      yield NOTHING_NEW;
      saidAtMs = Date.now();
    }
    await delay(POLL_MS, undefined, { signal: gone }).catch(() => undefined); // The loop sees that they have gone.
  }
}

/** A store that does not answer for a moment ends no view: who watches has not gone. @throws what is no such failure, or lasts. */
async function whenStoreAnswers<Value>(ask: () => Promise<Value>, gone: AbortSignal): Promise<Value> {
  const until = Date.now() + STORE_PATIENCE_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof GatewayError) || error.kind !== 'unavailable' || gone.aborted || Date.now() > until) throw error;
      await delay(POLL_MS, undefined, { signal: gone }).catch(() => undefined); // The next turn sees that they have gone.
    }
  }
}
