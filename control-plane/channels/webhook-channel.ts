/**
 * A webhook as a channel: every message is one POST, signed (signature.ts), under a delivery id by which the far side knows a repeat.
 */
import type { Logger } from 'pino';
import { post } from '../outputs/post.ts';
import { SIGNATURE_HEADER, sign } from './signature.ts';
import { type Approvals, type KnownState, Teller } from './teller.ts';

export interface WebhookTarget {
  url: string;
  secret: Uint8Array;
  /** Only approvals that one of these answers; absent: all. */
  groups?: readonly string[] | undefined;
}

export interface WebhookChannelOptions {
  name: string;
  target: WebhookTarget;
  /** `shown`: as the API shows it. */
  approvals: Approvals & { shown(id: string, state: KnownState): unknown };
  cursorFile: string;
  logger: Logger;
  clock: () => number;
  retryMs?: { first: number; longest: number };
}

export class WebhookChannel {
  readonly #teller: Teller;

  constructor({ target, approvals, clock, ...options }: WebhookChannelOptions) {
    this.#teller = new Teller({
      ...options,
      approvals,
      groups: target.groups,
      tell: async ({ id, state, delivery, signal }) => {
        const body = Buffer.from(JSON.stringify({ version: 1, event: 'approval', delivery, approval: approvals.shown(id, state) }));
        await post(target.url, body, {
          headers: {
            'content-type': 'application/json',
            'sallyport-delivery': delivery,
            [SIGNATURE_HEADER]: sign(target.secret, body, clock()),
          },
          signal,
        });
        return null;
      },
    });
  }

  /** Something about approvals may have changed. */
  look(): void {
    this.#teller.look();
  }

  close(): Promise<void> {
    return this.#teller.close();
  }
}
