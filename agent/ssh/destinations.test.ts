import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destinationAllowed } from './destinations.ts';

test('destinations match by name and port, and nothing by accident', () => {
  const to = (host: string, port: number, ...patterns: string[]) => destinationAllowed({ host, port }, patterns);
  assert.ok(to('db.internal', 5432, 'db.internal:5432'));
  assert.ok(to('DB.internal', 5432, 'db.internal:*'));
  assert.ok(to('db-1.internal', 5432, 'db-*.internal:5432'));
  assert.ok(to('::1', 80, '[::1]:80'));
  assert.ok(to('anything', 1, '*:*'));
  assert.ok(!to('db.internal', 5433, 'db.internal:5432'));
  assert.ok(!to('db.internal.evil.example', 5432, 'db.internal:5432', 'db*.internal:5432'));
  assert.ok(!to('internal', 5432, '*.internal:5432', 'int*ternal:5432'));
  assert.ok(!to('127.0.0.1', 5432, 'localhost:5432'));
  assert.ok(!to('db.internal\u0000', 5432, '*:*'));
  assert.ok(!to('a b', 1, '*:*'));
  assert.ok(!to('', 1, '*:*'));
  assert.ok(!to('db.internal', 70_000, '*:*'));
  assert.ok(!to('db.internal', 5432));
});
