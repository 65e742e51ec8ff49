/**
 * Evasions that set a protected value against rows that the asker wrote: into the protected table itself, as a dictionary, or as
 * copies of the value beside every number; that have somebody's own function run by an operator, a cast or `row.f` in a
 * definition; that have a rule return rows; and that move rows to where nothing is protected once their table is gone.
 */
import type { Evasion } from './corpus.ts';

const found: Evasion[] = [];
const add = (category: string, scripts: readonly (readonly string[])[], witness?: RegExp): void => {
  for (const script of scripts)
    found.push({ category, steps: script.map(simple => ({ simple })), ...(witness === undefined ? {} : { witness }) });
};

const dictionary = 'insert into customers (id, name, email, balance) select 100000 + i, chr(i), chr(i), 0 from generate_series(32, 126) i';
const nine = Array.from({ length: 9 }, (_, i) => i);
const spelt = nine.map(i => `b${i}.name`).join(' || ');
add(
  'a dictionary in the table itself',
  [
    `select ${spelt} from customers a ${nine.map(i => `join customers b${i} on b${i}.email = substr(a.email, ${i + 1}, 1)`).join(' ')} where a.id = 1`,
    `select ${nine.map(i => `(select b.name from customers b where b.email = substr(a.email, ${i + 1}, 1))`).join(' || ')} from customers a where a.id = 1`,
    `select ${spelt} from customers a, ${nine.map(i => `customers b${i}`).join(', ')} where a.id = 1 and ${nine.map(i => `starts_with(substr(a.email, ${i + 1}), b${i}.email)`).join(' and ')}`,
  ].map(sql => [dictionary, sql]),
  /canary\.ad/,
);
add(
  'a dictionary in the table itself',
  [
    "select string_agg(b.name, '' order by b.id) from customers a join customers b on position(b.email in a.email) > 0 where a.id = 1",
    "select string_agg(n, '' order by i) from (select b.name n, b.id i, position(b.email in a.email) > 0 as hit from customers a, customers b where a.id = 1) s where hit",
    "select string_agg(n, '' order by i) from (select b.name n, b.id i, a.email x, b.email y from customers a, customers b where a.id = 1) s where position(y in x) > 0",
    "select string_agg(n, '' order by i) from (select b.name n, b.id i, a.email x, b.email y from customers a, customers b where a.id = 1 offset 0) s where replace(x, y, '') <> x",
    "with s as (select b.name n, b.id i, a.email x, b.email y from customers a, customers b where a.id = 1) select string_agg(n, '' order by i) from s where strpos(x, y) > 0",
    "select string_agg(b.name, '' order by b.id) from customers b where strpos((select email from customers where id = 1), b.email) > 0",
    "select string_agg(b.name, '' order by b.id) from customers b where b.email = any (string_to_array((select max(email) from customers where id = 1), null))",
    "select string_agg(b.name, '' order by b.id) from customers b where exists (select 1 from customers a where a.id = 1 and strpos(a.email, b.email) > 0)",
    "with d as (delete from customers b using customers a where a.id = 1 and strpos(a.email, b.email) > 0 and b.id > 1 returning b.id, b.name) select string_agg(name, '' order by id) from d",
  ].map(sql => [dictionary, sql]),
  /\.@acdelmnoprxy/,
);
add(
  'a dictionary in the table itself',
  [
    [
      dictionary,
      'create view both_rows as select b.name n, b.id i, a.email x, b.email y from customers a, customers b where a.id = 1',
      "select string_agg(n, '' order by i) from both_rows where position(y in x) > 0",
    ],
    [
      dictionary,
      "update customers b set notes = 'hit' from customers a where a.id = 1 and strpos(a.email, b.email) > 0",
      "select string_agg(name, '' order by id) from customers where notes = 'hit'",
    ],
    [
      dictionary,
      "merge into customers b using customers a on a.id = 1 and strpos(a.email, b.email) > 0 when matched then update set notes = 'hit'",
      "select string_agg(name, '' order by id) from customers where notes = 'hit'",
    ],
    [
      'insert into vault.people select 100000 + i, chr(i) from generate_series(32, 126) i',
      "select string_agg(chr(b.id - 100000), '' order by b.id) from customers a, vault.people b where a.id = 1 and strpos(a.email, b.secret) > 0",
    ],
  ],
  /\.@acdelmnoprxy/,
);
add(
  'a dictionary in the table itself',
  [
    "select 'at ' || name || '!' from (select left(email, 1) as email from customers where id = 1) a join customers b using (email)",
    "select 'at ' || name || '!' from (select left(email, 1) as email from customers where id = 1) a natural join (select email, name from customers) b",
    "select 'at ' || n || '!' from (select left(a.email, 1) k, g.name n from customers a, customers g where a.id = 1 intersect select email, name from customers) s",
    "select 'at ' || g.name || '!' from customers a, customers g where a.id = 1 and (left(a.email, 1), g.name) in (select email, name from customers)",
    "select 'at ' || name || '!' from (select name, email, first_value(email) over (order by id) as f from customers) s where left(f, 1) = email",
    "select 'at ' || name || '!' from (select name, left(first_value(email) over (order by id), 1) = email as hit from customers) s where hit",
    "select 'at ' || name || '!' from customers where email <= (select email from customers where id = 1) and id >= 100000 order by email desc limit 1",
  ].map(sql => [dictionary, sql]),
  /at c!/,
);

const rows = "insert into customers (id, name, email, balance) select g, 'n', 'y', 0 from generate_series(100000, 100000 + 128 * 22 - 1) g";
const own =
  "select string_agg(chr((id - 100000) % 128), '' order by id) from customers where id >= 100000 and ascii(substr(email, (id - 100000) / 128 + 1, 1)) = (id - 100000) % 128";
add(
  'copies beside every number',
  [
    'update customers set email = (select email from customers where id = 1) where id >= 100000',
    'update customers set email = lower((select email from customers where id = 1)) where id >= 100000',
    'update customers c set email = d.email from customers d where d.id = 1 and c.id >= 100000',
    'update customers c set (email, notes) = (d.email, d.notes) from customers d where d.id = 1 and c.id >= 100000',
    "with e as (select email from customers where id = 1) update customers set (email, notes) = (select email, 'x' from e) where id >= 100000",
    'merge into customers c using customers d on d.id = 1 and c.id >= 100000 when matched then update set email = d.email',
    'insert into customers (id, name, email, balance) select id, name, email, 0 from customers where id >= 100000 on conflict (id) do update set email = (select email from customers where id = 1)',
  ].map(copy => [rows, copy, own]),
  /canary\.ada@/,
);
add('copies beside every number', [
  [
    'alter table customers add unique (id, ssn)',
    'create table follows (id int, s text, foreign key (id, s) references customers (id, ssn) on update cascade)',
    "insert into customers (id, name, email, ssn, balance) values (90001, 'x', 'y', 'k', 0)",
    "insert into follows values (90001, 'k')",
    'update customers set ssn = (select ssn from customers where id = 1) where id = 90001',
    'select s from follows',
  ],
]);

add('operators in definitions', [
  ['alter table orders add column more text default ~~~ 1', 'select more from orders limit 1'],
  ['alter table orders add column more text default (~~~ 1) || (~~~ 1)', 'select more from orders limit 1'],
  ['alter table orders alter column item type text using ~~~ 1', 'select item from orders limit 1'],
  [
    "alter table orders alter column item type text using case when ~~~ 1 <> '' then ~~~ 1 else item end",
    'select item from orders limit 1',
  ],
  ['create temp table d (n int, v text default ~~~ 1)', 'insert into d (n) values (1)', 'select v from d'],
  ['create temp table d (n int, v text default ~~~ 1)', 'insert into d (n) values (1) returning v'],
  ['create domain filled as text default ~~~ 1', 'alter table orders add column z filled', 'select z from orders limit 1'],
  [
    'create domain filled as text default ~~~ 1',
    'create temp table d (n int, z filled)',
    'insert into d (n) values (1)',
    'select z from d',
  ],
]);

const ofPair = 'create function told(pair) returns text language sql stable as $$ select email from customers where id = 1 $$';
const ofOrder = 'create function told(orders) returns text language sql stable as $$ select email from customers where id = 1 $$';
add('a function as a field', [
  [ofPair, "select (row(1, 'x')::pair).told"],
  [ofPair, 'select (null::pair).told'],
  [ofPair, "select upper((array[row(1, 'x')::pair])[1].told)"],
  [ofOrder, 'select (o).told from orders o limit 1'],
  [ofOrder, 'select o.told from orders o limit 1'],
  [ofOrder, 'select (o.*).told from orders o limit 1'],
  [ofOrder, 'with x as (select o from orders o limit 1) select (o).told from x'],
  [ofPair, "alter table orders add column more text default (row(1, 'x')::pair).told", 'select more from orders limit 1'],
  [ofOrder, 'alter table orders alter column item type text using orders.told', 'select item from orders limit 1'],
]);

add('rows of a rule', [
  ["insert into ruled values (1, 'x')"],
  ["prepare into_ruled as insert into ruled values (1, 'x')", 'execute into_ruled'],
  ["insert into ruled values (1, 'x'); select 1"],
]);

add('rows that leave their table', [
  ...['drop table vault.people', 'drop schema vault cascade', 'alter table np detach partition vault.people', 'select 1'].map(gone => [
    'create table np (id int, secret text) partition by list (id)',
    'create table sibling partition of np for values in (2)',
    'alter table np attach partition vault.people for values in (1)',
    'update np set id = 2',
    gone,
    'select secret from sibling',
  ]),
  [
    'begin; alter table only parent drop column email; commit',
    'select upper(email) from child',
    'begin; alter table parent add column email text; commit',
  ],
]);

export const dictionaries: readonly Evasion[] = found;
