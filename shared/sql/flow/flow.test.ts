/**
 * What flow analysis says of every kind of statement, over the catalogs of real servers. testing.ts explains the right-hand
 * side. Each line was checked against what the server returns (fuzz/ does the same with random queries).
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { parseText } from '../analyse.ts';
import { loadParser } from '../parser.ts';
import { FlowAnalyser } from './analyse-flow.ts';
import type { FlowResult } from './result.ts';
import { type FlowSession, NO_SESSION } from './session.ts';
import { fixtureCatalog, line, protects } from './testing.ts';

before(loadParser);

const CATALOGS = [fixtureCatalog(15), fixtureCatalog(18)].map(catalog => ({ catalog, analyser: new FlowAnalyser(catalog, protects) }));

function results(text: string, session: FlowSession = NO_SESSION, at = 1): FlowResult[] {
  const parsed = parseText(Buffer.from(text));
  assert.ok(parsed.ok, text);
  return (
    CATALOGS[at]?.analyser.analyseCommand(
      parsed.statements.map(statement => statement.node),
      session,
    ) ?? []
  );
}

const TABLE: readonly (readonly [what: string, statements: readonly (readonly [sql: string, line: string])[]])[] = [
  [
    'plain columns',
    [
      ['select email from customers', '=email'],
      ['select c.email, public.customers.email from customers c', '=email - ?column-missing'],
      ['select customers.email, public.customers.email from customers', '=email =email'],
      ['select "email", U&"em\\0061il" from "customers"', '=email =email'],
      ['select * from customers', '- - =email =ssn - - - ~email'],
      ['select c.* from customers c', '- - =email =ssn - - - ~email'],
      ['table customers', '- - =email =ssn - - - ~email'],
      ['select email from sales.customers', '-'],
      ['select a.secret, s.id from sales.accounts a, sales.customers s', '=secret -'],
      ['select name, id from customers', '- -'],
      ['select ctid, xmin, tableoid from customers', '- - -'],
    ],
  ],
  [
    'options of foreign servers, as psql shows them',
    [
      [
        "select case when srvoptions is null then '' else array_to_string(array(select option_name || option_value from pg_options_to_table(srvoptions)), ',') end from pg_foreign_server order by 1",
        '~srvoptions inf:srvoptions',
      ],
      ["select srvname from pg_foreign_server where srvoptions is null or srvoptions::text like '%a%'", '- inf:srvoptions'],
    ],
  ],
  [
    'expressions',
    [
      [
        `select email || '', lower(email), email::varchar, email collate "C", (email), substr(email, 1, 1), length(email) from customers`,
        '~email ~email ~email ~email =email ~email ~email',
      ],
      [
        "select coalesce(email, 'x'), nullif(email, ''), greatest(email, name), case when true then email end, case email when 'x' then 1 end, case when email like 'a%' then 1 else 0 end from customers",
        '~email ~email ~email ~email ~email ~email inf:email',
      ],
      [
        "select email = 'x', email is null, email is not null and true, not (email > 'a'), email in ('a', 'b'), email between 'a' and 'b', email is distinct from 'x' from customers",
        '~email ~email ~email ~email ~email ~email ~email',
      ],
      [
        'select array[email], (array[email])[1], row(email, id), (row(email, id)).f1, (row(email, id)).f2, email[1] from customers',
        '~email ~email ~email ~email - ~email',
      ],
      [
        "select max(email), string_agg(name, ',' order by email), count(email), count(*), count(*) filter (where email = 'x'), array_agg(distinct email) from customers",
        '~email ~email ~email - ~email ~email eq:email inf:email',
      ],
      [
        'select row_number() over (order by email), lag(name) over (partition by ssn order by id), max(id) over w from customers window w as (order by email)',
        '~email ~ssn ~email inf:email,ssn',
      ],
      ['select percentile_disc(0.5) within group (order by email) from customers', '~email inf:email'],
      [
        "select json_build_object('a', email, 'b', id), to_jsonb(c), row_to_json(c), c::text, c, json_agg(c), xmlelement(name x, email), json_object('k': email), json_array(email, 1), json_arrayagg(email) from customers c group by c.*, email, id",
        '~email ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email ~email ~email ~email inf:email,ssn',
      ],
      [
        "select format('%s', email), concat_ws('-', name, email), encode(email::bytea, 'hex'), md5(email), to_tsvector(email) from customers",
        '~email ~email ~email ~email ~email',
      ],
    ],
  ],
  [
    'whole rows and composites',
    [
      ['select c from customers c', '~email,ssn'],
      ['select (c).email, (c).id, (c).* from customers c', '~email - - - ~email ~ssn - - - ~email'],
      ['select s from (select email, id from customers) s', '~email'],
      ['select (s).email, (s).id from (select email, id from customers) s', '~email -'],
      ['select email(c), c.fullname, fullname(c) from customers c', '~email ~email ~email'],
      ['select to_json(c.*), count(c.*), row(c.*) from customers c group by c.*', '~email,ssn ~email,ssn ~email,ssn inf:email,ssn'],
      ['select (home).city, (c.home).street, (c).home from customers c', '- - -'],
      ['select (f_row(1)).email, (f_row(1)).id', '~email -'],
      ['select (x).email from (select c as x from customers c) q', '~email'],
    ],
  ],
  [
    'subqueries',
    [
      [
        "select (select email from customers limit 1), exists (select email from customers), 'a' in (select email from customers), array(select email from customers), 1 = any (select id from customers where email = 'x')",
        '~email - ~email ~email - eq:email',
      ],
      ['select x.e from (select email as e from customers) x', '=email'],
      ['select * from (select email, id from customers) x (a, b)', '=email -'],
      ['select q.lower from (select lower(email) from customers) q', '~email'],
      ['select q.max, q."?column?" from (select max(email), 1 from customers) q', '~email -'],
      ['select o.id, l.email from orders o, lateral (select c.email from customers c where c.id = o.customer_id) l', '- =email'],
      [
        'select o.id, l.e from orders o left join lateral (select upper(c.email) e from customers c where c.id = o.customer_id) l on true',
        '- ~email',
      ],
      ['select email from (select name as email from customers) q', '-'],
      ['select c.id, (select c.email) from customers c', '- ~email'],
    ],
  ],
  [
    'CTEs',
    [
      ['with x as (select email from customers) select * from x', '=email'],
      ['with x(a, b) as (select email, id from customers) select b, a from x', '- =email'],
      ['with customers as (select 1 as email) select email from customers', '-'],
      ['with orders as (select email as contact from customers) select contact from orders', '=email'],
      ['with x as (with y as (select ssn from customers) select * from y) select * from x', '=ssn'],
      [
        "with recursive r(n, v) as (select 1, 'x' union all select n + 1, (select email from customers where id = n) from r where n < 3) select * from r",
        '- ~email',
      ],
      ['with recursive a as (select * from b), b as (select email from customers) select * from a', '=email'],
      ['with recursive r as (select id, email from customers) search depth first by email set ord select * from r', '- =email ~email'],
      ['with x as (select email from customers), y as (select id from x, orders) select * from y', '-'],
      ['with x as (insert into plain values (1) returning b) select * from x', '-'],
      ['with x as (delete from customers returning email, id) select * from x', '=email -'],
    ],
  ],
  [
    'set operations',
    [
      ["select email from customers union all select 'x'", '~email'],
      ['select id from customers union all select id from orders', '-'],
      ['select email from customers union all select email from customers', '=email'],
      ['select email from customers union select contact from orders', '=email inf:email'],
      ['select name from customers except select email from customers', '- inf:email'],
      ["values (1, 'a'), (2, (select email from customers limit 1))", '- ~email'],
      ["select 1, 'a' union all (select 2, email from customers order by 1 limit 1) order by 2", '- ~email inf:email'],
    ],
  ],
  [
    'joins',
    [
      ['select * from customers join orders using (id)', '- - =email =ssn - - - ~email - - - -'],
      ['select * from customers c natural join orders', '- - =email =ssn - - - ~email - - - -'],
      ['select email from customers c join sales.customers s using (email)', '=email inf:email'],
      ['select email, c.email, s.email from customers c full join sales.customers s using (email)', '~email =email - inf:email'],
      ['select j.email from (customers c join orders o on c.id = o.customer_id) j', '=email'],
      ['select a.email from customers a join customers b using (id)', '=email'],
      ['select u.email from customers c join sales.customers s using (email) as u', '=email inf:email'],
      ['select 1 from customers c join sales.customers s on c.email = s.email', '- inf:email'],
      ['select b from plain left join customers on a = id', '-'],
    ],
  ],
  [
    'functions in FROM',
    [
      ['select * from f_table()', '- ~email inf:email'],
      ['select mail, cid from f_table() t', '~email - inf:email'],
      ['select t.x from f_table() t(x, y)', '- inf:email'],
      ['select * from f_rows()', '- - ~email ~ssn - - - ~email inf:email,ssn'],
      ['select * from f_email(1)', '~email inf:email'],
      ['select e from f_email(1) e', '~email inf:email'],
      ['select * from generate_series(1, 3)', '-'],
      ['select g, n from generate_series(1, 3) with ordinality g(g, n)', '- -'],
      ["select u from customers, unnest(string_to_array(email, '@')) u", '~email inf:email'],
      ['select key, value from customers, jsonb_each_text(to_jsonb(customers))', '~email,ssn ~email,ssn inf:email,ssn'],
      [`select * from json_to_record('{"a":1}') as x(a int, b text)`, '- -'],
      [
        'select * from customers c, json_populate_record(null::customers, to_json(c)) p',
        '- - =email =ssn - - - ~email ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email,ssn ~email,ssn inf:email,ssn',
      ],
      ["select * from rows from (generate_series(1, 2), unnest(array['a'])) as t(a, b)", '- -'],
      ["select x.* from customers, xmltable('/a' passing (email::xml) columns b text path 'b') x", '~email inf:email'],
      [
        "select j.* from customers, json_table(email, '$' columns (a int path '$.a', nested path '$.b' columns (c text path '$'))) j",
        '~email ~email inf:email',
      ],
      ['select word from pg_get_keywords()', '-'],
      ["select * from unnest(array[1, 2], array['a', 'b'])", '- -'],
    ],
  ],
  [
    'views, materialized views, generated columns',
    [
      ['select * from v_emails', '- =email -'],
      ['select e from v_nested, v_emails', '=email'],
      ['select ee, l from v_nested', '=email ~email'],
      ['select * from v_all', '- - =email =ssn - - - ~email -'],
      ['select n from v_count', '-'],
      ['select * from v_plain', '- -'],
      ['select x from v_union', '=email'],
      ['select * from mv_emails', '- =email'],
      ['select email_lower from customers', '~email'],
    ],
  ],
  [
    'inheritance and partitions',
    [
      ['select actor from events', '=actor'],
      ['select actor, payload from events_1', '=actor -'],
      ['select phone from people', '=phone'],
      ['select phone, name from only employees', '=phone -'],
      ['select * from people', '- =phone'],
    ],
  ],
  [
    'functions, operators and aggregates of the database',
    [
      [
        "select f_email(1), f_pure('x'), f_pure(email), f_path(), f_atomic(1), f_return(email), f_return('x') from customers",
        '~email - ~email - ~email ~email -',
      ],
      ['select f_store(email) from customers', '- sink:table'],
      ["select f_store('x')", '-'],
      ['select g_read()', '- ?function-opaque'],
      ['select g_harmless(1), g_unset(2)', '- -'],
      ['select g_harmless(length(email)) from customers', '~email sink:function'],
      ["select g_dynamic('select 1')", '- ?function-opaque'],
      ['select g_view(), g_calls()', '- - ?function-opaque'],
      ['select sets_path()', '- ?function-opaque'],
      ['select public.nosuch(1)', '- ?function-missing'],
      ["select 'a' === 'b', email === 'x' from customers", '- ~email'],
      ["select 'a' =!= 'b' ", '-'],
      ["select email =!= 'x' from customers", '~email sink:function'],
      ['select joined(email), joined(name) from customers', '~email -'],
      ['select spying(name) from customers', '-'],
      ['select spying(email) from customers', '~email sink:function'],
    ],
  ],
  [
    'inference',
    [
      ["select id from customers where email = 'x'", '- eq:email'],
      ['select id from customers where email = $1 and id = 3', '- eq:email'],
      ["select id from customers where 'x' = email", '- eq:email'],
      ["select id from customers where email in ('a', 'b')", '- eq:email'],
      ["select id from customers where email = any (array['a', 'b'])", '- eq:email'],
      ['select id from customers where email = any ($1)', '- eq:email'],
      ["select id from customers where (email, id) = ('a', 1)", '- eq:email'],
      ["select id from customers where email is not distinct from 'x'", '- eq:email'],
      ["select id from customers where email <> 'x'", '- inf:email'],
      ["select id from customers where not email = 'x'", '- inf:email'],
      ["select id from customers where lower(email) = 'x'", '- inf:email'],
      ['select id from customers where email = name', '- inf:email'],
      ["select id from customers where email like 'a%'", '- inf:email'],
      ["select id from customers where email > 'a' or ssn = '1'", '- eq:ssn inf:email'],
      ['select id from customers where email is null', '- inf:email'],
      ['select id from customers order by email', '- inf:email'],
      ['select id from customers order by lower(ssn)', '- inf:ssn'],
      ['select id, email from customers order by 2', '- =email inf:email'],
      ['select email as x, id from customers order by x', '=email - inf:email'],
      ['select id as email from customers order by email', '-'],
      ['select count(*) from customers group by email', '- inf:email'],
      ['select name as email, count(*) from customers group by name', '- -'],
      ['select count(*) from customers group by grouping sets ((email), (ssn), ())', '- inf:email,ssn'],
      ["select count(*) from customers having max(email) > 'x'", '- inf:email'],
      ['select distinct email from customers', '=email inf:email'],
      ['select distinct on (email) id from customers', '- inf:email'],
      ['select id from customers limit (select length(email) from customers limit 1)', '- enum:email'],
      ['select id from customers where id in (select customer_id from orders where contact = email)', '- inf:email'],
      ['select id from customers where exists (select 1 from orders where contact = customers.email)', '- inf:email'],
      ["select id from v_emails where e = 'x'", '- eq:email'],
      ["select sum(case when email like 'a%' then 1 else 0 end) from customers", '~email inf:email'],
    ],
  ],
  [
    'working a value out row by row',
    [
      // What joins and questions are for.
      ['select o.id from orders o join customers c on c.email = o.contact', '- inf:email'],
      ['select o.id from orders o join customers c on upper(trim(c.email)) = upper(o.contact)', '- inf:email'],
      ['select o.id from orders o join customers c on c.email = o.contact and c.id = o.customer_id', '- inf:email'],
      ['select o.id from orders o where o.contact in (select email from customers)', '- inf:email'],
      ['select o.id from orders o where o.contact not in (select lower(email) from customers)', '- enum:email'],
      ["select v.e from (values ('a@b.c'), ('d@e.f')) v(e) join customers c on c.email = v.e", '- eq:email'],
      ["select u from unnest(array['a@b.c', 'd@e.f']) u join customers c on c.email = u", '- eq:email'],
      ['select contact from orders except select email from customers', '- inf:email'],
      ["select id from customers where email like '%' || name || '%'", '- inf:email'],
      ["select id, substr(email, 1, 3) from customers where substr(email, 1, 3) = 'can'", '- ~email inf:email'],
      [
        'select * from (select id, row_number() over (partition by email order by id) n from customers) q where n = 1',
        '- ~email inf:email',
      ],
      ['select id from customers where length(email) > (select avg(id) from orders)', '- inf:email'],
      ['select w from customers, regexp_split_to_table(email, $$@$$) w', '~email inf:email'],
      // Every character against every code.
      ['select a.id from customers a, customers c where ascii(c.email) = a.id', '- enum:email'],
      ['select p.id, a.id from customers p, customers a, customers c where ascii(substr(c.email, p.id, 1)) = a.id', '- - enum:email'],
      ['select a.id from customers a where a.id in (select ascii(email) from customers)', '- enum:email'],
      ['select a.id from customers a where exists (select 1 from customers c where ascii(c.email) = a.id)', '- enum:email'],
      ['update customers a set name = $$x$$ from customers c where ascii(c.email) = a.id', '() enum:email'],
      ['select v.id from v_emails v, customers c where ascii(c.email) = v.id', '- enum:email'],
      ['select a from generate_series(32, 126) a, customers c where ascii(c.email) = a', '- enum:email'],
      ['select a from generate_series(32, 126) a where exists (select 1 from customers where ascii(email) = a)', '- enum:email'],
      ['select a from generate_series(32, 126) a where a in (select ascii(email) from customers)', '- enum:email'],
      ['select a from generate_series(32, 126) a where a = (select ascii(email) from customers where id = 1)', '- enum:email'],
      ['select a from generate_series(32, 126) a where a = any(array(select ascii(email) from customers))', '- enum:email'],
      ['select v.a from (values (97), (98)) v(a) join customers c on ascii(c.email) = v.a', '- enum:email'],
      ['select g::text from generate_series(1, 9) g join customers c on c.ssn = g::text', '- enum:ssn'],
      ['select o.id from orders o join customers c on c.email like o.contact', '- enum:email'],
      ['select g.x from generate_series(32, 126) g(x) join (select ascii(email) x from customers) q using (x)', '- enum:email'],
      ['select x from generate_series(32, 126) g(x) natural join (select ascii(email) x from customers) q', '- enum:email'],
      ['select a from generate_series(32, 126) a except select ascii(email) from customers', '- inf:email enum:email'],
      ['select a from generate_series(32, 126) a, customers c order by (ascii(c.email) = a) desc limit 1', '- enum:email'],
      ['select min(a) from generate_series(32, 126) a, customers c group by ascii(c.email) = a', '- enum:email'],
      ['select a from (select a, ascii(c.email) = a hit from generate_series(32, 126) a, customers c) q where hit', '- enum:email'],
      ['select a from (select a, ascii(c.email) = a hit from generate_series(32, 126) a, customers c) q order by hit desc', '- enum:email'],
      ['select count(*) from customers, generate_series(1, ascii(email))', '- enum:email'],
      ['select count(*) from (select generate_series(1, ascii(email)) from customers) q', '- enum:email'],
      ["select count(*) from customers, unnest(string_to_array(repeat(',', ascii(email)), ','))", '- enum:email'],
      ['select lastval() from customers where ascii(email) = nextval($$s$$)', '- enum:email'],
      [
        "with recursive t(s) as (select '' union all select s || c from t, (values ('a'), ('b')) g(c) where exists (select 1 from customers where email like s || c || '%')) select s from t",
        '- enum:email',
      ],
      ['delete from plain p using customers c where ascii(c.email) = p.a returning p.a', '- enum:email'],
      ['update plain p set b = null from customers c where ascii(c.email) = p.a', '() enum:email'],
    ],
  ],
  [
    'INSERT, UPDATE, DELETE, MERGE',
    [
      ["insert into plain (a, b) values (1, 'x')", '()'],
      ['insert into plain (b) select email from customers', '() sink:table'],
      ['insert into plain (b) select name from customers', '()'],
      ["insert into customers (id, email) values (1, 'x') returning id, email", '- =email'],
      [
        "insert into customers (id, email) values (1, 'x') on conflict (id) do update set email = excluded.email, name = excluded.name",
        '()',
      ],
      ["insert into customers (id, email) values (1, 'x') on conflict (id) do update set name = customers.email", '() sink:table'],
      ['insert into customers (id) values (1) on conflict (id) do update set name = excluded.email', '() sink:table'],
      ["update customers set email = 'x' where id = 1", '()'],
      ['update customers set email = lower(email)', '()'],
      ['update customers set name = email', '() sink:table'],
      ["update customers set (name, email) = (email, 'x')", '() sink:table'],
      ["update customers set (email, name) = (select email, 'x' from customers limit 1)", '() sink:table'],
      ['update plain set b = email from customers', '() sink:table'],
      ['update plain set a = 1 where b in (select email from customers)', '() inf:email'],
      ["update customers set name = 'x' returning *", '- - =email =ssn - - - ~email'],
      ["update customers set name = 'x' returning old.email, new.name, new.ssn", '=email - =ssn'],
      ["update customers set name = 'x' returning with (old as o) o.email, o.name", '=email -'],
      ["delete from customers where email = 'x'", '() eq:email'],
      ['delete from customers using orders returning customers.email, orders.id', '=email -'],
      ['merge into plain p using customers c on p.a = c.id when matched then update set b = c.email', '() sink:table'],
      ['merge into plain p using customers c on p.a = c.id when not matched then insert (b) values (c.email)', '() sink:table'],
      [
        'merge into customers c using plain p on c.id = p.a when matched then update set email = p.b returning c.email, p.b, merge_action()',
        '=email - -',
      ],
      ['merge into customers c using plain p on c.email = p.b when matched then delete', '() inf:email'],
    ],
  ],
  [
    'everything that is no result set',
    [
      ['create table x as select email from customers', '() sink:table'],
      ['create table x as select name from customers', '()'],
      ['select email into x from customers', '() sink:table'],
      ['select lower(email) as e into temp x from customers', '() sink:table'],
      ['create materialized view x as select email from customers', '() sink:table'],
      ['create view x as select email from customers', '()'],
      ['create temp table x (e text); insert into x select email from customers', '() ; () sink:table'],
      ['create table x as select id from customers; select * from x', '() ; -'],
      ["select set_config('a.b', email, false) from customers", '~email sink:function ?dynamic-sql'],
      ["select set_config('a.b', 'x', false)", '-'],
      ["select set_config('a.b', name, false) from customers", '- ?dynamic-sql'],
      ["select pg_notify('c', email) from customers", '~email sink:function'],
      ["select pg_notify('c', 'x')", '-'],
      ['select lo_from_bytea(0, email::bytea) from customers', '~email sink:function'],
      ['select setseed(length(email)) from customers', '~email sink:function'],
      ['select pg_sleep(length(email)) from customers', '~email sink:function'],
      ['select pg_advisory_lock(length(email)) from customers', '~email sink:function'],
      ["select nextval('counter'), setval('counter', 3)", '- -'],
      ["select setval('counter', length(email)) from customers", '~email sink:function'],
      ["select query_to_xml('select email from customers', true, false, '')", '- sink:function'],
      ["select table_to_xml('customers', true, false, '')", '- sink:function'],
      ["select pg_read_file('x')", '- sink:function'],
      ["select * from ts_stat('select email::tsvector from customers')", '… sink:function'],
      ['select attname, most_common_vals from pg_stats', '- =most_common_vals'],
      ['select query from pg_stat_activity', '=query'],
      ["select pid from pg_stat_activity where query like '%x%'", '- inf:query'],
      ['select * from pg_stat_get_activity(null)', '… sink:function'],
      ['copy customers to stdout', '- - =email =ssn - - -'],
      ['copy customers (id, email) to stdout', '- =email'],
      ['copy (select id, upper(email) from customers) to stdout', '- ~email'],
      ["copy customers to '/tmp/x'", '() sink:file ?server-file'],
      ["copy plain to program 'cat'", '() ?server-file'],
      ['copy plain from stdin', '()'],
      ["copy customers from stdin where email = 'x'", '() eq:email'],
      ["copy plain from '/tmp/x'", '() ?server-file'],
      ["explain select email from customers where email > 'x'", '- inf:email'],
      ['explain analyze select email from customers', '-'],
      ['explain (verbose) select f_email(1)', '~email'],
      ['explain update customers set name = email', '-'],
      ['explain analyze update customers set name = email', '- sink:table'],
      ['prepare p as select email, id from customers; execute p', '() ; =email -'],
      ['prepare p as select $1, email from customers; execute p(1); deallocate p', '() ; - =email ; ()'],
      ['execute q', '… ?prepared-missing'],
      ['declare c cursor for select email, id from customers; fetch all from c; move c', '=email - ; =email - ; ()'],
      ['fetch c', '… ?cursor-missing'],
      ['do $$begin perform 1; end$$', '()'],
      ['do $$begin perform email from customers; end$$', '() ?dynamic-sql'],
      ["do $$begin execute 'x'; end$$", '() ?dynamic-sql'],
      ['call p_sql()', '…'],
      ['call p_read()', '… ?function-opaque'],
      ['select * from remote', '- - ?foreign-table'],
      ['insert into remote values (1)', '() ?foreign-table'],
    ],
  ],
  [
    'definitions and sessions',
    [
      ['alter table customers rename to c2', '() sink:definition'],
      ['alter table customers rename email to e2', '() sink:definition'],
      ['alter table customers rename name to n2', '()'],
      ['alter table plain rename to p2', '()'],
      ['alter table customers set schema sales', '() sink:definition'],
      ['alter schema public rename to x', '() sink:definition'],
      ['alter table events detach partition events_1', '() sink:definition'],
      ['alter table employees no inherit people', '() sink:definition'],
      ['alter table customers alter column name type text using email', '() sink:table'],
      ['alter table customers add column c text generated always as (lower(email)) stored', '() sink:table'],
      ["alter table customers add column c text default 'x'", '()'],
      ["alter table customers add check (email like '%@%')", '() inf:email'],
      ['alter table plain add column c text', '()'],
      ['alter table customers drop column notes', '()'],
      ['create index on customers (lower(email))', '()'],
      ['create trigger t before insert on plain for each row execute function g_read()', '() ?function-opaque'],
      ['create rule r as on insert to plain do also delete from orders', '() sink:definition'],
      ['create foreign table ft (a int) server elsewhere', '() sink:definition'],
      ['create publication p for all tables', '() sink:definition'],
      ["create function f() returns text language sql as 'select email from customers'", '()'],
      ["create function f() returns int language c as 'a', 'b'", '() sink:definition'],
      ["create table x (a int default g_unset(1), b text check (g_read() = 'x'))", '() ?function-opaque'],
      ['create table x (a int) inherits (customers)', '()'],
      ['drop table customers', '()'],
      ['truncate customers', '()'],
      ['create role r; grant select on customers to r', '() ; ()'],
      ['create extension dblink', '()'],
      ['create cast (text as int) with function f_x(text)', '() sink:definition'],
      ['set search_path = sales; select email from customers; select secret from accounts', '() ; - ; =secret'],
      ['set search_path = sales, public; select email from customers', '() ; -'],
      ['set local search_path to sales; select email from customers; rollback; select email from customers', '() ; - ; () ; =email'],
      ["select set_config('search_path', 'sales', false); select email from customers", '- ; -'],
      ['select email from pg_temp.customers', '- ?relation-missing'],
      ['create temp table customers (email text, z int); select email, z from customers', '() ; =email -'],
      [
        'begin; create or replace view v_plain as select email as a, name as b from customers; select a from v_plain; select a from plain',
        '() ; () ; - ?catalog-stale ; -',
      ],
      ['begin; alter table plain rename to p2; select b from p2; rollback', '() ; () ; - ?relation-missing ?catalog-stale ; ()'],
      ['show search_path', '- …'],
      ["listen x; notify x, 'y'", '() ; ()'],
      ['select nosuch from customers', '- ?column-missing'],
      ['select * from nosuch', '… ?relation-missing'],
      ['select c.nosuch from customers c', '- ?column-missing'],
      ['select current_user, current_date, now(), version()', '- - - -'],
    ],
  ],
];

for (const [what, statements] of TABLE) {
  test(what, () => {
    for (const at of [0, 1])
      for (const [sql, expected] of statements)
        assert.equal(results(sql, NO_SESSION, at).map(line).join(' ; '), expected, `${at === 0 ? 15 : 18}: ${sql}`);
  });
}

test('more conditions than a question has count as enumeration', () => {
  const asked = (n: number) => Array.from({ length: n }, (_, i) => `email like '${String.fromCharCode(97 + (i % 26))}${i}%'`).join(' or ');
  assert.equal(line(results(`select id from customers where ${asked(32)}`)[0] as FlowResult), '- inf:email');
  assert.equal(line(results(`select id from customers where ${asked(33)}`)[0] as FlowResult), '- inf:email enum:email');
});
