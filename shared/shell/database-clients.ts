/** Clients of databases: psql, mysql, sqlite3 and their like, whose statements may start programs of this machine. */
import { constantOf } from './effects.ts';
import { constant, literal } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { has, readArguments, table, values } from './options.ts';
import { OPEN } from './words.ts';

/** Options of sqlite3, which stand behind one dash or two, that only say how it shows things. */
function isPlainSqliteWord(text: string | null): boolean {
  if (text === null) return false;
  return (
    !text.startsWith('-') ||
    /^--?(?:ascii|bail|batch|box|column|csv|echo|header|help|html|json|line|list|markdown|noheader|quote|readonly|safe|stats|table|tabs|version)$/.test(
      text,
    )
  );
}

/** Statements that mysql's client carries out by itself. */
function hasClientCommand(code: string | null): boolean {
  return (
    code === null ||
    code.split(/[;\n]/).some(each => /^\s*(?:pager|tee|source|edit|system|delimiter|charset|connect|ssl_\w+)\b/i.test(each))
  );
}

/** Clients of databases: statements are theirs, but some begin commands of the machine. */
const databaseClient: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const args = readArguments(
    words.slice(1),
    table(
      'cdfhpUvLoFPRTeuPSDrn',
      'command dbname file host port username variable output log-file execute user password database socket init-command',
    ),
  );
  const code = [...values(args, 'c', 'command', 'e', 'execute', 'cmd'), ...(name === 'sqlite3' ? args.operands.slice(1) : [])];
  const safe =
    code.length > 0 &&
    (name === 'sqlite3' || !has(args, 'f', 'file')) &&
    code.every(each => {
      const text = constant(each);
      return text !== null && !/\\|^\s*[.!]|\bsystem\b|\bprogram\b|\n\s*[.!]|load_extension|readfile|writefile|edit\(/i.test(text);
    });
  const telling = has(args, 'l', 'list', 'V', 'version', 'help');
  if (name === 'sqlite3' && args.options.length > 0 && !words.slice(1).every(word => word !== OPEN && isPlainSqliteWord(constant(word))))
    host.opaque('an option of sqlite3 runs what is not known', name);
  if (/^(?:mysql|mariadb|mycli)$/.test(name) && (has(args, 'pager', 'tee') || code.some(each => hasClientCommand(constant(each)))))
    host.opaque(`${name} has commands of its own that start programs and write files`, name);
  if (!safe && !telling) host.opaque(`${name} takes statements that are not known`, name);
  if (name === 'sqlite3') for (const file of args.operands.slice(0, 1)) effects.both(file);
  else effects.network.push({ kind: 'connect', address: constant(values(args, 'h', 'host')[0] ?? literal('localhost')) ?? '**' });
  for (const file of values(args, 'f', 'file')) effects.read(file);
  for (const file of values(args, 'o', 'L', 'output', 'log-file')) effects.write(file);
  host.emit(words, context, effects);
};

export const DATABASE_CLIENTS: readonly [string, Special][] = [
  ...['psql', 'mysql', 'mariadb', 'sqlite3', 'pgcli', 'mycli'].map((name): [string, Special] => [name, databaseClient]),
];
