/**
 * Things that a transaction creates, changes and uses before it commits, and things that are there for one session only: used
 * without harm they give the same bytes as on a direct connection, and they are no way around protection.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Gateway, startGateway } from '../components/gateway.ts';
import { type Issuer, startIssuer } from '../components/issuer.ts';
import { type PostgresServer, startPostgres } from '../components/postgres.ts';
import { type Frame, message, RawClient } from '../components/raw-postgres.ts';
import { people, shopManifests, shopSql } from '../components/shop.ts';
import { cornersSql } from './corners.ts';
import { evasionCanaries, evasionColumns, evasionSql } from './corpus.ts';
import { definitions } from './definitions.ts';
import { findLeak } from './encodings.ts';
import { later } from './later.ts';
import { migrating } from './migrating.ts';
import { migrations } from './migrations.ts';
import { review } from './review.ts';
import { play } from './run.ts';
import { transactions } from './transactions.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([
    startPostgres({ sql: shopSql + evasionSql + cornersSql, settings: { autovacuum: 'off' } }),
    startIssuer(),
  ]);
  const manifests = shopManifests(postgres, { issuer: issuer.url })
    .replace(/statements: \[.*?\]/, 'statements: [cluster]')
    .replace(/ {2}detectors: \[.*\]\n/, '  detectors: []\n')
    .replace('  columns:\n', `  columns:${evasionColumns.trimEnd()}\n`);
  gateway = await startGateway({ manifests: { 'shop.yaml': manifests }, env: { CRM_PASSWORD: postgres.app.password } });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

const directly = () =>
  RawClient.connect({ host: postgres.host, port: postgres.port, user: 'direct', database: 'app', password: postgres.direct.password });
const through = async () =>
  RawClient.connect({
    ...gateway.address('crm'),
    user: 'x',
    database: 'app',
    password: await issuer.token(people.support),
    ca: readFileSync(gateway.endpoints().ca, 'utf8'),
  });

type Mode = 'simple' | 'extended without Describe';

async function run(client: RawClient, sql: string, mode: Mode): Promise<Frame[]> {
  if (mode !== 'simple' && !/;\s*\S|^\s*copy/i.test(sql)) return client.extended(sql, [], { describe: false });
  client.send(message.query(sql));
  const frames = await client.until('ZG');
  if (frames.at(-1)?.type !== 'G') return frames;
  client.send(message.copyData('1,a\n2,b\n'), message.copyDone());
  return [...frames, ...(await client.until('Z'))];
}

/** What is made twice has other numbers the second time. */
function comparable({ type, body }: Frame): string {
  if (type !== 'T') return type + body.toString('latin1');
  const columns: unknown[] = [];
  const oid = (at: number) => (body.readUInt32BE(at) < 16_384 ? body.readUInt32BE(at) : 'made');
  let at = 2;
  for (let i = body.readInt16BE(0); i > 0; i--) {
    const end = body.indexOf(0, at);
    columns.push([
      body.toString('latin1', at, end),
      oid(end + 1),
      body.readInt16BE(end + 5),
      oid(end + 7),
      body.toString('hex', end + 11, end + 19),
    ]);
    at = end + 19;
  }
  return type + JSON.stringify(columns);
}

for (const mode of ['simple', 'extended without Describe'] as const)
  test(`what a transaction makes can be used in it: ${mode}`, async t => {
    const [a, b] = [await directly(), await through()];
    const different: string[] = [];
    for (const script of [...transactions, ...migrations]) {
      // One after the other: what one has locked the other would wait for.
      const answers: string[][] = [];
      for (const client of [a, b]) {
        const own: string[] = [];
        for (const sql of script) own.push((await run(client, sql, mode)).map(comparable).join(' | '));
        await client.simple('rollback');
        answers.push(own);
      }
      const at = script.findIndex((_, i) => answers[0]?.[i] !== answers[1]?.[i]);
      if (at >= 0)
        different.push(`${script[at]} (in ${script[0]}; ${script[1]} …)\n  direct:  ${answers[0]?.[at]}\n  through: ${answers[1]?.[at]}`);
    }
    a.close();
    b.close();
    t.diagnostic(`${transactions.length + migrations.length} scripts`);
    assert.deepEqual(different, []);
  });

test('each evasion by definitions, and by what runs behind a statement, leaks on a direct connection, and none through the gateway', async t => {
  const [a, b] = [await directly(), await through()];
  const wrong: string[] = [];
  for (const evasion of [...definitions, ...migrating, ...review, ...later]) {
    const { witness } = evasion;
    const name = `${evasion.category}: ${JSON.stringify(evasion.steps)}`;
    const leak = (bytes: Buffer) =>
      witness === undefined ? findLeak(bytes, evasionCanaries) : witness.test(bytes.toString('latin1')) ? 'witness' : null;
    if (leak(await play(a, evasion)) === null) wrong.push(`does not leak directly: ${name}`);
    const found = leak(await play(b, evasion));
    if (found !== null) wrong.push(`LEAKS (${found}): ${name}`);
  }
  a.close();
  b.close();
  t.diagnostic(`${definitions.length + migrating.length + review.length + later.length} evasions`);
  assert.deepEqual(wrong, []);
});

test('reading the catalog on the client’s connection leaves no trace', async () => {
  const client = await through();
  const text = async (sql: string) => (await client.simple(sql)).map(comparable).join(' ');
  try {
    await client.simple("set statement_timeout = '77s'; set lock_timeout = '66s'");
    await client.simple('begin');
    await client.simple('create view seen as select id, item from orders where id < 3');
    const settings = 'show search_path; show statement_timeout; show lock_timeout; show transaction_isolation';
    const before = await text(settings);
    assert.match(await text('select item from seen order by id'), /item 1/);
    assert.equal(await text(settings), before);
    assert.match(await text('select count(*) + 70 from pg_prepared_statements'), /70 CSELECT 1/);
    assert.match(await text('rollback to savepoint sallyport'), /savepoint "sallyport" does not exist/);
    await client.simple('rollback');
  } finally {
    client.close();
  }
});
