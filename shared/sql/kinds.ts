/**
 * Which statement kind (shared/policy/statement-kinds.ts) a parse node is. One node, one or two kinds; what is inside it is
 * found by collect.ts.
 */
import { definitionKind } from '../policy/statement-kinds.ts';
import { isTree, type Tree } from './ast.ts';

/** Nodes with one kind, whatever is in them. */
const FIXED: Readonly<Record<string, string>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
  TruncateStmt: 'truncate',
  CreateStmt: 'create-table',
  CreateForeignTableStmt: 'create-foreign-table',
  ViewStmt: 'create-view',
  IndexStmt: 'create-index',
  CreateSeqStmt: 'create-sequence',
  AlterSeqStmt: 'alter-sequence',
  CreateTrigStmt: 'create-trigger',
  RuleStmt: 'create-rule',
  CreatePolicyStmt: 'create-policy',
  AlterPolicyStmt: 'alter-policy',
  CreateSchemaStmt: 'create-schema',
  CreateExtensionStmt: 'create-extension',
  AlterExtensionStmt: 'alter-extension',
  AlterExtensionContentsStmt: 'alter-extension',
  CreateRoleStmt: 'create-role',
  AlterRoleStmt: 'alter-role',
  AlterRoleSetStmt: 'alter-role',
  DropRoleStmt: 'drop-role',
  CreatedbStmt: 'create-database',
  AlterDatabaseStmt: 'alter-database',
  AlterDatabaseRefreshCollStmt: 'alter-database',
  AlterDatabaseSetStmt: 'alter-database',
  DropdbStmt: 'drop-database',
  CreateTableSpaceStmt: 'create-tablespace',
  AlterTableSpaceOptionsStmt: 'alter-tablespace',
  DropTableSpaceStmt: 'drop-tablespace',
  CompositeTypeStmt: 'create-type',
  CreateEnumStmt: 'create-type',
  CreateRangeStmt: 'create-type',
  AlterEnumStmt: 'alter-type',
  AlterTypeStmt: 'alter-type',
  CreateDomainStmt: 'create-domain',
  AlterDomainStmt: 'alter-domain',
  CreateCastStmt: 'create-cast',
  CreateConversionStmt: 'create-conversion',
  CreateTransformStmt: 'create-transform',
  CreateOpClassStmt: 'create-operator-class',
  CreateOpFamilyStmt: 'create-operator-family',
  AlterOpFamilyStmt: 'alter-operator-family',
  AlterOperatorStmt: 'alter-operator',
  CreateFdwStmt: 'create-foreign-data-wrapper',
  AlterFdwStmt: 'alter-foreign-data-wrapper',
  CreateForeignServerStmt: 'create-server',
  AlterForeignServerStmt: 'alter-server',
  CreateUserMappingStmt: 'create-user-mapping',
  AlterUserMappingStmt: 'alter-user-mapping',
  DropUserMappingStmt: 'drop-user-mapping',
  CreatePLangStmt: 'create-language',
  CreateAmStmt: 'create-access-method',
  CreateEventTrigStmt: 'create-event-trigger',
  AlterEventTrigStmt: 'alter-event-trigger',
  CreateStatsStmt: 'create-statistics',
  AlterStatsStmt: 'alter-statistics',
  CreatePublicationStmt: 'create-publication',
  AlterPublicationStmt: 'alter-publication',
  CreateSubscriptionStmt: 'create-subscription',
  AlterSubscriptionStmt: 'alter-subscription',
  DropSubscriptionStmt: 'drop-subscription',
  AlterTSDictionaryStmt: 'alter-text-search',
  AlterTSConfigurationStmt: 'alter-text-search',
  AlterCollationStmt: 'alter-collation',
  DropOwnedStmt: 'drop-owned',
  ReassignOwnedStmt: 'reassign-owned',
  CommentStmt: 'comment',
  SecLabelStmt: 'security-label',
  ImportForeignSchemaStmt: 'import-foreign-schema',
  RefreshMatViewStmt: 'refresh-materialized-view',
  AlterDefaultPrivilegesStmt: 'alter-default-privileges',
  AlterSystemStmt: 'alter-system',
  ConstraintsSetStmt: 'set-constraints',
  VariableShowStmt: 'show',
  DiscardStmt: 'discard',
  LoadStmt: 'load',
  LockStmt: 'lock',
  PrepareStmt: 'prepare',
  ExecuteStmt: 'execute',
  DeallocateStmt: 'deallocate',
  DeclareCursorStmt: 'declare-cursor',
  ClosePortalStmt: 'close-cursor',
  ReindexStmt: 'reindex',
  ClusterStmt: 'cluster',
  CheckPointStmt: 'checkpoint',
  ListenStmt: 'listen',
  NotifyStmt: 'notify',
  UnlistenStmt: 'unlisten',
  DoStmt: 'do',
  CallStmt: 'call',
  SelectStmt: 'select',
};

const TRANSACTION: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release-savepoint',
  TRANS_STMT_ROLLBACK_TO: 'rollback-to-savepoint',
  TRANS_STMT_PREPARE: 'prepare-transaction',
  TRANS_STMT_COMMIT_PREPARED: 'commit-prepared',
  TRANS_STMT_ROLLBACK_PREPARED: 'rollback-prepared',
};

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/**
 * @param tag the node's tag, e.g. `DropStmt`.
 * @param node its fields.
 * @returns its kind, `other` for a statement that has no word in the vocabulary; undefined when the node is no statement.
 */
export function statementKind(tag: string, node: Tree): string | undefined {
  if (!tag.endsWith('Stmt')) return undefined;
  if (Object.hasOwn(FIXED, tag)) return FIXED[tag];
  switch (tag) {
    case 'CopyStmt': {
      const direction = node.is_from === true ? 'from' : 'to';
      return `copy-${direction}${node.is_program === true ? '-program' : text(node.filename) === '' ? '' : '-file'}`;
    }
    case 'CreateTableAsStmt':
      return node.objtype === 'OBJECT_MATVIEW' ? 'create-materialized-view' : 'create-table-as';
    case 'CreateFunctionStmt':
      return node.is_procedure === true ? 'create-procedure' : 'create-function';
    case 'DefineStmt':
      return definitionKind('create', text(node.kind));
    case 'AlterTableStmt':
      return definitionKind('alter', text(node.objtype));
    case 'AlterTableMoveAllStmt':
      return definitionKind('alter', text(node.objtype));
    case 'AlterFunctionStmt':
      return definitionKind('alter', text(node.objtype));
    case 'RenameStmt':
      // A column or constraint belongs to a relation, which need not be a table.
      return node.renameType === 'OBJECT_COLUMN' || node.renameType === 'OBJECT_ATTRIBUTE'
        ? definitionKind('alter', text(node.relationType))
        : definitionKind('alter', text(node.renameType));
    case 'AlterObjectSchemaStmt':
    case 'AlterOwnerStmt':
    case 'AlterObjectDependsStmt':
      return definitionKind('alter', text(node.objectType));
    case 'DropStmt':
      return definitionKind('drop', text(node.removeType));
    case 'GrantStmt':
      return node.is_grant === true ? 'grant' : 'revoke';
    case 'GrantRoleStmt':
      return node.is_grant === true ? 'grant-role' : 'revoke-role';
    case 'VariableSetStmt':
      return settingKind(text(node.kind), text(node.name));
    case 'TransactionStmt':
      return TRANSACTION[text(node.kind)] ?? 'other';
    case 'FetchStmt':
      return node.ismove === true ? 'move' : 'fetch';
    case 'ExplainStmt':
      return explainRuns(node) ? 'explain-analyze' : 'explain';
    case 'VacuumStmt':
      return node.is_vacuumcmd === true ? 'vacuum' : 'analyze';
    default:
      return 'other';
  }
}

function settingKind(kind: string, name: string): string {
  if (name === 'role') return 'set-role'; // RESET ROLE changes it as well
  if (name === 'session_authorization') return 'set-session-authorization';
  if (kind === 'VAR_RESET' || kind === 'VAR_RESET_ALL') return 'reset';
  return kind === 'VAR_SET_MULTI' ? 'set-transaction' : 'set';
}

/** Does EXPLAIN run its statement? ANALYZE given twice counts if any is on. */
export function explainRuns(node: Tree): boolean {
  if (!Array.isArray(node.options)) return false;
  return node.options.some(option => {
    const fields = isTree(option) && isTree(option.DefElem) ? option.DefElem : undefined;
    if (fields?.defname !== 'analyze') return false;
    const value = fields.arg;
    if (!isTree(value)) return true;
    if (isTree(value.String)) return !['false', 'off', '0', 'no'].includes(text(value.String.sval).toLowerCase());
    if (isTree(value.Integer)) return (value.Integer.ival ?? 0) !== 0;
    return true;
  });
}

/** Kinds that change neither data nor definitions by themselves; anything else may write. */
export const READ_ONLY_KINDS: ReadonlySet<string> = new Set([
  'select',
  'copy-to',
  'explain',
  'explain-analyze', // what it runs is reported as well
  'show',
  'set',
  'reset',
  'set-transaction',
  'set-constraints',
  'begin',
  'commit',
  'rollback',
  'savepoint',
  'release-savepoint',
  'rollback-to-savepoint',
  'prepare', // what it prepares is reported as well
  'deallocate',
  'declare-cursor',
  'close-cursor',
  'discard',
  'listen',
  'unlisten',
  'empty',
]);
