/**
 * Searches sessions and commands. The newest come first, so a search looks at the last hours first and goes back in growing windows
 * until it has what was asked for: what people look for is nearly always recent, and the store reads only the parts of that time.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type ParsedQuery, parseQuery } from '@sallyport/shared/search/query.ts';
import { mentionsCommands, type SearchScope, searchSql, sessionOnlyField } from './search-sql.ts';
import { type CommandRow, commandColumns, type SessionHistory, type SessionRow, sessionColumns } from './session-history.ts';

export interface SearchRequest {
  query: string;
  limit: number;
  /** Where the page before this one ended. */
  cursor?: string | undefined;
  nowMs: number;
}

export interface SearchPage<Row> {
  rows: Row[];
  /** Absent: that was all. */
  next?: string;
}

const hourMs = 3_600_000;
/** How far back, one after the other; at last without a bound. */
const windowsMs = [6 * hourMs, 3 * 24 * hourMs, 30 * 24 * hourMs];

/** @throws {GatewayError} QUERY_INVALID with the place of the mistake, STORE_UNAVAILABLE. */
export async function searchSessions(history: SessionHistory, request: SearchRequest, scope: SearchScope): Promise<SearchPage<SessionRow>> {
  const parsed = parsedOrThrow(request);
  const page = await inWindows<SessionRow>(request, parsed, 'started_at', (after, fromMs) => {
    const { where, parameters } = searchSql('sessions', parsed, scope, fromMs);
    return history.rows(
      `SELECT ${sessionColumns} FROM sallyport.sessions ${where} ${after.condition(where)} ORDER BY started_at DESC, session_id DESC LIMIT {limit:UInt32}`,
      { ...parameters, ...after.parameters, limit: request.limit + 1 },
    );
  });
  return { ...page, rows: await history.withSums(page.rows) };
}

/** @throws {GatewayError} QUERY_INVALID, STORE_UNAVAILABLE. */
export async function searchCommands(history: SessionHistory, request: SearchRequest, scope: SearchScope): Promise<SearchPage<CommandRow>> {
  const parsed = parsedOrThrow(request);
  const field = parsed.query === null ? null : sessionOnlyField(parsed.query);
  if (field !== null) throw new GatewayError('QUERY_INVALID', 'invalid', `${field.name}: can be asked of sessions only.`);
  return inWindows<CommandRow>(request, parsed, 'at', (after, fromMs) => {
    const { where, parameters } = searchSql('commands', parsed, scope, fromMs);
    return history.rows(
      `SELECT ${commandColumns} FROM sallyport.commands ${where} ${after.condition(where)} ORDER BY at DESC, session_id DESC, seq DESC LIMIT {limit:UInt32}`,
      { ...parameters, ...after.parameters, limit: request.limit + 1 },
    );
  });
}

export function parsedOrThrow({ query, nowMs }: Pick<SearchRequest, 'query' | 'nowMs'>): ParsedQuery {
  const result = parseQuery(query, nowMs);
  if (result.ok) return result.parsed;
  const { message, start, end } = result.mistake;
  throw new GatewayError('QUERY_INVALID', 'invalid', `${message} (at characters ${start + 1} to ${Math.max(end, start + 1)} of the query)`);
}

interface After {
  condition(where: string): string;
  parameters: Record<string, unknown>;
}

async function inWindows<Row extends { session_id: string; started_at?: string; at?: string; seq?: number }>(
  { limit, cursor, nowMs }: SearchRequest,
  parsed: ParsedQuery,
  time: 'started_at' | 'at',
  ask: (after: After, fromMs: number | undefined) => Promise<Row[]>,
): Promise<SearchPage<Row>> {
  const after = afterCursor(cursor, time);
  // What is older than the cursor is what is wanted: windows count from there.
  const startMs = after.atMs ?? parsed.untilMs ?? nowMs;
  // A term about commands bounds the commands' time, not the session's: only its own bound is right then.
  const windows =
    time === 'started_at' && parsed.query !== null && mentionsCommands(parsed.query) ? windowsMs.map(each => each * 4) : windowsMs;
  const bounds = windows.map(span => startMs - span).filter(fromMs => parsed.sinceMs === undefined || fromMs > parsed.sinceMs);
  for (const fromMs of [...bounds, undefined]) {
    const rows = await ask(after, fromMs);
    if (rows.length <= limit && fromMs !== undefined) continue;
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    if (rows.length <= limit || last === undefined) return { rows: shown };
    return { rows: shown, next: [last[time], last.session_id, ...(time === 'at' ? [last.seq] : [])].join('|') };
  }
  return { rows: [] };
}

/** @throws {GatewayError} QUERY_INVALID. */
function afterCursor(cursor: string | undefined, time: 'started_at' | 'at'): After & { atMs?: number } {
  if (cursor === undefined) return { condition: () => '', parameters: {} };
  const [at = '', id = '', seq = '0'] = cursor.split('|');
  const atMs = Date.parse(at);
  if (Number.isNaN(atMs) || id === '' || !/^\d{1,18}$/.test(seq))
    throw new GatewayError('QUERY_INVALID', 'invalid', 'The cursor is not one that a search gave.');
  const tuple =
    time === 'at'
      ? '(at, session_id, seq) < (parseDateTime64BestEffort({afterAt:String}, 6), {afterId:String}, {afterSeq:UInt64})'
      : '(started_at, session_id) < (parseDateTime64BestEffort({afterAt:String}, 6), {afterId:String})';
  return {
    atMs,
    condition: where => `${where === '' ? 'WHERE' : 'AND'} ${time} <= parseDateTime64BestEffort({afterAt:String}, 6) AND ${tuple}`,
    parameters: { afterAt: at, afterId: id, ...(time === 'at' ? { afterSeq: seq } : {}) },
  };
}
