/**
 * `sallyport outputs`: sends what is in the log to SIEMs, collectors, files and object storage. One process for all outputs; each follows
 * the log by itself. Prints one JSON line on standard output when it is ready or when it cannot start; logs go to standard error.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type KafkaConfig, type KafkaFlagValues, kafkaConfig, kafkaFlags, kafkaUsage } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import pino from 'pino';
import { lockDirectory } from '../log/directory-lock.ts';
import type { LogReader } from '../log/event-log.ts';
import { openLogReader } from '../log/log-reader.ts';
import { type OutputConfig, readOutputs } from './config.ts';
import type { Destination } from './destination.ts';
import { fileDestination } from './file-destination.ts';
import { httpDestination } from './http-destination.ts';
import { otlpDestination } from './otlp-destination.ts';
import { Output } from './output.ts';
import { FileRecords, type RecordsSource } from './records-source.ts';
import { s3Destination } from './s3-destination.ts';
import { syslogDestination } from './syslog-destination.ts';

const usage = `Usage: sallyport outputs --config FILE --log DIR --data DIR
       sallyport outputs --config FILE --kafka HOST:PORT,... --data DIR

  --config FILE                which outputs there are (docs/reference/outputs.md)
  --log DIR                    the event log: DATA/control-plane/log of \`sallyport up\`
  --data DIR                   where the outputs' cursors are kept
${kafkaUsage}`;

/** @returns the exit code: 0 stopped, 1 failed, 2 usage. */
export async function runOutputs(argv: readonly string[]): Promise<number> {
  let values: { config?: string; log?: string; data?: string; help?: boolean } & KafkaFlagValues;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        ...{ config: { type: 'string' }, log: { type: 'string' }, data: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
        ...kafkaFlags,
      },
    }));
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n\n${usage}`);
    return 2;
  }
  const { config, log, data } = values;
  const isKafka = values.kafka !== undefined || Boolean(process.env.SALLYPORT_KAFKA);
  if (values.help === true || config === undefined || data === undefined || (log === undefined) !== isKafka) {
    process.stderr.write(usage);
    return values.help === true ? 0 : 2;
  }
  const logger = pino({ name: 'outputs', level: process.env.SALLYPORT_LOG_LEVEL ?? 'info' }, pino.destination({ fd: 2, sync: true }));
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  try {
    const configs = readOutputs(config, process.env);
    const kafka = kafkaConfig(values, process.env, 'outputs');
    const open = await opener(kafka, log ?? '');
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
    const folder = resolve(data);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = lockDirectory(folder);
    const running = configs.map(async each => {
      const { records, control } = open();
      const destination = destinationOf(each, version);
      try {
        await new Output({ config: each, destination, records, control, cursorFile: join(folder, `${each.name}.json`), logger }).run(
          stop.signal,
        );
      } finally {
        await Promise.all([destination.close(), records.close(), control.close()]);
      }
    });
    process.stdout.write(`${JSON.stringify({ ready: true, outputs: configs.map(({ name }) => name) })}\n`);
    // One that cannot go on ends alone; the exit code says so when all are done.
    const ends = await Promise.allSettled(
      running.map((run, at) =>
        run.catch((error: unknown) => {
          logger.fatal({ output: configs[at]?.name, err: errorText(error) }, 'an output cannot go on');
          throw error;
        }),
      ),
    );
    lock.release();
    return ends.some(({ status }) => status === 'rejected') ? 1 : 0;
  } catch (error) {
    const code = error instanceof GatewayError ? error.code : 'INTERNAL';
    process.stdout.write(`${JSON.stringify({ error: { code, message: errorText(error) } })}\n`);
    return 1;
  }
}

/** Makes readers of an output's own. */
async function opener(kafka: KafkaConfig | null, log: string): Promise<() => { records: RecordsSource; control: LogReader }> {
  if (kafka === null) {
    return () => ({
      records: new FileRecords(openLogReader(join(log, 'sallyport.records'))),
      control: openLogReader(join(log, 'sallyport.control')),
    });
  }
  const [{ KafkaRecords }, { openKafkaLogReader }] = await Promise.all([import('./kafka-records.ts'), import('../log/kafka-log.ts')]);
  return () => ({ records: new KafkaRecords(kafka), control: openKafkaLogReader(kafka, kafka.topics.control) });
}

function destinationOf({ target }: OutputConfig, version: string): Destination {
  switch (target.kind) {
    case 'http':
      return httpDestination(target, version);
    case 'otlp':
      return otlpDestination(target, version);
    case 'syslog':
      return syslogDestination(target, version);
    case 'file':
      return fileDestination(target, version);
    case 's3':
      return s3Destination(target, version);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exit(await runOutputs(process.argv.slice(2)));
