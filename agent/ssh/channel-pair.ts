/**
 * A channel on both sides: the client's end, the host's end, and what every kind of channel does alike (windows, end of file,
 * close). What passes between the ends is each kind's own: it overrides the hooks, and nothing passes by itself.
 *
 * An end that was never opened is absent. A pair is over when both ends have sent and received a close.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { ChannelEnd } from './channel-end.ts';
import { Message, STDERR } from './messages.ts';

export type Side = 'client' | 'host';

export interface ChannelRequest {
  readonly type: string;
  readonly wantReply: boolean;
  /** Behind the fields that all requests have. */
  readonly reader: SshReader;
  /** The same as bytes, to be passed on unchanged. */
  readonly data: Buffer;
}

/** Where pairs live: numbers their ends and forgets those that are over. */
export interface ChannelHost {
  /** @throws {GatewayError} SSH_TOO_MANY_CHANNELS. */
  newEnd(side: Side, pair: ChannelPair): ChannelEnd;
  forget(side: Side, localId: number): void;
  /** The session's own time of last use. */
  touch(): void;
}

export abstract class ChannelPair {
  readonly channels: ChannelHost;
  client: ChannelEnd | null = null;
  host: ChannelEnd | null = null;

  constructor(channels: ChannelHost) {
    this.channels = channels;
  }

  end(side: Side): ChannelEnd | null {
    return side === 'client' ? this.client : this.host;
  }

  /** Makes an end with the next free number. */
  protected newEnd(side: Side): ChannelEnd {
    const end = this.channels.newEnd(side, this);
    end.onClosed = () => this.#settle(side);
    if (side === 'client') this.client = end;
    else this.host = end;
    return end;
  }

  /**
   * One message for the channel, its recipient read already. @throws {GatewayError} for what breaks the protocol.
   * @returns true: nothing of the bytes is kept.
   */
  take(side: Side, payload: Buffer): boolean | undefined {
    const end = this.end(side);
    if (end === null) return undefined;
    const reader = new SshReader(payload, 5);
    switch (payload[0]) {
      case Message.channelOpenConfirmation: {
        const remoteId = reader.uint32();
        const window = reader.uint32();
        const packetMax = reader.uint32();
        end.opened(remoteId, window, packetMax);
        this.onOpened(side);
        return undefined;
      }
      case Message.channelOpenFailure: {
        const code = reader.uint32();
        const text = reader.bytes().toString('utf8');
        this.channels.forget(side, end.localId);
        if (side === 'client') this.client = null;
        else this.host = null;
        this.onOpenFailed(side, code, text);
        return undefined;
      }
      case Message.channelWindowAdjust:
        end.windowAdjusted(reader.uint32());
        return undefined;
      case Message.channelData:
      case Message.channelExtendedData: {
        const kind = payload[0] === Message.channelData ? null : reader.uint32();
        const data = reader.bytes();
        reader.end();
        // It costs no window, and says nothing.
        if (data.length === 0) return undefined;
        if (end.receivedEof || end.receivedClose)
          throw new GatewayError('SSH_DATA_AFTER_EOF', 'protocol', 'data came on a channel after its end');
        end.received(data.length);
        this.channels.touch();
        if (kind === null || kind === STDERR) return this.onData(side, data, kind);
        end.consumed(data.length);
        return true;
      }
      case Message.channelEof:
        if (end.receivedEof || end.receivedClose) return undefined;
        end.receivedEof = true;
        this.onEof(side);
        return undefined;
      case Message.channelClose:
        if (end.receivedClose) return undefined;
        end.receivedClose = true;
        this.onClose(side);
        this.#settle(side);
        return undefined;
      case Message.channelRequest: {
        const type = reader.text();
        const wantReply = reader.boolean();
        const data = payload.subarray(reader.at);
        this.onRequest(side, { type, wantReply, reader, data });
        return undefined;
      }
      case Message.channelSuccess:
      case Message.channelFailure:
        this.onReply(side, payload[0] === Message.channelSuccess);
        return undefined;
      default:
        throw new GatewayError('SSH_MESSAGE_UNKNOWN', 'protocol', `message ${payload[0]} is none of a channel`);
    }
  }

  #settle(side: Side): void {
    const end = this.end(side);
    if (end === null || !end.sentClose || !end.receivedClose) return;
    this.channels.forget(side, end.localId);
    this.onSettled(side);
  }

  protected abstract onOpened(side: Side): void;
  protected abstract onOpenFailed(side: Side, code: number, text: string): void;
  /** @returns true: nothing of the bytes is kept; otherwise they are the channel's. */
  protected abstract onData(side: Side, data: Buffer, kind: number | null): boolean | undefined;
  protected abstract onEof(side: Side): void;
  protected abstract onClose(side: Side): void;
  protected abstract onRequest(side: Side, request: ChannelRequest): void;
  protected abstract onReply(side: Side, success: boolean): void;
  /** An end is closed both ways. */
  protected onSettled(_side: Side): void {
    // Most kinds have nothing to do then.
  }

  /** Does something run on it, so that the session is not idle? */
  abstract readonly isBusy: boolean;

  /** The session ends: what is open is recorded as broken off. @throws what the sink throws. */
  abstract abort(reason: string, code: string): void;
}
