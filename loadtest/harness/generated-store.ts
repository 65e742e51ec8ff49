/**
 * A session store with many commands of a year, as benchmarks of reading want it. The store makes them itself, which takes about half an
 * hour of one processor for fifty million: in a folder that is named they are kept, and what was interrupted goes on where it was.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadMigrations, migrate } from '@sallyport/control-plane/ingest/migrate.ts';
import { openSessionStore, type SessionStore } from '@sallyport/control-plane/ingest/session-store.ts';
import { daysToRollUp, rollUp } from '@sallyport/control-plane/rollups/roll-up.ts';
import { spawnStore, writer } from '@sallyport/control-plane/session-store/spawn-process.ts';

export interface GeneratedStore {
  /** Of ClickHouse's HTTP interface; `writer` is who may ask. */
  url: string;
  tables: SessionStore;
  close(): Promise<void>;
}

/** What of it is there; `nowUs` is when its year ends, microseconds since 1970. */
interface Made {
  rows: number;
  nowUs: number;
  commands: number;
  sessions: boolean;
}

const COMMANDS_PER_SESSION = 200;
const YEAR_SECONDS = 31_536_000;
/** A few seconds each. */
const CHUNK = 250_000;
/** For what moves a month of commands. */
const requestTimeoutMs = 3_600_000;
const daysAtOnce = 7;

/** @param kept a folder to keep it in; without one it is deleted at the end. */
export async function generatedStore(rows: number, kept?: string): Promise<GeneratedStore> {
  const dir = kept === undefined ? mkdtempSync(path.join(tmpdir(), 'sallyport-bench-store-')) : path.join(kept, String(rows));
  mkdirSync(dir, { recursive: true });
  const file = path.join(dir, 'made.json');
  const made = read(file) ?? { rows, nowUs: Date.now() * 1000, commands: 0, sessions: false };
  const write = () => writeFileSync(file, JSON.stringify(made));
  write();
  const store = await spawnStore(path.join(dir, 'store'));
  const tables = openSessionStore({ url: store.url, username: writer.name, password: writer.password, requestTimeoutMs });
  const close = async () => {
    await tables.close();
    await store.kill(kept === undefined ? 'SIGKILL' : 'SIGTERM');
    if (kept === undefined) rmSync(dir, { recursive: true, force: true });
  };
  try {
    await migrate(tables, await loadMigrations());
    const now = `fromUnixTimestamp64Micro(${made.nowUs}, 'UTC')`;
    // A chunk that was made and not noted is made again, and is the same rows.
    for (; made.commands < rows; write()) {
      const to = Math.min(rows, made.commands + CHUNK);
      await tables.command(commandsSql(made.commands, to, rows, now));
      made.commands = to;
      if (to % (4 * CHUNK) === 0) console.error(`  ${to} of ${rows} commands made`);
    }
    if (!made.sessions) await tables.command(sessionsSql(rows, now));
    made.sessions = true;
    write();
    // As the store does by itself with what is older than an hour: one part a month.
    const parts = await tables.rows<{ table: string; id: string }>(
      `SELECT table, partition_id AS id FROM system.parts
       WHERE database = 'sallyport' AND table IN ('command_revisions', 'session_rows') AND active GROUP BY table, id HAVING count() > 1 ORDER BY id`,
    );
    for (const [n, { table, id }] of parts.entries()) {
      await tables.command(`OPTIMIZE TABLE sallyport.${table} PARTITION ID '${id}' FINAL`);
      console.error(`  ${n + 1} of ${parts.length} partitions merged`);
    }
    // As ingest does once a day is over.
    const days = await daysToRollUp({ store: tables, log: () => undefined });
    for (let from = 0; from < days.length; from += daysAtOnce) await rollUp(tables, days.slice(from, from + daysAtOnce));
    return { url: store.url, tables, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function read(file: string): Made | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Made;
  } catch {
    return null; // Nothing is there yet, or its writing was interrupted: the same rows are made once more.
  }
}

/** Commands from..to-1 of `all`, spread over the year before `now`: 300 people, 40 resources, and texts, columns and answers as they come. */
function commandsSql(from: number, to: number, all: number, now: string): string {
  return `INSERT INTO sallyport.command_revisions
  (session_id, seq, at, revision, agent, resource, protocol, principal, principal_kind, groups, client_address, kind, text, fingerprint, objects,
   columns_read, decision, rule, status, rows, bytes, masked_values, data_classes, duration_us, response_head, response_sha256, answered_at, role,
   issuer, database, statements, text_sha256, tag)
  SELECT
    concat(lower(hex(toUInt32(intDiv(number, ${COMMANDS_PER_SESSION})))), '-session') AS session_id,
    number % ${COMMANDS_PER_SESSION} AS seq,
    ${now} - toIntervalMicrosecond(toUInt64((${all} - number) * (${YEAR_SECONDS} * 1000000. / ${all}))) AS at,
    2, concat('agent', toString(s % 4)), concat('db', toString(s % 40)), 'postgres',
    concat('person', toString(cityHash64(s) % 300), '@example.com'), if(s % 5 = 0, 'workload', 'person'), ['support', 'staff'],
    concat('10.0.', toString(s % 250), '.7:', toString(1024 + s % 60000)), 'query',
    concat('select id, email, balance from customers where id = ', toString(h % 1000000), ' and region = \\'', ['eu', 'us', 'apac'][h % 3 + 1], '\\''),
    lower(hex(h % 500)), ['public.customers'],
    if(h % 10 = 0, ['public.customers.id', 'public.customers.email', 'public.customers.balance'], ['public.orders.id', 'public.orders.total']),
    if(h % 1000 = 0, 'deny', 'allow'), if(h % 1000 = 0, 'sql-safety/no-ddl', ''), if(h % 1000 = 0, 'refused', 'ok'),
    h % 50, 60 * (h % 50), if(h % 10 = 0, h % 50, 0), if(h % 10 = 0, ['column:public.customers.email', 'email'], []), 200 + h % 5000,
    concat(toString(h % 1000000), '\\tpe***@example.com\\t', toString(h % 7919)), lower(hex(SHA256(toString(number)))), at, 'support',
    'https://idp.example', 'app', ['select'], lower(hex(sipHash128(number))), concat('SELECT ', toString(h % 50))
  FROM (SELECT number, intDiv(number, ${COMMANDS_PER_SESSION}) AS s, cityHash64(number) AS h FROM numbers(${from}, ${to - from}))
  SETTINGS max_threads = 1, max_insert_threads = 1, max_block_size = 16384, min_insert_block_size_rows = 65536, min_insert_block_size_bytes = 0`;
}

/** Their sessions, by the same rules. */
function sessionsSql(count: number, now: string): string {
  const at = (number: string) =>
    `${now} - toIntervalMicrosecond(toUInt64((${count} - ${number}) * (${YEAR_SECONDS} * 1000000. / ${count})))`;
  return `INSERT INTO sallyport.session_rows
  (session_id, revision, status, started_at, ended_at, agent, resource, protocol, principal, principal_kind, issuer, subject, groups, client_address, role, durability, commands)
  SELECT concat(lower(hex(toUInt32(number))), '-session'), 3, 'ended', ${at(`number * ${COMMANDS_PER_SESSION}`)}, ${at(`(number + 1) * ${COMMANDS_PER_SESSION}`)},
    concat('agent', toString(number % 4)), concat('db', toString(number % 40)), 'postgres', concat('person', toString(cityHash64(number) % 300), '@example.com'),
    if(number % 5 = 0, 'workload', 'person'), 'https://idp.example', '', ['support', 'staff'], '10.0.0.7:50000', 'support', 'strict', ${COMMANDS_PER_SESSION}
  FROM numbers(${Math.ceil(count / COMMANDS_PER_SESSION)}) SETTINGS max_threads = 1, max_block_size = 32768`;
}
