/**
 * What a parameter expansion may give: `$x`, `${x:-y}`, `${x%%.*}`, `"$@"` … Values that are not known stay unknown; nothing is
 * guessed from a name but what the shell itself keeps there.
 *
 * @see https://www.gnu.org/software/bash/manual/html_node/Shell-Parameter-Expansion.html
 */
import type { ParameterExpansionPart, ParameterOperation, SimpleExpansionPart } from 'unbash';
import { constant, covers, type Glob, HOME, literal, NUMBER, parseGlob, SEGMENT, UNKNOWN } from './glob.ts';
import type { Scope, Variable } from './scope.ts';
import type { Word } from './syntax.ts';

export type Expanded =
  | { readonly kind: 'text'; readonly value: Glob }
  | { readonly kind: 'list'; readonly elements: readonly Glob[] }
  /** `many`: several words even in double quotes. */
  | { readonly kind: 'unknown'; readonly many?: boolean };

interface Host {
  readonly scope: Scope;
  opaque(reason: string, text: string): void;
}

type Value = (word: Word) => readonly Glob[] | null;

const NUMBERS: ReadonlySet<string> = new Set(['#', '?', '$', '!']);
/** Numbers that the shell keeps by itself. */
const NUMERIC: ReadonlySet<string> = new Set([
  'RANDOM',
  'SRANDOM',
  'SECONDS',
  'EPOCHSECONDS',
  'LINENO',
  'PPID',
  'UID',
  'EUID',
  'BASHPID',
  'SHLVL',
]);
const WORDLIKE: ReadonlySet<string> = new Set(['HOSTNAME', 'USER', 'LOGNAME', 'OSTYPE', 'HOSTTYPE', 'MACHTYPE', 'TERM', 'LANG']);

export function parameterValues(part: SimpleExpansionPart | ParameterExpansionPart, host: Host, value: Value): Expanded[] {
  if (part.type === 'SimpleExpansion') return plain(part.text.slice(1), host.scope);
  const { parameter, prefix, index, operation } = part;
  if (prefix === '!') {
    // The variable's text names another one, and a subscript in it is evaluated.
    if (operation?.type !== 'Names') host.opaque('a variable names what is used', part.text);
    return [{ kind: 'unknown', many: true }];
  }
  const subscript = index === undefined ? null : index.text;
  if (index !== undefined && subscript !== '@' && subscript !== '*') {
    const texts = value(index)?.map(constant) ?? [null];
    if (texts.some(text => text === null || !isPlainSubscript(text)))
      host.opaque('a subscript is evaluated that is not constant', part.text);
  }
  const base = indexed(parameter, subscript, host.scope);
  if (prefix === '#') return [{ kind: 'text', value: [NUMBER] }];
  return operation === undefined ? base : base.flatMap(each => operate(each, parameter, operation, part.text, host, value));
}

/** A number, or a word that is only a key: not an expression with names or commands in it. */
export function isPlainSubscript(text: string): boolean {
  return /^\s*-?\d*\s*$/.test(text);
}

function plain(name: string, scope: Scope): Expanded[] {
  if (name === '@' || name === '*') {
    return scope.positionals === null ? [{ kind: 'unknown', many: true }] : [{ kind: 'list', elements: scope.positionals }];
  }
  if (/^\d+$/.test(name)) {
    const position = Number(name);
    if (position === 0 || scope.positionals === null) return [{ kind: 'unknown' }];
    return [{ kind: 'text', value: scope.positionals[position - 1] ?? [] }];
  }
  if (NUMBERS.has(name)) return [{ kind: 'text', value: [NUMBER] }];
  if (!scope.variables.has(name) && !scope.doubtful && NUMERIC.has(name)) return [{ kind: 'text', value: [NUMBER] }];
  if (!scope.variables.has(name) && !scope.doubtful && WORDLIKE.has(name)) return [{ kind: 'text', value: [SEGMENT] }];
  return ofVariable(scope.get(name));
}

function ofVariable(variable: Variable): Expanded[] {
  if (variable === null) return [{ kind: 'unknown' }];
  if (variable.kind === 'text') return variable.values.map(value => ({ kind: 'text', value }));
  return [{ kind: 'text', value: variable.elements[0] ?? [] }];
}

function indexed(name: string, subscript: string | null, scope: Scope): Expanded[] {
  if (subscript === null) return plain(name, scope);
  const variable = scope.get(name);
  if (variable === null) return [{ kind: 'unknown', many: subscript === '@' }];
  if (subscript === '@' || subscript === '*') {
    return variable.kind === 'list'
      ? [{ kind: 'list', elements: variable.elements }]
      : variable.values.map(value => ({ kind: 'list', elements: [value] }));
  }
  if (variable.kind === 'list' && /^\d+$/.test(subscript)) return [{ kind: 'text', value: variable.elements[Number(subscript)] ?? [] }];
  return [{ kind: 'unknown' }];
}

function operate(each: Expanded, name: string, operation: ParameterOperation, text: string, host: Host, value: Value): Expanded[] {
  const texts = (values: readonly Glob[] | null): Expanded[] =>
    values === null ? [{ kind: 'unknown' }] : values.map(one => ({ kind: 'text', value: one }));
  // The home is one character here, and a path of some length there.
  const known = each.kind === 'text' && !each.value.includes(HOME) ? constant(each.value) : null;
  switch (operation.type) {
    case 'Default': {
      const operand = value(operation.operand);
      const { operator } = operation;
      if (operator.endsWith('=')) {
        if (host.scope.integers.has(name)) host.opaque('a value is given to an integer, which evaluates it', text);
        host.scope.setText(name, null);
      }
      if (each.kind !== 'text')
        return operator.endsWith('+')
          ? [{ kind: 'text', value: [] }, ...texts(operand)]
          : [{ kind: 'unknown', many: each.kind === 'list' || each.many === true }];
      const empty = each.value.length === 0;
      if (operator.endsWith('+')) return empty ? [{ kind: 'text', value: [] }, ...texts(operand)] : texts(operand);
      return empty ? [each, ...texts(operand)] : [each];
    }
    case 'Remove': {
      const patterns = value(operation.operand)?.map(constant);
      const [pattern] = patterns ?? [];
      if (known === null || patterns?.length !== 1 || pattern === null || pattern === undefined || /[[\\~(]/.test(pattern))
        return unknownLike(each);
      return [{ kind: 'text', value: literal(remove(known, pattern, operation.operator)) }];
    }
    case 'Slice': {
      const offset = integer(value(operation.offset));
      const length = operation.length === undefined ? undefined : integer(value(operation.length));
      if (offset === null || length === null) host.opaque('a length or an offset is evaluated that is not a number', text);
      if (known === null || offset === null || length === null) return unknownLike(each);
      const from = offset < 0 ? known.length + offset : offset;
      if (from < 0) return [{ kind: 'text', value: [] }];
      const to = length === undefined ? known.length : length < 0 ? known.length + length : from + length;
      return [{ kind: 'text', value: literal(known.slice(from, Math.max(from, to))) }];
    }
    case 'Replace': {
      const patterns = value(operation.pattern)?.map(constant);
      const replacements = value(operation.replacement)?.map(constant);
      const pattern = patterns?.length === 1 ? patterns[0] : null;
      const replacement = replacements?.length === 1 ? replacements[0] : null;
      const simple =
        known !== null && pattern && typeof replacement === 'string' && /^[\w/.,:@%+= -]+$/.test(pattern) && !/[&\\]/.test(replacement);
      if (!simple || known === null || !pattern || typeof replacement !== 'string') return unknownLike(each);
      const replaced = replace(known, pattern, replacement, operation.operator);
      return [{ kind: 'text', value: literal(replaced) }];
    }
    case 'CaseModification': {
      if (operation.operand !== undefined) value(operation.operand);
      if (known === null || operation.operand !== undefined || !/^[\x20-\x7e]*$/.test(known)) return unknownLike(each);
      const head = known.charAt(0);
      const rest = known.slice(1);
      switch (operation.operator) {
        case '^^':
          return [{ kind: 'text', value: literal(known.toUpperCase()) }];
        case ',,':
          return [{ kind: 'text', value: literal(known.toLowerCase()) }];
        case '^':
          return [{ kind: 'text', value: literal(head.toUpperCase() + rest) }];
        default:
          return [{ kind: 'text', value: literal(head.toLowerCase() + rest) }];
      }
    }
    case 'Transform':
      // `@P` runs the commands in a prompt, and what letter it is may itself be expanded.
      host.opaque('a variable is transformed', text);
      return unknownLike(each);
    case 'Names':
      return [{ kind: 'unknown', many: true }];
    case 'Unknown':
      host.opaque('an expansion that is not known', text);
      return unknownLike(each);
    default:
      return operation satisfies never;
  }
}

function unknownLike(each: Expanded): Expanded[] {
  return [
    each.kind === 'list' || (each.kind === 'unknown' && each.many === true)
      ? { kind: 'unknown', many: true }
      : { kind: 'text', value: UNKNOWN },
  ];
}

function integer(values: readonly Glob[] | null): number | null {
  const text = values?.length === 1 ? constant(values[0] ?? UNKNOWN) : null;
  return text !== null && /^\s*-?\d{1,6}\s*$/.test(text) ? Number(text) : null;
}

const TEXT_MAX = 2000;

function remove(text: string, pattern: string, operator: '#' | '##' | '%' | '%%'): string {
  const glob = parseGlob(pattern).map(token =>
    typeof token === 'object' && token.kind === 'segment' ? ({ kind: 'any' } as const) : token,
  );
  if (text.length > TEXT_MAX) return text;
  const lengths = [...Array(text.length + 1).keys()];
  const longest = operator.length === 2;
  const fits = (length: number): boolean =>
    covers(glob, literal(operator.startsWith('#') ? text.slice(0, length) : text.slice(text.length - length)));
  const found = (longest ? lengths.reverse() : lengths).find(fits);
  if (found === undefined) return text;
  return operator.startsWith('#') ? text.slice(found) : text.slice(0, text.length - found);
}

function replace(text: string, pattern: string, replacement: string, operator: '/' | '//' | '/#' | '/%'): string {
  switch (operator) {
    case '//':
      return text.replaceAll(pattern, () => replacement);
    case '/#':
      return text.startsWith(pattern) ? replacement + text.slice(pattern.length) : text;
    case '/%':
      return text.endsWith(pattern) ? text.slice(0, text.length - pattern.length) + replacement : text;
    default:
      return text.replace(pattern, () => replacement);
  }
}
