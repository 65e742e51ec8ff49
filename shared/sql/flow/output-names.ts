/** The name of an output column that has no AS, as PostgreSQL's FigureColname gives it: subqueries are referred to by it. */
import type { Node } from 'libpg-query';
import { nameParts } from '../ast.ts';

/** @returns the name; `?column?` when there is none. */
export function outputName(node: Node): string {
  return figure(node)?.name ?? '?column?';
}

/** `weak`: a cast's type name, which an inner name beats. */
function figure(node: Node): { name: string; weak: boolean } | undefined {
  const strong = (name: string | undefined): { name: string; weak: boolean } | undefined =>
    name === undefined || name === '' ? undefined : { name, weak: false };
  if ('ColumnRef' in node) return strong(nameParts(node.ColumnRef.fields).at(-1));
  if ('A_Indirection' in node) {
    const field = nameParts(node.A_Indirection.indirection).at(-1);
    if (field !== undefined) return strong(field);
    return node.A_Indirection.arg === undefined ? undefined : figure(node.A_Indirection.arg);
  }
  if ('FuncCall' in node) return strong(nameParts(node.FuncCall.funcname).at(-1));
  if ('A_Expr' in node) return node.A_Expr.kind === 'AEXPR_NULLIF' ? strong('nullif') : undefined;
  if ('TypeCast' in node) {
    const inner = node.TypeCast.arg === undefined ? undefined : figure(node.TypeCast.arg);
    if (inner !== undefined && !inner.weak) return inner;
    const type = nameParts(node.TypeCast.typeName?.names).at(-1);
    return type === undefined ? inner : { name: type, weak: true };
  }
  if ('CollateClause' in node) return node.CollateClause.arg === undefined ? undefined : figure(node.CollateClause.arg);
  if ('GroupingFunc' in node) return strong('grouping');
  if ('MergeSupportFunc' in node) return strong('merge_action');
  if ('SubLink' in node) {
    switch (node.SubLink.subLinkType) {
      case 'EXISTS_SUBLINK':
        return strong('exists');
      case 'ARRAY_SUBLINK':
        return strong('array');
      case 'EXPR_SUBLINK': {
        let select =
          node.SubLink.subselect !== undefined && 'SelectStmt' in node.SubLink.subselect ? node.SubLink.subselect.SelectStmt : undefined;
        while (select?.larg !== undefined) select = select.larg;
        const target = select?.targetList?.[0];
        if (target === undefined || !('ResTarget' in target)) return undefined;
        if (target.ResTarget.name !== undefined) return strong(target.ResTarget.name);
        return target.ResTarget.val === undefined ? undefined : figure(target.ResTarget.val);
      }
      default:
        return undefined;
    }
  }
  if ('CaseExpr' in node) {
    const inner = node.CaseExpr.defresult === undefined ? undefined : figure(node.CaseExpr.defresult);
    return inner !== undefined && !inner.weak ? inner : { name: 'case', weak: true };
  }
  if ('A_ArrayExpr' in node) return strong('array');
  if ('RowExpr' in node) return strong('row');
  if ('CoalesceExpr' in node) return strong('coalesce');
  if ('MinMaxExpr' in node) return strong(node.MinMaxExpr.op === 'IS_GREATEST' ? 'greatest' : 'least');
  if ('SQLValueFunction' in node) return strong((node.SQLValueFunction.op ?? '').replace('SVFOP_', '').replace(/_N$/, '').toLowerCase());
  if ('XmlExpr' in node) return strong(XML[node.XmlExpr.op ?? '']);
  if ('XmlSerialize' in node) return strong('xmlserialize');
  if ('JsonParseExpr' in node) return strong('json');
  if ('JsonScalarExpr' in node) return strong('json_scalar');
  if ('JsonSerializeExpr' in node) return strong('json_serialize');
  if ('JsonObjectConstructor' in node) return strong('json_object');
  if ('JsonArrayConstructor' in node || 'JsonArrayQueryConstructor' in node) return strong('json_array');
  if ('JsonObjectAgg' in node) return strong('json_objectagg');
  if ('JsonArrayAgg' in node) return strong('json_arrayagg');
  if ('JsonFuncExpr' in node) return strong(JSON_FUNCTION[node.JsonFuncExpr.op ?? '']);
  return undefined;
}

const XML: Readonly<Record<string, string>> = {
  IS_XMLCONCAT: 'xmlconcat',
  IS_XMLELEMENT: 'xmlelement',
  IS_XMLFOREST: 'xmlforest',
  IS_XMLPARSE: 'xmlparse',
  IS_XMLPI: 'xmlpi',
  IS_XMLROOT: 'xmlroot',
  IS_XMLSERIALIZE: 'xmlserialize',
};

const JSON_FUNCTION: Readonly<Record<string, string>> = {
  JSON_EXISTS_OP: 'json_exists',
  JSON_QUERY_OP: 'json_query',
  JSON_VALUE_OP: 'json_value',
};
