/** Makes and checks the topics at a start, waiting for a cluster that is just starting itself. */
import { setTimeout as delay } from 'node:timers/promises';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { controlTopic, makeTopic, prepareTopics, presenceTopic, recordsTopic } from '@sallyport/kafka/topics.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

const patienceMs = 30_000;
const pauseMs = 1_000;

/**
 * @param warn called with a line for each thing that weakens the topics.
 * @throws {GatewayError} KAFKA_TOPIC_UNFIT, KAFKA_TOPIC_MISSING, KAFKA_UNAUTHENTICATED, KAFKA_DENIED at once; KAFKA_UNAVAILABLE after
 *   half a minute.
 */
export async function prepareKafka(config: KafkaConfig, warn: (warning: string) => void): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      for (const warning of await prepareTopics(config, [controlTopic(config), recordsTopic(config)])) warn(warning);
      return;
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'KAFKA_UNAVAILABLE') || Date.now() >= deadline) throw error;
      await delay(pauseMs);
    }
  }
}

/**
 * The topic by which replicas tell each other who watches sessions. Everything else goes on without it.
 * @returns whether it is there.
 */
export async function preparePresence(config: KafkaConfig, warn: (warning: string) => void): Promise<boolean> {
  try {
    await makeTopic(config, presenceTopic(config));
    return true;
  } catch (error) {
    warn(`${errorText(error)} Until then nobody counts as watching a session whose agent is connected to another control plane.`);
    return false;
  }
}
