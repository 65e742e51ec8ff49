/**
 * Membership of a consumer group: which partitions of some topics this process is to read now, shared with the others of the group.
 *
 * Only the division of labour: nothing is read here, and no positions are kept in Kafka. A member that was cut off may go on for some
 * seconds with partitions that another has got by then, so what members do must bear being done twice.
 */
import { Consumer, type GroupAssignment } from '@platformatic/kafka';
import { clientOptions, kafkaErrorText } from './client.ts';
import type { KafkaConfig } from './config.ts';

/** topic → partitions, ascending. */
export type Assignment = ReadonlyMap<string, readonly number[]>;

export interface KafkaGroupOptions {
  config: KafkaConfig;
  groupId: string;
  topics: readonly string[];
  /** Called each time the group is divided anew, also when this process keeps what it had: another may have had it in between. */
  onAssigned: (assignment: Assignment) => void;
  /** Told when the group cannot be reached, and (null) when this process belongs to it again. */
  onProblem: (problem: string | null) => void;
}

/** The shortest that brokers allow by default: what a killed member had is read by others after this. */
const sessionMs = 6_000;
const heartbeatMs = 1_500;
const rebalanceMsMax = 15_000;
const rejoinPauseMs = 500;
const retries = 5;

export class KafkaGroup {
  readonly #options: KafkaGroupOptions;
  #consumer: Consumer | null = null;
  #timer: NodeJS.Timeout | null = null;
  #problem = false;
  #closed = false;

  constructor(options: KafkaGroupOptions) {
    this.#options = options;
  }

  /** Joins, and joins again whenever it was thrown out, until `close`. */
  join(): void {
    if (this.#closed) return;
    const { config, groupId, topics } = this.#options;
    const consumer = new Consumer({
      ...clientOptions(config, retries),
      groupId,
      sessionTimeout: sessionMs,
      heartbeatInterval: heartbeatMs,
      rebalanceTimeout: rebalanceMsMax,
    });
    consumer.topics.trackAll(...topics);
    this.#consumer = consumer;
    const failed = (error: unknown) => void this.#again(consumer, error);
    // A failure of joining again after a rebalance comes only here.
    consumer.on('error', failed);
    consumer.on('consumer:heartbeat:stalled', ({ lastError, stalledFor }) =>
      failed(lastError ?? new Error(`no answer to heartbeats for ${stalledFor} ms`)),
    );
    consumer.on('consumer:group:join', ({ assignments }) => this.#take(consumer, assignments ?? []));
    consumer.joinGroup({}, error => {
      if (error !== null) failed(error);
    });
  }

  /** Leaves, so that the others need not wait for it to be missed. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const consumer = this.#consumer;
    this.#consumer = null;
    if (consumer === null) return;
    await Promise.race([
      // An error of leaving is of no use any more: the others find out by themselves.
      (async () => consumer.leaveGroup(true))().then(
        () => consumer.close(true),
        () => consumer.close(true),
      ),
      new Promise(resolve => setTimeout(resolve, rejoinPauseMs)),
    ]);
  }

  #take(consumer: Consumer, assignments: readonly GroupAssignment[]): void {
    if (this.#closed || consumer !== this.#consumer) return;
    if (this.#problem) this.#options.onProblem(null);
    this.#problem = false;
    const assignment = new Map<string, readonly number[]>();
    for (const { topic, partitions } of assignments) {
      assignment.set(
        topic,
        [...new Set([...(assignment.get(topic) ?? []), ...partitions])].sort((a, b) => a - b),
      );
    }
    this.#options.onAssigned(assignment);
  }

  async #again(consumer: Consumer, error: unknown): Promise<void> {
    if (this.#closed || consumer !== this.#consumer) return;
    this.#consumer = null;
    this.#problem = true;
    this.#options.onProblem(kafkaErrorText(error));
    this.#timer = setTimeout(() => this.join(), rejoinPauseMs);
    await consumer.close(true).catch(() => undefined); // It is of no use any more, whatever it says.
  }
}
