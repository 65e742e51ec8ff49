/**
 * The agent's own login at a host: TCP, key exchange with a host key that is known, authentication with the resource's credential.
 * What comes after is the relay's.
 *
 * The credential is used only after the host has proved that it holds a key that counts.
 *
 * @see RFC 4252, 7 and 8; https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.certkeys
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { issueCertificate } from '@sallyport/shared/ssh/certificate.ts';
import { encodePublicKey, makeSignature, signatureAlgorithm } from '@sallyport/shared/ssh/keys.ts';
import { SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { splitHostPort } from '../session/listener.ts';
import type { OpenedLease } from '../worker-messages.ts';
import { holdHostKey, type KnownHostsOptions, knownHost, mismatch } from './known-hosts.ts';
import { Message } from './messages.ts';
import { parsePrivateKey } from './private-key.ts';
import { LentReads } from './read-space.ts';
import { ready, Transport } from './transport.ts';

const CONNECT_MS = 10_000;
const LOGIN_MS = 20_000;
const CERTIFICATE_SECONDS = 5 * 60;
const HOST_KEY_ALGORITHMS = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

export interface UpstreamTarget {
  address: string;
  knownHosts: KnownHostsOptions;
  credential: Readonly<OpenedLease['credentials'][string]>;
  account: string;
  /** For the certificate's key id. */
  sessionId: string;
  /** For a certificate: runs whatever is asked for. */
  forceCommand: string | null;
  /** The host's key is the first that was seen of it. @returns why it is not kept; null: it is, and any other refused from then on. */
  onFirstKey: (type: string, blob: Buffer) => GatewayError | null;
}

function unavailable(code: string, message: string, cause?: unknown): GatewayError {
  return new GatewayError(code, 'unavailable', message, { cause });
}

function algorithmsOf(types: readonly string[]): string[] {
  return types.flatMap(type => (type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]));
}

/** One way to log in. */
type Method = { name: 'publickey'; algorithm: string; blob: Buffer; key: KeyObject } | { name: 'password'; password: string };

function methodsOf(target: UpstreamTarget): Method[] {
  const { privateKey, authorityKey, password } = target.credential;
  const methods: Method[] = [];
  if (authorityKey !== undefined) {
    const { publicKey, privateKey: key } = generateKeyPairSync('ed25519');
    const nowSeconds = Math.floor(Date.now() / 1000);
    const blob = issueCertificate(
      {
        key: publicKey,
        role: 'user',
        serial: BigInt(nowSeconds),
        keyId: `sallyport session ${target.sessionId}`,
        principals: [target.account],
        validAfter: nowSeconds - 60,
        validBefore: nowSeconds + CERTIFICATE_SECONDS,
        criticalOptions: target.forceCommand === null ? {} : { 'force-command': target.forceCommand },
        extensions: { 'permit-pty': '', 'permit-port-forwarding': '' },
      },
      parsePrivateKey(authorityKey),
    );
    methods.push({ name: 'publickey', algorithm: 'ssh-ed25519-cert-v01@openssh.com', blob, key });
  }
  if (privateKey !== undefined) {
    const key = parsePrivateKey(privateKey);
    methods.push({ name: 'publickey', algorithm: signatureAlgorithm(key), blob: encodePublicKey(createPublicKey(key)), key });
  }
  if (password !== '') methods.push({ name: 'password', password });
  return methods;
}

/**
 * Opens and authenticates a connection.
 * @returns a transport that has sent and received nothing behind authentication; its events are the caller's to replace.
 * @throws {GatewayError} SSH_UPSTREAM_*, SSH_HOST_KEY_MISMATCH, SSH_KEY_MALFORMED; the socket is closed then.
 */
export async function connectUpstream(target: UpstreamTarget): Promise<Transport> {
  await ready;
  const known = knownHost(target.knownHosts);
  const reads = new LentReads();
  const socket = await openSocket(target.address, reads);
  return new Promise((resolve, reject) => {
    let settled = false;
    let refusal: GatewayError | null = null;
    const settle = (outcome: GatewayError | null) => {
      if (settled) return;
      settled = true;
      clearTimeout(deadline);
      if (outcome === null) resolve(transport);
      else {
        transport.destroy();
        reject(outcome);
      }
    };
    const deadline = setTimeout(
      () => settle(unavailable('SSH_UPSTREAM_TIMEOUT', `the host did not finish the login within ${LOGIN_MS} ms`)),
      LOGIN_MS,
    );
    const transport: Transport = new Transport(
      socket,
      {
        type: 'client',
        hostKeyAlgorithms: known.how === 'unknown' ? HOST_KEY_ALGORITHMS : algorithmsOf([...new Set(known.keys.map(key => key.type))]),
        acceptHostKey: blob => {
          try {
            if (known.how === 'unknown') {
              const type = new SshReader(blob).text();
              refusal = target.onFirstKey(type, blob);
              if (refusal !== null) return false;
              if (holdHostKey(target.knownHosts, type, Buffer.from(blob))) return true;
              refusal = mismatch(knownHost(target.knownHosts), blob);
            } else if (known.keys.some(key => key.blob.equals(blob))) return true;
            else refusal = mismatch(known, blob);
          } catch (error) {
            refusal = error instanceof GatewayError ? error : unavailable('SSH_KNOWN_HOSTS', errorText(error));
          }
          return false;
        },
      },
      {
        onReady: () => transport.service('ssh-userauth'),
        onServiceAccept: () => {
          try {
            login.next();
          } catch (error) {
            settle(error instanceof GatewayError ? error : unavailable('SSH_UPSTREAM_LOGIN', 'the login could not be begun', error));
          }
        },
        onMessage: payload => {
          login.take(payload);
          return undefined;
        },
        onDrain: () => undefined,
        onClosed: error =>
          settle(
            refusal ??
              unavailable(
                'SSH_UPSTREAM_CLOSED',
                known.how !== 'unknown' && /host key/i.test(error?.message ?? '')
                  ? `the host has no key of the kinds that are known for it (${known.keys.map(key => key.type).join(', ')})`
                  : `the host closed the connection before the login was done${error === null ? '' : `: ${error.message}`}`,
              ),
          ),
      },
      undefined,
      reads,
    );
    const login = new Login(transport, target, settle);
  });
}

function openSocket(address: string, reads: LentReads): Promise<Socket> {
  const target = splitHostPort(address);
  if (target === null) throw unavailable('SSH_UPSTREAM_ADDRESS', `${JSON.stringify(address)} is not HOST:PORT`);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port, noDelay: true, keepAlive: true, onread: reads.onread });
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${CONNECT_MS} ms`)), CONNECT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', error => {
      clearTimeout(timer);
      reject(unavailable('SSH_UPSTREAM_UNREACHABLE', `the host cannot be reached: ${errorText(error)}`, error));
    });
  });
}

/** Tries one method after the other. */
class Login {
  readonly #transport: Transport;
  readonly #target: UpstreamTarget;
  readonly #done: (error: GatewayError | null) => void;
  #methods: Method[] | null = null;
  #current: Method | null = null;
  #asKeyboard = false;
  #answered = false;

  constructor(transport: Transport, target: UpstreamTarget, done: (error: GatewayError | null) => void) {
    this.#transport = transport;
    this.#target = target;
    this.#done = done;
  }

  next(): void {
    this.#methods ??= methodsOf(this.#target);
    const method = this.#methods.shift();
    if (method === undefined) {
      this.#done(
        unavailable(
          'SSH_UPSTREAM_LOGIN',
          `the host does not accept the credential for the account ${JSON.stringify(this.#target.account)}`,
        ),
      );
      return;
    }
    this.#current = method;
    this.#asKeyboard = false;
    if (method.name === 'password') this.#transport.send(this.#request('password').boolean(false).string(method.password).finish());
    else {
      const unsigned = this.#request('publickey').boolean(true).string(method.algorithm).string(method.blob);
      const signed = Buffer.concat([new SshWriter().string(this.#transport.sessionId).finish(), unsigned.finish()]);
      this.#transport.send(unsigned.string(makeSignature(method.key, signed)).finish());
    }
  }

  #request(method: string): SshWriter {
    return new SshWriter(256).byte(Message.userauthRequest).string(this.#target.account).string('ssh-connection').string(method);
  }

  take(payload: Buffer): void {
    const reader = new SshReader(payload, 1);
    switch (payload[0]) {
      case Message.userauthSuccess:
        this.#done(null);
        return;
      case Message.userauthFailure: {
        const methods = reader.nameList();
        if (
          this.#current?.name === 'password' &&
          !this.#asKeyboard &&
          !methods.includes('password') &&
          methods.includes('keyboard-interactive')
        ) {
          // Hosts that ask for passwords by PAM alone.
          this.#asKeyboard = true;
          this.#answered = false;
          this.#transport.send(this.#request('keyboard-interactive').string('').string('').finish());
        } else this.next();
        return;
      }
      case Message.userauthBanner:
        return;
      case Message.userauthInfoRequest: {
        // Of a password: that it must be changed. Of a key: an answer to a question that was not asked.
        if (this.#current?.name !== 'password' || !this.#asKeyboard) {
          this.#done(unavailable('SSH_UPSTREAM_LOGIN', 'the host wants the password to be changed'));
          return;
        }
        reader.text();
        reader.text();
        reader.text();
        const count = reader.uint32();
        const answer = new SshWriter().byte(Message.userauthInfoResponse).uint32(count);
        if (count > 1 || (count === 1 && this.#answered)) {
          this.#done(unavailable('SSH_UPSTREAM_LOGIN', 'the host asks for more than a password'));
          return;
        }
        if (count === 1) {
          this.#answered = true;
          answer.string(this.#current.password);
        }
        this.#transport.send(answer.finish());
        return;
      }
      default:
        this.#done(unavailable('SSH_UPSTREAM_LOGIN', `the host sent message ${payload[0]} during the login`));
    }
  }
}
