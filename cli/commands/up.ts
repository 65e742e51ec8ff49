/** `sallyport up`: everything on this machine, as child processes. The work is in cli/supervisor. */
import type { KafkaFlagValues } from '@sallyport/kafka/config.ts';
import { Command } from 'commander';
import { addKafkaOptions, kafkaValues } from '../kafka-options.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

export function define(terminal: Terminal, exit: (code: number) => void): Command {
  const command = new Command('sallyport up')
    .description('Starts the control plane, an agent, the session store and the ingest on this machine, and keeps them running.')
    .option('--config <DIR>', 'folder of manifests to apply; without it, what was applied before stays')
    .option('--data <DIR>', 'data folder (SALLYPORT_DATA; default ./.sallyport)')
    .option('--demo', 'add a sample database, a sample identity provider and, without --config, sample manifests')
    .option('--console-port <N>', 'port of the console and API (preferred: 8420)', port)
    .option('--grpc-port <N>', 'port that agents dial (preferred: 8421)', port)
    .option('--clickhouse-port <N>', 'port of the session store (preferred: 8123)', port)
    .option(
      '--agent-workers <N>',
      'threads that the agent serves connections with (default: 2, or 1 on a machine with fewer than four cores)',
      workers,
    )
    .option('--outputs <FILE>', 'send evidence on as this file says (docs/reference/outputs.md), from a process of its own')
    .option('--agent-relay', 'with --kafka: the agent sends records through the control plane, as from a network without a way to Kafka')
    .action(async (options: Omit<UpFlags, 'kafka'> & Record<string, unknown>) => {
      const { up } = await import('../supervisor/up.ts');
      exit(await up({ ...options, kafka: kafkaValues(options) }, terminal));
    });
  return addKafkaOptions(command);
}

export interface UpFlags {
  config?: string;
  data?: string;
  demo?: true;
  consolePort?: number;
  grpcPort?: number;
  clickhousePort?: number;
  agentWorkers?: number;
  agentRelay?: true;
  outputs?: string;
  /** As they were given; what is in the environment comes on top. */
  kafka: KafkaFlagValues;
}

function port(text: string): number {
  return wholeNumber(text, 1, 65_535, 'a port is a number from 1 to 65535');
}

function workers(text: string): number {
  return wholeNumber(text, 1, 64, '--agent-workers is a number from 1 to 64');
}

function wholeNumber(text: string, low: number, high: number, complaint: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < low || value > high) throw new UsageError(`${complaint}, not \`${text}\``);
  return value;
}
