/** Held commands as a user has them: real clients wait, people answer with the CLI, and the evidence says who released what. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { canaries, shopManifests, shopSql } from './components/shop.ts';

/** Sam works in support and is a dba too: that must not let him release his own commands. */
const sam = { sub: 'u-1', email: 'sam@example.com', groups: ['support', 'dba'] };
const dan = { sub: 'd-1', email: 'dan@example.com', groups: ['dba'] };
const dora = { sub: 'd-2', email: 'dora@example.com', groups: ['dba'] };
const sid = { sub: 'u-3', email: 'sid@example.com', groups: ['sales'] };
type Person = typeof sam;

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

const rules = `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules:
    - { name: deletes, match: { statements: [delete] }, action: hold, message: "Deleting needs a dba.", approval: { from: { groups: [dba] }, expiresIn: 5m } }
    - { name: inserts, match: { statements: [insert] }, action: hold, message: "Writing needs a dba.", approval: { from: { groups: [dba] }, expiresIn: 5m, preview: true } }
    - { name: updates, match: { statements: [update] }, action: hold, message: "Changing needs two dbas.", approval: { from: { groups: [dba] }, quorum: 2, expiresIn: 5m } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: batch }
spec: { members: { groups: [support] }, resources: { names: [batch] } }
`;
const batch = (port: number) => `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: batch }
spec:
  protocol: postgres
  upstream: { address: "127.0.0.1:${port}", database: app, tls: { mode: disable } }
  credential: crm-app
  unknown: hold
  approval: { from: { groups: [dba] } }
`;

before(async () => {
  [postgres, issuer] = await Promise.all([
    startPostgres({ sql: `${shopSql} create table notes (id int primary key, customer text);` }),
    startIssuer(),
  ]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: rules + batch(postgres.port) }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

interface Ended {
  stdout: string;
  stderr: string;
  code: number;
}

/** `sallyport approvals …`, as one person or, with null, as who holds the administrator's token. */
async function approvals(who: Person | null, ...args: string[]): Promise<Ended> {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const env = { ...process.env, HOME: gateway.dir, SALLYPORT_TOKEN: who === null ? '' : await issuer.token(who) };
  return new Promise(resolve =>
    execFile(process.execPath, [cli, 'approvals', ...args, '--data', gateway.data], { env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

async function until<T>(look: () => T | undefined | Promise<T | undefined>, what: string, limitMs = 180_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`not seen within ${limitMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const idIn = (text: string) => /Approval ([0-9a-f-]{36}) by/.exec(text)?.[1];

/** A psql with one statement: what it prints while it waits, and how it ends. */
async function psql(sql: string, resource = 'crm', who: Person = sam) {
  const { host, port } = gateway.address(resource);
  const env = { ...process.env, PGPASSWORD: await issuer.token(who), PGSSLMODE: 'verify-full', PGSSLROOTCERT: gateway.endpoints().ca };
  const child = spawn(
    'psql',
    ['-X', '-A', '-t', '-v', 'VERBOSITY=verbose', '-h', host, '-p', String(port), '-U', 'x', '-d', 'app', '-c', sql],
    { env },
  );
  const told = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (told.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (told.stderr += chunk.toString()));
  const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ ...told, code: code ?? -1 })));
  return { child, told, ended, approvalId: () => until(() => idIn(told.stderr), `a NOTICE to psql: ${told.stderr}`) };
}

async function driver(): Promise<{ client: pg.Client; notices: string[] }> {
  const { host, port } = gateway.address('crm');
  const ssl = { ca: readFileSync(gateway.endpoints().ca, 'utf8'), servername: 'localhost' };
  const client = new pg.Client({ host, port, user: 'x', database: 'app', password: await issuer.token(sam), ssl });
  const notices: string[] = [];
  client.on('notice', notice => notices.push(notice.hint ?? ''));
  await client.connect();
  return { client, notices };
}

const count = async (where: string) => {
  const client = new pg.Client({
    host: postgres.host,
    port: postgres.port,
    user: 'direct',
    database: 'app',
    password: postgres.direct.password,
  });
  await client.connect();
  const { rows } = await client.query(`select count(*)::int as n from orders where ${where}`);
  await client.end();
  return rows[0]?.n as number;
};
const stateOf = async (id: string) => JSON.parse((await approvals(null, 'show', id, '--json')).stdout).state as string;

interface Row {
  approvers: string[];
  held_us: string;
  status: string;
  rule: string;
  principal: string;
  error_code: string;
}
const recorded = async (id: string) => {
  const [row] = await gateway.eventually<Row>(
    `select approvers, held_us, status, rule, principal, error_code from sallyport.commands where approval_id = '${id}'`,
    rows => rows.some(each => each.status !== 'held'),
  );
  assert.ok(row);
  return row;
};

describe('a command that a rule holds', () => {
  test('waits in psql with a notice; only another person of the group releases it; the record says who and how long', async () => {
    const held = await psql('delete from orders where id = 1');
    const id = await held.approvalId();
    assert.match(held.told.stderr, /waiting for approval: Deleting needs a dba\./);
    assert.match(
      held.told.stderr,
      new RegExp(`by dba, until .* UTC\\. Look at http://127\\.0\\.0\\.1:[0-9]+/\\S*${id} or run: sallyport approvals show ${id}\\.`),
    );
    const list = await approvals(dan, 'list');
    assert.match(list.stdout, new RegExp(`${id}.*crm.*sam@example\\.com.*deletes.*dba.*delete from orders where id = 1`));
    assert.doesNotMatch((await approvals(sid, 'list')).stdout, new RegExp(id));

    const refused = [
      [sam, /own command/],
      [sid, /no such approval/],
      [null, /needs a person/],
    ] as const;
    for (const [who, why] of refused) {
      const { code, stderr } = await approvals(who, 'approve', id);
      assert.deepEqual([code, why.test(stderr)], [1, true], stderr);
    }
    assert.equal(await count('id = 1'), 1, 'nothing was sent');

    const approved = await approvals(dan, 'approve', id, '--reason', 'ticket 17');
    assert.deepEqual([approved.code, approved.stderr], [0, '']);
    assert.match(approved.stdout, new RegExp(`${id}: approved by dan@example\\.com`));
    const { code, stdout } = await held.ended;
    assert.deepEqual([code, stdout], [0, 'DELETE 1\n']);
    assert.equal(await count('id = 1'), 0);

    const row = await recorded(id);
    assert.deepEqual(
      [row.approvers, row.status, row.rule, row.principal],
      [['dan@example.com'], 'ok', 'releases/deletes', 'sam@example.com'],
    );
    assert.ok(Number(row.held_us) > 100_000, `held for ${row.held_us} µs`);
    const [seen] = await gateway.eventually<{ state: string; approvers: string[]; reason: string }>(
      `select state, approvers, reason from sallyport.approvals where approval_id = '${id}'`,
      rows => rows[0]?.state === 'approved',
    );
    assert.deepEqual(seen, { state: 'approved', approvers: ['dan@example.com'], reason: 'ticket 17' });
    const again = await approvals(dora, 'deny', id);
    assert.deepEqual([again.code, /approved already/.test(again.stderr)], [1, true], again.stderr);
  });

  test('is refused with the reason when somebody denies it', async () => {
    const held = await psql('delete from orders where id = 2');
    const id = await held.approvalId();
    assert.equal((await approvals(dan, 'deny', id, '--reason', 'not on a Friday')).code, 0);
    const { code, stderr } = await held.ended;
    assert.equal(code, 1);
    assert.match(stderr, /ERROR: {2}42501: .*denied by dan@example\.com: not on a Friday/);
    assert.equal(await count('id = 2'), 1);
    const row = await recorded(id);
    assert.deepEqual([row.approvers, row.status, row.error_code], [[], 'refused', '42501']);
  });

  test('a quorum of two is two people: one who approves twice counts once', async () => {
    const held = await psql('update orders set quantity = 99 where id = 3');
    const id = await held.approvalId();
    for (let i = 0; i < 2; i++) assert.match((await approvals(dan, 'approve', id)).stdout, /: pending by dan@example\.com/);
    assert.equal(await count('quantity = 99'), 0);
    assert.match((await approvals(dora, 'approve', id)).stdout, /: approved by dan@example\.com, dora@example\.com/);
    assert.equal((await held.ended).code, 0);
    assert.equal(await count('quantity = 99'), 1);
    assert.deepEqual((await recorded(id)).approvers, ['dan@example.com', 'dora@example.com']);
  });

  test('is withdrawn when its client goes away', async () => {
    const held = await psql('delete from orders where id = 4');
    const id = await held.approvalId();
    held.child.kill('SIGKILL');
    await held.ended;
    await until(async () => ((await stateOf(id)) === 'withdrawn' ? true : undefined), 'the approval is withdrawn');
    const late = await approvals(dan, 'approve', id);
    assert.deepEqual([late.code, /withdrawn already/.test(late.stderr)], [1, true], late.stderr);
    assert.equal(await count('id = 4'), 1);
  });

  test('other values of Bind are another command: each needs its own approval', async () => {
    const { client, notices } = await driver();
    const run = (id: number) => client.query({ name: 'remove', text: 'delete from orders where id = $1', values: [id] });
    const first = run(5);
    const one = (await until(() => notices.map(idIn)[0], 'the first notice')) ?? '';
    assert.equal((await approvals(dan, 'approve', one)).code, 0);
    assert.equal((await first).rowCount, 1);
    const second = assert.rejects(run(6), (error: pg.DatabaseError) => error.code === '42501');
    const two = (await until(() => notices.map(idIn)[1], 'the second notice')) ?? '';
    assert.notEqual(two, one);
    assert.equal(await count('id = 6'), 1);
    assert.equal((await approvals(dan, 'deny', two)).code, 0);
    await second;
    assert.equal(await count('id = 6'), 1);
    await client.end();
  });

  test('outlives a kill -9 of the control plane, with the approvals that were given before', async () => {
    const held = await psql('update orders set quantity = 98 where id = 7');
    const id = await held.approvalId();
    assert.equal((await approvals(dan, 'approve', id)).code, 0);
    const pid = gateway.endpoints().pids['control-plane'];
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    await until(() => (gateway.endpoints().pids['control-plane'] === pid ? undefined : true), 'the control plane is restarted');
    const given = await until(async () => {
      const answer = await approvals(dora, 'approve', id);
      return answer.code === 0 ? answer.stdout : undefined;
    }, 'the control plane answers again');
    assert.match(given, /: approved by dan@example\.com, dora@example\.com/);
    const { code, stdout } = await held.ended;
    assert.deepEqual([code, stdout], [0, 'UPDATE 1\n']);
    assert.equal(await count('quantity = 98'), 1);
  });

  test('is never sent when the agent is killed while it waits, whatever people answer then', async () => {
    const held = await psql('delete from orders where id = 9');
    const id = await held.approvalId();
    const pid = gateway.endpoints().pids['agent'];
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    assert.equal((await held.ended).code, 2);
    await until(() => (gateway.endpoints().pids['agent'] === pid ? undefined : true), 'the agent is restarted');
    await until(async () => ((await stateOf(id)) === 'withdrawn' ? true : undefined), 'the approval ends with who asked for it');
    const late = await approvals(dan, 'approve', id);
    assert.deepEqual([late.code, /withdrawn already/.test(late.stderr)], [1, true], late.stderr);
    const next = await until(async () => {
      const again = await psql('select 1');
      const { code, stdout } = await again.ended;
      return code === 0 ? stdout : undefined;
    }, 'the agent serves again');
    assert.equal(next, '1\n');
    assert.equal(await count('id = 9'), 1);
  });
});

test('a preview is shown by the CLI, with parameters, masked; what an agent takes with it when it is killed leaves nothing', async () => {
  const { client, notices } = await driver();
  const before = notices.length;
  const run = client.query('insert into notes (id, customer) values ($1, $2)', [1, canaries.email]);
  const id = (await until(() => notices.slice(before).map(idIn)[0], 'a notice')) ?? '';
  const { stdout } = await approvals(dan, 'show', id);
  assert.match(stdout, /\$1 = 1\n {2}\$2 = .*\n {2}changes 1 row\n {2}after:\n {4}id {2}customer/, stdout);
  assert.equal(stdout.includes(canaries.email), false, stdout);
  const pid = gateway.endpoints().pids['agent'];
  assert.ok(pid);
  client.on('error', () => undefined);
  process.kill(pid, 'SIGKILL');
  await assert.rejects(run);
  await until(async () => ((await stateOf(id)) === 'withdrawn' ? true : undefined), 'the approval ends with who asked for it');
  assert.equal(await count('(select count(*) from notes) > 0'), 0);
  await until(async () => ((await (await psql('select 1')).ended).code === 0 ? true : undefined), 'the agent serves again');
});

test('unknown: hold lets people release what cannot be resolved', async () => {
  const held = await psql("do $$ begin execute 'delete from ' || 'orders where id = 8'; end $$", 'batch');
  const id = await held.approvalId();
  assert.equal(await count('id = 8'), 1);
  assert.equal((await approvals(dan, 'approve', id)).code, 0);
  const { code, stdout } = await held.ended;
  assert.deepEqual([code, stdout], [0, 'DO\n']);
  assert.equal(await count('id = 8'), 0);
});
