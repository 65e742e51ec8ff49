/** `sallyport policy …`: what policy says, before anybody finds out. Each subcommand is a file of its own. */
import { Command } from 'commander';
import type { Terminal } from '../terminal.ts';
import { addCatalog } from './policy-catalog.ts';
import { addExplain } from './policy-explain.ts';
import { addSimulate } from './policy-simulate.ts';
import { addTest } from './policy-test.ts';

export function define(terminal: Terminal): Command {
  const policy = new Command('sallyport policy').description('Policy: why it decides as it does, and what a change of it would do.');
  addExplain(policy, terminal);
  addTest(policy, terminal);
  addSimulate(policy, terminal);
  addCatalog(policy, terminal);
  return policy;
}
