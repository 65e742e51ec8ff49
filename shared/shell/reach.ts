/** Where programs go by what their words say: hosts of URLs and of `host:path`, and command lines that they start without a shell. */
import { constant, type Glob, literal, literalPrefix, startsWith } from './glob.ts';
import type { Context, Host } from './host.ts';

/** The host and port of a URL or `host:port`, as far as they are constant. */
export function destination(url: Glob): string {
  const text = constant(url) ?? literalPrefix(url);
  const [, scheme, host = '', port] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(?:[^/@]*@)?(\[[^\]]*\]|[^/:?#]*)(?::(\d+))?/i.exec(text) ?? [];
  if (host === '') return '**';
  const usual: Record<string, string> = { http: '80', https: '443', ftp: '21', ssh: '22' };
  return `${host}:${port ?? usual[scheme?.toLowerCase() ?? 'http'] ?? '**'}`;
}

/** `[user@]host:path`, as scp and rsync take it; null: a path on this machine. */
export function remotePart(word: Glob): string | null {
  const colon = word.indexOf(':');
  const slash = word.indexOf('/');
  if (startsWith(word, 'rsync://') || startsWith(word, 'scp://') || startsWith(word, 'sftp://')) return destination(word);
  if (colon < 0 || (slash >= 0 && slash < colon)) return null;
  const host = constant(word.slice(0, colon)) ?? '**';
  return `${host.slice(host.lastIndexOf('@') + 1)}:22`;
}

/** A command line that a program splits by itself, without a shell: `ssh -p 2222`. */
export function launched(host: Host, command: Glob, context: Context, by: string): void {
  const text = constant(command);
  if (text === null || /["'\\`$;&|<>()]/.test(text)) {
    host.opaque(`${by} starts what is not known`, by);
    return;
  }
  host.dispatch(
    text
      .split(/\s+/)
      .filter(each => each !== '')
      .map(literal),
    { ...context, wrappers: [...context.wrappers, by] },
  );
}
