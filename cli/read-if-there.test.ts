import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { readIfThere } from './read-if-there.ts';

test('only a missing file is no file; what cannot be read is an error', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-read-'));
  try {
    const file = path.join(dir, 'keys.json');
    assert.equal(await readIfThere(file), null);
    writeFileSync(file, 'kept');
    assert.equal(await readIfThere(file), 'kept');
    await assert.rejects(readIfThere(dir), { code: 'EISDIR' });
    await assert.rejects(readIfThere(path.join(file, 'below')), { code: 'ENOTDIR' });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
