/** `find`: what it starts, writes and finds. */
import { constant, DEEP, type Glob, intersects, literal, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { type Field, OPEN } from './words.ts';

/** What `find … -print0` prints; null for one that prints anything else, or of which not all is known. */
export function printedPaths(words: readonly Field[]): readonly Glob[] | null {
  const texts = words.slice(1).map(word => (word === OPEN ? null : constant(word)));
  const prints = texts.filter(text => text === null || /^-(?:print|ls|fls|fprint|printf|exec|ok|delete|files0)/.test(text));
  if (prints.length !== 1 || prints[0] !== '-print0' || texts.includes(null)) return null;
  const end = texts.findIndex(text => text === null || text.startsWith('-') || /^[(!),]$/.test(text));
  const roots = words.slice(1, end + 1) as Glob[];
  if (roots.some(root => !/^[./]/.test(constant(root) ?? ''))) return null;
  return foundPaths(roots.length === 0 ? [literal('.')] : roots, words.slice(end + 1));
}

const find: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words.slice(1);
  const roots: Glob[] = [];
  let i = 0;
  while (i < rest.length) {
    const word = rest[i];
    const text = word === undefined || word === OPEN ? null : constant(word);
    if (text !== null && /^-(?:[HLP]|O\d*|D)$/.test(text)) i += text === '-D' ? 2 : 1;
    else if (word === OPEN || word === undefined || word[0] === '-' || text === '(' || text === '!' || text === ')' || text === ',') break;
    else {
      roots.push(word);
      if (typeof word[0] === 'object') host.opaque('find: a word may be an option', 'find');
      i += 1;
    }
  }
  if (roots.length === 0) roots.push(literal('.'));
  const expression = rest.slice(i);
  if (expression.includes(OPEN)) host.opaque('what find does is not known', 'find');
  if (expression.some(word => word !== OPEN && constant(word) === '-files0-from')) roots.push(UNKNOWN);
  const found = foundPaths(roots, expression);
  for (let at = 0; at < expression.length; at += 1) {
    const word = expression[at];
    const text = word === undefined || word === OPEN ? null : constant(word);
    const next = expression[at + 1];
    const value = next === undefined || next === OPEN ? UNKNOWN : next;
    if (text === null) {
      if (word !== undefined && word !== OPEN && typeof word[0] === 'object') host.opaque('what find does is not known', 'find');
    } else if (/^-(?:exec|execdir|ok|okdir)$/.test(text)) {
      let end = at + 1;
      while (end < expression.length && !isEnd(expression, end)) end += 1;
      const inner = expression.slice(at + 1, end).flatMap((each): Field[] => replacePlaceholder(each, found));
      host.dispatch(inner, { ...context, wrappers: [...context.wrappers, 'find'], input: { kind: 'unknown' } });
      at = end;
    } else if (text === '-delete') for (const path of found) effects.write(path);
    else if (/^-(?:fprint|fprint0|fls|fprintf)$/.test(text)) {
      effects.write(value);
      at += 1;
    } else if (/^-(?:newer|anewer|cnewer|samefile|newer..|files0-from)$/.test(text)) {
      effects.read(value);
      at += 1;
    } else if (
      /^-(?:name|iname|path|ipath|wholename|iwholename|regex|iregex|lname|ilname|user|group|perm|size|type|xtype|mtime|atime|ctime|mmin|amin|cmin|maxdepth|mindepth|printf|inum|links|fstype|uid|gid|used|context|regextype)$/.test(
        text,
      )
    )
      at += 1;
  }
  host.emit(words, context, effects);
};

function isEnd(expression: readonly Field[], at: number): boolean {
  const word = expression[at];
  const text = word === undefined || word === OPEN ? null : constant(word);
  if (text === ';') return true;
  const before = expression[at - 1];
  return text === '+' && before !== undefined && before !== OPEN && constant(before) === '{}';
}

/** What `{}` may be: a root or something below it; with a name that every file must have, only that. */
function foundPaths(roots: readonly Glob[], expression: readonly Field[]): Glob[] {
  const texts = expression.map(word => (word === OPEN ? null : constant(word)));
  const plain = !texts.some(text => text === '-o' || text === '-or' || text === '!' || text === '-not' || text === ',' || text === '(');
  const at = texts.indexOf('-name');
  const name = plain && at >= 0 && texts.indexOf('-name', at + 1) < 0 ? texts[at + 1] : null;
  // The pattern itself stands in the text as a constant: find matches it.
  const pattern = typeof name === 'string' && /^[\w.*?@+-]+$/.test(name) ? name : null;
  return roots.flatMap((root): Glob[] => {
    if (pattern === null) return [root, [...root, '/', DEEP]];
    const file: Glob = pattern.split('').map(c => (c === '*' ? { kind: 'segment' as const } : c === '?' ? { kind: 'one' as const } : c));
    const below: Glob[] = [
      [...root, '/', ...file],
      [...root, '/', DEEP, '/', ...file],
    ];
    const slash = root.lastIndexOf('/');
    return intersects(file, root.slice(slash + 1)) ? [root, ...below] : below;
  });
}

/** A word that holds `{}` becomes every path; the words around stay. One of several is enough to say where it may be. */
function replacePlaceholder(word: Field, found: readonly Glob[]): Field[] {
  if (word === OPEN) return [OPEN];
  const at = word.findIndex((token, index) => token === '{' && word[index + 1] === '}');
  if (at < 0) return [word];
  return found.map(path => [...word.slice(0, at), ...path, ...word.slice(at + 2)]);
}

export const FIND: readonly [string, Special][] = [['find', find]];
