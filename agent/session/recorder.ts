/**
 * The records of one session, with contiguous sequence numbers.
 *
 * It encodes, chains and appends: each record holds the SHA-256 of the one before it, and the last hash is the session's head, which
 * checkpoints vouch for (agent/evidence). It neither masks (callers hand over masked text only) nor waits for the disk (output-commit
 * is the protocol's, by the index that is returned). When the sink refuses a record, the sequence number is not used up: nothing was
 * recorded, and the caller must not forward.
 */
import { sha256Into } from '@sallyport/shared/crypto/sha256.ts';
import {
  type ApprovalNotedBody,
  type CommandBody,
  encodeApprovalNoted,
  encodeCancelRequested,
  encodeCommand,
  encodeOutputChunk,
  encodeResponse,
  encodeSessionEnded,
  encodeSessionStarted,
  type ResponseBody,
  type SessionEndedBody,
  type SessionStartedBody,
} from '@sallyport/shared/records/encode.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';
import { nowUnixUs } from './clock.ts';

export class SessionRecorder {
  readonly sink: RecordSink;
  /** SHA-256 of the last record; meaningless before the first. */
  readonly lastHash: Uint8Array = new Uint8Array(32);
  readonly #head: { sessionId: string; seq: number; atUnixUs: number; previousHash: Uint8Array | undefined };
  #ended = false;

  constructor(sink: RecordSink, sessionId: string) {
    this.sink = sink;
    this.#head = { sessionId, seq: 0, atUnixUs: 0, previousHash: undefined };
  }

  /** Has the session's last record been written? */
  get isEnded(): boolean {
    return this.#ended;
  }

  /** The sequence number of the next record. */
  get nextSeq(): number {
    return this.#head.seq;
  }

  #next() {
    this.#head.atUnixUs = nowUnixUs();
    return this.#head;
  }

  /** @returns the record's index in the sink. @throws what the sink throws; then nothing was recorded. */
  #append(record: Uint8Array): number {
    const index = this.sink.append(record);
    // Hashed after it was taken: a record that was refused is not in the chain.
    sha256Into(record, this.lastHash);
    this.#head.previousHash = this.lastHash;
    this.#head.seq++;
    return index;
  }

  started(body: SessionStartedBody): number {
    return this.#append(encodeSessionStarted(this.#next(), body));
  }

  ended(body: SessionEndedBody): number {
    const index = this.#append(encodeSessionEnded(this.#next(), body));
    this.#ended = true;
    return index;
  }

  command(body: CommandBody, fixed: Uint8Array | undefined): number {
    return this.#append(encodeCommand(this.#next(), body, fixed));
  }

  response(body: ResponseBody, fixed: Uint8Array | undefined): number {
    return this.#append(encodeResponse(this.#next(), body, fixed));
  }

  cancelRequested(commandSeq: number, by: 'client' | 'console' | 'policy'): number {
    return this.#append(encodeCancelRequested(this.#next(), { commandSeq, by }));
  }

  approvalNoted(body: ApprovalNotedBody): number {
    return this.#append(encodeApprovalNoted(this.#next(), body));
  }

  /** @param stream what a piece of a terminal's recording is (proto OutputChunk.stream); absent: contents of a response. */
  outputChunk(commandSeq: number, offset: number, data: Uint8Array, stream?: string): number {
    return this.#append(encodeOutputChunk(this.#next(), { commandSeq, offset, data, stream }));
  }
}
