/** git: which of its commands, options and settings start other programs or touch files outside of the work tree. */
import { pathsIn } from './effects.ts';
import { constant, type Glob, literal, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { has, type OptionTable, readArguments, values } from './options.ts';
import { destination } from './reach.ts';
import { OPEN } from './words.ts';

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
      // Those that only say where it stands. `run` runs a command, `view` a program, and `replay` what a file says.
      if (!/^(?:start|good|bad|new|old|skip|reset|log|terms|next)$/.test(texts[0] ?? ''))
        host.opaque('git bisect runs commands', 'git bisect');
      break;
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

export const GIT: readonly [string, Special][] = [['git', git]];
