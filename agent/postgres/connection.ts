/**
 * One client connection from accept to the moment its session begins: TLS, start-up packet, token, authorisation, the agent's
 * own login with the database. Then the relay has it.
 *
 * Nothing here runs on behalf of more than one connection, and nothing waits without the listener's deadline over it.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type Peer, peerAt } from '@sallyport/shared/identity/token-bounds.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import type { SessionAuthorization } from '../session/authorisation.ts';
import { LiveSession } from '../session/live-session.ts';
import type { ConnectionContext } from '../session/protocol.ts';
import { catalogFor } from './catalog.ts';
import { POSTGRES_DEPTH } from './depth.ts';
import { AUTHENTICATION_FAILED, errorResponse, SqlState } from './errors.ts';
import {
  decodePassword,
  decodeStartup,
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeNegotiateProtocolVersion,
  encodeParameterStatus,
  encodeReadyForQuery,
  Frontend,
  PROTOCOL_3_2,
  StartupCode,
  type StartupMessage,
} from './messages.ts';
import { PacketReader } from './packet-reader.ts';
import { Relay } from './relay.ts';
import { createSessionRole, type SessionRole } from './session-role.ts';
import { chooseParameters, type StartupChoice } from './startup-parameters.ts';
import { connectUpstream, sendCancel, type Upstream, UpstreamRefused, type UpstreamTarget } from './upstream.ts';

/** PostgreSQL's own bound (MAX_STARTUP_PACKET_LENGTH). */
const STARTUP_BYTES_MAX = 10_000;
const PASSWORD_BYTES_MAX = 16 * 1024;
/** Every failed authentication is answered this long after the password came, whatever it failed at. */
const REFUSAL_AFTER_MS = 250;

export type ConnectionState =
  | 'awaitingStartup'
  | 'startingTls'
  | 'awaitingStartupOverTls'
  | 'awaitingPassword'
  | 'authorising'
  | 'connectingUpstream'
  | 'relaying'
  | 'closed';

const MOVES: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  awaitingStartup: ['startingTls', 'closed'],
  startingTls: ['awaitingStartupOverTls', 'closed'],
  awaitingStartupOverTls: ['awaitingPassword', 'closed'],
  awaitingPassword: ['authorising', 'closed'],
  authorising: ['connectingUpstream', 'closed'],
  connectingUpstream: ['relaying', 'closed'],
  relaying: ['closed'],
  closed: [],
};

/** How a connection ends before it is a session: what the client is told, and what the record says. */
class Refused extends Error {
  readonly code: string;
  readonly reason: string;
  readonly response: Buffer | null;
  readonly told: string;
  constructor(code: string, reason: string, told: { sqlState: string; message: string; hint?: string } | null) {
    super(reason);
    this.code = code;
    this.reason = reason;
    this.told = told === null ? '' : told.sqlState;
    this.response = told === null ? null : errorResponse('FATAL', told.sqlState, told.message, told.hint);
  }
}

/** The client went away before it was anybody; there is nothing to say to it. */
class Gone extends Error {}

export class PostgresConnection {
  readonly #context: ConnectionContext;
  #socket: Socket;
  #reader: PacketReader;
  #state: ConnectionState = 'awaitingStartup';
  /** What the client said of itself, for the record. */
  #client: Record<string, string> = {};
  #upstream: Upstream | null = null;
  /** The session's own role in the database, where the credential asks for one. */
  #role: SessionRole | null = null;

  private constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.#reader = new PacketReader(socket);
  }

  static serve(socket: Socket, context: ConnectionContext): void {
    const connection = new PostgresConnection(socket, context);
    connection.#run().catch((error: unknown) => connection.#fail(error));
  }

  #transition(next: ConnectionState): void {
    if (!MOVES[this.#state].includes(next))
      throw new GatewayError('PG_STATE', 'internal', `a connection cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  async #run(): Promise<void> {
    if (!(await this.#negotiateTls())) return;
    const startup = await this.#readStartup();
    if (startup === null) return;
    this.#transition('awaitingPassword');
    const choice = this.#choose(startup);
    const token = await this.#readToken(startup, choice);
    const receivedAtMs = performance.now();
    this.#transition('authorising');
    const authorization = await this.#authorise(token, receivedAtMs);
    await this.#openSession(authorization, startup, choice);
  }

  /** SSLRequest and GSSENCRequest in plain text, or TLS from the first byte. @returns false when the connection is done. */
  async #negotiateTls(): Promise<boolean> {
    let gssAsked = false;
    for (;;) {
      const first = await this.#reader.peek(1);
      if (first === null) throw new Gone();
      if (first[0] === 0x16) {
        await this.#startTls(true);
        return true;
      }
      const packet = await this.#reader.startupPacket(STARTUP_BYTES_MAX);
      if (packet === null) throw new Gone();
      const code = readInt32(packet, 4);
      if (code === StartupCode.SSLRequest && packet.length === 8) {
        // Bytes behind SSLRequest were sent in clear text before any key was agreed on: somebody in between could have put
        // them there, to be taken for the first bytes inside of TLS (CVE-2021-23222).
        if (this.#reader.buffered > 0)
          throw new Refused('PG_BYTES_BEHIND_SSLREQUEST', 'bytes came behind SSLRequest, before TLS was agreed on', {
            sqlState: SqlState.protocolViolation,
            message: 'received unencrypted data after SSL request',
          });
        this.#socket.write('S');
        await this.#startTls(false);
        return true;
      }
      if (code === StartupCode.GSSENCRequest && packet.length === 8 && !gssAsked) {
        if (this.#reader.buffered > 0)
          throw new Refused('PG_BYTES_BEHIND_GSSENCREQUEST', 'bytes came behind GSSENCRequest', {
            sqlState: SqlState.protocolViolation,
            message: 'received unencrypted data after GSSAPI encryption request',
          });
        gssAsked = true;
        this.#socket.write('N');
        continue;
      }
      if (code === StartupCode.CancelRequest) {
        this.#cancel(packet);
        return false;
      }
      if (code >>> 16 !== 3) throw this.#unsupportedVersion(code);
      throw new Refused('PG_TLS_REQUIRED', 'the client did not ask for TLS', {
        sqlState: SqlState.invalidAuthorization,
        message: 'this gateway accepts TLS connections only',
        hint: 'Connect with sslmode=require, or better sslmode=verify-full with the gateway\u2019s CA certificate as sslrootcert.',
      });
    }
  }

  #unsupportedVersion(code: number): Refused {
    return new Refused('PG_STARTUP_MALFORMED', `the start-up packet names protocol ${code >>> 16}.${code & 0xffff}`, {
      sqlState: SqlState.protocolViolation,
      message: `unsupported frontend protocol ${code >>> 16}.${code & 0xffff}: server supports 3.0 to 3.2`,
    });
  }

  async #startTls(direct: boolean): Promise<void> {
    this.#transition('startingTls');
    const plain = this.#socket;
    this.#reader.release();
    const resource = this.#context.gateway.lease?.resources.get(this.#context.resource);
    if (resource === undefined) throw new Refused('NO_LEASE', 'the agent has no lease for this resource', null);
    const secure = new TLSSocket(plain, {
      isServer: true,
      secureContext: resource.secureContext,
      // A token may be bound to a certificate. Who issued it says nothing: the handshake proves that the client holds its key.
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['postgresql'],
    } as ConstructorParameters<typeof TLSSocket>[1]);
    this.#socket = secure;
    await new Promise<void>((resolve, reject) => {
      secure.on('error', error => reject(new Refused('TLS_HANDSHAKE_FAILED', `the TLS handshake failed: ${errorText(error)}`, null)));
      secure.once('close', () =>
        reject(new Refused('TLS_HANDSHAKE_FAILED', 'the client closed the connection during the TLS handshake', null)),
      );
      secure.once('secure', resolve);
    });
    if (direct && secure.alpnProtocol !== 'postgresql') {
      throw new Refused('PG_ALPN_REQUIRED', 'direct TLS without the ALPN protocol `postgresql`', {
        sqlState: SqlState.protocolViolation,
        message: 'received direct SSL connection request without ALPN protocol negotiation extension',
      });
    }
    this.#reader = new PacketReader(secure);
    this.#transition('awaitingStartupOverTls');
  }

  /** @returns null for a CancelRequest, which is the whole connection. */
  async #readStartup(): Promise<StartupMessage | null> {
    const packet = await this.#reader.startupPacket(STARTUP_BYTES_MAX);
    if (packet === null) throw new Gone();
    const code = readInt32(packet, 4);
    if (code === StartupCode.CancelRequest) {
      this.#cancel(packet);
      return null;
    }
    if (code === StartupCode.SSLRequest || code === StartupCode.GSSENCRequest) {
      throw new Refused('PG_STARTUP_MALFORMED', 'encryption was asked for inside of TLS', {
        sqlState: SqlState.protocolViolation,
        message: 'invalid request for encryption: the connection is encrypted already',
      });
    }
    if (code >>> 16 !== 3) throw this.#unsupportedVersion(code);
    return decodeStartup(packet, 4, packet.length);
  }

  #cancel(packet: Buffer): void {
    // Cancel keys are 4 bytes in protocol 3.0 and up to 256 in 3.2. No answer either way: the key proves itself.
    if (packet.length >= 16 && packet.length <= 12 + 256) this.#context.gateway.cancel(readInt32(packet, 8), packet.subarray(12));
    this.#close(null);
  }

  #choose(startup: StartupMessage): StartupChoice {
    const choice = chooseParameters(startup.parameters);
    const client: Record<string, string> = {};
    for (const name of ['user', 'database', 'application_name'] as const) {
      const value = startup.parameters.get(name);
      if (value !== undefined) client[name] = value.slice(0, 256);
    }
    this.#client = client;
    return choice;
  }

  async #readToken(startup: StartupMessage, choice: StartupChoice): Promise<string> {
    const minor = startup.version & 0xffff;
    if (minor > (PROTOCOL_3_2 & 0xffff) || choice.protocolOptions.length > 0) {
      this.#socket.write(encodeNegotiateProtocolVersion(Math.min(minor, PROTOCOL_3_2 & 0xffff), choice.protocolOptions));
    }
    this.#socket.write(encodeAuthenticationCleartextPassword());
    const message = await this.#reader.message(PASSWORD_BYTES_MAX + 1);
    if (message === null) throw new Gone();
    if (message.type !== Frontend.Password)
      throw new Refused('PG_PASSWORD_EXPECTED', 'another message came in place of the password', {
        sqlState: SqlState.protocolViolation,
        message: 'expected password response',
      });
    return decodePassword(message.payload, 0, message.payload.length);
  }

  #peer(): Peer {
    const certificate = this.#socket instanceof TLSSocket ? this.#socket.getPeerX509Certificate() : undefined;
    const thumbprint = certificate === undefined ? null : createHash('sha256').update(certificate.raw).digest('base64url');
    return peerAt(this.#context.clientAddress, thumbprint);
  }

  async #authorise(token: string, receivedAtMs: number): Promise<SessionAuthorization> {
    const outcome = await this.#context.gateway.authorise(token, this.#context.resource, POSTGRES_DEPTH, this.#peer());
    if (outcome.authorised) return outcome.authorization;
    // The record has the reason at once; the client gets the same answer after the same time, whatever the reason is.
    this.#context.gateway.recordRefusal({
      ...this.#who(),
      code: outcome.code,
      reason: outcome.reason,
      principal: outcome.principal,
      told: SqlState.invalidPassword,
    });
    const restMs = receivedAtMs + REFUSAL_AFTER_MS - performance.now();
    await new Promise(resolve => setTimeout(resolve, Math.max(0, restMs)));
    this.#close(errorResponse('FATAL', SqlState.invalidPassword, AUTHENTICATION_FAILED));
    throw new Gone();
  }

  #who() {
    return { resource: this.#context.resource, protocol: 'postgres', clientAddress: this.#context.clientAddress, client: this.#client };
  }

  async #openSession(authorization: SessionAuthorization, startup: StartupMessage, choice: StartupChoice): Promise<void> {
    this.#transition('connectingUpstream');
    const { gateway, clientAddress } = this.#context;
    const session = new LiveSession(gateway, authorization, { protocol: 'postgres', clientAddress });
    this.#context.authenticated();
    let started = false;
    try {
      const { spec, credential } = session.resource;
      const database = spec.upstream.database ?? choice.database ?? choice.user;
      const target: UpstreamTarget = { address: spec.upstream.address, tls: spec.upstream.tls, credential };
      const startedIndex = session.recordStarted(maskedClient(session, this.#client));
      started = true;
      let closedEarly = false;
      const noteClose = () => {
        closedEarly = true;
        this.#upstream?.socket.destroy();
      };
      this.#socket.once('close', noteClose);
      session.onEnd = () => this.#socket.destroy();
      const { dynamic } = credential;
      if (dynamic !== undefined) this.#role = await createSessionRole(target, database, dynamic.grants, session.id);
      const upstream = await this.#connect(this.#role?.target ?? target, database, choice);
      // Column rules speak of names, results of numbers: without the catalog nothing could be released.
      const { policy, recording } = session.inForce;
      if (policy.hasColumnRules || recording?.policy.hasColumnRules === true)
        await catalogFor(session.resource.name, target, database).load();
      this.#upstream = upstream;
      if (closedEarly) {
        upstream.socket.destroy();
        throw new Gone();
      }
      await new Promise<void>((resolve, reject) => {
        if (session.inForce.policy.audit.durability !== 'strict') resolve();
        else session.recorder.sink.whenDurable(startedIndex, error => (error === null ? resolve() : reject(error)));
      });
      this.#socket.off('close', noteClose);
      if (this.#socket.destroyed) throw new Gone();
      this.#transition('relaying');
      this.#greet(session, upstream, startup, target, database);
    } catch (error) {
      this.#upstream?.socket.destroy();
      this.#dropRole();
      const { code, sqlState, message } = describeOpening(error);
      if (started) recordFailedOpening(session, code, message);
      session.close();
      this.#close(error instanceof Gone ? null : errorResponse('FATAL', sqlState, message));
      throw new Gone();
    }
  }

  #connect(target: UpstreamTarget, database: string, choice: StartupChoice): Promise<Upstream> {
    return connectUpstream(target, [['database', database], ...choice.passed]);
  }

  /** Ends the start-up as PostgreSQL does, with a cancel key of our own in place of the database's, and starts the relay. */
  #greet(session: LiveSession, upstream: Upstream, startup: StartupMessage, target: UpstreamTarget, database: string): void {
    const { gateway } = this.#context;
    const secret = randomBytes((startup.version & 0xffff) >= 2 ? 32 : 4);
    let cancelling = false;
    const pid = gateway.registerCancel({
      secret,
      cancel: () => {
        if (cancelling) return;
        relay.noteCancel('client');
        if (relay.withdrawHeld('cancelled by the client') || upstream.key === null) return;
        cancelling = true;
        sendCancel(target, upstream.key)
          // Cancelling is a best effort in the protocol too: a client is never told how it went, and the record says that it asked.
          .catch(() => undefined)
          .finally(() => {
            cancelling = false;
          });
      },
    });
    const relay = new Relay({
      downstream: this.#socket,
      upstream,
      session,
      gateway,
      target,
      database,
      pid,
      onClosed: () => {
        gateway.unregisterCancel(pid);
        this.#dropRole();
        if (this.#state !== 'closed') this.#transition('closed');
      },
    });
    const parameters = [...upstream.parameters].map(([name, value]) => encodeParameterStatus(name, value));
    this.#reader.release();
    relay.start(
      Buffer.concat([
        encodeAuthenticationOk(),
        ...parameters,
        encodeBackendKeyData(pid, secret),
        ...upstream.notices.map(notice => relay.scrubbedNotice(notice)),
        encodeReadyForQuery('I'),
      ]),
    );
  }

  /** Nobody waits for it: what fails here the next round of housekeeping does. */
  #dropRole(): void {
    const role = this.#role;
    this.#role = null;
    role?.drop().catch((error: unknown) => {
      const message = `the role ${role.name} of a session that is over was not dropped yet: ${errorText(error)}`;
      this.#context.gateway.report(new GatewayError('PG_SESSION_ROLE_LEFT', 'unavailable', message, { cause: error }));
    });
  }

  #close(farewell: Buffer | null): void {
    if (this.#state === 'closed') return;
    this.#transition('closed');
    this.#reader.release();
    if (farewell === null) this.#socket.destroy();
    else {
      this.#socket.resume();
      this.#socket.end(farewell);
      const socket = this.#socket;
      setTimeout(() => socket.destroy(), 2000).unref();
    }
  }

  /** Every failure before the session: recorded with its reason, told in PostgreSQL's form, and of no concern to others. */
  #fail(error: unknown): void {
    if (this.#state === 'closed' || this.#state === 'relaying') return;
    if (error instanceof Gone) {
      this.#close(null);
      return;
    }
    const refused =
      error instanceof Refused
        ? error
        : error instanceof GatewayError
          ? new Refused(error.code, error.message, {
              sqlState: error.kind === 'denied' ? SqlState.invalidAuthorization : SqlState.protocolViolation,
              message: error.kind === 'internal' ? 'internal error of the gateway' : error.message,
            })
          : new Refused('INTERNAL', errorText(error), { sqlState: SqlState.internalError, message: 'internal error of the gateway' });
    this.#context.gateway.recordRefusal({ ...this.#who(), code: refused.code, reason: refused.reason, told: refused.told });
    this.#close(refused.response);
  }
}

/** What the client said of itself goes into the record without secrets that somebody put there by mistake. */
function maskedClient(session: LiveSession, client: Record<string, string>): Record<string, string> {
  const { detectors } = session.inForce.recording ?? session.inForce;
  if (detectors === null) return client;
  const masked: Record<string, string> = {};
  for (const [name, value] of Object.entries(client)) masked[name] = detectors.scanText(value).length > 0 ? '[masked]' : value;
  return masked;
}

function describeOpening(error: unknown): { code: string; sqlState: string; message: string } {
  if (error instanceof UpstreamRefused) {
    // 57P03 cannot_connect_now and 53300 too_many_connections are the client's business: it may try again. The rest is not.
    const passed =
      error.sqlState === SqlState.cannotConnectNow || error.sqlState === SqlState.tooManyConnections || error.sqlState === '3D000';
    const sqlState = passed ? error.sqlState : SqlState.cannotConnect;
    const message = error.sqlState === '3D000' ? 'the database does not exist on the resource' : error.message;
    return { code: `${error.code}_${error.sqlState}`, sqlState, message };
  }
  if (error instanceof GatewayError) {
    const full = error.code === 'SPOOL_FULL' || error.code === 'SPOOL_BROKEN';
    return {
      code: error.code,
      sqlState: full ? SqlState.diskFull : SqlState.cannotConnect,
      message: full ? 'evidence cannot be written, so no session is opened' : error.message,
    };
  }
  if (error instanceof Gone) return { code: 'CLIENT_CLOSED', sqlState: '', message: 'the client closed the connection' };
  return { code: 'INTERNAL', sqlState: SqlState.internalError, message: 'internal error of the gateway' };
}

function recordFailedOpening(session: LiveSession, code: string, reason: string): void {
  try {
    session.recorder.ended({ reason, errorCode: code, commands: 0, bytesToClient: 0, bytesToUpstream: 0 });
  } catch {
    // The sink is what failed; it reports that itself.
  }
}
