/**
 * What a program does with the paths among its words, from its line in the table of programs; for one that is not there,
 * everything its words could name.
 */
import { ANY, constant, type Glob, literalPrefix, SEGMENT, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Host } from './host.ts';
import { readArguments } from './options.ts';
import type { Program } from './programs.ts';
import { type Field, OPEN } from './words.ts';

/**
 * Reads the words of a program by its table, reports it, and says what in it cannot be known.
 * @param reported as which it is reported, where some of its words are no paths whatever they are.
 */
export function applyProgram(
  host: Host,
  program: Program,
  words: readonly Field[],
  context: Context,
  reported: readonly Field[] = words,
): void {
  const effects = new Effects();
  const { options, operands, open, unsure } = readArguments(words.slice(1), program);
  const has = (names: readonly string[]): boolean =>
    options.some(
      option =>
        names.includes(option.name) || names.some(name => name.length > 1 && option.name.length > 1 && name.startsWith(option.name)),
    );
  const name = constantOf(words[0]);
  if (program.opaque.includes('*')) host.opaque(`${name} can run commands of its own`, name);
  else if (has(program.opaque)) host.opaque(`an option of ${name} runs what is not known`, name);
  if (unsure !== null && (program.runs.length > 0 || (program.opaque.length > 0 && !program.opaque.includes('*'))))
    host.opaque(`${name}: ${unsure}`, name);
  const tree = program.tree !== null && (program.tree.length === 0 || has(program.tree) || open);
  for (const { name: option, value } of options) {
    if (program.runs.includes(option))
      host.shellText(value ?? UNKNOWN, { ...context, wrappers: [...context.wrappers, name] }, { posix: true, positionals: null });
    else if (value === null) continue;
    else if (program.reads.includes(option)) effects.read(value);
    else if (program.writes.includes(option)) {
      effects.write(value, program.operands === 'copy' && tree);
      if (program.operands === 'copy' || program.operands === 'link') intoFolder(effects, value, operands);
    } else if (program.boths.includes(option) || (program.operands !== 'none' && looksLikePath(value))) effects.both(value, tree);
  }
  const paths = has(program.skipUnless) ? [...operands] : operands.slice(program.skip);
  if (open || has(program.fed)) paths.push(UNKNOWN);
  usePaths(effects, program, paths, tree, has(['t', 'target-directory']), has(program.inplace));
  for (const kind of program.network) {
    const [first] = operands;
    effects.network.push({ kind, address: kind === 'listen' || first === undefined ? '**' : (constant(first) ?? '**') });
  }
  effects.privilege.push(...program.is);
  host.emit(reported, context, effects);
}

/** Where the last word is a folder, each of the others gets its name there. */
function intoFolder(effects: Effects, folder: Glob, sources: readonly Glob[]): void {
  for (const source of sources) {
    const end = source.at(-1) === '/' ? source.length - 1 : source.length;
    const name = source.slice(source.lastIndexOf('/', end - 1) + 1, end);
    const known = name.every(token => typeof token === 'string') && name.length > 0 && name.join('') !== '.' && name.join('') !== '..';
    effects.write([...folder, '/', ...(known ? name : [SEGMENT])]);
  }
}

function usePaths(effects: Effects, program: Program, paths: readonly Glob[], tree: boolean, targeted: boolean, inplace: boolean): void {
  paths.forEach((path, index) => {
    const last = index === paths.length - 1 && paths.length > 1 && !targeted;
    switch (program.operands) {
      case 'none':
        return;
      case 'list':
        effects.read(path, tree);
        return;
      case 'read':
        effects.read(path, tree);
        if (inplace) effects.write(path, tree);
        return;
      case 'write':
        effects.write(path, tree);
        return;
      case 'both':
        effects.both(path, tree);
        return;
      case 'copy':
        if (last) {
          effects.write(path, tree);
          intoFolder(effects, path, paths.slice(0, -1));
        } else effects.read(path, tree);
        return;
      case 'link':
        if (last) {
          effects.write(path, tree);
          intoFolder(effects, path, paths.slice(0, -1));
        } else effects.both(path, tree);
        return;
      default:
        program.operands satisfies never;
    }
  });
}

/** A program that nobody reviewed: what its words could name, it may read and write, with all below. */
export function applyUnknown(host: Host, words: readonly Field[], context: Context): void {
  const effects = new Effects();
  for (const word of words.slice(1)) for (const path of pathsIn(word)) effects.both(path, true);
  host.emit(words, context, effects);
}

/** A word as a path, and the parts of `--name=path`, `key=path`, `-Ipath` and `@path` that may be one. */
export function pathsIn(word: Field): Glob[] {
  if (word === OPEN) return [UNKNOWN];
  const paths: Glob[] = word[0] === '-' ? [] : [word];
  const equals = word.indexOf('=');
  if (equals >= 0) paths.push(word.slice(equals + 1));
  const slash = word.findIndex(token => token === '/' || token === '~');
  if (word[0] === '-' && slash > 0 && equals < 0) paths.push(word.slice(slash));
  if (word[0] === '@') paths.push(word.slice(1));
  // `host:path`, `-v from:to`
  const colon = word.indexOf(':');
  if (colon >= 0) paths.push(word.slice(0, colon), word.slice(colon + 1));
  if (word[0] === '-' && word.some(token => typeof token === 'object' && token.kind !== 'number')) paths.push([ANY]);
  return paths.filter(path => path.length > 0);
}

function looksLikePath(value: Glob): boolean {
  return value.some(token => token === '/' || typeof token === 'object') || value[0] === '.' || value[0] === '~';
}

export function constantOf(word: Field | undefined): string {
  if (word === undefined || word === OPEN) return '**';
  const text = constant(word) ?? `${literalPrefix(word)}…`;
  return text.slice(text.lastIndexOf('/') + 1);
}
