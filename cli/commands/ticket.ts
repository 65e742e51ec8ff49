/** `sallyport ticket RESOURCE`: prints a short-lived password for one resource and nothing else. */
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import type { Terminal } from '../terminal.ts';
import { requestTicket } from '../ticket.ts';
import { UsageError } from '../usage-error.ts';

interface TicketOptions extends ConnectionOptions, IdentityOptions {
  expiresIn?: number;
}

export function define(terminal: Terminal): Command {
  return withIdentityOptions(withConnectionOptions(new Command('sallyport ticket')))
    .description('Prints a ticket: a password that opens one resource, for minutes.')
    .argument('<resource>', 'name of the resource')
    .option('--expires-in <DURATION>', 'how long it is good for, e.g. 5m (default 15m, at most 60m)', durationSeconds)
    .action(async (resource: string, options: TicketOptions) => {
      const connection = await findConnection(options, terminal);
      const { ticket } = await requestTicket(connection.api, await identityToken(options, terminal), resource, options.expiresIn);
      terminal.out(ticket);
    });
}

/** `90s`, `15m`, `1h` or seconds. */
export function durationSeconds(text: string): number {
  const [, count, unit = 's'] = /^(\d{1,6})(s|m|h|d)?$/.exec(text) ?? [];
  if (count === undefined) throw new UsageError(`\`${text}\` is no duration; write 90s, 15m or 1h`);
  return Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 1);
}
