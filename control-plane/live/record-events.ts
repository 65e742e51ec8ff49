/**
 * From entries of `sallyport.records` to what people watch: a session began, ended or was refused; a command was answered, or still
 * runs. Pure: entries and the time go in, events come out.
 *
 * It remembers sessions and unanswered commands, both up to a bound; of a session that began before its first entry it knows what
 * `lookUp` says. It is no second ingest: what it forgot or never saw, the session store has.
 */
import { type Command, type Response, type SessionEnded, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { type DecodedRecord, decodeEntry } from '../ingest/decode.ts';
import { decisionName, type SessionContext, sessionContext, statusOf, type Timed } from '../ingest/derive.ts';
import type { Entry } from '../log/event-log.ts';

/** Who a session belongs to: they may watch it, whatever their roles. */
export interface Owner {
  principal: string;
  issuer: string;
}

/** As `GET /v1/sessions` shows it, without the sums over its commands. */
export interface WatchedSession {
  sessionId: string;
  live: boolean;
  status: string;
  resource: string;
  principal: string;
  principalKind: string;
  clientAddress: string;
  agent: string;
  role: string;
  startedAt: string | null;
  endedAt: string | null;
  endReason?: string;
  code?: string;
  groups: readonly string[];
  delegation: readonly string[];
  commands: number;
}

/** As `GET /v1/commands` shows it; `status` is `running` or `held` until it is answered. */
export interface WatchedCommand {
  sessionId: string;
  seq: number;
  at: string;
  resource: string;
  principal: string;
  kind: string;
  /** Masked; cut after `textCharactersMax`. */
  text: string;
  textTruncated: boolean;
  statements: readonly string[];
  objects: readonly string[];
  decision: string;
  rule: string;
  reason: string;
  status: string;
  errorCode: string;
  rows: number;
  bytes: number;
  maskedValues: number;
  dataClasses: readonly string[];
  durationUs: number;
  approvers: readonly string[];
}

export type RecordEvent =
  | { type: 'session'; session: WatchedSession; owner: Owner }
  | { type: 'command'; command: WatchedCommand; owner: Owner };

export interface KnownSession {
  context: SessionContext;
  /** Microseconds since 1970. */
  startedAt: bigint;
}

/** How a command stands. */
type Outcome = { state: 'open' } | { state: 'abandoned' } | { state: 'answered'; response: Timed<Response> };

interface Unanswered {
  sessionId: string;
  seq: number;
  command: Timed<Command>;
  seenAtMs: number;
  announced: boolean;
}

const sessionsMax = 20_000;
const unansweredMax = 10_000;
export const textCharactersMax = 4096;
/** A command that takes longer is shown while it runs. */
const announceAfterMs = 1000;

const unknown: SessionContext = sessionContext({ sessionId: '', started: null, refused: null, ended: null });

export class RecordEvents {
  readonly #lookUp: (sessionId: string) => KnownSession | undefined;
  readonly #sessions = new Map<string, KnownSession>();
  /** By session and seq, the oldest first. */
  readonly #unanswered = new Map<string, Unanswered>();
  /** Keys of `#unanswered` by session. */
  readonly #unansweredOf = new Map<string, Set<string>>();

  constructor(lookUp: (sessionId: string) => KnownSession | undefined) {
    this.#lookUp = lookUp;
  }

  /** The events of one entry; what of it cannot be read is ingest's to report. */
  take(entry: Entry, nowMs: number): RecordEvent[] {
    return decodeEntry(entry.offset, entry.value).records.flatMap(record => this.#takeRecord(record, nowMs));
  }

  /** Commands that have been running for a while and were not shown yet. */
  announce(nowMs: number): RecordEvent[] {
    const events: RecordEvent[] = [];
    for (const waiting of this.#unanswered.values()) {
      if (nowMs - waiting.seenAtMs < announceAfterMs) break; // They are in the order of their arrival.
      if (waiting.announced) continue;
      waiting.announced = true;
      events.push(this.#command(waiting, { state: 'open' }));
    }
    return events;
  }

  #takeRecord({ sessionId, seq, at, message }: DecodedRecord, nowMs: number): RecordEvent[] {
    const { body } = message;
    switch (body.case) {
      case 'sessionStarted': {
        const started = { at, body: body.value };
        const context = sessionContext({ sessionId, started, refused: null, ended: null });
        this.#remember(sessionId, { context, startedAt: at });
        return [this.#session(sessionId, { context, startedAt: at }, null)];
      }
      case 'sessionRefused': {
        const refused = { at, body: body.value };
        const context = sessionContext({ sessionId, started: null, refused, ended: null });
        const { resource, principal, issuer, agent, groups, delegation } = context;
        return [
          {
            type: 'session',
            session: {
              ...{ sessionId, live: false, status: 'refused', resource, principal, principalKind: context.principal_kind, agent, role: '' },
              ...{ clientAddress: context.client_address, startedAt: iso(at), endedAt: iso(at) },
              ...{ endReason: refused.body.reason, code: refused.body.code },
              ...{ groups, delegation, commands: 0 },
            },
            owner: { principal, issuer },
          },
        ];
      }
      case 'sessionEnded': {
        const known = this.#known(sessionId);
        this.#sessions.delete(sessionId);
        return [...this.#abandon(sessionId, known), this.#session(sessionId, known, { at, body: body.value })];
      }
      case 'command': {
        const waiting: Unanswered = { sessionId, seq, command: { at, body: body.value }, seenAtMs: nowMs, announced: false };
        const key = `${sessionId} ${seq}`;
        const [oldest] = this.#unanswered.keys();
        if (this.#unanswered.size >= unansweredMax && oldest !== undefined) this.#forget(oldest);
        this.#unanswered.set(key, waiting);
        const ofSession = this.#unansweredOf.get(sessionId) ?? new Set();
        this.#unansweredOf.set(sessionId, ofSession.add(key));
        return [];
      }
      case 'response': {
        const key = `${sessionId} ${body.value.commandSeq}`;
        const waiting = this.#unanswered.get(key);
        if (waiting === undefined) return []; // Asked before we looked.
        this.#forget(key);
        return [this.#command(waiting, { state: 'answered', response: { at, body: body.value } })];
      }
      default:
        return [];
    }
  }

  /** What a session asked and was not answered when it ended. */
  #abandon(sessionId: string, known: KnownSession | undefined): RecordEvent[] {
    const events: RecordEvent[] = [];
    for (const key of this.#unansweredOf.get(sessionId) ?? []) {
      const waiting = this.#unanswered.get(key);
      this.#forget(key);
      if (waiting !== undefined) events.push(this.#command(waiting, { state: 'abandoned' }, known));
    }
    return events;
  }

  #forget(key: string): void {
    const sessionId = this.#unanswered.get(key)?.sessionId ?? '';
    this.#unanswered.delete(key);
    const ofSession = this.#unansweredOf.get(sessionId);
    ofSession?.delete(key);
    if (ofSession?.size === 0) this.#unansweredOf.delete(sessionId);
  }

  #known(sessionId: string): KnownSession | undefined {
    const known = this.#sessions.get(sessionId) ?? this.#lookUp(sessionId);
    if (known !== undefined) this.#remember(sessionId, known);
    return known;
  }

  #remember(sessionId: string, known: KnownSession): void {
    this.#sessions.delete(sessionId);
    const [leastUsed] = this.#sessions.keys();
    if (this.#sessions.size >= sessionsMax && leastUsed !== undefined) this.#sessions.delete(leastUsed);
    this.#sessions.set(sessionId, known);
  }

  #session(sessionId: string, known: KnownSession | undefined, ended: Timed<SessionEnded> | null): RecordEvent {
    const { resource, principal, principal_kind, client_address, agent, role, groups, delegation, issuer } = known?.context ?? unknown;
    return {
      type: 'session',
      session: {
        ...{
          sessionId,
          live: ended === null,
          status: ended === null ? 'live' : 'ended',
          resource,
          principal,
          principalKind: principal_kind,
        },
        ...{ clientAddress: client_address, agent, role, startedAt: known === undefined ? null : iso(known.startedAt), groups, delegation },
        ...{ endedAt: ended === null ? null : iso(ended.at), commands: Number(ended?.body.commands ?? 0n) },
        ...(ended === null ? {} : { endReason: ended.body.reason }),
      },
      owner: { principal, issuer },
    };
  }

  #command({ sessionId, seq, command }: Unanswered, outcome: Outcome, known = this.#known(sessionId)): RecordEvent {
    const context = known?.context ?? unknown;
    const asked = command.body;
    const answer = outcome.state === 'answered' ? outcome.response.body : null;
    return {
      type: 'command',
      command: {
        ...{ sessionId, seq, at: iso(command.at), resource: context.resource, principal: context.principal, kind: asked.kind },
        ...{ text: asked.text.slice(0, textCharactersMax), textTruncated: asked.textTruncated || asked.text.length > textCharactersMax },
        ...{ statements: asked.statements, objects: asked.objects, decision: decisionName(asked.decision), rule: asked.rule },
        ...{
          reason: asked.reason,
          status: statusOf(asked.decision, outcome.state, answer?.status ?? Status.UNSPECIFIED),
          errorCode: answer?.errorCode ?? '',
          rows: Number(answer?.rows ?? 0n),
        },
        ...{ bytes: Number(answer?.bytes ?? 0n), maskedValues: Number(answer?.maskedValues ?? 0n), dataClasses: answer?.dataClasses ?? [] },
        durationUs: Number(answer?.durationUs ?? 0n),
        approvers: answer === null || answer.approvers.length === 0 ? asked.approvers : answer.approvers,
      },
      owner: { principal: context.principal, issuer: context.issuer },
    };
  }
}

function iso(atUs: bigint): string {
  return new Date(Number(atUs / 1000n)).toISOString();
}
