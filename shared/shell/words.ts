/**
 * From a word of the syntax tree to what it could be when the command runs: brace expansion, tilde, parameters, substitutions,
 * splitting, path globs and quote removal, in bash's order. What a path glob may match is a set; nothing is looked up.
 *
 * Commands inside words are handed to the runner, which judges them like any other.
 *
 * @see https://www.gnu.org/software/bash/manual/html_node/Shell-Expansions.html
 */
import { type ArithmeticHost, arithmetic } from './arithmetic.ts';
import { expandBraces, WORDS_MAX } from './braces.ts';
import { ANY, bracket, constant, DEEP, type Glob, literal, NUMBER, ONE, SEGMENT, type Token, UNKNOWN } from './glob.ts';
import { type Expanded, parameterValues } from './parameters.ts';
import type { Scope } from './scope.ts';
import { type ParsedScript, partsOf, type Word, type WordPart } from './syntax.ts';

/** Any number of words, of which nothing is known. */
export const OPEN: unique symbol = Symbol('any number of words');
export type Open = typeof OPEN;
export type Field = Glob | Open;

/** What words need of the machine that runs the commands in them. */
export interface Runner extends ArithmeticHost {
  readonly scope: Scope;
  /** @returns what its output may be without the line breaks at its end; null: not known. */
  substitute(script: ParsedScript | undefined): readonly Glob[] | null;
  processSubstitution(script: ParsedScript | undefined): void;
  opaque(reason: string, text: string): void;
}

type Atom =
  | { readonly kind: 'char'; readonly token: Token; readonly quoted: boolean }
  | { readonly kind: 'empty' } // quotes around nothing, which make a word nevertheless
  | { readonly kind: 'value'; readonly alternatives: readonly Expanded[]; readonly quoted: boolean };

const ALTERNATIVES_MAX = 32;
/** Variables put together may double a text many times: beyond this it is not followed. */
const VALUE_LENGTH_MAX = 16_384;

/** @returns every list of fields that the words may become, at most 32; OPEN stands for what is not known. */
export function expandWords(words: readonly Word[], runner: Runner): Field[][] {
  let alternatives: Field[][] = [[]];
  for (const word of words) {
    const own = expandWord(word, runner);
    if (alternatives.length * own.length > ALTERNATIVES_MAX) {
      alternatives = alternatives.map(each => [...each, OPEN]);
      continue;
    }
    alternatives = crossed(alternatives, own);
  }
  return alternatives;
}

/** Every list of the first followed by every list of the second. With one alternative, as nearly always, nothing is copied. */
export function crossed(lists: Field[][], own: readonly (readonly Field[])[]): Field[][] {
  const [only] = own;
  if (own.length === 1 && only !== undefined) {
    for (const list of lists) for (const field of only) list.push(field);
    return lists;
  }
  return lists.flatMap(before => own.map(after => [...before, ...after]));
}

function expandWord(word: Word, runner: Runner): Field[][] {
  const atoms = atomsOf(word, runner);
  if (atoms === null) return [[OPEN]];
  const words = expandBraces(atoms, charOf, c => ({ kind: 'char', token: c, quoted: false }) as const satisfies Atom);
  if (words === null || words.length > WORDS_MAX) return [[OPEN]];
  let alternatives: Field[][] = [[]];
  for (const each of words) {
    const own = fieldsOf(each, runner.scope);
    if (alternatives.length * own.length > ALTERNATIVES_MAX) return [[OPEN]];
    alternatives = crossed(alternatives, own);
  }
  return alternatives;
}

/**
 * A word where bash neither splits nor globs: the value of an assignment, the target of a here-string, the operand of `[[`.
 *
 * @returns what it may be; null: not known.
 */
export function expandValue(word: Word, runner: Runner): readonly Glob[] | null {
  const atoms = atomsOf(word, runner);
  return atoms === null ? null : joined(withTilde(atoms, runner.scope));
}

/** The body of a here-document, or any list of parts in which everything is as in double quotes. */
export function expandParts(parts: readonly WordPart[], runner: Runner): readonly Glob[] | null {
  const atoms: Atom[] = [];
  for (const part of parts) {
    if (part.type === 'Literal') quotedLiteral(part.text, atoms, '$`\\');
    else collect(part, true, atoms, runner);
  }
  return joined(atoms);
}

/** A here-document without expansions in it: only backslashes mean something. */
export function hereDocumentText(text: string): Glob {
  const atoms: Atom[] = [];
  quotedLiteral(text, atoms, '$`\\');
  return atoms.flatMap(atom => (atom.kind === 'char' ? [atom.token] : []));
}

function joined(atoms: readonly Atom[]): readonly Glob[] | null {
  let values: Token[][] = [[]];
  for (const atom of atoms) {
    if (atom.kind === 'empty') continue;
    if (atom.kind === 'char') {
      for (const value of values) value.push(atom.token);
      continue;
    }
    const own = atom.alternatives.map(
      (each): Glob => (each.kind === 'text' ? each.value : each.kind === 'unknown' ? UNKNOWN : listText(each.elements)),
    );
    if (values.length * own.length > ALTERNATIVES_MAX) return null;
    const longest = Math.max(...own.map(each => each.length)) + Math.max(...values.map(each => each.length));
    if (longest > VALUE_LENGTH_MAX) return null;
    values = values.flatMap(before => own.map(after => [...before, ...after]));
  }
  return values;
}

function listText(elements: readonly Glob[]): Glob {
  return elements.flatMap((each, index) => (index === 0 ? each : [' ', ...each]));
}

function charOf(atom: Atom | undefined): string | null {
  return atom?.kind === 'char' && !atom.quoted && typeof atom.token === 'string' ? atom.token : null;
}

function atomsOf(word: Word, runner: Runner): Atom[] | null {
  const parts = partsOf(word);
  if (parts === null) {
    runner.opaque('a word is not wholly understood', word.text);
    return null;
  }
  const atoms: Atom[] = [];
  for (const part of parts) collect(part, false, atoms, runner);
  return atoms;
}

function collect(part: WordPart, quoted: boolean, atoms: Atom[], runner: Runner): void {
  switch (part.type) {
    case 'Literal':
      if (quoted) quotedLiteral(part.text, atoms, '$`"\\');
      else unquotedLiteral(part.text, atoms);
      return;
    case 'SingleQuoted':
      pushQuoted(part.value, atoms);
      return;
    case 'AnsiCQuoted':
      pushAnsiC(part.value, part.text, atoms);
      return;
    case 'DoubleQuoted':
    case 'LocaleString':
      if (part.parts.length === 0) atoms.push({ kind: 'empty' });
      for (const child of part.parts) collect(child, true, atoms, runner);
      return;
    case 'SimpleExpansion':
    case 'ParameterExpansion':
      atoms.push({ kind: 'value', alternatives: parameterValues(part, runner, word => expandValue(word, runner)), quoted });
      return;
    case 'CommandExpansion': {
      const output = runner.substitute(part.script);
      const alternatives: Expanded[] = output === null ? [{ kind: 'unknown' }] : output.map(value => ({ kind: 'text', value }));
      atoms.push({ kind: 'value', alternatives, quoted });
      return;
    }
    case 'ArithmeticExpansion':
      if (part.expression !== undefined) arithmetic(part.expression, runner);
      atoms.push({ kind: 'value', alternatives: [{ kind: 'text', value: [NUMBER] }], quoted });
      return;
    case 'ProcessSubstitution':
      runner.processSubstitution(part.script);
      for (const token of [...literal('/dev/fd/'), NUMBER]) atoms.push({ kind: 'char', token, quoted: true });
      return;
    case 'Glob':
      if (part.kind !== 'bracket') unquotedLiteral(part.text, atoms);
      else enclosed('[', part.parts, ']', part.text, atoms, runner);
      return;
    case 'BraceExpansion':
      enclosed('{', part.parts, '}', part.text, atoms, runner);
      return;
    case 'ExtendedGlob':
      for (const child of part.parts ?? []) collect(child, false, [], runner);
      // It matches in ways that are not followed; unmatched, it stays as it is written. Both are some text.
      atoms.push({ kind: 'char', token: ANY, quoted: true });
      return;
    default:
      part satisfies never;
  }
}

/** Something between two characters of its own, whose parts must be all that is between them. */
function enclosed(open: string, parts: readonly WordPart[] | undefined, close: string, text: string, atoms: Atom[], runner: Runner): void {
  const inner = text.slice(open.length, text.length - close.length);
  atoms.push({ kind: 'char', token: open, quoted: false });
  if (parts === undefined) unquotedLiteral(inner, atoms);
  else {
    if (parts.map(part => part.text).join('') !== inner) {
      runner.opaque('a word is not wholly understood', text);
      atoms.push({ kind: 'value', alternatives: [{ kind: 'unknown' }], quoted: false });
    }
    for (const part of parts) collect(part, false, atoms, runner);
  }
  atoms.push({ kind: 'char', token: close, quoted: false });
}

function unquotedLiteral(text: string, atoms: Atom[]): void {
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charAt(i);
    if (c !== '\\' || i + 1 === text.length) {
      atoms.push({ kind: 'char', token: c, quoted: c === '\\' });
      continue;
    }
    i += 1;
    if (text[i] !== '\n') atoms.push({ kind: 'char', token: text.charAt(i), quoted: true });
  }
}

function quotedLiteral(text: string, atoms: Atom[], escapable: string): void {
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charAt(i);
    const next = text[i + 1];
    if (c === '\\' && next === '\n') i += 1;
    else if (c === '\\' && next !== undefined && escapable.includes(next)) {
      atoms.push({ kind: 'char', token: next, quoted: true });
      i += 1;
    } else atoms.push({ kind: 'char', token: c, quoted: true });
  }
}

function pushQuoted(text: string, atoms: Atom[]): void {
  if (text === '') atoms.push({ kind: 'empty' });
  for (const c of text.split('')) atoms.push({ kind: 'char', token: c, quoted: true });
}

/** Bytes that are no ASCII may join to other characters, and a NUL ends the text: both are left open. */
function pushAnsiC(value: string, text: string, atoms: Atom[]): void {
  const plain =
    isAscii(value) && !/\\(?:0{1,3}(?![0-7])|x0{1,2}(?![0-9a-fA-F])|u0{1,4}(?![0-9a-fA-F])|U0{1,8}(?![0-9a-fA-F])|c@)/.test(text);
  if (plain) pushQuoted(value, atoms);
  else atoms.push({ kind: 'char', token: ANY, quoted: true });
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) === 0 || text.charCodeAt(i) > 0x7e) return false;
  return true;
}

/** `~` and `~name` at the start of a word. */
function withTilde(atoms: readonly Atom[], scope: Scope): Atom[] {
  if (charOf(atoms[0]) !== '~') return [...atoms];
  let end = 1;
  let user = '';
  for (; end < atoms.length && charOf(atoms[end]) !== '/'; end += 1) {
    const c = charOf(atoms[end]);
    if (c === null) return [...atoms];
    user += c;
  }
  const rest = atoms.slice(end);
  const as = (alternatives: Expanded[]): Atom[] => [{ kind: 'value', alternatives, quoted: true }, ...rest];
  if (user === '') {
    const home = scope.get('HOME');
    return as(home?.kind === 'text' ? home.values.map(value => ({ kind: 'text', value })) : [{ kind: 'unknown' }]);
  }
  if (user === '+' && scope.variables.has('PWD')) {
    const folder = scope.get('PWD');
    return as(folder?.kind === 'text' ? folder.values.map(value => ({ kind: 'text', value })) : [{ kind: 'unknown' }]);
  }
  if (user === '+' && scope.directories !== null) return as(scope.directories.map(value => ({ kind: 'text', value })));
  if (user === 'root') return as([{ kind: 'text', value: literal('/root') }]);
  if (/^[A-Za-z_][\w.-]*$/.test(user)) {
    // A service's home may be anywhere; `~name` stays as it is when there is no such account.
    return as([
      { kind: 'text', value: literal(`/home/${user}`) },
      { kind: 'text', value: ['/', ANY] },
      { kind: 'text', value: literal(`~${user}`) },
    ]);
  }
  return as([{ kind: 'unknown' }]);
}

interface Item {
  readonly token: Token;
  readonly active: boolean; // may be a glob's character
}

/** Splitting, globbing and quote removal of one word. */
function fieldsOf(raw: readonly Atom[], scope: Scope): Field[][] {
  const atoms = withTilde(raw, scope);
  const ifs = separators(scope);
  let builders: Builder[] = [new Builder()];
  for (const atom of atoms) {
    if (atom.kind === 'empty') for (const each of builders) each.begin();
    else if (atom.kind === 'char') for (const each of builders) each.push(atom.token, !atom.quoted);
    else {
      const longest = Math.max(...atom.alternatives.map(each => (each.kind === 'text' ? each.value.length : 0)));
      if (builders.length * atom.alternatives.length > ALTERNATIVES_MAX || longest > VALUE_LENGTH_MAX) return [[OPEN]];
      builders = builders.flatMap(before => atom.alternatives.map(value => before.clone().value(value, atom.quoted, ifs)));
    }
  }
  const alternatives = builders.flatMap(each => each.finish());
  return alternatives.length > ALTERNATIVES_MAX ? [[OPEN]] : alternatives;
}

/** @returns the characters at which unquoted values are split; null: not known. */
function separators(scope: Scope): string | null {
  const ifs = scope.get('IFS');
  if (ifs?.kind !== 'text' || ifs.values.length !== 1) return null;
  return constant(ifs.values[0] ?? UNKNOWN);
}

class Builder {
  private fields: (Item[] | typeof OPEN)[] = [];
  private current: Item[] | null = null;

  clone(): Builder {
    const copy = new Builder();
    copy.fields = [...this.fields];
    copy.current = this.current === null ? null : [...this.current];
    return copy;
  }

  begin(): Item[] {
    this.current ??= [];
    return this.current;
  }

  push(token: Token, active: boolean): void {
    this.begin().push({ token, active });
  }

  private end(): void {
    if (this.current !== null) this.fields.push(this.current);
    this.current = null;
  }

  value(value: Expanded, quoted: boolean, ifs: string | null): this {
    if (value.kind === 'list') {
      // "$@": as many words as there are, the first and the last joined to what stands beside them.
      value.elements.forEach((element, index) => {
        if (index > 0) this.end();
        if (quoted) this.begin();
        this.text(element, quoted, ifs);
      });
    } else if (value.kind === 'text') {
      if (quoted) this.begin();
      this.text(value.value, quoted, ifs);
    } else if (quoted && !value.many) this.push(ANY, false);
    else this.open();
    return this;
  }

  private text(value: Glob, quoted: boolean, ifs: string | null): void {
    for (const token of value) {
      if (quoted) this.push(token, false);
      else if (typeof token === 'object' && (token.kind === 'any' || token.kind === 'deep')) this.open();
      else if (ifs === null) {
        this.open();
        return;
      } else if (typeof token === 'string' && ifs.includes(token)) {
        // A separator that is not white space may leave an empty word between two of it.
        if (!/\s/.test(token)) this.begin();
        this.end();
      } else this.push(token, true);
    }
  }

  /** Something unknown that is split: it ends this word, is any words, and begins the next. */
  private open(): void {
    if (this.current !== null) this.push(ANY, false);
    this.end();
    this.fields.push(OPEN);
    this.current = [{ token: ANY, active: false }];
  }

  finish(): Field[][] {
    this.end();
    let alternatives: Field[][] = [[]];
    for (const field of this.fields) {
      const own: Field[] = field === OPEN ? [OPEN] : globsOf(field);
      if (alternatives.length * own.length > ALTERNATIVES_MAX) return [[OPEN]];
      alternatives = crossed(
        alternatives,
        own.map(each => [each]),
      );
    }
    return alternatives;
  }
}

/** Path globs: what they may match, and themselves for when nothing does. */
function globsOf(items: readonly Item[]): Glob[] {
  const tokens: Token[] = [];
  let brackets = false;
  let written: ReturnType<typeof writtenForm> | null = null;
  for (let i = 0; i < items.length; i += 1) {
    const item = items[i];
    if (item === undefined) continue;
    if (!item.active || typeof item.token !== 'string') tokens.push(item.token);
    else if (item.token === '*') {
      const double = items[i + 1]?.active === true && items[i + 1]?.token === '*';
      if (double) i += 1;
      tokens.push(double ? DEEP : SEGMENT);
    } else if (item.token === '?') tokens.push(ONE);
    else if (item.token === '[') {
      written ??= writtenForm(items);
      const found = bracket(written.text, written.starts[i] ?? 0);
      if (found === null) tokens.push('[');
      else {
        let j = i + 1;
        while (j < items.length && (written.starts[j] ?? 0) <= found.end) j += 1;
        const wild = items.slice(i, j).some(each => typeof each.token !== 'string');
        tokens.push(wild ? ANY : found.token);
        brackets = true;
        i = j - 1;
      }
    } else tokens.push(item.token);
  }
  return brackets ? [tokens, items.map(item => item.token)] : [tokens];
}

/** The word with backslashes before what is quoted, and where each character of it begins. */
function writtenForm(items: readonly Item[]): { text: string; starts: readonly number[] } {
  let text = '';
  const starts = items.map(({ token, active }) => {
    const at = text.length;
    text += typeof token !== 'string' ? '\\?' : active ? token : `\\${token}`;
    return at;
  });
  return { text, starts };
}
