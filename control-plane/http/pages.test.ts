import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageOf } from './pages.ts';

const key = (row: string) => row;

test('all rows once, in order, also when rows come and go between pages', () => {
  const rows = ['b', 'd', 'a', 'c', 'ü'];
  const first = pageOf(rows, key, { limit: 2 });
  assert.deepEqual(first.rows, ['a', 'b']);
  const second = pageOf(['aa', 'c', 'd', 'ü'], key, { limit: 2, cursor: first.next ?? '' });
  assert.deepEqual(second.rows, ['c', 'd']);
  const third = pageOf(rows, key, { limit: 2, cursor: second.next ?? '' });
  assert.deepEqual(third, { rows: ['ü'], next: null });
  assert.deepEqual(pageOf(rows, key, { cursor: Buffer.from('z~').toString('base64url') }).rows, ['ü']);
  assert.deepEqual(pageOf(rows, key, { cursor: Buffer.from('￿').toString('base64url') }), { rows: [], next: null });
  assert.deepEqual(pageOf(rows, key, { limit: 5 }).next, null);
  assert.deepEqual(pageOf([], key, {}), { rows: [], next: null });
});

test('a cursor that nobody gave is refused', () => {
  for (const cursor of ['', '!', 'YQ==', 'a']) assert.throws(() => pageOf(['a'], key, { cursor }), { code: 'CURSOR_INVALID' }, cursor);
});
