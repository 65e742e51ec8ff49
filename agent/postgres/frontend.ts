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
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { SqlState } from './errors.ts';
import { Admission } from './frontend/admission.ts';
import { Estimates } from './frontend/estimates.ts';
import { ClientFrames, type FrameHandler, type Outcome } from './frontend/frames.ts';
import { OwnCatalogReading } from './frontend/own-catalog-reading.ts';
import { OwnTransaction } from './frontend/own-transaction.ts';
import { Probes } from './frontend/probes.ts';
import { endsTransaction, REFUSED_TEXT, readableName } from './frontend/texts.ts';
import { bindingOf } from './held-command.ts';
import { type Judged, verdictOf } from './judge.ts';
import {
  decodeBind,
  decodeExecute,
  decodeParse,
  decodeTarget,
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeSync,
  Frontend,
  queryTextEnd,
} from './messages.ts';
import { NO_SUCH_NAME, PROBE_NAME } from './names.ts';
import { parameterText } from './parameter-text.ts';
import { Expected, type Hooks, Kind, type KindOf, type Portal, type Replacement, type Statement } from './pipeline.ts';
import type { Relay } from './relay.ts';
import { PATH_SETTINGS } from './session-flow.ts';

/** Bind's values that are kept for a statement that must be approved. */
const BOUND_KEPT_MAX = 1024 * 1024;

export class FrontendStream implements FrameHandler {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  readonly #transaction: OwnTransaction;
  readonly #admission: Admission;
  readonly #estimates: Estimates;
  readonly #probes: Probes;
  readonly #ownCatalog: OwnCatalogReading;

  constructor(relay: Relay) {
    this.#relay = relay;
    this.#frames = new ClientFrames(relay, this);
    this.#transaction = new OwnTransaction(relay, this.#frames);
    this.#admission = new Admission(relay, this.#frames, this.#transaction);
    this.#estimates = new Estimates(relay, this.#frames, this.#admission);
    this.#ownCatalog = new OwnCatalogReading(relay, this.#frames);
    this.#probes = new Probes(relay, this.#frames, this.#admission, frameStart => this.#awaitFlow(frameStart));
  }

  /** Takes a chunk; it is the stream's from here on. */
  take(chunk: Buffer): void {
    this.#frames.take(chunk);
  }

  /** An answer came: what waits may be able to go on. */
  answered(): void {
    this.#frames.answered();
  }

  /** Handles what waited. */
  proceed(): void {
    this.#frames.proceed();
  }

  /** The session is over. */
  close(): void {
    this.#frames.close();
  }

  /** Does a command wait for people? */
  get holds(): boolean {
    return this.#admission.holds;
  }

  /** Takes back the command that waits for people. @returns false: none does. */
  withdrawHeld(reason: string): boolean {
    return this.#admission.withdraw(reason);
  }

  /** The session ends: what waited is closed in the records. @throws what the sink throws. */
  abandonHeld(reason: string): void {
    if (this.#admission.held === null) return;
    this.#frames.terminate();
    this.#admission.abandon(reason);
  }

  message(type: number, frameStart: number, start: number, end: number): Outcome {
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
        if (this.#transaction.standsIn) return this.#transaction.end(frameStart);
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
        this.#frames.cut(frameStart);
        this.#frames.terminate();
        return 'taken';
      default:
        throw new GatewayError('PG_MESSAGE_TYPE', 'protocol', `invalid frontend message type ${type}`);
    }
  }

  /** The server would ignore it: an error made it skip everything until Sync. */
  #drop(frameStart: number): Outcome {
    this.#estimates.forget();
    this.#frames.cut(frameStart);
    return 'taken';
  }

  #refuseInCopy(): void {
    if (this.#relay.pipeline.copyIn) throw new GatewayError('PG_MESSAGE_IN_COPY', 'protocol', 'unexpected message during COPY from stdin');
  }

  /** Does a text that would be read by settings have to wait for answers that could change them? */
  #mustWait(textStart: number, textEnd: number): Outcome | null {
    const { pipeline } = this.#relay;
    if (pipeline.pendingEffects > 0) return this.#frames.stall(() => pipeline.pendingEffects === 0);
    if (pipeline.length > 0) {
      // A backslash is what standard_conforming_strings is about, and any command under way may be turning it off.
      const backslash = this.#frames.buffer.indexOf(0x5c, textStart);
      if (backslash >= 0 && backslash < textEnd) return this.#frames.stall(() => pipeline.length === 0);
    }
    return null;
  }

  // ------------------------------------------------------------------------------------------------------ simple protocol

  #query(frameStart: number, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline } = relay;
    const buffer = this.#frames.buffer;
    this.#refuseInCopy();
    if (this.#transaction.standsIn)
      throw new GatewayError(
        'PG_PIPELINE_MIXED',
        'protocol',
        'Query came before the Sync behind a command that was approved by its effect',
      );
    const textEnd = queryTextEnd(buffer, start, end);
    const waits = this.#mustWait(start, textEnd) ?? this.#awaitFlow(frameStart);
    if (waits !== null) return waits;
    let judged = this.#judged(start, textEnd);
    const reads = this.#ownCatalog.awaited(frameStart, judged);
    if (reads !== null) return reads;
    const entry = new Expected(Kind.Query, false);
    if (judged.wantsEstimate) {
      const waits = this.#estimates.ofQuery(frameStart, start, textEnd);
      if (waits !== null) return waits;
      judged = this.#estimates.applied(judged);
      if (this.#estimates.current?.kind === 'failed')
        entry.replacement =
          this.#admission.admit(judged, entry, 'query', relay.recordable(buffer, start, textEnd)) ??
          this.#estimates.notPlanned(judged, this.#estimates.current.fields);
    }
    entry.judged = judged;
    const mayRun = judged.decision.action !== 'deny' || judged.facts.notEstimated !== undefined;
    // In a failed transaction the server refuses all but its end, in its own words.
    const failed =
      relay.transactionStatus === 'E' && pipeline.length === 0 && mayRun && judged.statements.length > 0 && !this.#endsTransaction(judged);
    if (failed) entry.replacement ??= this.#probes.inFailed(judged, entry, relay.recordable(buffer, start, textEnd));
    else if (
      entry.replacement === null &&
      ((mayRun && ((judged.copiesOut && this.#needsPlans()) || this.#touchesDenied(judged))) ||
        (judged.unresolved && judged.statements.length <= 1))
    ) {
      const probe = this.#probes.ofQuery(judged, frameStart, start, textEnd, entry);
      if (probe !== null) return probe;
    }
    if (judged.decision.action === 'hold' && entry.replacement === null && !failed) {
      const { binding, appendix } = this.#admission.textBinding(judged, buffer.subarray(start, textEnd));
      const waits = this.#admission.awaitApproval(judged, binding, () => ({
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
    const released = this.#admission.held;
    let replacement = entry.replacement ?? this.#admission.admit(judged, entry, 'query', relay.recordable(buffer, start, textEnd));
    const missing = replacement !== null && replacement.code !== SqlState.diskFull ? this.#missingName(judged) : null;
    replacement = missing ?? replacement;
    // It was to be approved, and the transaction has failed: PostgreSQL's words, without asking anybody.
    if (failed && replacement?.refused === true && (judged.decision.action === 'hold' || judged.facts.notEstimated !== undefined))
      replacement = TRANSACTION_FAILED;
    // Whatever becomes of it, a simple Query takes the unnamed statement and portal away.
    pipeline.removeStatement('', null);
    pipeline.removePortal('', null);
    if (replacement === null) this.#admission.watch(entry, released, frameStart, end, null);
    return this.#forward(entry, replacement, frameStart, () => encodeQuery(missing === null ? REFUSED_TEXT : failingText(missing)), true);
  }

  /** Records, pushes, and forwards, or puts in its place what must fail. */
  #forward(entry: Expected, replacement: Replacement | null, frameStart: number, failing: () => Buffer, endsSegment: boolean): Outcome {
    const { pipeline, session } = this.#relay;
    this.#estimates.forget();
    entry.replacement = replacement;
    if (replacement === null && entry.judged?.changesNames === true) {
      entry.changesNames = true;
      pipeline.pendingEffects++;
    }
    pipeline.push(entry);
    if (endsSegment) pipeline.endSegment();
    else if (replacement === null && entry.kind === Kind.Execute) this.#transaction.noteWork(entry.judged);
    if (replacement !== null) {
      this.#frames.put(frameStart, failing());
      return 'taken';
    }
    if (entry.run !== null && entry.judged?.facts.writes === true && session.inForce.policy.audit.durability === 'strict')
      this.#frames.sendAfter(entry.run.index);
    return 'forward';
  }

  #functionCall(frameStart: number): Outcome {
    this.#refuseInCopy();
    const entry = new Expected(Kind.Query, false);
    const reason = 'the function call protocol is not served through this gateway; use SELECT';
    const judged = this.#relay.judge.refusal(reason, 'protocol/function-call', this.#relay.session.inForce);
    entry.judged = judged;
    const replacement = this.#admission.admit(judged, entry, 'function-call', { text: '', truncated: false });
    // Function calls answer as simple queries do: an error, then ReadyForQuery.
    return this.#forward(entry, replacement, frameStart, () => encodeQuery(REFUSED_TEXT), true);
  }

  // ---------------------------------------------------------------------------------------------------- extended protocol

  #parse(frameStart: number, start: number, frameEnd: number): Outcome {
    const relay = this.#relay;
    const { pipeline, session } = relay;
    const buffer = this.#frames.buffer;
    this.#refuseInCopy();
    const parse = decodeParse(buffer, start, frameEnd);
    const waits =
      this.#mustWait(parse.textStart, parse.textEnd) ?? this.#unsettledStatement(parse.statement) ?? this.#awaitFlow(frameStart);
    if (waits !== null) return waits;
    const judged = this.#judged(parse.textStart, parse.textEnd);
    const reads = this.#ownCatalog.awaited(frameStart, judged);
    if (reads !== null) return reads;
    const text = relay.recordable(buffer, parse.textStart, parse.textEnd);
    const entry = new Expected(Kind.Parse, false);
    entry.judged = judged;
    const missing = this.#missingName(judged);
    // What hangs on the planner is decided when it is executed, with the values that are bound.
    const denied = judged.decision.action === 'deny' && !judged.wantsEstimate;
    if ((denied || judged.unresolved) && missing === null) {
      const probe = judged.unresolved ? this.#probes.ofParse(judged, frameStart, parse.textStart, frameEnd, text) : null;
      if (probe !== null) return probe;
    }
    if (denied && missing === null) {
      const replacement = this.#admission.admit(judged, entry, 'parse', text, undefined, parse.statement);
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
      const target = this.#probes.copyTarget(judged, buffer.subarray(parse.textStart, parse.textEnd));
      if (!target.ok) {
        const refusal = relay.judge.refusal(target.reason, 'protocol/copy', session.inForce);
        const replacement = this.#admission.admit(refusal, entry, 'parse', text, undefined, parse.statement);
        return this.#forward(entry, replacement, frameStart, () => encodeParse(parse.statement, REFUSED_TEXT), false);
      }
      this.#frames.cut(frameStart);
      const { target: copy } = target;
      this.#frames.append(
        ...this.#probes.describe(
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
      this.#frames.put(frameStart, encodeParse(parse.statement, failingText(missing)));
      return 'taken';
    }
    if (!statement.mustProbe) return 'forward';
    // Bind waits for what this finds (see #bind).
    this.#frames.cut(frameEnd);
    this.#frames.append(encodeDescribe('S', parse.statement));
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
      return this.#frames.stall(() => statement.confirmed || pipeline.statements.get(name) !== statement);
    }
    return null;
  }

  #bind(frameStart: number, start: number, end: number): Outcome {
    const relay = this.#relay;
    const { pipeline, session } = relay;
    const buffer = this.#frames.buffer;
    this.#refuseInCopy();
    const bind = decodeBind(buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#frames.stall(() => pipeline.pendingEffects === 0);
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
    const reads = this.#ownCatalog.awaited(frameStart, judged);
    if (reads !== null) return reads;
    if (judged.decision.action === 'deny' && !judged.wantsEstimate && statement.missing === null) {
      entry.judged = judged;
      const replacement = this.#admission.admit(judged, entry, 'bind', statement.text, undefined, statement.name);
      return this.#forward(entry, replacement, frameStart, () => encodeBind(bind.portal, NO_SUCH_NAME), false);
    }
    if (statement.mustProbe) {
      const { probed } = statement;
      if (probed === null)
        return this.#frames.stall(() => statement.probed !== null || pipeline.statements.get(bind.statement) !== statement);
      if (probed.kind === 'denied') {
        const judged = relay.judge.refusal(probed.reason, probed.rule, session.inForce);
        entry.judged = judged;
        const replacement = this.#admission.admit(judged, entry, 'bind', statement.text, undefined, statement.name);
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
      else if (detectors !== null && detectors.scan(this.#frames.buffer, from, to).length > 0)
        texts[i] = this.#relay.recordable(this.#frames.buffer, from, to).text.slice(0, 1024);
      else texts[i] = parameterText(this.#frames.buffer, from, to, format === 1, types[i] ?? 0);
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
    const refusal = this.#admission.admit(judged, entry, kind, { text: '', truncated: false });
    const replacement: Replacement =
      refusal?.code === SqlState.diskFull
        ? refusal
        : { code, message: this.#relay.cleanText(message), refused: false, name: name === '' ? undefined : name };
    return this.#forward(entry, replacement, frameStart, failing, false);
  }

  #describe(frameStart: number, start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    this.#refuseInCopy();
    const { kind, name } = decodeTarget(this.#frames.buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#frames.stall(() => pipeline.pendingEffects === 0);
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
      if (this.#answersBefore(segment)) return this.#frames.stall(() => !this.#answersBefore(segment));
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
    const { portal: name, maxRows } = decodeExecute(this.#frames.buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#frames.stall(() => pipeline.pendingEffects === 0);
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
    if (this.#transaction.standsIn && judged.statements.some(({ effects }) => effects.some(({ type }) => type === 'transaction')))
      judged = relay.judge.overruled(
        judged,
        'protocol/pipeline',
        'send Sync before a transaction is begun or ended behind a command that was approved by its effect',
      );
    if (judged.wantsEstimate && portal.statement?.missing == null) {
      if (portal.estimate === undefined) {
        const waits = this.#estimates.ofPortal(frameStart, portal, judged);
        if (waits !== null) return waits;
      }
      this.#estimates.takeFrom(portal);
      judged = this.#estimates.applied(judged);
    }
    entry.judged = judged;
    entry.portal = portal;
    const text = portal.statement?.text ?? { text: '', truncated: false };
    const missing = portal.statement?.missing ?? null;
    const preparedName = portal.statement?.name ?? name;
    let replacement: Replacement | null;
    if (judged.decision.action === 'hold' && portal.released?.inForce === session.inForce) {
      // More rows of what was approved.
      replacement = this.#admission.record(judged, entry, {
        kind: 'execute',
        text,
        parameters: portal.parameters,
        preparedName,
        approvalId: portal.released.approvalId,
      });
    } else {
      const { binding } = portal;
      if (judged.decision.action === 'hold' && missing === null && binding !== null) {
        const waits = this.#admission.awaitApproval(judged, binding, () => ({
          kind: 'execute',
          text,
          appendix: '',
          parameters: portal.parameters,
          preparedName: readableName(preparedName),
          binding,
          preview: () => this.#admission.previewOf(portal, maxRows),
        }));
        if (waits !== null) return waits;
      }
      const released = this.#admission.held;
      replacement = this.#admission.admit(judged, entry, 'execute', text, portal.parameters, preparedName);
      if (replacement === null) this.#admission.watch(entry, released, frameStart, end, portal);
      if (released !== null && replacement === null) portal.released = { inForce: session.inForce, approvalId: released.approvalId };
    }
    if (missing !== null && replacement !== null && replacement.code !== SqlState.diskFull) {
      entry.replacement = missing;
      pipeline.push(entry);
      return 'forward';
    }
    if (replacement === null && portal.lost) {
      this.#frames.cut(frameStart);
      this.#transaction.rebind(portal, false);
    }
    if (replacement === null && !portal.described && this.#needsPlans()) {
      // The client did not ask what the rows look like, so the gateway does: rules need it.
      portal.described = true;
      this.#frames.put(frameStart, encodeDescribe('P', name));
      const describe = new Expected(Kind.DescribePortal, true);
      describe.portal = portal;
      pipeline.push(describe);
    }
    return this.#forward(entry, replacement, frameStart, () => encodeExecute(NO_SUCH_NAME, 0), false);
  }

  #close(start: number, end: number): Outcome {
    const { pipeline } = this.#relay;
    this.#refuseInCopy();
    const { kind, name } = decodeTarget(this.#frames.buffer, start, end);
    if (pipeline.pendingEffects > 0) return this.#frames.stall(() => pipeline.pendingEffects === 0);
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

  // ------------------------------------------------------------------------------------------- what names mean, before a run

  /** Judges a text; where names cannot be resolved now, it is refused. */
  #judged(start: number, end: number): Judged {
    const { judge, session, flow } = this.#relay;
    if (this.#blind !== null) return this.#blindRefusal();
    // In a failed transaction the server refuses all but its end: nothing is resolved, and names are not asked for.
    const { transactionStatus, pipeline } = this.#relay;
    const failed = transactionStatus === 'E' && pipeline.length === 0;
    const judged = judge.text(this.#frames.buffer, start, end, session.inForce, flow?.ready === true && !failed);
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
    if (flow.transactional && pipeline.length > 0) return this.#frames.stall(() => pipeline.length === 0);
    if (flow.ready) return null;
    // In a failed transaction the server refuses everything but its end, and answers no question either.
    if (relay.transactionStatus === 'E' && pipeline.length === 0) return null;
    if (flow.asksForPath && !this.#asking) this.#askForPath(frameStart);
    if (!flow.catalog.fresh) {
      flow.catalog.refresh().then(
        () => this.#frames.answered(),
        (error: unknown) => {
          this.#blind = errorText(error);
          this.#frames.answered();
        },
      );
    }
    return this.#frames.stall(() => !this.#asking && (flow.ready || this.#blind !== null || pipeline.skipping || !flow.asksForPath));
  }

  /** SHOW on the session's own connection, unseen by the client. */
  #askForPath(frameStart: number): void {
    const { pipeline, flow } = this.#relay;
    this.#asking = true;
    this.#frames.cut(frameStart);
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
      this.#frames.append(bytes);
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
    this.#frames.append(encodeSync());
    pipeline.push(new Expected(Kind.Sync, true));
    pipeline.segment++;
    pipeline.segmentOpen = false;
  }
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

const NO_PARAMETERS: readonly string[] = [];

function malformed(): GatewayError {
  return new GatewayError('PG_MESSAGE_MALFORMED', 'protocol', 'malformed PostgreSQL message');
}
