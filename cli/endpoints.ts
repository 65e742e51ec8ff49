/**
 * `DATA/endpoints.json`: where a running `sallyport up` is to be found, for other commands and for people's scripts. It holds
 * the administrator's token and the session store's password, so only its owner may read it (mode 0600), and it is replaced
 * whole (written beside, then renamed): a reader sees the old one or the new one. It is absent while nothing runs.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface Endpoints {
  /** Base URLs without a final slash. */
  console: string;
  api: string;
  /** host:port */
  grpc: string;
  clickhouse: { url: string; user: string; password: string };
  /** A user who may only read it, for people and dashboards; absent where the platform cannot confine one. */
  clickhouseReader?: { url: string; user: string; password: string };
  /** Path of the PEM file with the CA that agents' certificates come from: what clients verify against. */
  ca: string;
  /** Resource name → host:port where clients connect. */
  resources: Record<string, string>;
  /** Process ids by name: `control-plane`, `agent`, `session-store`, `ingest`, and the demo's. */
  pids: Record<string, number>;
  adminToken: string;
}

export const DEFAULT_DATA_FOLDER = './.sallyport';

/** Where a command looks: `--data`, else SALLYPORT_DATA, else ./.sallyport; absolute. */
export function dataFolder(option: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  return path.resolve(option ?? (env.SALLYPORT_DATA || DEFAULT_DATA_FOLDER));
}

/**
 * Reads the endpoints of the Sallyport that runs on `folder`.
 * @throws {GatewayError} NOT_RUNNING when there is no such file; ENDPOINTS_UNREADABLE when it cannot be used.
 */
export async function readEndpoints(folder: string): Promise<Endpoints> {
  const file = endpointsFile(folder);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
      throw new GatewayError(
        'NOT_RUNNING',
        'unavailable',
        `no Sallyport runs on ${folder}. Start one with \`sallyport up\`, or say where it is: --data DIR, or --api URL with SALLYPORT_TOKEN.`,
        { cause },
      );
    }
    throw new GatewayError(
      'ENDPOINTS_UNREADABLE',
      'unavailable',
      `${file} cannot be read. Run this as the user who started \`sallyport up\`.`,
      {
        cause,
      },
    );
  }
  try {
    return JSON.parse(text) as Endpoints;
  } catch (cause) {
    throw new GatewayError('ENDPOINTS_UNREADABLE', 'internal', `${file} is not JSON. Restart \`sallyport up\` to write it again.`, {
      cause,
    });
  }
}

/** Replaces the file in one step, mode 0600. */
export async function writeEndpoints(folder: string, endpoints: Endpoints): Promise<void> {
  await replaceFile(endpointsFile(folder), `${JSON.stringify(endpoints, null, 2)}\n`);
}

/** Removes the file; nothing runs any more. */
export async function removeEndpoints(folder: string): Promise<void> {
  await rm(endpointsFile(folder), { force: true });
}

/** Writes a file that only its owner may read, in one step. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const beside = `${file}.${randomBytes(6).toString('hex')}.new`;
  try {
    await writeFile(beside, text, { mode: 0o600, flag: 'wx' });
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

function endpointsFile(folder: string): string {
  return path.join(folder, 'endpoints.json');
}
