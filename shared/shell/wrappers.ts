/**
 * Programs that start other programs: where their own words end and the other's begin, and what they change of who runs it.
 * An option that a wrapper's table does not have makes it unsure where that is, and the command opaque.
 */
import { constantOf, pathsIn } from './effects.ts';
import type { Privilege } from './facts.ts';
import { constant, type Glob, literal, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Host, type Special } from './host.ts';
import { type Arguments, type OptionTable, readArguments } from './options.ts';
import { isTemporary } from './paths.ts';
import { destination } from './reach.ts';
import { isRisky } from './remote-copies.ts';
import { type Field, OPEN } from './words.ts';

/** `flags; values; long flags; long options with a value; operands before the command; privileges`. */
const TABLE = `
nohup: ; ; ; ; 0
nice: 0123456789; n; ; adjustment; 0
ionice: t; cn; ignore; class classdata; 0
chrt: abdfioRrmv; TPD; all-tasks batch deadline fifo idle other rr reset-on-fork verbose; sched-runtime sched-period sched-deadline; 1
taskset: ac; ; all-tasks cpu-list; ; 1
timeout: v; ks; preserve-status foreground verbose; kill-after signal; 1
stdbuf: ; ioe; ; input output error; 0
setsid: cfw; ; ctty fork wait; ; 0
time: apqvl; fo; append portability quiet verbose; format output; 0
doas: ns; uC; ; ; 0; doas
pkexec: ; ; disable-internal-agent keep-cwd; user; 0; pkexec
chroot: ; ; skip-chdir; groups userspec; 1; namespace
unshare: muinpUCTrcf; SGRw; mount uts ipc net pid user cgroup time map-root-user map-current-user fork mount-proc kill-child keep-caps; setgroups propagation map-user map-group root wd setuid setgid monotonic boottime; 0; namespace
nsenter: amuinpUCTFZ; tSG; all mount uts ipc net pid user cgroup time no-fork preserve-credentials follow-context root wd; target setuid setgid; 0; namespace
setpriv: d; ; dump clear-groups keep-groups init-groups no-new-privs reset-env nnp; ruid euid rgid egid reuid regid groups inh-caps ambient-caps bounding-set securebits pdeathsig selinux-label apparmor-profile; 0; setuid
setarch: vRBF3ILSTXZ; ; uname-2.6 verbose addr-no-randomize fdpic-funcptrs mmap-page-zero addr-compat-layout read-implies-exec 32bit short-inode whole-seconds sticky-timeouts 3gb; ; 0
linux32: vR3; ; ; ; 0
linux64: vR3; ; ; ; 0
i386: vR3; ; ; ; 0
x86_64: vR3; ; ; ; 0
prlimit: ; ; verbose raw noheadings; core cpu data fsize memlock nofile nproc as rss stack pid output; 0
catchsegv: ; ; ; ; 0
fakeroot: uh; ils; unknown-is-real; lib faked; 0
faketime: fm; ; ; ; 1
rlwrap: acnr; bCDfgHIlmMOPqSstT; ; ; 0
unbuffer: p; ; ; ; 0
xvfb-run: alw; efnops; auto-servernum; server-args server-num error-file auth-file wait; 0
dbus-run-session: ; ; ; config-file dbus-daemon; 0
dbus-launch: ; ; exit-with-session; ; 0
systemd-inhibit: ; ; no-pager no-legend; what who why mode; 0
systemd-cat: ; tp; ; identifier priority stderr-priority; 0
systemd-run: dGPqrtS; EpuHM; user system scope no-block pipe pty quiet collect wait remain-after-exit send-sighup same-dir shell; unit property description slice uid gid nice working-directory setenv on-active on-boot on-calendar on-startup timer-property service-type host machine; 0; setuid
proxychains: q; f; ; ; 0
proxychains4: q; f; ; ; 0
torsocks: i; aPp; isolate; ; 0
torify: ; ; ; ; 0
numactl: ; iNmCpl; show hardware localalloc; interleave cpunodebind membind physcpubind preferred; 0
cgexec: ; g; sticky; ; 0
sshpass: e; pfdP; ; ; 0
strace: cCdfFhiknqrtTvVwxyYzZ; abeEIoOpPsSuUX; follow-forks; ; 0
ltrace: cCfhiLrStTV; aAeDFlnopsuwxX; ; ; 0
valgrind: vqdh; ; ; ; 0
choom: ; np; ; adjust pid; 0
capsh: ; ; ; ; 0; setuid
ssh-agent: cdDks; aEtPO; ; ; 0
eatmydata: ; ; ; ; 0
cpulimit: zibf; lpeP; lazy include-children background foreground; limit pid exe path; 0
chpst: vP012; uUbemdopfcrt/n; ; ; 0; setuid
setuidgid: ; ; ; ; 1; setuid
gosu: ; ; ; ; 1; su
su-exec: ; ; ; ; 1; su
multitime: lqv; fIinors; ; ; 0
logsave: asv; ; ; ; 1
cgclassify: ; g; ; ; 0
tini: ghsvw; pe; ; ; 0
dumb-init: crvV; r; rewrite single-child verbose; ; 0
lxc-attach: e; nRs; ; name; 0; container
runcon: c; turl; compute; type user role range; 1; namespace
newgidmap: ; ; ; ; 0
`;

interface Wrapper extends OptionTable {
  readonly before: number;
  readonly privilege: readonly Privilege[];
}

const words = (text: string | undefined): string[] => (text ?? '').split(' ').filter(each => each !== '');

const WRAPPERS = new Map(
  TABLE.trim()
    .split('\n')
    .map((line): [string, Wrapper] => {
      const colon = line.indexOf(':');
      const [flags = '', values = '', longFlags, longValues, before, privilege] = line
        .slice(colon + 1)
        .split(';')
        .map(each => each.trim());
      const wrapper = {
        values,
        longValues: words(longValues),
        ordered: true,
        known: { flags, longFlags: words(longFlags) },
        before: Number(before),
        privilege: words(privilege) as Privilege[],
      };
      return [line.slice(0, colon), wrapper];
    }),
);

const SHELLS: ReadonlySet<string> = new Set([
  'sh',
  'bash',
  'dash',
  'ash',
  'rbash',
  'ksh',
  'mksh',
  'zsh',
  'fish',
  'csh',
  'tcsh',
  'yash',
  'posh',
  'hush',
  'elvish',
  'nu',
  'xonsh',
  'oksh',
  'rksh',
  'lksh',
  'rzsh',
  'bash-static',
  'busybox-sh',
  'rc',
  'es',
  'scsh',
]);
/** Those whose language is bash's, or less of the same. */
const READ_AS_BASH: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'ash', 'rbash', 'bash-static']);

export function isShell(name: string): boolean {
  return SHELLS.has(name);
}

function inner(context: Context, by: string, privilege: readonly Privilege[] = []): Context {
  return { ...context, wrappers: [...context.wrappers, by], privilege: [...new Set([...context.privilege, ...privilege])] };
}

function values({ options }: Arguments, ...names: string[]): Glob[] {
  return options.flatMap(option => (names.includes(option.name) && option.value !== null ? [option.value] : []));
}

const has = ({ options }: Arguments, ...names: string[]): boolean => options.some(option => names.includes(option.name));

function emitOwn(host: Host, given: readonly Field[], context: Context, privilege: readonly Privilege[]): void {
  const effects = new Effects();
  effects.privilege.push(...privilege);
  host.emit(given, context, effects);
}

const generic =
  (wrapper: Wrapper): Special =>
  (host, given, context) => {
    const name = constantOf(given[0]);
    const args = readArguments(given.slice(1), wrapper);
    const effects = new Effects();
    effects.privilege.push(...wrapper.privilege);
    for (const value of values(args, 'o', 'output', 'error-file')) {
      effects.write(value);
      if (value[0] === '|' || value[0] === '!') host.shellText(value.slice(1), inner(context, name), { posix: true, positionals: null });
    }
    host.emit(given, context, effects);
    if (args.unsure !== null) host.opaque(`${name}: ${args.unsure}`, name);
    let rest = args.rest;
    if (
      name === 'setarch' &&
      rest[0] !== undefined &&
      rest[0] !== OPEN &&
      /^(?:linux(?:32|64)|x86_64|i[3-6]86|arm.*|aarch64|s390x?|ppc.*|uname26)$/.test(constant(rest[0]) ?? '')
    )
      rest = rest.slice(1);
    if (rest.slice(0, wrapper.before).includes(OPEN)) host.opaque(`${name}: where its own words end is not known`, name);
    // With options, the context is not a word of its own.
    rest = rest.slice(name === 'runcon' && args.options.length > 0 ? 0 : wrapper.before);
    if (name === 'capsh') host.opaque('capsh runs a shell', name);
    if (rest.length > 0) host.dispatch(rest, inner(context, name, wrapper.privilege));
    // Without a command, some of them give a shell.
    else if (
      ['chroot', 'unshare', 'nsenter', 'lxc-attach', 'doas', 'pkexec', 'ssh-agent', 'setarch', 'linux32', 'linux64'].includes(name) &&
      (args.options.length === 0 || !has(args, 'k', 'p', 'V'))
    )
      gaveShell(host, context, name, wrapper.privilege);
  };

function gaveShell(host: Host, context: Context, by: string, privilege: readonly Privilege[]): void {
  const effects = new Effects();
  effects.privilege.push(...privilege, 'root-shell');
  host.emit([literal('sh')], inner(context, by, privilege), effects);
  if (!host.interactive) host.opaque(`${by} starts a shell that reads its input`, by);
}

const SUDO: OptionTable = {
  values: 'ACDgHhpRrTtuU'.replace('H', ''),
  longValues: [
    'askpass-file',
    'close-from',
    'chdir',
    'group',
    'host',
    'prompt',
    'chroot',
    'role',
    'command-timeout',
    'type',
    'other-user',
    'user',
  ],
  ordered: true,
  known: {
    flags: 'AbBEeHiKklNnPSsVv',
    longFlags: [
      'askpass',
      'background',
      'bell',
      'preserve-env',
      'edit',
      'set-home',
      'login',
      'remove-timestamp',
      'reset-timestamp',
      'list',
      'no-update',
      'non-interactive',
      'preserve-groups',
      'stdin',
      'shell',
      'version',
      'validate',
    ],
  },
};

const sudo: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  const args = readArguments(given.slice(1), { ...SUDO, values: SUDO.values.replace('A', '') });
  const users = values(args, 'u', 'user').map(constant);
  const root =
    users.length === 0
      ? !has(args, 'g', 'group')
      : users.some(user => user === null || user === 'root' || /^#?\s*-?\d/.test(user) || user.startsWith('#'));
  const privilege: Privilege[] = ['sudo'];
  const rest = [...args.rest];
  const assignments: Field[] = [];
  while (rest[0] !== undefined && rest[0] !== OPEN && /^[A-Za-z_]\w*=/.test(constant(rest[0]) ?? ''))
    assignments.push(...rest.splice(0, 1));
  const shell = has(args, 's', 'i', 'shell', 'login');
  if (assignments.length > 0) privilege.push('environment');
  emitOwn(host, given, context, privilege);
  if (args.unsure !== null) host.opaque(`sudo: ${args.unsure}`, name);
  if (has(args, 'e', 'edit')) host.opaque('an editor can run commands', 'sudo -e');
  if (has(args, 'D', 'chdir', 'R', 'chroot')) host.opaque('sudo runs it in another folder', 'sudo -D');
  for (const each of assignments) environment(host, each as Glob, context);
  if (shell && rest.length === 0) gaveShell(host, context, name, root ? privilege : ['sudo']);
  else if (rest.length > 0) {
    const next = inner(context, name, root ? [...privilege] : privilege);
    if (shell && root) emitOwn(host, [literal('sh'), literal('-c'), ...rest], next, []);
    host.dispatch(rest, next);
  }
};

/** Variables that say what programs load, run or trust. */
const DANGEROUS =
  /^(?:PATH|LD_\w+|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|BASH_ENV|ENV|BASH_FUNC_\w+.*|BASHOPTS|SHELLOPTS|PROMPT_COMMAND|PS[0-4]|IFS|CDPATH|GLOBIGNORE|EXECIGNORE|INPUTRC|HISTFILE|SHELL|EDITOR|VISUAL|FCEDIT|PAGER|BROWSER|MANPAGER|MANOPT|SYSTEMD_(?:PAGER|EDITOR|LESS\w*)|LESS|LESSOPEN|LESSCLOSE|LESSKEY\w*|MORE|GIT_\w+|SSH_ASKPASS\w*|SUDO_ASKPASS|SUDO_EDITOR|RSYNC_\w+|CVS_RSH|SVN_\w+|TAR_OPTIONS|GREP_OPTIONS|GZIP|BZIP|XZ_\w+|ZIPOPT|TAPE|PYTHON\w+|PERL\w+|RUBY\w+|GEM_\w+|NODE_\w+|NPM_CONFIG_\w+|npm_config_\w+|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|LUA_\w+|PHPRC|PHP_INI_SCAN_DIR|R_\w+|TCLLIBPATH|AWKPATH|AWKLIBPATH|MAKEFLAGS|GNUMAKEFLAGS|MAKEFILES|CC|CXX|LD|AS|RUSTC\w*|CARGO_\w+|GOFLAGS|TERMINFO\w*|TERMCAP|TERMPATH|MAGIC|OPENSSL_\w+|SSLKEYLOGFILE|CURL_HOME|WGETRC|NETRC|HOME|XDG_\w+|DBUS_\w+|DOCKER_\w+|KUBECONFIG|KUBE_EDITOR|ANSIBLE_\w+|HOSTALIASES|RES_OPTIONS|MALLOC_\w+|HTTPS?_PROXY|https?_proxy|ALL_PROXY|all_proxy|FTP_PROXY|ftp_proxy|EX\w*INIT|VIMINIT|VIM|MYVIMRC|EMACSLOADPATH|DISPLAY|POSIXLY_CORRECT|FIGNORE|histchars|HOSTFILE|BASH_LOADABLES_PATH|BASH_XTRACEFD|TMOUT|COMP_\w+|PSQL\w*|PGSYSCONFDIR|PGSERVICEFILE|MYSQL_\w+|SQLITE_\w+|MANPATH|MANROFFOPT|GROFF_\w+|READLINE_\w+|BC_ENV_ARGS|TEXTDOMAIN\w*|APT_CONFIG|DEPENDENCIES_OUTPUT|SUNPRO_DEPENDENCIES|GCC_EXEC_PREFIX|COMPILER_PATH|SSH_(?:SK|PKCS11)_\w+|BORG_\w+|KUBECTL_EXTERNAL_DIFF|HELM_PLUGINS|AWS_(?:PAGER|CONFIG_FILE|SHARED_CREDENTIALS_FILE)|GH_(?:PAGER|EDITOR|BROWSER)|FZF_DEFAULT_\w+|BAT_PAGER|DELTA_PAGER|DOTNET_\w+|ERL_\w+|JULIA_\w+|GUILE_\w+|HGRCPATH|HGEDITOR|HGMERGE|ALTERNATE_EDITOR|PIP_(?:CONFIG_FILE|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS))$/;
/** Of these the harm is none that a guard would not see in the commands themselves. */
const HARMLESS =
  /^(?:HOME|HTTPS?_PROXY|https?_proxy|DISPLAY|TMOUT|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|PYTHONIOENCODING|PYTHONHASHSEED|NODE_ENV|GIT_TERMINAL_PROMPT|GIT_AUTHOR_\w+|GIT_COMMITTER_\w+|XDG_RUNTIME_DIR|KUBECONFIG|DOCKER_HOST|ANSIBLE_FORCE_COLOR|PERL_BADLANG|CARGO_TERM_COLOR|TMPDIR|POSIXLY_CORRECT)$/;
/** Variables whose value is itself a command line. */
const COMMANDS =
  /^(?:PAGER|MANPAGER|GIT_PAGER|SYSTEMD_PAGER|EDITOR|VISUAL|GIT_EDITOR|SUDO_EDITOR|GIT_SSH_COMMAND|GIT_SSH|AWS_PAGER|GH_PAGER|BAT_PAGER|DELTA_PAGER|KUBECTL_EXTERNAL_DIFF|RSYNC_RSH|CVS_RSH|PROMPT_COMMAND|BROWSER|SHELL)$/;

export function isDangerousVariable(name: string): boolean {
  return DANGEROUS.test(name);
}

/** `NAME=value` given to a program or set in the shell: does it change what programs run? */
export function environment(host: Host, assignment: Glob, context: Context): void {
  const equals = assignment.indexOf('=');
  const name = constant(equals < 0 ? assignment : assignment.slice(0, equals));
  if (name === null) {
    host.opaque('a variable is set that is not known', 'env');
    return;
  }
  const value = equals < 0 ? UNKNOWN : assignment.slice(equals + 1);
  // Programs read their settings from there, and run what these say.
  if (name === 'HOME' && (constant(value)?.startsWith('/') !== true || isTemporary(value)))
    host.opaque('HOME is where anybody may have written settings', 'HOME');
  if (!DANGEROUS.test(name) || HARMLESS.test(name)) return;
  const text = constant(value);
  if (COMMANDS.test(name)) {
    if (text !== null && /^(?:|cat|true|less|more|\/bin\/(?:ba)?sh|\/usr\/bin\/(?:cat|less))$/.test(text)) return;
    host.shellText(value, inner(context, name), { posix: true, positionals: null });
  }
  if (name === 'PATH' && isPlainPath(value)) return;
  if (/^(?:GREP_OPTIONS|LESS|MORE)$/.test(name) && text !== null && /^(?:-[A-Za-z]+ ?)*$/.test(text) && !/[koO]/.test(text)) return;
  host.opaque(`${name} decides what programs run`, name);
}

const SYSTEM_FOLDER = /^\/(?:usr|bin|sbin|opt|snap|nix|lib|libexec)(?:\/[\w.+-]+)*\/?$/;

/** Folders of the system, before or behind what was there. */
function isPlainPath(value: Glob): boolean {
  const pieces: Glob[] = [[]];
  for (const token of value) {
    if (token === ':') pieces.push([]);
    else pieces[pieces.length - 1] = [...(pieces.at(-1) ?? []), token];
  }
  return pieces.every(piece => {
    const text = constant(piece);
    if (text !== null) return SYSTEM_FOLDER.test(text);
    return piece.length === 1 && typeof piece[0] === 'object' && piece[0].kind === 'any';
  });
}

const env: Special = (host, given, context) => {
  const table: OptionTable = {
    values: 'uCS',
    longValues: ['unset', 'chdir', 'split-string', 'block-signal', 'default-signal', 'ignore-signal'],
    ordered: true,
    known: { flags: 'i0v', longFlags: ['ignore-environment', 'null', 'debug', 'list-signal-handling'] },
  };
  let rest = given.slice(1);
  let args = readArguments(rest, table);
  const split = values(args, 'S', 'split-string');
  const [only] = split;
  if (only !== undefined) {
    const text = constant(only);
    if (text === null || split.length > 1 || /["'\\$#]/.test(text)) host.opaque('env splits a text that is not followed', 'env -S');
    else {
      rest = [
        ...text
          .split(/[ \t\n]+/)
          .filter(each => each !== '')
          .map(literal),
        ...args.rest,
      ];
      args = { ...readArguments(rest, table), options: args.options };
    }
  }
  const effects = new Effects();
  let left = [...args.rest];
  if (left[0] !== undefined && left[0] !== OPEN && constant(left[0]) === '-') left = left.slice(1);
  let changed = false;
  let isHomeSet = has(args, 'i', 'ignore-environment', 'u', 'unset');
  for (;;) {
    const [first] = left;
    if (first === undefined || first === OPEN) break;
    const equals = first.indexOf('=');
    if (equals < 0) break;
    environment(host, first, context);
    changed ||= DANGEROUS.test(constant(first.slice(0, equals)) ?? 'PATH');
    // For shells that it starts: which folder `~` is there.
    isHomeSet ||= (constant(first.slice(0, equals)) ?? 'HOME') === 'HOME';
    left = left.slice(1);
  }
  if (changed) effects.privilege.push('environment');
  host.emit(given, context, effects);
  if (args.unsure !== null) host.opaque(`env: ${args.unsure}`, 'env');
  // Paths are then from another folder, which `unsure` of the wrapper's own folder does not carry: opaque is the honest answer.
  if (has(args, 'C', 'chdir')) host.opaque('env runs it in another folder', 'env -C');
  if (left.length === 0) return;
  const home = host.scope.get('HOME');
  if (isHomeSet) host.scope.set('HOME', null);
  host.dispatch(left, inner(context, 'env', changed ? ['environment'] : []));
  if (isHomeSet) host.scope.set('HOME', home);
};

const su: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  const table: OptionTable = {
    values: 'cgGsuwT',
    longValues: ['command', 'session-command', 'group', 'supp-group', 'shell', 'user', 'whitelist-environment'],
    ordered: false,
    known: { flags: 'flmpPh', longFlags: ['fast', 'login', 'preserve-environment', 'pty', 'no-pty', 'help', 'version'] },
  };
  const at = given.findIndex((word, index) => index > 0 && word !== OPEN && constant(word) === '--');
  const direct = name === 'runuser' && given.some(word => word !== OPEN && /^(?:-u|--user)/.test(constant(word) ?? ''));
  const args = readArguments(at > 0 ? given.slice(1, at) : given.slice(1), direct ? { ...table, ordered: true } : table);
  const operands = args.operands.map(constant).filter(each => each !== '-');
  const user = name === 'sg' ? 'other' : (operands[0] ?? 'root');
  const privilege: Privilege[] = ['su'];
  emitOwn(host, given, context, privilege);
  if (args.unsure !== null || args.open) host.opaque(`${name}: ${args.unsure ?? 'its words are not known'}`, name);
  const next = inner(context, name, privilege);
  const commands = values(args, 'c', 'command', 'session-command');
  for (const command of commands) host.shellText(command, next, { posix: true, positionals: null });
  const shell = values(args, 's', 'shell');
  for (const each of shell) if (!isShell(constant(each)?.split('/').at(-1) ?? '')) host.dispatch([each], next);
  if (direct) {
    const rest = at > 0 ? given.slice(at + 1) : args.rest;
    if (rest.length > 0) host.dispatch(rest, next);
    return;
  }
  if (name === 'sg' && operands[1] !== undefined && commands.length === 0)
    host.shellText(args.operands[1] ?? UNKNOWN, next, { posix: true, positionals: null });
  else if (commands.length === 0) {
    if (user === 'root' || user === null || user === '0') gaveShell(host, context, name, privilege);
    else {
      emitOwn(host, [literal('sh')], next, privilege);
      if (!host.interactive || (at > 0 && given.length > at + 1)) host.opaque(`${name} starts a shell that reads its input`, name);
    }
  }
};

/** sh, bash and their like: `-c text`, a file, or the input. */
const shell: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  const bash = name.includes('bash');
  const effects = new Effects();
  const wrapped = inner(context, name);
  let command = false;
  let input = false;
  let interactive = false;
  let login = false;
  let i = 1;
  for (; i < given.length; i += 1) {
    const word = given[i];
    const text = word === undefined || word === OPEN ? null : constant(word);
    if (text === null) {
      if (word === OPEN || (word !== undefined && typeof word[0] === 'object')) host.opaque(`words of ${name} are not known`, name);
      break;
    }
    if (text === '--' || text === '-') {
      i += 1;
      break;
    }
    if (/^--/.test(text)) {
      if (text === '--rcfile' || text === '--init-file') {
        host.opaque('a file says what the shell does first', `${name} ${text}`);
        i += 1;
      } else if (!/^--(?:login|noprofile|norc|posix|restricted|version|help|verbose|noediting)$/.test(text))
        host.opaque(`${name}: option ${text} is not known`, name);
      if (text === '--version' || text === '--help') {
        host.emit(given, context, effects);
        return;
      }
      if (text === '--login') login = true;
      continue;
    }
    if (!/^[-+][A-Za-z]+$/.test(text)) break;
    if (text.startsWith('-')) {
      if (text.includes('c')) command = true;
      if (text.includes('s')) input = true;
      if (text.includes('i')) interactive = true;
      if (text.includes('l')) login = true;
    }
    if (/[o]/.test(text) || /O/.test(text)) i += 1;
    // -k, -B and their like change how the text is read.
    if (/[^cilsoeuxvnhrpafmbECHT+-]/.test(text) || (text.includes('O') && !bash))
      host.opaque(`${name}: option ${text} changes how text is read`, name);
    if (
      text.includes('o') &&
      !/^(?:pipefail|errexit|nounset|xtrace|verbose|errtrace|functrace|noclobber|nolog|notify|posix)$/.test(constantWord(given[i]))
    )
      host.opaque(`${name}: an option changes how text is read`, name);
    if (text.includes('O')) host.opaque(`${name}: an option changes how text is read`, name);
  }
  if (interactive) host.obeysFiles(['~/.bashrc', '~/.inputrc', '~/.bash_aliases'], given);
  if (login) host.obeysFiles(['~/.profile', '~/.bash_profile', '~/.bash_login', '~/.bash_logout', '~/.bashrc'], given);
  const code = given[i];
  if (!READ_AS_BASH.has(name)) {
    host.opaque(`${name} has a language of its own`, name);
    effects.privilege.push(...rootShell(context, command || code !== undefined));
    host.emit(given, context, effects);
    if (command && code !== undefined && code !== OPEN) host.shellText(code, wrapped, { posix: true, positionals: null });
    return;
  }
  const positionals = given.slice(i + 2);
  if (command) {
    host.emit(given, context, effects);
    if (code === undefined) return;
    host.shellText(
      code === OPEN ? UNKNOWN : code,
      { ...wrapped, input: interactive ? { kind: 'unknown' } : wrapped.input },
      { posix: !bash, positionals: positionals.includes(OPEN) ? null : (positionals as Glob[]) },
    );
  } else if (code !== undefined && !input) {
    if (code === OPEN) host.opaque(`${name} runs what is not known`, name);
    else {
      effects.read(code);
      host.runsFile(code, given);
    }
    for (const word of given.slice(i + 1)) for (const path of pathsIn(word)) effects.both(path, true);
    host.emit(given, context, effects);
  } else {
    effects.privilege.push(...rootShell(context, false));
    host.emit(given, context, effects);
    if (context.input.kind === 'known')
      for (const text of context.input.texts) host.shellText(text, wrapped, { posix: !bash, positionals: given.slice(i) as Glob[] });
    else if (context.input.kind === 'unknown' || !host.interactive) host.opaque(`${name} runs what comes from its input`, name);
  }
};

function constantWord(word: Field | undefined): string {
  return word === undefined || word === OPEN ? '' : (constant(word) ?? '');
}

function rootShell(context: Context, runsSomething: boolean): Privilege[] {
  const other = context.privilege.some(each => ['sudo', 'su', 'doas', 'pkexec', 'setuid'].includes(each));
  return other && !runsSomething ? ['root-shell'] : [];
}

const XARGS: OptionTable = {
  values: 'adEILnPsJR',
  longValues: ['arg-file', 'delimiter', 'max-lines', 'max-args', 'max-procs', 'max-chars', 'process-slot-var', 'replace', 'eof'],
  ordered: true,
  known: { flags: '0oprtxeil', longFlags: ['null', 'open-tty', 'interactive', 'no-run-if-empty', 'verbose', 'exit', 'show-limits'] },
};

const xargs: Special = (host, given, context) => {
  const args = readArguments(given.slice(1), XARGS);
  const effects = new Effects();
  for (const file of values(args, 'a', 'arg-file')) effects.read(file);
  host.emit(given, context, effects);
  if (args.unsure !== null) host.opaque(`xargs: ${args.unsure}`, 'xargs');
  const replaced = values(args, 'I', 'J', 'replace').map(constant)[0] ?? (has(args, 'i', 'replace') ? '{}' : undefined);
  const command = args.rest.length === 0 ? [literal('echo')] : args.rest;
  const next: Context = { ...inner(context, 'xargs'), input: { kind: 'unknown' } };
  const paths =
    context.input.kind === 'unknown' && has(args, '0', 'null') && values(args, 'a', 'arg-file', 'd').length === 0
      ? context.input.paths
      : undefined;
  if (replaced === undefined) {
    const more: readonly Field[] = paths ?? [OPEN];
    host.dispatch([...command, ...more], next);
    return;
  }
  const words = command.map((word): Field => {
    if (word === OPEN || replaced === null || replaced === '') return OPEN;
    const text = constant(word);
    if (text === null) return word;
    return text.includes(replaced)
      ? text.split(replaced).flatMap((piece, index): Glob => (index === 0 ? literal(piece) : [...UNKNOWN, ...literal(piece)]))
      : word;
  });
  host.dispatch(words, next);
};

/** `watch`, `parallel`, `script`, `flock`, `hyperfine`: their words are joined and read by a shell. */
const joined: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  emitOwn(host, given, context, []);
  const tables: Record<string, OptionTable> = {
    watch: {
      values: 'nq',
      longValues: ['interval', 'equexit'],
      ordered: true,
      known: {
        flags: 'bcCdegprtwx',
        longFlags: ['beep', 'color', 'no-color', 'differences', 'errexit', 'chgexit', 'precise', 'no-rerun', 'no-title', 'no-wrap', 'exec'],
      },
    },
    flock: {
      values: 'wEc',
      longValues: ['wait', 'timeout', 'conflict-exit-code', 'command'],
      ordered: true,
      known: { flags: 'snuxeoFv', longFlags: ['shared', 'exclusive', 'unlock', 'nonblock', 'nb', 'close', 'no-fork', 'verbose'] },
    },
  };
  const table = tables[name];
  const next: Context = inner(context, name);
  if (table === undefined) {
    host.opaque(`${name} joins words that are not known to a command`, name);
    // What can be seen of it is shown all the same.
    const at = given.findIndex((word, index) => index > 0 && word !== OPEN && word[0] !== '-');
    if (at > 0) host.dispatch([...given.slice(at), OPEN], { ...next, input: { kind: 'unknown' } });
    return;
  }
  const args = readArguments(given.slice(1), table);
  if (args.unsure !== null) host.opaque(`${name}: ${args.unsure}`, name);
  if (name === 'flock') {
    const rest = args.rest.slice(1);
    const [first, code] = rest;
    for (const file of args.rest.slice(0, 1)) if (file !== OPEN) emitTouched(host, file, next);
    const texts = values(args, 'c', 'command');
    for (const text of texts) host.shellText(text, next, { posix: true, positionals: null });
    if (first !== undefined && first !== OPEN && /^(?:-c|--command)$/.test(constant(first) ?? ''))
      host.shellText(code === undefined || code === OPEN ? UNKNOWN : code, next, { posix: true, positionals: null });
    else if (rest.length > 0) host.dispatch(rest, next);
    return;
  }
  if (has(args, 'x', 'exec')) host.dispatch(args.rest, next);
  else host.shellText(join(args.rest), next, { posix: true, positionals: null });
};

function emitTouched(host: Host, file: Glob, context: Context): void {
  const effects = new Effects();
  effects.write(file);
  host.emit([literal('flock'), file], context, effects);
}

function join(rest: readonly Field[]): Glob {
  if (rest.includes(OPEN)) return UNKNOWN;
  return (rest as Glob[]).flatMap((word, index): Glob => (index === 0 ? word : [' ', ...word]));
}

const script: Special = (host, given, context) => {
  const args = readArguments(given.slice(1), {
    values: 'cEImoOTBt',
    longValues: ['command', 'echo', 'log-in', 'log-io', 'log-out', 'log-timing', 'logging-format', 'output-limit', 'timing'],
    ordered: false,
    known: null,
  });
  const effects = new Effects();
  for (const file of [...args.operands, ...values(args, 'I', 'O', 'B', 'T', 'log-in', 'log-io', 'log-out', 'log-timing', 'timing')])
    effects.write(file);
  host.emit(given, context, effects);
  const commands = values(args, 'c', 'command');
  for (const command of commands) host.shellText(command, inner(context, 'script'), { posix: true, positionals: null });
  if (commands.length === 0 || args.open || args.unsure !== null) host.opaque('script starts a shell', 'script');
};

const SSH: OptionTable = {
  values: 'BbcDEeFIiJLlmOoPpQRSWw',
  longValues: [],
  ordered: true,
  known: { flags: '46AaCfGgKkMNnqsTtVvXxYy', longFlags: [] },
};

const ssh: Special = (host, given, context) => {
  const effects = new Effects();
  const before = readArguments(given.slice(1), SSH);
  const [target, ...after] = before.rest;
  // OpenSSH reads options behind the host as well.
  const more = readArguments(after, SSH);
  const args: Arguments = { ...before, options: [...before.options, ...more.options] };
  for (const file of values(args, 'i')) effects.read(file);
  for (const file of values(args, 'E')) effects.write(file);
  const forwards = [...values(args, 'L'), ...values(args, 'R'), ...values(args, 'D'), ...values(args, 'W'), ...values(args, 'w')];
  for (const each of forwards) effects.network.push({ kind: 'tunnel', address: constant(each) ?? '**' });
  if (has(args, 'L', 'R', 'D')) effects.network.push({ kind: 'listen', address: '**' });
  if (values(args, 'o').some(isRisky) || has(args, 'F', 'I', 'S', 'O', 'P')) host.opaque('an option of ssh runs what is not known', 'ssh');
  if (has(args, 'A', 'X', 'Y', 'M')) effects.network.push({ kind: 'tunnel', address: '**' });
  for (const option of values(args, 'o')) {
    const [, command] = /^\s*(?:proxycommand|localcommand|knownhostscommand)\s*[= ]\s*(.*)$/is.exec(constant(option) ?? '') ?? [];
    if (command !== undefined) host.shellText(literal(command), inner(context, 'ssh'), { posix: true, positionals: null });
  }
  if (before.unsure !== null || more.unsure !== null) host.opaque(`ssh: ${before.unsure ?? more.unsure ?? ''}`, 'ssh');
  if (target !== undefined)
    effects.network.push({
      kind: 'connect',
      address:
        target === OPEN || constant(target) === null
          ? '**'
          : `${(constant(target) ?? '').replace(/^.*@/, '').replace(/:22$/, '')}:${values(args, 'p').map(constant)[0] ?? '22'}`,
    });
  for (const jump of values(args, 'J')) effects.network.push({ kind: 'connect', address: destination(jump) });
  host.emit(given, context, effects);
  if (more.rest.length > 0)
    host.shellText(join(more.rest), { ...inner(context, 'ssh'), input: context.input }, { posix: true, positionals: [], remote: true });
  else if (target !== undefined && !has(args, 'N', 'V', 'Q', 'G', 'W')) {
    if (!host.interactive) host.opaque('ssh starts a shell that reads its input', 'ssh');
  }
};

const busybox: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  emitOwn(host, given, context, []);
  const rest = given.slice(1);
  if (rest.length === 0 || (rest[0] !== OPEN && rest[0]?.[0] === '-')) return;
  host.dispatch(rest, inner(context, name));
};

const loader: Special = (host, given, context) => {
  const name = constantOf(given[0]);
  const args = readArguments(given.slice(1), {
    values: '',
    longValues: ['library-path', 'inhibit-rpath', 'audit', 'preload', 'argv0', 'glibc-hwcaps-prepend', 'glibc-hwcaps-mask'],
    ordered: true,
    known: { flags: '', longFlags: ['list', 'verify', 'inhibit-cache'] },
  });
  emitOwn(host, given, context, has(args, 'preload', 'library-path', 'audit') ? ['environment'] : []);
  if (args.unsure !== null || has(args, 'preload', 'audit', 'library-path')) host.opaque(`${name} loads what is not known`, name);
  if (args.rest.length > 0) host.dispatch(args.rest, inner(context, name));
};

const ip: Special = (host, given, context) => {
  const texts = given.map(word => (word === OPEN ? null : constant(word)));
  const at = texts.findIndex(text => text !== null && /^e(?:x(?:e(?:c)?)?)?$/.test(text));
  const netns = texts.findIndex(text => text !== null && /^netns?$/.test(text));
  emitOwn(host, given, context, netns > 0 && at > netns ? ['namespace'] : []);
  if (texts.includes('-b') || texts.includes('-batch') || texts.includes(null)) host.opaque('what ip does is not known', 'ip');
  const all = texts[at + 1] === undefined ? at + 1 : at + 2;
  if (netns > 0 && at > netns)
    host.dispatch(given.slice(texts.some(text => text === '-all' || text === '-a') ? at + 1 : all), inner(context, 'ip', ['namespace']));
};

const npx: Special = (host, given, context) => {
  emitOwn(host, given, context, []);
  host.opaque('npx runs a program from elsewhere', 'npx');
};

const SPECIAL_WRAPPERS = new Map<string, Special>([
  ['sudo', sudo],
  ['sudo-rs', sudo],
  ['env', env],
  ['su', su],
  ['runuser', su],
  ['sg', su],
  ['xargs', xargs],
  ['gxargs', xargs],
  ['watch', joined],
  ['parallel', joined],
  ['sem', joined],
  ['flock', joined],
  ['hyperfine', joined],
  ['machinectl', joined],
  ['script', script],
  ['scriptlive', script],
  ['ssh', ssh],
  ['slogin', ssh],
  ['autossh', ssh],
  ['mosh', joined],
  ['busybox', busybox],
  ['toybox', busybox],
  ['busybox.static', busybox],
  ['ip', ip],
  ['npx', npx],
]);

/** @returns what looks through this program, when it starts others. */
export function wrapperCalled(name: string): Special | undefined {
  const special = SPECIAL_WRAPPERS.get(name);
  if (special !== undefined) return special;
  if (isShell(name)) return shell;
  if (/^ld(?:-linux.*|-musl.*|64|)\.so(?:\.\d+)*$/.test(name) || /^ld-(?:linux|musl)[\w.-]*$/.test(name) || /^ld-[\d.]+\.so$/.test(name))
    return loader;
  const wrapper = WRAPPERS.get(name);
  return wrapper === undefined ? undefined : generic(wrapper);
}
