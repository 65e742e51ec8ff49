/** The control plane's topics and the relay of agents' records in Kafka: a file of its own, loaded only where there is a Kafka. */
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaProducer } from '@sallyport/kafka/producer.ts';
import { KafkaRelay } from './grpc/kafka-relay.ts';
import { openKafkaLog } from './log/kafka-log.ts';
import { KafkaMergedReader } from './log/kafka-merged-reader.ts';
import { prepareKafka, preparePresence } from './log/prepare-kafka.ts';
import type { OpenLogs, OpenLogsOptions } from './open-logs.ts';

/** How long an append is tried before its writer is told that it is uncertain; leader elections take less. */
const patienceMs = 20_000;
/** Of what is soon said again. */
const presencePatienceMs = 5_000;

/**
 * @param onPrepared called once the topics are there, before anything is opened.
 * @throws {GatewayError} KAFKA_….
 */
export async function openKafka(
  config: KafkaConfig,
  { logger, onOpened }: OpenLogsOptions,
  onPrepared: () => Promise<void>,
): Promise<OpenLogs> {
  await prepareKafka(config, warning => logger.warn(warning));
  await onPrepared();
  const isTold = await preparePresence(config, warning => logger.warn(warning));
  const control = openKafkaLog({ config, topic: config.topics.control, messageType: 'sallyport.control.v1.ControlEvent', patienceMs });
  onOpened(() => control.close());
  const records = new KafkaMergedReader(config, config.topics.records);
  onOpened(() => records.close());
  const relay = new KafkaRelay(
    new KafkaProducer({
      config,
      topic: config.topics.records,
      messageType: 'sallyport.records.v1.RecordBatch',
      patienceMs,
      onProblem: problem => {
        if (problem === null) logger.info('Kafka takes records again');
        else logger.warn({ err: problem }, 'Kafka takes no records: they wait in the agents’ spools');
      },
    }),
  );
  onOpened(() => relay.close());
  const presence = isTold
    ? openKafkaLog({
        ...{ config, topic: config.topics.presence, messageType: 'sallyport.agent.v1.SessionObserved' },
        patienceMs: presencePatienceMs,
      })
    : null;
  onOpened(() => presence?.close());
  return { control, records, relay, presence };
}
