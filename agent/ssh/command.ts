/**
 * One command under way: its record, what is captured of its output and input, and its Response. Commands are what a client asks
 * of a host: a program, a shell, a line in it, a file operation, a forwarded connection.
 *
 * Texts and contents come here masked.
 */
import { createHash, type Hash } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { RecordedStatus } from '@sallyport/shared/records/encode.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Judged } from './judge.ts';

/** What a piece of a terminal's recording is: output, errors, input, a new size, a mark. */
export type Stream = 'o' | 'e' | 'i' | 'r' | 'm';

const TEXT_MAX = 64 * 1024;
/** Of what a client types, in one record. */
const INPUT_MAX = 4096;

export interface CommandOptions {
  kind: string;
  text: string;
  judged: Judged;
  /** All of the output is kept, whatever the audit policy says of responses: it is a terminal. */
  isTerminal?: boolean;
  /** What else belongs to it, as people see it. */
  parameters?: readonly string[];
  /** The text is the gateway's own, and names whom the record must name: nothing in it is masked. */
  isOwnText?: boolean;
  /** Under which people are asked for it. */
  approvalId?: string;
}

export class HostCommand {
  readonly seq: number;
  /** Of its Command record in the sink: nothing happens before that is durable. */
  readonly index: number;
  readonly #session: LiveSession;
  readonly #startedAtMs = performance.now();
  readonly #capture: 'none' | 'digest' | 'head' | 'full';
  readonly #headMax: number;
  #head: Buffer[] = [];
  #headLength = 0;
  #headTruncated = false;
  #hash: Hash | null = null;
  #offset = 0;
  #bytes = 0;
  maskedValues = 0;
  readonly #classes = new Set<string>();
  #ended = false;
  heldMs = 0;
  /** Who released it. */
  approvers: readonly string[] = [];

  /** @throws {GatewayError} SPOOL_*: nothing was recorded, and nothing may be done. */
  constructor(session: LiveSession, options: CommandOptions) {
    const { audit } = session.inForce.policy;
    const { judged } = options;
    this.#session = session;
    this.#capture = options.isTerminal === true && audit.responses !== 'none' ? 'full' : audit.responses;
    this.#headMax = this.#capture === 'head' ? audit.headBytes : 0;
    const truncated = options.text.length > TEXT_MAX;
    this.seq = session.recorder.nextSeq;
    this.index = session.recorder.command(
      {
        kind: options.kind,
        text: truncated ? options.text.slice(0, TEXT_MAX) : options.text,
        textTruncated: truncated,
        statements: judged.facts.statements,
        objects: judged.objects,
        decision: judged.decision.action,
        rule: judged.decision.rule,
        reason: judged.decision.reason,
        policyVersion: session.inForce.version,
        database: judged.facts.account,
        parameters: options.parameters,
        approvalId: options.approvalId,
      },
      undefined,
    );
  }

  get ended(): boolean {
    return this.#ended;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Runs when the command's record is on disk, or at once where the policy does not ask for it. */
  whenDurable(done: (error: Error | null) => void): void {
    if (this.#session.inForce.policy.audit.durability !== 'strict') done(null);
    else this.#session.recorder.sink.whenDurable(this.index, done);
  }

  durable(): Promise<void> {
    return new Promise((resolve, reject) => this.whenDurable(error => (error === null ? resolve() : reject(error))));
  }

  /** Output that goes to the client, as it goes. */
  released(data: Buffer): void {
    if (this.#ended) return;
    this.#bytes += data.length;
    if (this.#capture === 'none') return;
    this.#hash ??= createHash('sha256');
    this.#hash.update(data);
  }

  /**
   * A piece for the record: output masked for records, or a note about the terminal.
   * @returns the index of its record, which is behind it on disk; -1: nothing was written yet.
   * @throws {GatewayError} SPOOL_*: what is not recorded must not be released.
   */
  capture(stream: Stream, recorded: Buffer): number {
    if (this.#ended) return -1;
    if (this.#capture === 'full') return this.#chunk(stream, recorded);
    if (this.#capture !== 'head' || (stream !== 'o' && stream !== 'e')) return -1;
    const room = this.#headMax - this.#headLength;
    if (recorded.length > room) this.#headTruncated = true;
    if (room <= 0) return -1;
    const piece = Buffer.from(recorded.subarray(0, room));
    this.#head.push(piece);
    this.#headLength += piece.length;
    if (this.#head.length > 64) this.#head = [Buffer.concat(this.#head)];
    return -1;
  }

  #chunk(stream: Stream, data: Buffer): number {
    const bounded = stream === 'i' ? data.subarray(0, INPUT_MAX) : data;
    const index = this.#session.recorder.outputChunk(this.seq, this.#offset, bounded, stream);
    this.#offset += bounded.length;
    return index;
  }

  classify(dataClass: string, values = 1): void {
    this.maskedValues += values;
    this.#classes.add(dataClass);
  }

  /** Of what only the record masks: the client saw the value. */
  classifyRecorded(dataClass: string): void {
    this.#classes.add(dataClass);
  }

  /** Writes the Response; once. */
  end(outcome: {
    status: RecordedStatus;
    tag?: string;
    errorCode?: string;
    errorText?: string;
    rows?: number;
    sha256?: Uint8Array;
    bytes?: number;
  }): void {
    if (this.#ended) return;
    this.#ended = true;
    const { status, tag, errorCode, errorText, rows } = outcome;
    this.#session.recorder.response(
      {
        commandSeq: this.seq,
        status,
        tag,
        errorCode,
        errorText,
        rows,
        bytes: outcome.bytes ?? this.#bytes,
        maskedValues: this.maskedValues,
        dataClasses: [...this.#classes],
        durationUs: Math.round((performance.now() - this.#startedAtMs) * 1000),
        heldUs: Math.round(this.heldMs * 1000),
        approvers: this.approvers,
        sha256: outcome.sha256 ?? this.#hash?.digest(),
        ...(this.#capture === 'head' && this.#headLength > 0
          ? { head: Buffer.concat(this.#head), headTruncated: this.#headTruncated }
          : {}),
      },
      undefined,
    );
  }
}

/** The spool is full or broken: said to the client in place of what it asked for. */
export function recordsUnavailable(cause: unknown): GatewayError {
  return new GatewayError('SSH_RECORDS_UNAVAILABLE', 'unavailable', 'the command cannot be recorded, so it is not run; try again later', {
    cause,
  });
}
