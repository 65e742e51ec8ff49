/**
 * The records of one session, with contiguous sequence numbers.
 *
 * It encodes, chains and appends: each record holds the SHA-256 of the one before it, and the last hash is the session's head, which
 * checkpoints vouch for (agent/evidence). It neither masks (callers hand over masked text only) nor waits for the disk (output-commit
 * is the protocol's, by the index that is returned). When the sink refuses a record, the sequence number is not used up: nothing was
 * recorded, and the caller must not forward.
 */
import type { ContentSealer } from '@sallyport/shared/crypto/contents.ts';
import { sha256Into } from '@sallyport/shared/crypto/sha256.ts';
import {
  type ApprovalNotedBody,
  type CommandBody,
  commandPart,
  encodeApprovalNoted,
  encodeCancelRequested,
  encodeCommand,
  encodeOutputChunk,
  encodeResponse,
  encodeSessionEnded,
  encodeSessionStarted,
  outputChunkPart,
  type ResponseBody,
  responsePart,
  type SessionEndedBody,
  type SessionStartedBody,
} from '@sallyport/shared/records/encode.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';
import { nowUnixUs } from './clock.ts';

/** Contents are written as they are, or sealed, or, where they must be sealed and there is no key, not at all. */
export type Contents = 'readable' | 'left out' | ContentSealer;

export class SessionRecorder {
  readonly sink: RecordSink;
  /** SHA-256 of the last record; meaningless before the first. */
  readonly lastHash: Uint8Array = new Uint8Array(32);
  readonly #head: { sessionId: string; seq: number; atUnixUs: number; previousHash: Uint8Array | undefined };
  readonly #contents: Contents;
  #ended = false;

  /** @param contents how what can be erased later is written. */
  constructor(sink: RecordSink, sessionId: string, contents: Contents = 'readable') {
    this.sink = sink;
    this.#contents = contents;
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
  #append(record: Uint8Array, isAwaited = true): number {
    const index = this.sink.append(record, isAwaited);
    // Hashed after it was taken: a record that was refused is not in the chain.
    sha256Into(record, this.lastHash);
    this.#head.previousHash = this.lastHash;
    this.#head.seq++;
    return index;
  }

  started(body: SessionStartedBody): number {
    const contents = this.#contents;
    if (contents === 'readable') return this.#append(encodeSessionStarted(this.#next(), body));
    const key = contents === 'left out' ? { contentKeyId: 'none' } : { contentKeyId: contents.keyId, contentKey: contents.sealedKey };
    return this.#append(encodeSessionStarted(this.#next(), { ...body, ...key }));
  }

  ended(body: SessionEndedBody): number {
    const index = this.#append(encodeSessionEnded(this.#next(), body));
    this.#ended = true;
    return index;
  }

  command(body: CommandBody, fixed: Uint8Array | undefined): number {
    if (this.#contents === 'readable' || body.parameters === undefined || body.parameters.length === 0)
      return this.#append(encodeCommand(this.#next(), body, fixed));
    const { parameters, ...rest } = body;
    const sealed = this.#seal(() => commandPart({ parameters }));
    return this.#append(encodeCommand(this.#next(), { ...rest, sealed }, fixed));
  }

  /** Nothing is released by it: what the answer waits for is its command's record. */
  response(body: ResponseBody, fixed: Uint8Array | undefined): number {
    if (this.#contents === 'readable') return this.#append(encodeResponse(this.#next(), body, fixed), false);
    // The digest goes with the contents: from it, short contents could be guessed back.
    const { head, sha256, errorText, ...rest } = body;
    const sealed = this.#seal(() => responsePart({ head, sha256, errorText }));
    const isCut = rest.headTruncated === true || (sealed === undefined && head !== undefined && head.length > 0);
    return this.#append(encodeResponse(this.#next(), { ...rest, headTruncated: isCut, sealed }, fixed), false);
  }

  cancelRequested(commandSeq: number, by: 'client' | 'console' | 'policy'): number {
    return this.#append(encodeCancelRequested(this.#next(), { commandSeq, by }));
  }

  approvalNoted(body: ApprovalNotedBody): number {
    return this.#append(encodeApprovalNoted(this.#next(), body));
  }

  /** @param stream what a piece of a terminal's recording is (proto OutputChunk.stream); absent: contents of a response. */
  outputChunk(commandSeq: number, offset: number, data: Uint8Array, stream?: string): number {
    if (this.#contents === 'readable') return this.#append(encodeOutputChunk(this.#next(), { commandSeq, offset, data, stream }));
    const sealed = this.#seal(() => outputChunkPart({ data }));
    return this.#append(encodeOutputChunk(this.#next(), { commandSeq, offset, stream, sealed }));
  }

  /** undefined: there is nothing to seal, or no key to seal it with. */
  #seal(part: () => Uint8Array): Uint8Array | undefined {
    if (typeof this.#contents === 'string') return undefined;
    const contents = part();
    return contents.length === 0 ? undefined : this.#contents.seal(this.#head.seq, contents);
  }
}
