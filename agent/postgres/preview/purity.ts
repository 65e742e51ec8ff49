/**
 * Does a change act on nothing but rows of tables, so that rolling it back leaves nothing behind? Asked of the database itself,
 * on the session's own connection, which alone sees what its open transaction has made.
 *
 * Strict: whatever is not known to be pure makes the answer no. That is triggers, rewrite rules, views, foreign tables, functions
 * and operators that users have made (also those that defaults, constraints, indexes and row security call), sequences.
 */
import { REVIEWED_EXTENSIONS } from '@sallyport/shared/sql/flow/functions.ts';

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
 * What could act outside of the transaction: rows of a kind and a name; `default` rows hold an expression to be judged.
 * $1 oids of all relations named, the changed one first; $2 functions, $3 operators, $4 attributes, $5 types;
 * $6 are defaults evaluated?
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
  SELECT unnest($1::oid[]) UNION SELECT oid FROM touched
), pieces(classid, objid) AS (
  SELECT 'pg_attrdef'::regclass::oid, d.oid FROM pg_attrdef d JOIN touched ON adrelid = touched.oid
  UNION ALL SELECT 'pg_constraint'::regclass::oid, c.oid FROM pg_constraint c JOIN touched ON conrelid = touched.oid
  UNION ALL SELECT 'pg_constraint'::regclass::oid, c.oid FROM pg_constraint c
    WHERE contypid <> 0 AND contypid IN (SELECT atttypid FROM pg_attribute a JOIN named ON attrelid = named.oid)
  UNION ALL SELECT 'pg_class'::regclass::oid, indexrelid FROM pg_index JOIN touched ON indrelid = touched.oid
  UNION ALL SELECT 'pg_policy'::regclass::oid, p.oid FROM pg_policy p JOIN named ON polrelid = named.oid
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
SELECT 'function', p.proname FROM pieces JOIN pg_depend d USING (classid, objid) JOIN pg_proc p ON p.oid = d.refobjid
  WHERE d.refclassid = 'pg_proc'::regclass AND ${OWN_FUNCTION('p.oid')}
UNION ALL
SELECT 'function', proname FROM pg_proc WHERE proname = ANY ($2::name[]) AND ${OWN_FUNCTION('pg_proc.oid')}
UNION ALL
SELECT 'operator', oprname FROM pg_operator WHERE oprname = ANY ($3::name[]) AND ${OWN_FUNCTION('oprcode')}
UNION ALL
SELECT 'function', proname FROM pg_proc JOIN pg_type t ON t.oid = proargtypes[0]
  WHERE proname = ANY ($4::name[]) AND pronargs = 1 AND typtype = 'c' AND pronamespace <> 'pg_catalog'::regnamespace
UNION ALL
SELECT 'type', typname FROM pg_type t WHERE typname = ANY ($5::name[]) AND typnamespace <> 'pg_catalog'::regnamespace AND typtype NOT IN ('e', 'b', 'm', 'r')
UNION ALL
SELECT 'cast', format_type(castsource, NULL) FROM pg_cast WHERE castfunc <> 0 AND castcontext IN ('i', 'a') AND ${OWN_FUNCTION('castfunc')}
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
  type: name => `the type ${name} may call a function that is not known to be pure`,
  cast: name => `a cast from ${name} calls a function that is not known to be pure`,
};

/** @param expression judges a default: why it may not be evaluated; null: it may. @returns why there is no preview; null: there can be. */
export function impurity(rows: readonly (readonly (string | null)[])[], expression: (text: string) => string | null): string | null {
  for (const [what, name] of rows) {
    const reason =
      what === 'default' ? expression(name ?? '') : (REASONS[what ?? '']?.(name ?? '') ?? 'it cannot be told whether it is pure');
    if (reason !== null) return reason;
  }
  return null;
}

/** A text array as PostgreSQL reads it. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map(value => (value === null ? 'NULL' : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`)).join(',')}}`;
}
