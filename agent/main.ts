/**
 * `sallyport agent`: reads the command line, starts an agent, prints one line of JSON on standard output when it is ready, and ends
 * it in order on SIGTERM or SIGINT. Logs (pino, JSON) go to standard error.
 */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { kafkaConfig, kafkaFlags, kafkaUsage } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import pino from 'pino';
import { Agent, type AgentOptions } from './agent.ts';
import { defaultWorkers } from './host/default-workers.ts';
import { splitAddress } from './host/listen-ports.ts';
import { TimedLogLevel } from './log-level.ts';

const USAGE = `usage: sallyport agent --control-plane HOST:PORT --data DIR [--join TOKEN] [options]

  --join TOKEN             one-time join token, needed at the first start only (or in SALLYPORT_JOIN_TOKEN)
  --control-plane H:P      the control plane's gRPC address
  --data DIR               keys, lease, spool; made when missing, private to this user
  --name NAME              the agent's name in records and lists (default: this machine's name)
  --label KEY=VALUE        told to the control plane; may be repeated
  --hostname NAME          name or address that clients connect to, for the certificate they see; may be repeated
                           (default: localhost, 127.0.0.1, ::1 and this machine's name)
  --http HOST:PORT         where /healthz, /readyz and /metrics are (default 127.0.0.1:0, any free port)
  --workers N              threads of the data path (default 2, or 1 on a machine with fewer than four cores)
  --spool-bytes N          bound of each worker's spool (default 1 GiB)
  --drain-seconds N        how long sessions may go on after SIGTERM (default 3)

Records straight to Apache Kafka instead of through the control plane (each flag also as a variable, e.g. SALLYPORT_KAFKA):
${kafkaUsage}`;

class UsageError extends Error {}

/** @returns the exit code: 0 ended in order, 1 could not start, 2 wrong usage. */
export async function runAgent(argv: string[]): Promise<number> {
  let options: AgentOptions;
  try {
    options = readOptions(argv);
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n\n${USAGE}\n`);
    process.stdout.write(`${JSON.stringify({ error: { code: 'USAGE', message: errorText(error) } })}\n`);
    return 2;
  }
  // Asked to stop during the start, too.
  const asked = Promise.withResolvers<void>();
  let times = 0;
  const onSignal = () => {
    times++;
    asked.resolve();
    if (times > 1) process.exit(1);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  try {
    const starting = Agent.start(options);
    const agent = await Promise.race([starting, asked.promise]);
    if (agent === undefined) {
      options.log.info({}, 'asked to stop during the start');
      const late = await Promise.race([starting, new Promise<void>(resolve => setTimeout(resolve, 2000))]);
      await late?.stop();
      return 0;
    }
    process.stdout.write(
      `${JSON.stringify({ ready: true, http: agent.httpUrl, name: agent.name, pid: process.pid, listeners: agent.listeners() })}\n`,
    );
    await asked.promise;
    options.log.info({}, 'stopping');
    await agent.stop();
    options.log.info({}, 'stopped');
    return 0;
  } catch (error) {
    const code = error instanceof GatewayError ? error.code : 'INTERNAL';
    options.log.error(
      { code, why: errorText(error), ...(error instanceof GatewayError ? {} : { stack: error instanceof Error ? error.stack : '' }) },
      'the agent cannot start',
    );
    process.stdout.write(`${JSON.stringify({ error: { code, message: errorText(error) } })}\n`);
    return 1;
  } finally {
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  }
}

function readOptions(argv: string[]): AgentOptions {
  const { values } = parseArgs({
    args: argv,
    strict: true,
    allowPositionals: false,
    options: {
      join: { type: 'string' },
      'control-plane': { type: 'string' },
      data: { type: 'string' },
      name: { type: 'string' },
      label: { type: 'string', multiple: true, default: [] },
      hostname: { type: 'string', multiple: true, default: [] },
      http: { type: 'string', default: '127.0.0.1:0' },
      workers: { type: 'string' },
      'spool-bytes': { type: 'string' },
      'drain-seconds': { type: 'string' },
      ...kafkaFlags,
    },
  });
  if (values['control-plane'] === undefined) throw new UsageError('--control-plane HOST:PORT is missing');
  if (values.data === undefined) throw new UsageError('--data DIR is missing');
  const machine = os.hostname().replaceAll(/[^A-Za-z0-9.-]/g, '-');
  const labels: Record<string, string> = {};
  for (const label of values.label) {
    const equals = label.indexOf('=');
    if (equals < 1) throw new UsageError(`--label ${label}: it must be KEY=VALUE`);
    labels[label.slice(0, equals)] = label.slice(equals + 1);
  }
  const log = pino({ base: { part: 'agent', pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
  const levels = new TimedLogLevel(log, level => log.warn({ level }, 'the log says as much as before again'));
  const joinToken = values.join ?? process.env.SALLYPORT_JOIN_TOKEN ?? null;
  return {
    dataDir: path.resolve(values.data),
    controlPlane: splitAddress(values['control-plane']),
    joinToken: joinToken === '' ? null : joinToken,
    name: values.name ?? machine.slice(0, 63),
    labels,
    hostnames: values.hostname.length > 0 ? values.hostname : [...new Set(['localhost', '127.0.0.1', '::1', machine])],
    http: splitAddress(values.http),
    kafka: kafkaConfig(values, process.env, 'agent'),
    workers: wholeNumber('--workers', values.workers, 1, 64) ?? defaultWorkers(os.availableParallelism()),
    spoolBytesMax: wholeNumber('--spool-bytes', values['spool-bytes'], 1024 * 1024, 2 ** 45) ?? 1024 ** 3,
    drainMs: (wholeNumber('--drain-seconds', values['drain-seconds'], 0, 3600) ?? 3) * 1000,
    version: version(),
    log,
    setLogLevel: (level, forMs) => levels.set(level, forMs),
  };
}

function wholeNumber(flag: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new UsageError(`${flag} ${text}: it must be a whole number from ${min} to ${max}`);
  return value;
}

function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as { version: string };
  return text;
}

if (import.meta.main) {
  process.exitCode = await runAgent(process.argv.slice(2));
  // Nothing that is left may keep a stopped agent alive.
  process.exit();
}
