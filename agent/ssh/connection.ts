/**
 * One client connection from accept to the moment its session begins: key exchange, authentication, the agent's own login at the
 * host. Then the relay has it.
 *
 * Nothing here runs on behalf of more than one connection, and nothing waits without the listener's deadline over it.
 */
import { createPublicKey, sign } from 'node:crypto';
import type { Socket } from 'node:net';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { encodePublicKey } from '@sallyport/shared/ssh/keys.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import type { ResourceState } from '../session/lease-state.ts';
import { LiveSession } from '../session/live-session.ts';
import type { ConnectionContext } from '../session/protocol.ts';
import { type Authenticated, Authentication } from './authentication.ts';
import { connectDecidingKey } from './first-host-key.ts';
import { DisconnectReason, Message } from './messages.ts';
import { maskWhole } from './output.ts';
import { Relay } from './relay.ts';
import { type HostKey, ready, Transport } from './transport.ts';

export type ConnectionState = 'exchangingKeys' | 'authenticating' | 'connectingUpstream' | 'relaying' | 'closed';

const MOVES: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  exchangingKeys: ['authenticating', 'closed'],
  authenticating: ['connectingUpstream', 'closed'],
  connectingUpstream: ['relaying', 'closed'],
  relaying: ['closed'],
  closed: [],
};

const KEEPALIVE_MS = 30_000;
const UNANSWERED_MAX = 3;

export class SshConnection {
  readonly #context: ConnectionContext;
  readonly #socket: Socket;
  #transport: Transport | null = null;
  #authentication: Authentication | null = null;
  #state: ConnectionState = 'exchangingKeys';
  #software = '';
  #closedEarly = false;
  readonly #gone = new AbortController();

  private constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
  }

  static serve(socket: Socket, context: ConnectionContext): void {
    socket.pause();
    const connection = new SshConnection(socket, context);
    ready.then(
      () => connection.#begin(),
      () => socket.destroy(),
    );
  }

  #transition(next: ConnectionState): void {
    if (!MOVES[this.#state].includes(next))
      throw new GatewayError('SSH_STATE', 'internal', `a connection cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  #begin(): void {
    const resource = this.#context.gateway.lease?.resources.get(this.#context.resource);
    if (resource?.ssh == null) {
      this.#refuse('NO_LEASE', 'the agent has no lease for this resource');
      this.#socket.destroy();
      return;
    }
    this.#transport = new Transport(
      this.#socket,
      { type: 'server', hostKeys: hostKeysOf(resource.ssh) },
      {
        onReady: (_, software) => {
          this.#software = software.slice(0, 128);
        },
        onServiceRequest: name => this.#serviceRequested(name),
        onMessage: payload => {
          if (this.#authentication === null)
            throw new GatewayError('SSH_STATE', 'protocol', `message ${payload[0]} came before its service`);
          this.#authentication.take(payload);
          return undefined;
        },
        onDrain: () => undefined,
        onClosed: error => this.#closed(error),
      },
    );
    this.#socket.resume();
  }

  #serviceRequested(name: string): void {
    const transport = this.#transport;
    if (transport === null) return;
    if (name !== 'ssh-userauth' || this.#authentication !== null) {
      transport.disconnect(DisconnectReason.serviceNotAvailable, 'this service is not offered');
      this.#closed(null);
      return;
    }
    transport.acceptService(name);
    this.#transition('authenticating');
    this.#authentication = new Authentication({
      context: this.#context,
      sessionId: () => transport.sessionId,
      send: payload => transport.send(payload),
      onAuthenticated: authenticated => void this.#openSession(authenticated),
      giveUp: reason => {
        this.#refuse('SSH_AUTHENTICATION', reason);
        transport.disconnect(DisconnectReason.noMoreAuthMethods, 'authentication failed');
        this.#closed(null);
      },
    });
  }

  #refuse(code: string, reason: string): void {
    const { gateway, resource, clientAddress } = this.#context;
    gateway.recordRefusal({
      resource,
      protocol: 'ssh',
      clientAddress,
      code,
      reason,
      told: 'disconnect',
      client: { software: this.#software },
    });
  }

  #closed(error: GatewayError | null): void {
    this.#closedEarly = true;
    this.#gone.abort();
    this.#authentication?.close();
    if (error !== null && (this.#state === 'exchangingKeys' || this.#state === 'authenticating')) this.#refuse(error.code, error.message);
    if (this.#state !== 'closed' && this.#state !== 'relaying') this.#state = 'closed';
  }

  async #openSession(authenticated: Authenticated): Promise<void> {
    const transport = this.#transport;
    if (transport === null) return;
    this.#transition('connectingUpstream');
    const { gateway, clientAddress } = this.#context;
    const session = new LiveSession(gateway, authenticated.authorization, { protocol: 'ssh', clientAddress });
    this.#context.authenticated();
    let started = false;
    let commands = 0;
    let upstream: Transport | null = null;
    session.onEnd = () => {
      this.#closedEarly = true;
      this.#gone.abort();
      transport.destroy();
    };
    try {
      const { asked, user, method, keyFingerprint } = authenticated;
      const access = session.sshAccess;
      const { credential, spec, name } = session.resource;
      const account = asked.account ?? credential.username;
      const client = {
        ...maskedClient(session, { user, method, software: this.#software, account }),
        // Ours, and looks like a secret.
        ...(keyFingerprint === null ? {} : { key: keyFingerprint }),
      };
      const startedIndex = session.recordStarted(client);
      started = true;
      if (account !== credential.username && access?.accounts?.includes(account) !== true)
        throw new GatewayError(
          'SSH_ACCOUNT_DENIED',
          'denied',
          `your role does not give you the account ${JSON.stringify(account.slice(0, 64))}`,
        );
      const connected = await connectDecidingKey({
        gateway,
        session,
        target: {
          address: spec.upstream.address,
          knownHosts: {
            dir: path.join(gateway.stateDir, 'known-hosts'),
            resource: name,
            address: spec.upstream.address,
            pinned: spec.upstream.hostKeys,
          },
          credential,
          account,
          sessionId: session.id,
          forceCommand: access?.forceCommand ?? null,
        },
        say: text => transport.send(new SshWriter().byte(Message.userauthBanner).string(`sallyport: ${text}\r\n`).string('').finish()),
        gone: this.#gone.signal,
      });
      upstream = connected.upstream;
      commands = connected.commands;
      await new Promise<void>((resolve, reject) => {
        if (session.inForce.policy.audit.durability !== 'strict') resolve();
        else session.recorder.sink.whenDurable(startedIndex, error => (error === null ? resolve() : reject(error)));
      });
      if (this.#closedEarly || upstream.closed)
        throw new GatewayError('SSH_CLIENT_GONE', 'unavailable', 'the connection was closed before the session began');
      this.#transition('relaying');
      transport.keepAlive(KEEPALIVE_MS, UNANSWERED_MAX);
      upstream.keepAlive(KEEPALIVE_MS, UNANSWERED_MAX);
      // The relay listens before the client may speak.
      new Relay({ gateway, session, downstream: transport, upstream, account, authenticated, commands });
      transport.send(new SshWriter(1).byte(Message.userauthSuccess).finish());
    } catch (error) {
      upstream?.destroy();
      const known = error instanceof GatewayError ? error : new GatewayError('SSH_OPENING', 'internal', errorText(error));
      if (known.code === 'SSH_OPENING') gateway.report(known);
      try {
        if (started) session.recorder.ended({ reason: known.message, errorCode: known.code, commands });
      } catch (cause) {
        // The spool is full or broken, and its owner reports that; the session is over all the same.
        gateway.report(new GatewayError('SSH_RECORD_LOST', 'unavailable', errorText(cause)));
      }
      session.close();
      transport.disconnect(DisconnectReason.hostNotAllowed, clientText(known));
      this.#state = 'closed';
    }
  }
}

/** What a client is told of a session that could not be opened. */
function clientText(error: GatewayError): string {
  return error.kind === 'internal' ? 'the session could not be opened; the reason is in the agent’s log' : error.message;
}

function maskedClient(session: LiveSession, client: Record<string, string>): Record<string, string> {
  const detectors = session.inForce.output?.recorded ?? null;
  const result: Record<string, string> = {};
  for (const [key, value] of Object.entries(client)) {
    const bounded = value.slice(0, 256);
    result[key] = detectors === null ? bounded : maskWhole(bounded, { detectors, kind: 'redact', key: session.resource.maskKey });
  }
  return result;
}

function hostKeysOf(state: NonNullable<ResourceState['ssh']>): HostKey[] {
  const { hostKey, hostCertificate } = state;
  const signData = (data: Buffer) => sign(null, data, hostKey);
  return [
    { algorithm: 'ssh-ed25519-cert-v01@openssh.com', blob: hostCertificate, signatureAlgorithm: 'ssh-ed25519', sign: signData },
    { algorithm: 'ssh-ed25519', blob: encodePublicKey(createPublicKey(hostKey)), signatureAlgorithm: 'ssh-ed25519', sign: signData },
  ];
}
