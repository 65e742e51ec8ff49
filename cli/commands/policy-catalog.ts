/** `sallyport policy catalog RESOURCE`: the catalog of a resource's database as a file, to try policy without the database. */
import { writeFile } from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import type { Terminal } from '../terminal.ts';

type Options = ConnectionOptions & { database?: string; output?: string };

export function addCatalog(policy: Command, terminal: Terminal): void {
  withConnectionOptions(policy.command('catalog'))
    .description('Has an agent read the catalog of a resource’s database: names and definitions, no data. Keep it beside the manifests.')
    .argument('<resource>')
    .option('--database <NAME>', 'the database, where the resource names none')
    .option('-o, --output <FILE>', 'where to write it (default RESOURCE.catalog.json; `-` is standard output)')
    .action(async (resource: string, options: Options) => {
      const connection = await findConnection(options, terminal);
      const query = options.database === undefined ? '' : `?database=${encodeURIComponent(options.database)}`;
      const catalog = await administratorRequest(connection, 'GET', `/v1/resources/${encodeURIComponent(resource)}/catalog${query}`);
      const file = options.output ?? `${resource}.catalog.json`;
      if (file === '-') return terminal.out(JSON.stringify(catalog));
      try {
        await writeFile(file, `${JSON.stringify(catalog)}\n`, { mode: 0o600 });
      } catch (cause) {
        throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the catalog cannot be written to ${file}: ${errorText(cause)}.`, { cause });
      }
      terminal.err(`catalog of ${resource} written to ${file}`);
    });
}
