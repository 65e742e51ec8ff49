/**
 * SFTP between a client and a host: every request is read, its paths resolved by the host (symbolic links, `..`), judged, recorded, and
 * only then passed on, with the resolved path in place of what was asked for. What is not known is not passed on.
 *
 *     request ─▶ resolve paths at the host ─▶ judge ─▶ record, or wait for people ─▶ resolve again ─▶ host ─▶ answer ─▶ client
 *
 * Looking (stat, realpath, readdir) is judged and recorded only when it is refused; opening, changing and removing always. What each
 * request asks of which path is in path-requests.ts. Paths that lead elsewhere when a request may go on than when it was judged are
 * refused, and nothing of the session that changes paths comes between (path-lock.ts). Between resolving and opening somebody else on
 * the host may exchange a folder for a link: against that there is no help from outside.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { ChannelEnd } from '../channel-end.ts';
import type { HostCommand } from '../command.ts';
import { HeldCommand } from '../held-command.ts';
import type { FileKind, Judged } from '../judge.ts';
import { STDERR } from '../messages.ts';
import type { Relay } from '../relay.ts';
import { ContentReads, READ_BYTES_MAX, statusOnly } from './content-reads.ts';
import { HostLink } from './host-link.ts';
import { packet, Sftp, Status, sizeIn, withId } from './messages.ts';
import { type Appending, OpenFile } from './open-file.ts';
import { PacketCutter } from './packet-cutter.ts';
import type { Leave } from './path-lock.ts';
import { EXTENSIONS, type FileUse, type PathRequest, pathRequest } from './path-requests.ts';
import { type ResolvedPath, resolve, sameResolution } from './resolution.ts';

/** Requests of a client whose answers it has not got. */
const PENDING_MAX = 1024;
const HANDLES_MAX = 512;
const SAID_MAX = 20;
/** What every server takes (the draft's section 3); only contents may be longer. */
const REQUEST_BYTES_MAX = 34_000;
const LENGTH_BYTES = 4;

interface Request {
  readonly clientId: number;
  readonly payload: Buffer;
  /** Of the client's window: given back with the answer. */
  readonly credit: number;
}

export interface SftpRelayOptions {
  relay: Relay;
  client: ChannelEnd;
  host: ChannelEnd;
}

export class SftpRelay {
  readonly #options: SftpRelayOptions;
  readonly #fromClient = new PacketCutter();
  readonly #link: HostLink;
  readonly #reads: ContentReads;
  readonly #files = new Map<string, OpenFile>();
  /** Files that the host was asked to open. */
  #opening = 0;
  #pending = 0;
  #said = 0;
  #eof = false;
  readonly #held = new Set<HeldCommand>();
  /** Commands that are not over, but for those of files that are open. */
  readonly #running = new Set<HostCommand>();
  #closed = false;

  constructor(options: SftpRelayOptions) {
    this.#options = options;
    const { client, host } = options;
    this.#link = new HostLink({ client, host, onVersion: payload => this.#version(payload) });
    this.#reads = new ContentReads(this.#link);
  }

  /** @throws {GatewayError} for what is no SFTP. */
  fromClient(data: Buffer): void {
    for (const payload of this.#fromClient.push(data)) {
      const credit = LENGTH_BYTES + payload.length;
      if (payload[0] === Sftp.init) {
        this.#link.begin();
        this.#options.client.consumed(credit);
      } else if (payload[0] === Sftp.write) this.#write(payload, credit);
      else this.#request(Buffer.from(payload), credit);
    }
  }

  eof(): void {
    this.#eof = true;
    this.#maybeEof();
  }

  #maybeEof(): void {
    if (this.#eof && this.#pending === 0) this.#options.host.eof();
  }

  fromHost(data: Buffer): void {
    this.#link.fromHost(data);
  }

  close(reason: string, code: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#link.closed = true;
    for (const held of this.#held) held.withdraw(reason);
    this.#held.clear();
    for (const command of this.#running) command.end({ status: 'aborted', errorCode: code, errorText: reason });
    this.#running.clear();
    for (const file of this.#files.values()) file.close('aborted', { errorCode: code, errorText: reason });
    this.#files.clear();
    this.#options.relay.paths.abandon(this);
  }

  #version(payload: Buffer): void {
    const reader = new SshReader(payload, 1);
    const version = Math.min(3, reader.uint32());
    const kept: Buffer[] = [];
    while (reader.rest > 0) {
      const name = reader.bytes();
      const value = reader.bytes();
      if (EXTENSIONS.has(name.toString('latin1'))) kept.push(name, value);
    }
    this.#link.toClient(
      packet(Sftp.version, writer => {
        writer.uint32(version);
        for (const each of kept) writer.string(each);
      }),
    );
  }

  /** A request counts until its answer has left, so that a client which does not take answers cannot ask for ever. */
  #accepted(clientId: number, payload: Buffer, credit: number): Request {
    if (++this.#pending > PENDING_MAX) throw new GatewayError('SFTP_FLOOD', 'protocol', 'too many SFTP requests are not answered');
    return { clientId, payload, credit };
  }

  /** @param answer without a length, with any number. */
  #answer(request: Request, answer: Buffer): void {
    this.#link.toClient(withId(answer, request.clientId), () => {
      this.#pending--;
      if (request.credit > 0) this.#options.client.consumed(request.credit);
      this.#maybeEof();
    });
  }

  #status(request: Request, code: number, message: string): void {
    this.#answer(request, statusOnly(code, message));
  }

  /** Passes a request on as it is, and its answer back. */
  #pass(request: Request, payload = request.payload, look: (answer: Buffer) => Buffer = answer => answer): void {
    this.#link.ask(payload, answer => this.#answer(request, look(answer)));
  }

  #say(text: string): void {
    if (this.#said++ >= SAID_MAX) return;
    const line = `sallyport: ${this.#options.relay.cleanText(text)}`.replaceAll(/[^\P{C}\n]/gu, ' ');
    this.#options.client.sendData(Buffer.from(`${line}\n`), STDERR);
  }

  #request(payload: Buffer, credit: number): void {
    const type = payload[0] as number;
    const reader = new SshReader(payload, 1);
    const request = this.#accepted(reader.uint32(), payload, credit);
    if (payload.length > REQUEST_BYTES_MAX) {
      this.#status(request, Status.badMessage, 'the request is longer than a request may be');
      return;
    }
    switch (type) {
      case Sftp.close:
        this.#close(request, reader.bytes());
        return;
      case Sftp.read:
        this.#read(request, reader);
        return;
      case Sftp.fstat:
      case Sftp.readdir:
        this.#knownHandle(request, reader.bytes(), () => this.#pass(request));
        return;
      case Sftp.fsetstat:
        this.#setHandle(request, reader.bytes(), reader);
        return;
      case Sftp.realpath:
        // What it answers is what the client could have asked for; nothing of the path's contents is in it.
        this.#pass(request);
        return;
      case Sftp.extended:
        this.#extended(request, reader);
        return;
      default: {
        const asked = pathRequest(type, null, reader);
        if (asked === null) this.#status(request, Status.unsupported, 'this operation is not offered');
        else this.#onPaths(request, asked);
      }
    }
  }

  #extended(request: Request, reader: SshReader): void {
    const name = reader.text();
    switch (name) {
      case 'fstatvfs@openssh.com':
      case 'fsync@openssh.com':
        this.#knownHandle(request, reader.bytes(), () => this.#pass(request));
        return;
      case 'limits@openssh.com':
        this.#pass(request, request.payload, answer => this.#limits(answer));
        return;
      case 'expand-path@openssh.com':
      case 'users-groups-by-id@openssh.com':
        this.#pass(request);
        return;
      default: {
        const asked = pathRequest(Sftp.extended, name, reader);
        if (asked === null) this.#status(request, Status.unsupported, 'this extension is not offered');
        else this.#onPaths(request, asked);
      }
    }
  }

  /** The host's limits, and ours: a client that knows them asks for no more. */
  #limits(answer: Buffer): Buffer {
    if (answer[0] !== Sftp.extendedReply) return answer;
    const reader = new SshReader(answer, 5);
    const packetBytes = reader.uint64();
    const readBytes = reader.uint64();
    const writeBytes = reader.uint64();
    const handles = reader.uint64();
    const atMost = (own: number, hosts: bigint) => (hosts !== 0n && hosts < BigInt(own) ? hosts : BigInt(own));
    const isLookedAt = this.#options.relay.session.inForce.detectors !== null;
    return packet(
      Sftp.extendedReply,
      writer =>
        void writer
          .uint32(0)
          .uint64(packetBytes)
          .uint64(isLookedAt ? atMost(READ_BYTES_MAX, readBytes) : readBytes)
          .uint64(writeBytes)
          .uint64(atMost(HANDLES_MAX, handles)),
    ).subarray(4);
  }

  /**
   * Resolves, judges, records, waits where people are to be asked, resolves again and passes on. A path that does not exist is
   * refused as the host refuses it.
   */
  #onPaths(request: Request, asked: PathRequest): void {
    if (asked.sizeBytes !== null && !this.#maySize(asked.sizeBytes)) {
      this.#tooLarge(request, 'the file');
      return;
    }
    this.#resolved(request, asked, (paths, leave) => {
      const use = asked.use(paths);
      const judged = this.#judge(use);
      if (asked.next === 'look' && judged.decision.action === 'allow') {
        this.#pass(request, use.payload, answer => {
          leave();
          return answer;
        });
        return;
      }
      leave();
      this.#judged(request, use, judged, command => this.#again(request, asked, paths, use, command));
    });
  }

  /** Time has passed since the paths were judged. */
  #again(request: Request, asked: PathRequest, judged: readonly ResolvedPath[], use: FileUse, command: HostCommand): void {
    const failed = () => this.#over(command, { status: 'error', errorCode: 'SFTP_NO_PATH' });
    this.#resolved(
      request,
      asked,
      (paths, leave) => {
        if (!sameResolution(judged, paths)) {
          leave();
          const message = 'the path leads elsewhere than when it was judged';
          this.#over(command, { status: 'refused', errorCode: 'SFTP_PATH_CHANGED', errorText: message });
          this.#say(`${use.text}: ${message}`);
          this.#status(request, Status.permissionDenied, message);
        } else if (asked.next === 'open') this.#open(request, use, command, leave);
        else this.#finishing(request, use.payload, command, leave);
      },
      failed,
    );
  }

  #resolved(
    request: Request,
    asked: PathRequest,
    then: (paths: readonly ResolvedPath[], leave: Leave) => void,
    failed: () => void = () => undefined,
  ): void {
    this.#options.relay.paths.enter(this, asked.changesPaths, leave =>
      resolve(this.#link, asked.paths, resolution => {
        if (this.#closed) {
          leave();
          failed();
        } else if ('paths' in resolution) then(resolution.paths, leave);
        else {
          leave();
          failed();
          if ('answer' in resolution) this.#answer(request, resolution.answer);
          else this.#status(request, Status.permissionDenied, resolution.refused);
        }
      }),
    );
  }

  #judge(use: { kind: FileKind; reads: readonly string[]; writes: readonly string[]; trees: readonly string[] }): Judged {
    return this.#options.relay.judge.file(use.kind, use.reads, use.writes, use.trees);
  }

  /** Records; goes on when it is allowed, and the record is on disk. */
  #judged(request: Request, { kind, text }: { kind: FileKind; text: string }, judged: Judged, then: (command: HostCommand) => void): void {
    const { relay } = this.#options;
    const { decision } = judged;
    const options = { kind, text, judged };
    const refuse = (command: HostCommand, message: string) => {
      this.#over(command, { status: 'refused', errorCode: 'SSH_DENIED', errorText: relay.recordText(message) });
      if (this.#closed) return;
      this.#say(`${text}: ${message}`);
      this.#status(request, Status.permissionDenied, relay.cleanText(message));
    };
    const go = (command: HostCommand) => {
      if (!this.#closed) then(command);
    };
    if (decision.action === 'hold') {
      const held = new HeldCommand(relay, {
        command: options,
        say: message => this.#say(`${text}: ${message}`),
        settled: refusal => {
          this.#held.delete(held);
          if (refusal === null) go(held.command);
          else refuse(held.command, refusal);
        },
      });
      this.#held.add(held);
      this.#running.add(held.command);
      return;
    }
    const command = relay.newCommand(options);
    this.#running.add(command);
    if (decision.action === 'deny') relay.gateway.metrics.denied++;
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decision.action === 'allow') go(command);
        else refuse(command, decision.message);
      }),
    );
  }

  #over(command: HostCommand, outcome: Parameters<HostCommand['end']>[0]): void {
    this.#running.delete(command);
    command.end(outcome);
  }

  /** Passes on a request that is over with its answer. */
  #finishing(request: Request, payload: Buffer, command: HostCommand, leave: Leave = () => undefined): void {
    this.#pass(request, payload, answer => {
      leave();
      const code = statusIn(answer) ?? Status.ok;
      this.#over(command, code === Status.ok ? { status: 'ok', tag: 'done' } : { status: 'error', errorCode: `SFTP_${code}` });
      return answer;
    });
  }

  /** Passes on what is answered with a handle. */
  #open(request: Request, use: FileUse, command: HostCommand, leave: Leave): void {
    if (this.#files.size + this.#opening >= HANDLES_MAX) {
      leave();
      this.#over(command, { status: 'error', errorCode: 'SFTP_HANDLES' });
      this.#status(request, Status.failure, 'too many files are open');
      return;
    }
    this.#opening++;
    this.#link.ask(use.payload, answer => {
      leave();
      if (answer[0] !== Sftp.handle) {
        this.#opening--;
        this.#over(command, { status: 'error', errorCode: `SFTP_${statusIn(answer) ?? Status.failure}` });
        this.#answer(request, answer);
        return;
      }
      const handle = Buffer.from(new SshReader(answer, 5).bytes());
      const [path = ''] = [...use.writes, ...use.reads];
      const opened = (appending: Appending | null) => {
        this.#opening--;
        this.#opened(handle, path, command, appending);
        this.#answer(request, handleOnly(handle));
      };
      if (use.appends !== true || this.#uploadBytesMax === null) opened(null);
      else
        this.#sizeOf(handle, sizeBytes => {
          if (sizeBytes !== null) opened({ sizeBytes, appended: this.#options.relay.appended });
          else {
            // Nobody could say how long it becomes.
            this.#opening--;
            this.#over(command, { status: 'error', errorCode: 'SFTP_SIZE_UNKNOWN' });
            this.#link.ask(rewrittenHandle(Sftp.close, handle), () =>
              this.#status(request, Status.failure, 'the host does not say how long the file is'),
            );
          }
        });
    });
  }

  #opened(handle: Buffer, path: string, command: HostCommand, appending: Appending | null): void {
    const name = handle.toString('latin1');
    if (this.#files.has(name)) throw new GatewayError('SFTP_HANDLE', 'protocol', 'the host gives out a handle twice');
    const { detectors } = this.#options.relay.session.inForce;
    const file = new OpenFile({ command, path, detectors, uploadBytesMax: this.#uploadBytesMax, appending });
    this.#running.delete(command);
    this.#files.set(name, file);
  }

  #sizeOf(handle: Buffer, done: (sizeBytes: number | null) => void): void {
    this.#link.ask(rewrittenHandle(Sftp.fstat, handle), answer => done(answer[0] === Sftp.attrs ? sizeIn(new SshReader(answer, 5)) : null));
  }

  #knownHandle(request: Request, handle: Buffer, then: (file: OpenFile, name: string) => void): void {
    const name = handle.toString('latin1');
    const file = this.#files.get(name);
    if (file === undefined) this.#status(request, Status.failure, 'there is no such handle');
    else then(file, name);
  }

  #setHandle(request: Request, handle: Buffer, attributes: SshReader): void {
    const size = sizeIn(attributes);
    this.#knownHandle(request, handle, file => {
      if (size !== null && !file.maySize(size)) {
        this.#tooLarge(request, file.path);
        return;
      }
      const use = { kind: 'sftp-change' as const, text: `attributes of ${file.path}`, reads: [], writes: [file.path], trees: [] };
      this.#judged(request, use, this.#judge(use), command => this.#finishing(request, request.payload, command));
    });
  }

  #close(request: Request, handle: Buffer): void {
    this.#knownHandle(request, handle, (file, name) => {
      this.#files.delete(name);
      this.#pass(request, request.payload, answer => {
        file.close('ok');
        return answer;
      });
    });
  }

  #read(request: Request, reader: SshReader): void {
    const handle = reader.bytes();
    const offset = Number(reader.uint64());
    const length = reader.uint32();
    this.#knownHandle(request, handle, file => {
      if (!Number.isSafeInteger(offset) || length === 0) this.#status(request, Status.eof, 'end of file');
      else if (file.detectors === null)
        this.#pass(request, request.payload, answer => {
          if (answer[0] !== Sftp.data) return answer;
          const data = new SshReader(answer, 5).bytes();
          const refusal = this.#overBudget(file, data.length);
          if (refusal !== null) return refusal;
          file.wasRead(offset, data);
          return answer;
        });
      else
        this.#reads.read({
          handle,
          offset,
          length,
          needsBefore: (start, joined, fetched) => file.long.needsBefore(start, offset, joined, fetched),
          needsAfter: (joined, to, fetched) => file.long.needsAfter(joined, to, fetched),
          found: (joined, from, to) => this.#shown(file, offset, joined, from, to),
          done: answer => this.#answer(request, answer),
        });
    });
  }

  #shown(file: OpenFile, offset: number, joined: Buffer, from: number, to: number): Buffer {
    const shown = file.masked(joined, from, to, offset);
    if (shown === null) {
      this.#say(`read ${file.path}: it is no text, and holds what policy does not let through`);
      return statusOnly(Status.permissionDenied, 'the file holds what policy does not let through');
    }
    const refusal = this.#overBudget(file, shown.length);
    if (refusal !== null) return refusal;
    file.wasRead(offset, shown);
    return packet(Sftp.data, writer => void writer.uint32(0).string(shown)).subarray(4);
  }

  /** Counts contents against the role's budget. @returns the answer in their place, when they are more than is left of it. */
  #overBudget(file: OpenFile, bytes: number): Buffer | null {
    const { budget } = this.#options.relay.session;
    if (budget === null || budget.takeBytes(bytes, true) === bytes) return null;
    const message = budget.describe();
    // Said once: a client has many reads under way.
    if (!file.overBudget) this.#say(`read ${file.path}: ${message}`);
    file.overBudget = true;
    return statusOnly(Status.permissionDenied, message);
  }

  /** Contents are given back when they have left for the host, everything else with its answer. */
  #write(payload: Buffer, credit: number): void {
    const reader = new SshReader(payload, 1);
    const clientId = reader.uint32();
    const handle = reader.bytes();
    const offset = Number(reader.uint64());
    const data = reader.bytes();
    reader.end();
    const file = this.#files.get(handle.toString('latin1'));
    if (file === undefined) this.#status(this.#accepted(clientId, payload, credit), Status.failure, 'there is no such handle');
    else if (!file.mayWrite(offset, data)) this.#tooLarge(this.#accepted(clientId, payload, credit), file.path);
    else {
      const { client } = this.#options;
      const request = this.#accepted(clientId, payload, 0);
      this.#link.ask(
        payload,
        answer => this.#answer(request, answer),
        () => client.consumed(credit),
      );
    }
  }

  get #uploadBytesMax(): number | null {
    return this.#options.relay.session.sshAccess?.uploadBytesMax ?? null;
  }

  #maySize(bytes: number): boolean {
    const max = this.#uploadBytesMax;
    return max === null || bytes <= max;
  }

  #tooLarge(request: Request, what: string): void {
    const message = `${what} would be larger than the ${this.#uploadBytesMax} bytes that your role may write`;
    this.#say(message);
    this.#status(request, Status.failure, message);
  }
}

function statusIn(answer: Buffer): number | null {
  return answer[0] === Sftp.status ? new SshReader(answer, 5).uint32() : null;
}

function handleOnly(handle: Buffer): Buffer {
  return packet(Sftp.handle, writer => void writer.uint32(0).string(handle)).subarray(4);
}

function rewrittenHandle(type: number, handle: Buffer): Buffer {
  return packet(type, writer => void writer.uint32(0).string(handle)).subarray(4);
}
