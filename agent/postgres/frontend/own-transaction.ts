/**
 * The transaction that the client's commands run in, and the gateway's own that stands in for PostgreSQL's implicit one.
 *
 * A command that was approved for its effect runs guarded: inside of a savepoint, or of an explicit transaction which the client's
 * Sync ends as it would have ended the implicit one.
 */
import type { SessionEffect } from '@sallyport/shared/sql/analyse.ts';
import type { Judged } from '../judge.ts';
import { encodeBindTail, encodeClose, encodeExecute, encodeQuery, encodeSync } from '../messages.ts';
import { NO_SUCH_NAME } from '../names.ts';
import { Expected, Kind, type Portal } from '../pipeline.ts';
import { ownStatements, ownSync, plain } from '../preview/exchange.ts';
import { GuardedRun } from '../preview/guarded-run.ts';
import type { Relay } from '../relay.ts';
import { type ClientFrames, FLUSH, type Outcome } from './frames.ts';
import { REFUSED_TEXT } from './texts.ts';

export class OwnTransaction {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  #own = false;

  constructor(relay: Relay, frames: ClientFrames) {
    this.#relay = relay;
    this.#frames = frames;
  }

  /** Does the gateway's own stand in for the implicit one, up to the client's Sync? */
  get standsIn(): boolean {
    return this.#own;
  }

  /** Does what comes next run in an explicit transaction? */
  get isOpen(): boolean {
    return this.#own || this.#relay.transactionStatus === 'T' || this.#relay.pipeline.begun;
  }

  /**
   * Has a command watched that goes on: its effect stays only if it is as large as approvers were shown.
   *
   * @param shown how many rows they were shown, and what is done when it changes another number, before the frame is handled again.
   */
  guard(
    entry: Expected,
    shown: { rows: number; onChanged: () => void },
    frameStart: number,
    frameEnd: number,
    portal: Portal | null,
  ): void {
    const relay = this.#relay;
    const { pipeline } = relay;
    const inTransaction = this.isOpen;
    const frame = Buffer.from(this.#frames.buffer.subarray(frameStart, frameEnd));
    let settled = false;
    const run = new GuardedRun(relay, { rows: shown.rows, simple: portal === null, inTransaction }, outcome => {
      settled = true;
      if (outcome.kind !== 'answered' && portal !== null) {
        portal.lost = true;
        portal.released = null;
        pipeline.portals.set(portal.name, portal);
      } else if (portal !== null && !inTransaction) this.#own = true;
      if (outcome.kind === 'changed') {
        shown.onChanged();
        this.#frames.repeat(frame);
      } else if (outcome.kind === 'refused') {
        const refused = new Expected(entry.kind, false);
        refused.replacement = outcome.replacement;
        pipeline.push(refused);
        if (portal === null) pipeline.endSegment();
        relay.sendUp(portal === null ? encodeQuery(REFUSED_TEXT) : Buffer.concat([encodeExecute(NO_SUCH_NAME, 0), FLUSH]), -1);
      }
      this.#frames.answered();
    });
    this.#frames.put(frameStart, ...run.begin());
    if (portal !== null) {
      this.rebind(portal, true);
      entry.hooks = { ...entry.hooks, onDropped: () => run.failed() };
    }
    entry.watch = run;
    this.#frames.stallBehind(() => settled);
  }

  /** Binds again what the gateway has ended, or is about to run inside of a savepoint. An error of it is the client's. */
  rebind(portal: Portal, closes: boolean): void {
    const { pipeline } = this.#relay;
    const { statement, bound } = portal;
    if (statement === null || bound === null) throw new TypeError('only what was kept is bound again');
    if (closes) {
      pipeline.push(new Expected(Kind.Close, true));
      this.#frames.append(encodeClose('P', portal.name));
    }
    pipeline.push(new Expected(Kind.Bind, true));
    this.#frames.append(encodeBindTail(portal.name, statement.name, bound));
    portal.lost = false;
  }

  /** A command of the extended protocol goes on: it begins a transaction, or the implicit one has work in it from here on. */
  noteWork(judged: Judged | null): void {
    const { pipeline } = this.#relay;
    if (this.isOpen) return;
    if (!pipeline.implicitWork && judged?.statements[0]?.effects.some(begins) === true) pipeline.begun = true;
    else pipeline.implicitWork = true;
  }

  /** The client's Sync ends the transaction that stands in for the implicit one, as it would have ended that. */
  end(frameStart: number): Outcome {
    const { pipeline } = this.#relay;
    this.#own = false;
    this.#frames.put(frameStart, ownSync(pipeline));
    // Of a transaction that has failed COMMIT makes a ROLLBACK. What it finds wrong itself is told to the client.
    this.#frames.append(...ownStatements(pipeline, plain('COMMIT')));
    pipeline.push(new Expected(Kind.Sync, false));
    pipeline.endSegment();
    this.#frames.append(encodeSync());
    return 'taken';
  }
}

/** BEGIN and START TRANSACTION. */
export function begins(effect: SessionEffect): boolean {
  return effect.type === 'transaction' && (effect.verb === 'begin' || effect.verb === 'start-transaction');
}
