import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PREVIEW_BYTES_MAX, PREVIEW_LIMITS, type Preview, readPreview } from './preview.ts';

const preview: Preview = {
  rowCount: 2,
  unavailable: '',
  before: { columns: ['a', 'b'], rows: [['1', null]] },
  after: null,
  notes: ['n'],
  limits: { ...PREVIEW_LIMITS },
  replaces: { approvalId: 'x', rowCount: 3 },
};

test('what an agent sent is read, and nothing else passes', () => {
  assert.deepEqual(readPreview(JSON.stringify({ ...preview, more: 1 })), preview);
  for (const broken of [
    { ...preview, rowCount: -1 },
    { ...preview, rowCount: '2' },
    { ...preview, before: { columns: ['a'], rows: [['1', '2']] } },
    { ...preview, after: { columns: ['a'], rows: [[1]] } },
    { ...preview, notes: [1] },
    { ...preview, limits: {} },
    { ...preview, replaces: { approvalId: 1, rowCount: 1 } },
    { ...preview, notes: ['x'.repeat(PREVIEW_BYTES_MAX)] },
    null,
    [],
  ])
    assert.equal(readPreview(JSON.stringify(broken)), null, JSON.stringify(broken).slice(0, 100));
  assert.equal(readPreview('{'), null);
  assert.equal(readPreview(''), null);
});
