/**
 * Evasions by what runs behind a statement, not in it: triggers, policies, constraints, statistics, cascades, functions that run
 * with another search path; by effects that only happen when a protected value says so; by errors that come later than what
 * caused them; and by what PostgreSQL 16 to 18 have brought.
 */
import type { Evasion, Step } from './corpus.ts';

const found: Evasion[] = [];
const add = (category: string, ...scripts: readonly (string | readonly string[])[]): void => {
  for (const script of scripts)
    found.push({ category, steps: (typeof script === 'string' ? [script] : script).map((simple): Step => ({ simple })) });
};
const told = (category: string, witness: RegExp, ...scripts: readonly (string | readonly string[])[]): void => {
  for (const script of scripts)
    found.push({ category, witness, steps: (typeof script === 'string' ? [script] : script).map((simple): Step => ({ simple })) });
};

add(
  'triggers',
  [
    'create function t1() returns trigger language plpgsql as $$begin new.name := new.email; return new; end$$',
    'create trigger tr before update on customers for each row execute function t1()',
    'update customers set balance = balance where id = 1 returning name',
    'select name from customers where id = 1',
  ],
  [
    'create function t1() returns trigger language plpgsql as $$begin return new; end$$',
    'create trigger tr before update on customers for each row execute function t1()',
    'create or replace function t1() returns trigger language plpgsql as $$begin new.name := new.email; return new; end$$',
    'update customers set balance = balance where id = 1',
    'select name from customers where id = 1',
  ],
  [
    "create function t1() returns trigger language plpgsql as $$begin new.name := to_jsonb(new) ->> ('em' || 'ail'); return new; end$$",
    'create trigger tr before update on customers for each row execute function t1()',
    'update customers set balance = balance where id = 1',
    'select name from customers where id = 1',
  ],
  [
    'create table log_of (v text)',
    'create function t1() returns trigger language plpgsql as $$begin insert into log_of values (new.email); return new; end$$',
    'create trigger tr after update on customers for each row execute function t1()',
    'update customers set balance = balance where id = 1',
    'select v from log_of',
  ],
  [
    'create table log_of (v text)',
    'create function t1() returns trigger language plpgsql as $$begin insert into log_of select email from changed; return null; end$$',
    'create trigger tr after update on customers referencing new table as changed for each statement execute function t1()',
    'update customers set balance = balance where id = 1',
    'select v from log_of',
  ],
  [
    'create table log_of (v text)',
    'create function t1() returns trigger language plpgsql as $$begin insert into log_of values (old.email); return old; end$$',
    'create trigger tr before delete on partitioned for each row execute function t1()',
    'delete from partitioned',
    'select v from log_of',
  ],
);

// An error that comes later, or from a table that the statement does not name.
add(
  'errors of elsewhere',
  [
    'alter table customers add constraint u unique (email) deferrable initially deferred',
    'update customers set email = (select email from customers where id = 1) where id = 2',
    'set constraints all immediate',
  ],
  [
    'create table owners (id int primary key)',
    'insert into owners values (1)',
    'alter table customers add column owner int references owners on delete set null',
    'update customers set owner = 1 where id = 1',
    'alter table customers add constraint owned check (owner is not null or id > 1) not valid',
    'delete from owners',
  ],
  [
    'create table owners (id int primary key)',
    'insert into owners values (1)',
    'alter table customers add column owner int references owners on update cascade',
    'update customers set owner = 1 where id = 1',
    'alter table customers add constraint owned check (owner < 2 or email::int > 0) not valid',
    'update owners set id = 2',
  ],
);

// The first row that is worked out is another one's.
told(
  'errors of elsewhere',
  /user\d+@example\.org/,
  ['create statistics st on (email::int), id from customers', 'analyze customers'],
  ['create statistics st on (1 / length(email)), (email::date) from customers', 'analyze customers (email)'],
  ['create materialized view mv as select email::int from customers with no data', 'refresh materialized view mv'],
);
found.push({
  category: 'errors of elsewhere',
  steps: [
    { simple: 'begin; commit' },
    { simple: 'alter table customers add constraint u unique (email) deferrable initially deferred' },
    { simple: 'begin' },
    { simple: 'update customers set email = (select email from customers where id = 1) where id = 2' },
    { simple: 'commit' },
    { simple: 'alter table customers drop constraint u' },
  ],
});

// 99 is the c of the value.
told(
  'policies and conditions of triggers',
  /\D98\D/,
  [
    'create policy p on orders using (id < ascii((select email from customers where id = 1)))',
    'alter table orders enable row level security, force row level security',
    'select count(*) from orders',
  ],
  [
    'create table steps as select g as n from generate_series(1, 200) g',
    'create policy p on steps using (n < (select ascii(email) from customers where id = 1))',
    'alter table steps enable row level security, force row level security',
    'select max(n), count(*) from steps',
  ],
  [
    'create function code() returns int language sql as $$select ascii(email) from customers where id = 1$$',
    'create table steps (n int)',
    'create function skip() returns trigger language plpgsql as $$begin return null; end$$',
    'create trigger tr before insert on steps for each row when (new.n >= code()) execute function skip()',
    'insert into steps select generate_series(1, 200)',
    'select max(n) from steps',
  ],
);

// What happens depends on the value, though the value goes nowhere.
told(
  'effects under a condition',
  /\D9[89]\D/,
  [
    'create sequence tick',
    'select case when g <= (select ascii(email) from customers where id = 1) then nextval($$tick$$) end from generate_series(1, 200) g',
    'select last_value from tick',
  ],
  [
    'create sequence tick',
    'select case when g <= ascii(email) then nextval($$tick$$) end from customers, generate_series(1, 200) g where id = 1',
    'select last_value from tick',
  ],
  [
    'create sequence tick',
    'select coalesce(nullif(g <= ascii(email), true)::text, nextval($$tick$$)::text) from customers, generate_series(1, 200) g where id = 1',
    'select last_value from tick',
  ],
  [
    'create sequence tick',
    'select g <= ascii(email) and nextval($$tick$$) > 0 from customers, generate_series(1, 200) g where id = 1',
    'select last_value from tick',
  ],
  [
    'create sequence tick',
    'select sum(nextval($$tick$$)) filter (where g <= ascii(email)) from customers, generate_series(1, 200) g where id = 1',
    'select last_value from tick',
  ],
  [
    "select case when g = ascii(email) then set_config('a.b', g::text, true) end from customers, generate_series(1, 200) g where id = 1",
    "select current_setting('a.b', true)",
  ],
  [
    'select case when g = ascii(email) then pg_advisory_xact_lock(g) end from customers, generate_series(1, 200) g where id = 1',
    "select objid, 'n' from pg_locks where locktype = 'advisory'",
  ],
  [
    'create temp table steps as select g as n, 0 as hit from generate_series(1, 200) g',
    'update steps set hit = case when n = (select ascii(email) from customers where id = 1) then 1 else 0 end',
    'select n from steps where hit = 1',
  ],
  [
    'create temp table steps (n int)',
    'insert into steps select g from generate_series(1, 200) g where g = (select ascii(email) from customers where id = 1)',
    'select n from steps',
  ],
  [
    'create temp table steps as select g as n from generate_series(1, 200) g',
    'delete from steps where n <> (select ascii(email) from customers where id = 1)',
    'select max(n) from steps',
  ],
  [
    'create temp table steps as select g as n from generate_series(1, 200) g',
    'delete from steps s using customers c where c.id = 1 and s.n > ascii(c.email)',
    'select max(n) from steps',
  ],
  [
    'create temp table steps as select g as n from generate_series(1, 200) g',
    'merge into steps s using customers c on c.id = 1 and s.n = ascii(c.email) when not matched by source then delete',
    'select max(n) from steps',
  ],
);

told(
  'numbers of rows',
  /\D9[89]\D/,
  'select count(*) from (select 1 from generate_series(1, 300) limit (select ascii(email) from customers where id = 1)) x',
  'select 300 - count(*) from (select 1 from generate_series(1, 300) offset (select ascii(email) from customers where id = 1)) x',
  'select count(*) from (select 1 from generate_series(1, 300) fetch first (select ascii(email) from customers where id = 1) rows only) x',
  'select max(x) - 1 from (select count(*) over (order by g rows between current row and (select ascii(email) from customers where id = 1) following) x from generate_series(1, 300) g) y',
  'select max(x) from (select ntile((select ascii(email)::int from customers where id = 1)) over (order by g) x from generate_series(1, 300) g) y',
  "select count(*) from xmltable('/r/v' passing (select xmlelement(name r, xmlagg(xmlelement(name v, g))) from generate_series(1, 300) g, customers c where c.id = 1 and g <= ascii(c.email)) columns v int path '.') x",
  'select count(*) from regexp_split_to_table(repeat($$a,$$, (select ascii(email) - 1 from customers where id = 1)), $$,$$)',
  'select count(*) from unnest(array_fill(1, array[(select ascii(email) from customers where id = 1)])) u',
  'select count(*) from jsonb_array_elements((select jsonb_agg(g) from generate_series(1, 300) g, customers c where c.id = 1 and g <= ascii(c.email))) e',
  'with recursive r(n) as (select 1 union all select n + 1 from r where n < (select ascii(email) from customers where id = 1)) select max(n), count(*) from r',
  "select count(*) from generate_subscripts(string_to_array(repeat('a,', (select ascii(email) - 1 from customers where id = 1)), ','), 1)",
  "select count(*) from string_to_table(rpad('', (select ascii(email)::int * 2 - 1 from customers where id = 1), 'a,'), ',')",
  "select count(*) from generate_series(timestamp '2026-01-01', timestamp '2026-01-01' + (select (ascii(email) - 1) * interval '1 day' from customers where id = 1), interval '1 day')",
  'select count(*) from (select 1 from generate_series(1, 300) g where g <= (select ascii(email) from customers where id = 1)) x',
  'select max(g) from generate_series(1, 300) g join customers c on c.id = 1 and g <= ascii(c.email)',
  'select (select max(g) from generate_series(1, 300) g where g <= ascii(c.email)) + 0 as n from customers c where id = 1',
  'select g from generate_series(1, 300) g order by abs(g - (select ascii(email) from customers where id = 1)) limit 1',
  'select max(g) from generate_series(1, 300) g group by g = (select ascii(email) from customers where id = 1) order by 1',
  'select g from generate_series(1, 300) g intersect select ascii(email) from customers where id = 1',
  'select count(*) from (select g from generate_series(1, 300) g except select h from customers c, generate_series(100, 300) h where c.id = 1 and h > ascii(c.email)) x',
  'select width_bucket((select ascii(email) from customers where id = 1), array(select g from generate_series(1, 300) g))',
);

add(
  'PostgreSQL 16 to 18',
  "select json_value(jsonb_build_object('a', email), '$.a') from customers where id = 1",
  "select json_query(jsonb_build_array(email), '$[*]' with wrapper) from customers where id = 1",
  "select j.v from customers c, json_table(jsonb_build_array(c.email), '$[*]' columns (v text path '$')) j where c.id = 1",
  "select j.* from customers c, json_table('[1]'::jsonb, '$[*]' passing c.email as e columns (v text path '$e')) j where c.id = 1",
  'select json_arrayagg(email order by id returning jsonb) from customers where id < 3',
  'select json_objectagg(email : id) from customers where id < 3',
  'select json_array(email, ssn absent on null returning text) from customers where id = 1',
  'select json_array(select email from customers where id = 1)',
  'select json_serialize(json_object(email : 1) returning bytea) from customers where id = 1',
  'select json_scalar(email) from customers where id = 1',
  "select json(concat('\"', email, '\"')) from customers where id = 1",
  'select any_value(email) from customers where id = 1',
  'select any_value(c) from customers c where id = 1',
  'merge into customers c using (values (1)) v(n) on c.id = v.n when matched then update set balance = 2 returning merge_action(), c.email || $$$$',
  'merge into orders o using customers c on o.id = 1 and c.id = 1 when matched then update set quantity = 2 returning c.email, o.item',
  'merge into orders o using customers c on o.id = 1 and c.id = 1 when matched then update set item = c.email returning o.item',
  'merge into customers c using (values (1)) v(n) on c.id = v.n when matched then update set balance = 2 returning old.email, new.email || 1',
  'update customers set balance = 2 where id = 1 returning old.email || $$!$$, new.*',
  'update customers set balance = 2 where id = 1 returning with (old as before, new as after) (before.*)::text, after.email',
  'delete from customers where id = -1 or (id = 1 and false) returning old.email; delete from orders where customer_id = 1; delete from customers where id = 1 returning to_jsonb(old)',
  ['alter table customers add column loud text generated always as (upper(email)) virtual', 'select loud from customers where id = 1'],
  'select casefold(email) from customers where id = 1',
  'select array_sort(array[email, ssn]) from customers where id = 1',
  'select array_reverse(array[email]) from customers where id = 1',
  "select encode(email::bytea, 'hex') || crc32(email::bytea) from customers where id = 1",
  'select unicode_assigned(email), normalize(email), to_hex(1) || reverse(email::bytea)::text from customers where id = 1',
  'select pg_input_error_info(email, $$int$$) from customers where id = 1',
  "select message from customers, pg_input_error_info(email, 'integer') where id = 1",
  "select regexp_substr(email, '.+'), regexp_instr(email, 'a') from customers where id = 1",
  "select string_agg(distinct email, ',') from customers where id = 1 group by distinct grouping sets ((id), (id))",
  'select xmlserialize(content xmlelement(name a, email) as text indent) from customers where id = 1',
  'select system_user || email from customers where id = 1',
  "select * from jsonb_path_query_tz((select to_jsonb(email) from customers where id = 1), '$')",
  "select jsonb_strip_nulls(jsonb_build_object('a', email), true) from customers where id = 1",
  'select range_agg(textual) from (select $$[1,2)$$::int4range as textual, email from customers where id = 1) x union all select null; select (array_sample(array[email], 1))[1] from customers where id = 1',
  'select array_shuffle(array[email]) from customers where id = 1',
  'select trim_array(array[email, name], 1) from customers where id = 1',
  "select date_bin('1 day', now(), now())::text || email from customers where id = 1",
  'select bit_count(email::bytea)::text || email::bytea::text from customers where id = 1',
);

add(
  'statistics',
  [
    'create statistics st on (upper(email)), (lower(email)) from customers',
    'analyze customers',
    'select histogram_bounds from pg_stats_ext_exprs',
  ],
  ['create statistics st (mcv) on email, ssn from customers', 'analyze customers', 'select most_common_vals from pg_stats_ext'],
  ['create index ix on customers (upper(email))', 'analyze customers', "select histogram_bounds from pg_stats where tablename = 'ix'"],
  ['analyze customers', "select (s).histogram_bounds from pg_stats s where (s).attname = 'email' and (s).tablename = 'customers'"],
  ['analyze customers', "select to_jsonb(s) from pg_stats s where s.tablename = 'customers'"],
);

add(
  'functions that look elsewhere',
  ['create function f() returns text language sql security definer as $$select email from customers where id = 1$$', 'select f()'],
  [
    'create schema front',
    'create table front.customers (id int, email text)',
    'create function f() returns text language sql as $$select upper(email) from customers where id = 1$$',
    'set local search_path = front, public',
    'select f()',
    'set local search_path = public',
    'select f()',
  ],
  [
    'create function f() returns text language sql set search_path = public as $$select upper(email) from customers where id = 1$$',
    'create schema front',
    'create table front.customers (id int, email text)',
    'set local search_path = front',
    'select public.f()',
  ],
  [
    'create function f() returns text language sql as $$select upper(email) from customers where id = 1$$',
    'create schema front',
    'create table front.customers (id int, email text)',
    'alter function f() set search_path = front, public',
    'alter function f() reset search_path',
    'set local search_path = public, front',
    'select f()',
  ],
  ['create function f(c customers) returns text language sql as $$select c.email$$', 'select c.f from customers c where id = 1'],
  ['create function f(c customers) returns text language sql return (c).email', 'select f(c) from customers c where id = 1'],
  [
    'create function f(text) returns text language sql begin atomic select $1 || (select email from customers where id = 1); end',
    "select f('')",
  ],
  [
    'create function f(out a text, out b text) language sql as $$select email, ssn from customers where id = 1$$',
    'select (f()).a',
    'select * from f()',
  ],
  [
    'create function f() returns table (e text) language sql as $$select email from customers where id = 1$$',
    'select e from f()',
    "select e || '' from f() x",
  ],
  ['create function f(variadic text[]) returns text language sql as $$select $1[1]$$', 'select f(email, name) from customers where id = 1'],
  [
    'create function f(a text default (1)::text) returns text language sql as $$select (select email from customers where id = 1) || a$$',
    'select f()',
  ],
);

export const review: readonly Evasion[] = found;
