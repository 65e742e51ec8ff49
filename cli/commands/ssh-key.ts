/** `sallyport ssh-key add|list|remove`: public keys by which one signs in over SSH without a ticket. */
import { readFile } from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import {
  administratorRequest,
  allPages,
  type Connection,
  type ConnectionOptions,
  findConnection,
  withConnectionOptions,
} from '../connection.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import { signOwnership } from '../ssh-certificate.ts';
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { durationSeconds } from './ticket.ts';

interface Key {
  id: string;
  fingerprint: string;
  type: string;
  label: string;
  principal: string;
  principalKind: string;
  registeredAt: string;
  registeredBy: string;
  expiresAt: string;
  lastUsedAt?: string | null;
  lastUsedFrom?: string | null;
}

type Options = ConnectionOptions & IdentityOptions;
type AddOptions = Options & { serviceAccount?: string; label?: string; expiresIn: number; reason?: string; json?: true };

export function define(terminal: Terminal): Command {
  const keys = new Command('sallyport ssh-key').description(
    'Public keys that open sessions by SSH, where a resource says `publicKeys: registered`. A key is one person’s, and ends by itself.',
  );
  withIdentityOptions(withConnectionOptions(keys.command('add')))
    .description('Registers a key as yours, signing with it that it is; or, as administrator, one for a service account.')
    .argument('<file>', 'the public key, KEY.pub; its private half lies beside it or in an agent')
    .requiredOption('--expires-in <DURATION>', 'how long it is good for, e.g. 90d (at most 366d)', durationSeconds)
    .option('--service-account <NAME>', 'for this account, as administrator')
    .option('--label <TEXT>', 'what to call it (default: the comment of the key)')
    .option('--reason <TEXT>', 'why, for the record')
    .option('--json', 'print JSON')
    .action(async (file: string, options: AddOptions) => {
      const publicKey = await readFile(file, 'utf8').catch((cause: unknown) => {
        throw new GatewayError('FILE_UNREADABLE', 'invalid', `${file} cannot be read: ${errorText(cause)}`, { cause });
      });
      const { serviceAccount, label, expiresIn, reason } = options;
      const connection = await findConnection(options, terminal);
      const as = serviceAccount === undefined ? await asPerson(connection, options, terminal) : connection;
      const proof = serviceAccount === undefined ? { proof: await signOwnership(file, await ownName(as)) } : { serviceAccount };
      const key = (await administratorRequest(as, 'POST', '/v1/ssh/keys', {
        ...{ publicKey, expiresInSeconds: expiresIn, ...proof },
        ...(label === undefined ? {} : { label }),
        ...(reason === undefined ? {} : { reason }),
      })) as Key;
      if (options.json) return terminal.out(JSON.stringify(key, null, 2));
      terminal.out(`${key.fingerprint} is ${key.principal}’s until ${key.expiresAt}.`);
      terminal.err(
        terminal.errStyle.dim(`It opens resources with \`publicKeys: registered\`. To end it:  sallyport ssh-key remove ${key.id}`),
      );
    });
  withOptions(keys.command('list'))
    .description('Lists registered keys, with when they were last used: all for administrators, else one’s own.')
    .option('--json', 'print JSON')
    .action(async (options: Options & { mine?: true; json?: true }) => {
      const rows = await allPages<Key>(await connected(options, terminal), '/v1/ssh/keys', 'keys');
      if (options.json) return terminal.out(JSON.stringify({ keys: rows }, null, 2));
      const minute = (iso: string) => iso.slice(0, 16).replace('T', ' ');
      terminal.out(
        table(
          rows,
          [
            { title: 'ID', value: key => key.id },
            { title: 'FINGERPRINT', value: key => key.fingerprint },
            { title: 'FOR', value: key => key.principal },
            { title: 'LABEL', value: key => key.label },
            { title: 'EXPIRES', value: key => minute(key.expiresAt) },
            {
              title: 'LAST USED',
              value: ({ lastUsedAt }) => (lastUsedAt === undefined ? '?' : lastUsedAt === null ? 'never' : minute(lastUsedAt)),
            },
            { title: 'FROM', value: key => key.lastUsedFrom ?? '' },
          ],
          terminal.style,
          'no public key is registered',
        ),
      );
    });
  withOptions(keys.command('remove'))
    .description('Removes a key: agents refuse it from now on, and end the sessions that it has opened.')
    .argument('<id>', 'as `sallyport ssh-key list` shows it')
    .option('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, options: Options & { mine?: true; reason?: string }) => {
      const body = options.reason === undefined ? {} : { reason: options.reason };
      await administratorRequest(await connected(options, terminal), 'POST', `/v1/ssh/keys/${encodeURIComponent(id)}/remove`, body);
      terminal.out(`removed ${id}`);
    });
  return keys;
}

function withOptions(command: Command): Command {
  return withIdentityOptions(withConnectionOptions(command)).option('--mine', 'as the person who is signed in, not as administrator');
}

async function connected(options: Options & { mine?: true }, terminal: Terminal): Promise<Connection> {
  const connection = await findConnection(options, terminal);
  if (!options.mine && options.as === undefined && options.tokenFile === undefined) return connection;
  return asPerson(connection, options, terminal);
}

async function asPerson(connection: Connection, options: Options, terminal: Terminal): Promise<Connection> {
  return { ...connection, api: { ...connection.api, token: await identityToken(options, terminal) } };
}

/** As the control plane calls whoever is signed in: that is what the key signs. */
async function ownName(connection: Connection): Promise<string> {
  const { name } = (await administratorRequest(connection, 'GET', '/v1/me')) as { name: string };
  return name;
}
