/** `sallyport history KIND NAME`: who changed a manifest, when, from where, why, and what. */
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { kindOf } from './get.ts';

interface Change {
  version: number;
  change: 'created' | 'changed' | 'deleted';
  at: string;
  author: string;
  address: string;
  reason: string;
  diff: { path: string; before?: unknown; after?: unknown }[];
  secrets: string[];
}

export function define(terminal: Terminal): Command {
  return withConnectionOptions(new Command('sallyport history'))
    .description('Shows the changes of one manifest, the newest first, also of one that was deleted. Values of secrets are never shown.')
    .argument('<kind>', 'kind of manifest; case and plural do not matter')
    .argument('<name>', 'name of the manifest')
    .option('--limit <N>', 'how many changes (default 20)', limit, 20)
    .option('--json', 'print JSON')
    .action(async (word: string, name: string, options: ConnectionOptions & { json?: true; limit: number }) => {
      const connection = await findConnection(options, terminal);
      const path = `/v1/history/${kindOf(word)}/${encodeURIComponent(name)}?limit=${options.limit}`;
      const answer = (await administratorRequest(connection, 'GET', path)) as { changes: Change[]; truncated: boolean };
      if (options.json) {
        terminal.out(JSON.stringify(answer, null, 2));
        return;
      }
      for (const [index, change] of answer.changes.entries()) {
        if (index > 0) terminal.out('');
        show(change, terminal);
      }
      if (answer.truncated) terminal.err(terminal.errStyle.dim('there are older changes: --limit shows more'));
    });
}

function show({ version, change, at, author, address, reason, diff, secrets }: Change, { out, style }: Terminal): void {
  const color = { created: style.green, changed: style.yellow, deleted: style.red }[change];
  const from = address === '' ? '' : ` from ${address}`;
  out(`${style.bold(`version ${version}`)}  ${at.slice(0, 19).replace('T', ' ')}  ${color(change)} by ${printable(author + from)}`);
  if (reason !== '') out(`  ${style.dim(`reason: ${printable(reason)}`)}`);
  for (const { path, before, after } of diff) {
    if (before !== undefined) out(style.red(`  - ${path}: ${shown(before)}`));
    if (after !== undefined) out(style.green(`  + ${path}: ${shown(after)}`));
  }
  for (const path of secrets) out(style.yellow(`  ~ ${path}: the secret's value`));
}

function shown(value: unknown): string {
  return printable(JSON.stringify(value));
}

function limit(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 1000) throw new UsageError(`--limit is a number from 1 to 1000, not \`${text}\``);
  return value;
}
