/**
 * Reads a database's catalog for rehearsals of policy: what flow analysis resolves names with, as texts, on a connection of its own.
 * Nothing is kept here; sessions judge by catalog.ts.
 */
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { replaceSpans } from '@sallyport/shared/masking/mask.ts';
import type { CatalogFile } from '@sallyport/shared/rehearsal/catalog-file.ts';
import { changeDefinitions } from '@sallyport/shared/sql/flow/build-catalog.ts';
import { CATALOG_SETUP, type CatalogQueryName, catalogQueries } from '@sallyport/shared/sql/flow/catalog-queries.ts';
import { effectiveSearchPath } from '@sallyport/shared/sql/flow/session.ts';
import type { ResourceState } from '../session/lease-state.ts';
import { simpleQuery } from './side-connection.ts';
import type { UpstreamTarget } from './upstream.ts';

const SETTINGS =
  "select pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('search_path'), current_user::text, pg_catalog.current_database()::text";
const SETUP = `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '25s'; ${CATALOG_SETUP}`;

/**
 * @param database where the resource names none.
 * @param secrets what definitions are cleared of before they leave the agent.
 * @throws {GatewayError} PG_DATABASE_MISSING, PG_CATALOG_UNREADABLE.
 */
export async function readCatalogFile(
  { name, spec, credential, maskKey }: ResourceState,
  database: string,
  secrets: DetectorSet | null,
): Promise<CatalogFile> {
  const target: UpstreamTarget = { address: spec.upstream.address, tls: spec.upstream.tls, credential };
  const wanted = spec.upstream.database ?? database;
  if (wanted === '') {
    throw new GatewayError('PG_DATABASE_MISSING', 'invalid', `resource ${name} names no database; say of which the catalog is wanted`);
  }
  try {
    const [settings = []] = await simpleQuery(target, wanted, [SETTINGS]);
    const [version, path, user, opened] = settings[0] ?? [];
    const serverVersion = Number(version);
    const queries = Object.entries(catalogQueries(serverVersion)) as [CatalogQueryName, string][];
    const results = await simpleQuery(target, wanted, [SETUP, ...queries.map(([, text]) => text), 'COMMIT']);
    const texts = Object.fromEntries(queries.map(([query], i) => [query, results[i + 1]?.[0]?.[0] ?? ''])) as Record<
      CatalogQueryName,
      string
    >;
    return {
      format: 'sallyport-catalog',
      version: 1,
      resource: name,
      database: opened ?? wanted,
      readAt: new Date().toISOString(),
      serverVersion,
      searchPath: effectiveSearchPath(path ?? '', user ?? ''),
      texts: secrets === null ? texts : changeDefinitions(texts, text => withoutSecrets(text, secrets, maskKey)),
    };
  } catch (cause) {
    throw new GatewayError('PG_CATALOG_UNREADABLE', 'unavailable', `the catalog of ${name} cannot be read: ${errorText(cause)}`, { cause });
  }
}

function withoutSecrets(text: string, secrets: DetectorSet, key: Uint8Array): string {
  const bytes = Buffer.from(text);
  const spans = secrets.scan(bytes, 0, bytes.length);
  return spans.length === 0 ? text : Buffer.from(replaceSpans(bytes, 0, bytes.length, spans, 'redact', key)).toString('utf8');
}
