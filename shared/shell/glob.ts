/**
 * Sets of texts: what a word of a shell command could be, and what a guard's pattern means. Two such sets are compared by
 * intersection (could they share a text?) and by inclusion (is every text of one in the other?).
 *
 * Written form, in facts and in guards alike: `*` any text without `/`, `**` any text, `?` one character but `/`,
 * `[abc]` one of these characters, `\` before a character takes its meaning away, `~` at the start the account's home.
 * A constant is its own set. Ranges and negations in brackets are read as `?`, which can only make a set larger.
 *
 * Everything runs in time proportional to the product of the two lengths. This file knows nothing of shells or paths.
 */

export type Wild = { readonly kind: 'any' | 'deep' | 'segment' | 'number' | 'one' } | { readonly kind: 'class'; readonly chars: string };
/** A UTF-16 code unit as itself, or something that stands for more than one text. */
export type Token = string | Wild;
export type Glob = readonly Token[];

/** Any text at all: what is not known. */
export const ANY: Wild = { kind: 'any' };
/** Any text in which no `..` climbs: what a walk through folders finds. */
export const DEEP: Wild = { kind: 'deep' };
export const SEGMENT: Wild = { kind: 'segment' };
/** A whole number in decimal. */
export const NUMBER: Wild = { kind: 'number' };
export const ONE: Wild = { kind: 'one' };
/** Stands for the account's home folder at the start of a path. No input may hold it: it is private use. */
export const HOME = '\uf07e';

export const UNKNOWN: Glob = [ANY];

export function literal(text: string): Glob {
  return text.split('');
}

/** @returns the one text of the set, or null when there may be several. */
export function constant(glob: Glob): string | null {
  let text = '';
  for (const token of glob) {
    if (typeof token !== 'string') return null;
    text += token;
  }
  return text;
}

/** The literal text that every member begins with. */
export function literalPrefix(glob: Glob): string {
  let text = '';
  for (const token of glob) {
    if (typeof token !== 'string') break;
    text += token;
  }
  return text;
}

export function startsWith(glob: Glob, text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (glob[i] !== text[i]) return false;
  return true;
}

const SPECIAL = '*?[\\';

export function format(glob: Glob): string {
  let text = '';
  glob.forEach((token, index) => {
    if (typeof token !== 'string') text += formatWild(token);
    else if (token === HOME) text += '~';
    else text += SPECIAL.includes(token) || (index === 0 && token === '~') ? `\\${token}` : token;
  });
  return text;
}

function formatWild(wild: Wild): string {
  switch (wild.kind) {
    case 'any':
    case 'deep':
      return '**';
    case 'segment':
    case 'number':
      return '*';
    case 'one':
      return '?';
    case 'class':
      return `[${wild.chars.replaceAll(/[\]\\]/g, '\\$&')}]`;
    default:
      return wild satisfies never;
  }
}

/** Reads the written form. Never fails: a `[` that is not closed is itself. */
export function parseGlob(text: string): Glob {
  const tokens: Token[] = [];
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charAt(i);
    if (c === '\\' && i + 1 < text.length) {
      i += 1;
      tokens.push(text.charAt(i));
    } else if (c === '*') {
      let stars = 1;
      while (text[i + 1] === '*') {
        i += 1;
        stars += 1;
      }
      tokens.push(stars > 1 ? ANY : SEGMENT);
    } else if (c === '?') tokens.push(ONE);
    else if (c === '[') {
      const found = bracket(text, i);
      if (found === null) tokens.push(c);
      else {
        tokens.push(found.token);
        i = found.end;
      }
    } else if (c === '~' && i === 0) tokens.push(HOME);
    else tokens.push(c);
  }
  return tokens;
}

/** A bracket expression that begins at `start`. @returns null when it is not closed. */
export function bracket(text: string, start: number): { token: Wild; end: number } | null {
  let i = start + 1;
  const negated = text[i] === '!' || text[i] === '^';
  if (negated) i += 1;
  let chars = '';
  let simple = !negated;
  for (let first = true; i < text.length; i += 1, first = false) {
    let c = text.charAt(i);
    if (c === ']' && !first) return { token: simple && chars !== '' ? { kind: 'class', chars } : ONE, end: i };
    if (c === '[' && (text[i + 1] === ':' || text[i + 1] === '.' || text[i + 1] === '=')) {
      const close = text.indexOf(`${text[i + 1]}]`, i + 2);
      if (close < 0) return null;
      simple = false;
      i = close + 1;
      continue;
    }
    if (c === '\\' && i + 1 < text.length) {
      i += 1;
      c = text.charAt(i);
    } else if (c === '-' && !first && text[i + 1] !== ']') simple = false;
    if (c === '/') simple = false;
    chars += c;
  }
  return null;
}

/** Positions in a guard's pattern, as a set. */
type States = Uint8Array;

function closure(states: States, guard: Glob): void {
  for (let j = 0; j < guard.length; j += 1) {
    const token = guard[j];
    if (states[j] === 1 && typeof token === 'object' && absorbs(token)) states[j + 1] = 1;
  }
}

function absorbs(wild: Wild): boolean {
  return wild.kind === 'any' || wild.kind === 'deep' || wild.kind === 'segment' || wild.kind === 'number';
}

/** Can this token of a guard take the character, and does it stay where it is then? */
function take(token: Token, c: string): boolean {
  if (typeof token === 'string') return token === c;
  switch (token.kind) {
    case 'any':
    case 'deep':
      return true;
    case 'segment':
    case 'one':
      return c !== '/';
    case 'number':
      return c === '-' || (c >= '0' && c <= '9');
    case 'class':
      return token.chars.includes(c);
    default:
      return token satisfies never;
  }
}

function step(states: States, guard: Glob, c: string): States {
  const next = new Uint8Array(guard.length + 1);
  for (let j = 0; j < guard.length; j += 1) {
    const token = guard[j];
    if (states[j] !== 1 || token === undefined || !take(token, c)) continue;
    next[typeof token === 'object' && absorbs(token) ? j : j + 1] = 1;
  }
  closure(next, guard);
  return next;
}

/** Some characters but `/`, as many as wanted: every state that can be reached without passing a literal `/`. */
function wander(states: States, guard: Glob, slashes: boolean): States {
  const next = states.slice();
  for (let j = 0; j < guard.length; j += 1) {
    if (next[j] !== 1) continue;
    if (slashes || guard[j] !== '/') next[j + 1] = 1;
  }
  return next;
}

function stepOne(states: States, guard: Glob): States {
  const next = new Uint8Array(guard.length + 1);
  for (let j = 0; j < guard.length; j += 1) {
    const token = guard[j];
    if (states[j] !== 1 || token === undefined || token === '/') continue;
    next[typeof token === 'object' && absorbs(token) ? j : j + 1] = 1;
  }
  closure(next, guard);
  return next;
}

function start(guard: Glob): States {
  const states = new Uint8Array(guard.length + 1);
  states[0] = 1;
  closure(states, guard);
  return states;
}

function charsOf(wild: Wild): string {
  return wild.kind === 'class' ? wild.chars : '';
}

/** Is there a text that belongs to both? */
export function intersects(guard: Glob, word: Glob): boolean {
  let states = start(guard);
  for (const token of word) {
    if (typeof token === 'string') states = step(states, guard, token);
    else if (token.kind === 'any' || token.kind === 'deep') states = wander(states, guard, true);
    else if (token.kind === 'segment' || token.kind === 'number') states = wander(states, guard, false);
    else if (token.kind === 'one') states = stepOne(states, guard);
    else {
      const from = states;
      const merged = new Uint8Array(guard.length + 1);
      for (const c of charsOf(token))
        step(from, guard, c).forEach((set, j) => {
          if (set === 1) merged[j] = 1;
        });
      states = merged;
    }
    if (!states.includes(1)) return false;
  }
  return states[guard.length] === 1;
}

/** Is every text of `word` one of `guard`? May say no when the truth is yes, never the other way round. */
export function covers(guard: Glob, word: Glob): boolean {
  let states = start(guard);
  for (const token of word) {
    if (typeof token === 'string') states = step(states, guard, token);
    else {
      const next = new Uint8Array(guard.length + 1);
      for (let j = 0; j < guard.length; j += 1) {
        const own = guard[j];
        if (states[j] !== 1 || typeof own !== 'object') continue;
        if (own.kind === 'any' || own.kind === 'deep') next[j] = 1;
        else if (own.kind === 'segment' && token.kind !== 'any' && token.kind !== 'deep' && !mayBeSlash(token)) next[j] = 1;
        else if (own.kind === 'one' && (token.kind === 'one' || token.kind === 'class') && !mayBeSlash(token)) next[j + 1] = 1;
      }
      closure(next, guard);
      states = next;
    }
    if (!states.includes(1)) return false;
  }
  return states[guard.length] === 1;
}

function mayBeSlash(wild: Wild): boolean {
  return wild.kind === 'class' && wild.chars.includes('/');
}
