/**
 * Evasions in the database of database.ts: functions that run as somebody else, in schemas that the caller may not use; types that tables
 * follow; stored results whose definition is replaced; triggers that tell in errors, notices and notifications; COPY in encodings whose
 * characters hold separators.
 */
import type { Evasion, Step } from './corpus.ts';

const found: Evasion[] = [];
const add = (category: string, ...scripts: readonly (string | readonly string[])[]): void => {
  for (const script of scripts)
    found.push({ category, steps: (typeof script === 'string' ? [script] : script).map((simple): Step => ({ simple })) });
};
const inAllModes = (category: string, ...statements: readonly string[]): void => {
  add(category, ...statements);
  for (const sql of statements)
    found.push(
      { category, steps: [{ extended: sql, describe: false }] },
      { category, steps: [{ extended: sql, binary: true }] },
      { category, steps: [{ pipeline: ['select 1', sql] }] },
    );
};

inAllModes(
  'run as somebody else',
  'select sealed_with_path()',
  'select sealed_by_name()',
  'select sealed_by_user()',
  'select sealed_by_user_path()',
  'select * from sealed_rows()',
  'select sealed_plpgsql()',
  'select sealed_atomic()',
  'select sealed_indirect()',
  'call sealed_procedure(null)',
  'select note from sealed_view',
  'select note from sealed_called',
  'select reverse(sealed_by_user())',
  'select note from keeper.notes',
);
add(
  'run as somebody else',
  ['create view mine as select sealed_by_user() as n', 'select n from mine'],
  ['set local search_path = public', 'select upper(sealed_by_user_path())'],
  ["set local search_path = ''", 'select public.sealed_by_user_path()'],
  ['set role keeper', 'select note from notes', 'reset role'],
  ['set local role keeper', 'select upper(note) from notes'],
  ["select set_config('role', 'keeper', true)", 'select note from notes'],
  [
    'create function asked() returns text language sql as $$select note from notes where id = 1$$',
    'alter function asked() set role = keeper',
    'select asked()',
  ],
  ['create function asked() returns text language sql set role = keeper as $$select note from notes where id = 1$$', 'select asked()'],
  'copy (select sealed_by_user()) to stdout',
  ['declare c cursor for select sealed_by_user()', 'fetch all from c'],
  ['prepare p as select sealed_by_user()', 'execute p', 'deallocate p'],
);
add(
  'what tables follow',
  ['alter type person_type rename attribute secret to s cascade', 'select s from typed_people'],
  [
    'alter type person_type rename attribute id to x cascade',
    'alter type person_type rename attribute secret to id cascade',
    'select id from typed_people',
  ],
  'select secret from typed_people',
  'select t from typed_people t',
  'select (t::person_type).secret from typed_people t',
  'copy typed_people to stdout',
);
add(
  'stored before its definition changed',
  ["create or replace view stored_source as select id, ''::text as v from customers", 'select upper(v) from stored_emails where id = 1'],
  ["create or replace view stored_source as select 1 as id, 'x'::text as v", 'copy (select v from stored_emails) to stdout'],
  [
    "create or replace function email_of(int) returns text language sql stable as 'select ''x''::text'",
    'select upper(v) from stored_calls',
  ],
  ["create or replace function email_of(int) returns text language sql stable return 'x'", 'select v from stored_calls'],
  ["create or replace function tagged(text) returns text language sql immutable as 'select ''x''::text'", 'select g from stored_tags'],
  'select g from stored_tags',
  'select upper(g) from stored_tags',
  'select v from stored_emails where id = 1',
  'select v from stored_calls',
);
inAllModes(
  'triggers that tell',
  "update tickets set title = 'notice' where id = 1",
  "update tickets set title = 'error' where id = 1",
  "insert into tickets values (3, 1, 'error')",
  "insert into tickets values (3, 1, 'notice')",
  "merge into tickets t using (values (1)) v(n) on t.id = v.n when matched then update set title = 'error'",
  "with u as (update tickets set title = 'notice' where id = 1 returning id) select * from u",
  "explain (analyze, costs off) update tickets set title = 'error' where id = 1",
);
add(
  'triggers that tell',
  ['begin', 'listen tickets', "update tickets set title = 'notify' where id = 1", 'commit', 'unlisten *'],
  ["prepare p as update tickets set title = 'error' where id = $1", 'execute p(1)', 'deallocate p'],
  [
    'create function pushes() returns int language sql as $$update tickets set title = $x$error$x$ where id = 1 returning id$$',
    'select pushes()',
  ],
);

// The second byte of ポ is |, that of 表 a backslash, in SJIS.
const shifted = (options: string) => `copy (select U&'\\30DD', email, U&'\\8868', 'x' from customers where id = 1) to stdout ${options}`;
add(
  'separators inside of characters',
  ['set client_encoding = sjis', shifted("(delimiter '|')")],
  ['set client_encoding = sjis', shifted("(format csv, delimiter '|')")],
  ['set client_encoding = sjis', shifted("(format csv, delimiter '~', quote '|')")],
  ['set client_encoding = sjis', "copy (select U&'\\30BD\\30FC\\8868', email from customers where id = 1) to stdout (delimiter '|')"],
  ['set client_encoding = shift_jis_2004', shifted("(delimiter '|')")],
  ['set client_encoding = big5', "copy (select U&'\\529F\\8A31', email from customers where id = 1) to stdout"],
  ['set client_encoding = gb18030', "copy (select U&'\\4E02\\4E04', email from customers where id = 1) to stdout (delimiter '~')"],
  ['set client_encoding = gbk', "select U&'\\4E02', email || '' from customers where id = 1"],
  ['set client_encoding = euc_jp', "select U&'\\30DD', email, upper(email) from customers where id = 1"],
  ['set client_encoding = uhc', "copy (select U&'\\AC02', email from customers where id = 1) to stdout (format csv, force_quote *)"],
  "copy (select email from customers where id = 1) to stdout (format csv, delimiter ';', quote '''', escape '~')",
  "copy (select E'a\\tb', email from customers where id = 1) to stdout",
  "copy (select E'a\\nb', email from customers where id = 1) to stdout (format csv)",
  "copy (select null, email, null from customers where id = 1) to stdout (null 'c')",
  "copy (select 'x', email from customers where id = 1) to stdout (encoding 'latin1')",
  'copy customers (email, id) to stdout (format text, header)',
  "copy (select 1, email from customers where id = 1) to stdout with (format csv, null 'canary.ada@example.com')",
);

// A path of its own that begins with whoever calls.
add(
  '$user in a function’s path',
  [
    'set local role keeper',
    `create function pg_temp.own_note() returns text language sql set search_path = "$user", public as 'select note from notes where id = 1'`,
    'select pg_temp.own_note()',
  ],
  [
    `create function public.own_note() returns text language sql set search_path = "$user", public as 'select note from notes where id = 1'`,
    'set local role keeper',
    'select public.own_note()',
  ],
);

export const grown: readonly Evasion[] = found;
