/** `sallyport service-accounts secrets create|list|revoke`. The accounts themselves are manifests. */
import { Command } from 'commander';
import { administratorRequest, allPages, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { durationSeconds } from './ticket.ts';

interface Secret {
  id: string;
  account: string;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  lastUsedAt: string | null;
  lastUsedFrom: string | null;
  tickets: number;
}

export function define(terminal: Terminal): Command {
  const accounts = new Command('sallyport service-accounts').description(
    'Service accounts: who programs are. They are manifests; here are the secrets of those that no issuer gives a token.',
  );
  const secrets = accounts.command('secrets').description('Secrets, to be exchanged for tickets. An account has at most two.');
  withConnectionOptions(secrets.command('create'))
    .description('Prints a new secret, once. The one before stays good until it is revoked or ends.')
    .argument('<account>', 'name of the service account')
    .requiredOption('--expires-in <DURATION>', 'how long it is good for, e.g. 90d (at most 366d)', durationSeconds)
    .option('--reason <TEXT>', 'why, for the record')
    .option('--json', 'print JSON')
    .action(async (account: string, options: ConnectionOptions & { expiresIn: number; reason?: string; json?: true }) => {
      const connection = await findConnection(options, terminal);
      const answer = (await administratorRequest(connection, 'POST', '/v1/service-account-secrets', {
        ...{ account, expiresInSeconds: options.expiresIn },
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      })) as { secret: string; id: string; expiresAt: string };
      if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
      terminal.out(answer.secret);
      terminal.err(
        terminal.errStyle.dim(
          `Good until ${answer.expiresAt}, and not shown again:  sallyport ticket RESOURCE --token-file FILE-WITH-IT\n` +
            `When the program has it:  sallyport service-accounts secrets list --account ${account}, and revoke the one before`,
        ),
      );
    });
  withConnectionOptions(secrets.command('list'))
    .description('Lists secrets that are good, with when they were last used.')
    .option('--account <NAME>', 'of this service account alone')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { account?: string; json?: true }) => {
      const query = options.account === undefined ? '' : `?account=${encodeURIComponent(options.account)}`;
      const rows = await allPages<Secret>(await findConnection(options, terminal), `/v1/service-account-secrets${query}`, 'secrets');
      if (options.json) return terminal.out(JSON.stringify({ secrets: rows }, null, 2));
      const minute = (iso: string) => iso.slice(0, 16).replace('T', ' ');
      terminal.out(
        table(
          rows,
          [
            { title: 'ID', value: secret => secret.id },
            { title: 'ACCOUNT', value: secret => secret.account },
            { title: 'MADE', value: secret => `${minute(secret.createdAt)} by ${secret.createdBy}` },
            { title: 'EXPIRES', value: secret => minute(secret.expiresAt) },
            { title: 'LAST USED', value: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : minute(lastUsedAt)) },
            { title: 'FROM', value: secret => secret.lastUsedFrom ?? '' },
            { title: 'TICKETS', value: secret => secret.tickets, align: 'right' },
          ],
          terminal.style,
          'no service account has a secret',
        ),
      );
    });
  withConnectionOptions(secrets.command('revoke'))
    .description('Revokes a secret, its tickets, and the sessions that these have opened.')
    .argument('<id>', 'as `sallyport service-accounts secrets list` shows it')
    .option('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, options: ConnectionOptions & { reason?: string }) => {
      const body = options.reason === undefined ? {} : { reason: options.reason };
      const path = `/v1/service-account-secrets/${encodeURIComponent(id)}/revoke`;
      await administratorRequest(await findConnection(options, terminal), 'POST', path, body);
      terminal.out(`revoked ${id}`);
    });
  return accounts;
}
