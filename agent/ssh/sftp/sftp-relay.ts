/**
 * SFTP between a client and a host: every request is read, its paths resolved by the host (symbolic links, `..`), judged, recorded, and
 * only then passed on, with the resolved path in place of what was asked for. What is not known is not passed on.
 *
 *     request ─▶ resolve paths at the host ─▶ judge ─▶ record ─▶ host ─▶ answer ─▶ client
 *
 * Looking (stat, realpath, readdir) is judged and recorded only when it is refused; opening, changing and removing always.
 * Between resolving and opening somebody else on the host may exchange a folder for a link: against that there is no help from outside.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshReader, type SshWriter } from '@sallyport/shared/ssh/wire.ts';
import type { ChannelEnd } from '../channel-end.ts';
import type { HostCommand } from '../command.ts';
import { HeldCommand } from '../held-command.ts';
import type { FileKind, Judged } from '../judge.ts';
import { STDERR } from '../messages.ts';
import type { Relay } from '../relay.ts';
import { OpenFlag, PacketCutter, packet, Sftp, Status, statusPacket, withId } from './messages.ts';
import { AROUND_BYTES, OpenFile } from './open-file.ts';

/** Requests of a client that are not answered. */
const PENDING_MAX = 1024;
const HANDLES_MAX = 512;
const SAID_MAX = 20;
const PATH_BYTES_MAX = 4096;

const EXTENSIONS = new Set([
  'posix-rename@openssh.com',
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
  'hardlink@openssh.com',
  'fsync@openssh.com',
  'lsetstat@openssh.com',
  'limits@openssh.com',
  'expand-path@openssh.com',
  'users-groups-by-id@openssh.com',
]);

/** What the host's answer to one of our requests leads to. */
type Answer = (payload: Buffer) => void;

interface Request {
  clientId: number;
  payload: Buffer;
}

export interface SftpRelayOptions {
  relay: Relay;
  client: ChannelEnd;
  host: ChannelEnd;
}

export class SftpRelay {
  readonly #options: SftpRelayOptions;
  readonly #fromClient = new PacketCutter();
  readonly #fromHost = new PacketCutter();
  readonly #answers = new Map<number, Answer>();
  readonly #files = new Map<string, OpenFile>();
  #nextId = 0;
  #pending = 0;
  #said = 0;
  /** Bytes to give back; negative while a packet that came in pieces has not left. */
  #credit = 0;
  #begun = false;
  #eof = false;
  readonly #held = new Set<HeldCommand>();
  #closed = false;

  constructor(options: SftpRelayOptions) {
    this.#options = options;
  }

  /** @throws {GatewayError} for what is no SFTP. */
  fromClient(data: Buffer): void {
    const { client } = this.#options;
    let forwarded = 0;
    for (const payload of this.#fromClient.push(data)) {
      if (payload[0] === Sftp.write) forwarded += this.#write(payload);
      else this.#request(Buffer.from(payload));
    }
    // Contents are given back when they have left; the rest is small, and bounded by the number of requests.
    this.#credit += data.length - forwarded;
    if (this.#credit <= 0) return;
    client.consumed(this.#credit);
    this.#credit = 0;
  }

  eof(): void {
    this.#eof = true;
    this.#maybeEof();
  }

  #maybeEof(): void {
    if (this.#eof && this.#pending === 0) this.#options.host.eof();
  }

  fromHost(data: Buffer): void {
    this.#options.host.consumed(data.length);
    for (const payload of this.#fromHost.push(data)) {
      if (payload[0] === Sftp.version) {
        this.#version(payload);
        continue;
      }
      const id = new SshReader(payload, 1).uint32();
      const answer = this.#answers.get(id);
      if (answer === undefined) throw new GatewayError('SFTP_ANSWER', 'protocol', 'the host answers what it was not asked');
      this.#answers.delete(id);
      answer(Buffer.from(payload));
    }
  }

  close(reason: string, code: string): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const held of this.#held) {
      held.withdraw(reason);
      held.command.end({ status: 'aborted', errorCode: code, errorText: reason });
    }
    this.#held.clear();
    for (const file of this.#files.values()) file.close('aborted', { errorCode: code, errorText: reason });
    this.#files.clear();
  }

  #version(payload: Buffer): void {
    if (this.#begun) throw new GatewayError('SFTP_VERSION', 'protocol', 'the host begins twice');
    this.#begun = true;
    const reader = new SshReader(payload, 1);
    const version = Math.min(3, reader.uint32());
    const kept: Buffer[] = [];
    while (reader.rest > 0) {
      const name = reader.bytes();
      const value = reader.bytes();
      if (EXTENSIONS.has(name.toString('latin1'))) kept.push(name, value);
    }
    this.#toClient(
      packet(Sftp.version, writer => {
        writer.uint32(version);
        for (const each of kept) writer.string(each);
      }),
    );
  }

  #toClient(bytes: Buffer): void {
    if (!this.#closed) this.#options.client.sendData(bytes, null);
  }

  /** Sends a request of our own or a client's under a number of ours. */
  #ask(payload: Buffer, answer: Answer, sent: (() => void) | null = null): void {
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0;
    this.#answers.set(id, answer);
    this.#options.host.sendData(withId(payload, id), null, sent);
  }

  #done(): void {
    this.#pending--;
    this.#maybeEof();
  }

  /** Passes a request on as it is, and its answer back. */
  #pass(request: Request, look?: (answer: Buffer) => Buffer | null): void {
    this.#ask(request.payload, answer => {
      this.#done();
      const shown = look === undefined ? answer : look(answer);
      if (shown !== null) this.#toClient(withId(shown, request.clientId));
    });
  }

  #status(request: Request, code: number, message: string): void {
    this.#done();
    this.#toClient(statusPacket(request.clientId, code, message));
  }

  #say(text: string): void {
    if (this.#said++ >= SAID_MAX) return;
    const line = `sallyport: ${this.#options.relay.cleanText(text)}`.replaceAll(/[^\P{C}\n]/gu, ' ');
    this.#options.client.sendData(Buffer.from(`${line}\n`), STDERR);
  }

  #request(payload: Buffer): void {
    const type = payload[0] as number;
    if (type === Sftp.init) {
      this.#options.host.sendData(
        packet(Sftp.init, writer => writer.uint32(3)),
        null,
      );
      return;
    }
    const reader = new SshReader(payload, 1);
    const request: Request = { clientId: reader.uint32(), payload };
    if (++this.#pending > PENDING_MAX) throw new GatewayError('SFTP_FLOOD', 'protocol', 'too many SFTP requests are not answered');
    switch (type) {
      case Sftp.open:
        this.#open(request, reader);
        return;
      case Sftp.close:
        this.#close(request, reader);
        return;
      case Sftp.read:
        this.#read(request, reader);
        return;
      case Sftp.fstat:
      case Sftp.readdir:
        this.#knownHandle(request, reader.bytes(), () => this.#pass(request));
        return;
      case Sftp.fsetstat: {
        const handle = reader.bytes();
        const size = sizeIn(reader);
        this.#knownHandle(request, handle, file => {
          if (size !== null && !file.maySize(size)) this.#tooLarge(request, file);
          else
            this.#judged(request, 'sftp-change', `attributes of ${file.path}`, [], [file.path], command =>
              this.#finishing(payload, request, command),
            );
        });
        return;
      }
      case Sftp.opendir:
        this.#paths(request, [{ path: reader.bytes(), follow: true }], ([path = '']) =>
          this.#judged(request, 'sftp-list', `list ${path}`, [path], [], command =>
            this.#opening(rewritten(type, [path]), request, path, command),
          ),
        );
        return;
      case Sftp.stat:
      case Sftp.lstat:
      case Sftp.readlink:
        this.#look(request, reader.bytes(), type === Sftp.stat, path => rewritten(type, [path]));
        return;
      case Sftp.realpath:
        // What it answers is what the client could have asked for; nothing of the path's contents is in it.
        this.#pass(request);
        return;
      case Sftp.setstat: {
        const path = reader.bytes();
        const rest = reader.remaining();
        this.#change(request, 'attributes of', [{ path, follow: true }], ([resolved = '']) => rewritten(type, [resolved], rest));
        return;
      }
      case Sftp.remove:
      case Sftp.rmdir:
        this.#change(request, 'remove', [{ path: reader.bytes(), follow: false }], ([path = '']) => rewritten(type, [path]));
        return;
      case Sftp.mkdir: {
        const path = reader.bytes();
        const rest = reader.remaining();
        this.#change(request, 'make folder', [{ path, follow: false }], ([resolved = '']) => rewritten(type, [resolved], rest));
        return;
      }
      case Sftp.rename:
        this.#rename(request, reader.bytes(), reader.bytes(), paths => rewritten(type, paths));
        return;
      case Sftp.symlink: {
        // OpenSSH's order: what it points to, where it lies.
        const target = reader.bytes();
        const link = reader.bytes();
        this.#paths(request, [{ path: link, follow: false }], ([path = '']) => {
          const text = `link ${path} to ${target.toString('utf8').slice(0, PATH_BYTES_MAX)}`;
          this.#judged(request, 'sftp-change', text, [], [path], command =>
            this.#finishing(packet(type, writer => void writer.uint32(0).string(target).string(path)).subarray(4), request, command),
          );
        });
        return;
      }
      case Sftp.extended:
        this.#extended(request, reader);
        return;
      default:
        this.#status(request, Status.unsupported, 'this operation is not offered');
    }
  }

  #extended(request: Request, reader: SshReader): void {
    const name = reader.text();
    switch (EXTENSIONS.has(name) ? name : '') {
      case 'posix-rename@openssh.com':
        this.#rename(request, reader.bytes(), reader.bytes(), paths => extended(name, paths));
        return;
      case 'hardlink@openssh.com': {
        const [from, to] = [reader.bytes(), reader.bytes()];
        this.#paths(
          request,
          [
            { path: from, follow: true },
            { path: to, follow: false },
          ],
          ([old = '', made = '']) =>
            // Whoever may write by the new name writes the old one's contents.
            this.#judged(request, 'sftp-change', `link ${made} to ${old}`, [old], [old, made], command =>
              this.#finishing(extended(name, [old, made]), request, command),
            ),
        );
        return;
      }
      case 'lsetstat@openssh.com': {
        const path = reader.bytes();
        const rest = reader.remaining();
        this.#change(request, 'attributes of', [{ path, follow: false }], ([resolved = '']) => extended(name, [resolved], rest));
        return;
      }
      case 'statvfs@openssh.com':
        this.#look(request, reader.bytes(), true, path => extended(name, [path]));
        return;
      case 'fstatvfs@openssh.com':
      case 'fsync@openssh.com':
        this.#knownHandle(request, reader.bytes(), () => this.#pass(request));
        return;
      case 'limits@openssh.com':
      case 'expand-path@openssh.com':
      case 'users-groups-by-id@openssh.com':
        this.#pass(request);
        return;
      default:
        this.#status(request, Status.unsupported, 'this extension is not offered');
    }
  }

  /**
   * Has the host say what paths mean. A path that is not followed keeps its last part: it is the link itself that is spoken of.
   * A path that does not exist is refused as the host refuses it, and so is one that is no UTF-8.
   */
  #paths(request: Request, asked: readonly { path: Buffer; follow: boolean }[], then: (paths: string[]) => void): void {
    const resolved: string[] = [];
    const next = (): void => {
      const each = asked[resolved.length];
      if (each === undefined) {
        then(resolved);
        return;
      }
      const text = plainPath(each.path);
      if (text === null) {
        this.#status(request, Status.permissionDenied, 'a path that is too long, empty, or no UTF-8');
        return;
      }
      const trimmed = text.length > 1 ? text.replace(/\/+$/, '') || '/' : text;
      const at = trimmed.lastIndexOf('/');
      const last = trimmed.slice(at + 1);
      const isPart = !each.follow && last !== '' && last !== '.' && last !== '..';
      const folder = isPart ? (at < 0 ? '.' : trimmed.slice(0, at) || '/') : trimmed;
      const question = packet(Sftp.realpath, writer => void writer.uint32(0).string(folder)).subarray(4);
      this.#ask(question, answer => {
        if (answer[0] === Sftp.status) {
          this.#done();
          this.#toClient(withId(answer, request.clientId));
          return;
        }
        const reader = new SshReader(answer, 5);
        const found = answer[0] === Sftp.name && reader.uint32() > 0 ? plainPath(reader.bytes()) : null;
        if (found === null || !found.startsWith('/')) {
          this.#status(request, Status.permissionDenied, 'the host does not say where the path leads');
          return;
        }
        resolved.push(isPart ? `${found === '/' ? '' : found}/${last}` : found);
        next();
      });
    };
    next();
  }

  #judge(kind: FileKind, reads: readonly string[], writes: readonly string[], trees: readonly string[] = []): Judged {
    return this.#options.relay.judge.file(kind, reads, writes, trees);
  }

  /** Judges and records; goes on when it is allowed, and the record is on disk. */
  #judged(
    request: Request,
    kind: FileKind,
    text: string,
    reads: readonly string[],
    writes: readonly string[],
    then: (command: HostCommand) => void,
    trees: readonly string[] = [],
  ): void {
    const { relay } = this.#options;
    const judged = this.#judge(kind, reads, writes, trees);
    const { decision } = judged;
    const options = { kind, text, judged };
    const refuse = (command: HostCommand, message: string) => {
      command.end({ status: 'refused', errorCode: 'SSH_DENIED', errorText: relay.recordText(message) });
      if (this.#closed) return;
      this.#say(`${text}: ${message}`);
      this.#status(request, Status.permissionDenied, relay.cleanText(message));
    };
    const go = (command: HostCommand) => {
      if (this.#closed) command.end({ status: 'aborted', errorCode: 'SSH_CLIENT_CLOSED' });
      else then(command);
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
      return;
    }
    const command = relay.newCommand(options);
    if (decision.action === 'deny') relay.gateway.metrics.denied++;
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decision.action === 'allow') go(command);
        else refuse(command, decision.message);
      }),
    );
  }

  /** Attributes and the like: judged as listing, recorded only where it is refused. */
  #look(request: Request, path: Buffer, follow: boolean, make: (path: string) => Buffer): void {
    this.#paths(request, [{ path, follow }], ([resolved = '']) => {
      const { decision } = this.#judge('sftp-list', [resolved], []);
      if (decision.action === 'allow') this.#pass({ ...request, payload: make(resolved) });
      else
        this.#judged(request, 'sftp-list', `look at ${resolved}`, [resolved], [], command =>
          this.#finishing(make(resolved), request, command),
        );
    });
  }

  #change(request: Request, what: string, asked: readonly { path: Buffer; follow: boolean }[], make: (paths: string[]) => Buffer): void {
    this.#paths(request, asked, paths =>
      this.#judged(request, 'sftp-change', `${what} ${paths.join(' ')}`, [], paths, command =>
        this.#finishing(make(paths), request, command),
      ),
    );
  }

  #rename(request: Request, from: Buffer, to: Buffer, make: (paths: string[]) => Buffer): void {
    this.#paths(
      request,
      [
        { path: from, follow: false },
        { path: to, follow: false },
      ],
      paths => {
        const [old = '', made = ''] = paths;
        // A folder goes with all that is in it.
        this.#judged(
          request,
          'sftp-change',
          `rename ${old} to ${made}`,
          [old],
          [old, made],
          command => this.#finishing(make(paths), request, command),
          [old],
        );
      },
    );
  }

  /** Passes on a request that is over with its answer. */
  #finishing(payload: Buffer, request: Request, command: HostCommand): void {
    this.#pass({ ...request, payload }, answer => {
      const code = answer[0] === Sftp.status ? new SshReader(answer, 5).uint32() : Status.ok;
      command.end(code === Status.ok ? { status: 'ok', tag: 'done' } : { status: 'error', errorCode: `SFTP_${code}` });
      return answer;
    });
  }

  #open(request: Request, reader: SshReader): void {
    const path = reader.bytes();
    const flags = reader.uint32();
    const rest = reader.remaining();
    const writes = (flags & ~OpenFlag.read) !== 0;
    const reads = (flags & OpenFlag.read) !== 0 || !writes;
    this.#paths(request, [{ path, follow: true }], ([resolved = '']) => {
      const kind = writes ? 'sftp-write' : 'sftp-read';
      const text = `${writes ? (reads ? 'read and write' : 'write') : 'read'} ${resolved}`;
      this.#judged(request, kind, text, reads ? [resolved] : [], writes ? [resolved] : [], command => {
        const payload = packet(Sftp.open, writer => void writer.uint32(0).string(resolved).uint32(flags).raw(rest)).subarray(4);
        this.#opening(payload, request, resolved, command);
      });
    });
  }

  /** Passes on what is answered with a handle. */
  #opening(payload: Buffer, request: Request, path: string, command: HostCommand): void {
    if (this.#files.size >= HANDLES_MAX) {
      command.end({ status: 'error', errorCode: 'SFTP_HANDLES' });
      this.#status(request, Status.failure, 'too many files are open');
      return;
    }
    const { session } = this.#options.relay;
    this.#pass({ ...request, payload }, answer => {
      if (answer[0] !== Sftp.handle) {
        const code = answer[0] === Sftp.status ? new SshReader(answer, 5).uint32() : Status.failure;
        command.end({ status: 'error', errorCode: `SFTP_${code}` });
        return answer;
      }
      const handle = new SshReader(answer, 5).bytes().toString('latin1');
      if (this.#files.has(handle)) throw new GatewayError('SFTP_HANDLE', 'protocol', 'the host gives out a handle twice');
      this.#files.set(
        handle,
        new OpenFile({
          command,
          path,
          detectors: session.inForce.detectors,
          uploadBytesMax: session.sshAccess?.uploadBytesMax ?? null,
        }),
      );
      return answer;
    });
  }

  #knownHandle(request: Request, handle: Buffer, then: (file: OpenFile, name: string) => void): void {
    const name = handle.toString('latin1');
    const file = this.#files.get(name);
    if (file === undefined) this.#status(request, Status.failure, 'there is no such handle');
    else then(file, name);
  }

  #close(request: Request, reader: SshReader): void {
    this.#knownHandle(request, reader.bytes(), (file, name) => {
      this.#files.delete(name);
      this.#pass(request, answer => {
        file.close('ok');
        return answer;
      });
    });
  }

  #read(request: Request, reader: SshReader): void {
    const handle = reader.bytes();
    const offset = Number(reader.uint64());
    const length = Math.min(reader.uint32(), 128 * 1024);
    this.#knownHandle(request, handle, file => {
      const before = file.detectors === null ? 0 : Math.min(offset, AROUND_BYTES);
      const wanted = file.detectors === null ? length : before + length + AROUND_BYTES;
      const payload = packet(
        Sftp.read,
        writer =>
          void writer
            .uint32(0)
            .string(handle)
            .uint64(BigInt(offset - before))
            .uint32(wanted),
      ).subarray(4);
      this.#pass({ ...request, payload }, answer => {
        if (answer[0] !== Sftp.data) return answer;
        const joined = new SshReader(answer, 5).bytes();
        const end = Math.min(joined.length, before + length);
        if (end <= before) return statusPacket(0, Status.eof, 'end of file').subarray(4);
        const shown = file.masked(joined, before, end);
        if (shown === null) {
          this.#say(`read ${file.path}: it is no text, and holds what policy does not let through`);
          return statusPacket(0, Status.permissionDenied, 'the file holds what policy does not let through').subarray(4);
        }
        file.wasRead(offset, shown);
        return packet(Sftp.data, writer => void writer.uint32(0).string(shown)).subarray(4);
      });
    });
  }

  /** @returns bytes that are given back later, when they have left. */
  #write(payload: Buffer): number {
    if (++this.#pending > PENDING_MAX) throw new GatewayError('SFTP_FLOOD', 'protocol', 'too many SFTP requests are not answered');
    const reader = new SshReader(payload, 1);
    const request: Request = { clientId: reader.uint32(), payload };
    const handle = reader.bytes();
    const offset = Number(reader.uint64());
    const data = reader.bytes();
    reader.end();
    const bytes = payload.length;
    let later = 0;
    this.#knownHandle(request, handle, file => {
      if (!file.mayWrite(offset, data)) {
        this.#tooLarge(request, file);
        return;
      }
      later = bytes;
      this.#ask(
        payload,
        answer => {
          this.#done();
          this.#toClient(withId(answer, request.clientId));
        },
        () => this.#options.client.consumed(bytes),
      );
    });
    return later;
  }

  #tooLarge(request: Request, file: OpenFile): void {
    const message = `${file.path} would be larger than the ${file.uploadBytesMax} bytes that your role may write`;
    this.#say(message);
    this.#status(request, Status.failure, message);
  }
}

function plainPath(bytes: Buffer): string | null {
  if (bytes.length === 0) return '.';
  if (bytes.length > PATH_BYTES_MAX || bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Nobody could say what a rule about paths means for it.
    return null;
  }
}

/** The size that attributes would set (SSH_FILEXFER_ATTR_SIZE), or null. */
function sizeIn(reader: SshReader): number | null {
  const flags = reader.uint32();
  return (flags & 1) === 0 ? null : Number(reader.uint64());
}

function rewritten(type: number, paths: readonly string[], rest?: Buffer): Buffer {
  return packet(type, writer => fields(writer.uint32(0), paths, rest)).subarray(4);
}

function extended(name: string, paths: readonly string[], rest?: Buffer): Buffer {
  return packet(Sftp.extended, writer => fields(writer.uint32(0).string(name), paths, rest)).subarray(4);
}

function fields(writer: SshWriter, paths: readonly string[], rest: Buffer | undefined): void {
  for (const path of paths) writer.string(path);
  if (rest !== undefined) writer.raw(rest);
}
