/** `sallyport control-plane rotate-key`: wraps the key-encryption key for another keeper. The work is in control-plane/pki. */
import path from 'node:path';
import type { Command } from 'commander';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Options {
  data?: string;
  kek?: string;
  kekWrapped?: string;
  to?: string;
  json?: true;
}

export function addRotateKey(controlPlane: Command, terminal: Terminal): void {
  controlPlane
    .command('rotate-key')
    .description(
      'Wraps the key-encryption key for another keeper, or for the newest key of the same. What is sealed stays readable; start the control plane with the new --kek.',
    )
    .option('--data <DIR>', "the control plane's data folder")
    .option('--kek <WHERE>', 'where the key is now (default: pki/kek of the data folder)')
    .option('--kek-wrapped <FILE>', 'where a keeper has wrapped it (default: pki/kek.wrapped of the data folder)')
    .option('--to <WHERE>', 'where it is to be: a new file, env:NAME, vault:MOUNT/KEY or aws-kms:KEY (default: as --kek)')
    .option('--json', 'print JSON')
    .action(async (_options: Options, command: Command) => {
      const { data, kek, kekWrapped, to, json } = command.optsWithGlobals<Options>();
      if (data === undefined) throw new UsageError("--data DIR is missing: the control plane's data folder");
      const target = to ?? kek;
      if (target === undefined) throw new UsageError('--to is missing: env:NAME, vault:MOUNT/KEY, aws-kms:KEY or a new file');
      const { isInFile, rewrap } = await import('@sallyport/control-plane/pki/key-encryption.ts');
      const where = {
        ...{ dataDir: path.resolve(data), env: terminal.env },
        ...(kekWrapped === undefined ? {} : { wrappedFile: path.resolve(kekWrapped) }),
      };
      const file = await rewrap({ ...where, ...(kek === undefined ? {} : { kek }) }, { ...where, kek: target });
      if (json) return terminal.out(JSON.stringify({ file, kek: target }));
      terminal.out(`${file} is written. Start the control plane, every replica, with --kek ${target}.`);
      if (!isInFile(target) && isInFile(kek))
        terminal.out('Then delete the file that holds the key as it is, and its copies (pki/kek): with them the keeper protects nothing.');
    });
}
