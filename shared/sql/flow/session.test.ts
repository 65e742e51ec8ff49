import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { parseText } from '../analyse.ts';
import { loadParser } from '../parser.ts';
import { FlowAnalyser } from './analyse-flow.ts';
import { columnMasks, type LabelRule, systemPredicate } from './masks.ts';
import type { FlowResult } from './result.ts';
import { effectiveSearchPath, type FlowSession, NO_SESSION } from './session.ts';
import { fixtureCatalog, line, protects } from './testing.ts';

before(loadParser);

const analyser = new FlowAnalyser(fixtureCatalog(18), protects);

function judge(text: string, session: Partial<FlowSession> = {}): FlowResult[] {
  const parsed = parseText(Buffer.from(text));
  assert.ok(parsed.ok, text);
  return analyser.analyseCommand(
    parsed.statements.map(statement => statement.node),
    { ...NO_SESSION, ...session },
  );
}

const lines = (text: string, session: Partial<FlowSession> = {}): string => judge(text, session).map(line).join(' ; ');

test('a search_path setting as SHOW prints it', () => {
  const table: [string, string[]][] = [
    ['"$user", public', ['ann', 'public']],
    ['Public,pg_temp', ['public', 'pg_temp']],
    ['"A ""b"",c" , d', ['A "b",c', 'd']],
    ['', []],
    ['""', ['']],
    ['"open', []],
  ];
  for (const [setting, schemas] of table) assert.deepEqual(effectiveSearchPath(setting, 'ann'), schemas, setting);
});

test('where the search_path is not certain, both meanings count', () => {
  assert.equal(lines('select email from customers', { searchPath: ['sales'] }), '-');
  assert.equal(lines('select email from customers', { searchPath: ['sales'], otherPaths: [['public']] }), '=email');
  assert.equal(
    lines('select * from customers', { searchPath: ['sales'], otherPaths: [['public']] }).startsWith('~email,ssn ~email,ssn'),
    true,
  );
  assert.equal(lines('select * from sales.customers', { searchPath: ['sales'], otherPaths: [['public']] }), '- -');
});

test('what an open transaction changed is unknown until it is committed', () => {
  const [view] = judge('create or replace view v_plain as select email as a, name as b from customers');
  assert.deepEqual(view?.change.names.includes('v_plain'), true);
  const changed = view?.change.names ?? [];
  assert.equal(lines('select a from v_plain', { changed }), '- ?catalog-stale');
  assert.equal(lines('select a from plain', { changed }), '-');
  // What uses it through a view or a function that was there before is as unknown.
  assert.equal(lines('select x from v_union', { changed }), '=email ?catalog-stale');
  assert.equal(lines("select f_pure('x'), 'a' === 'b'", { changed }), '- - ?catalog-stale');
  assert.deepEqual(judge('create table t (like customers)')[0]?.change.names, ['t']);
  assert.equal(lines('select 1', { changed: ['*'] }), '-');
  assert.equal(lines('select a from plain', { changed: ['*'] }), '- ?catalog-stale');
});

test('a table that the transaction made is known by its columns', () => {
  const [made] = judge('create table fresh as select id, name as n from customers');
  assert.ok(made?.change.made);
  const temporary = new Map([[made.change.made.name, made.change.made]]);
  assert.equal(lines('select n, * from fresh', { temporary }), '- - -');
  assert.equal(lines('insert into fresh select id, email from customers', { temporary }), '() sink:table');
});

test('what one text makes is known in it', () => {
  const table: [string, string][] = [
    ['drop table if exists fresh; create table fresh (a int); select a from fresh', '() ; () ; -'],
    ['create view fresh as select a from plain; select a from fresh', '() ; -'],
    ['create view fresh as select email as a from customers; select a from fresh', '() ; - ?relation-missing ?catalog-stale'],
    ['create view fresh as select a from plain; alter table plain rename to p; select a from fresh', '() ; () ; - ?catalog-stale'],
    ["create function fresh() returns text language sql as 'select b from plain'; select fresh()", '() ; -'],
    ["create function fresh() returns text language sql as 'select email from customers'; select fresh()", '() ; ~email'],
    ["create function fresh(a text) returns text language sql as 'select a'; select fresh(email) from customers", '() ; ~email'],
    [
      "create function fresh() returns int language sql as 'select 1'; create or replace function fresh() returns int language sql as 'select 2'; select fresh()",
      '() ; () ; - ?catalog-stale',
    ],
    // What is dropped may have hidden what comes to light.
    ['set search_path = sales, public; drop table customers; select email from customers', '() ; () ; =email'],
    ["do $$begin create type m as enum ('a'); exception when others then null; end$$; create table fresh (a m)", '() ; ()'],
    ['do $$begin create table copied as select email from customers; end$$', '() ?dynamic-sql'],
    ['do $$begin alter table plain rename to was; create table plain (a int); perform a from plain; end$$', '() ?dynamic-sql'],
    ["select set_config('jit', $1, false), set_config('app.tenant', $2::text, true)", '- -'],
    ["select set_config('search_path', $1, false)", '- ?dynamic-sql'],
  ];
  for (const [text, expected] of table) assert.equal(lines(text), expected, text);
});

test('IF NOT EXISTS under the name of a protected table hides nothing', () => {
  const [made] = judge('create table if not exists customers (x int)');
  assert.ok(made?.change.made);
  const temporary = new Map([[made.change.made.name, made.change.made]]);
  assert.ok(judge('select * from customers', { temporary })[0]?.columns?.every(column => column.labels.size > 0));
});

test('names of the wire count in SQL', () => {
  const parsed = parseText(Buffer.from('select email from customers'));
  assert.ok(parsed.ok);
  const node = parsed.statements[0]?.node;
  assert.equal(lines('execute s', { prepared: name => (name === 's' ? node : undefined) }), '=email');
  const [declared] = judge('select email from customers');
  assert.equal(lines('fetch p', { cursor: name => (name === 'p' ? declared : undefined) }), '=email');
});

test('masks: a plain column by its own rule, anything else whole', () => {
  const rules: Record<string, LabelRule> = {
    'public.customers.email': { action: 'mask', as: 'partial', rule: 'pii/email' },
    'public.customers.ssn': { action: 'deny', as: 'redact', rule: 'pii/ssn' },
    'public.events.actor': { action: 'mask', as: 'hash', rule: 'pii/actor' },
  };
  const masks = (text: string): unknown =>
    columnMasks(judge(text)[0] as FlowResult, label => rules[label])?.map(mask =>
      'denied' in mask ? 'denied' : mask.mask === null ? null : `${mask.mask}${mask.whole ? ' whole' : ''}`,
    );
  assert.deepEqual(masks('select id, email, upper(email) from customers'), [null, 'partial', 'redact whole']);
  assert.deepEqual(masks('select ssn from customers'), ['denied']);
  assert.deepEqual(masks('select email from customers union all select actor from events'), ['redact whole']);
  assert.deepEqual(masks('select email from customers union all select email from v_emails v(id, email, n)'), ['partial']);
  assert.deepEqual(masks('select query from pg_stat_activity'), ['redact whole']);
  assert.equal(
    columnMasks(judge('delete from plain')[0] as FlowResult, () => undefined),
    null,
  );
});

test('system columns have predicate rules of their own', () => {
  assert.equal(systemPredicate('pg_catalog.pg_stats.most_common_vals'), 'deny');
  assert.equal(systemPredicate('pg_catalog.pg_stat_activity.query'), 'allow');
  assert.equal(systemPredicate('public.customers.email'), undefined);
});

test('functions that multiply, and nesting without end, are given up', () => {
  const deep = `select ${'(select '.repeat(200)}1${')'.repeat(200)}`;
  assert.ok(judge(deep)[0]?.unknown.some(reason => reason.code === 'too-deep'));
  const wide = `select ${new Array(300).fill('f_pure(b)').join(' || ')} from plain`;
  assert.ok(judge(wide)[0]?.unknown.some(reason => reason.code === 'too-deep'));
});

test('what a literal decides is marked', () => {
  assert.equal(judge('select id, email from customers order by 2')[0]?.literalSensitive, true);
  assert.equal(judge("select id from customers where email = 'x' limit 3")[0]?.literalSensitive, false);
});

test('what is touched is known where nothing is returned', () => {
  assert.deepEqual([...(judge('update customers set name = null')[0]?.touched ?? [])].sort(), [
    'public.customers.email',
    'public.customers.ssn',
  ]);
  assert.deepEqual(judge('update plain set a = 1')[0]?.touched.size, 0);
  assert.deepEqual([...(judge('select c.id, o.total from customers c join orders o on o.id = c.id')[0]?.reads ?? [])].sort(), [
    'public.customers.id',
    'public.orders.id',
    'public.orders.total',
  ]);
});
