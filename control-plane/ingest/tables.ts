/** The columns that ingest writes, table by table, as in migrations/. */
import type { Columns, RowOf } from './row-binary.ts';

export const recordColumns = {
  session_id: 'string',
  seq: 'uint64',
  at: 'time',
  type: 'string',
  command_seq: 'optionalUint64',
  agent_id: 'string',
  spool_id: 'string',
  spool_index: 'uint64',
  log_offset: 'uint64',
  log_index: 'uint32',
  previous_hash: 'string',
  body: 'string',
  encoded: 'string',
} as const satisfies Columns;

export const sessionColumns = {
  session_id: 'string',
  revision: 'uint8',
  status: 'string',
  started_at: 'time',
  ended_at: 'optionalTime',
  agent: 'string',
  resource: 'string',
  protocol: 'string',
  principal: 'string',
  principal_kind: 'string',
  issuer: 'string',
  subject: 'string',
  groups: 'strings',
  delegation: 'strings',
  client_address: 'string',
  client: 'stringMap',
  role: 'string',
  policy_version: 'uint64',
  token_id: 'string',
  durability: 'string',
  code: 'string',
  reason: 'string',
  told: 'string',
  error_code: 'string',
  commands: 'uint64',
  bytes_to_client: 'uint64',
  bytes_to_upstream: 'uint64',
} as const satisfies Columns;

/** What a command has of its session, in `commandColumns`: the same for all of a session's commands. */
export const contextColumns = {
  agent: 'string',
  resource: 'string',
  protocol: 'string',
  principal: 'string',
  principal_kind: 'string',
  groups: 'strings',
  delegation: 'strings',
  client_address: 'string',
} as const satisfies Columns;
export const roleColumns = { role: 'string', issuer: 'string' } as const satisfies Columns;

export const commandColumns = {
  session_id: 'string',
  seq: 'uint64',
  at: 'time',
  revision: 'uint8',
  deleted: 'uint8',
  ...contextColumns,
  kind: 'string',
  text: 'string',
  fingerprint: 'string',
  objects: 'strings',
  columns_read: 'strings',
  decision: 'string',
  rule: 'string',
  reason: 'string',
  approval_id: 'string',
  approvers: 'strings',
  status: 'string',
  rows: 'uint64',
  bytes: 'uint64',
  masked_values: 'uint64',
  data_classes: 'strings',
  duration_us: 'uint64',
  response_head: 'string',
  response_sha256: 'string',
  answered_at: 'optionalTime',
  ...roleColumns,
  database: 'string',
  statements: 'strings',
  parameters: 'strings',
  inferences: 'strings',
  policy_version: 'uint64',
  prepared_name: 'string',
  text_truncated: 'bool',
  text_sha256: 'string',
  tag: 'string',
  error_code: 'string',
  error_text: 'string',
  response_columns: 'strings',
  response_head_truncated: 'bool',
  held_us: 'uint64',
} as const satisfies Columns;

export const approvalEventColumns = {
  approval_id: 'string',
  source: 'string',
  log_offset: 'uint64',
  log_index: 'uint32',
  at: 'time',
  state: 'string',
  by: 'strings',
  reason: 'string',
  session_id: 'string',
  command_seq: 'optionalUint64',
  resource: 'string',
  principal: 'string',
  rule: 'string',
  text: 'string',
  expires_at: 'optionalTime',
} as const satisfies Columns;

export const controlEventColumns = {
  log_offset: 'uint64',
  at: 'time',
  event_id: 'string',
  stream: 'string',
  kind: 'string',
  name: 'string',
  type: 'string',
  expected_version: 'uint64',
  accepted: 'bool',
  schema: 'uint32',
  author: 'string',
  author_address: 'string',
  reason: 'string',
  request_id: 'string',
  payload: 'string',
} as const satisfies Columns;

export const deadLetterColumns = {
  topic: 'string',
  log_offset: 'uint64',
  log_index: 'uint32',
  at: 'time',
  code: 'string',
  reason: 'string',
  key: 'string',
  value: 'string',
} as const satisfies Columns;

export const outputColumns = {
  session_id: 'string',
  command_seq: 'uint64',
  seq: 'uint64',
  at: 'time',
  revision: 'uint64',
  text: 'string',
} as const satisfies Columns;

export type OutputRow = RowOf<typeof outputColumns>;
export type SessionRow = RowOf<typeof sessionColumns>;
export type CommandRow = RowOf<typeof commandColumns>;
export type ApprovalEventRow = RowOf<typeof approvalEventColumns>;
export type ControlEventRow = RowOf<typeof controlEventColumns>;
