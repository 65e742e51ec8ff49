/**
 * Whether a command may run: its record, the session's budget, and people's approval where a rule asks for one.
 *
 * Everything that reaches the database has been admitted here; a Replacement is what the client gets instead. A command that waits
 * for people is a HeldCommand; whoever handles its frame makes it wait and asks again (see `awaitApproval`).
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { ApprovalSpec } from '@sallyport/shared/policy/model.ts';
import type { Preview } from '@sallyport/shared/policy/preview.ts';
import { SqlState } from '../errors.ts';
import { bindingOf, HeldCommand, type HeldWhat } from '../held-command.ts';
import type { Judged } from '../judge.ts';
import type { Expected, Portal, RecordableText, Replacement } from '../pipeline.ts';
import { PreviewRun, type PreviewSubject, withoutPreview } from '../preview/preview-run.ts';
import { returnsRows } from '../preview/statement.ts';
import type { Relay } from '../relay.ts';
import type { ClientFrames, Outcome } from './frames.ts';
import type { OwnTransaction } from './own-transaction.ts';
import { endsTransaction, readableName } from './texts.ts';

/** What a preview tries out. */
type Previewed = Pick<PreviewSubject, 'text' | 'bound'>;

export class Admission {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  readonly #transaction: OwnTransaction;
  /** The command that waits for people, or has their answer and is about to go on. */
  #held: HeldCommand | null = null;
  #previewing = false;
  /** What had been approved, and turned out to change another number of rows. */
  #changed: { binding: Uint8Array; approvalId: string; rowCount: number } | null = null;

  constructor(relay: Relay, frames: ClientFrames, transaction: OwnTransaction) {
    this.#relay = relay;
    this.#frames = frames;
    this.#transaction = transaction;
  }

  get held(): HeldCommand | null {
    return this.#held;
  }

  /** Does a command wait for people? */
  get holds(): boolean {
    return this.#held !== null && !this.#held.settled;
  }

  /** Takes back the command that waits for people. @returns false: none does. */
  withdraw(reason: string): boolean {
    if (!this.holds) return false;
    this.#held?.withdraw(reason);
    return true;
  }

  /** The session ends: what waited is closed in the records. @throws what the sink throws. */
  abandon(reason: string): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    held.withdraw(reason);
    held.run.status = 'aborted';
    this.#relay.recordResponse(held.run);
  }

  /**
   * Has a command watched that goes on, if people were shown what it would change: where it changes another number of rows they are
   * asked again, and told so.
   *
   * @param released what waited when the command was admitted.
   */
  watch(entry: Expected, released: HeldCommand | null, frameStart: number, frameEnd: number, portal: Portal | null): void {
    if (released === null || released.run !== entry.run || released.rowsShown === null) return;
    const { binding, approvalId, rowsShown: rowCount } = released;
    const onChanged = () => {
      this.#changed = { binding, approvalId, rowCount };
    };
    this.#transaction.guard(entry, { rows: rowCount, onChanged }, frameStart, frameEnd, portal);
  }

  /** Writes the command's record. @returns null when it may be forwarded. */
  admit(
    judged: Judged,
    entry: Expected,
    kind: string,
    text: RecordableText,
    parameters?: readonly string[],
    preparedName?: string,
  ): Replacement | null {
    const relay = this.#relay;
    const held = this.#held;
    if (held !== null) {
      this.#held = null;
      if (held.settled && judged.decision.action === 'hold') {
        entry.run = held.run;
        this.#frames.sendAfter(held.notedIndex);
        const refusal = held.refusal();
        if (refusal !== null) relay.gateway.metrics.denied++;
        return refusal;
      }
      this.#close(held);
    }
    if (judged.decision.action === 'hold') {
      const { rule } = judged.decision;
      return this.admit(
        relay.judge.overruled(judged, rule, `not run: it needs an approval (rule ${rule})`),
        entry,
        kind,
        text,
        parameters,
        preparedName,
      );
    }
    const { budget } = relay.session;
    if (budget !== null && judged.decision.action !== 'deny' && !endsOnly(judged) && budget.spent) {
      const overruled = relay.judge.overruled(judged, `role/${budget.role}/budget`, budget.describe());
      const refusal = this.admit(overruled, entry, kind, text, parameters, preparedName);
      return refusal?.code === SqlState.insufficientPrivilege ? { ...refusal, code: SqlState.budgetSpent } : refusal;
    }
    const unrecorded = this.record(judged, entry, { kind, text, parameters, preparedName });
    if (unrecorded !== null) return unrecorded;
    const { decision } = judged;
    if (decision.action === 'allow') return null;
    relay.gateway.metrics.denied++;
    return { code: SqlState.insufficientPrivilege, message: decision.message, refused: true };
  }

  /** Writes a Command record. @returns what the client is told when it cannot be written. */
  record(
    judged: Judged,
    entry: Expected,
    body: {
      kind: string;
      text: RecordableText;
      parameters: readonly string[] | undefined;
      preparedName: string | undefined;
      approvalId?: string;
    },
  ): Replacement | null {
    const { kind, text, parameters, preparedName, approvalId } = body;
    try {
      entry.run = this.#relay.recordCommand(judged, {
        kind,
        text: text.text,
        truncated: text.truncated,
        sha256: text.sha256,
        approvalId,
        parameters,
        preparedName: preparedName === undefined || preparedName === '' ? undefined : readableName(preparedName),
      });
      return null;
    } catch (error) {
      if (error instanceof GatewayError && error.kind === 'unavailable') {
        return {
          code: SqlState.diskFull,
          message: 'evidence cannot be written, so nothing was run; try again later or tell the gateway\u2019s operators',
          refused: true,
        };
      }
      throw error;
    }
  }

  /** The policy has changed while people were asked: their answer is to another question. */
  #close(held: HeldCommand): void {
    held.withdraw('the policy has changed');
    held.run.status = 'refused';
    held.run.errorText = 'the policy has changed while it waited';
    this.#relay.recordResponse(held.run);
  }

  /**
   * Makes a command wait until people have answered.
   * @returns null when they have: `admit` says what.
   */
  awaitApproval(judged: Judged, binding: Uint8Array, what: () => HeldWhat & { preview: () => Previewed | string }): Outcome | null {
    const { pipeline } = this.#relay;
    const { decision } = judged;
    let held = this.#held;
    if (
      held !== null &&
      (Buffer.compare(held.binding, binding) !== 0 ||
        decision.action !== 'hold' ||
        held.rule !== decision.rule ||
        !sameApproval(held.approval, decision.approval))
    ) {
      this.#close(held);
      held = null;
      this.#held = null;
    }
    if (held?.settled === true) return this.#previewing ? this.#frames.stall(() => !this.#previewing) : null;
    // What came before is answered first; the notice that says what the client waits for then stands behind it.
    if (pipeline.length > 0) return this.#frames.stall(() => pipeline.length === 0);
    if (held === null) {
      const asked = what();
      try {
        held = new HeldCommand(this.#relay, judged, asked, () => this.#relay.heldSettled());
      } catch (error) {
        if (error instanceof GatewayError && error.kind === 'unavailable') return null;
        throw error;
      }
      this.#held = held;
      if (held.approval.preview) this.#preview(held, judged, asked.preview());
      else held.ask(null);
    }
    return held.settled && !this.#previewing ? null : this.#frames.stall(() => this.#held?.settled !== false && !this.#previewing);
  }

  /** Finds out what a held command would change, and asks people then. @param previewed what to try out; a text: why nothing is. */
  #preview(held: HeldCommand, judged: Judged, previewed: Previewed | string): void {
    const changed = this.#changed;
    this.#changed = null;
    const ask = (preview: Preview): void => {
      this.#previewing = false;
      // The client may have withdrawn it meanwhile: then nobody is asked.
      if (!held.settled) {
        const again = changed !== null && Buffer.compare(changed.binding, held.binding) === 0;
        held.ask(again ? { ...preview, replaces: { approvalId: changed.approvalId, rowCount: changed.rowCount } } : preview);
      }
      this.#frames.answered();
    };
    if (typeof previewed === 'string') {
      ask(withoutPreview(previewed));
      return;
    }
    this.#previewing = true;
    new PreviewRun(this.#relay, { ...previewed, judged, inTransaction: this.#transaction.isOpen, gate: held.run.index }, preview =>
      this.#relay.guarded(() => ask(preview)),
    );
  }

  /** What a portal would execute; a text: why that cannot be tried out. */
  previewOf(portal: Portal, maxRows: number): Previewed | string {
    const { pipeline } = this.#relay;
    const { statement, bound } = portal;
    if (statement?.raw == null) return 'the rows of a cursor are not previewed';
    if (bound === null) return 'its parameters are too large to be kept for a preview';
    if (pipeline.statements.get(statement.name) !== statement)
      return 'its prepared statement has been closed or replaced since it was bound';
    if (maxRows > 0 && returnsRows(statement.raw)) return 'a command whose rows are fetched in parts is not previewed';
    if (!this.#transaction.isOpen) {
      if (pipeline.implicitWork) return 'earlier commands of the same pipeline are not committed yet';
      for (const other of pipeline.portals.values()) {
        if (other !== portal && !other.holdable) return 'other portals are open that trying it out would close';
      }
    }
    return { text: statement.raw, bound: { statement, portal, values: bound } };
  }

  /** What a text stands for: itself, and what it executes by name. */
  textBinding(judged: Judged, text: Uint8Array): { binding: Uint8Array; appendix: string } {
    const parts: (Uint8Array | string)[] = [text];
    let appendix = '';
    for (const { effects } of judged.statements) {
      for (const effect of effects) {
        if (effect.type !== 'execute') continue;
        const statement = this.#relay.pipeline.statements.get(Buffer.from(effect.name).toString('latin1'));
        if (statement === undefined) continue;
        parts.push(effect.name, statement.raw ?? statement.text.text);
        appendix += `\n-- ${this.#relay.cleanText(effect.name)}: ${statement.text.text}`;
      }
    }
    return { binding: bindingOf(parts), appendix };
  }
}

/** Nothing but the end of a transaction: that is never refused for a budget. */
function endsOnly(judged: Judged): boolean {
  return judged.statements.length > 0 && judged.statements.every(({ effects }) => effects.length > 0 && effects.every(endsTransaction));
}

function sameApproval(a: ApprovalSpec, b: ApprovalSpec): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
