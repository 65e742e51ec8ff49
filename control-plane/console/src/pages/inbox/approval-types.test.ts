import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Approval, difference, isOwn, mayAnswer } from './approval-types.ts';

const me = { name: 'bob@example.com', kind: 'person', groups: ['dba'], roles: [] };
const approval: Approval = {
  ...{ kind: 'command', access: null, parameters: [], preview: null },
  ...{
    id: '1',
    state: 'pending',
    resource: 'crm',
    sessionId: 's',
    commandSeq: 1,
    rule: 'r',
    message: '',
    fingerprint: '',
    text: 'delete from t',
    groups: ['dba'],
    quorum: 2,
  },
  ...{ principal: { kind: 'person', name: 'alice@example.com', delegation: [] }, expiresAt: '', approvedBy: [], reason: '' },
};

test('who may answer: a person of the groups, not whoever asks, not twice, not after the end', () => {
  assert.equal(mayAnswer(approval, me), true);
  assert.equal(mayAnswer({ ...approval, groups: ['privacy'] }, me), false);
  assert.equal(mayAnswer({ ...approval, approvedBy: ['bob@example.com'] }, me), false);
  assert.equal(mayAnswer({ ...approval, state: 'denied' }, me), false);
  const own = { ...approval, principal: { ...approval.principal, name: 'bob@example.com' } };
  assert.equal(isOwn(own, me), true);
  assert.equal(mayAnswer(own, me), false);
  assert.equal(mayAnswer(approval, { ...me, kind: 'admin' }), false);
});

test('rows before and after: what changed, went and came', () => {
  const columns = ['id', 'amount'];
  const { rows } = difference(
    {
      columns,
      rows: [
        ['1', '5'],
        ['2', '7'],
      ],
    },
    {
      columns,
      rows: [
        ['1', null],
        ['2', '7'],
      ],
    },
  );
  assert.deepEqual(
    rows.map(row => [row.kind, row.cells.map(({ changed }) => changed)]),
    [
      ['changed', [false, true]],
      ['same', [false, false]],
    ],
  );
  assert.deepEqual(difference({ columns, rows: [['1', '5']] }, null).rows[0]?.kind, 'removed');
  assert.deepEqual(difference(null, { columns, rows: [['1', '5']] }).rows[0]?.kind, 'added');
});
