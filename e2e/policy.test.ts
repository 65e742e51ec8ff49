/** Policy before it decides: explained by a running installation, with the catalog that an agent reads. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { canaries, people, shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

const functionSql = `
create function partner_key() returns text language plpgsql as $$ begin return '${canaries.awsKey}'; end $$;
create function shout(t text) returns text language sql immutable as $$ select upper(t) $$;
`;

/** Detectors of one's own, and a gitleaks configuration beside the manifests, as a user would have it. */
const gitleaks = `[[rules]]
id = "acme-key"
regex = '''\\bacme_([0-9a-f]{12})\\b'''
secretGroup = 1
entropy = 2
keywords = ["acme_"]
`;
const ownDetectors = `
---
kind: DataPolicy
metadata: { name: own-detectors }
spec:
  resources: { names: [crm] }
  customDetectors: [{ name: registration, pattern: '\\bREG-[0-9]{4}\\b', keywords: [reg-] }]
  gitleaks: { value: ${JSON.stringify(gitleaks)} }
`;

async function connected(who: (typeof people)[keyof typeof people]): Promise<pg.Client> {
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const password = await issuer.token(who);
  const client = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl: { ca, servername: 'localhost' } });
  await client.connect();
  return client;
}

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: `${shopSql}${functionSql}` }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: ownDetectors }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args], { env: { ...process.env, SALLYPORT_DATA: gateway.data } })) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

test('explain: what a session would do, with names resolved by the catalog that an agent reads', async () => {
  const explain = ['policy', 'explain', '--resource', 'crm', '--as', 'sam@example.com', '--groups', 'support'];
  const text = 'select c.id, e.email, shout(e.email) from customers c join customer_emails e using (id)';
  const answer = await sallyport(...explain, '--json', text);
  assert.equal(answer.code, 0, answer.stderr);
  const { columns, decision, limits, admission, catalogReadAt } = JSON.parse(answer.stdout);
  assert.deepEqual(
    columns.map((each: { name: string; outcome: string; mask?: string }) => [each.name, each.outcome, each.mask]),
    [
      ['id', 'clear', undefined],
      ['email', 'masked', 'partial'],
      ['shout', 'masked', 'redact'],
    ],
  );
  assert.deepEqual([decision.action, limits, admission.role], ['allow', [], 'support']);
  assert.ok(Date.parse(catalogReadAt) > Date.now() - 600_000);
  // The session does what the explanation said.
  const client = await connected(people.support);
  const { rows } = await client.query(`${text} where c.id = 1`);
  assert.equal(rows[0].id, 1);
  assert.match(rows[0].email, /^c\*+@/);
  assert.equal(rows[0].shout, '[redacted]');
  await client.end();
  const denied = await sallyport(...explain, 'select password from app_users');
  assert.match(denied.stdout, /^decision +deny by customer-pii\/public\.app_users\.password/m);
});

test('explain: groups are those of the newest session, and the exempt see what they see', async () => {
  const client = await connected(people.privacy);
  await client.query('select 1');
  await client.end();
  await gateway.eventually("select 1 from sallyport.sessions where principal = 'pia@example.com'", rows => rows.length > 0);
  const { stdout, stderr } = await sallyport(
    'policy',
    'explain',
    '--resource',
    'crm',
    '--as',
    'pia@example.com',
    'select email from customers',
  );
  assert.match(stdout, /^principal +pia@example\.com \(person; privacy-office\)/m, stderr);
  assert.match(stdout, /^exempt +from customer-pii/m);
  const bot = await sallyport('policy', 'explain', '--resource', 'crm', '--as', 'billing-bot', 'drop table orders');
  assert.match(bot.stdout, /^principal +billing-bot \(workload; bots\)/m);
  assert.match(bot.stdout, /^decision +deny by sql-safety\/no-ddl/m);
});

test('detectors of one’s own look into values, also of arrays and JSON, and records name them', async () => {
  const client = await connected(people.support);
  const key = ['acme_', '0a1b2c3d4e5f'].join('');
  const { rows } = await client.query({
    text: `select 'no REG-1234, yes'::text, array['a', 'REG-1234', '${key}'], '{"k": "${key}"}'::jsonb::text, 'acme_000000000000', convert_to('REG-1234', 'UTF8')`,
    rowMode: 'array',
  });
  await client.end();
  const [text, array, json, monotonous, bytes] = rows[0] as [string, string[], string, string, Buffer];
  assert.deepEqual(
    [text, array, json, monotonous],
    ['no [redacted], yes', ['a', '[redacted]', 'acme_[redacted]'], '{"k": "acme_[redacted]"}', 'acme_000000000000'],
  );
  assert.equal(bytes.toString(), '[redacted]');
  const [command] = await gateway.eventually<{ data_classes: string[] }>(
    "select data_classes from sallyport.commands where text like '%convert_to%' and status = 'ok'",
    found => found.length === 1,
  );
  assert.deepEqual(command?.data_classes.sort(), ['acme-key', 'registration']);
});

test('a catalog file judges offline as the installation does, and holds no secret', async () => {
  const file = path.join(gateway.config, 'crm.catalog.json');
  const written = await sallyport('policy', 'catalog', 'crm', '-o', file);
  assert.equal(written.code, 0, written.stderr);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  assert.ok(text.includes('partner_key') && text.includes('customer_emails'));
  assert.ok(!Object.values(canaries).some(canary => text.includes(canary)), 'a secret of a function body left the agent');
  const offline = await sallyport(
    ...['policy', 'explain', '--config', gateway.config, '--resource', 'crm', '--as', 'sam@example.com', '--groups', 'support', '--json'],
    'select * from customer_emails',
  );
  assert.equal(offline.code, 0, offline.stderr);
  assert.deepEqual(
    JSON.parse(offline.stdout).columns.map((each: { name: string; outcome: string }) => [each.name, each.outcome]),
    [
      ['id', 'clear'],
      ['email', 'masked'],
    ],
  );
});

const proposed = `
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sql-safety }
spec:
  resources: { labels: { env: prod } }
  rules:
    - { name: no-delete, match: { statements: [delete] }, action: deny, message: "Rows are archived." }
    - { name: large-update, match: { statements: [update], maxRows: 100 }, action: deny }
    - { name: bots-wait, match: { statements: [insert] }, when: "principal.kind == 'workload'", action: hold, approval: { from: { groups: [dba] } } }
---
kind: DataPolicy
metadata: { name: customer-pii }
spec:
  resources: { names: [crm] }
  columns:
    - { match: "public.customers.email", action: mask, as: partial }
    - { match: "public.customers.name", action: mask, as: redact }
    - { match: "public.app_users.password", action: deny }
  detectors: [email]
  exempt: { groups: [privacy-office] }
---
kind: Role
metadata: { name: support }
spec:
  members: { groups: [support], serviceAccounts: [billing-bot] }
  resources: { names: [crm] }
`;

test('simulate: recorded traffic under proposed manifests', async () => {
  const [sam, pia, bot] = await Promise.all([connected(people.support), connected(people.privacy), connected(people.bot)]);
  const started = new Date().toISOString();
  for (const id of [1, 2, 3]) await sam.query('select name, email, ssn from customers where id = $1', [id]);
  await sam.query('delete from orders where id = -1');
  await sam.query('delete from orders where id = -2');
  await sam.query('update orders set quantity = quantity where id = 1');
  await assert.rejects(sam.query('alter table orders add column note text'));
  await assert.rejects(sam.query('select password from app_users'));
  await sam.query('select item from orders where id = 1');
  await sam.query('create temporary table basket (item text)');
  await sam.query('select * from basket');
  await pia.query('select ssn from customers where id = 1');
  await bot.query("insert into orders select 3001, 1, 'x', 1, now()");
  await bot.query('select count(*) from orders');
  await Promise.all([sam, pia, bot].map(client => client.end()));
  const since = `at >= parseDateTime64BestEffort('${started}', 6)`;
  await gateway.eventually<{ n: number }>(
    `select count() as n from sallyport.commands where ${since} and status not in ('', 'running')`,
    rows => Number(rows[0]?.n) >= 14,
  );
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-proposed-'));
  writeFileSync(path.join(dir, 'proposed.yaml'), proposed);
  const answer = await sallyport('policy', 'simulate', dir, '--since', started, '--json');
  assert.equal(answer.code, 0, answer.stderr);
  const report = JSON.parse(answer.stdout);
  const counted = (report.changes as { change: string; rule: string; commands: number; principals: { name: string }[] }[])
    .map(({ change, rule, commands, principals }) => `${change} ${rule} ${commands} ${principals.map(({ name }) => name).join(',')}`)
    .sort();
  assert.deepEqual(counted, [
    'allowed sql-safety/no-ddl 1 sam@example.com',
    'denied admission 1 pia@example.com',
    'denied sql-safety/no-delete 2 sam@example.com',
    'held sql-safety/bots-wait 1 billing-bot',
    'masked customer-pii/public.customers.name 3 sam@example.com',
    // The others have no number, so nothing was masked.
    'unmasked public.customers.ssn 1 sam@example.com',
  ]);
  const [denied] = report.changes;
  assert.deepEqual(denied.examples.map((each: { text: string }) => each.text).sort(), [
    'delete from orders where id = -1',
    'delete from orders where id = -2',
  ]);
  const undecided = Object.fromEntries(report.undecided.map(({ code, commands }: { code: string; commands: number }) => [code, commands]));
  assert.deepEqual(undecided, { 'estimate-missing': 1, 'names-missing': 1 });
  // Item, password, the temporary table, count: as before.
  assert.equal(report.unchanged, 4);
  assert.equal(report.commands, 14);
  assert.deepEqual(
    report.proposed.map(({ name }: { name: string }) => name),
    ['sql-safety', 'customer-pii', 'support'],
  );
  assert.ok(report.notReplayed.some((each: string) => each.includes('detectors')));
  // What is in force has changed nothing of it; and nothing was put in force.
  const same = await sallyport('policy', 'simulate', gateway.config, '--since', started, '--json');
  assert.equal(same.code, 0, same.stderr);
  const inForce = JSON.parse(same.stdout);
  assert.deepEqual([inForce.changed, inForce.proposed], [0, []]);
  const shown = await sallyport('policy', 'simulate', dir, '--since', started, '--fail-on', 'denied,unmasked');
  assert.equal(shown.code, 1);
  assert.match(shown.stdout, /2 newly denied by sql-safety\/no-delete {2}\(sam@example\.com 2\)/);
  assert.match(shown.stderr, /3 newly denied, 1 no longer masked/);
});

test('simulate: mistakes are told with file and line, and only auditors may ask', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-proposed-'));
  writeFileSync(path.join(dir, 'bad.yaml'), proposed.replace('no-delete, match', 'no-delete, mtch'));
  const bad = await sallyport('policy', 'simulate', dir);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /bad\.yaml:8:\d+: unknown field `mtch`; did you mean `match`\?/);
  const when = await sallyport('policy', 'simulate', gateway.config, '--since', 'yesterday');
  assert.match(when.stderr, /no time in the past: write a duration such as 7d/);
  const { api } = gateway.endpoints();
  const { status } = await fetch(`${api}/v1/policy/simulate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await issuer.token(people.support)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ manifests: [], since: '1d' }),
  });
  assert.equal(status, 403);
});

test('who may not ask is refused', async () => {
  const { api } = gateway.endpoints();
  const ask = async (token: string, url: string, body?: unknown) =>
    (
      await fetch(`${api}${url}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    ).status;
  const token = await issuer.token(people.support);
  assert.equal(await ask(token, '/v1/policy/explain', { resource: 'crm', as: { name: 'x' }, text: 'select 1' }), 403);
  assert.equal(await ask(token, '/v1/resources/crm/catalog'), 403);
  const { adminToken } = gateway.endpoints();
  assert.equal(await ask(adminToken, '/v1/policy/explain', { resource: 'crn', as: { name: 'x' }, text: 'select 1' }), 404);
  assert.equal(await ask(adminToken, '/v1/policy/explain', { resource: 'crm', as: { name: 'x' }, text: 'select 1', extra: 1 }), 400);
});
