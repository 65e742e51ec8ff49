/**
 * Takes a run of entries of `sallyport.control` into the store: one row an event, in log order, with whether it counts, and without
 * secrets. When it resolves, every row is there, and may have been written twice; the views show it once.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { type ControlEvent, ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { errorText } from '@sallyport/shared/errors.ts';
import { Acceptance } from '../aggregates/acceptance.ts';
import type { Entry } from '../log/event-log.ts';
import type { BatchResult } from './records-batch.ts';
import { BlockWriter } from './row-binary.ts';
import type { SessionStore } from './session-store.ts';
import { type ApprovalEventRow, approvalEventColumns, type ControlEventRow, controlEventColumns, deadLetterColumns } from './tables.ts';

const topic = 'sallyport.control';
const streamsPerQuery = 500;

export class ControlWriter {
  readonly #store: SessionStore;
  readonly #events = new BlockWriter(controlEventColumns);
  readonly #approvals = new BlockWriter(approvalEventColumns);
  readonly #deadLetters = new BlockWriter(deadLetterColumns);

  constructor(store: SessionStore) {
    this.#store = store;
  }

  /** @throws what the store throws: then the same entries must be given again. */
  async write(entries: readonly Entry[]): Promise<BatchResult> {
    try {
      return await this.#write(entries);
    } finally {
      for (const block of [this.#events, this.#approvals, this.#deadLetters]) block.reset();
    }
  }

  async #write(entries: readonly Entry[]): Promise<BatchResult> {
    const decoded: { entry: Entry; event: ControlEvent }[] = [];
    for (const entry of entries) {
      try {
        decoded.push({ entry, event: fromBinary(ControlEventSchema, entry.value) });
      } catch (error) {
        // Its bytes may hold a sealed secret that only its shape would have told: the log keeps them, the store need not.
        this.#deadLetters.add({
          topic,
          log_offset: entry.offset,
          log_index: 0,
          at: BigInt(entry.timestampMs) * 1000n,
          code: 'EVENT_UNREADABLE',
          reason: errorText(error),
          key: entry.key,
          value: '',
        });
      }
    }
    const start = entries[0]?.offset ?? 0n;
    const acceptance = new Acceptance(
      await this.#versions(
        decoded.map(({ event }) => event.stream),
        start,
      ),
      decoded.some(({ event }) => Object.keys(event.expectedKinds).length > 0) ? await this.#kindVersions(start) : new Map(),
    );
    for (const { entry, event } of decoded) {
      const accepted = acceptance.counts(event);
      const row = controlEventRow(entry.offset, event, accepted);
      this.#events.add(row);
      const approval = accepted ? approvalOf(row, event) : null;
      if (approval !== null) this.#approvals.add(approval);
    }
    if (this.#events.rows > 0) await this.#store.insert('sallyport.control_event_rows', this.#events.columns, this.#events.take());
    if (this.#approvals.rows > 0) {
      await this.#store.insert('sallyport.approval_event_rows', this.#approvals.columns, this.#approvals.take());
    }
    if (this.#deadLetters.rows > 0) {
      await this.#store.insert('sallyport.dead_letter_rows', this.#deadLetters.columns, this.#deadLetters.take());
    }
    return { records: decoded.length, doubles: 0, deadLetters: this.#deadLetters.rows };
  }

  /** Events accepted on each stream before this offset: what every reader of the log would have counted. */
  async #versions(streams: readonly string[], before: bigint): Promise<Map<string, bigint>> {
    const wanted = [...new Set(streams)];
    const found = new Map<string, bigint>();
    for (let start = 0; start < wanted.length; start += streamsPerQuery) {
      const rows = await this.#store.rows<{ stream: string; version: string }>(
        `SELECT stream, countIf(accepted) AS version FROM sallyport.control_event_rows FINAL
         WHERE stream IN {streams:Array(String)} AND log_offset < {before:UInt64} GROUP BY stream`,
        { streams: wanted.slice(start, start + streamsPerQuery), before: String(before) },
      );
      for (const row of rows) found.set(row.stream, BigInt(row.version));
    }
    return found;
  }

  async #kindVersions(before: bigint): Promise<Map<string, bigint>> {
    const rows = await this.#store.rows<{ kind: string; version: string }>(
      `SELECT kind, countIf(accepted) AS version FROM sallyport.control_event_rows FINAL WHERE log_offset < {before:UInt64} GROUP BY kind`,
      { before: String(before) },
    );
    return new Map(rows.map(({ kind, version }) => [kind, BigInt(version)]));
  }
}

/** The row of `control_events`. Pure. */
export function controlEventRow(offset: bigint, event: ControlEvent, accepted: boolean): ControlEventRow {
  const slash = event.stream.indexOf('/');
  const kind = slash < 0 ? event.stream : event.stream.slice(0, slash);
  return {
    log_offset: offset,
    at: event.atUnixUs,
    event_id: event.eventId,
    stream: event.stream,
    kind,
    name: slash < 0 ? '' : event.stream.slice(slash + 1),
    type: event.type,
    expected_version: event.expectedVersion,
    accepted,
    schema: event.schema,
    author: event.author,
    author_address: event.authorAddress,
    reason: event.reason,
    request_id: event.requestId,
    payload: kind === 'credential' ? '' : withoutSecrets(event.payload),
  };
}

const secretName = /secret|password|passphrase|token|sealed|private|credential(?!$)|certificate|csr|^key$|Key$/i;
const withheld = '[withheld]';

/** JSON with everything left out whose name says that it may be a secret; empty when it is not JSON. */
export function withoutSecrets(payload: Uint8Array): string {
  if (payload.length === 0) return '';
  try {
    return JSON.stringify(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)), (name, value: unknown) =>
      secretName.test(name) ? withheld : value,
    );
  } catch {
    return ''; // Not ours to show: what it is cannot be told.
  }
}

const approvalStates: Readonly<Record<string, string>> = {
  ApprovalRequested: 'requested',
  ApprovalGiven: 'given',
  ApprovalDenied: 'denied',
  ApprovalExpired: 'expired',
  ApprovalWithdrawn: 'withdrawn',
};

function approvalOf(row: ControlEventRow, event: ControlEvent): ApprovalEventRow | null {
  const state = row.kind === 'approval' ? approvalStates[event.type] : undefined;
  if (state === undefined) return null;
  const payload = objectOf(parsed(event.payload));
  const approver = objectOf(payload['approver']);
  const expiresAtMs = payload['expiresAtMs'];
  return {
    approval_id: row.name,
    source: 'control',
    log_offset: row.log_offset,
    log_index: 0,
    at: row.at,
    state: state === 'given' && payload['complete'] === true ? 'approved' : state,
    by: typeof approver['name'] === 'string' ? [approver['name']] : [],
    reason: textOf(approver['reason']) || textOf(payload['reason']),
    session_id: textOf(payload['sessionId']),
    command_seq: typeof payload['commandSeq'] === 'number' ? payload['commandSeq'] : null,
    resource: textOf(payload['resource']),
    principal: textOf(objectOf(payload['principal'])['name']),
    rule: textOf(payload['rule']),
    text: textOf(payload['text']),
    expires_at: typeof expiresAtMs === 'number' ? BigInt(Math.round(expiresAtMs)) * 1000n : null,
  };
}

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    return null; // The event is shown; what it says of the approval is not known.
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
