/**
 * The vocabulary of statement kinds: what a protocol puts in `CommandFacts.statements` and what a guard's `match.statements`
 * may name. One kind per SQL command as PostgreSQL's grammar tells them apart, `VERB-OBJECT` where one verb serves many
 * objects (`drop-table`, `alter-role`).
 *
 * A manifest may also write a **family** (a kind's leading words: `drop` is every `drop-*`, `set` is `set` and every
 * `set-*`) or a **group** (`ddl`, `dcl`, `dml`, `write`, `transaction`).
 *
 * This file does not parse SQL; shared/sql maps parse nodes to these names.
 *
 * @see https://www.postgresql.org/docs/current/sql-commands.html
 */

/** What CREATE, ALTER and DROP act on; ALTER covers renaming, owner and schema changes of the same object. */
const OBJECTS = [
  'access-method',
  'aggregate',
  'cast',
  'collation',
  'conversion',
  'database',
  'domain',
  'event-trigger',
  'extension',
  'foreign-data-wrapper',
  'foreign-table',
  'function',
  'index',
  'language',
  'materialized-view',
  'operator',
  'operator-class',
  'operator-family',
  'policy',
  'procedure',
  'publication',
  'role',
  'routine',
  'rule',
  'schema',
  'sequence',
  'server',
  'statistics',
  'subscription',
  'table',
  'tablespace',
  'text-search',
  'transform',
  'trigger',
  'type',
  'user-mapping',
  'view',
] as const;

/** Every kind that a protocol may report, sorted in the order of this list; a kind outside it is reported as `other`. */
export const STATEMENT_KINDS: readonly string[] = [
  // queries and changes of rows
  'select', // also VALUES and TABLE; SELECT INTO is `select` and `create-table-as`
  'insert',
  'update',
  'delete',
  'merge',
  'truncate',
  'copy-from', // COPY t FROM STDIN
  'copy-to', // COPY t TO STDOUT
  'copy-from-file', // COPY t FROM 'file' (on the server)
  'copy-to-file',
  'copy-from-program',
  'copy-to-program',
  // definitions
  ...OBJECTS.map(object => `create-${object}`),
  'create-table-as', // also SELECT INTO
  ...OBJECTS.map(object => `alter-${object}`),
  'alter-default-privileges',
  'alter-large-object',
  'alter-system',
  ...OBJECTS.map(object => `drop-${object}`),
  'drop-owned',
  'reassign-owned',
  'comment',
  'security-label',
  'import-foreign-schema',
  'refresh-materialized-view',
  // rights
  'grant', // on objects
  'grant-role', // membership
  'revoke',
  'revoke-role',
  // session
  'set',
  'set-role',
  'set-session-authorization',
  'set-transaction', // also SET SESSION CHARACTERISTICS
  'set-constraints',
  'reset', // also RESET ALL
  'show',
  'discard',
  'load',
  // transactions
  'begin', // also START TRANSACTION
  'commit', // also END
  'rollback', // also ABORT
  'savepoint',
  'release-savepoint',
  'rollback-to-savepoint',
  'prepare-transaction',
  'commit-prepared',
  'rollback-prepared',
  'lock',
  // prepared statements and cursors
  'prepare',
  'execute',
  'deallocate',
  'declare-cursor',
  'fetch',
  'move',
  'close-cursor',
  // plans and statistics
  'explain', // without ANALYZE: the statement in it is not run
  'explain-analyze', // the statement in it is run and is reported as well
  'analyze',
  // upkeep
  'vacuum',
  'reindex',
  'cluster',
  'checkpoint',
  // notifications
  'listen',
  'notify',
  'unlisten',
  // code
  'do',
  'call',
  // the wire's own
  'function-call', // the FunctionCall message
  'replication', // START_REPLICATION and its family
  // hosts
  'ssh-exec', // a command
  'ssh-shell', // an interactive shell begins
  'ssh-line', // a line that is typed in it
  'ssh-subsystem', // another than sftp
  'ssh-forward', // a connection through the host
  'ssh-remote-forward', // the host listens and connects back
  'ssh-host-key', // the first key that was seen of a host that pins none
  'sftp-list', // names and attributes
  'sftp-read',
  'sftp-write', // contents
  'sftp-change', // removing, renaming, linking, attributes, folders
  'empty', // nothing but white space and comments
  'other', // parsed, but none of the above
  'unknown', // could not be parsed, or cannot be judged fully
];

const KNOWN: ReadonlySet<string> = new Set(STATEMENT_KINDS);

function family(...names: string[]): string[] {
  return STATEMENT_KINDS.filter(kind => names.some(name => kind === name || kind.startsWith(`${name}-`)));
}

/** The leading words by which a manifest may name several kinds and that are no kind themselves. */
const FAMILIES: Readonly<Record<string, readonly string[]>> = {
  copy: family('copy'),
  create: family('create'),
  alter: family('alter'),
  drop: family('drop'),
  ssh: family('ssh'),
  sftp: family('sftp'),
};

const DML = [...family('insert', 'update', 'delete', 'merge', 'copy-from'), 'truncate'];
const DDL = [
  ...family('create', 'alter', 'drop'),
  'truncate',
  'reassign-owned',
  'comment',
  'security-label',
  'import-foreign-schema',
  'refresh-materialized-view',
  'reindex',
  'cluster',
];
const DCL = [
  ...family('grant', 'revoke'),
  'create-role',
  'alter-role',
  'drop-role',
  'create-user-mapping',
  'alter-user-mapping',
  'drop-user-mapping',
  'alter-default-privileges',
  'drop-owned',
  'reassign-owned',
];

/** Named sets of kinds; `dml` means statements that change rows, so `select` is not in it. */
export const STATEMENT_GROUPS: Readonly<Record<string, readonly string[]>> = {
  dml: unique(DML),
  ddl: unique(DDL),
  dcl: unique(DCL),
  write: unique([
    ...DML,
    ...DDL,
    ...DCL,
    'copy-to-file',
    'copy-to-program',
    'alter-system',
    'do',
    'call',
    'function-call',
    'vacuum',
    'analyze',
    'load',
    'notify',
    'checkpoint',
  ]),
  transaction: [
    'begin',
    'commit',
    'rollback',
    'savepoint',
    'release-savepoint',
    'rollback-to-savepoint',
    'prepare-transaction',
    'commit-prepared',
    'rollback-prepared',
    'set-transaction',
    'set-constraints',
  ],
};

/** Short or older spellings that people write; each stands for the kind or family on the right. */
const ALIASES: Readonly<Record<string, string>> = {
  'create-user': 'create-role',
  'alter-user': 'alter-role',
  'drop-user': 'drop-role',
  'refresh-matview': 'refresh-materialized-view',
  'create-matview': 'create-materialized-view',
  'alter-matview': 'alter-materialized-view',
  'drop-matview': 'drop-materialized-view',
};

/** Everything that `match.statements` accepts, for messages and completion. */
export const STATEMENT_NAMES: readonly string[] = unique([
  ...Object.keys(STATEMENT_GROUPS),
  ...Object.keys(FAMILIES),
  ...STATEMENT_KINDS,
  ...Object.keys(ALIASES),
]);

/**
 * The kinds that a name in a manifest stands for.
 *
 * @param name a kind, family, group or alias.
 * @returns at least one kind; undefined when there is no such name.
 */
export function statementKindsOf(name: string): readonly string[] | undefined {
  if (Object.hasOwn(STATEMENT_GROUPS, name)) return STATEMENT_GROUPS[name];
  if (Object.hasOwn(FAMILIES, name)) return FAMILIES[name];
  const kind = Object.hasOwn(ALIASES, name) ? (ALIASES[name] ?? name) : name;
  // A kind covers its own refinements: `grant` also means `grant-role`, `explain` also `explain-analyze`.
  return KNOWN.has(kind) ? family(kind) : undefined;
}

/** PostgreSQL's ObjectType (parse node enum) → the object part of a kind; objects without a CREATE of their own are absent. */
const OBJECT_TYPES: Readonly<Record<string, (typeof OBJECTS)[number] | 'large-object'>> = {
  OBJECT_ACCESS_METHOD: 'access-method',
  OBJECT_AGGREGATE: 'aggregate',
  OBJECT_ATTRIBUTE: 'type',
  OBJECT_CAST: 'cast',
  OBJECT_COLUMN: 'table',
  OBJECT_COLLATION: 'collation',
  OBJECT_CONVERSION: 'conversion',
  OBJECT_DATABASE: 'database',
  OBJECT_DOMAIN: 'domain',
  OBJECT_DOMCONSTRAINT: 'domain',
  OBJECT_EVENT_TRIGGER: 'event-trigger',
  OBJECT_EXTENSION: 'extension',
  OBJECT_FDW: 'foreign-data-wrapper',
  OBJECT_FOREIGN_SERVER: 'server',
  OBJECT_FOREIGN_TABLE: 'foreign-table',
  OBJECT_FUNCTION: 'function',
  OBJECT_INDEX: 'index',
  OBJECT_LANGUAGE: 'language',
  OBJECT_LARGEOBJECT: 'large-object',
  OBJECT_MATVIEW: 'materialized-view',
  OBJECT_OPCLASS: 'operator-class',
  OBJECT_OPERATOR: 'operator',
  OBJECT_OPFAMILY: 'operator-family',
  OBJECT_POLICY: 'policy',
  OBJECT_PROCEDURE: 'procedure',
  OBJECT_PUBLICATION: 'publication',
  OBJECT_ROLE: 'role',
  OBJECT_ROUTINE: 'routine',
  OBJECT_RULE: 'rule',
  OBJECT_SCHEMA: 'schema',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_STATISTIC_EXT: 'statistics',
  OBJECT_SUBSCRIPTION: 'subscription',
  OBJECT_TABCONSTRAINT: 'table',
  OBJECT_TABLE: 'table',
  OBJECT_TABLESPACE: 'tablespace',
  OBJECT_TRANSFORM: 'transform',
  OBJECT_TRIGGER: 'trigger',
  OBJECT_TSCONFIGURATION: 'text-search',
  OBJECT_TSDICTIONARY: 'text-search',
  OBJECT_TSPARSER: 'text-search',
  OBJECT_TSTEMPLATE: 'text-search',
  OBJECT_TYPE: 'type',
  OBJECT_USER_MAPPING: 'user-mapping',
  OBJECT_VIEW: 'view',
};

/**
 * The kind of a CREATE, ALTER or DROP of an object.
 *
 * @param objectType PostgreSQL's ObjectType as the parser names it, e.g. `OBJECT_TABLE`.
 * @returns e.g. `drop-table`; `other` when the pair is not in the vocabulary.
 */
export function definitionKind(verb: 'create' | 'alter' | 'drop', objectType: string): string {
  const object = Object.hasOwn(OBJECT_TYPES, objectType) ? OBJECT_TYPES[objectType] : undefined;
  const kind = object === undefined ? 'other' : `${verb}-${object}`;
  return KNOWN.has(kind) ? kind : 'other';
}

export function isStatementKind(kind: string): boolean {
  return KNOWN.has(kind);
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
