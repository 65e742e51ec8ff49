/**
 * Does a change act on nothing but rows of tables, so that rolling it back leaves nothing behind? Asked of the database itself,
 * on the session's own connection, which alone sees what its open transaction has made.
 *
 * Strict: whatever is not known to be pure makes the answer no. That is triggers, rewrite rules, views, foreign tables, functions
 * and operators that users have made (also those that defaults, constraints, indexes and row security call), sequences.
 */
import { REVIEWED_EXTENSIONS } from '@sallyport/shared/sql/flow/reviewed.ts';

/** The tables and views that a statement names, by the session's own search path. $1: quoted names. */
export const RESOLVE_SQL =
  'SELECT pg_catalog.to_regclass(n)::pg_catalog.oid FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS u(n, i) ORDER BY i';

/** So that no name in `PURITY_SQL` means anything that the session has put in front of pg_catalog. */
export const PURITY_PATH_SQL = 'SET LOCAL search_path TO pg_catalog, pg_temp';

/** Is a function one that users have made? */
const OWN_FUNCTION = (oid: string) => `
  (SELECT own.pronamespace <> 'pg_catalog'::regnamespace AND NOT EXISTS (
     SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid
     WHERE e.classid = 'pg_proc'::regclass AND e.objid = own.oid AND e.deptype = 'e' AND x.extname = ANY ('{${[...REVIEWED_EXTENSIONS].join(',')}}'::name[]))
   FROM pg_proc own WHERE own.oid = ${oid})`;

/**
 * What could act outside of the transaction: rows of a kind and a name; `default` and `expression` rows hold an expression to be
 * judged. The catalog records no dependency on what PostgreSQL itself brings, so that built-ins that act are found in those.
 *
 * $1 oids of all relations named, the changed one first; $2 functions, $3 operators, $4 attributes, $5 types, by name in
 * whatever schema; $6 are defaults evaluated? $7 oids of the parameters' types.
 *
 * `reach` follows what may be called: from the tables to their columns' types, constraints, indexes, policies and partition keys,
 * from types to what they are made of, what checks, reads, writes and compares them, to functions.
 */
export const PURITY_SQL = `
WITH RECURSIVE touched(oid) AS (
  SELECT ($1::oid[])[1]
  UNION
  SELECT x.oid FROM touched t CROSS JOIN LATERAL (
    SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = t.oid
    UNION ALL
    SELECT conrelid FROM pg_constraint WHERE confrelid = t.oid AND contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
  ) x
), named(oid) AS (
  SELECT n.oid FROM (SELECT unnest($1::oid[]) AS oid UNION SELECT oid FROM touched) n
  UNION
  SELECT x.oid FROM named n CROSS JOIN LATERAL (
    SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = n.oid
    UNION ALL
    SELECT refobjid FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
      WHERE polrelid = n.oid AND refclassid = 'pg_class'::regclass
  ) x
), parts(oid) AS (
  SELECT oid FROM touched UNION SELECT a.relid FROM touched CROSS JOIN LATERAL pg_partition_ancestors(touched.oid) a(relid)
), spelled(oid) AS (
  SELECT t.oid FROM pg_type t WHERE typname = ANY ($5::name[]) OR typname = ANY ($2::name[])
  UNION SELECT unnest($7::oid[])
), reach(classid, objid) AS (
  SELECT s.classid, s.objid FROM (
    SELECT 'pg_attrdef'::regclass::oid AS classid, d.oid AS objid FROM pg_attrdef d JOIN touched ON adrelid = touched.oid
    UNION ALL SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c JOIN touched ON touched.oid IN (conrelid, confrelid)
    UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index JOIN touched ON indrelid = touched.oid
    UNION ALL SELECT 'pg_class'::regclass, oid FROM parts
    UNION ALL SELECT 'pg_class'::regclass, oid FROM named
    UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p JOIN named ON polrelid = named.oid
    UNION ALL SELECT 'pg_type'::regclass, oid FROM spelled
    UNION ALL SELECT 'pg_type'::regclass, atttypid FROM pg_attribute JOIN named ON attrelid = named.oid WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'pg_opclass'::regclass, o.oid FROM pg_opclass o WHERE opcdefault AND opcnamespace <> 'pg_catalog'::regnamespace AND opcintype < 16384
  ) s
  UNION
  SELECT x.classid, x.objid FROM reach r CROSS JOIN LATERAL (
    SELECT refclassid AS classid, refobjid AS objid FROM pg_depend d WHERE d.classid = r.classid AND d.objid = r.objid
      AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass)
    UNION ALL
    SELECT 'pg_type'::regclass, m.oid FROM pg_type t
      CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) m(oid) WHERE r.classid = 'pg_type'::regclass AND t.oid = r.objid AND m.oid <> 0
    UNION ALL
    SELECT 'pg_type'::regclass, atttypid FROM pg_type t JOIN pg_attribute ON attrelid = t.typrelid
      WHERE r.classid = 'pg_type'::regclass AND t.oid = r.objid AND t.typtype = 'c' AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c WHERE r.classid = 'pg_type'::regclass AND contypid = r.objid
    UNION ALL
    SELECT 'pg_opclass'::regclass, o.oid FROM pg_opclass o WHERE r.classid = 'pg_type'::regclass AND opcintype = r.objid AND opcintype >= 16384
    UNION ALL
    SELECT 'pg_proc'::regclass, amproc::oid FROM pg_opclass o JOIN pg_amproc ON amprocfamily = opcfamily
      WHERE r.classid = 'pg_opclass'::regclass AND o.oid = r.objid
    UNION ALL
    SELECT 'pg_operator'::regclass, amopopr FROM pg_opclass o JOIN pg_amop ON amopfamily = opcfamily
      WHERE r.classid = 'pg_opclass'::regclass AND o.oid = r.objid
  ) x WHERE r.classid <> 'pg_proc'::regclass
)
SELECT 'no table' AS what, '' AS name WHERE ($1::oid[])[1] IS NULL
UNION ALL
SELECT CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'view' END, relname FROM pg_class JOIN named USING (oid)
  WHERE relkind NOT IN ('r', 'p', 'm', 'S', 't')
UNION ALL
SELECT 'rule', rulename FROM pg_rewrite JOIN touched ON ev_class = touched.oid WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'trigger', tgname FROM pg_trigger JOIN touched ON tgrelid = touched.oid JOIN pg_proc p ON p.oid = tgfoid
  WHERE NOT tgisinternal AND tgenabled <> 'D'
    AND (pronamespace <> 'pg_catalog'::regnamespace
      OR proname NOT IN ('suppress_redundant_updates_trigger', 'tsvector_update_trigger', 'tsvector_update_trigger_column'))
UNION ALL
SELECT 'identity', attname FROM pg_attribute JOIN touched ON attrelid = touched.oid WHERE attidentity <> '' AND NOT attisdropped AND $6::boolean
UNION ALL
SELECT 'default', pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN touched ON adrelid = touched.oid
  JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
  WHERE attgenerated <> '' OR $6::boolean
    OR EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = touched.oid AND (confdeltype = 'd' OR confupdtype = 'd'))
UNION ALL
SELECT 'default', pg_get_expr(typdefaultbin, 0) FROM pg_type t JOIN reach ON classid = 'pg_type'::regclass AND objid = t.oid
  WHERE typdefaultbin IS NOT NULL
UNION ALL
SELECT 'expression', pg_get_expr(conbin, conrelid) FROM pg_constraint c JOIN reach ON classid = 'pg_constraint'::regclass AND objid = c.oid
  WHERE conbin IS NOT NULL
UNION ALL
SELECT 'expression', pg_get_expr(e.tree, polrelid) FROM pg_policy p JOIN reach ON classid = 'pg_policy'::regclass AND objid = p.oid
  CROSS JOIN LATERAL (VALUES (polqual), (polwithcheck)) e(tree) WHERE e.tree IS NOT NULL
UNION ALL
SELECT 'function', p.proname FROM reach JOIN pg_proc p ON p.oid = objid WHERE classid = 'pg_proc'::regclass AND ${OWN_FUNCTION('p.oid')}
UNION ALL
SELECT 'operator', oprname FROM reach JOIN pg_operator o ON o.oid = objid WHERE classid = 'pg_operator'::regclass AND ${OWN_FUNCTION('oprcode')}
UNION ALL
SELECT 'function', proname FROM pg_proc WHERE proname = ANY ($2::name[]) AND ${OWN_FUNCTION('pg_proc.oid')}
UNION ALL
SELECT 'operator', oprname FROM pg_operator WHERE oprname = ANY ($3::name[]) AND ${OWN_FUNCTION('oprcode')}
UNION ALL
SELECT 'function', proname FROM pg_proc JOIN pg_type t ON t.oid = proargtypes[0]
  WHERE proname = ANY ($4::name[]) AND (typtype IN ('c', 'd', 'p') OR provariadic <> 0) AND ${OWN_FUNCTION('pg_proc.oid')}
UNION ALL
SELECT 'cast', format_type(castsource, NULL) FROM pg_cast
  WHERE castfunc <> 0 AND ${OWN_FUNCTION('castfunc')}
    AND (castcontext <> 'e' OR EXISTS (SELECT FROM reach WHERE classid = 'pg_type'::regclass AND objid = casttarget))
LIMIT 100`;

const REASONS: Readonly<Record<string, (name: string) => string>> = {
  'no table': () => 'the table is not known',
  'foreign table': name => `${name} is a foreign table: what is done elsewhere may not roll back`,
  view: name => `${name} is a view, and what it calls is not known`,
  rule: name => `the rewrite rule ${name} makes other statements of it`,
  trigger: name => `the trigger ${name} calls a function that may act outside of the transaction`,
  identity: name => `the column ${name} draws from a sequence, which does not roll back`,
  function: name => `the function ${name} is not known to be pure`,
  operator: name => `the operator ${name} calls a function that is not known to be pure`,
  cast: name => `a cast from ${name} calls a function that is not known to be pure`,
};

const EXPRESSIONS: Readonly<Record<string, string>> = {
  default: 'a column default',
  expression: 'a check or a policy',
};

/**
 * @param expression judges an expression that tables or types bring: why it may not be evaluated; null: it may.
 * @returns why there is no preview; null: there can be.
 */
export function impurity(
  rows: readonly (readonly (string | null)[])[],
  expression: (text: string, what: string) => string | null,
): string | null {
  for (const [what, name] of rows) {
    const brought = EXPRESSIONS[what ?? ''];
    const reason =
      brought === undefined
        ? (REASONS[what ?? '']?.(name ?? '') ?? 'it cannot be told whether it is pure')
        : expression(name ?? '', brought);
    if (reason !== null) return reason;
  }
  return null;
}

/** A text array as PostgreSQL reads it. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map(value => (value === null ? 'NULL' : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`)).join(',')}}`;
}
