/**
 * What a database that has grown holds: owners with schemas of their own, functions that run as them, types that tables follow,
 * stored results of views and functions, triggers that tell, foreign servers, protected columns of many types. Run by the superuser
 * behind the shop's own schema.
 */
export const databaseSql = `
reset role;
create role sealed nologin;
create schema sealed authorization sealed;
create role keeper nologin;
create schema keeper authorization keeper;
grant keeper to app;
create table public.notes (id int, note text);
insert into public.notes values (1, 'plain');
grant select on public.notes to sealed, keeper, app;
set role sealed;
create table sealed.notes (id int, note text);
insert into sealed.notes values (1, 'canary.sealed.note.5');
reset role;
set role keeper;
create table keeper.notes (id int, note text);
insert into keeper.notes values (1, 'canary.keeper.note.6');
reset role;
grant create on schema public to sealed;
set role sealed;
create function public.sealed_with_path() returns text language sql security definer set search_path = sealed, public as 'select note from notes where id = 1';
create function public.sealed_by_name() returns text language sql security definer as 'select note from sealed.notes where id = 1';
create function public.sealed_by_user() returns text language sql security definer as 'select note from notes where id = 1';
create function public.sealed_by_user_path() returns text language sql security definer set search_path = "$user", public as 'select note from notes where id = 1';
create function public.sealed_rows() returns setof text language sql security definer stable as 'select note from notes';
create function public.sealed_plpgsql() returns text language plpgsql security definer as 'begin return (select note from notes where id = 1); end';
create function public.sealed_atomic() returns text language sql security definer begin atomic select note from sealed.notes where id = 1; end;
create function public.sealed_indirect() returns text language sql security definer as 'select public.sealed_by_user()';
create procedure public.sealed_procedure(inout r text) language sql security definer as 'select note from notes where id = 1';
create view public.sealed_view as select id, note from sealed.notes;
create view public.sealed_called as select public.sealed_by_user() as note;
grant select on public.sealed_view, public.sealed_called to app;
reset role;
set role app;
create type person_type as (id int, secret text);
create table typed_people of person_type;
insert into typed_people values (1, 'canary.typed.77');
create view stored_source as select id, email as v from customers;
create materialized view stored_emails as select id, v from stored_source where id < 3;
create function tagged(text) returns text language sql immutable as 'select $1 || ''#''';
create table stored_tags (id int, e text, g text generated always as (tagged(e)) stored);
insert into stored_tags values (1, 'canary.tags.88');
create function email_of(int) returns text language sql stable as 'select email from public.customers where id = $1';
create materialized view stored_calls as select 1 as id, email_of(1) as v;
create table ruled (id int, t text);
create rule shows as on insert to ruled do also select upper(email) as shown, email from customers where id = 1;
create table tickets (id int, who int, title text);
insert into tickets values (1, 1, 'a'), (2, 2, 'b');
create function tickets_tell() returns trigger language plpgsql as 'begin if new.title = ''notice'' then raise notice ''for %'', (select email from customers where id = new.who); elsif new.title = ''error'' then raise exception ''for %'', (select email from customers where id = new.who) using hint = (select ssn from customers where id = new.who); elsif new.title = ''notify'' then perform pg_notify(''tickets'', (select email from customers where id = new.who)); end if; return new; end';
create trigger tell before insert or update on tickets for each row execute function tickets_tell();
create table forms (id int primary key, born date, at timestamptz, seen timestamp, woke time, lasts interval, ratio float8, small float4, amount numeric, many bigint,
  ip inet, mac macaddr, doc jsonb, old json, markup xml, raw bytea, tags text[], numbers int[], duo pair, span int4range, spans int4multirange, words tsvector, price money,
  key uuid, flags varbit, opts hstore, place point, area polygon, fixed char(30), code varchar(40), label name, ci citext, way ltree);
insert into forms values (1, '1987-06-05', '1987-06-05 13:37:42.654321+00', '1987-06-05 13:37:42.654321', '13:37:42.654321', '17 years 5 mons 23 days 13:37:42', 98765.4321012345,
  8765.432, 987654.3210987, 9876543210987, '203.0.113.77', '08:00:2b:77:66:55', '{"who": "canary.forms"}', '{"who": "canary.forms"}', '<who>canary.forms</who>', 'canary.forms', '{canary.forms,x}',
  '{98765432,1}', row(98765432, 'canary.forms'), '[98765432,98765440)', '{[98765432,98765440)}', 'canary:1', '$98,765.43', 'c0ffee00-dead-4bad-8bad-facefeedcafe', B'1011001110001111000011111', 'who=>"canary.forms"',
  '(98765.25,43210.5)', '((98765.25,1),(2,43210.5),(3,3))', 'canary.forms', 'canary.forms', 'canary.forms', 'canary.forms', 'canary.forms');
create table forms_partial (like forms); insert into forms_partial select * from forms;
create table forms_hash (like forms); insert into forms_hash select * from forms;
create table forms_null (like forms); insert into forms_null select * from forms;
create table forms_fake (like forms); insert into forms_fake select * from forms;
`;

const masked = [
  ['sealed.notes.note', 'redact'],
  ['keeper.notes.note', 'redact'],
  ['public.typed_people.secret', 'redact'],
  ['public.stored_tags.e', 'redact'],
];
const kinds = { forms: 'redact', forms_partial: 'partial', forms_hash: 'hash', forms_null: 'null', forms_fake: 'fake' };
export const formColumns =
  'born at seen woke lasts ratio small amount many ip mac doc old markup raw tags numbers duo span spans words price key flags opts place area fixed code label ci way'.split(
    ' ',
  );
export const formTables = Object.keys(kinds);

export const databaseColumns = `${[
  ...masked,
  ...Object.entries(kinds).flatMap(([table, as]) => formColumns.map(column => [`public.${table}.${column}`, as])),
]
  .map(([match, as]) => `\n    - { match: "${match}", action: mask, as: ${as} }`)
  .join('')}\n`;

export const databaseCanaries = ['canary.sealed.note', 'canary.keeper.note', 'canary.typed', 'canary.tags', 'canary.forms'];
