/** Kafka, when the environment names brokers as for the control plane (SALLYPORT_KAFKA, …). Nothing is made or changed. */
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import { controlTopic, inspectTopics, recordsTopic } from '@sallyport/kafka/topics.ts';
import { checked, type Finding, fine, note, wrong } from './finding.ts';

export async function checkKafka(env: Readonly<Record<string, string | undefined>>): Promise<Finding[]> {
  return checked(
    'Kafka',
    'see whether the brokers run and let this user in; the variables are those of `sallyport control-plane`',
    async () => {
      const config = kafkaConfig({}, env, 'doctor');
      if (config === null) return [];
      const { brokers, missing, faults, warnings } = await inspectTopics(config, [controlTopic(config), recordsTopic(config)]);
      const settings = 'change the topic’s settings with kafka-configs.sh';
      return [
        fine('Kafka', `${brokers} ${brokers === 1 ? 'broker' : 'brokers'}`),
        ...missing.map(name => note('Kafka', `topic ${name} is not there yet`, 'the control plane makes it at its first start')),
        ...faults.map(text => wrong('Kafka', text, settings)),
        ...warnings.map(text => note('Kafka', text, settings)),
      ];
    },
  );
}
