/** `sallyport control-plane backup|restore`: the control log and the keys, into one file and back. The work is in control-plane/backup. */
import path from 'node:path';
import type { BackupOptions } from '@sallyport/control-plane/backup/backup.ts';
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import type { Command } from 'commander';
import { addKafkaOptions, kafkaValues } from '../kafka-options.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Options {
  data?: string;
  kek?: string;
  kekWrapped?: string;
  json?: true;
  [kafka: string]: unknown;
}

export function addBackup(controlPlane: Command, terminal: Terminal): void {
  const backup = controlPlane
    .command('backup')
    .description(
      'Writes the control log and the keys, sealed to the key-encryption key, into a new file; the control plane may be running.',
    )
    .argument('<file>')
    .option('--data <DIR>', "the control plane's data folder")
    .option('--kek <WHERE>', 'the key-encryption key, as of the control plane (default: pki/kek of the data folder)')
    .option('--kek-wrapped <FILE>', 'where a keeper has wrapped it (default: pki/kek.wrapped of the data folder)')
    .option('--json', 'print JSON')
    .action(async (file: string, _options: Options, command: Command) => {
      const all = command.optsWithGlobals<Options>();
      const work = await import('@sallyport/control-plane/backup/backup.ts');
      const size = await work.backup(optionsOf(file, all, terminal));
      if (all.json) terminal.out(JSON.stringify({ file, ...size }));
      else {
        terminal.out(`${file}: ${size.entries} entries of the control log, ${size.keys} keys.`);
        terminal.out('Keep the key-encryption key (pki/kek) in another place: the backup opens with it alone, and without it not at all.');
      }
    });
  const restore = controlPlane
    .command('restore')
    .description('Fills an empty data folder, and an empty log in files or in Kafka, from a backup.')
    .argument('<file>')
    .option('--data <DIR>', 'a new data folder')
    .option('--kek <WHERE>', 'the key-encryption key that the backup was made with')
    .option('--kek-wrapped <FILE>', 'where a keeper has wrapped it (default: pki/kek.wrapped of the data folder)')
    .option('--json', 'print JSON')
    .action(async (file: string, _options: Options, command: Command) => {
      const all = command.optsWithGlobals<Options>();
      const work = await import('@sallyport/control-plane/backup/backup.ts');
      const size = await work.restore(optionsOf(file, all, terminal));
      if (all.json) terminal.out(JSON.stringify({ file, ...size }));
      else terminal.out(`${size.entries} entries of the control log and ${size.keys} keys are restored.`);
    });
  for (const command of [backup, restore]) addKafkaOptions(command);
}

function optionsOf(file: string, options: Options, { env }: Terminal): BackupOptions {
  if (options.data === undefined) throw new UsageError("--data DIR is missing: the control plane's data folder");
  return {
    dataDir: path.resolve(options.data),
    file: path.resolve(file),
    kafka: kafkaConfig(kafkaValues(options), env, 'backup'),
    env,
    ...(options.kek === undefined ? {} : { kek: options.kek }),
    ...(options.kekWrapped === undefined ? {} : { kekWrappedFile: path.resolve(options.kekWrapped) }),
  };
}
