/** `sallyport detect`: hands over to detect.ts, which reads its own arguments. */
import { Command } from 'commander';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  return new Command('sallyport detect')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { detectCommand } = await import('./detect.ts');
      exit(await detectCommand([...rest], { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr }));
    });
}
