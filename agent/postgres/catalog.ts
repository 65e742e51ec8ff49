/**
 * The names behind RowDescription's numbers, read from the database over a side connection with the resource's own credential.
 *
 * One catalog per resource and database and worker; sessions share it. It is read whole when the first session that needs it
 * opens, and again when a result names a table that it does not hold. A view's columns stand for all protected columns
 * that the view is made from, directly or through other views: RowDescription names the view, not the table below.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { simpleQuery } from './side-connection.ts';
import type { UpstreamTarget } from './upstream.ts';

export interface ColumnOrigin {
  schema: string;
  table: string;
  column: string;
}

export interface Relation {
  schema: string;
  name: string;
  /** pg_class.relkind: r table, v view, m materialised view, f foreign table, p partitioned table … */
  kind: string;
  /** By attnum; 0 and dropped ones are absent. */
  columns: (string | undefined)[];
}

const RELATIONS = `select c.oid, n.nspname, c.relname, c.relkind, a.attnum, a.attname
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'v', 'm', 'f', 'p') and a.attnum > 0 and not a.attisdropped`;

/** For each view, the columns that its definition depends on. */
const VIEW_SOURCES = `select r.ev_class, d.refobjid, d.refobjsubid
from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
where d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> r.ev_class and d.refobjsubid > 0`;

/** Partitions and inheritance children: a child's column is its parent's by name. */
const INHERITANCE = 'select inhrelid, inhparent from pg_catalog.pg_inherits';

const CITEXT = `select oid from pg_catalog.pg_type where typname = 'citext'`;

const REFRESH_MIN_MS = 50;
const DEPTH_MAX = 64;

export class Catalog {
  #relations = new Map<number, Relation>();
  #viewSources = new Map<number, { oid: number; column: number }[]>();
  #parents = new Map<number, number[]>();
  #citext = new Set<number>();
  #origins = new Map<string, readonly ColumnOrigin[]>();
  #loading: Promise<void> | null = null;
  #loadedAtMs = 0;
  #version = 0;
  readonly #target: UpstreamTarget;
  readonly #database: string;

  constructor(target: UpstreamTarget, database: string) {
    this.#target = target;
    this.#database = database;
  }

  /** Rises when it was read again: what was derived from it is then derived anew. */
  get version(): number {
    return this.#version;
  }

  relation(oid: number): Relation | undefined {
    return this.#relations.get(oid);
  }

  entries(): Iterable<[number, Relation]> {
    return this.#relations;
  }

  isCitext(typeOid: number): boolean {
    return this.#citext.has(typeOid);
  }

  /**
   * Every column whose value may be what a result names as this column.
   *
   * @param throughViews also what a view may show of other tables; left out where the flow analysis has said that exactly.
   */
  originsOf(oid: number, column: number, throughViews: boolean): readonly ColumnOrigin[] {
    const id = `${oid}.${column}.${throughViews}`;
    let origins = this.#origins.get(id);
    if (origins === undefined) {
      const found: ColumnOrigin[] = [];
      this.#collect(oid, column, throughViews, found, new Set(), 0);
      origins = found;
      this.#origins.set(id, origins);
    }
    return origins;
  }

  #collect(oid: number, column: number, throughViews: boolean, found: ColumnOrigin[], seen: Set<string>, depth: number): void {
    const id = `${oid}.${column}`;
    if (seen.has(id) || depth > DEPTH_MAX) return;
    seen.add(id);
    const relation = this.#relations.get(oid);
    const name = relation?.columns[column];
    if (relation === undefined || name === undefined) return;
    found.push({ schema: relation.schema, table: relation.name, column: name });
    if (throughViews) {
      for (const source of this.#viewSources.get(oid) ?? []) this.#collect(source.oid, source.column, true, found, seen, depth + 1);
    }
    for (const parent of this.#parents.get(oid) ?? []) {
      const at = this.#relations.get(parent)?.columns.indexOf(name) ?? -1;
      if (at > 0) this.#collect(parent, at, throughViews, found, seen, depth + 1);
    }
  }

  /** Reads the catalog when it has not been read. @throws {GatewayError} PG_CATALOG_UNREADABLE */
  async load(): Promise<void> {
    if (this.#version === 0) await this.refresh();
  }

  /** Reads it anew; callers at the same time share one reading. @throws {GatewayError} PG_CATALOG_UNREADABLE */
  refresh(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #read(): Promise<void> {
    const waitMs = this.#loadedAtMs + REFRESH_MIN_MS - performance.now();
    if (waitMs > 0 && this.#version > 0) await new Promise(resolve => setTimeout(resolve, waitMs));
    let results: (string | null)[][][];
    try {
      results = await simpleQuery(this.#target, this.#database, [RELATIONS, VIEW_SOURCES, INHERITANCE, CITEXT]);
    } catch (error) {
      throw new GatewayError(
        'PG_CATALOG_UNREADABLE',
        'unavailable',
        'the database\u2019s catalog cannot be read, and column rules need it',
        { cause: error },
      );
    }
    const [relations = [], viewSources = [], inheritance = [], citext = []] = results;
    this.#relations = new Map();
    for (const [oid, schema, name, kind, attnum, attname] of relations) {
      let relation = this.#relations.get(Number(oid));
      if (relation === undefined) {
        relation = { schema: schema ?? '', name: name ?? '', kind: kind ?? '', columns: [] };
        this.#relations.set(Number(oid), relation);
      }
      relation.columns[Number(attnum)] = attname ?? '';
    }
    this.#viewSources = new Map();
    for (const [view, oid, column] of viewSources) push(this.#viewSources, Number(view), { oid: Number(oid), column: Number(column) });
    this.#parents = new Map();
    for (const [child, parent] of inheritance) push(this.#parents, Number(child), Number(parent));
    this.#citext = new Set(citext.map(([oid]) => Number(oid)));
    this.#origins = new Map();
    this.#loadedAtMs = performance.now();
    this.#version++;
  }
}

function push<T>(map: Map<number, T[]>, key: number, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

const catalogs = new Map<string, Catalog>();
const CATALOGS_MAX = 256;

/** The catalog that sessions of a resource's database share in this worker. */
export function catalogFor(resource: string, target: UpstreamTarget, database: string): Catalog {
  const id = JSON.stringify([resource, target.address, target.credential.username, database]);
  let catalog = catalogs.get(id);
  if (catalog === undefined) {
    if (catalogs.size >= CATALOGS_MAX) catalogs.clear();
    catalog = new Catalog(target, database);
    catalogs.set(id, catalog);
  }
  return catalog;
}
