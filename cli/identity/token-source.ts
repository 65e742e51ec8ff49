/**
 * Whose token a command acts with. In this order: `--as PERSON` (demo only), `--token-file FILE`, a service account's client
 * credentials (SALLYPORT_CLIENT_ID, SALLYPORT_CLIENT_SECRET, SALLYPORT_ISSUER), SALLYPORT_TOKEN, and the login that
 * `sallyport login` keeps, renewed when it has run out. A token is never an argument: arguments are for everybody to read.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Command } from 'commander';
import { readText } from '../connection.ts';
import { readDemo } from '../demo/demo-file.ts';
import { DEMO_CLIENT, DEMO_GRANT, PEOPLE, SERVICE_ACCOUNT } from '../demo/people.ts';
import { dataFolder } from '../endpoints.ts';
import { requestToken } from '../http-client.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { readLogin, saveLogin } from './login-store.ts';

export interface IdentityOptions {
  as?: string;
  tokenFile?: string;
  data?: string;
}

const RENEW_BEFORE_MS = 60_000;

export function withIdentityOptions(command: Command): Command {
  return command
    .option('--as <PERSON>', `demo only: be one of its people (${[...PEOPLE.map(({ id }) => id), SERVICE_ACCOUNT].join(', ')})`)
    .option('--token-file <FILE>', "file with the identity provider's token, as workloads have it mounted");
}

/** @throws {GatewayError} NOT_SIGNED_IN and what the sources throw. */
export async function identityToken(options: IdentityOptions, { env }: Pick<Terminal, 'env'>): Promise<string> {
  if (options.as !== undefined) return demoToken(options.as, dataFolder(options.data, env));
  if (options.tokenFile !== undefined) return (await readText(options.tokenFile, 'the token')).trim();
  if (env.SALLYPORT_CLIENT_ID && env.SALLYPORT_CLIENT_SECRET) {
    if (!env.SALLYPORT_ISSUER) {
      throw new UsageError(
        'with SALLYPORT_CLIENT_ID and SALLYPORT_CLIENT_SECRET goes SALLYPORT_ISSUER, the address of the identity provider',
      );
    }
    const { clientCredentialsToken } = await import('./oauth.ts');
    return clientCredentialsToken(env.SALLYPORT_ISSUER, env.SALLYPORT_CLIENT_ID, env.SALLYPORT_CLIENT_SECRET);
  }
  if (env.SALLYPORT_TOKEN) return env.SALLYPORT_TOKEN;
  return loginToken(env);
}

async function loginToken(env: Terminal['env']): Promise<string> {
  const login = await readLogin(env);
  if (!login) {
    throw new GatewayError(
      'NOT_SIGNED_IN',
      'unauthenticated',
      'nobody is signed in. Run `sallyport login` (in the demo, `--as alice` does without).',
    );
  }
  if (login.expiresAt - RENEW_BEFORE_MS > Date.now()) return login.token;
  if (login.refreshToken === undefined) {
    throw new GatewayError('NOT_SIGNED_IN', 'unauthenticated', `the login at ${login.issuer} has run out. Run \`sallyport login\` again.`);
  }
  const { refreshLogin } = await import('./oauth.ts');
  const renewed = await refreshLogin(login, login.refreshToken);
  await saveLogin(env, renewed);
  return renewed.token;
}

/** Asks the sample provider for the token of one of its people, or of its service account. */
async function demoToken(id: string, folder: string): Promise<string> {
  const { issuer } = await readDemo(folder);
  if (id === SERVICE_ACCOUNT) {
    const keys = await readFile(path.join(folder, 'demo', 'identity-provider', 'keys.json'), 'utf8');
    const { serviceAccountSecret } = JSON.parse(keys) as { serviceAccountSecret: string };
    return requestToken(issuer, { grant_type: 'client_credentials' }, { id, secret: serviceAccountSecret });
  }
  if (!PEOPLE.some(person => person.id === id)) {
    throw new UsageError(`--as ${id}: the demo's people are ${[...PEOPLE.map(person => person.id), SERVICE_ACCOUNT].join(', ')}`);
  }
  return requestToken(issuer, { grant_type: DEMO_GRANT, client_id: DEMO_CLIENT, person: id });
}
