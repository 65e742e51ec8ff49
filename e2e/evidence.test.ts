/** Evidence of real sessions, exported and verified; then attacked, in the file and in the session store: each attack is named. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { decodeHead, decodeStatement, encodeHead, encodeStatement, headsRoot, signedBytes } from '@sallyport/shared/evidence/checkpoint.ts';
import { parseLogKey, parseTreeHead, signTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
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
let key = '';
/** A file of everything, before anybody attacked. */
let whole: Line[] = [];
let sessions: string[] = [];

type Line = Record<string, unknown> & { type: string };

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  for (const who of [people.support, people.privacy, people.support]) {
    const { host, port } = gateway.address('crm');
    const ca = readFileSync(gateway.endpoints().ca, 'utf8');
    const password = await issuer.token(who);
    const client = new pg.Client({ host, port, user: 'x', database: 'app', password, ssl: { ca, servername: 'localhost' } });
    await client.connect();
    for (let id = 1; id <= 3; id++) await client.query('select email from customers where id = $1', [id]);
    await client.end();
  }
  await gateway.eventually<{ n: number }>(
    "select count() as n from sallyport.sessions where status = 'ended'",
    rows => Number(rows[0]?.n) === 3,
  );
  // Each end is in a checkpoint a moment later.
  const ids = await gateway.query<{ session_id: string }>('select session_id from sallyport.sessions order by session_id');
  sessions = ids.map(row => row.session_id);
  await gateway.eventually<{ n: number }>(
    `select ${sessions.map(id => `(countIf(position(encoded, '${id}') > 0) > 0)`).join(' + ')} as n from sallyport.record_rows where type = 'checkpoint'`,
    rows => Number(rows[0]?.n) === 3,
  );
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function sallyport(...args: string[]): Promise<Outcome> {
  try {
    return { code: 0, ...(await run(process.execPath, [cli, ...args], { maxBuffer: 1e8 })) };
  } catch (error) {
    const { code, stdout, stderr } = error as Outcome;
    return { code, stdout, stderr };
  }
}

async function exported(...args: string[]): Promise<string> {
  const file = path.join(gateway.dir, `evidence-${files++}.gz`);
  const { code, stderr } = await sallyport('evidence', 'export', ...args, '-o', file, '--data', gateway.data);
  assert.equal(code, 0, stderr);
  key = /key of the control plane: (\S+)/.exec(stderr)?.[1] ?? '';
  return file;
}

interface Verdict {
  ok: boolean;
  scope: object;
  pinned: boolean;
  findings: { code: string; message: string; session?: string; seq?: number; toSeq?: number }[];
  notes: { code: string }[];
  counts: { sessions: number; records: number };
}

async function verified(file: string, ...args: string[]): Promise<Verdict> {
  const { code, stdout, stderr } = await sallyport('evidence', 'verify', file, '--json', '--key', key, ...args);
  assert.notEqual(stdout, '', stderr);
  const verdict = JSON.parse(stdout) as Verdict;
  assert.equal(code, verdict.ok ? 0 : 1);
  // The second verifier, which shares nothing with ours, finds the same of every file that this test makes.
  const other = await second(file, '--key', key, ...args);
  assert.deepEqual(found(other), found(verdict), file);
  assert.equal(other.ok, verdict.ok);
  return verdict;
}

/** docs/verify/verify-evidence.py: with the Python that has `cryptography`, of those that people have. */
async function second(file: string, ...args: string[]): Promise<Verdict> {
  let said = '';
  for (const python of ['python3', '/usr/bin/python3']) {
    const { stdout, stderr } = await run(python, [script, file, ...args], { maxBuffer: 1e8 }).catch((error: unknown) => error as Outcome);
    if (stdout) return JSON.parse(stdout) as Verdict;
    said += stderr;
  }
  throw new Error(`the verifier in Python said nothing: ${said}`);
}

/** Findings without their words, in one order. */
const found = ({ findings, notes }: Verdict) =>
  [
    ...findings.map(({ message: _words, ...finding }) => finding),
    ...notes.filter(({ code }) => code === 'NOT_YET_COVERED').map(({ code }) => ({ code })),
  ]
    .map(finding => JSON.stringify(finding, ['code', 'session', 'seq', 'toSeq', 'ledger', 'number', 'entry']))
    .sort();

const read = (file: string): Line[] =>
  gunzipSync(readFileSync(file))
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Line);

/** Writes lines as a forger would: with a right count at the end. */
function forged(lines: Line[]): string {
  const file = path.join(gateway.dir, `forged-${files++}.gz`);
  const all = lines.map(line => (line.type === 'end' ? { ...line, lines: lines.length } : line));
  writeFileSync(file, gzipSync(`${all.map(line => JSON.stringify(line)).join('\n')}\n`));
  return file;
}

/** What the verifier says of the file of everything after a change. */
async function afterwards(change: (lines: Line[]) => Line[]): Promise<Verdict> {
  return verified(forged(change(structuredClone(whole))));
}

/** Place of record `seq` of a session in the lines. */
const place = (lines: Line[], session: string, seq: number) =>
  lines.findIndex(line => line.type === 'session' && line['session'] === session) + 1 + seq;
const recordsOf = (lines: Line[], session: string) => {
  const start = place(lines, session, 0);
  const end = lines.findIndex((line, index) => index >= start && line.type !== 'record');
  return { start, end };
};
const names = ({ findings }: Verdict) => findings.map(({ code, session, seq }) => [code, session, seq]);

test('a file of everything verifies, offline, with a pinned key; and so do parts', async () => {
  const file = await exported();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  whole = read(file);
  const verdict = await verified(file);
  assert.deepEqual(verdict.findings, []);
  assert.ok(verdict.ok && verdict.pinned);
  // Covered by what the control plane logged, not let off as too new.
  assert.ok(!verdict.notes.some(({ code }) => code === 'NOT_YET_COVERED'));
  const logged = whole.filter(({ value }) => Buffer.from(typeof value === 'string' ? value : '', 'base64').includes('CheckpointsLogged'));
  assert.ok(logged.length > 0);
  assert.equal(verdict.counts.sessions, 3);
  assert.ok(verdict.counts.records > 20);
  assert.deepEqual((await verified(await exported('--session', sessions[1] ?? ''))).findings, []);
  for (const [args, count] of [
    [['--person', 'sam@example.com'], 2],
    [['--resource', 'crm'], 3],
    [['--resource', 'nothing'], 0],
    [['--from', '2100-01-01T00:00:00Z'], 0],
    [['--to', '2100-01-01T00:00:00Z', '--person', 'pia@example.com'], 1],
  ] as const) {
    const part = await verified(await exported(...args));
    assert.deepEqual(part.findings, [], args.join(' '));
    assert.equal(part.counts.sessions, count, args.join(' '));
    assert.equal(Object.keys(part.scope).length, args.length / 2);
  }
  const { code, stdout } = await sallyport('evidence', 'verify', file);
  assert.equal(code, 0);
  assert.match(stdout, /KEY_NOT_PINNED/);
  assert.match(stdout, /sessions of: everything/);
  assert.match(stdout, /complete and unaltered/);
});

test('records altered, missing, cut off, swapped, repeated, of another session', async () => {
  const [first = '', second = ''] = sessions;
  const altered = await afterwards(lines => {
    const line = lines[place(lines, first, 2)] as Line;
    const bytes = Buffer.from(String(line['bytes']), 'base64');
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    line['bytes'] = bytes.toString('base64');
    return lines;
  });
  assert.deepEqual(names(altered), [['RECORD_ALTERED', first, 2]]);
  const missing = await afterwards(lines => lines.toSpliced(place(lines, first, 2), 1));
  assert.deepEqual(names(missing), [['RECORDS_MISSING', first, 2]]);
  const cut = await afterwards(lines => lines.toSpliced(recordsOf(lines, first).end - 2, 2));
  const { start, end } = recordsOf(whole, first);
  assert.deepEqual(names(cut), [['RECORDS_MISSING', first, end - start - 2]]);
  assert.match(cut.findings[0]?.message ?? '', /the end was cut off/);
  const swapped = await afterwards(lines => {
    const at = place(lines, first, 2);
    return lines.toSpliced(at, 2, lines[at + 1] as Line, lines[at] as Line);
  });
  assert.deepEqual(names(swapped), [['RECORD_REORDERED', first, 2]]);
  const repeated = await afterwards(lines => lines.toSpliced(place(lines, first, 4), 0, lines[place(lines, first, 2)] as Line));
  assert.deepEqual(names(repeated), [['RECORD_REPEATED', first, 2]]);
  const foreign = await afterwards(lines => lines.toSpliced(place(lines, first, 4), 0, lines[place(lines, second, 2)] as Line));
  assert.deepEqual(names(foreign), [['RECORD_FOREIGN', first, 2]]);
});

test('a whole session dropped, and the checkpoints that name it', async () => {
  const [first = ''] = sessions;
  const without = (lines: Line[]) => {
    const { start, end } = recordsOf(lines, first);
    return lines.toSpliced(start - 1, end - start + 1);
  };
  assert.deepEqual(names(await afterwards(without)), [['SESSION_MISSING', first, undefined]]);
  const codes = async (change: (lines: Line[]) => Line[]) => new Set((await afterwards(change)).findings.map(({ code }) => code));
  // The first ones, and what only they name.
  const named = (line: Line) => JSON.stringify(line['heads']).length > 2;
  const ending = whole.findIndex(line => line.type === 'checkpoint' && named(line));
  assert.ok((await codes(lines => lines.filter((line, at) => line.type !== 'checkpoint' || at > ending))).has('CHECKPOINT_MISSING'));
  const last = whole.findLastIndex(line => line.type === 'checkpoint' && named(line));
  assert.ok((await codes(lines => without(lines).filter(line => line.type !== 'checkpoint'))).has('CHECKPOINT_MISSING'));
  assert.ok((await codes(lines => lines.toSpliced(last, 1))).has('CHECKPOINT_MISSING'));
  assert.ok((await codes(lines => lines.map((line, at) => (at === last ? { ...line, heads: [] } : line)))).has('HEADS_ALTERED'));
});

test('the verifier in Python is one that can be read in a sitting', () => {
  assert.ok(readFileSync(script, 'utf8').trimEnd().split('\n').length <= 200);
});

test('the control log: an entry altered, taken out, emptied, or all of it left away; a file that was cut', async () => {
  const codes = async (change: (lines: Line[]) => Line[]) => (await afterwards(change)).findings.map(({ code }) => code);
  const entry = (lines: Line[]) => lines.findIndex(line => line.type === 'entry' && 'value' in line);
  assert.ok((await codes(lines => lines.toSpliced(entry(lines), 1))).includes('ENTRY_ALTERED'));
  assert.ok((await codes(lines => lines.filter(line => line.type !== 'entry' && line.type !== 'range'))).includes('ENTRY_ALTERED'));
  assert.ok((await codes(lines => lines.filter(line => ['header', 'end'].includes(line.type)))).includes('TREE_HEAD_FORGED'));
  assert.ok((await codes(lines => lines.slice(0, -1))).includes('FILE_CUT'));
  const file = path.join(gateway.dir, 'cut.gz');
  const bytes = gzipSync(whole.map(line => JSON.stringify(line)).join('\n'));
  writeFileSync(file, bytes.subarray(0, bytes.length - 200));
  assert.ok((await verified(file)).findings.some(({ code }) => code === 'FILE_CUT'));
});

test('heads that are kept: the log goes on from them; not from one that the log never had', async () => {
  const kept = path.join(gateway.dir, 'kept-heads');
  const first = await sallyport('evidence', 'heads', '--keep', kept, '--key', key, '--data', gateway.data);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^sallyport-control-[0-9a-f]+\n\d+\n/);
  assert.equal(readFileSync(kept, 'utf8').trim(), first.stdout.trim());
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  // The log grows.
  const invited = await sallyport('agents', 'invite', '--data', gateway.data);
  assert.equal(invited.code, 0, invited.stderr);
  const again = await sallyport('evidence', 'heads', '--keep', kept, '--data', gateway.data, '--json');
  assert.equal(again.code, 0, again.stderr);
  const shown = JSON.parse(again.stdout) as { ok: boolean; kept: number; head: { size: number; note: string }; findings: unknown[] };
  assert.deepEqual([shown.ok, shown.kept, shown.findings], [true, 1, []]);
  assert.ok(shown.head.size > Number(first.stdout.split('\n')[1]));
  assert.equal(readFileSync(kept, 'utf8').match(/^\u2014 /gm)?.length, 2);
  const file = await exported('--session', sessions[0] ?? '', '--heads', kept);
  assert.deepEqual((await verified(file, '--heads', kept)).findings, []);
  const { stdout } = await sallyport('evidence', 'verify', file, '--key', key, '--heads', kept);
  assert.match(stdout, /goes on from all 2 kept heads/);
  // The control plane's own key signs a head that the log never had: kept by somebody, it tells.
  const parsed = parseTreeHead(shown.head.note)?.head;
  const pinned = parseLogKey(key, sha256);
  assert.ok(parsed !== undefined && pinned !== null);
  const own = createPrivateKey(readFileSync(path.join(gateway.data, 'control-plane', 'pki', 'evidence.key')));
  const other = { ...parsed, root: new Uint8Array(32).fill(1) };
  writeFileSync(
    kept,
    signTreeHead(other, pinned, text => new Uint8Array(sign(null, text, own)), sha256),
  );
  const split = await sallyport('evidence', 'heads', '--keep', kept, '--data', gateway.data);
  assert.equal(split.code, 1);
  assert.match(split.stdout, /^LOG_SPLIT {2}There are two control logs/);
  assert.equal(readFileSync(kept, 'utf8').match(/^\u2014 /gm)?.length, 1, 'nothing is added then');
  assert.deepEqual(
    (await verified(file, '--heads', kept)).findings.map(({ code }) => code),
    ['LOG_SPLIT'],
  );
});

test('the page for people: what was asked and by whom, without anything that could run; forged pages are named', async () => {
  const page = path.join(gateway.dir, 'report.html');
  const file = await exported('--person', 'sam@example.com');
  const { code, stdout, stderr } = await sallyport('evidence', 'verify', file, '--key', key, '--report', page);
  assert.equal(code, 0, stdout + stderr);
  assert.equal(statSync(page).mode & 0o777, 0o600);
  const html = readFileSync(page, 'utf8');
  assert.match(html, /<h2>sam@example\.com on crm<\/h2>/);
  assert.match(html, /<td class="text">select email from customers where id = \$1/);
  assert.match(html, /public\.customers\.email/);
  assert.match(html, /<p>2 sessions\.<\/p>/);
  assert.ok(!html.includes('pia@example.com') && !/<script|https?:/i.test(html));
  const codes = async (change: (line: Line) => Line) =>
    (await afterwards(lines => lines.map(line => (line.type === 'report' ? change(line) : line)))).findings.map(found => found.code);
  assert.deepEqual(await codes(line => line), []);
  assert.deepEqual(await codes(line => ({ ...line, html: String(line['html']).replace('sam@', 'pia@') })), ['REPORT_FORGED']);
  // One that the control plane did sign, for another file.
  const other = read(file).find(line => line.type === 'report');
  assert.ok(other !== undefined);
  assert.deepEqual(await codes(() => other), ['REPORT_FORGED']);
  const again = await sallyport('evidence', 'verify', file, '--key', key, '--report', page);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /cannot be written/);
});

test('keys of one’s own do not help', async () => {
  const own = generateKeyPairSync('ed25519').privateKey;
  const bySelf = (message: Uint8Array) => new Uint8Array(sign(null, message, own));
  const head = await afterwards(lines =>
    lines.map(line => {
      if (line.type !== 'tree-head') return line;
      const parsed = parseTreeHead(String(line['note']));
      assert.ok(parsed !== null);
      const publicKey = new Uint8Array(32).fill(7);
      return { ...line, note: signTreeHead(parsed.head, { origin: parsed.head.origin, publicKey }, bySelf, sha256) };
    }),
  );
  assert.ok(head.findings.some(({ code }) => code === 'TREE_HEAD_FORGED'));
  // A checkpoint that says that a session had fewer records.
  const checkpoint = await afterwards(lines =>
    lines.map(line => {
      if (line.type !== 'checkpoint' || !Array.isArray(line['heads']) || line['heads'].length === 0) return line;
      const statement = decodeStatement(Buffer.from(String(line['statement']), 'base64'));
      const heads = line['heads'].map(each => decodeHead(Buffer.from(String(each), 'base64')));
      assert.ok(statement !== null);
      const encoded = heads.map(each => {
        assert.ok(each !== null);
        return encodeHead({ ...each, records: each.records - 1 });
      });
      const bytes = encodeStatement({ ...statement, headsRoot: headsRoot(encoded, sha256) });
      const text = (value: Uint8Array) => Buffer.from(value).toString('base64');
      return { ...line, statement: text(bytes), signature: text(bySelf(signedBytes(bytes))), heads: encoded.map(text) };
    }),
  );
  assert.ok(checkpoint.findings.some(({ code }) => code === 'CHECKPOINT_FORGED'));
});

test('what is done to the session store is in the next file, and named', async () => {
  const [first = '', second = '', third = ''] = sessions;
  const store = (sql: string) => gateway.query(`ALTER TABLE sallyport.record_rows ${sql} SETTINGS mutations_sync = 1`);
  await store(`UPDATE encoded = replaceOne(encoded, 'customers', 'customerz') WHERE session_id = '${first}' AND type = 'command'`);
  await store(`DELETE WHERE session_id = '${second}' AND seq >= 3`);
  await gateway.query(`ALTER TABLE sallyport.session_rows DELETE WHERE session_id = '${third}' SETTINGS mutations_sync = 1`);
  await store(`DELETE WHERE session_id = '${third}'`);
  const verdict = await verified(await exported());
  const found = (code: string, session: string) => verdict.findings.some(finding => finding.code === code && finding.session === session);
  assert.ok(found('RECORD_ALTERED', first), JSON.stringify(verdict.findings));
  assert.ok(found('RECORDS_MISSING', second));
  assert.ok(found('SESSION_MISSING', third));
  assert.equal(verdict.ok, false);
});

test('mistakes are told', async () => {
  for (const [args, expected] of [
    [['export', '--from', 'yesterday', '-o', path.join(gateway.dir, 'x.gz'), '--data', gateway.data], /is no time/],
    [['export', '-o', path.join(gateway.data, 'endpoints.json'), '--data', gateway.data], /cannot be written/],
    [['verify', path.join(gateway.dir, 'nothing.gz')], /cannot be read/],
    [['verify', path.join(gateway.dir, 'nothing.gz'), '--key', 'x'], /cannot be read|is no key/],
  ] as const) {
    const { code, stderr } = await sallyport('evidence', ...args);
    assert.notEqual(code, 0);
    assert.match(stderr, expected);
  }
});
