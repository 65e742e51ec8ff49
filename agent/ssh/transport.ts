/**
 * One SSH connection as a carrier of messages: version exchange, key exchange, encryption and rekeying are ssh2's; the messages of
 * authentication and of channels (numbers 50 and up) come out as bytes and go in as bytes.
 *
 * ssh2's own server and client are not used: their channels buffer megabytes, replace bytes of texts, drop terminal modes and know
 * no certificates. What is reached into is named in ssh2-protocol.d.ts, and the version is pinned (docs/adr/0010-ssh-transport.md).
 *
 * It owns the socket from the start to the end. It does not know which messages are legal when.
 *
 * @see RFC 4253; https://github.com/openssh/openssh-portable/blob/master/PROTOCOL (strict key exchange, 1.10)
 */
import type { Socket } from 'node:net';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';
import handlers from 'ssh2/lib/protocol/handlers.js';
import kex from 'ssh2/lib/protocol/kex.js';
import Protocol, { type NegotiatedAlgorithms } from 'ssh2/lib/protocol/Protocol.js';
import ssh2Utils from 'ssh2/lib/protocol/utils.js';
import { AES_GCM } from './aes-gcm.ts';
import { CHACHA20 } from './chacha20.ts';
import { installCipher } from './ciphers.ts';
import { Message } from './messages.ts';
import { giveBackPayload } from './own-memory.ts';
import type { LentReads } from './read-space.ts';
import { SendSpace } from './send-space.ts';

/** ssh2's ciphers can be used once this is done. */
export const ready: Promise<void> = ssh2Crypto.init;

const KEX = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group18-sha512',
  'diffie-hellman-group14-sha256',
];
const CIPHERS = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
];
const MACS = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'];
/** Compression before the other side is known to be honest is a way in, and afterwards it tells lengths of secrets. */
const COMPRESSION = ['none'];

/** What clients are shown; the version of the software is nobody's business. */
const IDENT = Buffer.from('Sallyport');

/** Above this, whoever feeds the connection waits. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** Above this the other side is not read from either: it asks without taking the answers. */
const READ_PAUSE_BYTES = 4 * HIGH_WATER_BYTES;
/** The library queues what is sent during a key exchange; more than this is not a slow peer but a dead one. */
const REKEY_QUEUE_MAX = 4096;
/** Questions that wait for an answer. */
const REPLIES_MAX = 1024;
/** New keys at the latest after this much in both directions together (RFC 4253, 9). */
const REKEY_BYTES = 1024 * 1024 * 1024;

export interface HostKey {
  /** The algorithm's name in the negotiation. */
  readonly algorithm: string;
  /** The key, or the certificate, as clients get it. */
  readonly blob: Buffer;
  /** The name in the signature: a certificate's key signs under the key's own name. */
  readonly signatureAlgorithm: string;
  /** The signature itself, without its name. */
  sign(data: Buffer): Buffer;
}

export interface TransportEvents {
  /** Keys are agreed on, for the first time. */
  onReady(negotiated: NegotiatedAlgorithms, remoteSoftware: string): void;
  /**
   * A message with a number from 50 on. Throwing ends the connection.
   * @returns true: nothing of the bytes is kept, and their memory may go at once. Otherwise they are the receiver's.
   */
  onMessage(payload: Buffer): boolean | undefined;
  onServiceRequest?(name: string): void;
  onServiceAccept?(): void;
  /** What was `backedUp` is no longer. */
  onDrain(): void;
  /** Once, at the end; null: the other side closed. */
  onClosed(error: GatewayError | null): void;
}

export type TransportRole =
  | { type: 'server'; hostKeys: readonly HostKey[] }
  | { type: 'client'; hostKeyAlgorithms: readonly string[]; acceptHostKey: (blob: Buffer) => boolean };

installRawHandlers();
installCipher(AES_GCM);
installCipher(CHACHA20);

/** Hands every message of authentication and channels over as bytes. The table is the module's, hence every connection's. */
function installRawHandlers(): void {
  for (let type = Message.userauthRequest as number; type < 128; type++) {
    handlers[type] = (protocol, payload) => {
      const raw = protocol._handlers.raw as ((payload: Buffer) => void) | undefined;
      raw?.(payload);
      return undefined;
    };
  }
}

export class Transport {
  readonly #socket: Socket;
  /** Who is told; may be replaced between messages, when a connection passes from one stage to the next. */
  events: TransportEvents;
  readonly #protocol: Protocol;
  #remoteSoftware = '';
  #isReady = false;
  #closed = false;
  readonly #sending: SendSpace;
  #wasBackedUp = false;
  #readPaused = false;
  #bytesSinceKeys = 0;
  readonly #rekeyBytes: number;
  #keepalive: NodeJS.Timeout | null = null;
  #heard = true;
  #unanswered = 0;
  readonly #replies: ((reply: Buffer | null) => void)[] = [];
  bytesIn = 0;
  bytesOut = 0;

  /**
   * @param rekeyBytes new keys at the latest after this much in both directions.
   * @param reads what the socket's bytes come by where they are lent; by default the socket gives memory away with them.
   */
  constructor(
    socket: Socket,
    role: TransportRole,
    events: TransportEvents,
    rekeyBytes: number = REKEY_BYTES,
    reads: LentReads | null = null,
  ) {
    this.#socket = socket;
    this.#sending = new SendSpace(socket);
    this.#rekeyBytes = rekeyBytes;
    this.events = events;
    const isServer = role.type === 'server';
    const cipherSide = { cipher: CIPHERS, mac: MACS, compress: COMPRESSION, lang: [] };
    const offer = new kex.KexInit({
      kex: [...KEX, ...(isServer ? ['kex-strict-s-v00@openssh.com'] : ['ext-info-c', 'kex-strict-c-v00@openssh.com'])],
      serverHostKey: isServer ? role.hostKeys.map(key => key.algorithm) : role.hostKeyAlgorithms,
      cs: cipherSide,
      sc: cipherSide,
    });
    this.#protocol = new Protocol({
      server: isServer,
      ident: IDENT,
      offer,
      ...(isServer ? { hostKeys: this.#hostKeys(role.hostKeys) } : { hostVerifier: (blob: Buffer) => role.acceptHostKey(blob) }),
      onWrite: data => this.#write(data),
      onError: error => this.#fail(new GatewayError('SSH_PROTOCOL', 'protocol', `the SSH connection broke: ${errorText(error)}`)),
      onHeader: header => {
        this.#remoteSoftware = header.versions.software;
      },
      onHandshakeComplete: negotiated => this.#keysAgreed(negotiated),
      messageHandlers: {
        raw: (payload: Buffer) => this.#message(payload),
        SERVICE_REQUEST: (_: Protocol, name: string) => this.events.onServiceRequest?.(name),
        SERVICE_ACCEPT: () => this.events.onServiceAccept?.(),
        DISCONNECT: (_: Protocol, reason: number, text: string) =>
          this.#fail(
            reason === 11 ? null : new GatewayError('SSH_DISCONNECTED', 'unavailable', `the other side disconnected: ${text || reason}`),
          ),
      },
    });
    if (reads === null) socket.on('data', (chunk: Buffer) => this.#read(chunk));
    else {
      // Before there are keys, the library keeps parts of what comes.
      reads.deliverTo(chunk => this.#read(this.#isReady ? chunk : Buffer.from(chunk)));
    }
    socket.on('drain', () => this.#drained());
    socket.on('error', error => this.#fail(new GatewayError('SSH_SOCKET', 'unavailable', errorText(error))));
    socket.once('end', () => this.#fail(null));
    socket.once('close', () => this.#fail(null));
    this.#protocol.start?.();
  }

  /** RFC 4253, 7.2: the exchange hash of the first key exchange, which signatures of this connection cover. */
  get sessionId(): Buffer {
    const id = this.#protocol._kex?.sessionID;
    if (id === undefined) throw new GatewayError('SSH_STATE', 'internal', 'there is no session id before the first key exchange');
    return id;
  }

  get closed(): boolean {
    return this.#closed;
  }

  #hostKeys(keys: readonly HostKey[]): Record<string, unknown> {
    const result: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const key of keys) {
      result[key.algorithm] = {
        type: key.signatureAlgorithm,
        getPublicSSH: () => key.blob,
        sign: (data: Buffer) => {
          // The library names the signature by what was negotiated, which is wrong for a certificate. It reads the name after this.
          const negotiated = this.#protocol._kex?.negotiated;
          if (negotiated !== undefined) negotiated.serverHostKey = key.signatureAlgorithm;
          return key.sign(data);
        },
      };
    }
    return result;
  }

  #keysAgreed(negotiated: NegotiatedAlgorithms): void {
    this.#bytesSinceKeys = 0;
    if (!this.#isReady) {
      this.#isReady = true;
      this.#guarded(() => this.events.onReady(negotiated, this.#remoteSoftware));
    } else this.#drained();
  }

  #read(chunk: Buffer): void {
    if (this.#closed) return;
    this.bytesIn += chunk.length;
    this.#heard = true;
    this.#unanswered = 0;
    this.#bytesSinceKeys += chunk.length;
    this.#guarded(() => this.#protocol.parse(chunk, 0, chunk.length));
    this.#renewKeys();
  }

  #message(payload: Buffer): void {
    if (this.#closed) return;
    const type = payload[0];
    if (type === Message.requestSuccess || type === Message.requestFailure) {
      // Answers come in the order of the questions (RFC 4254, 4).
      this.#replies.shift()?.(type === Message.requestSuccess ? payload.subarray(1) : null);
      return;
    }
    if (this.events.onMessage(payload) === true) giveBackPayload(payload);
  }

  /**
   * Sends a global request that wants a reply.
   * @param done takes the reply's own data, or null for a refusal; not called when the connection ends before.
   */
  ask(name: string, data: Uint8Array, done: (reply: Buffer | null) => void): void {
    if (this.#closed || this.#replies.length >= REPLIES_MAX) return;
    this.#replies.push(done);
    this.send(new SshWriter().byte(Message.globalRequest).string(name).boolean(true).raw(data).finish());
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (this.#closed) return;
      // Said before it fails: whoever listens hears of it once, by the failure.
      this.#sayDisconnect(2, 'protocol error');
      this.#fail(error instanceof GatewayError ? error : new GatewayError('SSH_PROTOCOL', 'protocol', errorText(error)));
    }
  }

  /** Only between packets: within one, its bytes would be torn apart by those of the key exchange. */
  #renewKeys(): void {
    if (this.#bytesSinceKeys < this.#rekeyBytes || this.#closed || !this.#isReady || this.#protocol._kexinit !== undefined) return;
    this.#bytesSinceKeys = 0;
    this.#protocol.rekey();
  }

  #write(data: Buffer | string): void {
    if (this.#closed) return;
    const socket = this.#socket;
    this.#sending.write(data);
    this.bytesOut += data.length;
    this.#bytesSinceKeys += data.length;
    const waiting = socket.writableLength;
    if (waiting > READ_PAUSE_BYTES && !this.#readPaused) {
      this.#readPaused = true;
      socket.pause();
    }
  }

  /** Whoever feeds this connection should wait for `onDrain`. */
  get backedUp(): boolean {
    const { _kexinit: exchanging } = this.#protocol;
    const backedUp = this.#socket.writableLength > HIGH_WATER_BYTES || (exchanging !== undefined && this.#isReady);
    if (backedUp) this.#wasBackedUp = true;
    return backedUp;
  }

  #drained(): void {
    if (this.#closed) return;
    if (this.#readPaused) {
      this.#readPaused = false;
      this.#socket.resume();
    }
    if (!this.#wasBackedUp || this.backedUp) return;
    this.#wasBackedUp = false;
    this.#guarded(() => this.events.onDrain());
  }

  /** Sends a message. */
  send(payload: Uint8Array): void {
    if (this.#closed) return;
    const { write } = this.#protocol._packetRW;
    const packet = write.alloc(payload.length);
    packet.set(payload, write.allocStart);
    this.#sendPacket(packet);
  }

  /** Sends CHANNEL_DATA (`kind` null) or CHANNEL_EXTENDED_DATA; the bytes are copied. */
  sendData(channel: number, kind: number | null, data: Buffer): void {
    if (this.#closed) return;
    const { write } = this.#protocol._packetRW;
    const head = kind === null ? 9 : 13;
    const packet = write.alloc(head + data.length);
    let at = write.allocStart;
    packet[at++] = kind === null ? Message.channelData : Message.channelExtendedData;
    at = packet.writeUInt32BE(channel, at);
    if (kind !== null) at = packet.writeUInt32BE(kind, at);
    at = packet.writeUInt32BE(data.length, at);
    packet.set(data, at);
    this.#sendPacket(packet);
  }

  #sendPacket(packet: Buffer): void {
    ssh2Utils.sendPacket(this.#protocol, this.#protocol._packetRW.write.finalize(packet));
    if ((this.#protocol._queue?.length ?? 0) > REKEY_QUEUE_MAX)
      this.#fail(new GatewayError('SSH_REKEY_STALLED', 'protocol', 'the other side does not finish a key exchange'));
    this.#renewKeys();
  }

  service(name: string): void {
    this.#protocol.service(name);
  }

  acceptService(name: string): void {
    this.#protocol.serviceAccept(name);
  }

  /** Notices a peer that is gone: asks every `intervalMs` of silence, and ends the connection after `unansweredMax` of them. */
  keepAlive(intervalMs: number, unansweredMax: number): void {
    this.#keepalive = setInterval(() => {
      if (this.#heard) {
        this.#heard = false;
        return;
      }
      if (++this.#unanswered > unansweredMax) {
        this.#fail(new GatewayError('SSH_PEER_SILENT', 'unavailable', 'the other side no longer answers'));
        return;
      }
      this.ask('keepalive@openssh.com', new Uint8Array(0), () => undefined);
    }, intervalMs);
    this.#keepalive.unref();
  }

  /** Says why and closes; what was sent before is delivered first. */
  disconnect(reason: number, text: string): void {
    if (this.#closed) return;
    this.#sayDisconnect(reason, text);
    this.#finish();
    this.#sending.flush();
    this.#socket.end();
    this.#socket.setTimeout(5000, () => this.#socket.destroy());
  }

  #sayDisconnect(reason: number, text: string): void {
    if (!this.#isReady || this.#protocol._kexinit !== undefined) return;
    try {
      this.send(new SshWriter().byte(Message.disconnect).uint32(reason).string(text).string('').finish());
    } catch {
      // What broke the connection may have broken its ciphers: then it ends without a word.
    }
  }

  /** Closes at once. */
  destroy(): void {
    this.#finish();
    this.#sending.drop();
    this.#socket.destroy();
  }

  #finish(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    if (this.#keepalive !== null) clearInterval(this.#keepalive);
    // Its ciphers may be in use by the packet that is being read.
    setImmediate(() => this.#protocol.cleanup());
    return true;
  }

  #fail(error: GatewayError | null): void {
    if (!this.#finish()) return;
    if (this.#socket.destroyed) this.#sending.drop();
    else {
      this.#sending.flush();
      this.#socket.end();
      this.#socket.setTimeout(1000, () => this.#socket.destroy());
    }
    this.events.onClosed(error);
  }
}
