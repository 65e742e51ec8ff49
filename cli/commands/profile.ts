/** `sallyport profile list|add|use|remove`: names for several installations. */
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import { readText } from '../connection.ts';
import { isLoopback } from '../http-client.ts';
import { type Profiles, readProfiles, saveProfiles } from '../profiles.ts';
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

export function define(terminal: Terminal): Command {
  const profile = new Command('sallyport profile').description(
    'Names for several installations. A profile is used when no flag and no variable says where to go; it holds no token.',
  );
  profile
    .command('list')
    .description('Lists the profiles.')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const stored = await readProfiles(terminal.env);
      if (options.json) return terminal.out(JSON.stringify(stored, null, 2));
      const rows = Object.entries(stored.profiles).sort(([a], [b]) => (a < b ? -1 : 1));
      terminal.out(
        table(
          rows,
          [
            { title: '', value: ([name]) => (name === stored.current ? '*' : '') },
            { title: 'NAME', value: ([name]) => name },
            { title: 'API', value: ([, { api }]) => api },
            { title: 'CA', value: ([, { ca }]) => ca },
          ],
          terminal.style,
          'no profile yet; `sallyport profile add NAME --api URL` makes one',
        ),
      );
    });
  profile
    .command('add')
    .description('Adds a profile, or changes one; the first is used from now on.')
    .argument('<name>', 'a name for the installation')
    .requiredOption('--api <URL>', 'address of its control plane')
    .option('--ca <FILE>', 'PEM file of the CA to trust')
    .action(async (name: string, options: { api: string; ca?: string }) => {
      if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name))
        throw new UsageError(`a profile's name has lower-case letters, digits, dots and dashes, not \`${name}\``);
      const url = URL.canParse(options.api) ? new URL(options.api) : null;
      if (url?.protocol !== 'https:' && !(url?.protocol === 'http:' && isLoopback(url.hostname))) {
        throw new UsageError(`--api is an https: address (http: only on this machine), not \`${options.api}\``);
      }
      if (options.ca !== undefined) await readText(options.ca, 'the CA');
      await change(terminal, stored => {
        const ca = options.ca === undefined ? {} : { ca: path.resolve(options.ca) };
        stored.profiles[name] = { api: options.api.replace(/\/+$/, ''), ...ca };
        stored.current ??= name;
      });
      terminal.out(`profile ${name} is ${options.api}`);
    });
  profile
    .command('use')
    .description('Makes a profile the one that is used.')
    .argument('<name>', 'name of the profile')
    .action(async (name: string) => {
      await change(terminal, stored => {
        known(stored, name);
        stored.current = name;
      });
      terminal.out(`profile ${name} is used from now on`);
    });
  profile
    .command('remove')
    .description('Forgets a profile.')
    .argument('<name>', 'name of the profile')
    .action(async (name: string) => {
      await change(terminal, stored => {
        known(stored, name);
        delete stored.profiles[name];
        if (stored.current === name) delete stored.current;
      });
      terminal.out(`profile ${name} is forgotten`);
    });
  return profile;
}

async function change({ env }: Terminal, make: (stored: Profiles) => void): Promise<void> {
  const stored = await readProfiles(env);
  make(stored);
  await saveProfiles(env, stored);
}

/** @throws {GatewayError} PROFILE_UNKNOWN. */
function known(stored: Profiles, name: string): void {
  if (Object.hasOwn(stored.profiles, name)) return;
  throw new GatewayError('PROFILE_UNKNOWN', 'notFound', `there is no profile ${name}. \`sallyport profile list\` shows them.`);
}
