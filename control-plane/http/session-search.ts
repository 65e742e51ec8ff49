/**
 * Searches sessions and commands. The newest come first, so a search looks at the last hours first and goes back in growing windows
 * until it has what was asked for: what people look for is nearly always recent, and the store reads only the parts of that time.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type ParsedQuery, parseQuery } from '@sallyport/shared/search/query.ts';
import { mentionsCommands, outputWords, type SearchScope, searchSql, sessionOnlyField } from './search-sql.ts';
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
  const page = await inWindows<CommandRow>(request, parsed, 'at', (after, fromMs) => {
    const { where, parameters } = searchSql('commands', parsed, scope, fromMs);
    return history.rows(
      `SELECT ${commandColumns} FROM sallyport.commands ${where} ${after.condition(where)} ORDER BY at DESC, session_id DESC, seq DESC LIMIT {limit:UInt32}`,
      { ...parameters, ...after.parameters, limit: request.limit + 1 },
    );
  });
  const words = parsed.query === null ? [] : outputWords(parsed.query);
  return words.length === 0 ? page : { ...page, rows: await withFound(history, page.rows, words) };
}

/** Characters that are shown around what was found. */
const aroundCharacters = 60;

/** Adds where the output of each command first has one of the words: a player can go there. */
async function withFound(history: SessionHistory, rows: CommandRow[], words: string[]): Promise<CommandRow[]> {
  if (rows.length === 0) return rows;
  const found = await history.rows<{ session_id: string; command_seq: number; seq: number; at_us: number; excerpt: string }>(
    `SELECT session_id, command_seq, min(o.seq) AS seq, toUnixTimestamp64Micro(argMin(o.at, o.seq)) AS at_us, argMin(o.excerpt, o.seq) AS excerpt
     FROM (
       SELECT session_id, command_seq, seq, at, arrayFirst(place -> place > 0, arrayMap(word -> positionCaseInsensitiveUTF8(text, word), {words:Array(String)})) AS place,
         substringUTF8(text, greatest(1, toInt64(place) - ${aroundCharacters}), ${2 * aroundCharacters}) AS excerpt
       FROM sallyport.output WHERE session_id IN {sessions:Array(String)} AND command_seq IN {seqs:Array(UInt64)} AND place > 0
     ) AS o GROUP BY session_id, command_seq`,
    { words, sessions: [...new Set(rows.map(row => row.session_id))], seqs: [...new Set(rows.map(row => row.seq))] },
  );
  const byCommand = new Map(found.map(one => [`${one.session_id}/${one.command_seq}`, one]));
  return rows.map(row => {
    const one = byCommand.get(`${row.session_id}/${row.seq}`);
    if (one === undefined) return row;
    const offsetMs = Math.max(0, Math.floor(one.at_us / 1000) - Date.parse(row.at));
    return { ...row, found: { seq: one.seq, offset_ms: offsetMs, text: one.excerpt } };
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
