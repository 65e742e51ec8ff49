/**
 * What `sallyport login` keeps: one login per issuer, in `$XDG_CONFIG_HOME/sallyport/logins.json` (default ~/.config), which
 * only its owner may read. Refresh tokens are secrets like passwords: they are in no log and in no argument.
 */
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { replaceFile } from '../endpoints.ts';
import { readIfThere } from '../read-if-there.ts';

export interface Login {
  issuer: string;
  clientId: string;
  /** The JWT that says who it is: an access token or an id token. */
  token: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  refreshToken?: string;
}

interface Stored {
  current: string;
  logins: Record<string, Login>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** The login that was made last, or the one at `issuer`. */
export async function readLogin(env: Env, issuer?: string): Promise<Login | undefined> {
  const stored = await readStored(env);
  return stored?.logins[issuer ?? stored.current];
}

/** Keeps a login, in place of an earlier one at the same issuer, and makes it the current one. */
export async function saveLogin(env: Env, login: Login): Promise<void> {
  const file = storeFile(env);
  const stored = (await readStored(env)) ?? { current: login.issuer, logins: {} };
  stored.current = login.issuer;
  stored.logins[login.issuer] = login;
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await replaceFile(file, `${JSON.stringify(stored, null, 2)}\n`);
}

/** Forgets the login at an issuer. Another one, if there is any, becomes the current one. */
export async function forgetLogin(env: Env, issuer: string): Promise<void> {
  const stored = await readStored(env);
  if (stored === undefined) return;
  const { [issuer]: _gone, ...logins } = stored.logins;
  const [other = ''] = Object.keys(logins);
  const current = stored.current === issuer ? other : stored.current;
  await replaceFile(storeFile(env), `${JSON.stringify({ current, logins }, null, 2)}\n`);
}

async function readStored(env: Env): Promise<Stored | undefined> {
  const text = await readIfThere(storeFile(env));
  if (text === null) return undefined;
  try {
    return JSON.parse(text) as Stored;
  } catch (cause) {
    throw new GatewayError('LOGIN_UNREADABLE', 'internal', `${storeFile(env)} is damaged. Delete it and run \`sallyport login\` again.`, {
      cause,
    });
  }
}

function storeFile(env: Env): string {
  const home = env.HOME || safeHome();
  const folder = env.XDG_CONFIG_HOME || (home && path.join(home, '.config'));
  if (!folder) {
    throw new GatewayError('LOGIN_UNREADABLE', 'invalid', 'there is no home folder to keep the login in. Set HOME or XDG_CONFIG_HOME.');
  }
  return path.join(folder, 'sallyport', 'logins.json');
}

function safeHome(): string {
  try {
    return os.userInfo().homedir;
  } catch {
    return ''; // a user without an entry in the system's list
  }
}
