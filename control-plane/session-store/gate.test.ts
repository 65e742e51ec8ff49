import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openGate } from './gate.ts';

it('lets in once', async () => {
  const { port } = await openGate();
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { Authorization: 'Basic ZGVmYXVsdDo=' } })).status;
  assert.deepEqual([await ask(), await ask(), await ask()], [200, 403, 403]);
});
