/** `sallyport outputs`: sends evidence on, in this process. It reads its options itself (control-plane/outputs/main.ts). */
import { Command } from 'commander';
import { addKafkaOptions } from '../kafka-options.ts';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  const command = new Command('sallyport outputs')
    .description(
      'Sends evidence to SIEMs, collectors, files and object storage, from the event log in files (--log) or in Kafka (--kafka).',
    )
    .option('--config <FILE>', 'which outputs there are (docs/reference/outputs.md)')
    .option('--log <DIR>', 'the event log: DATA/control-plane/log of `sallyport up`')
    .option('--data <DIR>', "where the outputs' cursors are kept")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { runOutputs } = await import('@sallyport/control-plane/outputs/main.ts');
      exit(await runOutputs(rest));
    });
  return addKafkaOptions(command);
}
