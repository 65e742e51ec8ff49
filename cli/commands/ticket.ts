/** `sallyport ticket RESOURCE`: prints a short-lived password for one resource and nothing else. */
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, readText, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import type { Terminal } from '../terminal.ts';
import { requestTicket, type TicketBounds } from '../ticket.ts';
import { UsageError } from '../usage-error.ts';

interface TicketOptions extends ConnectionOptions, IdentityOptions {
  expiresIn?: number;
  role?: string;
  network: string[];
  clientCertificate?: string;
  actor?: string;
}

export function define(terminal: Terminal): Command {
  return withIdentityOptions(withConnectionOptions(new Command('sallyport ticket')))
    .description('Prints a ticket: a password that opens one resource, for minutes.')
    .argument('<resource>', 'name of the resource')
    .option('--expires-in <DURATION>', 'how long it is good for, e.g. 5m (default 15m, at most 60m)', durationSeconds)
    .option('--role <NAME>', 'the one role that it is for')
    .option('--network <CIDR>', 'where it is good, e.g. 10.0.0.0/8; may be repeated', (text, networks: string[]) => [...networks, text], [])
    .option('--client-certificate <FILE>', 'PEM of the client certificate that it is good with')
    .option('--actor <NAME>', 'the service account that acts for you with it; the record shows both')
    .action(async (resource: string, options: TicketOptions) => {
      const connection = await findConnection(options, terminal);
      const bounds = await boundsOf(options);
      const { ticket } = await requestTicket(connection.api, await identityToken(options, terminal), resource, options.expiresIn, bounds);
      terminal.out(ticket);
    });
}

/** @throws {UsageError} when the file holds no certificate. */
async function boundsOf({ role, network, clientCertificate, actor }: TicketOptions): Promise<TicketBounds> {
  const bounds: TicketBounds = {
    ...(role === undefined ? {} : { role }),
    ...(network.length === 0 ? {} : { networks: network }),
    ...(actor === undefined ? {} : { actor }),
  };
  if (clientCertificate === undefined) return bounds;
  const { X509Certificate, createHash } = await import('node:crypto');
  const pem = await readText(clientCertificate, 'the client certificate');
  try {
    return { ...bounds, certificateSha256: createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url') };
  } catch {
    throw new UsageError(`${clientCertificate} holds no certificate in PEM`);
  }
}

/** `90s`, `15m`, `1h` or seconds. */
export function durationSeconds(text: string): number {
  const [, count, unit = 's'] = /^(\d{1,6})(s|m|h|d)?$/.exec(text) ?? [];
  if (count === undefined) throw new UsageError(`\`${text}\` is no duration; write 90s, 15m or 1h`);
  return Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 1);
}
