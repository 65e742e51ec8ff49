/** `sallyport evidence …`: what the records say, and the proof that they are complete. Each subcommand is a file of its own. */
import { Command } from 'commander';
import type { Terminal } from '../terminal.ts';
import { addExport } from './evidence-export.ts';
import { addHeads } from './evidence-heads.ts';
import { addQuery } from './evidence-query.ts';
import { addRetention } from './evidence-retention.ts';
import { addShred } from './evidence-shred.ts';
import { addVerify } from './evidence-verify.ts';

export function define(terminal: Terminal): Command {
  const evidence = new Command('sallyport evidence').description(
    'Evidence: what happened, and the proof that nothing is missing or changed.',
  );
  addQuery(evidence, terminal);
  addExport(evidence, terminal);
  addVerify(evidence, terminal);
  addHeads(evidence, terminal);
  addRetention(evidence, terminal);
  addShred(evidence, terminal);
  return evidence;
}
