/**
 * What a statement changes in the catalog. A snapshot taken elsewhere does not see what an open transaction has done, and is
 * old once it commits: this file says which names are affected, and which tables can be known from the statement itself.
 */
import type { Node } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import type { CatalogColumn, CatalogRelation, CatalogSnapshot } from './catalog.ts';
import { relationKey } from './catalog.ts';
import type { CatalogChange, FlowResult } from './result.ts';

/** After these a snapshot is as good as before: they change no column, view, function, type or name. */
const KEEPS_CATALOG: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CopyStmt',
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'ConstraintsSetStmt',
  'DeallocateStmt',
  'DiscardStmt',
  'ClosePortalStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
  'LockStmt',
  'CheckPointStmt',
  'PrepareStmt',
  'DeclareCursorStmt',
  'FetchStmt',
  'VacuumStmt',
  'TruncateStmt',
  'ReindexStmt',
  'ClusterStmt',
  'CommentStmt',
  'SecLabelStmt',
  'RefreshMatViewStmt',
  'IndexStmt',
  'GrantStmt',
  'GrantRoleStmt',
  'AlterDefaultPrivilegesStmt',
  'CreateRoleStmt',
  'AlterRoleStmt',
  'DropRoleStmt',
  'CreatePolicyStmt',
  'AlterPolicyStmt',
  'CreateTrigStmt',
  'CreateStatsStmt',
  'AlterStatsStmt',
  'AlterSeqStmt',
  'CreateEnumStmt',
  'AlterEnumStmt',
]);

export function changesCatalog(node: Node): boolean {
  const tag = tagOf(node);
  if (tag === 'ExplainStmt') {
    const inner = fieldsOf(node).query;
    return isTree(inner) && changesCatalog(inner as unknown as Node);
  }
  if ('SelectStmt' in node && intoOf(node) !== undefined) return true;
  return !KEEPS_CATALOG.has(tag); // EXECUTE and CALL may do anything
}

const NO_CHANGE: CatalogChange = { made: undefined, names: [] };

/**
 * What the next statements of the same transaction must know, once the server has said that this one worked.
 *
 * @param result of the statement; a refused one changes nothing.
 */
export function catalogChange(node: Node, result: Omit<FlowResult, 'change'>, catalog: CatalogSnapshot): CatalogChange {
  if (!result.changesCatalog || 'ExplainStmt' in node) return NO_CHANGE;
  if (result.sinks.length === 0) {
    const made = tableMade(node, result, catalog);
    if (made !== undefined) return { made, names: [] };
  }
  if ('ExecuteStmt' in node || 'CallStmt' in node || 'DoStmt' in node) {
    // What they ran was followed; one that defines something is unknown, and was not let through as harmless.
    return result.unknown.length === 0 ? NO_CHANGE : { made: undefined, names: ['*'] };
  }
  const tag = tagOf(node);
  if (tag === 'AlterExtensionStmt' || tag === 'CreateExtensionStmt' || tag === 'DropOwnedStmt' || tag === 'ImportForeignSchemaStmt')
    return { made: undefined, names: ['*'] };
  if (tag === 'CreateSchemaStmt' && !Array.isArray(fieldsOf(node).schemaElts)) return NO_CHANGE;
  return { made: undefined, names: namesOf(node) };
}

/** The names that a definition gives a new meaning; where it is not clear which, all that it mentions. */
function namesOf(node: Node): string[] {
  const names: string[] = [];
  if ('CreateStmt' in node) collectNames([node.CreateStmt.relation, node.CreateStmt.inhRelations], names);
  else if ('ViewStmt' in node) collectNames(node.ViewStmt.view, names);
  else if ('CreateTableAsStmt' in node) collectNames(node.CreateTableAsStmt.into?.rel, names);
  else if ('CreateFunctionStmt' in node) names.push(nameParts(node.CreateFunctionStmt.funcname).at(-1) ?? '*');
  else collectNames(node, names);
  return names;
}

/** SELECT … INTO stands in the leftmost SELECT of a set operation. */
export function intoOf(node: Extract<Node, { SelectStmt: unknown }>): NonNullable<typeof node.SelectStmt.intoClause> | undefined {
  let at: typeof node.SelectStmt | undefined = node.SelectStmt;
  while (at !== undefined) {
    if (at.intoClause !== undefined) return at.intoClause;
    at = at.larg;
  }
  return undefined;
}

/** The table that a statement makes, for FlowSession.temporary once it worked; undefined when its columns are not written out. */
export function temporaryMade(node: Node, result: Omit<FlowResult, 'change'>): CatalogRelation | undefined {
  return result.sinks.length === 0 && result.unknown.length === 0 ? tableMade(node, result, undefined) : undefined;
}

/** A new table whose columns are written out, or a table with more columns. */
function tableMade(node: Node, result: Omit<FlowResult, 'change'>, catalog: CatalogSnapshot | undefined): CatalogRelation | undefined {
  if ('CreateStmt' in node) {
    const { relation: range, tableElts, inhRelations, ofTypename, partspec } = node.CreateStmt;
    if (range?.relname === undefined || inhRelations !== undefined || ofTypename !== undefined) return undefined;
    const columns: string[] = [];
    for (const element of tableElts ?? []) {
      if ('ColumnDef' in element) columns.push(element.ColumnDef.colname ?? '');
      else if (!('Constraint' in element)) return undefined; // LIKE
    }
    return newTable(range, columns, partspec === undefined ? 'r' : 'p');
  }
  if ('AlterTableStmt' in node) return catalog === undefined ? undefined : tableExtended(node, catalog);
  const into =
    'CreateTableAsStmt' in node && node.CreateTableAsStmt.objtype === 'OBJECT_TABLE'
      ? node.CreateTableAsStmt.into
      : 'SelectStmt' in node
        ? intoOf(node)
        : undefined;
  if (into?.rel?.relname === undefined || result.created === undefined) return undefined;
  const given = nameParts(into.colNames);
  return newTable(
    into.rel,
    result.created.map((name, i) => given[i] ?? name),
    'r',
  );
}

function newTable(range: { schemaname?: string; relname?: string }, columns: readonly string[], kind: 'r' | 'p'): CatalogRelation {
  return {
    oid: 0,
    schema: range.schemaname ?? 'pg_temp',
    name: range.relname ?? '',
    kind,
    columns: columns.map((name, i) => ({ name, attnum: i + 1, type: 0, generated: null, default: null })),
    parents: [],
    definition: null,
    rules: false,
    rowType: 0,
  };
}

/** ALTER TABLE that only adds plain columns, or changes no column. */
function tableExtended(node: Extract<Node, { AlterTableStmt: unknown }>, catalog: CatalogSnapshot): CatalogRelation | undefined {
  const { relation: range, cmds, objtype } = node.AlterTableStmt;
  if (objtype !== 'OBJECT_TABLE' || range?.schemaname === undefined) return undefined;
  const relation = catalog.relationsByName.get(relationKey(range.schemaname, range.relname ?? ''));
  if (relation === undefined) return undefined;
  const columns: CatalogColumn[] = [...relation.columns];
  for (const command of cmds ?? []) {
    if (!('AlterTableCmd' in command) || command.AlterTableCmd.subtype !== 'AT_AddColumn') return undefined;
    const { def } = command.AlterTableCmd;
    if (def === undefined || !('ColumnDef' in def)) return undefined;
    if (
      def.ColumnDef.constraints?.some(constraint => 'Constraint' in constraint && constraint.Constraint.contype === 'CONSTR_GENERATED') ===
      true
    )
      return undefined;
    columns.push({ name: def.ColumnDef.colname ?? '', attnum: 0, type: 0, generated: null, default: null });
  }
  return { ...relation, columns };
}

/** Does a statement use any of these names? */
export function usesAny(node: Node, changed: readonly string[]): boolean {
  const names: string[] = [];
  collectNames(node, names);
  return names.length > 0 && (changed.includes('*') || names.some(name => changed.includes(name)));
}

/** Last parts of every relation, function, operator and object name in a tree. */
function collectNames(value: unknown, into: string[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectNames(item, into);
    return;
  }
  if (!isTree(value)) return;
  if (typeof value.relname === 'string') into.push(value.relname);
  for (const key of ['funcname', 'objname', 'name', 'names', 'defnames', 'typeName', 'domainname', 'items']) {
    const list = value[key];
    if (Array.isArray(list)) {
      const last = nameParts(list as Node[]).at(-1);
      if (last !== undefined) into.push(last);
    }
  }
  if (typeof value.newname === 'string') into.push(value.newname);
  if (typeof value.subname === 'string') into.push(value.subname);
  for (const key in value) collectNames(value[key], into);
}
