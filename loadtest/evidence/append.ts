/**
 * A conditional append to the control log in Kafka, until its writer has seen that it counts, against a plain produce of the same bytes to
 * a topic beside it; one real broker. Subjects alternate.
 */
import { action, ControlLog } from '@sallyport/control-plane/aggregates/control-log.ts';
import { ticketAggregate } from '@sallyport/control-plane/aggregates/ticket-revocation.ts';
import { openKafkaLog } from '@sallyport/control-plane/log/kafka-log.ts';
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { controlTopic, prepareTopics, recordsTopic } from '@sallyport/kafka/topics.ts';
import { startKafka } from '../../e2e/components/kafka.ts';
import { alternate, figure, median } from '../harness/figures.ts';

const APPENDS = 200;
const RATIO = 1.5;
const PROVENANCE = { author: 'bench', authorAddress: '127.0.0.1', reason: '', requestId: '' };

export async function run({ rounds }: { rounds: number }): Promise<void> {
  const kafka = await startKafka();
  const config = kafkaConfig({ kafka: kafka.brokers.join(','), 'kafka-partitions': '1' }, {}, 'bench');
  if (config === null) throw new Error('no brokers');
  await prepareTopics(config, [controlTopic(config), recordsTopic(config)]);
  const log = openKafkaLog({ config, topic: config.topics.control, messageType: 'bench', patienceMs: 20_000 });
  const control = await ControlLog.open(log, {
    onFault: error => {
      throw error;
    },
  });
  const producer = new KafkaProducer({ config, topic: config.topics.records, messageType: 'bench', patienceMs: 20_000 });
  const value = Buffer.alloc(260, 'x');
  let made = 0;
  const work: Record<string, () => Promise<unknown>> = {
    produce: () => producer.append(0, [{ key: Buffer.from(`ticket/${made++}`), value }]),
    append: () =>
      control.execute([action(ticketAggregate, `bench-${made++}`, { type: 'revoke', expiresAtMs: Date.now() + 1000 })], PROVENANCE),
  };
  const waits = new Map<string, number[]>(Object.keys(work).map(name => [name, []]));
  try {
    // Not counted: code that the engine has not compiled yet, connections that are not open yet.
    for (const one of Object.values(work)) for (let i = 0; i < APPENDS; i++) await one();
    await alternate([{ name: 'produce' }, { name: 'append' }], rounds, async ({ name }) => {
      const round: number[] = [];
      for (let i = 0; i < APPENDS; i++) {
        const then = performance.now();
        await work[name]?.();
        round.push(performance.now() - then);
      }
      waits.get(name)?.push(...round);
      return median(round);
    });
  } finally {
    await control.close();
    await Promise.all([log.close(), producer.close()]);
    await kafka.stop();
  }
  const of = (name: string, rank: number) => {
    const sorted = (waits.get(name) ?? []).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * rank))] ?? Number.NaN;
  };
  for (const [unit, rank] of [
    ['ms p50', 0.5],
    ['ms p99', 0.99],
  ] as const) {
    const [plain, conditional] = [of('produce', rank), of('append', rank)];
    figure({ bench: 'evidence', case: 'plain produce, acks=all', subject: 'kafka', value: plain, unit });
    figure({
      bench: 'evidence',
      case: 'conditional append, seen by its writer',
      subject: 'sallyport',
      value: conditional,
      unit,
      ratios: { 'plain produce': conditional / plain },
      target: `at most ${RATIO} × a plain produce`,
      met: conditional / plain <= RATIO,
    });
  }
}
