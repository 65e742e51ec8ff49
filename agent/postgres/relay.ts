/**
 * A session's two sockets and what flows between them: output commit, backpressure, records, and the end.
 *
 * frontend.ts decides what of the client's messages goes to the database, backend.ts what of the answers goes to the client.
 * Here is when: a command that may write is sent once its record is on disk, an answer is released once its command's record is,
 * and neither side is read faster than the other side takes. Nothing here looks into a message.
 */
import { createHmac, type KeyObject } from 'node:crypto';
import type { Socket } from 'node:net';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { replaceSpans } from '@sallyport/shared/masking/mask.ts';
import { responsePart } from '@sallyport/shared/records/encode.ts';
import type { Gateway } from '../session/gateway.ts';
import { digestKey, type PolicyInForce } from '../session/lease-state.ts';
import type { EndCause, LiveSession } from '../session/live-session.ts';
import { AddedLatency } from './added-latency.ts';
import { BackendStream } from './backend.ts';
import { type Catalog, catalogFor } from './catalog.ts';
import type { CatalogIndex } from './catalog-index.ts';
import { CommandRun } from './command-run.ts';
import { errorResponse, type Severity, SqlState } from './errors.ts';
import { FrontendStream } from './frontend.ts';
import { Judge, type Judged } from './judge.ts';
import { encodeTerminate } from './messages.ts';
import { Pause } from './pause.ts';
import { Pipeline } from './pipeline.ts';
import { tableHasRule } from './protected-tables.ts';
import { SessionFlow } from './session-flow.ts';
import { sendCancel, type Upstream, type UpstreamTarget } from './upstream.ts';

export interface RelayOptions {
  downstream: Socket;
  upstream: Upstream;
  session: LiveSession;
  gateway: Gateway;
  target: UpstreamTarget;
  database: string;
  /** Our process id in the client's cancel key. */
  pid: number;
  onClosed: () => void;
}

/** Answers held for the disk or for the client before the database is read no further. */
const HELD_BYTES_MAX = 1024 * 1024;
/** Messages without an answer before the client is read no further. */
const PENDING_MAX = 4096;
const TEXT_RECORDED_MAX = 64 * 1024;
/** What a command answers whose effect may have to be taken back; more than that cannot wait for it. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024;
/** Answers up to this size are copied instead of borrowing the read buffer. */
const COPY_BYTES_MAX = 8192;

interface Held {
  bytes: Buffer;
  index: number;
  /** What `UpstreamSocket.borrow` gave; -1: the bytes are our own. */
  slot: number;
}

const END_TEXTS: Record<EndCause, { sqlState: string; message: string }> = {
  killed: { sqlState: SqlState.adminShutdown, message: 'terminating connection: the session was ended by an administrator' },
  idleTimeout: { sqlState: SqlState.idleSessionTimeout, message: 'terminating connection: the session was idle for too long' },
  maxDuration: {
    sqlState: SqlState.adminShutdown,
    message: 'terminating connection: the session has reached its longest time; connect again',
  },
  grantWithdrawn: { sqlState: SqlState.adminShutdown, message: 'terminating connection: access to this resource has ended' },
  tokenRevoked: { sqlState: SqlState.adminShutdown, message: 'terminating connection: access to this resource has ended' },
  drained: { sqlState: SqlState.adminShutdown, message: 'terminating connection: the gateway is shutting down; connect again' },
  leaseExpired: { sqlState: SqlState.adminShutdown, message: 'terminating connection: the gateway has lost its control plane' },
  recordsUnavailable: { sqlState: SqlState.diskFull, message: 'terminating connection: evidence cannot be written' },
};

export class Relay {
  readonly session: LiveSession;
  readonly gateway: Gateway;
  readonly pipeline = new Pipeline();
  readonly judge: Judge;
  readonly upstream: Upstream;
  readonly pid: number;
  readonly #downstream: Socket;
  readonly #options: RelayOptions;
  readonly #frontend: FrontendStream;
  readonly #backend: BackendStream;
  readonly #latency: AddedLatency;
  readonly #written: ((slot: number) => () => void)[] = [];
  #catalog: Catalog | null = null;
  #flowFor: PolicyInForce | null = null;
  /** Statements have run while no column rule applied. */
  #unfollowed = false;
  #digestKey: KeyObject | null = null;
  #downHeld: Held[] = [];
  #downHeldBytes = 0;
  #upHeld: { bytes: Buffer; index: number }[] = [];
  #upHeldBytes = 0;
  /** Answers that wait until it is settled what becomes of them; null: none do. */
  #kept: { bytes: Buffer; index: number }[] | null = null;
  #keptBytes = 0;
  #downPause = 0;
  #upPause = 0;
  #lastRun: CommandRun | null = null;
  #closed = false;
  /** The end is decided; nothing more is forwarded. */
  #ending = false;
  #commands = 0;
  #bytesToClient = 0;
  #bytesToUpstream = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.session = options.session;
    this.gateway = options.gateway;
    this.upstream = options.upstream;
    this.pid = options.pid;
    this.#downstream = options.downstream;
    this.judge = new Judge(options.database);
    for (const [name, value] of options.upstream.parameters) this.noteParameter(name, value);
    this.judge.preparedFacts = name => this.pipeline.statements.get(Buffer.from(name).toString('latin1'))?.judged.facts;
    this.judge.isProtected = object => tableHasRule(object, this.session.inForce.policy, this.index, () => true);
    this.judge.isRecordProtected = object => {
      const { recording } = this.session.inForce;
      return recording !== null && tableHasRule(object, recording.policy, this.index, () => true);
    };
    this.judge.hasDenied = object => tableHasRule(object, this.session.inForce.policy, this.index, rule => rule.action === 'deny');
    this.#frontend = new FrontendStream(this);
    this.#backend = new BackendStream(this);
    this.#latency = new AddedLatency(options.gateway.addedLatency);
    const slotWritten = (slot: number) => () => this.upstream.socket.giveBack(slot);
    this.#written = [slotWritten, slotWritten];
  }

  /** The catalog of the database behind; only there when some column rule applies. */
  get catalog(): Catalog | null {
    const { policy, recording } = this.session.inForce;
    if (this.#catalog === null && (policy.hasColumnRules || recording?.policy.hasColumnRules === true)) {
      this.#catalog = catalogFor(this.session.resource.name, this.#options.target, this.#options.database);
    }
    return this.#catalog;
  }

  /** The names behind RowDescription's numbers, as the session sees them. */
  get index(): CatalogIndex | null {
    return this.judge.flow?.index ?? this.catalog?.index ?? null;
  }

  /** Takes the sockets over and greets the client. */
  start(greeting: Buffer): void {
    const downstream = this.#downstream;
    const { socket } = this.upstream;
    this.session.onEnd = (cause, reason) => this.#endBecause(cause, reason);
    this.session.isBusy = () => this.pipeline.length > 0 || this.#frontend.holds;
    downstream.setTimeout(0);
    downstream.on('data', (chunk: Buffer) => {
      if (this.#ending) return;
      this.#latency.clientSent();
      try {
        this.#frontend.take(chunk);
      } catch (error) {
        this.failWith(error);
      }
    });
    downstream.on('drain', () => this.resumeUpstream(Pause.Drain));
    downstream.on('end', () => this.#clientGone('client closed'));
    downstream.on('close', () => this.#clientGone('client closed'));
    downstream.on('error', () => this.#clientGone('client connection failed'));
    socket.onDrain(() => this.resumeDownstream(Pause.Drain));
    this.#bytesToClient += greeting.length;
    downstream.write(greeting);
    socket.start(
      chunk => {
        if (this.#ending) return;
        this.#latency.answered();
        try {
          this.#backend.take(chunk);
        } catch (error) {
          this.failWith(error);
        }
      },
      () => this.#upstreamGone(),
    );
    downstream.resume();
  }

  /** Runs work of the session's own making; what it throws ends the session. Not at all when that has ended. */
  guarded(work: () => void): void {
    if (!this.#ending) this.#guard(work);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failWith(error);
    }
  }

  // -------------------------------------------------------------------------------------------------------------- upwards

  /** Sends to the database once record `index` is on disk (-1: now). The bytes are the relay's from here on. */
  sendUp(bytes: Buffer, index: number): void {
    if (bytes.length === 0) return;
    const { sink } = this.session.recorder;
    if (this.#upHeld.length === 0 && (index < 0 || sink.durableIndex > index)) {
      this.#writeUp(bytes);
      return;
    }
    this.#upHeld.push({ bytes, index });
    this.#upHeldBytes += bytes.length;
    if (this.#upHeldBytes > HELD_BYTES_MAX) this.pauseDownstream(Pause.Held);
    if (index >= 0) sink.whenDurable(index, this.#onDurable);
  }

  #writeUp(bytes: Buffer): void {
    this.#bytesToUpstream += bytes.length;
    this.#latency.sentUp();
    if (!this.upstream.socket.write(bytes)) this.pauseDownstream(Pause.Drain);
  }

  readonly #onDurable = (error: Error | null): void => this.#durable(error);

  #durable(error: Error | null): void {
    if (this.#closed) return;
    if (error !== null) {
      this.failWith(error);
      return;
    }
    try {
      this.#flush();
    } catch (thrown) {
      this.failWith(thrown);
    }
  }

  #flush(): void {
    const durable = this.session.recorder.sink.durableIndex;
    while (this.#upHeld.length > 0 && !this.#ending) {
      const [first] = this.#upHeld;
      if (first === undefined || first.index >= durable) break;
      this.#upHeld.shift();
      this.#upHeldBytes -= first.bytes.length;
      this.#writeUp(first.bytes);
    }
    if (this.#upHeldBytes <= HELD_BYTES_MAX) this.resumeDownstream(Pause.Held);
    this.#flushDown(durable);
  }

  // ------------------------------------------------------------------------------------------------------------ downwards

  /**
   * Releases an answer to the client once record `index` is on disk (-1: now).
   *
   * @param borrowable the bytes lie in the upstream's read buffer and are overwritten unless they are borrowed or copied.
   */
  release(bytes: Buffer, index: number, borrowable: boolean): void {
    if (bytes.length === 0 || this.#ending) return;
    if (this.#kept !== null) {
      this.#keptBytes += bytes.length;
      if (this.keptTooMuch) this.#kept = [];
      else this.#kept.push({ bytes: borrowable ? Buffer.from(bytes) : bytes, index });
      return;
    }
    let out = bytes;
    let slot = -1;
    if (borrowable && this.upstream.socket.reusesBuffers) {
      if (bytes.length <= COPY_BYTES_MAX) out = Buffer.from(bytes);
      else slot = this.upstream.socket.borrow();
    }
    const { sink } = this.session.recorder;
    if (this.#downHeld.length === 0 && (index < 0 || sink.durableIndex > index)) {
      this.#writeDown(out, slot);
      return;
    }
    this.#downHeld.push({ bytes: out, index, slot });
    this.#downHeldBytes += out.length;
    if (this.#downHeldBytes > HELD_BYTES_MAX) this.pauseUpstream(Pause.Held);
    if (index >= 0) sink.whenDurable(index, this.#onDurable);
  }

  /** From here on answers are kept, up to a bound, until `letGo` or `dropKept`. */
  keepBack(): void {
    this.#kept = [];
    this.#keptBytes = 0;
  }

  /** More came than is kept: all of it is gone, and can only be dropped. */
  get keptTooMuch(): boolean {
    return this.#keptBytes > KEPT_BYTES_MAX;
  }

  /** Releases what was kept. */
  letGo(): void {
    const kept = this.#kept ?? [];
    this.#kept = null;
    for (const { bytes, index } of kept) this.release(bytes, index, false);
  }

  dropKept(): void {
    this.#kept = null;
  }

  #writeDown(bytes: Buffer, slot: number): void {
    this.#bytesToClient += bytes.length;
    this.gateway.metrics.bytesToClient += bytes.length;
    this.#latency.sentDown();
    const taken = slot < 0 ? this.#downstream.write(bytes) : this.#downstream.write(bytes, this.#written[slot]?.(slot));
    if (!taken) this.pauseUpstream(Pause.Drain);
  }

  #flushDown(durable: number): void {
    while (this.#downHeld.length > 0) {
      const [first] = this.#downHeld;
      if (first === undefined || first.index >= durable) break;
      this.#downHeld.shift();
      this.#downHeldBytes -= first.bytes.length;
      this.#writeDown(first.bytes, first.slot);
    }
    if (this.#downHeldBytes <= HELD_BYTES_MAX) this.resumeUpstream(Pause.Held);
  }

  pauseDownstream(reason: number): void {
    if (this.#downPause === 0) this.#downstream.pause();
    this.#downPause |= reason;
  }

  resumeDownstream(reason: number): void {
    if ((this.#downPause & reason) === 0) return;
    this.#downPause &= ~reason;
    if (this.#downPause === 0 && !this.#closed) this.#downstream.resume();
  }

  pauseUpstream(reason: number): void {
    if (this.#upPause === 0) this.upstream.socket.pause();
    this.#upPause |= reason;
  }

  resumeUpstream(reason: number): void {
    if ((this.#upPause & reason) === 0) return;
    this.#upPause &= ~reason;
    if (this.#upPause === 0 && !this.#closed) this.upstream.socket.resume();
  }

  /** The client's messages wait until `resumeFrontend`. */
  stallFrontend(): void {
    this.pauseDownstream(Pause.Stall);
  }

  /** Goes on with what the client sent. */
  resumeFrontend(): void {
    if (this.#ending) return;
    this.resumeDownstream(Pause.Stall);
    this.#guard(() => this.#frontend.proceed());
  }

  /** An answer was taken off the queue: whoever waited for it may go on. */
  answered(): void {
    if (this.pipeline.length <= PENDING_MAX / 2) this.resumeDownstream(Pause.Pending);
    this.#frontend.answered();
  }

  checkPending(): void {
    if (this.pipeline.length > PENDING_MAX) this.pauseDownstream(Pause.Pending);
  }

  resumeBackend(): void {
    if (this.#ending) return;
    this.#guard(() => {
      this.#backend.proceed();
      if (!this.#backend.stalled) this.resumeUpstream(Pause.Stall);
    });
  }

  // -------------------------------------------------------------------------------------------------------------- records

  /**
   * Writes a command's record.
   * @throws what the sink throws; the caller must not forward then.
   */
  recordCommand(
    judged: Judged,
    body: {
      kind: string;
      text: string;
      truncated: boolean;
      sha256?: Uint8Array | undefined;
      parameters?: readonly string[] | undefined;
      preparedName?: string | undefined;
      approvalId?: string | undefined;
    },
  ): CommandRun {
    const { recorder, inForce } = this.session;
    const seq = recorder.nextSeq;
    const index = recorder.command(
      {
        kind: body.kind,
        text: body.text,
        textTruncated: body.truncated,
        textSha256: body.sha256,
        parameters: body.parameters,
        preparedName: body.preparedName,
        approvalId: body.approvalId,
      },
      judged.recordPart,
    );
    this.#commands++;
    this.gateway.metrics.commands++;
    const run = new CommandRun(seq, index, inForce.policy.audit, judged);
    this.#lastRun = run;
    return run;
  }

  /** Writes a command's Response record. */
  recordResponse(run: CommandRun): void {
    const { metrics } = this.gateway;
    metrics.rows += run.rows;
    metrics.maskedValues += run.maskedValues;
    this.session.recorder.response(
      {
        commandSeq: run.seq,
        status: run.cancelled && run.errorCode === SqlState.queryCanceled ? 'cancelled' : run.status,
        errorCode: run.errorCode,
        errorText: run.errorText,
        tag: run.tag,
        rows: run.rows,
        bytes: run.bytes,
        maskedValues: run.maskedValues,
        dataClasses: run.dataClasses === null ? undefined : [...run.dataClasses],
        durationUs: Math.round((performance.now() - run.startedAtMs) * 1000),
        head: run.head,
        headTruncated: run.headTruncated,
        sha256: run.digest(),
        heldUs: run.heldUs,
        approvers: run.approvers,
      },
      run.columns === null ? undefined : columnsPart(run.columns),
    );
  }

  /** Cancels what the database runs. @param done once it has been told, or could not be. */
  cancelUpstream(done: () => void): void {
    const { key } = this.upstream;
    if (key === null) done();
    // Best effort: where it fails, the database answers to the end.
    else
      sendCancel(this.#options.target, key)
        .catch(() => undefined)
        .finally(done);
  }

  /** Takes back the command that waits for approval. @returns false: none does. */
  withdrawHeld(reason: string): boolean {
    return this.#frontend.withdrawHeld(reason);
  }

  /** An answer to the command that waits for approval has come. */
  heldSettled(): void {
    this.#latency.drop();
    if (!this.#ending) this.#guard(() => this.#frontend.answered());
  }

  noteCancel(by: 'client' | 'console' | 'policy'): void {
    const run = this.#lastRun;
    if (run === null || this.#closed) return;
    run.cancelled = true;
    this.#guard(() => this.session.recorder.cancelRequested(run.seq, by));
  }

  /** A text as records may hold it: without what detectors find, and bounded. */
  recordable(bytes: Buffer, start: number, end: number): { text: string; truncated: boolean; sha256?: Uint8Array } {
    const { detectors, policy } = this.session.inForce.recording ?? this.session.inForce;
    const spans = detectors === null ? [] : detectors.scan(bytes, start, end);
    const truncated = end - start > TEXT_RECORDED_MAX;
    if (spans.length === 0 && !truncated) return { text: bytes.toString('utf8', start, end), truncated: false };
    this.#digestKey ??= digestKey();
    const sha256 = createHmac('sha256', this.#digestKey).update(bytes.subarray(start, end)).digest();
    const clean =
      spans.length === 0
        ? bytes.subarray(start, end)
        : Buffer.from(replaceSpans(bytes, start, end, spans, policy.detectorMask, this.session.resource.maskKey));
    return { text: clean.toString('utf8', 0, Math.min(clean.length, TEXT_RECORDED_MAX)), truncated, sha256 };
  }

  /** The same for a short text that is a string already. */
  recordText(text: string): string {
    return this.#clean(text, this.session.inForce.recording ?? this.session.inForce);
  }

  /** A short text as the client may see it. */
  cleanText(text: string): string {
    return this.#clean(text, this.session.inForce);
  }

  /** What flow analysis knows of the session; null while no column rule applies, to its answers or to its records. */
  get flow(): SessionFlow | null {
    const { inForce } = this.session;
    const follows = inForce.policy.hasColumnRules || inForce.recording?.policy.hasColumnRules === true;
    if (this.#flowFor !== inForce) {
      this.#flowFor = inForce;
      this.judge.flow?.forgetPath();
    }
    if (!follows) {
      // While no rule applies nobody follows what statements do to names.
      this.#unfollowed = true;
      this.judge.flow?.forget();
      return null;
    }
    const { catalog, judge } = this;
    if (judge.flow === null && catalog !== null) {
      judge.flow = new SessionFlow(catalog);
      if (this.#unfollowed) judge.flow.forget();
      judge.flow.standardConformingStrings = () => judge.settings.standardConformingStrings;
      judge.flow.preparedText = name => this.pipeline.statements.get(Buffer.from(name).toString('latin1'))?.raw ?? null;
    }
    return judge.flow;
  }

  get transactionStatus(): 'I' | 'T' | 'E' {
    return this.#backend.transactionStatus;
  }

  #clean(text: string, { detectors, policy }: Pick<PolicyInForce, 'detectors' | 'policy'>): string {
    if (detectors === null || detectors.scanText(text).length === 0) return text;
    const bytes = Buffer.from(text);
    const spans = detectors.scan(bytes, 0, bytes.length);
    return Buffer.from(replaceSpans(bytes, 0, bytes.length, spans, policy.detectorMask, this.session.resource.maskKey)).toString('utf8');
  }

  scrubbedNotice(frame: Buffer): Buffer {
    return this.#backend.scrubNotice(frame, null);
  }

  noteParameter(name: string, value: string): void {
    if (name === 'standard_conforming_strings') {
      this.judge.settings.standardConformingStrings = value === 'on';
      this.judge.reset();
      this.judge.flow?.readingChanged();
    } else if (name === 'client_encoding') this.judge.settings.clientEncoding = value.toUpperCase();
  }

  // ------------------------------------------------------------------------------------------------------------------ end

  /** The client said Terminate. */
  terminate(): void {
    this.#clientGone('client closed');
  }

  #clientGone(reason: string): void {
    if (this.#closed) return;
    this.#finish(reason, '');
    this.upstream.socket.end(encodeTerminate());
    this.#downstream.destroy();
  }

  #upstreamGone(): void {
    if (this.#closed) return;
    const told = this.#backend.fatal;
    this.#ending = true;
    // What was answered before is released first; then the client learns what happened, unless a message was cut in half.
    this.#whenReleased(() => {
      const farewell =
        told !== null || this.#backend.midFrame
          ? null
          : errorResponse('FATAL', SqlState.connectionFailure, 'the database closed the connection unexpectedly');
      this.#finish(told === null ? 'upstream closed' : `upstream closed: ${told}`, told ?? 'PG_UPSTREAM_CLOSED');
      this.#farewell(farewell);
    });
  }

  /** Runs once everything that is held has been released. */
  #whenReleased(then: () => void): void {
    const last = this.#downHeld.at(-1);
    if (last === undefined) {
      then();
      return;
    }
    this.session.recorder.sink.whenDurable(last.index, () => {
      if (this.#closed) return;
      this.#flushDown(this.session.recorder.sink.durableIndex);
      then();
    });
  }

  /** Ends the session for a fault or a breach: the client gets one FATAL error. */
  failWith(error: unknown): void {
    if (this.#closed) return;
    const gateway = error instanceof GatewayError ? error : new GatewayError('INTERNAL', 'internal', errorText(error), { cause: error });
    if (gateway.kind === 'internal') this.gateway.report(gateway);
    const full = gateway.code.startsWith('SPOOL_');
    const sqlState = full
      ? SqlState.diskFull
      : gateway.kind === 'protocol'
        ? SqlState.protocolViolation
        : gateway.code === 'BUDGET_SPENT'
          ? SqlState.budgetSpent
          : gateway.kind === 'denied'
            ? SqlState.insufficientPrivilege
            : gateway.kind === 'invalid'
              ? SqlState.programLimitExceeded
              : gateway.kind === 'unavailable'
                ? SqlState.connectionFailure
                : SqlState.internalError;
    const message = full
      ? END_TEXTS.recordsUnavailable.message
      : gateway.kind === 'internal'
        ? 'internal error of the gateway'
        : gateway.message;
    this.fail('FATAL', sqlState, message, gateway.code);
  }

  fail(severity: Severity, sqlState: string, message: string, code: string): void {
    if (this.#closed) return;
    const midFrame = this.#backend.midFrame;
    this.#finish(message, code);
    this.upstream.socket.destroy();
    this.#farewell(midFrame ? null : errorResponse(severity, sqlState, message));
  }

  #endBecause(cause: EndCause, reason: string): void {
    const { sqlState, message } = END_TEXTS[cause];
    if (this.#closed) return;
    const midFrame = this.#backend.midFrame;
    this.#finish(`${cause}: ${reason}`, cause.toUpperCase());
    this.upstream.socket.destroy();
    this.#farewell(midFrame ? null : errorResponse('FATAL', sqlState, message));
  }

  #farewell(response: Buffer | null): void {
    const downstream = this.#downstream;
    downstream.resume();
    if (response === null) downstream.end();
    else downstream.end(response);
    setTimeout(() => downstream.destroy(), 2000).unref();
  }

  /** Writes the last records and lets go of everything. */
  #finish(reason: string, errorCode: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ending = true;
    this.#downHeld = [];
    this.#upHeld = [];
    this.#kept = null;
    this.#backend.close();
    try {
      this.#frontend.abandonHeld(reason);
      for (;;) {
        const entry = this.pipeline.head;
        if (entry === undefined) break;
        this.pipeline.shift();
        if (entry.run !== null) {
          // What was refused or failed stays so, though the client did not wait for the end of the answer.
          if (entry.run.status === 'ok') entry.run.status = 'aborted';
          this.recordResponse(entry.run);
        }
      }
      this.session.recorder.ended({
        reason: this.recordText(reason),
        errorCode,
        commands: this.#commands,
        bytesToClient: this.#bytesToClient,
        bytesToUpstream: this.#bytesToUpstream,
      });
    } catch {
      // The sink refuses records; the spool closes the session in the evidence when it can write again.
    }
    this.#frontend.close();
    this.session.close();
    this.#options.onClosed();
  }
}

const parts = new WeakMap<readonly string[], Uint8Array>();

/** A result's column names, encoded once per plan. */
function columnsPart(columns: readonly string[]): Uint8Array {
  let part = parts.get(columns);
  if (part === undefined) {
    part = responsePart({ columns });
    parts.set(columns, part);
  }
  return part;
}
