import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openKeys } from './keys.ts';

const tempDir = () => mkdtemp(join(tmpdir(), 'sallyport-keys-'));

test('keys are made once, for their owner alone, and are the same after a restart', async () => {
  const dir = await tempDir();
  const first = await openKeys(dir);
  const second = await openKeys(dir);
  assert.deepEqual(first.leasePublicKey, second.leasePublicKey);
  assert.equal(first.leasePublicKey.length, 32);
  assert.ok(first.ticketKey.equals(second.ticketKey));
  assert.equal(first.ticketKey.equals(first.leaseKey), false);
  assert.deepEqual(first.derive('mask-key:crm'), second.derive('mask-key:crm'));
  assert.notDeepEqual(first.derive('mask-key:crm'), first.derive('mask-key:crm2'));
  for (const name of await readdir(dir)) assert.equal((await stat(join(dir, name))).mode & 0o777, 0o600, name);
});

test('a secret at rest opens for its context only', async () => {
  const keys = await openKeys(await tempDir());
  const secret = Buffer.from('hunter2-hunter2');
  const sealed = keys.sealAtRest(secret, 'Credential/crm/password');
  assert.deepEqual(keys.openAtRest(sealed, 'Credential/crm/password'), secret);
  assert.notEqual(sealed, keys.sealAtRest(secret, 'Credential/crm/password'));
  assert.equal(Buffer.from(sealed, 'base64').includes('hunter2'), false);
  assert.throws(() => keys.openAtRest(sealed, 'Credential/crm2/password'), { code: 'SECRET_UNSEALABLE' });
  const other = await openKeys(await tempDir());
  assert.throws(() => other.openAtRest(sealed, 'Credential/crm/password'), { code: 'SECRET_UNSEALABLE' });
});

test('changed and cut envelopes are refused', async () => {
  const keys = await openKeys(await tempDir());
  const sealed = Buffer.from(keys.sealAtRest(randomBytes(20), 'c'), 'base64');
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => keys.openAtRest(changed.toString('base64'), 'c'), { code: 'SECRET_UNSEALABLE' });
    assert.throws(() => keys.openAtRest(sealed.subarray(0, at).toString('base64'), 'c'), { code: 'SECRET_UNSEALABLE' });
  }
});

test('fingerprints tell equal from different, per context and installation', async () => {
  const keys = await openKeys(await tempDir());
  const [a, b] = [Buffer.from('a'), Buffer.from('b')];
  assert.equal(keys.fingerprint(a, 'c'), keys.fingerprint(a, 'c'));
  assert.notEqual(keys.fingerprint(a, 'c'), keys.fingerprint(b, 'c'));
  assert.notEqual(keys.fingerprint(a, 'c'), keys.fingerprint(a, 'd'));
  assert.notEqual(keys.fingerprint(a, 'c'), (await openKeys(await tempDir())).fingerprint(a, 'c'));
});

test('a key file of a wrong size or kind is refused', async () => {
  const dir = await tempDir();
  await writeFile(join(dir, 'kek'), 'short', { mode: 0o600 });
  await assert.rejects(openKeys(dir), { code: 'KEY_INVALID' });
});
