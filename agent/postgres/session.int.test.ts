/** Whole sessions against a real PostgreSQL, with real and raw clients, records kept in memory. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, fields, message, RawClient, values } from '../../e2e/components/raw-postgres.ts';
import { startGateway, type TestGateway, type TestPolicy } from './testing/gateway.ts';

const run = promisify(execFile);

const SQL = `
set role app;
create table customers (id int primary key, name text not null, email text not null, born date, card text, ref uuid, doc jsonb);
insert into customers select i, 'Name ' || i, 'user' || i || '@example.org', date '1980-05-17', null, null, '{"n": 1}' from generate_series(1, 50) i;
create table app_users (id int primary key, login text not null, password text not null);
insert into app_users values (1, 'ada', 'canary-hash-1');
create table secrets (name text, value text);
insert into secrets values ('key', 'see ' || 'AKIA' || 'QX5ZT7CANARYKEY2' || ' here');
create table plain (id int primary key, t text);
insert into plain select i, 'row ' || i from generate_series(1, 1000) i;
create view customer_emails as select id, email from customers;
`;

const GUARD: TestPolicy['guards'] = [
  {
    resources: {},
    priority: 0,
    rules: [
      { name: 'no-ddl', match: { statements: ['drop', 'truncate'] }, action: 'deny', message: 'Schema changes go through migrations.' },
    ],
  },
];
const allow = { equality: 'allow', other: 'allow' } as const;
const DATA: TestPolicy['data'] = [
  {
    columns: [
      { match: 'public.customers.email', action: 'mask', as: 'partial', predicates: allow },
      { match: 'public.app_users.password', action: 'deny', as: 'redact', predicates: allow },
    ],
    detectors: ['aws-access-key', 'payment-card'],
  },
];

let postgres: PostgresServer;
let gateway: TestGateway;

before(async () => {
  postgres = await startPostgres({ sql: SQL });
  const tls = path.dirname(postgres.ca);
  gateway = await startGateway({
    upstream: {
      address: `localhost:${postgres.port}`,
      database: 'app',
      tls: { mode: 'verify-full', ca: readFileSync(postgres.ca, 'utf8') },
    },
    credential: { username: postgres.app.user, password: postgres.app.password },
    certificate: readFileSync(path.join(tls, 'server.crt'), 'utf8'),
    key: readFileSync(path.join(tls, 'server.key'), 'utf8'),
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});
beforeEach(() => gateway.use({ guards: GUARD, data: DATA }));

const connect = (more: Partial<Parameters<typeof RawClient.connect>[0]> = {}) =>
  RawClient.connect({ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good', ...more });

const rowsOf = (frames: Frame[]) => frames.filter(f => f.type === 'D').map(f => values(f.body).map(v => v?.toString() ?? null));
const errorOf = (frames: Frame[]) => {
  const error = frames.find(f => f.type === 'E');
  return error === undefined ? null : fields(error.body);
};
const statusOf = (frames: Frame[]) => frames.findLast(f => f.type === 'Z')?.body.toString();
const typesOf = (frames: Frame[]) => frames.map(f => f.type).join('');

async function psql(sql: string[], options: { user?: string; token?: string; flags?: string[] } = {}) {
  return run(
    'psql',
    [
      '-X',
      '-At',
      ...(options.flags ?? []),
      ...sql.flatMap(each => ['-c', each]),
      `host=localhost port=${gateway.port} user=${options.user ?? 'alice'} sslmode=require`,
    ],
    {
      env: { ...process.env, PGPASSWORD: options.token ?? 'good' },
    },
  ).then(
    ({ stdout, stderr }) => ({ stdout, stderr, code: 0 }),
    (error: { stdout: string; stderr: string; code: number }) => ({ stdout: error.stdout, stderr: error.stderr, code: error.code }),
  );
}

describe('opening a session', () => {
  test('psql is let in, and the records say who and what', async () => {
    const before = gateway.sink.records.length;
    const { stdout } = await psql(['select id, name from customers order by id limit 1']);
    assert.equal(stdout, '1|Name 1\n');
    const records = gateway.sink.records.slice(before);
    assert.deepEqual(
      records.map(record => record.body.case),
      ['sessionStarted', 'command', 'response', 'sessionEnded'],
    );
    assert.deepEqual(
      records.map(record => Number(record.seq)),
      [0, 1, 2, 3],
    );
    const command = records[1]?.body;
    assert.ok(command?.case === 'command');
    assert.equal(command.value.text, 'select id, name from customers order by id limit 1');
    assert.deepEqual(command.value.statements, ['select']);
    const response = records[2]?.body;
    assert.ok(response?.case === 'response');
    assert.equal(response.value.tag, 'SELECT 1');
    assert.equal(response.value.rows, 1n);
    assert.equal(response.value.status, Status.OK);
    assert.deepEqual(response.value.columns, ['id', 'name']);
  });

  test('every refusal looks the same to the client, and is told apart by its record', async () => {
    const before = gateway.sink.refusals.length;
    const told = new Set<string>();
    for (const token of ['nonsense', 'stranger', 'other', 'x']) {
      const { stderr, code } = await psql(['select 1'], { token });
      assert.equal(code, 2);
      told.add(stderr.slice(stderr.indexOf('FATAL')));
    }
    assert.equal(told.size, 1, [...told].join());
    assert.deepEqual(
      gateway.sink.refusals.slice(before).map(refusal => refusal.code),
      ['TOKEN_MALFORMED', 'NO_GRANT', 'TICKET_OTHER_RESOURCE', 'TOKEN_MALFORMED'],
    );
  });

  test('protocol 3.2 has a long cancel key, an unknown minor version and option are negotiated', async () => {
    const client = await connect({ protocol: (3 << 16) | 2 });
    const key = client.greeting.find(f => f.type === 'K');
    assert.equal(key?.body.length, 4 + 32);
    client.close();
    const newer = await connect({ protocol: (3 << 16) | 9, parameters: { '_pq_.future': '1' } });
    const negotiated = newer.greeting.find(f => f.type === 'v');
    assert.equal(negotiated?.body.readInt32BE(0), (3 << 16) | 2);
    assert.equal(negotiated?.body.toString('latin1', 8), '_pq_.future\0');
    newer.close();
  });

  test('parameters that are not on the list are refused, those that are reach the database', async () => {
    await assert.rejects(connect({ parameters: { session_preload_libraries: 'x' } }), /session_preload_libraries/);
    await assert.rejects(connect({ parameters: { options: '-c role=postgres' } }), /role/);
    await assert.rejects(connect({ parameters: { replication: 'true' } }), /replication/);
    const client = await connect({ parameters: { options: '-c search_path=pg_catalog -c statement_timeout=77s', application_name: 'me' } });
    assert.deepEqual(
      rowsOf(
        await client.simple(
          "select current_setting('search_path'), current_setting('statement_timeout'), current_setting('application_name')",
        ),
      ),
      [['pg_catalog', '77s', 'me']],
    );
    client.close();
  });

  test('nothing of the credential shows', async () => {
    const client = await connect();
    const greeting = Buffer.concat(client.greeting.map(f => f.body));
    assert.ok(!greeting.includes(postgres.app.password));
    client.close();
  });
});

describe('what PostgreSQL would do', () => {
  test('several statements, errors, transactions', async () => {
    const client = await connect();
    assert.equal(typesOf(await client.simple('select 1; select 2')), 'TDCTDCZ');
    assert.equal(typesOf(await client.simple('')), 'IZ');
    assert.equal(statusOf(await client.simple('begin')), 'T');
    const failed = await client.simple('select 1/0');
    assert.equal(errorOf(failed)?.['C'], '22012');
    assert.equal(statusOf(failed), 'E');
    assert.equal(errorOf(await client.simple('select 1'))?.['C'], '25P02');
    assert.equal(statusOf(await client.simple('rollback')), 'I');
    client.close();
  });

  test('node-postgres: named statements, binary, cursors, notifications', async () => {
    const client = new pg.Client({
      host: 'localhost',
      port: gateway.port,
      user: 'alice',
      password: 'good',
      database: 'app',
      ssl: { rejectUnauthorized: false },
    });
    await client.connect();
    for (let i = 1; i <= 3; i++) {
      const { rows } = await client.query({ name: 'by-id', text: 'select t from plain where id = $1', values: [i] });
      assert.deepEqual(rows, [{ t: `row ${i}` }]);
    }
    const notified = new Promise<pg.Notification>(resolve => client.once('notification', resolve));
    await client.query('listen here');
    await client.query("notify here, 'hello'");
    const notification = await notified;
    assert.equal(notification.payload, 'hello');
    assert.equal(notification.processId, (client as unknown as { processID: number }).processID, 'told as its own');
    await assert.rejects(client.query('select * from nowhere'), { code: '42P01' });
    const { rows } = await client.query('select count(*)::int as n from plain');
    assert.deepEqual(rows, [{ n: 1000 }]);
    await client.end();
    const named = gateway.sink.commands.filter(command => command.preparedName === 'by-id');
    assert.deepEqual(
      named.map(command => command.parameters),
      [['1'], ['2'], ['3']],
    );
  });

  test('a pipeline is skipped up to Sync after an error, and names are as PostgreSQL has them', async () => {
    const client = await connect();
    client.send(
      message.parse('a', 'select 1'),
      message.parse('b', 'select nonsense'),
      message.parse('c', 'select 3'),
      message.bind('', 'c'),
      message.execute(''),
      message.sync(),
      message.bind('', 'a'),
      message.execute(''),
      message.sync(),
      message.bind('', 'c'),
      message.execute(''),
      message.sync(),
    );
    assert.equal(typesOf(await client.until('Z')), '1EZ');
    assert.equal(typesOf(await client.until('Z')), '2DCZ');
    const last = await client.until('Z');
    assert.equal(errorOf(last)?.['C'], '26000');
    assert.equal(errorOf(last)?.['M'], 'prepared statement "c" does not exist');
    client.close();
  });

  test('portals: in parts, suspended, and gone after the transaction', async () => {
    const client = await connect();
    client.send(
      message.parse('', 'select id from plain order by id'),
      message.bind('p', ''),
      message.execute('p', 2),
      message.execute('p', 2),
      message.sync(),
    );
    assert.equal(typesOf(await client.until('Z')), '12DDsDDsZ');
    client.send(message.execute('p', 2), message.sync());
    assert.equal(errorOf(await client.until('Z'))?.['C'], '34000');
    await client.simple('begin');
    client.send(message.bind('q', ''), message.sync());
    assert.equal(errorOf(await client.until('Z'))?.['C'], '26000', 'a simple Query takes the unnamed statement away');
    client.close();
  });

  test('COPY in, simple and extended, with failure and with Sync behind Execute', async () => {
    const client = await connect();
    await client.simple('create temp table c (a int, b text)');
    client.send(message.query('copy c from stdin'));
    assert.equal(typesOf(await client.until('G')), 'G');
    client.send(message.copyData('1\tx\n'), message.copyData('2\ty\n'), message.copyDone());
    assert.equal(typesOf(await client.until('Z')), 'CZ');
    client.send(message.query('copy c from stdin'));
    await client.until('G');
    client.send(message.copyFail('no more'));
    assert.equal(errorOf(await client.until('Z'))?.['C'], '57014');
    client.send(message.parse('', 'copy c from stdin'), message.bind('', ''), message.execute(''), message.sync());
    assert.equal(typesOf(await client.until('G')), '12G');
    client.send(message.copyData('3\tz\n'), message.copyDone(), message.sync());
    assert.equal(typesOf(await client.until('Z')), 'CZ');
    client.send(
      message.parse('', 'copy c from stdin'),
      message.bind('', ''),
      message.execute(''),
      message.copyData('4\tw\n'),
      message.copyDone(),
      message.sync(),
    );
    assert.equal(typesOf(await client.until('Z')), '12GCZ');
    client.send(message.query('copy c from stdin'));
    await client.until('G');
    client.send(message.copyData('not a number\tx\n'), message.copyData('5\tx\n'), message.copyDone());
    const failed = await client.until('Z');
    assert.equal(errorOf(failed)?.['C'], '22P02');
    assert.deepEqual(rowsOf(await client.simple('select count(*) from c')), [['4']]);
    client.close();
  });

  test('a cancel request reaches the command that runs', async () => {
    const client = new pg.Client({
      host: 'localhost',
      port: gateway.port,
      user: 'alice',
      password: 'good',
      ssl: { rejectUnauthorized: false },
    });
    await client.connect();
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const slept = client.query('select pg_sleep(600)');
    const cancelled = assert.rejects(slept, { code: '57014' });
    // What is cancelled before the server runs it is not cancelled.
    const direct = new pg.Client({
      ...{ host: 'localhost', port: postgres.port, ...postgres.superuser, database: 'app' },
      ssl: { rejectUnauthorized: false },
    });
    await direct.connect();
    while ((await direct.query("select 1 from pg_stat_activity where wait_event = 'PgSleep'")).rowCount === 0);
    await direct.end();
    const { connect: dial } = await import('node:net');
    const socket = dial(gateway.port, gateway.host);
    const packet = Buffer.alloc(16);
    packet.writeInt32BE(16, 0);
    packet.writeInt32BE(80877102, 4);
    packet.writeInt32BE(processID, 8);
    packet.writeInt32BE(secretKey + 1, 12);
    socket.end(packet);
    await new Promise(resolve => socket.once('close', resolve));
    packet.writeInt32BE(secretKey, 12);
    dial(gateway.port, gateway.host).end(packet);
    await cancelled;
    await client.end();
    const response = gateway.sink.responses.find(each => each.status === Status.CANCELLED);
    assert.ok(response);
  });

  test('byte by byte', async () => {
    const client = await connect();
    const bytes = Buffer.concat([
      message.parse('s', 'select id, t from plain where id = $1'),
      message.bind('', 's', ['7']),
      message.describe('P', ''),
      message.execute(''),
      message.sync(),
      message.query("select 'x\\y'"),
      message.close('S', 's'),
      message.sync(),
    ]);
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]));
      await new Promise(resolve => setImmediate(resolve));
    }
    assert.equal(typesOf(await client.until('Z')), '12TDCZ');
    assert.equal(typesOf(await client.until('Z')), 'TDCZ');
    assert.equal(typesOf(await client.until('Z')), '3Z');
    client.close();
  });
});

describe('refusals', () => {
  test('a simple Query: 42501, the state is as after a real error', async () => {
    const client = await connect();
    const denied = await client.simple('drop table plain');
    assert.equal(typesOf(denied), 'EZ');
    assert.equal(errorOf(denied)?.['C'], '42501');
    assert.equal(errorOf(denied)?.['M'], 'Schema changes go through migrations.');
    assert.equal(statusOf(denied), 'I');
    await client.simple('begin');
    assert.equal(statusOf(await client.simple('drop table plain')), 'E');
    assert.equal(statusOf(await client.simple('rollback')), 'I');
    const several = await client.simple("insert into plain values (100000, 'x'); drop table plain");
    assert.equal(typesOf(several), 'EZ');
    assert.deepEqual(rowsOf(await client.simple('select count(*) from plain where id = 100000')), [['0']]);
    const records = gateway.sink.commands.filter(command => command.text === 'drop table plain');
    assert.equal(records.length, 2);
    assert.equal(records[0]?.rule, 'guard-0/no-ddl');
    const [response] = gateway.sink.responses.filter(each => each.status === Status.REFUSED);
    assert.equal(response?.errorCode, '42501');
    client.close();
  });

  test('in a pipeline: at Parse, and everything up to Sync is skipped', async () => {
    const client = await connect();
    client.send(
      message.parse('', "insert into plain values (100001, 'x')"),
      message.bind('', ''),
      message.execute(''),
      message.parse('d', 'drop table plain'),
      message.bind('', 'd'),
      message.execute(''),
      message.sync(),
      message.bind('', 'd'),
      message.sync(),
    );
    const first = await client.until('Z');
    assert.equal(typesOf(first), '12CEZ');
    assert.equal(errorOf(first)?.['C'], '42501');
    assert.equal(errorOf(await client.until('Z'))?.['C'], '26000');
    assert.deepEqual(
      rowsOf(await client.simple('select count(*) from plain where id = 100001')),
      [['0']],
      'the implicit transaction was rolled back',
    );
    client.close();
  });

  test('a policy that changes counts for what was prepared before', async () => {
    const client = await connect();
    client.send(message.parse('t', 'truncate plain'), message.sync());
    assert.equal(typesOf(await client.until('Z')), 'EZ');
    gateway.use({});
    client.send(message.parse('t', 'truncate plain'), message.sync());
    assert.equal(typesOf(await client.until('Z')), '1Z');
    gateway.use({ guards: GUARD });
    client.send(message.bind('', 't'), message.execute(''), message.sync());
    assert.equal(errorOf(await client.until('Z'))?.['C'], '42501');
    assert.deepEqual(rowsOf(await client.simple('select count(*) from plain')), [['1000']]);
    client.close();
  });

  test('what cannot be parsed, and settings that change how text is read', async () => {
    const client = await connect();
    assert.equal(errorOf(await client.simple('selec 1'))?.['C'], '42601', 'the server says so itself');
    client.send(message.query('set standard_conforming_strings = off'), message.query("select '\\'; drop table plain; --'"));
    await client.until('Z');
    assert.equal(errorOf(await client.until('Z'))?.['C'], '42501');
    assert.deepEqual(rowsOf(await client.simple('select count(*) from plain')), [['1000']]);
    client.close();
  });

  test('PREPARE, EXECUTE and DEALLOCATE in SQL share their names with the protocol', async () => {
    const client = await connect();
    client.send(
      message.query('prepare x as select 5'),
      message.query('execute x'),
      message.query('deallocate x'),
      message.query('execute x'),
    );
    await client.until('Z');
    assert.deepEqual(rowsOf(await client.until('Z')), [['5']]);
    await client.until('Z');
    assert.equal(errorOf(await client.until('Z'))?.['C'], '26000');
    await client.simple('prepare y as select 6');
    client.send(message.bind('', 'y'), message.execute(''), message.sync());
    assert.deepEqual(rowsOf(await client.until('Z')), [['6']]);
    await client.simple('begin');
    await client.simple('declare k cursor for select id from plain order by id');
    client.send(message.execute('k', 2), message.sync());
    assert.deepEqual(rowsOf(await client.until('Z')), [['1'], ['2']]);
    client.close();
  });
});

describe('masking', () => {
  const emails = async (frames: Promise<Frame[]>) => rowsOf(await frames).map(row => row.at(-1));

  test('by column: simple, extended without Describe, binary, cursor', async () => {
    const client = await connect();
    const sql = 'select id, email from customers order by id limit 2';
    const masked = ['u***@example.org', 'u***@example.org'];
    assert.deepEqual(await emails(client.simple(sql)), masked);
    assert.deepEqual(await emails(client.extended(sql)), masked);
    assert.deepEqual(await emails(client.extended(sql, [], { describe: false })), masked);
    assert.deepEqual(await emails(client.extended(sql, [], { binary: true })), masked);
    assert.deepEqual(await emails(client.extended(sql, [], { binary: true, describe: false })), masked);
    assert.deepEqual(await emails(client.simple('select email as e from customers c order by id limit 2')), masked);
    assert.deepEqual(await emails(client.simple('select email from customer_emails order by id limit 2')), masked);
    assert.deepEqual(await emails(client.simple(`insert into customers values (999, 'n', 'user@example.org') returning email`)), [
      'u***@example.org',
    ]);
    await client.simple('delete from customers where id = 999');
    await client.simple('begin');
    await client.simple('declare c cursor for select email from customers order by id');
    assert.deepEqual(await emails(client.simple('fetch 2 from c')), masked);
    await client.simple('rollback');
    await client.simple('prepare e as select email from customers order by id limit 2');
    assert.deepEqual(await emails(client.simple('execute e')), masked);
    const response = gateway.sink.responses.find(each => each.maskedValues === 2n);
    assert.deepEqual(response?.dataClasses, ['column:public.customers.email']);
    assert.ok(!Buffer.from(response?.head ?? []).includes('user1@'));
    client.close();
  });

  test('COPY in its three forms, of a table and of a query, simple and extended', async () => {
    const client = await connect();
    for (const sql of [
      'copy customers (id, email) to stdout',
      'copy (select id, email from customers order by id) to stdout',
      'copy (select id, email from customers order by id) to stdout (format csv, header)',
      "copy customers (id, email) to stdout with (format csv, delimiter ';', force_quote *)",
      'copy (select id, email from customers) to stdout (format binary)',
      'copy customers to stdout',
    ]) {
      for (const frames of [await client.simple(sql), await client.extended(sql)]) {
        assert.equal(errorOf(frames), null, sql);
        const text = Buffer.concat(frames.filter(f => f.type === 'd').map(f => f.body)).toString('latin1');
        assert.ok(text.includes('u***@example.org'), sql);
        assert.ok(!/user\d+@/.test(text), `${sql}: ${text}`);
        assert.equal(frames.findLast(f => f.type === 'C')?.body.toString(), 'COPY 50\0');
      }
    }
    assert.equal(errorOf(await client.simple('copy nowhere to stdout'))?.['C'], '42P01');
    await client.simple('begin');
    assert.equal(statusOf(await client.simple('copy nowhere to stdout')), 'E');
    await client.simple('rollback');
    const plain = await client.simple('copy plain to stdout');
    assert.equal(plain.filter(f => f.type === 'd').length, 1000);
    client.close();
  });

  test('a column that may not be read: refused before it runs, and the session goes on', async () => {
    const client = await connect();
    for (const frames of [
      await client.simple('select * from app_users'),
      await client.extended('select password from app_users'),
      await client.extended('select password from app_users', [], { describe: false }),
      await client.simple('copy app_users to stdout'),
    ]) {
      assert.equal(errorOf(frames)?.['C'], '42501');
      assert.equal(statusOf(frames), 'I');
      assert.equal(rowsOf(frames).length, 0);
    }
    await client.simple('begin');
    assert.equal(statusOf(await client.simple('select * from app_users')), 'E');
    await client.simple('rollback');
    assert.deepEqual(rowsOf(await client.simple('select login from app_users')), [['ada']]);
    assert.deepEqual(rowsOf(await client.extended('select login from app_users')), [['ada']]);
    await client.simple('begin');
    assert.equal(errorOf(await client.simple('declare c cursor for select password from app_users'))?.['C'], '42501');
    assert.equal(errorOf(await client.simple('fetch all from c'))?.['C'], '25P02');
    client.close();
  });

  test('detectors: values, errors, notices, records', async () => {
    const key = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');
    const client = await connect();
    const sees = async (frames: Promise<Frame[]>) => Buffer.concat((await frames).map(f => f.body)).toString('latin1');
    for (const answer of [
      client.simple('select value from secrets'),
      client.extended('select value from secrets', [], { binary: true, describe: false }),
      client.simple('select to_jsonb(value) from secrets'),
      client.simple("select array[value, 'x'] from secrets"),
      client.simple('select value::bytea from secrets'),
      client.extended('select value::bytea from secrets', [], { binary: true }),
      client.simple('copy secrets to stdout'),
      client.simple(`select '${key}'::int`),
      client.simple('select value::int from secrets'),
      client.simple(`set application_name = '${key}'`),
    ]) {
      const text = await answer.then(frames => Buffer.concat(frames.map(f => f.body)).toString('latin1'));
      assert.ok(!text.includes(key) && !text.includes(Buffer.from(key).toString('hex')), text);
    }
    assert.ok((await sees(client.simple('select value from secrets'))).includes('see '));
    const { rows } = { rows: rowsOf(await client.simple("select value, 'ok' from secrets")) };
    assert.equal(rows[0]?.[1], 'ok');
    assert.ok(
      !JSON.stringify(gateway.sink.commands, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)).includes(key),
    );
    client.close();
  });
});

describe('output commit', () => {
  test('nothing is released before its record is durable, and a write is not sent', async () => {
    const client = await connect();
    const observer = await connect();
    await client.simple('create temp table w (a int)');
    gateway.sink.automatic = false;
    let records = gateway.sink.commands.length;
    const recorded = async () => {
      while (gateway.sink.commands.length === records) await new Promise(resolve => setTimeout(resolve, 10));
      records = gateway.sink.commands.length;
    };
    client.send(message.query('select 1'));
    await recorded();
    await assert.rejects(client.next(300), /no frame/);
    gateway.sink.sync();
    assert.equal(typesOf(await client.until('Z')), 'TDCZ');
    client.send(message.query("insert into plain values (200000, 'x')"));
    await recorded();
    await new Promise(resolve => setTimeout(resolve, 200));
    gateway.sink.automatic = true;
    const direct = new pg.Client({
      host: 'localhost',
      port: postgres.port,
      ...postgres.superuser,
      database: 'app',
      ssl: { rejectUnauthorized: false },
    });
    await direct.connect();
    assert.equal((await direct.query('select 1 from plain where id = 200000')).rowCount, 0);
    gateway.sink.sync();
    assert.equal(typesOf(await client.until('Z')), 'CZ');
    assert.equal((await direct.query('delete from plain where id = 200000')).rowCount, 1);
    await direct.end();
    client.close();
    observer.close();
  });

  test('a full spool: a clear error, nothing runs, and the session goes on when there is room', async () => {
    const client = await connect();
    gateway.sink.full = true;
    const refused = await client.simple("insert into plain values (200001, 'x')");
    assert.equal(errorOf(refused)?.['C'], '53100');
    const extended = await client.extended('select 1');
    assert.equal(errorOf(extended)?.['C'], '53100');
    gateway.sink.full = false;
    assert.deepEqual(rowsOf(await client.simple('select count(*) from plain where id = 200001')), [['0']]);
    client.close();
  });
});

describe('the end', () => {
  test('kill, revocation, a grant that ends', async () => {
    const client = await connect();
    const session = [...gateway.gateway.sessions.values()].at(-1);
    assert.ok(session);
    gateway.gateway.kill(session.id, 'by the test');
    assert.equal(errorOf(await client.until('E'))?.['C'], '57P01');
    const other = await connect();
    gateway.use({ role: { members: { groups: ['nobody'], serviceAccounts: [], principals: [] } } });
    assert.equal(errorOf(await other.until('E'))?.['C'], '57P01');
    assert.match(gateway.sink.ended.at(-1)?.reason ?? '', /grantWithdrawn/);
    await assert.rejects(connect(), { code: '28P01' });
  });

  test('the end of the lease: sessions go on, are ended once nothing runs in them, or at once, as the resource says', async () => {
    const expiresAtMs = gateway.gateway.lease?.expiresAtMs ?? 0;
    const check = (nowMs: number) => {
      for (const session of gateway.gateway.sessions.values()) session.checkLimits(nowMs);
    };
    gateway.use({});
    const client = await connect();
    check(expiresAtMs + 1e9);
    assert.deepEqual(rowsOf(await client.simple('select 1')), [['1']], 'kept');

    gateway.use({ onExpiry: 'drain' });
    const expiry = gateway.gateway.lease?.expiresAtMs ?? 0;
    check(expiry - 1);
    client.send(message.query("select 'slow' from pg_sleep(3)"));
    const session = [...gateway.gateway.sessions.values()].at(-1);
    while (session?.isBusy() !== true) await new Promise(resolve => setTimeout(resolve, 5));
    check(expiry);
    const answer = await client.until('Z');
    assert.deepEqual(rowsOf(answer), [['slow']], 'what runs is not cut');
    check(expiry);
    assert.equal(errorOf(await client.until('E'))?.['C'], '57P01');
    assert.match(gateway.sink.ended.at(-1)?.reason ?? '', /leaseExpired/);

    gateway.use({ onExpiry: 'close' });
    const other = await connect();
    other.send(message.query('select pg_sleep(30)'));
    const cut = [...gateway.gateway.sessions.values()].at(-1);
    while (cut?.isBusy() !== true) await new Promise(resolve => setTimeout(resolve, 5));
    check(gateway.gateway.lease?.expiresAtMs ?? 0);
    assert.equal(errorOf(await other.until('E'))?.['C'], '57P01');
  });

  test('a backend that is terminated, and bytes that are no protocol', async () => {
    const client = await connect();
    await client.simple("select 'x'");
    const [[pid]] = rowsOf(await client.simple('select pg_backend_pid()')) as [[string]];
    process.kill(Number(pid), 'SIGTERM');
    assert.equal(errorOf(await client.until('E'))?.['C'], '57P01');
    const raw = await connect();
    raw.send(Buffer.from([0x51, 0, 0, 0, 3]));
    assert.equal(errorOf(await raw.until('E'))?.['C'], '08P01');
    const big = await connect();
    const head = Buffer.alloc(5);
    head[0] = 0x51;
    head.writeInt32BE(1_000_000_000, 1);
    big.send(head);
    assert.equal(errorOf(await big.until('E'))?.['C'], '54000');
  });
});
