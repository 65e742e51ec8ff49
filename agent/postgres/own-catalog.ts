/**
 * The catalog as one session sees it: with what its open transaction has created, changed or dropped, and with its temporary
 * objects, which no other connection can see. Read on the session's own connection, between the client's commands and unseen by
 * the client, inside of a savepoint (or a transaction of its own) that is rolled back, so that settings and locks are as before.
 *
 * One statement reads it all, so that it is of one moment. In a transaction that keeps its snapshot (REPEATABLE READ and
 * above) such a statement would not see what others have committed since, though names are resolved by it: there nothing is read.
 *
 * What it says holds while the shared catalog is the same, and until the session's next definition: session-names.ts keeps track.
 */
import type { SessionPolicy } from '@sallyport/shared/policy/decide.ts';
import { FlowAnalyser } from '@sallyport/shared/sql/flow/analyse-flow.ts';
import { buildCatalog } from '@sallyport/shared/sql/flow/build-catalog.ts';
import type { CatalogRelation, CatalogSnapshot } from '@sallyport/shared/sql/flow/catalog.ts';
import { type CatalogQueryName, catalogQueries, OWN_CATALOG_SETUP } from '@sallyport/shared/sql/flow/catalog-queries.ts';
import type { PolicyInForce } from '../session/lease-state.ts';
import { CatalogIndex, VIEW_SOURCES } from './catalog-index.ts';

/** Schema of temporary objects in an OwnCatalog. */
export const TEMPORARY = 'pg_temp';
/** What PostgreSQL has itself does not change. */
const UNCHANGING: CatalogQueryName = 'systemFunctions';
const READ_COMMITTED = new Set(['read committed', 'read uncommitted']);

/** Statements to run inside of a savepoint; the last one returns the row that `ownCatalogOf` takes. @param base of the same server. */
export function ownCatalogStatements(base: CatalogSnapshot, clientEncoding: string): string[] {
  const queries = Object.entries(catalogQueries(base.serverVersion, true)).filter(([name]) => name !== UNCHANGING);
  const sources = `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(s.ev_class::bigint, s.refobjid::bigint, s.refobjsubid)), '[]')::text from (${VIEW_SOURCES}) s`;
  // In another encoding the server would convert the text, or fail to: hexadecimal digits are the same in all of them.
  const plain = clientEncoding === 'UTF8' || clientEncoding === 'UNICODE';
  const sent = (query: string) => (plain ? `(${query})` : `pg_catalog.encode(pg_catalog.convert_to((${query}), 'UTF8'), 'hex')`);
  const columns = [...queries.map(([, query]) => query), sources].map(sent);
  return [...OWN_CATALOG_SETUP, `select pg_catalog.current_setting('transaction_isolation'), ${columns.join(', ')}`];
}

export class OwnCatalog {
  readonly snapshot: CatalogSnapshot;
  readonly index: CatalogIndex;
  /** Temporary tables, views and sequences by name. */
  readonly temporary = new Map<string, CatalogRelation>();
  /** Names of all temporary objects. */
  readonly temporaryNames = new Set<string>();
  readonly #analysers = new WeakMap<PolicyInForce, FlowAnalyser>();

  constructor(snapshot: CatalogSnapshot, index: CatalogIndex) {
    this.snapshot = snapshot;
    this.index = index;
    for (const relation of snapshot.relations.values()) {
      if (relation.schema !== TEMPORARY) continue;
      if (relation.kind !== 'c') this.temporary.set(relation.name, relation);
      this.temporaryNames.add(relation.name);
    }
    for (const { schema, name } of snapshot.functions.values()) if (schema === TEMPORARY) this.temporaryNames.add(name);
    for (const { schema, name } of snapshot.types.values()) if (schema === TEMPORARY) this.temporaryNames.add(name);
  }

  analyser(inForce: PolicyInForce): FlowAnalyser {
    let analyser = this.#analysers.get(inForce);
    if (analyser === undefined) {
      const policy: SessionPolicy = inForce.policy;
      analyser = new FlowAnalyser(this.snapshot, (schema, table, column) => policy.column(schema, table, column) !== null);
      this.#analysers.set(inForce, analyser);
    }
    return analyser;
  }
}

/**
 * @param row what the last of `ownCatalogStatements` returned.
 * @returns null when the transaction keeps its snapshot, so that the row may be old.
 * @throws {GatewayError} SQL_CATALOG_INVALID
 */
export function ownCatalogOf(base: CatalogSnapshot, clientEncoding: string, row: readonly (string | null)[]): OwnCatalog | null {
  const [isolation, ...values] = row;
  if (!READ_COMMITTED.has(isolation ?? '')) return null;
  const plain = clientEncoding === 'UTF8' || clientEncoding === 'UNICODE';
  const texts = values.map(value => (plain ? (value ?? '') : Buffer.from(value ?? '', 'hex').toString('utf8')));
  const names = (Object.keys(catalogQueries(base.serverVersion, true)) as CatalogQueryName[]).filter(name => name !== UNCHANGING);
  const byName = Object.fromEntries([...names.map((name, i) => [name, texts[i] ?? '']), [UNCHANGING, '[]']]) as Record<
    CatalogQueryName,
    string
  >;
  const snapshot: CatalogSnapshot = {
    ...buildCatalog(base.serverVersion, byName),
    systemColumns: base.systemColumns,
    systemTypes: base.systemTypes,
  };
  const sources = JSON.parse(texts[names.length] ?? '[]') as [number, number, number][];
  return new OwnCatalog(
    snapshot,
    new CatalogIndex(
      snapshot,
      sources.map(source => source.map(String)),
    ),
  );
}
