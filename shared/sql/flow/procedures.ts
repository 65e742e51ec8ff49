/**
 * What a CALL runs, as far as the bodies of the procedures of its name say it: kinds of statements, tables and functions, for guards,
 * which see through a CALL as they see through DO. Where values go is functions.ts' to say.
 */
import type { FuncCall, Node } from 'libpg-query';
import { nameParts, tagOf } from '../ast.ts';
import { type Collected, collectStatement, emptyCollection } from '../collect.ts';
import { parse } from '../parser.ts';
import { plpgsqlStatements } from '../plpgsql.ts';
import { type CatalogFunction, relationKey } from './catalog.ts';
import type { Context } from './context.ts';
import { otherPaths, schemasInOrder } from './relations.ts';
import { bodyOf } from './sql-functions.ts';

const STATEMENTS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** @returns null when there is none of the name, or one of them runs what its text does not say. */
export function procedureFacts(call: FuncCall, ctx: Context): Collected | null {
  const parts = nameParts(call.funcname);
  const schema = parts.length > 1 ? parts[parts.length - 2] : undefined;
  const places = schema === undefined ? new Set([ctx.searchPath, ...otherPaths(ctx)].flatMap(schemasInOrder)) : [schema];
  const procedures = [...places].flatMap(place => ctx.catalog.functionsByName.get(relationKey(place, parts.at(-1) ?? '')) ?? []);
  if (procedures.length === 0) return null;
  const into = emptyCollection();
  for (const procedure of procedures) {
    const statements = statementsOf(procedure);
    if (statements?.every(node => STATEMENTS.has(tagOf(node))) !== true) return null;
    for (const node of statements) collectStatement(node, into);
  }
  into.kinds.delete('empty');
  return into.opaque.size === 0 ? into : null;
}

function statementsOf(procedure: CatalogFunction): readonly Node[] | undefined {
  if (procedure.language === 'sql') return bodyOf(procedure);
  if (procedure.language !== 'plpgsql' || procedure.body === null) return undefined;
  const found = plpgsqlStatements(procedure.body, [...procedure.argumentNames, ...(procedure.columns ?? []).map(({ name }) => name)]);
  if (found === undefined || found.dynamic) return undefined;
  const nodes: Node[] = [];
  for (const text of found.statements) {
    const outcome = parse(Buffer.from(text));
    if (!outcome.ok) return undefined;
    nodes.push(...outcome.statements.map(({ node }) => node));
  }
  return nodes;
}
