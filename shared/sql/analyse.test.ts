import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { isStatementKind } from '../policy/statement-kinds.ts';
import { type Analysis, StatementAnalyser, withPrepared } from './analyse.ts';
import { CORPUS } from './fuzz/corpus.ts';
import { mutate } from './fuzz/mutate.ts';
import { seeded } from './fuzz/random.ts';
import { loadParser, PARSE_BYTES_MAX, parserStats } from './parser.ts';

before(loadParser);

const SETTINGS = { standardConformingStrings: true };
const analyse = (text: string): Analysis => new StatementAnalyser({ cacheEntries: 10 }).analyse(text, SETTINGS);

test('kinds are found wherever they stand', () => {
  const table: [string, string[]][] = [
    ['', ['empty']],
    [' ; -- nothing\n;', ['empty']],
    ['select 1', ['select']],
    ['values (1)', ['select']],
    ['table t', ['select']],
    ['select * into x from t', ['create-table-as', 'select']],
    ['select 1 union select * from t', ['select']],
    ['with d as (delete from t returning *) select * from d', ['delete', 'select']],
    ['with a as (with b as (insert into t values (1) returning 1) select * from b) select * from a', ['insert', 'select']],
    ['explain delete from t', ['explain']],
    ['explain (analyze false) delete from t', ['explain']],
    ['explain (analyze off, analyze on) delete from t', ['delete', 'explain-analyze']],
    ['explain analyze delete from t', ['delete', 'explain-analyze']],
    ['explain (analyze) create table x as select 1', ['create-table-as', 'explain-analyze', 'select']],
    ['prepare p as truncate t', []], // not in the grammar
    ['prepare p as delete from t', ['delete', 'prepare']],
    ['execute p', ['execute']],
    ['create table x as execute p', ['create-table-as', 'execute']],
    ['do $$begin delete from t; end$$', ['delete', 'do']],
    ["do $$begin if x = 1 then execute 'drop table t'; end if; end$$", ['do', 'select']],
    ["do language plpgsql 'begin perform drop_all(); end'", ['do', 'select']],
    [
      'create function f() returns void language plpgsql as $$ declare n int := (select 1); begin for n in delete from t returning 1 loop update u set a = 1; end loop; end $$',
      ['create-function', 'delete', 'select', 'update'],
    ],
    ["create procedure p() language sql as 'truncate t; drop table u'", ['create-procedure', 'drop-table', 'truncate']],
    ['create function f() returns int language sql begin atomic; delete from t; select 1; end', ['create-function', 'delete', 'select']],
    ['create rule r as on select to t do instead (delete from u; notify x)', ['create-rule', 'delete', 'notify']],
    ['copy (delete from t returning *) to stdout', ['copy-to', 'delete']],
    ['copy t from stdin', ['copy-from']],
    ["copy t to '/tmp/x'", ['copy-to-file']],
    ["copy t from program 'id'", ['copy-from-program']],
    ['declare c cursor for select * from t', ['declare-cursor', 'select']],
    ['create schema s create table t (a int) create view v as select 1', ['create-schema', 'create-table', 'create-view', 'select']],
    ['create materialized view v as select 1', ['create-materialized-view', 'select']],
    ['alter table t rename to u', ['alter-table']],
    ['alter view t rename column a to b', ['alter-view']],
    ['drop table a, b', ['drop-table']],
    ['drop user u', ['drop-role']],
    ['drop owned by u', ['drop-owned']],
    ['grant select on t to u', ['grant']],
    ['grant a to b', ['grant-role']],
    ['set role x', ['set-role']],
    ['reset role', ['set-role']],
    ['set session authorization x', ['set-session-authorization']],
    ['set transaction read only', ['set-transaction']],
    ['set x.y = 1', ['set']],
    ['reset all', ['reset']],
    ['start transaction', ['begin']],
    ['end', ['commit']],
    ['abort', ['rollback']],
    ['vacuum t', ['vacuum']],
    ['analyze t', ['analyze']],
    ['fetch all from c', ['fetch']],
    ['move all from c', ['move']],
    ['call p()', ['call']],
    ['listen x', ['listen']],
    ['comment on table t is null', ['comment']],
    ['alter system set a = 1', ['alter-system']],
    ['security label on table t is null', ['security-label']],
    ['select 1; drop table t', ['drop-table', 'select']],
  ];
  for (const [text, kinds] of table) {
    const { facts } = analyse(text);
    if (kinds.length === 0) assert.ok(facts.unparseable, text);
    else assert.deepEqual([...facts.statements].sort(), kinds, text);
    for (const kind of facts.statements) assert.ok(isStatementKind(kind), `${text}: ${kind}`);
  }
});

test('objects are as written, and CTEs are none', () => {
  const table: [string, string[]][] = [
    ['select * from a, s.b, "S"."T t"', ['*.a', 's.b', 'S.T t']],
    ['with a as (select 1) select * from a, s.a', ['s.a']],
    ['with a as (select * from a) select * from a', ['*.a']],
    ['with recursive a as (select * from a) select * from a', []],
    ['with a as (select 1), b as (select * from a, c) select * from b', ['*.c']],
    ['with t as (select 1) insert into t select * from t', ['*.t']],
    ['with t as (select 1) delete from t', ['*.t']],
    ['select * from (with q as (select 1) select * from q) x, q', ['*.q']],
    ['with q as (select 1) select (select 1 from q), (with z as (select 1) select 1 from z), 1 from z', ['*.z']],
    ['drop table a.b, c', ['a.b', '*.c']],
    ['truncate a, s.b', ['*.a', 's.b']],
    ['merge into t using u on true when matched then delete', ['*.t', '*.u']],
    ['select U&"d\\0061t" from U&"t\\0061b"', ['*.tab']],
  ];
  for (const [text, objects] of table) assert.deepEqual([...analyse(text).facts.objects].sort(), [...objects].sort(), text);
});

test('functions, and what may write', () => {
  const table: [string, string[], boolean][] = [
    ['select lower(a), count(*), pg_catalog.now() from t', ['*.count', '*.lower', 'pg_catalog.now'], false],
    ["select nextval('s')", ['*.nextval'], true],
    ['select mine()', ['*.mine'], true],
    ['select public.lower(a) from t', ['public.lower'], true],
    ['select * from generate_series(1, 2)', ['*.generate_series'], false],
    ["select set_config('a', 'b', false)", ['*.set_config'], true],
    ['select 1 for update', [], true],
    ['select a operator(mine.+) b from t', [], true],
    ['select a operator(pg_catalog.+) b from t', [], false],
    ['explain select 1', [], false],
    ['explain delete from t', [], false],
    ['explain analyze delete from t', [], true],
    ['begin', [], false],
    ['show all', [], false],
    ['copy t to stdout', [], false],
    ['copy t from stdin', [], true],
    ['execute p', [], true],
    ['prepare p as select 1', [], false],
    ['prepare p as delete from t', [], true],
  ];
  for (const [text, functions, writes] of table) {
    const { facts } = analyse(text);
    assert.deepEqual([...facts.functions].sort(), functions, text);
    assert.equal(facts.writes, writes, text);
  }
});

test('how UPDATE, DELETE and MERGE are limited: the weakest counts', () => {
  const table: [string, string][] = [
    ['delete from t', 'none'],
    ['update t set a = 1', 'none'],
    ['select 1', 'notApplicable'],
    ['insert into t values (1)', 'notApplicable'],
    ...[
      'true',
      '1=1',
      "'a'='a'",
      'x=x',
      't.x = x',
      'x >= x',
      'not false',
      '1 in (1)',
      '1 in (2, 1)',
      'x in (x)',
      'exists(select 1)',
      'exists(select 2)',
      '(select true)',
      'x is null or x is not null',
      'a = 5 or true',
      'a = 5 or 1 < 2',
      'not (x <> x)',
      'x is not distinct from x',
      "x like '%'",
      "'a' || 'b' = 'ab'",
      "length('a') = 1",
      "now() > '2000-01-01'",
      'random() < 2',
      'case when true then true end',
      'coalesce(true, x)',
      'x between x and x',
      'true is true',
      'null is null',
      'not null is not null or true',
      'a = 1 or not a = 1',
      '1',
      "'t'",
      'true and true',
      '1=1 and x=x',
      '$1 = 1',
      'id in (select id from t)',
      '1::bool',
      "'yes'::boolean",
      '2 > 1',
      'a = 1 or x = x',
    ].map((where): [string, string] => [`delete from t where ${where}`, 'tautology']),
    ...[
      'id = 5',
      'id = $1',
      '1=2',
      'false',
      'x = y',
      'a.x = b.x',
      'x in (1, 2)',
      'exists (select 1 from u where u.id = t.id)',
      'x is null',
      'id in (select id from u)',
      'id in (select id from t where x = 1)',
      'x = 1 and true',
      "x like 'a%'",
      '$1 is null or x = $1',
      'current of c',
      'x = 1 or y = 2',
      'case when x = 1 then true else false end',
      'id = 5 or 1 = 2',
      'f(x) = f(x)',
      'null',
      'not true',
    ].map((where): [string, string] => [`delete from t where ${where}`, 'some']),
    ['update t set a = 1 where id = 1; delete from t', 'none'],
    ['with d as (delete from t where 1 = 1) update u set a = 1 where id = 4', 'tautology'],
    ['merge into t using s on true when matched then delete', 'tautology'],
    ['merge into t using s on t.id = s.id when matched then delete', 'some'],
    ['do $$begin delete from t; end$$', 'none'],
  ];
  for (const [text, where] of table) assert.equal(analyse(text).facts.where, where, text);
});

test('what cannot be judged says so', () => {
  assert.deepEqual(analyse("do $$begin execute 'x'; end$$").facts.opaque, ['dynamic SQL']);
  assert.deepEqual(analyse('do $$begin perform 1; end$$').facts.opaque, []);
  assert.deepEqual(analyse("do $$declare c refcursor := 'x'; r text; begin fetch c into r; raise notice '%', r; end$$").facts.opaque, [
    'dynamic SQL',
  ]);
  assert.ok(analyse('do $$declare x int[]; begin x[f(g(1))] := 2; end$$').facts.functions.includes('*.g'));
  assert.deepEqual(analyse("do language plperl 'x'").facts.opaque, ['a DO block in plperl']);
  assert.deepEqual(analyse("create function f() returns int language c as 'a', 'b'").facts.opaque, ['a function body in c']);
  assert.deepEqual(analyse('call p()').facts.opaque, ['CALL of a procedure']);
  assert.deepEqual(analyse('select 1').facts.opaque, []);
});

test('text that does not parse is unparseable, with the reason', () => {
  assert.equal(analyse('selec 1').facts.unparseable, 'syntax error at or near "selec"');
  assert.ok(analyse("select '").facts.unparseable);
  assert.ok(analyse('select 1\0; drop table t').facts.unparseable);
  assert.ok(analyse('select \ud800').facts.unparseable);
  assert.match(analyse(`select '${'x'.repeat(PARSE_BYTES_MAX)}'`).facts.unparseable ?? '', /bytes/);
  const analyser = new StatementAnalyser({ cacheEntries: 10 });
  assert.ok(analyser.analyseBytes(Buffer.from([0x73, 0x27, 0xc3, 0x28, 0x27]), SETTINGS).facts.unparseable);
  assert.ok(analyser.analyseBytes(Buffer.from("select 'é'"), SETTINGS).error === undefined);
});

test('deep nesting is refused and the parser lives on', async () => {
  const deep = [
    `select ${'('.repeat(50000)}1${')'.repeat(50000)}`,
    `select ${'1+'.repeat(30000)}1`,
    `select ${'not '.repeat(4000)}true`,
    `select ${'(select '.repeat(3000)}1${')'.repeat(3000)}`,
  ];
  for (const text of deep) {
    const { facts } = analyse(text);
    assert.ok(facts.unparseable !== undefined || facts.statements.length > 0);
    assert.equal(analyse('select 1').error, undefined);
  }
  const before = parserStats().retired;
  analyse(`select ${'1+'.repeat(30000)}1`);
  assert.equal(parserStats().retired, before + 1);
  await loadParser();
  assert.equal(analyse('select 1').error, undefined);
});

test('standard_conforming_strings off: a backslash in a plain string is refused, elsewhere it is fine', () => {
  const analyser = new StatementAnalyser({ cacheEntries: 10 });
  const off = { standardConformingStrings: false };
  assert.ok(analyser.analyse("select '\\'", SETTINGS).error === undefined);
  assert.match(analyser.analyse("select '\\'", off).facts.unparseable ?? '', /standard_conforming_strings/);
  assert.match(analyser.analyseBytes(Buffer.from("select '\\', é"), off).facts.unparseable ?? '', /standard_conforming_strings/);
  assert.ok(analyser.analyse("select 'a' -- c\n '\\'; drop table t --'", off).facts.unparseable);
  assert.equal(analyser.analyse("select e'\\''", off).error, undefined);
  assert.equal(analyser.analyse("select 'a'", off).error, undefined);
});

test('statements have their place in the text, in characters or bytes', () => {
  const analyser = new StatementAnalyser({ cacheEntries: 10 });
  const text = " select '😀é'; /* x */ update t set a = 'é' ;; select 3 ";
  const inText = analyser.analyse(text, SETTINGS).statements.map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(inText, ["select '😀é'", "update t set a = 'é'", 'select 3']);
  const bytes = Buffer.from(text);
  for (let again = 0; again < 2; again++) {
    const inBytes = analyser.analyseBytes(bytes, SETTINGS).statements.map(({ start, end }) => bytes.subarray(start, end).toString());
    assert.deepEqual(inBytes, inText);
  }
  const first = analyser.analyse('select 1', SETTINGS).statements[0];
  const moved = analyser.analyse('  select 222', SETTINGS).statements[0];
  assert.deepEqual([first?.start, first?.end, moved?.start, moved?.end], [0, 8, 2, 12]);
});

test('what a statement does to the session', () => {
  const effects = (text: string): unknown[] => analyse(text).statements.flatMap(statement => statement.effects);
  assert.deepEqual(effects('set local search_path = a, "B c"'), [{ type: 'set', name: 'search_path', value: 'a, "B c"', local: true }]);
  assert.deepEqual(effects('set a.b to default'), [{ type: 'set', name: 'a.b', value: null, local: false }]);
  assert.deepEqual(effects('reset search_path'), [{ type: 'set', name: 'search_path', value: null, local: false }]);
  assert.deepEqual(effects('reset all; discard all; deallocate all; deallocate p; close c'), [
    { type: 'reset-all' },
    { type: 'discard', target: 'DISCARD_ALL' },
    { type: 'deallocate', name: null },
    { type: 'deallocate', name: 'p' },
    { type: 'close-cursor', name: 'c' },
  ]);
  assert.deepEqual(effects('begin; savepoint a; declare c cursor with hold for select 1; fetch c'), [
    { type: 'transaction', verb: 'begin' },
    { type: 'transaction', verb: 'savepoint' },
    { type: 'declare-cursor', name: 'c', hold: true },
    { type: 'fetch', name: 'c' },
  ]);
  assert.deepEqual(effects('copy t from stdin'), [{ type: 'copy', direction: 'in' }]);
});

test('EXECUTE takes the facts of what was prepared, or is opaque', () => {
  const prepared = analyse('prepare p as delete from t').statements[0]?.effects[0];
  assert.ok(prepared?.type === 'prepare');
  const execute = analyse('explain analyze execute p');
  const facts = withPrepared(execute, name => (name === 'p' ? prepared.facts : undefined));
  assert.deepEqual([facts.where, facts.objects, facts.statements], ['none', ['*.t'], ['explain-analyze', 'execute', 'delete']]);
  assert.equal(withPrepared(execute, () => undefined).opaque.length, 1);
});

test('a remembered answer is the one that a fresh analysis gives, over the corpus and random damage', () => {
  const random = seeded(99);
  const shared = new StatementAnalyser({ cacheEntries: 500 });
  for (let round = 0; round < 3000; round++) {
    const base = random.pick(CORPUS);
    const text = random.once(3)
      ? base.replace(/\b\d+\b/g, () => String(random.below(100)))
      : random.once(2)
        ? base.replace(/'(\w+)'/g, () => `'${random.pick(['a', 'b', '%', 'x'])}'`)
        : mutate(base, random);
    if (!text.isWellFormed()) continue;
    assert.deepEqual(shared.analyse(text, SETTINGS), analyse(text), JSON.stringify(text));
    const bytes = Buffer.from(text);
    const fresh = new StatementAnalyser({ cacheEntries: 10 }).analyseBytes(bytes, SETTINGS);
    assert.deepEqual(shared.analyseBytes(bytes, SETTINGS), fresh, JSON.stringify(text));
  }
  const { keyHits, textHits, parsed } = shared.stats();
  assert.ok(keyHits > 300 && textHits > 100 && parsed > 500, JSON.stringify(shared.stats()));
});

test('the caches are bounded', () => {
  const analyser = new StatementAnalyser({ cacheEntries: 16 });
  for (let i = 0; i < 200; i++) {
    analyser.analyse(`select a${i}`, SETTINGS);
    analyser.analyse(`set x = ${i}`, SETTINGS);
  }
  const { parsed } = analyser.stats();
  analyser.analyse('select a0', SETTINGS);
  assert.equal(analyser.stats().parsed, parsed + 1);
});
