/**
 * How commands that use the API find it: `--api URL [--ca FILE]` with SALLYPORT_TOKEN, or the endpoints of the `sallyport up`
 * that runs on `--data DIR`.
 */
import { readFile } from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Command } from 'commander';
import { dataFolder, type Endpoints, readEndpoints } from './endpoints.ts';
import { type ApiAddress, requestJson } from './http-client.ts';
import { readLogin } from './identity/login-store.ts';
import { profileOf } from './profiles.ts';
import type { Terminal } from './terminal.ts';

export interface ConnectionOptions {
  data?: string;
  api?: string;
  ca?: string;
  profile?: string;
}

/** Adds the options that every command with an API has. */
export function withConnectionOptions(command: Command): Command {
  return command
    .option('--data <DIR>', 'data folder of the running `sallyport up` (SALLYPORT_DATA; default ./.sallyport)')
    .option('--api <URL>', 'address of a control plane elsewhere (SALLYPORT_API), with SALLYPORT_TOKEN')
    .option('--ca <FILE>', 'PEM file of the CA to trust: for --api with https, and for connections to resources (SALLYPORT_CA)')
    .option('--profile <NAME>', 'an installation that `sallyport profile add` has named (SALLYPORT_PROFILE)');
}

export interface Connection {
  api: ApiAddress;
  /** Present when it was found through a data folder. */
  endpoints?: Endpoints;
  /** PEM file that clients verify resources with, when one is known. */
  caFile?: string;
}

/** @throws {GatewayError} NOT_RUNNING, ENDPOINTS_UNREADABLE, FILE_UNREADABLE. */
export async function findConnection(options: ConnectionOptions, { env }: Pick<Terminal, 'env'>): Promise<Connection> {
  const isSaid = options.api !== undefined || options.data !== undefined;
  const isInEnvironment = Boolean(env.SALLYPORT_API || env.SALLYPORT_DATA);
  // What is typed goes before what is set, and both before the profile that is used otherwise.
  const profile =
    options.profile !== undefined || (!isSaid && (env.SALLYPORT_PROFILE || !isInEnvironment))
      ? await profileOf(options.profile, env)
      : null;
  const url = options.api ?? profile?.api ?? (options.data === undefined ? env.SALLYPORT_API || undefined : undefined);
  const caFile = options.ca ?? profile?.ca ?? (env.SALLYPORT_CA || undefined);
  if (url !== undefined) {
    const ca = caFile === undefined ? undefined : await readText(caFile, 'the CA');
    const token = env.SALLYPORT_TOKEN || (profile === null ? undefined : await loginOf(env));
    return {
      api: { url: url.replace(/\/+$/, ''), ...(ca === undefined ? {} : { ca }), ...(token === undefined ? {} : { token }) },
      ...(caFile === undefined ? {} : { caFile }),
    };
  }
  const endpoints = await readEndpoints(dataFolder(options.data, env));
  return { api: { url: endpoints.api, token: endpoints.adminToken }, endpoints, caFile: caFile ?? endpoints.ca };
}

/** Whom `sallyport login` has signed in, as long as that lasts: for installations that the user has named. */
async function loginOf(env: Terminal['env']): Promise<string | undefined> {
  const login = await readLogin(env);
  return login !== undefined && login.expiresAt > Date.now() ? login.token : undefined;
}

/** A request as an administrator: with the token of the endpoints file, or SALLYPORT_TOKEN. */
export async function administratorRequest(
  connection: Connection,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  if (!connection.api.token) {
    throw new GatewayError(
      'TOKEN_MISSING',
      'unauthenticated',
      'a token is needed there: put it into the environment variable SALLYPORT_TOKEN, or, with a profile, sign in (`sallyport login`).',
    );
  }
  return requestJson(connection.api, method, path, body, headers);
}

/** All rows of a listing, page by page, under the name that they have in it. */
export async function allPages<Row>(connection: Connection, path: string, name: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query = cursor === '' ? '' : `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
    const page = (await administratorRequest(connection, 'GET', path + query)) as Record<string, Row[]> & { next?: string | null };
    rows.push(...(page[name] ?? []));
    cursor = page.next ?? null;
  }
  return rows;
}

/** Reads a text file that an option names. `what` completes "… cannot be read". */
export async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new GatewayError('FILE_UNREADABLE', 'invalid', `${what} cannot be read from ${file}: ${errorText(cause)}.`, { cause });
  }
}
