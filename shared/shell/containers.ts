/** Programs that run others in containers and clusters: docker and its like, kubectl and its like. */
import { constantOf, pathsIn } from './effects.ts';
import { constant, type Glob } from './glob.ts';
import { type Context, Effects, type Special } from './host.ts';
import { has, type OptionTable, readArguments, table, values } from './options.ts';
import { OPEN } from './words.ts';

/** Commands of docker whose words are containers and images, and whose options name neither files nor commands. */
const NAMING: ReadonlySet<string> = new Set([
  'stop',
  'restart',
  'rm',
  'kill',
  'pause',
  'unpause',
  'wait',
  'rmi',
  'inspect',
  'top',
  'port',
  'logs',
]);

const docker: Special = (host, words, context) => {
  const effects = new Effects();
  const rest = words.slice(1);
  const name = constantOf(words[0]);
  const texts = rest.map(word => (word === OPEN ? null : constant(word)));
  effects.privilege.push('container');
  if (texts.includes(null) && !(name === 'docker' && NAMING.has(texts[0] ?? ''))) host.opaque(`words of ${name} are not known`, name);
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

export const CONTAINERS: readonly [string, Special][] = [
  ...['docker', 'podman', 'nerdctl', 'docker-compose', 'podman-compose'].map((name): [string, Special] => [name, docker]),
  ...['kubectl', 'oc', 'k3s', 'microk8s'].map((name): [string, Special] => [name, kubectl]),
];
