/**
 * Recorded commands out of the session store, by form: what is alike in all that policy looks at comes once, with its number. Read in
 * stretches of time of about equal size, so that neither the store nor this process holds much at once.
 */
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { RecordedForm } from '@sallyport/shared/rehearsal/replay.ts';
import type { SessionHistory } from '../http/session-history.ts';

export interface Period {
  sinceMs: number;
  untilMs: number;
}

export interface Stretch extends Period {
  commands: number;
}

/** Commands in a stretch, unless so many came within one step of the clock. */
const stretchCommands = 20_000;
const stepsMax = 500;
const stepMinMs = 60_000;
/** Forms taken of one stretch: beyond that, the rarest are left out, and the report says how many commands that were. */
export const formsMax = 20_000;

/** The stretches of a period in which anything was recorded, oldest first. @throws {GatewayError} STORE_UNAVAILABLE. */
export async function stretchesOf(history: SessionHistory, { sinceMs, untilMs }: Period): Promise<Stretch[]> {
  const stepMs = Math.max(stepMinMs, Math.ceil((untilMs - sinceMs) / stepsMax));
  const counts = await history.rows<{ step: number; commands: number }>(
    `SELECT intDiv(toUnixTimestamp64Milli(at) - {sinceMs:Int64}, {stepMs:Int64}) AS step, count() AS commands FROM sallyport.commands
     WHERE at >= fromUnixTimestamp64Milli({sinceMs:Int64}) AND at < fromUnixTimestamp64Milli({untilMs:Int64}) GROUP BY step ORDER BY step`,
    { sinceMs, untilMs, stepMs },
  );
  const stretches: Stretch[] = [];
  for (const { step, commands } of counts) {
    const from = sinceMs + Number(step) * stepMs;
    const until = Math.min(from + stepMs, untilMs);
    const last = stretches.at(-1);
    if (last !== undefined && last.commands + Number(commands) <= stretchCommands) {
      last.untilMs = until;
      last.commands += Number(commands);
    } else stretches.push({ sinceMs: from, untilMs: until, commands: Number(commands) });
  }
  return stretches;
}

interface FormRow {
  resource: string;
  principal: string;
  principal_kind: string;
  issuer: string;
  groups: string[];
  delegation: string[];
  kind: string;
  text: string;
  text_truncated: boolean | number;
  columns_read: string[];
  decision: string;
  rule: string;
  masked: string[];
  has_rows: number;
  commands: number;
  last: [string, string, number];
}

/**
 * The forms of a stretch.
 *
 * @param byMinute the policy depends on the time: commands of different minutes are different forms.
 * @throws {GatewayError} STORE_UNAVAILABLE.
 */
export async function formsOf(history: SessionHistory, { sinceMs, untilMs }: Period, byMinute: boolean): Promise<RecordedForm[]> {
  const rows = await history.rows<FormRow>(
    `SELECT resource, principal, principal_kind, issuer, groups, delegation, kind, text, text_truncated, columns_read, decision, rule,
       arraySort(arrayFilter(c -> startsWith(c, 'column:'), data_classes)) AS masked, rows > 0 AS has_rows, count() AS commands,
       max((toString(at), session_id, seq)) AS last
     FROM sallyport.commands
     WHERE at >= fromUnixTimestamp64Milli({sinceMs:Int64}) AND at < fromUnixTimestamp64Milli({untilMs:Int64})
     GROUP BY resource, principal, principal_kind, issuer, groups, delegation, kind, text, text_truncated, columns_read, decision, rule,
       masked, has_rows${byMinute ? ', toStartOfMinute(at)' : ''}
     ORDER BY commands DESC LIMIT {formsMax:UInt32}`,
    { sinceMs, untilMs, formsMax },
  );
  return rows.flatMap(row => formOf(row) ?? []);
}

function formOf(row: FormRow): RecordedForm | null {
  const { decision } = row;
  if (decision !== 'allow' && decision !== 'deny' && decision !== 'hold') return null;
  const [at, sessionId, seq] = row.last;
  const principal: Principal = {
    kind: row.principal_kind === 'workload' ? 'workload' : 'person',
    name: row.principal,
    issuer: row.issuer,
    subject: '',
    groups: row.groups,
    delegation: row.delegation,
  };
  return {
    count: Number(row.commands),
    example: { sessionId, seq: Number(seq), at: isoTime(at) },
    resource: row.resource,
    principal,
    kind: row.kind,
    text: row.text,
    textTruncated: Boolean(row.text_truncated),
    columnsRead: row.columns_read,
    decision,
    rule: row.rule,
    masked: row.masked.map(each => each.slice('column:'.length)).filter(isColumn),
    hasRows: Boolean(row.has_rows),
  };
}

/** Records also name what was masked because its origin was not known. */
function isColumn(name: string): boolean {
  return name.split('.').length >= 3 && !name.startsWith('*.');
}

/** The store's time without a zone, which is UTC. */
function isoTime(at: string): string {
  return at.includes('T') ? at : `${at.replace(' ', 'T')}Z`;
}
