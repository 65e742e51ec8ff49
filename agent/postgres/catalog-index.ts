/**
 * The names behind RowDescription's numbers: which column of which table a result's column is, and of which other tables it may
 * show values. Made from one reading of a catalog.
 */
import type { CatalogSnapshot } from '@sallyport/shared/sql/flow/catalog.ts';

export interface ColumnOrigin {
  schema: string;
  table: string;
  column: string;
}

export interface Relation {
  schema: string;
  name: string;
  /** Its columns are made from other relations'. */
  derived: boolean;
  /** By attnum; 0 and dropped ones are absent. */
  columns: (string | undefined)[];
}

/** For each view, the columns that its definition depends on. */
export const VIEW_SOURCES = `select r.ev_class, d.refobjid, d.refobjsubid
from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class and d.refobjsubid > 0`;

const DEPTH_MAX = 64;

export class CatalogIndex {
  readonly #snapshot: CatalogSnapshot | null;
  readonly #relations = new Map<number, Relation>();
  readonly #viewSources = new Map<number, { oid: number; column: number }[]>();
  readonly #citext = new Set<number>();
  readonly #origins = new Map<string, readonly ColumnOrigin[]>();

  /**
   * @param snapshot null: nothing is known.
   * @param viewSources what VIEW_SOURCES returned.
   */
  constructor(snapshot: CatalogSnapshot | null, viewSources: readonly (readonly (string | null)[])[]) {
    this.#snapshot = snapshot;
    for (const [oid, { schema, name, kind, columns }] of snapshot?.relations ?? []) {
      const relation: Relation = { schema, name, derived: kind === 'v' || kind === 'm', columns: [] };
      for (const column of columns) relation.columns[column.attnum] = column.name;
      this.#relations.set(oid, relation);
    }
    for (const [view, oid, column] of viewSources) {
      const source = { oid: Number(oid), column: Number(column) };
      const sources = this.#viewSources.get(Number(view));
      if (sources === undefined) this.#viewSources.set(Number(view), [source]);
      else sources.push(source);
    }
    for (const [oid, type] of snapshot?.types ?? []) if (type.name === 'citext') this.#citext.add(oid);
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
    // Partitions and inheritance children: a child's column is its parent's by name.
    for (const parent of this.#snapshot?.relations.get(oid)?.parents ?? []) {
      const at = this.#relations.get(parent)?.columns.indexOf(name) ?? -1;
      if (at > 0) this.#collect(parent, at, throughViews, found, seen, depth + 1);
    }
  }
}
