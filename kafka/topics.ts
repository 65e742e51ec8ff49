/**
 * The topics: made when they are missing, and looked at when they are there. What would lose the truth is an error that stops the
 * start; what only weakens it is a warning. Each in one line that says what to change.
 */
import { Admin, ConfigResourceTypes } from '@platformatic/kafka';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { clientOptions, kafkaErrorIds, kafkaFault } from './client.ts';
import type { KafkaConfig } from './config.ts';

export interface TopicPlan {
  name: string;
  partitions: number;
  /** Exactly so many are needed: their order is the order of everything. */
  partitionsFixed: boolean;
  /** 'forever', or how long what is written must at least stay. */
  retention: 'forever' | { madeMs: number; leastMs: number };
  maxMessageBytes: number;
  /** What is over is removed no later than this after; absent: the broker's. */
  segmentMs?: number;
}

/** The parts of a topic's description that decide. */
export interface TopicFacts {
  partitions: number;
  /** The fewest of any partition. */
  replicas: number;
  brokers: number;
  settings: Readonly<Record<string, string>>;
}

export interface TopicFindings {
  faults: string[];
  warnings: string[];
}

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
const replicasWanted = 3;
/** Enough for a broker that is just being elected; a start that fails should say so soon. */
const startRetries = 4;

export function controlTopic(config: KafkaConfig): TopicPlan {
  return {
    name: config.topics.control,
    partitions: 1,
    partitionsFixed: true,
    retention: 'forever',
    maxMessageBytes: 16 * 1024 * 1024,
  };
}

export function recordsTopic(config: KafkaConfig): TopicPlan {
  return {
    name: config.topics.records,
    partitions: config.recordsPartitions,
    partitionsFixed: false,
    retention: { madeMs: 30 * dayMs, leastMs: dayMs },
    maxMessageBytes: 16 * 1024 * 1024,
  };
}

/** Who watches sessions now: nothing in it counts for longer than half a minute, and nothing is lost with it. */
export function presenceTopic(config: KafkaConfig): TopicPlan {
  return {
    name: config.topics.presence,
    partitions: 1,
    partitionsFixed: true,
    retention: { madeMs: hourMs, leastMs: 0 },
    maxMessageBytes: 64 * 1024,
    segmentMs: hourMs,
  };
}

/**
 * Makes a topic where it is missing, and leaves it as it is where it is there.
 * @throws {GatewayError} KAFKA_TOPIC_MISSING when it may not be made; KAFKA_….
 */
export async function makeTopic(config: KafkaConfig, plan: TopicPlan): Promise<void> {
  const admin = new Admin(clientOptions(config, startRetries));
  admin.on('error', () => undefined); // What fails is told by the call that needs it.
  try {
    const existing = await admin.listTopics({});
    if (existing.includes(plan.name)) return;
    const brokers = (await admin.metadata({ topics: [], forceUpdate: true })).brokers.size;
    await createTopic(admin, plan, brokers);
    await describe(admin, plan.name);
  } catch (error) {
    throw kafkaFault(error, 'topics');
  } finally {
    await admin.close().catch(() => undefined);
  }
}

/**
 * Makes the topics that are missing and checks those that are there.
 * @returns warnings, a line each.
 * @throws {GatewayError} KAFKA_TOPIC_UNFIT, with every reason in one line; KAFKA_TOPIC_MISSING when it may not be made; KAFKA_….
 */
export async function prepareTopics(config: KafkaConfig, plans: readonly TopicPlan[]): Promise<string[]> {
  const admin = new Admin(clientOptions(config, startRetries));
  admin.on('error', () => undefined);
  try {
    const existing = new Set(await admin.listTopics({}));
    const brokers = (await admin.metadata({ topics: [], forceUpdate: true })).brokers.size;
    for (const plan of plans) if (!existing.has(plan.name)) await createTopic(admin, plan, brokers);
    const warnings: string[] = [];
    const faults: string[] = [];
    for (const plan of plans) {
      const findings = judgeTopic(plan, await describe(admin, plan.name));
      faults.push(...findings.faults);
      warnings.push(...findings.warnings);
    }
    if (faults.length > 0) throw new GatewayError('KAFKA_TOPIC_UNFIT', 'conflict', `${faults.join(' ')}`);
    return warnings;
  } catch (error) {
    throw kafkaFault(error, 'topics');
  } finally {
    await admin.close().catch(() => undefined);
  }
}

/**
 * Looks at the topics and changes nothing.
 * @throws {GatewayError} KAFKA_….
 */
export async function inspectTopics(
  config: KafkaConfig,
  plans: readonly TopicPlan[],
): Promise<TopicFindings & { brokers: number; missing: string[] }> {
  const admin = new Admin(clientOptions(config, startRetries));
  admin.on('error', () => undefined); // What fails is told by the call that needs it.
  try {
    const existing = new Set(await admin.listTopics({}));
    const brokers = (await admin.metadata({ topics: [], forceUpdate: true })).brokers.size;
    const found = plans.filter(({ name }) => existing.has(name));
    const findings = await Promise.all(found.map(async plan => judgeTopic(plan, await describe(admin, plan.name))));
    return {
      brokers,
      missing: plans.filter(({ name }) => !existing.has(name)).map(({ name }) => name),
      faults: findings.flatMap(({ faults }) => faults),
      warnings: findings.flatMap(({ warnings }) => warnings),
    };
  } catch (error) {
    throw kafkaFault(error, 'topics');
  } finally {
    await admin.close().catch(() => undefined);
  }
}

/** Pure: what is wrong with a topic as it is. */
export function judgeTopic(plan: TopicPlan, facts: TopicFacts): TopicFindings {
  const faults: string[] = [];
  const warnings: string[] = [];
  const { settings } = facts;
  const number = (name: string) => Number(settings[name] ?? Number.NaN);
  const is = (ok: boolean, into: string[], text: string) => {
    if (!ok) into.push(`Topic ${plan.name}: ${text}.`);
  };
  if (plan.partitionsFixed) {
    is(
      facts.partitions === plan.partitions,
      faults,
      `it has ${facts.partitions} partitions and needs exactly ${plan.partitions}, for its order is the order of all changes`,
    );
  }
  is(
    !(settings['cleanup.policy'] ?? 'delete').includes('compact'),
    faults,
    'cleanup.policy must be delete: compaction removes events that others build upon',
  );
  is(
    (settings['unclean.leader.election.enable'] ?? 'false') === 'false',
    faults,
    'unclean.leader.election.enable must be false, or acknowledged entries may be taken back',
  );
  if (plan.retention === 'forever') {
    is(
      number('retention.ms') === -1,
      faults,
      `retention.ms is ${settings['retention.ms']} and must be -1: it holds the whole configuration`,
    );
    is(number('retention.bytes') === -1, faults, `retention.bytes is ${settings['retention.bytes']} and must be -1`);
  } else {
    const { leastMs } = plan.retention;
    const kept = number('retention.ms');
    is(
      kept === -1 || kept >= leastMs,
      warnings,
      `retention.ms is ${kept}: what ingest has not taken within that time is lost; set it to ${leastMs} or more`,
    );
    is(
      number('retention.bytes') === -1,
      warnings,
      `retention.bytes is ${settings['retention.bytes']}: a busy hour may push out what ingest has not taken`,
    );
  }
  is(
    number('max.message.bytes') >= plan.maxMessageBytes,
    faults,
    `max.message.bytes is ${settings['max.message.bytes']} and must be at least ${plan.maxMessageBytes}`,
  );
  is(
    facts.replicas >= replicasWanted,
    warnings,
    `it has ${facts.replicas} ${facts.replicas === 1 ? 'replica' : 'replicas'}${facts.brokers < replicasWanted ? ` (the cluster has ${facts.brokers} ${facts.brokers === 1 ? 'broker' : 'brokers'})` : ''}: with fewer than ${replicasWanted}, a lost disk loses entries`,
  );
  if (facts.replicas >= 2) {
    is(
      number('min.insync.replicas') >= 2,
      warnings,
      `min.insync.replicas is ${settings['min.insync.replicas']}: with 1, an acknowledged entry may be on one disk only`,
    );
  }
  is(
    number('min.insync.replicas') < facts.replicas || facts.replicas === 1,
    warnings,
    `min.insync.replicas equals the number of replicas (${facts.replicas}): nothing can be written while one broker is down`,
  );
  return { faults, warnings };
}

async function createTopic(admin: Admin, plan: TopicPlan, brokers: number): Promise<void> {
  const replicas = Math.max(1, Math.min(replicasWanted, brokers));
  const configs: Record<string, string> = {
    'cleanup.policy': 'delete',
    'retention.ms': plan.retention === 'forever' ? '-1' : String(plan.retention.madeMs),
    'retention.bytes': '-1',
    'min.insync.replicas': replicas >= 3 ? '2' : '1',
    'unclean.leader.election.enable': 'false',
    'max.message.bytes': String(plan.maxMessageBytes),
    ...(plan.segmentMs === undefined ? {} : { 'segment.ms': String(plan.segmentMs) }),
  };
  try {
    await admin.createTopics({
      topics: [plan.name],
      partitions: plan.partitions,
      replicas,
      configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
    });
  } catch (error) {
    const ids = kafkaErrorIds(error);
    // Another replica was quicker.
    if (ids.has('TOPIC_ALREADY_EXISTS')) return;
    const fault = kafkaFault(error, `making topic ${plan.name}`);
    if (fault.code !== 'KAFKA_DENIED') throw fault;
    throw new GatewayError(
      'KAFKA_TOPIC_MISSING',
      'notFound',
      `Topic ${plan.name} is missing and this user may not make it. Make it with ${plan.partitions} partition(s), ${replicas} replica(s) and ${Object.entries(
        configs,
      )
        .map(([name, value]) => `${name}=${value}`)
        .join(', ')}.`,
      { cause: error },
    );
  }
}

/** A topic that was just made may not be everywhere yet. */
async function describe(admin: Admin, name: string): Promise<TopicFacts> {
  for (let attempt = 0; ; attempt++) {
    try {
      const metadata = await admin.metadata({ topics: [name], forceUpdate: true });
      const topic = metadata.topics.get(name);
      if (topic === undefined || topic.partitions.some(partition => partition.leader < 0)) {
        throw new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', `Topic ${name} has partitions without a leader.`);
      }
      const [description] = await admin.describeConfigs({
        resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configurationKeys: null }],
      });
      const settings = Object.fromEntries((description?.configs ?? []).map(({ name: key, value }) => [key, value ?? '']));
      const replicas = Math.min(...topic.partitions.map(partition => partition.replicas.length));
      return { partitions: topic.partitionsCount, replicas, brokers: metadata.brokers.size, settings };
    } catch (error) {
      if (attempt >= 50) throw error;
      await new Promise(resolve => setTimeout(resolve, 200));
    }
  }
}
