/** `sallyport logout`: forgets the login on this machine, and tells the identity provider that it is over. */
import { errorText } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import { forgetLogin, readLogin } from '../identity/login-store.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

export function define(terminal: Terminal): Command {
  return new Command('sallyport logout')
    .description('Forgets the login on this machine, and revokes what renews it at the identity provider.')
    .option('--issuer <URL>', 'the identity provider; default: the one of the last login')
    .action(async ({ issuer }: { issuer?: string }) => {
      const login = await readLogin(terminal.env, issuer);
      if (login === undefined) return terminal.err('Nobody is signed in.');
      // First here: what fails there must not keep it on this machine.
      await forgetLogin(terminal.env, login.issuer);
      if (login.refreshToken !== undefined) {
        try {
          const { revokeRefreshToken } = await import('../identity/oauth.ts');
          await revokeRefreshToken(login, login.refreshToken);
        } catch (error) {
          terminal.err(`${terminal.errStyle.yellow('warning:')} ${printable(errorText(error))}`);
        }
      }
      terminal.err(`Signed out of ${login.issuer}.`);
    });
}
