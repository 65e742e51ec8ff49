/**
 * The database's answers: framed in place, attributed to the command that they belong to, masked where a rule says so, counted
 * for its record, and released. Runs of frames that nothing touches go on as one view of the bytes that came.
 *
 * Fails closed: an answer that was not asked for, a row without a known description, a message that is malformed end the session.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { renamed, scrubFields } from './backend/error-fields.ts';
import { ResultPlans } from './backend/result-plans.ts';
import { applyEffects } from './backend/statement-effects.ts';
import type { CommandRun } from './command-run.ts';
import { CopyRows, EMBEDS_ASCII } from './copy-out.ts';
import { errorResponse, reducedText, SqlState } from './errors.ts';
import { giveFrameMemory, takeFrameMemory } from './frame-budget.ts';
import { verdictOf } from './judge.ts';
import {
  Backend,
  decodeCommandComplete,
  decodeCopyResponse,
  decodeErrorFields,
  decodeNotification,
  decodeParameterDescription,
  decodeParameterStatus,
  decodeReadyForQuery,
  decodeRowDescription,
  decodeRowTexts,
  type ErrorField,
  encodeErrorResponse,
  encodeNoticeResponse,
  encodeNotification,
  encodeParameterStatus,
  encodeQuery,
  errorField,
} from './messages.ts';
import { Pause } from './pause.ts';
import { Expected, Kind, type Probe, type Replacement, type Watch } from './pipeline.ts';
import type { Relay } from './relay.ts';
import { passingPlan, type RowPlan } from './row-plan.ts';
import { Output, rewriteRow } from './rows.ts';

/** A frame that must be seen whole is not longer than this. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;

/** What becomes of a frame. */
type Outcome = 'pass' | 'drop' | 'stall';

export class BackendStream {
  readonly #relay: Relay;
  readonly #output = new Output();
  readonly #recordOutput = new Output();
  readonly #plans: ResultPlans;
  #partial: Buffer | null = null;
  #partialFilled = 0;
  #partialTaken = 0;
  /** Bytes of a frame that pass as they come. */
  #passing = 0;
  #passingRun: CommandRun | null = null;
  #stash: Buffer[] = [];
  #stalled = false;
  /** Where the stretch of the current buffer begins that is not released yet. */
  #runStart = 0;
  #rewriting = false;
  #gate = -1;
  /** No finding begins in the current buffer before this. */
  #cleanUntil = 0;
  #captured: CommandRun | null = null;
  #captureFrom = 0;
  #copyRows: CopyRows | null = null;
  /** What is left of an answer that a budget has ended, up to ReadyForQuery. */
  #dropsUntilReady = false;
  /** The transaction goes on at the server, and must fail as after a real error. */
  #failsTransaction = false;
  /** A cancellation of the gateway's own is under way: nothing else may begin before it has hit or missed. */
  #cancelling = false;
  /** SQLSTATE of an error after which the server closes. */
  fatal: string | null = null;
  #status: 'I' | 'T' | 'E' = 'I';

  constructor(relay: Relay) {
    this.#relay = relay;
    this.#plans = new ResultPlans(relay);
  }

  /** Part of a frame has been released: nothing of our own can be put behind it. */
  get midFrame(): boolean {
    return this.#passing > 0;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  get transactionStatus(): 'I' | 'T' | 'E' {
    return this.#status;
  }

  /** Takes a chunk, which is valid until this returns. */
  take(chunk: Buffer): void {
    if (this.#stalled) {
      this.#stash.push(Buffer.from(chunk));
      return;
    }
    this.#process(chunk, true);
  }

  /** Goes on with what waited. */
  proceed(): void {
    this.#stalled = false;
    while (!this.#stalled) {
      const chunk = this.#stash.shift();
      if (chunk === undefined) return;
      this.#process(chunk, false);
    }
  }

  #process(chunk: Buffer, borrowable: boolean): void {
    let at = 0;
    if (this.#partial !== null) {
      at = this.#fill(chunk);
      if (at < 0) return;
      if (this.#stalled) {
        if (at < chunk.length) this.#stash.splice(1, 0, Buffer.from(chunk.subarray(at)));
        return;
      }
    }
    if (at < chunk.length) this.#frames(chunk, at, borrowable);
  }

  /** Completes the partial frame. @returns where the rest of the chunk begins; -1: all of it was needed. */
  #fill(chunk: Buffer): number {
    let at = 0;
    let partial = this.#partial as Buffer;
    if (this.#partialFilled < 5) {
      const take = Math.min(5 - this.#partialFilled, chunk.length);
      chunk.copy(partial, this.#partialFilled, 0, take);
      this.#partialFilled += take;
      at = take;
      if (this.#partialFilled < 5) return -1;
      const total = frameLength(partial, 0);
      if (this.#mayStream(partial[0] as number)) {
        const head = Buffer.from(partial.subarray(0, 5));
        this.#partial = null;
        this.#frames(head, 0, false, total);
        return at;
      }
      checkWhole(total);
      if (partial.length < total) {
        this.#partialTaken = takeFrameMemory(total);
        partial = Buffer.allocUnsafe(total);
        (this.#partial as Buffer).copy(partial, 0, 0, 5);
        this.#partial = partial;
      }
    }
    const total = frameLength(partial, 0);
    const take = Math.min(total - this.#partialFilled, chunk.length - at);
    chunk.copy(partial, this.#partialFilled, at, at + take);
    this.#partialFilled += take;
    at += take;
    if (this.#partialFilled < total) return -1;
    this.#partial = null;
    this.#giveBack();
    this.#frames(partial.subarray(0, total), 0, false);
    return at;
  }

  #keep(buffer: Buffer, at: number): void {
    const rest = buffer.length - at;
    let size = 64;
    if (rest >= 5) {
      size = frameLength(buffer, at);
      checkWhole(size);
      this.#partialTaken = takeFrameMemory(size);
    }
    this.#partial = Buffer.allocUnsafe(Math.max(size, rest));
    buffer.copy(this.#partial, 0, at);
    this.#partialFilled = rest;
  }

  #giveBack(): void {
    giveFrameMemory(this.#partialTaken);
    this.#partialTaken = 0;
  }

  /** The session is over. */
  close(): void {
    this.#giveBack();
    this.#partial = null;
    this.#stash = [];
  }

  /** May a frame of this type pass in pieces, unseen? */
  #mayStream(type: number): boolean {
    const { head } = this.#relay.pipeline;
    if (head === undefined || head.hidden || this.#relay.session.budget !== null) return false;
    if (type === Backend.DataRow) {
      const plan = this.#planOf(head);
      return plan?.untouched === true && (plan.recorded === null || head.run?.captures !== true);
    }
    if (type === Backend.CopyData) return head.copy === null ? !this.#needsPlans() : head.copy.rows.untouched;
    return false;
  }

  #planOf(head: Expected): RowPlan | null {
    return head.kind === Kind.Execute ? (head.portal?.plan ?? null) : head.plan;
  }

  #needsPlans(): boolean {
    const { policy, detectors } = this.#relay.session.inForce;
    return policy.hasColumnRules || detectors !== null;
  }

  /**
   * Handles the frames of buffer[from…).
   * @param headOnly the buffer holds a frame's first five bytes, and the frame has this length in all.
   */
  #frames(buffer: Buffer, from: number, borrowable: boolean, headOnly = 0): void {
    const end = buffer.length;
    let at = from;
    this.#runStart = from;
    this.#captureFrom = from;
    this.#rewriting = false;
    this.#gate = -1;
    this.#cleanUntil = from;
    if (this.#passing > 0) {
      const take = Math.min(this.#passing, end - at);
      this.#passing -= take;
      at += take;
      if (this.#passingRun !== null) {
        this.#gate = this.#passingRun.index;
        this.#captured = this.#passingRun;
      }
      if (this.#passing === 0) this.#passingRun = null;
    }
    while (at < end) {
      if (end - at < 5) {
        this.#flush(buffer, at, borrowable);
        this.#keep(buffer, at);
        return;
      }
      const type = buffer[at] as number;
      const total = headOnly > 0 ? headOnly : frameLength(buffer, at);
      const frameEnd = at + total;
      if (frameEnd > end) {
        if (this.#mayStream(type)) {
          this.#row(type, total);
          this.#passing = frameEnd - end;
          this.#passingRun = this.#relay.pipeline.head?.run ?? null;
          at = end;
          break;
        }
        this.#flush(buffer, at, borrowable);
        this.#keep(buffer, at);
        return;
      }
      const outcome = this.#frame(type, buffer, at, frameEnd);
      if (outcome === 'stall') {
        this.#flush(buffer, at, borrowable);
        this.#stash.unshift(Buffer.from(buffer.subarray(at)));
        this.#stalled = true;
        this.#relay.pauseUpstream(Pause.Stall);
        return;
      }
      if (outcome === 'drop') {
        this.#runStart = frameEnd;
      }
      at = frameEnd;
    }
    this.#flush(buffer, at, borrowable);
    if (this.#relay.pipeline.head?.run?.overBudget === true && !this.#cancelling) this.#cancelUpstream();
  }

  /** Counts a row or COPY row that passes unseen. */
  #row(type: number, total: number): void {
    const { head } = this.#relay.pipeline;
    const run = head?.run ?? null;
    this.#attribute(run, this.#captureFrom);
    if (run !== null) {
      run.bytes += total;
      if (type === Backend.DataRow || type === Backend.CopyData) run.rows++;
    }
  }

  /** Releases what has come together, up to `at`. */
  #flush(buffer: Buffer, at: number, borrowable: boolean): void {
    this.#captureUpTo(buffer, at);
    this.#captureFrom = 0;
    this.#captured = null;
    if (this.#rewriting) {
      this.#output.copy(buffer, this.#runStart, at);
      this.#rewriting = false;
      this.#relay.release(this.#output.take(), this.#gate, false);
    } else if (at > this.#runStart) {
      this.#relay.release(buffer.subarray(this.#runStart, at), this.#gate, borrowable);
    }
    this.#runStart = at;
    this.#gate = -1;
  }

  /** Everything up to `at` passes; from there on the output is built anew. */
  #cut(buffer: Buffer, at: number): void {
    this.#rewriting = true;
    this.#captureUpTo(buffer, at);
    this.#output.copy(buffer, this.#runStart, at);
    this.#runStart = at;
  }

  /** Puts bytes of the gateway's own in a frame's place. */
  #replace(buffer: Buffer, start: number, end: number, bytes: Buffer): Outcome {
    this.#cut(buffer, start);
    this.#output.bytes(bytes);
    this.#captured?.capture(bytes, 0, bytes.length);
    this.#captureFrom = end;
    return 'drop';
  }

  #hide(buffer: Buffer, start: number, end: number): Outcome {
    this.#cut(buffer, start);
    this.#captureFrom = end;
    return 'drop';
  }

  /** Bytes from here on belong to this run. */
  #attribute(run: CommandRun | null, at: number): void {
    if (run !== null && run.index > this.#gate) this.#gate = run.index;
    if (run === this.#captured) return;
    this.#captureFrom = at;
    this.#captured = run;
  }

  #captureUpTo(buffer: Buffer, at: number): void {
    const run = this.#captured;
    if (run?.captures === true && at > this.#captureFrom) {
      run.capture(buffer, this.#captureFrom, at);
      if (run.capturesAll) this.#outputChunks(run, buffer, this.#captureFrom, at);
    }
    this.#captureFrom = at;
  }

  #outputChunks(run: CommandRun, buffer: Buffer, start: number, end: number): void {
    const { recorder } = this.#relay.session;
    for (let at = start; at < end; at += 65_536) {
      const upTo = Math.min(end, at + 65_536);
      const index = recorder.outputChunk(run.seq, run.takeOffset(upTo - at), buffer.subarray(at, upTo));
      // What is recorded in full is released no faster than the disk takes it.
      if (index > this.#gate) this.#gate = index;
    }
  }

  #frame(type: number, buffer: Buffer, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    if (type === Backend.DataRow && !this.#dropsUntilReady) return this.#dataRow(buffer, start, end);
    switch (type) {
      case Backend.NoticeResponse:
        return this.#notice(buffer, start, end);
      case Backend.NotificationResponse:
        return this.#notification(buffer, start, end);
      case Backend.ParameterStatus:
        return this.#parameterStatus(buffer, start, end);
      default:
    }
    if (this.#dropsUntilReady && type !== Backend.ReadyForQuery) return this.#hide(buffer, start, end);
    pipeline.dropCopyEnds();
    const head = pipeline.head;
    if (type === Backend.ErrorResponse) return this.#error(head, buffer, start, end);
    if (head === undefined) throw unexpected(type);
    if (head.run !== null && head.run !== this.#captured) this.#captureUpTo(buffer, start);
    this.#attribute(head.run, start);
    const { run } = head;
    if (run !== null) run.bytes += end - start;
    switch (type) {
      case Backend.ParseComplete:
        this.#expect(head, type, Kind.Parse);
        this.#empty(start, end);
        if (head.statement !== null) head.statement.confirmed = true;
        return this.#answered(head, buffer, start, end);
      case Backend.BindComplete:
        this.#expect(head, type, Kind.Bind);
        this.#empty(start, end);
        if (head.portal !== null) head.portal.confirmed = true;
        return this.#answered(head, buffer, start, end);
      case Backend.CloseComplete:
        this.#expect(head, type, Kind.Close);
        this.#empty(start, end);
        return this.#answered(head, buffer, start, end);
      case Backend.ParameterDescription:
        this.#expect(head, type, Kind.DescribeStatement);
        head.hooks?.onParameterTypes?.(decodeParameterDescription(buffer, start + 5, end));
        return head.hidden ? this.#hide(buffer, start, end) : 'pass';
      case Backend.NoData:
        this.#empty(start, end);
        return this.#described(head, null, buffer, start, end);
      case Backend.RowDescription:
        return this.#rowDescription(head, buffer, start, end);
      case Backend.CommandComplete:
        return this.#commandComplete(head, buffer, start, end);
      case Backend.EmptyQueryResponse:
        this.#empty(start, end);
        if (head.kind === Kind.Execute) return this.#finished(head, buffer, start, end);
        this.#expect(head, type, Kind.Query);
        return 'pass';
      case Backend.PortalSuspended:
        this.#expect(head, type, Kind.Execute);
        this.#empty(start, end);
        // What it has changed could not be compared: the session ends, and with it the transaction.
        if (head.watch !== null) throw unexpected(type);
        return run?.overBudget === true ? this.#endedByBudget(head, run, buffer, start, end) : this.#finished(head, buffer, start, end);
      case Backend.ReadyForQuery:
        return this.#ready(head, buffer, start, end);
      case Backend.CopyInResponse:
        if (head.kind !== Kind.Query && head.kind !== Kind.Execute) throw unexpected(type);
        decodeCopyResponse(buffer, start + 5, end);
        pipeline.enterCopyIn();
        return 'pass';
      case Backend.CopyOutResponse:
        return this.#copyOut(head, buffer, start, end);
      case Backend.CopyData:
        return this.#copyData(head, buffer, start, end);
      case Backend.CopyDone:
        this.#empty(start, end);
        if (head.kind !== Kind.Query && head.kind !== Kind.Execute) throw unexpected(type);
        this.#copyRows = null;
        return run?.overBudget === true ? this.#hide(buffer, start, end) : 'pass';
      default:
        throw unexpected(type);
    }
  }

  #expect(head: Expected, type: number, kind: number): void {
    if (head.kind !== kind) throw unexpected(type);
  }

  #empty(start: number, end: number): void {
    if (end - start !== 5) throw new GatewayError('PG_UPSTREAM_PROTOCOL', 'protocol', 'the database sent a malformed message');
  }

  // ----------------------------------------------------------------------------------------------------------------- rows

  #dataRow(buffer: Buffer, start: number, end: number): Outcome {
    const { head } = this.#relay.pipeline;
    if (head === undefined || (head.kind !== Kind.Execute && head.kind !== Kind.Query)) throw unexpected(Backend.DataRow);
    if (head.hidden) {
      if (head.hooks?.onRowFrame !== undefined) head.hooks.onRowFrame(buffer, start, end);
      else head.hooks?.onRow?.(decodeRowTexts(buffer, start + 5, end));
      return this.#hide(buffer, start, end);
    }
    const { run } = head;
    if (run === null) throw unexpected(Backend.DataRow);
    if (this.#relay.session.budget !== null && !this.#mayRead(head, run, end - start)) return this.#hide(buffer, start, end);
    if (run !== this.#captured) this.#captureUpTo(buffer, start);
    this.#attribute(run, start);
    run.rows++;
    const plan = this.#planOf(head);
    const recordsApart = plan !== null && plan.recorded !== null && run.captures;
    if (recordsApart) this.#recordRow(buffer, start, end, plan.recorded as RowPlan, run);
    if (plan === null) {
      if (this.#needsPlans())
        throw new GatewayError('PG_ROWS_UNDESCRIBED', 'protocol', 'rows came without a description, and rules need one');
      run.bytes += end - start;
      return 'pass';
    }
    if (plan.untouched) {
      run.bytes += end - start;
      return 'pass';
    }
    if (plan.scanOnly) {
      if (end <= this.#cleanUntil) {
        run.bytes += end - start;
        return 'pass';
      }
      if (start >= this.#cleanUntil) {
        const candidate = plan.detectors?.nextCandidate(buffer, start, buffer.length) ?? start;
        this.#cleanUntil = candidate < 0 ? buffer.length : candidate;
        if (end <= this.#cleanUntil) {
          run.bytes += end - start;
          return 'pass';
        }
      }
    }
    const pendingStart = this.#runStart;
    const rewriting = this.#rewriting;
    const before = this.#output.length;
    // The row is rewritten behind what passes before it; when nothing in it changes, nothing was written.
    if (rewriting || pendingStart < start) this.#output.copy(buffer, pendingStart, start);
    const rowAt = this.#output.length;
    if (!rewriteRow(buffer, start, end, plan, run, this.#output)) {
      this.#output.length = before;
      run.bytes += end - start;
      return 'pass';
    }
    this.#rewriting = true;
    this.#captureUpTo(buffer, start);
    const length = this.#output.length - rowAt;
    run.bytes += length;
    if (run.captures && !recordsApart) {
      run.capture(this.#output.buffer, rowAt, this.#output.length);
      if (run.capturesAll) this.#outputChunks(run, this.#output.buffer, rowAt, this.#output.length);
    }
    this.#captureFrom = end;
    return 'drop';
  }

  /** A row of somebody who is exempt: its record gets what others would see. */
  #recordRow(buffer: Buffer, start: number, end: number, plan: RowPlan, run: CommandRun): void {
    this.#captureUpTo(buffer, start);
    this.#captureFrom = end;
    const output = this.#recordOutput;
    output.length = 0;
    const counted = run.maskedValues;
    const classes = run.dataClasses;
    const changed = rewriteRow(buffer, start, end, plan, run, output);
    run.maskedValues = counted;
    run.dataClasses = classes;
    const [bytes, from, to] = changed ? [output.buffer, 0, output.length] : [buffer, start, end];
    run.capture(bytes, from, to);
    if (run.capturesAll) this.#outputChunks(run, bytes, from, to);
  }

  #rowDescription(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    if (head.hooks?.onFields !== undefined) {
      if (head.kind !== Kind.DescribePortal) throw unexpected(Backend.RowDescription);
      head.hooks.onFields(decodeRowDescription(buffer, start + 5, end));
      return this.#answered(head, buffer, start, end);
    }
    const probe = head.hooks?.probe;
    if (probe !== undefined) return this.#probed(head, probe, buffer, start, end);
    // What a statement would return is the client's to know; only rows need a plan.
    if (head.kind === Kind.DescribeStatement) return this.#answered(head, buffer, start, end);
    const verdict =
      head.kind === Kind.Query
        ? verdictOf(head.judged, head.statementIndex)
        : verdictOf(head.portal?.judged ?? null, head.portal?.statementIndex ?? 0);
    const plan = this.#plans.of(buffer, start, end, verdict);
    if (plan === null) {
      if (head.run !== null) head.run.bytes -= end - start;
      return 'stall';
    }
    if (head.kind === Kind.Query) {
      head.plan = plan;
      if (head.run !== null) head.run.columns = plan.names;
      return 'pass';
    }
    return this.#described(head, plan, buffer, start, end);
  }

  #described(head: Expected, plan: RowPlan | null, buffer: Buffer, start: number, end: number): Outcome {
    if (head.kind !== Kind.DescribePortal && head.kind !== Kind.DescribeStatement) throw unexpected(buffer[start] as number);
    if (head.kind === Kind.DescribePortal && head.portal !== null) head.portal.plan = plan ?? NO_ROWS;
    head.hooks?.probe?.done({ kind: 'noRows' });
    return this.#answered(head, buffer, start, end);
  }

  /** The rows that a statement would give. */
  #probed(head: Expected, probe: Probe, buffer: Buffer, start: number, end: number): Outcome {
    const fields = decodeRowDescription(buffer, start + 5, end);
    if (probe.format !== null) for (const field of fields) field.format = probe.format;
    const outcome = this.#plans.ofProbe(fields, probe.verdict);
    if (outcome === null) return 'stall';
    if (outcome.kind === 'plan') probe.done(outcome);
    else probe.done({ kind: 'denied', rule: outcome.rule, reason: `the column ${outcome.column} may not be read` });
    return this.#answered(head, buffer, start, end);
  }

  /** The head has its answer. */
  #answered(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    pipeline.shift();
    const outcome = head.hidden ? this.#hide(buffer, start, end) : 'pass';
    head.hooks?.onAnswered?.();
    this.#relay.answered();
    return outcome;
  }

  // ------------------------------------------------------------------------------------------------------------- complete

  #commandComplete(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    const tag = decodeCommandComplete(buffer, start + 5, end);
    if (head.kind !== Kind.Query && head.kind !== Kind.Execute) throw unexpected(Backend.CommandComplete);
    const { run } = head;
    if (run !== null) {
      run.tag = run.tag === '' ? tag : `${run.tag}; ${tag}`.slice(0, 256);
      if (run.columns === null && head.kind === Kind.Execute) run.columns = head.portal?.plan?.names ?? null;
    }
    if (!head.hidden) applyEffects(this.#relay, head);
    else head.hooks?.onTag?.(tag);
    if (head.watch !== null) return this.#watched(head, head.watch, tag, buffer, start, end);
    if (run?.overBudget === true) return this.#endedByBudget(head, run, buffer, start, end);
    if (head.kind === Kind.Execute) return this.#finished(head, buffer, start, end);
    head.statementIndex++;
    head.plan = null;
    return 'pass';
  }

  /** A command whose effect is watched is complete: its record waits until it is settled what becomes of it, and so does the client. */
  #watched(head: Expected, watch: Watch, tag: string, buffer: Buffer, start: number, end: number): Outcome {
    const { run } = head;
    if (run === null) throw unexpected(Backend.CommandComplete);
    this.#captureUpTo(buffer, end);
    this.#captured = null;
    this.#cut(buffer, start);
    head.run = null;
    head.plan = null;
    if (head.kind === Kind.Execute) this.#relay.pipeline.shift();
    watch.completed(tag, Buffer.from(buffer.subarray(start, end)), run);
    return 'drop';
  }

  /** An Execute is done, for good or for now. */
  #finished(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    this.#finishRun(head, buffer, end);
    return this.#answered(head, buffer, start, end);
  }

  #finishRun(head: Expected, buffer: Buffer, end: number): void {
    if (head.changesNames) {
      head.changesNames = false;
      this.#relay.pipeline.pendingEffects--;
    }
    const { run } = head;
    if (run === null) return;
    this.#captureUpTo(buffer, end);
    this.#captured = null;
    head.run = null;
    this.#relay.recordResponse(run);
  }

  #ready(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    if (head.kind !== Kind.Query && head.kind !== Kind.Sync) throw unexpected(Backend.ReadyForQuery);
    if (this.#cancelling) return 'stall';
    if (this.#failsTransaction && decodeReadyForQuery(buffer, start + 5, end) === 'T')
      return this.#failTransaction(head, buffer, start, end);
    this.#dropsUntilReady = false;
    this.#failsTransaction = false;
    this.#status = decodeReadyForQuery(buffer, start + 5, end);
    const { pipeline, session } = this.#relay;
    this.#finishRun(head, buffer, end);
    if (this.#status === 'I') pipeline.transactionEnded(head.segment);
    this.#relay.judge.flow?.transactionStatus(this.#status);
    session.lastActiveAtMs = Date.now();
    if (head.watch !== null) {
      pipeline.shift();
      head.watch.ready();
      return this.#hide(buffer, start, end);
    }
    return this.#answered(head, buffer, start, end);
  }

  // --------------------------------------------------------------------------------------------------------------- budget

  /** Counts a row against the budget. @returns false: the budget is spent, and neither this row nor a later one is released. */
  #mayRead(head: Expected, run: CommandRun, bytes: number): boolean {
    const { budget } = this.#relay.session;
    if (run.overBudget) return false;
    if (budget === null || budget.take(bytes)) return true;
    run.overBudget = true;
    head.replacement = { code: SqlState.budgetSpent, message: budget.describe(), refused: true };
    this.#relay.gateway.metrics.denied++;
    return false;
  }

  /** The server need not make rows that nobody will get. If this comes too late, the answer is ended here (#endedByBudget). */
  #cancelUpstream(): void {
    this.#cancelling = true;
    this.#relay.cancelUpstream(() => {
      this.#cancelling = false;
      this.#relay.resumeBackend();
    });
  }

  /** The server has finished what a budget has ended: the client gets the error, and what an error brings with it. */
  #endedByBudget(head: Expected, run: CommandRun, buffer: Buffer, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    const { code, message } = head.replacement as Replacement;
    if (head.kind === Kind.Query && head.statementIndex + 1 < (head.judged?.statements.length ?? 0)) throw budgetFault(message);
    const hint = head.judged?.facts.writes === true ? ' (what the statement has changed is changed)' : '';
    const bytes = errorResponse('ERROR', code, message + hint);
    run.status = 'refused';
    run.errorCode = code;
    run.errorText = message;
    run.bytes += bytes.length;
    const outcome = this.#replace(buffer, start, end, bytes);
    this.#failsTransaction = true;
    if (head.kind === Kind.Query) {
      this.#dropsUntilReady = true;
      return outcome;
    }
    // After an error the server would skip to the next Sync; it does not know of this one, so its answers up to there are dropped.
    for (let i = 1; i < pipeline.length; i++) {
      const entry = pipeline.at(i);
      if (entry === undefined || entry.kind === Kind.Sync) break;
      if (entry.kind === Kind.Execute || entry.kind === Kind.Query) throw budgetFault(message);
    }
    pipeline.shift();
    this.#finishRun(head, buffer, end);
    this.#dropsUntilReady = true;
    pipeline.dropUntilSync();
    this.#relay.answered();
    return outcome;
  }

  /** ReadyForQuery of a transaction that the client must find failed: the server is made to fail it first. */
  #failTransaction(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    if (pipeline.length > 1) throw budgetFault('the budget was spent in the middle of a pipeline');
    this.#failsTransaction = false;
    this.#finishRun(head, buffer, end);
    pipeline.shift();
    const failing = new Expected(Kind.Query, false);
    failing.hooks = { onError: () => undefined };
    pipeline.push(failing);
    pipeline.segment++;
    this.#dropsUntilReady = false;
    this.#relay.sendUp(encodeQuery(FAILING_TEXT), -1);
    return this.#hide(buffer, start, end);
  }

  // --------------------------------------------------------------------------------------------------------------- errors

  #error(head: Expected | undefined, buffer: Buffer, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline } = relay;
    const fields = decodeErrorFields(buffer, start + 5, end);
    const code = errorField(fields, 'C');
    const severity = errorField(fields, 'V') || errorField(fields, 'S');
    const closing = severity === 'FATAL' || severity === 'PANIC';
    if (closing) this.fatal = code;
    if (head?.hidden !== true) relay.judge.flow?.failed();
    if (head !== undefined && head.run !== this.#captured) this.#captureUpTo(buffer, start);
    this.#attribute(head?.run ?? null, start);
    if (head === undefined) {
      if (!closing) throw unexpected(Backend.ErrorResponse);
      return this.#replaceError(fields, null, buffer, start, end);
    }
    // A statement that PostgreSQL would not take is evidence too, though nothing of it ran.
    if (head.kind === Kind.Parse && head.run === null && head.statement !== null && head.judged !== null) {
      head.run = relay.recordCommand(head.judged, {
        kind: 'parse',
        ...head.statement.text,
        ...(head.statement.name === '' ? {} : { preparedName: Buffer.from(head.statement.name, 'latin1').toString('utf8') }),
      });
      this.#attribute(head.run, start);
    }
    const own = closing ? null : (head.hooks?.asClients?.(fields) ?? null);
    if (own !== null) {
      head.run = own.run;
      this.#attribute(head.run, start);
    }
    const { run, replacement } = head;
    let outcome: Outcome;
    const onError = head.hooks?.onError;
    if (onError !== undefined) {
      onError(scrubFields(this.#relay, fields, null) ?? fields);
      outcome = this.#hide(buffer, start, end);
    } else if (own !== null) {
      outcome = this.#replaceError(own.fields, run, buffer, start, end, true);
    } else if (replacement !== null && !closing) {
      if (run !== null) {
        run.status = replacement.refused ? 'refused' : 'error';
        run.errorCode = replacement.code;
        run.errorText = replacement.recorded ?? replacement.message;
      }
      const bytes = encodeErrorResponse(
        replacement.fields ??
          renamed(fields, replacement) ?? [
            ['S', 'ERROR'],
            ['V', 'ERROR'],
            ['C', replacement.code],
            ['M', replacement.message],
          ],
      );
      if (run !== null) run.bytes += bytes.length;
      outcome = this.#replace(buffer, start, end, bytes);
    } else {
      outcome = this.#replaceError(fields, run, buffer, start, end);
    }
    head.watch?.failed();
    if (head.kind === Kind.Query) {
      pipeline.copyIn = false;
      return outcome;
    }
    if (head.kind === Kind.Sync) return outcome;
    pipeline.shift();
    this.#finishRun(head, buffer, end);
    const skipped = pipeline.dropUntilSync();
    pipeline.undo(head, true);
    for (const dropped of skipped) {
      if (dropped.changesNames) pipeline.pendingEffects--;
      if (dropped.run === null) continue;
      dropped.run.status = 'aborted';
      dropped.run.errorText = 'not run: an earlier message of the pipeline failed';
      relay.recordResponse(dropped.run);
      dropped.run = null;
    }
    relay.answered();
    return outcome;
  }

  /** The server's own error, without what its text must not tell. @param changed the fields are not those of the frame. */
  #replaceError(
    fields: readonly ErrorField[],
    run: CommandRun | null,
    buffer: Buffer,
    start: number,
    end: number,
    changed = false,
  ): Outcome {
    const clean = scrubFields(this.#relay, fields, run);
    const shown = clean ?? fields;
    if (run !== null) {
      run.status = 'error';
      run.errorCode = errorField(shown, 'C');
      run.errorText = run.touchesRecordProtected
        ? reducedText(run.errorCode)
        : this.#relay.recordText(errorField(shown, 'M')).slice(0, 4096);
    }
    if (clean === null && !changed) {
      if (run !== null) run.bytes += end - start;
      return 'pass';
    }
    const bytes = encodeErrorResponse(shown);
    if (run !== null) run.bytes += bytes.length;
    return this.#replace(buffer, start, end, bytes);
  }

  #notice(buffer: Buffer, start: number, end: number): Outcome {
    const { head } = this.#relay.pipeline;
    if (head?.hooks?.quiet === true) return this.#hide(buffer, start, end);
    const run = head?.run ?? null;
    const clean = scrubFields(this.#relay, decodeErrorFields(buffer, start + 5, end), run);
    if (run !== null && run.index > this.#gate) this.#gate = run.index;
    return clean === null ? 'pass' : this.#replace(buffer, start, end, encodeNoticeResponse(clean));
  }

  /** A whole NoticeResponse frame as the client may see it. */
  scrubNotice(frame: Buffer, run: CommandRun | null): Buffer {
    const clean = scrubFields(this.#relay, decodeErrorFields(frame, 5, frame.length), run);
    return clean === null ? frame : encodeNoticeResponse(clean);
  }

  #notification(buffer: Buffer, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pid, channel, payload } = decodeNotification(buffer, start + 5, end);
    // Who listens learns what others' triggers say, whatever it asked for itself.
    const { flow, session } = relay;
    const tells = session.inForce.policy.hasColumnRules && flow?.notificationsTell(session.inForce) === true;
    const cleanPayload = tells && payload !== '' ? '[redacted]' : relay.cleanText(payload);
    const cleanChannel = relay.cleanText(channel);
    // Clients tell their own notifications by the process id that they were given: ours.
    const own = pid === relay.upstream.key?.pid;
    if (!own && cleanPayload === payload && cleanChannel === channel) return 'pass';
    return this.#replace(buffer, start, end, encodeNotification(own ? relay.pid : pid, cleanChannel, cleanPayload));
  }

  #parameterStatus(buffer: Buffer, start: number, end: number): Outcome {
    const { name, value } = decodeParameterStatus(buffer, start + 5, end);
    this.#relay.noteParameter(name, value);
    if (this.#relay.pipeline.head?.hooks?.quiet === true) return this.#hide(buffer, start, end);
    const clean = this.#relay.cleanText(value);
    return clean === value ? 'pass' : this.#replace(buffer, start, end, encodeParameterStatus(name, clean));
  }

  // ----------------------------------------------------------------------------------------------------------------- COPY

  #copyOut(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    if (head.kind !== Kind.Query && head.kind !== Kind.Execute) throw unexpected(Backend.CopyOutResponse);
    const { format, columnFormats } = decodeCopyResponse(buffer, start + 5, end);
    head.copy ??= head.portal?.statement?.copy ?? null;
    const { copy, run } = head;
    if (this.#relay.session.inForce.recording !== null) run?.withhold();
    if (copy === null) {
      if (this.#needsPlans())
        throw new GatewayError('PG_COPY_UNKNOWN', 'denied', 'the columns of this COPY are not known, and rules need them');
      return 'pass';
    }
    if (columnFormats.length !== copy.rows.actions.length || (format === 1) !== (copy.format === 'binary')) {
      throw new GatewayError(
        'PG_COPY_SHAPE',
        'denied',
        'the columns of this COPY are not those that were described; name the columns, or use COPY (SELECT …)',
      );
    }
    if (run !== null) run.columns = copy.rows.names;
    const { clientEncoding } = this.#relay.judge.settings;
    if (!copy.rows.untouched && copy.format !== 'binary' && EMBEDS_ASCII.has(clientEncoding))
      throw new GatewayError(
        'PG_COPY_ENCODING',
        'denied',
        `the rows of this COPY cannot be taken apart under client_encoding ${clientEncoding}`,
      );
    this.#copyRows = copy.rows.untouched ? null : new CopyRows(copy);
    return 'pass';
  }

  #copyData(head: Expected, buffer: Buffer, start: number, end: number): Outcome {
    if (head.kind !== Kind.Query && head.kind !== Kind.Execute) throw unexpected(Backend.CopyData);
    const { run } = head;
    if (run === null) throw unexpected(Backend.CopyData);
    if (this.#relay.session.budget !== null && !this.#mayRead(head, run, end - start)) {
      run.bytes -= end - start;
      return this.#hide(buffer, start, end);
    }
    if (this.#copyRows === null) {
      run.rows++;
      return 'pass';
    }
    const output = this.#output;
    const before = output.length;
    output.copy(buffer, this.#runStart, start);
    const rowAt = output.length;
    if (!this.#copyRows.rewrite(buffer, start, end, run, output)) {
      output.length = before;
      return 'pass';
    }
    this.#rewriting = true;
    this.#captureUpTo(buffer, start);
    run.bytes += output.length - rowAt - (end - start);
    if (run.captures) {
      run.capture(output.buffer, rowAt, output.length);
      if (run.capturesAll) this.#outputChunks(run, output.buffer, rowAt, output.length);
    }
    this.#captureFrom = end;
    return 'drop';
  }
}

/** Refused by PostgreSQL's grammar. */
const FAILING_TEXT = 'the budget is spent';

/** More was under way than an error could take back: the session ends. */
function budgetFault(message: string): GatewayError {
  return new GatewayError('BUDGET_SPENT', 'denied', message);
}

const NO_ROWS: RowPlan = passingPlan([]);

function unexpected(type: number): GatewayError {
  return new GatewayError('PG_UPSTREAM_PROTOCOL', 'protocol', `the database sent an unexpected message (${String.fromCharCode(type)})`);
}

function checkWhole(total: number): void {
  if (total > FRAME_BYTES_MAX) {
    throw new GatewayError(
      'PG_FRAME_TOO_LARGE',
      'invalid',
      `a row is larger than ${FRAME_BYTES_MAX} bytes, which is the most that can be checked at once; read it in parts, e.g. with substr()`,
    );
  }
}

/** The whole frame's length. @throws {GatewayError} PG_UPSTREAM_PROTOCOL, PG_FRAME_TOO_LARGE */
function frameLength(buffer: Buffer, at: number): number {
  const length = readInt32(buffer, at + 1);
  if (length < 4) throw new GatewayError('PG_UPSTREAM_PROTOCOL', 'protocol', 'the database sent a malformed message');
  return length + 1;
}
