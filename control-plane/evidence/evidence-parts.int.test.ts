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
  const expiry = { resource: 'agent-one', policies: ['keep'], beforeMs: START + 10 * DAY, sessions: 10 };
  const of = ids.filter((_id, at) => at % 2 === 0);
  const without = (lines: Line[], gone: readonly string[]) => {
    let isGone = false;
    return lines.filter(line => {
      if (line.type === 'session') isGone = gone.includes(String(line['session']));
      else if (line.type !== 'record') isGone = false;
      return !isGone;
    });
  };
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
