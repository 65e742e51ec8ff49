/** The numbers of an installation, and where which data was seen: asked over the API of a whole system after real traffic. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const auditor = { sub: 'a-1', email: 'ada@example.com', groups: ['audit'] };
const viewer = { sub: 'v-1', email: 'vic@example.com', groups: ['viewers'] };

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

const roles = `---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [audit] } }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: viewers }
spec: { roles: [viewer], members: { groups: [viewers] } }
`;
const tickets = `
create table tickets (id int primary key, note text, "Reply To" text);
insert into tickets values (1, 'please call', 'kim.larsen@example.org'), (2, 'card is 4111 1111 1111 1111', 'lou@example.net');
grant select on tickets to public;
`;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql + tickets }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: roles }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await Promise.all([issuer?.stop(), postgres?.stop()]);
});

async function ask<Answer>(who: Parameters<Issuer['token']>[0] | null, path: string, body?: unknown): Promise<Answer> {
  const { api, adminToken } = gateway.endpoints();
  const token = who === null ? adminToken : await issuer.token(who);
  const response = await fetch(api + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Answer;
}

async function withClient<Value>(work: (client: pg.Client) => Promise<Value>, who = people.support): Promise<Value> {
  const client = new pg.Client({
    ...gateway.address('crm'),
    user: 'sam',
    database: 'app',
    password: await issuer.token(who),
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined); // Refused logins are what is counted.
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

interface Counted {
  value: number | null;
  list: string;
}
interface Overview {
  store: { status: string };
  commandsPerSecond: Counted;
  decisions: Record<'allow' | 'deny' | 'hold', Counted>;
  refusedSessions: Counted;
  duration: { p50Us: number | null; p99Us: number | null };
  addedLatency: { p50Us: number | null; p99Us: number | null; samples: number };
  held: Counted;
  liveSessions: Counted;
  agents: Record<'online' | 'offline' | 'withProblems', Counted>;
  spool: { records: Counted; bytes: Counted };
  storeLag: { entries: number | null };
  series: { at: string; allow: number; deny: number }[];
}

test('the overview counts what its lists list', async () => {
  await withClient(async client => {
    for (let i = 0; i < 5; i++) await client.query(`select ${i}`);
    await assert.rejects(client.query('drop table customers'));
    await assert.rejects(withClient(async () => undefined, people.stranger));
    const deadline = Date.now() + 180_000;
    let overview: Overview;
    do {
      await new Promise(resolve => setTimeout(resolve, 500));
      overview = await ask<Overview>(viewer, '/v1/overview');
    } while (
      (overview.decisions.deny.value !== 1 ||
        overview.addedLatency.samples < 5 ||
        overview.refusedSessions.value !== 1 ||
        overview.storeLag.entries !== 0) &&
      Date.now() < deadline
    );
    assert.deepEqual(
      [overview.store.status, overview.decisions.allow.value, overview.decisions.deny.value, overview.decisions.hold.value],
      ['up', 5, 1, 0],
      JSON.stringify(overview),
    );
    assert.equal(overview.commandsPerSecond.value, 6 / 300);
    assert.deepEqual([overview.refusedSessions.value, overview.storeLag.entries, overview.held.value], [1, 0, 0]);
    assert.deepEqual([overview.liveSessions.value, overview.agents.online.value, overview.agents.withProblems.value], [1, 1, 0]);
    assert.ok((overview.duration.p50Us ?? 0) > 0 && (overview.duration.p99Us ?? 0) >= (overview.duration.p50Us ?? 0));
    const { addedLatency, duration } = overview;
    assert.ok(addedLatency.samples >= 5, 'few commands are all measured');
    for (const [part, whole] of [
      [addedLatency.p50Us, duration.p50Us],
      [addedLatency.p99Us, duration.p99Us],
    ] as const)
      assert.ok(part === null || (part > 0 && part <= (whole ?? 0)), JSON.stringify(overview));
    assert.equal(overview.series.length, 60);
    assert.equal(
      overview.series.reduce((sum, { deny }) => sum + deny, 0),
      1,
    );
    assert.ok(typeof overview.spool.records.value === 'number');

    const denied = await ask<{ commands: { text: string }[] }>(auditor, overview.decisions.deny.list);
    assert.deepEqual(
      denied.commands.map(({ text }) => text),
      ['drop table customers'],
    );
    const allowed = await ask<{ commands: unknown[] }>(auditor, overview.decisions.allow.list);
    assert.equal(allowed.commands.length, 5);
    const refused = await ask<{ sessions: { principal: string }[] }>(auditor, overview.refusedSessions.list);
    assert.equal(refused.sessions.length, 1);
    const live = await ask<{ sessions: unknown[] }>(viewer, overview.liveSessions.list);
    assert.equal(live.sessions.length, 1);
  });
});

interface DataMap {
  columns: {
    resource: string;
    column: string;
    protection: { policy: string } | null;
    masked: number;
    clear: number;
    readers: number;
    mostOften: { principal: string; clear: number }[];
    query: string;
  }[];
  classes: { class: string; commands: number }[];
  unlabelled: { column: string; detector: string; certain: number; commands: number; manifest: string | null; query: string }[];
  truncated: boolean;
}

test('the data map says who read what, masked or in clear, finds what nobody labelled, and its manifest protects it', async () => {
  await withClient(client => client.query('select name, email from customers'));
  await withClient(client => client.query('select email from customers'), people.privacy);
  await withClient(client => client.query('select "Reply To" from tickets'));
  await withClient(client => client.query('select note, id from tickets'));
  const found = (map: DataMap, column: string) => map.unlabelled.filter(each => each.column === column);
  let map: DataMap;
  const deadline = Date.now() + 180_000;
  do {
    await new Promise(resolve => setTimeout(resolve, 300));
    map = await ask<DataMap>(auditor, '/v1/data-map?resource=crm');
    // Sessions come into the store in any order, and the parts of an answer are asked for side by side.
  } while (
    (!map.classes.some(each => each.class === 'payment-card') ||
      found(map, 'public.tickets.Reply To').length === 0 ||
      found(map, 'public.tickets.note').length === 0 ||
      map.columns.find(({ column }) => column === 'public.customers.email')?.readers !== 2) &&
    Date.now() < deadline
  );
  assert.equal(map.truncated, false);

  const email = map.columns.find(({ column }) => column === 'public.customers.email');
  assert.deepEqual(
    [email?.protection?.policy, email?.masked, email?.clear, email?.readers],
    ['customer-pii', 1, 1, 2],
    JSON.stringify(map.columns),
  );
  assert.deepEqual(email?.mostOften.map(({ principal, clear }) => [principal, clear]).sort(), [
    ['pia@example.com', 1],
    ['sam@example.com', 0],
  ]);
  const who = await ask<{ commands: unknown[] }>(auditor, `/v1/search/commands?q=${encodeURIComponent(email?.query ?? '')}`);
  assert.equal(who.commands.length, 2);

  const [reply] = found(map, 'public.tickets.Reply To');
  assert.deepEqual([reply?.detector, reply?.certain], ['email', 1]);
  const notes = found(map, 'public.tickets.note');
  assert.deepEqual(
    notes.map(({ detector, certain, commands }) => [detector, certain, commands]),
    [['payment-card', 0, 1]],
  );
  assert.ok(map.classes.some(each => each.class === 'payment-card' && each.commands === 1));
  assert.equal(found(map, 'public.customers.email').length, 0, 'a labelled column is no finding');
  const behind = await ask<{ commands: unknown[] }>(auditor, `/v1/search/commands?q=${encodeURIComponent(reply?.query ?? '')}`);
  assert.equal(behind.commands.length, 1);

  const applied = await ask<{ changes?: { change: string }[] }>(null, '/v1/apply', {
    manifests: [{ file: 'protect.yaml', text: reply?.manifest }],
  });
  assert.deepEqual(
    applied.changes?.map(({ change }) => change),
    ['created'],
  );
  const after = await ask<DataMap>(auditor, '/v1/data-map');
  assert.equal(found(after, 'public.tickets.Reply To').length, 0);
  const protectedColumn = after.columns.find(({ column }) => column === 'public.tickets.Reply To');
  assert.match(protectedColumn?.protection?.policy ?? '', /^protect-/);
  const seen = Date.now() + 180_000;
  for (;;) {
    const { rows } = await withClient(client => client.query<Record<string, string>>('select "Reply To" as r from tickets where id = 1'));
    // The detector leaves nothing of an address, the column's own rule its first letter.
    if (rows[0]?.r?.startsWith('k') === true) break;
    assert.ok(Date.now() < seen, JSON.stringify(rows));
    await new Promise(resolve => setTimeout(resolve, 100));
  }
});

test('the data map is for auditors, the overview for those who run the place', async () => {
  assert.equal((await ask<{ code: string }>(viewer, '/v1/data-map')).code, 'ROLE_MISSING');
  assert.equal((await ask<{ code: string }>(people.support, '/v1/overview')).code, 'ROLE_MISSING');
  assert.equal(
    (await ask<{ code: string }>(auditor, '/v1/data-map?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z')).code,
    'PERIOD_INVALID',
  );
  assert.equal((await ask<{ code: string }>(auditor, "/v1/data-map?resource=crm'%20or%201=1&since=yesterday")).code, 'REQUEST_INVALID');
});

test('without the store the overview still says what is live', async () => {
  process.kill(gateway.endpoints().pids['session-store'] ?? 0, 'SIGSTOP');
  try {
    const deadline = Date.now() + 180_000;
    let overview: Overview;
    do overview = await ask<Overview>(viewer, '/v1/overview');
    while (overview.store.status !== 'down' && Date.now() < deadline);
    assert.deepEqual([overview.store.status, overview.decisions.allow.value, overview.agents.online.value], ['down', null, 1]);
  } finally {
    process.kill(gateway.endpoints().pids['session-store'] ?? 0, 'SIGCONT');
  }
});
