/**
 * The host's side of an SFTP channel: requests go under numbers of the gateway's own, answers come back to who asked.
 *
 * Bytes of the host count as consumed when what they led to has left for the client, so that a client which stops reading stops its
 * host. What leads to nothing, or to more questions, counts at once: who asks more than one question for a request bounds that himself.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { ChannelEnd } from '../channel-end.ts';
import { packet, Sftp, withId } from './messages.ts';
import { PacketCutter } from './packet-cutter.ts';

/** Takes an answer, which is good until it returns. */
export type Answer = (payload: Buffer) => void;

const LENGTH_BYTES = 4;

export interface HostLinkOptions {
  client: ChannelEnd;
  host: ChannelEnd;
  /** The host's own first packet. */
  onVersion: (payload: Buffer) => void;
}

export class HostLink {
  readonly #options: HostLinkOptions;
  readonly #cutter = new PacketCutter();
  readonly #answers = new Map<number, Answer>();
  #nextId = 0;
  #begun: 'no' | 'asked' | 'yes' = 'no';
  /** Of the answer that is being looked at. */
  #owed = 0;
  closed = false;

  constructor(options: HostLinkOptions) {
    this.#options = options;
  }

  /** @throws {GatewayError} for what no SFTP server sends. */
  fromHost(data: Buffer): void {
    for (const payload of this.#cutter.push(data)) {
      this.#owed = LENGTH_BYTES + payload.length;
      this.#take(payload);
      const rest = this.#owed;
      this.#owed = 0;
      if (rest > 0) this.#options.host.consumed(rest);
    }
  }

  #take(payload: Buffer): void {
    if (payload[0] === Sftp.version) {
      if (this.#begun !== 'asked') throw new GatewayError('SFTP_VERSION', 'protocol', 'the host begins what nobody asked it to begin');
      this.#begun = 'yes';
      this.#options.onVersion(payload);
      return;
    }
    const id = new SshReader(payload, 1).uint32();
    const answer = this.#answers.get(id);
    if (answer === undefined) throw new GatewayError('SFTP_ANSWER', 'protocol', 'the host answers what it was not asked');
    this.#answers.delete(id);
    answer(payload);
  }

  /** Begins, once. @throws {GatewayError} SFTP_VERSION. */
  begin(): void {
    if (this.#begun !== 'no') throw new GatewayError('SFTP_VERSION', 'protocol', 'the client begins twice');
    this.#begun = 'asked';
    const init = packet(Sftp.init, writer => writer.uint32(3));
    this.#options.host.sendData(init, null);
  }

  /** Asks the host, under a number of ours. @param sent called when the request has left. */
  ask(payload: Buffer, answer: Answer, sent: (() => void) | null = null): void {
    if (this.#begun === 'no') throw new GatewayError('SFTP_VERSION', 'protocol', 'the client asks before it begins');
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0;
    this.#answers.set(id, answer);
    this.#options.host.sendData(withId(payload, id), null, sent);
  }

  /** To the client, with what the host's answer costs. @param sent called when it has left, or never will. */
  toClient(bytes: Buffer, sent: () => void = () => undefined): void {
    const { client, host } = this.#options;
    const owed = this.#owed;
    this.#owed = 0;
    const done = () => {
      if (owed > 0) host.consumed(owed);
      sent();
    };
    if (this.closed) done();
    else client.sendData(bytes, null, done);
  }
}
