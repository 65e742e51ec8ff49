/**
 * The row of a command as an object, made of the records as objects: what command-row.ts writes must be the same. Only tests import
 * this.
 */
import type { Command, Response } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { decisionName, type SessionContext, sessionContext, statusOf, type Timed } from './derive.ts';
import type { CommandRow } from './tables.ts';

/** How a command stands: asked, asked by a session that ended before the answer, answered. */
export type Outcome = { state: 'open' } | { state: 'abandoned' } | { state: 'answered'; response: Timed<Response> };

/** The row of `commands`. */
export function commandRow(sessionId: string, context: SessionContext, seq: number, command: Timed<Command>, outcome: Outcome): CommandRow {
  const asked = command.body;
  const answer = outcome.state === 'answered' ? outcome.response.body : null;
  return {
    session_id: sessionId,
    seq,
    at: command.at,
    revision: outcome.state === 'answered' ? 2 : outcome.state === 'abandoned' ? 1 : 0,
    deleted: 0,
    agent: context.agent,
    resource: context.resource,
    protocol: context.protocol,
    principal: context.principal,
    principal_kind: context.principal_kind,
    groups: context.groups,
    delegation: context.delegation,
    client_address: context.client_address,
    kind: asked.kind,
    text: asked.text,
    fingerprint: asked.fingerprint,
    objects: asked.objects,
    columns_read: asked.columnsRead,
    decision: decisionName(asked.decision),
    rule: asked.rule,
    reason: asked.reason,
    approval_id: asked.approvalId,
    // Who released a command that waited is known when it is answered.
    approvers: answer === null || answer.approvers.length === 0 ? asked.approvers : answer.approvers,
    status: statusOf(asked.decision, outcome.state, answer?.status ?? 0),
    rows: answer?.rows ?? 0n,
    bytes: answer?.bytes ?? 0n,
    masked_values: answer?.maskedValues ?? 0n,
    data_classes: answer?.dataClasses ?? [],
    duration_us: answer?.durationUs ?? 0n,
    response_head: answer?.head ?? '',
    response_sha256: hex(answer?.sha256),
    answered_at: outcome.state === 'answered' ? outcome.response.at : null,
    role: context.role,
    issuer: context.issuer,
    database: asked.database,
    statements: asked.statements,
    parameters: asked.parameters,
    inferences: asked.inferences,
    policy_version: asked.policyVersion,
    prepared_name: asked.preparedName,
    text_truncated: asked.textTruncated,
    text_sha256: hex(asked.textSha256),
    tag: answer?.tag ?? '',
    error_code: answer?.errorCode ?? '',
    error_text: answer?.errorText ?? '',
    response_columns: answer?.columns ?? [],
    response_head_truncated: answer?.headTruncated ?? false,
    held_us: answer?.heldUs ?? 0n,
  };
}

const unknownContext: SessionContext = sessionContext({ sessionId: '', started: null, refused: null, ended: null });

/** Takes back the row of a command that was written while its session's start was not known. */
export function withdrawnCommandRow(sessionId: string, seq: number, command: Timed<Command>): CommandRow {
  return { ...commandRow(sessionId, unknownContext, seq, command, { state: 'open' }), revision: 255, deleted: 1 };
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined || bytes.length === 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
