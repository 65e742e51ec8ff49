/**
 * Programs whose words have a grammar of their own: dd, curl, tar, sed, socat and the like. Each reads its words, reports what
 * it touches, and says what cannot be known. Programs that start others are in wrappers.ts.
 */

import { ARCHIVERS } from './archives.ts';
import { BUILDERS } from './builders.ts';
import { isHarmlessAwk, isInterpreter, isPlainModule, isServerModule, readSedScript } from './code.ts';
import { constantOf, pathsIn } from './effects.ts';
import { constant, DEEP, type Glob, intersects, literal, literalPrefix, startsWith, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Host, type Special } from './host.ts';
import { type Arguments, all, has, type OptionTable, readArguments, table, values } from './options.ts';
import { destination, launched, remotePart } from './reach.ts';
import { type Field, OPEN } from './words.ts';

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

const netcat: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table(
      'ceiIMmoOpPqsTVwWxXg',
      'sh-exec exec lua-exec source-port source proxy proxy-type output hex-dump idle-timeout delay wait allow deny ssl-cert ssl-key max-conns',
    ),
  );
  if (has(args, 'e', 'c', 'exec', 'sh-exec', 'lua-exec')) host.opaque('it gives a program to the network', constantOf(words[0]));
  for (const file of values(args, 'o', 'output', 'hex-dump')) effects.write(file);
  const listens = has(args, 'l', 'listen', 'L', 'k', 'keep-open');
  const [first, second] = args.operands.map(each => constant(each) ?? '**');
  const [port] = values(args, 'p', 'source-port').map(each => constant(each) ?? '**');
  if (listens || args.open) effects.network.push({ kind: 'listen', address: `**:${port ?? second ?? first ?? '**'}` });
  if (!listens || args.open) effects.network.push({ kind: 'connect', address: `${first ?? '**'}:${second ?? '**'}` });
  if (args.unsure !== null) host.opaque('options of netcat are not known', constantOf(words[0]));
  host.emit(words, context, effects);
};

const socat: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(words.slice(1), table('dbtTlLrR', ''));
  for (const address of all(args)) {
    const text = (constant(address) ?? literalPrefix(address)).toLowerCase();
    const scheme = /^[a-z0-9_-]*/.exec(text)?.[0] ?? '';
    const colon = address.indexOf(':');
    const comma = address.indexOf(',');
    const rest = colon < 0 ? [] : address.slice(colon + 1, comma < 0 ? undefined : comma);
    const file =
      /^(?:open|file|create|creat|gopen|pipe|fifo|echo|unix.*|abstract.*|pty)$/.test(scheme) ||
      text.startsWith('/') ||
      text.startsWith('.');
    if (/^(?:exec|system|shell)$/.test(scheme) || constant(address) === null)
      host.opaque('it joins a program to what is not known', 'socat');
    if (scheme.includes('listen') || scheme.includes('recv') || scheme === 'tun')
      effects.network.push({ kind: 'listen', address: `**:${constant(rest) ?? '**'}` });
    else if (/^(?:tcp|udp|sctp|openssl|ssl|dtls|socks|proxy|ip)/.test(scheme))
      effects.network.push({ kind: 'connect', address: constant(rest) ?? '**' });
    else if (file) effects.both(text.startsWith('/') || text.startsWith('.') ? address.slice(0, comma < 0 ? undefined : comma) : rest);
    else if (!/^(?:stdio|stdin|stdout|stderr|-|fd|readline|\d+|exec|system|shell)?$/.test(scheme)) effects.both(UNKNOWN);
    const options = constant(address) ?? '';
    for (const [, path] of options.matchAll(/,(?:cert|key|cafile|link|creat|unlink|bind)[^=,]*=([^,]*)/gi))
      effects.both(literal(path ?? ''));
  }
  host.emit(words, context, effects);
};

function transfer(host: Host, words: readonly Field[], context: Context, args: Arguments, tree: boolean, removes: boolean): void {
  const effects = new Effects();
  const paths = all(args);
  paths.forEach((path, index) => {
    const remote = remotePart(path);
    if (remote !== null) effects.network.push({ kind: 'connect', address: remote });
    else if (index === paths.length - 1 && paths.length > 1) effects.write(path, true);
    else if (removes) effects.both(path, tree);
    else effects.read(path, tree);
    if (typeof path[0] === 'object' && remote === null) effects.network.push({ kind: 'connect', address: '**' });
  });
  for (const file of values(args, 'files-from', 'exclude-from', 'include-from', 'password-file', 'filter', 'i')) effects.read(file);
  // A list says which paths are meant.
  if (has(args, 'files-from')) effects.read(UNKNOWN);
  for (const file of values(args, 'log-file', 'backup-dir', 'T', 'temp-dir', 'partial-dir', 'write-batch')) effects.write(file, true);
  for (const file of values(args, 'link-dest', 'copy-dest', 'compare-dest')) effects.read(file, true);
  host.emit(words, context, effects);
}

const scp: Special = (host, words, context) => {
  const args = readArguments(words.slice(1), table(constantOf(words[0]) === 'sftp' ? 'BbcDFiJloPRSsX' : 'cDFiJlmoPSX', ''));
  if (has(args, 'S', 'D', 'F') || values(args, 'o').some(isRisky) || args.unsure !== null || mayBeOption(args))
    host.opaque('an option of scp runs what is not known', 'scp');
  if (constantOf(words[0]) === 'sftp' && (has(args, 'b') || !args.operands.some(each => each.includes(':'))))
    host.opaque('sftp reads commands, some of which run programs here', 'sftp');
  if (has(args, 'J')) connectOnly(host, args);
  // What the other end of an old scp starts here: -t takes files, -f gives them.
  if (has(args, 't')) {
    const effects = new Effects();
    for (const path of all(args)) effects.both(path, true);
    host.emit(words, context, effects);
    return;
  }
  transfer(host, words, context, args, has(args, 'r'), false);
};

function connectOnly(host: Host, args: Arguments): void {
  if (values(args, 'J').some(each => constant(each) === null)) host.opaque('the host on the way is not known', 'ssh -J');
}

/** Options of ssh_config that neither start a program nor name a file. */
const SSH_PLAIN =
  /^(?:addressfamily|batchmode|bindaddress|bindinterface|casignaturealgorithms|checkhostip|ciphers|clearallforwardings|compression|connectionattempts|connecttimeout|controlpersist|enablesshkeysign|escapechar|exitonforwardfailure|fingerprinthash|gssapi\w*|hashknownhosts|hostbasedauthentication|hostkeyalgorithms|hostkeyalias|hostname|identitiesonly|ipqos|kbdinteractiveauthentication|challengeresponseauthentication|kexalgorithms|loglevel|macs|nohostauthenticationforlocalhost|numberofpasswordprompts|passwordauthentication|port|preferredauthentications|pubkeyaccepted(?:algorithms|keytypes)|pubkeyauthentication|rekeylimit|requesttty|serveralivecountmax|serveraliveinterval|stricthostkeychecking|syslogfacility|tcpkeepalive|updatehostkeys|user|verifyhostkeydns|visualhostkey)\s*[=\s]\s*[\w@.,:+^*-]+\s*$/;
/** Turned off, the others do no harm either. */
const SSH_OFF =
  /^(?:controlmaster|forwardagent|forwardx11|forwardx11trusted|permitlocalcommand|tunnel|controlpath|proxycommand|proxyjump)\s*[=\s]\s*(?:no|none)\s*$|^(?:user|global)knownhostsfile\s*[=\s]\s*(?:\/dev\/null|none)\s*$/;

/** Does an option of ssh_config start a program, or name a file, as far as can be known? */
export function isRisky(option: Glob): boolean {
  const text = constant(option)?.trim().toLowerCase();
  return text === undefined || !(SSH_PLAIN.test(text) || SSH_OFF.test(text));
}

function mayBeOption(args: Arguments): boolean {
  return args.open || args.unsure !== null;
}

const rsync: Special = (host, words, context) => {
  const args = readArguments(
    words.slice(1),
    table(
      'efBTM',
      'rsh filter rsync-path exclude include exclude-from include-from files-from block-size max-delete max-size min-size partial-dir suffix backup-dir temp-dir compare-dest copy-dest link-dest modify-window timeout port password-file log-file log-file-format out-format bwlimit write-batch only-write-batch read-batch protocol iconv checksum-seed remote-option chmod chown usermap groupmap info debug skip-compress compress-level config dparam sockopts address',
    ),
  );
  if (has(args, 'server')) {
    servedFiles(host, words, context, args);
    return;
  }
  for (const shell of values(args, 'e', 'rsh')) launched(host, shell, context, 'rsync');
  for (const path of values(args, 'rsync-path', 'M', 'remote-option'))
    if (!/^[\w/.-]+$/.test(constant(path) ?? ' ')) host.opaque('an option of rsync runs what is not known', 'rsync');
  if (has(args, 'daemon', 'config', 'dparam', 'read-batch') || args.unsure !== null) host.opaque('options of rsync are not known', 'rsync');
  transfer(host, words, context, args, true, has(args, 'remove-source-files'));
};

/** `rsync --server [--sender] OPTIONS . PATH…`, which a client at the other end starts; `-e.LsfxC` tells what it can do. */
function servedFiles(host: Host, words: readonly Field[], context: Context, args: Arguments): void {
  const effects = new Effects();
  const [dot, ...paths] = all(args);
  if (dot === undefined || constant(dot) !== '.' || args.unsure !== null || has(args, 'daemon', 'config', 'dparam', 'rsh', 'rsync-path'))
    host.opaque('options of rsync are not known', 'rsync');
  const removes = has(args, 'remove-source-files');
  if (has(args, 'files-from')) effects.read(UNKNOWN);
  for (const path of paths) {
    if (!has(args, 'sender')) effects.both(path, true);
    else if (removes) effects.both(path, true);
    else effects.read(path, true);
  }
  for (const file of values(
    args,
    'files-from',
    'log-file',
    'backup-dir',
    'T',
    'temp-dir',
    'partial-dir',
    'link-dest',
    'copy-dest',
    'compare-dest',
  ))
    effects.both(file, true);
  host.emit(words, context, effects);
}

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

/** `find`: what it starts, writes and finds. */
/** What `find … -print0` prints; null for one that prints anything else, or of which not all is known. */
export function printedPaths(words: readonly Field[]): readonly Glob[] | null {
  const texts = words.slice(1).map(word => (word === OPEN ? null : constant(word)));
  const prints = texts.filter(text => text === null || /^-(?:print|ls|fls|fprint|printf|exec|ok|delete|files0)/.test(text));
  if (prints.length !== 1 || prints[0] !== '-print0' || texts.includes(null)) return null;
  const end = texts.findIndex(text => text === null || text.startsWith('-') || /^[(!),]$/.test(text));
  const roots = words.slice(1, end + 1) as Glob[];
  if (roots.some(root => !/^[./]/.test(constant(root) ?? ''))) return null;
  return foundPaths(roots.length === 0 ? [literal('.')] : roots, words.slice(end + 1));
}

const find: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words.slice(1);
  const roots: Glob[] = [];
  let i = 0;
  while (i < rest.length) {
    const word = rest[i];
    const text = word === undefined || word === OPEN ? null : constant(word);
    if (text !== null && /^-(?:[HLP]|O\d*|D)$/.test(text)) i += text === '-D' ? 2 : 1;
    else if (word === OPEN || word === undefined || word[0] === '-' || text === '(' || text === '!' || text === ')' || text === ',') break;
    else {
      roots.push(word);
      if (typeof word[0] === 'object') host.opaque('find: a word may be an option', 'find');
      i += 1;
    }
  }
  if (roots.length === 0) roots.push(literal('.'));
  const expression = rest.slice(i);
  if (expression.includes(OPEN)) host.opaque('what find does is not known', 'find');
  if (expression.some(word => word !== OPEN && constant(word) === '-files0-from')) roots.push(UNKNOWN);
  const found = foundPaths(roots, expression);
  for (let at = 0; at < expression.length; at += 1) {
    const word = expression[at];
    const text = word === undefined || word === OPEN ? null : constant(word);
    const next = expression[at + 1];
    const value = next === undefined || next === OPEN ? UNKNOWN : next;
    if (text === null) {
      if (word !== undefined && word !== OPEN && typeof word[0] === 'object') host.opaque('what find does is not known', 'find');
    } else if (/^-(?:exec|execdir|ok|okdir)$/.test(text)) {
      let end = at + 1;
      while (end < expression.length && !isEnd(expression, end)) end += 1;
      const inner = expression.slice(at + 1, end).flatMap((each): Field[] => replacePlaceholder(each, found));
      host.dispatch(inner, { ...context, wrappers: [...context.wrappers, 'find'], input: { kind: 'unknown' } });
      at = end;
    } else if (text === '-delete') for (const path of found) effects.write(path);
    else if (/^-(?:fprint|fprint0|fls|fprintf)$/.test(text)) {
      effects.write(value);
      at += 1;
    } else if (/^-(?:newer|anewer|cnewer|samefile|newer..|files0-from)$/.test(text)) {
      effects.read(value);
      at += 1;
    } else if (
      /^-(?:name|iname|path|ipath|wholename|iwholename|regex|iregex|lname|ilname|user|group|perm|size|type|xtype|mtime|atime|ctime|mmin|amin|cmin|maxdepth|mindepth|printf|inum|links|fstype|uid|gid|used|context|regextype)$/.test(
        text,
      )
    )
      at += 1;
  }
  host.emit(words, context, effects);
};

function isEnd(expression: readonly Field[], at: number): boolean {
  const word = expression[at];
  const text = word === undefined || word === OPEN ? null : constant(word);
  if (text === ';') return true;
  const before = expression[at - 1];
  return text === '+' && before !== undefined && before !== OPEN && constant(before) === '{}';
}

/** What `{}` may be: a root or something below it; with a name that every file must have, only that. */
function foundPaths(roots: readonly Glob[], expression: readonly Field[]): Glob[] {
  const texts = expression.map(word => (word === OPEN ? null : constant(word)));
  const plain = !texts.some(text => text === '-o' || text === '-or' || text === '!' || text === '-not' || text === ',' || text === '(');
  const at = texts.indexOf('-name');
  const name = plain && at >= 0 && texts.indexOf('-name', at + 1) < 0 ? texts[at + 1] : null;
  // The pattern itself stands in the text as a constant: find matches it.
  const pattern = typeof name === 'string' && /^[\w.*?@+-]+$/.test(name) ? name : null;
  return roots.flatMap((root): Glob[] => {
    if (pattern === null) return [root, [...root, '/', DEEP]];
    const file: Glob = pattern.split('').map(c => (c === '*' ? { kind: 'segment' as const } : c === '?' ? { kind: 'one' as const } : c));
    const below: Glob[] = [
      [...root, '/', ...file],
      [...root, '/', DEEP, '/', ...file],
    ];
    const slash = root.lastIndexOf('/');
    return intersects(file, root.slice(slash + 1)) ? [root, ...below] : below;
  });
}

/** A word that holds `{}` becomes every path; the words around stay. One of several is enough to say where it may be. */
function replacePlaceholder(word: Field, found: readonly Glob[]): Field[] {
  if (word === OPEN) return [OPEN];
  const at = word.findIndex((token, index) => token === '{' && word[index + 1] === '}');
  if (at < 0) return [word];
  return found.map(path => [...word.slice(0, at), ...path, ...word.slice(at + 2)]);
}

const GIT_GLOBAL: OptionTable = {
  values: 'Cc',
  longValues: ['git-dir', 'work-tree', 'namespace', 'exec-path', 'super-prefix', 'config-env', 'attr-source', 'list-cmds'],
  ordered: true,
  known: {
    flags: 'pPh',
    longFlags: [
      'version',
      'help',
      'paginate',
      'no-pager',
      'no-replace-objects',
      'bare',
      'literal-pathspecs',
      'no-optional-locks',
      'html-path',
      'man-path',
      'info-path',
      'glob-pathspecs',
      'noglob-pathspecs',
      'icase-pathspecs',
      'no-lazy-fetch',
      'no-advice',
    ],
  },
};
/** Settings that hold no command and no path. */
const GIT_PLAIN_SETTING =
  /^(?:user\.(?:name|email)|color\.[\w.]+|core\.(?:quotepath|autocrlf|filemode|compression|preloadindex|longpaths)|advice\.\w+|http\.(?:sslverify|postbuffer|lowspeedlimit|lowspeedtime)|pull\.(?:rebase|ff)|init\.defaultbranch|gc\.\w+|pack\.\w+|push\.default|fetch\.\w+|merge\.conflictstyle|diff\.(?:renames|algorithm)|log\.\w+|safe\.directory|commit\.gpgsign|protocol\.version)=/i;

const git: Special = (host, words, context) => {
  const effects = new Effects();
  host.obeysFiles(['~/.gitconfig', '~/.config/git/**', '**/.git/**', '**/.gitmodules', '**/.gitattributes', '**/hooks/*'], words);
  const args = readArguments(words.slice(1), GIT_GLOBAL);
  if (args.unsure !== null) host.opaque(`git: ${args.unsure}`, 'git');
  for (const setting of values(args, 'c')) {
    const text = constant(setting);
    if (text !== null && GIT_PLAIN_SETTING.test(text)) continue;
    const [, command] = text?.split(/=(.*)/s) ?? [];
    if (
      command !== undefined &&
      /pager|editor|sshcommand|alias|askpass|helper|textconv|external|hookspath|fsmonitor|program|proxy|command|cmd/i.test(text ?? '')
    ) {
      host.shellText(
        literal(command.replace(/^!/, '')),
        { ...context, wrappers: [...context.wrappers, 'git'] },
        { posix: true, positionals: null },
      );
    }
    host.opaque('a setting of git may run commands', 'git -c');
  }
  if (has(args, 'exec-path', 'config-env')) host.opaque('an option of git runs what is not known', 'git');
  for (const folder of values(args, 'C', 'git-dir', 'work-tree')) effects.both(folder, true);
  const [command, ...rest] = args.rest;
  const name = command === undefined || command === OPEN ? null : constant(command);
  const texts = rest.map(word => (word === OPEN ? null : constant(word)));
  if (command !== undefined && name === null) host.opaque('what git does is not known', 'git');
  switch (name) {
    case 'clone':
    case 'fetch':
    case 'pull':
    case 'push':
    case 'ls-remote':
    case 'remote':
    case 'submodule':
    case 'archive': {
      const urls = rest.filter(word => word !== OPEN && word.includes(':'));
      for (const url of urls) effects.network.push({ kind: 'connect', address: destination(url as Glob) });
      if (texts.includes('foreach')) host.opaque('git submodule runs commands', 'git submodule foreach');
      if (urls.length === 0) effects.network.push({ kind: 'connect', address: '**' });
      if (
        texts.some(text => text === null || /^--?(?:upload-pack|receive-pack|exec|config|template|u$|c$|remote)|^ext::|^-[uc]/.test(text))
      )
        host.opaque('an option of git runs what is not known', `git ${name}`);
      break;
    }
    case 'config':
      if (texts.some(text => text === null) || texts.filter(text => text !== null && !text.startsWith('-')).length > 1) {
        if (!texts.slice(0, 3).some(text => text !== null && GIT_PLAIN_SETTING.test(`${text}=`)))
          host.opaque('a setting of git may run commands', 'git config');
      }
      break;
    case 'bisect':
    case 'filter-branch':
    case 'difftool':
    case 'mergetool':
    case 'instaweb':
    case 'rebase':
    case 'for-each-repo':
    case 'daemon':
    case 'shell':
    case 'send-email':
      if (name !== 'rebase' || texts.some(text => text === null || /^(?:-x|--exec|-i|--interactive)/.test(text)))
        host.opaque(`git ${name} runs commands`, `git ${name}`);
      if (name === 'daemon' || name === 'instaweb') effects.network.push({ kind: 'listen', address: '**' });
      break;
    case 'apply':
    case 'am':
      // The patch says which files.
      if (
        texts.includes(null) ||
        name === 'am' ||
        !texts.some(text => /^--(?:stat|numstat|summary|check)$/.test(text ?? '')) ||
        texts.includes('--apply')
      )
        effects.both(UNKNOWN);
      break;
    case 'grep':
    case 'diff':
    case 'log':
    case 'show':
      if (texts.some(text => text !== null && /^(?:-O|--open-files-in-pager|--ext-diff|--textconv)/.test(text)))
        host.opaque('an option of git runs what is not known', `git ${name}`);
      break;
    default:
      if (name !== null && !GIT_COMMANDS.has(name)) host.opaque('a command of git that may be an alias', `git ${name}`);
  }
  for (const word of rest) for (const path of pathsIn(word)) effects.both(path);
  host.emit(words, context, effects);
};

const GIT_COMMANDS = new Set(
  'add am annotate apply blame branch bundle cat-file check-ignore checkout cherry cherry-pick clean commit describe format-patch fsck gc hash-object help init log ls-files ls-tree merge merge-base mv name-rev notes prune range-diff read-tree reflog remote repack replace reset restore rev-list rev-parse revert rm shortlog show-ref sparse-checkout stash status switch symbolic-ref tag update-index update-ref var verify-commit verify-tag version whatchanged worktree write-tree diff-tree diff-index diff-files for-each-ref count-objects'.split(
    ' ',
  ),
);

/** Interpreters: a script is a file that is run, code on the command line or from the input is not known. */
export const interpreter: Special = (host, words, context) => {
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

const docker: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words.slice(1);
  const name = constantOf(words[0]);
  const texts = rest.map(word => (word === OPEN ? null : constant(word)));
  effects.privilege.push('container');
  if (texts.includes(null)) host.opaque(`words of ${name} are not known`, name);
  const [command, sub] = texts.filter(text => text?.startsWith('-') !== true);
  const verb = command === 'compose' || command === 'container' ? sub : command;
  if (verb === 'unshare') {
    const inner = rest.slice(texts.indexOf('unshare') + 1);
    const at = inner.findIndex(word => word === OPEN || word[0] !== '-');
    if (at >= 0) host.dispatch(inner.slice(at), inside(context, name));
    if (at !== 0) host.opaque(`${name} unshare: its options are not known`, name);
  } else if (verb === 'exec' || verb === 'run' || verb === 'create') {
    const from = texts.indexOf(verb) + 1;
    const table: OptionTable = {
      values: 'euwvphlmca',
      longValues:
        'env env-file user workdir volume publish name network mount entrypoint hostname label memory cpus restart add-host device cap-add cap-drop security-opt pid ipc userns tmpfs ulimit platform log-driver log-opt dns shm-size health-cmd detach-keys group-add link index cidfile gpus net network-alias expose stop-signal runtime annotation attach'.split(
          ' ',
        ),
      ordered: true,
      known: {
        flags: 'ditTPqh',
        longFlags: [
          'detach',
          'interactive',
          'tty',
          'privileged',
          'rm',
          'init',
          'read-only',
          'publish-all',
          'no-deps',
          'no-TTY',
          'quiet',
          'sig-proxy',
          'no-healthcheck',
          'service-ports',
          'build',
          'remove-orphans',
        ],
      },
    };
    const args = readArguments(rest.slice(from), table);
    for (const volume of values(args, 'v', 'volume', 'mount', 'device', 'env-file'))
      for (const each of pieces(volume)) for (const path of pathsIn(each)) effects.both(path, true);
    if (has(args, 'p', 'publish', 'P', 'publish-all')) effects.network.push({ kind: 'listen', address: '**' });
    for (const entry of values(args, 'entrypoint', 'health-cmd'))
      host.shellText(entry, inside(context, name), { posix: true, positionals: null, remote: true });
    if (has(args, 'privileged', 'pid', 'cap-add', 'device', 'userns', 'security-opt')) effects.privilege.push('root-shell');
    if (args.unsure !== null) host.opaque(`${name}: ${args.unsure}`, name);
    const inner = args.rest.slice(1);
    if (inner.length > 0) host.dispatch(inner, inside(context, name));
    else if (verb === 'exec') host.opaque(`${name} exec without a command`, name);
  } else if (verb === 'cp') {
    for (const word of rest.slice(1)) for (const path of pathsIn(word)) effects.both(path, true);
  } else if (
    verb === 'build' ||
    verb === 'load' ||
    verb === 'import' ||
    verb === 'save' ||
    verb === 'export' ||
    verb === 'up' ||
    verb === 'plugin' ||
    verb === 'buildx'
  ) {
    for (const word of rest.slice(1)) for (const path of pathsIn(word)) effects.both(path, true);
  }
  host.emit(words, context, effects);
};

/** `type=bind,src=/x,dst=/y`, cut at its commas. */
function pieces(word: Glob): Glob[] {
  const cut: Glob[] = [[]];
  for (const token of word) {
    if (token === ',') cut.push([]);
    else cut[cut.length - 1] = [...(cut.at(-1) ?? []), token];
  }
  return cut;
}

function inside(context: Context, by: string): Context {
  return { ...context, wrappers: [...context.wrappers, by], privilege: [...context.privilege, 'container'] };
}

const kubectl: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words.slice(1);
  const name = constantOf(words[0]);
  const texts = rest.map(word => (word === OPEN ? null : constant(word)));
  const dashes = texts.indexOf('--');
  effects.network.push({ kind: 'connect', address: '**' });
  if (texts.includes('exec') || texts.includes('run') || texts.includes('debug')) {
    effects.privilege.push('container');
    const inner = dashes >= 0 ? rest.slice(dashes + 1) : [];
    if (inner.length > 0) host.dispatch(inner, inside(context, name));
    else host.opaque(`${name} runs what is not known`, name);
  }
  if (texts.includes('port-forward') || texts.includes('proxy'))
    effects.network.push({ kind: 'tunnel', address: '**' }, { kind: 'listen', address: '**' });
  if (
    texts.includes('edit') ||
    texts.includes(null) ||
    texts.includes('plugin') ||
    texts.some(text => text?.startsWith('--kubeconfig') === true)
  )
    host.opaque(`what ${name} does is not known`, name);
  const args = readArguments(
    dashes >= 0 ? rest.slice(0, dashes) : rest,
    table('fnolcsk', 'filename namespace output selector container kubeconfig'),
  );
  for (const file of values(args, 'f', 'filename', 'kubeconfig', 'k')) effects.read(file, true);
  if (texts.includes('cp')) for (const word of rest) for (const path of pathsIn(word)) effects.both(path, true);
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

const ALL: readonly [string, Special][] = [
  ['getent', getent],
  ...BUILDERS,
  ['dd', dd],
  ['curl', curl],
  ['wget', wget],
  ...['nc', 'ncat', 'netcat', 'nc.traditional', 'nc.openbsd'].map((name): [string, Special] => [name, netcat]),
  ['socat', socat],
  ['scp', scp],
  ['rsync', rsync],
  ['sftp', scp],
  ...ARCHIVERS,
  ...['sed', 'gsed'].map((name): [string, Special] => [name, sed]),
  ...['awk', 'gawk', 'mawk', 'nawk', 'original-awk'].map((name): [string, Special] => [name, awk]),
  ['find', find],
  ['git', git],
  ...['docker', 'podman', 'nerdctl', 'docker-compose', 'podman-compose'].map((name): [string, Special] => [name, docker]),
  ...['kubectl', 'oc', 'k3s', 'microk8s'].map((name): [string, Special] => [name, kubectl]),
  ['openssl', openssl],
  ['man', man],
  ...['less', 'more', 'most', 'pg', 'zless', 'zmore', 'lessecho', 'bat', 'batcat'].map((name): [string, Special] => [name, pager]),
  ...['psql', 'mysql', 'mariadb', 'sqlite3', 'pgcli', 'mycli'].map((name): [string, Special] => [name, databaseClient]),
];

const SPECIALS = new Map<string, Special>(ALL);

/** @returns what reads the words of this program, when its words have a grammar of their own. */
export function specialCalled(name: string): Special | undefined {
  return SPECIALS.get(name) ?? (isInterpreter(name) ? interpreter : undefined);
}
