/** `sallyport evidence export`: writes records and the proof that they are complete into one file, for anybody to verify. */
import { open, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { parseTreeHead, splitNotes } from '@sallyport/shared/evidence/tree-head.ts';
import type { Command } from 'commander';
import { type ConnectionOptions, findConnection, readText, withConnectionOptions } from '../connection.ts';
import { requestDownload } from '../http-client.ts';
import { counting, progress, size } from '../progress.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

type Options = ConnectionOptions & {
  session?: string;
  person?: string;
  resource?: string;
  from?: string;
  to?: string;
  output: string;
  heads?: string;
};

export function addExport(evidence: Command, terminal: Terminal): void {
  withConnectionOptions(evidence.command('export'))
    .description('Writes records, and the proof that they are complete, into a file that `evidence verify` checks.')
    .option('--session <ID>', 'only this session')
    .option('--person <NAME>', 'only sessions of this person or workload')
    .option('--resource <NAME>', 'only sessions on this resource')
    .option('--from <TIME>', 'only sessions that began then or later, e.g. 2026-04-01T00:00:00Z')
    .option('--to <TIME>', 'only sessions that began earlier')
    .option('--heads <FILE>', 'heads that were kept (`evidence heads --keep`): the file then shows that its control log goes on from each')
    .requiredOption('-o, --output <FILE>', 'the file to write (mode 0600); it must not exist')
    .action(async (options: Options) => {
      const query = new URLSearchParams();
      for (const name of ['session', 'person', 'resource', 'from', 'to'] as const) {
        const value = options[name];
        if (value !== undefined) query.set(name, value);
      }
      if (options.session !== undefined && query.size > 1) throw new UsageError('--session goes with no other choice');
      if (options.heads !== undefined) {
        const notes = splitNotes(await readText(options.heads, 'the kept heads'));
        query.set('heads', [...new Set(notes.flatMap(note => parseTreeHead(note)?.head.size ?? []))].join(','));
      }
      const connection = await findConnection(options, terminal);
      const file = await open(options.output, 'wx', 0o600).catch((cause: unknown) => {
        throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the evidence cannot be written to ${options.output}: ${errorText(cause)}.`, {
          cause,
        });
      });
      try {
        const line = progress(terminal, 'written', size);
        const count = counting(bytes => line.update(bytes));
        const written = pipeline(count, file.createWriteStream());
        const [headers] = await Promise.all([
          requestDownload(connection.api, `/v1/evidence/export?${query.toString()}`, count),
          written,
        ]).finally(() => line.end());
        terminal.err(`evidence written to ${options.output}`);
        terminal.err(`key of the control plane: ${String(headers['x-sallyport-evidence-key'])}`);
        terminal.err(`verify it, anywhere: sallyport evidence verify ${options.output} --key KEY`);
      } catch (error) {
        await rm(options.output, { force: true });
        throw error;
      }
    });
}
