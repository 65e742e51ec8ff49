/**
 * What is known of a shell's state at a point of a text: variables, folder, functions, parameters. Values are sets of texts;
 * where paths of control meet, the sets are united. What is not known is null, and everything is then possible.
 */
import type { Function as FunctionNode } from 'unbash';
import { format, type Glob, HOME, literal } from './glob.ts';

export type FunctionBody = FunctionNode['body'];

/** A text that is one of several, a list of texts, or null: not known. */
export type Variable = { kind: 'text'; values: readonly Glob[] } | { kind: 'list'; elements: readonly Glob[] } | null;

/** Variables of bash's own that are integers from the start. */
const INTEGERS = ['RANDOM', 'SRANDOM', 'OPTIND', 'HISTCMD', 'SECONDS', 'LINENO', 'EPOCHSECONDS', 'BASHPID', 'BASH_SUBSHELL'] as const;
const ALTERNATIVES_MAX = 16;
const DIRECTORIES_MAX = 32;
const LENGTH_MAX = 16_384;

export class Scope {
  readonly variables: Map<string, Variable>;
  /** Names whose values are changed by more than assignments say (integers, references, read-only ones). */
  readonly strange: Set<string>;
  /** Names whose values are evaluated as arithmetic when they are set. */
  readonly integers: Set<string>;
  /** Names that are read-only: a later assignment fails, and what follows then is not followed. */
  readonly fixed: Set<string>;
  /** Every value that a name had at any time, shared by all copies: for what runs at a time that is not known. */
  private readonly history: Map<string, Variable>;
  /** `$1` and on; null: not known. */
  positionals: readonly Glob[] | null;
  /** Functions that the text defined; null: several bodies are possible. */
  readonly functions: Map<string, FunctionBody | null>;
  readonly aliases: Set<string>;
  #directories: readonly Glob[] | null;
  /** Every folder that was the working one at any time, shared by all copies. */
  private readonly visited: { directories: readonly Glob[] | null };
  /** Once everything is in doubt (code that is not known ran here), names that were never set are too. */
  doubtful: boolean;

  constructor(from?: Scope) {
    this.variables = new Map(from?.variables);
    this.strange = new Set(from?.strange);
    this.integers = new Set(from?.integers ?? INTEGERS);
    this.fixed = new Set(from?.fixed);
    this.history = from?.history ?? new Map<string, Variable>();
    this.positionals = from?.positionals ?? null;
    this.functions = new Map(from?.functions);
    this.aliases = new Set(from?.aliases);
    this.#directories = from?.directories ?? null;
    this.visited = from?.visited ?? { directories: [] };
    this.doubtful = from?.doubtful ?? false;
  }

  /** Absolute paths, any of which may be the working folder; null: not known. */
  get directories(): readonly Glob[] | null {
    return this.#directories;
  }

  set directories(directories: readonly Glob[] | null) {
    this.#directories = directories;
    const { visited } = this;
    if (visited.directories === null) return;
    const all = directories === null ? null : distinct([...visited.directories, ...directories]);
    visited.directories = all === null || all.length > DIRECTORIES_MAX ? null : all;
  }

  clone(): Scope {
    return new Scope(this);
  }

  get(name: string): Variable {
    if (this.strange.has(name)) return null;
    const variable = this.variables.get(name);
    if (variable !== undefined) return variable;
    if (this.doubtful) return null;
    if (name === 'IFS') return { kind: 'text', values: [literal(' \t\n')] };
    if (name === 'HOME') return { kind: 'text', values: [[HOME]] };
    if (name === 'PWD' && this.directories !== null) return { kind: 'text', values: this.directories };
    return null;
  }

  set(name: string, value: Variable): void {
    const variable = value?.kind === 'text' ? { ...value, values: distinct(value.values) } : value;
    const tooMany =
      variable?.kind === 'text' && (variable.values.length > ALTERNATIVES_MAX || variable.values.some(each => each.length > LENGTH_MAX));
    const kept = this.strange.has(name) || tooMany ? null : variable;
    this.variables.set(name, kept);
    const before = this.history.get(name);
    this.history.set(name, before === undefined ? kept : union(before, kept));
  }

  setText(name: string, values: readonly Glob[] | null): void {
    this.set(name, values === null ? null : { kind: 'text', values });
  }

  /** The folder is one of these, or still one of those it may have been: a `cd` may fail. */
  addDirectories(directories: readonly Glob[] | null): void {
    if (directories === null || this.directories === null) {
      this.directories = null;
      return;
    }
    const all = distinct([...this.directories, ...directories]);
    this.directories = all.length > DIRECTORIES_MAX ? null : all;
  }

  /** Of a local variable at the end of its function: what was before it, or, when it was not declared after all, what is. */
  restore(name: string, before: Variable | undefined): void {
    if (before === undefined) this.variables.set(name, null);
    else this.variables.set(name, union(before, this.get(name)));
  }

  /** The state at some time while the text runs. */
  atAnyTime(functions: ReadonlyMap<string, FunctionBody | null>): Scope {
    const scope = this.clone();
    for (const [name, values] of this.history) scope.variables.set(name, values);
    for (const [name, body] of functions) if (!scope.functions.has(name)) scope.functions.set(name, body);
    scope.#directories = this.visited.directories;
    scope.positionals = null;
    return scope;
  }

  /** After code that is not known ran in this very shell. */
  doubtEverything(): void {
    for (const name of this.variables.keys()) this.variables.set(name, null);
    for (const name of this.functions.keys()) this.functions.set(name, null);
    this.doubtful = true;
    this.positionals = null;
    this.directories = null;
  }

  /** Both ways may have been taken. */
  join(other: Scope): void {
    for (const name of new Set([...this.variables.keys(), ...other.variables.keys()])) {
      this.variables.set(name, union(this.get(name), other.get(name)));
    }
    for (const name of other.strange) this.strange.add(name);
    for (const name of other.integers) this.integers.add(name);
    for (const name of other.fixed) this.fixed.add(name);
    if (!sameList(this.positionals, other.positionals)) this.positionals = null;
    for (const [name, body] of other.functions) {
      const own = this.functions.get(name);
      // Where one way defined it and the other did not, the name may also be a program: null is read so.
      this.functions.set(name, own === body ? body : null);
    }
    for (const name of this.functions.keys()) if (!other.functions.has(name)) this.functions.set(name, null);
    for (const name of other.aliases) this.aliases.add(name);
    if (this.directories !== null) this.addDirectories(other.directories);
    this.doubtful ||= other.doubtful;
  }

  /** A text that is equal for equal states: tells when a loop has nothing new to say. */
  fingerprint(): string {
    const variables = [...this.variables].map(([name, value]) => [
      name,
      value === null ? null : value.kind === 'text' ? value.values.map(format).toSorted() : ['list', ...value.elements.map(format)],
    ]);
    const folder = this.directories?.map(format).toSorted() ?? null;
    return JSON.stringify([
      variables.map(each => JSON.stringify(each)).toSorted(),
      [...this.strange, ...this.integers],
      this.positionals?.map(format) ?? null,
      folder,
      this.doubtful,
      [...this.functions].map(([name, body]) => [name, body === null]),
    ]);
  }

  /** Forgets the values of all that differs from an earlier state. */
  widen(before: Scope): void {
    for (const [name, value] of this.variables) if (!sameVariable(value, before.get(name))) this.variables.set(name, null);
    if (!sameList(this.directories, before.directories)) this.directories = null;
  }
}

function union(a: Variable, b: Variable): Variable {
  if (a === null || b === null) return null;
  if (a.kind === 'text' && b.kind === 'text') {
    const values = distinct([...a.values, ...b.values]);
    return values.length > ALTERNATIVES_MAX ? null : { kind: 'text', values };
  }
  return sameVariable(a, b) ? a : null;
}

function sameVariable(a: Variable, b: Variable): boolean {
  if (a === null || b === null) return a === b;
  if (a.kind === 'text') return b.kind === 'text' && sameList(a.values, b.values);
  return b.kind === 'list' && sameList(a.elements, b.elements);
}

function sameList(a: readonly Glob[] | null, b: readonly Glob[] | null): boolean {
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((each, index) => format(each) === format(b[index] ?? []));
}

export function distinct(globs: readonly Glob[]): Glob[] {
  return globs.length < 2 ? [...globs] : [...new Map(globs.map(each => [format(each), each])).values()];
}
