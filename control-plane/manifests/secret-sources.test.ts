import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { secretSources } from './secret-sources.ts';

const root = mkdtempSync(join(tmpdir(), 'sallyport-sources-'));
const data = join(root, 'data');
mkdirSync(data);
mkdirSync(join(root, 'database'));
const manifest = join(root, 'config', 'crm.yaml');
mkdirSync(join(root, 'config'));
const sources = secretSources({ PW: 'from-env', EMPTY: '', SALLYPORT_STORE_PASSWORD: 'inner', sallyport_x: 'inner' }, data);
const text = async (source: Parameters<typeof sources.secret>[0]) => (await sources.secret(source, manifest)).toString();

test('a secret comes from the environment, the manifest, or a file beside the manifest', async () => {
  writeFileSync(join(root, 'config', 'pw'), 'from-file\n');
  writeFileSync(join(root, 'config', 'crlf'), 'from-file\r\n');
  writeFileSync(join(root, 'config', 'spaces'), ' from file \n\n');
  writeFileSync(join(root, 'database', 'pw'), 'beside');
  assert.equal(await text({ env: 'PW' }), 'from-env');
  assert.equal(await text({ value: 'inline' }), 'inline');
  assert.equal(await text({ file: 'pw' }), 'from-file');
  assert.equal(await text({ file: 'crlf' }), 'from-file');
  assert.equal(await text({ file: 'spaces' }), ' from file \n', 'one line end is the editor’s, the rest is the secret');
  assert.equal(await text({ file: join(root, 'database', 'pw') }), 'beside', 'a folder whose name begins like the data folder’s');
});

test('the control plane’s own secrets are out of reach, however they are named', async () => {
  writeFileSync(join(data, 'key'), 'inner');
  symlinkSync(join(data, 'key'), join(root, 'config', 'link'));
  symlinkSync(data, join(root, 'config', 'folder'));
  const out = [
    ...[{ file: '../data/key' }, { file: join(data, 'key') }, { file: 'link' }, { file: 'folder/key' }],
    ...[{ file: '/proc/self/environ' }, { file: `/proc/${process.pid}/environ` }, { file: `/proc/self/root${join(data, 'key')}` }],
    ...[{ env: 'SALLYPORT_STORE_PASSWORD' }, { env: 'sallyport_x' }],
  ];
  for (const source of out) await assert.rejects(text(source), { code: 'SECRET_MISSING' }, JSON.stringify(source));
  assert.throws(() => sources.readFile('../data/key', manifest));
});

test('what is missing, empty, too large or no file is an error that names the source and not the content', async () => {
  writeFileSync(join(root, 'config', 'empty'), '\n');
  writeFileSync(join(root, 'config', 'large'), 'x'.repeat(70_000));
  const cases = [
    { env: 'NONE' },
    { env: 'EMPTY' },
    { value: '' },
    { file: 'none' },
    { file: 'empty' },
    { file: 'large' },
    { file: '.' },
    { file: '/dev/zero' },
  ];
  for (const source of cases) {
    await assert.rejects(
      text(source),
      (error: Error & { code: string }) => error.code === 'SECRET_MISSING' && !error.message.includes('xxx'),
      JSON.stringify(source),
    );
  }
});
