/**
 * Past sessions and their commands, from the session store over ClickHouse's HTTP interface. Queries take values as parameters only.
 * The store may be down; whoever asks gets an error of kind `unavailable` and decides what to show without it.
 */
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

export interface SessionFilter {
  limit: number;
  principal?: string;
  resource?: string;
  before?: string;
}

export type Row = Record<string, unknown>;

export interface SessionHistory {
  readonly isConfigured: boolean;
  sessions(filter: SessionFilter): Promise<Row[]>;
  session(id: string): Promise<Row | null>;
  commands(sessionId: string, limit: number): Promise<Row[]>;
  latestCommands(filter: SessionFilter): Promise<Row[]>;
  /** @throws {GatewayError} STORE_UNAVAILABLE. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

const requestTimeoutMs = 10_000;

/** @param url null: there is no store. */
export function sessionHistory(url: string | null, user: string, password: string): SessionHistory {
  if (url === null) return new NoHistory();
  const client = createClient({
    url,
    username: user,
    password,
    database: 'sallyport',
    request_timeout: requestTimeoutMs,
    max_open_connections: 8,
    keep_alive: { enabled: true, idle_socket_ttl: 1500 },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
  });
  return new ClickHouseHistory(client);
}

class ClickHouseHistory implements SessionHistory {
  readonly isConfigured = true;
  readonly #client: ClickHouseClient;

  constructor(client: ClickHouseClient) {
    this.#client = client;
  }

  sessions(filter: SessionFilter): Promise<Row[]> {
    return this.#query(`SELECT * FROM sallyport.sessions ${where(filter, 'started_at')} ORDER BY started_at DESC LIMIT {limit:UInt32}`, {
      ...filter,
    });
  }

  async session(id: string): Promise<Row | null> {
    const [row] = await this.#query('SELECT * FROM sallyport.sessions WHERE session_id = {id:String} LIMIT 1', { id });
    return row ?? null;
  }

  commands(sessionId: string, limit: number): Promise<Row[]> {
    return this.#query('SELECT * FROM sallyport.commands WHERE session_id = {sessionId:String} ORDER BY seq LIMIT {limit:UInt32}', {
      sessionId,
      limit,
    });
  }

  latestCommands(filter: SessionFilter): Promise<Row[]> {
    return this.#query(`SELECT * FROM sallyport.commands ${where(filter, 'at')} ORDER BY at DESC LIMIT {limit:UInt32}`, { ...filter });
  }

  async ping(): Promise<void> {
    const result = await this.#client.ping();
    if (!result.success) throw unavailable(result.error);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #query(query: string, parameters: Record<string, unknown>): Promise<Row[]> {
    try {
      const result = await this.#client.query({ query, query_params: parameters, format: 'JSONEachRow' });
      return await result.json<Row>();
    } catch (cause) {
      throw unavailable(cause);
    }
  }
}

class NoHistory implements SessionHistory {
  readonly isConfigured = false;
  readonly sessions = noStore;
  readonly session = noStore;
  readonly commands = noStore;
  readonly latestCommands = noStore;
  readonly ping = noStore;

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

const noStore = async (): Promise<never> => {
  throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', 'This control plane was started without a session store (--clickhouse).');
};

/** Column and operator are this program's own; only values come from outside, as parameters. */
function where(filter: SessionFilter, time: 'started_at' | 'at'): string {
  const conditions = [
    ...(filter.principal === undefined ? [] : ['principal = {principal:String}']),
    ...(filter.resource === undefined ? [] : ['resource = {resource:String}']),
    ...(filter.before === undefined ? [] : [`${time} < parseDateTime64BestEffort({before:String}, 6)`]),
  ];
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError('STORE_UNAVAILABLE', 'unavailable', `The session store does not answer: ${errorText(cause)}.`, { cause });
}
