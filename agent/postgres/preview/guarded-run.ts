/**
 * Runs a command that was approved for what its preview showed, and lets it stay only if it changes as many rows.
 *
 *     running ── completed, as many ──▶ keeping ──▶ kept | failed
 *        │  └─── completed, otherwise ─▶ undoing ──▶ changed | refused
 *        └────── an error ─────────────▶ failed
 *
 * What the client would get is kept back until that is settled, so that it never sees rows of a change that was taken back. In a
 * transaction of the client's a savepoint is used; outside of one an explicit transaction stands in for PostgreSQL's implicit
 * one: a simple Query ends it here, in the extended protocol the client's Sync does (frontend.ts), as it would have.
 */
import type { CommandRun } from '../command-run.ts';
import { reducedText, SqlState } from '../errors.ts';
import { type ErrorField, encodeErrorResponse, encodeSync, errorField } from '../messages.ts';
import { Expected, Kind, type Replacement, type Watch } from '../pipeline.ts';
import type { Relay } from '../relay.ts';
import { ownStatements, ownSync, undoable } from './exchange.ts';
import { rowsOfTag } from './preview-run.ts';

export type GuardedOutcome =
  /** The client has its answer, whatever it is. */
  | { kind: 'answered' }
  /** It changed another number of rows, and nothing of that was kept. */
  | { kind: 'changed'; rows: number }
  /** Nothing of it was kept, and it is not tried again. */
  | { kind: 'refused'; replacement: Replacement };

export class GuardedRun implements Watch {
  readonly #relay: Relay;
  readonly #rows: number;
  readonly #simple: boolean;
  readonly #inTransaction: boolean;
  readonly #done: (outcome: GuardedOutcome) => void;
  readonly #undoable: ReturnType<typeof undoable>;
  #complete: { frame: Buffer; run: CommandRun; tag: string } | null = null;
  #failed = false;
  #settled = false;

  /** @param done called once, later; not at all when the session ends. @param options.rows how many it may change. */
  constructor(relay: Relay, options: { rows: number; simple: boolean; inTransaction: boolean }, done: (outcome: GuardedOutcome) => void) {
    this.#relay = relay;
    this.#rows = options.rows;
    this.#simple = options.simple;
    this.#inTransaction = options.inTransaction;
    this.#done = done;
    this.#undoable = undoable(options.inTransaction);
  }

  /** What is sent before the command. */
  begin(): Buffer[] {
    const { pipeline } = this.#relay;
    this.#relay.keepBack();
    const bytes = ownStatements(pipeline, this.#undoable.begin);
    if (this.#simple) bytes.push(ownSync(pipeline));
    return bytes;
  }

  completed(tag: string, frame: Buffer, run: CommandRun): void {
    this.#complete = { frame, run, tag };
    if (!this.#simple) queueMicrotask(() => this.#relay.guarded(() => this.#settle()));
  }

  failed(): void {
    this.#failed = true;
    if (!this.#simple) queueMicrotask(() => this.#relay.guarded(() => this.#settle()));
  }

  ready(): void {
    queueMicrotask(() => this.#relay.guarded(() => this.#settle()));
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    const complete = this.#complete;
    if (this.#failed || complete === null) {
      this.#answerError();
      return;
    }
    const { run, tag } = complete;
    const rows = rowsOfTag(tag);
    if (run.overBudget || this.#relay.keptTooMuch) this.#undo(() => this.#refuse(run));
    else if (rows === this.#rows) this.#keep(complete);
    else this.#undo(() => this.#tellChanged(run, rows ?? 0));
  }

  #answerError(): void {
    const relay = this.#relay;
    relay.letGo();
    if (this.#simple) {
      const bytes = this.#inTransaction ? [] : ownStatements(relay.pipeline, this.#undoable.undo);
      this.#endQuery(bytes);
    }
    this.#done({ kind: 'answered' });
  }

  #keep({ frame, run }: { frame: Buffer; run: CommandRun }): void {
    const relay = this.#relay;
    const { pipeline } = relay;
    const answer = (): void => {
      relay.letGo();
      relay.release(frame, run.index, false);
      relay.recordResponse(run);
      if (!this.#simple) this.#done({ kind: 'answered' });
    };
    if (!this.#simple && !this.#inTransaction) {
      answer();
      return;
    }
    // What COMMIT says (deferred constraints) is the command's own error, in the place of its completion.
    const bytes = ownStatements(pipeline, this.#undoable.keep, {
      onError: fields => {
        const shown = this.#reduced(run, fields);
        run.status = 'error';
        run.errorCode = errorField(shown, 'C');
        run.errorText = relay.recordText(errorField(shown, 'M')).slice(0, 4096);
        relay.letGo();
        relay.release(encodeErrorResponse(shown), run.index, false);
        relay.recordResponse(run);
        if (!this.#simple) this.#done({ kind: 'answered' });
      },
    });
    const last = lastOf(pipeline, bytes.length);
    last.hooks = { ...last.hooks, onAnswered: answer };
    if (this.#simple) {
      this.#endQuery(bytes);
      this.#done({ kind: 'answered' });
    } else relay.sendUp(Buffer.concat([...bytes, FLUSH]), -1);
  }

  #reduced(run: CommandRun, fields: readonly ErrorField[]): readonly ErrorField[] {
    if (!run.touchesProtected && !run.touchesRecordProtected) return fields;
    const code = errorField(fields, 'C');
    return [
      ['S', 'ERROR'],
      ['V', 'ERROR'],
      ['C', code],
      ['M', reducedText(code)],
    ];
  }

  /** ReadyForQuery that the client waits for, in the place of its own. */
  #endQuery(bytes: Buffer[]): void {
    const { pipeline } = this.#relay;
    pipeline.push(new Expected(Kind.Sync, false));
    pipeline.endSegment();
    this.#relay.sendUp(Buffer.concat([...bytes, encodeSync()]), -1);
  }

  #undo(then: () => void): void {
    const { pipeline } = this.#relay;
    const bytes = ownStatements(pipeline, this.#undoable.undo);
    bytes.push(
      ownSync(pipeline, () => {
        this.#relay.dropKept();
        then();
      }),
    );
    this.#relay.sendUp(Buffer.concat(bytes), -1);
  }

  #tellChanged(run: CommandRun, rows: number): void {
    run.status = 'refused';
    run.errorCode = SqlState.insufficientPrivilege;
    run.errorText = `rolled back: it changed ${rows} rows, and ${this.#rows} had been approved`;
    run.rows = 0;
    this.#relay.recordResponse(run);
    this.#done({ kind: 'changed', rows });
  }

  #refuse(run: CommandRun): void {
    const { budget } = this.#relay.session;
    const replacement: Replacement =
      run.overBudget && budget !== null
        ? { code: SqlState.budgetSpent, message: budget.describe(), refused: true }
        : {
            code: SqlState.programLimitExceeded,
            message: 'the answer is larger than can be kept until the change is compared with what was approved; return fewer rows',
            refused: true,
          };
    run.status = 'refused';
    run.errorCode = replacement.code;
    run.errorText = replacement.message;
    this.#relay.recordResponse(run);
    this.#done({ kind: 'refused', replacement });
  }
}

const FLUSH = Buffer.from([0x48, 0, 0, 0, 4]);

function lastOf(pipeline: Relay['pipeline'], count: number): Expected {
  const last = pipeline.at(pipeline.length - 1);
  if (last === undefined || count === 0) throw new TypeError('nothing was pushed');
  return last;
}
