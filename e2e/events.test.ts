/** What the console and the command line watch: server-sent events of a whole system, as people with different rights see them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { EventReader } from './components/event-source.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const auditor = { sub: 'a-1', email: 'ada@example.com', groups: ['audit'] };
const viewer = { sub: 'v-1', email: 'vic@example.com', groups: ['viewers'] };
const dan = { sub: 'd-1', email: 'dan@example.com', groups: ['dba'] };
/** Of the same name as Sam, at another provider: it must not open Sam's things. */
const { support: sam, stranger } = people;

let postgres: PostgresServer;
let issuer: Issuer;
let foreign: Issuer;
let gateway: Gateway;

const extra = (foreignUrl: string) => `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules: [{ name: deletes, match: { statements: [delete] }, action: hold, message: "Deleting needs a dba.", approval: { from: { groups: [dba] }, expiresIn: 5m } }]
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [audit] } }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: viewers }
spec: { roles: [viewer], members: { groups: [viewers] } }
---
apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: elsewhere }
spec: { oidc: { issuer: "${foreignUrl}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
`;

before(async () => {
  [postgres, issuer, foreign] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer(), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: extra(foreign.url) }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await Promise.all([issuer?.stop(), foreign?.stop(), postgres?.stop()]);
});

type Claims = Parameters<Issuer['token']>[0];

async function watch(who: Claims | null, query = '', headers: Record<string, string> = {}, from = issuer): Promise<EventReader> {
  const { api, adminToken } = gateway.endpoints();
  const token = who === null ? adminToken : await from.token(who);
  return EventReader.open(`${api}/v1/events${query}`, { authorization: `Bearer ${token}`, ...headers });
}

async function connect(who: Claims): Promise<pg.Client> {
  const client = new pg.Client({
    ...gateway.address('crm'),
    user: 'sam',
    database: 'app',
    password: await issuer.token(who),
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined); // What a test does to the connection is seen in its query.
  await client.connect();
  return client;
}

async function api(method: string, route: string, token: string, body?: unknown): Promise<Response> {
  return fetch(gateway.endpoints().api + route, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

test('each sees what is theirs: the auditor everything, a viewer sessions and no commands, a person their own', async () => {
  const watchers = {
    auditor: await watch(auditor),
    viewer: await watch(viewer),
    sam: await watch(sam),
    stranger: await watch(stranger),
    namesake: await watch(sam, '', {}, foreign),
  };
  const client = await connect(sam);
  await client.query('select name, email from customers order by id limit 2');
  await assert.rejects(client.query('drop table customers'), /migrations/);
  await client.end();
  const isEnd = ({ type, data }: { type: string; data: Record<string, unknown> }) => type === 'session' && data.status === 'ended';
  for (const who of [watchers.auditor, watchers.viewer, watchers.sam]) await who.next(isEnd);

  for (const who of [watchers.auditor, watchers.sam]) {
    const [read, dropped] = who.of('command');
    assert.deepEqual(
      [read?.text, read?.status, read?.rows, read?.principal, read?.resource],
      ['select name, email from customers order by id limit 2', 'ok', 2, 'sam@example.com', 'crm'],
    );
    assert.ok(Number(read?.maskedValues) >= 2, JSON.stringify(read));
    assert.deepEqual([dropped?.decision, dropped?.status, dropped?.rule], ['deny', 'refused', 'sql-safety/no-ddl']);
    assert.deepEqual(
      who.of('session').map(({ status }) => status),
      ['live', 'ended'],
    );
  }
  assert.deepEqual(watchers.viewer.of('command'), []);
  assert.equal(watchers.viewer.of('session').length, 2);
  for (const who of [watchers.stranger, watchers.namesake]) {
    assert.deepEqual(
      who.events.map(({ type }) => type),
      ['hello'],
    );
  }
  for (const who of Object.values(watchers)) who.close();
});

test('a held command shows at once to who may release it, and its release to who waits; nobody else hears of it', async () => {
  const [approver, waiter, other] = [await watch(dan, '?events=approval'), await watch(sam), await watch(stranger)];
  const client = await connect(sam);
  const running = client.query('delete from orders where id = 1');
  running.catch(() => undefined); // Looked at below.
  const { data } = await approver.next(event => event.type === 'approval');
  assert.deepEqual(
    [data.state, data.resource, data.rule, data.text],
    ['pending', 'crm', 'releases/deletes', 'delete from orders where id = 1'],
  );
  await waiter.next(event => event.type === 'command' && event.data.status === 'held');
  assert.equal((await api('POST', `/v1/approvals/${String(data.id)}/approve`, await issuer.token(dan), { reason: 'ok' })).status, 200);
  await running;
  await waiter.next(event => event.type === 'approval' && event.data.state === 'approved');
  await waiter.next(event => event.type === 'command' && event.data.status === 'ok');
  assert.deepEqual(other.of('approval'), []);
  assert.deepEqual(approver.of('command'), [], 'only what was asked for');
  await client.end();
  for (const who of [approver, waiter, other]) who.close();
});

test('manifests and agents show to those who run the place, and what a role gives or takes counts at once', async () => {
  const [eye, plain] = [await watch(viewer, '?events=policy,agent'), await watch(stranger)];
  const { adminToken } = gateway.endpoints();
  const grant = 'kind: AccessPolicy\nmetadata: { name: sales }\nspec: { roles: [viewer], members: { groups: [sales] } }\n';
  assert.equal((await api('POST', '/v1/apply', adminToken, { manifests: [{ file: 'sales.yaml', text: grant }] })).status, 200);
  const { data } = await eye.next(event => event.type === 'policy' && event.data.name === 'sales');
  assert.deepEqual([data.kind, data.change, data.version, data.author], ['AccessPolicy', 'applied', 1, 'admin']);
  await plain.next(event => event.type === 'policy' && event.data.name === 'sales');
  const invited = (await (await api('POST', '/v1/agents/invitations', adminToken, { labels: { a: 'b' } })).json()) as { agentId: string };
  await eye.next(event => event.type === 'agent' && event.data.id === invited.agentId && event.data.status === 'invited');
  assert.equal((await api('DELETE', '/v1/manifests/AccessPolicy/sales', adminToken)).status, 200);
  await eye.next(event => event.type === 'policy' && event.data.name === 'sales' && event.data.change === 'deleted');
  assert.equal(plain.of('policy').length, 1, 'who has lost the role does not see how');
  for (const who of [eye, plain]) who.close();
});

test('a stream goes on where it was cut off, and says when it cannot', async () => {
  const first = await watch(auditor);
  const client = await connect(sam);
  await client.query('select 1');
  const { id } = await first.next(event => event.type === 'command');
  first.close();
  await client.query("select 'while nobody looked'");
  const second = await watch(auditor, '?events=command', { 'last-event-id': id });
  assert.deepEqual(second.of('hello'), [{ resumed: true }]);
  await second.next(event => event.data.text === "select 'while nobody looked'");
  assert.equal(
    second.of('command').some(({ text }) => text === 'select 1'),
    false,
    'what was seen does not come again',
  );
  for (const bad of ['999999.999999', 'x', '1', '']) {
    const anew = await watch(auditor, '', { 'last-event-id': bad });
    assert.deepEqual(anew.of('hello'), [{ resumed: false }], bad);
    anew.close();
  }
  await client.end();
  second.close();
});

test('a stream ends with its sign-in, and one principal has so many and no more', async () => {
  const brief = await watch({ ...auditor, exp: Math.floor(Date.now() / 1000) + 20 });
  await brief.end();
  const many = await Promise.all(Array.from({ length: 8 }, () => watch(stranger)));
  await assert.rejects(watch(stranger), /429 .*STREAMS_TOO_MANY/);
  await watch(viewer).then(other => other.close());
  many[0]?.close();
  const deadline = Date.now() + 180_000;
  for (;;) {
    const again = await watch(stranger).catch((error: unknown) => (Date.now() > deadline ? Promise.reject(error) : null));
    if (again !== null) {
      again.close();
      break;
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  for (const each of many) each.close();
  await assert.rejects(watch(auditor, '?events=everything'), /EVENT_TYPE_UNKNOWN/);
});

test('headers keep the stream from being cached or framed, and a HEAD does not open one', async () => {
  const stream = await watch(null);
  const { headers } = stream.response;
  assert.match(headers.get('content-type') ?? '', /^text\/event-stream/);
  assert.match(headers.get('cache-control') ?? '', /no-store/);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  stream.close();
  const { api: url, adminToken } = gateway.endpoints();
  assert.equal((await fetch(`${url}/v1/events`, { method: 'HEAD', headers: { authorization: `Bearer ${adminToken}` } })).status, 404);
  assert.equal((await fetch(`${url}/v1/events`)).status, 401);
});
