/**
 * One side of an SSH channel: its numbers and windows, and what waits to be sent on it. Whatever is put in leaves in that order,
 * so that an exit status never overtakes the output before it, nor a close either.
 *
 * Windows are the only buffer: bytes count as consumed for the side that they came from when they have been sent on the other, so
 * a reader that stops stops its own source, and nothing else.
 *
 * @see RFC 4254, 5.2
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { Message } from './messages.ts';
import { giveBack } from './own-memory.ts';
import type { Transport } from './transport.ts';

/** What a peer may have under way to us. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
export const PACKET_BYTES_MAX = 32 * 1024;
/** Windows are given back in pieces of this size, not for every packet. */
const ADJUST_BYTES = 256 * 1024;
/** Messages between data that may wait; a peer that sends more without reading is not served further. */
const WAITING_MAX = 4096;
const UINT32_MAX = 0xffff_ffff;

type Waiting =
  | { type: 'data'; data: Buffer; kind: number | null; sent: (() => void) | null; copy: Buffer | null }
  | { type: 'message'; payload: Buffer; after: (() => void) | null }
  | { type: 'eof' }
  | { type: 'close' };

export class ChannelEnd {
  readonly transport: Transport;
  readonly localId: number;
  #remoteId = -1;
  #remoteWindow = 0;
  #packetMax = 0;
  #localWindow = WINDOW_BYTES;
  #consumed = 0;
  readonly #waiting: Waiting[] = [];
  #held = false;
  #sentEof = false;
  #sentClose = false;
  receivedClose = false;
  receivedEof = false;
  bytesSent = 0;
  bytesReceived = 0;

  constructor(transport: Transport, localId: number) {
    this.transport = transport;
    this.localId = localId;
  }

  opened(remoteId: number, window: number, packetMax: number): void {
    this.#remoteId = remoteId;
    this.#remoteWindow = window;
    // RFC 4253 6.1 has every peer take packets of this size; less is a way to make us send millions of them.
    this.#packetMax = Math.min(Math.max(packetMax, 1024), PACKET_BYTES_MAX);
    this.flush();
  }

  get remoteId(): number {
    return this.#remoteId;
  }

  get sentClose(): boolean {
    return this.#sentClose;
  }

  /** Nothing leaves until it is released: what came before is not decided yet. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.flush();
  }

  /** Drops what waits: it came from a client whose command was refused. */
  drop(): void {
    for (const item of this.#waiting.splice(0)) if (item.type === 'data') item.sent?.();
    this.#held = false;
  }

  /** Bytes that the peer sent. @throws {GatewayError} SSH_WINDOW: more than it was allowed to. */
  received(bytes: number): void {
    this.#localWindow -= bytes;
    this.bytesReceived += bytes;
    if (this.#localWindow < 0) throw new GatewayError('SSH_WINDOW', 'protocol', 'more was sent on a channel than its window allows');
  }

  /** Bytes that the peer sent have gone where they go: it may send as many again. */
  consumed(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < ADJUST_BYTES || this.#sentClose || this.receivedClose || this.#remoteId < 0) return;
    const adjust = this.#consumed;
    this.#consumed = 0;
    this.#localWindow += adjust;
    this.transport.send(new SshWriter(16).byte(Message.channelWindowAdjust).uint32(this.#remoteId).uint32(adjust).finish());
  }

  windowAdjusted(bytes: number): void {
    this.#remoteWindow += bytes;
    if (this.#remoteWindow > UINT32_MAX) throw new GatewayError('SSH_WINDOW', 'protocol', 'a window was made larger than it can be');
    this.flush();
  }

  /**
   * @param sent called when all of it has been handed to the connection. The bytes must not change before.
   * @param lent the bytes may change when the call has returned: what has to wait is copied.
   * @returns true: nothing of the bytes is kept.
   */
  sendData(data: Buffer, kind: number | null, sent: (() => void) | null = null, lent = false): boolean {
    if (this.#sentClose) {
      sent?.();
      return true;
    }
    let rest = data;
    if (this.#waiting.length === 0 && !this.#held) {
      rest = this.#sendSome(data, kind);
      if (rest.length === 0) {
        sent?.();
        return true;
      }
    }
    const copy = lent ? Buffer.from(rest) : null;
    this.#enqueue({ type: 'data', data: copy ?? rest, kind, sent, copy });
    return lent;
  }

  /** Sends as much as may be sent now. @returns what is left. */
  #sendSome(data: Buffer, kind: number | null): Buffer {
    let rest = data;
    while (rest.length > 0 && this.#remoteWindow > 0 && !this.transport.backedUp) {
      const length = Math.min(rest.length, this.#remoteWindow, this.#packetMax);
      this.#sendPiece(length === rest.length ? rest : rest.subarray(0, length), kind);
      rest = rest.subarray(length);
    }
    return rest;
  }

  #sendPiece(data: Buffer, kind: number | null): void {
    this.#remoteWindow -= data.length;
    this.bytesSent += data.length;
    this.transport.sendData(this.#remoteId, kind, data);
  }

  /** A channel request or another message of the channel, behind the data that waits. `payload` lacks nothing but order. */
  sendMessage(payload: Buffer, after: (() => void) | null = null): void {
    this.#enqueue({ type: 'message', payload, after });
  }

  request(type: string, wantReply: boolean, data: Uint8Array = new Uint8Array(0)): void {
    this.sendMessage(encodeRequest(this.#remoteId, type, wantReply, data));
  }

  /** A request that sets the channel up: it leaves at once, before whatever is held. */
  requestNow(type: string, wantReply: boolean, data: Uint8Array = new Uint8Array(0)): void {
    if (this.#sentClose || this.#remoteId < 0) return;
    this.transport.send(encodeRequest(this.#remoteId, type, wantReply, data));
  }

  /** Answers a request at once; answers do not wait for data. */
  reply(success: boolean): void {
    if (this.#sentClose) return;
    this.transport.send(
      new SshWriter(8)
        .byte(success ? Message.channelSuccess : Message.channelFailure)
        .uint32(this.#remoteId)
        .finish(),
    );
  }

  eof(): void {
    this.#enqueue({ type: 'eof' });
  }

  close(): void {
    this.#enqueue({ type: 'close' });
  }

  #enqueue(item: Waiting): void {
    if (this.#waiting.length >= WAITING_MAX) throw new GatewayError('SSH_CHANNEL_FLOOD', 'protocol', 'too much waits on one channel');
    this.#waiting.push(item);
    this.flush();
  }

  /** Sends what may be sent now. */
  flush(): void {
    while (!this.#held && this.#remoteId >= 0) {
      const item = this.#waiting[0];
      if (item === undefined) return;
      if (item.type === 'data') {
        if (this.#sentEof || this.#sentClose) {
          this.#waiting.shift();
          item.sent?.();
          continue;
        }
        item.data = this.#sendSome(item.data, item.kind);
        if (item.data.length > 0) return;
        if (item.copy !== null) giveBack(item.copy);
        this.#waiting.shift();
        item.sent?.();
        continue;
      }
      this.#waiting.shift();
      if (this.#sentClose) continue;
      if (item.type === 'message') {
        this.transport.send(item.payload);
        item.after?.();
      } else if (item.type === 'eof') {
        if (this.#sentEof) continue;
        this.#sentEof = true;
        this.transport.send(new SshWriter(8).byte(Message.channelEof).uint32(this.#remoteId).finish());
      } else {
        this.#sentClose = true;
        this.transport.send(new SshWriter(8).byte(Message.channelClose).uint32(this.#remoteId).finish());
        this.onClosed();
      }
    }
  }

  /** CHANNEL_CLOSE has left, behind everything else. */
  onClosed: () => void = () => undefined;
}

function encodeRequest(recipient: number, type: string, wantReply: boolean, data: Uint8Array): Buffer {
  return new SshWriter(32 + data.length).byte(Message.channelRequest).uint32(recipient).string(type).boolean(wantReply).raw(data).finish();
}
