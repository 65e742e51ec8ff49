/** Previews against a real PostgreSQL: what approvers are shown, that nothing of it stays, and that only the same effect is released. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { type Preview, readPreview } from '@sallyport/shared/policy/preview.ts';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../../e2e/components/postgres.ts';
import { type Frame, fields, message, RawClient } from '../../../e2e/components/raw-postgres.ts';
import type { ApprovalRequest } from '../../worker-messages.ts';
import { certificatesOf, startGateway, type TestGateway } from '../testing/gateway.ts';

let postgres: PostgresServer;
let gateway: TestGateway;
const approval = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 120_000, preview: true };
const guards = [
  {
    resources: {},
    priority: 0,
    rules: [
      {
        name: 'writes',
        match: { statements: ['insert', 'update', 'delete', 'merge'] },
        action: 'hold' as const,
        message: 'Writes need a colleague.',
        approval,
      },
    ],
  },
];

before(async () => {
  postgres = await startPostgres({
    sql: `
      set role app;
      create table t (n int primary key, v int, email text);
      insert into t select i, 0, 'user' || i || '@example.com' from generate_series(1, 50) i;
      create table child (id int primary key, n int references t on delete cascade);
      create table serial (id serial primary key, v int);
      create table watched (n int primary key, v int);
      insert into watched values (1, 1);
      create table said (what text);
      create function tell() returns trigger language plpgsql as $$ begin insert into said values ('ran'); return new; end $$;
      create trigger tells before update on watched for each row execute function tell();
      create function evil(int) returns int language plpgsql as $$ begin perform pg_advisory_lock(4711); return $1; end $$;
      create function evil_of(t) returns int language plpgsql as $$ begin perform pg_advisory_lock(4711); return 1; end $$;
      create function evil_eq(int, text) returns boolean language plpgsql as $$ begin perform pg_advisory_lock(4711); return true; end $$;
      create operator === (leftarg = int, rightarg = text, function = evil_eq);
      create view seen as select * from t;
      create table deferred (n int, constraint once unique (n) deferrable initially deferred);
      insert into deferred values (1), (2);
    `,
  });
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: { guards },
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});

const address = () => ({ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good' });
const connect = () => RawClient.connect(address());
async function direct<T>(sql: string): Promise<T[]> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: postgres.port,
    user: postgres.app.user,
    password: postgres.app.password,
    database: 'app',
  });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows as T[];
}
const values = async (sql: string) => (await direct<Record<string, unknown>>(sql)).map(row => Object.values(row)[0]);
const requests = () => gateway.messages.flatMap(each => (each.type === 'approvalRequested' ? [each.request] : []));
async function until<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 3000; i++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error('not seen');
}
const asked = (index: number) => until(() => requests()[index]);
const previewOf = (request: ApprovalRequest): Preview => {
  const preview = readPreview(request.previewJson);
  assert.ok(preview, request.previewJson);
  return preview;
};
const decide = (request: ApprovalRequest, state: 'approved' | 'denied' = 'approved') =>
  gateway.gateway.holds.decided({
    type: 'approval',
    approvalId: request.approvalId,
    state,
    by: ['bob@example.com'],
    reason: '',
    binding: request.binding,
  });
const tags = (frames: Frame[]) => frames.filter(f => f.type === 'C').map(f => f.body.toString().slice(0, -1));
const types = (frames: Frame[]) => frames.map(f => (f.type === 'Z' ? `Z${f.body.toString()}` : f.type)).join('');
const errorOf = (frames: Frame[]) => fields(frames.find(f => f.type === 'E')?.body ?? Buffer.from([0]));
/** Without the notice that says what it waits for. */
const answer = async (client: RawClient) => (await client.until('Z')).filter(frame => frame.type !== 'N');

/** What a direct connection answers to the same bytes. */
async function directly(bytes: Buffer[], ready: number): Promise<string> {
  const socket = await RawClient.connect({
    host: '127.0.0.1',
    port: postgres.port,
    user: postgres.direct.user,
    database: 'app',
    password: postgres.direct.password,
  });
  socket.send(...bytes);
  const seen: Frame[] = [];
  for (let i = 0; i < ready; i++) seen.push(...(await socket.until('Z')));
  socket.close();
  return types(seen);
}

describe('a preview', () => {
  test('shows rows before and after and how many; nothing of it stays, and the released answer is PostgreSQL’s own', async () => {
    const client = await connect();
    const at = requests().length;
    client.send(message.query('update t set v = v + 7 where n <= 3 returning n, v'));
    const request = await asked(at);
    const preview = previewOf(request);
    assert.equal(preview.unavailable, '');
    assert.equal(preview.rowCount, 3);
    assert.deepEqual(preview.before?.columns, ['n', 'v', 'email']);
    assert.deepEqual(
      preview.before?.rows.map(row => row.slice(0, 2)),
      [
        ['1', '0'],
        ['2', '0'],
        ['3', '0'],
      ],
    );
    assert.deepEqual(
      preview.after?.rows.map(row => row.slice(0, 2)),
      [
        ['1', '7'],
        ['2', '7'],
        ['3', '7'],
      ],
    );
    assert.deepEqual(await values('select sum(v)::int from t'), [0], 'nothing of the preview stays');
    decide(request);
    const frames = await answer(client);
    assert.equal(types(frames), 'TDDDCZI');
    assert.deepEqual(tags(frames), ['UPDATE 3']);
    assert.deepEqual(await values('select sum(v)::int from t'), [21]);
    client.close();
    await direct('update t set v = 0');
  });

  const oneOf = async (sql: string) => {
    const client = await connect();
    const at = requests().length;
    client.send(message.query(sql));
    const request = await asked(at);
    return { client, request, preview: previewOf(request) };
  };

  test('INSERT, DELETE and MERGE, also with cascades and ON CONFLICT', async () => {
    await direct('insert into child values (1, 40), (2, 40), (3, 41)');
    const cases: [string, number, number | null, number | null, string][] = [
      ['insert into t (n, v) values (100, 1), (101, 2)', 2, null, 2, 'INSERT 0 2'],
      ['insert into t (n, v) values (1, 9) on conflict (n) do nothing', 0, null, 0, 'INSERT 0 0'],
      ['delete from t where n >= 40 and n < 42', 2, 2, null, 'DELETE 2'],
      [
        'merge into t using child c on t.n = c.n when matched then delete when not matched then insert (n) values (c.n)',
        0,
        null,
        null,
        'MERGE 0',
      ],
      ['update t set v = 1 where false', 0, 0, 0, 'UPDATE 0'],
      ['with m as (select max(n) as n from t) update t set v = 5 from m where t.n = m.n returning 1 -- last', 1, 1, 1, 'UPDATE 1'],
    ];
    for (const [sql, count, before, after, tag] of cases) {
      const { client, request, preview } = await oneOf(sql);
      assert.deepEqual([preview.unavailable, preview.rowCount], ['', count], sql);
      assert.deepEqual([preview.before?.rows.length ?? null, preview.after?.rows.length ?? null], [before, after], sql);
      decide(request);
      assert.deepEqual(tags(await answer(client)), [tag], sql);
      client.close();
    }
    await direct('delete from t where n >= 100; update t set v = 0');
  });

  test('is not made of what may not roll back, and says so', async () => {
    const cases: [string, RegExp][] = [
      ['insert into serial (v) values (1)', /default draws from a sequence/],
      ["update t set v = nextval('serial_id_seq')", /function nextval/],
      ['update t set v = evil(n)', /function evil/],
      ['update t set v = 1 where pg_catalog.pg_advisory_lock(1) is null', /pg_advisory_lock/],
      ['update t set v = t.evil_of', /function evil_of is not known/],
      ["update t set v = 1 where n === 'x'", /operator ===/],
      ['update watched set v = 2', /trigger tells/],
      ['update t set v = 1 from seen where seen.n = t.n', /seen is a view/],
      ['update seen set v = 1', /seen is a view/],
      ['delete from t; delete from child', /several statements/],
      ['with d as (delete from child returning n) delete from t using d where t.n = d.n', /changes data in WITH/],
    ];
    for (const [sql, why] of cases) {
      const { client, request, preview } = await oneOf(sql);
      assert.match(preview.unavailable, why, sql);
      assert.deepEqual([preview.rowCount, preview.before, preview.after], [null, null, null]);
      decide(request, 'denied');
      assert.equal(errorOf(await answer(client))['C'], '42501');
      client.close();
    }
    assert.deepEqual(await values('select last_value::int from serial_id_seq where not is_called'), [1]);
    assert.deepEqual(await values('select count(*)::int from said'), [0]);
    assert.deepEqual(await values("select count(*)::int from pg_locks where locktype = 'advisory'"), [0]);
    const { client, request } = await oneOf('update watched set v = 3');
    decide(request);
    assert.deepEqual(tags(await answer(client)), ['UPDATE 1'], 'it is run as it is when people release it without a preview');
    client.close();
  });

  test('is not made where a type, a cast, a partition key or a nested check may act', async () => {
    await direct(
      `
      create function acts(text) returns boolean language plpgsql immutable as $$ begin perform pg_advisory_lock(4712); return true; end $$;
      create function acts_number(int) returns int language plpgsql immutable as $$ begin perform pg_advisory_lock(4712); return $1; end $$;
      create domain inner_text as text check (acts(value));
      create domain outer_text as inner_text;
      create domain numbered as int default nextval('serial_id_seq');
      create domain locking as int check (pg_advisory_lock(4712) is not null);
      create type pair as (a inner_text, b int);
      create type duo as (a int, b int);
      create domain pair_of as duo;
      create type mood as enum ('good', 'bad');
      create function to_mood(text) returns mood language plpgsql immutable as $$ begin perform pg_advisory_lock(4712); return 'good'; end $$;
      create cast (text as mood) with function to_mood(text);
      create table nested (n int, w outer_text);
      create table pairs (n int, p pair, many outer_text[]);
      create table with_default (n int, v numbered);
      create table locks (n int, check (pg_advisory_lock(4712) is not null));
      create table plain (n int, v text);
      insert into plain values (1, 'a'), (2, 'b');
      create table parted (n int) partition by list (acts_number(n));
      create table part_1 partition of parted for values in (1);
      create function peek(record) returns int language plpgsql as $$ begin perform pg_advisory_lock(4712); return 1; end $$;
      create function look(pair_of) returns int language plpgsql as $$ begin perform pg_advisory_lock(4712); return 1; end $$;
      create table holder (n int, p pair_of);
      create table ruled (n int, v text);
      create policy p on ruled using (pg_advisory_lock(4712) is not null);
      alter table ruled enable row level security, force row level security;
      create function acts_difference(int, int) returns float8 language plpgsql immutable as $$ begin perform pg_advisory_lock(4712); return 1; end $$;
      create type range_of as range (subtype = int, subtype_diff = acts_difference);
    `,
    );
    const cases: [string, RegExp][] = [
      ["update plain set v = v where v::inner_text <> ''", /(function|calls) (public\.)?acts\b/],
      ["update plain set v = ('x'::outer_text)::text", /(function|calls) (public\.)?acts\b/],
      ["update plain set v = (array['x']::outer_text[])[1]", /(function|calls) (public\.)?acts\b/],
      ["update plain set v = (row('x', 1)::pair).a", /(function|calls) (public\.)?acts\b/],
      ['update plain set v = (json_populate_record(null::pair, \'{"a":"x"}\')).a', /(function|calls) (public\.)?acts\b/],
      ["insert into nested values (1, 'x')", /(function|calls) (public\.)?acts\b/],
      ["insert into pairs values (1, row('x', 1), null)", /(function|calls) (public\.)?acts\b/],
      ["update pairs set many = '{x}'", /(function|calls) (public\.)?acts\b/],
      ['update plain set v = v::mood::text', /cast from text/],
      ['insert into with_default (n) values (1)', /sequence/],
      ['update plain set n = n::locking', /pg_advisory_lock/],
      ['insert into locks values (1)', /pg_advisory_lock/],
      ['insert into parted values (1)', /function acts_number/],
      ['insert into part_1 values (1)', /function acts_number/],
      ['update plain set n = plain.peek', /function peek/],
      ['update holder set n = (p).look', /function look/],
      ['update ruled set n = 1', /pg_advisory_lock/],
      ['update plain set n = 2 where n in (select n from ruled)', /pg_advisory_lock/],
      ["update plain set n = 2 where '[1,2]'::range_of is not null", /function acts_difference/],
    ];
    for (const [sql, why] of cases) {
      const { client, request, preview } = await oneOf(sql);
      assert.match(preview.unavailable, why, sql);
      decide(request, 'denied');
      await answer(client);
      client.close();
    }
    const client = await connect();
    const at = requests().length;
    client.send(
      message.parse('', "update plain set v = 'z' where $1::outer_text is not null"),
      message.bind('', '', ['x']),
      message.execute(''),
      message.sync(),
    );
    const request = await asked(at);
    assert.match(previewOf(request).unavailable, /(function|calls) (public\.)?acts\b/);
    decide(request, 'denied');
    await answer(client);
    client.close();
    assert.deepEqual(await values("select count(*)::int from pg_locks where locktype = 'advisory'"), [0]);
    await direct('drop cast (text as mood); drop function peek(record)');
  });

  test('is made of lists, casts to pure types, domains and checks of built-ins', async () => {
    await direct(`
      create domain short_text as text check (length(value) < 100);
      create table usual (n int primary key check (n > 0), v short_text, at timestamptz default now(), label text generated always as ('n' || n::text) stored);
      insert into usual (n, v) select i, 'v' || i from generate_series(1, 9) i;
    `);
    const cases: [string, number][] = [
      ['update usual set v = null where n in (3, 4)', 2],
      ['update usual set v = null where n = any (array[3, 4, 5]) and v::text <> all (array[]::text[])', 3],
      ['delete from usual where n not in (1, 2, 3) and at between now() - interval $$1 day$$ and now()', 6],
      ["insert into usual (n, v) values (20, 'x'::short_text), (21, cast(7 as varchar(3)))", 2],
      ["update usual set v = case when n in (1,2) then 'a' else coalesce(v, 'b') end where (n, v) in ((1, 'v1'), (2, 'v2'))", 2],
    ];
    for (const [sql, count] of cases) {
      const { client, request, preview } = await oneOf(sql);
      assert.deepEqual([preview.unavailable, preview.rowCount], ['', count], sql);
      decide(request, 'denied');
      await answer(client);
      client.close();
    }
  });

  test('an error is shown to approvers, not to the client, and a transaction goes on', async () => {
    const client = await connect();
    await client.simple('begin; select 1');
    const at = requests().length;
    client.send(message.query('insert into t (n) values (1)'));
    const request = await asked(at);
    assert.match(previewOf(request).unavailable, /it fails as things are now: .*duplicate key.*23505/);
    decide(request, 'denied');
    const denied = await answer(client);
    assert.equal(types(denied), 'EZE', JSON.stringify(denied.filter(f => f.type === 'E').map(f => fields(f.body))));
    await client.simple('rollback');
    client.close();
  });

  test('waits neither long for locks nor long at all', async () => {
    const other = new pg.Client({
      host: '127.0.0.1',
      port: postgres.port,
      user: postgres.app.user,
      password: postgres.app.password,
      database: 'app',
    });
    await other.connect();
    await other.query('begin; update t set v = 0 where n = 5');
    const { client, request, preview } = await oneOf('update t set v = 1 where n = 5');
    assert.match(preview.unavailable, /locked by others/);
    await other.query('rollback');
    await other.end();
    decide(request);
    assert.deepEqual(tags(await answer(client)), ['UPDATE 1']);
    client.close();
    const slow = await oneOf(
      'update t set v = 1 where n in (select (random() * 0 + 1)::int from generate_series(1, 20000) a, generate_series(1, 20000) b)',
    );
    assert.match(slow.preview.unavailable, /longer than the 5000 ms/);
    decide(slow.request, 'denied');
    await answer(slow.client);
    slow.client.close();
    await direct('update t set v = 0');
  });

  test('another number of rows by the time of the release is not kept, and asks again', async () => {
    for (const inTransaction of [false, true]) {
      const client = await connect();
      if (inTransaction) await client.simple('begin; select 1');
      const at = requests().length;
      client.send(message.query('update t set v = 8 where v = 0 and n <= 5 returning n'), message.query('select 42'));
      const first = await asked(at);
      assert.equal(previewOf(first).rowCount, 5);
      await direct('update t set v = 1 where n = 2');
      decide(first);
      const second = await asked(at + 1);
      assert.deepEqual([previewOf(second).rowCount, previewOf(second).replaces], [4, { approvalId: first.approvalId, rowCount: 5 }]);
      assert.deepEqual(await values('select count(*)::int from t where v = 8'), [0]);
      decide(second);
      const frames = await client.until('Z');
      const told = frames.filter(f => f.type === 'N').map(f => fields(f.body)['M'] ?? '');
      assert.match(told[1] ?? '', /waiting for approval again, because it changed another number of rows than the 5/);
      assert.equal(types(frames.filter(f => f.type !== 'N')), `TDDDDCZ${inTransaction ? 'T' : 'I'}`, 'no row of the first try');
      assert.equal(types(await client.until('Z')), `TDCZ${inTransaction ? 'T' : 'I'}`);
      if (inTransaction) await client.simple('commit');
      assert.deepEqual(await values('select count(*)::int from t where v = 8'), [4]);
      const seq = gateway.sink.records.find(({ body }) => body.case === 'command' && body.value.approvalId === first.approvalId)?.seq;
      const response = gateway.sink.responses.find(each => each.commandSeq === seq && each.errorText.includes('rolled back'));
      assert.deepEqual(
        [response?.status, response?.errorText],
        [Status.REFUSED, 'rolled back: it changed 4 rows, and 5 had been approved'],
      );
      client.close();
      await direct('update t set v = 0');
    }
  });

  test('works inside of an open transaction, whose own work stays and whose savepoints do too', async () => {
    const client = await connect();
    await client.simple('begin');
    await client.simple('savepoint mine');
    const at = requests().length;
    for (const [i, sql] of ['update t set v = 3 where n = 9', 'delete from t where v = 3'].entries()) {
      client.send(message.query(sql));
      const request = await asked(at + i);
      assert.equal(previewOf(request).rowCount, 1, 'it sees what the transaction has done');
      decide(request);
      assert.equal(types(await answer(client)), 'CZT');
    }
    assert.deepEqual(tags(await client.simple('rollback to savepoint mine')), ['ROLLBACK']);
    assert.deepEqual(tags(await client.simple('commit')), ['COMMIT']);
    assert.deepEqual(await values('select v from t where n = 9'), [0]);
    client.close();
  });

  test('extended: values are bound again, and every answer is what a direct connection gives', async () => {
    const sql = 'update t set v = $1 where n <= $2 returning n';
    const scripts: [string, Buffer[], number, number][] = [
      [
        'one',
        [message.parse('', sql), message.bind('', '', ['4', '2']), message.describe('P', ''), message.execute(''), message.sync()],
        1,
        1,
      ],
      [
        'named',
        [
          message.parse('s', sql),
          message.bind('p', 's', ['4', '2']),
          message.describe('S', 's'),
          message.execute('p'),
          message.close('P', 'p'),
          message.sync(),
        ],
        1,
        1,
      ],
      [
        'pipelined',
        [
          message.parse('s2', sql),
          ...['1', '2'].flatMap(n => [message.bind('', 's2', ['4', n]), message.execute('')]),
          message.sync(),
          message.query('select 1'),
        ],
        2,
        2,
      ],
      [
        'begun in the pipeline',
        [
          message.parse('', 'begin'),
          message.bind('', ''),
          message.execute(''),
          message.parse('', sql),
          message.bind('', '', ['4', '2']),
          message.execute(''),
          message.sync(),
          message.query('commit'),
        ],
        2,
        1,
      ],
      [
        'failing behind',
        [
          message.parse('', sql),
          message.bind('', '', ['4', '2']),
          message.execute(''),
          message.parse('', 'select 1/0'),
          message.bind('', ''),
          message.execute(''),
          message.sync(),
          message.query('select v from t where n = 1'),
        ],
        2,
        1,
      ],
    ];
    for (const [name, bytes, ready, holds] of scripts) {
      const wanted = await directly(bytes, ready);
      await direct('update t set v = 0');
      const client = await connect();
      const at = requests().length;
      client.send(...bytes);
      for (let i = 0; i < holds; i++) {
        const request = await asked(at + i);
        assert.ok((previewOf(request).rowCount ?? 0) > 0, `${name}: ${previewOf(request).unavailable}`);
        decide(request);
      }
      const seen: Frame[] = [];
      for (let i = 0; i < ready; i++) seen.push(...(await answer(client)));
      assert.equal(types(seen), wanted, name);
      assert.deepEqual(
        await values('select sum(v)::int from t'),
        [name === 'failing behind' ? 0 : 8],
        `${name}: what is in one pipeline is committed or not as one`,
      );
      client.close();
      await direct('update t set v = 0');
    }
  });

  test('extended: what is denied after a preview, and what changed in between', async () => {
    const client = await connect();
    const at = requests().length;
    client.send(message.parse('', 'delete from t where v = $1'), message.bind('', '', ['6']), message.execute(''), message.sync());
    decide(await asked(at), 'denied');
    assert.equal(types(await answer(client)), '12EZI');
    await direct('update t set v = 6 where n = 3');
    client.send(message.parse('', 'delete from t where v = $1'), message.bind('p', '', ['6']), message.execute('p'), message.sync());
    const first = await asked(at + 1);
    assert.equal(previewOf(first).rowCount, 1);
    await direct('update t set v = 6 where n = 4');
    decide(first);
    const second = await asked(at + 2);
    assert.equal(previewOf(second).rowCount, 2);
    assert.deepEqual(second.binding, first.binding);
    decide(second);
    assert.equal(types(await answer(client)), '12CZI');
    assert.deepEqual(await values('select count(*)::int from t where n in (3, 4)'), [0]);
    client.close();
    await direct("insert into t values (3, 0, 'a@example.com'), (4, 0, 'b@example.com'); update t set v = 0");
  });

  test('extended: no preview where it would commit what came before in the pipeline', async () => {
    const client = await connect();
    const at = requests().length;
    client.send(
      message.parse('', 'select 1'),
      message.bind('', ''),
      message.execute(''),
      message.parse('', 'delete from t where n = 1'),
      message.bind('', ''),
      message.execute(''),
      message.sync(),
    );
    const request = await asked(at);
    assert.match(previewOf(request).unavailable, /earlier commands of the same pipeline/);
    decide(request, 'denied');
    assert.equal(types(await answer(client)), '12DC12EZI');
    client.close();
  });

  test('a deferred constraint fails the commit: the client gets that error, as it would have', async () => {
    const sql = 'update deferred set n = 1';
    const client = await connect();
    for (const bytes of [[message.query(sql)], [message.parse('', sql), message.bind('', ''), message.execute(''), message.sync()]]) {
      const wanted = await directly(bytes, 1);
      const at = requests().length;
      client.send(...bytes);
      const request = await asked(at);
      assert.equal(previewOf(request).rowCount, 2, previewOf(request).unavailable);
      decide(request);
      const frames = await answer(client);
      assert.deepEqual([types(frames), errorOf(frames)['C']], [wanted, '23505']);
    }
    assert.deepEqual(await values('select count(distinct n)::int from deferred'), [2]);
    client.close();
  });

  test('withdrawn while it is made: nobody is asked, and the session goes on', async () => {
    const client = await connect();
    const at = requests().length;
    const key = client.greeting.find(f => f.type === 'K')?.body ?? Buffer.alloc(8);
    client.send(
      message.query(
        'update t set v = 1 where n in (select (random() * 0 + 1)::int from generate_series(1, 20000) a, generate_series(1, 20000) b)',
      ),
    );
    await until(async () =>
      (
        await values(
          "select count(*)::int from pg_stat_activity where state = 'active' and query like '%generate_series(1, 20000)%' and pid <> pg_backend_pid()",
        )
      )[0] === 0
        ? undefined
        : true,
    );
    gateway.gateway.cancel(key.readInt32BE(0), key.subarray(4));
    assert.equal(errorOf(await answer(client))['C'], '57014');
    assert.equal(requests().length, at);
    assert.deepEqual(tags(await client.simple('select 1')), ['SELECT 1']);
    client.close();
  });

  test('a client that goes away in the middle leaves nothing', async () => {
    const client = await connect();
    client.send(
      message.query("update t set v = 77 where n <= 10 and length(repeat('x', 10000000)) > 0 and length(repeat('y', 90000000)) > 0"),
    );
    client.close();
    await until(async () =>
      (await values("select count(*)::int from pg_stat_activity where query like '%sallyport_effect%' and pid <> pg_backend_pid()"))[0] ===
      0
        ? true
        : undefined,
    );
    assert.deepEqual(await values('select count(*)::int from t where v = 77'), [0]);
  });

  test('protected columns are masked, also for those who are exempt; columns that may not be read are null', async () => {
    const predicates = { equality: 'record' as const, other: 'record' as const };
    const columns = [
      { match: 'public.t.email', action: 'mask' as const, as: 'partial' as const, predicates },
      { match: 'public.said.what', action: 'deny' as const, as: 'redact' as const, predicates },
    ];
    await direct("insert into said values ('a secret')");
    for (const groups of [[], ['staff']]) {
      gateway.use({ guards, data: [{ columns, exempt: { groups } }] });
      const masked = await oneOf("update t set v = 1 where email = 'user7@example.com'");
      assert.equal(masked.preview.rowCount, 1, masked.preview.unavailable);
      for (const sample of [masked.preview.before, masked.preview.after]) {
        assert.ok(sample, masked.preview.notes.join());
        assert.equal(sample.rows[0]?.[0], '7');
        assert.doesNotMatch(JSON.stringify(sample), /user7@/);
      }
      decide(masked.request, 'denied');
      masked.client.close();
    }
    await direct("create table derived (n int, email text, copy text generated always as ('mail ' || email) stored)");
    await direct("insert into derived (n, email) values (1, 'user8@example.com')");
    const ofDerived = [{ match: 'public.derived.email', action: 'mask' as const, as: 'partial' as const, predicates }];
    for (const groups of [[], ['staff']]) {
      gateway.use({ guards, data: [{ columns: ofDerived, exempt: { groups } }] });
      const masked = await oneOf('update derived set n = 2 where n = 1');
      assert.equal(masked.preview.rowCount, 1, masked.preview.unavailable);
      assert.doesNotMatch(masked.request.previewJson, /user8@/);
      decide(masked.request, 'denied');
      masked.client.close();
    }
    gateway.use({ guards, data: [{ columns, detectors: ['email'] }] });
    const withheld = await oneOf('delete from said');
    assert.deepEqual(withheld.preview.before, { columns: ['what'], rows: [[null], [null]] }, withheld.preview.unavailable);
    decide(withheld.request, 'denied');
    withheld.client.close();
    gateway.use({ guards, data: [{ detectors: ['email'] }] });
    const detected = await oneOf("update t set email = 'new@example.com' where n = 1");
    assert.doesNotMatch(detected.request.previewJson, /@example\.com/);
    assert.equal(detected.preview.rowCount, 1);
    decide(detected.request, 'denied');
    detected.client.close();
    gateway.use({ guards });
    await direct('delete from said');
  });
});
