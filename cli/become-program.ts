/**
 * Commands that are a program of their own: it is started with the same arguments and standard streams, and gets the signals
 * that this process gets. Only `--help` is answered here.
 */
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';

/**
 * @param module what the program's package exports, e.g. `@sallyport/agent/main.ts`
 * @param options what its help shows; the program itself reads them.
 * @param rest the arguments to hand on.
 */
export function becomeProgram(
  command: Command,
  module: string,
  options: readonly [string, string][],
  rest: readonly string[],
  exit: (code: number) => void,
): Command {
  for (const [flags, description] of options) command.option(flags, description);
  command.allowUnknownOption().allowExcessArguments();
  command.action(async () => {
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve(module)), ...rest], { stdio: 'inherit' });
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
    exit(
      await new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', code => resolve(code ?? 1));
      }),
    );
  });
  return command;
}
