/** Reads a folder of manifests, or one file, as `--config DIR` and `-f PATH` name them. What they mean is shared/policy's. */
import { readFileSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { ParsedManifests } from '@sallyport/shared/policy/manifests.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { ManifestProblems } from './manifest-problems.ts';
import { shownPath } from './shown-path.ts';

export interface ManifestFile {
  /** Absolute, because what a manifest names with `file:` is found beside it. */
  path: string;
  text: string;
}

const FILES_MAX = 1_000;
/** Tables of cases for `policy test`, which lie beside manifests and are none. */
export const TEST_FILE = /\.test\.ya?ml$/;
const FILE_BYTES_MAX = 1_000_000;

/**
 * All `.yaml` and `.yml` files at or below `source`, in order of their paths; hidden ones and tests of policy (`*.test.yaml`) are
 * left out.
 * @throws {GatewayError} MANIFESTS_UNREADABLE, MANIFESTS_MISSING.
 */
export async function readManifestFiles(source: string): Promise<ManifestFile[]> {
  const root = path.resolve(source);
  const info = await stat(root).catch((cause: NodeJS.ErrnoException) => {
    const what =
      cause.code === 'ENOENT'
        ? `there is no file or folder ${source} to read manifests from.`
        : `${source} cannot be read: ${cause.message}`;
    throw new GatewayError('MANIFESTS_UNREADABLE', 'invalid', what, { cause });
  });
  const paths = info.isDirectory() ? await pathsBelow(root, name => /\.ya?ml$/.test(name) && !TEST_FILE.test(name)) : [root];
  if (paths.length === 0) throw new GatewayError('MANIFESTS_MISSING', 'invalid', `the folder ${source} has no .yaml files in it.`);
  return readTexts(paths);
}

/** @throws {GatewayError} MANIFESTS_UNREADABLE. */
export async function readTexts(paths: readonly string[]): Promise<ManifestFile[]> {
  return Promise.all(
    paths.map(async file => {
      try {
        if ((await stat(file)).size > FILE_BYTES_MAX) throw new Error(`it is larger than ${FILE_BYTES_MAX / 1e6} MB`);
        return { path: file, text: await readFile(file, 'utf8') };
      } catch (cause) {
        throw new GatewayError('MANIFESTS_UNREADABLE', 'invalid', `${file} cannot be read: ${errorText(cause)}.`, { cause });
      }
    }),
  );
}

/**
 * Files below a folder whose names are wanted, in order; hidden ones and `node_modules` are left out.
 * @throws {GatewayError} MANIFESTS_UNREADABLE when they are too many.
 */
export async function pathsBelow(root: string, wanted: (name: string) => boolean): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true });
  const paths = entries
    .filter(entry => !entry.isDirectory() && wanted(entry.name))
    .map(entry => path.join(entry.parentPath, entry.name))
    .filter(
      file =>
        !path
          .relative(root, file)
          .split(path.sep)
          .some(part => part.startsWith('.') || part === 'node_modules'),
    )
    .sort();
  if (paths.length > FILES_MAX) throw new GatewayError('MANIFESTS_UNREADABLE', 'invalid', `${root} holds more than ${FILES_MAX} files.`);
  return paths;
}

/**
 * Validates a whole set of manifests, which must be complete in itself, before anything is started.
 * @throws {ManifestProblems} with one line per problem, `file:line:column: message`.
 */
export async function checkManifests(files: readonly ManifestFile[]): Promise<ParsedManifests> {
  const { parseManifests, problemText } = await import('@sallyport/shared/policy/manifests.ts');
  const shown = files.map(({ path: file, text }) => ({ path: shownPath(file), text }));
  const parsed = parseManifests(shown, {
    readFile: (file, from) => readFileSync(path.resolve(path.dirname(from), file), 'utf8'),
  });
  if (parsed.problems.length > 0) throw new ManifestProblems(parsed.problems.map(problemText));
  return parsed;
}

/**
 * Says, before anything starts, which secret that a credential names is not there.
 * @throws {GatewayError} CREDENTIAL_MISSING.
 */
export function checkSecrets(manifests: readonly Manifest[], env: Readonly<Record<string, string | undefined>>): void {
  for (const manifest of manifests) {
    if (manifest.kind !== 'Credential') continue;
    const { password, privateKey, awsRdsIam } = (manifest as Manifest<'Credential'>).spec;
    for (const [what, source] of [
      ['password', password],
      ['private key', privateKey],
      ['secret access key', awsRdsIam?.keys?.secretAccessKey],
    ] as const) {
      if (source === undefined || !('env' in source) || env[source.env]) continue;
      throw new GatewayError(
        'CREDENTIAL_MISSING',
        'invalid',
        `credential ${manifest.name} takes its ${what} from the environment variable ${source.env}, which is not set. Set it and start again.`,
      );
    }
  }
}
