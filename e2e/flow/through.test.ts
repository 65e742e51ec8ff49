/**
 * Random queries through the gateway, beside the same on a direct connection. Whatever the query and the mode, no canary of a
 * protected column arrives in any encoding; and a query that touches nothing protected comes back exactly as the server answered it,
 * errors included (their text only where no table with protected columns is named). Seeded: a failure prints the query.
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
import { type Gateway, startGateway } from '../components/gateway.ts';
import { type Issuer, startIssuer } from '../components/issuer.ts';
import { type PostgresServer, startPostgres } from '../components/postgres.ts';
import { people } from '../components/shop.ts';
import { findLeak } from '../evasion/encodings.ts';
import { PROTECTED, QUERIES, ROWS, SCHEMA, SEED, schemaSql } from './schema.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
/** Straight and through the gateway, several at a time. */
let pairs: { direct: pg.Client; through: pg.Client }[] = [];
let analyser: FlowAnalyser;

/** The schema has what only a superuser may make; `app` reads it. */
const GRANTS = 'grant usage on schema sales to app; grant select on all tables in schema public, sales to app;';

const manifests = (): string => `
kind: Resource
metadata: { name: db }
spec: { protocol: postgres, upstream: { address: "localhost:${postgres.port}", database: app, tls: { mode: verify-full, ca: { file: "${postgres.ca}" } } }, credential: db }
---
kind: Credential
metadata: { name: db }
spec: { username: ${postgres.app.user}, password: { env: DB_PASSWORD } }
---
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
kind: Role
metadata: { name: all }
spec: { members: { groups: [support] }, resources: {} }
---
kind: DataPolicy
metadata: { name: canaries }
spec:
  resources: {}
  columns: [${[...PROTECTED].map(column => `{ match: "${column}", action: mask, as: redact }`).join(', ')}]
`;

before(async () => {
  await loadParser();
  [postgres, issuer] = await Promise.all([
    startPostgres({ sql: `${schemaSql()}\n${ROWS}\n${GRANTS}`, settings: { autovacuum: 'off' } }),
    startIssuer(),
  ]);
  gateway = await startGateway({ manifests: { 'db.yaml': manifests() }, env: { DB_PASSWORD: postgres.app.password } });
  const ca = readFileSync(postgres.ca, 'utf8');
  const { host, port } = gateway.address('db');
  const password = await issuer.token(people.support);
  const ssl = { ca: readFileSync(gateway.endpoints().ca, 'utf8'), servername: 'localhost' };
  pairs = await Promise.all(
    Array.from({ length: PAIRS }, async () => {
      const direct = new pg.Client({
        host: postgres.host,
        port: postgres.port,
        database: 'app',
        ...postgres.app,
        ssl: { ca, servername: 'localhost' },
      });
      const through = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl });
      for (const client of [direct, through]) {
        await client.connect();
        await client.query("set statement_timeout = '180s'");
      }
      return { direct, through };
    }),
  );
  const direct = pairs[0]?.direct;
  assert.ok(direct !== undefined);
  const version = Number((await direct.query<{ server_version_num: string }>('show server_version_num')).rows[0]?.server_version_num);
  const texts: Partial<Record<CatalogQueryName, string>> = {};
  await direct.query(`begin isolation level repeatable read read only; ${CATALOG_SETUP}`);
  for (const [name, sql] of Object.entries(catalogQueries(version))) {
    const { rows } = await direct.query<string[]>({ text: sql, rowMode: 'array' });
    texts[name as CatalogQueryName] = rows[0]?.[0] ?? '';
  }
  await direct.query('commit');
  const catalog = buildCatalog(version, texts as Record<CatalogQueryName, string>);
  analyser = new FlowAnalyser(catalog, (schema, table, column) => PROTECTED.has(`${schema}.${table}.${column}`));
});
after(async () => {
  for (const { direct, through } of pairs) await Promise.all([direct.end(), through.end()]);
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

const PAIRS = 4;

interface Answer {
  columns?: string[];
  rows?: (string | null)[][];
  error?: { code: string | undefined; message: string };
}

async function ask(client: pg.Client, text: string, extended: boolean): Promise<Answer> {
  try {
    const query: pg.QueryArrayConfig & { queryMode?: string } = {
      text,
      rowMode: 'array',
      types: { getTypeParser: () => (value: string) => value },
      ...(extended ? { queryMode: 'extended' } : {}),
    };
    const { fields, rows } = await client.query<(string | null)[]>(query);
    return { columns: fields.map(field => `${field.name} ${field.dataTypeID} ${field.tableID}.${field.columnID}`), rows };
  } catch (error) {
    assert.ok(error instanceof pg.DatabaseError, String(error));
    return { error: { code: error.code, message: error.message } };
  }
}

/** Nothing protected is touched, as far as analysis can see all of it. */
function isHarmless(text: string): boolean {
  const parsed = parseText(Buffer.from(text));
  const node = parsed.ok ? parsed.statements[0]?.node : undefined;
  if (node === undefined) return false;
  const { touched, unknown, sinks } = analyser.analyse(node, NO_SESSION);
  return touched.size === 0 && unknown.length === 0 && sinks.length === 0;
}

test(`${QUERIES} random queries through the gateway: no canary arrives, and harmless ones are untouched`, async t => {
  const random = seeded(SEED + 1);
  const wrong: string[] = [];
  let harmless = 0;
  let leaky = 0;
  let refused = 0;
  const texts = Array.from({ length: QUERIES }, () => generateQuery(SCHEMA, random));
  const play = async (direct: pg.Client, through: pg.Client, text: string, extended: boolean): Promise<void> => {
    const [straight, gated] = await Promise.all([ask(direct, text, extended), ask(through, text, extended)]);
    if (JSON.stringify(straight).toUpperCase().includes('CANARY')) leaky++;
    if (gated.error?.code === '42501') refused++;
    const leak = findLeak(Buffer.from(JSON.stringify(gated)), ['CANARY']);
    if (leak !== null) wrong.push(`LEAK (${leak}): ${text}`);
    if (!isHarmless(text)) return;
    harmless++;
    // The text of an error is withheld already where a table with protected columns is named; what it is stays.
    const withheld = gated.error?.message.includes('details are withheld') === true && gated.error.code === straight.error?.code;
    if (!withheld && JSON.stringify(gated) !== JSON.stringify(straight))
      wrong.push(`changed, ${JSON.stringify(gated).slice(0, 300)}: ${text}`);
  };
  await Promise.all(
    pairs.map(async ({ direct, through }, pair) => {
      for (let i = pair; i < texts.length && wrong.length < 10; i += PAIRS) await play(direct, through, texts[i] ?? '', i % 3 === 0);
    }),
  );
  t.diagnostic(`${harmless} harmless, ${leaky} that tell canaries on a direct connection, ${refused} refused`);
  assert.deepEqual(wrong, []);
  // The test would prove nothing if hardly anything protected, or harmless, were asked for.
  assert.ok(leaky > QUERIES * 0.1 && harmless > QUERIES * 0.05 && refused < QUERIES * 0.5, `${leaky} ${harmless} ${refused}`);
});
