/**
 * What the host listens on for the client (`ssh -R`): which of it the role permits, and which connections back belong to it.
 *
 * @see RFC 4254, 7.1
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';
import type { HostCommand } from './command.ts';
import { type Destination, destinationAllowed, shownDestination } from './destinations.ts';
import { Message } from './messages.ts';
import type { Relay } from './relay.ts';

const LISTENERS_MAX = 32;

interface Listening {
  address: string;
  port: number;
  command: HostCommand;
}

export class RemoteForwards {
  readonly #relay: Relay;
  readonly #listening = new Map<string, Listening>();
  /** Global requests are answered in their order: one at a time is asked of the host. */
  readonly #queue: (() => void)[] = [];
  #asking = false;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** Takes a `tcpip-forward` or `cancel-tcpip-forward`, whose answer it sends. */
  request(name: 'tcpip-forward' | 'cancel-tcpip-forward', reader: SshReader, wantReply: boolean): void {
    const address = reader.text();
    const port = reader.uint32();
    reader.end();
    this.#queue.push(() => (name === 'tcpip-forward' ? this.#listen(address, port, wantReply) : this.#cancel(address, port, wantReply)));
    this.#next();
  }

  /** Other global requests are refused, behind those that came before. */
  refuse(wantReply: boolean): void {
    this.#queue.push(() => this.#answer(wantReply, false));
    this.#next();
  }

  #next(): void {
    if (this.#asking) return;
    const run = this.#queue.shift();
    if (run === undefined) return;
    if (this.#queue.length > 1024) throw new GatewayError('SSH_FLOOD', 'protocol', 'too many global requests wait');
    this.#asking = true;
    run();
  }

  #answer(wantReply: boolean, success: boolean, data: Uint8Array = new Uint8Array(0)): void {
    if (wantReply)
      this.#relay.downstream.send(
        new SshWriter(8)
          .byte(success ? Message.requestSuccess : Message.requestFailure)
          .raw(data)
          .finish(),
      );
    this.#asking = false;
    this.#next();
  }

  #listen(address: string, port: number, wantReply: boolean): void {
    const relay = this.#relay;
    // An empty address is every address of the host (RFC 4254, 7.1).
    const where: Destination = { host: address === '' ? '0.0.0.0' : address, port };
    const judged = relay.judge.remoteForward(where);
    const { sshAccess } = relay.session;
    const permitted = !relay.authenticated.withoutForwarding && destinationAllowed(where, sshAccess?.remoteForward ?? []);
    const decided =
      judged.decision.action === 'deny' || (permitted && judged.decision.action === 'allow')
        ? judged
        : relay.judge.refusal(judged, 'role', `your role does not have the host listen on ${shownDestination(where)}`);
    const command = relay.newCommand({ kind: 'ssh-remote-forward', text: `listen on ${shownDestination(where)}`, judged: decided });
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decided.decision.action !== 'allow' || this.#listening.size >= LISTENERS_MAX) {
          relay.gateway.metrics.denied++;
          command.end({ status: 'refused', errorCode: 'SSH_DENIED' });
          this.#answer(wantReply, false);
          return;
        }
        relay.upstream.ask('tcpip-forward', new SshWriter().string(address).uint32(port).finish(), reply => {
          if (reply === null) {
            command.end({ status: 'error', errorCode: 'SSH_HOST_REFUSED' });
            this.#answer(wantReply, false);
            return;
          }
          const bound = port === 0 && reply.length >= 4 ? reply.readUInt32BE(0) : port;
          this.#listening.set(key(address, bound), { address, port: bound, command });
          this.#answer(wantReply, true, port === 0 ? reply.subarray(0, 4) : undefined);
        });
      }),
    );
  }

  #cancel(address: string, port: number, wantReply: boolean): void {
    const found = this.#listening.get(key(address, port));
    if (found === undefined) {
      this.#answer(wantReply, false);
      return;
    }
    this.#listening.delete(key(address, port));
    this.#relay.upstream.ask('cancel-tcpip-forward', new SshWriter().string(address).uint32(port).finish(), () => {
      found.command.end({ status: 'ok', tag: 'cancelled' });
      this.#answer(wantReply, true);
    });
  }

  /** Does a connection that the host wants to open belong to what was asked for? */
  expects(address: string, port: number): boolean {
    return this.#listening.has(key(address, port));
  }

  /** The session ends. @throws what the sink throws. */
  end(): void {
    for (const { command } of this.#listening.values()) command.end({ status: 'ok', tag: 'ended with the session' });
    this.#listening.clear();
  }
}

function key(address: string, port: number): string {
  return JSON.stringify([address, port]);
}
