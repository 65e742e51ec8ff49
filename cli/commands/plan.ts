/** `sallyport plan -f PATH`: what `apply` would change, and nothing is changed. */
import { Command } from 'commander';
import { type ConnectionOptions, withConnectionOptions } from '../connection.ts';
import type { Terminal } from '../terminal.ts';
import { sendManifests } from './apply.ts';

export function define(terminal: Terminal): Command {
  return withConnectionOptions(new Command('sallyport plan'))
    .description('Shows what `apply` would change.')
    .requiredOption('-f, --file <PATH>', 'a manifest, or a folder of them')
    .option('--json', 'print the changes as JSON')
    .action((options: ConnectionOptions & { file: string; json?: true }) => sendManifests(options, terminal, true));
}
