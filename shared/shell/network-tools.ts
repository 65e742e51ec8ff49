/** Programs that join what they are given to the network: netcat in its forms, socat. */
import { constantOf } from './effects.ts';
import { constant, literal, literalPrefix, UNKNOWN } from './glob.ts';
import { Effects, type Special } from './host.ts';
import { all, has, readArguments, table, values } from './options.ts';

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

export const NETWORK_TOOLS: readonly [string, Special][] = [
  ...['nc', 'ncat', 'netcat', 'nc.traditional', 'nc.openbsd'].map((name): [string, Special] => [name, netcat]),
  ['socat', socat],
];
