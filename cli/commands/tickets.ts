/** `sallyport tickets list|revoke`. */
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
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface TicketShown {
  id: string;
  resource: string;
  principal: string;
  delegation: string[];
  issuedAt: string;
  expiresAt: string;
  revoked: boolean;
  role?: string;
  networks?: string[];
  boundToClient: boolean;
}

type Options = ConnectionOptions & IdentityOptions & { mine?: true };

export function define(terminal: Terminal): Command {
  const tickets = new Command('sallyport tickets').description('Tickets: the short-lived passwords that open one resource.');
  withOptions(tickets.command('list'))
    .description('Lists tickets that have not expired.')
    .option('--json', 'print JSON')
    .action(async (options: Options & { json?: true }) => {
      const rows = await allPages<TicketShown>(await connected(options, terminal), '/v1/tickets', 'tickets');
      if (options.json) return terminal.out(JSON.stringify({ tickets: rows }, null, 2));
      terminal.out(
        table(
          rows,
          [
            { title: 'ID', value: ticket => ticket.id },
            { title: 'RESOURCE', value: ticket => ticket.resource },
            { title: 'FOR', value: ticket => [...ticket.delegation, ticket.principal].join(' for ') },
            { title: 'EXPIRES', value: ticket => ticket.expiresAt.slice(11, 19) },
            { title: 'BOUND TO', value: boundTo },
            { title: 'STATE', value: ticket => (ticket.revoked ? 'revoked' : 'good') },
          ],
          terminal.style,
          'no ticket is good now',
        ),
      );
    });
  withOptions(tickets.command('revoke'))
    .description('Revokes a ticket: agents refuse it from now on, and end the sessions that it has opened.')
    .argument('<id>', 'as `sallyport tickets list` shows it, or the token id of a session')
    .option('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, options: Options & { reason?: string }) => {
      const body = options.reason === undefined ? {} : { reason: options.reason };
      await administratorRequest(await connected(options, terminal), 'POST', `/v1/tickets/${encodeURIComponent(id)}/revoke`, body);
      terminal.out(`revoked ${id}`);
    });
  return tickets;
}

function withOptions(command: Command): Command {
  return withIdentityOptions(withConnectionOptions(command)).option('--mine', 'as the person who is signed in, not as administrator');
}

async function connected(options: Options, terminal: Terminal): Promise<Connection> {
  const connection = await findConnection(options, terminal);
  if (!options.mine && options.as === undefined && options.tokenFile === undefined) return connection;
  return { ...connection, api: { ...connection.api, token: await identityToken(options, terminal) } };
}

function boundTo({ role, networks = [], boundToClient }: TicketShown): string {
  return [...(role === undefined ? [] : [`role ${role}`]), ...networks, ...(boundToClient ? ['a client certificate'] : [])].join(', ');
}
