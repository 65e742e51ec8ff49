/** Work that is tried until it is done: what is not written waits in the log, and nothing is left out. */
import { setTimeout as delay } from 'node:timers/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { FollowerLog, TopicFigures } from './topic-follower.ts';

const backoffFirstMs = 100;
const backoffMaxMs = 5_000;

/**
 * Also what ClickHouse refused for a reason of its own is tried again: somebody may repair it.
 * @returns undefined when the signal fired before it was done.
 */
export async function untilDone<Result>(
  topic: string,
  figures: TopicFigures,
  log: FollowerLog,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result | undefined> {
  let wait = backoffFirstMs;
  for (;;) {
    try {
      const result = await work();
      if (figures.problem !== null) {
        figures.problem = null;
        log('info', { topic }, 'the session store takes rows again');
      }
      return result;
    } catch (error) {
      if (signal.aborted) return undefined;
      figures.storeErrors += 1;
      figures.problem = errorText(error);
      log('warn', { topic, error: errorText(error), waitMs: wait }, 'not written, will try again');
      await delay(wait, undefined, { signal }).catch(() => undefined); // Ended by the signal, which the next line sees.
      if (signal.aborted) return undefined;
      wait = Math.min(wait * 2, backoffMaxMs);
    }
  }
}

/**
 * Reading from the log while it may be out of reach for a while.
 * @returns undefined when the signal fired first.
 * @throws what cannot get better by waiting, such as LOG_CORRUPT.
 */
export async function untilRead<Result>(
  topic: string,
  figures: TopicFigures,
  log: FollowerLog,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result | undefined> {
  for (let wait = backoffFirstMs; ; wait = Math.min(wait * 2, backoffMaxMs)) {
    try {
      const result = await work();
      if (wait > backoffFirstMs) {
        figures.problem = null;
        log('info', { topic }, 'the log can be read again');
      }
      return result;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof GatewayError && error.kind === 'unavailable' && error.code !== 'LOG_CLOSED')) throw error;
      figures.problem = errorText(error);
      log('warn', { topic, error: errorText(error), waitMs: wait }, 'the log cannot be read, will try again');
      await delay(wait, undefined, { signal }).catch(() => undefined); // Ended by the signal: asked below.
      if (signal.aborted) return undefined;
    }
  }
}
