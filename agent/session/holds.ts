/**
 * Commands of one worker that wait for people: asks for their approval, and hands each the one answer that is meant for it.
 *
 *     waiting ── approved | denied | expired | withdrawn ──▶ answered (once)
 *
 * An answer counts only for the id that was asked under and the binding that was asked with; one that comes late, twice, or for
 * another session finds nobody. Time is the agent's own: an expiry needs no control plane. It knows no protocol; how a command
 * waits on its connection is the protocol's.
 */
import type { ApprovalSpec } from '@sallyport/shared/policy/model.ts';
import type { ApprovalRequest, FromWorker, ToWorker } from '../worker-messages.ts';
import { uuidv7 } from './identifiers.ts';
import type { LiveSession } from './live-session.ts';

/** Commands that may wait at once in a worker: each keeps a connection and a request. */
const WAITING_MAX = 1000;

export type HoldState = 'approved' | 'denied' | 'expired' | 'withdrawn';

export interface HoldAnswer {
  state: HoldState;
  by: readonly string[];
  reason: string;
}

export interface HoldQuestion {
  session: LiveSession;
  /** seq of the Command record. */
  commandSeq: number;
  rule: string;
  /** Masked. */
  text: string;
  /** Masked, as records hold them. */
  parameters: readonly string[];
  /** SHA-256 over the exact command: what is approved is what runs. */
  binding: Uint8Array;
  approval: ApprovalSpec;
  /** What it would change, as JSON (shared/policy/preview.ts); empty: nobody asked for it. */
  preview: string;
  fingerprint: string;
}

interface Waiting {
  binding: Uint8Array;
  sessionId: string;
  answer: (answer: HoldAnswer) => void;
  timer: NodeJS.Timeout;
}

/** One that waits: the protocol's handle. */
export interface Hold {
  readonly approvalId: string;
  readonly expiresAtMs: number;
  /** Nobody needs the answer any more. The protocol hears nothing of it: it knows. */
  withdraw(reason: string): void;
}

export class Holds {
  readonly #post: (message: FromWorker) => void;
  readonly #waiting = new Map<string, Waiting>();
  /** Can the control plane be reached now? */
  connected = true;

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get full(): boolean {
    return this.#waiting.size >= WAITING_MAX;
  }

  /** An id that an approval can be asked under; its Command record needs it before the question is put. */
  newId(): string {
    return uuidv7(Date.now());
  }

  /**
   * Asks. `answer` is called once, later, unless the question is withdrawn first.
   * @param approvalId of `newId`.
   */
  ask(approvalId: string, question: HoldQuestion, answer: (answer: HoldAnswer) => void): Hold {
    const { session, approval } = question;
    const { principal } = session;
    const expiresAtMs = Date.now() + approval.expiresInMs;
    const settle = (given: HoldAnswer): void => {
      const waiting = this.#waiting.get(approvalId);
      if (waiting === undefined) return;
      clearTimeout(waiting.timer);
      this.#waiting.delete(approvalId);
      waiting.answer(given);
    };
    const timer = setTimeout(
      () => {
        const connected = this.connected;
        settle({
          state: 'expired',
          by: [],
          reason: connected ? 'nobody answered in time' : 'the control plane could not be reached to ask anybody',
        });
        // The control plane's clock may be behind: it must not have people approve what has ended.
        this.#post({ type: 'approvalWithdrawn', approvalId, reason: 'expired' });
      },
      Math.min(approval.expiresInMs, 2 ** 31 - 1),
    );
    this.#waiting.set(approvalId, { binding: question.binding, sessionId: session.id, answer, timer });
    const request: ApprovalRequest = {
      approvalId,
      sessionId: session.id,
      commandSeq: question.commandSeq,
      resource: session.resource.name,
      rule: question.rule,
      text: question.text,
      parameters: [...question.parameters],
      binding: question.binding,
      principal: { ...principal, groups: [...principal.groups], delegation: [...principal.delegation] },
      approvalJson: JSON.stringify(approval),
      previewJson: question.preview,
      expiresUnixMs: expiresAtMs,
      fingerprint: question.fingerprint,
    };
    this.#post({ type: 'approvalRequested', request });
    return {
      approvalId,
      expiresAtMs,
      withdraw: reason => {
        const waiting = this.#waiting.get(approvalId);
        if (waiting === undefined) return;
        clearTimeout(waiting.timer);
        this.#waiting.delete(approvalId);
        this.#post({ type: 'approvalWithdrawn', approvalId, reason });
      },
    };
  }

  /** The control plane's answer, to whichever worker it was for. */
  decided({ approvalId, state, by, reason, binding }: Extract<ToWorker, { type: 'approval' }>): void {
    const waiting = this.#waiting.get(approvalId);
    if (waiting === undefined || Buffer.compare(waiting.binding, binding) !== 0) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(approvalId);
    waiting.answer({ state, by, reason });
  }
}
