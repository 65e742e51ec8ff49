/**
 * Evasions that give a name another meaning, in the transaction that goes on to use it or for this session only: what a gateway
 * misses that asks another connection what names mean. Those that must commit put everything back.
 */
import type { Evasion, Step } from './corpus.ts';

const found: Evasion[] = [];
const add = (category: string, ...scripts: readonly string[][]): void => {
  for (const script of scripts) found.push({ category, steps: script.map((simple): Step => ({ simple })) });
};
const extended = (category: string, ...scripts: readonly string[][]): void => {
  for (const script of scripts) found.push({ category, steps: script.map((sql): Step => ({ extended: sql })) });
};

const VIEW = 'select id, upper(email) as item, 1 as quantity from customers';

add(
  'made in the open transaction',
  [`create view v as ${VIEW}`, 'select item from v where id = 1'],
  [`create view v as ${VIEW}`, "select item || '!' from v where id = 1"],
  [
    'create view v as select * from customers',
    'create view w as select email || id as e from v',
    'select e from w where e like $$canary%$$',
  ],
  ['create view v as select id, email from customers', 'select * from v order by id limit 1'],
  ['create function f() returns text language sql as $$select email from customers where id = 1$$', 'select f()'],
  [
    'create function f(int) returns setof customers language sql as $$select * from customers where id = $1$$',
    'select (f(1)).email',
    'select * from f(1)',
  ],
  ['create function f() returns text language plpgsql as $$begin return (select email from customers where id = 1); end$$', 'select f()'],
  [
    'create function f(text) returns text language plpgsql as $$begin raise notice $x$%$x$, $1; return $1; end$$',
    'select f(email) from customers where id = 1',
  ],
  ['create procedure p(inout r text) language plpgsql as $$begin select email into r from customers where id = 1; end$$', 'call p(null)'],
  ['create procedure p(out r text) language plpgsql as $$begin select email into r from customers where id = 1; end$$', 'call p(null)'],
  [
    'create function f(int) returns text language sql as $$select email from customers where id = $1$$',
    'create operator ### (rightarg = int, function = f)',
    'select ### 1',
  ],
  [
    'create function f(text, int) returns text language sql as $$select email from customers where id = $2$$',
    'create aggregate g(int) (sfunc = f, stype = text)',
    'select g(1)',
  ],
  ['create materialized view m as select id, upper(email) as u from customers', 'select u from m where id = 1'],
  ['create table copied as select id, upper(email) as u from customers', 'select u from copied where id = 1'],
  ['create table copied (id int, u text)', 'insert into copied select id, email from customers where id = 1', 'select u from copied'],
  [
    'create table copied (id int, u text)',
    'create rule r as on insert to copied do instead select email from customers where id = 1',
    'insert into copied values (1)',
  ],
  [
    'create table copied (id int, u text default (select 1))',
    'create function f() returns text language sql as $$select email from customers where id = 1$$',
    'alter table orders alter column item set default f()',
    'insert into orders (id, customer_id, quantity, at) values (-5, 2, 1, now()) returning item',
  ],
  [
    'alter table customers add column second text',
    'update customers set second = email where id = 1',
    'select second from customers where id = 1',
  ],
  ['alter table customers add column second text generated always as (upper(email)) stored', 'select second from customers where id = 1'],
  ['alter table customers rename column email to contact', 'select contact from customers where id = 1'],
  ['alter table customers rename to clients', 'select upper(email) from clients where id = 1'],
  ['create schema elsewhere', 'alter table customers set schema elsewhere', 'select upper(email) from elsewhere.customers where id = 1'],
  ['create type pg_temp.text as enum ($$a$$)', `create view v as ${VIEW}`, 'select item from v where id = 1'],
  [
    'create domain pg_temp.text as pg_catalog.bool',
    'create domain pg_temp.oid as pg_catalog.bool',
    `create view v as ${VIEW}`,
    'select item from v where id = 1',
  ],
);

add(
  'meaning changed in the open transaction',
  [
    'select item from orders where id = 1',
    'alter table orders rename to was_orders',
    `create view orders as ${VIEW}`,
    'select item from orders where id = 1',
    "select item || '' from orders where id = 1",
  ],
  [
    'create or replace function twice(int) returns int language sql as $$select length(email) from customers$$',
    'create or replace view customer_emails as select id, upper(email) as email from customers',
    'select email from customer_emails where id = 1',
  ],
  [
    'create view v as select id, item from orders',
    'select item from v where id = 1',
    'create or replace view v as select id, (select upper(email) from customers where id = 1) as item from orders',
    'select item from v where id = 1',
  ],
  [
    'create function f() returns text language sql as $$select $x$a$x$::text$$',
    'select f()',
    'create or replace function f() returns text language sql as $$select email from customers where id = 1$$',
    'select f()',
  ],
  [
    'create function g() returns text language sql as $$select $x$a$x$::text$$',
    'create function f() returns text language sql as $$select g()$$',
    'select f()',
    'create or replace function g() returns text language sql as $$select email from customers where id = 1$$',
    'select f()',
  ],
  [
    'create view v as select id, item from orders',
    'create view w as select id, item from v',
    'select item from w where id = 1',
    'create or replace view v as select id, (select upper(email) from customers where id = 1) as item from orders',
    "select item || '' from w where id = 1",
  ],
  [
    'savepoint a',
    `create view v as ${VIEW}`,
    'savepoint b',
    'drop view v',
    'create view v as select id, item from orders',
    'select item from v where id = 1',
    'rollback to b',
    'select item from v where id = 1',
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    "insert into front.customers values (1, 'mine')",
    'set local search_path = front, public',
    'select upper(email) from customers where id = 1',
    'drop schema front cascade',
    'select upper(email) from customers where id = 1',
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    'select upper(email) from customers',
    'alter schema front rename to back',
    'select upper(email) from customers where id = 1',
  ],
  [
    'create schema front',
    'create table front.base (id int)',
    'create view front.customers as select b.id, $$x$$::text as email from front.base b',
    'set local search_path = front, public',
    'select upper(email) from customers',
    'drop table front.base cascade',
    'select upper(email) from customers where id = 1',
  ],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front, public',
    'select upper(email) from customers',
    'revoke usage on schema front from app',
    'select upper(email) from customers where id = 1',
  ],
  [
    'create table blank (id int, email text)',
    'savepoint a',
    'drop table blank',
    'create view blank as select id, upper(email) as email from customers',
    'rollback to a',
    'select count(*) from blank',
    'drop table blank',
    'create view blank as select id, upper(email) as email from customers',
    'select email from blank where id = 1',
  ],
);

// The rest commits, and clears up.
add(
  'for this session only',
  [
    'begin; commit',
    'create table plainly (id int, item text)',
    `create temp view plainly as ${VIEW}`,
    "select item || '' from plainly where id = 1",
    'drop view pg_temp.plainly',
    'drop table plainly',
  ],
  ['begin; commit', `create temp view orders as ${VIEW}`, "select item || '' from orders where id = 1", 'drop view pg_temp.orders'],
  ['begin; commit', `create temp view shadow as ${VIEW}`, 'select item from shadow where id = 1', 'drop view shadow'],
  [
    'begin',
    `create temp view orders as ${VIEW}`,
    'commit',
    'begin',
    "select item || '' from orders where id = 1",
    'commit',
    'drop view pg_temp.orders',
  ],
  [
    'begin',
    `create temp view orders as ${VIEW}`,
    'commit',
    'begin isolation level repeatable read',
    "select item || '' from orders where id = 1",
    'commit',
    'drop view pg_temp.orders',
  ],
  [
    'begin; commit',
    `set search_path = pg_temp, public`,
    `create view orders as ${VIEW}`,
    "select item || '' from orders where id = 1",
    'drop view pg_temp.orders',
    'reset search_path',
  ],
  [
    'begin; commit',
    'create temp table one (id int)',
    'create view orders as select o.id, (select upper(email) from customers where id = 1) as item from one o',
    'insert into one values (1)',
    "select item || '' from pg_temp.orders",
    "select item || '' from orders",
    'drop table one cascade',
  ],
  [
    'begin; commit',
    'create function pg_temp.f() returns text language sql as $$select email from customers where id = 1$$',
    'select pg_temp.f()',
    'drop function pg_temp.f()',
  ],
  [
    'begin; commit',
    'create temp table orders as select 1 as id, $$x$$ as item',
    'select item from orders',
    'drop table orders',
    `create temp view orders as ${VIEW}`,
    "select item || '' from orders where id = 1",
    'drop view pg_temp.orders',
  ],
  [
    'begin; commit',
    'create schema front',
    'create table front.customers (id int, email text)',
    'set search_path = front, public',
    'select upper(email) from customers',
    'revoke usage on schema front from app',
    'select upper(email) from customers where id = 1',
    'grant usage on schema front to app',
    'drop schema front cascade',
    'reset search_path',
  ],
  [
    'begin; commit',
    'create schema front',
    'create table front.customers (id int, email text)',
    'set search_path = front, public',
    'begin',
    'drop schema front cascade',
    'select upper(email) from customers where id = 1',
    'rollback',
    'drop schema front cascade',
    'reset search_path',
  ],
);

extended(
  'made in the open transaction, extended',
  [`create view v as ${VIEW}`, 'select item from v where id = 1'],
  ['create function f() returns text language sql as $$select email from customers where id = 1$$', 'select f()'],
  [
    'create view v as select id, item from orders',
    'select item from v where id = 1',
    'create or replace view v as select id, (select upper(email) from customers where id = 1) as item from orders',
    'select item from v where id = 1',
  ],
  ['alter table orders rename to was_orders', `create view orders as ${VIEW}`, "select item || '' from orders where id = 1"],
  ['alter table customers add column second text generated always as (upper(email)) stored', 'select second from customers where id = 1'],
);

found.push(
  {
    category: 'prepared before, changed after',
    steps: [
      { simple: 'create view v as select id, item from orders' },
      { parse: 'select item from v where id = 1', as: 'held' },
      { simple: 'create or replace view v as select id, (select upper(email) from customers where id = 1) as item from orders' },
      { simple: 'execute held' },
    ],
  },
  {
    category: 'one pipeline',
    steps: [{ pipeline: [`create view v as ${VIEW}`, 'select item from v where id = 1'] }],
  },
  {
    category: 'one pipeline',
    steps: [{ pipeline: ['begin', `create view v as ${VIEW}`, 'select item from v where id = 1', 'rollback'] }],
  },
  {
    category: 'one pipeline',
    steps: [
      {
        pipeline: [
          `create or replace view customer_emails as select id, upper(email) as email from customers`,
          "select email || '' from customer_emails where id = 1",
        ],
      },
    ],
  },
);

export const definitions: readonly Evasion[] = found;
