/**
 * Flow analysis against a real server: random queries over a schema whose protected columns hold canaries. For every query that
 * the server runs: no column that analysis calls clean holds a canary; every prediction of RowDescription (names, number of
 * columns, origin) is right; and nothing is unknown. Seeded: a failure prints the query.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { parseText } from '@sallyport/shared/sql/analyse.ts';
import { FlowAnalyser } from '@sallyport/shared/sql/flow/analyse-flow.ts';
import { buildCatalog } from '@sallyport/shared/sql/flow/build-catalog.ts';
import { CATALOG_SETUP, type CatalogQueryName, catalogQueries } from '@sallyport/shared/sql/flow/catalog-queries.ts';
import { NO_SESSION } from '@sallyport/shared/sql/flow/session.ts';
import { generateQuery } from '@sallyport/shared/sql/fuzz/generate.ts';
import { seeded } from '@sallyport/shared/sql/fuzz/random.ts';
import { loadParser } from '@sallyport/shared/sql/parser.ts';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../components/postgres.ts';
import { PROTECTED, QUERIES, ROWS, SCHEMA, SEED, schemaSql } from './schema.ts';

let postgres: PostgresServer;
let client: pg.Client;
let analyser: FlowAnalyser;

before(async () => {
  postgres = await startPostgres({ settings: { autovacuum: 'off' } });
  client = new pg.Client({
    host: postgres.host,
    port: postgres.port,
    database: postgres.database,
    ...postgres.superuser,
    ssl: { ca: readFileSync(postgres.ca, 'utf8'), servername: 'localhost' },
  });
  await client.connect();
  await client.query(schemaSql());
  await client.query(ROWS);
  const version = Number((await client.query<{ server_version_num: string }>('show server_version_num')).rows[0]?.server_version_num);
  const texts: Partial<Record<CatalogQueryName, string>> = {};
  await client.query(`begin isolation level repeatable read read only; ${CATALOG_SETUP}`);
  for (const [name, sql] of Object.entries(catalogQueries(version))) {
    const { rows } = await client.query<string[]>({ text: sql, rowMode: 'array' });
    texts[name as CatalogQueryName] = rows[0]?.[0] ?? '';
  }
  // What joins everything with everything is not waited for: in more time its answer fills the client's memory, and it never ends.
  await client.query("commit; set statement_timeout = '2s'");
  await loadParser();
  analyser = new FlowAnalyser(buildCatalog(version, texts as Record<CatalogQueryName, string>), (s, t, column) =>
    PROTECTED.has(`${s}.${t}.${column}`),
  );
});
after(async () => {
  await client?.end();
  await postgres?.stop();
});

test(`${QUERIES} random queries: nothing clean holds a canary, and every prediction holds`, async t => {
  const random = seeded(SEED);
  const wrong: string[] = [];
  let ran = 0;
  let labelled = 0;
  for (let i = 0; i < QUERIES; i++) {
    const sql = generateQuery(SCHEMA, random);
    const parsed = parseText(Buffer.from(sql));
    const node = parsed.ok ? parsed.statements[0]?.node : undefined;
    if (node === undefined) {
      wrong.push(`does not parse: ${sql}`);
      continue;
    }
    const flow = analyser.analyse(node, NO_SESSION);
    let result: pg.QueryArrayResult<(string | null)[]>;
    try {
      result = await client.query<(string | null)[]>({
        text: sql,
        rowMode: 'array',
        types: { getTypeParser: () => (value: string) => value },
      });
    } catch (error) {
      assert.ok(error instanceof pg.DatabaseError, String(error));
      continue;
    }
    ran++;
    if (flow.unknown.length > 0 || flow.sinks.length > 0) {
      wrong.push(`${JSON.stringify([flow.unknown, flow.sinks])}: ${sql}`);
      continue;
    }
    if (flow.columns === null || (flow.complete && flow.columns.length !== result.fields.length)) {
      wrong.push(`${flow.columns?.length} columns, not ${result.fields.length}: ${sql}`);
      continue;
    }
    for (const [k, field] of result.fields.entries()) {
      const column = flow.columns[k];
      const labels = column?.labels ?? flow.restLabels;
      if (labels.size > 0) labelled++;
      else if (result.rows.some(row => row[k]?.toUpperCase().includes('CANARY'))) wrong.push(`LEAK in column ${k + 1}: ${sql}`);
      if (column === undefined) continue;
      if (column.name !== field.name) wrong.push(`column ${k + 1} is ${field.name}, not ${column.name}: ${sql}`);
      if (column.witness === undefined) continue;
      const { relation, attnum } = column.witness ?? { relation: 0, attnum: 0 };
      if (relation !== field.tableID || attnum !== field.columnID)
        wrong.push(`column ${k + 1} comes from ${field.tableID}.${field.columnID}, not ${relation}.${attnum}: ${sql}`);
    }
  }
  t.diagnostic(`${ran} of ${QUERIES} ran, ${labelled} columns were labelled`);
  assert.deepEqual(wrong, []);
  assert.ok(ran > QUERIES * 0.8 && labelled > QUERIES * 0.3);
});
