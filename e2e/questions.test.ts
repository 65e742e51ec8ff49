/** The auditors' questions, asked as an auditor would: `sallyport evidence query`, of real sessions through a real gateway. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { QUESTIONS } from '@sallyport/control-plane/questions/catalogue.ts';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  for (const who of [people.support, people.privacy, people.bot]) {
    const { host, port } = gateway.address('crm');
    const ca = readFileSync(gateway.endpoints().ca, 'utf8');
    const password = await issuer.token(who);
    const client = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl: { ca, servername: 'localhost' } });
    await client.connect();
    await client.query('select email, ssn from customers where id = 1');
    await client.query("select count(*) from customers where email like 'c%'");
    await client.query('update orders set quantity = quantity where id = 1');
    await assert.rejects(client.query('drop table orders'));
    await client.end();
  }
  await gateway.eventually<{ n: number }>(
    "select count() as n from sallyport.sessions where status = 'ended'",
    rows => Number(rows[0]?.n) === 3,
  );
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

interface Answer {
  rows: Record<string, unknown>[];
}

async function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args, '--data', gateway.data])) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

async function answer(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await sallyport('evidence', 'query', ...args, '--json');
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as Answer).rows;
}

test('every question runs, for people and for machines', async () => {
  const values: Record<string, string> = { column: 'public.customers.email', person: 'sam@example.com', left: '1s' };
  for (const { name, required = [] } of QUESTIONS) {
    const given = required.map(parameter => `${parameter}=${values[parameter]}`);
    const { code, stdout, stderr } = await sallyport('evidence', 'query', name, ...given);
    assert.equal(code, 0, `${name}: ${stderr}`);
    assert.ok(stdout.length > 0);
    assert.ok(Array.isArray(await answer(name, ...given)), name);
  }
});

test('who read the column: also those who are exempt, and they in clear', async () => {
  const rows = await answer('who-read', 'column=public.customers.ssn');
  const seen = Object.fromEntries(rows.map(row => [row.principal, row.masked]));
  assert.deepEqual(seen, { 'sam@example.com': 1, 'pia@example.com': 0, 'billing-bot': 1 });
  const clear = await answer('exempt-access');
  assert.ok(clear.some(row => row.principal === 'pia@example.com' && row.column === 'public.customers.ssn'));
  assert.ok(!clear.some(row => row.principal === 'sam@example.com' && row.column === 'public.customers.ssn'));
});

test('a condition on a protected column is seen, whoever wrote it', async () => {
  const who = new Set((await answer('inference')).map(row => row.principal));
  assert.deepEqual(who, new Set(['billing-bot', 'pia@example.com', 'sam@example.com']));
});

test('refusals, changes, programs, and roles that nobody used', async () => {
  assert.equal((await answer('refused')).filter(row => row.rule === 'sql-safety/no-ddl').length, 3);
  assert.equal((await answer('changes', 'person=sam@example.com')).filter(row => row.status === 'ok').length, 1);
  assert.deepEqual(new Set((await answer('programs')).map(row => row.principal)), new Set(['billing-bot']));
  assert.deepEqual(
    (await answer('standing-access-unused')).map(row => [row.role, row.used]),
    [['support', 1]],
  );
  assert.deepEqual(await answer('self-approval'), []);
  assert.deepEqual(await answer('completeness'), []);
});

test('what is missing from the store is named', async () => {
  const [victim] = await gateway.query<{ session_id: string }>('select session_id from sallyport.sessions limit 1');
  await gateway.query(
    `ALTER TABLE sallyport.record_rows DELETE WHERE session_id = '${victim?.session_id}' AND seq = 2 SETTINGS mutations_sync = 1`,
  );
  const rows = await answer('completeness');
  assert.deepEqual(
    rows.map(row => [row.what, row.subject]),
    [['missing records', victim?.session_id]],
  );
});

test('a value is a value, never part of the query; mistakes are told', async () => {
  assert.deepEqual(await answer('access', "person=' OR 1=1 --"), []);
  for (const [args, expected] of [
    [['access', 'colour=red'], /does not take `colour`/],
    [['who-read'], /needs `column`/],
    [['nonsense'], /no question `nonsense`/],
    [['access', 'since=yesterday'], /`since` is a time like/],
    [['access', 'since=1d', 'until=2d'], /must be before/],
  ] as const) {
    const { code, stderr } = await sallyport('evidence', 'query', ...args);
    assert.notEqual(code, 0);
    assert.match(stderr, expected);
  }
});

test('an answer in a file is for its owner alone', async () => {
  const file = path.join(gateway.dir, 'access.csv');
  const { code } = await sallyport('evidence', 'query', 'access', '--csv', '--output', file);
  assert.equal(code, 0);
  assert.match(readFileSync(file, 'utf8'), /^"principal","kind","resource"[^\r]*\r\n/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});
