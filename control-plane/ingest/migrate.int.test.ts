/** A store that was filled before the commands were put in the order of days. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Spawned, spawnStore, writer } from '../session-store/spawn-process.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { openSessionStore, type SessionStore } from './session-store.ts';

let root: string;
let process: Spawned & { url: string };
let store: SessionStore;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'sallyport-migrate-'));
  process = await spawnStore(join(root, 'store'));
  store = openSessionStore({ url: process.url, username: writer.name, password: writer.password });
});
after(async () => {
  await store?.close();
  await process?.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

/** @param status by sequence number; a command whose session was not known yet has no principal. */
const insert = (
  session: string,
  month: number,
  revision: number,
  statuses: Readonly<Record<number, string>>,
  principal = 'ana',
  deleted = 0,
) =>
  store.command(
    `INSERT INTO sallyport.command_rows (session_id, seq, at, revision, deleted, principal, status, text) VALUES ${Object.entries(statuses)
      .map(
        ([seq, status]) =>
          `('${session}', ${seq}, '2026-${month}-28 12:00:0${seq}', ${revision}, ${deleted}, '${principal}', '${status}', 'select ${seq}')`,
      )
      .join(', ')}`,
  );
const commands = async () =>
  (
    await store.rows<{ row: string }>(
      "SELECT concat(session_id, '/', toString(seq), ' ', toString(at), ' ', principal, ' ', status, ' ', text) AS row FROM sallyport.commands ORDER BY row",
    )
  ).map(({ row }) => row);

test('its commands are copied, each once and as they were; and what an ingester of before still writes arrives', async () => {
  const all = await loadMigrations();
  await migrate(
    store,
    all.filter(({ version }) => version < 9),
  );
  await insert('s1', 9, 0, { 1: 'running', 2: 'running', 3: 'running' });
  await insert('s1', 9, 2, { 1: 'ok', 2: 'error' });
  await insert('s2', 10, 2, { 4: 'ok' }, '');
  await insert('s2', 10, 2, { 4: 'ok' });
  await insert('s2', 10, 255, { 4: 'running' }, '', 1);
  const expected = await commands();
  assert.equal(expected.length, 4);

  // Killed after the copy of a month: the statement runs again.
  let killed = false;
  const dying: SessionStore = {
    ...store,
    command: async (sql, parameters) => {
      if (killed) throw new Error('killed');
      await store.command(sql, parameters);
      killed = parameters?.['month'] !== undefined;
    },
  };
  await assert.rejects(migrate(dying, all), /killed/);
  assert.deepEqual(await commands(), expected);
  await insert('s1', 9, 2, { 3: 'ok' });
  await migrate(store, all);
  const answered = expected.map(row => row.replace('running', 'ok'));
  assert.deepEqual(await commands(), answered);
  await insert('s3', 10, 2, { 5: 'ok' });
  assert.equal((await commands()).length, 5);
  assert.equal(await migrate(store, all), 0);
});
