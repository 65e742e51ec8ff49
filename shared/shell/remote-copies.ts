/** Programs that copy files to and from other hosts, and what the other end of one starts here: scp, sftp, rsync. */
import { constantOf } from './effects.ts';
import { constant, type Glob, HOME, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Host, type Special } from './host.ts';
import { type Arguments, all, has, readArguments, table, values } from './options.ts';
import { launched, remotePart } from './reach.ts';
import type { Field } from './words.ts';

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
  // These are seen from the folder that is written, and are at its host.
  const target = paths.at(-1);
  for (const file of values(args, 'link-dest', 'copy-dest', 'compare-dest')) {
    if (target === undefined || file[0] === '/' || typeof file[0] !== 'string' || file[0] === HOME) effects.read(file, true);
    else if (remotePart(target) === null) effects.read([...target, '/', ...file], true);
  }
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

export const REMOTE_COPIES: readonly [string, Special][] = [
  ['scp', scp],
  ['rsync', rsync],
  ['sftp', scp],
];
