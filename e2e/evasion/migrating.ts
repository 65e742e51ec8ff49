/**
 * Evasions by what migrations do: definitions in one text, in a pipeline, in a block, in a transaction that keeps its snapshot. What is
 * made on the way is followed there by what its statements say, so that each of these tries to make that differ from what is so.
 */
import type { Evasion, Step } from './corpus.ts';

type Script = readonly (string | Step)[];

const found: Evasion[] = [];
const add = (category: string, scripts: readonly Script[], witness?: RegExp): void => {
  for (const script of scripts)
    found.push({
      category,
      steps: script.map((step): Step => (typeof step === 'string' ? { simple: step } : step)),
      ...(witness === undefined ? {} : { witness }),
    });
};
/** As statements of one text, as messages of one pipeline, and in a transaction that keeps its snapshot. */
const together = (category: string, scripts: readonly (readonly string[])[]): void => {
  for (const script of scripts) {
    add(category, [[script.join('; ')], [{ pipeline: [...script] }]]);
    add(category, [['begin isolation level repeatable read', ...script, 'rollback']]);
  }
};

const SECRET = 'select email from customers where id = 1';

together('made and used together', [
  [`create function mine() returns text language sql as $$${SECRET}$$`, 'select mine()'],
  [`create function mine(a int default 1) returns text language sql as $$select email from customers where id = $1$$`, 'select mine()'],
  [
    `create function mine() returns table (a int, b text) language sql as $$select id, email from customers where id = 1$$`,
    'select b from mine()',
  ],
  [
    `create function mine() returns table (a int, b text) language sql as $$select id, upper(email) from customers where id = 1$$`,
    'select * from mine()',
  ],
  [`create function mine(out r text) language sql as $$${SECRET}$$`, 'select r from mine()'],
  [`create function mine() returns text language plpgsql as $$begin return (${SECRET}); end$$`, 'select mine()'],
  [
    'create function mine(t text) returns text language plpgsql as $$begin raise notice $x$%$x$, t; return t; end$$',
    'select mine(email) from customers where id = 1',
  ],
  [`create function mine() returns text language sql as $$${SECRET}$$`, 'create view v as select mine() as e', 'select e from v'],
  [
    `create function mine() returns text language sql as $$${SECRET}$$`,
    'create function other() returns text language sql as $$select mine()$$',
    'select other()',
  ],
  [
    'create function mine() returns text language sql as $$select $x$a$x$::text$$',
    `create or replace function mine() returns text language sql as $$${SECRET}$$`,
    'select mine()',
  ],
  [
    'create function mine() returns text language sql as $$select $x$a$x$::text$$',
    'create view v as select mine() as e',
    `create or replace function mine() returns text language sql as $$${SECRET}$$`,
    'select e from v',
  ],
  [
    'create table chosen (item text)',
    'create function mine() returns text language sql as $$select item from chosen$$',
    'drop table chosen',
    'create view chosen as select email as item from customers where id = 1',
    'select mine()',
  ],
  [
    'create view v as select id, item from orders',
    'create or replace view v as select id, (select email from customers where id = 1) as item from orders',
    'select item from v limit 1',
  ],
  [
    'create view v as select id, item from orders',
    'drop view v',
    `create view v as select id, email as item from customers`,
    'select upper(item) from v where id = 1',
  ],
  [
    'create view v as select id, item from orders',
    'alter table orders rename to was_orders',
    'create view orders as select id, email as item from customers',
    'create view w as select item from orders where id = 1',
    "select item || '' from w",
  ],
  [
    'create materialized view m as select id, item from orders',
    'drop materialized view m',
    'create view m as select id, email as item from customers',
    'select upper(item) from m where id = 1',
  ],
]);

together('altered and used together', [
  [
    'alter table orders add column v text',
    'update orders set v = (select email from customers where id = 1) where id = 1',
    'select v from orders where id = 1',
  ],
  ['alter table customers add column v text', 'update customers set v = email where id = 1', 'select v from customers where id = 1'],
  ['alter table customers add column v text', 'select upper(email) from customers where id = 1'],
  ['alter table customers rename column name to called', 'select called || email from customers where id = 1'],
  [
    'alter table customers rename column name to called',
    'create view v as select called, upper(email) as e from customers',
    'select e from v where called = $$Ada$$',
  ],
  ['alter table customers alter column email set statistics 100', 'select upper(email) from customers where id = 1'],
  ['alter table customers alter column notes type text using email', 'select notes from customers where id = 1'],
  ['alter table customers drop column notes', 'select c from customers c where id = 1'],
  ['alter table customers drop column notes', 'select (c).email || $$!$$ from customers c where id = 1'],
  [
    'alter table customers add column v text',
    'create function mine() returns text language sql as $$select email from customers where id = 1$$',
    'select mine()',
  ],
  ['alter table customers rename column name to called', 'select email from customer_emails where id = 1 and email > $$c$$ order by 1'],
  [
    'alter table orders rename column item to was',
    'alter table orders add column item text',
    'update orders set item = c.email from customers c where c.id = 1 and orders.id = 1',
    'select item from orders where id = 1',
  ],
  [
    'alter table customers add column v text',
    'insert into customers (id, name, email, balance, v) select 7000, name, email, 1, email from customers where id = 1',
    'select v from customers where id = 7000',
  ],
]);

together('types and partitions made and used together', [
  ['create domain told as text check (value::int > 0)', 'select email::told from customers where id = 1'],
  ['create domain shown as text', 'select upper(email::shown) from customers where id = 1'],
  ['create type couple as (a int, b text)', 'select row(id, upper(email))::couple from customers where id = 1'],
  ['create type couple as (a int, b text)', 'select (row(id, email)::couple).b || $$!$$ from customers where id = 1'],
  [
    'create table parts (k int, email text) partition by list (k)',
    'create table part_1 partition of parts default',
    'insert into parts select id, email from customers where id = 1',
    'select email from part_1',
  ],
  [
    'create table parts (k int, email text) partition by list (k)',
    'create table part_1 partition of parts for values in (1)',
    'insert into part_1 select id, email from customers where id = 1',
    'select email from parts',
  ],
]);

together('what was dropped had hidden it', [
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    'drop table front.customers',
    `select upper(email) from customers where id = 1`,
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    'create function mine() returns text language sql as $$select email from customers where id = 1$$',
    'drop table front.customers',
    'select mine()',
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    'drop schema front cascade',
    'create view v as select upper(email) as e from customers where id = 1',
    'select e from v',
  ],
  ['create temp table customers (id int, email text)', 'drop table customers', 'select upper(email) from customers where id = 1'],
  [
    'create temp table customers (id int, email text)',
    'drop table pg_temp.customers',
    'do $$begin raise notice $x$%$x$, (select email from customers where id = 1); end$$',
  ],
]);

// What another connection has committed stands in front of it.
add('what was dropped had hidden it', [
  [
    'begin; commit',
    'create schema front',
    'create table front.customers (id int, email text)',
    'set search_path = front, public',
    'select upper(email) from customers',
    'begin',
    'drop table front.customers',
    'select upper(email) from customers where id = 1',
    'rollback',
    'drop schema front cascade',
    'reset search_path',
  ],
  [
    'begin; commit',
    'create schema front',
    'create table front.customers (id int, email text)',
    `create function front.mine() returns text language plpgsql set search_path = front, public as $$begin return (select email from customers where id = 1); end$$`,
    'select front.mine()',
    'drop table front.customers; select front.mine()',
    'drop schema front cascade',
  ],
  [
    'begin; commit',
    'create schema front',
    'create table front.customers (id int, email text)',
    `create function front.mine() returns text language sql set search_path = front, public as $$select email from customers where id = 1$$`,
    'create view front.seen as select front.mine() as e',
    'select e from front.seen',
    'drop table front.customers; select e from front.seen',
    'drop schema front cascade',
  ],
]);

const block = (body: string): string => `do $do$ begin ${body} end $do$`;

add('blocks that define', [
  [block('create table copied as select email from customers;'), 'select email from copied where email like $$canary%$$'],
  [block('create view v as select upper(email) as e from customers where id = 1;'), 'select e from v'],
  [`${block('create view v as select upper(email) as e from customers where id = 1;')}; select e from v`],
  [block('alter table customers rename column email to contact;'), 'select contact from customers where id = 1'],
  [
    block('alter table orders rename to was_orders; create view orders as select id, upper(email) as item from customers;'),
    'select item from orders where id = 1',
  ],
  [
    block('alter table customers add column second text generated always as (upper(email)) stored;'),
    'select second from customers where id = 1',
  ],
  [block(`create function mine() returns text language sql as $$${SECRET}$$; raise notice '%', mine();`)],
  [block('create table guesses (email text); raise notice $x$%$x$, (select email from customers where id = 1);')],
  [
    block('drop table if exists front_customers; create table front_customers (id int, email text);'),
    block('alter table front_customers rename to was; create view front_customers as select * from customers;'),
    'select upper(email) from front_customers where id = 1',
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    block("drop table front.customers; raise notice '%', (select email from customers where id = 1);"),
  ],
  [
    'create function tell() returns trigger language plpgsql as $$begin raise notice $x$%$x$, (select email from customers where id = 1); return new; end$$',
    block('create trigger tell before insert on orders for each row execute function tell();'),
    "insert into orders values (-9, 2, 'x', 1, now())",
  ],
  [
    'create function tell() returns trigger language plpgsql as $$begin raise notice $x$%$x$, new.email; return new; end$$',
    block('create trigger tell before update on customers for each row execute function tell();'),
    'update customers set notes = notes where id = 1',
  ],
]);

// Whether a definition works tells whether a value is there: in a block, as often as it likes.
add(
  'blocks that ask by definitions',
  [
    [
      'create unique index on customers (email)',
      block(
        "create table guess (g text); insert into guess values ('canary.ada@example.com'); alter table guess add foreign key (g) references customers (email); raise notice 'it is so'; exception when others then raise notice 'no';",
      ),
    ],
    [
      block(
        "declare d text; begin create unique index on customers ((left(email, 3))); exception when others then get stacked diagnostics d = pg_exception_detail; raise notice 'it is so: %', d; end;",
      ),
    ],
    [
      block(
        "alter table customers add check (email <> 'canary.ada@example.com'); raise notice 'no'; exception when others then raise notice 'it is so';",
      ),
    ],
  ],
  /it is so/,
);

add('triggers made on the way', [
  [
    "create function tell() returns trigger language plpgsql as $$begin raise notice '%', new.email; return new; end$$; create trigger tell before update on customers for each row execute function tell(); update customers set notes = notes where id = 1",
  ],
  [
    'create table part (like customers)',
    'create table log (v text); create function tell() returns trigger language plpgsql as $$begin insert into log values (new.email); return new; end$$; create trigger tell before insert on part for each row execute function tell(); alter table part inherit customers',
    'insert into part select * from customers where id = 1',
    'select v from log',
  ],
  [
    "create function quiet() returns trigger language plpgsql as $$begin return new; end$$; create trigger tell before insert on orders for each row execute function quiet(); create or replace function quiet() returns trigger language plpgsql as $$begin raise notice '%', (select email from customers where id = 1); return new; end$$; insert into orders values (-9, 2, 'x', 1, now())",
  ],
]);

add('settings by parameters', [
  [{ extended: "select set_config('search_path', $1, true)", parameters: ['vault'] }, 'select upper(secret) from people'],
  [
    { extended: "select set_config('application_name', email, $1) from customers where id = 1", parameters: ['false'] },
    'show application_name',
  ],
  [
    'create function mine() returns text language sql as $$select current_setting($x$my.v$x$)$$',
    { extended: "select set_config('my.v', (select email from customers where id = 1 and $1 = 'a'), false)", parameters: ['a'] },
    'select mine()',
  ],
  [
    'create function mine(t text) returns text language sql as $$select set_config($x$my.v$x$, $1, false)$$',
    'select mine(email) is null from customers where id = 1',
    "select current_setting('my.v')",
  ],
]);

export const migrating: readonly Evasion[] = found;
