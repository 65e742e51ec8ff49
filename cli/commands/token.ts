/** `sallyport token`: prints the identity provider's token and nothing else, for `PGPASSWORD=$(sallyport token)`. */
import { Command } from 'commander';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import type { Terminal } from '../terminal.ts';

export function define(terminal: Terminal): Command {
  return withIdentityOptions(new Command('sallyport token'))
    .description("Prints the identity provider's token, which is good for every resource that its bearer may reach.")
    .option('--data <DIR>', 'data folder of the demo (SALLYPORT_DATA; default ./.sallyport)')
    .action(async (options: IdentityOptions) => {
      terminal.out(await identityToken(options, terminal));
    });
}
