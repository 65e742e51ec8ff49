/**
 * Ingest: from the log into ClickHouse, every record once.
 *
 *     node control-plane/ingest/main.ts --log DIR --clickhouse URL
 *     node control-plane/ingest/main.ts --kafka HOST:PORT,... --clickhouse URL
 *
 * DIR holds the folders sallyport.records and sallyport.control of the embedded log; with --kafka, any number of ingesters share the
 * partitions. SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD name the user of ClickHouse. --http HOST:PORT is where /healthz, /readyz
 * and /metrics are (default a free port of loopback). Makes the tables, then follows both topics until SIGTERM. Prints
 * {"ready":true,"http"} once the tables are there, or {"error":{"code","message"}} and exits 1.
 */
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { type KafkaConfig, kafkaConfig, kafkaFlags } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { pino } from 'pino';
import { openLogReader } from '../log/event-log.ts';
import { rollUpDays } from '../rollups/roll-up.ts';
import { ControlWriter } from './control-batch.ts';
import { type Figures, serveMetrics } from './metrics.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { RecordsWriter } from './records-batch.ts';
import { isTransient, openSessionStore, type SessionStore } from './session-store.ts';
import { type FollowerLog, TopicFollower } from './topic-follower.ts';

/** Behind the data path: what waits, waits in the log. */
const niceness = 10;
const batchAgeMs = 400;
/** Some ten thousands of small records; what they are decoded to takes some thirty times as much memory. */
const batchBytesMax = 2 * 1024 * 1024;
/** Without it V8 keeps garbage of several batches, hundreds of megabytes, before it looks. */
const heapMegabytesMax = 256;
const retryMs = 200;
const lagLogMs = 60_000;
/** For one statement, which may copy a month of commands. */
const migrationTimeoutMs = 6 * 3_600_000;

const log = pino({ name: 'ingest', base: { pid: process.pid } }, pino.destination({ fd: 2, sync: true }));

async function main(): Promise<void> {
  const options = parseOptions();
  setFlagsFromString(`--max-old-space-size=${heapMegabytesMax}`);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const store = openSessionStore(options);
  const patient = openSessionStore({ ...options, requestTimeoutMs: migrationTimeoutMs });
  try {
    await prepare(patient, stop.signal);
  } finally {
    await patient.close();
  }
  const say: FollowerLog = (level, fields, message) => log[level](fields, message);
  const source = options.kafka === null ? fromFiles(options.log, store, say) : await fromKafka(options.kafka, store, say);
  const { figures } = source;
  const http = await serveMetrics(figures, options.http);
  log.info({ http: http.url, clickhouse: options.url }, 'following');
  process.stdout.write(`${JSON.stringify({ ready: true, http: http.url })}\n`);
  // Not before: whoever starts it waits.
  setPriority(niceness);
  const reporter = setInterval(() => {
    for (const [topic, f] of figures) {
      log.info(
        { topic, nextOffset: Number(f.nextOffset), lagEntries: Number(f.endOffset - f.nextOffset), deadLetters: f.deadLetters },
        'lag',
      );
    }
  }, lagLogMs);
  try {
    await Promise.all([source.run(stop.signal), rollUpDays({ store, log: say }, stop.signal)]);
  } finally {
    stop.abort();
    clearInterval(reporter);
    http.close();
    await store.close();
  }
  log.info('stopped');
}

interface Source {
  figures: Figures;
  run(signal: AbortSignal): Promise<void>;
}

/** The one ingester of the embedded log. */
function fromFiles(dir: string, store: SessionStore, say: FollowerLog): Source {
  const followers = [
    { topic: 'sallyport.records', writer: new RecordsWriter(store) },
    { topic: 'sallyport.control', writer: new ControlWriter(store) },
  ].map(({ topic, writer }) => {
    const reader = openLogReader(join(dir, topic));
    return { topic, reader, follower: new TopicFollower({ topic, reader, writer, store, batchAgeMs, batchBytesMax, log: say }) };
  });
  return {
    figures: new Map(followers.map(({ topic, follower }) => [topic, follower.figures])),
    async run(signal) {
      try {
        await Promise.all(followers.map(({ follower }) => follower.run(signal)));
      } finally {
        await Promise.all(followers.map(({ reader }) => reader.close()));
      }
    },
  };
}

async function fromKafka(config: KafkaConfig, store: SessionStore, say: FollowerLog): Promise<Source> {
  // A client of some hundred files, which who has none need not load.
  const [{ prepareKafka }, { KafkaIngest }] = await Promise.all([import('../log/prepare-kafka.ts'), import('./kafka-ingest.ts')]);
  await prepareKafka(config, warning => log.warn(warning));
  return new KafkaIngest({ config, store, batchAgeMs, batchBytesMax, log: say });
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
  const { values } = parseArgs({
    options: { log: { type: 'string' }, clickhouse: { type: 'string' }, http: { type: 'string' }, ...kafkaFlags },
  });
  const kafka = kafkaConfig(values, process.env, 'ingest');
  const username = process.env['SALLYPORT_STORE_USER'] ?? '';
  const password = process.env['SALLYPORT_STORE_PASSWORD'] ?? '';
  if ((values.log === undefined) === (kafka === null) || values.clickhouse === undefined || !URL.canParse(values.clickhouse)) {
    throw new GatewayError(
      'INGEST_OPTION_INVALID',
      'invalid',
      'Give --log DIR, the folder of the log, or --kafka HOST:PORT,..., its brokers; and --clickhouse URL, e.g. http://127.0.0.1:8123.',
    );
  }
  if (values.http !== undefined && !/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/.test(values.http)) {
    throw new GatewayError('INGEST_OPTION_INVALID', 'invalid', `--http must be HOST:PORT, not ${JSON.stringify(values.http)}.`);
  }
  if (username === '' || password === '') {
    throw new GatewayError('INGEST_CREDENTIALS_MISSING', 'invalid', 'Set SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD.');
  }
  return { log: values.log ?? '', http: values.http ?? '127.0.0.1:0', kafka, url: values.clickhouse, username, password };
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const code = error instanceof GatewayError ? error.code : 'INGEST_FAILED';
    log.fatal({ code, err: error }, 'ended');
    process.stdout.write(`${JSON.stringify({ error: { code, message: errorText(error) } })}\n`, () => process.exit(1));
  },
);
