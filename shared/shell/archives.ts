/**
 * Programs that are told by a list, an archive or a patch which paths are meant: tar, cpio, pax, zip, 7z, ar, dpkg, rpm, patch. What no
 * word names may be any path. Many of these programs keep to a folder by themselves, and links that lie in it, or that an archive put
 * there, lead out of it; tar and unzip, which are careful, are taken at their word as long as no option takes that back.
 */
import { constantOf } from './effects.ts';
import { constant, type Glob, literal, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Special } from './host.ts';
import { type Arguments, all, has as hasExactly, readArguments, table, values } from './options.ts';
import { launched, remotePart } from './reach.ts';
import { type Field, OPEN } from './words.ts';

/** Words that are not known may be options that change everything. */
function isOpen(args: Arguments): boolean {
  return args.open || args.unsure !== null;
}

/** Is one of these options given, or the beginning of its name, which many programs take for it? What only lessens a use asks exactly. */
function has({ options }: Arguments, ...names: string[]): boolean {
  return options.some(({ name }) => names.some(each => each === name || (name.length > 1 && each.startsWith(name))));
}

/** Paths that come by the input, one behind the other. With NULs between them they may be known. */
function namesFromInput(context: Context, separated: boolean): readonly Glob[] {
  return (separated && context.input.kind === 'unknown' ? context.input.paths : undefined) ?? [UNKNOWN];
}

const TAR_VALUES = 'bCfFgHIKLNTVX';
const TAR = table(
  TAR_VALUES,
  'file directory files-from exclude exclude-from blocking-factor format label listed-incremental newer starting-file tape-length transform xform owner group mode mtime strip-components use-compress-program to-command checkpoint-action info-script new-volume-script rsh-command rmt-command suffix record-size sparse-version totals volno-file index-file checkpoint warning quoting-style show-transformed-names add-file exclude-tag',
);

const tar: Special = (host, words, context) => {
  const effects = new Effects();
  let rest = words.slice(1);
  const [first] = rest;
  const bundle = first === undefined || first === OPEN ? null : constant(first);
  if (bundle !== null && /^[A-Za-z]+$/.test(bundle)) {
    // The old way: letters without a dash, and their values in order behind them.
    const letters = bundle.split('');
    const taking = letters.filter(letter => TAR_VALUES.includes(letter));
    const given = rest.slice(1, 1 + taking.length);
    if (given.includes(OPEN)) host.opaque('options of tar are not known', 'tar');
    rest = [
      ...letters.filter(letter => !taking.includes(letter)).map(letter => literal(`-${letter}`)),
      ...taking.flatMap((letter, index): Field[] => [literal(`-${letter}`), given[index] ?? []]),
      ...rest.slice(1 + taking.length),
    ];
  }
  const args = readArguments(rest, TAR);
  const reading = has(args, 'c', 'create', 'r', 'append', 'u', 'update');
  const listing = hasExactly(args, 't', 'list', 'd', 'diff', 'compare');
  for (const archive of values(args, 'f', 'file')) {
    const remote = remotePart(archive);
    if (remote !== null && !hasExactly(args, 'force-local')) effects.network.push({ kind: 'connect', address: remote });
    else if (reading) effects.write(archive);
    else effects.read(archive);
  }
  for (const file of values(args, 'add-file')) {
    effects.read(file, true);
    for (const folder of values(args, 'C', 'directory')) if (file[0] !== '/') effects.read([...folder, '/', ...file], true);
  }
  for (const file of values(args, 'T', 'files-from', 'X', 'exclude-from', 'g', 'listed-incremental')) effects.both(file);
  if (has(args, 'T', 'files-from')) {
    effects.both(UNKNOWN);
    // Lines of a list may be options, unless it is taken word by word.
    const names = args.options.map(option => option.name);
    const verbatim = names.findIndex(name => name === 'verbatim-files-from' || name === 'null');
    if (verbatim < 0 || names.findIndex(name => name === 'T' || name === 'files-from') < verbatim)
      host.opaque('a list can hold options of tar, which run commands', 'tar -T');
  }
  const isBsd = constantOf(words[0]) === 'bsdtar';
  const folders = values(args, 'C', 'directory');
  for (const path of all(args)) {
    if (listing) continue;
    const places = path[0] === '/' || folders.length === 0 ? [path] : folders.map((folder): Glob => [...folder, '/', ...path]);
    // bsdtar takes archives apart that are put into another.
    if (isBsd && path[0] === '@') effects.read(path.slice(1));
    for (const place of [path, ...places]) {
      if (reading) effects.read(place, true);
      else effects.write(place, true);
    }
  }
  if (!reading && !listing && (isBsd || has(args, 'P', 'absolute-names', 'transform', 'xform'))) effects.write(UNKNOWN);
  for (const folder of values(args, 'one-top-level')) effects.write(folder, true);
  if (!reading && !listing) for (const folder of folders.length > 0 ? folders : [literal('.')]) effects.write(folder, true);
  for (const command of values(args, 'to-command', 'info-script', 'F', 'new-volume-script', 'rsh-command', 'rmt-command'))
    host.shellText(command, { ...context, wrappers: [...context.wrappers, 'tar'] }, { posix: true, positionals: null });
  for (const command of values(args, 'I', 'use-compress-program')) launched(host, command, context, 'tar');
  for (const action of values(args, 'checkpoint-action')) {
    const text = constant(action);
    if (text === null || text.startsWith('exec'))
      host.shellText(
        text === null ? UNKNOWN : literal(text.slice(5)),
        { ...context, wrappers: [...context.wrappers, 'tar'] },
        { posix: true, positionals: null },
      );
  }
  if (args.unsure !== null || args.open) host.opaque(`tar: ${args.unsure ?? 'its words are not known'}`, 'tar');
  host.emit(words, context, effects);
};

const cpio: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table('CDEFHIMORW', 'block-size directory pattern-file file format message owner rename-batch-file rsh-command io-size'),
  );
  const archives = values(args, 'F', 'file');
  for (const file of values(args, 'E', 'pattern-file', 'I', 'rename-batch-file')) effects.read(file);
  for (const file of values(args, 'O')) effects.write(file);
  for (const folder of values(args, 'D', 'directory')) effects.both(folder, true);
  if (has(args, 'rsh-command')) host.opaque('an option of cpio runs what is not known', 'cpio');
  const names = namesFromInput(context, has(args, '0', 'null'));
  const gives = has(args, 'o', 'create');
  const passes = has(args, 'p', 'pass-through');
  for (const archive of archives) {
    const remote = remotePart(archive);
    if (remote !== null && !hasExactly(args, 'force-local')) effects.network.push({ kind: 'connect', address: remote });
    else if (gives) effects.write(archive);
    else effects.read(archive);
  }
  if (isOpen(args)) effects.both(UNKNOWN);
  if (gives || passes) for (const name of names) effects.read(name);
  if (passes) for (const folder of all(args)) effects.write(folder, true);
  // With neither it extracts as well.
  if (!gives && !passes && !hasExactly(args, 't', 'list', 'version', 'help')) effects.write(UNKNOWN);
  // Links among what it passes are made, and what is linked may be written through them.
  if (passes && has(args, 'l', 'link')) for (const name of names) effects.write(name);
  host.emit(words, context, effects);
};

const pax: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(words.slice(1), table('bBEfGopsTUx'));
  const [reads, writes] = [has(args, 'r'), has(args, 'w')];
  for (const archive of values(args, 'f')) {
    if (writes) effects.write(archive);
    else effects.read(archive);
  }
  const paths = all(args);
  if (writes) {
    const sources = reads ? paths.slice(0, -1) : paths;
    for (const source of sources) effects.read(source, true);
    if (sources.length === 0) for (const name of namesFromInput(context, has(args, '0'))) effects.read(name, true);
    if (reads) for (const folder of paths.slice(-1)) effects.write(folder, true);
    if (reads && has(args, 's', 'l')) effects.both(UNKNOWN);
  } else if (reads) effects.write(UNKNOWN);
  if (isOpen(args)) effects.both(UNKNOWN);
  host.emit(words, context, effects);
};

const zip: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table('xinbtPRZO', 'unzip-command out temp-path password exclude include suffixes split-size'),
  );
  for (const command of values(args, 'TT', 'unzip-command'))
    host.shellText(command, { ...context, wrappers: [...context.wrappers, 'zip'] }, { posix: true, positionals: null });
  if (has(args, 'T', 'test') || args.unsure !== null) host.opaque('an option of zip runs what is not known', 'zip');
  const tree = has(args, 'r', 'recurse-paths', 'R', 'recurse-patterns') || args.open;
  const removes = has(args, 'm', 'move');
  for (const file of values(args, 'b', 'temp-path', 'O', 'out')) effects.write(file);
  for (const file of [...values(args, 'x', 'exclude', 'i', 'include')]) if (file[0] === '@') effects.read(file.slice(1));
  const [archive, ...sources] = all(args);
  if (archive !== undefined) effects.both(archive);
  if (has(args, 'R', 'recurse-patterns')) effects.read(literal('.'), true);
  if (has(args, '@', 'names-stdin')) sources.push(UNKNOWN);
  for (const source of sources) {
    if (removes) effects.both(source, tree);
    else effects.read(source, tree);
  }
  host.emit(words, context, effects);
};

const unzip: Special = (host, words, context) => {
  const effects = new Effects();
  // With -Z first it is another program, which only lists; its letters mean other things.
  const lists = /^-[a-zA-Z]*Z/.test(constantOf(words[1]));
  const args = readArguments(words.slice(1), table(lists ? 'x' : 'dxP'));
  for (const archive of all(args).slice(0, 1)) effects.read(archive);
  const folders = values(args, 'd');
  if (!lists && !hasExactly(args, 'l', 'v', 't', 'z', 'p', 'c'))
    for (const folder of folders.length > 0 ? folders : [literal('.')]) effects.write(folder, true);
  // `-:` lets members lead out of the folder.
  if (has(args, ':') || isOpen(args)) effects.both(UNKNOWN);
  host.emit(words, context, effects);
};

/** `7z x archive`, `rar a archive files @list`: a command first, then options, and lists. */
const commanded: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const texts = words.map(word => (word === OPEN ? null : constant(word)));
  const command = texts[1];
  const listing = typeof command === 'string' && /^(?:l|lb|lt|t|v|vb|vt|i|b|h|p)$/.test(command);
  const packing = typeof command === 'string' && /^(?:a|u|d|m|f|rn|k|s|c|cw|ch|rr|rv|r|rc)$/.test(command);
  let options = true;
  let archived = false;
  for (const word of words.slice(2)) {
    if (word === OPEN) {
      effects.both(UNKNOWN, true);
      continue;
    }
    const text = constant(word);
    if (options && word[0] === '-') {
      if (text === '--') options = false;
      else if (text?.startsWith('-o') === true && !name.includes('rar')) effects.write(word.slice(2), true);
      else if (text === null || /^-[ix].*@|^-(?:w|t|z|ilog|sfx|ta|ap|op)/i.test(text)) effects.both(UNKNOWN);
    } else if (word[0] === '@') {
      effects.read(word.slice(1));
      effects.both(UNKNOWN, true);
    } else if (!archived && (listing || packing)) {
      archived = true;
      if (listing) effects.read(word);
      else effects.both(word);
    } else if (!listing) effects.both(word, true);
  }
  if (!listing && !packing && words.length > 1) effects.both(UNKNOWN);
  if (words.includes(OPEN) || (command === null && words.length > 1)) host.opaque(`what ${name} does is not known`, name);
  host.emit(words, context, effects);
};

const ar: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words
    .slice(1)
    .filter(word => word === OPEN || !/^--(?:target|plugin|output|thin|record-libdeps)/.test(constant(word) ?? ''));
  const texts = words.slice(1).map(word => (word === OPEN ? null : constant(word)));
  const operation = rest[0] === undefined || rest[0] === OPEN ? null : constant(rest[0]);
  for (const word of rest.slice(1)) effects.both(word === OPEN ? UNKNOWN : word);
  // A script or a file of options says which paths; members say which are made.
  if (
    operation === null ||
    !/^-?[tprqdmscSTuvVDUPNfoabil]+$/.test(operation) ||
    texts.some(text => text === null || /^@|^--(?:plugin|output)/.test(text))
  )
    effects.both(UNKNOWN);
  if (texts.some(text => text?.startsWith('--plugin') === true)) host.opaque('ar loads what is not known', 'ar');
  host.emit(words, context, effects);
};

const patch: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table(
      'pdioFBDrVzxYg',
      'strip directory input output fuzz prefix ifdef reject-file version-control suffix debug basename-prefix get reject-format quoting-style read-only',
    ),
  );
  for (const file of values(args, 'i', 'input')) effects.read(file);
  for (const file of values(args, 'd', 'directory', 'o', 'output', 'r', 'reject-file', 'B', 'prefix')) effects.both(file, true);
  const [file, from] = all(args);
  if (file !== undefined && !isOpen(args)) effects.both(file);
  else if (!hasExactly(args, 'dry-run') || isOpen(args)) effects.both(UNKNOWN);
  effects.read(from ?? null);
  if (has(args, 'e', 'ed', 'g', 'get')) host.opaque('what patch starts is not known', 'patch');
  host.emit(words, context, effects);
};

const dpkg: Special = (host, words, context) => {
  const effects = new Effects();
  const name = constantOf(words[0]);
  const args = readArguments(
    words.slice(1),
    table(
      'WfpDZzS',
      'showformat debug admindir instdir root log status-fd pre-invoke post-invoke path-exclude path-include ignore-depends',
    ),
  );
  const unpacks = has(args, 'x', 'extract', 'X', 'vextract', 'R', 'raw-extract', 'e', 'control');
  const builds = has(args, 'b', 'build');
  // What a package brings is run when it is installed, and when it is removed.
  const runs = ['i', 'install', 'unpack', 'configure', 'triggers-only', 'r', 'remove', 'P', 'purge', 'update-avail', 'merge-avail'];
  const isTold = has(
    args,
    'l',
    'list',
    'L',
    'listfiles',
    's',
    'status',
    'S',
    'search',
    'I',
    'info',
    'c',
    'contents',
    'f',
    'field',
    'p',
    'V',
    'verify',
    'C',
    'audit',
  );
  if (name === 'dpkg' && !isTold && !unpacks && has(args, ...runs)) host.opaque('scripts of packages are not known', name);
  if (has(args, 'admindir', 'instdir', 'root', 'pre-invoke', 'post-invoke') || isOpen(args))
    host.opaque('an option of dpkg runs what is not known', name);
  for (const path of all(args)) {
    if (unpacks || builds) effects.both(path, true);
    else if (!hasExactly(args, 'S', 'search', 's', 'status', 'l', 'list', 'L', 'listfiles')) effects.read(path);
  }
  if (unpacks) effects.write(UNKNOWN);
  host.emit(words, context, effects);
};

const rpm: Special = (host, words, context) => {
  const effects = new Effects();
  const args = readArguments(
    words.slice(1),
    table('fpEDr', 'eval pipe define root dbpath rcfile macros queryformat qf undefine load relocate prefix excludepath'),
  );
  const tells = hasExactly(args, 'q', 'query', 'V', 'verify', 'K', 'checksig', 'version', 'help', 'showrc', 'querytags');
  if (!tells) host.opaque('scripts of packages are not known', 'rpm');
  if (has(args, 'eval', 'pipe', 'define', 'D', 'E', 'root', 'rcfile', 'macros', 'load') || isOpen(args))
    host.opaque('an option of rpm runs what is not known', 'rpm');
  for (const path of [...all(args), ...values(args, 'p', 'f')]) effects.read(path);
  host.emit(words, context, effects);
};

/** Archivers that nobody reviewed: what they pack and unpack is not known. */
const archiver: Special = (host, words, context) => {
  const effects = new Effects();
  for (const word of words.slice(1)) if (word !== OPEN && word[0] !== '-') effects.both(word, true);
  if (words.length > 1) effects.both(UNKNOWN);
  host.emit(words, context, effects);
};

const named = (names: string, special: Special): [string, Special][] => names.split(' ').map(name => [name, special]);

export const ARCHIVERS: readonly [string, Special][] = [
  ...named('tar bsdtar gtar', tar),
  ...named('cpio bsdcpio gcpio', cpio),
  ...named('pax', pax),
  ...named('zip', zip),
  ...named('unzip', unzip),
  ...named('7z 7za 7zr 7zz rar unrar', commanded),
  ...named('ar llvm-ar gcc-ar', ar),
  ...named('patch gpatch', patch),
  ...named('dpkg dpkg-deb', dpkg),
  ...named('rpm', rpm),
  ...named(
    'afio star shar unshar dar lha arj unar unace cabextract genisoimage mkisofs xorriso unsquashfs mksquashfs jar bsdunzip uudecode atool aunpack apack patool dtrx rpm2archive zpaq',
    archiver,
  ),
];
