/**
 * Files that hold a part of a long log, and heads that were kept elsewhere: what the exporter leaves out, that nothing can be left out
 * besides, and that whoever holds the control plane's own key cannot take back what he showed. The verifier in Python agrees each time.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { sha256, signEd25519, verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { base64, fromBase64 } from '@sallyport/shared/evidence/base64.ts';
import { decodeStatement } from '@sallyport/shared/evidence/checkpoint.ts';
import { controlLeaf } from '@sallyport/shared/evidence/control-leaf.ts';
import { checkKeptHeads } from '@sallyport/shared/evidence/kept-heads.ts';
import { MerkleTree } from '@sallyport/shared/evidence/merkle.ts';
import { parseLogKey, parseTreeHead, signTreeHead, splitNotes } from '@sallyport/shared/evidence/tree-head.ts';
import { EvidenceVerifier } from '@sallyport/shared/evidence/verify.ts';
import type { EvidenceScope } from './evidence-export.ts';
import { Installation, type Line } from './installation.testing.ts';

const run = promisify(execFile);
const script = path.join(import.meta.dirname, '..', '..', 'docs', 'verify', 'verify-evidence.py');
const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-parts-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const DAY = 86_400_000;
const START = Date.UTC(2026, 2, 1);

/** Forty days of two agents with a session a day each; sam on even days. */
function fortyDays(): { installation: Installation; ids: string[] } {
  const installation = new Installation(START);
  const agents = [installation.agent('one'), installation.agent('two')];
  const ids: string[] = [];
  for (let day = 0; day < 40; day++) {
    installation.nowMs = START + day * DAY;
    installation.log('role/support', 'RoleApplied', { day });
    for (const agent of agents) ids.push(installation.session(agent, day % 2 === 0 ? 'sam@example.com' : 'pia@example.com', agent.id));
  }
  installation.nowMs += DAY;
  return { installation, ids };
}

let files = 0;
interface Verdict {
  ok: boolean;
  findings: { code: string; message?: string; session?: string; entry?: number; number?: number }[];
  notes: { code: string; message: string }[];
}

/** Both verifiers over the lines, as a forger would write them: with a right count at the end. */
async function verified(installation: Installation, lines: Line[], heads: string[] = []): Promise<Verdict> {
  const key = parseLogKey(installation.tree.verifierKey, sha256);
  assert.ok(key !== null);
  const texts = lines.map(line => JSON.stringify(line.type === 'end' ? { ...line, lines: lines.length } : line));
  const verifier = new EvidenceVerifier({ sha256, verifyEd25519, key, heads });
  for (const text of texts) await verifier.take(text);
  const report = await verifier.finish();
  const file = path.join(dir, `${files++}.gz`);
  writeFileSync(file, gzipSync(`${texts.join('\n')}\n`));
  writeFileSync(`${file}.heads`, heads.join('\n'));
  const args = [file, '--key', installation.tree.verifierKey, ...(heads.length === 0 ? [] : ['--heads', `${file}.heads`])];
  const other = await second(args);
  assert.deepEqual(sorted(other), sorted(report));
  assert.deepEqual(noted(other), noted(report));
  return report;
}

async function second(args: string[]): Promise<Verdict> {
  let said = '';
  for (const python of ['python3', '/usr/bin/python3']) {
    const { stdout, stderr } = await run(python, [script, ...args]).catch((error: unknown) => error as { stdout: string; stderr: string });
    if (stdout) return JSON.parse(stdout) as Verdict;
    said += stderr;
  }
  throw new Error(`the verifier in Python said nothing: ${said}`);
}

const sorted = ({ findings }: Verdict) =>
  findings.map(({ message: _words, ...rest }) => JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)))).sort();
/** Both say so of the same things. */
const noted = ({ notes }: Verdict) =>
  notes
    .map(({ code }) => code)
    .filter(code => code === 'SHREDDED' || code === 'NOT_YET_COVERED')
    .sort();
const codes = ({ findings }: Verdict) => [...new Set(findings.map(({ code }) => code))];
const count = (lines: Line[], type: string) => lines.filter(line => line.type === type).length;

test('a file of late sessions leaves out what came before, and proves that this is all right', async () => {
  const { installation, ids } = fortyDays();
  const whole = await installation.lines({});
  assert.deepEqual((await verified(installation, whole)).findings, []);
  assert.equal(count(whole, 'entry'), installation.tree.size);
  const from = new Date(START + 37 * DAY - 1000).toISOString();
  const parts: [EvidenceScope, number][] = [
    [{ from }, 6],
    [{ from, person: 'sam@example.com' }, 2],
    [{ from, resource: 'agent-two' }, 3],
    [{ sessions: [ids.at(-1) ?? ''] }, 1],
  ];
  for (const [scope, sessions] of parts) {
    const part = await installation.lines(scope);
    assert.deepEqual((await verified(installation, part)).findings, [], JSON.stringify(scope));
    assert.equal(count(part, 'session'), sessions);
    assert.ok(count(part, 'entry') < 16, `${count(part, 'entry')} entries`);
    assert.ok(count(part, 'checkpoint') < 12);
  }
  // An old one needs what came after it: an agent may have been cut off for long before it could say what it has.
  const early = await installation.lines({ from: new Date(START + DAY).toISOString(), to: new Date(START + 2 * DAY).toISOString() });
  assert.deepEqual((await verified(installation, early)).findings, []);
});

test('no more can be left out than that', async () => {
  const { installation, ids } = fortyDays();
  const from = new Date(START + 37 * DAY - 1000).toISOString();
  const lines = await installation.lines({ from });
  const { size } = installation.tree;
  const main = lines.findLastIndex(line => line.type === 'range');
  const begin = Number(lines[main]?.['from']);
  /** As a forger with the whole log could: a right proof of a smaller range. */
  const later = (by: number) => {
    const range = { ...lines[main], from: begin + by, proof: installation.tree.tree.rangeProof(begin + by, size).map(base64) } as Line;
    return lines.toSpliced(main, 1 + by, range);
  };
  assert.deepEqual(codes(await verified(installation, later(3))), ['ENTRY_ALTERED']);
  // A session of today that is taken out with the checkpoints that name it.
  const dropped = lines.filter((line, at) => line.type !== 'checkpoint' || at > lines.findIndex(({ type }) => type === 'checkpoint') + 1);
  assert.ok(codes(await verified(installation, dropped)).includes('CHECKPOINT_MISSING'));
  // The end of the log, with a right proof.
  const cut = { ...lines[main], to: size - 2, proof: installation.tree.tree.rangeProof(begin, size - 2).map(base64) } as Line;
  const last = lines.findLastIndex(line => line.type === 'entry');
  assert.ok(codes(await verified(installation, lines.toSpliced(main, 1, cut).toSpliced(last - 1, 2))).includes('ENTRY_ALTERED'));
  // A key that is not in the file.
  const joined = lines.findIndex(line => line.type === 'range');
  assert.ok(joined < main);
  assert.ok(codes(await verified(installation, lines.toSpliced(joined, 2))).includes('KEY_UNKNOWN'));
  // The scope of one file on another.
  const other = await installation.lines({ sessions: [ids.at(-1) ?? ''] });
  const widened = other.map(line => (line.type === 'header' ? { ...line, scope: { from } } : line));
  assert.deepEqual(codes(await verified(installation, widened)).sort(), ['CHECKPOINT_MISSING', 'ENTRY_ALTERED', 'SESSION_MISSING']);
});

/** The log as it was, written anew by who holds the key: `change` may alter, add and take out entries. */
function rewritten(installation: Installation, lines: Line[], change: (entries: Line[]) => Line[], atMs: number): Line[] {
  const entries = change(lines.filter(line => line.type === 'entry'));
  const tree = new MerkleTree(sha256);
  for (const { value, stream, event, sha256: hash } of entries) {
    if (typeof value !== 'string') tree.append(controlLeaf(String(stream), String(event), fromBase64(String(hash)) ?? new Uint8Array(0)));
    else {
      const bytes = fromBase64(value) ?? new Uint8Array(0);
      tree.append(controlLeaf('checkpoint/log', 'CheckpointsLogged', sha256(bytes)));
    }
  }
  const { origin } = installation.tree.key;
  const head = { origin, size: tree.size, root: tree.root(), at: new Date(atMs).toISOString() };
  const note = signTreeHead(head, installation.tree.key, text => signEd25519(installation.controlKey, text), sha256);
  const rest = lines.filter(line => !['entry', 'range', 'tree-head', 'header', 'report'].includes(line.type));
  return [lines[0] as Line, { type: 'tree-head', note }, { type: 'range', from: 0, to: entries.length, proof: [] }, ...entries, ...rest];
}

test('heads that somebody kept: a log that was rolled back, and one of two that are shown', async () => {
  const installation = new Installation(START);
  for (let day = 0; day < 5; day++) installation.log('role/support', 'RoleApplied', { day });
  const early = installation.tree.head().note;
  for (let day = 5; day < 12; day++) installation.log('role/support', 'RoleApplied', { day });
  installation.nowMs += DAY;
  const kept = installation.tree.head().note;
  installation.log('role/support', 'RoleRemoved', {});
  installation.nowMs += DAY;
  const honest = await installation.lines({});
  assert.deepEqual((await verified(installation, honest, [early, kept])).findings, []);

  const back = rewritten(installation, honest, entries => entries.slice(0, 9), installation.nowMs);
  assert.deepEqual((await verified(installation, back)).findings, [], 'who holds the key can do this');
  const rolled = await verified(installation, back, [early, kept]);
  assert.deepEqual(codes(rolled), ['LOG_ROLLED_BACK']);
  assert.match(rolled.findings[0]?.message ?? '', /was rolled back: the kept head of 2026-03-02T00:00:00.000Z \(12 entries\).*: 9 entries/);
  // With an earlier time in the head it does not pass either.
  const dated = rewritten(installation, honest, entries => entries.slice(0, 9), START + 1000);
  assert.deepEqual(codes(await verified(installation, dated, [early, kept])), ['FILE_OLDER']);

  const swap = (entries: Line[]) => entries.map((line, at) => (at === 7 ? { ...line, sha256: base64(sha256(Uint8Array.of(1))) } : line));
  const split = rewritten(installation, honest, swap, installation.nowMs);
  assert.deepEqual((await verified(installation, split)).findings, []);
  const shown = await verified(installation, split, [early, kept]);
  assert.deepEqual(codes(shown), ['LOG_SPLIT']);
  assert.equal(shown.findings.length, 1, 'the earlier head is still a beginning of both');
  assert.deepEqual(codes(await verified(installation, honest, [kept.replace('\n12\n', '\n11\n')])), ['KEPT_HEAD_FORGED']);
  assert.deepEqual(codes(await verified(installation, honest, [])), []);
});

test('heads and a file that holds only a part of the log', async () => {
  const { installation } = fortyDays();
  const from = new Date(START + 37 * DAY - 1000).toISOString();
  const kept = installation.tree.head().note;
  const size = parseTreeHead(kept)?.head.size ?? 0;
  installation.log('role/support', 'RoleRemoved', {});
  installation.nowMs += 10_000;
  const part = await installation.lines({ from }, [size]);
  assert.deepEqual((await verified(installation, part, [kept])).findings, []);
  assert.deepEqual(codes(await verified(installation, await installation.lines({ from }), [kept])), ['HEAD_UNPROVEN']);
  const altered = part.map(line => (line.type === 'consistency' ? { ...line, proof: (line['proof'] as string[]).toReversed() } : line));
  assert.deepEqual(codes(await verified(installation, altered, [kept])), ['LOG_SPLIT']);
});

test('a witness finds it without any file: what is shown now against what was shown', async () => {
  const installation = new Installation(START);
  for (let day = 0; day < 5; day++) installation.log('role/support', 'RoleApplied', { day });
  const kept = [installation.tree.head().note];
  installation.log('role/support', 'RoleRemoved', {});
  installation.nowMs += DAY;
  const shown = installation.export().shownHead([5]);
  const key = parseLogKey(shown.key, sha256);
  assert.ok(key !== null);
  const crypto = { sha256, verifyEd25519 };
  assert.deepEqual((await checkKeptHeads(shown, splitNotes(`${kept.join('\n')}\n`), key, crypto)).findings, []);
  const other = new Installation(START);
  const bySame = (head: Parameters<typeof signTreeHead>[0]) =>
    signTreeHead(head, key, text => signEd25519(installation.controlKey, text), sha256);
  for (let day = 0; day < 7; day++) other.log('role/support', 'RoleApplied', { other: day });
  const { size, root } = other.tree.head();
  const note = bySame({ origin: key.origin, size, root, at: shown.head.at });
  const forged = { ...other.export().shownHead([5]), key: shown.key, head: { ...shown.head, note } };
  assert.deepEqual(
    (await checkKeptHeads(forged, kept, key, crypto)).findings.map(({ code }) => code),
    ['LOG_SPLIT'],
  );
  const short = bySame({ origin: key.origin, size: 3, root: installation.tree.tree.root(3), at: shown.head.at });
  const rolled = await checkKeptHeads({ ...shown, head: { ...shown.head, note: short }, consistency: [] }, kept, key, crypto);
  assert.deepEqual(
    rolled.findings.map(({ code }) => code),
    ['LOG_ROLLED_BACK'],
  );
});

test('sessions that were deleted by right, as the log says, are noted; others are missing', async () => {
  const { installation, ids } = fortyDays();
  const expiry = { resource: 'agent-one', policies: ['keep'], beforeMs: START + 10 * DAY, sessions: 10, holds: [] };
  const of = ids.filter((_id, at) => at % 2 === 0);
  const early = await verified(installation, without(await installation.lines({}), of.slice(0, 10)));
  assert.deepEqual(codes(early), ['SESSION_MISSING']);
  installation.log('retention/log', 'EvidenceExpired', expiry);
  const lines = await installation.lines({});
  const good = await verified(installation, without(lines, of.slice(0, 10)));
  assert.deepEqual(good.findings, []);
  assert.match(good.notes.find(({ code }) => code === 'EXPIRED')?.message ?? '', /^10 sessions .* agent-one before 2026-03-11/);
  // A younger one, and one on another resource, are not covered by it.
  for (const taken of [of[10] ?? '', ids[1] ?? '']) {
    const verdict = await verified(installation, without(lines, [...of.slice(0, 10), taken]));
    assert.deepEqual(
      verdict.findings.map(({ code, session }) => [code, session]),
      [['SESSION_MISSING', taken]],
    );
  }
});

/** Lines without some sessions, as somebody would leave them out who can write the store and the file. */
function without(lines: Line[], gone: readonly string[]): Line[] {
  let isGone = false;
  return lines.filter(line => {
    if (line.type === 'session') isGone = gone.includes(String(line['session']));
    else if (line.type !== 'record') isGone = false;
    return !isGone;
  });
}

test('what says that it is of the future is not new, and what began long ago is not either', async () => {
  const installation = new Installation(START);
  const agent = installation.agent('one');
  installation.session(agent, 'sam@example.com', 'crm');
  const madeMs = START + 30 * DAY;
  // A session that no checkpoint names, put into the store: with times of next year.
  installation.nowMs = madeMs + 365 * DAY;
  const future = installation.record('sam@example.com', 'crm', 'select 1').sessionId;
  // One whose id is old, and whose records say that they are of now.
  installation.nowMs = START + DAY;
  const old = installation.record('sam@example.com', 'crm', 'select 1', 1, madeMs).sessionId;
  // One that is new indeed.
  installation.nowMs = madeMs - 1000;
  installation.record('sam@example.com', 'crm', 'select 1');
  installation.nowMs = madeMs;
  const verdict = await verified(installation, await installation.lines({}));
  assert.deepEqual(
    verdict.findings.map(({ code, session }) => `${code} ${session}`).sort(),
    [`SESSION_UNPROVEN ${old}`, `SESSION_UNPROVEN ${future}`].sort(),
  );
  assert.equal(verdict.notes.filter(({ code }) => code === 'NOT_YET_COVERED').length, 1);
  // Nor can a checkpoint of the future wait for its entry for ever.
  installation.nowMs = madeMs + 365 * DAY;
  installation.checkpoint(agent, [], false);
  const other = installation.agent('two');
  installation.checkpoint(other, [], false);
  installation.nowMs = madeMs;
  assert.ok(codes(await verified(installation, await installation.lines({}))).includes('CHECKPOINT_UNLOGGED'));
});

test('records behind the last checkpoint: all of them must be new, not only the last', async () => {
  const installation = new Installation(START);
  const agent = installation.agent('one');
  const head = installation.record('sam@example.com', 'crm', 'select 1', 3);
  installation.checkpoint(agent, [{ ...installation.headAt(head.sessionId, 4), ended: false }]);
  installation.nowMs += 10_000;
  assert.deepEqual(codes(await verified(installation, await installation.lines({}))), []);
  installation.nowMs += DAY;
  assert.deepEqual(codes(await verified(installation, await installation.lines({}))), ['SESSION_UNPROVEN']);
  const lines = await installation.lines({});
  const last = lines.findLastIndex(({ type }) => type === 'record');
  const forged = installation.restamped(String(lines[last]?.['bytes']), installation.nowMs);
  assert.deepEqual(codes(await verified(installation, lines.with(last, { type: 'record', bytes: forged }))), ['SESSION_UNPROVEN']);
});

test('legal holds: what one is about has not expired, whatever the log says was deleted', async () => {
  const about: [string, Record<string, string>, number[]][] = [
    ['a person', { person: 'sam@example.com' }, [0, 4]],
    ['a resource', { resource: 'agent-one' }, [0, 2, 4]],
    ['a person on a resource', { person: 'pia@example.com', resource: 'agent-one' }, [2]],
    ['another resource', { resource: 'agent-two' }, []],
  ];
  for (const [what, subject, held] of about) {
    const { installation, ids } = fortyDays();
    const gone = [0, 2, 4].map(at => ids[at] ?? '');
    installation.log('retention/log', 'LegalHoldPlaced', { id: 'h', ...subject, reason: 'x', placedAtMs: 0 });
    installation.log('retention/log', 'EvidenceExpired', expired(START + 10 * DAY, ['h']));
    const verdict = await verified(installation, without(await installation.lines({}), gone));
    assert.deepEqual(
      verdict.findings.map(({ code, session }) => `${code} ${session}`).sort(),
      held.map(at => `SESSION_MISSING ${ids[at]}`),
      what,
    );
  }
});

const expired = (beforeMs: number, holds: string[]) => ({ resource: 'agent-one', policies: ['keep'], beforeMs, sessions: 1, holds });

test('a hold on one session; released, it frees; one that the deletion does not name counts all the same', async () => {
  const { installation, ids } = fortyDays();
  const gone = [ids[0] ?? ''];
  const missing = async () => codes(await verified(installation, without(await installation.lines({}), gone)));
  installation.log('retention/log', 'LegalHoldPlaced', { id: 'h', session: gone[0], reason: 'x', placedAtMs: 0 });
  installation.log('retention/log', 'EvidenceExpired', expired(START + 10 * DAY, []));
  assert.deepEqual(await missing(), ['SESSION_MISSING']);
  // An entry that lost its race releases nothing.
  installation.log('retention/log', 'LegalHoldReleased', { id: 'h' }, 1n);
  installation.log('retention/log', 'EvidenceExpired', expired(START + 10 * DAY, ['h']));
  assert.deepEqual(await missing(), ['SESSION_MISSING']);
  // A deletion in a stream where holds do not count is none.
  installation.log('retention/other', 'EvidenceExpired', expired(START + 10 * DAY, []));
  assert.deepEqual(await missing(), ['SESSION_MISSING']);
  installation.log('retention/log', 'LegalHoldReleased', { id: 'h' });
  assert.deepEqual(await missing(), ['SESSION_MISSING'], 'it was deleted while the hold was in force');
  installation.log('retention/log', 'EvidenceExpired', expired(START + 10 * DAY, []));
  assert.deepEqual(await missing(), []);
});

test('holds from before the entries that a file has are in it, and are missed when they are taken out', async () => {
  const installation = new Installation(START);
  const agent = installation.agent('one');
  installation.log('retention/log', 'LegalHoldPlaced', { id: 'h', person: 'sam@example.com', reason: 'x', placedAtMs: 0 });
  installation.log('role/support', 'RoleApplied', {});
  installation.nowMs += 10 * DAY;
  installation.session(agent, 'pia@example.com', 'agent-one');
  installation.nowMs += 10 * DAY;
  const from = new Date(installation.nowMs - 1000).toISOString();
  const sam = installation.session(agent, 'sam@example.com', 'agent-one');
  const pia = installation.session(agent, 'pia@example.com', 'agent-one');
  installation.nowMs += 10 * DAY;
  installation.log('retention/log', 'EvidenceExpired', expired(installation.nowMs - DAY, ['h']));
  const lines = without(await installation.lines({ from }), [sam, pia]);
  assert.ok(count(lines, 'entry') < installation.tree.size);
  const verdict = await verified(installation, lines);
  assert.deepEqual(
    verdict.findings.map(({ code, session }) => [code, session]),
    [['SESSION_MISSING', sam]],
  );
  const placed = lines.findIndex(({ value }) => typeof value === 'string' && Buffer.from(value, 'base64').includes('LegalHoldPlaced'));
  assert.deepEqual(codes(await verified(installation, lines.toSpliced(placed - 1, 2))), ['ENTRY_ALTERED']);
});

test('what ended later than a deletion says, or never, was not deleted by it', async () => {
  const installation = new Installation(START);
  const agent = installation.agent('one');
  const long = installation.record('sam@example.com', 'agent-one', 'select 1', 5);
  const never = installation.record('sam@example.com', 'agent-one', 'select 1', 5);
  installation.checkpoint(
    agent,
    [long, never].map(({ sessionId }) => ({ ...installation.headAt(sessionId, 3), ended: false })),
  );
  installation.nowMs += 50 * DAY;
  installation.checkpoint(agent, [long]);
  installation.nowMs += DAY;
  installation.log('retention/log', 'EvidenceExpired', expired(START + 20 * DAY, []));
  const verdict = await verified(installation, without(await installation.lines({}), [long.sessionId, never.sessionId]));
  assert.deepEqual(
    verdict.findings.map(({ code, session }) => [code, session]),
    [
      ['SESSION_MISSING', long.sessionId],
      ['SESSION_MISSING', never.sessionId],
    ],
  );
});

test('a session has one ledger: another agent cannot give it another history, nor its own agent take one back', async () => {
  const setUp = () => {
    const installation = new Installation(START);
    const [one, two] = [installation.agent('one'), installation.agent('two')] as const;
    const head = installation.record('sam@example.com', 'crm', 'select 1', 5);
    return { installation, one, two, head, at: (records: number) => ({ ...installation.headAt(head.sessionId, records), ended: false }) };
  };
  const judged = async (installation: Installation) => {
    installation.nowMs += DAY;
    return (await verified(installation, await installation.lines({}))).findings.map(({ code, number }) => [code, number]);
  };
  {
    const { installation, one, two, head, at } = setUp();
    installation.checkpoint(one, [at(5)]);
    installation.checkpoint(one, [head]);
    installation.checkpoint(two, [head]);
    assert.deepEqual(await judged(installation), [['CHECKPOINT_FORK', 0]], 'another ledger, though it says the same');
  }
  {
    const { installation, one, head, at } = setUp();
    installation.checkpoint(one, [at(7)]);
    installation.checkpoint(one, [at(5)]);
    installation.checkpoint(one, [head]);
    assert.deepEqual(await judged(installation), [['CHECKPOINT_FORK', 1]], 'fewer records than before');
  }
  {
    const { installation, one, head } = setUp();
    installation.checkpoint(one, [head]);
    installation.checkpoint(one, [{ ...head, hash: sha256(Uint8Array.of(1)) }]);
    assert.deepEqual(await judged(installation), [['CHECKPOINT_FORK', 1]], 'another hash');
  }
  {
    // The newest head fits what is there; an older one was signed over something else.
    const { installation, one, head, at } = setUp();
    installation.checkpoint(one, [{ ...at(5), hash: sha256(Uint8Array.of(1)) }]);
    installation.checkpoint(one, [head]);
    assert.deepEqual(await judged(installation), [['RECORD_ALTERED', undefined]]);
  }
  {
    const { installation, one, two, head, at } = setUp();
    installation.checkpoint(one, [at(5)]);
    // The other agent goes on with the ledger of the first.
    Object.assign(two, { ledger: one.ledger, number: one.number, previous: one.previous });
    installation.checkpoint(two, [head]);
    assert.deepEqual(await judged(installation), [['CHECKPOINT_FORK', 1]]);
  }
});

test('a file of one session, too, has a checkpoint of every ledger that the log knows', async () => {
  const { installation, ids } = fortyDays();
  const lines = await installation.lines({ sessions: [ids[4] ?? ''] });
  const ledgerOf = (line: Line) => decodeStatement(fromBase64(String(line['statement'])) ?? new Uint8Array(0))?.ledger;
  const dropped = lines.filter(line => line.type !== 'checkpoint' || ledgerOf(line) !== 'two-spool');
  assert.deepEqual(codes(await verified(installation, dropped)), ['CHECKPOINT_MISSING']);
});

test('what was shredded by right is noted with who asked and who confirmed, and nothing is missing', async () => {
  const { installation, ids } = fortyDays();
  const shredded = { id: 's', person: 'sam@example.com', reason: 'asked for', askedBy: 'anna', confirmedBy: 'ben', sessions: 2 };
  installation.log('retention/log', 'ShredRequested', {});
  installation.log('retention/log', 'ContentsShredded', { ...shredded, throughMs: START + 10 * DAY });
  const notes = async (scope: EvidenceScope) => {
    const verdict = await verified(installation, await installation.lines(scope));
    assert.deepEqual(verdict.findings, []);
    return verdict.notes.filter(({ code }) => code === 'SHREDDED').map(({ message }) => message);
  };
  const [note = '', ...more] = await notes({});
  assert.match(
    note,
    /^The contents of 12 sessions of sam@example\.com were shredded at 2026-03-11T00:00:00\.000Z by ben, asked for by anna: asked for\./,
  );
  assert.deepEqual(more, []);
  assert.match((await notes({ sessions: [ids[0] ?? ''] }))[0] ?? '', /contents of 1 sessions/);
  assert.deepEqual(await notes({ sessions: [ids[2] ?? ''] }), [], 'of pia');
  assert.deepEqual(await notes({ from: new Date(START + 11 * DAY).toISOString() }), [], 'later ones');
});
