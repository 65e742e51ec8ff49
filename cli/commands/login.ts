/** `sallyport login`: signs a person in with the browser, by the device flow or on this machine's own, and keeps the login. */
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { dataFolder, readEndpoints } from '../endpoints.ts';
import { requestJson } from '../http-client.ts';
import { nameOf } from '../identity/claims.ts';
import { saveLogin } from '../identity/login-store.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface LoginOptions extends ConnectionOptions {
  issuer?: string;
  clientId?: string;
  audience?: string;
  browser?: true;
  console?: true;
  provider?: string;
}

export function define(terminal: Terminal): Command {
  return withConnectionOptions(new Command('sallyport login'))
    .description("Signs you in at your company's identity provider, with the browser.")
    .option('--issuer <URL>', 'the identity provider (SALLYPORT_ISSUER; default: the one of the running Sallyport)')
    .option('--client-id <ID>', 'the public client to sign in as (SALLYPORT_CLIENT_ID; default: clientId of the IdentityProvider manifest)')
    .option('--audience <NAME>', 'what the token has to be for (default: audiences of the IdentityProvider manifest)')
    .option('--browser', "with this machine's browser, without a code to compare (BROWSER=none only prints the address)")
    .option('--console', "by way of the console, with whatever it signs people in with, SAML too; with this machine's browser")
    .option('--provider <NAME>', 'with --console: the identity provider (default: the only one, or the one of the console’s session)')
    .action(async (options: LoginOptions) => {
      if (options.console) return consoleLogin(options, terminal);
      const { issuer, clientId, audiences } = await provider(options, terminal);
      const { browserLogin, deviceLogin } = await import('../identity/oauth.ts');
      const { bold, cyan, dim } = terminal.errStyle;
      if (options.browser) {
        const { openBrowser } = await import('../open-browser.ts');
        const login = await browserLogin(issuer, clientId, audiences, page => {
          openBrowser(page, terminal.env);
          terminal.err(`Your browser goes to ${cyan(page)}`);
          terminal.err(dim('Waiting …'));
        });
        await saveLogin(terminal.env, login);
        return terminal.err(`Signed in as ${bold(nameOf(login.token))} at ${issuer}.`);
      }
      const login = await deviceLogin(issuer, clientId, audiences, (page, code, complete) => {
        terminal.err(`Open ${cyan(complete ?? page)}`);
        terminal.err(`and check that it shows the code ${bold(code)}. ${dim('Waiting …')}`);
      });
      await saveLogin(terminal.env, login);
      terminal.err(`Signed in as ${bold(nameOf(login.token))} at ${issuer}.`);
    });
}

/** The token is the control plane's own, for its API. */
async function consoleLogin(options: LoginOptions, terminal: Terminal): Promise<void> {
  const { api } = await findConnection(options, terminal);
  const { loginByConsole } = await import('../identity/console-login.ts');
  const { openBrowser } = await import('../open-browser.ts');
  const { bold, cyan, dim } = terminal.errStyle;
  const login = await loginByConsole(api, options.provider, page => {
    openBrowser(page, terminal.env);
    terminal.err(`Your browser goes to ${cyan(page)}`);
    terminal.err(dim('Waiting …'));
  });
  await saveLogin(terminal.env, login);
  terminal.err(`Signed in as ${bold(nameOf(login.token))} at ${api.url}.`);
}

interface Provider {
  issuer: string;
  clientId: string;
  audiences: string[];
}

/** What the options and the environment say, and the rest from the manifest of the Sallyport that runs here. */
async function provider(options: LoginOptions, { env }: Terminal): Promise<Provider> {
  const issuer = options.issuer ?? (env.SALLYPORT_ISSUER || undefined);
  const clientId = options.clientId ?? (env.SALLYPORT_CLIENT_ID || undefined);
  const audiences = options.audience === undefined ? [] : [options.audience];
  if (issuer !== undefined && clientId !== undefined) return { issuer, clientId, audiences };
  if (options.api !== undefined) throw new UsageError('with --api give --issuer URL and --client-id ID of your identity provider');
  const endpoints = await readEndpoints(dataFolder(options.data, env));
  const answer = (await requestJson({ url: endpoints.api, token: endpoints.adminToken }, 'GET', '/v1/manifests/IdentityProvider')) as {
    manifests: { spec: { oidc?: { issuer: string; audiences: string[]; clientId?: string } } }[];
  };
  const known = answer.manifests.flatMap(({ spec }) => (spec.oidc?.clientId || clientId ? [spec.oidc] : []));
  const chosen = known.find(each => issuer === undefined || each?.issuer === issuer);
  const client = clientId ?? chosen?.clientId;
  if (!chosen || client === undefined) {
    throw new UsageError(
      'no IdentityProvider manifest names a `clientId` for signing in; add it there, or give --issuer URL and --client-id ID',
    );
  }
  return { issuer: chosen.issuer, clientId: client, audiences: audiences.length > 0 ? audiences : chosen.audiences };
}
