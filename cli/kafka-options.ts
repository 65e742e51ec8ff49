/** Kafka's flags (kafka/config.ts) on commands of the command line. */
import { type KafkaFlagValues, kafkaFlags, kafkaHelp } from '@sallyport/kafka/config.ts';
import type { Command } from 'commander';

export function addKafkaOptions(command: Command): Command {
  for (const [flags, text] of kafkaHelp) command.option(flags, text);
  return command;
}

/** Commander names options in camel case. */
export function kafkaValues(options: Readonly<Record<string, unknown>>): KafkaFlagValues {
  const values: KafkaFlagValues = {};
  for (const name of Object.keys(kafkaFlags) as (keyof typeof kafkaFlags)[]) {
    const value = options[name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof value === 'string' || typeof value === 'boolean') values[name] = value;
  }
  return values;
}
