/**
 * Is a WHERE clause a limit at all? `WHERE 1=1` lets every row through, and so does every condition that does not depend on
 * the row, or that is true for every row by its form (`id = id`, `x IS NULL OR x IS NOT NULL`).
 *
 * It is a net for mistakes and for people who write `WHERE true` to get past a rule; it does not prove theorems:
 * `id >= 0` passes as a limit. The planner's row estimate (a guard's `maxRows`) is the measure for that.
 */
import type { Node, RangeVar } from 'libpg-query';
import { constantOf, isTree, nameParts, type Tree, tagOf } from './ast.ts';

/** `value`: known; `fixed`: the same for every row, value not known; `true for rows`: true of every row (or null); `row`: depends. */
type Folded = { is: 'value'; value: string | number | boolean | null } | { is: 'fixed' } | { is: 'always' } | { is: 'row' };

const ROW: Folded = { is: 'row' };
const FIXED: Folded = { is: 'fixed' };
const ALWAYS: Folded = { is: 'always' };

interface Context {
  target: RangeVar | undefined;
  /** Set when a literal's value was looked at: the answer does not hold for other literals. */
  literalsRead: boolean;
}

/**
 * @param where the condition of an UPDATE, DELETE or MERGE; undefined when it has none.
 * @param target the table it acts on, to see `id IN (SELECT id FROM the_same_table)`.
 */
export function whereStrength(
  where: Node | undefined,
  target: RangeVar | undefined,
): { where: 'none' | 'tautology' | 'some'; literalsRead: boolean } {
  if (where === undefined) return { where: 'none', literalsRead: false };
  const context: Context = { target, literalsRead: false };
  const folded = fold(where, context);
  let open: boolean;
  if (folded.is === 'value') open = truthy(folded.value);
  else open = folded.is !== 'row';
  return { where: open ? 'tautology' : 'some', literalsRead: context.literalsRead };
}

function truthy(value: string | number | boolean | null): boolean {
  if (typeof value === 'string') return ['t', 'true', 'y', 'yes', 'on', '1'].includes(value.trim().toLowerCase());
  return value !== null && value !== false && value !== 0;
}

const known = (value: string | number | boolean | null): Folded => ({ is: 'value', value });

function fold(node: Node, context: Context): Folded {
  if ('A_Const' in node) {
    context.literalsRead = true;
    return known(constantOf(node.A_Const));
  }
  if ('ColumnRef' in node) return ROW;
  if ('BoolExpr' in node) return foldBool(node.BoolExpr.boolop ?? '', node.BoolExpr.args ?? [], context);
  if ('A_Expr' in node) return foldOperator(node.A_Expr as Tree, context);
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return fold(node.TypeCast.arg, context);
  if ('CollateClause' in node && node.CollateClause.arg !== undefined) return fold(node.CollateClause.arg, context);
  if ('NullTest' in node && node.NullTest.arg !== undefined) {
    const arg = fold(node.NullTest.arg, context);
    if (arg.is === 'value') return known((arg.value === null) === (node.NullTest.nulltesttype === 'IS_NULL'));
    return arg.is === 'row' ? ROW : FIXED;
  }
  if ('BooleanTest' in node && node.BooleanTest.arg !== undefined) {
    const arg = fold(node.BooleanTest.arg, context);
    const test = node.BooleanTest.booltesttype ?? '';
    if (arg.is === 'value') {
      const value = arg.value === null ? null : truthy(arg.value);
      switch (test) {
        case 'IS_TRUE':
          return known(value === true);
        case 'IS_NOT_TRUE':
          return known(value !== true);
        case 'IS_FALSE':
          return known(value === false);
        case 'IS_NOT_FALSE':
          return known(value !== false);
        case 'IS_UNKNOWN':
          return known(value === null);
        default:
          return known(value !== null);
      }
    }
    return arg.is === 'row' ? ROW : FIXED;
  }
  if ('CoalesceExpr' in node) {
    for (const arg of node.CoalesceExpr.args ?? []) {
      const folded = fold(arg, context);
      if (folded.is !== 'value' || folded.value !== null) return folded;
    }
    return known(null);
  }
  if ('CaseExpr' in node) return foldCase(node.CaseExpr as Tree, context);
  if ('SubLink' in node) return foldSublink(node.SubLink as Tree, context);
  if (dependsOnRow(node)) return ROW;
  context.literalsRead = true; // fixed whatever its literals are, but a caller may combine it with what was folded
  return FIXED;
}

function foldBool(operator: string, args: readonly Node[], context: Context): Folded {
  if (operator === 'NOT_EXPR') {
    const arg = args[0] === undefined ? ROW : fold(args[0], context);
    if (arg.is === 'value') return known(arg.value === null ? null : !truthy(arg.value));
    return arg.is === 'row' ? negatedSelf(args[0], context) : FIXED;
  }
  const isOr = operator === 'OR_EXPR';
  let always = false;
  let fixed = false;
  let row = false;
  for (const arg of args) {
    const folded = fold(arg, context);
    if (folded.is === 'value') {
      const value = truthy(folded.value);
      if (value === isOr) return known(isOr); // true in OR, false in AND decide
    } else if (folded.is === 'always') always = true;
    else if (folded.is === 'fixed') fixed = true;
    else row = true;
  }
  if (isOr) {
    if (always || (fixed && !args.some(hasParameter)) || complementary(args, context)) return ALWAYS;
    return row ? ROW : fixed ? FIXED : known(false);
  }
  if (row) return ROW;
  return always || fixed ? (always && !fixed ? ALWAYS : FIXED) : known(true);
}

/** NOT (x <> x) */
function negatedSelf(node: Node | undefined, context: Context): Folded {
  if (node === undefined || !('A_Expr' in node)) return ROW;
  const { name, lexpr, rexpr } = node.A_Expr;
  const operator = nameParts(name).at(-1);
  if (lexpr === undefined || rexpr === undefined || !same(lexpr, rexpr, context)) return ROW;
  return operator === '<>' || operator === '<' || operator === '>' ? ALWAYS : ROW;
}

/** x IS NULL OR x IS NOT NULL; a OR NOT a */
function complementary(args: readonly Node[], context: Context): boolean {
  return args.some(arg => {
    if ('NullTest' in arg) {
      const { arg: tested, nulltesttype } = arg.NullTest;
      return args.some(
        other =>
          'NullTest' in other &&
          other.NullTest.nulltesttype !== nulltesttype &&
          tested !== undefined &&
          other.NullTest.arg !== undefined &&
          sameShape(tested, other.NullTest.arg, context),
      );
    }
    const negated = 'BoolExpr' in arg && arg.BoolExpr.boolop === 'NOT_EXPR' ? arg.BoolExpr.args?.[0] : undefined;
    return negated !== undefined && args.some(other => sameShape(negated, other, context));
  });
}

function foldOperator(expr: Tree, context: Context): Folded {
  const kind = expr.kind;
  const left = expr.lexpr as Node | undefined;
  const right = expr.rexpr as Node | undefined;
  const operator = nameParts(expr.name as Node[] | undefined).at(-1) ?? '';
  if (left === undefined || right === undefined) {
    const only = left ?? right;
    if (only === undefined) return ROW;
    return fold(only, context).is === 'row' ? ROW : FIXED;
  }
  if (kind === 'AEXPR_IN') return foldIn(left, right, operator === '<>', context);
  if (kind === 'AEXPR_BETWEEN' || kind === 'AEXPR_BETWEEN_SYM') {
    const bounds = 'List' in right ? (right.List.items ?? []) : [];
    if (bounds.length === 2 && bounds.every(bound => same(left, bound, context))) return ALWAYS;
    return dependsOnRow(left) || dependsOnRow(right) ? ROW : FIXED;
  }
  if ((kind === 'AEXPR_LIKE' || kind === 'AEXPR_ILIKE') && 'A_Const' in right && dependsOnRow(left)) {
    context.literalsRead = true;
    const pattern = constantOf(right.A_Const);
    if (typeof pattern === 'string' && /^%+$/.test(pattern)) return operator.startsWith('!') ? known(false) : ALWAYS;
    return ROW;
  }
  const a = fold(left, context);
  if (a.is === 'row') {
    if (kind === 'AEXPR_OP' && (operator === '=' || operator === '>=' || operator === '<=') && same(left, right, context)) return ALWAYS;
    if (kind === 'AEXPR_NOT_DISTINCT' && same(left, right, context)) return ALWAYS;
    return ROW;
  }
  const b = fold(right, context);
  if (b.is === 'row') return ROW;
  if (a.is !== 'value' || b.is !== 'value') return FIXED;
  if (kind === 'AEXPR_DISTINCT') return known(a.value !== b.value);
  if (kind === 'AEXPR_NOT_DISTINCT') return known(a.value === b.value);
  if (kind !== 'AEXPR_OP' || a.value === null || b.value === null) return kind === 'AEXPR_OP' ? known(null) : FIXED;
  return compare(operator, a.value, b.value);
}

function compare(operator: string, a: string | number | boolean, b: string | number | boolean): Folded {
  // A string constant next to a number is read as a number by PostgreSQL.
  const numbers = typeof a === 'number' || typeof b === 'number';
  const x = numbers ? Number(a) : a;
  const y = numbers ? Number(b) : b;
  switch (operator) {
    case '=':
      return known(x === y);
    case '<>':
    case '!=':
      return known(x !== y);
    case '<':
      return known(x < y);
    case '>':
      return known(x > y);
    case '<=':
      return known(x <= y);
    case '>=':
      return known(x >= y);
    default:
      return FIXED;
  }
}

function foldIn(left: Node, right: Node, negated: boolean, context: Context): Folded {
  const items = 'List' in right ? (right.List.items ?? []) : [];
  if (dependsOnRow(left)) return !negated && items.some(item => same(left, item, context)) ? ALWAYS : ROW;
  const value = fold(left, context);
  let rows = false;
  for (const item of items) {
    const folded = fold(item, context);
    if (folded.is === 'row') rows = true;
    else if (value.is === 'value' && folded.is === 'value' && String(value.value) === String(folded.value)) return known(!negated);
    else if (value.is !== 'value' || folded.is !== 'value') return rows ? ROW : FIXED;
  }
  return rows ? ROW : known(negated);
}

function foldCase(expr: Tree, context: Context): Folded {
  const results: Folded[] = [];
  for (const when of (expr.args as Node[] | undefined) ?? []) {
    if (!('CaseWhen' in when) || when.CaseWhen.expr === undefined || when.CaseWhen.result === undefined) return ROW;
    const condition = expr.arg === undefined ? fold(when.CaseWhen.expr, context) : ROW;
    const result = fold(when.CaseWhen.result, context);
    if (condition.is === 'value') {
      if (truthy(condition.value)) return results.length === 0 ? result : combine([...results, result]);
      continue;
    }
    results.push(result);
  }
  results.push(expr.defresult === undefined ? known(null) : fold(expr.defresult as Node, context));
  return combine(results);
}

/** One of these, depending on the row: true only when all of them are. */
function combine(results: readonly Folded[]): Folded {
  return results.every(result => result.is === 'always' || (result.is === 'value' && truthy(result.value))) ? ALWAYS : ROW;
}

function foldSublink(link: Tree, context: Context): Folded {
  const select = isTree(link.subselect) && isTree(link.subselect.SelectStmt) ? link.subselect.SelectStmt : undefined;
  if (select === undefined) return ROW;
  const from = (select.fromClause as Node[] | undefined) ?? [];
  if (link.subLinkType === 'EXISTS_SUBLINK') {
    if (from.length === 0 && select.whereClause === undefined && select.limitCount === undefined) return known(true);
    return dependsOnRow(select) ? ROW : FIXED;
  }
  if (link.subLinkType === 'EXPR_SUBLINK' && from.length === 0 && select.whereClause === undefined) {
    const target = ((select.targetList as Node[] | undefined) ?? [])[0];
    return target !== undefined && 'ResTarget' in target && target.ResTarget.val !== undefined ? fold(target.ResTarget.val, context) : ROW;
  }
  if (link.subLinkType === 'ANY_SUBLINK' && link.operName === undefined && link.testexpr !== undefined) {
    // id IN (SELECT id FROM the table itself)
    const target = ((select.targetList as Node[] | undefined) ?? [])[0];
    const table = from[0];
    const column = columnName(link.testexpr as Node);
    if (
      column !== undefined &&
      from.length === 1 &&
      table !== undefined &&
      'RangeVar' in table &&
      table.RangeVar.relname === context.target?.relname &&
      select.whereClause === undefined &&
      select.havingClause === undefined &&
      select.limitCount === undefined &&
      select.limitOffset === undefined &&
      target !== undefined &&
      'ResTarget' in target &&
      target.ResTarget.val !== undefined &&
      columnName(target.ResTarget.val) === column
    ) {
      return ALWAYS;
    }
  }
  return dependsOnRow(link) ? ROW : FIXED;
}

function columnName(node: Node): string | undefined {
  return 'ColumnRef' in node ? nameParts(node.ColumnRef.fields).at(-1) : undefined;
}

/** Holds a reference to a column anywhere, or a cursor's position. */
function dependsOnRow(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(dependsOnRow);
  if (!isTree(value)) return false;
  for (const key in value) {
    if (key === 'ColumnRef' || key === 'CurrentOfExpr') return true;
    if (dependsOnRow(value[key])) return true;
  }
  return false;
}

function hasParameter(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasParameter);
  if (!isTree(value)) return false;
  for (const key in value) if (key === 'ParamRef' || hasParameter(value[key])) return true;
  return false;
}

/** The same expression over the row, and one that gives the same value twice: column references and operators, no calls. */
function same(a: Node, b: Node, context: Context): boolean {
  if (tagOf(a) !== tagOf(b) || !dependsOnRow(a) || !dependsOnRow(b)) return false;
  if ('ColumnRef' in a && 'ColumnRef' in b) {
    const x = nameParts(a.ColumnRef.fields);
    const y = nameParts(b.ColumnRef.fields);
    // t.id and id are the same column: were both tables to have one, PostgreSQL would call it ambiguous.
    return x.at(-1) === y.at(-1) && (x.length === 1 || y.length === 1 || x.join('.') === y.join('.'));
  }
  return sameShape(a, b, context) && !/"FuncCall"|"SubLink"/.test(shape(a));
}

/** Equal trees; when literals took part in the comparison, the answer does not hold for others. */
function sameShape(a: Node, b: Node, context: Context): boolean {
  if (tagOf(a) !== tagOf(b)) return false;
  const x = shape(a);
  const y = shape(b);
  if (x.includes('"A_Const"') || y.includes('"A_Const"')) context.literalsRead = true;
  return x === y;
}

/** The tree as text, without positions. */
function shape(node: Node): string {
  return JSON.stringify(node, (key, value: unknown) => (key === 'location' || key.startsWith('rexpr_list') ? undefined : value));
}
