/**
 * A forwarded connection (`direct-tcpip`, `forwarded-tcpip`): who opened it, where it goes, how much went through. What goes through
 * is not looked into: it may be anything, and mostly is encrypted.
 *
 *     judging ─▶ opening ─▶ open ─▶ over
 *        └──────────┴─────────────▶ over
 *
 * @see RFC 4254, 7.2
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { PACKET_BYTES_MAX, WINDOW_BYTES } from './channel-end.ts';
import { ChannelPair, type ChannelRequest, type Side } from './channel-pair.ts';
import type { CommandOptions, HostCommand } from './command.ts';
import { HeldCommand } from './held-command.ts';
import { Message, OpenFailure } from './messages.ts';
import type { Relay } from './relay.ts';

type State = 'judging' | 'opening' | 'open' | 'over';

const MOVES: Readonly<Record<State, readonly State[]>> = {
  judging: ['opening', 'over'],
  opening: ['open', 'over'],
  open: ['over'],
  over: [],
};

export interface ForwardOptions {
  relay: Relay;
  /** Who asks for it. */
  from: Side;
  type: 'direct-tcpip' | 'forwarded-tcpip';
  /** Of the opener's message. */
  open: { remoteId: number; window: number; packetMax: number };
  /** The rest of that message, passed on unchanged. */
  data: Buffer;
  command: CommandOptions;
}

export class ForwardChannel extends ChannelPair {
  readonly #options: ForwardOptions;
  readonly #near: Side;
  readonly #far: Side;
  readonly #command: HostCommand;
  #held: HeldCommand | null = null;
  #state: State = 'judging';
  readonly isBusy = false;

  constructor(options: ForwardOptions) {
    const { relay, from, open } = options;
    super(relay);
    this.#options = options;
    this.#near = from;
    this.#far = from === 'client' ? 'host' : 'client';
    this.newEnd(from).opened(open.remoteId, open.window, open.packetMax);
    const { decision } = options.command.judged;
    if (decision.action === 'hold') {
      this.#held = new HeldCommand(relay, {
        command: options.command,
        // There is no channel yet on which anything could be said.
        say: () => undefined,
        settled: refusal => (refusal === null ? this.#openFar() : this.#refuse(refusal)),
      });
      this.#command = this.#held.command;
      return;
    }
    const command = relay.newCommand(options.command);
    this.#command = command;
    if (decision.action === 'deny') relay.gateway.metrics.denied++;
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decision.action === 'allow') this.#openFar();
        else this.#refuse(decision.message);
      }),
    );
  }

  #move(next: State): void {
    if (!MOVES[this.#state].includes(next))
      throw new GatewayError('SSH_STATE', 'internal', `a forwarded connection cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  #transport(side: Side) {
    return side === 'client' ? this.#options.relay.downstream : this.#options.relay.upstream;
  }

  #refuse(message: string): void {
    if (this.#state === 'over') return;
    this.#command.end({ status: 'refused', errorCode: 'SSH_DENIED', errorText: this.#options.relay.recordText(message) });
    this.#move('over');
    this.#failOpen(OpenFailure.administrativelyProhibited, message);
  }

  #failOpen(code: number, text: string): void {
    const near = this.end(this.#near);
    if (near === null) return;
    const shown = this.#options.relay.cleanText(text).slice(0, 300);
    this.#transport(this.#near).send(
      new SshWriter().byte(Message.channelOpenFailure).uint32(near.remoteId).uint32(code).string(shown).string('').finish(),
    );
    this.channels.forget(this.#near, near.localId);
  }

  #openFar(): void {
    if (this.#state === 'over') return;
    this.#move('opening');
    const far = this.newEnd(this.#far);
    this.#transport(this.#far).send(
      new SshWriter(64)
        .byte(Message.channelOpen)
        .string(this.#options.type)
        .uint32(far.localId)
        .uint32(WINDOW_BYTES)
        .uint32(PACKET_BYTES_MAX)
        .raw(this.#options.data)
        .finish(),
    );
  }

  protected onOpened(side: Side): void {
    const near = this.end(this.#near);
    if (side !== this.#far || near === null) return;
    if (this.#state === 'over') {
      this.end(side)?.close();
      return;
    }
    this.#move('open');
    this.#transport(this.#near).send(
      new SshWriter(32)
        .byte(Message.channelOpenConfirmation)
        .uint32(near.remoteId)
        .uint32(near.localId)
        .uint32(WINDOW_BYTES)
        .uint32(PACKET_BYTES_MAX)
        .finish(),
    );
  }

  protected onOpenFailed(side: Side, code: number, text: string): void {
    if (side !== this.#far || this.#state === 'over') return;
    this.#command.end({ status: 'error', errorCode: 'SSH_CONNECT_FAILED', errorText: this.#options.relay.recordText(text).slice(0, 300) });
    this.#move('over');
    this.#failOpen(code, text);
  }

  protected onData(side: Side, data: Buffer): boolean {
    const from = this.end(side);
    const to = this.end(side === 'client' ? 'host' : 'client');
    if (to === null || this.#state === 'over') {
      from?.consumed(data.length);
      return true;
    }
    const { budget } = this.#options.relay.session;
    const taken = side === 'host' && budget !== null ? budget.takeBytes(data.length) : data.length;
    const isGone = to.sendData(taken < data.length ? data.subarray(0, taken) : data, null, () => from?.consumed(data.length));
    if (taken === data.length || budget === null) return isGone;
    // A connection cannot be told why: the record is.
    this.#over('aborted', 'SSH_BUDGET_SPENT', budget.describe());
    to.close();
    from?.close();
    return isGone;
  }

  protected onEof(side: Side): void {
    this.end(side === 'client' ? 'host' : 'client')?.eof();
  }

  protected onClose(side: Side): void {
    this.end(side === 'client' ? 'host' : 'client')?.close();
    this.end(side)?.close();
    this.#over('ok');
  }

  protected onRequest(side: Side, request: ChannelRequest): void {
    if (request.wantReply) this.end(side)?.reply(false);
  }

  protected onReply(): void {
    throw new GatewayError('SSH_REPLY_UNEXPECTED', 'protocol', 'an answer came to what was not asked');
  }

  #over(status: 'ok' | 'aborted', code?: string, reason?: string): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    const toClient = this.client?.bytesSent ?? 0;
    const toHost = this.host?.bytesSent ?? 0;
    this.#command.end({
      status,
      tag: `sent ${toHost} received ${toClient}`,
      bytes: toClient,
      ...(code === undefined ? {} : { errorCode: code }),
      ...(reason === undefined ? {} : { errorText: reason }),
    });
  }

  abort(reason: string, code: string): void {
    if (this.#held?.waits === true) this.#held.withdraw(reason);
    this.#over('aborted', code, reason);
  }
}
