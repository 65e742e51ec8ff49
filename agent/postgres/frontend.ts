/**
 * The client's messages: framed in place, judged, recorded, and forwarded, refused or answered for.
 *
 * What is allowed goes on as views of the bytes that came. A refused command is replaced by one of the same kind that PostgreSQL
 * itself must fail, so that the transaction, the implicit block of a multi-statement string, the pipeline and the skipping up to
 * Sync are PostgreSQL's own; backend.ts puts the refusal in the place of that error.
 *
 * A command waits here (`stall`) when judging it needs an answer that is still under way: a name that another statement is
 * changing, a setting that changes how text is read, the columns of a COPY.
 */
import { isAscii } from 'node:buffer';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { ApprovalSpec } from '@sallyport/shared/policy/model.ts';
import type { Preview } from '@sallyport/shared/policy/preview.ts';
import type { SessionEffect } from '@sallyport/shared/sql/analyse.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { type CopyTarget, copyTarget } from './copy-out.ts';
import { reducedText, SqlState } from './errors.ts';
import { type Estimate, type Question, questionOf } from './estimate.ts';
import { type Asked, askPlanner } from './estimate-run.ts';
import type { ResultVerdict } from './flow.ts';
import { giveFrameMemory, takeFrameMemory } from './frame-budget.ts';
import { bindingOf, HeldCommand, type HeldWhat } from './held-command.ts';
import { type Judged, verdictOf } from './judge.ts';
import {
  decodeBind,
  decodeExecute,
  decodeParse,
  decodeTarget,
  type ErrorField,
  encodeBind,
  encodeBindTail,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeParseTail,
  encodeQuery,
  encodeSync,
  errorField,
  Frontend,
  queryTextEnd,
  textResults,
} from './messages.ts';
import { NO_SUCH_NAME, PROBE_NAME } from './names.ts';
import { parameterText } from './parameter-text.ts';
import {
  Expected,
  type Hooks,
  Kind,
  type KindOf,
  type Portal,
  type ProbeOutcome,
  type RecordableText,
  type Replacement,
  type Statement,
} from './pipeline.ts';
import { ownStatements, ownSync, plain } from './preview/exchange.ts';
import { GuardedRun } from './preview/guarded-run.ts';
import { PreviewRun, type PreviewSubject, withoutPreview } from './preview/preview-run.ts';
import { returnsRows } from './preview/statement.ts';
import type { Relay } from './relay.ts';
import { PATH_SETTINGS } from './session-flow.ts';

/** A statement's text longer than this cannot be judged. */
const TEXT_BYTES_MAX = 1024 * 1024;
/** Bind's parameters, together. */
const BIND_BYTES_MAX = 64 * 1024 * 1024;
/** What a client may send behind a command that waits for approval before it is read no further. */
const BEHIND_HELD_MAX = 1024 * 1024;
/** Bind's values that are kept for a statement that must be approved. */
const BOUND_KEPT_MAX = 1024 * 1024;
/** Any other message but CopyData, which streams. */
const MESSAGE_BYTES_MAX = 64 * 1024;

/** A text that PostgreSQL's grammar refuses. */
const REFUSED_TEXT = 'refused by the gateway';
const FLUSH = Buffer.from([Frontend.Flush, 0, 0, 0, 4]);

/** What a preview tries out. */
type Previewed = Pick<PreviewSubject, 'text' | 'bound'>;

type Outcome = 'forward' | 'taken' | 'stall';

export class FrontendStream {
  readonly #relay: Relay;
  /** A frame whose end has not come yet. */
  #partial: Buffer | null = null;
  #partialFilled = 0;
  #partialTaken = 0;
  /** Bytes of a CopyData frame that pass as they come. */
  #passing = 0;
  /** What waits for an answer, and what came behind it. */
  #waiting: Buffer[] = [];
  #stalled: (() => boolean) | null = null;
  #stalledFrameWaits = false;
  /** What the current chunk has become so far. */
  #pieces: Buffer[] = [];
  #gate = -1;
  #runStart = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #terminated = false;
  /** The command that waits for people, or has their answer and is about to go on. */
  #held: HeldCommand | null = null;
  #behindHeld = 0;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** Takes a chunk; it is the stream's from here on. */
  take(chunk: Buffer): void {
    if (this.#terminated) return;
    if (this.#stalled !== null) {
      this.#waiting.push(chunk);
      // While people are asked the client is read on, to see whether it goes away, up to a bound.
      if (this.holds) {
        this.#behindHeld += chunk.length;
        if (this.#behindHeld > BEHIND_HELD_MAX) this.#relay.stallFrontend();
      }
      return;
    }
    this.#process(chunk);
  }

  /** Does a command wait for people? */
  get holds(): boolean {
    return this.#held !== null && !this.#held.settled;
  }

  /** Takes back the command that waits for people. @returns false: none does. */
  withdrawHeld(reason: string): boolean {
    if (!this.holds) return false;
    this.#held?.withdraw(reason);
    return true;
  }

  /** The session ends: what waited is closed in the records. @throws what the sink throws. */
  abandonHeld(reason: string): void {
    const held = this.#held;
    if (held === null) return;
    this.#terminated = true;
    this.#held = null;
    held.withdraw(reason);
    held.run.status = 'aborted';
    this.#relay.recordResponse(held.run);
  }

  /** An answer came: what waits may be able to go on. */
  answered(): void {
    if (this.#stalled?.() === true) {
      this.#stalled = null;
      this.#relay.resumeFrontend();
    }
  }

  /** Handles what waited. */
  proceed(): void {
    while (this.#stalled === null && !this.#terminated) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) return;
      this.#process(chunk);
    }
  }

  #process(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial !== null) {
        at = this.#fill(chunk, at);
        if (at < 0) break;
        continue;
      }
      this.#frames(chunk, at);
      break;
    }
    this.#send();
    this.#relay.checkPending();
  }

  #send(): void {
    const pieces = this.#pieces;
    if (pieces.length > 0) {
      const gate = this.#gate;
      this.#pieces = [];
      this.#gate = -1;
      this.#relay.sendUp(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces), gate);
    }
    if (this.#terminated) this.#relay.terminate();
  }

  /** Completes the partial frame from a chunk. @returns where the rest begins; -1: nothing is left, or it waits. */
  #fill(chunk: Buffer, at: number): number {
    let partial = this.#partial as Buffer;
    let next = at;
    if (this.#partialFilled < 5) {
      const take = Math.min(5 - this.#partialFilled, chunk.length - next);
      chunk.copy(partial, this.#partialFilled, next, next + take);
      this.#partialFilled += take;
      next += take;
      if (this.#partialFilled < 5) return -1;
    }
    const total = frameLength(partial, 0);
    if (partial[0] === Frontend.CopyData) {
      this.#partial = null;
      this.#pieces.push(Buffer.from(partial.subarray(0, this.#partialFilled)));
      this.#passing = total - this.#partialFilled;
      return next;
    }
    checkLength(partial[0] as number, total);
    const take = Math.min(total - this.#partialFilled, chunk.length - next);
    if (partial.length < this.#partialFilled + take) {
      // Grown as bytes come, not as a length promises.
      const size = Math.min(total, Math.max(2 * partial.length, this.#partialFilled + take));
      const taken = takeFrameMemory(size);
      giveFrameMemory(this.#partialTaken);
      this.#partialTaken = taken;
      const grown = Buffer.allocUnsafe(size);
      partial.copy(grown, 0, 0, this.#partialFilled);
      partial = grown;
      this.#partial = grown;
    }
    chunk.copy(partial, this.#partialFilled, next, next + take);
    this.#partialFilled += take;
    next += take;
    if (this.#partialFilled < total) return -1;
    this.#partial = null;
    this.#giveBack();
    const whole = partial.subarray(0, total);
    this.#frames(whole, 0);
    if (this.#stalled !== null) {
      // Behind the frame that waits; a frame that went on and is watched is not there.
      if (next < chunk.length) this.#waiting.splice(this.#stalledFrameWaits ? 1 : 0, 0, chunk.subarray(next));
      return -1;
    }
    return this.#terminated ? -1 : next;
  }

  #giveBack(): void {
    giveFrameMemory(this.#partialTaken);
    this.#partialTaken = 0;
  }

  /** The session is over. */
  close(): void {
    this.#giveBack();
    this.#terminated = true;
    this.#partial = null;
    this.#waiting = [];
    this.#pieces = [];
  }

  /** Handles the whole frames of `buffer[from…)`; the rest is kept. */
  #frames(buffer: Buffer, from: number): void {
    const end = buffer.length;
    let at = from;
    this.#buffer = buffer;
    this.#runStart = from;
    if (this.#passing > 0) {
      const take = Math.min(this.#passing, end - at);
      this.#passing -= take;
      at += take;
    }
    while (at < end) {
      if (end - at < 5) {
        this.#keep(buffer, at);
        return;
      }
      const type = buffer[at] as number;
      const total = frameLength(buffer, at);
      const frameEnd = at + total;
      if (frameEnd > end) {
        if (type === Frontend.CopyData) {
          this.#passing = frameEnd - end;
          at = end;
          break;
        }
        checkLength(type, total);
        this.#keep(buffer, at);
        return;
      }
      if (type !== Frontend.CopyData) {
        checkLength(type, total);
        const outcome = this.#message(type, at, at + 5, frameEnd);
        if (outcome === 'stall') {
          this.#cut(at);
          // Answers that are waited for may lie in the server's buffer until somebody asks for them.
          this.#pieces.push(FLUSH);
          this.#waiting.unshift(buffer.subarray(at));
          this.#stalledFrameWaits = true;
          if (this.holds) this.#behindHeld = 0;
          else this.#relay.stallFrontend();
          this.#send();
          if (this.#stalled === null) this.#relay.resumeFrontend();
          return;
        }
        if (outcome === 'taken') this.#runStart = frameEnd;
        if (this.#terminated) return;
        if (this.#stalled !== null) {
          // It goes on, and what comes behind it waits until it is settled what becomes of it.
          this.#cut(frameEnd);
          this.#pieces.push(FLUSH);
          this.#stalledFrameWaits = false;
          if (frameEnd < end) this.#waiting.unshift(buffer.subarray(frameEnd));
          this.#relay.stallFrontend();
          return;
        }
      }
      at = frameEnd;
    }
    this.#cut(at);
    return;
  }

  /** Keeps the beginning of a frame until the rest comes. */
  #keep(buffer: Buffer, at: number): void {
    this.#cut(at);
    const rest = buffer.length - at;
    this.#partial = Buffer.allocUnsafe(Math.max(64, rest));
    buffer.copy(this.#partial, 0, at);
    this.#partialFilled = rest;
  }

  /** Everything before `at` that was not taken goes on as it is. */
  #cut(at: number): void {
    if (at > this.#runStart)
      this.#pieces.push(this.#runStart === 0 && at === this.#buffer.length ? this.#buffer : this.#buffer.subarray(this.#runStart, at));
    this.#runStart = at;
  }

  /** Puts bytes of the gateway's own in the frame's place, or in front of it. */
  #put(frameStart: number, bytes: Buffer): void {
    this.#cut(frameStart);
    this.#pieces.push(bytes);
  }

  #stall(until: () => boolean): Outcome {
    this.#stalled = until;
    return 'stall';
  }

  #message(type: number, frameStart: number, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    switch (type) {
      case Frontend.Query:
        return pipeline.skipping ? this.#drop(frameStart) : this.#query(frameStart, start, end);
      case Frontend.Parse:
        return pipeline.skipping ? this.#drop(frameStart) : this.#parse(frameStart, start, end);
      case Frontend.Bind:
        return pipeline.skipping ? this.#drop(frameStart) : this.#bind(frameStart, start, end);
      case Frontend.Describe:
        return pipeline.skipping ? this.#drop(frameStart) : this.#describe(frameStart, start, end);
      case Frontend.Execute:
        return pipeline.skipping ? this.#drop(frameStart) : this.#execute(frameStart, start, end);
      case Frontend.Close:
        return pipeline.skipping ? this.#drop(frameStart) : this.#close(start, end);
      case Frontend.Sync: {
        if (end !== start) throw malformed();
        if (pipeline.copyIn) return 'forward';
        if (this.#ownTransaction) return this.#endOwnTransaction(frameStart);
        pipeline.skipping = false;
        pipeline.push(new Expected(Kind.Sync, false));
        pipeline.endSegment();
        return 'forward';
      }
      case Frontend.Flush:
        if (end !== start) throw malformed();
        return 'forward';
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        if (pipeline.skipping) return this.#drop(frameStart);
        if (pipeline.copyIn) pipeline.copyIn = false;
        else pipeline.push(new Expected(Kind.CopyEnd, false));
        return 'forward';
      case Frontend.FunctionCall:
        return pipeline.skipping ? this.#drop(frameStart) : this.#functionCall(frameStart);
      case Frontend.Terminate:
        this.#cut(frameStart);
        this.#terminated = true;
        return 'taken';
      default:
        throw new GatewayError('PG_MESSAGE_TYPE', 'protocol', `invalid frontend message type ${type}`);
    }
  }

  /** The server would ignore it: an error made it skip everything until Sync. */
  #drop(frameStart: number): Outcome {
    this.#estimate = null;
    this.#cut(frameStart);
    return 'taken';
  }

  #refuseInCopy(): void {
    if (this.#relay.pipeline.copyIn) throw new GatewayError('PG_MESSAGE_IN_COPY', 'protocol', 'unexpected message during COPY from stdin');
  }

  /** Does a text that would be read by settings have to wait for answers that could change them? */
  #mustWait(textStart: number, textEnd: number): Outcome | null {
    const { pipeline } = this.#relay;
    if (pipeline.pendingEffects > 0) return this.#stall(() => pipeline.pendingEffects === 0);
    if (pipeline.length > 0) {
      // A backslash is what standard_conforming_strings is about, and any command under way may be turning it off.
      const backslash = this.#buffer.indexOf(0x5c, textStart);
      if (backslash >= 0 && backslash < textEnd) return this.#stall(() => pipeline.length === 0);
    }
    return null;
  }

  // ------------------------------------------------------------------------------------------------------ simple protocol

  #query(frameStart: number, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline } = relay;
    const buffer = this.#buffer;
    this.#refuseInCopy();
    if (this.#ownTransaction)
      throw new GatewayError(
        'PG_PIPELINE_MIXED',
        'protocol',
        'Query came before the Sync behind a command that was approved by its effect',
      );
    const textEnd = queryTextEnd(buffer, start, end);
    const waits = this.#mustWait(start, textEnd) ?? this.#awaitFlow(frameStart);
    if (waits !== null) return waits;
    let judged = this.#judged(start, textEnd);
    const entry = new Expected(Kind.Query, false);
    if (judged.wantsEstimate) {
      const waits = this.#awaitEstimate(frameStart, start, textEnd);
      if (waits !== null) return waits;
      judged = this.#withEstimate(judged);
      if (this.#estimate?.kind === 'failed')
        entry.replacement =
          this.#admit(judged, entry, 'query', relay.recordable(buffer, start, textEnd)) ?? this.#notPlanned(judged, this.#estimate.fields);
    }
    entry.judged = judged;
    const mayRun = judged.decision.action !== 'deny' || judged.facts.notEstimated !== undefined;
    // In a failed transaction the server refuses all but its end, in its own words.
    const failed =
      relay.transactionStatus === 'E' && pipeline.length === 0 && mayRun && judged.statements.length > 0 && !this.#endsTransaction(judged);
    if (failed) this.#forgetProbe();
    else if (
      entry.replacement === null &&
      ((mayRun && ((judged.copiesOut && this.#needsPlans()) || this.#touchesDenied(judged))) ||
        (judged.unresolved && judged.statements.length <= 1))
    ) {
      const probe = this.#probeQuery(judged, frameStart, start, textEnd, entry);
      if (probe !== null) return probe;
    }
    if (judged.decision.action === 'hold' && entry.replacement === null && !failed) {
      const { binding, appendix } = this.#textBinding(judged, buffer.subarray(start, textEnd));
      const waits = this.#awaitApproval(judged, binding, () => ({
        kind: 'query',
        text: relay.recordable(buffer, start, textEnd),
        appendix,
        parameters: undefined,
        preparedName: undefined,
        binding,
        preview: () => ({ text: Buffer.from(buffer.subarray(start, textEnd)), bound: null }),
      }));
      if (waits !== null) return waits;
    }
    const released = this.#held;
    let replacement = entry.replacement ?? this.#admit(judged, entry, 'query', relay.recordable(buffer, start, textEnd));
    const missing = replacement !== null && replacement.code !== SqlState.diskFull ? this.#missingName(judged) : null;
    replacement = missing ?? replacement;
    // It was to be approved, and the transaction has failed: PostgreSQL's words, without asking anybody.
    if (failed && replacement?.refused === true && (judged.decision.action === 'hold' || judged.facts.notEstimated !== undefined))
      replacement = TRANSACTION_FAILED;
    // Whatever becomes of it, a simple Query takes the unnamed statement and portal away.
    pipeline.removeStatement('', null);
    pipeline.removePortal('', null);
    if (replacement === null && released !== null && released.run === entry.run && released.rowsShown !== null)
      this.#guard(entry, released, released.rowsShown, frameStart, end, null);
    return this.#forward(entry, replacement, frameStart, () => encodeQuery(missing === null ? REFUSED_TEXT : failingText(missing)), true);
  }

  /** Records, pushes, and forwards, or puts in its place what must fail. */
  #forward(entry: Expected, replacement: Replacement | null, frameStart: number, failing: () => Buffer, endsSegment: boolean): Outcome {
    const { pipeline, session } = this.#relay;
    this.#estimate = null;
    entry.replacement = replacement;
    if (replacement === null && entry.judged?.changesNames === true) {
      entry.changesNames = true;
      pipeline.pendingEffects++;
    }
    pipeline.push(entry);
    if (endsSegment) pipeline.endSegment();
    else if (replacement === null && entry.kind === Kind.Execute) this.#noteWork(entry.judged);
    if (replacement !== null) {
      this.#put(frameStart, failing());
      return 'taken';
    }
    if (entry.run !== null && entry.judged?.facts.writes === true && session.inForce.policy.audit.durability === 'strict')
      this.#gate = Math.max(this.#gate, entry.run.index);
    return 'forward';
  }

  /** Writes the command's record. @returns null when it may be forwarded. */
  #admit(
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
        this.#gate = Math.max(this.#gate, held.notedIndex);
        const refusal = held.refusal();
        if (refusal !== null) relay.gateway.metrics.denied++;
        return refusal;
      }
      this.#closeHeld(held);
    }
    if (judged.decision.action === 'hold') {
      const { rule } = judged.decision;
      return this.#admit(
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
      const refusal = this.#admit(overruled, entry, kind, text, parameters, preparedName);
      return refusal?.code === SqlState.insufficientPrivilege ? { ...refusal, code: SqlState.budgetSpent } : refusal;
    }
    const unrecorded = this.#recorded(judged, entry, { kind, text, parameters, preparedName });
    if (unrecorded !== null) return unrecorded;
    const { decision } = judged;
    if (decision.action === 'allow') return null;
    relay.gateway.metrics.denied++;
    return { code: SqlState.insufficientPrivilege, message: decision.message, refused: true };
  }

  /** Writes a Command record. @returns what the client is told when it cannot be written. */
  #recorded(
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
        ...(approvalId === undefined ? {} : { approvalId }),
        ...(parameters === undefined ? {} : { parameters }),
        ...(preparedName === undefined || preparedName === '' ? {} : { preparedName: readableName(preparedName) }),
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
  #closeHeld(held: HeldCommand): void {
    held.withdraw('the policy has changed');
    held.run.status = 'refused';
    held.run.errorText = 'the policy has changed while it waited';
    this.#relay.recordResponse(held.run);
  }

  /**
   * Makes a command wait until people have answered.
   * @returns null when they have: `#admit` says what.
   */
  #awaitApproval(judged: Judged, binding: Uint8Array, what: () => HeldWhat & { preview: () => Previewed | string }): Outcome | null {
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
      this.#closeHeld(held);
      held = null;
      this.#held = null;
    }
    if (held?.settled === true) return this.#previewing ? this.#stall(() => !this.#previewing) : null;
    // What came before is answered first; the notice that says what the client waits for then stands behind it.
    if (pipeline.length > 0) return this.#stall(() => pipeline.length === 0);
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
    return held.settled && !this.#previewing ? null : this.#stall(() => this.#held?.settled !== false && !this.#previewing);
  }

  // ------------------------------------------------------------------------------------------- what a command would change

  #previewing = false;
  /** An explicit transaction of the gateway's stands in for PostgreSQL's implicit one, up to the client's Sync. */
  #ownTransaction = false;
  /** What had been approved, and turned out to change another number of rows. */
  #changed: { binding: Uint8Array; approvalId: string; rowCount: number } | null = null;

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
      this.answered();
    };
    if (typeof previewed === 'string') {
      ask(withoutPreview(previewed));
      return;
    }
    this.#previewing = true;
    new PreviewRun(this.#relay, { ...previewed, judged, inTransaction: this.#inTransaction, gate: held.run.index }, preview =>
      this.#relay.guarded(() => ask(preview)),
    );
  }

  get #inTransaction(): boolean {
    return this.#ownTransaction || this.#relay.transactionStatus === 'T' || this.#relay.pipeline.begun;
  }

  /** What a portal would execute; a text: why that cannot be tried out. */
  #previewOf(portal: Portal, maxRows: number): Previewed | string {
    const { pipeline } = this.#relay;
    const { statement, bound } = portal;
    if (statement?.raw == null) return 'the rows of a cursor are not previewed';
    if (bound === null) return 'its parameters are too large to be kept for a preview';
    if (pipeline.statements.get(statement.name) !== statement)
      return 'its prepared statement has been closed or replaced since it was bound';
    if (maxRows > 0 && returnsRows(statement.raw)) return 'a command whose rows are fetched in parts is not previewed';
    if (!this.#inTransaction) {
      if (pipeline.implicitWork) return 'earlier commands of the same pipeline are not committed yet';
      for (const other of pipeline.portals.values()) {
        if (other !== portal && !other.holdable) return 'other portals are open that trying it out would close';
      }
    }
    return { text: statement.raw, bound: { statement, portal, values: bound } };
  }

  /** Has a command watched that goes on: its effect stays only if it is as large as approvers were shown. */
  #guard(entry: Expected, held: HeldCommand, rows: number, frameStart: number, frameEnd: number, portal: Portal | null): void {
    const relay = this.#relay;
    const { pipeline } = relay;
    const inTransaction = this.#inTransaction;
    const frame = Buffer.from(this.#buffer.subarray(frameStart, frameEnd));
    let settled = false;
    const run = new GuardedRun(relay, { rows, simple: portal === null, inTransaction }, outcome => {
      settled = true;
      if (outcome.kind !== 'answered' && portal !== null) {
        portal.lost = true;
        portal.released = null;
        pipeline.portals.set(portal.name, portal);
      } else if (portal !== null && !inTransaction) this.#ownTransaction = true;
      if (outcome.kind === 'changed') {
        this.#changed = { binding: held.binding, approvalId: held.approvalId, rowCount: rows };
        this.#waiting.unshift(frame);
      } else if (outcome.kind === 'refused') {
        const refused = new Expected(entry.kind, false);
        refused.replacement = outcome.replacement;
        pipeline.push(refused);
        if (portal === null) pipeline.endSegment();
        relay.sendUp(portal === null ? encodeQuery(REFUSED_TEXT) : Buffer.concat([encodeExecute(NO_SUCH_NAME, 0), FLUSH]), -1);
      }
      this.answered();
    });
    this.#put(frameStart, Buffer.concat(run.begin()));
    this.#runStart = frameStart;
    if (portal !== null) {
      this.#rebind(portal, true);
      entry.hooks = { ...entry.hooks, onDropped: () => run.failed() };
    }
    entry.watch = run;
    this.#stalled = () => settled;
  }

  /** Binds again what the gateway has ended, or is about to run inside of a savepoint. An error of it is the client's. */
  #rebind(portal: Portal, closes: boolean): void {
    const { pipeline } = this.#relay;
    const { statement, bound } = portal;
    if (statement === null || bound === null) throw new TypeError('only what was kept is bound again');
    if (closes) {
      pipeline.push(new Expected(Kind.Close, true));
      this.#pieces.push(encodeClose('P', portal.name));
    }
    pipeline.push(new Expected(Kind.Bind, true));
    this.#pieces.push(encodeBindTail(portal.name, statement.name, bound));
    portal.lost = false;
  }

  // ------------------------------------------------------------------------------------------- what the planner expects

  /** Of the command in hand; kept while its frame is handled again, until it is forwarded or dropped. */
  #estimate: Estimate | null = null;

  #awaitEstimate(frameStart: number, start: number, textEnd: number): Outcome | null {
    const { pipeline, transactionStatus } = this.#relay;
    if (this.#estimate !== null) return null;
    if (pipeline.length > 0) return this.#stall(() => pipeline.length === 0);
    const question = this.#question(this.#buffer.subarray(start, textEnd));
    if (question.kind === 'ask' && transactionStatus === 'E') this.#estimate = { kind: 'none', why: 'the transaction has failed' };
    else if (question.kind === 'ask' && pipeline.segmentOpen)
      this.#estimate = { kind: 'none', why: 'messages of the extended protocol stand before it without a Sync' };
    return this.#ask(frameStart, question, null, null, () => this.#estimate !== null && pipeline.length === 0);
  }

  #awaitPortalEstimate(frameStart: number, portal: Portal, judged: Judged): Outcome | null {
    const { pipeline } = this.#relay;
    if (this.#estimate !== null) return null;
    const { statement, bound } = portal;
    const { raw } = statement ?? { raw: null };
    let question: Question;
    if (raw === null || statement === null) question = { kind: 'cannot', why: 'its text was not kept; prepare it again' };
    else question = this.#question(raw);
    if (question.kind === 'ask' && bound === null) question = { kind: 'cannot', why: 'its parameters are too large to be kept' };
    const asClients: Hooks['asClients'] = fields => {
      const entry = new Expected(Kind.Execute, false);
      const failing = this.#relay.judge.notPlanned(judged);
      const unrecorded = this.#recorded(failing, entry, {
        kind: 'execute',
        text: statement?.text ?? { text: '', truncated: false },
        parameters: portal.parameters,
        preparedName: statement?.name,
      });
      return { fields: unrecorded === null ? fields : errorFields(unrecorded), run: entry.run };
    };
    const { parameterTypes } = statement ?? { parameterTypes: [] };
    const values = bound === null ? null : { types: parameterTypes, values: textResults(bound) };
    return this.#ask(frameStart, question, values, asClients, () => this.#estimate !== null || pipeline.skipping);
  }

  #question(text: Buffer): Question {
    const { clientEncoding } = this.#relay.judge.settings;
    if (clientEncoding !== 'UTF8' && clientEncoding !== 'UNICODE' && !isAscii(text))
      return { kind: 'cannot', why: 'the client’s encoding is not UTF8' };
    return questionOf(text);
  }

  /** @returns null when `#estimate` is known. */
  #ask(
    frameStart: number,
    question: Question,
    bound: Asked['bound'],
    asClients: Asked['asClients'] | null,
    until: () => boolean,
  ): Outcome | null {
    const { pipeline } = this.#relay;
    if (this.#estimate !== null) return null;
    switch (question.kind) {
      case 'known':
        this.#estimate = { kind: 'rows', rows: question.rows };
        return null;
      case 'cannot':
        this.#estimate = { kind: 'none', why: question.why };
        return null;
      case 'cursor': {
        const portal = pipeline.portals.get(Buffer.from(question.name).toString('latin1'));
        const rows = portal?.estimate?.kind === 'rows' ? portal.estimate.rows : portal?.judged.facts.estimatedRows;
        this.#estimate =
          rows === undefined ? { kind: 'none', why: 'nothing was estimated when the cursor was opened' } : { kind: 'rows', rows };
        return null;
      }
      case 'ask':
    }
    this.#cut(frameStart);
    this.#pieces.push(
      ...askPlanner(pipeline, { question, bound, asClients: asClients ?? undefined }, estimate => {
        this.#estimate = estimate;
      }),
    );
    return this.#stall(until);
  }

  #withEstimate(judged: Judged): Judged {
    const { judge } = this.#relay;
    const estimate = this.#estimate;
    if (estimate === null) return judged;
    switch (estimate.kind) {
      case 'rows':
        return judge.estimated(judged, { estimatedRows: estimate.rows });
      case 'none':
        return judge.estimated(judged, { notEstimated: estimate.why });
      case 'failed':
        return judge.notPlanned(judged);
    }
  }

  /** PostgreSQL's error about the plan stands in the place of the statement's, which would have been the same. */
  #notPlanned(judged: Judged, fields: readonly ErrorField[]): Replacement {
    const code = errorField(fields, 'C');
    const message = errorField(fields, 'M');
    const reduced = reducedText(code);
    if (judged.touchesProtected) return { code, message: reduced, refused: false };
    return {
      code,
      message,
      refused: false,
      fields,
      recorded: judged.touchesRecordProtected ? reduced : this.#relay.recordText(message).slice(0, 4096),
    };
  }

  #noteWork(judged: Judged | null): void {
    const { pipeline } = this.#relay;
    if (this.#inTransaction) return;
    if (!pipeline.implicitWork && judged?.statements[0]?.effects.some(begins) === true) pipeline.begun = true;
    else pipeline.implicitWork = true;
  }

  /** The client's Sync ends the transaction that stands in for the implicit one, as it would have ended that. */
  #endOwnTransaction(frameStart: number): Outcome {
    const { pipeline } = this.#relay;
    this.#ownTransaction = false;
    this.#put(frameStart, ownSync(pipeline));
    // Of a transaction that has failed COMMIT makes a ROLLBACK. What it finds wrong itself is told to the client.
    this.#pieces.push(...ownStatements(pipeline, plain('COMMIT')));
    pipeline.push(new Expected(Kind.Sync, false));
    pipeline.endSegment();
    this.#pieces.push(encodeSync());
    return 'taken';
  }

  /** What a text stands for: itself, and what it executes by name. */
  #textBinding(judged: Judged, text: Uint8Array): { binding: Uint8Array; appendix: string } {
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

  #functionCall(frameStart: number): Outcome {
    this.#refuseInCopy();
    const entry = new Expected(Kind.Query, false);
    const reason = 'the function call protocol is not served through this gateway; use SELECT';
    const judged = this.#relay.judge.refusal(reason, 'protocol/function-call', this.#relay.session.inForce);
    entry.judged = judged;
    const replacement = this.#admit(judged, entry, 'function-call', { text: '', truncated: false });
    // Function calls answer as simple queries do: an error, then ReadyForQuery.
    return this.#forward(entry, replacement, frameStart, () => encodeQuery(REFUSED_TEXT), true);
  }

  // ---------------------------------------------------------------------------------------------------- extended protocol

  #parse(frameStart: number, start: number, frameEnd: number): Outcome {
    const relay = this.#relay;
    const { pipeline, session } = relay;
    const buffer = this.#buffer;
    this.#refuseInCopy();
    const parse = decodeParse(buffer, start, frameEnd);
    const waits =
      this.#mustWait(parse.textStart, parse.textEnd) ?? this.#unsettledStatement(parse.statement) ?? this.#awaitFlow(frameStart);
    if (waits !== null) return waits;
    const judged = this.#judged(parse.textStart, parse.textEnd);
    const text = relay.recordable(buffer, parse.textStart, parse.textEnd);
    const entry = new Expected(Kind.Parse, false);
    entry.judged = judged;
    const missing = this.#missingName(judged);
    // What hangs on the planner is decided when it is executed, with the values that are bound.
    const denied = judged.decision.action === 'deny' && !judged.wantsEstimate;
    if ((denied || judged.unresolved) && missing === null) {
      const probe = judged.unresolved ? this.#probeParse(judged, frameStart, parse.textStart, frameEnd, text) : null;
      if (probe !== null) return probe;
    }
    if (denied && missing === null) {
      const replacement = this.#admit(judged, entry, 'parse', text, undefined, parse.statement);
      if (parse.statement === '') pipeline.removeStatement('', null);
      return this.#forward(entry, replacement, frameStart, () => encodeParse(parse.statement, REFUSED_TEXT), false);
    }
    const keepsText = session.inForce.policy.hasColumnRules || judged.decision.action === 'hold' || judged.wantsEstimate;
    const raw = keepsText ? Buffer.from(buffer.subarray(parse.textStart, parse.textEnd)) : null;
    const statement: Statement = {
      name: parse.statement,
      judged,
      text,
      parameterTypes: parse.parameterTypes,
      segment: pipeline.segment,
      confirmed: false,
      weight: 512 + 2 * text.text.length + (raw?.length ?? 0),
      raw,
      copy: null,
      missing,
      probed: null,
      mustProbe: missing === null && this.#touchesDenied(judged),
    };
    if (missing === null && judged.copiesOut && this.#needsPlans()) {
      const target = copyTarget(buffer.subarray(parse.textStart, parse.textEnd));
      if (!target.ok) {
        const refusal = relay.judge.refusal(target.reason, 'protocol/copy', session.inForce);
        const replacement = this.#admit(refusal, entry, 'parse', text, undefined, parse.statement);
        return this.#forward(entry, replacement, frameStart, () => encodeParse(parse.statement, REFUSED_TEXT), false);
      }
      this.#cut(frameStart);
      const { target: copy } = target;
      this.#pieces.push(
        ...this.#probe(
          copy.probe,
          copy.format === 'binary' ? 1 : 0,
          verdictOf(judged, 0),
          outcome => {
            if (outcome.kind === 'plan') statement.copy = { ...copy, rows: outcome.plan };
          },
          false,
        ),
      );
    }
    entry.statement = statement;
    pipeline.addStatement(statement, entry);
    pipeline.push(entry);
    if (missing !== null) {
      this.#put(frameStart, encodeParse(parse.statement, failingText(missing)));
      return 'taken';
    }
    if (!statement.mustProbe) return 'forward';
    // Bind waits for what this finds (see #bind).
    this.#cut(frameEnd);
    this.#pieces.push(encodeDescribe('S', parse.statement));
    const describe = new Expected(Kind.DescribeStatement, true);
    describe.hooks = {
      probe: {
        verdict: verdictOf(judged, 0),
        format: null,
        done: outcome => {
          statement.probed = outcome;
        },
      },
    };
    pipeline.push(describe);
    return 'taken';
  }

  /** A statement's name whose fate is open in an earlier segment: wait for the answer. */
  #unsettledStatement(name: string): Outcome | null {
    const { pipeline } = this.#relay;
    const statement = pipeline.statements.get(name);
    if (statement !== undefined && !statement.confirmed && statement.segment < pipeline.segment) {
      return this.#stall(() => statement.confirmed || pipeline.statements.get(name) !== statement);
    }
    return null;
  }

  #bind(frameStart: number, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline, session } = relay;
    const buffer = this.#buffer;
    this.#refuseInCopy();
    const bind = decodeBind(buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#stall(() => pipeline.pendingEffects === 0);
    const waits = this.#unsettledStatement(bind.statement) ?? this.#awaitFlow(frameStart);
    if (waits !== null) return waits;
    const entry = new Expected(Kind.Bind, false);
    const statement = pipeline.statements.get(bind.statement);
    if (statement === undefined) {
      const named =
        bind.statement === ''
          ? 'unnamed prepared statement does not exist'
          : `prepared statement "${Buffer.from(bind.statement, 'latin1').toString('utf8')}" does not exist`;
      return this.#unknown(entry, frameStart, 'bind', '26000', named, bind.statement, () => encodeBind(bind.portal, NO_SUCH_NAME));
    }
    // What names mean is settled when the portal is made, so that is when it counts.
    const judged = this.#blind === null ? relay.judge.again(statement.judged, session.inForce, statement.raw) : this.#blindRefusal();
    if (judged.decision.action === 'deny' && !judged.wantsEstimate && statement.missing === null) {
      entry.judged = judged;
      const replacement = this.#admit(judged, entry, 'bind', statement.text, undefined, statement.name);
      return this.#forward(entry, replacement, frameStart, () => encodeBind(bind.portal, NO_SUCH_NAME), false);
    }
    if (statement.mustProbe) {
      const { probed } = statement;
      if (probed === null) return this.#stall(() => statement.probed !== null || pipeline.statements.get(bind.statement) !== statement);
      if (probed.kind === 'denied') {
        const judged = relay.judge.refusal(probed.reason, probed.rule, session.inForce);
        entry.judged = judged;
        const replacement = this.#admit(judged, entry, 'bind', statement.text, undefined, statement.name);
        return this.#forward(entry, replacement, frameStart, () => encodeBind(bind.portal, NO_SUCH_NAME), false);
      }
    }
    const tail = buffer.subarray(start + bind.portal.length + bind.statement.length + 2, end);
    const held = (judged.decision.action === 'hold' || judged.wantsEstimate) && statement.raw !== null;
    const portal: Portal = {
      name: bind.portal,
      judged,
      bound: held && tail.length <= BOUND_KEPT_MAX ? Buffer.from(tail) : null,
      binding: held ? bindingOf([statement.raw ?? '', statement.parameterTypes.join(), tail]) : null,
      lost: false,
      released: null,
      statementIndex: 0,
      statement,
      parameters: this.#parameters(bind.parameters, bind.parameterFormats, statement.parameterTypes),
      segment: pipeline.segment,
      holdable: false,
      confirmed: false,
      described: false,
      plan: null,
    };
    entry.portal = portal;
    pipeline.addPortal(portal, entry);
    pipeline.push(entry);
    return 'forward';
  }

  #parameters(bounds: readonly number[], formats: readonly number[], types: readonly number[]): readonly string[] {
    const count = bounds.length / 2;
    if (count === 0) return NO_PARAMETERS;
    const { detectors } = this.#relay.session.inForce.recording ?? this.#relay.session.inForce;
    const texts = new Array<string>(count);
    for (let i = 0; i < count; i++) {
      const from = bounds[2 * i] as number;
      const to = bounds[2 * i + 1] as number;
      const format = formats.length === 1 ? formats[0] : (formats[i] ?? 0);
      if (from < 0) texts[i] = 'NULL';
      else if (detectors !== null && detectors.scan(this.#buffer, from, to).length > 0)
        texts[i] = this.#relay.recordable(this.#buffer, from, to).text.slice(0, 1024);
      else texts[i] = parameterText(this.#buffer, from, to, format === 1, types[i] ?? 0);
    }
    return texts;
  }

  /** A name that does not exist: the server's own error, and the record says that it was tried. */
  #unknown(
    entry: Expected,
    frameStart: number,
    kind: string,
    code: string,
    message: string,
    wanted: string,
    failing: () => Buffer,
  ): Outcome {
    const name = Buffer.from(wanted, 'latin1').toString('utf8');
    const judged = this.#relay.judge.refusal(message, 'protocol/unknown-name', this.#relay.session.inForce);
    entry.judged = judged;
    const refusal = this.#admit(judged, entry, kind, { text: '', truncated: false });
    const replacement: Replacement =
      refusal?.code === SqlState.diskFull
        ? refusal
        : { code, message: this.#relay.cleanText(message), refused: false, name: name === '' ? undefined : name };
    return this.#forward(entry, replacement, frameStart, failing, false);
  }

  #describe(frameStart: number, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    this.#refuseInCopy();
    const { kind, name } = decodeTarget(this.#buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#stall(() => pipeline.pendingEffects === 0);
    if (kind === 'S') {
      const waits = this.#unsettledStatement(name);
      if (waits !== null) return waits;
      const entry = new Expected(Kind.DescribeStatement, false);
      const statement = pipeline.statements.get(name);
      if (statement === undefined) {
        const message =
          name === ''
            ? 'unnamed prepared statement does not exist'
            : `prepared statement "${Buffer.from(name, 'latin1').toString('utf8')}" does not exist`;
        return this.#unknown(entry, frameStart, 'describe', '26000', message, name, () => encodeDescribe('S', NO_SUCH_NAME));
      }
      entry.statement = statement;
      entry.replacement = statement.missing;
      pipeline.push(entry);
      return 'forward';
    }
    const waits = this.#unsettledPortal(name);
    if (waits !== null) return waits;
    const entry = new Expected(Kind.DescribePortal, false);
    const portal = pipeline.portals.get(name);
    if (portal === undefined) {
      return this.#unknown(
        entry,
        frameStart,
        'describe',
        '34000',
        `portal "${Buffer.from(name, 'latin1').toString('utf8')}" does not exist`,
        name,
        () => encodeDescribe('P', NO_SUCH_NAME),
      );
    }
    portal.described = true;
    entry.portal = portal;
    entry.replacement = portal.statement?.missing ?? null;
    pipeline.push(entry);
    return 'forward';
  }

  #unsettledPortal(name: string): Outcome | null {
    const { pipeline } = this.#relay;
    const portal = pipeline.portals.get(name);
    if (portal !== undefined && portal.segment < pipeline.segment) {
      // Whether it outlives the Sync in between depends on the transaction, which the answers tell.
      const segment = pipeline.segment;
      if (this.#answersBefore(segment)) return this.#stall(() => !this.#answersBefore(segment));
    }
    return null;
  }

  #answersBefore(segment: number): boolean {
    const { head } = this.#relay.pipeline;
    return head !== undefined && head.segment < segment;
  }

  #execute(frameStart: number, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline, session } = relay;
    this.#refuseInCopy();
    const { portal: name, maxRows } = decodeExecute(this.#buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#stall(() => pipeline.pendingEffects === 0);
    const waits = this.#unsettledPortal(name);
    if (waits !== null) return waits;
    const entry = new Expected(Kind.Execute, false);
    const portal = pipeline.portals.get(name);
    if (portal === undefined) {
      return this.#unknown(
        entry,
        frameStart,
        'execute',
        '34000',
        `portal "${Buffer.from(name, 'latin1').toString('utf8')}" does not exist`,
        name,
        () => encodeExecute(NO_SUCH_NAME, 0),
      );
    }
    // The policy may have changed since Parse, and EXECUTE's statement may be another by now.
    let judged = relay.judge.holdsAtExecute(portal.judged, session.inForce)
      ? portal.judged
      : relay.judge.again(portal.judged, session.inForce, portal.statement?.raw ?? null);
    if (this.#ownTransaction && judged.statements.some(({ effects }) => effects.some(({ type }) => type === 'transaction')))
      judged = relay.judge.overruled(
        judged,
        'protocol/pipeline',
        'send Sync before a transaction is begun or ended behind a command that was approved by its effect',
      );
    if (judged.wantsEstimate && portal.statement?.missing == null) {
      if (portal.estimate === undefined) {
        const waits = this.#awaitPortalEstimate(frameStart, portal, judged);
        if (waits !== null) return waits;
      }
      this.#estimate = portal.estimate ?? this.#estimate;
      if (this.#estimate?.kind === 'rows') portal.estimate = this.#estimate;
      judged = this.#withEstimate(judged);
    }
    entry.judged = judged;
    entry.portal = portal;
    const text = portal.statement?.text ?? { text: '', truncated: false };
    const missing = portal.statement?.missing ?? null;
    const preparedName = portal.statement?.name ?? name;
    let replacement: Replacement | null;
    if (judged.decision.action === 'hold' && portal.released?.inForce === session.inForce) {
      // More rows of what was approved.
      replacement = this.#recorded(judged, entry, {
        kind: 'execute',
        text,
        parameters: portal.parameters,
        preparedName,
        approvalId: portal.released.approvalId,
      });
    } else {
      const { binding } = portal;
      if (judged.decision.action === 'hold' && missing === null && binding !== null) {
        const waits = this.#awaitApproval(judged, binding, () => ({
          kind: 'execute',
          text,
          appendix: '',
          parameters: portal.parameters,
          preparedName: readableName(preparedName),
          binding,
          preview: () => this.#previewOf(portal, maxRows),
        }));
        if (waits !== null) return waits;
      }
      const released = this.#held;
      replacement = this.#admit(judged, entry, 'execute', text, portal.parameters, preparedName);
      if (replacement === null && released !== null && released.run === entry.run && released.rowsShown !== null)
        this.#guard(entry, released, released.rowsShown, frameStart, end, portal);
      if (released !== null && replacement === null) portal.released = { inForce: session.inForce, approvalId: released.approvalId };
    }
    if (missing !== null && replacement !== null && replacement.code !== SqlState.diskFull) {
      entry.replacement = missing;
      pipeline.push(entry);
      return 'forward';
    }
    if (replacement === null && portal.lost) {
      this.#cut(frameStart);
      this.#rebind(portal, false);
      this.#runStart = frameStart;
    }
    if (replacement === null && !portal.described && this.#needsPlans()) {
      // The client did not ask what the rows look like, so the gateway does: rules need it.
      portal.described = true;
      this.#put(frameStart, encodeDescribe('P', name));
      this.#runStart = frameStart;
      const describe = new Expected(Kind.DescribePortal, true);
      describe.portal = portal;
      pipeline.push(describe);
    }
    return this.#forward(entry, replacement, frameStart, () => encodeExecute(NO_SUCH_NAME, 0), false);
  }

  #close(start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    this.#refuseInCopy();
    const { kind, name } = decodeTarget(this.#buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#stall(() => pipeline.pendingEffects === 0);
    const waits = kind === 'S' ? this.#unsettledStatement(name) : this.#unsettledPortal(name);
    if (waits !== null) return waits;
    const entry = new Expected(Kind.Close, false);
    if (kind === 'S') pipeline.removeStatement(name, entry);
    else pipeline.removePortal(name, entry);
    pipeline.push(entry);
    return 'forward';
  }

  // --------------------------------------------------------------------------------------- what rows would be, before a run

  #needsPlans(): boolean {
    const { policy, detectors } = this.#relay.session.inForce;
    return policy.hasColumnRules || detectors !== null;
  }

  /** Does it name a table, or use a name that stands for one, that has columns which may not be read at all? */
  #touchesDenied(judged: Judged): boolean {
    if (judged.touchesDenied) return true;
    if (!judged.hasEffects) return false;
    const { pipeline } = this.#relay;
    for (const { effects } of judged.statements) {
      for (const effect of effects) {
        if (effect.type === 'fetch' && pipeline.portals.get(Buffer.from(effect.name).toString('latin1'))?.judged.touchesDenied === true)
          return true;
        if (
          effect.type === 'execute' &&
          pipeline.statements.get(Buffer.from(effect.name).toString('latin1'))?.judged.touchesDenied === true
        )
          return true;
      }
    }
    return false;
  }

  /**
   * A simple Query whose rows must be known before it runs: its statement is described first, in a round trip of the gateway's
   * own. That is every COPY TO STDOUT where rules apply, and whatever names a table with columns that may not be read.
   *
   * @returns null when the Query can be handled now.
   */
  #probeQuery(judged: Judged, frameStart: number, start: number, textEnd: number, entry: Expected): Outcome | null {
    const { pipeline, session, judge } = this.#relay;
    const refuse = (reason: string, rule: string) => {
      const refusal = judge.refusal(reason, rule, session.inForce);
      entry.replacement = this.#admit(refusal, entry, 'query', this.#relay.recordable(this.#buffer, start, textEnd));
      return null;
    };
    const outcome = this.#probeOutcome;
    if (outcome !== null) {
      const target = this.#probeTarget;
      this.#probeOutcome = null;
      this.#probeTarget = null;
      if (outcome.kind === 'denied') return refuse(outcome.reason, outcome.rule);
      if (outcome.kind === 'plan' && target !== null) entry.copy = { ...target, rows: outcome.plan };
      if (judged.unresolved && outcome.kind !== 'failed') {
        // The server knows what the catalog does not: it is new, or the grammar is. The catalog is read again, once.
        const again = judged.flow?.namesMissing === true && !this.#rereadFor;
        this.#rereadFor = again;
        if (!again) return null;
        this.#relay.flow?.catalog.changed();
        return this.#awaitFlow(frameStart);
      }
      // Outside of a transaction nothing has failed but the probe: the statement itself says best what is wrong with it.
      if (outcome.kind === 'failed' && judged.decision.action === 'allow' && this.#relay.transactionStatus === 'I') return null;
      if (outcome.kind === 'failed') {
        // PostgreSQL would fail the statement for the same reason, so its words stand here; it is made to fail all the same.
        const recorded = this.#admit(judged, entry, 'query', this.#relay.recordable(this.#buffer, start, textEnd));
        entry.replacement =
          recorded?.code === SqlState.diskFull
            ? recorded
            : { code: errorField(outcome.fields, 'C'), message: errorField(outcome.fields, 'M'), refused: false, fields: outcome.fields };
      }
      return null;
    }
    if (judged.statements.length !== 1 && !judged.unresolved)
      return refuse(
        'this statement must be checked against its columns before it runs; send it by itself, not together with others in one string',
        'protocol/multi-statement',
      );
    if (pipeline.length > 0) return this.#stall(() => pipeline.length === 0);
    let text = this.#buffer.toString('utf8', start, textEnd);
    let format: 0 | 1 | null = null;
    if (judged.copiesOut) {
      const target = copyTarget(this.#buffer.subarray(start, textEnd));
      if (!target.ok) return refuse(target.reason, 'protocol/copy');
      this.#probeTarget = target.target;
      text = target.target.probe;
      format = target.target.format === 'binary' ? 1 : 0;
    }
    this.#cut(frameStart);
    this.#pieces.push(
      ...this.#probe(
        text,
        format,
        verdictOf(judged, 0),
        answer => {
          this.#probeOutcome ??= answer;
        },
        true,
      ),
      encodeSync(),
    );
    pipeline.push(new Expected(Kind.Sync, true));
    pipeline.segment++;
    pipeline.segmentOpen = false;
    return this.#stall(() => this.#probeOutcome !== null && pipeline.length === 0);
  }

  /** FETCH from a cursor or EXECUTE of a statement that the session does not have: the server's error for that. */
  #missingName(judged: Judged): Replacement | null {
    if (judged.decision.action === 'allow' || judged.decision.rule !== 'unknown' || judged.statements.length !== 1) return null;
    const { pipeline } = this.#relay;
    for (const effect of judged.statements[0]?.effects ?? []) {
      if (effect.type !== 'fetch' && effect.type !== 'execute') continue;
      const key = Buffer.from(effect.name).toString('latin1');
      const name = this.#relay.cleanText(effect.name);
      if (effect.type === 'fetch' && !pipeline.portals.has(key))
        return { code: '34000', message: `cursor "${name}" does not exist`, refused: false, name };
      if (effect.type === 'execute' && !pipeline.statements.has(key))
        return { code: '26000', message: `prepared statement "${name}" does not exist`, refused: false, name };
    }
    return null;
  }

  #endsTransaction(judged: Judged): boolean {
    return judged.statements[0]?.effects.some(endsTransaction) === true;
  }

  #forgetProbe(): void {
    this.#probeOutcome = null;
    this.#probeTarget = null;
  }

  /** The catalog was read again for the statement in hand. */
  #rereadFor = false;

  /**
   * Parse of a text that the parser or the catalog does not know: the server is asked whether it does, by a Parse of the same
   * text under a name that nobody can use. Its error is the client's.
   * @returns null when the answer is known, and the Parse is to be refused.
   */
  #probeParse(judged: Judged, frameStart: number, textStart: number, frameEnd: number, text: RecordableText): Outcome | null {
    const { pipeline, flow } = this.#relay;
    if (this.#parseProbed) {
      this.#parseProbed = false;
      const again = judged.flow?.namesMissing === true && !this.#rereadFor;
      this.#rereadFor = again;
      if (!again || flow === null) return null;
      flow.catalog.changed();
      return this.#awaitFlow(frameStart);
    }
    const entry = new Expected(Kind.Parse, true);
    entry.judged = judged;
    entry.statement = {
      name: '',
      judged,
      text,
      parameterTypes: [],
      segment: 0,
      confirmed: false,
      weight: 0,
      raw: null,
      copy: null,
      missing: null,
      probed: null,
      mustProbe: false,
    };
    const close = new Expected(Kind.Close, true);
    close.hooks = {
      onAnswered: () => {
        this.#parseProbed = true;
      },
    };
    pipeline.push(entry);
    pipeline.push(close);
    this.#put(frameStart, encodeParseTail(PROBE_NAME, this.#buffer.subarray(textStart, frameEnd)));
    this.#pieces.push(encodeClose('S', PROBE_NAME));
    pipeline.segmentOpen = true;
    return this.#stall(() => this.#parseProbed || pipeline.skipping || pipeline.length === 0);
  }

  #parseProbed = false;

  // ------------------------------------------------------------------------------------------- what names mean, before a run

  /** Judges a text; where names cannot be resolved now, it is refused. */
  #judged(start: number, end: number): Judged {
    const { judge, session, flow } = this.#relay;
    if (this.#blind !== null) return this.#blindRefusal();
    // In a failed transaction the server refuses all but its end: nothing is resolved, and names are not asked for.
    const { transactionStatus, pipeline } = this.#relay;
    const failed = transactionStatus === 'E' && pipeline.length === 0;
    const judged = judge.text(this.#buffer, start, end, session.inForce, flow?.ready === true && !failed);
    if (
      flow !== null &&
      (failed || !flow.ready) &&
      judged.statements.length > 1 &&
      judged.statements[0]?.effects.some(endsTransaction) === true
    ) {
      // A failed transaction: what comes behind its end in the same string would run with names that nobody has asked for.
      return judge.refusal('send the end of the transaction by itself', 'protocol/multi-statement', session.inForce);
    }
    return judged;
  }

  /** Why names cannot be resolved at all; null: they can. */
  #blind: string | null = null;

  #blindRefusal(): Judged {
    const reason = this.#blind ?? '';
    this.#blind = null;
    return this.#relay.judge.refusal(reason, 'protocol/catalog', this.#relay.session.inForce);
  }

  #asking = false;

  /**
   * Makes sure that flow analysis knows the session's search path and a catalog that is not old.
   * @returns null when it does, or when nothing will be resolved anyway.
   */
  #awaitFlow(frameStart: number): Outcome | null {
    const relay = this.#relay;
    const { flow, pipeline } = relay;
    if (flow === null || this.#blind !== null) return null;
    flow.catalog.look(performance.now());
    if (flow.transactional && pipeline.length > 0) return this.#stall(() => pipeline.length === 0);
    if (flow.ready) return null;
    // In a failed transaction the server refuses everything but its end, and answers no question either.
    if (relay.transactionStatus === 'E' && pipeline.length === 0) return null;
    if (flow.asksForPath && !this.#asking) this.#askForPath(frameStart);
    if (!flow.catalog.fresh) {
      flow.catalog.refresh().then(
        () => this.answered(),
        (error: unknown) => {
          this.#blind = errorText(error);
          this.answered();
        },
      );
    }
    return this.#stall(() => !this.#asking && (flow.ready || this.#blind !== null || pipeline.skipping || !flow.asksForPath));
  }

  /** SHOW on the session's own connection, unseen by the client. */
  #askForPath(frameStart: number): void {
    const { pipeline, flow } = this.#relay;
    this.#asking = true;
    this.#cut(frameStart);
    const values: (string | null)[] = [];
    const inSegment = pipeline.segmentOpen;
    const push = (kind: KindOf, bytes: Buffer, hooks: Hooks = {}): void => {
      const entry = new Expected(kind, true);
      entry.hooks = {
        ...hooks,
        onDropped: () => {
          this.#asking = false;
        },
        onError: () => {
          this.#asking = false;
          if (!inSegment) this.#blind = 'the search path cannot be read';
        },
      };
      pipeline.push(entry);
      this.#pieces.push(bytes);
    };
    for (const setting of PATH_SETTINGS) {
      push(Kind.Parse, encodeParse(PROBE_NAME, `SHOW ${setting}`));
      push(Kind.Bind, encodeBind(PROBE_NAME, PROBE_NAME));
      push(Kind.Execute, encodeExecute(PROBE_NAME, 0), { onRow: row => values.push(row[0] ?? null) });
      push(Kind.Close, encodeClose('P', PROBE_NAME));
      const last = setting === PATH_SETTINGS.at(-1);
      const answered = () => {
        this.#asking = false;
        flow?.pathIs(values);
      };
      push(Kind.Close, encodeClose('S', PROBE_NAME), last ? { onAnswered: answered } : {});
    }
    if (inSegment) return;
    this.#pieces.push(encodeSync());
    pipeline.push(new Expected(Kind.Sync, true));
    pipeline.segment++;
    pipeline.segmentOpen = false;
  }

  /** What the round trip for a simple Query has found. */
  #probeOutcome: ProbeOutcome | null = null;
  #probeTarget: CopyTarget | null = null;

  /** Parse, Describe and Close of a text. @param keepsError an error is told to `done` alone, not to the client. */
  #probe(text: string, format: 0 | 1 | null, verdict: ResultVerdict, done: (outcome: ProbeOutcome) => void, keepsError: boolean): Buffer[] {
    const { pipeline } = this.#relay;
    const describe = new Expected(Kind.DescribeStatement, true);
    for (const entry of [new Expected(Kind.Parse, true), describe, new Expected(Kind.Close, true)]) {
      entry.hooks = {
        ...(entry === describe ? { probe: { verdict, format, done } } : {}),
        ...(keepsError ? { onError: (fields: readonly ErrorField[]) => done({ kind: 'failed', fields }) } : {}),
      };
      pipeline.push(entry);
    }
    return [encodeParse(PROBE_NAME, text), encodeDescribe('S', PROBE_NAME), encodeClose('S', PROBE_NAME)];
  }
}

const TRANSACTION_ENDS = new Set(['commit', 'rollback', 'rollback-to-savepoint', 'prepare-transaction']);

function begins(effect: SessionEffect): boolean {
  return effect.type === 'transaction' && (effect.verb === 'begin' || effect.verb === 'start-transaction');
}

/** What a failed transaction accepts (IsTransactionExitStmt). */
function endsTransaction(effect: SessionEffect): boolean {
  return effect.type === 'transaction' && TRANSACTION_ENDS.has(effect.verb);
}

/** Nothing but the end of a transaction: that is never refused for a budget. */
function endsOnly(judged: Judged): boolean {
  return judged.statements.length > 0 && judged.statements.every(({ effects }) => effects.length > 0 && effects.every(endsTransaction));
}

/** SQL that fails as a missing name does. */
function failingText(missing: Replacement): string {
  return `${missing.code === '34000' ? 'FETCH' : 'EXECUTE'} ${NO_SUCH_NAME}`;
}

const TRANSACTION_FAILED: Replacement = {
  code: '25P02',
  message: 'current transaction is aborted, commands ignored until end of transaction block',
  refused: false,
};

function errorFields({ code, message }: Replacement): ErrorField[] {
  return [
    ['S', 'ERROR'],
    ['V', 'ERROR'],
    ['C', code],
    ['M', message],
  ];
}

function sameApproval(a: ApprovalSpec, b: ApprovalSpec): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A name as it came, byte by byte, for people. */
function readableName(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

const NO_PARAMETERS: readonly string[] = [];

function malformed(): GatewayError {
  return new GatewayError('PG_MESSAGE_MALFORMED', 'protocol', 'malformed PostgreSQL message');
}

/** The whole frame's length, type byte included. @throws {GatewayError} PG_MESSAGE_LENGTH */
function frameLength(buffer: Buffer, at: number): number {
  const length = readInt32(buffer, at + 1);
  if (length < 4) throw new GatewayError('PG_MESSAGE_LENGTH', 'protocol', 'invalid message length');
  return length + 1;
}

function checkLength(type: number, total: number): void {
  switch (type) {
    case Frontend.Query:
    case Frontend.Parse:
      if (total > TEXT_BYTES_MAX + 8192) {
        throw new GatewayError(
          'PG_FRAME_TOO_LARGE',
          'invalid',
          `a statement is longer than ${TEXT_BYTES_MAX} bytes, which is the longest that can be judged; send values as parameters or use COPY`,
        );
      }
      return;
    case Frontend.Bind:
      if (total > BIND_BYTES_MAX)
        throw new GatewayError('PG_FRAME_TOO_LARGE', 'invalid', `the parameters of a statement are larger than ${BIND_BYTES_MAX} bytes`);
      return;
    case Frontend.CopyData:
      return;
    case Frontend.FunctionCall:
      if (total > TEXT_BYTES_MAX) throw new GatewayError('PG_FRAME_TOO_LARGE', 'invalid', 'a message is too long');
      return;
    default:
      if (total > MESSAGE_BYTES_MAX) throw new GatewayError('PG_MESSAGE_LENGTH', 'protocol', 'invalid message length');
  }
}
