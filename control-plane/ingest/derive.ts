/**
 * What people read, as functions of records: the row of a session, and what the rows of its commands (command-row.ts) take from it. Pure.
 *
 * The same records give the same row, and more records give a row with a higher revision: so it does not matter how often, or in what
 * order, rows are written (docs/adr/0008-session-store.md). Nothing here knows about the log, the store or batches.
 */
import {
  Decision,
  type Principal,
  PrincipalKind,
  type SessionEnded,
  type SessionRefused,
  type SessionStarted,
  Status,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { ApprovalEventRow, SessionRow } from './tables.ts';

/** A record's body with the record's time. */
export interface Timed<Body> {
  at: bigint;
  body: Body;
}

/** What is known of a session: how it began, and how it ended. */
export interface SessionFacts {
  sessionId: string;
  started: Timed<SessionStarted> | null;
  refused: Timed<SessionRefused> | null;
  ended: Timed<SessionEnded> | null;
}

/** What a command's row takes from its session; kept for as long as the session is remembered. */
export interface SessionContext {
  agent: string;
  resource: string;
  protocol: string;
  principal: string;
  principal_kind: string;
  groups: readonly string[];
  delegation: readonly string[];
  client_address: string;
  role: string;
  issuer: string;
}

export function sessionContext(facts: SessionFacts): SessionContext {
  const opened = facts.started?.body ?? facts.refused?.body;
  const principal: Principal | undefined = opened?.principal;
  return {
    agent: opened?.agent ?? '',
    resource: opened?.resource ?? '',
    protocol: opened?.protocol ?? '',
    principal: principal?.name ?? '',
    principal_kind: principalKind(principal?.kind),
    groups: principal?.groups ?? [],
    delegation: principal?.delegation ?? [],
    client_address: opened?.clientAddress ?? '',
    role: facts.started?.body.role ?? '',
    issuer: principal?.issuer ?? '',
  };
}

/** The row of `sessions`. At least one of the facts is there. */
export function sessionRow(facts: SessionFacts): SessionRow {
  const { started, refused, ended } = facts;
  const context = sessionContext(facts);
  const principal = (started ?? refused)?.body.principal;
  return {
    session_id: facts.sessionId,
    revision: refused !== null ? 3 : (started === null ? 0 : 1) + (ended === null ? 0 : 2),
    status: refused !== null ? 'refused' : ended === null ? 'open' : 'ended',
    started_at: (started ?? refused ?? ended)?.at ?? 0n,
    ended_at: (ended ?? refused)?.at ?? null,
    agent: context.agent,
    resource: context.resource,
    protocol: context.protocol,
    principal: context.principal,
    principal_kind: context.principal_kind,
    issuer: context.issuer,
    subject: principal?.subject ?? '',
    groups: context.groups,
    delegation: context.delegation,
    client_address: context.client_address,
    client: (started ?? refused)?.body.client ?? {},
    role: context.role,
    policy_version: started?.body.policyVersion ?? 0n,
    token_id: started?.body.tokenId ?? '',
    durability: started?.body.durability ?? '',
    code: refused?.body.code ?? '',
    reason: refused?.body.reason ?? ended?.body.reason ?? '',
    told: refused?.body.told ?? '',
    error_code: ended?.body.errorCode ?? '',
    commands: ended?.body.commands ?? 0n,
    bytes_to_client: ended?.body.bytesToClient ?? 0n,
    bytes_to_upstream: ended?.body.bytesToUpstream ?? 0n,
  };
}

/** What an agent noted about an approval. */
export function approvalEventRow(
  record: { sessionId: string; at: bigint; position: { offset: bigint; index: number } },
  noted: { approvalId: string; state: string; by: readonly string[]; reason: string; commandSeq: bigint },
  context: SessionContext,
): ApprovalEventRow {
  return {
    approval_id: noted.approvalId,
    source: 'agent',
    log_offset: record.position.offset,
    log_index: record.position.index,
    at: record.at,
    state: noted.state,
    by: noted.by,
    reason: noted.reason,
    session_id: record.sessionId,
    command_seq: noted.commandSeq,
    resource: context.resource,
    principal: context.principal,
    rule: '',
    text: '',
    expires_at: null,
  };
}

/** `running` and `held` are of commands that wait; the others are ends. */
export function statusOf(decision: Decision, state: 'open' | 'abandoned' | 'answered', status: Status): string {
  if (state === 'answered') {
    const name = statusName(status);
    if (name !== '') return name;
  }
  if (decision === Decision.DENY) return 'refused';
  if (state === 'abandoned') return 'aborted';
  if (state === 'answered') return 'ok';
  return decision === Decision.HOLD ? 'held' : 'running';
}

function statusName(status: Status): string {
  switch (status) {
    case Status.OK:
      return 'ok';
    case Status.ERROR:
      return 'error';
    case Status.REFUSED:
      return 'refused';
    case Status.CANCELLED:
      return 'cancelled';
    case Status.ABORTED:
      return 'aborted';
    default:
      return ''; // Not given, or newer than we are.
  }
}

export function decisionName(decision: Decision): string {
  switch (decision) {
    case Decision.ALLOW:
      return 'allow';
    case Decision.DENY:
      return 'deny';
    case Decision.HOLD:
      return 'hold';
    default:
      return '';
  }
}

function principalKind(kind: PrincipalKind | undefined): string {
  if (kind === PrincipalKind.PERSON) return 'person';
  return kind === PrincipalKind.WORKLOAD ? 'workload' : '';
}
