/** Budgets against a real PostgreSQL: exact to the row, over every way in which rows come, and kept over a restart. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, fields, message, RawClient, values } from '../../e2e/components/raw-postgres.ts';
import { UsageJournal } from '../host/usage-journal.ts';
import { usageKey } from '../session/budgets.ts';
import { certificatesOf, RESOURCE, startGateway, type TestGateway } from './testing/gateway.ts';

const run = promisify(execFile);
const SQL = `
set role app;
create table numbers (n int primary key, t text);
insert into numbers select i, repeat('x', 100) from generate_series(1, 5000) i;
create table log (n serial, t text);
`;
let postgres: PostgresServer;
let gateway: TestGateway;

before(async () => {
  postgres = await startPostgres({ sql: SQL });
});
after(() => postgres?.stop());

/** A gateway of its own for each test: budgets are spent for good. */
async function withBudget(budget: { rows?: number; bytes?: number; perMs: number }, body: () => Promise<void>): Promise<void> {
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: { role: { budget } },
  });
  try {
    await body();
  } finally {
    gateway.stop();
  }
}
const hour = 3_600_000;
const connect = () => RawClient.connect({ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good' });
const driver = async () => {
  const client = new pg.Client({
    ...{ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good' },
    ssl: { rejectUnauthorized: false },
  });
  await client.connect();
  return client;
};
const rowsOf = (frames: Frame[]) => frames.filter(f => f.type === 'D').map(f => values(f.body)[0]?.toString());
const errorOf = (frames: Frame[]) => fields(frames.find(f => f.type === 'E')?.body ?? Buffer.from([0]));
const statusOf = (frames: Frame[]) => frames.findLast(f => f.type === 'Z')?.body.toString();
const isSpent = (error: pg.DatabaseError) =>
  error.code === '53400' && /budget of role staff is spent: \d+ of 100 rows in 1h/.test(error.message);

describe('a budget of rows', () => {
  test('ends the result that crosses it, to the row, and refuses what follows; a transaction is failed and can be ended', () =>
    withBudget({ rows: 100, perMs: hour }, async () => {
      const client = await connect();
      assert.equal(rowsOf(await client.simple('select n from numbers order by n limit 40')).length, 40);
      await client.simple('begin');
      const crossing = await client.simple('select n from numbers order by n');
      assert.deepEqual(
        rowsOf(crossing),
        Array.from({ length: 60 }, (_, i) => String(i + 1)),
      );
      const error = errorOf(crossing);
      assert.equal(error['C'], '53400');
      assert.match(error['M'] ?? '', /the budget of role staff is spent: 100 of 100 rows in 1h are used; it frees again from .*Z on/);
      assert.equal(statusOf(crossing), 'E');
      assert.equal(statusOf(await client.simple('rollback')), 'I');
      const refused = await client.simple('select 1');
      assert.equal(errorOf(refused)['C'], '53400');
      assert.equal(rowsOf(refused).length, 0);
      client.close();
      const { commands, responses } = gateway.sink;
      const last = commands.at(-1);
      assert.deepEqual([last?.rule, last?.text, last?.statements], ['role/staff/budget', 'select 1', ['select']]);
      const cut = responses.find(each => each.rows === 60n);
      assert.deepEqual([cut?.status, cut?.errorCode], [Status.REFUSED, '53400']);
    }));

  test('a small result that is complete before the error leaves the transaction failed as well', () =>
    withBudget({ rows: 3, perMs: hour }, async () => {
      const client = await connect();
      await client.simple('begin');
      const crossing = await client.simple('select n from numbers order by n limit 5');
      assert.deepEqual([rowsOf(crossing).length, errorOf(crossing)['C'], statusOf(crossing)], [3, '53400', 'E']);
      assert.equal(errorOf(await client.simple('insert into log (t) values (1)'))['C'], '53400');
      assert.equal(statusOf(await client.simple('rollback')), 'I');
      client.close();
    }));

  test('counts extended queries, cursors, COPY and RETURNING, over the sessions of a principal', () =>
    withBudget({ rows: 100, perMs: hour }, async () => {
      const [one, two] = [await driver(), await driver()];
      assert.equal((await one.query('select n from numbers where n <= $1', [30])).rows.length, 30);
      await two.query('begin');
      await two.query('declare c cursor for select n from numbers');
      assert.equal((await two.query('fetch 30 from c')).rows.length, 30);
      await two.query('commit');
      assert.equal((await one.query("insert into log (t) select 'x' from generate_series(1, 30) returning n")).rows.length, 30);
      const raw = await connect();
      const copied = await raw.simple('copy numbers (n) to stdout');
      assert.equal(copied.filter(f => f.type === 'd').length, 10);
      assert.equal(errorOf(copied)['C'], '53400');
      assert.equal(statusOf(copied), 'I');
      raw.close();
      await assert.rejects(one.query('select $1::int', [1]), isSpent);
      await assert.rejects(two.query({ name: 'p', text: 'select $1::int', values: [1] }), isSpent);
      await one.end();
      await two.end();
    }));

  test('an extended query that crosses it: error, skipped to Sync, and the connection goes on', () =>
    withBudget({ rows: 100, perMs: hour }, async () => {
      const client = await driver();
      await client.query('begin');
      await assert.rejects(client.query('select n from numbers where n > $1', [0]), isSpent);
      await assert.rejects(client.query('select 1'), (error: pg.DatabaseError) => error.code === '53400');
      await client.query('rollback');
      await assert.rejects(client.query('select n from numbers where n > $1', [0]), isSpent);
      await client.end();
    }));

  test('with more statements in the same string the session ends: the server may have run them', () =>
    withBudget({ rows: 5, perMs: hour }, async () => {
      const client = await connect();
      client.send(message.query('select n from numbers limit 50; select 1'));
      const frames = await client.until('E');
      assert.ok(rowsOf(frames).length <= 5);
      assert.deepEqual([errorOf(frames)['S'], errorOf(frames)['C']], ['FATAL', '53400']);
      client.close();
    }));

  test('psql shows the error', () =>
    withBudget({ rows: 10, perMs: hour }, async () => {
      const args = ['-X', '-At', '-c', 'select n from numbers'];
      const env = {
        ...process.env,
        PGHOST: gateway.host,
        PGPORT: String(gateway.port),
        PGUSER: 'x',
        PGDATABASE: 'app',
        PGPASSWORD: 'good',
      };
      await assert.rejects(run('psql', args, { env: { ...env, PGSSLMODE: 'require' } }), /ERROR: {2}the budget of role staff is spent/);
    }));
});

test('a budget of bytes, and a window that slides', () =>
  withBudget({ bytes: 20_000, perMs: 5000 }, async () => {
    const client = await connect();
    const frames = await client.simple('select t from numbers');
    const count = rowsOf(frames).length;
    assert.ok(count > 150 && count <= 20_000 / 107, String(count));
    assert.match(errorOf(frames)['M'] ?? '', /\d+ of 20000 bytes/);
    for (;;) {
      const again = await client.simple('select t from numbers limit 10');
      if (rowsOf(again).length === 10) break;
      assert.equal(errorOf(again)['C'], '53400');
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    client.close();
  }));

test('the journal keeps usage over a restart, also with a line cut in half, and refuses a damaged file', async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'sallyport-usage-'));
  const file = path.join(dir, 'usage.jsonl');
  const open = () => UsageJournal.open(file, Date.now(), why => assert.fail(why));
  const key = usageKey({ issuer: 'i', subject: 's' }, RESOURCE);
  const sum = (journal: UsageJournal) => [...journal.entries()].reduce((rows, each) => rows + each.rows, 0);
  try {
    const first = await open();
    for (let i = 0; i < 500; i++) first.add(key, 2, 10, Date.now());
    await first.close();
    await appendFile(file, '{"k":"cut');
    const second = await open();
    assert.equal(sum(second), 1000);
    second.add(key, 1, 1, Date.now());
    await second.close();
    assert.equal(sum(await open()), 1001);
    assert.ok(!(await readFile(file, 'utf8')).includes(RESOURCE));
    await writeFile(file, 'nonsense\n{"k":"a","t":1,"r":1,"b":1}\n');
    await assert.rejects(open(), { code: 'USAGE_UNREADABLE' });
  } finally {
    await rm(dir, { recursive: true });
  }
});
