/**
 * The auditors' questions over generated commands of a year, in the embedded session store: every question with its own defaults, p95 of
 * the rounds; bytes per command on disk; and how both grow with ten times the rows. The commands are made in the store itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { loadMigrations, migrate } from '@sallyport/control-plane/ingest/migrate.ts';
import { openSessionStore } from '@sallyport/control-plane/ingest/session-store.ts';
import { ask, questionParameters } from '@sallyport/control-plane/questions/ask.ts';
import { QUESTIONS } from '@sallyport/control-plane/questions/catalogue.ts';
import { daysToRollUp, rollUp } from '@sallyport/control-plane/rollups/roll-up.ts';
import { spawnStore, writer } from '@sallyport/control-plane/session-store/spawn-process.ts';
import { figure } from '../harness/figures.ts';

const SECONDS_MAX = 1;
const GIVEN: Readonly<Record<string, string>> = { column: 'public.customers.email', person: 'person7@example.com', left: '30d' };
const COMMANDS_PER_SESSION = 200;
const CHUNK = 1_000_000;
const YEAR_SECONDS = 31_536_000;

const DAY_MS = 86_400_000;

/** Commands from..to-1 of `all`, spread over the year before now: 300 people, 40 resources, and texts, columns and answers as they come. */
export function commandsSql(from: number, to: number, all: number): string {
  return `INSERT INTO sallyport.command_revisions
  (session_id, seq, at, revision, agent, resource, protocol, principal, principal_kind, groups, client_address, kind, text, fingerprint, objects,
   columns_read, decision, rule, status, rows, bytes, masked_values, data_classes, duration_us, response_head, response_sha256, answered_at, role,
   issuer, database, statements, text_sha256, tag)
  SELECT
    concat(lower(hex(toUInt32(intDiv(number, ${COMMANDS_PER_SESSION})))), '-session') AS session_id,
    number % ${COMMANDS_PER_SESSION} AS seq,
    now64(6, 'UTC') - toIntervalMicrosecond(toUInt64((${all} - number) * (${YEAR_SECONDS} * 1000000. / ${all}))) AS at,
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
export function sessionsSql(count: number): string {
  const at = (number: string) =>
    `now64(6, 'UTC') - toIntervalMicrosecond(toUInt64((${count} - ${number}) * (${YEAR_SECONDS} * 1000000. / ${count})))`;
  return `INSERT INTO sallyport.session_rows
  (session_id, revision, status, started_at, ended_at, agent, resource, protocol, principal, principal_kind, issuer, subject, groups, client_address, role, durability, commands)
  SELECT concat(lower(hex(toUInt32(number))), '-session'), 3, 'ended', ${at(`number * ${COMMANDS_PER_SESSION}`)}, ${at(`(number + 1) * ${COMMANDS_PER_SESSION}`)},
    concat('agent', toString(number % 4)), concat('db', toString(number % 40)), 'postgres', concat('person', toString(cityHash64(number) % 300), '@example.com'),
    if(number % 5 = 0, 'workload', 'person'), 'https://idp.example', '', ['support', 'staff'], '10.0.0.7:50000', 'support', 'strict', ${COMMANDS_PER_SESSION}
  FROM numbers(${Math.ceil(count / COMMANDS_PER_SESSION)}) SETTINGS max_threads = 1, max_block_size = 32768`;
}

export async function run({ rows, rounds }: { rows: number; rounds: number }): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-questions-'));
  const store = await spawnStore(dir);
  const options = { url: store.url, username: writer.name, password: writer.password };
  const tables = openSessionStore(options);
  const client = createClient({ ...options, request_timeout: 120_000, log: { level: ClickHouseLogLevel.OFF } });
  try {
    await migrate(tables, await loadMigrations());
    const small = await measured(Math.max(1000, Math.floor(rows / 10)));
    const large = await measured(rows);
    for (const [name, seconds] of large.seconds) {
      figure({
        bench: 'evidence',
        case: `question ${name}, ${rows} commands`,
        subject: 'sallyport',
        value: seconds,
        unit: 's p95',
        ratios: { 'a tenth of the rows': seconds / (small.seconds.get(name) ?? Number.NaN) },
        target: `under ${SECONDS_MAX} s with 50000000`,
        met: rows >= 50_000_000 ? seconds < SECONDS_MAX : null,
      });
    }
    const ratios = { 'a tenth of the rows': large.bytes / small.bytes };
    figure({
      bench: 'evidence',
      case: `stored command, ${rows} commands`,
      subject: 'sallyport',
      value: large.bytes,
      unit: 'bytes',
      ratios,
    });
  } finally {
    await client.close();
    await tables.close();
    await store.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }

  async function measured(count: number): Promise<{ seconds: Map<string, number>; bytes: number }> {
    for (const table of ['command_revisions', 'session_rows', 'rolled_up_days', 'changed_days'])
      await tables.command(`TRUNCATE TABLE sallyport.${table}`);
    for (let from = 0; from < count; from += CHUNK) {
      await tables.command(commandsSql(from, Math.min(count, from + CHUNK), count));
      console.error(`  ${Math.min(count, from + CHUNK)} of ${count} commands made`);
    }
    await tables.command(sessionsSql(count));
    // As the store does by itself with what is older than an hour: one part a month.
    for (const table of ['command_revisions', 'session_rows']) await tables.command(`OPTIMIZE TABLE sallyport.${table} FINAL`);
    // As ingest does once a day is over.
    const days = await daysToRollUp({ store: tables, log: () => undefined });
    for (let from = 0; from < days.length; from += 7) await rollUp(tables, days.slice(from, from + 7));
    const sizes = await tables.rows<{ bytes: string }>(
      "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'sallyport' AND table = 'command_revisions' AND active",
    );
    const seconds = new Map<string, number>();
    for (const question of QUESTIONS) {
      const given = Object.fromEntries(
        question.parameters.filter(name => question.required?.includes(name)).map(name => [name, GIVEN[name] ?? '']),
      );
      const parameters = questionParameters(question, given, Date.now() + DAY_MS);
      const taken: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const startedMs = performance.now();
        await ask(client, question, parameters, 1000);
        taken.push((performance.now() - startedMs) / 1000);
      }
      taken.sort((a, b) => a - b);
      seconds.set(question.name, taken[Math.ceil(taken.length * 0.95) - 1] ?? Number.NaN);
    }
    return { seconds, bytes: Number(sizes[0]?.bytes ?? 0) / count };
  }
}
