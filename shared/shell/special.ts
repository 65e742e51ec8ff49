/**
 * Programs whose words have a grammar of their own: each reads its words, reports what it touches, and says what cannot be known. Those
 * of one sort have a file of their own; here are the table of all, and those that stand alone. Programs that start others are in wrappers.ts.
 */
import { ARCHIVERS } from './archives.ts';
import { BUILDERS } from './builders.ts';
import { isInterpreter, isPlainModule, isServerModule } from './code.ts';
import { CONTAINERS } from './containers.ts';
import { DATABASE_CLIENTS } from './database-clients.ts';
import { DOWNLOADERS } from './downloads.ts';
import { constantOf, pathsIn } from './effects.ts';
import { FIND } from './find.ts';
import { GIT } from './git.ts';
import { constant, type Glob, literal, startsWith, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { NETWORK_TOOLS } from './network-tools.ts';
import { all, has, readArguments, table, values } from './options.ts';
import { QUERY_TOOLS } from './query-tools.ts';
import { REMOTE_COPIES } from './remote-copies.ts';
import { STREAM_EDITORS } from './stream-editors.ts';
import { OPEN } from './words.ts';

const nameValue = (word: Glob): [string | null, Glob] => {
  const equals = word.indexOf('=');
  return equals < 0 ? [null, word] : [constant(word.slice(0, equals)), word.slice(equals + 1)];
};

const dd: Special = (host, words, context) => {
  const effects = new Effects();
  for (const word of words.slice(1)) {
    if (word === OPEN) {
      effects.both(UNKNOWN);
      continue;
    }
    const [name, value] = nameValue(word);
    if (name === 'if') effects.read(value);
    else if (name === 'of') effects.write(value);
    else if (name === null) effects.both(value);
  }
  host.emit(words, context, effects);
};

/** Interpreters: a script is a file that is run, code on the command line or from the input is not known. */
const interpreter: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const rest = words.slice(1);
  const texts = rest.map(word => (word === OPEN ? null : constant(word)));
  const [first] = texts;
  const python = /^(?:python|pypy)/.test(name);
  let at = 0;
  while (python && /^-[bBdEIOqsSuvx]+$/.test(texts[at] ?? '')) at += 1;
  const text = texts[at];
  const word = rest[at];
  const module = texts[at + 1];
  if (/^(?:deno|bun)$/.test(name) && (typeof first !== 'string' || /^(?:eval|repl|x|exec|create|-)/.test(first)))
    host.opaque(`${name} runs code that is not known`, name);
  if (rest.length === 1 && typeof first === 'string' && /^(?:--version|--help|-V|-h|-v|-version)$/.test(first)) {
    // It only tells about itself.
  } else if (python && text === '-m' && typeof module === 'string') {
    if (isServerModule(module)) effects.network.push({ kind: 'listen', address: `**:${texts[at + 2] ?? '8000'}` });
    if (!isPlainModule(module)) host.opaque(`${name} runs a module that is not known`, `${name} -m ${module}`);
    for (const each of rest.slice(at + 2)) for (const path of pathsIn(each)) effects.both(path, true);
  } else if (name === 'php' && text === '-S') {
    effects.network.push({ kind: 'listen', address: texts[at + 1] ?? '**' });
    effects.read(literal('.'), true);
  } else if (name === 'java' && text === '-jar' && rest[at + 1] !== undefined) {
    const jar = rest[at + 1];
    if (jar !== undefined && jar !== OPEN) host.runsFile(jar, words);
    else host.opaque(`${name} runs what is not known`, name);
    for (const each of rest.slice(at + 2)) for (const path of pathsIn(each)) effects.both(path, true);
  } else if (word !== undefined && word !== OPEN && typeof text === 'string' && !text.startsWith('-')) {
    effects.read(word);
    host.runsFile(word, words);
    for (const each of rest.slice(at + 1)) for (const path of pathsIn(each)) effects.both(path, true);
  } else host.opaque(`${name} runs code that is not known`, name);
  host.emit(words, context, effects);
};

const openssl: Special = (host, words, context) => {
  const effects = new Effects();
  const texts = words.map(word => (word === OPEN ? null : constant(word)));
  if (texts[1] === 's_server' || texts[1] === 'ocsp') effects.network.push({ kind: 'listen', address: '**' });
  if (texts[1] === 's_client' || texts[1] === 's_time')
    effects.network.push({ kind: 'connect', address: texts[texts.indexOf('-connect') + 1] ?? '**' });
  if (texts.includes('-engine') || texts.includes('-provider') || texts.includes('-provider-path') || texts.length === 1)
    host.opaque('openssl loads or reads what is not known', 'openssl');
  for (const word of words.slice(2)) for (const path of pathsIn(word)) effects.both(path);
  host.emit(words, context, effects);
};

/** Who shows text by screens can start commands from there, where a person sits before it. */
const man: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table('CRLmMSersEPpH', 'config-file pager locale systems manpath sections extension preprocessor recode encoding prompt'),
  );
  for (const pager of values(args, 'P', 'pager'))
    host.shellText(pager, { ...context, wrappers: [...context.wrappers, 'man'] }, { posix: true, positionals: null });
  if (has(args, 'C', 'config-file', 'H', 'html', 'p', 'preprocessor') || args.open)
    host.opaque('an option of man runs what is not known', 'man');
  if (host.interactive) host.opaque('a pager can run commands of its own', 'man');
  for (const page of all(args)) if (has(args, 'l', 'local-file') || page.includes('/')) effects.read(page);
  host.emit(words, context, effects);
};

const pager: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  for (const word of words.slice(1)) {
    if (word === OPEN) effects.read(UNKNOWN);
    else if (/^\+[FGg\d]*$/.test(constant(word) ?? '')) continue;
    else if (word[0] === '+' || startsWith(word, '-+') || startsWith(word, '--lesskey') || startsWith(word, '-k'))
      host.opaque(`${name} is given a command`, name);
    else if (startsWith(word, '-o') || startsWith(word, '-O') || startsWith(word, '--log')) effects.write(word.slice(2));
    else if (word[0] !== '-') effects.read(word);
  }
  if (host.interactive) host.opaque('a pager can run commands of its own', name);
  host.emit(words, context, effects);
};

/** Reads a database by its name, for root the passwords too. */
const getent: Special = (host, words, context) => {
  const effects = new Effects();
  for (const word of words.slice(1)) {
    if (word === OPEN) effects.read(UNKNOWN);
    else if (word[0] !== '-') {
      effects.read([...literal('/etc/'), ...word]);
      break;
    }
  }
  host.emit(words, context, effects);
};

const SPECIALS = new Map<string, Special>([
  ['getent', getent],
  ...BUILDERS,
  ['dd', dd],
  ...DOWNLOADERS,
  ...NETWORK_TOOLS,
  ...REMOTE_COPIES,
  ...ARCHIVERS,
  ...STREAM_EDITORS,
  ...FIND,
  ...GIT,
  ...CONTAINERS,
  ...QUERY_TOOLS,
  ...DATABASE_CLIENTS,
  ['openssl', openssl],
  ['man', man],
  ...['less', 'more', 'most', 'pg', 'zless', 'zmore', 'lessecho', 'bat', 'batcat'].map((name): [string, Special] => [name, pager]),
]);

/** @returns what reads the words of this program, when its words have a grammar of their own. */
export function specialCalled(name: string): Special | undefined {
  return SPECIALS.get(name) ?? (isInterpreter(name) ? interpreter : undefined);
}
