/** `sallyport control-plane raise-edition`: the end of an upgrade of several control planes. What an edition is: control-plane/aggregates/editions.ts. */
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends ConnectionOptions {
  reason?: string;
  json?: true;
}

export function addRaiseEdition(controlPlane: Command, terminal: Terminal): void {
  const command = withConnectionOptions(new Command('raise-edition'))
    .description(
      'Lets the control log have what the version that answers knows, once every control plane is upgraded: those of the version before stop, and do not start again.',
    )
    .option('--reason <TEXT>', 'why, for the record')
    .option('--json', 'print JSON')
    .action(async (_options: Options, self: Command) => {
      const { reason, json, ...options } = self.optsWithGlobals<Options>();
      const connection = await findConnection(options, terminal);
      const { controlEdition: before } = (await administratorRequest(connection, 'GET', '/v1/status')) as {
        controlEdition: { inForce: number };
      };
      const body = reason === undefined ? {} : { reason };
      const edition = (await administratorRequest(connection, 'POST', '/v1/control-log/raise-edition', body)) as { inForce: number };
      if (json) return terminal.out(JSON.stringify({ before: before.inForce, inForce: edition.inForce }));
      terminal.out(
        edition.inForce === before.inForce
          ? `The control log is at edition ${edition.inForce}, the newest that this version knows: there is nothing to raise.`
          : `The control log was at edition ${before.inForce} and is at ${edition.inForce} now.`,
      );
    });
  controlPlane.addCommand(command);
}
