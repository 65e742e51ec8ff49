/**
 * What the agent knows of a database: the names behind RowDescription's numbers, and the snapshot that flow analysis resolves
 * statements with, read over a side connection with the resource's own credential.
 *
 * One catalog per resource, database and worker; sessions share it. It is read when the first session that needs it opens,
 * again after every definition that passes through the agent (in any worker), when a result names a table that it does not
 * hold, and when a look every half minute shows that somebody changed something from elsewhere. While it is known to be old,
 * nothing is judged with it.
 */
import { BroadcastChannel } from 'node:worker_threads';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { buildCatalog } from '@sallyport/shared/sql/flow/build-catalog.ts';
import type { CatalogSnapshot } from '@sallyport/shared/sql/flow/catalog.ts';
import { CATALOG_SETUP, type CatalogQueryName, catalogQueries } from '@sallyport/shared/sql/flow/catalog-queries.ts';
import { CatalogIndex, VIEW_SOURCES } from './catalog-index.ts';
import { simpleQuery } from './side-connection.ts';
import type { UpstreamTarget } from './upstream.ts';

/** Changes when any row of these catalogs does, other than by statistics, which are written in place. */
const FINGERPRINT = [
  'pg_namespace',
  'pg_class',
  'pg_attribute',
  'pg_rewrite',
  'pg_inherits',
  'pg_proc',
  'pg_type',
  'pg_operator',
  'pg_cast',
  'pg_attrdef',
]
  .map(
    name =>
      `(select pg_catalog.count(*)::text || ':' || coalesce(pg_catalog.sum(pg_catalog.hashtext(xmin::text || ctid::text)), 0)::text from pg_catalog.${name})`,
  )
  .join(" || ' ' || ");

const LOOK_MS = 30_000;
/** A table that is locked by a definition under way must not hold up everybody. */
const SETUP = `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '25s'; ${CATALOG_SETUP}`;

export class Catalog {
  readonly id: string;
  readonly #target: UpstreamTarget;
  readonly #database: string;
  #snapshot: CatalogSnapshot | null = null;
  #index = new CatalogIndex(null, []);
  #bytes = 0;
  #fingerprint = '';
  #reading: Promise<void> | null = null;
  #looking = false;
  #lookedAtMs = 0;
  #version = 0;
  /** Definitions that have run since the reading under way began, or at all. */
  #changes = 0;
  #readChanges = -1;

  constructor(id: string, target: UpstreamTarget, database: string) {
    this.id = id;
    this.#target = target;
    this.#database = database;
  }

  /** Rises when it was read again: what was derived from it is then derived anew. */
  get version(): number {
    return this.#version;
  }

  /** Nothing has changed since it was read, as far as is known. */
  get fresh(): boolean {
    return this.#readChanges === this.#changes;
  }

  /** @throws {GatewayError} PG_CATALOG_UNREADABLE when it was never read. */
  get snapshot(): CatalogSnapshot {
    if (this.#snapshot === null) throw new GatewayError('PG_CATALOG_UNREADABLE', 'unavailable', 'the database\u2019s catalog was not read');
    return this.#snapshot;
  }

  /** What results name by number. */
  get index(): CatalogIndex {
    return this.#index;
  }

  /** Bytes of what was read, so that nobody asks for too much on a client's connection. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A definition has run: nothing is judged until it was read again. */
  changed(): void {
    this.#changes++;
    announce(this.id);
  }

  /** The same, said by another worker. */
  changedElsewhere(): void {
    this.#changes++;
  }

  /** Looks, now and then and without waiting, whether something was changed from elsewhere. */
  look(nowMs: number): void {
    if (this.#looking || this.#snapshot === null || nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    this.#looking = true;
    simpleQuery(this.#target, this.#database, [`select ${FINGERPRINT}`])
      .then(
        ([rows]) => {
          if (rows?.[0]?.[0] !== this.#fingerprint) this.#changes++;
        },
        // The next look may succeed; sessions that the database does not serve have other troubles.
        () => undefined,
      )
      .finally(() => {
        this.#looking = false;
      });
  }

  /** Reads the catalog when it has not been read, or is old. @throws {GatewayError} PG_CATALOG_UNREADABLE */
  async load(): Promise<void> {
    if (!this.fresh) await this.refresh();
  }

  /** Reads it anew; callers at the same time share one reading. @throws {GatewayError} PG_CATALOG_UNREADABLE */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    // A change while it is being read makes another reading necessary.
    const changes = this.#changes;
    try {
      const [version = []] = await simpleQuery(this.#target, this.#database, ["select pg_catalog.current_setting('server_version_num')"]);
      const serverVersion = Number(version[0]?.[0]);
      const queries = Object.entries(catalogQueries(serverVersion)) as [CatalogQueryName, string][];
      const results = await simpleQuery(this.#target, this.#database, [
        SETUP,
        `select ${FINGERPRINT}`,
        VIEW_SOURCES,
        ...queries.map(([, text]) => text),
        'COMMIT',
      ]);
      const texts = Object.fromEntries(queries.map(([name], i) => [name, results[i + 3]?.[0]?.[0] ?? ''])) as Record<
        CatalogQueryName,
        string
      >;
      const snapshot = buildCatalog(serverVersion, texts);
      this.#snapshot = snapshot;
      this.#index = new CatalogIndex(snapshot, results[2] ?? []);
      this.#bytes = Object.values(texts).reduce((bytes, text) => bytes + text.length, 0);
      this.#fingerprint = results[1]?.[0]?.[0] ?? '';
    } catch (error) {
      throw new GatewayError(
        'PG_CATALOG_UNREADABLE',
        'unavailable',
        `the database\u2019s catalog cannot be read, and column rules need it (${errorText(error)})`,
        { cause: error },
      );
    }
    this.#readChanges = changes;
    this.#lookedAtMs = performance.now();
    this.#version++;
  }
}

const catalogs = new Map<string, Catalog>();
const CATALOGS_MAX = 256;

/** The catalog that sessions of a resource's database share in this worker. */
export function catalogFor(resource: string, target: UpstreamTarget, database: string): Catalog {
  const id = JSON.stringify([resource, target.address, target.credential.username, database]);
  let catalog = catalogs.get(id);
  if (catalog === undefined) {
    if (catalogs.size >= CATALOGS_MAX) catalogs.clear();
    catalog = new Catalog(id, target, database);
    catalogs.set(id, catalog);
  }
  return catalog;
}

/** Workers tell each other of definitions: their catalogs are of the same databases. */
const channel = new BroadcastChannel('sallyport catalogs');
channel.unref();
channel.onmessage = event => {
  const { data } = event as { data: unknown };
  if (typeof data === 'string') catalogs.get(data)?.changedElsewhere();
};

function announce(id: string): void {
  channel.postMessage(id);
}
