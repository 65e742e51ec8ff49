/** What retention deletes while others act: holds that come while it runs or after it broke off, and sessions that never ended. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import { pino } from 'pino';
import { action, ControlLog } from '../aggregates/control-log.ts';
import { type LegalHold, retentionAggregate } from '../aggregates/retention.ts';
import { loadMigrations, migrate } from '../ingest/migrate.ts';
import { openSessionStore, type SessionStore } from '../ingest/session-store.ts';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { type Spawned, spawnStore, writer } from '../session-store/spawn-process.ts';
import { Retention } from './retention.ts';

const who = { author: 'test', authorAddress: '', reason: 'test', requestId: '' };
const NOW = Date.UTC(2026, 5, 1);
const keep = `apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: keep }
spec: { resources: {}, retention: 30d }
`;
const policies = parseManifests([{ path: 'keep.yaml', text: keep }]).manifests.map(manifest => ({
  ...{ manifest, secrets: {}, version: 0n, updatedAtMs: 0, author: 'test' },
}));
let root: string;
let process: Spawned & { url: string };
let store: SessionStore;
let log: EventLog;
let control: ControlLog;
let holds = 0;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'sallyport-retention-'));
  process = await spawnStore(join(root, 'store'));
  store = openSessionStore({ url: process.url, username: writer.name, password: writer.password });
  await migrate(store, await loadMigrations());
  log = await openFileLog({ dir: join(root, 'log') });
  control = await ControlLog.open(log, {
    onFault: error => {
      throw error;
    },
  });
});
after(async () => {
  await store?.close();
  await process?.kill('SIGKILL');
  await control?.close();
  await log?.close();
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  for (const table of ['session_rows', 'expired_sessions']) await store.command(`TRUNCATE TABLE sallyport.${table}`);
  for (const { id } of Object.values(control.state.retention().holds)) await release(id);
});

async function hold(subject: Pick<LegalHold, 'person' | 'resource' | 'session'>): Promise<void> {
  const placed = { id: `hold-${holds++}`, reason: 'case', placedAtMs: NOW, ...subject };
  await control.execute([action(retentionAggregate, 'log', { type: 'place', hold: placed })], who);
}

async function release(id: string): Promise<void> {
  await control.execute([action(retentionAggregate, 'log', { type: 'release', id })], who);
}

async function session(id: string, person: string, endedDaysAgo: number | null): Promise<void> {
  const ended = endedDaysAgo === null ? 'NULL' : `fromUnixTimestamp64Milli(${NOW - endedDaysAgo * 86_400_000})`;
  await store.command(
    `INSERT INTO sallyport.session_rows (session_id, revision, status, started_at, ended_at, resource, principal)
     VALUES ('${id}', 3, '${endedDaysAgo === null ? 'open' : 'ended'}', fromUnixTimestamp64Milli(${NOW - 90 * 86_400_000}), ${ended}, 'crm', '${person}')`,
  );
}

const left = async () =>
  (await store.rows<{ session_id: string }>('SELECT session_id FROM sallyport.sessions ORDER BY session_id')).map(row => row.session_id);

/** Retention over the store, with something that happens before a statement that matches. */
function retention(when: RegExp, happens: () => Promise<void>): Retention {
  let done = false;
  return new Retention({
    control: {
      state: {
        retention: () => control.state.retention(),
        manifest: () => undefined,
        manifests: () => policies,
      },
      execute: async (...args) => {
        if (when.source === 'execute' && !done) {
          done = true;
          await happens();
        }
        return control.execute(...args);
      },
      catchUp: ms => control.catchUp(ms),
    },
    store: {
      ...store,
      command: async (sql, parameters) => {
        if (when.test(sql) && !done) {
          done = true;
          await happens();
        }
        await store.command(sql, parameters);
      },
    },
    logger: pino({ level: 'silent' }),
    clock: () => NOW,
  });
}

for (const [what, when] of [
  ['between the look and the entry in the log', /execute/],
  ['before what is due is listed', /INSERT INTO sallyport\.expired_sessions/],
] as const) {
  test(`a hold that comes ${what} keeps what it is about`, async () => {
    await session('a', 'sam', 40);
    await session('b', 'pia', 40);
    await retention(when, () => hold({ person: 'sam' })).run(who);
    assert.deepEqual(await left(), ['a']);
  });
}

test('a hold that comes after a run broke off takes sessions off its list again', async () => {
  await session('a', 'sam', 40);
  await session('b', 'pia', 40);
  const broken = retention(/ALTER TABLE sallyport\.command_revisions DELETE/, () => Promise.reject(new Error('the machine died')));
  await assert.rejects(broken.run(who));
  await hold({ session: 'a' });
  await retention(/never/, () => Promise.resolve()).run(who);
  assert.deepEqual(await left(), ['a']);
  await release(Object.keys(control.state.retention().holds)[0] ?? '');
  await retention(/never/, () => Promise.resolve()).run(who);
  assert.deepEqual(await left(), []);
});

test('a session that has no end in the records is not deleted, however old, and is counted', async () => {
  await session('a', 'sam', null);
  await session('b', 'pia', 40);
  const run = await retention(/never/, () => Promise.resolve()).run(who);
  assert.deepEqual(await left(), ['a']);
  assert.deepEqual(
    run.map(({ resource, sessions, held, open }) => [resource, sessions, held, open]),
    [['crm', 1, 0, 1]],
  );
});
