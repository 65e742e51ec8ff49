/**
 * A small language to say once what a manifest may hold: from one description come the check with its messages, the types, and
 * the table of fields for completion and reference pages.
 *
 * It reads trees of yaml-source.ts; what the kinds are is in kinds.ts.
 */
import { didYouMean } from './nearest.ts';
import type { Position, Problem, YamlEntry, YamlNode } from './yaml-source.ts';

/** What a value may be, for people and for completion. */
export interface ValueDescription {
  type: 'text' | 'number' | 'boolean' | 'duration' | 'size' | 'condition' | 'pattern' | 'list' | 'map' | 'object';
  /** The words allowed, or (open) the words known. */
  values?: readonly string[];
  items?: ValueDescription;
  fields?: readonly FieldDescription[];
}

export interface FieldDescription {
  name: string;
  required: boolean;
  /** As a manifest would write it. */
  default?: string;
  description: string;
  value: ValueDescription;
}

/** Collects problems of one file; bounded, because a wrong file may be wrong everywhere. */
export class Reading {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** How many there were, also those beyond the bound. */
  count = 0;
  readonly file: string;
  readonly readFile: ((path: string) => string) | undefined;

  constructor(file: string, readFile: ((path: string) => string) | undefined) {
    this.file = file;
    this.readFile = readFile;
  }

  problem(at: Position, message: string): typeof INVALID {
    this.count += 1;
    if (this.problems.length < PROBLEMS_MAX) this.problems.push({ file: this.file, line: at.line, column: at.column, message });
    return INVALID;
  }

  warn(at: Position, message: string): void {
    if (this.warnings.length < PROBLEMS_MAX) this.warnings.push({ file: this.file, line: at.line, column: at.column, message });
  }
}

const PROBLEMS_MAX = 50;

/** Stands for a value about which a problem was reported. */
export const INVALID: unique symbol = Symbol('invalid');

export interface Type<T> {
  readonly description: ValueDescription;
  /** @param name what the value is called in messages. */
  read(node: YamlNode, name: string, reading: Reading): T | typeof INVALID;
}

export function text(check?: (value: string) => string | null, values?: readonly string[]): Type<string> {
  return {
    description: { type: 'text', ...(values === undefined ? {} : { values }) },
    read(node, name, reading) {
      if (node.type !== 'scalar' || typeof node.value !== 'string') return reading.problem(node, wrongType(name, 'text', node));
      const wrong = node.value === '' ? 'must not be empty' : (check?.(node.value) ?? null);
      return wrong === null ? node.value : reading.problem(node, `\`${name}\` ${wrong}`);
    },
  };
}

export function oneOf<const T extends string>(values: readonly T[]): Type<T> {
  return {
    description: { type: 'text', values },
    read(node, name, reading) {
      if (node.type !== 'scalar') return reading.problem(node, wrongType(name, 'text', node));
      // YAML reads an unquoted `null` as nothing; where the word is allowed, it is meant.
      const word = node.value === null ? 'null' : String(node.value);
      const found = values.find(value => value === word);
      if (found !== undefined) return found;
      return reading.problem(node, `\`${name}\` cannot be ${shown(word)}${didYouMean(word, values) || `; write one of ${list(values)}`}`);
    },
  };
}

export function flag(): Type<boolean> {
  return {
    description: { type: 'boolean' },
    read: (node, name, reading) =>
      node.type === 'scalar' && typeof node.value === 'boolean'
        ? node.value
        : reading.problem(node, wrongType(name, 'true or false', node)),
  };
}

export function integer(min: number, max: number): Type<number> {
  return {
    description: { type: 'number' },
    read(node, name, reading) {
      if (node.type !== 'scalar' || typeof node.value !== 'number') return reading.problem(node, wrongType(name, 'a number', node));
      if (Number.isInteger(node.value) && node.value >= min && node.value <= max) return node.value;
      return reading.problem(node, `\`${name}\` must be a whole number from ${min} to ${max}`);
    },
  };
}

export function decimal(min: number, max: number): Type<number> {
  return {
    description: { type: 'number' },
    read(node, name, reading) {
      if (node.type !== 'scalar' || typeof node.value !== 'number') return reading.problem(node, wrongType(name, 'a number', node));
      if (node.value >= min && node.value <= max) return node.value;
      return reading.problem(node, `\`${name}\` must be a number from ${min} to ${max}`);
    },
  };
}

/** A quantity with a unit. */
export function quantity(
  type: 'duration' | 'size',
  parse: (text: string) => number | undefined,
  min: number,
  max: number,
  example: string,
): Type<number> {
  return {
    description: { type },
    read(node, name, reading) {
      if (node.type === 'scalar' && typeof node.value === 'number') {
        // A size may be a plain number of bytes; a duration without a unit would be a guess.
        if (type === 'duration') return reading.problem(node, `\`${name}\` needs a unit, such as \`${example}\``);
        if (Number.isSafeInteger(node.value) && node.value >= min && node.value <= max) return node.value;
      }
      if (node.type !== 'scalar' || (typeof node.value !== 'string' && typeof node.value !== 'number')) {
        return reading.problem(node, wrongType(name, `a ${type} such as \`${example}\``, node));
      }
      const value = parse(String(node.value));
      if (value === undefined)
        return reading.problem(node, `\`${name}\` is not a ${type}: ${shown(String(node.value))}; write it like \`${example}\``);
      if (value < min || value > max) return reading.problem(node, `\`${name}\` is out of range: ${shown(String(node.value))}`);
      return value;
    },
  };
}

export function listOf<T>(item: Type<T>, options: { min?: number; max?: number } = {}): Type<T[]> {
  const { min = 0, max = 1000 } = options;
  return {
    description: { type: 'list', items: item.description },
    read(node, name, reading) {
      if (node.type !== 'sequence') return reading.problem(node, wrongType(name, 'a list', node));
      if (node.items.length < min)
        return reading.problem(node, `\`${name}\` must have at least ${min === 1 ? 'one entry' : `${min} entries`}`);
      if (node.items.length > max) return reading.problem(node, `\`${name}\` has ${node.items.length} entries; at most ${max} are allowed`);
      const values: T[] = [];
      const seen = new Set<unknown>();
      let valid = true;
      for (const each of node.items) {
        const value = item.read(each, name, reading);
        if (value === INVALID) {
          valid = false;
          continue;
        }
        if (typeof value === 'string' && seen.has(value)) {
          reading.problem(each, `\`${name}\` has ${shown(value)} twice`);
          valid = false;
        }
        seen.add(value);
        values.push(value);
      }
      return valid ? values : INVALID;
    },
  };
}

/** Free names to values. */
export function mapOf<T>(checkKey: (key: string) => string | null, value: Type<T>): Type<Record<string, T>> {
  return {
    description: { type: 'map', items: value.description },
    read(node, name, reading) {
      if (node.type !== 'mapping') return reading.problem(node, wrongType(name, 'a mapping', node));
      const result: Record<string, T> = {};
      let valid = true;
      for (const entry of node.entries) {
        const wrong = checkKey(entry.key);
        if (wrong !== null) reading.problem(entry.keyAt, `${shown(entry.key)} in \`${name}\` ${wrong}`);
        const read = value.read(entry.value, `${name}.${entry.key}`, reading);
        if (wrong !== null || read === INVALID) valid = false;
        else result[entry.key] = read;
      }
      return valid ? result : INVALID;
    },
  };
}

export interface Field<T, Presence extends 'required' | 'optional'> {
  readonly presence: Presence;
  readonly type: Type<T>;
  readonly description: string;
  readonly fallback?: { value: T; written: string };
}

export function required<T>(type: Type<T>, description: string): Field<T, 'required'> {
  return { presence: 'required', type, description };
}

export function optional<T>(type: Type<T>, description: string): Field<T, 'optional'> {
  return { presence: 'optional', type, description };
}

/** @param written the default as a manifest would write it. */
export function defaulted<T>(type: Type<T>, value: NoInfer<T>, written: string, description: string): Field<T, 'required'> {
  return { presence: 'required', type, description, fallback: { value, written } };
}

type Fields = Record<string, Field<unknown, 'required' | 'optional'>>;
type ValueOf<F> = F extends Field<infer T, 'required' | 'optional'> ? T : never;
type RequiredNames<F extends Fields> = { [K in keyof F]: F[K] extends Field<unknown, 'required'> ? K : never }[keyof F];
export type ObjectOf<F extends Fields> = { [K in RequiredNames<F>]: ValueOf<F[K]> } & {
  [K in Exclude<keyof F, RequiredNames<F>>]?: ValueOf<F[K]>;
};

/**
 * A mapping with known fields. Unknown ones, missing ones and wrong ones are each reported, with the nearest valid name.
 *
 * @param check looks at the whole once every field is right; reports by itself.
 */
export function object<F extends Fields>(
  fields: F,
  check?: (value: ObjectOf<F>, node: YamlNode, reading: Reading) => void,
): Type<ObjectOf<F>> {
  const names = Object.keys(fields);
  return {
    description: { type: 'object', fields: names.flatMap(name => describeField(name, fields[name])) },
    read(node, name, reading) {
      if (node.type !== 'mapping') return reading.problem(node, wrongType(name, 'a mapping', node));
      const before = reading.count;
      const result: Record<string, unknown> = {};
      for (const entry of node.entries) readField(fields, names, entry, reading, result);
      for (const each of names) {
        const field = fields[each];
        if (field === undefined || node.entries.some(entry => entry.key === each)) continue;
        if (field.fallback !== undefined) result[each] = field.fallback.value;
        else if (field.presence === 'required') reading.problem(node, `\`${name}\` has no \`${each}\``);
      }
      if (reading.count > before) return INVALID;
      const value = asObject<F>(result);
      check?.(value, node, reading);
      return reading.count > before ? INVALID : value;
    },
  };
}

/** The one place where the types of the fields, checked one by one above, become the type of the whole. */
function asObject<F extends Fields>(value: Record<string, unknown>): ObjectOf<F> {
  return value as ObjectOf<F>;
}

function readField(fields: Fields, names: readonly string[], entry: YamlEntry, reading: Reading, result: Record<string, unknown>): void {
  const { key, keyAt, value } = entry;
  const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
  if (field === undefined) {
    reading.problem(keyAt, `unknown field ${shown(key)}${didYouMean(key, names) || `; known here: ${list(names)}`}`);
    return;
  }
  const read = field.type.read(value, key, reading);
  if (read !== INVALID) result[key] = read;
}

function describeField(name: string, field: Fields[string] | undefined): FieldDescription[] {
  if (field === undefined) return [];
  const { presence, type, description, fallback } = field;
  const shared = { name, required: presence === 'required' && fallback === undefined, description, value: type.description };
  return [fallback === undefined ? shared : { ...shared, default: fallback.written }];
}

/** Reads as one type and gives another. */
export function mapped<T, U>(type: Type<T>, convert: (value: T, node: YamlNode, reading: Reading) => U | typeof INVALID): Type<U> {
  return {
    description: type.description,
    read(node, name, reading) {
      const value = type.read(node, name, reading);
      return value === INVALID ? INVALID : convert(value, node, reading);
    },
  };
}

/** One type for a scalar, another for a mapping: a short form and a long one. */
export function shortOrLong<T>(short: Type<T>, long: Type<T>): Type<T> {
  return {
    description: { ...long.description, ...(short.description.values === undefined ? {} : { values: short.description.values }) },
    read: (node, name, reading) => (node.type === 'scalar' ? short : long).read(node, name, reading),
  };
}

function wrongType(name: string, wanted: string, node: YamlNode): string {
  if (node.type === 'scalar' && node.value === null) return `\`${name}\` has no value; it must be ${wanted}`;
  const given =
    node.type === 'scalar'
      ? `${typeof node.value === 'string' ? 'text' : typeof node.value === 'number' ? 'a number' : 'true or false'}`
      : node.type === 'mapping'
        ? 'a mapping'
        : 'a list';
  const hint = wanted === 'text' && given !== 'a mapping' && given !== 'a list' ? '; put it in quotes' : '';
  return `\`${name}\` must be ${wanted}, not ${given}${hint}`;
}

/** A word of a manifest in a message: clipped, on one line. */
export function shown(word: string): string {
  const clipped = word.length <= 60 ? word : `${word.slice(0, 60)}…`;
  return `\`${clipped.replaceAll(/\p{Cc}/gu, ' ')}\``;
}

export function list(names: readonly string[]): string {
  const first = names.slice(0, 12).map(name => `\`${name}\``);
  return names.length > 12 ? `${first.join(', ')} …` : first.join(', ');
}
