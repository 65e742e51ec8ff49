/**
 * What a command writes, from the host's end of its channel to the client's: masked, recorded, released, in that order; standard
 * output and errors each as a stream of its own.
 *
 * The bytes count as consumed at the host's end when they have left for the client, so that a client which stops reading stops its
 * host. Where all of the output is recorded, they also wait for the disk: a host can write faster than records can be kept.
 */
import type { LiveSession } from '../session/live-session.ts';
import type { ChannelEnd } from './channel-end.ts';
import type { HostCommand } from './command.ts';
import { isErasure, MaskingStream, type MaskOptions } from './output.ts';

export interface HostOutputOptions {
  session: LiveSession;
  command: HostCommand;
  client: ChannelEnd;
  host: ChannelEnd;
  /** Runs what a timer or the disk calls; a fault in it ends the session. */
  guard: (run: () => void) => void;
  /** A terminal: what is echoed passes at once, and records are looked at in longer pieces than the client gets. */
  terminal: boolean;
  /** More came than the role's budget lets through: nothing is released any more. */
  overBudget: () => void;
  /** Sees the output as it came, before it is masked; the bytes are good for the call alone. */
  observe?: (data: Buffer) => void;
}

/** Keys whose echo is awaited. */
const TYPED_MAX = 256;

interface Stream {
  /** To the client. */
  released: MaskingStream | null;
  /** To the record, where the principal is exempt from masks and the record is not. */
  recorded: MaskingStream | null;
}

export class HostOutput {
  readonly #options: HostOutputOptions;
  readonly #output: Stream;
  readonly #errors: Stream;
  #typed: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(options: HostOutputOptions) {
    this.#options = options;
    this.#output = this.#stream(null);
    this.#errors = this.#stream(1);
  }

  #stream(kind: number | null): Stream {
    const { session, command, guard } = this.#options;
    const { inForce, resource } = session;
    const masks = (detectors: MaskOptions['detectors']): MaskOptions => ({
      detectors,
      kind: inForce.policy.detectorMask,
      key: resource.maskKey,
    });
    const { output } = inForce;
    const recordedBy = inForce.recording !== null || this.#options.terminal ? (output?.recorded ?? null) : null;
    const apart = recordedBy !== null;
    return {
      released:
        output === null
          ? null
          : new MaskingStream(
              masks(output.released),
              (bytes, credit) => guard(() => this.#release(bytes, kind, credit, apart ? null : bytes)),
              detector => command.classify(detector),
            ),
      recorded:
        recordedBy === null
          ? null
          : new MaskingStream(
              masks(recordedBy),
              bytes => guard(() => void command.capture(kind === null ? 'o' : 'e', bytes)),
              detector => command.classifyRecorded(detector),
              this.#options.terminal,
            ),
    };
  }

  /** Keys that go to the host: their echo is the client's own. */
  typed(keys: Buffer): void {
    if (this.#options.terminal && this.#output.released !== null) this.#typed = Buffer.concat([this.#typed, keys]).subarray(-TYPED_MAX);
  }

  #isEcho(data: Buffer): boolean {
    if (this.#typed.length === 0) return false;
    const is = data.length <= this.#typed.length && this.#typed.subarray(0, data.length).equals(data) && data.every(isPrintable);
    this.#typed = is ? this.#typed.subarray(data.length) : this.#typed.subarray(this.#typed.length);
    return is;
  }

  /** A line of the gateway's own on the terminal: in the recording as well. */
  say(text: Buffer): void {
    this.#options.command.capture('o', text);
    this.#options.client.sendData(text, null);
  }

  /** @param data the caller's again when this returns. */
  push(data: Buffer, kind: number | null): void {
    if (this.#isOver) {
      this.#options.host.consumed(data.length);
      return;
    }
    this.#options.observe?.(data);
    const { released, recorded } = kind === null ? this.#output : this.#errors;
    recorded?.push(data);
    const isRecordedHere = recorded === null;
    if (released !== null) {
      const saysNothing = kind === null && (this.#isEcho(data) || (this.#options.terminal && isErasure(data)));
      if (!(saysNothing && released.passEcho(data))) released.push(data);
    } else this.#release(data, kind, data.length, isRecordedHere ? data : null);
  }

  #release(all: Buffer, kind: number | null, credit: number, toRecord: Buffer | null): void {
    const { command, client, host, session, guard } = this.#options;
    if (this.#isOver) {
      host.consumed(credit);
      return;
    }
    const taken = session.budget?.takeBytes(all.length) ?? all.length;
    const data = taken < all.length ? all.subarray(0, taken) : all;
    const recorded = toRecord === all ? data : toRecord;
    const index = recorded === null || recorded.length === 0 ? -1 : command.capture(kind === null ? 'o' : 'e', recorded);
    command.released(data);
    const consumed =
      index < 0
        ? () => host.consumed(credit)
        : () =>
            session.recorder.sink.whenDurable(index, error =>
              guard(() => {
                if (error !== null) throw error;
                host.consumed(credit);
              }),
            );
    client.sendData(data, kind, consumed, true);
    if (taken === all.length) return;
    this.#isOver = true;
    this.#options.overBudget();
  }

  /** Everything that is held back goes. */
  end(): void {
    for (const { released, recorded } of [this.#output, this.#errors]) {
      released?.end();
      recorded?.end();
    }
  }
}

function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}
