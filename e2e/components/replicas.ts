/**
 * Several control planes on one Kafka, behind a balancer that knows nothing: each new connection goes to the next replica that takes it.
 * Replicas can be killed and started again on the same or an empty data folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './postgres.ts';

const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

export interface Replica {
  readonly name: string;
  readonly dir: string;
  /** host:port of its own, past the balancer. */
  readonly http: string;
  readonly grpc: string;
  /** Resolves when it is ready; again after a kill. */
  start(): Promise<void>;
  kill(): Promise<void>;
  log(): string;
}

export async function replica(name: string, dir: string, args: readonly string[], env: Record<string, string>): Promise<Replica> {
  const [http, grpc] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  let child: ChildProcess | null = null;
  let log = '';
  return {
    name,
    dir,
    http,
    grpc,
    log: () => log,
    async start() {
      const started = spawn(process.execPath, [cli, 'control-plane', '--data', dir, '--http', http, '--grpc', grpc, ...args], {
        env: { ...process.env, HOME: dir, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      started.stderr?.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-100_000);
      });
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => {
          // Nobody else knows of it, and it would keep the test from ending.
          started.kill('SIGKILL');
          reject(new Error(`${name} was not ready in 600 s:\n${log}`));
        }, 600_000);
        createInterface({ input: started.stdout }).on('line', line => {
          if (!line.startsWith('{')) return;
          clearTimeout(late);
          if (line.includes('"ready":true')) resolve();
          else reject(new Error(`${name}: ${line}\n${log}`));
        });
        started.once('exit', code => {
          clearTimeout(late);
          reject(new Error(`${name} ended with ${code}:\n${log}`));
        });
      });
    },
    async kill() {
      const killed = child;
      child = null;
      if (killed === null || killed.exitCode !== null || killed.signalCode !== null) return;
      const gone = new Promise(resolve => killed.once('exit', resolve));
      killed.kill('SIGKILL');
      await gone;
    },
  };
}

/** A program's part beside the replicas: an agent, an ingester. Prints a ready line. */
export async function program(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ ready: Record<string, unknown>; stop: () => Promise<void>; log: () => string }> {
  const child = spawn(process.execPath, [...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-100_000);
  });
  const gone = new Promise(resolve => child.once('exit', resolve));
  const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      if (line.includes('"ready":true')) resolve(JSON.parse(line));
      else if (line.startsWith('{')) reject(new Error(line));
    });
    child.once('exit', code => reject(new Error(`${args.join(' ')} ended with ${code}:\n${log}`)));
  });
  return {
    ready,
    log: () => log,
    stop: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Passes bytes on: round robin, a target that refuses is passed over. */
export async function balancer(targets: readonly string[]): Promise<{ address: string; close: () => void }> {
  let next = 0;
  const open = new Set<net.Socket>();
  const server = net.createServer(downstream => {
    open.add(downstream);
    downstream.on('error', () => downstream.destroy());
    const attempt = (left: number): void => {
      const target = targets[next++ % targets.length] ?? '';
      const upstream = net.connect(Number(target.slice(target.lastIndexOf(':') + 1)), '127.0.0.1');
      upstream.once('error', () => {
        if (left > 1 && !upstream.bytesRead && !upstream.bytesWritten) attempt(left - 1);
        else downstream.destroy();
      });
      upstream.once('connect', () => {
        downstream.pipe(upstream).pipe(downstream);
        upstream.on('close', () => downstream.destroy());
        downstream.on('close', () => {
          open.delete(downstream);
          upstream.destroy();
        });
      });
    };
    attempt(targets.length);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

export function textOf(file: string): string {
  return readFileSync(file, 'utf8').trim();
}
