/** Programs that fetch a URL and put it into a file, or send a file there: curl, wget. */
import { type Glob, literal, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { all, has, readArguments, table, values } from './options.ts';
import { destination } from './reach.ts';

const CURL = table(
  'AbcCdDeEFhHKmnoPQrRtTuUwxXyYz',
  'user-agent cookie cookie-jar continue-at data data-ascii data-binary data-raw data-urlencode dump-header referer cert form header config max-time netrc-file output output-dir ftp-port quote range request user upload-file proxy proxy-user write-out cacert capath key connect-timeout retry retry-delay retry-max-time resolve interface url json trace trace-ascii stderr etag-save etag-compare unix-socket abstract-unix-socket limit-rate max-redirs url-query variable expand-data libcurl hsts alt-svc socks5 socks5-hostname engine key-type pass cert-type dns-servers doh-url connect-to egd-file random-file pinnedpubkey crlfile login-options oauth2-bearer proto aws-sigv4 cert-status tls-max ciphers tls13-ciphers',
);

const curl: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(words.slice(1), CURL);
  for (const file of values(
    args,
    'o',
    'output',
    'D',
    'dump-header',
    'c',
    'cookie-jar',
    'output-dir',
    'trace',
    'trace-ascii',
    'stderr',
    'etag-save',
    'libcurl',
    'hsts',
    'alt-svc',
  ))
    effects.write(file);
  for (const file of values(args, 'T', 'upload-file', 'E', 'cert', 'cacert', 'capath', 'key', 'netrc-file', 'b', 'cookie', 'etag-compare'))
    effects.read(file);
  for (const data of values(
    args,
    'd',
    'data',
    'data-ascii',
    'data-binary',
    'data-urlencode',
    'json',
    'F',
    'form',
    'url-query',
    'H',
    'header',
    'variable',
    'w',
    'write-out',
  ))
    attached(data, effects);
  for (const folder of values(args, 'output-dir')) {
    effects.write(folder, true);
    for (const file of values(args, 'o', 'output')) effects.write([...folder, '/', ...file]);
  }
  if (has(args, 'K', 'config')) host.opaque('a file says what curl does', 'curl --config');
  if (has(args, 'O', 'remote-name', 'remote-name-all', 'J')) effects.write(literal('.'), true);
  for (const url of [...args.operands, ...values(args, 'url')]) {
    const local = localFile(url);
    if (local !== null) effects.read(local);
    effects.network.push({ kind: 'connect', address: destination(url) });
  }
  if (args.open) {
    effects.both(UNKNOWN);
    effects.network.push({ kind: 'connect', address: '**' });
    host.opaque('options of curl are not known', 'curl');
  }
  host.emit(words, context, effects);
};

/**
 * The file that a URL of curl's names: `file:///x`, `FILE://localhost/x`. Ranges and lists, which curl expands, and characters that
 * are written as numbers make it any file. @returns null: it names none.
 */
function localFile(url: Glob): Glob | null {
  const scheme = literal('file:');
  if (!scheme.every((c, index) => typeof url[index] !== 'string' || url[index].toLowerCase() === c)) return null;
  const rest = url.slice(scheme.length);
  if (
    url.slice(0, scheme.length).some(token => typeof token !== 'string') ||
    rest.some(token => typeof token !== 'string' || '[{%'.includes(token))
  )
    return UNKNOWN;
  let slashes = 0;
  while (rest[slashes] === '/') slashes += 1;
  if (slashes !== 2) return rest.slice(Math.max(0, slashes - 1));
  const path = rest.indexOf('/', 2);
  return path < 0 ? UNKNOWN : rest.slice(path);
}

/** `@file`, `name@file`, `name=@file`, `name=<file`: what curl sends of the machine it runs on. */
function attached(data: Glob, effects: Effects): void {
  for (const mark of ['@', '<']) {
    const at = data.indexOf(mark);
    if (at < 0) continue;
    const rest = data.slice(at + 1);
    const end = rest.indexOf(';');
    effects.read(end < 0 ? rest : rest.slice(0, end));
    for (let comma = rest.indexOf(','); comma >= 0; comma = rest.indexOf(',', comma + 1)) effects.read(rest.slice(comma + 1));
  }
  if (typeof data[0] === 'object' && data[0].kind !== 'number') effects.read(UNKNOWN);
}

const wget: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table(
      'oaeiBtOTwQPUlADRIX',
      'output-file append-output execute input-file base tries output-document timeout wait quota directory-prefix user-agent level accept domains reject post-data post-file body-file body-data method header user password http-user http-password ca-certificate certificate private-key load-cookies save-cookies config use-askpass referer bind-address limit-rate start-pos progress warc-file rejected-log hsts-file',
    ),
  );
  for (const file of values(
    args,
    'O',
    'output-document',
    'o',
    'output-file',
    'a',
    'append-output',
    'save-cookies',
    'warc-file',
    'rejected-log',
    'hsts-file',
  ))
    effects.write(file);
  for (const folder of values(args, 'P', 'directory-prefix')) effects.write(folder, true);
  for (const file of values(
    args,
    'i',
    'input-file',
    'post-file',
    'body-file',
    'load-cookies',
    'ca-certificate',
    'certificate',
    'private-key',
  ))
    effects.read(file);
  if (has(args, 'e', 'execute', 'use-askpass', 'config')) host.opaque('an option of wget runs what is not known', 'wget');
  if (!has(args, 'O', 'output-document')) effects.write(literal('.'), true);
  for (const url of all(args)) effects.network.push({ kind: 'connect', address: destination(url) });
  if (args.open) host.opaque('options of wget are not known', 'wget');
  host.emit(words, context, effects);
};

export const DOWNLOADERS: readonly [string, Special][] = [
  ['curl', curl],
  ['wget', wget],
];
