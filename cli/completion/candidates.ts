/**
 * What could stand at the end of a command line that is being typed: commands, flags, and names of what a running Sallyport has. Found
 * in the commands' own definitions, so that nothing is listed twice. A completion never complains: what cannot be asked is not offered.
 */
import { KINDS } from '@sallyport/shared/policy/kinds.ts';
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection } from '../connection.ts';
import type { Entry } from '../main.ts';
import { readProfiles } from '../profiles.ts';
import type { Terminal } from '../terminal.ts';

/** Longer than this nobody waits at a prompt. */
const askMsMax = 2000;

/**
 * @param words what stands after the program's name; the last one is being typed, and may be empty.
 * @returns what it may become; none where the shell itself knows better, as for files.
 */
export async function candidates(words: readonly string[], entries: readonly Entry[], terminal: Terminal): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const [name] = before;
  const all = await (name === undefined
    ? [...entries.map(entry => entry.name), 'help']
    : inCommand(name, before.slice(1), typed, entries, terminal));
  return [...new Set(all)].filter(each => each.startsWith(typed)).sort();
}

async function inCommand(
  name: string,
  before: readonly string[],
  typed: string,
  entries: readonly Entry[],
  terminal: Terminal,
): Promise<string[]> {
  if (name === 'help') return before.length === 0 ? entries.map(entry => entry.name) : [];
  const entry = entries.find(each => each.name === name);
  if (entry === undefined) return [];
  let command = (await entry.load()).define(terminal, () => undefined, []);
  const given: string[] = [];
  const options: Record<string, string> = {};
  for (let i = 0; i < before.length; i++) {
    const word = before[i] ?? '';
    if (word === '--') return [];
    const [flag = '', value] = word.split('=', 2);
    const option = word.startsWith('-') ? command.options.find(each => each.long === flag || each.short === flag) : undefined;
    if (option !== undefined && takesValue(option) && value === undefined) {
      if (i === before.length - 1) return valuesOf(option.attributeName(), given, options, terminal, option.argChoices);
      options[option.attributeName()] = before[++i] ?? '';
    } else if (option !== undefined) options[option.attributeName()] = value ?? '';
    else if (!word.startsWith('-')) {
      const below: Command | undefined = given.length === 0 ? command.commands.find(each => each.name() === word) : undefined;
      if (below === undefined) given.push(word);
      else command = below;
    }
  }
  if (typed.startsWith('-')) return ['--help', ...command.options.filter(({ hidden }) => !hidden).flatMap(({ long }) => long ?? [])];
  if (command.commands.length > 0) return command.commands.map(each => each.name());
  const argument = command.registeredArguments[Math.min(given.length, command.registeredArguments.length - 1)];
  if (argument === undefined || (given.length >= command.registeredArguments.length && !argument.variadic)) return [];
  // `id` and `session` mean what their command is about.
  const about = ['id', 'name'].includes(argument.name()) ? `${name} ${argument.name()}` : argument.name();
  return valuesOf(about, given, options, terminal, argument.argChoices);
}

function takesValue(option: { required: boolean; optional: boolean }): boolean {
  return option.required || option.optional;
}

/** Values of an argument or an option, by its name. */
async function valuesOf(
  about: string,
  given: readonly string[],
  options: ConnectionOptions,
  terminal: Terminal,
  choices: readonly string[] | undefined,
): Promise<string[]> {
  if (choices !== undefined) return [...choices];
  const list = async (path: string, key: string, name: string): Promise<string[]> => {
    const answer = (await administratorRequest(await findConnection(options, terminal), 'GET', path)) as Record<
      string,
      Record<string, unknown>[]
    >;
    return (answer[key] ?? []).flatMap(row => {
      const value = name.split('.').reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], row);
      return typeof value === 'string' && /^[\w.@:/+-]+$/.test(value) ? [value] : [];
    });
  };
  switch (about) {
    case 'kind':
      return KINDS.map(kind => kind.toLowerCase());
    case 'shell':
      return ['bash', 'zsh', 'fish'];
    case 'profile':
    case 'profile name':
      return quietly(async () => Object.keys((await readProfiles(terminal.env)).profiles));
    case 'resource':
      return quietly(() => list('/v1/resources', 'resources', 'name'));
    case 'session':
      return quietly(() => list('/v1/sessions?live=true', 'sessions', 'sessionId'));
    case 'approvals id':
      return quietly(() => list('/v1/approvals', 'approvals', 'id'));
    case 'agents id':
      return quietly(() => list('/v1/agents', 'agents', 'id'));
    case 'get name':
    case 'history name': {
      const { kindOf } = await import('../commands/get.ts');
      return quietly(() => list(`/v1/manifests/${kindOf(given[0] ?? '')}`, 'manifests', 'metadata.name'));
    }
    default:
      return [];
  }
}

async function quietly(ask: () => Promise<string[]>): Promise<string[]> {
  const { promise, resolve } = Promise.withResolvers<string[]>();
  const timer = setTimeout(() => resolve([]), askMsMax);
  try {
    return await Promise.race([ask(), promise]);
  } catch {
    return []; // Nobody at a prompt wants to read why.
  } finally {
    clearTimeout(timer);
  }
}
