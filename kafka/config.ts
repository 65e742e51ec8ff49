/**
 * How to reach Kafka: what the flags and the environment of a program say, as one checked value. Secrets come from a file or the
 * environment, never from a flag, for a command line can be read by everybody on the machine.
 *
 * Not here: connecting. Topics are checked in topics.ts.
 */
import { readFileSync } from 'node:fs';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

export const saslMechanisms = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'PLAIN'] as const;
export const compressions = ['zstd', 'lz4', 'gzip', 'none'] as const;

export interface KafkaConfig {
  /** host:port of some brokers; the rest is learnt from them. */
  brokers: readonly string[];
  /** Told to the brokers, for their logs and quotas. */
  clientId: string;
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | null;
  sasl: { mechanism: (typeof saslMechanisms)[number]; username: string; password: string } | null;
  topics: { control: string; records: string; presence: string };
  compression: (typeof compressions)[number];
  /** Partitions of the records' topic, when it is made. */
  recordsPartitions: number;
}

/** The flags, for `parseArgs`. Each has a variable beside it: --kafka-ca and SALLYPORT_KAFKA_CA. */
export const kafkaFlags = {
  kafka: { type: 'string' },
  'kafka-tls': { type: 'boolean' },
  'kafka-ca': { type: 'string' },
  'kafka-cert': { type: 'string' },
  'kafka-key': { type: 'string' },
  'kafka-user': { type: 'string' },
  'kafka-mechanism': { type: 'string' },
  'kafka-password-file': { type: 'string' },
  'kafka-plaintext': { type: 'boolean' },
  'kafka-topics': { type: 'string' },
  'kafka-partitions': { type: 'string' },
  'kafka-compression': { type: 'string' },
} as const;

export type KafkaFlagValues = { -readonly [Name in keyof typeof kafkaFlags]?: string | boolean | undefined };

/** What each flag takes and says, for usage texts and the command line's own pages. */
export const kafkaHelp: readonly (readonly [flags: string, text: string])[] = [
  ['--kafka <HOST:PORT,...>', 'brokers of Apache Kafka, instead of a log in files'],
  ['--kafka-ca <FILE>', "CA of the brokers' certificates (turns TLS on)"],
  ['--kafka-tls', "TLS with the system's CAs"],
  ['--kafka-cert <FILE>', 'a client certificate, with --kafka-key'],
  ['--kafka-key <FILE>', "the client certificate's key"],
  ['--kafka-user <NAME>', 'SASL; the password is in SALLYPORT_KAFKA_PASSWORD or in --kafka-password-file'],
  ['--kafka-password-file <FILE>', "file with the SASL user's password"],
  ['--kafka-mechanism <NAME>', 'SCRAM-SHA-512 (default), SCRAM-SHA-256 or PLAIN'],
  ['--kafka-plaintext', 'allow brokers without TLS that are not on this machine'],
  ['--kafka-topics <PREFIX>', 'topics are PREFIX.control, .records and .presence (default sallyport)'],
  ['--kafka-partitions <N>', "partitions of the records' topic, when it is made (default 12)"],
  ['--kafka-compression <NAME>', 'zstd (default), lz4, gzip or none'],
];

/** For the usage text of every program that takes the flags. */
export const kafkaUsage = kafkaHelp.map(([flags, text]) => `  ${flags.replaceAll(/[<>]/g, '').padEnd(28)} ${text}\n`).join('');

/**
 * @param role ends the client id, e.g. `ingest`.
 * @returns null when no brokers are named.
 * @throws {GatewayError} KAFKA_OPTION_INVALID, with the flag and what it should be.
 */
export function kafkaConfig(flags: KafkaFlagValues, env: Readonly<Record<string, string | undefined>>, role: string): KafkaConfig | null {
  const text = (name: keyof typeof kafkaFlags): string | undefined => {
    const value = flags[name] ?? env[variableOf(name)];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const isOn = (name: keyof typeof kafkaFlags): boolean => flags[name] === true || env[variableOf(name)] === '1';
  const list = text('kafka');
  if (list === undefined) return null;
  const brokers = list.split(',').map(broker => broker.trim());
  for (const broker of brokers) {
    if (!/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/.test(broker))
      throw invalid(`--kafka must be HOST:PORT,HOST:PORT, not ${JSON.stringify(list)}`);
  }
  const file = (name: keyof typeof kafkaFlags): Buffer | undefined => {
    const path = text(name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new GatewayError('KAFKA_OPTION_INVALID', 'invalid', `--${name}: ${path} cannot be read: ${errorText(cause)}.`, { cause });
    }
  };
  const [ca, cert, key] = [file('kafka-ca'), file('kafka-cert'), file('kafka-key')];
  if ((cert === undefined) !== (key === undefined)) throw invalid('--kafka-cert and --kafka-key belong together');
  const encrypted = ca !== undefined || cert !== undefined || isOn('kafka-tls');
  if (!encrypted && !isOn('kafka-plaintext')) {
    const far = brokers.find(broker => !isLoopback(broker));
    if (far !== undefined) {
      throw invalid(`${far} is not on this machine, and records must not cross a network in the clear: give --kafka-ca or --kafka-tls`);
    }
  }
  const username = text('kafka-user');
  const password = file('kafka-password-file')?.toString('utf8').trimEnd() ?? env.SALLYPORT_KAFKA_PASSWORD ?? '';
  if (username !== undefined && password === '') {
    throw invalid('--kafka-user needs a password: in SALLYPORT_KAFKA_PASSWORD, or in --kafka-password-file FILE');
  }
  const mechanism = oneOf('kafka-mechanism', text('kafka-mechanism')?.toUpperCase(), saslMechanisms);
  const prefix = text('kafka-topics') ?? 'sallyport';
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(prefix)) throw invalid('--kafka-topics takes letters, digits, dots, dashes and underscores');
  const partitions = Number(text('kafka-partitions') ?? 12);
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 10_000) throw invalid('--kafka-partitions must be from 1 to 10000');
  return {
    brokers,
    clientId: `sallyport-${role}`,
    tls: encrypted ? { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } : null,
    sasl: username === undefined ? null : { mechanism, username, password },
    topics: { control: `${prefix}.control`, records: `${prefix}.records`, presence: `${prefix}.presence` },
    compression: oneOf('kafka-compression', text('kafka-compression'), compressions),
    recordsPartitions: partitions,
  };
}

/** The flags with what the environment says instead of a flag, so that a child process needs no more than arguments. */
export function withVariables(flags: KafkaFlagValues, env: Readonly<Record<string, string | undefined>>): KafkaFlagValues {
  const values: KafkaFlagValues = { ...flags };
  for (const [name, { type }] of Object.entries(kafkaFlags) as [keyof typeof kafkaFlags, { type: string }][]) {
    const value = env[variableOf(name)];
    if (values[name] === undefined && value !== undefined && value !== '') values[name] = type === 'boolean' ? value === '1' : value;
  }
  return values;
}

/** The flags as they were given, for a child process; without what is a secret. */
export function kafkaArguments(flags: KafkaFlagValues): string[] {
  const given: string[] = [];
  for (const name of Object.keys(kafkaFlags) as (keyof typeof kafkaFlags)[]) {
    const value = flags[name];
    if (value === true) given.push(`--${name}`);
    else if (typeof value === 'string') given.push(`--${name}`, value);
  }
  return given;
}

function variableOf(flag: string): string {
  return `SALLYPORT_${flag.toUpperCase().replaceAll('-', '_')}`;
}

function oneOf<Value extends string>(flag: string, value: string | undefined, allowed: readonly [Value, ...Value[]]): Value {
  if (value === undefined) return allowed[0];
  const found = allowed.find(each => each === value);
  if (found === undefined) throw invalid(`--${flag} must be one of ${allowed.join(', ')}`);
  return found;
}

function isLoopback(broker: string): boolean {
  const host = broker.slice(0, broker.lastIndexOf(':'));
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

function invalid(message: string): GatewayError {
  return new GatewayError('KAFKA_OPTION_INVALID', 'invalid', `${message}.`);
}
