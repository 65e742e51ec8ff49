import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorField } from '../messages.ts';
import { type ErrorScope, valueFree } from './value-free.ts';

const scope: ErrorScope = { ownRows: false, protectedColumns: () => new Set(['email']) };
const error = (given: Record<string, string>): ErrorField[] => Object.entries({ S: 'ERROR', M: 'words', ...given });
const left = (given: Record<string, string>, over: Partial<ErrorScope> = {}): string | null =>
  valueFree(error(given), { ...scope, ...over })
    ?.map(([field]) => field)
    .join('') ?? null;

test('an error in the client’s own text is shown, and none that came from inside of something', () => {
  assert.equal(left({ C: '42703', P: '8', H: 'perhaps' }), 'SMCPH');
  assert.equal(left({ C: '42703', P: '8', W: 'PL/pgSQL function f() line 1' }), null);
  assert.equal(left({ C: '42703', p: '8', q: 'select x' }), null);
  assert.equal(left({ C: '22P02', R: 'pg_strtoint32_safe' }), null);
});

test('what names alone are put into is shown, unless a function says it', () => {
  assert.equal(left({ C: '00000', R: 'does_not_exist_skipping' }), 'SMCR');
  assert.equal(left({ C: '42704', R: 'ATExecDropConstraint' }), 'SMCR');
  assert.equal(left({ C: '00000', R: 'does_not_exist_skipping', W: 'SQL statement "drop table x"' }), null);
  assert.equal(left({ C: '00000', R: 'exec_stmt_raise' }), null);
});

test('a fixed text is shown, and nothing beside it', () => {
  assert.equal(left({ C: '22012', M: 'division by zero', R: 'int4div' }), 'SMCR');
  assert.equal(left({ C: '22012', M: 'division by canary', R: 'int4div' }), null);
  assert.equal(left({ C: '22012', M: 'division by zero', H: 'canary' }), null);
});

test('a constraint’s error is shown by names, its row and key where they hold nothing protected', () => {
  const violated = { C: '23505', R: '_bt_check_unique', t: 'customers' };
  const shown = 'SMCRt';
  assert.equal(left({ ...violated, D: 'Key (id)=(2) already exists.' }), 'SMCRtD');
  for (const key of ['email', 'id, email', 'lower(name)', 'email)=(a', '"Email"', ''])
    assert.equal(left({ ...violated, D: `Key (${key})=(x) already exists.` }), shown, key);
  assert.equal(left({ ...violated, D: 'Key (id)=(2) already exists.' }, { protectedColumns: () => null }), shown);
  const row = { C: '23502', R: 'ReportNotNullViolationError', D: 'Failing row contains (1, canary).' };
  assert.equal(left(row), 'SMCR');
  assert.equal(left(row, { ownRows: true }), 'SMCRD');
  assert.equal(left({ ...row, R: 'exec_stmt_raise' }, { ownRows: true }), null);
});
