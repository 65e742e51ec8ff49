/** Rules with `maxRows` against a real PostgreSQL: who is refused by the planner's estimate, and that nobody else sees a trace of it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, fields, message, RawClient } from '../../e2e/components/raw-postgres.ts';
import { certificatesOf, startGateway, type TestGateway, type TestPolicy } from './testing/gateway.ts';

const SQL = `
set role app;
create table numbers (n int primary key, t text);
insert into numbers select i, 'x' from generate_series(1, 5000) i;
create table skewed (kind text);
insert into skewed select case when i <= 20 then 'rare' else 'usual' end from generate_series(1, 4000) i;
create index on skewed (kind);
create table log (n serial, t text);
create function noisy(int) returns int language plpgsql stable as $$ begin raise notice 'noisy % %', $1, (current_query() ilike 'explain%')::int; return $1; end $$;
create function fussy(int) returns int language plpgsql immutable as $$ begin if current_query() ilike 'explain%' then raise exception 'not planned'; end if; return $1; end $$;
reset role;
analyze;
`;
const approval = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 120_000, preview: false };
const GUARD: TestPolicy['guards'] = [
  {
    resources: {},
    priority: 0,
    rules: [
      {
        name: 'huge',
        match: { statements: ['select', 'copy', 'dml', 'call', 'do'], maxRows: 100 },
        action: 'deny',
        message: 'Too many rows at once.',
      },
      { name: 'some', match: { statements: ['update'], maxRows: 10 }, action: 'hold', approval },
    ],
  },
];
let postgres: PostgresServer;
let gateway: TestGateway;

before(async () => {
  postgres = await startPostgres({ sql: SQL, settings: { autovacuum: 'off' } });
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: { guards: GUARD },
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});

const connect = () => RawClient.connect({ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good' });
const direct = () =>
  RawClient.connect({
    host: '127.0.0.1',
    port: postgres.port,
    user: postgres.direct.user,
    database: 'app',
    password: postgres.direct.password,
  });
const errorOf = (frames: Frame[]) => fields(frames.find(f => f.type === 'E')?.body ?? Buffer.from([0]));
const types = (frames: Frame[]) => frames.map(f => (f.type === 'Z' ? `Z${f.body.toString()}` : f.type)).join('');
const bytes = (frames: Frame[]) => frames.map(f => `${f.type}${f.body.toString('latin1')}`);
const lastCommand = () => {
  const command = gateway.sink.commands.at(-1);
  assert.ok(command);
  return command;
};
const run = (text: string, values: string[] = []) => [
  message.parse('', text),
  message.bind('', '', values),
  message.describe('P', ''),
  message.execute(''),
  message.sync(),
];

describe('maxRows', () => {
  test('refuses above the limit, naming the estimate and the limit, and lets pass below it, with the estimate in the evidence', async () => {
    const client = await connect();
    const refused = await client.simple('select * from numbers');
    assert.equal(types(refused), 'EZI');
    assert.equal(errorOf(refused)['C'], '42501');
    assert.equal(errorOf(refused)['M'], 'Too many rows at once. (the planner expects 5000 rows, and the limit is 100)');
    assert.equal(lastCommand().rule, 'guard-0/huge');
    assert.match(lastCommand().reason, /the planner expects 5000 rows, and the limit is 100/);
    assert.equal(types(await client.simple('select * from numbers limit 100')), `T${'D'.repeat(100)}CZI`);
    assert.match(lastCommand().reason, /no rule speaks against it; the planner expects 100 rows/);
    for (const harmless of [
      'begin',
      'set application_name = $$x$$',
      'show search_path',
      'explain select * from numbers',
      'prepare p(int) as select * from numbers where n <= $1',
      'rollback',
    ])
      assert.notEqual((await client.simple(harmless)).at(0)?.type, 'E', harmless);
    client.close();
  });

  const refusals: [string, string, RegExp][] = [
    ['a change by the rows that go into it', 'delete from numbers', /expects 5000 rows/],
    ['a change with RETURNING', 'update numbers set t = t returning n', /expects 5000 rows/],
    ['an insert', "insert into log (t) select 'x' from numbers", /expects 5000 rows/],
    ['a change in WITH', 'with d as (delete from numbers returning 1) select count(*) from d', /expects 5000 rows/],
    ['a merge', 'merge into numbers a using numbers b on a.n = b.n when matched then do nothing', /expects 5000 rows/],
    ['what EXPLAIN ANALYZE runs', 'explain (analyze, costs off) /* it */ select * from numbers', /expects 5000 rows/],
    ['SELECT INTO', 'select * into temp copied from numbers', /expects 5000 rows/],
    ['CREATE TABLE AS', 'create table copied as select * from numbers', /expects 5000 rows/],
    ['a cursor, when it is declared', 'declare c cursor for select * from numbers', /expects 5000 rows/],
    ['COPY of a query', 'copy (select * from numbers) to stdout', /expects 5000 rows/],
    ['COPY of a table', 'copy numbers to stdout', /expects 5000 rows/],
    ['TABLE', 'table numbers', /expects 5000 rows/],
    ['what stands with others', 'select 1; select 2', /cannot be estimated: it stands with others in one string/],
    ['COPY FROM', 'copy numbers from stdin', /cannot be estimated: the rows of COPY FROM/],
    ['TRUNCATE', 'truncate numbers', /cannot be estimated: it is of a kind that PostgreSQL does not plan/],
  ];
  test('counts what is returned or changed, and refuses what cannot be estimated', async () => {
    const client = await connect();
    for (const [what, sql, why] of refusals) {
      const frames = await client.simple(sql);
      assert.equal(types(frames), 'EZI', what);
      assert.equal(errorOf(frames)['C'], '42501', what);
      assert.match(errorOf(frames)['M'] ?? '', why, what);
    }
    client.close();
    const other = await direct();
    assert.equal((await other.simple('select count(*) from numbers')).find(f => f.type === 'D')?.body.toString('latin1', 6), '5000');
    other.close();
  });

  test('PREPARE and EXECUTE by SQL; cursors and FETCH', async () => {
    const client = await connect();
    await client.simple('prepare p(int) as select * from numbers where n <= $1');
    assert.equal(types(await client.simple('execute p(3)')), 'TDDDCZI');
    assert.match(errorOf(await client.simple('execute p(4000)'))['M'] ?? '', /expects 4\d\d\d rows/);
    assert.match(errorOf(await client.simple('execute p(1 + 1)'))['M'] ?? '', /an argument of EXECUTE is an expression/);
    await client.simple('begin');
    await client.simple('declare c cursor for select * from numbers where n <= 50');
    assert.equal(types(await client.simple('fetch 2 from c')), 'TDDCZT');
    assert.equal(types(await client.simple('fetch all from c')), `T${'D'.repeat(48)}CZT`);
    await client.simple('rollback');
    client.close();
  });

  test('extended: by the values that are bound, every time; a portal that is fetched in parts is asked for once', async () => {
    const client = await connect();
    client.send(message.parse('s', 'select kind from skewed where kind = $1', []), message.sync());
    assert.equal(types(await client.until('Z')), '1ZI');
    for (const [kind, shape] of [
      ['rare', `2${'D'.repeat(20)}CZI`],
      ['usual', '2EZI'],
      ['rare', `2${'D'.repeat(20)}CZI`],
    ] as const) {
      client.send(message.bind('', 's', [kind]), message.execute(''), message.sync());
      const frames = await client.until('Z');
      assert.equal(types(frames), shape, kind);
      if (kind === 'usual') assert.match(errorOf(frames)['M'] ?? '', /expects 3\d\d\d rows, and the limit is 100/);
    }
    await client.simple('begin');
    const asked = gateway.sink.commands.length;
    client.send(message.bind('p', 's', ['rare']), message.execute('p', 5), message.execute('p', 5), message.sync());
    assert.equal(types(await client.until('Z')), '2DDDDDsDDDDDsZT');
    assert.equal(gateway.sink.commands.length, asked + 2);
    await client.simple('commit');
    client.close();
  });

  test('inside of a pipeline it sees what came before; a refusal skips to the Sync as ever', async () => {
    const client = await connect();
    const at = (text: string) => [message.parse('', text), message.bind('', ''), message.execute('')];
    client.send(
      ...at('create temp table fresh as select 1 as a'),
      ...at('select a from fresh limit 9'),
      ...at('select n from numbers'),
      ...at('select 3'),
      message.sync(),
    );
    const frames = await client.until('Z');
    assert.equal(types(frames).replace('12CZI', ''), '12C12DC12EZI');
    assert.match(errorOf(frames)['M'] ?? '', /expects 5000 rows/);
    assert.equal(errorOf(await client.simple('select * from fresh'))['C'], '42P01', 'the implicit transaction was rolled back');
    client.close();
  });

  test('in a transaction: refused it has failed, and a failed one is told in PostgreSQL’s words', async () => {
    const client = await connect();
    await client.simple('begin');
    assert.equal(types(await client.simple('select * from numbers')), 'EZE');
    assert.equal(errorOf(await client.simple('select 1'))['C'], '25P02');
    assert.equal(errorOf(await client.simple('select * from numbers'))['C'], '25P02');
    assert.equal(types(await client.simple('rollback')), 'CZI');
    client.close();
  });

  test('held above its own limit', async () => {
    const client = await connect();
    client.send(message.query('update numbers set t = t where n <= 50'));
    for (let i = 0; i < 3000 && !gateway.messages.some(each => each.type === 'approvalRequested'); i++)
      await new Promise(resolve => setTimeout(resolve, 10));
    const request = gateway.messages.flatMap(each => (each.type === 'approvalRequested' ? [each.request] : [])).at(-1);
    assert.ok(request);
    gateway.gateway.holds.decided({
      type: 'approval',
      approvalId: request.approvalId,
      state: 'approved',
      by: ['bob@example.com'],
      reason: '',
      binding: request.binding,
    });
    const frames = (await client.until('Z')).filter(f => f.type !== 'N');
    assert.equal(types(frames), 'CZI');
    assert.match(lastCommand().reason, /expects (4|5)\d rows, and the limit is 10/);
    assert.equal(types(await client.simple('update numbers set t = t where n <= 5')), 'CZI');
    client.close();
  });

  test('what PostgreSQL would not plan it is not made to run: the client gets the error, at its own place in the text', async () => {
    const client = await connect();
    const other = await direct();
    const wrong = ['select * from missing', '  select n, nope from numbers', 'select 1/0 from numbers where n = 1', 'select 1 +'];
    for (const sql of wrong) {
      assert.deepEqual(bytes(await client.simple(sql)), bytes(await other.simple(sql)), sql);
      client.send(...run(sql));
      other.send(...run(sql));
      assert.deepEqual(bytes(await client.until('Z')), bytes(await other.until('Z')), sql);
    }
    for (const sql of ['select fussy(1)', 'select fussy(n) from numbers where n = fussy(1)']) {
      const simple = await client.simple(sql);
      assert.equal(types(simple), 'EZI', 'what fails only when it is planned does not run unjudged');
      client.send(...run(sql));
      assert.equal(types(await client.until('Z')).at(-3), 'E');
      assert.match(lastCommand().reason, /does not plan it/);
      assert.equal(gateway.sink.responses.at(-1)?.errorCode, 'P0001');
    }
    client.close();
    other.close();
  });

  test('nothing of it is seen: every answer is what a direct connection gives', async () => {
    const client = await connect();
    const other = await direct();
    const scripts: (Buffer[] | string)[] = [
      'set client_min_messages = notice',
      'select noisy(1)',
      'select noisy(n) from numbers where n = noisy(2)',
      'begin isolation level serializable',
      'select n from numbers where n < 5',
      'savepoint a',
      'update numbers set t = t where n = 1 returning n',
      'rollback to savepoint a',
      'commit',
      "insert into log (t) values ('a') returning t",
      'select currval($$log_n_seq$$) - lastval()',
      run('select n from numbers where n = $1 and t = $2', ['7', 'x']),
      run('insert into log (t) values ($1) returning t', ['b']),
      run('select $1::int[] @> array[1]', ['{1,2}']),
      [message.parse('named', 'select count(*) from numbers where n < $1'), message.describe('S', 'named'), message.sync()],
      [message.bind('', 'named', ['10']), message.describe('P', ''), message.execute(''), message.sync()],
      'select name from pg_prepared_statements limit 9',
      'select name from pg_cursors limit 9',
      [message.close('S', 'named'), message.sync()],
      'select count(*) from pg_locks where locktype = $$advisory$$',
      'select current_setting($$transaction_isolation$$), txid_current_if_assigned() is null',
      'delete from log where t = $$b$$',
    ];
    const answers = async (each: RawClient) => {
      const seen: string[][] = [];
      for (const script of scripts) {
        if (typeof script === 'string') each.send(message.query(script));
        else each.send(...script);
        seen.push(bytes(await each.until('Z')));
      }
      return seen;
    };
    const [mine, theirs] = [await answers(client), await answers(other)];
    for (const [i, script] of scripts.entries()) assert.deepEqual(mine[i], theirs[i], String(script));
    client.close();
    other.close();
  });

  test('drivers go on as ever: node-postgres with parameters, prepared and in a transaction', async () => {
    const client = new pg.Client({
      host: gateway.host,
      port: gateway.port,
      user: 'anyone',
      database: 'app',
      password: 'good',
      ssl: { rejectUnauthorized: false },
    });
    await client.connect();
    await client.query('begin');
    for (let i = 1; i <= 3; i++) {
      const { rows } = await client.query({ name: 'one', text: 'select t from numbers where n = $1', values: [i] });
      assert.deepEqual(rows, [{ t: 'x' }]);
    }
    await assert.rejects(client.query('select * from numbers where n > $1', [1]), /expects \d+ rows, and the limit is 100/);
    await client.query('rollback');
    await client.end();
  });
});
