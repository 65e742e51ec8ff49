/** `sallyport request RESOURCE --for 2h --reason …`: asks others for access to a resource for a time. */
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { requestJson } from '../http-client.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import type { Terminal } from '../terminal.ts';
import { type Approval, print } from './approvals.ts';
import { durationSeconds } from './ticket.ts';

type Options = ConnectionOptions & IdentityOptions & { for: number; reason: string; role?: string; json?: true };

export function define(terminal: Terminal): Command {
  return withIdentityOptions(withConnectionOptions(new Command('sallyport request')))
    .description('Asks for access to a resource for a time; people of the role’s groups answer with `sallyport approvals`.')
    .argument('<resource>', 'name of the resource')
    .requiredOption('--for <DURATION>', 'how long, from the approval on, e.g. 2h', durationSeconds)
    .requiredOption('--reason <TEXT>', 'why, for those who are asked and for the record')
    .option('--role <NAME>', 'the role to ask for (default: the one that is given for the longest)')
    .option('--json', 'print JSON')
    .action(async (resource: string, options: Options) => {
      const connection = await findConnection(options, terminal);
      const token = await identityToken(options, terminal);
      const { for: seconds, reason, role } = options;
      const body = { resource, seconds, reason, ...(role === undefined ? {} : { role }) };
      const approval = (await requestJson({ ...connection.api, token }, 'POST', '/v1/requests', body)) as Approval;
      print(terminal, approval, options);
    });
}
