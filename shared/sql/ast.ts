/**
 * Small readers for libpg-query's parse tree, which is plain JSON: a Node is an object with one key, the node's tag; fields
 * with their type's zero value (0, false, '', empty list) are absent; `ival: {}` is the integer 0.
 */
import type { A_Const, Node, RangeVar } from 'libpg-query';

/** Any object of the tree: a node's fields, or a wrapped node. */
export type Tree = { readonly [key: string]: unknown };

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A wrapped node's tag, e.g. `SelectStmt`; '' for an empty object (a NULL list element). */
export function tagOf(node: Tree | Node): string {
  for (const key in node) return key;
  return '';
}

/** A wrapped node's fields. */
export function fieldsOf(node: Tree | Node): Tree {
  const fields = (node as Tree)[tagOf(node)];
  return isTree(fields) ? fields : {};
}

/** The strings of a list of String nodes (a qualified name); other nodes are left out. */
export function nameParts(list: readonly Node[] | undefined): string[] {
  const parts: string[] = [];
  for (const node of list ?? []) if ('String' in node) parts.push(node.String.sval ?? '');
  return parts;
}

/** `schema.table`, with `*` for a schema that was not written. */
export function objectName(relation: RangeVar): string {
  return `${relation.schemaname ?? '*'}.${relation.relname ?? ''}`;
}

/** `schema.name` of a list of name parts, `*` for a schema that was not written; a catalog in front is dropped. */
export function qualifiedName(parts: readonly string[]): string {
  const name = parts[parts.length - 1] ?? '';
  return `${parts.length > 1 ? parts[parts.length - 2] : '*'}.${name}`;
}

/** A constant's value; undefined when the node is none. NULL is null; numbers too long for a double stay text. */
export function constantOf(constant: A_Const): string | number | boolean | null {
  if (constant.isnull) return null;
  if (constant.ival !== undefined) return constant.ival.ival ?? 0;
  if (constant.fval !== undefined) return Number(constant.fval.fval ?? '0');
  if (constant.boolval !== undefined) return constant.boolval.boolval ?? false;
  if (constant.bsval !== undefined) return constant.bsval.bsval ?? '';
  return constant.sval?.sval ?? '';
}
