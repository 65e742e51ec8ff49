/** The store as its users meet it: a process, HTTP, ClickHouse's own client. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { freePort } from '../../e2e/components/postgres.ts';
import { reader, type Spawned, spawnProcess, spawnStore, storeScript, writer, writerEnv } from './spawn-process.ts';

const root = await mkdtemp(join(tmpdir(), 'sallyport-store-'));
let store: Spawned & { url: string };
let client: ClickHouseClient;
let readerClient: ClickHouseClient;

function clientOf(user: { name: string; password: string }): ClickHouseClient {
  return createClient({ url: store.url, username: user.name, password: user.password, request_timeout: 180_000, log: { level: 127 } });
}

interface Answer {
  status: number;
  code: string | null;
  headers: Headers;
  bytes: Buffer;
  text: string;
}

async function ask(
  query: string,
  options: {
    as?: { name: string; password: string } | null;
    method?: string;
    parameters?: Record<string, string>;
    body?: Buffer | string;
    headers?: Record<string, string>;
  } = {},
): Promise<Answer> {
  const { as = writer, method = 'POST', parameters = {}, body, headers = {} } = options;
  const inUrl = method === 'GET' || body !== undefined;
  const search = new URLSearchParams({ ...(inUrl ? { query } : {}), ...parameters });
  const response = await fetch(`${store.url}/?${search.toString()}`, {
    method,
    headers: {
      ...(as === null ? {} : { Authorization: `Basic ${Buffer.from(`${as.name}:${as.password}`).toString('base64')}` }),
      ...headers,
    },
    ...(method === 'GET' ? {} : { body: body === undefined ? query : typeof body === 'string' ? body : new Uint8Array(body) }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  return {
    status: response.status,
    code: response.headers.get('x-clickhouse-exception-code'),
    headers: response.headers,
    bytes,
    text: bytes.toString(),
  };
}

before(async () => {
  store = await spawnStore(join(root, 'data'), undefined, 2000);
  client = clientOf(writer);
  readerClient = clientOf(reader);
});

after(async () => {
  await client.close();
  await readerClient.close();
  await store.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

describe('the HTTP interface', () => {
  it('answers /ping and /replicas_status without credentials', async () => {
    assert.equal(await (await fetch(`${store.url}/ping`)).text(), 'Ok.\n');
    assert.equal(await (await fetch(`${store.url}/replicas_status`)).text(), 'Ok.\n');
  });

  it('takes a query in the URL or the body, with parameters, settings, database and formats', async () => {
    assert.equal((await ask('SELECT 1 AS one FORMAT JSONEachRow', { method: 'GET' })).text, '{"one":1}\n');
    const bound = await ask('SELECT {n:UInt32} + 1, {s:String}, {list:Array(String)}', {
      parameters: { param_n: '41', param_s: "it's; DROP TABLE x", param_list: "['a','b']", default_format: 'CSV' },
    });
    assert.equal(bound.text, `42,"it's; DROP TABLE x","['a','b']"\n`);
    assert.equal(
      (await ask("SELECT getSetting('max_block_size'), currentDatabase()", { parameters: { max_block_size: '7', database: 'system' } }))
        .text,
      '7\tsystem\n',
    );
    const byHeaders = await fetch(`${store.url}/?query=SELECT+currentUser(),currentDatabase()`, {
      headers: {
        'X-ClickHouse-User': writer.name,
        'X-ClickHouse-Key': writer.password,
        'X-ClickHouse-Database': 'system',
        'X-ClickHouse-Format': 'CSV',
      },
    });
    assert.equal(await byHeaders.text(), '"sallyport","system"\n');
    assert.equal(byHeaders.headers.get('x-clickhouse-format'), 'CSV');
    assert.equal(byHeaders.headers.get('x-clickhouse-timezone'), 'UTC');
    assert.ok(byHeaders.headers.get('x-clickhouse-query-id'));
    assert.ok(JSON.parse(byHeaders.headers.get('x-clickhouse-summary') ?? '')['read_rows']);
    const byParameters = await fetch(`${store.url}/?query=SELECT+1&user=${writer.name}&password=${writer.password}`);
    assert.equal(await byParameters.text(), '1\n');
  });

  it('keeps binary formats byte-exact', async () => {
    const rowBinary = await ask("SELECT toUInt32(258), 'a\\0b' FORMAT RowBinary");
    assert.equal(rowBinary.bytes.toString('hex'), `02010000${'03'}610062`);
    const parquet = await ask('SELECT number, toString(number) AS s FROM numbers(1000) FORMAT Parquet');
    assert.equal(parquet.bytes.subarray(0, 4).toString(), 'PAR1');
    assert.equal(parquet.bytes.subarray(-4).toString(), 'PAR1');
    await ask('CREATE TABLE default.bytes (number UInt64, s String) ENGINE = MergeTree ORDER BY number');
    assert.equal((await ask('INSERT INTO default.bytes FORMAT Parquet', { body: parquet.bytes })).status, 200);
    const native = await ask('SELECT * FROM default.bytes ORDER BY number FORMAT Native');
    assert.equal((await ask('INSERT INTO default.bytes FORMAT Native', { body: native.bytes })).status, 200);
    assert.equal((await ask('SELECT count(), uniqExact(s) FROM default.bytes')).text, '2000\t1000\n');
  });

  it('compresses and decompresses', async () => {
    await ask('CREATE TABLE default.lines (s String) ENGINE = MergeTree ORDER BY s');
    const body = gzipSync('"a"\n"b"\n');
    assert.equal((await ask('INSERT INTO default.lines FORMAT CSV', { body, headers: { 'Content-Encoding': 'gzip' } })).status, 200);
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd']) {
      const answer = await ask('SELECT s FROM default.lines ORDER BY s', {
        parameters: { enable_http_compression: '1' },
        headers: { 'Accept-Encoding': encoding },
      });
      assert.equal(answer.headers.get('content-encoding'), encoding);
      assert.equal(answer.text, 'a\nb\n', encoding); // fetch has undone it.
    }
    assert.equal(gunzipSync(body).toString(), '"a"\n"b"\n');
  });

  it("gives ClickHouse's codes and texts for errors", async () => {
    const cases: [sql: string, status: number, code: string, text: RegExp][] = [
      ['SELEC 1 FROM', 400, '62', /^Code: 62\. DB::Exception: Syntax error.*\(SYNTAX_ERROR\)/s],
      ['SELECT * FROM nowhere', 404, '60', /UNKNOWN_TABLE/],
      ['SELECT nothing', 404, '47', /UNKNOWN_IDENTIFIER/],
      ["SELECT throwIf(1, 'no')", 500, '395', /no/],
    ];
    for (const [sql, status, code, text] of cases) {
      const answer = await ask(sql);
      assert.deepEqual([answer.status, answer.code], [status, code], sql);
      assert.match(answer.text, text);
    }
  });

  it('lets a GET change nothing', async () => {
    const answer = await ask('CREATE TABLE default.by_get (a Int8) ENGINE = Memory', { method: 'GET' });
    assert.equal(answer.code, '164');
  });

  it('answers /ping while a long query runs, and stops that query when its client goes', async () => {
    const stop = new AbortController();
    const long = fetch(
      `${store.url}/?query=${encodeURIComponent('SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))')}&query_id=long-one`,
      {
        headers: { 'X-ClickHouse-User': writer.name, 'X-ClickHouse-Key': writer.password },
        signal: stop.signal,
      },
    ).catch((error: unknown) => error);
    const running = async () => (await ask("SELECT count() FROM system.processes WHERE query_id = 'long-one'")).text.trim();
    while ((await running()) !== '1');
    assert.equal(await (await fetch(`${store.url}/ping`)).text(), 'Ok.\n');
    stop.abort();
    await long;
    while ((await running()) !== '0');
  });

  it('ends a query at its time limit, and by KILL QUERY', async () => {
    const late = await ask('SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))', {
      parameters: { max_execution_time: '1' },
    });
    assert.equal(late.code, '159');
    const killed = ask('SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))', { parameters: { query_id: 'to-kill' } });
    while ((await ask("SELECT count() FROM system.processes WHERE query_id = 'to-kill'")).text.trim() !== '1');
    await ask("KILL QUERY WHERE query_id = 'to-kill' SYNC");
    assert.equal((await killed).code, '394');
  });

  it('streams a result that is larger than the memory it may take', async () => {
    const before = residentBytes(store.process.pid);
    const response = await fetch(`${store.url}/?query=${encodeURIComponent("SELECT repeat('x', 99) FROM numbers(5000000) FORMAT TSV")}`, {
      headers: { 'X-ClickHouse-User': writer.name, 'X-ClickHouse-Key': writer.password },
    });
    let bytes = 0;
    let peak = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      peak = Math.max(peak, residentBytes(store.process.pid));
    }
    assert.equal(bytes, 5_000_000 * 100);
    assert.ok(peak - before < 200 * 1024 * 1024, `memory rose by ${peak - before} bytes`);
  });

  it("serves ClickHouse's client", async () => {
    await client.command({
      query: 'CREATE TABLE default.people (id UInt32, name String, at DateTime64(3)) ENGINE = MergeTree ORDER BY id',
    });
    await client.insert({
      table: 'default.people',
      values: Array.from({ length: 10_000 }, (_, id) => ({ id, name: `n${id}`, at: '2026-01-01 00:00:00.000' })),
      format: 'JSONEachRow',
      clickhouse_settings: { date_time_input_format: 'best_effort' },
    });
    const rows = await (
      await client.query({
        query: 'SELECT name FROM default.people WHERE id IN {ids:Array(UInt32)} ORDER BY id',
        query_params: { ids: [3, 5] },
        format: 'JSONEachRow',
      })
    ).json<{ name: string }>();
    assert.deepEqual(rows, [{ name: 'n3' }, { name: 'n5' }]);
    const compressed = createClient({
      url: store.url,
      username: writer.name,
      password: writer.password,
      compression: { response: true, request: true },
    });
    let seen = 0;
    for await (const chunk of (await compressed.query({ query: 'SELECT * FROM default.people', format: 'JSONEachRow' })).stream())
      seen += chunk.length;
    assert.equal(seen, 10_000);
    await compressed.close();
    await assert.rejects(client.query({ query: 'SELECT nothing' }), { code: '47' });
  });
});

describe('who may do what', () => {
  it('refuses who has no credentials or wrong ones', async () => {
    const none = await ask('SELECT 1', { as: null });
    assert.deepEqual([none.status, none.code], [401, '194']);
    const wrong = await ask('SELECT 1', { as: { name: writer.name, password: 'x' } });
    assert.deepEqual([wrong.status, wrong.code], [403, '516']);
    for (const name of ['default', 'nobody', '']) {
      const answer = await ask('SELECT 1', { as: { name, password: '' } });
      assert.ok(answer.status === 401 || answer.status === 403, `${name}: ${answer.status} ${answer.text}`);
    }
    const byParameter = await fetch(`${store.url}/?query=SYSTEM+STOP+LISTEN+HTTP&user=default&password=`, { method: 'POST' });
    assert.equal(byParameter.status, 401);
  });

  it('lets the reader read and nothing else', async () => {
    assert.equal((await ask('SELECT currentDatabase()', { as: reader })).text, 'sallyport\n');
    assert.ok((await (await readerClient.query({ query: 'SHOW DATABASES', format: 'JSONEachRow' })).json()).length > 0);
    const refused = [
      'CREATE TABLE sallyport.t (a Int8) ENGINE = Memory',
      'INSERT INTO sallyport.records VALUES (1)',
      'DROP DATABASE sallyport',
      'SELECT * FROM default.bytes',
      'SELECT * FROM system.processes',
      'SELECT * FROM system.users',
      'SELECT 1 SETTINGS readonly = 0',
      'SET readonly = 0',
      'SELECT 1 SETTINGS max_execution_time = 100000',
      'KILL QUERY WHERE 1',
      'SYSTEM STOP LISTEN HTTP',
      'SYSTEM SHUTDOWN',
      'CREATE USER other',
      'CREATE TEMPORARY TABLE t (a Int8)',
    ];
    for (const sql of refused) assert.notEqual((await ask(sql, { as: reader })).status, 200, sql);
    assert.equal(await (await fetch(`${store.url}/ping`)).text(), 'Ok.\n');
  });

  it('lets nobody reach outside the database, by any function, engine, format or setting', async () => {
    const outside = [
      "SELECT * FROM file('/etc/passwd', 'LineAsString')",
      "SELECT file('/etc/passwd')",
      "SELECT file('/proc/self/environ')",
      `SELECT file('${join(root, 'data', 'logs', 'engine.log')}')`,
      "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
      "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV')",
      "SELECT * FROM remote('127.0.0.1:1', system.one)",
      "SELECT * FROM sqlite('/etc/passwd', 'x')",
      "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
      "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
      "SELECT * FROM executable('id', 'TSV', 'a String')",
      "INSERT INTO FUNCTION file('/tmp/sallyport-outside', 'CSV', 'a Int8') VALUES (1)",
      "SELECT 1 INTO OUTFILE '/tmp/sallyport-outside'",
      "INSERT INTO default.bytes FROM INFILE '/etc/passwd' FORMAT CSV",
      "CREATE TABLE default.outside (a String) ENGINE = File(CSV, '/etc/passwd')",
      "CREATE TABLE default.outside (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
      "CREATE DICTIONARY default.outside (a UInt64) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT()) LIFETIME(1)",
      "CREATE DATABASE outside ENGINE = Filesystem('/etc')",
      'CREATE FUNCTION outside AS a -> file(a)',
      "BACKUP DATABASE default TO File('/tmp/sallyport-outside')",
      "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '/etc/passwd:Message'",
      'CREATE NAMED COLLECTION outside AS a = 1',
    ];
    for (const sql of outside) {
      for (const as of [writer, reader]) {
        const answer = await ask(sql, { as });
        assert.notEqual(answer.status, 200, `${as.name}: ${sql}`);
        assert.ok(!answer.text.includes('root:'), `${as.name}: ${sql}`);
      }
    }
    for (const path of [join(root, 'data', 'config', 'users.xml'), join(root, 'data', 'config', 'config.xml')]) {
      assert.throws(() => readFileSync(path), { code: 'ENOENT' });
    }
  });
});

describe('the process', () => {
  it('runs behind the data path once it has started, with every thread', async () => {
    const nice = () =>
      readdirSync(`/proc/${store.process.pid}/task`).flatMap(thread => {
        try {
          const stat = readFileSync(`/proc/${store.process.pid}/task/${thread}/stat`, 'utf8');
          return [stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]];
        } catch (error) {
          // It has ended meanwhile.
          assert.ok(['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''), String(error));
          return [];
        }
      });
    while (nice().includes('0')) await new Promise(resolve => setTimeout(resolve, 50));
    assert.deepEqual([...new Set(nice())], ['10']);
    assert.ok(nice().length > 5);
  });

  it('keeps its password out of its log', () => {
    assert.ok(!store.log().includes(writer.password));
    assert.ok(!readFileSync(join(root, 'data', 'logs', 'engine.log'), 'utf8').includes(writer.password));
  });

  it('says in one line what stops it from starting', async () => {
    const port = new URL(store.url).port;
    const cases: [args: string[], env: Record<string, string>, code: string][] = [
      [['--data', join(root, 'other'), '--listen', `127.0.0.1:${port}`], writerEnv, 'STORE_ADDRESS_IN_USE'],
      [['--data', join(root, 'data')], writerEnv, 'DATA_LOCKED'],
      [['--data', join(root, 'other')], {}, 'STORE_CREDENTIALS_MISSING'],
      [['--data', join(root, 'other'), '--listen', '127.0.0.1:0'], { ...writerEnv, SALLYPORT_STORE_USER: 'a b' }, 'STORE_USER_INVALID'],
      [['--listen', '127.0.0.1:0'], writerEnv, 'STORE_OPTION_INVALID'],
    ];
    for (const [args, env, code] of cases) {
      const failed = await spawnProcess(storeScript, args, env);
      assert.equal((failed.line['error'] as { code: string }).code, code);
      assert.equal(await failed.exited, 1, code);
    }
  });

  it('loses nothing that was acknowledged when it is killed, and resumes on the same port', async () => {
    const data = join(root, 'killed');
    let victim = await spawnStore(data, `127.0.0.1:${await freePort()}`);
    const at = (url: string) => createClient({ url, username: writer.name, password: writer.password, log: { level: 127 } });
    let writing = at(victim.url);
    await writing.command({ query: 'CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree ORDER BY n' });
    let acknowledged = 0;
    for (let round = 0; round < 3; round += 1) {
      let killed = false;
      const end = () => {
        killed = true;
        void victim.kill('SIGKILL');
      };
      const before = acknowledged;
      while (!killed) {
        try {
          await writing.insert({
            table: 'default.kept',
            values: Array.from({ length: 1000 }, (_, i) => ({ n: acknowledged + i })),
            format: 'JSONEachRow',
          });
          // In the middle of what comes after the first that was acknowledged.
          if (acknowledged === before) setTimeout(end, 400);
          acknowledged += 1000;
        } catch {
          break; // Killed in the middle of it: not acknowledged.
        }
      }
      await victim.exited;
      await writing.close();
      victim = await spawnStore(data, new URL(victim.url).host);
      writing = at(victim.url);
      const [row] = await (
        await writing.query({ query: `SELECT countDistinct(n) AS kept FROM default.kept WHERE n < ${acknowledged}`, format: 'JSONEachRow' })
      ).json<{ kept: string }>();
      assert.equal(Number(row?.kept), acknowledged);
    }
    await writing.close();
    await victim.kill('SIGTERM');
    assert.equal(await victim.exited, 0);
  });
});

function residentBytes(pid: number | undefined): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}
