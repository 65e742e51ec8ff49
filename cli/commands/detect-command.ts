/** `sallyport detect`: hands over to detect.ts, which reads its arguments itself; they are described here for the reference. */
import { Command } from 'commander';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  return new Command('sallyport detect')
    .description('Finds secrets and personal data in files, or in standard input, with the detectors that sessions use.')
    .argument('[file...]')
    .option('--detectors <NAME,...>', 'detectors and groups (secrets, personal-data, national-ids, all); default all')
    .option('--gitleaks <FILE>', 'also use the rules of a gitleaks configuration')
    .option('--json', 'print one JSON array of findings')
    .option('--jsonl', 'read lines {"id","text"}, print lines {"id","spans":[[start,end,"detector"],…]}; offsets count characters')
    .option('--exit-code', 'exit with 1 when something is found')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { detectCommand } = await import('./detect.ts');
      exit(await detectCommand([...rest], { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr }));
    });
}
