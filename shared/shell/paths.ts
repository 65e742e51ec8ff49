/**
 * Paths as a kernel would read them, as far as a text tells: made absolute, `.` and `..` and doubled slashes removed, the ways
 * round the root through `/proc` taken out. Symbolic links are the host's own and not followed.
 */
import {
  ANY,
  constant,
  DEEP,
  format,
  type Glob,
  HOME,
  intersects,
  literal,
  literalPrefix,
  SEGMENT,
  startsWith,
  type Token,
} from './glob.ts';
import { distinct } from './scope.ts';

/** Where an account's home is taken to be when nobody said: a path under `~` may be under any of these. */
const HOMES: readonly Glob[] = [literal('/root'), [...literal('/home/'), SEGMENT]];

const NOWHERE: ReadonlySet<string> = new Set([
  '/dev/null',
  '/dev/stdout',
  '/dev/stderr',
  '/dev/stdin',
  '/dev/tty',
  '/dev/zero',
  '/dev/full',
]);

/**
 * @param directories the absolute folders, any of which a relative path may start in; null: not known.
 * @returns absolute paths (or under `~`), any of which may be meant; none when it is a device that holds nothing.
 */
export function resolvePath(word: Glob, directories: readonly Glob[] | null): Glob[] {
  const text = constant(word);
  if (text === '' || (text !== null && NOWHERE.has(text))) return [];
  const first = word[0];
  if (first === '/' || first === HOME) return normalize(word);
  if (typeof first === 'object' && (first.kind === 'any' || first.kind === 'deep')) return normalize(word);
  if (directories === null) return normalize([ANY, '/', ...word]);
  return distinct(directories.flatMap(directory => normalize([...directory, '/', ...word])));
}

const PARENT = literal('..');

/** Folders that are links on nearly every system, and where they lead. */
const LINKS: ReadonlyMap<string, string> = new Map([
  ['/bin', '/usr/bin'],
  ['/sbin', '/usr/sbin'],
  ['/lib', '/usr/lib'],
  ['/lib32', '/usr/lib32'],
  ['/lib64', '/usr/lib64'],
  ['/var/run', '/run'],
  ['/var/lock', '/run/lock'],
  ['/var/mail', '/var/spool/mail'],
  ['/run/shm', '/dev/shm'],
  ['/dev/fd', '/proc/self/fd'],
]);

function normalize(word: Glob): Glob[] {
  const others: Glob[] = [];
  const paths = lexical(word, others);
  return others.length === 0 ? paths : distinct([...paths, ...others]);
}

/** By the text alone, as `cd` takes it. @param others gets what a kernel would make of it where `..` stands behind a link. */
function lexical(word: Glob, others: Glob[]): Glob[] {
  const segments = split(word);
  let stack: Glob[] = [];
  let root: 'absolute' | 'home' | 'unknown' = 'unknown';
  let under: readonly Glob[] = [];
  segments.forEach((segment, index) => {
    if (index === 0) {
      if (segment.length === 0) root = 'absolute';
      else if (segment.length === 1 && segment[0] === HOME) root = 'home';
      else if (segment[0] === HOME) {
        root = 'unknown';
        stack.push(segment.slice(1));
      } else stack.push(segment);
      return;
    }
    const text = constant(segment);
    if (text === '' || text === '.') return;
    if (text === '..') {
      if (root === 'absolute' && under.length === 0) others.push(...behindLink(stack, segments.slice(index)));
      if (stack.length > 0) stack.pop();
      else if (root === 'home') {
        under = [literal('/'), literal('/home')];
        root = 'absolute';
      }
      return;
    }
    const climbs =
      segment.some(token => typeof token === 'object' && token.kind === 'any') || (segment[0] === '.' && intersects(segment, PARENT));
    if (climbs) {
      // It may hold slashes and dots enough to be anywhere; only what stands after its last unknown is sure.
      const last = segment.findLastIndex(token => typeof token === 'object' && token.kind === 'any');
      root = 'unknown';
      under = [];
      stack = [[ANY, ...segment.slice(last + 1)]];
      return;
    }
    stack.push(segment);
  });
  const kind: string = root;
  if (kind === 'unknown') {
    const [head = [], ...rest] = stack;
    const sure = head.some(token => typeof token === 'object' && token.kind === 'any') ? head : [ANY, ...head];
    return [join(sure, rest)];
  }
  if (kind === 'home') return [join([HOME], stack)];
  if (under.length > 0) return under.flatMap(base => throughProc(join(constant(base) === '/' ? [] : base, stack)));
  return throughProc(join([], stack));
}

/** What `stack/..` and the rest may be when the folder is a link: elsewhere, or of a process anywhere. */
function behindLink(stack: readonly Glob[], rest: readonly Glob[]): Glob[] {
  const folder = join([], stack);
  const text = constant(folder) ?? literalPrefix(folder);
  if (/^\/(?:proc|sys|dev\/fd)\//.test(text)) return normalize(join([ANY], rest.slice(1)));
  const target = LINKS.get(text);
  return target === undefined ? [] : normalize(join(literal(target), rest));
}

function split(word: Glob): Glob[] {
  const segments: Token[][] = [[]];
  for (const token of word) {
    if (token === '/') segments.push([]);
    else segments.at(-1)?.push(token);
  }
  return segments;
}

function join(base: Glob, segments: readonly Glob[]): Glob {
  const path: Token[] = [...base];
  for (const segment of segments) path.push('/', ...segment);
  return path.length === 0 ? ['/'] : path;
}

const PROC_ROOT = [...literal('/proc/'), SEGMENT, ...literal('/root')];
const PROC_TASK_ROOT = [...literal('/proc/'), SEGMENT, ...literal('/task/'), SEGMENT, ...literal('/root')];
const PROC_CWD = [...literal('/proc/'), SEGMENT, ...literal('/cwd')];
const PROC_TASK_CWD = [...literal('/proc/'), SEGMENT, ...literal('/task/'), SEGMENT, ...literal('/cwd')];
/** A folder that is open may be any. */
const PROC_FD = [...literal('/proc/'), SEGMENT, ...literal('/fd/'), SEGMENT];
const PROC_TASK_FD = [...literal('/proc/'), SEGMENT, ...literal('/task/'), SEGMENT, ...literal('/fd/'), SEGMENT];
const DEV_FD = [...literal('/dev/fd/'), SEGMENT];

/** `/proc/PID/root` is the root again, `/proc/PID/cwd` some folder, and so is what lies below an open file. */
function throughProc(path: Glob): Glob[] {
  const prefix = literalPrefix(path);
  if (!prefix.startsWith('/proc') && !prefix.startsWith('/dev/fd/')) return [path];
  const segments = split(path);
  for (const [depth, pattern, base] of [
    [4, PROC_ROOT, []],
    [6, PROC_TASK_ROOT, []],
    [4, PROC_CWD, [ANY]],
    [6, PROC_TASK_CWD, [ANY]],
    [5, PROC_FD, [ANY]],
    [7, PROC_TASK_FD, [ANY]],
    [4, DEV_FD, [ANY]],
  ] as const) {
    if (segments.length < depth || (segments.length === depth && /fd$/.test(format(segments.at(depth - 2) ?? [])))) continue;
    const head = join([], segments.slice(1, depth));
    if (intersects(pattern, head)) return [path, ...normalizeRest(base, segments.slice(depth))];
  }
  return [path];
}

function normalizeRest(base: Glob, rest: readonly Glob[]): Glob[] {
  const path = join(base, rest);
  return base.length === 0 ? throughProc(path) : [path];
}

/** Does it give what lies on a disk, or in memory, past the paths of files? */
export function isRawDevice(path: Glob): boolean {
  return /^\/(?:dev\/(?:[shv]d[a-z]|xvd[a-z]|nvme\d|mmcblk\d|dm-|loop\d|md\d|mapper\/|disk\/|block\/|mem$|kmem$|port$)|proc\/kcore$)/.test(
    literalPrefix(path),
  );
}

/** The path and all that is below it. */
export function withDescendants(path: Glob): Glob[] {
  return [path, path.length === 1 && path[0] === '/' ? ['/', DEEP] : [...path, '/', DEEP]];
}

/** A path, and with `~` at its start the places where that may be; with a link at its start, the same behind the link. */
export function placesOf(path: Glob): Glob[] {
  if (path[0] === HOME) return [path, ...HOMES.map(home => [...home, ...path.slice(1)])];
  const prefix = literalPrefix(path);
  const places = [path];
  for (const [link, target] of LINKS) {
    for (const [from, to] of [
      [link, target],
      [target, link],
    ] as const) {
      if (prefix.startsWith(from) && (prefix.length > from.length ? prefix[from.length] === '/' : path.length === from.length))
        places.push([...literal(to), ...path.slice(from.length)]);
    }
  }
  return places;
}

/** Is it sure that the path lies where anybody may write? */
export function isTemporary(path: Glob): boolean {
  return ['/tmp', '/var/tmp', '/dev/shm', '/run/user', '/dev/fd', '/proc', '/dev/stdin'].some(folder => startsWith(path, folder));
}
