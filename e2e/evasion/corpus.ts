/**
 * Ways to ask for a protected value without asking for its column. Each is proved to leak on a direct connection, so that a
 * statement that never leaked anything cannot stand here as a success.
 *
 * The schema: `customers.email` is masked (partial), `customers.ssn` is redacted, `app_users.password` may not be read. Names are
 * in schema `public`; `vault.people` has a masked column `secret` in a schema that is not on the search path.
 */
export type Step =
  | { simple: string }
  | { extended: string; parameters?: (string | null)[]; binary?: boolean; describe?: boolean }
  /** Several Parse/Bind/Execute behind one Sync. */
  | { pipeline: string[] }
  /** Parse under a name, and Sync. */
  | { parse: string; as: string }
  /** Parse and Bind to a portal of this name, and Sync. */
  | { bind: string; portal: string }
  /** Messages as they are, and how many ReadyForQuery end the answer. */
  | { wire: { messages: Buffer[]; ready: number } }
  /** Parse, Bind, then Execute for one row at a time. */
  | { piecemeal: string; binary?: boolean };

export interface Evasion {
  category: string;
  steps: Step[];
  /** What the answer of a direct connection holds, where it is not a form of the value itself. */
  witness?: RegExp;
}

const corpus: Evasion[] = [];
const add = (category: string, ...statements: (string | Step[] | Evasion)[]): void => {
  for (const one of statements)
    if (typeof one === 'string') corpus.push({ category, steps: [{ simple: one }] });
    else if (Array.isArray(one)) corpus.push({ category, steps: one });
    else corpus.push({ ...one, category });
};
const simple = (...sql: string[]): Step[] => sql.map(one => ({ simple: one }));

// ---- What can be done to a value ---------------------------------------------------------------------------------------------
const transforms: Record<string, string> = {
  upper: 'upper(X)',
  reverse: 'reverse(X)',
  concatenated: "'<' || X || '>'",
  concat: "concat('a', X)",
  concat_ws: "concat_ws('-', 'a', X)",
  format: "format('%s', X)",
  'format literal': "format('%L', X)",
  quote_literal: 'quote_literal(X)',
  quote_ident: 'quote_ident(X)',
  'empty concatenation': "X || ''",
  coalesce: "coalesce(X, 'none')",
  nullif: "nullif(X, '')",
  greatest: "greatest(X, '')",
  least: "least(X, '~')",
  case: "case when true then X else '' end",
  'case of itself': "case X when '' then 'none' else X end",
  'cast to varchar': 'X::varchar(200)',
  'cast to name': 'X::name',
  'cast to bytea': 'X::bytea',
  convert_to: "convert_to(X, 'UTF8')",
  hex: "encode(convert_to(X, 'UTF8'), 'hex')",
  base64: "encode(X::bytea, 'base64')",
  escape: "encode(X::bytea, 'escape')",
  to_json: 'to_json(X)',
  to_jsonb: 'to_jsonb(X)',
  'json array': 'json_build_array(X, 1)',
  'json object': "jsonb_build_object('a', X)",
  'json scalar out': "to_jsonb(X) #>> '{}'",
  'json path': "jsonb_path_query_first(to_jsonb(X), '$')",
  array: 'array[X]',
  'array element': '(array[X])[1]',
  'array slice': '(array[X, X])[1:2]',
  array_to_string: "array_to_string(array[X], ',')",
  string_to_array: "string_to_array(X, '@')",
  regexp_split_to_array: "array_to_string(regexp_split_to_array(X, ''), ' ')",
  row: 'row(X)',
  'row text': 'row(X, 1)::text',
  substr: 'substr(X, 1)',
  'substring from': 'substring(X from 1)',
  overlay: "overlay(X placing '' from 1 for 0)",
  left: 'left(X, 100)',
  right: 'right(X, 100)',
  lpad: "lpad(X, 80, '.')",
  rpad: "rpad(X, 80, '.')",
  trim: 'trim(X)',
  btrim: "btrim(X, '~')",
  replace: "replace(X, '~', '')",
  translate: "translate(X, '~', '')",
  regexp_replace: "regexp_replace(X, '^(.*)$', '[\\1]')",
  regexp_match: "regexp_match(X, '.*')",
  repeat: 'repeat(X, 2)',
  initcap: 'initcap(X)',
  split_part: "split_part(X, '~', 1)",
  'scalar subquery': '(select X)',
  'values subquery': '(select v from (values (X)) as t(v))',
  'lateral inside': '(select y from lateral (select X as y) as t)',
  tsvector: "to_tsvector('simple', X)::text",
  'xml element': 'xmlelement(name a, X)',
  'xml forest': 'xmlforest(X as a)::text',
  'xml text': "xmlcomment(replace(X, '-', ' '))::text",
  collate: 'X collate "C"',
  normalize: 'normalize(X)',
  'min over nothing': 'min(X) over ()',
  unistr: 'unistr(X)',
  'string_agg over': "string_agg(X, '') over ()",
  'two-step cast': 'X::text::varchar::text',
  'type function call': 'text(X)',
};
for (const [name, expression] of Object.entries(transforms))
  for (const [column, alias] of [
    ['email', 'v'],
    ['ssn', 'id'],
  ] as const) {
    // Only the e-mail survives these two: a number's parts come back separately.
    if (column === 'ssn' && (name === 'tsvector' || name === 'xml text')) continue;
    const term = expression.replaceAll('X', column);
    corpus.push({ category: `expression: ${name}`, steps: [{ simple: `select ${term} as ${alias} from customers where id = 1` }] });
  }

// ---- Where the column can come from ------------------------------------------------------------------------------------------
const sources = [
  'select email from customers where id = 1',
  // The plain column again under other names: a mask that goes by the name of the result misses it.
  'select email as name from customers where id = 1',
  'select c.email as "id" from customers c where id = 1',
  'select c.email from public.customers as c where c.id = 1',
  'select "customers"."email" from "public"."customers" where id = 1',
  'select U&"\\0065mail" from customers where id = 1',
  'select x.a from (select email as a, id from customers) x where x.id = 1',
  'select x.c3 from customers as x(c1, c2, c3) where x.c1 = 1',
  'select y from (select email from customers where id = 1) as t(y)',
  'with a as (select email e from customers where id = 1) select e from a',
  'with a as (select * from customers), b as (select * from a where id = 1) select b.email from b',
  'with a(p, q, r) as (select id, name, email from customers) select r from a where p = 1',
  'with recursive r(i, e) as (select 1, email from customers where id = 1 union all select i + 1, e from r where i < 3) select e from r',
  'with customers as (select 1 as id, email from public.customers where id = 1) select email from customers',
  'with a as materialized (select email from customers where id = 1) table a',
  'select * from customers where id = 1',
  'table customers',
  'select customers.* from customers where id = 1',
  'select c.* from customers c, orders o where c.id = 1 and o.customer_id = c.id limit 1',
  'select email from customers natural join (values (1)) as t(id)',
  'select email from customers join (select 1 as id) t using (id)',
  'select l.email from (select 1) one left join lateral (select email from customers where id = 1) l on true',
  'select o.id, (select email from customers c where c.id = o.customer_id) from orders o where customer_id = 1 limit 1',
  'select (select email from customers order by id limit 1)',
  'select array(select email from customers where id = 1)',
  'select email from customers where id = 1 union select name from customers where id = 2',
  'select name from customers where id = 2 union all select email from customers where id = 1',
  "select 'x' where false union select email from customers where id = 1",
  'select email from customers where id = 1 intersect select email from customers',
  "select email from customers where id = 1 except select 'x'",
  '(select email from customers where id = 1) order by 1 limit 1',
  'values ((select email from customers where id = 1))',
  'select v from (values ((select email from customers where id = 1))) t(v)',
  'select coalesce(a.email, b.email) from customers a full join customers b using (id) where id = 1',
  'select id, email from customers where id = 1 for update',
  'select distinct email from customers where id = 1',
  'select distinct on (id) id, email from customers order by id limit 1',
  'select email from customers where id = 1 group by email',
  'select email, count(*) from customers where id = 1 group by rollup (email)',
  'select email from only customers where id = 1',
  'select email from customers tablesample system (100) where id = 1',
  'select * from customer_emails where id = 1',
  'select e.email from customer_emails e where id = 1',
  'select v from emails_of_emails where id = 1',
  'select shown from joined_view where id = 1',
  'select secret from vault.people',
  'select * from vault.people',
  'select p.secret from vault.people p join customers c on c.id = p.id',
  'select email from partitioned',
  'select email from partition_one',
  'select email from child',
  'select email from parent',
];
add('source', ...sources);
for (const sql of sources)
  corpus.push({
    category: 'source, computed',
    steps: [{ simple: `select reverse(q::text) from (${sql}) q limit 5` }],
    // The order of a whole table is its own: any of its values will do there.
    ...(sql.startsWith('table') ? { witness: /gro\.elpmaxe@\d+resu/ } : {}),
  });

// ---- Whole rows, composites, documents ----------------------------------------------------------------------------------------
add(
  'whole row',
  'select customers from customers where id = 1',
  'select c from customers c where id = 1',
  'select c::text from customers c where id = 1',
  'select (c).email from customers c where id = 1',
  'select (c).* from customers c where id = 1',
  'select row(c.*) from customers c where id = 1',
  'select row(c.*, 1)::text from customers c where id = 1',
  'select to_json(c) from customers c where id = 1',
  'select to_jsonb(c) from customers c where id = 1',
  "select to_jsonb(c) -> 'email' from customers c where id = 1",
  "select to_jsonb(c) ->> 'email' from customers c where id = 1",
  "select (to_jsonb(c))['email'] from customers c where id = 1",
  'select row_to_json(c) from customers c where id = 1',
  'select row_to_json(c, true) from customers c where id = 1',
  'select json_agg(c) from customers c where id = 1',
  'select jsonb_agg(to_jsonb(c)) from customers c where id = 1',
  'select array_agg(c) from customers c where id = 1',
  'select (array_agg(c))[1].email from customers c where id = 1',
  'select hash_record(c)::text || (c).email from customers c where id = 1',
  'select key, value from customers c, jsonb_each(to_jsonb(c)) where id = 1',
  'select key, value from customers c, jsonb_each_text(to_jsonb(c)) where id = 1',
  'select x.email from customers c, jsonb_populate_record(null::customers, to_jsonb(c)) x where c.id = 1',
  'select x.e from customers c, jsonb_to_record(to_jsonb(c)) as x(email text, e text) where c.id = 1 union select x.email from customers c, jsonb_to_record(to_jsonb(c)) as x(email text) where c.id = 1',
  'select xmlforest(c.email) from customers c where id = 1',
  'select xmlelement(name r, xmlattributes(email)) from customers where id = 1',
  'select xmlagg(xmlelement(name e, email)) from customers where id = 1',
  'select (select c from customers c where id = 1)::text',
  'select (select row(c.email, 1) from customers c where id = 1)',
  'with t as (select c from customers c where id = 1) select (t.c).email from t',
  'with t as (select c from customers c where id = 1) select t from t',
  'select t from (select id, email from customers where id = 1) t',
  'select t.t from (select c as t from customers c where id = 1) t',
  "select jsonb_path_query(to_jsonb(c), '$.email') from customers c where id = 1",
  'select jsonb_object_agg(id, email) from customers where id = 1',
  "select json_object(array['a', email]) from customers where id = 1",
  'select jsonb_pretty(to_jsonb(c)) from customers c where id = 1',
  "select jsonb_set('{}', '{a}', to_jsonb(email)) from customers where id = 1",
  "select '{}'::jsonb || jsonb_build_object('x', email) from customers where id = 1",
  "select jt.e from customers c, json_table(to_jsonb(c), '$' columns (e text path '$.email')) jt where c.id = 1",
  "select json_value(to_jsonb(c), '$.email') from customers c where id = 1",
  "select json_query(to_jsonb(c), '$.email') from customers c where id = 1",
  "select x.e from customers c, xmltable('/r' passing xmlelement(name r, email) columns e text path '.') x where c.id = 1",
  'select json_array(email) from customers where id = 1',
  "select json_object('k': email) from customers where id = 1",
  'select json_arrayagg(email) from customers where id = 1',
);

// ---- Aggregates and windows ----------------------------------------------------------------------------------------------------
for (const aggregate of [
  'min(email)',
  'max(email)',
  "string_agg(email, ',')",
  'array_agg(email)',
  'json_agg(email)',
  'jsonb_agg(email)',
  'any_value(email)',
  "string_agg(email, ',' order by id)",
  'mode() within group (order by email)',
  'percentile_disc(0) within group (order by email)',
  'max(email) filter (where id = 1)',
  'array_agg(distinct email)',
  '(array_agg(email order by id))[1]',
  'min(lower(email))',
  "string_agg(upper(email), '' )",
])
  add(
    'aggregate',
    `select ${aggregate} from customers where id = 1`,
    `select id, ${aggregate} from customers where id = 1 group by id having count(*) > 0`,
  );
for (const window of [
  'first_value(email) over (order by id)',
  'last_value(email) over ()',
  'nth_value(email, 1) over (order by id)',
  'lag(email, 0) over ()',
  'lead(email, 0) over ()',
  'lag(name, 1, email) over ()',
  'max(email) over w',
])
  add('window', `select ${window} from customers where id = 1 ${window.endsWith(' w') ? 'window w as (partition by id)' : ''}`);

// ---- Modes of the protocol -----------------------------------------------------------------------------------------------------
for (const sql of [
  'select email from customers where id = 1',
  'select upper(ssn) from customers where id = 1',
  'select c from customers c where id = 1',
  'select to_jsonb(c) from customers c where id = 1',
  'select * from customers where id = 1',
  'select array[email] from customers where id = 1',
])
  for (const binary of [false, true]) for (const describe of [false, true]) add('extended', [{ extended: sql, binary, describe }]);
add(
  'extended',
  [{ pipeline: ['select 1', 'select email from customers where id = 1', 'select ssn || $$ $$ from customers where id = 1'] }],
  [{ extended: 'select email from customers where id = $1', parameters: ['1'], describe: false }],
  [{ extended: 'select coalesce($1, email) from customers where id = 1', parameters: [null], describe: false }],
  [{ extended: 'select $1 || email from customers where id = 1', parameters: ['x'], binary: true, describe: false }],
  [
    {
      extended: 'insert into orders select 990001, 1, $1 || email, 1, now() from customers where id = 1 returning item',
      parameters: ['x'],
    },
  ],
);
for (const sql of [
  'select email from customers where id = 1',
  'select upper(ssn) from customers where id = 1',
  'select to_jsonb(c) from customers c where id = 1',
]) {
  add('across the protocols', [{ parse: sql, as: 'wire' }, { simple: 'execute wire' }]);
  add('across the protocols', [
    { parse: sql, as: 'wire' },
    { extended: 'execute wire', describe: false },
  ]);
  add('across the protocols', [{ bind: sql, portal: 'wire' }, { simple: 'fetch all from wire' }]);
  add('across the protocols', [
    { bind: sql, portal: 'wire' },
    { extended: 'fetch 1 from wire', describe: false },
  ]);
  add('across the protocols', [
    { parse: 'select 1', as: 'wire' },
    { simple: 'deallocate wire' },
    { parse: sql, as: 'wire' },
    { simple: 'execute wire' },
  ]);
  add('across the protocols', [
    { simple: 'prepare wire as select 1' },
    { simple: 'deallocate all' },
    { parse: sql, as: 'wire' },
    { simple: 'explain (analyze, costs off) execute wire; execute wire' },
  ]);
  add('across the protocols', [{ piecemeal: sql }], [{ piecemeal: sql, binary: true }]);
}
add(
  'multiple statements',
  'select 1; select email from customers where id = 1',
  'select email from customers where id = 1; select 1',
  ';;select email from customers where id = 1;;',
  'begin; select upper(email) from customers where id = 1; commit',
  '/* a /* nested */ comment */ select /**/ email /**/ from -- here\n customers where id = 1',
);
add(
  'prepared by SQL',
  simple('prepare p1 as select email from customers where id = 1', 'execute p1'),
  simple('prepare p2(int) as select reverse(email) from customers where id = $1', 'execute p2(1)'),
  simple('prepare p3 as select * from customers where id = 1; execute p3'),
  simple('prepare p4(text) as select $1 || ssn from customers where id = 1', "execute p4('x')"),
  simple('prepare p5 as select email from customers where id = 1', 'copy (select 1) to stdout', 'execute p5'),
  simple('prepare p6 as select email from customers where id = 1', 'create temp table t6 as execute p6', 'select * from t6'),
  simple('prepare p7 as select email from customers where id = 1', 'explain (analyze, costs off) execute p7', 'execute p7'),
);
add(
  'cursor',
  simple('begin', 'declare c cursor for select email from customers where id = 1', 'fetch all from c'),
  simple('begin', 'declare c cursor for select upper(email) from customers where id = 1', 'fetch 1 from c'),
  simple('declare c cursor with hold for select email from customers where id = 1', 'fetch next c', 'close c'),
  simple('begin', 'declare c binary cursor for select email from customers where id = 1', 'fetch forward 5 from c'),
  simple('begin', 'declare c scroll cursor for select c from customers c where id = 1', 'move last in c', 'fetch first from c'),
  simple('begin; declare c cursor for select to_jsonb(c) from customers c where id = 1; fetch all from c; commit'),
  [
    { simple: 'begin' },
    { extended: 'declare c cursor for select email from customers where id = 1' },
    { extended: 'fetch all from c', describe: false },
  ],
  [
    { simple: 'begin' },
    { extended: 'declare c cursor for select email from customers where id = $1', parameters: ['1'] },
    { extended: 'fetch all from c', binary: true },
  ],
);
for (const options of [
  '',
  ' with (format csv)',
  ' with (format csv, header)',
  ' with (format binary)',
  " with (delimiter '|')",
  " with (format csv, quote '~', force_quote *)",
])
  add(
    'copy',
    `copy customers to stdout${options}`,
    `copy customers (email) to stdout${options}`,
    `copy (select email from customers where id = 1) to stdout${options}`,
    `copy (select upper(ssn) || email from customers where id = 1) to stdout${options}`,
  );
add(
  'copy',
  'copy (select c from customers c where id = 1) to stdout',
  'copy (select to_jsonb(c) from customers c where id = 1) to stdout',
  'copy (table customers) to stdout',
  'copy (values ((select email from customers where id = 1))) to stdout',
  'copy (with a as (select email e from customers where id = 1) select e from a) to stdout',
  'copy vault.people to stdout',
  'copy (select * from customer_emails) to stdout',
  'copy (insert into orders select 990002, 1, email, 1, now() from customers where id = 1 returning item) to stdout',
  'COPY public.customers(email) TO STDOUT',
  'copy partitioned (email) to stdout'.replace('partitioned', 'partition_one'),
);

// ---- Writing it somewhere and reading it there ----------------------------------------------------------------------------------
add(
  'sink',
  simple('create table sink1 as select email as e from customers where id = 1', 'select * from sink1'),
  simple('create temp table sink2 as select email as e from customers where id = 1', 'select e from sink2'),
  simple('select email as e into sink3 from customers where id = 1', 'table sink3'),
  simple('select email as e into temp sink4 from customers where id = 1', 'table sink4'),
  simple('create materialized view sink5 as select email as e from customers where id = 1', 'select * from sink5'),
  simple('create view sink6 as select email as e from customers where id = 1', 'select * from sink6'),
  simple('create temp view sink7 as select reverse(email) as e from customers where id = 1', 'select * from sink7'),
  simple('create temp table sink8 (e text)', 'insert into sink8 select email from customers where id = 1', 'select * from sink8'),
  simple('insert into orders select 990003, 1, email, 1, now() from customers where id = 1', 'select item from orders where id = 990003'),
  simple('update orders set item = (select email from customers where id = 1) where id = 1', 'select item from orders where id = 1'),
  simple('update orders o set item = c.email from customers c where c.id = 1 and o.id = 1', 'select item from orders where id = 1'),
  simple('update customers set notes = email where id = 1', 'select notes from customers where id = 1'),
  simple('update customers set (notes, name) = (ssn, email) where id = 1', 'select notes, name from customers where id = 1'),
  simple(
    'with x as (select email from customers where id = 1) insert into orders select 990004, 1, email, 1, now() from x',
    'select item from orders where id = 990004',
  ),
  simple(
    'insert into orders values (990005, 1, (select email from customers where id = 1), 1, now())',
    'select item from orders where id = 990005',
  ),
  simple(
    "insert into orders values (990006, 1, 'x', 1, now())",
    "insert into orders select 990006, 1, 'y', 1, now() on conflict (id) do update set item = (select email from customers where id = 1)",
    'select item from orders where id = 990006',
  ),
  simple(
    'merge into orders o using customers c on o.id = 2 and c.id = 1 when matched and c.id = 1 then update set item = c.email',
    'select item from orders where id = 2',
  ),
  simple("select set_config('my.x', email, false) from customers where id = 1", "select current_setting('my.x')"),
  simple("select set_config('application_name', email, false) from customers where id = 1", 'show application_name'),
  simple("select set_config('my.y', email, true), current_setting('my.y') from customers where id = 1"),
  simple('listen c', 'begin; select pg_notify($$c$$, email) from customers where id = 1; commit', 'select 1'),
  simple(
    'create temp table sink9 (e text default null)',
    'with d as (select email from customers where id = 1) insert into sink9 select * from d returning e',
  ),
  simple('create temp sequence sq', 'create temp table sink10 as table customers', 'select email from sink10 where id = 1'),
  simple('create temp table sink11 (like customers)', 'insert into sink11 table customers', 'select email from sink11 where id = 1'),
  simple(
    'create rule r1 as on insert to app_users do also select email from customers where id = 1',
    "insert into app_users values (77, 'x', 'y')",
  ),
  simple("create function f1() returns text language sql as 'select email from customers where id = 1'", 'select f1()'),
  simple(
    'create function f2() returns text language plpgsql as $$ begin return (select email from customers where id = 1); end $$',
    'select f2()',
  ),
  simple(
    "create function f3(int) returns setof customers language sql as 'select * from customers where id = $1'",
    'select email from f3(1)',
  ),
  simple('create function f4() returns text language sql begin atomic select email from customers where id = 1; end', 'select f4()'),
  simple(
    "do $$ begin perform set_config('my.z', (select email from customers where id = 1), false); end $$",
    "select current_setting('my.z')",
  ),
  simple("do $$ begin raise notice '%', (select email from customers where id = 1); end $$"),
  simple("do $$ begin execute 'create temp table sink12 as select email from customers where id = 1'; end $$", 'select * from sink12'),
  simple(
    'create temp table sink13 (e text)',
    'create rule r2 as on insert to sink13 do instead select email from customers where id = 1',
    "insert into sink13 values ('x')",
  ),
  simple('select lo_from_bytea(990001, email::bytea) from customers where id = 1', 'select lo_get(990001)'),
);
// Definitions that only the open transaction can see: what a name means is not what the catalog says elsewhere.
add(
  'redefined in a transaction',
  simple(
    'create or replace view customer_emails as select id, reverse(email) as email from customers',
    'select upper(email) from customer_emails where id = 1',
  ),
  simple(
    'create view plain_view as select 1 as v',
    'create or replace view plain_view as select 1 as v, email from customers where id = 1',
    'select reverse(email) from plain_view',
  ),
  simple(
    'alter table orders rename to orders_old',
    'alter table customers rename to orders',
    'select upper(email) from orders where id = 1',
  ),
  simple('alter table customers rename column email to name_too', 'select upper(name_too) from customers where id = 1'),
  simple(
    'alter table customers rename column name to nix',
    'alter table customers rename column email to name',
    'select upper(name) from customers where id = 1',
  ),
  simple('create schema hidden', 'alter table customers set schema hidden', 'select upper(email) from hidden.customers where id = 1'),
  simple(
    'create temp table customers (id int, email text)',
    'drop table pg_temp.customers',
    'select upper(email) from customers where id = 1',
  ),
  simple(
    'savepoint a',
    'create temp table customers (id int, email text)',
    'rollback to a',
    'select upper(email) from customers where id = 1',
  ),
  simple(
    'begin; create temp table customers (id int, email text) on commit drop; commit',
    'select upper(email) from customers where id = 1',
  ),
  simple('begin; create temp table customers (id int, email text); rollback', 'select upper(email) from customers where id = 1'),
);
add(
  'returning',
  'update customers set notes = notes where id = 1 returning email',
  'update customers set notes = notes where id = 1 returning *',
  'update customers c set notes = notes where id = 1 returning c',
  'update customers set notes = notes where id = 1 returning upper(ssn) as x',
  'delete from app_users where id = 1 returning (select email from customers where id = 1)',
  'insert into customers (id, name, email, balance) select 990010, name, email, 0 from customers where id = 1 returning email',
  "with d as (update customers set notes = 'x' where id = 1 returning email) select email from d",
  "with d as (update customers set notes = 'x' where id = 1 returning *) select to_jsonb(d) from d",
  'merge into customers c using (select 1 as id) s on c.id = s.id when matched then update set notes = c.notes returning c.email',
  'update customers set notes = notes where id = 1 returning old.email, new.ssn',
);

// ---- Errors, notices and plans that quote values --------------------------------------------------------------------------------
add(
  'error text',
  'select email::int from customers where id = 1',
  'select ssn::date from customers where id = 1',
  "select (email || 'x')::uuid from customers where id = 1",
  'select cast(email as numeric) from customers where id = 1',
  { category: '', steps: [{ simple: 'select email::json from customers where id = 1' }], witness: /Token "canary"/ },
  'select email::inet from customers where id = 1',
  'select email::int[] from customers where id = 1',
  'select 1 from customers where id = 1 and email::int = 1',
  'select 1 from customers where id = 1 order by ssn::int',
  'select count(*) from customers where id = 1 group by email::timestamp',
  'select email::regclass from customers where id = 1',
  { category: '', steps: [{ simple: "select to_date(email, 'YYYY-MM-DD') from customers where id = 1" }], witness: /invalid value "cana"/ },
  'select email::interval from customers where id = 1',
  'select xmlparse(document email) from customers where id = 1',
  'update customers set balance = email::numeric where id = 1',
  'update customers set name = null where id = 1',
  {
    category: '',
    steps: [{ simple: 'select set_bit(email::bit(8), 1, 1) from customers where id = 1' }],
    witness: /"c" is not a valid binary digit/,
  },
  [{ extended: 'select $1::int + email::int from customers where id = 1', parameters: ['1'], describe: false }],
  'create temp table u (e text unique); insert into u select email from customers where id = 1; insert into u select email from customers where id = 1',
);
add(
  'plan',
  'explain (analyze, verbose, costs off) select * from (select 1) x where exists (select 1 from customers where id = 1 and email::int = 1)',
  'explain (analyze, format json) select email::int from customers where id = 1',
);

// ---- Functions that read, run or show ---------------------------------------------------------------------------------------------
add(
  'reading function',
  "select query_to_xml('select email from customers where id = 1', true, true, '')",
  "select table_to_xml('customers', true, true, '')",
  "select schema_to_xml('public', true, true, '')",
  "select cursor_to_xml('c', 1, true, true, '')".replace(
    "cursor_to_xml('c', 1, true, true, '')",
    "query_to_xml_and_xmlschema('select email from customers where id = 1', true, true, '')",
  ),
  "select table_to_xml_and_xmlschema('customers', true, true, '')",
  "select database_to_xml(true, true, '')",
  "select ts_stat from ts_stat('select to_tsvector(''simple'', email) from customers where id = 1')",
  "select word from ts_stat('select to_tsvector(''simple'', email) from customers where id = 1')",
  'select v from leaky() as v',
  'select leaky()',
  'select * from leaky_rows()',
  'select leaky_sql(1)',
  'select leaky_dynamic($$select email from customers where id = 1$$)',
  'call leaky_procedure(null)',
  'select 1 where leaky_notice() is not null',
  'select ~~~ 1',
  'select leaky_aggregate(id) from customers where id = 1',
);
add(
  'statistics',
  simple("select most_common_vals::text, histogram_bounds::text from pg_stats where tablename = 'customers' and attname = 'email'"),
  simple("select histogram_bounds from pg_stats where attname = 'email'"),
  simple("select array_to_string(histogram_bounds::text::text[], '|') from pg_catalog.pg_stats where tablename = 'customers'"),
  simple("select to_jsonb(s) from pg_stats s where attname = 'email'"),
);
for (const one of corpus) if (one.category === 'statistics') one.witness = /user\d+@example\.org/;

// ---- Names and quoting --------------------------------------------------------------------------------------------------------------
add(
  'names',
  simple('set search_path to vault', 'select secret from people'),
  simple('set search_path to vault, public', 'select p.secret from people p'),
  simple("select set_config('search_path', 'vault', false)", 'select secret from people'),
  simple('begin', 'set local search_path = vault', 'select secret from people'),
  simple('set search_path to vault', 'reset search_path', "set schema 'vault'", 'select secret from people'),
  simple('create temp table customers as select 1 as id, $$shadow$$ as email', 'select email from public.customers where id = 1'),
  simple('create temp table customers (id int, email text)', 'drop table pg_temp.customers', 'select email from customers where id = 1'),
  'select EMAIL from CUSTOMERS where id = 1',
  'select customers.email from app.public.customers where id = 1',
  'select public.customers.email from public.customers where id = 1',
  'select U&"!0065mail" uescape \'!\' from customers where id = 1',
  'select email from U&"\\0063ustomers" where id = 1',
  "select 'it''s' || email from customers where id = 1",
  "select E'\\'' || email from customers where id = 1",
  "select $q$'$q$ || email from customers where id = 1",
  simple('set standard_conforming_strings = off', "select 'a\\'', email, '' from customers where id = 1 --'"),
  "select email from customers where id = 1 and name <> '; --'",
  'select/**/email/**/from/**/customers/**/where/**/id=1',
  'select email\nfrom\tcustomers\rwhere\fid = 1',
  'select distinct(email) from customers where(id)=1',
  'select all email from customers where id = 1',
  'select email::text collate "C" from customers where id = 1',
  'select "email" "x" from "customers" "y" where "id" = 1',
);

// ---- The column that may not be read at all -------------------------------------------------------------------------------------------
add(
  'denied column',
  'select password from app_users',
  'select * from app_users',
  'select u from app_users u',
  'select to_jsonb(u) from app_users u',
  "select login || ':' || password from app_users",
  'copy app_users to stdout',
  'table app_users',
  'select (select password from app_users limit 1)',
  'select x.password from customers c join app_users x on x.id = c.id',
  'update app_users set login = password returning login',
  'with p as (select password as p from app_users) select p from p',
  "select string_agg(password, '') from app_users",
  'select password::int from app_users',
  'select substr(password, 1, 40) from app_users',
  [{ extended: 'select password from app_users', binary: true, describe: false }],
  'delete from app_users returning *',
);

export const evasions: readonly Evasion[] = corpus;

/** Run by the superuser beside the shop's own schema. */
export const evasionSql = `
set role app;
create schema vault;
create table vault.people (id int primary key, secret text);
insert into vault.people values (1, 'canary.vault.secret.77');
create view emails_of_emails as select id, email as v from customer_emails;
create view joined_view as select c.id, c.name || ' <' || c.email || '>' as shown from customers c join orders o on o.customer_id = c.id;
create table partitioned (id int, email text) partition by list (id);
create table partition_one partition of partitioned for values in (1);
insert into partitioned values (1, 'canary.partition@example.com');
create table parent (id int, email text);
create table child (extra int) inherits (parent);
insert into child values (1, 'canary.child@example.com', 2);
create function leaky() returns text language plpgsql as 'begin return (select email from customers where id = 1); end';
create function leaky_rows() returns setof customers language plpgsql as 'begin return query select * from customers where id = 1; end';
create function leaky_sql(int) returns text language sql as 'select email from customers where id = $1';
create function leaky_dynamic(q text) returns text language plpgsql as 'declare r text; begin execute q into r; return r; end';
create procedure leaky_procedure(inout r text) language plpgsql as 'begin select email into r from customers where id = 1; end';
create function leaky_notice() returns int language plpgsql as 'begin raise notice ''%'', (select email from customers where id = 1); return 1; end';
create function leaky_operator(int) returns text language sql as 'select email from customers where id = $1';
create operator ~~~ (function = leaky_operator, rightarg = int);
create function leaky_step(text, int) returns text language sql as 'select email from customers where id = $2';
create aggregate leaky_aggregate(int) (sfunc = leaky_step, stype = text);
analyze customers;
`;

export const evasionColumns = `
    - { match: "vault.people.secret", action: mask, as: redact }
    - { match: "public.partitioned.email", action: mask, as: redact }
    - { match: "public.parent.email", action: mask, as: redact }
`;

export const evasionCanaries = [
  'canary.ada@example.com',
  'canary.ada',
  '536-90-4399',
  'canary-pbkdf2$9f8a7b6c5d',
  'canary.vault.secret.77',
  'canary.partition',
  'canary.child',
];
