/**
 * One watcher's stream in the form of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), bounded in
 * all directions: commands and sessions by rate, what is skipped is counted and told; bytes by what the reader has not taken yet, a
 * reader that falls too far behind is dropped and may come back for the rest.
 *
 * It knows nothing of who may see what: whoever writes to it has decided that.
 */

/** The part of a response that is used here. */
export interface StreamTarget {
  write(chunk: string): boolean;
  end(): void;
  destroy(): void;
  readonly writableLength: number;
}

export interface StreamLimits {
  /** Events of one rated type a second, and how many at once after a quiet time. */
  perSecond: number;
  burst: number;
  /** Bytes that the reader has not taken: beyond these, rated events are skipped; and the stream is dropped. */
  skipAboveBytes: number;
  dropAboveBytes: number;
  /** A reader that takes nothing for this long is dropped. */
  stalledMs: number;
}

export const defaultStreamLimits: StreamLimits = {
  perSecond: 50,
  burst: 200,
  skipAboveBytes: 256 * 1024,
  dropAboveBytes: 1024 * 1024,
  stalledMs: 30_000,
};

/** A storm of commands or of connections must not become one of events. */
const ratedTypes = ['command', 'session'] as const;
type RatedType = (typeof ratedTypes)[number];

export class EventStream {
  readonly #target: StreamTarget;
  readonly #limits: StreamLimits;
  readonly #tokens = new Map<RatedType, { left: number; atMs: number }>();
  readonly #skipped = new Map<RatedType, number>();
  #open = true;
  #writtenBytes = 0;
  /** The most that the reader had taken, and when that was seen first; null while it has everything. */
  #progress: { takenBytes: number; atMs: number } | null = null;

  constructor(target: StreamTarget, limits: StreamLimits = defaultStreamLimits) {
    this.#target = target;
    this.#limits = limits;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * @param id from where the watcher can go on after this event.
   * @param data JSON.
   */
  send(type: string, id: string, data: string, nowMs: number): void {
    if (!this.#open) return;
    const rated = ratedTypes.find(each => each === type);
    if (rated !== undefined && !this.#fits(rated, nowMs)) {
      this.#skipped.set(rated, (this.#skipped.get(rated) ?? 0) + 1);
      return;
    }
    this.#write(`id: ${id}\nevent: ${type}\ndata: ${data}\n\n`);
  }

  /** Called every few seconds: tells what was skipped, moves the position on, and shows that the line lives. */
  beat(id: string, nowMs: number): void {
    if (!this.#open) return;
    if (this.#isStalled(nowMs)) {
      this.drop();
      return;
    }
    if (this.#skipped.size > 0) {
      this.#write(`event: skipped\ndata: ${JSON.stringify(Object.fromEntries(this.#skipped))}\n\n`);
      this.#skipped.clear();
    }
    // Without data no event is dispatched, but the id counts.
    this.#write(`id: ${id}\n\n`);
  }

  /** Ends it in order: the reader gets what is on its way. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#target.end();
  }

  drop(): void {
    this.#open = false;
    this.#target.destroy();
  }

  #write(text: string): void {
    this.#target.write(text);
    this.#writtenBytes += Buffer.byteLength(text);
    if (this.#target.writableLength > this.#limits.dropAboveBytes) this.drop();
  }

  #fits(type: RatedType, nowMs: number): boolean {
    if (this.#target.writableLength > this.#limits.skipAboveBytes) return false;
    const { perSecond, burst } = this.#limits;
    const bucket = this.#tokens.get(type) ?? { left: burst, atMs: nowMs };
    const left = Math.min(burst, bucket.left + (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond);
    this.#tokens.set(type, { left: left < 1 ? left : left - 1, atMs: nowMs });
    return left >= 1;
  }

  #isStalled(nowMs: number): boolean {
    const waiting = this.#target.writableLength;
    const takenBytes = this.#writtenBytes - waiting;
    if (waiting === 0) this.#progress = null;
    else if (this.#progress === null || takenBytes > this.#progress.takenBytes) this.#progress = { takenBytes, atMs: nowMs };
    return this.#progress !== null && nowMs - this.#progress.atMs >= this.#limits.stalledMs;
  }
}
