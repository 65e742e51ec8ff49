/** `sallyport man`: prints the manual page. It is given the list of all commands, of which it is one itself. */
import { Command } from 'commander';
import type { CommandModule, Entry } from '../main.ts';
import { manPage } from '../man-page.ts';

export function manModule(commands: readonly { title: string; entries: readonly Entry[] }[], version: () => string): CommandModule {
  return {
    define: terminal =>
      new Command('sallyport man')
        .description('Prints the manual page, for `sallyport man | man -l -` or a file in a man1 folder.')
        .action(async () => terminal.out(await manPage(commands, terminal, version()))),
  };
}
