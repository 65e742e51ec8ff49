/**
 * Reads a program's words into options and operands, by what its table says of it: clusters (`-czf x`), glued values (`-ofile`),
 * `--name=value`, abbreviated long names, `--`. What is not constant is kept as what it may be.
 */
import { constant, type Glob, UNKNOWN } from './glob.ts';
import { type Field, OPEN } from './words.ts';

export interface OptionTable {
  /** Short options with a value. */
  readonly values: string;
  /** Long options whose value is the next word when it is not glued. */
  readonly longValues: readonly string[];
  /** Do options end at the first operand? */
  readonly ordered: boolean;
  /** For wrappers: all options there are; another one makes the reading unsure. */
  readonly known: { readonly flags: string; readonly longFlags: readonly string[] } | null;
}

export interface Option {
  /** Without dashes; one character when it is short. */
  readonly name: string;
  readonly value: Glob | null;
}

export interface Arguments {
  readonly options: readonly Option[];
  readonly operands: readonly Glob[];
  /** Any number of words may stand anywhere among them. */
  readonly open: boolean;
  /** Something could be an option, or is one that the table does not have. */
  readonly unsure: string | null;
  /** For ordered tables: everything from the first operand on, as it was. */
  readonly rest: readonly Field[];
}

export function readArguments(words: readonly Field[], table: OptionTable): Arguments {
  const options: Option[] = [];
  const operands: Glob[] = [];
  let open = false;
  let unsure: string | null = null;
  let rest: readonly Field[] = [];
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i];
    if (word === undefined) break;
    if (word === OPEN) {
      open = true;
      if (!table.ordered) continue;
      unsure ??= 'where its own options end is not known';
      rest = words.slice(i);
      break;
    }
    const first = word[0];
    const text = constant(word);
    if (first !== '-' || word.length === 1) {
      if (typeof first === 'object' && first.kind !== 'number') unsure ??= 'a word may be an option';
      if (table.ordered) {
        rest = words.slice(i);
        break;
      }
      operands.push(word);
      continue;
    }
    if (text === '--') {
      rest = words.slice(i + 1);
      if (!table.ordered)
        for (const each of rest)
          if (each === OPEN) open = true;
          else operands.push(each);
      break;
    }
    const next = (): Glob | null => {
      i += 1;
      const value = words[i];
      if (value === OPEN) {
        open = true;
        unsure ??= 'where its own options end is not known';
      }
      return value === undefined || value === OPEN ? null : value;
    };
    if (word[1] === '-') {
      const equals = word.indexOf('=');
      const name = constant(equals < 0 ? word.slice(2) : word.slice(2, equals));
      if (name === null) {
        unsure ??= 'an option is not known';
        options.push({ name: '**', value: word });
        continue;
      }
      const full = longName(name, table);
      if (full === null) unsure ??= `option --${name} is not known`;
      const takes = table.longValues.includes(full ?? name);
      options.push({ name: full ?? name, value: equals >= 0 ? word.slice(equals + 1) : takes ? next() : null });
      continue;
    }
    for (let j = 1; j < word.length; j += 1) {
      const letter = word[j];
      if (typeof letter !== 'string') {
        unsure ??= 'an option is not known';
        options.push({ name: '**', value: word.slice(j) });
        break;
      }
      if (table.values.includes(letter)) {
        const glued = word.slice(j + 1);
        options.push({ name: letter, value: glued.length > 0 ? glued : next() });
        break;
      }
      if (table.known !== null && !table.known.flags.includes(letter)) unsure ??= `option -${letter} is not known`;
      if (letter === '/' || letter === '~') {
        options.push({ name: '', value: word.slice(j) });
        break;
      }
      options.push({ name: letter, value: null });
    }
  }
  return { options, operands, open, unsure, rest };
}

/** GNU programs take any beginning of a long name that is clear. */
function longName(given: string, table: OptionTable): string | null {
  const all = [...table.longValues, ...(table.known?.longFlags ?? [])];
  if (all.includes(given)) return given;
  const begun = all.filter(each => each.startsWith(given));
  const [only] = begun;
  if (begun.length === 1 && only !== undefined) return only;
  return table.known === null && begun.length === 0 ? given : (only ?? null);
}

/** A table of options, for programs whose operands may stand anywhere. @param longValues names with blanks between. */
export function table(values: string, longValues = ''): OptionTable {
  return { values, longValues: longValues.split(' ').filter(each => each !== ''), ordered: false, known: null };
}

/** The values of options with these names. */
export function values({ options }: Arguments, ...names: string[]): Glob[] {
  return options.flatMap(option => (names.includes(option.name) && option.value !== null ? [option.value] : []));
}

export function has({ options }: Arguments, ...names: string[]): boolean {
  return options.some(option => names.includes(option.name));
}

/** The operands, and what else may be among them. */
export function all(args: Arguments): Glob[] {
  return args.open ? [...args.operands, UNKNOWN] : [...args.operands];
}
