/**
 * Which Kafka client: what each loses, doubles and for how long it stands still while leaders are killed, and what it can move.
 *
 *     node loadtest/kafka/clients.ts [kills]        default 20
 *
 * Three brokers, three replicas, two must answer. Per client a topic of three partitions whose leaders are alike; both write at the same
 * time, so that every kill meets both. A message counts as lost when its client said that it was there and it is not. Broker 1, 2, 3
 * are killed in turn with SIGKILL and started again. `kafkajs` is used with the guard that its known loss asks for (one send() per
 * partition), and once more without it.
 */

import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { Kafka, logLevel } from 'kafkajs';
import { startKafka } from '../../e2e/components/kafka.ts';
import { figure, median, table } from '../harness/figures.ts';

const kills = Number(process.argv[2] ?? 20);
const partitions = 3;
const batch = 25;
const value = Buffer.alloc(300, 'x');

interface Subject {
  name: string;
  /** Resolves when these are acknowledged. */
  send(partition: number, ids: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

interface Lane {
  partition: number;
  acknowledged: string[];
  lastAckAt: number;
  stallMs: number;
  done: Promise<void>;
}

const cluster = await startKafka({
  nodes: 3,
  settings: { 'broker.session.timeout.ms': '3000', 'broker.heartbeat.interval.ms': '500' },
});
const config: KafkaConfig = {
  brokers: cluster.brokers,
  clientId: 'bench',
  tls: null,
  sasl: null,
  topics: { control: 'c', records: 'r', presence: 'p' },
  compression: 'none',
  recordsPartitions: partitions,
};
const kafka = new Kafka({
  brokers: cluster.brokers,
  logLevel: logLevel.NOTHING,
  retry: { retries: 60, initialRetryTime: 100, maxRetryTime: 500 },
  requestTimeout: 10_000,
  connectionTimeout: 1000,
});

async function platformatic(topic: string): Promise<Subject> {
  const producer = new KafkaProducer({ config, topic, messageType: 'bench', patienceMs: Number.POSITIVE_INFINITY });
  return {
    name: '@platformatic/kafka',
    async send(partition, ids) {
      await producer.append(
        partition,
        ids.map(id => ({ key: Buffer.from(id), value })),
      );
    },
    close: () => producer.close(),
  };
}

async function kafkajs(topic: string, guarded: boolean): Promise<Subject> {
  const producer = kafka.producer({ idempotent: true, ...(guarded ? { maxInFlightRequests: 1 } : {}) });
  await producer.connect();
  let waiting: { partition: number; key: string; value: Buffer }[] = [];
  let sending: Promise<void> = Promise.resolve();
  const record = (partition: number, ids: readonly string[]) => ids.map(key => ({ partition, key, value }));
  return {
    name: guarded ? 'kafkajs, one send() per partition' : 'kafkajs, keyed sends',
    async send(partition, ids) {
      if (guarded) {
        for (;;) {
          try {
            await producer.send({ topic, acks: -1, messages: record(partition, ids) });
            return;
          } catch {
            await new Promise(resolve => setTimeout(resolve, 250));
          }
        }
      }
      // As an application would do it: whatever waits goes out in one call, over all partitions.
      waiting.push(...record(partition, ids));
      await new Promise(resolve => setImmediate(resolve));
      const turn = sending.then(async () => {
        const messages = waiting;
        waiting = [];
        if (messages.length > 0) await producer.send({ topic, acks: -1, messages });
      });
      sending = turn.catch(() => undefined);
      await turn;
    },
    close: () => producer.disconnect(),
  };
}

/** Writes to one partition without an end, a batch after the other, at a gentle pace. */
function lane(subject: Subject, partition: number, stop: AbortSignal): Lane {
  const state: Lane = { partition, acknowledged: [], lastAckAt: Date.now(), stallMs: 0, done: Promise.resolve() };
  state.done = (async () => {
    for (let n = 0; !stop.aborted; n++) {
      const ids = Array.from({ length: batch }, (_, i) => `${partition}.${n}.${i}`);
      try {
        await subject.send(partition, ids);
      } catch {
        continue; // Not acknowledged: not counted.
      }
      state.acknowledged.push(...ids);
      const now = Date.now();
      state.stallMs = Math.max(state.stallMs, now - state.lastAckAt);
      state.lastAckAt = now;
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  })();
  return state;
}

async function stored(topic: string): Promise<Map<string, number>> {
  const fetcher = new KafkaFetcher(config, topic);
  const counts = new Map<string, number>();
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  const bounds = await fetcher.bounds(all);
  const from = new Map([...bounds].map(([partition, { first }]) => [partition, first]));
  for (;;) {
    const behind = new Map([...from].filter(([partition, offset]) => offset < (bounds.get(partition)?.end ?? 0n)));
    if (behind.size === 0) break;
    const { entries, next } = await fetcher.fetch(behind, { waitMs: 500, bytesMax: 4 << 20 });
    for (const { key } of entries) {
      const id = Buffer.from(key).toString();
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const [partition, offset] of next) from.set(partition, offset);
  }
  await fetcher.close();
  return counts;
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));
const admin = kafka.admin();
await admin.connect();
const names = ['platformatic', 'kafkajs', 'kafkajs-keyed'];
await admin.createTopics({
  waitForLeaders: true,
  topics: names.map(topic => ({
    topic,
    replicaAssignment: [
      { partition: 0, replicas: [1, 2, 3] },
      { partition: 1, replicas: [2, 3, 1] },
      { partition: 2, replicas: [3, 1, 2] },
    ],
    configEntries: [{ name: 'min.insync.replicas', value: '2' }],
  })),
});
const inSync = async () =>
  (await admin.fetchTopicMetadata({ topics: names })).topics.every(topic => topic.partitions.every(({ isr }) => isr.length === 3));

// What they can move, alternated, before anything is broken.
const throughput = new Map<string, number[]>();
const makers: [string, (topic: string) => Promise<Subject>][] = [
  ['platformatic', platformatic],
  ['kafkajs', topic => kafkajs(topic, true)],
];
for (let round = 0; round < 5; round++) {
  for (const [topic, make] of round % 2 === 0 ? makers : makers.toReversed()) {
    const subject = await make(topic);
    const ids = Array.from({ length: 500 }, (_, i) => `warm.${i}`);
    await subject.send(0, ids);
    const started = Date.now();
    const cpu = process.cpuUsage();
    let count = 0;
    await Promise.all(
      [0, 1, 2].map(async partition => {
        while (Date.now() - started < 1500) {
          await subject.send(partition, ids);
          count += ids.length;
        }
      }),
    );
    const { user, system } = process.cpuUsage(cpu);
    const rate = (count / (Date.now() - started)) * 1000;
    throughput.set(subject.name, [...(throughput.get(subject.name) ?? []), rate]);
    const key = `${subject.name} cpu`;
    throughput.set(key, [...(throughput.get(key) ?? []), (user + system) / count]);
    await subject.close();
  }
}

const stop = new AbortController();
const running = await Promise.all(
  [...makers, ['kafkajs-keyed', (topic: string) => kafkajs(topic, false)] as const].map(async ([topic, make]) => {
    const subject = await make(topic);
    return { topic, subject, lanes: [0, 1, 2].map(partition => lane(subject, partition, stop.signal)), stalls: [] as number[] };
  }),
);
await sleep(1000);
for (let kill = 0; kill < kills; kill++) {
  const node = (kill % 3) + 1;
  for (const { lanes } of running) for (const one of lanes) one.stallMs = 0;
  await cluster.kill(node);
  const killedAt = Date.now();
  while (Date.now() - killedAt < 60_000) {
    await sleep(200);
    if (Date.now() - killedAt > 4_000 && running.every(({ lanes }) => lanes.every(one => Date.now() - one.lastAckAt < 200))) break;
  }
  for (const { lanes, stalls } of running) stalls.push(Math.max(...lanes.map(one => Math.max(one.stallMs, Date.now() - one.lastAckAt))));
  await cluster.revive(node);
  const revivedAt = Date.now();
  while (Date.now() - revivedAt < 60_000 && !(await inSync().catch(() => false))) await sleep(200);
  console.error(
    `kill ${kill + 1}/${kills} (broker ${node}): stalls ${running.map(({ subject, stalls }) => `${subject.name} ${stalls.at(-1)} ms`).join(', ')}`,
  );
}
stop.abort();
for (const { topic, subject, lanes, stalls } of running) {
  await Promise.race([Promise.all(lanes.map(one => one.done)), sleep(20_000)]);
  const acknowledged = lanes.flatMap(one => one.acknowledged);
  const there = await stored(topic);
  const lost = acknowledged.filter(id => !there.has(id)).length;
  const doubled = acknowledged.filter(id => (there.get(id) ?? 0) > 1).length;
  const base = { bench: 'kafka-clients', subject: subject.name };
  const chosen = topic === 'platformatic';
  figure({ ...base, case: `acknowledged, ${kills} leader kills`, value: acknowledged.length, unit: 'messages' });
  figure({ ...base, case: 'lost', value: lost, unit: 'messages', ...(chosen ? { target: '0', met: lost === 0 } : {}) });
  figure({ ...base, case: 'doubled', value: doubled, unit: 'messages' });
  figure({ ...base, case: 'stall, median', value: median(stalls), unit: 'ms' });
  figure({ ...base, case: 'stall, longest', value: Math.max(...stalls), unit: 'ms' });
  const rate = throughput.get(subject.name);
  if (rate !== undefined) {
    figure({ ...base, case: 'throughput, 300 bytes, 3 partitions', value: median(rate), unit: 'messages/s' });
    figure({ ...base, case: 'processor time', value: median(throughput.get(`${subject.name} cpu`) ?? []), unit: 'µs/message' });
  }
}
table();
await Promise.race([admin.disconnect(), sleep(2000)]);
await cluster.stop();
process.exit(0);
