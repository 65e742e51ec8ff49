/**
 * Is a request Slack's, fresh, and here for the first time? HMAC-SHA256 over `v0:time:body` with the app's signing secret, a window of
 * five minutes, and a memory of what came within it.
 *
 * @see https://docs.slack.dev/authentication/verifying-requests-from-slack/
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export type SlackVerdict = 'genuine' | 'forged' | 'stale' | 'repeated';

const WINDOW_SECONDS = 300;
/** Signatures that are remembered; more genuine requests than that within the window are taken for repeated. */
const REMEMBERED_MAX = 10_000;

export class SlackSignatures {
  readonly #secret: Uint8Array;
  readonly #clock: () => number;
  /** Signature → when it can be forgotten, oldest first. */
  readonly #seen = new Map<string, number>();

  readonly #rememberedMax: number;

  constructor(secret: Uint8Array, clock: () => number, rememberedMax = REMEMBERED_MAX) {
    this.#secret = secret;
    this.#rememberedMax = rememberedMax;
    this.#clock = clock;
  }

  /**
   * @param timestamp, signature as the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature` have them.
   * @param body as it came.
   */
  verify(timestamp: unknown, signature: unknown, body: Uint8Array): SlackVerdict {
    if (typeof timestamp !== 'string' || !/^[0-9]{1,12}$/.test(timestamp) || typeof signature !== 'string') return 'forged';
    const wanted = `v0=${createHmac('sha256', this.#secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`;
    const [given, expected] = [Buffer.from(signature), Buffer.from(wanted)];
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'forged';
    const nowSeconds = this.#clock() / 1000;
    if (Math.abs(nowSeconds - Number(timestamp)) > WINDOW_SECONDS) return 'stale';
    for (const [old, until] of this.#seen) {
      if (until > nowSeconds) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(wanted) || this.#seen.size >= this.#rememberedMax) return 'repeated';
    // A time in the future stays within the window for longer.
    this.#seen.set(wanted, nowSeconds + 2 * WINDOW_SECONDS);
    return 'genuine';
  }
}
