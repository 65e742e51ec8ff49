/**
 * Conditions: which protected columns the rows depend on, and whether by equality with a constant (which finds only what is
 * known already) or by anything else (ranges, patterns, functions, other columns), by which a value can be worked out.
 */
import type { Node } from 'libpg-query';
import { nameParts } from '../ast.ts';
import type { Context } from './context.ts';
import { enumerates } from './enumeration.ts';
import { expression } from './expressions.ts';
import type { Env } from './scope.ts';
import type { Value } from './value.ts';

export function predicate(node: Node, env: Env, ctx: Context): void {
  if ('BoolExpr' in node) {
    // NOT (a = 1) is as much of a question as a <> 1.
    if (node.BoolExpr.boolop === 'NOT_EXPR') for (const arg of node.BoolExpr.args ?? []) inferFrom(arg, env, ctx);
    else for (const arg of node.BoolExpr.args ?? []) predicate(arg, env, ctx);
    return;
  }
  if ('A_Expr' in node && node.A_Expr.lexpr !== undefined && node.A_Expr.rexpr !== undefined) {
    const { kind, name, lexpr, rexpr } = node.A_Expr;
    const parts = nameParts(name);
    const equals = parts.length === 1 && parts[0] === '=';
    const equality = equals && (kind === 'AEXPR_OP' || kind === 'AEXPR_IN' || kind === 'AEXPR_OP_ANY' || kind === 'AEXPR_NOT_DISTINCT');
    expression(node, env, ctx); // for sinks and unknowns of the operator itself
    if (equality) {
      if (enumerates(node, env, ctx)) inferFrom(node, env, ctx);
      else compared(lexpr, rexpr, env, ctx);
      return;
    }
  }
  inferFrom(node, env, ctx);
}

/** Rows are chosen, ordered or grouped by an expression that is no plain comparison. */
export function inferFrom(node: Node, env: Env, ctx: Context): void {
  const value = expression(node, env, ctx);
  if (value.labels.size === 0) return;
  ctx.infer(value, enumerates(node, env, ctx) || (!ctx.inside && !ctx.found.condition(node)) ? 'enumeration' : 'other');
}

function compared(left: Node, right: Node, env: Env, ctx: Context): void {
  const lefts = rowItems(left);
  const rights = rowItems(right);
  // (a, b) = (1, 2) compares item by item; a IN (1, 2) compares a with each.
  if (lefts !== undefined && rights !== undefined && lefts.length === rights.length && !('List' in right)) {
    for (const [i, item] of lefts.entries()) compared(item, rights[i] ?? item, env, ctx);
    return;
  }
  const a = expression(left, env, ctx);
  const b = expression(right, env, ctx);
  if (isKnown(b) && isColumn(a)) ctx.infer(a, 'equality');
  else if (isKnown(a) && isColumn(b)) ctx.infer(b, 'equality');
  else {
    ctx.infer(a);
    ctx.infer(b);
  }
}

function rowItems(node: Node): readonly Node[] | undefined {
  if ('RowExpr' in node) return node.RowExpr.args;
  return 'List' in node ? node.List.items : undefined;
}

const isKnown = (value: Value): boolean => value.constant && value.labels.size === 0;
const isColumn = (value: Value): boolean => value.plains !== null;
