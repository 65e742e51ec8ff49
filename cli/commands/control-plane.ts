/** `sallyport control-plane`: one control plane, in this process. It reads its options itself (control-plane/main.ts). */
import { Command } from 'commander';
import { addKafkaOptions } from '../kafka-options.ts';
import type { Terminal } from '../terminal.ts';
import { addBackup } from './control-plane-backup.ts';
import { addRaiseEdition } from './control-plane-raise-edition.ts';
import { addRotateKey } from './control-plane-rotate-key.ts';
import { addRotateSigningKey } from './control-plane-rotate-signing-key.ts';

export function define(terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  const command = new Command('sallyport control-plane')
    .description('Runs a control plane: identity, policy, credentials, leases, the API and the console.')
    .option('--data <DIR>', 'data folder: event log, keys, certificates')
    .option('--http <HOST:PORT>', 'address of the console and API')
    .option('--grpc <HOST:PORT>', 'address that agents dial')
    .option('--name <NAME>', 'further name or address by which others reach it, for the certificates; may be repeated')
    .option('--url <URL>', 'where browsers reach the console, behind a proxy or another name')
    .option('--two-person-apply', 'changes of manifests need a second person (SALLYPORT_TWO_PERSON_APPLY=1)')
    .option('--trusted-proxy <CIDR>', 'proxy whose X-Forwarded-For or Forwarded is believed; may be repeated (SALLYPORT_TRUSTED_PROXIES)')
    .option('--timestamps <URL>', 'time-stamping authority (RFC 3161) that stamps heads of the control log (SALLYPORT_TIMESTAMPS)')
    .option('--timestamps-ca <FILE>', 'PEM of the authorities that are trusted for it (SALLYPORT_TIMESTAMPS_CA)')
    .option('--clickhouse <URL>', 'session store to read from; SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD say as whom')
    .option(
      '--kek <WHERE>',
      'the key-encryption key, the same for all replicas: a file, env:NAME, vault:MOUNT/KEY or aws-kms:KEY (default: pki/kek of the data folder)',
    )
    .option('--kek-wrapped <FILE>', 'where a keeper has wrapped it (default: pki/kek.wrapped of the data folder)')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { runControlPlane } = await import('@sallyport/control-plane/main.ts');
      exit(await runControlPlane(rest));
    });
  addBackup(command, terminal);
  addRotateKey(command, terminal);
  addRotateSigningKey(command, terminal);
  addRaiseEdition(command, terminal);
  return addKafkaOptions(command);
}
