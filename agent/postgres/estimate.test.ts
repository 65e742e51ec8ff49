import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { loadParser } from '@sallyport/shared/sql/parser.ts';
import { asOfStatement, questionOf, rowsOfPlan } from './estimate.ts';

before(loadParser);
const asked = (sql: string) => {
  const question = questionOf(Buffer.from(sql));
  return question.kind === 'ask' ? question.text.toString() : question;
};

test('asks for the plan of what runs', () => {
  const cases: [string, unknown][] = [
    ['select 1', 'EXPLAIN (FORMAT JSON) select 1'],
    [';; select 1;', 'EXPLAIN (FORMAT JSON) select 1;'],
    ['explain (analyze, verbose) /* é */ delete from t', 'EXPLAIN (FORMAT JSON) delete from t'],
    ['explain analyze verbose select 1', 'EXPLAIN (FORMAT JSON) select 1'],
    ["execute p(1, -2.5, null, date '2020-01-01')", "EXPLAIN (FORMAT JSON) execute p(1, -2.5, null, date '2020-01-01')"],
    ['copy a.t (x) to stdout', 'EXPLAIN (FORMAT JSON) SELECT "x" FROM ONLY "a"."t"'],
    ['copy (select 2) to stdout', 'EXPLAIN (FORMAT JSON) select 2'],
    ['begin', { kind: 'known', rows: 0 }],
    ['', { kind: 'known', rows: 0 }],
    ['explain select 1', { kind: 'known', rows: 1 }],
    ['show all', { kind: 'known', rows: 1000 }],
    ['move all in c', { kind: 'known', rows: 0 }],
    ['fetch backward 7 from c', { kind: 'known', rows: 7 }],
    ['fetch -7 from c', { kind: 'known', rows: 7 }],
    ['fetch last from c', { kind: 'known', rows: 1 }],
    ['fetch all in "C d"', { kind: 'cursor', name: 'C d' }],
    ['fetch 2147483647 from c', { kind: 'cursor', name: 'c' }],
  ];
  for (const [sql, wanted] of cases) assert.deepEqual(asked(sql), wanted, sql);
  const cannot = [
    'select 1; select 2',
    'execute p(f(1))',
    'create table x as execute p(f(1))',
    'truncate t',
    'call p()',
    'do $$ $$',
    'vacuum',
    'copy t from stdin',
    'not sql',
  ];
  for (const sql of cannot) assert.equal(questionOf(Buffer.from(sql)).kind, 'cannot', sql);
});

test('the rows of a plan are those that come out or go into changes, the most of them', () => {
  const node = (rows: number, more: object = {}) => ({ 'Node Type': 'Seq Scan', 'Plan Rows': rows, ...more });
  const modify = (...plans: object[]) => node(0, { 'Node Type': 'ModifyTable', Plans: plans });
  const of = (...plans: object[]) => rowsOfPlan(JSON.stringify(plans.map(Plan => ({ Plan }))));
  assert.equal(of(node(7)), 7);
  assert.equal(of(modify(node(50), node(9, { 'Parent Relationship': 'InitPlan' }))), 50);
  assert.equal(of(modify(node(5), node(6))), 11, 'partitions');
  assert.equal(of(node(1, { Plans: [node(3, { Plans: [modify(node(400))] })] })), 400, 'in WITH');
  assert.equal(of(modify(node(2)), modify(node(30))), 30, 'rules');
  assert.equal(of(), 0);
  assert.equal(rowsOfPlan('["Utility Statement"]'), 0);
  assert.equal(rowsOfPlan('[{"Plan":{}}]'), null);
  assert.equal(rowsOfPlan('{}'), null);
  assert.equal(rowsOfPlan('[{'), null);
});

test('an error’s place is the one in the statement’s own text, in characters', () => {
  const place = (sql: string, inExplain: number) => {
    const question = questionOf(Buffer.from(sql));
    assert.equal(question.kind, 'ask');
    return asOfStatement(
      [
        ['M', 'x'],
        ['P', String(inExplain)],
      ],
      question.kind === 'ask' ? question.skipped : 0,
    );
  };
  const explain = 'EXPLAIN (FORMAT JSON) '.length;
  assert.deepEqual(place('select a', explain + 8), [
    ['M', 'x'],
    ['P', '8'],
  ]);
  assert.equal(place('explain analyze /* éé😀 */ select a', explain + 8)[1]?.[1], '34');
  assert.deepEqual(place('copy t to stdout', explain + 8), [['M', 'x']]);
});
