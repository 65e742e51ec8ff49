/** Starts the store, ingest and their like as processes of their own, and kills them. Only tests import this. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Spawned {
  /** The line that it printed: ready or error. */
  line: Record<string, unknown>;
  process: ChildProcess;
  /** All of its standard error so far. */
  log: () => string;
  exited: Promise<number | null>;
  kill: (signal: NodeJS.Signals) => Promise<void>;
}

/** Resolves once it has printed its one line. Throws when it ends, or takes too long, without one. */
export async function spawnProcess(script: URL, args: readonly string[], env: Record<string, string>): Promise<Spawned> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script.pathname, ...args], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const deadline = setTimeout(() => child.kill('SIGKILL'), 240_000);
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line').then(([line]) => line as string), exited.then(() => null)]);
  clearTimeout(deadline);
  if (first === null) throw new Error(`${script.pathname} ended without a line: ${log}`);
  return {
    line: JSON.parse(first) as Record<string, unknown>,
    process: child,
    log: () => log,
    exited,
    kill: async signal => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
  };
}

export const storeScript = new URL('./main.ts', import.meta.url);
export const writer = { name: 'sallyport', password: 'writer-secret-1' };
export const reader = { name: 'reader', password: 'reader-secret-1' };
export const writerEnv = { SALLYPORT_STORE_USER: writer.name, SALLYPORT_STORE_PASSWORD: writer.password };
export const readerEnv = { SALLYPORT_STORE_READONLY_USER: reader.name, SALLYPORT_STORE_READONLY_PASSWORD: reader.password };

/** A store with both users. @param eagerMs how long it is alone with the machine, as it were. */
export async function spawnStore(data: string, listen = '127.0.0.1:0', eagerMs = 3_600_000): Promise<Spawned & { url: string }> {
  const spawned = await spawnProcess(storeScript, ['--data', data, '--listen', listen, '--eager-ms', String(eagerMs)], {
    ...writerEnv,
    ...readerEnv,
  });
  return { ...spawned, url: String(spawned.line['url']) };
}
