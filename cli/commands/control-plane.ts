/** `sallyport control-plane`: one control plane, in this process. Its options are its own (control-plane/main.ts). */
import { Command } from 'commander';
import { becomeProgram } from '../become-program.ts';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  return becomeProgram(
    new Command('sallyport control-plane').description(
      'Runs a control plane: identity, policy, credentials, leases, the API and the console.',
    ),
    '@sallyport/control-plane/main.ts',
    [
      ['--data <DIR>', 'data folder: event log, keys, certificates'],
      ['--http <HOST:PORT>', 'address of the console and API'],
      ['--grpc <HOST:PORT>', 'address that agents dial'],
      ['--clickhouse <URL>', 'session store to read from; SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD say as whom'],
    ],
    rest,
    exit,
  );
}
