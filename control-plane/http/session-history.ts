/**
 * Past sessions and their commands, from the session store over ClickHouse's HTTP interface. Queries take values as parameters only.
 * The store may be down; whoever asks gets an error of kind `unavailable` and decides what to show without it.
 */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type Answer, ask, questionTimeoutMs } from '../questions/ask.ts';
import type { ParameterName, Question } from '../questions/question.ts';

export interface HistoryFilter {
  limit: number;
  principal?: string;
  issuer?: string;
  resource?: string;
  /** RFC 3339; only what began earlier. */
  before?: string;
}

/** A row of the view `sallyport.sessions`, with sums over its commands. */
export interface SessionRow {
  session_id: string;
  status: string;
  started_at: string;
  ended_at: string | null;
  agent: string;
  resource: string;
  protocol: string;
  principal: string;
  principal_kind: string;
  issuer: string;
  groups: string[];
  delegation: string[];
  client_address: string;
  role: string;
  token_id: string;
  code: string;
  reason: string;
  commands: number;
  denied: number;
  masked_values: number;
}

/** A row of the view `sallyport.commands`, as far as it is shown. */
export interface CommandRow {
  session_id: string;
  seq: number;
  at: string;
  resource: string;
  principal: string;
  kind: string;
  text: string;
  statements: string[];
  objects: string[];
  decision: string;
  rule: string;
  reason: string;
  status: string;
  error_code: string;
  rows: number;
  bytes: number;
  masked_values: number;
  data_classes: string[];
  duration_us: number;
  approvers: string[];
  /** Where its output has what was searched for. */
  found?: { seq: number; offset_ms: number; text: string };
}

export interface SessionHistory {
  readonly isConfigured: boolean;
  sessions(filter: HistoryFilter): Promise<SessionRow[]>;
  session(id: string): Promise<SessionRow | null>;
  /** In the session's order. */
  commandsOf(sessionId: string, limit: number): Promise<CommandRow[]>;
  /** The newest first. */
  commands(filter: HistoryFilter): Promise<CommandRow[]>;
  /** An auditor's question, with what `questionParameters` made of its values; see questions/ask.ts. */
  ask(question: Question, parameters: Partial<Record<ParameterName, string>>, limit: number): Promise<Answer>;
  /** For the modules that make their own queries (session-search.ts and others): values as parameters only. */
  rows<Row>(query: string, parameters: Record<string, unknown>): Promise<Row[]>;
  /** Counts the commands of sessions. */
  withSums(rows: Omit<SessionRow, 'commands' | 'denied' | 'masked_values'>[]): Promise<SessionRow[]>;
  /** @throws {GatewayError} STORE_UNAVAILABLE. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const requestTimeoutMs = 10_000;

/** @param url null: there is no store. */
export function sessionHistory(url: string | null, user: string, password: string): SessionHistory {
  if (url === null) return new NoHistory();
  const client = (connectionsMax: number, timeoutMs: number) =>
    createClient({
      url,
      username: user,
      password,
      request_timeout: timeoutMs,
      // Its failures are ours to report, in our log's form.
      log: { level: ClickHouseLogLevel.OFF },
      max_open_connections: connectionsMax,
      keep_alive: { enabled: true, idle_socket_ttl: 1500 },
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0, date_time_output_format: 'iso' },
    });
  // Auditors' questions may take long: they have connections of their own, so that they delay nobody who looks at a session.
  return new ClickHouseHistory(client(8, requestTimeoutMs), client(2, questionTimeoutMs));
}

export const sessionColumns =
  'session_id, status, started_at, ended_at, agent, resource, protocol, principal, principal_kind, issuer, groups, delegation, client_address, role, token_id, code, reason';
export const commandColumns =
  'session_id, seq, at, resource, principal, kind, text, statements, objects, decision, rule, reason, status, error_code, rows, bytes, masked_values, data_classes, duration_us, approvers';

/**
 * A condition for the commands of one session. Its own days are read, with one more on each side for clocks that are set; without them the
 * store would ask the index of every day.
 * @param parameter the name of the query's parameter with the session's id.
 */
export function ofSession(parameter: string): string {
  const day = (of: string, otherwise: string) =>
    `(SELECT ifNull(toDate(${of}), toDate('${otherwise}')) FROM sallyport.session_rows WHERE session_id = {${parameter}:String})`;
  return `session_id = {${parameter}:String} AND toDate(at) BETWEEN ${day('minOrNullIf(started_at, revision != 2) - INTERVAL 1 DAY', '1970-01-01')} AND ${day('maxOrNull(ended_at) + INTERVAL 1 DAY', '2149-01-01')}`;
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);

class ClickHouseHistory implements SessionHistory {
  readonly isConfigured = true;
  readonly #client: ClickHouseClient;
  readonly #questions: ClickHouseClient;

  constructor(client: ClickHouseClient, questions: ClickHouseClient) {
    this.#client = client;
    this.#questions = questions;
  }

  async sessions(filter: HistoryFilter): Promise<SessionRow[]> {
    return this.withSums(
      await this.#query<SessionRow>(
        `SELECT ${sessionColumns} FROM sallyport.sessions ${where(filter, 'started_at')} ORDER BY started_at DESC LIMIT {limit:UInt32}`,
        { ...filter },
      ),
    );
  }

  async session(id: string): Promise<SessionRow | null> {
    const rows = await this.#query<SessionRow>(`SELECT ${sessionColumns} FROM sallyport.sessions WHERE session_id = {id:String} LIMIT 1`, {
      id,
    });
    return (await this.withSums(rows))[0] ?? null;
  }

  commandsOf(sessionId: string, limit: number): Promise<CommandRow[]> {
    return this.#query(`SELECT ${commandColumns} FROM sallyport.commands WHERE ${ofSession('id')} ORDER BY seq LIMIT {limit:UInt32}`, {
      id: sessionId,
      limit,
    });
  }

  commands(filter: HistoryFilter): Promise<CommandRow[]> {
    return this.#query(`SELECT ${commandColumns} FROM sallyport.commands ${where(filter, 'at')} ORDER BY at DESC LIMIT {limit:UInt32}`, {
      ...filter,
    });
  }

  ask(question: Question, parameters: Partial<Record<ParameterName, string>>, limit: number): Promise<Answer> {
    return ask(this.#questions, question, parameters, limit);
  }

  rows<Row>(query: string, parameters: Record<string, unknown>): Promise<Row[]> {
    return this.#query(query, parameters);
  }

  async ping(): Promise<void> {
    const result = await this.#client.ping();
    if (!result.success) throw unavailable(result.error);
  }

  async close(): Promise<void> {
    await Promise.all([this.#client.close(), this.#questions.close()]);
  }

  /** The sessions' commands are counted by a query of their own: joined, the store would read all commands there are. */
  async withSums(rows: Omit<SessionRow, 'commands' | 'denied' | 'masked_values'>[]): Promise<SessionRow[]> {
    if (rows.length === 0) return [];
    const ended = rows.map(row => row.ended_at ?? '9');
    const sums = await this.#query<Pick<SessionRow, 'session_id' | 'commands' | 'denied' | 'masked_values'>>(
      `SELECT session_id, count() AS commands, countIf(decision = 'deny') AS denied, sum(masked_values) AS masked_values
       FROM sallyport.commands
       WHERE session_id IN {ids:Array(String)} AND principal IN {principals:Array(String)}
         AND toDate(at) BETWEEN toDate({first:String}) - 1 AND toDate({last:String}) + 1
       GROUP BY session_id`,
      {
        ids: rows.map(row => row.session_id),
        principals: [...new Set(rows.map(row => row.principal))],
        first: (rows.map(row => row.started_at).toSorted(byText)[0] ?? '').slice(0, 10),
        last: (ended.includes('9') ? new Date().toISOString() : (ended.toSorted(byText).at(-1) ?? '')).slice(0, 10),
      },
    );
    const byId = new Map(sums.map(sum => [sum.session_id, sum]));
    return rows.map(row => ({ ...row, commands: 0, denied: 0, masked_values: 0, ...byId.get(row.session_id) }));
  }

  async #query<Row>(query: string, parameters: Record<string, unknown>): Promise<Row[]> {
    try {
      const result = await this.#client.query({ query, query_params: parameters, format: 'JSONEachRow' });
      return await result.json<Row>();
    } catch (cause) {
      throw unavailable(cause);
    }
  }
}

const noStore = async (): Promise<never> => {
  throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', 'This control plane was started without a session store (--clickhouse).');
};

class NoHistory implements SessionHistory {
  readonly isConfigured = false;
  readonly sessions = noStore;
  readonly session = noStore;
  readonly commandsOf = noStore;
  readonly commands = noStore;
  readonly ask = noStore;
  readonly rows = noStore;
  readonly withSums = noStore;
  readonly ping = noStore;

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

/** Columns and operators are this program's own; only values come from outside, as parameters. */
function where(filter: HistoryFilter, time: 'started_at' | 'at'): string {
  const conditions = [
    ...(filter.principal === undefined ? [] : ['principal = {principal:String}']),
    ...(filter.issuer === undefined ? [] : ['issuer = {issuer:String}']),
    ...(filter.resource === undefined ? [] : ['resource = {resource:String}']),
    ...(filter.before === undefined ? [] : [`${time} < parseDateTime64BestEffort({before:String}, 6)`]),
  ];
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError('STORE_UNAVAILABLE', 'unavailable', `The session store does not answer: ${errorText(cause)}`, { cause });
}
