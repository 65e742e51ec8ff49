/** The main job, as a user has it: unmodified clients, a real PostgreSQL, a whole gateway, and the evidence afterwards. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import pg from 'pg';
import { filesBelow, holding } from './components/folder.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { fields, message, RawClient, sslRequest, values } from './components/raw-postgres.ts';
import { canaries, people, shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql, settings: { autovacuum: 'off' } }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

const through = async (who: { sub: string } = people.support) => {
  const { host, port } = gateway.address('crm');
  return {
    host,
    port,
    user: 'anyone',
    database: 'app',
    password: await issuer.token(who),
    ca: readFileSync(gateway.endpoints().ca, 'utf8'),
  };
};
const directly = () => ({ host: postgres.host, port: postgres.port, user: 'direct', database: 'app', password: postgres.direct.password });

async function psql(sql: string[], who: { sub: string } = people.support): Promise<{ stdout: string; stderr: string; code: number }> {
  const { host, port, password } = await through(who);
  const args = ['-X', '-A', '-t', '-h', host, '-p', String(port), '-U', 'anyone', '-d', 'app', ...sql.flatMap(one => ['-c', one])];
  const env = { ...process.env, PGPASSWORD: password, PGSSLMODE: 'verify-full', PGSSLROOTCERT: gateway.endpoints().ca };
  try {
    return { ...(await run('psql', args, { env })), code: 0 };
  } catch (error) {
    const failed = error as { stdout: string; stderr: string; code: number };
    return { stdout: failed.stdout, stderr: failed.stderr, code: failed.code };
  }
}

async function driver(who: { sub: string } = people.support): Promise<pg.Client> {
  const { ca, ...rest } = await through(who);
  const client = new pg.Client({ ...rest, ssl: { ca, servername: 'localhost' } });
  await client.connect();
  return client;
}

describe('psql', () => {
  test('sees what it may, masked where the policy says so', async () => {
    const { stdout, stderr } = await psql(['select id, name, email, ssn, balance from customers where id = 1']);
    assert.equal(stderr, '');
    assert.match(stdout, /^1\|Ada\|c\*+@example\.com\|[^|]*\|1\.25\n$/);
    assert.ok(!stdout.includes(canaries.ssn));
  });

  test('an exempt person sees the values', async () => {
    const { stdout } = await psql(['select email, ssn from customers where id = 1'], people.privacy);
    assert.equal(stdout, `${canaries.email}|${canaries.ssn}\n`);
  });

  test('is refused by a guard with its message, and the transaction is as after an error', async () => {
    const refused = await psql(['drop table orders']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /ERROR: {2}.*Schema changes go through migrations\./);
    const client = await driver();
    await client.query('begin');
    await assert.rejects(
      client.query('truncate orders'),
      (error: pg.DatabaseError) => error.code === '42501' && /migrations/.test(error.message),
    );
    await assert.rejects(client.query('select 1'), (error: pg.DatabaseError) => error.code === '25P02');
    await client.query('rollback');
    assert.deepEqual((await client.query('select count(*)::int as n from orders')).rows, [{ n: 2000 }]);
    await client.end();
  });

  test('finds what nobody labelled: a key and a card in free text', async () => {
    const { stdout } = await psql(['select value from app_secrets', 'select card from customers where id = 1']);
    assert.ok(!stdout.includes(canaries.awsKey), stdout);
    assert.ok(!stdout.includes(canaries.card), stdout);
    assert.equal(stdout.trim().split('\n').length, 2);
  });

  test('meta commands work: \\d, \\dt, \\dn, \\df', async () => {
    const { stdout, stderr } = await psql(['\\dt', '\\d orders', '\\dn', '\\df']);
    assert.equal(stderr, '');
    assert.match(stdout, /public\|customers\|table\|app/);
    assert.match(stdout, /customer_id\|integer/);
  });

  test('COPY out is masked; COPY in works; a cursor is masked', async () => {
    const { stdout } = await psql([
      'copy customers (id, email) to stdout',
      'copy (select email from customers where id = 1) to stdout with (format csv)',
      'begin; declare c cursor for select email from customers where id = 1; fetch all from c; commit',
    ]);
    assert.ok(!stdout.includes(canaries.email));
    assert.ok(!/user\d+@example\.org/.test(stdout));
    assert.match(stdout, /c\*+@example\.com/);
    const client = await RawClient.connect(await through());
    await client.simple('create temp table t (a int, b text)');
    client.send(message.query('copy t from stdin'));
    await client.until('G');
    client.send(message.copyData('1\tone\n2\ttwo\n'), message.copyDone());
    const done = await client.until('Z');
    assert.equal(done[0]?.body.toString(), 'COPY 2\0');
    client.close();
  });
});

describe('a driver', () => {
  test('extended protocol, parameters, binary results and no Describe are masked alike', async () => {
    const client = await RawClient.connect(await through());
    for (const binary of [false, true])
      for (const describe of [false, true]) {
        const frames = await client.extended('select email, id from customers where id = $1', ['1'], { binary, describe });
        const row = frames.find(frame => frame.type === 'D');
        assert.ok(row, `a row, binary ${binary}, describe ${describe}: ${frames.map(f => f.type).join('')}`);
        assert.match(values(row.body)[0]?.toString() ?? '', /^c\*+@example\.com$/);
      }
    client.close();
  });

  test('pipelines: an error in the middle skips to Sync and no further', async () => {
    const client = await RawClient.connect(await through());
    client.send(
      message.parse('', 'select 1'),
      message.bind('', ''),
      message.execute(''),
      message.parse('', 'drop table orders'),
      message.bind('', ''),
      message.execute(''),
      message.parse('', 'select 2'),
      message.bind('', ''),
      message.execute(''),
      message.sync(),
      message.parse('', 'select 3'),
      message.bind('', ''),
      message.execute(''),
      message.sync(),
    );
    const first = await client.until('Z');
    assert.equal(first.map(f => f.type).join(''), '12DCEZ');
    const error = first.find(f => f.type === 'E');
    assert.equal(fields(error?.body ?? Buffer.alloc(0))['C'], '42501');
    const second = await client.until('Z');
    assert.equal(second.map(f => f.type).join(''), '12DCZ');
    client.close();
  });

  test('what no rule touches is byte for byte what PostgreSQL says', async () => {
    const a = await RawClient.connect(directly());
    const b = await RawClient.connect(await through());
    const statements = [
      'select * from orders order by id limit 50',
      'select o.item, count(*), sum(quantity) from orders o group by 1 order by 1',
      "select 1; select 2, null, array[1,2], row(1,2), interval '1 day'",
      'select',
      '',
      '-- only a comment',
      'show server_version',
      'select 1/0',
      'select nonsense from orders',
      'selec 1',
      'begin',
      'savepoint a',
      'rollback to a',
      'commit',
      'explain (costs off) select * from orders where id = 7',
      "select x, x::text, x / 3.0, to_char(x, 'FM0000') from generate_series(1, 5) x",
      "select '{\"a\": [1, 2, {\"b\": null}]}'::jsonb, '<a/>'::xml, '\\x00ff'::bytea, '2026-01-01'::date, 'infinity'::timestamptz",
    ];
    for (const sql of statements) {
      const [x, y] = [await a.simple(sql), await b.simple(sql)];
      assert.deepEqual(
        y.map(f => [f.type, f.body.toString('latin1')]),
        x.map(f => [f.type, f.body.toString('latin1')]),
        sql,
      );
      if (sql.includes(';') || sql === '') continue;
      for (const binary of [false, true]) {
        const [p, q] = [await a.extended(sql, [], { binary }), await b.extended(sql, [], { binary })];
        assert.deepEqual(
          q.map(f => [f.type, f.body.toString('latin1')]),
          p.map(f => [f.type, f.body.toString('latin1')]),
          `${sql} (extended, binary ${binary})`,
        );
      }
    }
    a.close();
    b.close();
  });

  test('LISTEN and NOTIFY, prepared statements by name', async () => {
    const client = await driver();
    const heard = new Promise<pg.Notification>(resolve => client.on('notification', resolve));
    await client.query('listen news');
    await client.query("notify news, 'hello'");
    assert.equal((await heard).payload, 'hello');
    for (let i = 0; i < 3; i++)
      assert.equal((await client.query({ name: 'q', text: 'select $1::int + 1 as n', values: [i] })).rows[0].n, i + 1);
    await client.end();
  });

  // libpq before 17 sends it in clear text, later ones within TLS.
  for (const encrypted of [false, true])
    test(`CancelRequest ${encrypted ? 'within TLS' : 'in clear text'} cancels this session's statement, and a wrong key nothing`, async () => {
      const client = await RawClient.connect(await through());
      const key = client.greeting.find(f => f.type === 'K')?.body ?? Buffer.alloc(0);
      const { host, port } = gateway.address('crm');
      const cancel = async (secret: Buffer): Promise<void> => {
        const length = Buffer.alloc(8);
        length.writeInt32BE(8 + secret.length);
        length.writeInt32BE(80877102, 4);
        const plain = net.connect(port, host);
        let socket: net.Socket = plain;
        if (encrypted) {
          plain.write(sslRequest);
          await new Promise(resolve => plain.once('data', resolve));
          socket = tls.connect({ socket: plain, rejectUnauthorized: false });
          await new Promise(resolve => socket.once('secureConnect', resolve));
        }
        const closed = new Promise(resolve => socket.once('close', resolve));
        socket.on('error', () => undefined);
        socket.write(Buffer.concat([length, secret]));
        await closed;
      };
      const wrong = Buffer.from(key);
      wrong[wrong.length - 1] = (wrong[wrong.length - 1] ?? 0) ^ 1;
      client.send(message.query('select pg_sleep(1)'));
      await cancel(wrong);
      assert.equal((await client.until('Z')).map(f => f.type).join(''), 'TDCZ');
      // Nothing else tells that the server has it: what is cancelled before is not cancelled.
      const mark = `cancelled ${encrypted}`;
      client.send(message.query(`select pg_sleep(600) /* ${mark} */`));
      const watcher = await RawClient.connect(directly());
      const running = `select 1 from pg_stat_activity where state = 'active' and wait_event = 'PgSleep' and query like '%${mark}%'`;
      for (const deadline = Date.now() + 120_000; !(await watcher.simple(running)).some(f => f.type === 'D'); )
        assert.ok(Date.now() < deadline, 'the server runs it');
      watcher.close();
      await cancel(key);
      const error = (await client.until('Z')).find(f => f.type === 'E');
      assert.equal(fields(error?.body ?? Buffer.alloc(0))['C'], '57014');
      client.close();
    });
});

describe('who is turned away', () => {
  const attempt = async (password: string): Promise<{ code: string; message: string }> => {
    try {
      (await RawClient.connect({ ...(await through()), password })).close();
    } catch (error) {
      return { code: (error as { code: string }).code, message: (error as Error).message };
    }
    throw new Error('was let in');
  };

  test('one message for every reason; the record says which', async () => {
    const now = Math.floor(Date.now() / 1000);
    const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from(JSON.stringify({ iss: issuer.url, aud: 'sallyport', exp: now + 60, ...people.support })).toString('base64url')}.`;
    const refusals = {
      'another audience': await attempt(await issuer.token({ ...people.support, aud: 'other' })),
      expired: await attempt(await issuer.token({ ...people.support, iat: now - 1000, exp: now - 500 })),
      'of the future': await attempt(await issuer.token({ ...people.support, nbf: now + 600 })),
      'alg none': await attempt(none),
      'no grant': await attempt(await issuer.token(people.stranger)),
      garbage: await attempt('not a token'),
      empty: await attempt(''),
      'the real password': await attempt(postgres.app.password),
    };
    const told = Object.values(refusals);
    assert.equal(new Set(told.map(one => one.message)).size, 1, JSON.stringify(refusals, null, 2));
    for (const one of told) assert.match(one.code, /^28(000|P01)$/);
    const rows = await gateway.eventually<{ reason: string; status: string }>(
      "select * from sallyport.sessions where status = 'refused'",
      found => found.length >= told.length,
    );
    assert.ok(new Set(rows.map(row => row.reason)).size >= 5, JSON.stringify(rows));
  });

  test('plain text is refused, with what to do', async () => {
    const { host, port } = gateway.address('crm');
    try {
      execFileSync('psql', ['-X', '-h', host, '-p', String(port), '-U', 'x', '-d', 'app', '-c', 'select 1'], {
        env: { ...process.env, PGSSLMODE: 'disable', PGPASSWORD: 'x' },
        stdio: 'pipe',
      });
      assert.fail('plain text was accepted');
    } catch (error) {
      assert.match(String((error as { stderr: Buffer }).stderr), /TLS|SSL|sslmode/);
    }
  });
});

describe('a ticket', () => {
  test('opens the resource it is for', async () => {
    const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
    // Not the synchronous call: the issuer lives in this process, and is asked for its keys meanwhile.
    const { stdout } = await run(process.execPath, [cli, 'ticket', 'crm', '--data', gateway.data], {
      env: { ...process.env, HOME: gateway.dir, SALLYPORT_TOKEN: await issuer.token(people.support) },
    });
    const ticket = stdout.trim();
    const client = await RawClient.connect({ ...(await through()), password: ticket });
    const row = (await client.simple('select count(*) from orders')).find(f => f.type === 'D');
    assert.equal(values(row?.body ?? Buffer.alloc(2))[0]?.toString(), '2000');
    client.close();
  });
});

describe('evidence', () => {
  test('every command is one row, with who, what, the decision and the answer, masked', async () => {
    const client = await driver();
    const mark = `e2e_${Math.random().toString(36).slice(2)}`;
    await client.query(`select '${mark}' as mark, email from customers where id = 1`);
    await client.query(`select '${mark}', $1::text`, ['parameter value']);
    await assert.rejects(client.query(`drop table ${mark}`));
    await client.end();
    const rows = await gateway.eventually<Record<string, unknown>>(
      `select * from sallyport.commands where text like '%${mark}%' order by seq`,
      found => found.length >= 3 && found.every(row => row['status'] !== 'running'),
    );
    assert.equal(rows.length, 3);
    const [first, second, third] = rows;
    assert.equal(first?.['principal'], 'sam@example.com');
    assert.equal(first?.['principal_kind'], 'person');
    assert.equal(first?.['resource'], 'crm');
    assert.equal(first?.['protocol'], 'postgres');
    assert.equal(first?.['decision'], 'allow');
    assert.equal(first?.['status'], 'ok');
    assert.equal(Number(first?.['rows']), 1);
    assert.ok(Number(first?.['masked_values']) >= 1);
    assert.ok(Number(first?.['duration_us']) > 0);
    assert.equal(second?.['decision'], 'allow');
    assert.equal(third?.['decision'], 'deny');
    assert.equal(third?.['rule'], 'sql-safety/no-ddl');
    assert.equal(third?.['status'], 'refused');
    const sessions = await gateway.eventually<Record<string, unknown>>(
      `select * from sallyport.sessions where session_id = '${String(first?.['session_id'])}'`,
      found => found.length === 1,
    );
    assert.equal(sessions[0]?.['principal'], 'sam@example.com');
  });

  test('no canary and no credential lies in any file of the gateway, nor in the store', async () => {
    const needles = [...Object.values(canaries), postgres.app.password, await issuer.token(people.support)].map(text => Buffer.from(text));
    const files = filesBelow(gateway.data);
    assert.ok(files.length > 10);
    for (const needle of needles) assert.deepEqual(holding(files, needle), [], `${needle.toString().slice(0, 12)}…`);
    for (const table of ['records', 'commands', 'sessions', 'control_events']) {
      const all = JSON.stringify(await gateway.query(`select * from sallyport.${table}`));
      for (const needle of needles)
        assert.ok(!all.includes(needle.toString()), `sallyport.${table} holds ${needle.toString().slice(0, 12)}…`);
    }
  });
});
