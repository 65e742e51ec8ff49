/**
 * One session between a client's connection and the agent's own at the host: which channels there are, whose messages are whose,
 * how it ends. What happens on a channel is the channel's.
 *
 * Whatever throws on the way of a message, a timer or the disk ends the session: nothing goes on after a fault or without records.
 *
 * @see RFC 4254
 */
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';
import type { Gateway } from '../session/gateway.ts';
import type { EndCause, LiveSession } from '../session/live-session.ts';
import type { Authenticated } from './authentication.ts';
import { ChannelEnd } from './channel-end.ts';
import type { ChannelHost, ChannelPair, Side } from './channel-pair.ts';
import { type CommandOptions, HostCommand } from './command.ts';
import { destinationAllowed, shownDestination } from './destinations.ts';
import { ForwardChannel } from './forward-channel.ts';
import { Judge } from './judge.ts';
import { DisconnectReason, Message, OpenFailure } from './messages.ts';
import { Observers } from './observers.ts';
import { maskWhole } from './output.ts';
import { RemoteForwards } from './remote-forwards.ts';
import { SessionChannel } from './session-channel.ts';
import { Appended } from './sftp/open-file.ts';
import { PathLock } from './sftp/path-lock.ts';
import type { Transport } from './transport.ts';

/** Channels of one connection at the same time; each may hold a window's worth. */
const CHANNELS_MAX = 128;
const REASON_MAX = 500;

export interface RelayOptions {
  gateway: Gateway;
  session: LiveSession;
  downstream: Transport;
  upstream: Transport;
  account: string;
  authenticated: Authenticated;
  /** Recorded before the relay began. */
  commands: number;
}

const END_TEXTS: Readonly<Record<EndCause, string>> = {
  killed: 'the session was terminated by an operator',
  idleTimeout: 'the session was idle for too long',
  maxDuration: 'the session has reached its longest time',
  grantWithdrawn: 'access to this resource has ended',
  tokenRevoked: 'access to this resource has ended',
  drained: 'the gateway is shutting down; connect again',
  leaseExpired: 'the gateway has lost its control plane',
  recordsUnavailable: 'evidence cannot be written, so the session cannot go on',
};

export class Relay implements ChannelHost {
  readonly gateway: Gateway;
  readonly session: LiveSession;
  readonly downstream: Transport;
  readonly upstream: Transport;
  readonly judge: Judge;
  readonly authenticated: Authenticated;
  /** Orders what file transfers of this session do to paths. */
  readonly paths = new PathLock();
  readonly appended = new Appended();
  readonly observers = new Observers(this);
  readonly #client = new Map<number, ChannelPair>();
  readonly #host = new Map<number, ChannelPair>();
  readonly #remoteForwards = new RemoteForwards(this);
  #nextId = 0;
  #commands: number;
  #ending = false;
  #ended = false;

  constructor(options: RelayOptions) {
    const { gateway, session, downstream, upstream, account, authenticated } = options;
    this.gateway = gateway;
    this.session = session;
    this.downstream = downstream;
    this.upstream = upstream;
    this.authenticated = authenticated;
    this.#commands = options.commands;
    this.judge = new Judge(session, account);
    session.isBusy = () => [...this.#client.values(), ...this.#host.values()].some(pair => pair.isBusy);
    session.onObserved = (watchId, observer, forMs) => this.guard(() => this.observers.seen(watchId, observer, forMs));
    session.onEnd = (cause, reason) => this.#end(`${END_TEXTS[cause]}: ${reason}`, cause, END_TEXTS[cause]);
    downstream.events = {
      onReady: () => undefined,
      onMessage: payload => this.#message('client', payload),
      onServiceRequest: () => {
        throw new GatewayError('SSH_STATE', 'protocol', 'a service was asked for after authentication');
      },
      onDrain: () => this.#flush(this.#client, 'client'),
      onClosed: error => this.#closed('client', error),
    };
    upstream.events = {
      onReady: () => undefined,
      onMessage: payload => this.#message('host', payload),
      onDrain: () => this.#flush(this.#host, 'host'),
      onClosed: error => this.#closed('host', error),
    };
  }

  /** Runs in place of whatever is asked for; null: nothing is forced. */
  get forcedCommand(): string | null {
    return this.authenticated.forceCommand ?? this.session.sshAccess?.forceCommand ?? null;
  }

  #flush(pairs: Map<number, ChannelPair>, side: Side): void {
    for (const pair of [...pairs.values()]) pair.end(side)?.flush();
  }

  newEnd(side: Side, pair: ChannelPair): ChannelEnd {
    const pairs = side === 'client' ? this.#client : this.#host;
    if (pairs.size >= CHANNELS_MAX) throw new GatewayError('SSH_TOO_MANY_CHANNELS', 'protocol', `more than ${CHANNELS_MAX} channels`);
    const end = new ChannelEnd(side === 'client' ? this.downstream : this.upstream, this.#nextId++);
    pairs.set(end.localId, pair);
    return end;
  }

  forget(side: Side, localId: number): void {
    (side === 'client' ? this.#client : this.#host).delete(localId);
  }

  touch(): void {
    this.session.lastActiveAtMs = Date.now();
  }

  /** Runs what is not called by a connection: what it throws ends the session. */
  guard(run: () => void): void {
    if (this.#ended) return;
    try {
      run();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    const known = error instanceof GatewayError ? error : new GatewayError('SSH_FAULT', 'internal', errorText(error), { cause: error });
    if (known.kind === 'internal') this.gateway.report(known);
    const told = known.code.startsWith('SPOOL_')
      ? END_TEXTS.recordsUnavailable
      : known.kind === 'internal'
        ? 'internal error of the gateway'
        : known.message;
    this.#end(known.message, known.code, told);
  }

  /** Records a command; text and parameters may hold secrets, which are masked here. @throws what the sink throws. */
  newCommand(options: CommandOptions): HostCommand {
    const { parameters } = options;
    const command = new HostCommand(this.session, {
      ...options,
      text: options.isOwnText === true ? options.text : this.recordText(options.text),
      ...(parameters === undefined ? {} : { parameters: parameters.map(each => this.recordText(each)) }),
    });
    this.#commands++;
    this.gateway.metrics.commands++;
    return command;
  }

  /** A text as records hold it. */
  recordText(text: string): string {
    return this.#masked(text, this.session.inForce.output?.recorded ?? null);
  }

  /** A text as the client may see it. */
  cleanText(text: string): string {
    return this.#masked(text, this.session.inForce.output?.released ?? null);
  }

  #masked(text: string, detectors: DetectorSet | null): string {
    if (detectors === null) return text;
    return maskWhole(text, { detectors, kind: this.session.inForce.policy.detectorMask, key: this.session.resource.maskKey });
  }

  /** @returns true: nothing of the bytes is kept. */
  #message(side: Side, payload: Buffer): boolean | undefined {
    if (this.#ended) return undefined;
    const type = payload[0] as number;
    switch (type) {
      case Message.globalRequest:
        this.#globalRequest(side, new SshReader(payload, 1));
        return undefined;
      case Message.channelOpen:
        this.#channelOpen(side, new SshReader(payload, 1));
        return undefined;
      case Message.userauthRequest:
        // RFC 4252, 5.1: those that come after the success are ignored.
        if (side === 'client') return undefined;
        break;
      case Message.userauthBanner:
        if (side === 'host') return undefined;
        break;
      default:
        if (type >= Message.channelOpenConfirmation && type <= Message.channelFailure) {
          const pair = (side === 'client' ? this.#client : this.#host).get(new SshReader(payload, 1).uint32());
          // A channel that is over may still be spoken of by who has not heard of it.
          return pair?.take(side, payload);
        }
    }
    throw new GatewayError('SSH_MESSAGE_UNKNOWN', 'protocol', `message ${type} was not expected`);
  }

  #globalRequest(side: Side, reader: SshReader): void {
    const name = reader.text();
    const wantReply = reader.boolean();
    if (side === 'host') {
      if (wantReply) this.upstream.send(Buffer.of(Message.requestFailure));
    } else if (!this.observers.missing && (name === 'tcpip-forward' || name === 'cancel-tcpip-forward'))
      this.#remoteForwards.request(name, reader, wantReply);
    else this.#remoteForwards.refuse(wantReply);
  }

  #channelOpen(side: Side, reader: SshReader): void {
    const type = reader.text();
    const remoteId = reader.uint32();
    const window = reader.uint32();
    const packetMax = reader.uint32();
    const transport = side === 'client' ? this.downstream : this.upstream;
    const refuse = (code: number, text: string) =>
      transport.send(new SshWriter().byte(Message.channelOpenFailure).uint32(remoteId).uint32(code).string(text).string('').finish());
    const open = { remoteId, window, packetMax };
    if (this.#client.size >= CHANNELS_MAX) refuse(OpenFailure.resourceShortage, 'too many channels');
    else if (side === 'host') {
      const data = reader.remaining();
      const fields = new SshReader(data);
      if (type !== 'forwarded-tcpip') {
        refuse(OpenFailure.administrativelyProhibited, 'nothing was asked for that opens such channels');
        return;
      }
      const address = fields.text();
      const port = fields.uint32();
      if (!this.#remoteForwards.expects(address, port)) {
        refuse(OpenFailure.administrativelyProhibited, 'nobody asked to listen there');
        return;
      }
      const from = { host: fields.text().slice(0, 253), port: fields.uint32() };
      const text = `connection to ${shownDestination({ host: address, port })} from ${shownDestination(from)}`;
      const judged = this.judge.withoutRules('ssh-remote-forward', 'remote-forward', 'the session may listen there');
      new ForwardChannel({ relay: this, from: 'host', type, open, data, command: { kind: 'ssh-remote-forward', text, judged } });
    } else if (type === 'session') new SessionChannel(this, open);
    else if (type === 'direct-tcpip' && this.observers.missing)
      refuse(OpenFailure.administrativelyProhibited, 'nobody watches the session yet');
    else if (type === 'direct-tcpip') this.#forward(open, reader.remaining());
    else refuse(OpenFailure.unknownChannelType, 'channels of this type are not offered');
  }

  #forward(open: { remoteId: number; window: number; packetMax: number }, data: Buffer): void {
    const fields = new SshReader(data);
    const to = { host: fields.text(), port: fields.uint32() };
    fields.text();
    fields.uint32();
    fields.end();
    const judged = this.judge.forward(to);
    const permitted = !this.authenticated.withoutForwarding && destinationAllowed(to, this.session.sshAccess?.forward ?? []);
    const decided =
      permitted || judged.decision.action === 'deny'
        ? judged
        : this.judge.refusal(judged, 'role', `your role does not forward connections to ${shownDestination(to).slice(0, 260)}`);
    const command = { kind: 'ssh-forward', text: `connection to ${shownDestination(to)}`.slice(0, 300), judged: decided };
    new ForwardChannel({ relay: this, from: 'client', type: 'direct-tcpip', open, data, command });
  }

  #closed(side: Side, error: GatewayError | null): void {
    if (error !== null && error.code !== 'SSH_DISCONNECTED' && error.code !== 'SSH_SOCKET' && error.code !== 'SSH_PEER_SILENT') {
      this.fail(error);
      return;
    }
    const reason = error?.message ?? (side === 'client' ? 'the client disconnected' : 'the host closed the connection');
    this.#end(reason, side === 'client' ? (error === null ? '' : error.code) : 'SSH_HOST_GONE', reason);
  }

  /** @param told to the client. */
  #end(reason: string, code: string, told: string): void {
    if (this.#ending) return;
    this.#ending = true;
    const text = this.recordText(reason).slice(0, REASON_MAX);
    try {
      for (const pair of new Set([...this.#client.values(), ...this.#host.values()]))
        pair.abort(text, code === '' ? 'SSH_CLIENT_CLOSED' : code);
      this.#remoteForwards.end();
      this.observers.end();
      this.session.recorder.ended({
        reason: text,
        errorCode: code,
        commands: this.#commands,
        bytesToClient: this.downstream.bytesOut,
        bytesToUpstream: this.upstream.bytesOut,
      });
    } catch {
      // The sink refuses records; the spool closes the session in the evidence when it can write again.
    }
    this.#ended = true;
    this.gateway.metrics.bytesToClient += this.downstream.bytesOut;
    this.session.close();
    this.upstream.disconnect(DisconnectReason.byApplication, 'the session has ended');
    this.downstream.disconnect(DisconnectReason.byApplication, this.cleanText(told).slice(0, REASON_MAX));
  }
}
