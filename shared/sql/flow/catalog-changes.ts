/**
 * What a statement changes in the catalog. A snapshot taken elsewhere does not see what an open transaction has done, and is
 * old once it commits: this file says which names are affected, and which tables can be known from the statement itself.
 */
import type { CreateStmt, DropStmt, Node, ObjectType, RangeVar } from 'libpg-query';
import { fieldsOf, isTree, nameParts, tagOf } from '../ast.ts';
import { PROPAGATING_FUNCTIONS } from './builtin-functions.ts';
import type { CatalogColumn, CatalogRelation } from './catalog.ts';
import type { Found } from './context.ts';
import type { CatalogChange, FlowResult } from './result.ts';
import type { FlowSession } from './session.ts';

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
  'AlterDefaultPrivilegesStmt',
  'CreateRoleStmt',
  'DropRoleStmt',
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
  // What was prepared becomes visible, whatever it was.
  if ('TransactionStmt' in node) return node.TransactionStmt.kind === 'TRANS_STMT_COMMIT_PREPARED';
  if ('GrantStmt' in node) return node.GrantStmt.objtype === 'OBJECT_SCHEMA';
  // Functions of its own are run behind statements from now on.
  if (USES_FUNCTIONS.has(tag)) return functionsNamed(node).length > 0;
  return !KEEPS_CATALOG.has(tag); // EXECUTE and CALL may do anything
}

const USES_FUNCTIONS: ReadonlySet<string> = new Set([
  'CreateTrigStmt',
  'IndexStmt',
  'CreatePolicyStmt',
  'AlterPolicyStmt',
  'CreateStatsStmt',
]);

/** They are judged by what they are, whatever the names in them mean: what is dropped, locked or granted brings no value. */
const JUDGED_BY_KIND: ReadonlySet<string> = new Set([
  'AlterDefaultPrivilegesStmt',
  'AlterEnumStmt',
  'AlterOwnerStmt',
  'AlterRoleStmt',
  'AlterSeqStmt',
  'CommentStmt',
  'CompositeTypeStmt',
  'CreateEnumStmt',
  'CreateRoleStmt',
  'CreateSeqStmt',
  'DropOwnedStmt',
  'DropRoleStmt',
  'DropStmt',
  'GrantRoleStmt',
  'GrantStmt',
  'LockStmt',
  'TruncateStmt',
]);

/** Is a statement judged alike, whatever these names mean now? */
export function isIndependentOf(node: Node, changed: readonly string[]): boolean {
  return changed.length === 0 || JUDGED_BY_KIND.has(tagOf(node)) || !usesAny(node, changed);
}

/** Functions that a definition names, but for PostgreSQL's own that compute. */
function functionsNamed(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(functionsNamed);
  if (!isTree(value)) return [];
  const name = Array.isArray(value.funcname) ? nameParts(value.funcname as Node[]).at(-1) : undefined;
  const own = name === undefined || PROPAGATING_FUNCTIONS.has(name) ? [] : [name];
  return [...own, ...Object.values(value).flatMap(functionsNamed)];
}

const NO_CHANGE: CatalogChange = { made: undefined, names: [], temporary: false };

/**
 * What the next statements of the same transaction must know, once the server has said that this one worked.
 *
 * @param result of the statement; a refused one changes nothing.
 * @param session before it.
 */
export function catalogChange(
  node: Node,
  result: Omit<FlowResult, 'change'>,
  session: FlowSession,
  found: Pick<Found, 'madeFunction' | 'isCleanView' | 'blockChange' | 'altered' | 'isNewType'>,
): CatalogChange {
  if (!result.changesCatalog || 'ExplainStmt' in node) return NO_CHANGE;
  const temporary = namesTemporary(node);
  if ('DropStmt' in node) return dropped(node.DropStmt, session, temporary);
  if (result.sinks.length === 0 && result.unknown.length === 0) {
    if (found.madeFunction !== undefined) return { made: undefined, madeFunction: found.madeFunction, names: [], temporary };
    if ('DoStmt' in node && found.blockChange !== undefined) return { made: undefined, ...found.blockChange };
    // No name that has a meaning gets another by it.
    if (found.isNewType) return { ...NO_CHANGE, temporary };
    const view = found.isCleanView ? viewMade(node, result, session) : undefined;
    if (view !== undefined) return { made: view, names: [], temporary };
  }
  if (result.sinks.length === 0) {
    const made = tableMade(node, result, session, found.altered);
    if (made !== undefined) return { made, names: [], temporary };
  }
  if ('ExecuteStmt' in node || 'CallStmt' in node || 'DoStmt' in node) {
    // What they ran was followed; one that defines something is unknown, and was not let through as harmless.
    return result.unknown.length === 0 ? NO_CHANGE : { made: undefined, names: ['*'], temporary: true };
  }
  const tag = tagOf(node);
  // Its functions may not be redefined from here on, which Found.runsBehind says.
  if (tag === 'CreateTrigStmt') return { made: undefined, names: [], temporary };
  if (USES_FUNCTIONS.has(tag)) return { made: undefined, names: functionsNamed(node), temporary };
  if (tag === 'AlterExtensionStmt' || tag === 'CreateExtensionStmt' || tag === 'DropOwnedStmt' || tag === 'ImportForeignSchemaStmt')
    return { made: undefined, names: ['*'], temporary: true };
  if (tag === 'CreateSchemaStmt' && !Array.isArray(fieldsOf(node).schemaElts)) return NO_CHANGE;
  // What goes with it is not named, and behind it other things of these names may come to light.
  if (isOfSchema(node) || cascades(node) || PRIVILEGES.has(tag)) return { made: undefined, names: ['*'], temporary };
  return { made: undefined, names: namesOf(node), temporary };
}

/**
 * What is dropped takes nothing along but what is dropped as well; behind its name another table of the search path may come to light,
 * and what stands behind temporary tables only the session's own connection knows.
 */
function dropped(stmt: DropStmt, session: FlowSession, temporary: boolean): CatalogChange {
  if (stmt.behavior !== 'DROP_CASCADE' && HIDES_NOTHING.has(stmt.removeType ?? 'OBJECT_TABLE')) return { ...NO_CHANGE, temporary };
  const names = (stmt.objects ?? []).flatMap(object => {
    const last = 'List' in object ? nameParts(object.List.items).at(-1) : nameParts([object]).at(-1);
    return last === undefined ? [] : [last];
  });
  if (stmt.behavior === 'DROP_CASCADE' && [...session.temporary.values()].some(isTemporary))
    return { made: undefined, names: ['*'], temporary, drops: true };
  const doubted = temporary ? names : names.filter(name => isTemporary(session.temporary.get(name)));
  return { made: undefined, names: doubted, temporary, drops: true };
}

/** Nothing else is found under their names, by what is judged here. */
const HIDES_NOTHING: ReadonlySet<ObjectType> = new Set<ObjectType>([
  'OBJECT_INDEX',
  'OBJECT_POLICY',
  'OBJECT_RULE',
  'OBJECT_STATISTIC_EXT',
  'OBJECT_TRIGGER',
]);

/** A new view of which nothing protected is known, and which is no temporary one. */
function viewMade(node: Node, result: Omit<FlowResult, 'change'>, session: FlowSession): CatalogRelation | undefined {
  const [range, source] =
    'ViewStmt' in node
      ? [node.ViewStmt.view, node.ViewStmt.query]
      : 'CreateTableAsStmt' in node && node.CreateTableAsStmt.objtype === 'OBJECT_MATVIEW' && node.CreateTableAsStmt.if_not_exists !== true
        ? [node.CreateTableAsStmt.into?.rel, node.CreateTableAsStmt.query]
        : [undefined, undefined];
  const given =
    'ViewStmt' in node
      ? nameParts(node.ViewStmt.aliases)
      : 'CreateTableAsStmt' in node
        ? nameParts(node.CreateTableAsStmt.into?.colNames)
        : [];
  if (range?.relname === undefined || source === undefined || result.created === undefined || namesTemporary(node)) return undefined;
  if (session.searchPath[0]?.startsWith('pg_temp') === true || session.temporary.has(range.relname)) return undefined;
  const names: string[] = [];
  collectNames(source, names);
  // It would be temporary itself.
  if (names.some(name => isTemporary(session.temporary.get(name)))) return undefined;
  const columns = result.created.map((name, i) => given[i] ?? name);
  return { ...newTable(range, columns, 'v'), derived: true };
}

function isTemporary(relation: CatalogRelation | undefined): boolean {
  return relation !== undefined && (relation.temporary === true || (relation.oid !== 0 && relation.schema.startsWith('pg_temp')));
}

/** Does it name anything temporary, or may it make such a thing? A view over a temporary table is temporary without saying so. */
export function namesTemporary(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(namesTemporary);
  if (typeof value === 'string') return value.startsWith('pg_temp');
  if (!isTree(value)) return false;
  return value.relpersistence === 't' || Object.values(value).some(namesTemporary);
}

/** Schemas that may not be used are left out of the search path. */
const PRIVILEGES: ReadonlySet<string> = new Set(['GrantRoleStmt', 'AlterRoleStmt']);

function isOfSchema(node: Node): boolean {
  const { removeType, renameType, objtype } = fieldsOf(node);
  return [removeType, renameType, objtype].includes('OBJECT_SCHEMA');
}

function cascades(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(cascades);
  return isTree(value) && (value.behavior === 'DROP_CASCADE' || Object.values(value).some(cascades));
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
function tableMade(
  node: Node,
  result: Omit<FlowResult, 'change'>,
  session: FlowSession | undefined,
  altered?: CatalogRelation,
): CatalogRelation | undefined {
  if ('CreateStmt' in node) {
    const { relation: range, tableElts, inhRelations, ofTypename, partspec } = node.CreateStmt;
    if (range?.relname === undefined || ofTypename !== undefined) return undefined;
    if (inhRelations !== undefined) return partitionMade(node.CreateStmt, session);
    const columns: string[] = [];
    for (const element of tableElts ?? []) {
      if ('ColumnDef' in element) columns.push(element.ColumnDef.colname ?? '');
      else if (!('Constraint' in element)) return undefined; // LIKE
    }
    return newTable(range, columns, partspec === undefined ? 'r' : 'p');
  }
  if ('CreateSeqStmt' in node) {
    const { sequence } = node.CreateSeqStmt;
    return sequence === undefined ? undefined : newTable(sequence, ['last_value', 'log_cnt', 'is_called'], 'r');
  }
  if ('AlterTableStmt' in node) return session === undefined ? undefined : tableChanged(node, session, altered);
  if ('RenameStmt' in node) return session === undefined ? undefined : columnRenamed(node, session, altered);
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

/** A partition of a table that is known by its statement: it has the same columns. */
function partitionMade(
  { relation: range, inhRelations, partbound }: CreateStmt,
  session: FlowSession | undefined,
): CatalogRelation | undefined {
  const [parent] = inhRelations ?? [];
  if (session === undefined || range === undefined || partbound === undefined || parent === undefined || !('RangeVar' in parent))
    return undefined;
  const made = madeTable(parent.RangeVar, session);
  if (made === undefined || made.temporary !== (range.relpersistence === 't')) return undefined;
  return newTable(
    range,
    made.columns.map(column => column.name),
    'r',
  );
}

function newTable(
  range: { schemaname?: string; relname?: string; relpersistence?: string },
  columns: readonly string[],
  kind: 'r' | 'p' | 'v',
): CatalogRelation {
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
    temporary: range.relpersistence === 't' || range.schemaname?.startsWith('pg_temp') === true,
  };
}

/** A table that is known by its statement alone; of others `altered` tells. */
function madeTable(range: RangeVar | undefined, session: FlowSession): CatalogRelation | undefined {
  const made = session.temporary.get(range?.relname ?? '');
  if (made === undefined || made.oid !== 0 || session.changed?.includes(made.name) === true) return undefined;
  return range?.schemaname === undefined || range.schemaname === made.schema ? made : undefined;
}

/** ALTER TABLE that adds and drops columns, or changes none. */
function tableChanged(
  node: Extract<Node, { AlterTableStmt: unknown }>,
  session: FlowSession,
  altered: CatalogRelation | undefined,
): CatalogRelation | undefined {
  const { relation: range, cmds, objtype } = node.AlterTableStmt;
  const relation = objtype === 'OBJECT_TABLE' ? (madeTable(range, session) ?? altered) : undefined;
  if (relation === undefined || cascades(node)) return undefined;
  let columns: CatalogColumn[] = [...relation.columns];
  for (const command of cmds ?? []) {
    if (!('AlterTableCmd' in command)) return undefined;
    const { subtype = 'AT_AddColumn', def, name } = command.AlterTableCmd;
    if (subtype === 'AT_AlterColumnType') columns = columns.map(column => (column.name === name ? { ...column, type: 0 } : column));
    else if (subtype === 'AT_DropColumn') columns = columns.filter(column => column.name !== name);
    else if (subtype === 'AT_AddColumn') {
      if (def === undefined || !('ColumnDef' in def)) return undefined;
      const { colname = '', constraints } = def.ColumnDef;
      if (constraints?.some(constraint => 'Constraint' in constraint && constraint.Constraint.contype === 'CONSTR_GENERATED') === true)
        return undefined;
      if (!columns.some(column => column.name === colname))
        columns.push({ name: colname, attnum: 0, type: 0, generated: null, default: null });
    } else if (!KEEPS_COLUMNS.has(subtype)) return undefined;
  }
  return { ...relation, columns };
}

const KEEPS_COLUMNS: ReadonlySet<string> = new Set([
  'AT_AddConstraint',
  'AT_ChangeOwner',
  'AT_ColumnDefault',
  'AT_DropConstraint',
  'AT_DropNotNull',
  'AT_EnableRowSecurity',
  'AT_SetLogged',
  'AT_SetNotNull',
  'AT_SetStatistics',
  'AT_SetStorage',
  'AT_SetUnLogged',
  'AT_ValidateConstraint',
]);

function columnRenamed(
  node: Extract<Node, { RenameStmt: unknown }>,
  session: FlowSession,
  altered: CatalogRelation | undefined,
): CatalogRelation | undefined {
  const { renameType, relation: range, subname, newname = '' } = node.RenameStmt;
  const relation = renameType === 'OBJECT_COLUMN' ? (madeTable(range, session) ?? altered) : undefined;
  if (relation === undefined) return undefined;
  return { ...relation, columns: relation.columns.map(column => (column.name === subname ? { ...column, name: newname } : column)) };
}

/** Does a statement use any of these names? */
export function usesAny(node: Node, changed: readonly string[]): boolean {
  const names: string[] = [];
  collectNames(node, names);
  return names.length > 0 && (changed.includes('*') || names.some(name => changed.includes(name)));
}

/** Last parts of every relation, function, operator and object name in a tree; `row.f` may be `f(row)`. */
function collectNames(value: unknown, into: string[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectNames(item, into);
    return;
  }
  if (!isTree(value)) return;
  if (typeof value.relname === 'string') into.push(value.relname);
  for (const key of ['fields', 'indirection']) {
    const list = value[key];
    if (!Array.isArray(list) || (key === 'fields' && list.length < 2)) continue;
    for (const step of list) if (isTree(step) && isTree(step.String) && typeof step.String.sval === 'string') into.push(step.String.sval);
  }
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
