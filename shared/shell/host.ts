/** What the readers of programs need of the machine that walks the text; the machine itself is evaluate.ts. */
import type { NetworkUse, Privilege } from './facts.ts';
import type { Glob } from './glob.ts';
import type { Scope } from './scope.ts';
import type { Field } from './words.ts';

/** What a command's input is, where the text says so. */
export type Input =
  | { readonly kind: 'inherited' }
  | { readonly kind: 'known'; readonly texts: readonly Glob[] }
  /** `paths`: what it is made of, each with a NUL behind it, where that much is known. */
  | { readonly kind: 'unknown'; readonly paths?: readonly Glob[] };

export interface Context {
  readonly wrappers: readonly string[];
  readonly privilege: readonly Privilege[];
  readonly input: Input;
}

/** Paths as they are written, before the folder is known; `tree` for all below as well. */
export interface PathUse {
  readonly path: Glob;
  readonly use: 'read' | 'write';
  readonly tree: boolean;
}

export class Effects {
  readonly paths: PathUse[] = [];
  readonly network: NetworkUse[] = [];
  readonly privilege: Privilege[] = [];

  read(path: Glob | null, tree = false): void {
    if (path !== null) this.paths.push({ path, use: 'read', tree });
  }

  write(path: Glob | null, tree = false): void {
    if (path !== null) this.paths.push({ path, use: 'write', tree });
  }

  both(path: Glob | null, tree = false): void {
    this.read(path, tree);
    this.write(path, tree);
  }
}

export interface Host {
  readonly scope: Scope;
  /** Does the text run where a person types, so that programs may ask for more? */
  readonly interactive: boolean;
  opaque(reason: string, text: string): void;
  /** Runs a command given as words. */
  dispatch(words: readonly Field[], context: Context): void;
  /** Runs shell text in a shell of its own. @param posix it is not surely bash that reads it. */
  shellText(text: Glob | null, context: Context, shell: { posix: boolean; positionals: readonly Glob[] | null; remote?: boolean }): void;
  /** Reports a command. */
  emit(words: readonly Field[], context: Context, effects: Effects): void;
  /** A file is run as a program or as code. @returns nothing; what is not known of it is opaque. */
  runsFile(path: Glob, words: readonly Field[]): void;
  /** A program does what files with these names say, wherever it finds them: opaque, when the text writes one of them. */
  obeysFiles(patterns: readonly string[], words: readonly Field[]): void;
}

/** Reads the words of a program, reports what it touches, and says what cannot be known. */
export type Special = (host: Host, words: readonly Field[], context: Context) => void;

/** Words as a person would read them, for reasons. */
export function shownWords(words: readonly Field[], format: (glob: Glob) => string): string {
  const text = words.map(word => (typeof word === 'symbol' ? '…' : format(word))).join(' ');
  return text.length <= 120 ? text : `${text.slice(0, 120)}…`;
}
