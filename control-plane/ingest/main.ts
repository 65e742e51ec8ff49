/**
 * Ingest: from the log into ClickHouse, every record once.
 *
 *     node control-plane/ingest/main.ts --log DIR --clickhouse URL
 *
 * DIR holds the folders sallyport.records and sallyport.control of the embedded log. SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD
 * name the user of ClickHouse. Makes the tables, then follows both topics until SIGTERM. Prints {"ready":true,"http"} once the tables
 * are there, or {"error":{"code","message"}} and exits 1. Not here: a log in Kafka, whose reader will implement the same interface.
 */
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { pino } from 'pino';
import { openLogReader } from '../log/event-log.ts';
import { ControlWriter } from './control-batch.ts';
import { serveMetrics } from './metrics.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { RecordsWriter } from './records-batch.ts';
import { isTransient, openSessionStore, type SessionStore } from './session-store.ts';
import { TopicFollower } from './topic-follower.ts';

/** Behind the data path: what waits, waits in the log. */
const niceness = 19;
const batchAgeMs = 400;
/** Some ten thousands of small records; what they are decoded to takes some thirty times as much memory. */
const batchBytesMax = 2 * 1024 * 1024;
/** Without it V8 keeps garbage of several batches, hundreds of megabytes, before it looks. */
const heapMegabytesMax = 256;
const retryMs = 200;
const lagLogMs = 60_000;

const log = pino({ name: 'ingest', base: { pid: process.pid } }, pino.destination({ fd: 2, sync: true }));

async function main(): Promise<void> {
  const options = parseOptions();
  setPriority(niceness);
  setFlagsFromString(`--max-old-space-size=${heapMegabytesMax}`);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const store = openSessionStore(options);
  await prepare(store, stop.signal);
  const readers = {
    records: openLogReader(join(options.log, 'sallyport.records')),
    control: openLogReader(join(options.log, 'sallyport.control')),
  };
  const say = (level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, message: string) => log[level](fields, message);
  const followers = new Map(
    [
      { topic: 'sallyport.records', reader: readers.records, writer: new RecordsWriter(store) },
      { topic: 'sallyport.control', reader: readers.control, writer: new ControlWriter(store) },
    ].map(topic => [topic.topic, new TopicFollower({ ...topic, store, batchAgeMs, batchBytesMax, log: say })]),
  );
  const figures = new Map([...followers].map(([topic, follower]) => [topic, follower.figures]));
  const http = await serveMetrics(figures);
  log.info({ http: http.url, clickhouse: options.url }, 'following');
  process.stdout.write(`${JSON.stringify({ ready: true, http: http.url })}\n`);
  const reporter = setInterval(() => {
    for (const [topic, f] of figures) {
      log.info(
        { topic, nextOffset: Number(f.nextOffset), lagEntries: Number(f.endOffset - f.nextOffset), deadLetters: f.deadLetters },
        'lag',
      );
    }
  }, lagLogMs);
  try {
    await Promise.all([...followers.values()].map(follower => follower.run(stop.signal)));
  } finally {
    stop.abort();
    clearInterval(reporter);
    http.close();
    await Promise.all([readers.records.close(), readers.control.close(), store.close()]);
  }
  log.info('stopped');
}

/** Makes the tables, waiting for the store as long as it takes. */
async function prepare(store: SessionStore, signal: AbortSignal): Promise<void> {
  const migrations = await loadMigrations();
  for (;;) {
    try {
      const ran = await migrate(store, migrations);
      log.info({ ran }, 'tables are up to date');
      return;
    } catch (error) {
      if (signal.aborted || !isTransient(error) || (error instanceof GatewayError && error.code === 'MIGRATION_CHANGED')) throw error;
      log.warn({ error: errorText(error) }, 'waiting for the session store');
      await delay(retryMs, undefined, { signal });
    }
  }
}

function parseOptions() {
  const { values } = parseArgs({ options: { log: { type: 'string' }, clickhouse: { type: 'string' } } });
  const username = process.env['SALLYPORT_STORE_USER'] ?? '';
  const password = process.env['SALLYPORT_STORE_PASSWORD'] ?? '';
  if (values.log === undefined || values.clickhouse === undefined || !URL.canParse(values.clickhouse)) {
    throw new GatewayError(
      'INGEST_OPTION_INVALID',
      'invalid',
      'Give --log DIR, the folder of the log, and --clickhouse URL, e.g. http://127.0.0.1:8123.',
    );
  }
  if (username === '' || password === '') {
    throw new GatewayError('INGEST_CREDENTIALS_MISSING', 'invalid', 'Set SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD.');
  }
  return { log: values.log, url: values.clickhouse, username, password };
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const code = error instanceof GatewayError ? error.code : 'INGEST_FAILED';
    log.fatal({ code, err: error }, 'ended');
    process.stdout.write(`${JSON.stringify({ error: { code, message: errorText(error) } })}\n`, () => process.exit(1));
  },
);
