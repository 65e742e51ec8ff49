import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { openKek } from './key-encryption.ts';
import { shareKeys } from './shared-keys.ts';

async function withLog(body: (log: EventLog, dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-keys-'));
  const log = await openFileLog({ dir: join(dir, 'log') });
  try {
    await body(log, dir);
  } finally {
    await log.close();
    await rm(dir, { recursive: true });
  }
}

const names = ['pki/ca.key', 'pki/ca.crt', 'pki/derivation.key', 'pki/lease.key', 'pki/ticket.key', 'pki/evidence.key', 'admin-token'];
const contents = (dataDir: string) => Promise.all(names.map(name => readFile(join(dataDir, name), 'base64')));
const share = (log: EventLog, dataDir: string, kekFile: string) =>
  shareKeys({
    log,
    dataDir,
    openKek: mayMake => openKek({ kek: kekFile, dataDir, env: {} }, mayMake),
    clock: Date.now,
    makeAdminToken: () => Buffer.from(`spa_of_${dataDir}`),
  });

test('of replicas that start at once one makes the keys; a later one, and one that lost its folder, get the same', () =>
  withLog(async (log, dir) => {
    const kek = join(dir, 'kek');
    await Promise.all([share(log, join(dir, 'a'), kek), share(log, join(dir, 'b'), kek)]);
    const keys = await contents(join(dir, 'a'));
    assert.deepEqual(await contents(join(dir, 'b')), keys);
    const end = await log.endOffset();
    await share(log, join(dir, 'c'), kek);
    await rm(join(dir, 'a'), { recursive: true });
    await share(log, join(dir, 'a'), kek);
    for (const replica of ['a', 'c']) assert.deepEqual(await contents(join(dir, replica)), keys);
    assert.equal(await log.endOffset(), end, 'nothing is proposed once there are keys');
    const entries = await log.read(0n, 100);
    const log64 = entries.map(({ value }) => Buffer.from(value).toString('latin1')).join('');
    for (const key of keys)
      assert.ok(!log64.includes(Buffer.from(key, 'base64').toString('latin1').trim()), 'the log has keys sealed only');
  }));

test('what a single control plane had becomes the installation’s', () =>
  withLog(async (log, dir) => {
    await mkdir(join(dir, 'old', 'pki'), { recursive: true });
    await writeFile(join(dir, 'old', 'pki', 'derivation.key'), Buffer.alloc(32, 7), { mode: 0o600 });
    await writeFile(join(dir, 'old', 'admin-token'), 'spa_the_old_token_of_this_place', { mode: 0o600 });
    await share(log, join(dir, 'old'), join(dir, 'old', 'pki', 'kek'));
    await mkdir(join(dir, 'new', 'pki'), { recursive: true });
    await copyFile(join(dir, 'old', 'pki', 'kek'), join(dir, 'new', 'pki', 'kek'));
    await share(log, join(dir, 'new'), join(dir, 'new', 'pki', 'kek'));
    assert.deepEqual(await readFile(join(dir, 'new', 'pki', 'derivation.key')), Buffer.alloc(32, 7));
    assert.equal(await readFile(join(dir, 'new', 'admin-token'), 'utf8'), 'spa_the_old_token_of_this_place');
  }));

test('without the key-encryption key, with another, or with another installation’s keys, nothing is opened or overwritten', () =>
  withLog(async (log, dir) => {
    await share(log, join(dir, 'a'), join(dir, 'kek'));
    await assert.rejects(share(log, join(dir, 'b'), join(dir, 'none')), { code: 'KEK_MISSING' });
    await writeFile(join(dir, 'other'), Buffer.alloc(32, 1), { mode: 0o600 });
    await assert.rejects(share(log, join(dir, 'b'), join(dir, 'other')), { code: 'SECRET_UNSEALABLE' });
    await mkdir(join(dir, 'b', 'pki'), { recursive: true });
    await writeFile(join(dir, 'b', 'pki', 'lease.key'), 'of another place', { mode: 0o600 });
    await assert.rejects(share(log, join(dir, 'b'), join(dir, 'kek')), { code: 'KEY_FOREIGN', message: /lease\.key/ });
    assert.equal(await readFile(join(dir, 'b', 'pki', 'lease.key'), 'utf8'), 'of another place');
  }));
