/**
 * The session store of the embedded profile: ClickHouse inside this process, served over ClickHouse's own HTTP interface.
 *
 *     node control-plane/session-store/main.ts --data DIR [--listen HOST:PORT] [--memory-mb N] [--threads N] [--eager-ms N]
 *
 * SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD name the user that ingest and the control plane use;
 * SALLYPORT_STORE_READONLY_USER and SALLYPORT_STORE_READONLY_PASSWORD one for people and dashboards, who may only read.
 *
 * Prints {"ready":true,"url"} once, or {"error":{"code","message"}} and exits 1. The tables are not made here: ingest does that
 * (../ingest/migrate.ts), the same way for this store and for a ClickHouse server.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { pino } from 'pino';
import { type DirectoryLock, lockDirectory } from '../log/directory-lock.ts';
import { startEngine } from './engine.ts';
import type { StoreUser } from './engine-config.ts';
import { endProcess } from './exit.ts';

/** Behind the data path: queries and merges take what the agent leaves. */
const niceness = 10;

const log = pino({ name: 'session-store', base: { pid: process.pid } }, pino.destination({ fd: 2, sync: true }));

/** Held for as long as the process lives; it would be released with the object. */
let lock: DirectoryLock | undefined;

async function main(): Promise<void> {
  const options = parseOptions();
  // The engine takes its time zone from the process; times are UTC wherever it runs.
  process.env['TZ'] = 'UTC';
  await mkdir(options.data, { recursive: true, mode: 0o700 });
  lock = lockDirectory(options.data);
  const engine = await startEngine({ ...options, dataDir: options.data });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'stopped');
      void endProcess(0);
    });
  }
  if (!['127.0.0.1', '::1', 'localhost'].includes(options.host)) {
    log.warn({ url: engine.url }, 'the session store listens beyond this machine without TLS: put a TLS proxy before it');
  }
  if (!engine.confined) {
    log.warn('this platform cannot keep the engine inside its folder: who has the store password can read files as this process can');
  }
  log.info({ url: engine.url, reader: options.reader?.name ?? null }, 'serving');
  process.stdout.write(`${JSON.stringify({ ready: true, url: engine.url })}\n`);
  // While it starts, and its tables are made, somebody waits.
  setTimeout(stepBack, options.eagerMs).unref();
  const reason = await engine.ended;
  log.fatal({ reason }, 'the engine ended');
  await endProcess(1);
}

/** Lowers the priority of every thread: on Linux each has its own, and new ones inherit that of their maker. */
function stepBack(): void {
  const tasks = '/proc/self/task';
  for (const thread of existsSync(tasks) ? readdirSync(tasks).map(Number) : [process.pid]) {
    try {
      setPriority(thread, niceness);
    } catch (error) {
      // It has ended meanwhile.
      if ((error as NodeJS.ErrnoException & { info?: { code: string } }).info?.code !== 'ESRCH') throw error;
    }
  }
}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      listen: { type: 'string', default: '127.0.0.1:8123' },
      'memory-mb': { type: 'string', default: '1536' },
      threads: { type: 'string', default: '2' },
      'eager-ms': { type: 'string', default: '60000' },
    },
  });
  if (values.data === undefined) {
    throw new GatewayError('STORE_OPTION_INVALID', 'invalid', 'Give --data DIR: the folder for the session store.');
  }
  const address = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(values.listen);
  const port = Number(address?.[3]);
  if (address === null || port > 65535) {
    throw new GatewayError('STORE_OPTION_INVALID', 'invalid', `--listen ${values.listen} is not HOST:PORT.`);
  }
  const writer = userOf('SALLYPORT_STORE_USER', 'SALLYPORT_STORE_PASSWORD');
  if (writer === undefined) {
    throw new GatewayError(
      'STORE_CREDENTIALS_MISSING',
      'invalid',
      'Set SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD: the session store does not run without authentication.',
    );
  }
  return {
    data: values.data,
    host: address[1] ?? address[2] ?? '',
    port,
    writer,
    reader: userOf('SALLYPORT_STORE_READONLY_USER', 'SALLYPORT_STORE_READONLY_PASSWORD'),
    memoryBytesMax: positive('--memory-mb', values['memory-mb'], 256) * 1024 * 1024,
    eagerMs: positive('--eager-ms', values['eager-ms'], 1),
    threadsMax: positive('--threads', values.threads, 1),
  };
}

function positive(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new GatewayError('STORE_OPTION_INVALID', 'invalid', `${name} ${text} is not a whole number of at least ${least}.`);
}

/** Takes them out of the environment: nothing that this process shows or starts needs them. */
function userOf(nameVariable: string, passwordVariable: string): StoreUser | undefined {
  const name = process.env[nameVariable] ?? '';
  const password = process.env[passwordVariable] ?? '';
  delete process.env[passwordVariable];
  if (name === '' && password === '') return undefined;
  if (name === '' || password === '') {
    throw new GatewayError('STORE_CREDENTIALS_MISSING', 'invalid', `Set both ${nameVariable} and ${passwordVariable}, or neither.`);
  }
  return { name, password };
}

main().catch((error: unknown) => {
  const code = error instanceof GatewayError ? error.code : 'STORE_START_FAILED';
  const message = errorText(error);
  lock?.release();
  log.error({ code, err: error }, 'not started');
  process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`, () => void endProcess(1));
});
