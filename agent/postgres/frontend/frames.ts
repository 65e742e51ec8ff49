/**
 * The client's bytes as frames: completed across chunks, handed over one by one, and what becomes of them gathered into one write.
 *
 * A frame that is not touched goes on as a view of the bytes that came. The handler puts bytes of the gateway's own in front of a
 * frame or in its place, or makes a frame wait (`stall`) with all that came behind it. CopyData passes in pieces, whatever its size.
 * What a message means is not known here.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { giveFrameMemory, takeFrameMemory } from '../frame-budget.ts';
import { Frontend } from '../messages.ts';
import type { Relay } from '../relay.ts';

/** A statement's text longer than this cannot be judged. */
const TEXT_BYTES_MAX = 1024 * 1024;
/** Bind's parameters, together. */
const BIND_BYTES_MAX = 64 * 1024 * 1024;
/** What a client may send behind a command that waits for approval before it is read no further. */
const BEHIND_HELD_MAX = 1024 * 1024;
/** Any other message but CopyData, which streams. */
const MESSAGE_BYTES_MAX = 64 * 1024;

export const FLUSH = Buffer.from([Frontend.Flush, 0, 0, 0, 4]);

/** What becomes of a frame: it goes on as it is, something else went in its place, or it is handed over again later. */
export type Outcome = 'forward' | 'taken' | 'stall';

export interface FrameHandler {
  /** A whole frame of `frames.buffer`: its body is `[start, end)`. */
  message(type: number, frameStart: number, start: number, end: number): Outcome;
  /** Does a command wait for people? The client is read on then, to see whether it goes away. */
  readonly holds: boolean;
}

export class ClientFrames {
  readonly #relay: Relay;
  readonly #handler: FrameHandler;
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
  #behindHeld = 0;

  constructor(relay: Relay, handler: FrameHandler) {
    this.#relay = relay;
    this.#handler = handler;
  }

  /** Where the frame in hand lies. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Takes a chunk; it is the stream's from here on. */
  take(chunk: Buffer): void {
    if (this.#terminated) return;
    if (this.#stalled !== null) {
      this.#waiting.push(chunk);
      // While people are asked the client is read on, to see whether it goes away, up to a bound.
      if (this.#handler.holds) {
        this.#behindHeld += chunk.length;
        if (this.#behindHeld > BEHIND_HELD_MAX) this.#relay.stallFrontend();
      }
      return;
    }
    this.#process(chunk);
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

  /** Nothing of the client's is handled any more; the end of its stream is forwarded behind what is under way. */
  terminate(): void {
    this.#terminated = true;
  }

  #process(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial !== null) {
        at = this.#fill(chunk, at);
        if (at < 0) break;
        continue;
      }
      this.#whole(chunk, at);
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
    this.#whole(whole, 0);
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
  #whole(buffer: Buffer, from: number): void {
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
        const outcome = this.#handler.message(type, at, at + 5, frameEnd);
        if (outcome === 'stall') {
          this.cut(at);
          // Answers that are waited for may lie in the server's buffer until somebody asks for them.
          this.#pieces.push(FLUSH);
          this.#waiting.unshift(buffer.subarray(at));
          this.#stalledFrameWaits = true;
          if (this.#handler.holds) this.#behindHeld = 0;
          else this.#relay.stallFrontend();
          this.#send();
          if (this.#stalled === null) this.#relay.resumeFrontend();
          return;
        }
        if (outcome === 'taken') this.#runStart = frameEnd;
        if (this.#terminated) return;
        if (this.#stalled !== null) {
          // It goes on, and what comes behind it waits until it is settled what becomes of it.
          this.cut(frameEnd);
          this.#pieces.push(FLUSH);
          this.#stalledFrameWaits = false;
          if (frameEnd < end) this.#waiting.unshift(buffer.subarray(frameEnd));
          this.#relay.stallFrontend();
          return;
        }
      }
      at = frameEnd;
    }
    this.cut(at);
    return;
  }

  /** Keeps the beginning of a frame until the rest comes. */
  #keep(buffer: Buffer, at: number): void {
    this.cut(at);
    const rest = buffer.length - at;
    this.#partial = Buffer.allocUnsafe(Math.max(64, rest));
    buffer.copy(this.#partial, 0, at);
    this.#partialFilled = rest;
  }

  /** Everything before `at` that was not taken goes on as it is. */
  cut(at: number): void {
    if (at > this.#runStart)
      this.#pieces.push(this.#runStart === 0 && at === this.#buffer.length ? this.#buffer : this.#buffer.subarray(this.#runStart, at));
    this.#runStart = at;
  }

  /** Puts bytes of the gateway's own in the frame's place, or in front of it. */
  put(frameStart: number, ...bytes: readonly Buffer[]): void {
    this.cut(frameStart);
    this.#pieces.push(...bytes);
  }

  /** Behind what has been put or cut. */
  append(...bytes: readonly Buffer[]): void {
    this.#pieces.push(...bytes);
  }

  /** What the chunk has become is sent once record `index` is on disk. */
  sendAfter(index: number): void {
    this.#gate = Math.max(this.#gate, index);
  }

  /** The frame in hand is handed over again once `until` holds; it is asked at every answer. */
  stall(until: () => boolean): Outcome {
    this.#stalled = until;
    return 'stall';
  }

  /** What comes behind the frame in hand, which goes on, waits until `until` holds. */
  stallBehind(until: () => boolean): void {
    this.#stalled = until;
  }

  /** Handles a frame of before once more, in front of all that waits. */
  repeat(frame: Buffer): void {
    this.#waiting.unshift(frame);
  }
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
