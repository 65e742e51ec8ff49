/**
 * Programs that build, install and start what files and registries say: make, compilers, package tools, services. What their words
 * alone tell is read; what could bring in a program from elsewhere, or from where anybody may write, is opaque.
 */
import { constantOf, pathsIn } from './effects.ts';
import { constant, type Glob, literal, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { has, readArguments, table, values } from './options.ts';
import { type Field, OPEN } from './words.ts';

const nameValue = (word: Glob): [string | null, Glob] => {
  const equals = word.indexOf('=');
  return equals < 0 ? [null, word] : [constant(word.slice(0, equals)), word.slice(equals + 1)];
};

/** make and its like: a file says what they do; variables given to them may name programs, and their values are expanded. */
const make: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const args = readArguments(
    words.slice(1),
    table('CfIoWE', 'file makefile directory include-dir eval old-file assume-old what-if new-file assume-new'),
  );
  host.obeysFiles(['**/[Mm]akefile', '**/GNUmakefile', '**/*.mk'], words);
  if (has(args, 'E', 'eval') || args.open || args.unsure !== null) host.opaque(`an option of ${name} runs what is not known`, name);
  for (const folder of values(args, 'C', 'directory')) effects.both(folder, true);
  for (const file of values(args, 'f', 'file', 'makefile')) {
    effects.read(file);
    if (constant(file) === '-') host.opaque(`${name} runs what comes from its input`, name);
    else host.runsFile(file, words);
  }
  for (const word of args.operands) {
    const [variable, value] = nameValue(word);
    const plain = /^[A-Z_a-z]\w*[:+?]?$/.test(variable ?? '') && /^[\w@%+:,./=~-]*(?: [\w@%+:,./=~-]+)*$/.test(constant(value) ?? '`');
    if (word.includes('=') && (!plain || MAKE_PROGRAMS.test(variable ?? '')))
      host.opaque(`a variable given to ${name} may run what is not known`, name);
    for (const path of pathsIn(word)) effects.both(path, true);
  }
  host.emit(words, context, effects);
};

/** Variables of make that say which programs are run, and how. */
const MAKE_PROGRAMS = /^(?:SHELL|MAKE\w*|GNUMAKE\w*|CC|CXX|CPP|LD|AR|AS|FC|LEX|YACC|RM|INSTALL\w*|VPATH|GPATH)[:+?]?$/;

function textsOf(words: readonly Field[]): (string | null)[] {
  return words.map(word => (word === OPEN ? null : constant(word)));
}

/** All that the words name may be read and written, with all below. */
function touchAll(words: readonly Field[], effects: Effects): void {
  for (const word of words) for (const path of pathsIn(word)) effects.both(path, true);
}

const systemctl: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table('tpHMsno', 'type property host machine signal lines output root image kill-whom job-mode what state'),
  );
  const [verb, ...units] = args.operands.map(constant);
  if (args.open || verb === null || args.unsure !== null) host.opaque('what systemctl does is not known', 'systemctl');
  if (/^(?:edit|link|set-environment|import-environment|kexec|switch-root|bind|mount-image)$/.test(verb ?? ''))
    host.opaque(`systemctl ${verb} changes what services run`, 'systemctl');
  // A unit that is named by its file is taken from there.
  if (units.some(unit => unit === null || unit.includes('/'))) host.opaque('a service is taken from a file', 'systemctl');
  if (has(args, 'root', 'image', 'H', 'host', 'M', 'machine')) host.opaque('systemctl works on another system', 'systemctl');
  host.emit(words, context, effects);
};

/** Settings of the kernel that name programs. */
const KERNEL_PROGRAMS = /core_pattern|modprobe|hotplug|poweroff_cmd|uevent_helper|binfmt/;

const sysctl: Special = (host, words, context) => {
  const effects = new Effects();
  effects.privilege.push('kernel');
  const args = readArguments(words.slice(1), table('prf', 'load pattern'));
  for (const file of [...values(args, 'p', 'load', 'f'), ...(has(args, 'p', 'load', 'f') ? args.operands : [])]) effects.read(file);
  if (
    args.operands.some(each => each.includes('=') && (constant(each) === null || KERNEL_PROGRAMS.test(constant(each) ?? ''))) ||
    args.open
  )
    host.opaque('a setting of the kernel names a program', 'sysctl');
  if (has(args, 'p', 'load', 'f', 'system')) host.opaque('a file says what is set', 'sysctl -p');
  host.emit(words, context, effects);
};

const npm: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const texts = textsOf(words.slice(1));
  const [verb] = texts.filter(text => text?.startsWith('-') !== true);
  if (texts.includes(null)) host.opaque(`words of ${name} are not known`, name);
  if (/^(?:exec|x|dlx|create|init|innit|explore|edit|config|c|set|link|pack|publish)$/.test(verb ?? ''))
    host.opaque(`${name} ${verb} runs or changes what is not known`, name);
  if (
    texts.some(
      text =>
        text !== null &&
        /^--(?:script-shell|shell|prefix|cwd|userconfig|globalconfig|node-options|registry|git|editor|call)\b|^-(?:C|c)/.test(text),
    )
  )
    host.opaque(`an option of ${name} runs what is not known`, name);
  if (/^(?:i|install|add|update|up)$/.test(verb ?? '') && texts.some(text => text !== null && /:\/\/|^git|^\/tmp|^file:/.test(text)))
    host.opaque(`${name} installs what is not known`, name);
  host.obeysFiles(['**/package.json', '**/.npmrc', '**/.yarnrc*'], words);
  touchAll(words.slice(1), effects);
  host.emit(words, context, effects);
};

const pip: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const texts = textsOf(words.slice(1));
  if (texts.includes(null)) host.opaque(`words of ${name} are not known`, name);
  if (
    texts.some(
      text =>
        text !== null &&
        (/^-[if]|^--(?:index-url|extra-index-url|find-links|trusted-host|config-settings?|python|global-option|build-option|editor)\b/.test(
          text,
        ) ||
          /:\/\/|^git\+|^file:/.test(text)),
    )
  )
    host.opaque(`${name} installs what is not known`, name);
  words.slice(1).forEach((word, index) => {
    // What is built is run: a folder of a source is a program.
    const text = texts[index] ?? '';
    if (word !== OPEN && text.includes('/') && !/^-[rc]$/.test(texts[index - 1] ?? '') && !text.startsWith('-')) host.runsFile(word, words);
  });
  touchAll(words.slice(1), effects);
  host.emit(words, context, effects);
};

const goTool: Special = (host, words, context) => {
  const effects = new Effects();
  const texts = textsOf(words.slice(1));
  const [verb] = texts;
  if (
    texts.includes(null) ||
    texts.some(text => text !== null && /^--?(?:exec|toolexec|vettool|overlay|modfile|run|C)\b/.test(text) && verb !== 'test')
  )
    host.opaque('an option of go runs what is not known', 'go');
  if (verb === 'test' && texts.some(text => text !== null && /^--?(?:exec|toolexec|vettool|overlay)\b/.test(text)))
    host.opaque('an option of go runs what is not known', 'go');
  if (/^(?:generate|tool|env)$/.test(verb ?? '') && texts.length > 1) host.opaque(`go ${verb} runs what is not known`, 'go');
  if (verb === 'run') {
    const at = texts.findIndex((text, index) => index > 0 && text?.startsWith('-') !== true);
    const word = words[at + 1];
    if (at > 0 && word !== undefined && word !== OPEN) host.runsFile(word, words);
    else host.opaque('go runs what is not known', 'go');
  }
  touchAll(words.slice(1), effects);
  host.emit(words, context, effects);
};

const cargo: Special = (host, words, context) => {
  const effects = new Effects();
  const texts = textsOf(words.slice(1));
  if (texts.includes(null) || texts.some(text => text !== null && /^--(?:config|manifest-path|git|index|registry)\b|^\+|^-Z/.test(text)))
    host.opaque('an option of cargo runs what is not known', 'cargo');
  touchAll(words.slice(1), effects);
  host.emit(words, context, effects);
};

const appStore: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const texts = textsOf(words.slice(1));
  if (texts.includes(null) || texts.includes('run') || texts.includes('enter') || texts.includes('--dangerous') || texts.includes('try'))
    host.opaque(`${name} runs what is not known`, name);
  touchAll(words.slice(1), effects);
  host.emit(words, context, effects);
};

/** Options of compilers and linkers that load code, take programs from elsewhere, or read more options from a file. */
const COMPILER_RUNS =
  /^(?:-fplugin|-wrapper|-specs|--specs|-B|-plugin|--plugin|-T|-dynamic-linker|-load|-Xclang|-fuse-ld=|@)|(?:^-Wl,|,)(?:-plugin|--plugin|@)/;

const compiler: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const args = readArguments(words.slice(1), table('oIlLDUxTBuzeGA', 'output include sysroot'));
  for (const word of words.slice(1)) {
    const text = word === OPEN ? null : constant(word);
    if (text === null || COMPILER_RUNS.test(text)) host.opaque(`an option of ${name} runs what is not known`, name);
    if (text?.startsWith('@') === true) effects.read(literal(text.slice(1)));
  }
  for (const file of values(args, 'o', 'output')) effects.write(file);
  touchAll(words.slice(1), effects);
  if (args.open) effects.both(UNKNOWN);
  host.emit(words, context, effects);
};

export const BUILDERS: readonly [string, Special][] = [
  ['systemctl', systemctl],
  ['sysctl', sysctl],
  ...['npm', 'yarn', 'pnpm'].map((name): [string, Special] => [name, npm]),
  ...['pip', 'pip3', 'uv'].map((name): [string, Special] => [name, pip]),
  ['go', goTool],
  ['cargo', cargo],
  ...['snap', 'flatpak'].map((name): [string, Special] => [name, appStore]),
  ...['gcc', 'g++', 'cc', 'c++', 'clang', 'clang++', 'cpp', 'ld', 'as'].map((name): [string, Special] => [name, compiler]),
  ['make', make],
  ['gmake', make],
];
