import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { loadParser, parse } from '@sallyport/shared/sql/parser.ts';
import { impurityOfExpression, previewStatements } from './statement.ts';

before(loadParser);
const made = (sql: string) => {
  const outcome = previewStatements(Buffer.from(sql), 5);
  assert.ok(outcome.ok, outcome.ok ? '' : `${sql}: ${outcome.reason}`);
  return outcome.statements;
};
const refused = (sql: string) => {
  const outcome = previewStatements(Buffer.from(sql), 5);
  return outcome.ok ? `not refused: ${outcome.statements.effect}` : outcome.reason;
};

test('UPDATE keeps its clauses in the statement that reads the rows before', () => {
  const hard =
    'with x as (select 1 as a) update only "T a" as "set" set b = b is distinct from (select 1 from y where z), c = $1 from x, lateral (select 2) q where "set".a = x.a returning *, a as "where" -- end';
  const { before: reads, effect, named } = made(hard);
  assert.match(
    reads ?? '',
    /^with x as \(select 1 as a\) \nSELECT "set"\.\* FROM {2}only "T a" as "set" \n, {2}x, lateral \(select 2\) q \nwhere "set"\.a = x\.a \nLIMIT 5$/,
  );
  assert.doesNotMatch(effect, /as "where"/);
  assert.deepEqual(named.relations, ['"T a"', '"y"', '"x"']);
  for (const text of [reads ?? '', effect]) assert.ok(parse(Buffer.from(text)).ok, text);
});

test('everything that is named is looked at, wherever it stands', () => {
  const { named } = made(
    'insert into s.t (a) select (u).f, lower(g::thing) from u where a @@@ any (select 1) order by b using >>> on conflict do nothing',
  );
  assert.deepEqual(named.relations, ['"s"."t"', '"u"']);
  assert.deepEqual(named.functions, ['lower']);
  for (const operator of ['@@@', '>>>', '=']) assert.ok(named.operators.includes(operator), operator);
  assert.ok(named.attributes.includes('f'));
  assert.ok(named.types.includes('thing'));
});

test('places in the text do not count: lists and arrays', () => {
  for (const where of ['n in (3, 4)', 'n = any (array[1, 2])', 'n not in (1) and a[1:2] = array[[1], [2]]'])
    assert.match(made(`update t set v = 1 where ${where}`).before ?? '', /^\nSELECT "t"/);
});

test('what may act outside of the transaction is not tried out', () => {
  assert.match(refused("update t set a = nextval('s')"), /nextval/);
  assert.match(refused('delete from t where own.f(a)'), /own\.f/);
  assert.match(refused('update t set a = lower(b) where exists (select from dblink(c))'), /dblink/);
  assert.match(refused('delete from t where current of c'), /CURRENT OF/);
  assert.match(refused('select 1'), /only INSERT/);
  assert.match(refused('explain analyze delete from t'), /only INSERT/);
  assert.match(refused('delete from t; delete from t'), /several/);
  assert.match(refused('with d as (delete from t returning *) insert into u select * from d'), /WITH/);
  assert.equal(impurityOfExpression("'x'::text || lower('Y')"), null);
  assert.match(impurityOfExpression("nextval('s'::regclass)") ?? '', /sequence/);
  assert.match(impurityOfExpression('own.f()') ?? '', /own\.f/);
});
