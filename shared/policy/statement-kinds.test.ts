import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  definitionKind,
  isStatementKind,
  STATEMENT_GROUPS,
  STATEMENT_KINDS,
  STATEMENT_NAMES,
  statementKindsOf,
} from './statement-kinds.ts';

test('kinds are unique and every name stands for known kinds', () => {
  assert.equal(new Set(STATEMENT_KINDS).size, STATEMENT_KINDS.length);
  for (const name of STATEMENT_NAMES) {
    const kinds = statementKindsOf(name);
    assert.ok(kinds !== undefined && kinds.length > 0, name);
    for (const kind of kinds) assert.ok(isStatementKind(kind), `${name}: ${kind}`);
  }
});

test('a family covers its kinds and no neighbour', () => {
  assert.ok(statementKindsOf('drop')?.includes('drop-table'));
  assert.ok(statementKindsOf('drop')?.includes('drop-owned'));
  assert.ok(statementKindsOf('alter')?.includes('alter-default-privileges'));
  assert.deepEqual(statementKindsOf('create-table'), ['create-table', 'create-table-as']); // not create-tablespace
  assert.deepEqual(statementKindsOf('grant'), ['grant', 'grant-role']);
  assert.deepEqual(statementKindsOf('update'), ['update']);
});

test('groups: a write is never a read', () => {
  for (const read of ['select', 'show', 'explain', 'copy-to', 'fetch', 'begin']) assert.ok(!STATEMENT_GROUPS.write?.includes(read), read);
  for (const write of ['insert', 'drop-table', 'truncate', 'do', 'call', 'grant', 'create-table-as', 'copy-to-program', 'copy-from']) {
    assert.ok(STATEMENT_GROUPS.write?.includes(write), write);
  }
});

test('what is on Object.prototype is no statement', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', '']) assert.equal(statementKindsOf(name), undefined);
  assert.equal(definitionKind('drop', 'constructor'), 'other');
});

test('definitions by PostgreSQL object type', () => {
  assert.equal(definitionKind('drop', 'OBJECT_TABLE'), 'drop-table');
  assert.equal(definitionKind('alter', 'OBJECT_COLUMN'), 'alter-table');
  assert.equal(definitionKind('drop', 'OBJECT_LARGEOBJECT'), 'other');
  assert.equal(definitionKind('alter', 'OBJECT_LARGEOBJECT'), 'alter-large-object');
});
