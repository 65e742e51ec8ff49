/**
 * Where paths lead, said by the host: symbolic links, `..` and what is relative are its own to resolve. Nothing is judged here.
 */
import posix from 'node:path/posix';
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { HostLink } from './host-link.ts';
import { isRegularFile, rewritten, Sftp } from './messages.ts';

const PATH_BYTES_MAX = 4096;

/**
 * A path as it was asked for.
 *
 * `target`: what it leads to, all links followed. `entry`: the entry itself, in the folder that it is in, even if it is a link.
 * `pointedTo`: what a link in the folder of the path before it would lead to, if there is something.
 */
export interface AskedPath {
  readonly bytes: Buffer;
  readonly as: 'target' | 'entry' | 'pointedTo';
  /** Is it a plain file? Asked for what takes all below it along. */
  readonly isFile?: true;
}

export interface ResolvedPath {
  readonly path: string;
  /** Known to be a plain file; false where that was not asked. */
  readonly isFile: boolean;
}

/** What was found, or what the client is told: the host's own answer, or why there is none. */
export type Resolution = { readonly paths: readonly ResolvedPath[] } | { readonly answer: Buffer } | { readonly refused: string };

/** Asks the host, one path after the other. The order of its answers is that of the questions, so nothing else is between them. */
export function resolve(link: HostLink, asked: readonly AskedPath[], done: (resolution: Resolution) => void): void {
  const paths: ResolvedPath[] = [];
  const next = (): void => {
    const each = asked[paths.length];
    if (each === undefined) {
      done({ paths });
      return;
    }
    resolveOne(link, each, paths.at(-1)?.path ?? '/', found => {
      if (!('path' in found)) done(found);
      else {
        paths.push(found);
        next();
      }
    });
  };
  next();
}

function resolveOne(
  link: HostLink,
  { bytes, as, isFile }: AskedPath,
  before: string,
  done: (found: ResolvedPath | { answer: Buffer } | { refused: string }) => void,
): void {
  const text = plainPath(bytes);
  if (text === null) {
    done({ refused: 'a path that is too long, empty, or no UTF-8' });
    return;
  }
  const full = as === 'pointedTo' && !text.startsWith('/') ? `${posix.dirname(before)}/${text}` : text;
  const trimmed = full.length > 1 ? full.replace(/\/+$/, '') || '/' : full;
  const at = trimmed.lastIndexOf('/');
  const last = trimmed.slice(at + 1);
  const isPart = as === 'entry' && last !== '' && last !== '.' && last !== '..';
  const folder = isPart ? (at < 0 ? '.' : trimmed.slice(0, at) || '/') : trimmed;
  link.ask(rewritten(Sftp.realpath, [folder]), answer => {
    if (answer[0] === Sftp.status) {
      // A link may lead to what is not there yet: then it leads to what its text says.
      if (as === 'pointedTo') done({ path: posix.normalize(trimmed), isFile: false });
      else done({ answer: Buffer.from(answer) });
      return;
    }
    const reader = new SshReader(answer, 5);
    const found = answer[0] === Sftp.name && reader.uint32() > 0 ? plainPath(reader.bytes()) : null;
    if (found === null || !found.startsWith('/')) {
      done({ refused: 'the host does not say where the path leads' });
      return;
    }
    const path = isPart ? `${found === '/' ? '' : found}/${last}` : found;
    if (isFile === undefined) {
      done({ path, isFile: false });
      return;
    }
    link.ask(rewritten(Sftp.lstat, [path]), attributes =>
      done({ path, isFile: attributes[0] === Sftp.attrs && isRegularFile(new SshReader(attributes, 5)) }),
    );
  });
}

export function sameResolution(a: readonly ResolvedPath[], b: readonly ResolvedPath[]): boolean {
  return a.length === b.length && a.every((each, i) => each.path === b[i]?.path && each.isFile === b[i]?.isFile);
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
