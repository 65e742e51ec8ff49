/**
 * The control plane's topics and the relay of agents' records: in files of the data folder, or in Kafka.
 *
 * A data folder that has begun with one of the two is not opened with the other: it would start from an empty history and look as if
 * everything had been deleted.
 */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import { RecordRelay, type Relay } from './grpc/relay.ts';
import type { EventLog, LogReader } from './log/event-log.ts';
import { openFileLog } from './log/file-log.ts';

export interface OpenLogs {
  control: EventLog;
  /** To watch; in Kafka the order between partitions is only about that of time. */
  records: LogReader;
  relay: Relay;
  /** By which replicas tell each other who watches sessions; null where there are no others, or no way to them. */
  presence: EventLog | null;
}

export interface OpenLogsOptions {
  dataDir: string;
  kafka: KafkaConfig | null;
  clock: () => number;
  logger: Logger;
  /** Called with what must be closed at the end, in reverse order. */
  onOpened: (closer: () => Promise<void> | void) => void;
}

const marksSavedEveryMs = 30_000;

/** @throws {GatewayError} LOG_ELSEWHERE, LOG_CORRUPT, KAFKA_…. */
export async function openLogs(options: OpenLogsOptions): Promise<OpenLogs> {
  const { dataDir, kafka } = options;
  const inFiles = join(dataDir, 'log', 'sallyport.control');
  const inKafka = join(dataDir, 'log', 'kafka.json');
  if (kafka === null) {
    const topics = await readFile(inKafka, 'utf8').catch(() => null);
    if (topics !== null) {
      throw new GatewayError(
        'LOG_ELSEWHERE',
        'conflict',
        `The log of ${dataDir} is in Kafka (${topics.trim()}): start with --kafka. To go back to files: sallyport control-plane backup and restore.`,
      );
    }
    return openFiles(options);
  }
  if (await exists(inFiles)) {
    throw new GatewayError(
      'LOG_ELSEWHERE',
      'conflict',
      `${dataDir} has its log in files, which --kafka would leave behind. Move it: sallyport control-plane backup, then restore with --kafka into a new folder.`,
    );
  }
  await mkdir(join(dataDir, 'log'), { recursive: true, mode: 0o700 });
  // A client of some hundred files, which nobody else waits for.
  const { openKafka } = await import('./open-kafka.ts');
  return openKafka(kafka, options, () => writeFile(inKafka, `${JSON.stringify(kafka.topics)}\n`, { mode: 0o600 }));
}

async function openFiles({ dataDir, clock, logger, onOpened }: OpenLogsOptions): Promise<OpenLogs> {
  const control = await openFileLog({ dir: join(dataDir, 'log', 'sallyport.control'), clock });
  onOpened(() => control.close());
  const records = await openFileLog({ dir: join(dataDir, 'log', 'sallyport.records'), clock });
  onOpened(() => records.close());
  const relay = await RecordRelay.open(records, join(dataDir, 'log', 'relay-marks.json'));
  onOpened(() => relay.close());
  const saving = setInterval(() => {
    relay.saveMarks().catch((error: unknown) => logger.warn({ err: errorText(error) }, 'relay marks were not saved'));
  }, marksSavedEveryMs);
  onOpened(() => clearInterval(saving));
  return { control, records, relay, presence: null };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
