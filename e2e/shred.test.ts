/**
 * Contents of erasable sessions: in no copy of the records readable, shown to those who may see them, and gone for good when two have
 * said so; the evidence verifies before and after.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { filesBelow, holding } from './components/folder.ts';
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
/** Ingest steps back for everybody else on a busy machine. */
const PATIENCE_MS = 180_000;

const policies = `apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: erasable }
spec: { resources: { names: [crm] }, erasable: true }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [privacy-office] } }
`;

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function sallyport(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args], { maxBuffer: 1e8, env: { ...process.env, ...env } })) };
  } catch (error) {
    return error as Outcome;
  }
}
const asAdmin = (...args: string[]) => sallyport([...args, '--data', gateway.data]);
const as = async (who: (typeof people)[keyof typeof people], ...args: string[]) =>
  sallyport([...args, '--api', gateway.endpoints().api], { SALLYPORT_TOKEN: await issuer.token(who) });

/** Somebody else of the same group. */
const ann = { sub: 'u-9', email: 'ann@example.com', groups: ['support'] };

async function use(who: typeof people.support, canary: string): Promise<void> {
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const password = await issuer.token(who);
  const client = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl: { ca, servername: 'localhost' } });
  await client.connect();
  const { rows } = await client.query('select $1::text as said, id + 7000000 as number from customers where id = 2', [canary]);
  assert.deepEqual(rows, [{ said: canary, number: 7_000_002 }]);
  await assert.rejects(client.query('select item::int from orders where id = 1'), /invalid input syntax/);
  await client.end();
}

interface Session {
  session_id: string;
  principal: string;
  key: string;
}
const sessionsSql = `select session_id, principal, JSONExtractString(r.body, 'contentKeyId') as key from sallyport.sessions as s
  join (select session_id, body from sallyport.records where type = 'session_started') as r using session_id where status = 'ended' order by session_id`;
const ended = (n: number) => gateway.eventually<Session>(sessionsSql, rows => rows.length === n, PATIENCE_MS);

interface Details {
  parameters: string[];
  responseHead: string;
  responseSha256: string;
  errorText: string;
  contentsGone?: string;
}
/** The two commands of a session, as the API shows them. */
async function details(session: string): Promise<Details[]> {
  const { api, adminToken } = gateway.endpoints();
  const commands = await gateway.query<{ seq: string }>(`select seq from sallyport.commands where session_id = '${session}' order by seq`);
  return Promise.all(
    commands.map(async ({ seq }) => {
      const response = await fetch(`${api}/v1/sessions/${session}/commands/${seq}`, { headers: { authorization: `Bearer ${adminToken}` } });
      assert.equal(response.status, 200);
      return (await response.json()) as Details;
    }),
  );
}

/** Files of the data folder, but those of the store, which are compressed, that hold a text. */
const filesWith = (text: string) => holding(filesBelow(gateway.data, ['session-store']), text);

/** How many rows of all tables hold a text. */
async function rowsWith(text: string): Promise<number> {
  const [row] = await gateway.query<{ n: string }>(
    `select (select countIf(position(body, '${text}') > 0 or position(encoded, '${text}') > 0) from sallyport.record_rows)
       + (select countIf(position(response_head, '${text}') > 0 or position(arrayStringConcat(parameters), '${text}') > 0 or position(error_text, '${text}') > 0)
          from sallyport.command_revisions) as n`,
  );
  return Number(row?.n);
}

interface Verdict {
  findings: unknown[];
  notes: { code: string; message?: string; sessions?: number; confirmedBy?: string }[];
}
async function verified(): Promise<{ ours: Verdict; theirs: Verdict; keys: Map<string, unknown> }> {
  const file = path.join(gateway.dir, `evidence-${files++}.gz`);
  const exported = await asAdmin('evidence', 'export', '-o', file);
  assert.equal(exported.code, 0, exported.stderr);
  const key = /key of the control plane: (\S+)/.exec(exported.stderr)?.[1] ?? '';
  const said = await sallyport(['evidence', 'verify', file, '--json', '--key', key]);
  const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
  const sessions = lines.filter(line => line.startsWith('{"type":"session"')).map(line => JSON.parse(line) as Record<string, string>);
  const keys = new Map(sessions.map(line => [line['session'] ?? '', line['contentKey']]));
  for (const python of ['python3', '/usr/bin/python3']) {
    const { stdout } = await run(python, [script, file, '--key', key]).catch((error: unknown) => error as Outcome);
    if (stdout) return { ours: JSON.parse(said.stdout) as Verdict, theirs: JSON.parse(stdout) as Verdict, keys };
  }
  throw new Error('the verifier in Python said nothing');
}

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }), 'policies.yaml': policies },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

test('contents are readable in no copy, shown on demand, and gone when two have said so', async () => {
  await gateway.eventually<{ n: string }>(
    "select count() as n from sallyport.control_events where type = 'ContentKeyMade'",
    rows => Number(rows[0]?.n) === 1,
    PATIENCE_MS,
  );
  // The agent has it a moment later; until then contents are left out, and nothing is readable either.
  for (let n = 1; ; n++) {
    await use(people.support, 'canary-early');
    const sessions = await ended(n);
    if (sessions.at(-1)?.key !== 'none') break;
    const [first] = await details(sessions.at(-1)?.session_id ?? '');
    assert.match(first?.contentsGone ?? '', /not recorded/);
    await delay(200);
  }
  const early = (await gateway.query<Session>(sessionsSql)).length;
  await use(people.support, 'canary-of-sam');
  await use(ann, 'canary-of-ann');
  const sessions = await ended(early + 2);
  const [sam, other] = [sessions.at(-2), sessions.at(-1)].map(each => each?.session_id ?? '') as [string, string];
  for (const text of ['canary-', '7000002', 'integer: "item']) {
    assert.deepEqual(filesWith(text), []);
    assert.equal(await rowsWith(text), 0);
  }
  assert.ok(filesWith('as said, id + 7000000').length > 0, 'what was asked is readable there: contents would be, too');
  for (const [session, canary] of [
    [sam, 'canary-of-sam'],
    [other, 'canary-of-ann'],
  ] as const) {
    const [first, second] = await details(session);
    assert.deepEqual(first?.parameters, [canary]);
    assert.match(first.responseHead, new RegExp(`${canary}[^]*7000002`));
    assert.match(second?.errorText ?? '', /invalid input syntax/);
    assert.equal(first.contentsGone, undefined);
  }
  // The end of each is in a checkpoint a moment later.
  await gateway.eventually<{ n: string }>(
    `select countIf(position(encoded, '${other}') > 0) as n from sallyport.record_rows where type = 'checkpoint'`,
    rows => Number(rows[0]?.n) > 0,
    PATIENCE_MS,
  );
  const whole = await verified();
  assert.deepEqual([whole.ours.findings, whole.theirs.findings], [[], []]);
  assert.match(String(whole.keys.get(sam)), /^[A-Za-z0-9+/]{43}=$/);

  const ask = ['evidence', 'shred', '--person', 'sam@example.com', '--reason', 'erasure request 12'];
  const hold = await asAdmin('evidence', 'hold', 'place', '--person', 'sam@example.com', '--reason', 'case 4711');
  const refused = await asAdmin(...ask);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /[Ll]egal holds/);
  assert.equal((await as(people.privacy, ...ask)).code, 1, 'an auditor does not ask');
  assert.equal((await asAdmin('evidence', 'hold', 'release', hold.stdout.trim(), '--reason', 'closed')).code, 0);
  const asked = await asAdmin(...ask);
  assert.equal(asked.code, 0, asked.stderr);
  const id = asked.stdout.trim();
  const alone = await asAdmin('evidence', 'shred', '--confirm', id);
  assert.equal(alone.code, 1, 'who asked cannot confirm');
  assert.match(alone.stderr, /shredded by two/);
  assert.equal((await details(sam))[0]?.contentsGone, undefined);
  const again = await asAdmin('evidence', 'hold', 'place', '--session', sam, '--reason', 'another case');
  assert.match((await as(people.privacy, 'evidence', 'shred', '--confirm', id)).stderr, /[Ll]egal holds are about 1 sessions/);
  assert.equal((await asAdmin('evidence', 'hold', 'release', again.stdout.trim(), '--reason', 'closed')).code, 0);
  const done = await as(people.privacy, 'evidence', 'shred', '--confirm', id, '--now');
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /can be read no more/);

  const [gone] = await details(sam);
  assert.deepEqual([gone?.parameters, gone?.responseHead, gone?.responseSha256, gone?.errorText], [[], '', '', '']);
  assert.match(gone?.contentsGone ?? '', /^shredded at .* asked for by admin, confirmed by pia@example\.com: erasure request 12$/);
  assert.deepEqual((await details(other))[0]?.parameters, ['canary-of-ann'], 'others stay');
  // What could open the shredded ones is nowhere any more: neither their keys, nor the key that these were sealed to.
  const kept = await gateway.query<{ session_id: string }>('select session_id from sallyport.content_keys');
  assert.deepEqual(
    kept.map(({ session_id }) => session_id),
    [other],
  );
  const sealing = await gateway.query<{ id: string }>('select id from sallyport.content_sealing_keys');
  assert.equal(sealing.length, 1);
  assert.ok(!sessions.some(({ key }) => key === sealing[0]?.id));

  const after = await verified();
  assert.deepEqual([after.ours.findings, after.theirs.findings], [[], []]);
  const note = after.ours.notes.find(({ code }) => code === 'SHREDDED');
  assert.match(
    note?.message ?? '',
    new RegExp(`^The contents of ${early + 1} sessions of sam@example\\.com were shredded at .* by pia@example\\.com`),
  );
  const theirs = after.theirs.notes.find(({ code }) => code === 'SHREDDED');
  assert.deepEqual([theirs?.sessions, theirs?.confirmedBy], [early + 1, 'pia@example.com']);
  assert.equal(after.keys.get(sam), undefined);
  assert.ok(typeof after.keys.get(other) === 'string');
  const listed = await asAdmin('evidence', 'shred');
  assert.match(listed.stdout, /sam@example\.com .*pia@example\.com +erasure request 12/);

  // What comes later is sealed to the new key, and can be read.
  for (let n = early + 3; ; n++) {
    await use(people.support, 'canary-later');
    const latest = (await ended(n)).at(-1);
    const [first] = await details(latest?.session_id ?? '');
    if (latest?.key !== sealing[0]?.id) {
      await delay(200);
      continue;
    }
    assert.deepEqual(first?.parameters, ['canary-later']);
    break;
  }
  assert.deepEqual(filesWith('canary-'), []);
});
