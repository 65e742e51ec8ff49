/**
 * ClickHouse as ingest sees it: run a statement, read rows, write a block of rows. The same for the embedded store and a server.
 *
 * A write resolves when ClickHouse has acknowledged it; a write that failed may or may not have happened, and everything that is
 * written here may be written again. Retrying is the caller's (retry.ts). No SQL of the tables is here.
 */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface SessionStoreOptions {
  /** e.g. http://127.0.0.1:8123 */
  url: string;
  username: string;
  password: string;
  /** How long a statement may take; what moves a whole table takes longer than what ingest does otherwise. */
  requestTimeoutMs?: number;
}

export interface SessionStore {
  /** Runs a statement without a result. */
  command(sql: string, parameters?: Record<string, unknown>): Promise<void>;
  /** Rows of a small result, as JSON gives them; 64-bit numbers are strings. */
  rows<Row>(sql: string, parameters?: Record<string, unknown>): Promise<Row[]>;
  /** @param block rows of RowBinary (row-binary.ts), of exactly these columns. */
  insert(table: string, columns: readonly string[], block: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const defaultTimeoutMs = 120_000;

/** @throws nothing; whether the store is there shows at the first call. */
export function openSessionStore(options: SessionStoreOptions): SessionStore {
  const local = ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(options.url).hostname);
  const client: ClickHouseClient = createClient({
    url: options.url,
    username: options.username,
    password: options.password,
    application: 'sallyport-ingest',
    request_timeout: options.requestTimeoutMs ?? defaultTimeoutMs,
    max_open_connections: 4,
    keep_alive: { enabled: true, idle_socket_ttl: 2_500 },
    compression: { request: !local, response: false },
    clickhouse_settings: { async_insert: 0, wait_end_of_query: 1, output_format_json_quote_64bit_integers: 1 },
    log: { level: 127 },
  });
  return {
    async command(sql, parameters) {
      await guarded(client.command({ query: sql, ...(parameters === undefined ? {} : { query_params: parameters }) }));
    },
    async rows<Row>(sql: string, parameters?: Record<string, unknown>) {
      const result = await guarded(
        client.query({ query: sql, format: 'JSONEachRow', ...(parameters === undefined ? {} : { query_params: parameters }) }),
      );
      return await guarded(result.json<Row>());
    },
    async insert(table, columns, block) {
      const { stream } = await guarded(
        client.exec({
          query: `INSERT INTO ${table} (${columns.join(', ')}) FORMAT RowBinary`,
          values: Readable.from([block], { objectMode: false }),
        }),
      );
      stream.resume();
      await guarded(finished(stream));
    },
    close: () => client.close(),
  };
}

/** Whether trying again can help: no when ClickHouse understood the request and refused it. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof GatewayError) || error.code !== 'STORE_REFUSED') return true;
  return transientCodes.has(clickHouseCode(error.cause));
}

/** Timeout, too many queries or parts, memory, shutting down, lost connection. */
const transientCodes: ReadonlySet<string> = new Set(['159', '160', '202', '203', '209', '210', '236', '241', '242', '252', '394', '425']);

function clickHouseCode(cause: unknown): string {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
}

async function guarded<Result>(call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message.split('\n', 1)[0] : String(cause);
    if (/^\d+$/.test(clickHouseCode(cause))) {
      throw new GatewayError('STORE_REFUSED', 'internal', `The session store refused a statement: ${text}`, { cause });
    }
    throw new GatewayError('STORE_UNREACHABLE', 'unavailable', `The session store cannot be reached: ${text}`, { cause });
  }
}
