/**
 * What the requests that name paths mean: which paths they have resolved, what they read, write and take along, and how they are passed
 * on. A table of SFTP's operations; nothing here asks, judges or sends.
 *
 * What lies below a path goes with it (`trees`) whenever the path is not known to be a plain file: a folder that is moved, and a link
 * that is made, put all that is or will be below them under another name.
 */
import type { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { FileKind } from '../judge.ts';
import { extended, OpenFlag, packet, rewritten, Sftp, sizeIn } from './messages.ts';
import type { AskedPath, ResolvedPath } from './resolution.ts';

/** Of the host's extensions, those that are passed on. */
export const EXTENSIONS: ReadonlySet<string> = new Set([
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

const TEXT_MAX = 4096;

export interface FileUse {
  readonly kind: FileKind;
  /** For people. */
  readonly text: string;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  /** Those of them that all below goes with. */
  readonly trees: readonly string[];
  /** For the host, without a length. */
  readonly payload: Buffer;
  /** A file is opened to be appended to. */
  readonly appends?: boolean;
}

export interface PathRequest {
  readonly paths: readonly AskedPath[];
  /** It changes where paths lead. */
  readonly changesPaths: boolean;
  /** `look`: recorded only where it is not allowed. `open`: answered with a handle. */
  readonly next: 'look' | 'open' | 'finish';
  /** The size that it would give a file, or null. */
  readonly sizeBytes: number | null;
  use(paths: readonly ResolvedPath[]): FileUse;
}

/** @returns null: it is not offered, or names no path. @throws {GatewayError} SSH_TRUNCATED. */
export function pathRequest(type: number, extension: string | null, reader: SshReader): PathRequest | null {
  switch (type) {
    case Sftp.open:
      return opening(reader.bytes(), reader.uint32(), reader);
    case Sftp.opendir:
      return {
        ...oneOf('target', reader.bytes()),
        next: 'open',
        use: ([at]) => ({ ...looking(at, 'list'), payload: rewritten(type, [pathOf(at)]) }),
      };
    case Sftp.stat:
      return look('target', reader.bytes(), path => rewritten(type, [path]));
    case Sftp.lstat:
    case Sftp.readlink:
      return look('entry', reader.bytes(), path => rewritten(type, [path]));
    case Sftp.setstat:
      return setting('target', reader.bytes(), reader, (path, rest) => rewritten(type, [path], rest));
    case Sftp.remove:
    case Sftp.rmdir:
      return change('remove', 'entry', reader.bytes(), path => rewritten(type, [path]));
    case Sftp.mkdir: {
      const path = reader.bytes();
      const rest = reader.remaining();
      return change('make folder', 'entry', path, resolved => rewritten(type, [resolved], rest));
    }
    case Sftp.rename:
      return renaming(reader.bytes(), reader.bytes(), paths => rewritten(type, paths));
    case Sftp.symlink:
      // OpenSSH's order: what it points to, where it lies.
      return linking(reader.bytes(), reader.bytes());
    case Sftp.extended:
      return ofExtension(extension ?? '', reader);
    default:
      return null;
  }
}

function ofExtension(name: string, reader: SshReader): PathRequest | null {
  switch (name) {
    case 'posix-rename@openssh.com':
      return renaming(reader.bytes(), reader.bytes(), paths => extended(name, paths));
    case 'hardlink@openssh.com':
      return hardLinking(reader.bytes(), reader.bytes());
    case 'lsetstat@openssh.com':
      return setting('entry', reader.bytes(), reader, (path, rest) => extended(name, [path], rest));
    case 'statvfs@openssh.com':
      return look('target', reader.bytes(), path => extended(name, [path]));
    default:
      return null;
  }
}

function pathOf(resolved: ResolvedPath | undefined): string {
  return resolved?.path ?? '';
}

function oneOf(as: AskedPath['as'], bytes: Buffer) {
  return { paths: [{ bytes, as }], changesPaths: false, next: 'finish' as const, sizeBytes: null };
}

function looking(at: ResolvedPath | undefined, what: string) {
  return { kind: 'sftp-list' as const, text: `${what} ${pathOf(at)}`, reads: [pathOf(at)], writes: [], trees: [] };
}

function look(as: AskedPath['as'], bytes: Buffer, payload: (path: string) => Buffer): PathRequest {
  return { ...oneOf(as, bytes), next: 'look', use: ([at]) => ({ ...looking(at, 'look at'), payload: payload(pathOf(at)) }) };
}

function change(what: string, as: AskedPath['as'], bytes: Buffer, payload: (path: string) => Buffer): PathRequest {
  return {
    ...oneOf(as, bytes),
    use: ([at]) => ({
      kind: 'sftp-change',
      text: `${what} ${pathOf(at)}`,
      reads: [],
      writes: [pathOf(at)],
      trees: [],
      payload: payload(pathOf(at)),
    }),
  };
}

function setting(as: AskedPath['as'], bytes: Buffer, reader: SshReader, payload: (path: string, rest: Buffer) => Buffer): PathRequest {
  const from = reader.at;
  const sizeBytes = sizeIn(reader);
  const rest = reader.since(from);
  return { ...change('attributes of', as, bytes, path => payload(path, rest)), sizeBytes };
}

function opening(bytes: Buffer, flags: number, reader: SshReader): PathRequest {
  const rest = reader.remaining();
  const writes = (flags & ~OpenFlag.read) !== 0;
  const reads = (flags & OpenFlag.read) !== 0 || !writes;
  return {
    ...oneOf('target', bytes),
    next: 'open',
    use: ([at]) => {
      const path = pathOf(at);
      return {
        kind: writes ? 'sftp-write' : 'sftp-read',
        text: `${writes ? (reads ? 'read and write' : 'write') : 'read'} ${path}`,
        reads: reads ? [path] : [],
        writes: writes ? [path] : [],
        trees: [],
        payload: packet(Sftp.open, writer => void writer.uint32(0).string(path).uint32(flags).raw(rest)).subarray(4),
        appends: (flags & OpenFlag.append) !== 0,
      };
    },
  };
}

/** Of a file or folder that gets another name, beside the one that it has or in its place. */
function naming(
  [from, fromAs]: [Buffer, 'entry' | 'target'],
  to: Buffer,
  text: (from: string, to: string) => string,
  payload: (paths: string[]) => Buffer,
): PathRequest {
  return {
    paths: [
      { bytes: from, as: fromAs, isFile: true },
      { bytes: to, as: 'entry' },
    ],
    changesPaths: true,
    next: 'finish',
    sizeBytes: null,
    use: ([old, made]) => {
      const [a, b] = [pathOf(old), pathOf(made)];
      return {
        kind: 'sftp-change',
        text: text(a, b),
        reads: [a],
        // Whoever may write by the new name writes the old one's contents.
        writes: [a, b],
        trees: old?.isFile === true ? [] : [a, b],
        payload: payload([a, b]),
      };
    },
  };
}

function renaming(from: Buffer, to: Buffer, payload: (paths: string[]) => Buffer): PathRequest {
  return naming([from, 'entry'], to, (a, b) => `rename ${a} to ${b}`, payload);
}

function linking(target: Buffer, link: Buffer): PathRequest {
  return {
    paths: [
      { bytes: link, as: 'entry' },
      { bytes: target, as: 'pointedTo' },
    ],
    changesPaths: true,
    next: 'finish',
    sizeBytes: null,
    // What it leads to may become a folder later: the link is judged with all that could be below it, and as a way to what it leads to.
    use: ([made, to]) => {
      const [a, b] = [pathOf(made), pathOf(to)];
      return {
        kind: 'sftp-change',
        text: `link ${a} to ${target.toString('utf8').slice(0, TEXT_MAX)}`,
        reads: [b],
        writes: [a],
        trees: [a, b],
        payload: packet(Sftp.symlink, writer => void writer.uint32(0).string(target).string(a)).subarray(4),
      };
    },
  };
}

function hardLinking(from: Buffer, to: Buffer): PathRequest {
  return naming(
    [from, 'target'],
    to,
    (a, b) => `link ${b} to ${a}`,
    paths => extended('hardlink@openssh.com', paths),
  );
}
