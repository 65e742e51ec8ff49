/**
 * What outputs send: one flat event for each record of a session that says something by itself, and for each change of the control plane.
 * Records were masked before they were written; contents of responses are not sent at all. Pure but for the sessions it remembers: a
 * command's record does not say whose it is, its session's first record does.
 */
import type { ControlEvent } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { Decision, type Principal, PrincipalKind, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { DecodedRecord } from '../ingest/decode.ts';

export const EVENT_TYPES = ['session', 'command', 'response', 'approval', 'gap', 'change'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export type Severity = 'info' | 'warning' | 'high';

export interface OutputEvent {
  /** The same for the same event, however often it is sent. */
  id: string;
  type: EventType;
  /** What happened, e.g. `started`, `denied`, `ok`, `RoleApplied`. */
  activity: string;
  severity: Severity;
  /** Milliseconds since 1970. */
  atMs: number;
  /** snake_case, as the columns of the session store. */
  fields: Record<string, unknown>;
}

/** What the events of a session have in common. */
export type SessionFields = Record<string, unknown>;

const SESSIONS_MAX = 2000;
const TEXT_LENGTH_MAX = 4096;

export class EventSource {
  readonly #sessions: Map<string, SessionFields>;

  /** @param sessions as `sessions` gave them before a restart. */
  constructor(sessions: Readonly<Record<string, SessionFields>> = {}) {
    this.#sessions = new Map(Object.entries(sessions));
  }

  /** Of the sessions that have not ended; bounded, so that the oldest may be missing. */
  get sessions(): Record<string, SessionFields> {
    return Object.fromEntries(this.#sessions);
  }

  /** @returns null for what says nothing by itself (checkpoints, contents). */
  ofRecord({ message, sessionId, seq, at, agentId }: DecodedRecord): OutputEvent | null {
    const { body } = message;
    const event = (type: EventType, activity: string, severity: Severity, fields: Record<string, unknown>): OutputEvent => ({
      id: `${sessionId}/${seq}`,
      type,
      activity,
      severity,
      atMs: Number(at / 1000n),
      fields: compact({ session_id: sessionId, seq, ...this.#sessions.get(sessionId), ...fields }),
    });
    switch (body.case) {
      case 'sessionStarted': {
        const { resource, protocol, principal, agent, clientAddress, role, tokenId } = body.value;
        const fields = { resource, protocol, agent, client_address: clientAddress, role, ...who(principal) };
        this.#remember(sessionId, compact(fields));
        return event('session', 'started', 'info', { token_id: tokenId });
      }
      case 'sessionRefused': {
        const { resource, protocol, principal, agent, clientAddress, code, reason } = body.value;
        return event('session', 'refused', 'warning', {
          ...{ resource, protocol, agent, client_address: clientAddress, ...who(principal) },
          ...{ error_code: code, reason },
        });
      }
      case 'sessionEnded': {
        const { reason, commands, bytesToClient, errorCode } = body.value;
        const ended = event('session', 'ended', errorCode === '' ? 'info' : 'warning', {
          ...{ reason, error_code: errorCode, commands: Number(commands), bytes: Number(bytesToClient) },
        });
        this.#sessions.delete(sessionId);
        return ended;
      }
      case 'command': {
        const { kind, text, fingerprint, statements, objects, columnsRead, rule, reason, approvalId, approvers, inferences, database } =
          body.value;
        const decision = Decision[body.value.decision].toLowerCase();
        const activity = decision === 'deny' ? 'denied' : decision === 'hold' ? 'held' : 'allowed';
        return event('command', activity, activity === 'allowed' ? 'info' : 'high', {
          ...{
            kind,
            text: text.slice(0, TEXT_LENGTH_MAX),
            text_truncated: body.value.textTruncated || text.length > TEXT_LENGTH_MAX || undefined,
          },
          ...{ fingerprint, statements, objects, columns_read: columnsRead, inferences, decision, rule, reason },
          ...{ approval_id: approvalId, approvers, database },
        });
      }
      case 'response': {
        const { commandSeq, errorCode, rows, bytes, maskedValues, dataClasses, durationUs, heldUs, approvers } = body.value;
        const status = Status[body.value.status].toLowerCase();
        return event('response', status, status === 'ok' ? 'info' : 'warning', {
          ...{ command_seq: Number(commandSeq), status, error_code: errorCode, rows: Number(rows), bytes: Number(bytes) },
          ...{
            masked_values: Number(maskedValues),
            data_classes: dataClasses,
            duration_us: Number(durationUs),
            held_us: Number(heldUs),
            approvers,
          },
        });
      }
      case 'approvalNoted': {
        const { approvalId, state, by, reason, commandSeq } = body.value;
        return event('approval', state, 'info', { approval_id: approvalId, approvers: by, reason, command_seq: Number(commandSeq) });
      }
      case 'gap':
        return event('gap', 'lost', 'high', {
          ...{ agent_id: agentId, from_seq: Number(body.value.fromSeq), to_seq: Number(body.value.toSeq), reason: body.value.reason },
        });
      default:
        return null;
    }
  }

  /** Without the payload: it may hold sealed secrets. Checkpoints are no changes. */
  ofChange({ eventId, stream, type, atUnixUs, author, authorAddress, reason }: ControlEvent): OutputEvent | null {
    if (type === 'CheckpointsLogged') return null;
    return {
      id: eventId,
      type: 'change',
      activity: type,
      severity: 'info',
      atMs: Number(atUnixUs / 1000n),
      fields: compact({ stream, author, author_address: authorAddress, reason }),
    };
  }

  #remember(id: string, fields: SessionFields): void {
    if (this.#sessions.size >= SESSIONS_MAX) {
      const [oldest] = this.#sessions.keys();
      if (oldest !== undefined) this.#sessions.delete(oldest);
    }
    this.#sessions.set(id, fields);
  }
}

function who(principal: Principal | undefined): Record<string, unknown> {
  if (principal === undefined) return {};
  const { name, issuer, subject, groups, delegation } = principal;
  return { principal: name, principal_kind: PrincipalKind[principal.kind].toLowerCase(), issuer, subject, groups, delegation };
}

/** Without what is empty. */
function compact(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0)),
  );
}
