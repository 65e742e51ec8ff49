/** `sallyport completion SHELL`: prints what makes the shell complete commands, flags and names. */
import { Argument, Command } from 'commander';
import { SCRIPTS, SHELLS, type Shell } from '../completion/scripts.ts';
import type { Terminal } from '../terminal.ts';

export function define(terminal: Terminal): Command {
  return new Command('sallyport completion')
    .description(
      'Prints a script that makes the shell complete commands, flags, and names of resources, manifests, sessions, agents and approvals.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .action((shell: Shell) => terminal.out(SCRIPTS[shell]));
}
