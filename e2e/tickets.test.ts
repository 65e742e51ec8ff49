/** Tickets in real hands: the command line gets them, psql uses them, and what they are bound to holds at the agent. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

const extra = () => `---
apiVersion: sallyport.dev/v1
kind: ServiceAccount
metadata: { name: report-bot }
spec: { groups: [support], trusts: [ { issuer: "${issuer.url}", subject: report-bot } ] }
---
apiVersion: sallyport.dev/v1
kind: ServiceAccount
metadata: { name: lazy-bot }
spec: { trusts: [ { issuer: "${issuer.url}", subject: lazy-bot } ] }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: brief }
spec: { members: { groups: [support] }, resources: { names: [crm] }, session: { maxDuration: 10m } }
`;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: extra() }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  for (const name of ['one', 'two']) {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        file(`${name}.key`),
        '-out',
        file(`${name}.crt`),
        '-subj',
        `/CN=${name}`,
        '-days',
        '1',
      ],
      { stdio: 'ignore' },
    );
  }
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

const file = (name: string) => path.join(gateway.dir, name);

async function sallyport(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const env = { ...process.env, HOME: gateway.dir, SALLYPORT_TOKEN: await issuer.token(people.support) };
  return new Promise(resolve =>
    execFile(process.execPath, [cli, ...args, '--data', gateway.data], { env }, (error, stdout, stderr) =>
      resolve({ stdout: stdout.trim(), stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

function psqlEnvironment(password: string, certificate?: string): NodeJS.ProcessEnv {
  const { host, port } = gateway.address('crm');
  return {
    ...{ ...process.env, HOME: gateway.dir, PGHOST: host, PGPORT: String(port), PGUSER: 'x', PGDATABASE: 'app', PGPASSWORD: password },
    ...{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: gateway.endpoints().ca },
    ...(certificate === undefined ? {} : { PGSSLCERT: file(`${certificate}.crt`), PGSSLKEY: file(`${certificate}.key`) }),
  };
}

/** Not the synchronous call: the issuer lives in this process, and may be asked for its keys meanwhile. */
function psql(password: string, certificate?: string): Promise<{ answer: string; error: string }> {
  return new Promise(resolve =>
    execFile('psql', ['-XAtc', 'select 40 + 2'], { env: psqlEnvironment(password, certificate) }, (_error, stdout, stderr) =>
      resolve({ answer: stdout.trim(), error: stderr }),
    ),
  );
}

const refusals = (code: string, atLeast: number) =>
  gateway.eventually(`SELECT count() AS n FROM sallyport.sessions WHERE code = '${code}'`, rows => Number(rows[0]?.n) >= atLeast);

test('a ticket is good where it is bound to, and nowhere else', async () => {
  const here = await sallyport('ticket', 'crm', '--network', '127.0.0.0/8', '--network', '::1/128');
  assert.equal(here.code, 0, here.stderr);
  assert.deepEqual(await psql(here.stdout), { answer: '42', error: '' });
  const elsewhere = await sallyport('ticket', 'crm', '--network', '10.0.0.0/8');
  assert.match((await psql(elsewhere.stdout)).error, /the token was not accepted/);
  await refusals('TOKEN_OTHER_NETWORK', 1);

  const bound = (await sallyport('ticket', 'crm', '--client-certificate', file('one.crt'))).stdout;
  assert.deepEqual(await psql(bound, 'one'), { answer: '42', error: '' });
  assert.match((await psql(bound, 'two')).error, /the token was not accepted/);
  assert.match((await psql(bound)).error, /the token was not accepted/);
  await refusals('TOKEN_OTHER_CERTIFICATE', 2);
  // An unbound one does not mind a certificate of whoever.
  assert.equal((await psql((await sallyport('ticket', 'crm')).stdout, 'two')).answer, '42');

  const wrong = await sallyport('ticket', 'crm', '--network', '127.0.0.1/8');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /CIDR/);
});

test('a ticket for a role and an actor: the record shows both, and who it is for', async () => {
  const ticket = (await sallyport('ticket', 'crm', '--role', 'brief', '--actor', 'report-bot')).stdout;
  assert.equal((await psql(ticket)).answer, '42');
  const [row] = await gateway.eventually<{ principal: string; delegation: string[]; role: string }>(
    `SELECT principal, delegation, role FROM sallyport.sessions WHERE role = 'brief'`,
    rows => rows.length > 0,
  );
  assert.deepEqual(row, { principal: people.support.email, delegation: ['report-bot'], role: 'brief' });
  assert.match((await sallyport('tickets', 'list')).stdout, /report-bot for sam@example\.com .* role brief/);
  assert.equal((await sallyport('ticket', 'crm', '--role', 'no-such')).code, 1);
});

test('revoking a ticket ends the session that it has opened, and opens none any more', async () => {
  const ticket = (await sallyport('ticket', 'crm')).stdout;
  const child = spawn('psql', ['-XAt'], { env: psqlEnvironment(ticket), stdio: ['pipe', 'pipe', 'pipe'] });
  let told = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const ended = new Promise<number>(resolve => child.once('close', () => resolve(performance.now())));
  child.stdin.write('select 40 + 2;\n');
  while (!told.includes('42')) await new Promise(resolve => setTimeout(resolve, 20));
  const { tickets } = JSON.parse((await sallyport('tickets', 'list', '--json', '--mine')).stdout) as { tickets: { id: string }[] };
  const id = tickets.at(-1)?.id ?? '';
  child.stdin.write('select pg_sleep(60);\n');
  const revoked = await sallyport('tickets', 'revoke', id, '--reason', 'laptop lost');
  const answeredAt = performance.now();
  assert.deepEqual([revoked.code, revoked.stdout], [0, `revoked ${id}`], revoked.stderr);
  const endedAt = await ended;
  console.log(`the session ended ${Math.round(endedAt - answeredAt)} ms after the command line had returned`);
  assert.match(told, /revoked|terminat/i);
  assert.match((await psql(ticket)).error, /the token was not accepted/);
  const rows = await gateway.eventually<{ reason: string; author: string }>(
    `SELECT reason, author FROM sallyport.control_events WHERE type = 'TicketRevoked'`,
    found => found.length > 0,
  );
  assert.deepEqual(rows, [{ reason: 'laptop lost', author: 'admin' }]);
  assert.match((await sallyport('tickets', 'list')).stdout, /revoked/);
});

test('a service account’s secret: exchanged for a ticket, taken by no agent, rotated; its end ends the session', async () => {
  const secretFile = file('secret');
  const create = async () => {
    const { stdout, stderr, code } = await sallyport('service-accounts', 'secrets', 'create', 'report-bot', '--expires-in', '30d');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^sps_[0-9a-f]{32}_[\w-]{43}$/);
    await writeFile(secretFile, `${stdout}\n`, { mode: 0o600 });
    return stdout;
  };
  const list = async () =>
    JSON.parse((await sallyport('service-accounts', 'secrets', 'list', '--json')).stdout) as { secrets: { id: string; tickets: number }[] };
  const old = await create();
  assert.match((await psql(old)).error, /the token was not accepted/);
  const got = await sallyport('ticket', 'crm', '--token-file', secretFile, '--expires-in', '5m');
  assert.equal(got.code, 0, got.stderr);
  assert.equal((await psql(got.stdout)).answer, '42');
  const child = spawn('psql', ['-XAt'], { env: psqlEnvironment(got.stdout), stdio: ['pipe', 'pipe', 'pipe'] });
  let told = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  child.stdin.write('select 40 + 2;\n');
  while (!told.includes('42')) await new Promise(resolve => setTimeout(resolve, 20));
  await create();
  assert.equal((await sallyport('service-accounts', 'secrets', 'create', 'report-bot', '--expires-in', '30d')).code, 1, 'two are enough');
  assert.equal((await psql((await sallyport('ticket', 'crm', '--token-file', secretFile)).stdout)).answer, '42');
  assert.match((await sallyport('review')).stdout, /secret of report-bot +[0-9a-f]{8}, ends \d{4}-\d\d-\d\d/);
  const first = (await list()).secrets.find(({ id }) => old.includes(id));
  assert.equal(first?.tickets, 1);
  child.stdin.write('select pg_sleep(60);\n');
  assert.equal((await sallyport('service-accounts', 'secrets', 'revoke', first?.id ?? '', '--reason', 'rotated')).code, 0);
  await ended;
  assert.match((await psql(got.stdout)).error, /the token was not accepted/);
  await writeFile(secretFile, old);
  assert.match((await sallyport('ticket', 'crm', '--token-file', secretFile)).stderr, /not valid here, or not any more/);
  assert.deepEqual(
    (await list()).secrets.map(({ tickets }) => tickets),
    [1],
  );
  await refusals('TOKEN_MALFORMED', 1);
});

test('the access review: what was used and what nobody needs', async () => {
  await gateway.eventually(`SELECT count() AS n FROM sallyport.sessions WHERE role = 'brief'`, rows => Number(rows[0]?.n) > 0);
  const { stdout, code, stderr } = await sallyport('review', '--since', '1d', '--json');
  assert.equal(code, 0, stderr);
  const review = JSON.parse(stdout) as {
    grants: { role: string; member: string; sessions: number; lastUsedAt: string | null }[];
    serviceAccounts: object[];
    credentials: { name: string; sessions: number }[];
  };
  const brief = review.grants.find(({ role }) => role === 'brief');
  assert.ok(
    brief !== undefined && brief.member === 'support' && brief.sessions > 0 && Date.parse(brief.lastUsedAt ?? '') > Date.now() - 600_000,
    stdout,
  );
  assert.deepEqual(review.grants.find(({ member }) => member === 'privacy-office')?.lastUsedAt, null);
  assert.ok((review.credentials[0]?.sessions ?? 0) > 0);
  const unused = (await sallyport('review', '--unused')).stdout;
  assert.match(unused, /service account +lazy-bot +0 +not since/);
  assert.doesNotMatch(unused, /credential +crm-app/);
});

test('a directory that deactivates a person ends their session, and lets them in again when it takes them back', async () => {
  const { api, adminToken } = gateway.endpoints();
  const scim = async (method: string, where: string, body: object) => {
    const answer = await fetch(`${api}/scim/v2/Users${where}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify(body),
    });
    assert.ok(answer.ok, `${method} ${answer.status}`);
    return (await answer.json()) as { id: string };
  };
  const token = await issuer.token(people.support);
  const { id } = await scim('POST', '', { userName: people.support.email.toUpperCase(), active: true });
  const child = spawn('psql', ['-XAt'], { env: psqlEnvironment(token), stdio: ['pipe', 'pipe', 'pipe'] });
  let told = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()));
  child.stdin.write('select 40 + 2;\n');
  while (!told.includes('42')) await new Promise(resolve => setTimeout(resolve, 20));
  const active = (value: boolean) => ({ Operations: [{ op: 'replace', path: 'active', value }] });
  child.stdin.write('select pg_sleep(60);\n');
  await scim('PATCH', `/${id}`, active(false));
  await ended;
  assert.match((await psql(token)).error, /the token was not accepted/);
  await refusals('PERSON_DEPROVISIONED', 1);
  await scim('PATCH', `/${id}`, active(true));
  const deadline = Date.now() + 180_000;
  while ((await psql(token)).answer !== '42' && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal((await psql(token)).answer, '42');
});

test('a directory that takes a person out of a group ends the session that relied on it; a token that still says so opens none', async () => {
  const { api, adminToken } = gateway.endpoints();
  const scim = async (method: string, where: string, body: object) => {
    const answer = await fetch(`${api}/scim/v2${where}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify(body),
    });
    assert.ok(answer.ok, `${method} ${answer.status}`);
    return answer.status === 204 ? { id: '' } : ((await answer.json()) as { id: string });
  };
  const name = 'nina@example.com';
  const token = await issuer.token({ ...people.support, sub: 'nina', email: name, groups: [] });
  assert.match((await psql(token)).error, /the token was not accepted|no access|denied/);
  const { id: user } = await scim('POST', '/Users', { userName: name });
  const { id: group } = await scim('POST', '/Groups', { displayName: 'support', members: [{ value: user }] });
  const deadline = Date.now() + 180_000;
  while ((await psql(token)).answer !== '42' && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal((await psql(token)).answer, '42', 'the directory gives what the token does not say');
  const child = spawn('psql', ['-XAt'], { env: psqlEnvironment(token), stdio: ['pipe', 'pipe', 'pipe'] });
  let told = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const ended = new Promise<number>(resolve => child.once('close', () => resolve(performance.now())));
  child.stdin.write('select 40 + 2;\n');
  while (!told.includes('42')) await new Promise(resolve => setTimeout(resolve, 20));
  child.stdin.write('select pg_sleep(60);\n');
  await scim('PATCH', `/Groups/${group}`, { Operations: [{ op: 'remove', path: `members[value eq "${user}"]` }] });
  const answeredAt = performance.now();
  console.log(`the session ended ${Math.round((await ended) - answeredAt)} ms after the directory had been answered`);
  const claiming = await issuer.token({ ...people.support, sub: 'nina', email: name, groups: ['support'] });
  for (const each of [token, claiming]) assert.equal((await psql(each)).answer, '');
});
