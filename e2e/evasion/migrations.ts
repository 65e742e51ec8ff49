/**
 * What migration tools send: whole files as one text (golang-migrate, Prisma, dbmate), blocks that define (Sequelize, Drizzle),
 * pipelines, transactions that keep their snapshot. Nothing in them touches what is protected, so that each answer must be the same
 * bytes as on a direct connection. Every script leaves the database as it was.
 */
const scripts: (readonly string[])[] = [];
/** As one text inside a transaction, and as its statements in one that keeps its snapshot. */
const together = (...statements: string[]): void => {
  scripts.push(['begin', statements.join('; '), 'rollback']);
  scripts.push(['begin isolation level serializable', ...statements, 'rollback']);
};

together(
  'drop table if exists fresh',
  'create table fresh (id int primary key, name text)',
  "insert into fresh values (1, 'a')",
  'select id, name from fresh',
);
together(
  'drop table if exists fresh, older cascade',
  'drop function if exists touch_it',
  'drop type if exists mood',
  "create type mood as enum ('a', 'b')",
  'create table fresh (m mood)',
  "insert into fresh values ('a')",
  'select m from fresh',
);
together(
  'create table fresh (id int)',
  'create view fresh_view as select id from fresh',
  'insert into fresh values (3)',
  'select id + 0 from fresh_view',
  'drop view fresh_view',
  'drop table fresh',
);
together(
  'create view items as select id, item from orders',
  'select item || $$!$$ from items where id = 1',
  'create view more_items as select upper(item) as u from items',
  'select u || $$!$$ from more_items order by u limit 2',
);
together(
  'create materialized view counted as select quantity, count(*) as n from orders group by quantity',
  'create unique index on counted (quantity)',
  'refresh materialized view counted',
  'select quantity + 0, n + 0 from counted order by quantity',
);
together(
  'create function plus(a int, b int default 1) returns int language sql immutable as $$select a + b$$',
  'select plus(1), plus(2, 3)',
  'select plus(quantity) from orders where id < 4 order by id',
);
together(
  'create function lookup(int) returns table (id int, item text) language sql stable as $$select id, item from orders where id = $1$$',
  'select item || $$!$$ from lookup(3)',
  'select * from lookup(4) l where l.id > 0',
);
together(
  "create function shout(t text) returns text language plpgsql as $$begin return upper(t) || '!'; end$$",
  "select shout('a'), shout(item) from orders where id = 1",
);
together(
  'create table fresh (id serial primary key, name text, updated_at timestamptz)',
  "create or replace function touch_it() returns trigger language plpgsql as $$begin new.updated_at := timestamptz '2026-01-01Z'; return new; end$$",
  'create trigger touching before insert or update on fresh for each row execute function touch_it()',
  "insert into fresh (name) values ('a'), ('b') returning id, name",
  'select id + 0, lower(name) from fresh order by id',
  'drop trigger touching on fresh',
  'drop function touch_it()',
);
together(
  'create or replace function touch_it() returns trigger language plpgsql as $$begin return new; end$$',
  'drop trigger if exists touching on orders',
  'create trigger touching before update on orders for each row execute procedure touch_it()',
  'update orders set quantity = quantity where id = 3',
  'select item from orders where id = 3',
);
together(
  'create schema app_made',
  'create table app_made.things (id int)',
  'insert into app_made.things values (1)',
  'select id + 0 from app_made.things',
  'drop schema app_made cascade',
  'select item from orders where id = 1',
);

together(
  'alter table orders add column note text',
  "update orders set note = 'x' where id < 4",
  'select note || $$!$$ from orders where id = 2',
  'select id, note from orders where id < 3 order by id',
);
together(
  'alter table orders add column size int default 7',
  'alter table orders alter column size set not null',
  'alter table orders add constraint sized check (size > 0)',
  'alter table orders rename column size to extent',
  'insert into orders values (900001, 1, $$x$$, 1, $$2026-01-01Z$$) returning extent + 0',
  'alter table orders drop column extent',
  'select id, item from orders where id = 900001',
);
together(
  'alter table orders alter column quantity type bigint',
  'select quantity from orders where id = 3',
  'alter table orders alter column quantity type int using quantity + 1',
  'select quantity from orders where id = 3',
);
together(
  'alter table customers add column seen boolean default false',
  'update customers set seen = true where id = 3',
  'select id, name, seen from customers where id = 3',
  'create index on customers (seen)',
);

scripts.push(
  ['begin', 'select 1/0', 'select name from customers where id = 2', 'update customers set notes = $$x$$ where id = 2', 'rollback'],
  ['begin read only', 'update customers set notes = $$x$$ where id = 2', 'rollback'],
);

together(
  'create sequence counted start 5 increment 2',
  'select nextval($$counted$$), currval($$counted$$)',
  'alter sequence counted restart',
  'select last_value + 0, not is_called from counted',
);
together(
  'create domain positive as int check (value > 0)',
  'select 5::positive + 1',
  'create table fresh (n positive)',
  'insert into fresh values (3)',
  'select n + 0 from fresh',
);
together('create type couple as (a int, b text)', 'select (row(1, $$x$$)::couple)::text');
together(
  'create table parts (k text, v int) partition by list (k)',
  'create table part_a partition of parts for values in ($$a$$)',
  'create table part_rest partition of parts default',
  'insert into parts values ($$a$$, 1), ($$z$$, 2)',
  'select v + 0 from parts order by 1',
  'select v + 0 from part_rest',
);

const touches = (name: string, body: string): string =>
  `create or replace function ${name}() returns trigger language plpgsql as $$begin ${body} end$$`;
together(
  touches('touch_it', "new.notes := 'touched'; return new;"),
  'drop trigger if exists touching on customers',
  'create trigger touching before update on customers for each row execute function touch_it()',
  'update customers set name = $$x$$ where id = 3',
  'select id, notes from customers where id = 3',
);
together(
  touches('born_it', "new.born = date '2020-01-01'; return new;"),
  'create trigger touching before insert or update on customers for each row execute procedure born_it()',
  "insert into customers (id, name, email, balance) values (9009, 'N', 'own@x.example', 1)",
  'select born from customers where id = 9009',
);
together(
  touches('audit_it', "insert into orders values (new.id + 910000, new.id, 'audit', 1, '2026-01-01Z'); return null;"),
  'create trigger auditing after update of name on customers for each row when (old.name is distinct from new.name) execute function audit_it()',
  'update customers set name = $$x$$ where id = 3',
  'select item from orders where id = 910003',
);
together(
  touches('stop_it', "raise exception 'no deletes';"),
  'create trigger stopping before delete on customers for each row execute function stop_it()',
);
together(
  touches('upper_it', "if tg_op = 'UPDATE' and new.name = old.name then return new; end if; new.notes := upper(new.name); return new;"),
  'create trigger touching before insert or update on customers for each row execute function upper_it()',
  'update customers set name = $$x$$ where id = 3',
  'select notes from customers where id = 3',
  'drop trigger touching on customers',
  'drop function upper_it()',
);
scripts.push([
  'begin',
  touches('touch_it', "new.notes := 'touched'; return new;"),
  'create trigger touching before update on customers for each row execute function touch_it()',
  touches('touch_it', "new.notes := 'touched again'; return new;"),
  'update customers set name = $$x$$ where id = 3',
  'select id, notes from customers where id = 3',
  'rollback',
]);

const block = (body: string): string => `do $do$ ${body} $do$`;
scripts.push(
  [
    'begin',
    block("begin create type mood as enum ('a', 'b'); exception when duplicate_object then null; end"),
    "select 'a'::mood",
    'rollback',
  ],
  [
    'begin',
    block("begin if not exists (select 1 from pg_type where typname = 'mood') then create type mood as enum ('a'); end if; end"),
    block("begin if not exists (select 1 from pg_type where typname = 'mood') then create type mood as enum ('a'); end if; end"),
    "select 'a'::mood::text",
    'rollback',
  ],
  [
    'begin',
    'create table fresh (id int primary key, customer_id int)',
    block(
      'begin alter table "fresh" add constraint "fresh_fk" foreign key ("customer_id") references "public"."customers"("id") on delete no action; exception when duplicate_object then null; end',
    ),
    'insert into fresh values (1, 1)',
    'select id + 0 from fresh',
    'rollback',
  ],
  [
    'begin',
    block(
      "begin if not exists (select 1 from information_schema.columns where table_name = 'orders' and column_name = 'note') then alter table orders add column note text; alter table orders add column noted bool default false; end if; end",
    ),
    'update orders set note = $$x$$ where id = 1',
    'rollback',
  ],
  [
    'begin',
    block('begin create table if not exists fresh (id int); create index if not exists fresh_ix on fresh (id); end'),
    'insert into fresh values (1)',
    'select id + 0 from fresh',
    'rollback',
  ],
  ['begin', block("begin drop table if exists fresh; raise notice 'dropped'; end"), 'select item from orders where id = 2', 'rollback'],
  [
    'begin',
    `${block("begin create type mood as enum ('a', 'b'); exception when duplicate_object then null; end")}; create table fresh (m mood); insert into fresh values ('b'); select m from fresh`,
    'rollback',
  ],
);

export const migrations: readonly (readonly string[])[] = scripts;
