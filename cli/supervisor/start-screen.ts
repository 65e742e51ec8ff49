/** What `sallyport up` says when it is ready: where things are, one line to paste, and three things to try. */
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { DEFAULT_DATA_FOLDER, type Endpoints } from '../endpoints.ts';
import { commandName, findProgram } from '../program.ts';
import { hostForClients, splitAddress } from '../resource-address.ts';
import { shownPath } from '../shown-path.ts';
import type { Style } from '../terminal.ts';

export interface StartScreen {
  endpoints: Endpoints;
  dataFolder: string;
  manifestFolder: string | undefined;
  demo: boolean;
  tookMs: number;
  env: Readonly<Record<string, string | undefined>>;
}

/** The whole screen, without the final `ready`. */
export function startScreen(screen: StartScreen, style: Style): string {
  const { endpoints, env } = screen;
  const { bold, dim, cyan } = style;
  const resources = Object.entries(endpoints.resources);
  const tokenFile = shownPath(path.join(screen.dataFolder, 'control-plane', 'admin-token'));
  const rows: [string, string, string?][] = [
    [
      'Console',
      cyan(endpoints.console),
      screen.demo ? 'sign in as Bob, who runs the place; Carol audits, Alice has only her own' : `sign in with the token in ${tokenFile}`,
    ],
    ...resources.map(([name, address], index): [string, string, string] => [index === 0 ? 'Resources' : '', address, name]),
    ['Evidence', endpoints.clickhouse.url, `ClickHouse; user and password in ${shownPath(path.join(screen.dataFolder, 'endpoints.json'))}`],
    ...(screen.manifestFolder === undefined ? [] : [['Manifests', shownPath(path.resolve(screen.manifestFolder))] as [string, string]]),
  ];
  const width = Math.max(...rows.map(([, value, note]) => (note === undefined ? 0 : plainLength(value))));
  const lines = [
    '',
    `${bold('Sallyport is up.')} ${dim(`${(screen.tookMs / 1000).toFixed(1)} s. Ctrl-C stops everything; the next start goes on where this one ended.`)}`,
    '',
    ...rows.map(
      ([title, value, note]) =>
        `  ${title.padEnd(11)}${value}${note === undefined ? '' : `${' '.repeat(width - plainLength(value) + 2)}${dim(note)}`}`,
    ),
  ];
  if (resources.length === 0) {
    lines.push('', '  Nothing is protected yet. Describe a database in a manifest and apply it: docs/guides/connect.md');
  }
  const first = resources[0];
  if (screen.demo && first && screen.manifestFolder !== undefined) lines.push(...demoLines(screen, first, style));
  else if (first) {
    lines.push(
      '',
      `  Connect with a ticket as the password, for example ${cyan(`${commandName(env)} connect ${first[0]}${dataOption(screen)}`)}`,
    );
  }
  lines.push('');
  return lines.join('\n');
}

/** How many columns a text takes, its styles left out. */
function plainLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

function demoLines(screen: StartScreen, [resource, address]: [string, string], { bold, cyan, dim }: Style): string[] {
  const { env } = screen;
  const command = commandName(env);
  const data = dataOption(screen);
  const hasPsql = findProgram('psql', env);
  const paste = hasPsql
    ? `PGPASSWORD=$(${command} ticket ${resource} --as alice${data}) psql "${connectionString(resource, address, shownPath(screen.endpoints.ca))}"`
    : `${command} connect ${resource} --as alice${data}`;
  return [
    '',
    bold(`Be Alice from support. Paste this into another terminal, in this folder:`),
    ...(hasPsql ? [] : [dim('  (psql is not installed here, so this is a small prompt of our own)')]),
    '',
    `  ${cyan(paste)}`,
    '',
    bold('Three things to try there'),
    '',
    '  1  select name, email, card_number from customers limit 3;',
    dim('     The answer is masked on its way. As carol, from the privacy office, you see it whole.'),
    '  2  drop table orders;',
    dim('     Refused before it reaches the database, in the words of the rule.'),
    '  3  select name, value from app_secrets;',
    dim('     No rule names this column. The keys in it are found in the answer itself.'),
    '',
    `Then look at what was recorded: ${cyan(`${command} sessions list${data}`)}`,
  ];
}

/** libpq's connection string. `localhost`, because older clients compare certificates with names only. */
export function connectionString(resource: string, address: string, ca: string): string {
  const { host, port } = splitAddress(address);
  return `host=${hostForClients(host)} port=${port} dbname=${resource} user=alice sslmode=verify-full sslrootcert=${quoted(ca)}`;
}

function quoted(text: string): string {
  return /[\s'\\]/.test(text) ? `'${text.replace(/[\\']/g, '\\$&')}'` : text;
}

function dataOption({ dataFolder }: Pick<StartScreen, 'dataFolder'>): string {
  return path.resolve(DEFAULT_DATA_FOLDER) === dataFolder ? '' : ` --data ${shownPath(dataFolder)}`;
}
