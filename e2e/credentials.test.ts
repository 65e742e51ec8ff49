/** Credentials as a database sees them: a role of its own for each session, and passwords that change while sessions go on. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { filesBelow, holding } from './components/folder.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const gatePassword = 'gate-password-4711';
const setUp = `${shopSql}
RESET ROLE;
CREATE ROLE gate LOGIN CREATEROLE PASSWORD '${gatePassword}';
GRANT CREATE ON SCHEMA public TO gate;
CREATE ROLE reader NOLOGIN;
GRANT reader TO gate WITH ADMIN OPTION;
CREATE ROLE writer NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA public TO reader;
GRANT SELECT ON public.customers TO reader;
CREATE ROLE turning LOGIN PASSWORD 'before-the-turn';
GRANT USAGE ON SCHEMA public TO turning;
`;

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let admin: pg.Client;

const resource = (name: string) => `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: ${name} }
spec: { protocol: postgres, upstream: { address: "localhost:${postgres.port}", database: app, tls: { ca: { file: "${postgres.ca}" } } }, credential: ${name} }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: ${name} }
spec: { members: { groups: [support] }, resources: { names: [${name}] } }
`;
const extra = () => `${resource('fresh')}---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: fresh }
spec: { username: gate, password: { value: ${gatePassword} }, dynamic: { grants: [reader] } }
${resource('beyond')}---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: beyond }
spec: { username: gate, password: { value: ${gatePassword} }, dynamic: { grants: [writer] } }
${resource('turning')}---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: turning }
spec: { username: turning, password: { file: ${secretFile} } }
`;
let secretFile = '';

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: setUp }), startIssuer()]);
  secretFile = path.join(path.dirname(postgres.ca), 'turning-password');
  writeFileSync(secretFile, 'before-the-turn\n');
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: extra() }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  admin = new pg.Client({ connectionString: postgres.adminUrl() });
  await admin.connect();
});
after(async () => {
  await admin?.end();
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function connected(name: string): Promise<pg.Client> {
  const { host, port } = gateway.address(name);
  const client = new pg.Client({
    ...{ host, port, user: 'sam', database: 'app', password: await issuer.token(people.support) },
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined); // Ended by the gateway: the queries say so.
  await client.connect();
  return client;
}

async function until<T>(look: () => Promise<T | undefined>, what: string, limitMs = 120_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`not seen within ${limitMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

const sessionRoles = async () =>
  (await admin.query(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'sallyport\\_session\\_%'`)).rows.map(({ rolname }) =>
    String(rolname),
  );
const noneLeft = () => until(async () => ((await sessionRoles()).length === 0 ? true : undefined), 'the end of every session role');

test('each session has a role of its own, with nothing but what it was given, and gone at its end', async () => {
  const [one, two] = [await connected('fresh'), await connected('fresh')];
  const running = async (client: pg.Client) => String((await client.query('select session_user::text as who')).rows[0]?.who);
  const [first, second] = [await running(one), await running(two)];
  assert.match(first, /^sallyport_session_[0-9a-f]{32}$/);
  assert.notEqual(first, second);
  const { rows } = await admin.query(
    `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil - now() AS left,
            rolpassword LIKE 'SCRAM-SHA-256$4096:%' AS scram,
            ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = a.oid) AS member
     FROM pg_authid a WHERE rolname = $1`,
    [first],
  );
  const [{ left, ...role }] = rows as [{ left: { seconds?: number; minutes?: number } }];
  assert.deepEqual(role, {
    ...{ rolsuper: false, rolcreaterole: false, rolcreatedb: false, rolreplication: false, rolbypassrls: false, rolconnlimit: 1 },
    ...{ scram: true, member: ['reader'] },
  });
  assert.ok((left.minutes ?? 0) <= 1, JSON.stringify(left));
  assert.equal((await one.query('select count(*)::int as n from customers')).rows[0]?.n > 0, true);
  await assert.rejects(one.query('select * from orders'), /permission denied|does not exist/);
  const [known] = await gateway.eventually<{ session_id: string }>(
    `SELECT session_id FROM sallyport.sessions WHERE session_id = '${first.slice(-32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}'`,
    found => found.length === 1,
  );
  assert.ok(known, 'the role’s name leads to the session');
  await one.query('create table made_by_a_session (a int)');
  await one.end();
  await until(async () => ((await sessionRoles()).includes(first) ? undefined : true), 'the end of the first role');
  assert.deepEqual(await sessionRoles(), [second], 'the other one lives');
  const owner = await admin.query(`SELECT tableowner FROM pg_tables WHERE tablename = 'made_by_a_session'`);
  assert.equal(owner.rows[0]?.tableowner, 'reader', 'what it made stays');
  await two.end();
  await noneLeft();
  const log = gateway.output();
  assert.ok(!log.includes('SCRAM-SHA-256$') && !log.includes(gatePassword));
});

test('what the credential may not give is not given: no session, no role, and a message that says why', async () => {
  await assert.rejects(connected('beyond'), /ADMIN OPTION/);
  assert.deepEqual(await sessionRoles(), []);
});

test('roles that a killed agent has left are dropped, and those that are in use are not', async () => {
  const client = await connected('fresh');
  await client.query('select 1');
  const [orphan = ''] = await sessionRoles();
  process.kill(gateway.endpoints().pids['agent'] ?? 0, 'SIGKILL');
  await assert.rejects(client.query('select 1'));
  const another = await until(async () => connected('fresh').catch(() => undefined), 'the agent’s return');
  await another.query('select 1');
  const [live = ''] = (await sessionRoles()).filter(name => name !== orphan);
  // Both passwords are made to have expired: what is in use is told from what is not by its session alone.
  for (const name of [orphan, live]) await admin.query(`ALTER ROLE ${name} VALID UNTIL '2000-01-01'`);
  await until(async () => ((await sessionRoles()).includes(orphan) ? undefined : true), 'the end of the orphan');
  assert.deepEqual(await sessionRoles(), [live]);
  await another.query('select 1');
  await another.end();
  await noneLeft();
});

test('a password that changes at its source: sessions go on, and new ones use the new one', async () => {
  const before = await connected('turning');
  await before.query('select 1');
  await admin.query(`ALTER ROLE turning PASSWORD 'after-the-turn'`);
  await assert.rejects(connected('turning'), /refused|28P01/);
  writeFileSync(secretFile, 'after-the-turn\n');
  const fresh = await until(async () => connected('turning').catch(() => undefined), 'a session with the new password');
  await fresh.query('select 1');
  assert.equal((await before.query('select 40 + 2 as n')).rows[0]?.n, 42, 'the session of before lives');
  await Promise.all([before.end(), fresh.end()]);
  const events = await gateway.eventually<{ author: string; reason: string }>(
    `SELECT author, reason FROM sallyport.control_events WHERE kind = 'credential' AND name = 'turning' ORDER BY log_offset`,
    rows => rows.length >= 2,
  );
  assert.deepEqual(events[1], { author: 'system', reason: 'the secret has changed at its source' });
  assert.deepEqual(holding(filesBelow(gateway.data), 'after-the-turn', gatePassword), [], 'no secret in the data folder');
});
