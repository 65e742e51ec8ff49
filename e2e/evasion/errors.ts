/**
 * Errors of statements that touch tables with protected columns. Those whose words cannot come from a row are the server's own
 * (agent/postgres/backend/value-free.ts), and these evasions try to have a value among them.
 */
import type { Evasion, Step } from './corpus.ts';

type Script = readonly (string | Step)[];

const found: Evasion[] = [];
const add = (category: string, scripts: readonly Script[]): void => {
  for (const script of scripts)
    found.push({ category, steps: script.map((step): Step => (typeof step === 'string' ? { simple: step } : step)) });
};

add('errors that name what they met', [
  ['select id from customers where id = 1 and email::int = 1'],
  ['select email::regclass from customers where id = 1'],
  ['select id from customers where id = 1 and email::regclass = 1 order by id'],
  ['select id from customers where id = 1 and email::date is null'],
  [{ extended: 'select id from customers where id = $1 and email::int = 1', parameters: ['1'] }],
  ['create view hidden_condition as select id from customers where id = 1 and email::int = 1', 'select id from hidden_condition'],
  [
    'create view hidden_condition as select id from customers where id = 1 and email::int = 1',
    'create view above as select id from hidden_condition',
    'select id + 1 from above',
  ],
  [
    'create function by_function() returns bigint language sql as $$select count(*) from customers where id = 1 and email::int = 1$$',
    'select by_function()',
  ],
]);

add('rows and keys that constraints show', [
  ['update customers set name = null where id = 1'],
  ['create view without_email as select id, name from customers', 'update without_email set name = null where id = 1'],
  ["insert into customers (id, name, email, balance) values (1, 'x', 'y', 1) on conflict (id) do update set name = null"],
  ['insert into customers (id, name, email, balance) select id + 7000, null, email, 1 from customers where id = 1'],
  ['alter table customers add constraint never check (id <> 1) not valid', 'update customers set notes = notes where id = 1'],
  [
    'create unique index on customers (email)',
    'insert into customers (id, name, email, balance) select id + 7000, name, email, 1 from customers where id = 1',
  ],
  [
    'create unique index on customers (lower(email))',
    'insert into customers (id, name, email, balance) select id + 7000, name, email, 1 from customers where id = 1',
  ],
  [
    'create unique index on customers (name, email)',
    'insert into customers (id, name, email, balance) select id + 7000, name, email, 1 from customers where id = 1',
  ],
  ['create unique index on stored_tags (g)', 'insert into stored_tags (id, e) select 7000, e from stored_tags where id = 1'],
  [
    'alter table customers add constraint apart exclude (email with =)',
    'insert into customers (id, name, email, balance) select id + 7000, name, email, 1 from customers where id = 1',
  ],
  ['merge into customers c using (values (1)) v(id) on c.id = v.id when matched then update set name = null'],
  [
    'begin',
    'declare k cursor for select id from customers where id = 1 for update',
    'fetch k',
    'update customers set name = null where current of k',
    'rollback',
  ],
  [{ extended: 'update customers set name = $1 where id = 1', parameters: [null] }],
]);

add('policies that say what they met', [
  [
    'create table watched (id int, note text, email text)',
    'insert into watched values (1, $$a$$, $$b$$)',
    'create policy reading on watched using ((select email from customers where id = 1)::int = watched.id)',
    'alter table watched enable row level security',
    'alter table watched force row level security',
    'select id from watched',
  ],
  [
    'create policy reading on customers using (id = 1 and email::int = id)',
    'alter table customers enable row level security',
    'alter table customers force row level security',
    'select id from customers',
  ],
]);

export const errors: readonly Evasion[] = found;

/** They touch nothing protected, so that each is the server's own error. */
export const harmlessErrors: readonly string[] = [
  'select nope from customers',
  'select c.nope from customers c',
  'select id from customers where nope = 1',
  'select id::date from customers where id = 2',
  'select name::int from customers where id = 2',
  'select 1/(id - 2) from customers where id = 2',
  'select id from customers group by name',
  'select max(id) from customers where max(id) > 1',
  'select id, count(*) from customers',
  'insert into customers (id) values (3)',
  "insert into customers (id, name, email, balance) values (2, 'x', 'y', 1)",
  'insert into customers (nope) values (1)',
  'update customers set nope = 1',
  'delete from customers where nope = 1',
  'delete from customers where id = 1',
  'update customers set id = 2 where id = 3',
  "update customers set born = 'x' where id = 3",
  'select id from customers limit -1',
  "select id from customers where id = 'x'",
  'select id from customers order by 9',
  'select id from customers union select name from customers',
  'select id + name from customers',
  'select upper(id) from customers',
  'select nofn(id) from customers',
  'select id from customers c, customers c',
  'select id from customers a, customers b',
  'create table customers (id int)',
  'alter table customers drop column nope',
  'drop table customers',
  'drop view customers',
  'select distinct on (id) id, name from customers order by name limit 1',
  "select id from customers where name ~ '('",
  "select id from customers where born > 'nodate'",
  'select balance / 0 from customers where id = 2',
  'select (select id from customers)',
  'copy customers (id, nope) from stdin',
  'explain select nope from customers',
  'insert into customers select 1',
  "insert into customers (id, name, email, balance) values (-7, 'x', 'y')",
  'select id from customers where id in (select id, name from customers)',
  'with x as (select 1) select nope from x, customers',
  'merge into customers c using orders o on c.id = o.id when matched then update set nope = 1',
  'select name::date from customers where id = 2',
  "select to_date(name, 'YYYY') from customers where id = 2",
  'select id from customers where balance = $$x$$::numeric',
];
