import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Admin, ConfigResourceTypes, IncrementalAlterConfigOperationTypes } from '@platformatic/kafka';
import { clientOptions } from '@sallyport/kafka/client.ts';
import { type KafkaConfig, type KafkaFlagValues, kafkaConfig } from '@sallyport/kafka/config.ts';
import { controlTopic, prepareTopics, recordsTopic } from '@sallyport/kafka/topics.ts';
import { startKafka } from '../../e2e/components/kafka.ts';
import { makeCertificates } from '../../e2e/components/postgres.ts';
import { racingWriters } from '../aggregates/racing-writers.ts';
import { eventLogConformance } from './conformance.ts';
import { openFileLog } from './file-log.ts';
import { openKafkaLog, openKafkaLogReader } from './kafka-log.ts';

const kafka = await startKafka();
after(() => kafka.stop());

let topics = 0;
/** As a user would give it: encrypted, with a name and a password. */
function config(flags: KafkaFlagValues = {}, password = kafka.user.password): KafkaConfig {
  const made = kafkaConfig(
    {
      kafka: kafka.secureBrokers.join(','),
      'kafka-ca': kafka.ca,
      'kafka-user': kafka.user.name,
      'kafka-topics': `test-${topics++}`,
      'kafka-partitions': '2',
      ...flags,
    },
    { SALLYPORT_KAFKA_PASSWORD: password },
    'test',
  );
  assert.ok(made);
  return made;
}

async function freshTopic(): Promise<{ config: KafkaConfig; open: () => Promise<ReturnType<typeof openKafkaLog>> }> {
  const made = config();
  await prepareTopics(made, [controlTopic(made)]);
  const options = { config: made, topic: made.topics.control, messageType: 'test', patienceMs: 20_000 };
  return { config: made, open: async () => openKafkaLog(options) };
}

eventLogConformance('Kafka', async () => {
  const topic = await freshTopic();
  return {
    open: topic.open,
    follow: () => openKafkaLogReader(topic.config, topic.config.topics.control),
    dispose: async () => undefined,
  };
});

const race = { replicas: 3, writersPerReplica: 3, changesPerWriter: 10, streams: 3 };

test('writers that race, crash and send twice end in one history (Kafka)', async () => {
  for (const seed of [1, 2]) {
    const { open } = await freshTopic();
    const { entries, acknowledged } = await racingWriters({ ...race, seed, open });
    assert.ok(entries > BigInt(acknowledged), 'some appends lost their race or came twice');
  }
});

test('writers that race, crash and send twice end in one history (files)', async () => {
  for (const seed of [1, 2]) {
    const root = await mkdtemp(join(tmpdir(), 'sallyport-race-'));
    // Files have one writer: all replicas append through it.
    const log = await openFileLog({ dir: join(root, 'topic') });
    const { entries, acknowledged } = await racingWriters({
      ...race,
      seed,
      open: async () => ({ ...bound(log), close: async () => undefined }),
    });
    assert.ok(entries > BigInt(acknowledged));
    await log.close();
    await rm(root, { recursive: true });
  }
});

function bound(log: Awaited<ReturnType<typeof openFileLog>>): Awaited<ReturnType<typeof openFileLog>> {
  return {
    append: entries => log.append(entries),
    read: (from, max) => log.read(from, max),
    endOffset: () => log.endOffset(),
    waitFor: (offset, timeoutMs, signal) => log.waitFor(offset, timeoutMs, signal),
    close: () => log.close(),
  };
}

test('a topic that would lose the truth stops the start; one that only weakens it is warned about, each in a line', async () => {
  const made = config();
  const plans = [controlTopic(made), recordsTopic(made)];
  const warnings = await prepareTopics(made, plans);
  assert.deepEqual(warnings, [
    `Topic ${made.topics.control}: it has 1 replica (the cluster has 1 broker): with fewer than 3, a lost disk loses entries.`,
    `Topic ${made.topics.records}: it has 1 replica (the cluster has 1 broker): with fewer than 3, a lost disk loses entries.`,
  ]);
  assert.deepEqual(await prepareTopics(made, plans), warnings, 'a second start finds the same');
  const admin = new Admin(clientOptions(made, 3));
  try {
    const set = (topic: string, settings: Record<string, string>) =>
      admin.incrementalAlterConfigs({
        resources: [
          {
            resourceType: ConfigResourceTypes.TOPIC,
            resourceName: topic,
            configs: Object.entries(settings).map(([name, value]) => ({
              name,
              value,
              configOperation: IncrementalAlterConfigOperationTypes.SET,
            })),
          },
        ],
      });
    await set(made.topics.records, { 'retention.ms': '3600000' });
    assert.match(
      (await prepareTopics(made, plans)).join('\n'),
      /records: retention\.ms is 3600000: what ingest has not taken within that time is lost/,
    );
    await set(made.topics.control, { 'retention.ms': '604800000', 'cleanup.policy': 'compact' });
    await assert.rejects(prepareTopics(made, plans), {
      code: 'KAFKA_TOPIC_UNFIT',
      message: new RegExp(
        `^Topic ${made.topics.control}: cleanup.policy must be delete: .* Topic ${made.topics.control}: retention.ms is 604800000 and must be -1`,
      ),
    });
    await admin.createTopics({ topics: ['wide.control'], partitions: 3, replicas: 1 });
    const wide = config({ 'kafka-topics': 'wide' });
    await assert.rejects(prepareTopics(wide, [controlTopic(wide)]), {
      code: 'KAFKA_TOPIC_UNFIT',
      message: /has 3 partitions and needs exactly 1/,
    });
  } finally {
    await admin.close();
  }
});

test('a wrong password, a foreign CA and a broker that is not there are told apart, without the password', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-ca-'));
  makeCertificates(dir);
  const plans = (made: KafkaConfig) => [controlTopic(made)];
  const refused = config({}, 'not-the-password');
  await assert.rejects(prepareTopics(refused, plans(refused)), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'KAFKA_UNAUTHENTICATED');
    assert.doesNotMatch(JSON.stringify([error.message, String(error)]), /not-the-password/);
    return true;
  });
  const distrusted = config({ 'kafka-ca': join(dir, 'ca.crt') });
  await assert.rejects(prepareTopics(distrusted, plans(distrusted)), { code: 'KAFKA_UNAVAILABLE', message: /certificate/ });
  const nowhere = config({ kafka: '127.0.0.1:1' });
  await assert.rejects(prepareTopics(nowhere, plans(nowhere)), { code: 'KAFKA_UNAVAILABLE', message: /127\.0\.0\.1:1/ });
  await rm(dir, { recursive: true });
});
