/**
 * Ingest from Kafka: a member of the group of ingesters, which share the partitions of the records' topic and the control topic among
 * them. With each division of the group the followers are started anew, with nothing remembered.
 */
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { KafkaFetcher } from '@sallyport/kafka/fetcher.ts';
import { type Assignment, KafkaGroup } from '@sallyport/kafka/group.ts';
import { openKafkaLogReader } from '../log/kafka-log.ts';
import { ControlWriter } from './control-batch.ts';
import { PartitionsFollower } from './partitions-follower.ts';
import { RecordsWriter } from './records-batch.ts';
import type { SessionStore } from './session-store.ts';
import { type FollowerLog, noFigures, type TopicFigures, TopicFollower } from './topic-follower.ts';

export interface KafkaIngestOptions {
  config: KafkaConfig;
  store: SessionStore;
  batchAgeMs: number;
  batchBytesMax: number;
  log: FollowerLog;
}

export class KafkaIngest {
  /** By topic; of the partitions that this ingester has. */
  readonly figures: ReadonlyMap<string, TopicFigures>;
  readonly #options: KafkaIngestOptions;

  constructor(options: KafkaIngestOptions) {
    this.#options = options;
    const { control, records } = options.config.topics;
    this.figures = new Map([
      [records, noFigures()],
      [control, noFigures()],
    ]);
  }

  /**
   * Runs until the signal fires.
   * @throws {GatewayError} what a follower throws: the log or the store is another than it was.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { config, log } = this.#options;
    const { control, records } = config.topics;
    const fetcher = new KafkaFetcher(config, records);
    const controlReader = openKafkaLogReader(config, control);
    const failed = Promise.withResolvers<never>();
    let stopFollowing = new AbortController();
    /** Those of the last division and, while they finish their batch, of the one before. */
    let following: Promise<void> = Promise.resolve();
    const group = new KafkaGroup({
      config,
      groupId: `${records}-ingest`,
      topics: [records, control],
      onAssigned: assignment => {
        log('info', { partitions: Object.fromEntries(assignment) }, 'the partitions are divided');
        stopFollowing.abort();
        const stop = new AbortController();
        stopFollowing = stop;
        following = following.then(() => this.#follow(assignment, fetcher, controlReader, stop.signal));
        following.catch(failed.reject);
      },
      onProblem: problem => {
        if (problem === null) log('info', {}, 'in the group of ingesters again');
        else log('warn', { error: problem }, 'the group of ingesters cannot be reached, will try again');
      },
    });
    const stopped = new Promise<void>(resolve => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    group.join();
    try {
      await Promise.race([stopped, failed.promise]);
    } finally {
      stopFollowing.abort();
      await following.catch(() => undefined); // `failed` has it.
      await Promise.all([group.close(), fetcher.close(), controlReader.close()]);
    }
  }

  async #follow(
    assignment: Assignment,
    fetcher: KafkaFetcher,
    controlReader: ReturnType<typeof openKafkaLogReader>,
    signal: AbortSignal,
  ): Promise<void> {
    if (signal.aborted) return;
    const { config, store, batchAgeMs, batchBytesMax, log } = this.#options;
    const { control, records } = config.topics;
    const figures = (topic: string) => this.figures.get(topic) ?? noFigures();
    for (const one of this.figures.values()) Object.assign(one, { nextOffset: 0n, endOffset: 0n, problem: null });
    const common = { store, batchAgeMs, batchBytesMax, log };
    await Promise.all([
      new PartitionsFollower({
        ...common,
        topic: records,
        partitions: assignment.get(records) ?? [],
        fetcher,
        writer: new RecordsWriter(store),
        figures: figures(records),
      }).run(signal),
      ...((assignment.get(control) ?? []).length === 0
        ? []
        : [
            new TopicFollower({
              ...common,
              topic: control,
              reader: controlReader,
              writer: new ControlWriter(store),
              figures: figures(control),
            }).run(signal),
          ]),
    ]);
  }
}
