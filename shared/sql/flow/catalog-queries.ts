/**
 * The SQL that fills a CatalogSnapshot, for PostgreSQL 13 to 18.
 *
 * How to use it: on a side connection of the resource (any role: catalogs are readable by all), in one
 * `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY` transaction, run `CATALOG_SETUP`, then each query; every one returns one
 * row with one text column, a JSON array. Give the texts to buildCatalog() under the queries' names. The empty search_path is
 * what makes the server print view and function definitions with full names; without it they would be resolved wrongly.
 */

export const CATALOG_SETUP =
  "SET LOCAL search_path = ''; SET LOCAL quote_all_identifiers = off; SET LOCAL standard_conforming_strings = on";

/**
 * The same on a session's own connection, where things may bear any name: types are looked for among the session's temporary ones
 * first, unless the path says otherwise.
 */
export const OWN_CATALOG_SETUP = [
  'SET LOCAL search_path = pg_catalog, pg_temp',
  'SET LOCAL quote_all_identifiers = off',
  'SET LOCAL standard_conforming_strings = on',
];

export type CatalogQueryName = 'schemas' | 'relations' | 'functions' | 'systemFunctions' | 'types' | 'operators' | 'casts';

/**
 * @param serverVersion server_version_num, e.g. 150018.
 * @param own on a session's own connection: with its temporary objects, whose schema is called `pg_temp`.
 * @returns the queries by name.
 */
export function catalogQueries(serverVersion: number, own = false): Record<CatalogQueryName, string> {
  const noTemporary = `n.nspname !~ '^pg_(toast|temp_|toast_temp_)'`;
  const visible = own ? `(${noTemporary} or n.oid = pg_catalog.pg_my_temp_schema())` : noTemporary;
  const schema = own ? `case when n.oid = pg_catalog.pg_my_temp_schema() then 'pg_temp' else n.nspname::pg_catalog.text end` : 'n.nspname';
  const userSchema = `n.nspname <> 'pg_catalog' and n.nspname <> 'information_schema' and ${visible}`;
  const sqlBody = serverVersion >= 140000 ? 'pg_catalog.pg_get_function_sqlbody(p.oid)' : 'null';
  return {
    schemas: `select pg_catalog.json_build_object('user', current_user,
        'names', coalesce(pg_catalog.json_agg(${schema}), '[]'),
        'usable', coalesce(pg_catalog.json_agg(${schema}) filter (where pg_catalog.has_schema_privilege(n.oid, 'USAGE')), '[]'))::text
      from pg_catalog.pg_namespace n where ${visible}`,

    relations: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
        c.oid::bigint, ${schema}, c.relname, c.relkind, c.reltype::bigint,
        (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, a.attnum, a.atttypid::bigint,
            case when a.attgenerated <> '' then (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
              where d.adrelid = a.attrelid and d.adnum = a.attnum) end,
            case when a.atthasdef and a.attgenerated = '' then (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
              where d.adrelid = a.attrelid and d.adnum = a.attnum and exists (select 1 from pg_catalog.pg_depend p
                where p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and p.objid = d.oid
                  and p.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass))) end,
            a.atthasmissing) order by a.attnum), '[]')
          from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
        (select coalesce(pg_catalog.json_agg(i.inhparent::bigint), '[]') from pg_catalog.pg_inherits i where i.inhrelid = c.oid),
        case when c.relkind in ('v', 'm') and ${userSchema} then pg_catalog.pg_get_viewdef(c.oid) end,
        c.relhasrules and exists (select 1 from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.ev_type <> '1'),
        (select coalesce(pg_catalog.json_agg(distinct t.tgfoid::bigint), '[]') from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal),
        c.relrowsecurity
      )), '[]')::text
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c') and ${visible}`,

    functions: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
        p.oid::bigint, ${schema}, p.proname, p.prokind, pg_catalog.array_to_json(p.proargtypes::pg_catalog.oid[]::bigint[]),
        pg_catalog.array_to_json(p.proargnames), pg_catalog.array_to_json(p.proargmodes), pg_catalog.array_to_json(p.proallargtypes::bigint[]),
        p.pronargdefaults, p.provariadic <> 0, l.lanname, p.provolatile, p.prorettype::bigint, p.proretset,
        case when l.lanname in ('sql', 'plpgsql', 'internal') and (pg_catalog.strpos(p.prosrc, '\\') = 0 or not exists (
          select 1 from pg_catalog.unnest(p.proconfig) s where s like 'standard\\_conforming\\_strings=%')) then p.prosrc end,
        case when l.lanname = 'sql' then ${sqlBody} end,
        (select pg_catalog.substr(s, 13) from pg_catalog.unnest(p.proconfig) s where s like 'search\\_path=%'),
        (select e.extname from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
          where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'
            and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass limit 1),
        (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(q.oid::bigint, qn.nspname, q.proname)), '[]')
          from pg_catalog.pg_aggregate g
          join pg_catalog.pg_proc q on q.oid in (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
            g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn)
          join pg_catalog.pg_namespace qn on qn.oid = q.pronamespace
          where g.aggfnoid = p.oid),
        case when p.pronargdefaults > 0 then pg_catalog.pg_get_expr(p.proargdefaults, 0) end,
        (select pg_catalog.max(case when d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass then 'r' else 'v' end)
          from pg_catalog.pg_depend d where d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = p.oid
            and d.classid in ('pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_constraint'::pg_catalog.regclass,
              'pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass,
              'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_attrdef'::pg_catalog.regclass,
              'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_cast'::pg_catalog.regclass)
            and p.prolang <> 12 and p.prolang <> 13),
        coalesce((select pg_catalog.substr(s, 6) from pg_catalog.unnest(p.proconfig) s where s like 'role=%'),
          case when p.prosecdef then pg_catalog.pg_get_userbyid(p.proowner)::pg_catalog.text end)
      )), '[]')::text
      from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      join pg_catalog.pg_language l on l.oid = p.prolang
      where n.nspname <> 'pg_catalog' and ${visible}`,

    systemFunctions: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.proname, f.names, f.type)), '[]')::text from (
        select p.proname,
          case when pg_catalog.bool_and(coalesce(p.proargmodes && '{o,b,t}'::"char"[], false)) and pg_catalog.count(distinct o.names::text) = 1
            then pg_catalog.min(o.names::text)::json end as names,
          case when pg_catalog.count(distinct p.prorettype) = 1 then pg_catalog.min(p.prorettype::bigint) else 0 end as type
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        cross join lateral (select pg_catalog.json_agg(p.proargnames[i] order by i) as names
          from pg_catalog.generate_subscripts(p.proargmodes, 1) i where p.proargmodes[i] in ('o', 'b', 't')) o
        where n.nspname = 'pg_catalog' and p.prokind in ('f', 'a', 'w')
        group by p.proname
        having pg_catalog.bool_or(p.proargmodes is not null) or pg_catalog.count(distinct p.prorettype) = 1) f`,

    types: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
        t.oid::bigint, ${schema}, t.typname, t.typtype,
        case when t.typlen = -1 and t.typelem <> 0 then t.typelem::bigint else 0 end,
        t.typbasetype::bigint, t.typrelid::bigint, t.typarray::bigint)), '[]')::text
      from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
      where ${visible}`,

    operators: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
        n.nspname, o.oprname, o.oprleft::bigint, o.oprright::bigint, o.oprcode::bigint)), '[]')::text
      from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace where n.nspname <> 'pg_catalog'`,

    casts: `select coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(c.castsource::bigint, c.casttarget::bigint, c.castfunc::bigint)), '[]')::text
      from pg_catalog.pg_cast c join pg_catalog.pg_proc p on p.oid = c.castfunc
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname <> 'pg_catalog'`,
  };
}
