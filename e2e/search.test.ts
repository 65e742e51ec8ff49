/** Searching over HTTP in the real session store, as an auditor, as an ordinary person; and the store's user who may only read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  const run = async (who: (typeof people)[keyof typeof people], statements: string[]) => {
    const { host, port } = gateway.address('crm');
    const ca = readFileSync(gateway.endpoints().ca, 'utf8');
    const password = await issuer.token(who);
    const client = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl: { ca, servername: 'localhost' } });
    await client.connect();
    for (const text of statements) await client.query(text).catch(() => {}); // a denial is what some of them are for
    await client.end();
  };
  await run(people.support, ['select id, email from customers where id = 1', 'select 1 as "Ünïcödé"', 'drop table customers']);
  await run(people.privacy, ['select count(*) from customers', "select 'DROP everything' as words"]);
  await gateway.eventually<{ n: number }>(
    "select count() as n from sallyport.sessions where status = 'ended'",
    rows => Number(rows[0]?.n) === 2,
  );
  await gateway.eventually<{ n: number }>(
    "select count() as n from sallyport.commands where status != 'running'",
    rows => Number(rows[0]?.n) === 5,
  );
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

interface Page {
  commands?: { text: string; principal: string }[];
  sessions?: { principal: string }[];
  next?: string;
}

async function search(over: 'commands' | 'sessions', query: Record<string, string>, token = gateway.endpoints().adminToken) {
  const url = `${gateway.endpoints().api}/v1/search/${over}?${new URLSearchParams(query).toString()}`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  return { status: response.status, body: (await response.json()) as Page & { detail?: string } };
}

const texts = ({ body }: { body: Page }) => (body.commands ?? []).map(({ text }) => text).sort();
const whose = ({ body }: { body: Page }) => (body.sessions ?? []).map(({ principal }) => principal).sort();

test('commands: words in any case, within words, quoted; fields, comparisons, negation, alternatives', async () => {
  const drop = ['drop table customers', "select 'DROP everything' as words"];
  for (const [q, expected] of [
    ['text:drop', drop],
    ['text:DROP', drop],
    ['text:"drop table"', drop.slice(0, 1)],
    ['text:"ROP tabl"', drop.slice(0, 1)],
    ['text:ÜNÏCÖDÉ', ['select 1 as "Ünïcödé"']],
    ['text:drop decision:denied', drop.slice(0, 1)],
    ['text:drop -decision:denied', drop.slice(1)],
    ['text:drop who:pia@example.com', drop.slice(1)],
    ['statement:drop-table', drop.slice(0, 1)],
    ['column:public.customers.email', ['select id, email from customers where id = 1']],
    ['masked:>0', ['select id, email from customers where id = 1']],
    ['text:"%"', []],
    ['text:"\\\\"', []],
    ['text:drop_table', []],
    ['who:*@example.com statement:drop*', drop.slice(0, 1)],
    ['text:"\' OR 1=1 --"', []],
  ] as const) {
    const answer = await search('commands', { q });
    assert.equal(answer.status, 200, `${q}: ${answer.body.detail}`);
    assert.deepEqual(texts(answer), [...expected].sort(), q);
  }
});

test('a search for a part of a text uses the index, not the texts of all commands', async () => {
  const rows = await gateway.query<{ explain: string }>(
    "EXPLAIN indexes = 1 SELECT text FROM sallyport.commands WHERE lowerUTF8(text) LIKE lowerUTF8('%NEEDLE%')",
  );
  assert.ok(
    rows.some(({ explain }) => explain.includes('Name: text_grams')),
    JSON.stringify(rows),
  );
});

test('sessions: by what was done in them', async () => {
  for (const [q, expected] of [
    ['text:drop', ['pia@example.com', 'sam@example.com']],
    ['text:drop decision:denied', ['sam@example.com']],
    ['-decision:denied', ['pia@example.com']],
    ['is:ended who:sam@example.com', ['sam@example.com']],
    ['is:live', []],
    ['since:1h', ['pia@example.com', 'sam@example.com']],
  ] as const) {
    const answer = await search('sessions', { q });
    assert.equal(answer.status, 200, `${q}: ${answer.body.detail}`);
    assert.deepEqual(whose(answer), expected, q);
  }
});

test('pages follow each other without a hole or a double; mistakes are told with their place', async () => {
  const all: string[] = [];
  let cursor: string | undefined;
  do {
    const { body } = await search('commands', { limit: '2', ...(cursor === undefined ? {} : { cursor }) });
    all.push(...texts({ body }));
    cursor = body.next;
  } while (cursor !== undefined);
  assert.equal(all.length, 5);
  assert.equal(new Set(all).size, 5);
  const wrong = await search('commands', { q: 'decison:denied' });
  assert.equal(wrong.status, 400);
  assert.match(wrong.body.detail ?? '', /decision.*\(at characters 1 to \d+ of the query\)/);
});

test('somebody without a role finds what is theirs, whatever they ask', async () => {
  const token = await issuer.token(people.support);
  for (const over of ['commands', 'sessions'] as const) {
    const { status, body } = await search(over, { q: 'who:pia@example.com' }, token);
    assert.equal(status, 200);
    assert.deepEqual([...(body.commands ?? []), ...(body.sessions ?? [])], []);
  }
  assert.equal((await search('commands', {}, token)).body.commands?.length, 3);
});

test('the reading user of the store reads, and does nothing else', async () => {
  const { clickhouseReader } = gateway.endpoints();
  assert.ok(clickhouseReader !== undefined);
  const ask = async (sql: string) => {
    const response = await fetch(`${clickhouseReader.url}/`, {
      method: 'POST',
      headers: { 'X-ClickHouse-User': clickhouseReader.user, 'X-ClickHouse-Key': clickhouseReader.password },
      body: sql,
    });
    return { ok: response.ok, text: (await response.text()).trim() };
  };
  assert.deepEqual(await ask('SELECT count() FROM sallyport.commands'), { ok: true, text: '5' });
  for (const sql of [
    'TRUNCATE TABLE sallyport.record_rows',
    'ALTER TABLE sallyport.command_revisions DELETE WHERE 1',
    "INSERT INTO sallyport.ingest_progress (topic, next_offset) VALUES ('x', 1)",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    'DROP DATABASE sallyport',
  ]) {
    assert.equal((await ask(sql)).ok, false, sql);
  }
  assert.equal((await ask('SELECT count() FROM sallyport.commands')).text, '5');
});
