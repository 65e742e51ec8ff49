/** Programs that carry out a script on every line: sed, awk in its forms. The scripts themselves are read in code.ts. */
import { isHarmlessAwk, readSedScript } from './code.ts';
import { constantOf, pathsIn } from './effects.ts';
import { constant, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { has, readArguments, table, values } from './options.ts';
import { OPEN } from './words.ts';

const sed: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(words.slice(1), table('efl', 'expression file line-length'));
  const given = values(args, 'e', 'expression');
  const scripts = [...given];
  let files = [...args.operands];
  if (given.length === 0 && !has(args, 'f', 'file')) scripts.push(...files.splice(0, 1));
  if (has(args, 'f', 'file')) host.opaque('a file says what sed does', 'sed -f');
  if (scripts.length === 0 || args.open) scripts.push(UNKNOWN);
  if (args.open) files = [...files, UNKNOWN];
  const joined = scripts.map(constant);
  const read = joined.includes(null) ? null : readSedScript(joined.join('\n'));
  if (read === null) host.opaque('a script of sed that runs commands or is not understood', 'sed');
  for (const { use, path } of read ?? []) {
    if (use === 'read') effects.read(path);
    else effects.write(path);
  }
  const inplace = args.options.some(
    option => option.name === 'i' || option.name === 'in-place' || ('in-place'.startsWith(option.name) && option.name.length > 1),
  );
  for (const file of files) {
    effects.read(file);
    if (inplace) effects.write(file);
  }
  host.emit(words, context, effects);
};

const awk: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(words.slice(1), {
    values: 'FvfeEil',
    longValues: ['field-separator', 'assign', 'file', 'source', 'exec', 'include', 'load'],
    ordered: true,
    known: { flags: '', longFlags: [] },
  });
  const name = constantOf(words[0]);
  if (has(args, 'f', 'e', 'E', 'i', 'l', 'file', 'source', 'exec', 'include', 'load') || args.unsure !== null)
    host.opaque(`${name} runs code that is not known`, name);
  const [program, ...files] = args.rest;
  const text = program === undefined || program === OPEN ? null : constant(program);
  if (text === null || !isHarmlessAwk(text)) host.opaque(`${name} runs code that is not known`, name);
  for (const file of files) for (const path of pathsIn(file)) effects.read(path);
  host.emit(words, context, effects);
};

export const STREAM_EDITORS: readonly [string, Special][] = [
  ...['sed', 'gsed'].map((name): [string, Special] => [name, sed]),
  ...['awk', 'gawk', 'mawk', 'nawk', 'original-awk'].map((name): [string, Special] => [name, awk]),
];
