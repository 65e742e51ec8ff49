/** `sallyport agent`: one agent, in this process. Its options are its own (agent/main.ts). */
import { Command } from 'commander';
import { becomeProgram } from '../become-program.ts';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  return becomeProgram(
    new Command('sallyport agent').description('Runs an agent: it stands in front of resources and dials out to the control plane.'),
    '@sallyport/agent/main.ts',
    [
      ['--data <DIR>', 'data folder: identity and spool'],
      ['--control-plane <HOST:PORT>', 'where the control plane listens for agents'],
      ['--join <TOKEN>', 'join token of `sallyport agents invite`; only for the first start'],
      ['--workers <N>', 'threads that serve connections'],
    ],
    rest,
    exit,
  );
}
