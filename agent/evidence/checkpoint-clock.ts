/**
 * When checkpoints are cut: soon after a session ends, every few seconds while sessions move, once at the start (it vouches for all that
 * the ledger holds, in case its last one never reached the control plane), and at the end.
 *
 * A spool that refuses a checkpoint refuses records, too, and says so; what was noted waits for the next turn.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Head } from '@sallyport/shared/evidence/checkpoint.ts';
import type { Ledger } from './ledger.ts';

/** How long ends of sessions are gathered. */
const GATHER_MS = 300;
const EVERY_MS = 5000;

export class CheckpointClock {
  readonly #ledger: Ledger;
  readonly #noteMoved: () => void;
  readonly #report: (error: GatewayError) => void;
  #every: NodeJS.Timeout | null = null;
  #soon: NodeJS.Timeout | null = null;
  #refused = false;

  /** @param noteMoved notes every live session that moved since it was noted last. */
  constructor(ledger: Ledger, noteMoved: () => void, report: (error: GatewayError) => void) {
    this.#ledger = ledger;
    this.#noteMoved = noteMoved;
    this.#report = report;
  }

  start(): void {
    this.#cut(true);
    this.#every = setInterval(() => {
      this.#noteMoved();
      this.#cut(false);
    }, EVERY_MS);
  }

  note(head: Head): void {
    this.#ledger.note(head);
    if (!head.ended || this.#soon !== null) return;
    this.#soon = setTimeout(() => {
      this.#soon = null;
      this.#cut(false);
    }, GATHER_MS);
  }

  /** Cuts the last checkpoint. */
  stop(): void {
    if (this.#every !== null) clearInterval(this.#every);
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#every = null;
    this.#soon = null;
    this.#noteMoved();
    this.#cut(false);
  }

  #cut(always: boolean): void {
    try {
      this.#ledger.cut(always);
      this.#refused = false;
    } catch (error) {
      // Said once: it is tried again with every turn.
      if (!this.#refused)
        this.#report(
          new GatewayError('CHECKPOINT_DELAYED', 'unavailable', `a checkpoint of the evidence waits: ${errorText(error)}`, {
            cause: error,
          }),
        );
      this.#refused = true;
    }
  }
}
