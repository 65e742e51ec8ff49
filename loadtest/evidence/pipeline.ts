/**
 * The way of the records, from an agent's spool by way of Kafka (one real broker) into ClickHouse, each part as it is in production but
 * for the protocol: commands with their answers are put into the spool as fast as it takes them, and counted in `sallyport.commands`;
 * then, at a moderate rate, how long a command takes from its answer until it can be queried.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KafkaStream } from '@sallyport/agent/control/kafka-stream.ts';
import { Shipper } from '@sallyport/agent/control/shipper.ts';
import { openSpool, type Spool } from '@sallyport/agent/spool/spool.ts';
import { openSessionStore, type SessionStore } from '@sallyport/control-plane/ingest/session-store.ts';
import { spawnProcess, spawnStore, writer, writerEnv } from '@sallyport/control-plane/session-store/spawn-process.ts';
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { prepareTopics, recordsTopic } from '@sallyport/kafka/topics.ts';
import { encodeCommand, encodeResponse, encodeSessionStarted } from '@sallyport/shared/records/encode.ts';
import { pino } from 'pino';
import { startKafka } from '../../e2e/components/kafka.ts';
import { figure, median } from '../harness/figures.ts';

/** Each waits until its command is on disk, as a strict session does. */
const SESSIONS = 128;
const COMMANDS = 60_000;
const RATE = 20_000;
const P99_SECONDS = 2;
const PROBES = 150;
const PROBE_PAUSE_MS = 40;
const POLL_MS = 30;
const ARRIVAL_MS_MAX = 300_000;
const ingestScript = new URL('../../control-plane/ingest/main.ts', import.meta.url);

/** Sessions that go on through a round. */
class Sessions {
  readonly #spool: Spool;
  readonly #name: string;
  readonly #next = new Map<number, number>();

  constructor(spool: Spool, name: string) {
    this.#spool = spool;
    this.#name = name;
  }

  /** A command and its answer, one after the other; resolves when both are on disk. */
  async command(session: number, mark: string): Promise<void> {
    const sessionId = `${this.#name}-${String(session).padStart(4, '0')}`;
    let seq = this.#next.get(session) ?? 0;
    const head = () => ({ sessionId, seq: seq++, atUnixUs: Date.now() * 1000 });
    if (seq === 0) {
      const principal = {
        kind: 'person' as const,
        name: 'bench@example.com',
        issuer: 'https://idp.example',
        subject: 'b',
        groups: ['g'],
        delegation: [],
      };
      this.#spool.append(
        encodeSessionStarted(head(), { resource: 'crm', protocol: 'postgres', agent: 'bench', clientAddress: '10.0.0.1:1', principal }),
      );
    }
    const commandSeq = seq;
    const text = `select id, name, email from customers where id = 4711 -- ${mark}`;
    this.#spool.append(
      encodeCommand(head(), {
        kind: 'query',
        text,
        decision: 'allow',
        statements: ['select'],
        objects: ['public.customers'],
        database: 'app',
      }),
    );
    const last = this.#spool.append(
      encodeResponse(head(), {
        commandSeq,
        status: 'ok',
        rows: 1,
        bytes: 48,
        durationUs: 900,
        tag: 'SELECT 1',
        head: Buffer.from('4711\tAda'),
      }),
    );
    this.#next.set(session, seq);
    await this.#spool.durable(last);
  }
}

async function count(store: SessionStore, name: string): Promise<number> {
  const [row] = await store.rows<{ n: string }>(
    `SELECT count() AS n FROM sallyport.commands WHERE startsWith(session_id, {name:String}) AND status = 'ok'`,
    { name },
  );
  return Number(row?.n ?? 0);
}

async function arrived(store: SessionStore, name: string, wanted: number): Promise<void> {
  const deadline = Date.now() + ARRIVAL_MS_MAX;
  for (let found = 0; found < wanted; ) {
    found = await count(store, name).catch(() => 0);
    if (found > wanted) throw new Error(`${found} commands of ${wanted}: something is there twice`);
    if (Date.now() > deadline) throw new Error(`${found} commands of ${wanted} after ${ARRIVAL_MS_MAX} ms`);
    if (found < wanted) await delay(POLL_MS);
  }
}

export async function run({ rounds }: { rounds: number }): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-pipeline-'));
  const kafka = await startKafka();
  const store = await spawnStore(path.join(dir, 'store'));
  const flags = { kafka: kafka.brokers.join(','), 'kafka-partitions': '4' };
  const config = kafkaConfig(flags, {}, 'bench');
  if (config === null) throw new Error('no brokers');
  await prepareTopics(config, [recordsTopic(config)]);
  const ingest = await spawnProcess(
    ingestScript,
    ['--kafka', flags.kafka, '--kafka-partitions', '4', '--clickhouse', store.url],
    writerEnv,
  );
  const tables = openSessionStore({ url: store.url, username: writer.name, password: writer.password });
  const spool = await openSpool({ dir: path.join(dir, 'spool'), bytesMax: 512 * 1024 * 1024 });
  const producer = new KafkaProducer({ config, topic: config.topics.records, messageType: 'bench', patienceMs: 20_000 });
  const log = pino({ level: 'error' });
  const shipper = new Shipper({ relay: () => new KafkaStream(producer), agentId: () => 'bench', log });
  const shipment = shipper.add(path.join(dir, 'spool'), nextIndex => spool.shipped(nextIndex));
  const watch = setInterval(() => shipper.durable(shipment, spool.durableIndex), 5);
  shipper.start();
  try {
    // The group of ingesters forms, tables are made, code becomes warm.
    const warm = new Sessions(spool, 'warm');
    for (let i = 0; i < 2000; i++) void warm.command(i % SESSIONS, String(i));
    await arrived(tables, 'warm', 2000);
    const rates: number[] = [];
    const processes = { agent: process.pid, ingest: ingest.process.pid ?? 0, store: store.process.pid ?? 0 };
    const before = Object.values(processes).map(processorMs);
    for (let round = 0; round < rounds; round++) {
      const sessions = new Sessions(spool, `bulk${round}`);
      const then = performance.now();
      await Promise.all(
        Array.from({ length: SESSIONS }, async (_, session) => {
          for (let i = session; i < COMMANDS; i += SESSIONS) await sessions.command(session, String(i));
        }),
      );
      const spooled = (performance.now() - then) / 1000;
      await arrived(tables, `bulk${round}`, COMMANDS);
      const seconds = (performance.now() - then) / 1000;
      rates.push(COMMANDS / seconds);
      console.error(
        `  round ${round + 1}/${rounds}: ${COMMANDS} commands spooled in ${spooled.toFixed(1)} s, stored in ${seconds.toFixed(1)} s`,
      );
    }
    const rate = median(rates);
    figure({
      bench: 'evidence',
      case: 'agent → Kafka → ClickHouse, sustained',
      subject: 'sallyport',
      value: rate,
      unit: 'commands/s',
      target: `at least ${RATE}`,
      met: rate >= RATE,
    });
    // What does not depend on what else the machine does.
    for (const [place, [subject, pid]] of Object.entries(processes).entries()) {
      const spent = processorMs(pid) - (before[place] ?? 0);
      figure({
        bench: 'evidence',
        case: 'agent → Kafka → ClickHouse, processor time',
        subject,
        value: (spent * 1000) / (COMMANDS * rounds),
        unit: 'µs/command',
      });
    }
    const waits = await probe(spool, tables);
    const p99 = waits[Math.min(waits.length - 1, Math.floor(waits.length * 0.99))] ?? Number.NaN;
    figure({ bench: 'evidence', case: 'answered → queryable', subject: 'sallyport', value: median(waits), unit: 's p50' });
    figure({
      bench: 'evidence',
      case: 'answered → queryable',
      subject: 'sallyport',
      value: p99,
      unit: 's p99',
      target: `under ${P99_SECONDS}`,
      met: p99 < P99_SECONDS,
    });
  } finally {
    clearInterval(watch);
    await shipper.stop();
    await producer.close();
    await spool.close();
    await tables.close();
    await ingest.kill('SIGKILL');
    await store.kill('SIGKILL');
    await kafka.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** User and system time of a process so far. */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it, in hundredths of a second.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** @returns how long each of some commands took until a query showed it, in seconds, ascending; on top comes the pause between queries. */
async function probe(spool: Spool, store: SessionStore): Promise<number[]> {
  const sessions = new Sessions(spool, 'probe');
  const answeredAt: number[] = [];
  const seenAt: number[] = [];
  let asking = true;
  const watching = (async () => {
    while (asking || seenAt.length < PROBES) {
      const found = await count(store, 'probe').catch(() => 0);
      const now = performance.now();
      while (seenAt.length < found) seenAt.push(now);
      await delay(POLL_MS);
    }
  })();
  for (let i = 0; i < PROBES; i++) {
    await sessions.command(0, `probe ${i}`);
    answeredAt.push(performance.now());
    await delay(PROBE_PAUSE_MS);
  }
  asking = false;
  await watching;
  return seenAt.map((at, i) => (at - (answeredAt[i] ?? at)) / 1000).sort((a, b) => a - b);
}
