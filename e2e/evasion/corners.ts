/**
 * More evasions, from the corners of the language: values as separators, formats, keys and names; types, casts, operators and
 * aggregates made on the way; what extensions bring; what errors of all kinds quote; places outside of tables that keep a number;
 * and messages of the protocol in orders that no driver sends. A text is one statement, tried in all modes of the protocol; a
 * list is a session.
 */
import { message } from '../components/raw-postgres.ts';
import type { Evasion } from './corpus.ts';

const from1 = 'from customers where id = 1';

/** An argument that is not the subject of the function comes out all the same. */
const carried = [
  `string_agg(name, email) || (array_agg(email))[1]`,
  `(array_agg(email))[1]`,
  `array_to_string(array['a', 'b'], email)`,
  `array_to_string(array['a', null], ',', email)`,
  `concat_ws(email, 'a', 'b')`,
  `lpad('', 60, email)`,
  `rpad('x', 60, email)`,
  `regexp_replace('x', 'x', email)`,
  `regexp_replace(email, '.+', '<\\&>')`,
  `replace('x', 'x', email)`,
  `overlay('xx' placing email from 1)`,
  `format('%2$s', name, email)`,
  `format('%1$*2$s', email, 40)`,
  `format(replace(email, '%', ''))`,
  `to_char(1, '"' || email || '"')`,
  `to_char(timestamp '2026-01-01', '"' || email || '"')`,
  `to_char(interval '1 day', '"' || email || '"')`,
  `jsonb_build_object(email, 1)`,
  `json_build_object('a', json_build_object(email, null))`,
  `jsonb_object(array[email], array['x'])`,
  `jsonb_set('{"a": {}}', array['a', email], '1')`,
  `jsonb_object_agg(email, id)`,
  `json_object_agg_unique(email, id)`,
  `xmlelement(name a, xmlattributes(email as b), 'c')`,
  `xmlelement(name a, xmlelement(name b, email))::text`,
  `row_to_json(row(email))`,
  `json_object(email: 1)`,
  `coalesce((select item from orders where false), email)`,
  `case id when 1 then email else name end`,
  `(array[[email, ssn], [name, name]])[1][1]`,
  `(array[[email, ssn], [name, name]])[1:1][1:1]`,
  `(array[[[email]]])::text`,
  `array_remove(array[email, 'x'], 'x')`,
  `array_replace(array['x'], 'x', email)`,
  `array(select unnest(array[[email], [ssn]]))`,
  `(string_to_array(email || ',x', ','))[1]`,
  `(to_jsonb(array[email]))[0]`,
  `jsonb_extract_path_text(jsonb_build_object('a', jsonb_build_array(email)), 'a', '0')`,
  `cast(array[email] as varchar(100)[])`,
  `array[email]::name[]`,
  `email::char(40)`,
  `email::bpchar`,
  `array[email::varchar]::text`,
  `cast(row(email, 1) as record)::text`,
  `normalize(email, nfkd)`,
  `rtrim(ltrim(email, '~'), '~')`,
  `substring(email, 1, 100)`,
  `string_to_array(email, null)::text || email`,
  `encode(overlay(email::bytea placing '' from 1 for 0), 'escape')`,
  `convert_from(reverse(reverse(email))::bytea, 'UTF8')`,
  `max(email) over (order by id groups between 1 preceding and 1 following exclude ties)`,
  `max(email) over (rows between current row and current row)`,
  `min(email) filter (where id = 1) over (order by id range between unbounded preceding and current row exclude no others)`,
  `nth_value(email, 1) over (order by id rows between unbounded preceding and unbounded following)`,
  `percentile_disc(array[0, 1]) within group (order by email desc)`,
  `mode() within group (order by upper(email))`,
  `array_agg(array[email, ssn])`,
  `array_agg(row(email, ssn))::text`,
  `jsonb_agg(jsonb_build_array(email) order by email)`,
  `xmlagg(xmlcomment(replace(email, '-', '')) order by id)`,
  `json_arrayagg(email order by email null on null returning text)`,
  `json_objectagg(email: id)`,
  `json_query(jsonb_build_array(email), '$[*]' with conditional wrapper)`,
  `json_query(jsonb_build_array(email), '$[0]' returning text omit quotes)`,
  `jsonb_path_query_array('[1]', '$[*] ? (@ == 1)', jsonb_build_object('v', email)) || to_jsonb(email)`,
].map(expression => `select ${expression} as v ${from1}`);
/** Of groups as well. */
const grouped = carried.filter(sql => /_agg|agg\(|within group/.test(sql) && !sql.includes(' over ')).map(sql => `${sql} group by id`);

const sources = [
  'select v from customers c, lateral (values (c.email), (c.ssn)) t(v) where c.id = 1',
  'select t.* from customers c cross join lateral (values (1, c.email)) as t(n, v) where c.id = 1',
  'select * from unnest(array(select email from customers where id = 1)) with ordinality',
  'select * from rows from (string_to_table((select email from customers where id = 1), $$,$$), generate_series(1, 1)) as t(a, b)',
  `select j.v from customers c, json_table(to_jsonb(c), '$' columns (nested path '$' columns (v text path '$.email'))) j where c.id = 1`,
  `select j.v from customers c, json_table('[1]', '$[*]' passing c.email as x columns (v text path '$x')) j where c.id = 1`,
  `select x.v from customers c, xmltable('/r' passing '<r/>' columns v text path 'nope' default c.email) x where c.id = 1`,
  `select x.v from customers c, xmltable('/r/e' passing xmlelement(name r, xmlforest(c.email as e)) columns v text path 'text()') x where c.id = 1`,
  'select email, grouping(email) from customers where id = 1 group by grouping sets ((email), ())',
  'select email, ssn from customers where id = 1 group by cube (email, ssn)',
  'select distinct on (email) email from customers where id = 1 order by email using ~<~',
  'select r.e from (select row(email, ssn) as e from customers where id = 1) r',
  'select (r.e).f1 from (select row(email, ssn) as e from customers where id = 1) r',
  'with recursive g(i, path) as (select id, array[email] from customers where id = 1 union all select i + 1, path || c.name from g join customers c on c.id = g.i + 1 where i < 3) select path from g',
  'with recursive g(i, j) as (select 1, to_jsonb(email) from customers where id = 1 union select i + 1, j from g where i < 2) select jsonb_agg(j) from g',
  'select (select string_agg(k || $$=$$ || v, $$;$$) from jsonb_each_text(to_jsonb(c)) as e(k, v)) from customers c where id = 1',
  'select e from customers c join lateral jsonb_path_query(to_jsonb(c), $$$.*$$) e on true where c.id = 1',
  'select email from customers where id = any (array[1]) and email is not null limit all',
  'select email from customers where (id, 1) = (1, 1) offset 0 rows fetch next row only',
  'select repeat(email, 40000) from customers where id = 1',
  'select m[1] from customers c, regexp_matches(c.email, $$(.*)$$) m where c.id = 1',
  'select a from customers c, regexp_split_to_table(c.email, $$,$$) a where c.id = 1',
  'select c.* from customers c, customers d where c.id = 1 and d.id = 2',
  'select d.v from (select c.* from customers c) as d(i, n, v) where d.i = 1',
  'select coalesce(l.email, r.email) from customers l right join customers r on l.id = r.id where r.id = 1',
  'select * from (select id, email from customers where id = 1) a natural full join (select 2 as id) b',
  'select pg_temp_view.v from (select email as v from customers where id = 1) as pg_temp_view',
  'select upper(lower(max(email))) from customers where id = 1 having count(*) = 1',
  'select any_value(c) from customers c where id = 1',
  'select (any_value(c)).email from customers c where id = 1',
  'select array_agg(c.email) over w from customers c where id = 1 window v as (order by id), w as (v rows unbounded preceding)',
  'merge into orders o using customers c on o.id = 5 and c.id = 1 when matched then update set quantity = o.quantity returning merge_action(), to_jsonb(c)',
  'merge into customers c using (values (1)) v(id) on c.id = v.id when matched then update set notes = c.notes returning merge_action(), c',
  'with m as (merge into customers c using (values (1)) v(id) on c.id = v.id when matched then update set notes = c.notes returning c.email) select reverse(email) from m',
];

/** What fails and says on what. */
const errors = [
  'point',
  'line',
  'circle',
  'box',
  'money',
  'oid',
  'xid',
  'pg_lsn',
  'tid',
  'regtype',
  'regproc',
  'regconfig',
  'regdictionary',
  'bool',
  'time',
  'timetz',
  'timestamptz',
  'cidr',
  'macaddr',
  'macaddr8',
  'int4range',
  'tstzrange',
  'nummultirange',
  'tsquery',
  'xml',
  'float4',
  'smallint',
  'bigint',
  'mood',
  'int2vector',
  'pg_snapshot',
].map(type =>
  type === 'tsquery'
    ? `select (email || ' ' || email)::tsquery ${from1}`
    : type === 'xml'
      ? `select ('<' || email)::xml ${from1}`
      : `select email::${type} ${from1}`,
);
const named = [
  `timezone(email, now())`,
  `date_trunc(email, now())`,
  `date_part(email, now())`,
  `encode('x', email)`,
  `decode('x', email)`,
  `convert_from('x', email)`,
  `convert_to('x', email)`,
  `current_setting(email)`,
  `set_config(email, 'x', true)`,
  `set_config('work_mem', email, true)`,
  `nextval(email)`,
  `pg_get_serial_sequence(email, 'x')`,
  `has_table_privilege(email, 'select')`,
  `has_table_privilege('orders', email)`,
  `to_tsvector(email::regconfig, 'x')`,
  `make_timestamptz(2026, 1, 1, 1, 1, 1, email)`,
  `row(email)::text::pair`,
  `('{' || email)::text[]`,
  `('[' || email)::jsonb`,
  `json_value(to_jsonb(email), '$' returning int error on error)`,
  `jsonb_populate_record(null::pair, jsonb_build_object('a', email))`,
  `array_to_string(array[email], ',')::date`,
  `lower(email)::interval`,
  `concat(email, '')::uuid`,
  `replace(ssn, '-', '')::smallint`,
].map(expression => `select ${expression} ${from1}`);

/** Made first, then used. */
const made: string[][] = [
  ['create function pg_temp.id(text) returns text language sql as $$ select $1 $$', `select pg_temp.id(email) ${from1}`],
  [
    'create function pg_temp.row_id(customers) returns text language sql as $$ select ($1).email $$',
    'select pg_temp.row_id(c) from customers c where id = 1',
  ],
  ['create function any_id(anyelement) returns anyelement language sql as $$ select $1 $$', `select any_id(email) ${from1}`],
  [
    'create function any_id2(anyelement) returns anyelement language sql as $$ select $1 $$',
    'select (any_id2(c)).email from customers c where id = 1',
  ],
  ['create function by_name(a int, b text) returns text language sql as $$ select b $$', `select by_name(b => email, a => 1) ${from1}`],
  ['create function by_default(a text default leaky_sql(1)) returns text language sql as $$ select a $$', 'select by_default()'],
  [
    'create function with_variadic(variadic a text[]) returns text language sql as $$ select a[2] $$',
    `select with_variadic('x', email) ${from1}`,
  ],
  [
    'create function of_table() returns table (e text) language sql as $$ select email from customers where id = 1 $$',
    'select e from of_table()',
  ],
  [
    'create function of_rows() returns setof record language sql as $$ select id, email from customers where id = 1 $$',
    'select t.b from of_rows() as t(a int, b text)',
  ],
  [
    'create function of_out(out a int, out b text) language sql as $$ select id, email from customers where id = 1 $$',
    'select (of_out()).b',
  ],
  [
    'create function of_out2(out a int, out b text) language sql as $$ select id, email from customers where id = 1 $$',
    'select * from of_out2()',
  ],
  [
    'create function one_of_two() returns text language sql as $$ select 1; select email from customers where id = 1 $$',
    'select one_of_two()',
  ],
  [
    'create function changes() returns text language sql as $$ update customers set notes = notes where id = 1 returning email $$',
    'select changes()',
  ],
  [
    'create function deep1() returns text language sql as $$ select email from customers where id = 1 $$',
    'create function deep2() returns text language sql as $$ select reverse(deep1()) $$',
    'create function deep3() returns text language sql as $$ select deep2() $$',
    'select deep3()',
  ],
  ['create operator ||| (leftarg = text, rightarg = text, function = textcat)', `select email ||| '' ${from1}`],
  ['create operator pg_temp.||| (leftarg = text, rightarg = text, function = textcat)', `select email operator(pg_temp.|||) '' ${from1}`],
  ['create operator !!! (rightarg = text, function = reverse)', `select !!! email ${from1}`],
  [`create aggregate glue(text) (sfunc = textcat, stype = text, initcond = '')`, `select glue(email) ${from1}`],
  [
    `create aggregate glue2(text) (sfunc = textcat, stype = text, initcond = '', finalfunc = upper)`,
    `select glue2(email) over (order by id) ${from1}`,
  ],
  [
    'create aggregate collect(anycompatible) (sfunc = array_append, stype = anycompatiblearray, initcond = $${}$$)',
    `select collect(email) ${from1}`,
  ],
  ['create type text_range as range (subtype = text)', `select text_range(email, null) ${from1}`],
  ['create type text_range as range (subtype = text)', `select lower(text_range(email, email, '[]')) ${from1}`],
  ['create type text_range as range (subtype = text)', `select range_agg(text_range(email, email, '[]')) ${from1}`],
  ['create type text_range as range (subtype = text)', `select upper(unnest(text_multirange(text_range(email, email, '[]')))) ${from1}`],
  ['create domain plain_text as text', `select email::plain_text ${from1}`],
  ['create domain whole as customers', 'select (c::whole).email from customers c where id = 1'],
  ['create type two as (a int, b text)', `select (row(1, email)::two).b ${from1}`],
  ['create type two as (a int, b text)', `select row(1, email)::two::text ${from1}`],
  ['create type two as (a int, b text)', `select (array_agg(row(1, email)::two))[1].b ${from1}`],
  ['create type two as (a int, b text)', `select (json_populate_record(null::two, json_build_object('b', email))).b ${from1}`],
  [
    'create type two as (a int, b text)',
    `select (jsonb_populate_recordset(null::two, jsonb_build_array(jsonb_build_object('b', email)))).b ${from1}`,
  ],
  [
    'create function whole_text(customers) returns text language sql as $$ select ($1).email $$',
    'create cast (customers as text) with function whole_text(customers)',
    'select c::text from customers c where id = 1',
  ],
  [
    'create function as_two(customers) returns pair language sql as $$ select null::int, ($1).email $$',
    'create cast (customers as pair) with function as_two(customers)',
    'select (c::pair).b from customers c where id = 1',
  ],
  ['create temp table arrays (a text[])', 'insert into arrays (a[1]) select email from customers where id = 1', 'select a from arrays'],
  [
    'create temp table arrays2 (a text[])',
    "insert into arrays2 values ('{x,y}')",
    'update arrays2 set a[1] = (select email from customers where id = 1)',
    'select a from arrays2',
  ],
  [
    'create temp table documents (d jsonb)',
    "insert into documents values ('{}')",
    `update documents set d['x'] = to_jsonb((select email from customers where id = 1))`,
    'select d from documents',
  ],
  [
    'create temp table composites (p pair)',
    'insert into composites (p.b) select email from customers where id = 1',
    'select (p).b from composites',
  ],
  ['create temp table by_default2 (v text default leaky_sql(1))', 'insert into by_default2 default values returning v'],
  ['create temp table kid () inherits (customers)', 'insert into kid select * from customers where id = 1', 'select email from kid'],
  ['create temp table typed of pair', 'insert into typed select 1, email from customers where id = 1', 'select b from typed'],
  [
    'alter table customers add tsv tsvector',
    `create trigger tsv before insert on customers for each row execute function tsvector_update_trigger(tsv, 'pg_catalog.simple', email)`,
    'insert into customers (id, name, email, balance) select 9001, name, email, 0 from customers where id = 1',
    'select tsv from customers where id = 9001',
  ],
  [
    'create index by_upper on customers (upper(email))',
    'analyze customers',
    `select histogram_bounds::text from pg_stats where tablename = 'by_upper'`,
  ],
  ['create procedure shows(out e text) language sql begin atomic select email from customers where id = 1; end', 'call shows(null)'],
  [
    'create procedure stores() language sql as $$ update customers set notes = email where id = 1 $$',
    'call stores()',
    'select notes from customers where id = 1',
  ],
  [
    'create function opens() returns refcursor language plpgsql as $$ declare c refcursor := $n$here$n$; begin open c for select email from customers where id = 1; return c; end $$',
    'select opens()',
    'fetch all from here',
  ],
  [
    'declare s scroll cursor with hold for select email from customers where id < 3 order by id',
    'move forward 2 in s',
    'fetch prior from s',
    'fetch absolute 1 from s',
    'fetch relative 0 from s',
  ],
  [
    'declare s cursor for select id, email from customers where id = 1 for update',
    'fetch 1 from s',
    'update customers set notes = notes where current of s returning email',
  ],
  [
    'create function imm(int) returns text language sql immutable as $$ select email from customers where id = $1 $$',
    'explain (costs off) select id from orders where item = imm(1)',
  ],
  [
    'create function imm(int) returns text language sql immutable as $$ select email from customers where id = $1 $$',
    'explain (verbose, format json) select imm(1)',
  ],
  [
    'create function imm(int) returns text language sql immutable as $$ select email from customers where id = $1 $$',
    'explain (generic_plan, costs off) select id from orders where item = imm(1) and id = $1',
  ],
  [
    'create function imm(int) returns text language sql immutable as $$ select email from customers where id = $1 $$',
    'prepare pi as select id from orders where item = imm(1)',
    'explain (costs off) execute pi',
  ],
  ['create view uses as select 1 as one, leaky_sql(1) as e', 'select e from uses'],
  ['create temp table routed (e text) partition by list (e)', 'insert into routed select email from customers where id = 1'],
  [
    'create temp table target (e text primary key)',
    'create temp table source (e text references target)',
    'insert into source select email from customers where id = 1',
  ],
  [
    `create temp table once (e text, exclude using btree (e with =))`,
    'insert into once select email from customers where id = 1',
    'insert into once select email from customers where id = 1',
  ],
  [`create temp table checked (e text check (e = 'x'))`, 'insert into checked select email from customers where id = 1'],
  [
    `create temp table based (e text)`,
    `create view only_x as select e from based where e = 'x' with check option`,
    'insert into only_x select email from customers where id = 1',
  ],
  ['alter table vault.people alter column secret type int using secret::int'],
  ['create unique index alone on customers ((case when id < 3 then (select 1) else id end))', 'select email from customers where id = 1'],
  ['set client_encoding to latin1', `select email ${from1}`],
  ['set client_encoding to sql_ascii', `select upper(email) ${from1}`],
  ['set client_encoding to sjis', `select reverse(email) ${from1}`],
  ['set bytea_output to escape', `select email::bytea ${from1}`],
  ['set role app', `select upper(email) ${from1}`],
  [
    'create temp table people (id int, secret text)',
    'prepare pp as select secret from people',
    'drop table pg_temp.people',
    'set search_path to vault',
    'execute pp',
  ],
  [
    'create schema other',
    'create view other.people as select 1 as id, $$x$$ as secret',
    'set search_path to other',
    'prepare po as select upper(secret) from people',
    'set search_path to vault',
    'execute po',
  ],
  ['create temp view lens as select secret as s from vault.people', 'select reverse(s) from lens'],
  ['call spelt(null)'],
  ['call public.spelt($$x$$)'],
  ['call noted(null)', 'select notes from customers where id = 1'],
  ['call through(null)'],
  ['call leaky_procedure(null)'],
  ['insert into defaulted (n) values (2) returning v'],
  ['insert into defaulted default values returning *'],
  ['insert into defaulted values (3, default) returning reverse(v)'],
  ['update defaulted set v = default where n = 1', 'select v from defaulted where n = 1'],
  ['merge into defaulted d using (values (9)) s(n) on d.n = s.n when not matched then insert (n) values (s.n) returning v'],
  [
    'create domain filled as text default leaky_sql(1)',
    'create temp table with_domain (n int, v filled)',
    'insert into with_domain values (1) returning v',
  ],
  [
    'alter table orders alter column item set default leaky_sql(1)',
    'insert into orders (id, customer_id, quantity, at) values (990020, 1, 1, now()) returning item',
  ],
  ['alter table orders add column more text default leaky_sql(1)', 'select more from orders limit 1'],
];

/** A value that a number outside of tables keeps. The social security number without its dashes. */
const kept: Evasion[] = [
  [`create temp sequence s maxvalue 9999999999`, `select setval('s', replace(ssn, '-', '')::bigint) ${from1}`, 'select last_value from s'],
  [`select pg_advisory_xact_lock(replace(ssn, '-', '')::bigint) ${from1}`, `select objid from pg_locks where locktype = 'advisory'`],
  [`select pg_try_advisory_xact_lock(1, replace(ssn, '-', '')::int) ${from1}`, `select objid from pg_locks where locktype = 'advisory'`],
  [`select lo_create(replace(ssn, '-', '')::int::oid) ${from1}`, 'select max(oid) from pg_largeobject_metadata'],
  [
    `create temp sequence s2 maxvalue 9999999999`,
    `do $$ begin perform setval('s2', (select replace(ssn, '-', '')::bigint from customers where id = 1)); end $$`,
    'select last_value from s2',
  ],
].map(steps => ({ category: 'kept outside of tables', steps: steps.map(simple => ({ simple })), witness: /536904399/ }));

/** What extensions do to a value; some give it back in pieces. */
const extensions: (string | { sql: string; witness: RegExp })[] = [
  `select hstore('a', email) ${from1}`,
  'select hstore(c) from customers c where id = 1',
  `select hstore(c) -> 'email' from customers c where id = 1`,
  'select (each(hstore(c))).value from customers c where id = 1',
  'select svals(hstore(c)) from customers c where id = 1',
  'select avals(hstore(c)) from customers c where id = 1',
  'select hstore_to_jsonb(hstore(c)) from customers c where id = 1',
  'select (populate_record(null::customers, hstore(c))).email from customers c where id = 1',
  `select hstore(array['k', email]) ${from1}`,
  `select slice(hstore(c), array['email']) from customers c where id = 1`,
  `select (null::customers #= hstore(c)).email from customers c where id = 1`,
  `select %% hstore(c) from customers c where id = 1`,
  `select email::citext ${from1}`,
  `select max(email::citext) ${from1}`,
  `select replace(email::citext, 'q'::citext, '') ${from1}`,
  `select split_part(email::citext, '~'::citext, 1) ${from1}`,
  `select (regexp_match(email::citext, '.*'::citext))[1] ${from1}`,
  `select unaccent(email) ${from1}`,
  `select pgp_sym_decrypt(pgp_sym_encrypt(email, 'k'), 'k') ${from1}`,
  `select dearmor(armor(email::bytea)) ${from1}`,
  `select convert_from(decrypt(encrypt(email::bytea, 'k', 'aes'), 'k', 'aes'), 'UTF8') ${from1}`,
  { sql: `select show_trgm(email) ${from1}`, witness: /ada/ },
  { sql: `select soundex(email) ${from1}`, witness: /C563/ },
  { sql: `select metaphone(email, 40) ${from1}`, witness: /KNRT/ },
  { sql: `select text2ltree(replace(email, '@', '.')) ${from1}`, witness: /canary\.ada\.example/ },
  { sql: `select subpath(text2ltree(replace(email, '@', '.')), 0, 2) ${from1}`, witness: /canary\.ada/ },
  `select * from crosstab('select id, ''a'', email from customers where id = 1') as t(id int, v text)`,
  `select * from xpath_table('id', 'xmlelement(name a, email)::text', 'customers', '/a', 'id = 1') as t(id int, v text)`,
  `select xslt_process(xmlelement(name a, email)::text, '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"><o><xsl:value-of select="a"/></o></xsl:template></xsl:stylesheet>') ${from1}`,
];

const p = (sql: string, name = '') => message.parse(name, sql);
const run = (sql: string) => [p(sql), message.bind('', ''), message.execute('')];

/** Messages in orders that no driver sends. `ready`: how many ReadyForQuery end the answer. */
const wired: { messages: Buffer[]; ready: number }[] = [
  { messages: [message.query('set search_path to vault'), message.query('select secret from people')], ready: 2 },
  { messages: [...run('set search_path to vault'), message.sync(), ...run('select secret from people'), message.sync()], ready: 2 },
  { messages: [...run('set search_path to vault'), ...run('select secret from people'), message.sync()], ready: 1 },
  {
    messages: [
      ...run("select set_config('search_path', 'vault', false)"),
      message.sync(),
      ...run('select upper(secret) from people'),
      message.sync(),
    ],
    ready: 2,
  },
  { messages: [message.query('begin; set local search_path to vault; select reverse(secret) from people; commit')], ready: 1 },
  {
    messages: [
      p('select email from customers where id = 1', 's1'),
      message.bind('p1', 's1'),
      message.close('S', 's1'),
      message.execute('p1'),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select 1', 's2'),
      message.close('S', 's2'),
      p('select email from customers where id = 1', 's2'),
      message.bind('', 's2'),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select 1 as email'),
      p('select email from customers where id = 1'),
      message.bind('', ''),
      message.describe('P', ''),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      ...run('select 1'),
      message.flush(),
      p('select upper(email) from customers where id = 1'),
      message.flush(),
      message.bind('', ''),
      message.flush(),
      message.execute(''),
      message.flush(),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select id, email, ssn from customers where id = 1'),
      message.bind('', '', [], [0, 1, 0]),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select id, email, ssn from customers where id = 1'),
      message.bind('', '', [], [1]),
      message.describe('P', ''),
      message.execute('', 1),
      message.execute('', 1),
      message.sync(),
    ],
    ready: 1,
  },
  { messages: [...run('copy customers (email) to stdout'), message.sync()], ready: 1 },
  { messages: [...run('copy (select upper(email) from customers where id = 1) to stdout (format binary)'), message.sync()], ready: 1 },
  {
    messages: [
      message.query('begin'),
      p('select email from customers where id = 1', 's4'),
      message.bind('p4', 's4'),
      message.execute('p4', 1),
      message.sync(),
      message.execute('p4', 1),
      message.sync(),
      message.query('fetch backward all from p4; close p4; rollback'),
    ],
    ready: 4,
  },
  {
    messages: [
      message.query('begin'),
      p('select id, email from customers order by id', 's5'),
      message.bind('p5', 's5'),
      message.sync(),
      message.query('fetch 1 from p5'),
      message.execute('p5', 1),
      message.sync(),
      message.query('rollback'),
    ],
    ready: 5,
  },
  {
    messages: [
      p('prepare inner_one as select email from customers where id = 1'),
      message.bind('', ''),
      message.execute(''),
      p('execute inner_one'),
      message.bind('', ''),
      message.describe('P', ''),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select $1 || email from customers where id = 1'),
      message.bind('', '', ['x']),
      message.execute(''),
      p('select ($1)::text'),
      message.bind('', '', ['y']),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      p('select email from customers where id = $1::int'),
      message.bind('', '', [Buffer.from([0, 0, 0, 1])], [1], [1]),
      message.execute(''),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      ...run('create temp table people (id int, secret text)'),
      message.sync(),
      p('select secret from people', 's6'),
      message.sync(),
      message.query('drop table pg_temp.people; set search_path to vault'),
      message.bind('', 's6'),
      message.execute(''),
      message.sync(),
    ],
    ready: 4,
  },
  {
    messages: [
      ...run('create temp view shade as select email as e from customers'),
      ...run('select reverse(e) from shade limit 600'),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      ...run('create function pg_temp.f() returns text language sql as $$ select email from public.customers where id = 1 $$'),
      ...run('select pg_temp.f()'),
      message.sync(),
    ],
    ready: 1,
  },
  {
    messages: [
      ...run('begin'),
      message.sync(),
      ...run('declare k cursor for select ssn from customers where id = 1'),
      ...run('fetch all from k'),
      message.sync(),
      message.query('rollback'),
    ],
    ready: 3,
  },
];

const several = (statements: readonly string[], category: string): Evasion[] =>
  statements.flatMap((one): Evasion[] => [
    { category, steps: [{ simple: one }] },
    { category, steps: [{ extended: one, describe: false }] },
    { category, steps: [{ extended: one, binary: true }] },
  ]);

export const corners: readonly Evasion[] = [
  ...several([...carried, ...grouped], 'carried by an argument'),
  ...several(sources, 'source'),
  ...several(errors, 'error of a cast').map(one => ({ ...one, witness: /canary\.ada|536904399/ })),
  ...several(named, 'error of a name').map(one => ({ ...one, witness: /canary|536904399/ })),
  ...made.map(steps => ({ category: 'made on the way', steps: steps.map(simple => ({ simple })) })),
  ...kept,
  ...extensions.flatMap(one =>
    typeof one === 'string'
      ? several([one], 'extension')
      : several([one.sql], 'extension').map(each => ({ ...each, witness: one.witness })),
  ),
  ...wired.map(wire => ({ category: 'order of messages', steps: [{ wire }] })),
];

/** Run by the superuser behind what the corpus needs. */
export const cornersSql = `
reset role;
create extension hstore; create extension citext; create extension pg_trgm; create extension fuzzystrmatch; create extension ltree;
create extension pgcrypto; create extension unaccent; create extension tablefunc; create extension xml2;
set role app;
create type mood as enum ('good', 'bad');
create type pair as (a int, b text);
create table defaulted (n int, v text default leaky_sql(1));
insert into defaulted values (1, 'x');
create procedure restock(what text) language sql as 'update orders set quantity = quantity where item = what';
create procedure more(inout n int) language plpgsql as 'begin n := n + 1; end';
create procedure counted(inout n bigint) language plpgsql as 'begin select count(*) into n from orders; end';
create procedure spelt(inout r text) language sql as 'select email from customers where id = 1';
create procedure noted(inout r text) language sql as 'update customers set notes = email where id = 1 returning notes';
create procedure through(inout r text) language plpgsql as 'begin r := leaky_sql(1); end';
create domain percent as int check (value between 0 and 100);
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create aggregate total(int) (sfunc = int4pl, stype = int, initcond = '0');
`;
