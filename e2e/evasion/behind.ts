/**
 * Evasions that have values handed to somebody's own function where no call is written: checks of domains, operators behind IN, CASE and
 * USING, expressions of indexes and statistics; that give what triggers, checks and policies run another body, or their names another
 * meaning; and that have a function's text read by another lexer than it was judged by. And such as move a value through its own column in pieces.
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

const keep = [
  'create table kept (v text)',
  'create function keep(t text) returns bool language plpgsql as $$begin insert into public.kept values (t); return true; end$$',
];
const READ = 'select v from kept where v like $$canary%$$ limit 3';

// Off, a backslash hides the quote that ends the constant for others.
const hidden = `$f$select 'a\\'' || email from customers where id = 1 --'$f$`;
add('text that is read otherwise when it is run', [
  [`create function f() returns text language sql as ${hidden}`, 'set standard_conforming_strings = off', 'select f()'],
  [
    `create function f() returns text language sql as ${hidden}`,
    "select set_config('standard_conforming_strings', 'off', true)",
    { extended: 'select f()' },
  ],
  [`create function f() returns text language sql as ${hidden}`, 'set standard_conforming_strings = off; select f()'],
  [`create function f() returns text language sql set standard_conforming_strings = off as ${hidden}`, 'select f()'],
  [`create function f() returns text language sql as ${hidden}`, 'alter function f() set standard_conforming_strings = off', 'select f()'],
  [`create function f(out r text) language sql as ${hidden}`, 'set standard_conforming_strings = off', 'select f()'],
  [`create procedure p(inout r text) language sql as ${hidden}`, 'set standard_conforming_strings = off', 'call p(null)'],
  [
    `create function f() returns text language sql as ${hidden}`,
    'create view v as select f() as e',
    'set standard_conforming_strings = off',
    'select e from v',
  ],
  [
    `create function f() returns text language sql as ${hidden}`,
    { parse: 'select f()', as: 'early' },
    'set standard_conforming_strings = off',
    'execute early',
    'deallocate early',
  ],
]);

const domain = 'create domain d as text check (keep(value))';
add(
  'checks of domains',
  [
    [domain, 'select email::d from customers where id = 1'],
    [domain, 'update customers set email = email::d where id = 1'],
    ['create domain d as text', 'select null::d', 'alter domain d add check (keep(value))', 'select email::d from customers where id = 1'],
    ['create domain base as text check (keep(value))', 'create domain d as base', 'select email::d from customers where id = 1'],
    [
      domain,
      'create type dc as (a d)',
      "select jsonb_populate_record(null::dc, jsonb_build_object('a', email)) from customers where id = 1",
    ],
    [domain, "select j.v from customers c, json_table(to_jsonb(c), '$' columns (v d path '$.email')) j where c.id = 1"],
    [domain, "select json_value(to_jsonb(c), '$.email' returning d) from customers c where id = 1"],
    [domain, "select x.v from customers c, xmltable('/r' passing xmlelement(name r, c.email) columns v d path '.') x where c.id = 1"],
    [domain, 'select x.email from customers c, jsonb_to_record(to_jsonb(c)) as x(email d) where c.id = 1'],
    [domain, 'create function viad(text) returns d language sql as $$select $1$$', 'select viad(email) from customers where id = 1'],
    [domain, 'select array[email]::d[] from customers where id = 1'],
    [domain, 'select cast(max(email) as d) from customers where id = 1'],
    ['create domain d as text constraint c check (value is null or keep(value))', 'select email::d from customers where id = 1'],
    ['create domain d as text check (keep(value || $$$$))', 'select coalesce(email, name)::d from customers where id = 1'],
    ['create domain d as customers check (keep((value).email))', 'select c::d from customers c where id = 1'],
    ['create domain d as text[] check (keep(value[1]))', 'select array[email]::d from customers where id = 1'],
  ].map(script => [...keep, ...script, READ]),
);

const onDomain = (name: string) => `create function ${name}(d) returns text language plpgsql as $$begin perform keep($1); return 1; end$$`;
add(
  'a parameter of a domain',
  [
    [onDomain('to_hex'), 'select to_hex(email) from customers where id = 1'],
    [onDomain('justify_days'), 'select justify_days(email) from customers where id = 1'],
    [onDomain('area'), 'select area(email) from customers where id = 1'],
    [onDomain('isfinite'), 'select 1 from customers where id = 1 and isfinite(email) is not null'],
    [
      'create function ks(d, d) returns bool language plpgsql as $$begin perform keep($1); return true; end$$',
      'create operator + (leftarg = d, rightarg = d, function = ks)',
      'select email + email from customers where id = 1',
    ],
    [
      'create function ks(d, d) returns bool language plpgsql as $$begin perform keep($1); return true; end$$',
      'create operator @> (leftarg = d, rightarg = d, function = ks)',
      'select 1 from customers where id = 1 and email @> email',
    ],
    [
      'create function ks(d) returns bool language plpgsql as $$begin perform keep($1); return true; end$$',
      'create operator @ (rightarg = d, function = ks)',
      'select @ email from customers where id = 1',
    ],
  ].map(script => [...keep, 'create domain d as text', ...script, READ]),
);

// A path that looks elsewhere than in pg_catalog first makes `=` somebody's own.
const own = (operators: string): string[] => [
  ...keep,
  'create function eq(text, text) returns bool language plpgsql as $$begin perform public.keep($1); return true; end$$',
  ...operators.split(' ').map(name => `create operator public.${name} (leftarg = text, rightarg = text, function = eq)`),
  'set local search_path = public, pg_catalog',
];
const unwritten: readonly (readonly [string, string])[] = [
  ['=', 'select email in (name) from customers where id = 1'],
  ['<>', 'select email not in (name) from customers where id = 1'],
  ['=', 'select nullif(email, name) is null from customers where id = 1'],
  ['=', 'select case email when name then true end from customers where id = 1'],
  ['>= <=', 'select email between name and name from customers where id = 1'],
  ['>= <=', 'select email between symmetric name and name from customers where id = 1'],
  ['< >', 'select email not between name and name from customers where id = 1'],
  ['=', 'select email = any (array[name]) from customers where id = 1'],
  ['=', 'select email is distinct from name from customers where id = 1'],
  ['=', 'select email is not distinct from name from customers where id = 1'],
  ['=', 'select email in (select name from customers where id = 2) from customers where id = 1'],
  ['=', 'select email = all (select name from customers where id = 2) from customers where id = 1'],
  ['=', 'select 1 from customers where id = 1 and email in (name, notes)'],
  ['=', 'select 1 from customers a join (select name as email from customers) b using (email) where a.id = 1 limit 1'],
  ['=', 'select 1 from (select email from customers where id = 1) a natural join (select name as email from customers) b limit 1'],
  ['~~', 'select email like name from customers where id = 1'],
  ['~', 'select email similar to name from customers where id = 1'],
];
add(
  'operators that are not written',
  unwritten.map(([operators, sql]) => [...own(operators), sql, READ]),
);
add('operators that are not written', [
  [
    ...keep,
    'create function eq(text, text) returns bool language plpgsql as $$begin perform keep($1); return true; end$$',
    'create operator === (leftarg = text, rightarg = text, function = eq)',
    'select email operator(public.===) any (select name from customers where id = 2) from customers where id = 1',
    READ,
  ],
]);

const immutable = [
  ...keep,
  'create function imm(t text) returns text language plpgsql immutable as $$begin perform public.keep(t); return t; end$$',
];
add(
  'worked out over rows, and kept',
  [
    ['create index on customers (imm(email))'],
    ['create index on customers (id) where imm(email) is not null'],
    ['create unique index on customers (id, (imm(email) || $$$$))'],
    ['create statistics st on (imm(email)), id from customers', 'analyze customers'],
    ['alter table customers add constraint ex exclude using btree (imm(email) with =)'],
    ['alter table customers add constraint ex exclude using btree (id with =) where (imm(email) is not null)'],
    ['alter table customers add constraint ck check (imm(email) is not null)'],
    ['alter table customers add column gg text generated always as (imm(email)) stored'],
    [
      'create policy p on customers using (imm(email) is not null)',
      'alter table customers enable row level security, force row level security',
      'select count(*) from customers',
    ],
  ].map(script => [...immutable, ...script, READ]),
);

const trigger = 'create trigger tr before update on orders for each row execute function t1()';
const fires = ['update orders set quantity = quantity where id = 1', 'select item from orders where id = 1'];
const reads =
  'create function t1() returns trigger language plpgsql as $$begin new.item := (select name from lookup where id = 1); return new; end$$';
const t1 = (body: string) => `create or replace function t1() returns trigger language plpgsql as $$begin ${body} return new; end$$`;
add('what triggers run', [
  [t1(''), trigger, t1('new.item := (select email from customers where id = 1);'), ...fires],
  [
    t1(''),
    trigger,
    t1("new.item := (select 'x' || email from customers where id = 1);"),
    fires[0] ?? '',
    'copy (select item from orders where id = 1) to stdout',
  ],
  [t1(''), trigger, t1('raise notice $x$%$x$, (select email from customers where id = 1);'), ...fires],
  [t1(''), trigger, t1('execute $x$select email from customers where id = 1$x$ into new.item;'), ...fires],
  [
    'create function h1() returns text language sql as $$select $x$a$x$::text$$',
    t1('new.item := h1();'),
    trigger,
    'create or replace function h1() returns text language sql as $$select email from customers where id = 1$$',
    ...fires,
  ],
  [
    'create function h1() returns text language sql as $$select $x$a$x$::text$$',
    'create function h2() returns text language plpgsql as $$begin return h1(); end$$',
    t1('new.item := h2();'),
    trigger,
    'create or replace function h1() returns text language plpgsql as $$begin return (select email from customers where id = 1); end$$',
    ...fires,
  ],
  [
    'create function h1() returns text language sql as $$select $x$a$x$::text$$',
    t1('new.item := h1();'),
    trigger,
    'create schema front',
    'create function front.h1() returns text language sql as $$select email from public.customers where id = 1$$',
    'set local search_path = front, public',
    ...fires,
  ],
  [
    'create view lookup as select id, item as name from orders',
    reads,
    trigger,
    'create or replace view lookup as select id, email as name from customers',
    ...fires,
  ],
  [
    'create view lookup as select id, item as name from orders',
    reads,
    trigger,
    'create temp view lookup as select id, email as name from customers',
    ...fires,
  ],
  [
    'create table lookup as select id, item as name from orders',
    reads,
    trigger,
    'create schema front',
    'create view front.lookup as select id, email as name from customers',
    'set local search_path = front, public',
    ...fires,
  ],
  [
    'create table lookup (id int, email text)',
    t1('new.item := (select email from lookup where id = 1);'),
    trigger,
    'alter table customers inherit lookup',
    ...fires,
  ],
  [
    'create table lookup (id int, name text)',
    reads,
    trigger,
    'alter table lookup rename to was_lookup',
    'create view leads as select id, email as name from customers',
    'alter view leads rename to lookup',
    ...fires,
  ],
  [
    'create function h1() returns text language sql as $$select $x$a$x$::text$$',
    t1('new.item := h1();'),
    trigger,
    'create function h2() returns text language sql as $$select email from customers where id = 1$$',
    'alter function h1() rename to h3',
    'alter function h2() rename to h1',
    ...fires,
  ],
]);
add('what checks and policies run', [
  [
    'create function ok(text) returns bool language plpgsql as $$begin return true; end$$',
    'alter table orders add check (ok(item))',
    'create or replace function ok(text) returns bool language plpgsql as $$begin raise exception $x$%$x$, (select email from customers where id = 1); end$$',
    'update orders set item = $$x$$ where id = 1',
  ],
  [
    'create function ok(text) returns bool language plpgsql as $$begin return true; end$$',
    'create domain dd as text check (ok(value))',
    'create or replace function ok(text) returns bool language plpgsql as $$begin raise exception $x$%$x$, (select email from customers where id = 1); end$$',
    'select $$x$$::dd',
  ],
  [
    ...keep,
    'create function ok(text) returns bool language plpgsql as $$begin return true; end$$',
    'create domain dd as text check (ok(value))',
    'create or replace function ok(text) returns bool language plpgsql as $$begin return public.keep($1); end$$',
    'select email::dd from customers where id = 1',
    READ,
  ],
  [
    'create function ok(int) returns bool language sql stable as $$select true$$',
    'create policy p on orders using (ok(id))',
    'alter table orders enable row level security, force row level security',
    'create or replace function ok(int) returns bool language plpgsql as $$begin raise exception $x$%$x$, (select email from customers where id = 1); end$$',
    'select count(*) from orders',
  ],
]);
add(
  'what checks and policies run',
  [
    [
      'create function ok(int) returns bool language sql stable as $$select true$$',
      'create policy p on orders using (ok(id))',
      'alter table orders enable row level security, force row level security',
      'create or replace function ok(int) returns bool language sql stable as $$select $1 <= ascii(email) from customers where id = 1$$',
      'select count(*), max(id) from orders',
    ],
  ],
  /\D99\D/,
);

// The mask of an e-mail address shows its first character and what stands behind the @.
const spelled = /c[^@]*@x\.y.{1,20}a[^@]*@x\.y.{1,20}n[^@]*@x\.y.{1,20}a[^@]*@x\.y.{1,20}r[^@]*@x\.y/s;
add(
  'in pieces through its own column',
  [
    [
      "update customers c set email = substr(o.email, c.id - 1, 1) || '@x.y' from customers o where o.id = 1 and c.id between 2 and 9",
      'select email from customers where id between 2 and 9 order by id',
    ],
    [
      "with o as (select email from customers where id = 1) update customers c set email = substr(o.email, c.id - 1, 1) || '@x.y' from o where c.id between 2 and 9",
      'select email from customers where id between 2 and 9 order by id',
    ],
    [
      "update customers c set email = (select substr(email, c.id - 1, 1) || '@x.y' from customers where id = 1) where id between 2 and 9",
      'select email from customers where id between 2 and 9 order by id',
    ],
    [
      "update customers c set (email, notes) = (select substr(email, c.id - 1, 1) || '@x.y', 'x' from customers where id = 1) where id between 2 and 9",
      'select email from customers where id between 2 and 9 order by id',
    ],
    [
      "merge into customers c using customers o on o.id = 1 and c.id between 2 and 9 when matched then update set email = substr(o.email, c.id - 1, 1) || '@x.y'",
      'select email from customers where id between 2 and 9 order by id',
    ],
    [
      "insert into customers (id, name, email, balance) select i, 'x', 'y', 0 from generate_series(2, 9) i on conflict (id) do update set email = (select substr(email, customers.id - 1, 1) || '@x.y' from customers o where id = 1)",
      'select email from customers where id between 2 and 9 order by id',
    ],
  ],
  spelled,
);
add(
  'in pieces through its own column',
  [
    ["update customers set email = 'a@' || email where id = 1", 'select email from customers where id = 1'],
    ["update customers set email = concat('a@', email) where id = 1 returning email"],
    ["update customers set email = overlay(email placing 'a@' from 1 for 0) where id = 1", 'table customers'],
    ["update customers set email = case when true then 'a@' || email end where id = 1", 'select email from customers where id = 1'],
  ],
  /canary\.ada@example\.com/,
);

export const behind: readonly Evasion[] = found;
