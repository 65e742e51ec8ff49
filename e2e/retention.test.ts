/** Sessions expire as audit policies say, legal holds keep them longer, and evidence tells what expired from what was taken. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
const script = path.join(import.meta.dirname, '..', 'docs', 'verify', 'verify-evidence.py');
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let files = 0;

const policy = `apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: keep }
spec: { resources: { names: [crm] }, retention: 90d }
`;

async function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args, '--data', gateway.data], { maxBuffer: 1e8 })) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

async function use(who: (typeof people)[keyof typeof people]): Promise<void> {
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const client = new pg.Client({
    host,
    port,
    user: 'x',
    database: 'app',
    password: await issuer.token(who),
    ssl: { ca, servername: 'localhost' },
  });
  await client.connect();
  await client.query('select email from customers where id = 1');
  await client.end();
}

const ended = (n: number) =>
  gateway.eventually<{ session_id: string; principal: string; n: number }>(
    "select session_id, principal from sallyport.sessions where status = 'ended' order by session_id",
    rows => rows.length === n,
  );

/** Moves what the store says of a session's time: days pass in no test. */
async function age(session: string, days: number): Promise<void> {
  await gateway.query(
    `ALTER TABLE sallyport.session_rows UPDATE started_at = started_at - INTERVAL ${days} DAY, ended_at = ended_at - INTERVAL ${days} DAY WHERE session_id = '${session}' SETTINGS mutations_sync = 2`,
  );
}

async function rowsOf(session: string): Promise<number[]> {
  const tables = ['session_rows', 'command_revisions', 'record_rows'];
  return Promise.all(
    tables.map(async table =>
      Number((await gateway.query<{ n: string }>(`select count() as n from sallyport.${table} where session_id = '${session}'`))[0]?.n),
    ),
  );
}

interface Verdict {
  ok: boolean;
  findings: { code: string; session?: string }[];
  notes: { code: string; message: string }[];
}

async function verified(): Promise<Verdict> {
  const file = path.join(gateway.dir, `evidence-${files++}.gz`);
  const exported = await sallyport('evidence', 'export', '-o', file);
  assert.equal(exported.code, 0, exported.stderr);
  const key = /key of the control plane: (\S+)/.exec(exported.stderr)?.[1] ?? '';
  const said = await run(process.execPath, [cli, 'evidence', 'verify', file, '--json', '--key', key]).catch(
    (error: unknown) => error as { stdout: string },
  );
  const verdict = JSON.parse(said.stdout) as Verdict;
  for (const python of ['python3', '/usr/bin/python3']) {
    const { stdout } = await run(python, [script, file, '--key', key]).catch((error: unknown) => error as { stdout: string });
    if (!stdout) continue;
    const codes = ({ findings }: Verdict) => findings.map(({ code, session }) => `${code} ${session}`).sort();
    assert.deepEqual(codes(JSON.parse(stdout) as Verdict), codes(verdict));
    return verdict;
  }
  throw new Error('the verifier in Python said nothing');
}

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }), 'keep.yaml': policy },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

test('what is over goes, what a legal hold is about stays, and both are in the control log', async () => {
  await use(people.support);
  await use(people.privacy);
  await use(people.support);
  const sessions = await ended(3);
  const [first = '', second = '', third = ''] = sessions.map(({ session_id }) => session_id);
  // Each end is in a checkpoint a moment later: until then nothing proves that there was more.
  await gateway.eventually<{ n: number }>(
    `select ${[first, second, third].map(id => `(countIf(position(encoded, '${id}') > 0) > 0)`).join(' + ')} as n from sallyport.record_rows where type = 'checkpoint'`,
    rows => Number(rows[0]?.n) === 3,
  );
  const nothing = await sallyport('evidence', 'retention', '--json');
  assert.deepEqual(
    JSON.parse(nothing.stdout).resources.map((each: { resource: string; sessions: number }) => [each.resource, each.sessions]),
    [['crm', 0]],
  );

  await age(first, 91);
  await age(second, 91);
  const placed = await sallyport('evidence', 'hold', 'place', '--person', 'pia@example.com', '--reason', 'case 4711');
  assert.equal(placed.code, 0, placed.stderr);
  const hold = placed.stdout.trim();
  assert.match((await sallyport('evidence', 'hold', 'list')).stdout, /person pia@example\.com.*case 4711/);
  const due = await sallyport('evidence', 'retention');
  assert.match(due.stdout, /crm +90 days +keep +1 +1/);
  const ran = await sallyport('evidence', 'retention', '--run');
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual(await rowsOf(first), [0, 0, 0]);
  for (const kept of [second, third])
    assert.ok(
      (await rowsOf(kept)).every(n => n > 0),
      'a hold keeps it, and so does its age',
    );

  const verdict = await verified();
  // Its id says when it began: today. A deletion of what ended 90 days ago does not cover it.
  assert.deepEqual(
    verdict.findings.map(({ code, session }) => [code, session]),
    [['SESSION_MISSING', first]],
  );

  const again = await sallyport('evidence', 'retention', '--run', '--json');
  assert.deepEqual(
    JSON.parse(again.stdout).resources.map((each: { sessions: number; held: number }) => [each.sessions, each.held]),
    [[0, 1]],
  );
  assert.equal((await sallyport('evidence', 'hold', 'release', 'nothing', '--reason', 'x')).code, 1);
  assert.equal((await sallyport('evidence', 'hold', 'release', hold, '--reason', 'case closed')).code, 0);
  assert.equal((await sallyport('evidence', 'retention', '--run')).code, 0);
  assert.deepEqual(await rowsOf(second), [0, 0, 0]);
  const events = await gateway.eventually<{ type: string; reason: string; author: string }>(
    "select type, reason, author from sallyport.control_events where stream = 'retention/log' order by log_offset",
    rows => rows.length === 4,
  );
  assert.deepEqual(
    events.map(({ type, reason }) => [type, reason]),
    [
      ['LegalHoldPlaced', 'case 4711'],
      ['EvidenceExpired', 'asked for'],
      ['LegalHoldReleased', 'case closed'],
      ['EvidenceExpired', 'asked for'],
    ],
  );
});
