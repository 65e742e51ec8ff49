/**
 * Has heads of the control log stamped by a time-stamping authority (RFC 3161), and logs the stamps: whoever later writes the log anew
 * cannot get stamps of earlier days for it. Once an hour while the log grows; a replica whose neighbour did so waits.
 */

import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { timeStampRequest, tokenOf, verifyTimeStamp } from '@sallyport/shared/crypto/time-stamp.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import { action, type ControlLog } from '../aggregates/control-log.ts';
import { timestampAggregate } from '../aggregates/timestamp.ts';
import { post } from '../outputs/post.ts';
import type { ControlTree } from './control-tree.ts';

export interface TimeStampingOptions {
  control: Pick<ControlLog, 'execute'> & { state: Pick<ControlLog['state'], 'timestamps'> };
  tree: ControlTree;
  /** Address of the authority. Plain http is common there: the answer is signed, and the question is a hash. */
  url: string;
  /** PEM of the authorities that are trusted. */
  trusted: string;
  logger: Logger;
  everyMs?: number;
}

const HOUR_MS = 3_600_000;
const FIRST_MS = 30_000;

export class TimeStamping {
  readonly #options: TimeStampingOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: TimeStampingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#next(Math.min(FIRST_MS, this.#options.everyMs ?? HOUR_MS));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  /**
   * Stamps the head as it is now, when it is another than the last that was stamped.
   * @throws {GatewayError} TIMESTAMP_REFUSED, TIMESTAMP_INVALID.
   */
  async stamp(): Promise<void> {
    const { control, tree, url, trusted } = this.#options;
    const { size, note } = tree.head();
    // The stamp itself is an entry: it alone is no growth.
    const last = control.state.timestamps().roots.at(-1);
    if (last !== undefined && size <= last.size + 1) return;
    const hash = sha256(Buffer.from(note));
    const { request, nonce } = timeStampRequest(hash);
    const answer = await post(url, request, {
      headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
      signal: this.#stop.signal,
      binary: true,
    }).catch((cause: unknown) => {
      throw new GatewayError('TIMESTAMP_REFUSED', 'unavailable', `The time-stamping authority does not answer: ${errorText(cause)}.`, {
        cause,
      });
    });
    const token = tokenOf(Buffer.from(answer, 'latin1'));
    if (verifyTimeStamp(token, hash, trusted).nonce !== nonce)
      throw new GatewayError('TIMESTAMP_INVALID', 'invalid', 'The time stamp answers another request.');
    const root = { size, note, token: Buffer.from(token).toString('base64'), authority: url };
    const provenance = { author: 'system', authorAddress: '', reason: 'time stamp of the control log', requestId: '' };
    const outcome = await control.execute([action(timestampAggregate, 'log', { type: 'add', root })], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  #next(delayMs: number): void {
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#running = this.stamp()
        .catch((error: unknown) => {
          if (!this.#stop.signal.aborted)
            this.#options.logger.warn({ err: errorText(error) }, 'the control log was not time-stamped; it is tried again');
        })
        .finally(() => this.#next(this.#options.everyMs ?? HOUR_MS));
    }, delayMs);
    this.#timer.unref();
  }
}
