/**
 * The agent's own session with the database: connect, TLS, authenticate with the resource's credential, read up to the first
 * ReadyForQuery. Also sends CancelRequests.
 *
 * What the database says about a failed login may hold the role's name, and is therefore not passed on: errors thrown here are
 * the gateway's own texts with the SQLSTATE. After `connect` the socket belongs to the caller as an `UpstreamSocket`.
 */
import { isIP, connect as netConnect, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { ResourceSpec } from '@sallyport/shared/policy/model.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { rdsToken } from '../aws/rds-token.ts';
import { splitHostPort } from '../session/listener.ts';
import type { LeasedCredential } from '../worker-messages.ts';
import {
  Backend,
  decodeAuthentication,
  decodeBackendKeyData,
  decodeErrorFields,
  decodeParameterStatus,
  encodeCancelRequest,
  encodePassword,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeSSLRequest,
  encodeStartup,
  errorField,
  PROTOCOL_3_0,
} from './messages.ts';
import { endPointBinding, md5Password, ScramClient } from './scram.ts';
import { UpstreamSocket } from './upstream-socket.ts';

const CONNECT_MS = 10_000;
const HANDSHAKE_FRAME_MAX = 64 * 1024;
const IAM_REFUSED =
  ': it takes no token of IAM as the credential makes it. The user needs rds_iam, the AWS identity rds-db:connect on it, `region` and the address must be those of the database, and the agent\u2019s clock right';

/** What a refused login of this kind wants, to follow the refusal. */
function loginHint({ awsRdsIam, vaultDatabase }: UpstreamTarget['credential']): string {
  if (awsRdsIam !== undefined) return IAM_REFUSED;
  if (vaultDatabase === undefined) return '';
  return `: the user that Vault leased (${vaultDatabase}) is gone or has ended. The control plane takes another when it asks about the lease next, at each third of its time, and Vault answers`;
}

export interface UpstreamTarget {
  address: string;
  tls: ResourceSpec['upstream']['tls'];
  credential: Readonly<Pick<LeasedCredential, 'username' | 'password' | 'awsRdsIam' | 'vaultDatabase'>>;
}

export interface Upstream {
  socket: UpstreamSocket;
  /** In order of arrival. */
  parameters: Map<string, string>;
  key: { pid: number; secret: Buffer } | null;
  /** Notices that came during start-up, as whole frames. */
  notices: Buffer[];
}

function unavailable(code: string, message: string, cause?: unknown): GatewayError {
  return new GatewayError(code, 'unavailable', message, { cause });
}

/** A failed login as the database reported it. */
export class UpstreamRefused extends GatewayError {
  readonly sqlState: string;
  constructor(sqlState: string, hint = '') {
    super('PG_UPSTREAM_REFUSED', 'unavailable', `the database refused the gateway\u2019s own session (SQLSTATE ${sqlState})${hint}`);
    this.sqlState = sqlState;
  }
}

function withDeadline<T>(socket: Socket, deadlineMs: number, task: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(unavailable('PG_UPSTREAM_TIMEOUT', 'the database did not answer in time'));
      socket.destroy();
    }, deadlineMs);
  });
  return Promise.race([task, expired]).finally(() => clearTimeout(timer));
}

function openSocket(target: UpstreamTarget, onread: UpstreamSocket | null): Promise<Socket> {
  const address = splitHostPort(target.address);
  if (address === null) throw unavailable('PG_UPSTREAM_ADDRESS', `the upstream address ${JSON.stringify(target.address)} is not host:port`);
  return new Promise((resolve, reject) => {
    const socket = netConnect({
      host: address.host,
      port: address.port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(onread === null ? {} : { onread: onread.onread }),
    });
    const timer = setTimeout(() => socket.destroy(new Error('connect timed out')), CONNECT_MS);
    const failed = (error: Error) => {
      clearTimeout(timer);
      reject(unavailable('PG_UPSTREAM_UNREACHABLE', 'the database cannot be reached', error));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', failed);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** SSLRequest, its one-byte answer, and the TLS handshake with the checks that the mode asks for. */
async function startTls(socket: Socket, target: UpstreamTarget): Promise<TLSSocket> {
  socket.write(encodeSSLRequest());
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const done = () => reject(unavailable('PG_UPSTREAM_TLS', 'the database closed the connection when asked for TLS'));
    socket.once('data', (chunk: Buffer) => {
      socket.pause();
      socket.off('close', done);
      resolve(chunk);
    });
    socket.once('close', done);
  });
  // More than one byte could only be bytes that somebody put in front of the handshake.
  if (answer.length !== 1 || answer[0] !== 0x53) {
    throw unavailable(
      'PG_UPSTREAM_TLS',
      answer[0] === 0x4e ? 'the database does not offer TLS, and the resource demands it' : 'the database answered SSLRequest wrongly',
    );
  }
  const { mode, ca, serverName } = target.tls;
  const host = serverName ?? splitHostPort(target.address)?.host ?? '';
  return new Promise((resolve, reject) => {
    const secure = tlsConnect({
      socket,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
      rejectUnauthorized: mode === 'verify-full',
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['postgresql'],
    });
    const failed = (error: Error) => reject(unavailable('PG_UPSTREAM_TLS', `TLS with the database failed: ${errorText(error)}`, error));
    secure.once('error', failed);
    secure.once('secureConnect', () => {
      secure.off('error', failed);
      secure.on('error', () => undefined);
      resolve(secure);
    });
  });
}

/** Reads whole frames during start-up, one at a time. */
class HandshakeReader {
  readonly #socket: UpstreamSocket;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  #closed: Error | null = null;
  constructor(socket: UpstreamSocket) {
    this.#socket = socket;
    socket.start(
      chunk => {
        this.#bytes = this.#bytes.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#bytes, chunk]);
        this.#wake?.();
      },
      error => {
        this.#closed = error ?? unavailable('PG_UPSTREAM_CLOSED', 'the database closed the connection during start-up');
        this.#wake?.();
      },
    );
  }

  async frame(): Promise<{ type: number; buffer: Buffer; start: number; end: number }> {
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length >= 5) {
        const length = readInt32(bytes, 1);
        if (length < 4 || length > HANDSHAKE_FRAME_MAX)
          throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database sent a malformed message during start-up');
        const end = 1 + length;
        if (bytes.length >= end) {
          this.#bytes = bytes.subarray(end);
          return { type: bytes[0] as number, buffer: bytes, start: 5, end };
        }
      }
      if (this.#closed !== null) throw this.#closed;
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }

  /** Bytes behind the last frame that was taken. */
  rest(): Buffer {
    this.#socket.pause();
    return this.#bytes;
  }
}

/**
 * Opens and authenticates a session.
 *
 * @param parameters of the StartupMessage without `user`; they have been checked against the allow-list.
 * @throws {GatewayError} PG_UPSTREAM_*; the socket is closed then.
 */
export async function connectUpstream(target: UpstreamTarget, parameters: Iterable<readonly [string, string]>): Promise<Upstream> {
  const plain = target.tls.mode === 'disable' ? UpstreamSocket.plain() : null;
  const tcp = await openSocket(target, plain);
  const deadlineMs = 2 * CONNECT_MS;
  try {
    return await withDeadline(
      tcp,
      deadlineMs,
      (async () => {
        let socket: UpstreamSocket;
        let binding: Buffer | null = null;
        if (plain !== null) {
          plain.attach(tcp);
          socket = plain;
        } else {
          const secure = await startTls(tcp, target);
          const certificate = secure.getPeerX509Certificate();
          binding = certificate === undefined ? null : endPointBinding(certificate);
          socket = UpstreamSocket.over(secure);
        }
        return await logIn(socket, target, parameters, binding);
      })(),
    );
  } catch (error) {
    tcp.destroy();
    throw error instanceof GatewayError
      ? error
      : unavailable('PG_UPSTREAM_PROTOCOL', 'the session with the database could not be opened', error);
  }
}

async function logIn(
  socket: UpstreamSocket,
  target: UpstreamTarget,
  startup: Iterable<readonly [string, string]>,
  binding: Buffer | null,
): Promise<Upstream> {
  const { username, password, awsRdsIam } = target.credential;
  const reader = new HandshakeReader(socket);
  socket.write(encodeStartup(PROTOCOL_3_0, [['user', username], ...startup]));
  const parameters = new Map<string, string>();
  const notices: Buffer[] = [];
  let key: Upstream['key'] = null;
  let scram: ScramClient | null = null;
  let authenticated = false;
  for (;;) {
    const { type, buffer, start, end } = await reader.frame();
    if (type === Backend.ErrorResponse) {
      const sqlState = errorField(decodeErrorFields(buffer, start, end), 'C');
      throw new UpstreamRefused(sqlState, sqlState.startsWith('28') ? loginHint(target.credential) : '');
    }
    if (type === Backend.NoticeResponse) {
      if (notices.length < 16) notices.push(Buffer.from(buffer.subarray(0, end)));
      continue;
    }
    if (!authenticated) {
      if (type !== Backend.Authentication)
        throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database sent an unexpected message instead of an authentication request');
      const request = decodeAuthentication(buffer, start, end);
      if (awsRdsIam !== undefined && request.kind !== 'ok' && request.kind !== 'cleartext')
        throw unavailable(
          'PG_UPSTREAM_IAM_OFF',
          'the database asks for a password and no token of IAM: enable IAM authentication for it, and GRANT rds_iam to the user of the credential',
        );
      switch (request.kind) {
        case 'ok':
          // A server that skips the last step of SCRAM has not proved that it knows the password.
          if (scram !== null && !scram.verified) throw unavailable('PG_UPSTREAM_SCRAM', 'the database did not finish the SCRAM exchange');
          authenticated = true;
          break;
        case 'cleartext':
          if (binding === null)
            throw unavailable(
              'PG_UPSTREAM_CLEARTEXT',
              'the database asks for a cleartext password without TLS; the credential is not sent',
            );
          socket.write(encodePassword(awsRdsIam === undefined ? password : await rdsToken(target.address, username, awsRdsIam)));
          break;
        case 'md5':
          socket.write(encodePassword(md5Password(username, password, request.salt)));
          break;
        case 'sasl':
          scram = new ScramClient(target.credential, request.mechanisms, binding);
          socket.write(encodeSASLInitialResponse(scram.mechanism, scram.first()));
          break;
        case 'saslContinue':
          if (scram === null) throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database continued a SASL exchange that was not started');
          socket.write(encodeSASLResponse(await scram.final(Buffer.from(request.data))));
          break;
        case 'saslFinal':
          if (scram === null) throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database finished a SASL exchange that was not started');
          scram.verify(request.data);
          break;
        case 'unsupported':
          throw unavailable(
            'PG_UPSTREAM_AUTH_METHOD',
            `the database asks for authentication method ${request.code}, which is not supported`,
          );
      }
      continue;
    }
    switch (type) {
      case Backend.ParameterStatus: {
        const status = decodeParameterStatus(buffer, start, end);
        parameters.set(status.name, status.value);
        break;
      }
      case Backend.BackendKeyData: {
        const data = decodeBackendKeyData(buffer, start, end);
        key = { pid: data.pid, secret: Buffer.from(data.secret) };
        break;
      }
      case Backend.ReadyForQuery:
        if (reader.rest().length > 0) throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database spoke before it was asked');
        return { socket, parameters, key, notices };
      default:
        throw unavailable('PG_UPSTREAM_PROTOCOL', 'the database sent an unexpected message during start-up');
    }
  }
}

/** Sends a CancelRequest, over TLS when the resource demands it. Failures are the caller's to note: nothing else depends on it. */
export async function sendCancel(target: UpstreamTarget, key: { pid: number; secret: Uint8Array }): Promise<void> {
  const tcp = await openSocket(target, null);
  try {
    await withDeadline(
      tcp,
      CONNECT_MS,
      (async () => {
        const socket = target.tls.mode === 'disable' ? tcp : await startTls(tcp, target);
        await new Promise<void>((resolve, reject) => {
          socket.once('close', () => resolve());
          socket.once('error', reject);
          // The server closes without an answer once it has acted.
          socket.end(encodeCancelRequest(key.pid, key.secret));
          socket.resume();
        });
      })(),
    );
  } finally {
    tcp.destroy();
  }
}
