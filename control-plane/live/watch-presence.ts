/**
 * That people still watch sessions, told among replicas: beats in a topic of their own, which nothing is kept of. That somebody has come or
 * gone is in the control log; here is only that they are still there, so that whoever watches for an hour is two entries of the log and
 * not hundreds.
 *
 * A beat is true for the time that it names, from when it was written. One that does not come, or comes late, extends nothing: with the
 * topic gone, whoever watches by way of another replica counts as gone half a minute later.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { SessionObservedSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import type { WatchElsewhere } from '../aggregates/administration.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { Fleet } from '../grpc/fleet.ts';
import type { Entry, EventLog } from '../log/event-log.ts';

export interface WatchPresenceOptions {
  /** null: this is the only replica, or the others cannot be told. */
  beats: EventLog | null;
  control: Pick<ControlLog, 'onAccepted'>;
  fleet: Pick<Fleet, 'observeSession'>;
  logger: Pick<Logger, 'warn'>;
  clock: () => number;
}

/** No beat counts for longer, whatever it says. */
const PRESENT_MS_MAX = 30_000;
/** Watches that have ended and are remembered: a beat of theirs may still be under way. */
const ENDED_MAX = 1000;
const PAGE = 200;
const WAIT_MS = 10_000;
const RETRY_MS = 1_000;

export class WatchPresence {
  readonly #options: WatchPresenceOptions;
  readonly #stop = new AbortController();
  #following: Promise<void> = Promise.resolve();
  /** Watches whose last beat is on its way. */
  readonly #sending = new Set<string>();
  readonly #ended = new Set<string>();
  #unsubscribe: () => void = () => undefined;

  constructor(options: WatchPresenceOptions) {
    this.#options = options;
  }

  /** Tells the agents that are connected here, from now on, what other replicas say. */
  start(): void {
    const { beats, control } = this.#options;
    if (beats === null) return;
    this.#unsubscribe = control.onAccepted(events => {
      for (const { type, payload } of events)
        if (type === 'SessionWatchEnded') this.#over((payload as { watch: WatchElsewhere }).watch.watchId);
    });
    this.#following = this.#follow(beats);
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    this.#stop.abort();
    await this.#following;
  }

  /** Tells the other replicas that somebody is there, for so long from now on. Never rejects: one that is lost is followed by another. */
  async tell(sessionId: string, watchId: string, observer: string, forMs: number): Promise<void> {
    const { beats, logger } = this.#options;
    if (beats === null || this.#sending.has(watchId)) return;
    this.#sending.add(watchId);
    const value = toBinary(SessionObservedSchema, create(SessionObservedSchema, { sessionId, watchId, observer, forMs }));
    try {
      await beats.append([{ key: Buffer.from(sessionId), value }]);
    } catch (error) {
      logger.warn({ err: errorText(error) }, 'other replicas could not be told that a session is watched');
    } finally {
      this.#sending.delete(watchId);
    }
  }

  async #follow(beats: EventLog): Promise<void> {
    const { signal } = this.#stop;
    let next: bigint | null = null;
    while (!signal.aborted) {
      try {
        // What was said before this replica was there was for another.
        next ??= await beats.endOffset();
        if (!(await beats.waitFor(next, WAIT_MS, signal))) continue;
        for (const entry of await beats.read(next, PAGE)) {
          this.#heard(entry);
          next = entry.offset + 1n;
        }
      } catch (error) {
        if (signal.aborted) return;
        // Beats are soon gone by themselves, and the topic may be made anew: it goes on with those that come.
        if (error instanceof GatewayError && error.kind !== 'unavailable') next = null;
        this.#options.logger.warn({ err: errorText(error) }, 'it cannot be read who watches sessions by way of other replicas');
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined); // The loop sees that it ends.
      }
    }
  }

  #over(watchId: string): void {
    this.#ended.add(watchId);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= ENDED_MAX) break;
      this.#ended.delete(oldest);
    }
  }

  #heard({ value, timestampMs }: Entry): void {
    const { fleet, clock, logger } = this.#options;
    let beat: { sessionId: string; watchId: string; observer: string; forMs: number };
    try {
      beat = fromBinary(SessionObservedSchema, value);
    } catch (error) {
      logger.warn({ err: errorText(error) }, 'somebody else writes to the topic of those who watch');
      return;
    }
    // A clock that goes before ours lengthens nothing; what is over extends nothing, and ends nothing that a later one has begun.
    const leftMs = Math.min(beat.forMs, PRESENT_MS_MAX) - Math.max(0, clock() - timestampMs);
    if (leftMs > 0 && !this.#ended.has(beat.watchId)) fleet.observeSession(beat.sessionId, beat.watchId, beat.observer, leftMs);
  }
}
