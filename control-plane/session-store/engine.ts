/**
 * Starts the ClickHouse engine inside this process and tells when it can be used, or why it cannot.
 *
 * The engine cannot be stopped without a risk of crashing on the way out, and need not be: what it has acknowledged is on the disk.
 * So this file has no `stop`; the process ends by SIGKILL (main.ts). It does not restart the engine either: that is a new process.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type EngineConfig, engineArguments, type StoreUser, serverXml, startSql, usersXml } from './engine-config.ts';
import type { EngineThreadInput, EngineThreadOutput } from './engine-thread.ts';
import { openGate } from './gate.ts';

export interface EngineOptions {
  /** Exists, and belongs to this process alone (directory-lock.ts). */
  dataDir: string;
  host: string;
  port: number;
  writer: StoreUser;
  reader?: StoreUser | undefined;
  memoryBytesMax: number;
  threadsMax: number;
}

export interface Engine {
  /** e.g. http://127.0.0.1:8123 */
  url: string;
  /** Whether the kernel keeps the engine inside its folder (confine.ts). */
  confined: boolean;
  /** Resolves with the reason when the engine ends, which it never does by itself in good order. */
  ended: Promise<string>;
}

const startTimeoutMs = 60_000;
const pollMs = 10;

/**
 * Starts the engine and waits until it answers.
 * @throws {GatewayError} STORE_ADDRESS_IN_USE, STORE_ADDRESS_INVALID, STORE_USER_INVALID, STORE_ENGINE_MISSING, STORE_START_FAILED.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const library = libraryPath();
  await claimable(options.host, options.port);
  const configDir = join(options.dataDir, 'config');
  const logDir = join(options.dataDir, 'logs');
  const config: EngineConfig = {
    ...options,
    dataDir: join(options.dataDir, 'clickhouse'),
    usersPath: join(configDir, 'users.xml'),
    logPath: join(logDir, 'engine.log'),
    portPath: join(configDir, `port-${randomUUID()}`),
    gatePort: (await openGate()).port,
  };
  const configPath = join(configDir, 'config.xml');
  const startPath = join(configDir, 'start.sql');
  await rm(configDir, { recursive: true, force: true });
  await mkdir(configDir, { recursive: true, mode: 0o700 });
  for (const dir of [config.dataDir, logDir]) await mkdir(dir, { recursive: true, mode: 0o700 });
  const files: [string, string][] = [
    [config.usersPath, usersXml(config)],
    [configPath, serverXml(config)],
    [startPath, startSql(config)],
  ];
  for (const [path, text] of files) await writeFile(path, text, { mode: 0o600 });

  const input: EngineThreadInput = {
    library,
    arguments: engineArguments(config, configPath, startPath),
    confinement: {
      writable: [config.dataDir, configDir],
      writeOnly: [logDir],
      readable: machineFiles,
      connectPorts: [config.gatePort],
      bindPorts: [options.port],
    },
    confinementNeeded: options.reader !== undefined,
  };
  const thread = new Worker(new URL('./engine-thread.ts', import.meta.url), {
    workerData: input,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  let confined = false;
  const ended = new Promise<string>(resolve => {
    thread.on('message', (output: EngineThreadOutput) => {
      if (output.type === 'starting') confined = output.confined;
      else resolve(output.reason);
    });
    thread.on('error', error => resolve(errorText(error)));
    thread.on('exit', () => resolve(''));
  });
  let failure: string | undefined;
  void ended.then(reason => {
    failure = reason;
  });

  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    const port = await chosenPort(config.portPath);
    if (port !== null) {
      const url = `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
      if (await answers(url)) {
        // The engine has read it and does not look again; nobody else has business with it.
        await rm(configDir, { recursive: true, force: true });
        return { url, confined, ended };
      }
    }
    if (failure !== undefined) throw startFailure(failure, options);
    if (Date.now() > deadline) {
      throw new GatewayError('STORE_START_FAILED', 'unavailable', `The session store did not start within ${startTimeoutMs / 1000} s.`);
    }
    await delay(pollMs);
  }
}

/** What the engine reads of the machine: how much memory and how many processors there are. Nothing that names a secret. */
const machineFiles = [
  '/proc/self/statm',
  '/proc/meminfo',
  '/proc/cpuinfo',
  '/proc/stat',
  '/proc/loadavg',
  '/sys/fs/cgroup',
  '/sys/devices/system/cpu',
  '/dev/null',
  '/dev/urandom',
];

/** The library that chdb's package for this platform ships. */
function libraryPath(): string {
  const platform = `${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}`;
  try {
    const chdb = createRequire(import.meta.url).resolve('chdb');
    return join(dirname(createRequire(chdb).resolve(`@chdb/lib-${platform}`)), 'libchdb.so');
  } catch (cause) {
    throw new GatewayError(
      'STORE_ENGINE_MISSING',
      'unavailable',
      `ClickHouse's library for ${platform} is not installed (npm package @chdb/lib-${platform}). Run "npm ci" on a platform that has it (Linux with glibc or macOS, x64 or arm64), or use a ClickHouse server.`,
      { cause },
    );
  }
}

/** Fails with a clear message when the address cannot be listened on; the engine's own message comes late and says less. */
async function claimable(host: string, port: number): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    throw addressError(host, port, cause);
  }
  await new Promise(resolve => probe.close(resolve));
}

function addressError(host: string, port: number, cause: unknown): GatewayError {
  if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') return addressInUse(host, port);
  return new GatewayError('STORE_ADDRESS_INVALID', 'invalid', `The session store cannot listen on ${host}:${port}: ${errorText(cause)}.`, {
    cause,
  });
}

function addressInUse(host: string, port: number): GatewayError {
  return new GatewayError(
    'STORE_ADDRESS_IN_USE',
    'unavailable',
    `The session store cannot listen on ${host}:${port}: another program does. Stop that one, or give another --listen.`,
  );
}

async function chosenPort(path: string): Promise<number | null> {
  try {
    const port = Number((await readFile(path, 'utf8')).trim());
    return port > 0 ? port : null;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/ping`);
    return (await response.text()) === 'Ok.\n';
  } catch {
    return false; // Not yet: the caller asks again until its deadline, and says so then.
  }
}

function startFailure(reason: string, options: EngineOptions): GatewayError {
  if (/Address already in use|Listen \[/.test(reason)) return addressInUse(options.host, options.port);
  const first = reason.split('\n', 1)[0] ?? '';
  return new GatewayError(
    'STORE_START_FAILED',
    'unavailable',
    `The session store's engine ended while it started${first === '' ? '' : `: ${first}`}. Its log is ${join(options.dataDir, 'logs', 'engine.log')}.`,
  );
}
