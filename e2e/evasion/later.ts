/**
 * Evasions by what runs later than it is defined: bodies that look their names up by whatever search path is in force then, and
 * triggers of tables with protected columns that only look as if they left those alone.
 */
import type { Evasion, Step } from './corpus.ts';

const found: Evasion[] = [];
const add = (category: string, ...scripts: readonly string[][]): void => {
  for (const script of scripts) found.push({ category, steps: script.map((simple): Step => ({ simple })) });
};

add(
  'another search path than when it was defined',
  [
    'create schema s2',
    "create function s2.g() returns text language sql as 'select email from public.customers where id = 1'",
    "create function public.g() returns text language sql as 'select 1::text'",
    "create function public.tg() returns trigger language plpgsql as 'begin new.item := g(); return new; end'",
    'create trigger tg before update on public.orders for each row execute function public.tg()',
    'set search_path = s2, public',
    'update public.orders set quantity = quantity where id = 1 returning item',
    'select item from orders where id=1',
  ],
  [
    'create schema s2',
    "create function s2.g() returns text language sql as 'select email from public.customers where id = 1'",
    "create function public.g() returns text language sql as 'select 1::text'",
    "create function public.tg() returns trigger language plpgsql as 'begin return new; end'",
    'create trigger tg before update on public.orders for each row execute function public.tg()',
    "create or replace function public.tg() returns trigger language plpgsql as 'begin new.item := g(); return new; end'",
    'set search_path = s2, public',
    'update public.orders set quantity = quantity where id = 1 returning item',
    'select item from orders where id=1',
  ],
  [
    'create schema s2',
    "create function s2.g() returns text language sql immutable as 'select email from public.customers where id = 1'",
    "create function public.g() returns text language sql immutable as 'select 1::text'",
    "create function public.tg() returns text language plpgsql immutable as 'begin return g(); end'",
    'alter table orders alter column item set default public.tg()',
    'set search_path = s2, public',
    'insert into public.orders (id,customer_id,quantity,at) values (990001,1,1,now())',
    'set search_path = public',
    'select item from orders where id=990001',
  ],
  [
    'create schema s2',
    "create function s2.g(text) returns boolean language plpgsql as 'begin raise exception ''%'', (select email from public.customers where id = 1); end'",
    "create function public.g(text) returns boolean language sql immutable as 'select true'",
    "create function public.tg(text) returns boolean language plpgsql immutable as 'begin return g($1); end'",
    'alter table orders add constraint cc check (public.tg(item))',
    'set search_path = s2, public',
    'update public.orders set quantity = quantity where id = 1',
  ],
);

add(
  'triggers of protected tables',
  [
    'create function t() returns trigger language plpgsql as $$declare r record; begin r := new; new.notes := r.email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$declare r alias for new; begin new.notes := r.email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := t.new.email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := (new).email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$declare r record; begin for r in select new.* loop new.notes := r.email; end loop; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$declare c cursor for select new.email as e; r record; begin for r in c loop new.notes := r.e; end loop; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$declare e text := new.email; begin new.notes := e; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin select new.email into new.notes; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin if new.email like 'c%' then new.notes := 'canary.ada'; end if; return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin new.notes := 'canary.ada'; return new; end$$",
    "create trigger t before update on customers for each row when (new.email like 'c%') execute function t()",
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := array_to_string(tg_argv, new.email); return new; end$$',
    "create trigger t before update on customers for each row execute function t('a', 'b')",
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'create or replace function t() returns trigger language plpgsql as $$begin new.notes := new.email; return new; end$$',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin return new; end$$; create trigger t before update on customers for each row execute function t(); create or replace function t() returns trigger language plpgsql as $$begin new.notes := new.email; return new; end$$; update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := (select n.email from customers n where n.id = new.id); return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$<<b>> declare x text; begin x := b.x; new.notes := row_to_json(old)::text; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function h(text) returns text language sql as 'select $1'",
    "create function t() returns trigger language plpgsql as $$begin new.notes := h('x'); return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    "create or replace function h(text) returns text language sql as 'select email from customers where id = 1'",
    'update orders set quantity = 1 where id = 1; update customers set name = name where id = 2 returning notes',
  ],
  [
    'create view ve as select * from customers',
    'create function t() returns trigger language plpgsql as $$begin insert into orders values (880001, 1, new.email, 1, now()); return new; end$$',
    'create trigger t instead of update on ve for each row execute function t()',
    'update ve set name = name where id = 1',
    'select item from orders where id = 880001',
  ],
  [
    'create schema s2',
    'create table s2.cfg (v text)',
    'create table public.cfg (v text)',
    'create function t() returns trigger language plpgsql as $$begin new.notes := (select v from cfg limit 1); return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'drop table s2.cfg',
    'create view s2.cfg as select email as v from public.customers where id = 1',
    'set search_path = s2, public',
    'update public.customers set name = name where id = 2 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin perform set_config('a.b', new.email, false); return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    "update customers set name = name where id = 1; select current_setting('a.b')",
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin return (select c from (select new.id, upper(new.name), 'x@y', new.ssn, new.card, new.balance, new.born, new.email) c); end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$declare r customers; begin r := new; r.notes := r.email; return r; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin new := json_populate_record(new, json_build_object('notes', to_json(new) ->> 'email')); return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin raise exception '%', new.email; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := new."email"; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin new.notes := NEW . email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin insert into orders select 880002, 1, x.e, 1, now() from (values (new.email)) x(e); return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1; select item from orders where id = 880002',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin case when new.email like 'c%' then new.notes := 'canary.ada'; else null; end case; return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin while new.email like 'c%' and new.notes <> 'canary.ada' loop new.notes := 'canary.ada'; end loop; return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    "create function t() returns trigger language plpgsql as $$begin for i in 1 .. length(new.email) loop new.notes := 'canary.ada' || i; end loop; return new; end$$",
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin assert new.email is null, new.email; return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin get diagnostics new.notes = pg_context; new.notes := concat(variadic array[old.email]); return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
  [
    'create function t() returns trigger language plpgsql as $$begin delete from orders where item = new.email returning item into new.notes; new.notes := coalesce(new.notes, old.email); return new; end$$',
    'create trigger t before update on customers for each row execute function t()',
    'update customers set name = name where id = 1 returning notes',
  ],
);

export const later: readonly Evasion[] = found;
