/**
 * Working a value out row by row. A condition that sets a protected column against constants asks one thing of it; one that sets
 * it against other rows (`ascii(substr(email, i, 1)) = code`, for every i and code) asks for all of it, and the rows that are
 * left spell it out, though no output column ever held it. Such conditions are inferences of the kind `enumeration`.
 *
 * A join over the whole value of a protected column with a column of another table is not one: it tells who is in both, which
 * is what such joins are for. Nor is a comparison with columns of the same row.
 */
import type { Node } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import { type Context, Found } from './context.ts';
import { expression, readsNoTable } from './expressions.ts';
import { findItem } from './names.ts';
import type { Env, FromItem } from './scope.ts';
import { UNLABELLED, type Value } from './value.ts';

/** The result differs from call to call, so that rows with a matching one can be waited for. */
const VOLATILE: ReadonlySet<string> = new Set(
  'clock_timestamp currval gen_random_uuid lastval nextval random random_normal timeofday uuidv4 uuidv7'.split(' '),
);

/** One value in, and as much of it out. */
const WHOLE: ReadonlySet<string> = new Set(['lower', 'upper', 'btrim', 'ltrim', 'rtrim', 'casefold', 'normalize']);

/** What takes a document apart as it is written: how many rows come is up to the document. */
const DOCUMENT: ReadonlySet<string> = new Set(
  'json_array_elements json_array_elements_text json_each json_each_text json_extract_path json_object_keys json_populate_record json_populate_recordset json_to_record json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_extract_path jsonb_object_keys jsonb_path_query jsonb_populate_record jsonb_populate_recordset jsonb_to_record jsonb_to_recordset regexp_matches regexp_split_to_array regexp_split_to_table row_to_json string_to_array string_to_table to_json to_jsonb to_tsvector ts_parse tsvector_to_array unnest xmltable json_table xmlelement xpath'.split(
    ' ',
  ),
);

/** Whether rows chosen, ordered or grouped by this expression spell a protected value out. */
export function enumerates(node: Node, env: Env, ctx: Context): boolean {
  const value = expression(node, env, ctx);
  if (value.labels.size === 0) return false;
  if ('BoolExpr' in node) return (node.BoolExpr.args ?? []).some(arg => enumerates(arg, env, ctx));
  if ('A_Expr' in node && node.A_Expr.lexpr !== undefined && node.A_Expr.rexpr !== undefined) {
    const operator = nameParts(node.A_Expr.name).at(-1);
    const kind = node.A_Expr.kind ?? 'AEXPR_OP';
    if ((operator === '=' || operator === '<>') && COMPARISONS.has(kind) && comparesWhole(node.A_Expr.lexpr, node.A_Expr.rexpr, env, ctx))
      return false;
  }
  if ('SubLink' in node && node.SubLink.subLinkType === 'ANY_SUBLINK' && membership(node.SubLink, env, ctx)) return false;
  return meetsOtherRows(node, ownTables(node, env, ctx), env, ctx) || severalRows(node, env, ctx);
}

/**
 * Protected columns of more than one row. Whoever writes rows of a protected table knows those: a value that is set against them is
 * set against a dictionary. Columns of one table's row are of one; those of a subquery or a view may be of any.
 */
function severalRows(node: Node, env: Env, ctx: Context): boolean {
  const items: FromItem[] = [];
  const rows = new Set<unknown>();
  const isLabelled = (part: Node, inSublink: boolean): boolean => (referenceValue(part, inSublink, env, ctx)?.labels.size ?? 1) > 0;
  const visit = (part: unknown, inSublink: boolean): void => {
    if (Array.isArray(part)) for (const item of part) visit(item, inSublink);
    else if (isTree(part)) {
      for (const key in part) {
        if (key === 'SubLink') {
          const { subselect, testexpr } = part.SubLink as { subselect?: Node; testexpr?: Node };
          // What a function makes of a row's own column is of that row.
          if (subselect !== undefined && readsNoTable(subselect)) visit(subselect, true);
          else if (isLabelled(part as unknown as Node, inSublink)) rows.add(part);
          visit(testexpr, inSublink);
        } else if (key === 'ColumnRef') {
          const value = referenceValue(part as unknown as Node, inSublink, env, ctx);
          if (value === undefined || value.labels.size === 0) continue;
          const names = nameParts((part.ColumnRef as { fields?: Node[] }).fields);
          const item = itemOf(names, env);
          if (item !== undefined && !items.includes(item)) items.push(item);
          const row = item === undefined ? '' : String(items.indexOf(item));
          rows.add(item !== undefined && isOneRow(item, ctx) ? row : `${row} ${names.at(-1) ?? ''}`);
        } else if (key === 'FuncCall' && (part.FuncCall as { over?: unknown }).over !== undefined) {
          // A window's function brings values of other rows.
          if (isLabelled(part as unknown as Node, inSublink)) rows.add(part);
        } else visit(part[key], inSublink);
      }
    }
  };
  visit(node, false);
  return rows.size > 1;
}

/** The item whose column or row a reference is; of a name alone, the first that has it. */
function itemOf(names: readonly string[], env: Env): FromItem | undefined {
  if (names.length > 1) return findItem(names.slice(0, -1), env);
  for (let scope = env.names; scope !== null; scope = scope.outer) {
    const item = scope.items.find(candidate => candidate.bare && candidate.columns.some(column => column.name === names[0]));
    if (item !== undefined) return item;
  }
  return findItem(names, env);
}

/** Are its columns of one row? Those of a table are, and the parts of one value; those of a subquery or a view may be of several. */
function isOneRow(item: FromItem, ctx: Context): boolean {
  if (item.ofOneRow === true) return true;
  return (
    item.system &&
    item.columns.every(({ value: { witness } }) => {
      const kind = witness === null ? undefined : ctx.catalog.relations.get(witness.relation)?.kind;
      return kind === 'r' || kind === 'p';
    })
  );
}

const COMPARISONS: ReadonlySet<string> = new Set([
  'AEXPR_OP',
  'AEXPR_IN',
  'AEXPR_OP_ANY',
  'AEXPR_OP_ALL',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
]);

/** The columns that JOIN USING merges, or that EXCEPT takes away. */
export function mergeEnumerates(a: Value, b: Value): boolean {
  const protectedIs = a.labels.size > 0 ? a : b;
  const other = protectedIs === a ? b : a;
  if (protectedIs.labels.size === 0) return false;
  return protectedIs.plains === null || (other.plains === null && !other.constant);
}

/** A function in FROM or in the select list: does it make as many rows as a protected value says? */
export function countTells(args: readonly Node[], env: Env, ctx: Context): boolean {
  return args.some(arg => expression(arg, env, ctx).labels.size > 0 && !isDocument(arg));
}

const MAKES_ROWS: ReadonlySet<string> = new Set(['generate_series', 'generate_subscripts', ...DOCUMENT]);

/** The same of functions anywhere in an item of the select list. */
export function rowsTell(node: Node, env: Env, ctx: Context): boolean {
  const visit = (part: unknown): boolean => {
    if (Array.isArray(part)) return part.some(visit);
    if (!isTree(part) || 'SubLink' in part) return false;
    const call = isTree(part.FuncCall) ? part.FuncCall : undefined;
    if (call !== undefined && MAKES_ROWS.has(nameParts(call.funcname as Node[] | undefined).at(-1) ?? ''))
      if (countTells((call.args ?? []) as Node[], env, ctx)) return true;
    return Object.values(part).some(visit);
  };
  return visit(node);
}

function isDocument(node: unknown): boolean {
  if (Array.isArray(node)) return node.every(isDocument);
  if (!isTree(node)) return true;
  const tag = tagOf(node);
  const fields = fieldsOf(node);
  if (tag === 'ColumnRef' || tag === 'A_Const' || tag === 'ParamRef' || tag === 'SubLink') return true;
  if (tag === 'FuncCall') {
    const name = nameParts(fields.funcname as Node[] | undefined).at(-1) ?? '';
    return (DOCUMENT.has(name) || WHOLE.has(name) || name === 'array_agg') && isDocument(fields.args);
  }
  if (tag === 'A_Expr') return /^(->>?|#>>?|@>)$/.test(nameParts(fields.name as Node[] | undefined).at(-1) ?? '');
  if (tag === 'TypeCast') return isDocument(fields.arg);
  return tag === 'A_ArrayExpr' ? isDocument(fields.elements) : tag === 'NamedArgExpr' || tag === 'XmlExpr' || tag === 'RowExpr';
}

/** Whole values on both sides, of columns, constants or parameters, item by item. */
function comparesWhole(left: Node, right: Node, env: Env, ctx: Context): boolean {
  const lefts = itemsOf(left);
  const rights = itemsOf(right);
  if (lefts !== undefined && rights !== undefined && !('List' in right))
    return lefts.length === rights.length && lefts.every((item, i) => comparesWhole(item, rights[i] ?? item, env, ctx));
  if ('List' in right) return (rights ?? []).every(item => comparesWhole(left, item, env, ctx));
  const [a, b] = [wholeValue(left, env, ctx), wholeValue(right, env, ctx)];
  return a !== undefined && b !== undefined;
}

function itemsOf(node: Node): readonly Node[] | undefined {
  if ('RowExpr' in node) return node.RowExpr.args ?? [];
  return 'List' in node ? (node.List.items ?? []) : undefined;
}

/** A column of a table as it is, or nearly; a constant; a column of a VALUES list without anything protected. */
function wholeValue(node: Node, env: Env, ctx: Context): Value | undefined {
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return wholeValue(node.TypeCast.arg, env, ctx);
  if ('CollateClause' in node && node.CollateClause.arg !== undefined) return wholeValue(node.CollateClause.arg, env, ctx);
  if ('FuncCall' in node && WHOLE.has(nameParts(node.FuncCall.funcname).at(-1) ?? '')) {
    const [first, ...rest] = node.FuncCall.args ?? [];
    if (first !== undefined && rest.every(arg => expression(arg, env, ctx).constant)) return wholeValue(first, env, ctx);
  }
  const value = expression(node, env, ctx);
  if (value.mixed === true) return undefined;
  return value.plains !== null || (value.constant && value.labels.size === 0) ? value : undefined;
}

/** `column IN (SELECT column …)`, both as they are. */
function membership(link: Extract<Node, { SubLink: unknown }>['SubLink'], env: Env, ctx: Context): boolean {
  const operator = nameParts(link.operName).at(-1) ?? '=';
  if (link.testexpr === undefined || link.subselect === undefined || (operator !== '=' && operator !== '<>')) return false;
  const tests = itemsOf(link.testexpr) ?? [link.testexpr];
  const { columns } = ctx.engine.query(link.subselect, env, ctx);
  return tests.every((test, i) => {
    const output = columns[i]?.value;
    if (output === undefined || output.mixed === true || wholeValue(test, env, ctx) === undefined) return false;
    return output.plains !== null || (output.labels.size === 0 && output.constant);
  });
}

/**
 * The tables whose row a condition is about: those of the protected columns that it names, as they are. Not one that stands in the
 * query twice, which is then other rows of it as well, nor one that only a subquery reads.
 */
function ownTables(node: Node, env: Env, ctx: Context): ReadonlySet<string> {
  const own = new Set<string>();
  let unclear = false;
  const visit = (part: unknown): void => {
    if (Array.isArray(part)) for (const item of part) visit(item);
    else if (isTree(part)) {
      for (const key in part) {
        if (key === 'SubLink') unclear ||= expression(part as unknown as Node, env, ctx).labels.size > 0;
        else if (key === 'ColumnRef') {
          const value = expression(part as unknown as Node, env, ctx);
          if (value.labels.size === 0) continue;
          if (value.plains === null) unclear = true;
          else for (const origin of value.plains) own.add(tableOf(origin));
        } else visit(part[key]);
      }
    }
  };
  visit(node);
  if (unclear) return new Set();
  for (const table of own) if (instances(table, env) !== 1) own.delete(table);
  return own;
}

const tableOf = (origin: { schema: string; table: string }): string => `${origin.schema}.${origin.table}`;

/** How many items of the query, on all its levels, show rows of a table. */
function instances(table: string, env: Env): number {
  let count = 0;
  for (let scope = env.names; scope !== null; scope = scope.outer)
    for (const item of scope.items)
      if (item.qualified && item.columns.some(column => column.value.plains?.some(origin => tableOf(origin) === table) === true))
        count += 1;
  return count;
}

function meetsOtherRows(node: Node, own: ReadonlySet<string>, env: Env, ctx: Context): boolean {
  const isOther = (value: Value): boolean => {
    if (value.labels.size > 0) return value.mixed === true;
    if (value.plains === null) return true; // made rows: a series, a VALUES list, something computed
    return value.plains.some(origin => !own.has(tableOf(origin)));
  };
  const visit = (part: unknown, inSublink: boolean): boolean => {
    if (Array.isArray(part)) return part.some(item => visit(item, inSublink));
    if (!isTree(part)) return false;
    for (const key in part) {
      const fields = part[key];
      if (key === 'ColumnRef' || key === 'ParamRef') {
        const value = referenceValue(part as unknown as Node, inSublink, env, ctx);
        // A parameter of the client's is one constant; a function's may be any row's value.
        if (value !== undefined && !(key === 'ParamRef' && value.constant) && isOther(value)) return true;
        continue;
      }
      if (key === 'FuncCall' && isTree(fields) && VOLATILE.has(nameParts(fields.funcname as Node[] | undefined).at(-1) ?? '')) return true;
      if (key === 'SubLink' && isTree(fields)) {
        if (!inSublink && expression(part as unknown as Node, env, ctx).mixed === true) return true;
        if (visit(fields.testexpr, inSublink) || visit(fields.subselect, true)) return true;
        continue;
      }
      if (typeof fields === 'object' && visit(fields, inSublink)) return true;
    }
    return false;
  };
  return visit(node, false);
}

/** The value of a reference; undefined for one in a subquery that is not known out here, and so is the subquery's own. */
function referenceValue(node: Node, inSublink: boolean, env: Env, ctx: Context): Value | undefined {
  if (!inSublink) return expression(node, env, ctx);
  const found = new Found();
  const quiet = ctx.deeper({ found, inside: true });
  if (quiet === undefined) return UNLABELLED;
  const value = expression(node, env, quiet);
  return found.unknowns.size === 0 ? value : undefined;
}
