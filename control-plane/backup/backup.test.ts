import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFileLog } from '../log/file-log.ts';
import { backup, restore } from './backup.ts';

const kafka = null;

/** A data folder with a log and keys, and a backup of it. */
async function withBackup(count: number, body: (dir: string, file: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-backup-'));
  try {
    const dataDir = join(dir, 'data');
    await mkdir(join(dataDir, 'pki'), { recursive: true });
    await writeFile(join(dataDir, 'pki', 'kek'), Buffer.alloc(32, 3), { mode: 0o600 });
    await writeFile(join(dataDir, 'pki', 'lease.key'), 'the secret lease key', { mode: 0o600 });
    await writeFile(join(dataDir, 'pki', 'ca.crt'), 'a certificate');
    await writeFile(join(dataDir, 'admin-token'), 'spa_token', { mode: 0o600 });
    const log = await openFileLog({ dir: join(dataDir, 'log', 'sallyport.control') });
    await log.append(Array.from({ length: count }, (_, i) => ({ key: Buffer.from(`stream/${i % 3}`), value: Buffer.from(`event ${i}`) })));
    const file = join(dir, 'backup.jsonl');
    // While the log is open, as of a control plane that runs.
    assert.deepEqual(await backup({ dataDir, file, kafka }), { keys: 3, entries: count });
    await log.close();
    await body(dir, file);
  } finally {
    await rm(dir, { recursive: true });
  }
}

const entriesOf = async (dataDir: string) => {
  const log = await openFileLog({ dir: join(dataDir, 'log', 'sallyport.control') });
  const entries = await log.read(0n, 1000);
  await log.close();
  return entries.map(({ offset, key, value }) => [offset, Buffer.from(key).toString(), Buffer.from(value).toString()].join(' '));
};

test('a backup restores the same log and the same keys, and has no key in the clear', () =>
  withBackup(600, async (dir, file) => {
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const text = await readFile(file, 'utf8');
    for (const secret of ['the secret lease key', 'spa_token']) {
      assert.ok(!text.includes(secret) && !text.includes(Buffer.from(secret).toString('base64')));
    }
    const target = join(dir, 'restored');
    const kekFile = join(dir, 'data', 'pki', 'kek');
    assert.deepEqual(await restore({ dataDir: target, file, kafka, kek: kekFile }), { keys: 3, entries: 600 });
    assert.deepEqual(await entriesOf(target), await entriesOf(join(dir, 'data')));
    for (const name of ['pki/kek', 'pki/lease.key', 'pki/ca.crt', 'admin-token']) {
      assert.deepEqual(await readFile(join(target, name)), await readFile(join(dir, 'data', name)), name);
    }
    assert.equal((await stat(join(target, 'pki', 'lease.key'))).mode & 0o777, 0o600);
    await assert.rejects(restore({ dataDir: target, file, kafka, kek: kekFile }), { code: 'RESTORE_NOT_EMPTY' });
    await assert.rejects(backup({ dataDir: join(dir, 'data'), file, kafka }), { code: 'BACKUP_UNWRITABLE' });
  }));

test('a backup that was cut, changed, put in another order, or is sealed to another key restores nothing', () =>
  withBackup(60, async (dir, file) => {
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const damages: [what: string, lines: string[], code: string][] = [
      ['no end', lines.slice(0, -1), 'BACKUP_CORRUPT'],
      ['an entry less', lines.toSpliced(50, 1), 'BACKUP_CORRUPT'],
      ['the last entry less', lines.toSpliced(-2, 1), 'BACKUP_CORRUPT'],
      ['two swapped', lines.with(50, lines[51] ?? '').with(51, lines[50] ?? ''), 'BACKUP_CORRUPT'],
      ['one changed', lines.with(50, (lines[50] ?? '').replace('"value":"Z', '"value":"Y')), 'BACKUP_CORRUPT'],
      ['a key less', lines.toSpliced(1, 1), 'BACKUP_CORRUPT'],
      ['a key under another name', lines.with(1, (lines[1] ?? '').replace('.', '_')), 'SECRET_UNSEALABLE'],
      ['more behind it', [...lines, '{}'], 'BACKUP_CORRUPT'],
      ['of another version', lines.with(0, (lines[0] ?? '').replace('"version":1', '"version":2')), 'BACKUP_CORRUPT'],
      ['something else', ['hello'], 'BACKUP_CORRUPT'],
      ['nothing', [], 'BACKUP_CORRUPT'],
    ];
    const kekFile = join(dir, 'data', 'pki', 'kek');
    const target = join(dir, 'restored');
    for (const [what, damaged, code] of damages) {
      const bad = join(dir, 'bad.jsonl');
      await writeFile(bad, damaged.map(line => `${line}\n`).join(''));
      await assert.rejects(restore({ dataDir: target, file: bad, kafka, kek: kekFile }), { code }, what);
    }
    await writeFile(join(dir, 'other-kek'), Buffer.alloc(32, 9));
    await assert.rejects(restore({ dataDir: target, file, kafka, kek: join(dir, 'other-kek') }), { code: 'SECRET_UNSEALABLE' });
    await assert.rejects(restore({ dataDir: target, file, kafka, kek: join(dir, 'nowhere') }), { code: 'KEK_MISSING' });
    await assert.rejects(restore({ dataDir: target, file: join(dir, 'nowhere'), kafka, kek: kekFile }), { code: 'BACKUP_UNREADABLE' });
    await assert.rejects(stat(join(target, 'pki')), { code: 'ENOENT' });
  }));
