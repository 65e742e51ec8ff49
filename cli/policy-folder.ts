/** A folder with manifests, and beside them the catalogs (`*.catalog.json`) of the databases that they are about. */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { CompiledPolicy } from '@sallyport/shared/policy/compile.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { CatalogView } from '@sallyport/shared/rehearsal/catalog-file.ts';
import { checkManifests, pathsBelow, readManifestFiles } from './manifest-files.ts';
import { shownPath } from './shown-path.ts';

export interface PolicyFolder {
  policy: CompiledPolicy;
  manifests: readonly Manifest[];
  /** resource → its catalog, for those that have a file. */
  catalogs: ReadonlyMap<string, CatalogView>;
}

const CATALOG_BYTES_MAX = 128 * 1024 * 1024;

/**
 * @param source a manifest, or a folder of them.
 * @throws {ManifestProblems}, {GatewayError} MANIFESTS_…, CATALOG_FILE_INVALID.
 */
export async function readPolicyFolder(source: string): Promise<PolicyFolder> {
  const { manifests } = await checkManifests(await readManifestFiles(source));
  const { policyOf } = await import('@sallyport/shared/policy/policy-of.ts');
  const catalogs = new Map<string, CatalogView>();
  const root = path.resolve(source);
  const folder = (await stat(root)).isDirectory() ? root : path.dirname(root);
  for (const file of await pathsBelow(folder, name => name.endsWith('.catalog.json'))) {
    const { resource, view } = await readCatalog(file);
    if (catalogs.has(resource)) {
      throw new GatewayError('CATALOG_FILE_INVALID', 'invalid', `${shownPath(folder)} holds two catalogs of ${resource}; keep one.`);
    }
    catalogs.set(resource, view);
  }
  return { policy: policyOf(manifests), manifests, catalogs };
}

/** @throws {GatewayError} CATALOG_FILE_INVALID, FILE_UNREADABLE. */
export async function readCatalog(file: string): Promise<{ resource: string; view: CatalogView }> {
  const { catalogView, parseCatalogFile } = await import('@sallyport/shared/rehearsal/catalog-file.ts');
  let text: string;
  try {
    if ((await stat(file)).size > CATALOG_BYTES_MAX) throw new Error('it is larger than any catalog');
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new GatewayError('FILE_UNREADABLE', 'invalid', `the catalog cannot be read from ${shownPath(file)}: ${errorText(cause)}.`, {
      cause,
    });
  }
  try {
    const parsed = parseCatalogFile(text);
    return { resource: parsed.resource, view: catalogView(parsed) };
  } catch (cause) {
    throw new GatewayError('CATALOG_FILE_INVALID', 'invalid', `${shownPath(file)}: ${errorText(cause)}`, { cause });
  }
}
