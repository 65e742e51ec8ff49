import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { agentAggregate } from '../aggregates/agent.ts';
import { action, ControlLog } from '../aggregates/control-log.ts';
import { manifestAggregates } from '../aggregates/manifest.ts';
import { userAggregate } from '../aggregates/user.ts';
import { ControlTree } from '../evidence/control-tree.ts';
import type { Entry, EventLog, NewEntry } from '../log/event-log.ts';
import { Snapshots } from './snapshots.ts';

class MemoryLog implements EventLog {
  readonly entries: Entry[] = [];
  reads = 0;
  async append(entries: readonly NewEntry[]): Promise<bigint> {
    const first = BigInt(this.entries.length);
    for (const entry of entries) this.entries.push({ ...entry, offset: BigInt(this.entries.length), timestampMs: 0 });
    for (const wake of this.#waiting.splice(0)) wake();
    return first;
  }
  readonly #waiting: (() => void)[] = [];
  async read(from: bigint, max: number): Promise<Entry[]> {
    const read = this.entries.slice(Number(from), Number(from) + max);
    this.reads += read.length;
    return read;
  }
  async endOffset(): Promise<bigint> {
    return BigInt(this.entries.length);
  }
  async waitFor(offset: bigint, _timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    while (BigInt(this.entries.length) <= offset) {
      if (signal?.aborted === true) return false;
      await new Promise<void>(resolve => {
        this.#waiting.push(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return true;
  }
  async close(): Promise<void> {}
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const rawKey = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32));
const key = Buffer.alloc(32, 7);
const provenance = { author: 'ann', authorAddress: '', reason: 'r', requestId: '' };

async function open(log: EventLog, file: string, more: { key?: Uint8Array } = {}) {
  const warnings: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) });
  const tree = new ControlTree(privateKey, rawKey, () => 1);
  const snapshots = new Snapshots({ file, key: more.key ?? key, logger, everyEntries: 1 });
  const from = await snapshots.load(log, tree);
  const control = await ControlLog.open(log, {
    ...(from === null ? {} : { from }),
    onEntry: (entry, event) => tree.take(entry.value, event),
    onFault: error => assert.fail(error),
  });
  const close = async () => {
    await snapshots.close(control, tree);
    await control.close();
  };
  return { control, tree, snapshots, from, warnings, close };
}

async function change({ control }: { control: ControlLog }, round: number): Promise<void> {
  const role = { kind: 'Role', name: `role-${round % 7}`, labels: {}, spec: { round } } as never;
  const invitation = { secretHash: `h${round}`, labels: {}, everyResource: false, expiresAtMs: 1 };
  const user = { userName: `User${round % 3}`, active: round % 2 === 0 } as never;
  for (const each of [
    action(manifestAggregates.Role, `role-${round % 7}`, { type: 'apply', manifest: role, secrets: {} } as never),
    action(agentAggregate, `a${round}`, { type: 'invite', invitation }),
    action(userAggregate, `u${round % 5}`, { type: round < 5 ? 'create' : 'replace', user } as never),
  ])
    await control.execute([each], provenance);
}

function folder(t: { after: (work: () => void) => void }): string {
  const made = mkdtempSync(join(tmpdir(), 'sallyport-snapshot-'));
  t.after(() => rmSync(made, { recursive: true }));
  return join(made, 'snapshot');
}

test('a start from a snapshot ends in the state and the tree of a start from the log, and reads only what came after', async t => {
  const file = folder(t);
  const log = new MemoryLog();
  const first = await open(log, file);
  for (let round = 0; round < 12; round++) await change(first, round);
  first.snapshots.start(first.control, first.tree);
  await first.close();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const other = await open(log, join(file, '..', 'none'));
  for (let round = 12; round < 15; round++) await change(other, round);
  await other.close();

  log.reads = 0;
  const restored = await open(log, file);
  assert.ok(restored.from);
  assert.ok(log.reads < 60, `${log.reads} entries of ${log.entries.length} were read`);
  const folded = await open(log, join(file, '..', 'none'));
  assert.deepEqual(restored.control.state.save(), folded.control.state.save());
  assert.deepEqual(restored.control.state.blockedPeople(), folded.control.state.blockedPeople());
  assert.deepEqual(restored.tree.head().root, folded.tree.head().root);
  assert.deepEqual([...restored.tree.streams('')], [...folded.tree.streams('')]);
  assert.deepEqual(restored.tree.entriesOf('role/role-1'), folded.tree.entriesOf('role/role-1'));
  assert.equal(restored.tree.atMs(3), folded.tree.atMs(3));
  // And it goes on from there.
  await change(restored, 20);
  await restored.close();
  await folded.close();
});

test('a snapshot that is damaged, of another installation, version or log is not used: the log is', async t => {
  const file = folder(t);
  const log = new MemoryLog();
  const first = await open(log, file);
  for (let round = 0; round < 5; round++) await change(first, round);
  first.snapshots.start(first.control, first.tree);
  await first.close();
  const good = readFileSync(file);
  const expected = first.control.state.save();
  const refused = async (why: RegExp, from: EventLog = log, more: { key?: Uint8Array } = {}) => {
    const opened = await open(from, file, more);
    assert.equal(opened.from, null);
    assert.match(opened.warnings.join(''), why);
    if (from === log) assert.deepEqual(opened.control.state.save(), expected);
    assert.equal(opened.tree.size, Number(opened.control.position), 'nothing of it is left in the tree');
    await opened.control.close();
  };
  for (const at of [0, 30, 60, good.length >> 1, good.length - 1]) {
    const damaged = Buffer.from(good);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    writeFileSync(file, damaged);
    await refused(at < 22 ? /another format/ : /checksum/);
  }
  writeFileSync(file, good.subarray(0, good.length - 1));
  await refused(/checksum/);
  writeFileSync(file, good);
  await refused(/checksum/, log, { key: Buffer.alloc(32, 8) });
  const shorter = new MemoryLog();
  shorter.entries.push(...log.entries.slice(0, -1));
  await refused(/more entries/, shorter);
  // As many entries, of which one is another: as when a log was restored from a backup and went on differently.
  const elsewhere = new MemoryLog();
  elsewhere.entries.push(...log.entries);
  const last = elsewhere.entries.pop();
  const before = elsewhere.entries.at(-1);
  assert.ok(last && before);
  elsewhere.entries.push({ ...before, offset: last.offset });
  await refused(/is not the one/, elsewhere);
});
