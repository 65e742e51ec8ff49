/**
 * A database's catalog as a file: what an agent read of its system catalogs, kept beside manifests so that policy can be tried
 * without the database. It holds names, types, and the texts of views and functions; no row of any table.
 */
import { GatewayError } from '../errors.ts';
import { buildCatalog } from '../sql/flow/build-catalog.ts';
import type { CatalogSnapshot } from '../sql/flow/catalog.ts';
import type { CatalogQueryName } from '../sql/flow/catalog-queries.ts';

/** The file's JSON. */
export interface CatalogFile {
  format: 'sallyport-catalog';
  version: 1;
  resource: string;
  database: string;
  readAt: string; // ISO 8601
  serverVersion: number; // as server_version_num: 180004
  /** Schemas in the order in which the resource's account searches them. */
  searchPath: string[];
  /** What each query of shared/sql/flow/catalog-queries.ts returned. */
  texts: Record<CatalogQueryName, string>;
}

/** A catalog to judge by. */
export interface CatalogView {
  snapshot: CatalogSnapshot;
  searchPath: readonly string[];
  readAt: string;
}

const QUERIES: readonly CatalogQueryName[] = ['schemas', 'relations', 'functions', 'systemFunctions', 'types', 'operators', 'casts'];

/** @throws {GatewayError} CATALOG_FILE_INVALID with what is wrong with it. */
export function parseCatalogFile(text: string): CatalogFile {
  const invalid = (why: string, cause?: unknown) =>
    new GatewayError('CATALOG_FILE_INVALID', 'invalid', `the catalog file ${why}. Write one with \`sallyport policy catalog RESOURCE\`.`, {
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid('is no JSON', cause);
  }
  const file = value as Partial<CatalogFile> | null;
  if (typeof file !== 'object' || file === null || file.format !== 'sallyport-catalog') throw invalid('is not one that Sallyport wrote');
  if (file.version !== 1) throw invalid('has a format of another version');
  const { texts, searchPath, serverVersion } = file;
  const whole =
    typeof file.resource === 'string' &&
    typeof file.database === 'string' &&
    typeof file.readAt === 'string' &&
    typeof serverVersion === 'number' &&
    Array.isArray(searchPath) &&
    searchPath.every(each => typeof each === 'string') &&
    typeof texts === 'object' &&
    texts !== null &&
    QUERIES.every(name => typeof texts[name] === 'string');
  if (!whole) throw invalid('is not complete');
  return file as CatalogFile;
}

/** @throws {GatewayError} SQL_CATALOG_INVALID. */
export function catalogView(file: CatalogFile): CatalogView {
  return { snapshot: buildCatalog(file.serverVersion, file.texts), searchPath: file.searchPath, readAt: file.readAt };
}
