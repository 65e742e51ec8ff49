/** A whole Sallyport on embedded defaults, started as a user would: `sallyport up --config DIR --data DIR`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface Endpoints {
  console: string;
  api: string;
  grpc: string;
  clickhouse: { url: string; user: string; password: string };
  clickhouseReader?: { url: string; user: string; password: string };
  ca: string;
  resources: Record<string, string>;
  pids: Record<string, number>;
  adminToken: string;
}

export interface Gateway {
  dir: string;
  data: string;
  config: string;
  /** Read anew each time: restarts change pids. */
  endpoints(): Endpoints;
  /** Host and port of a resource's listener. */
  address(resource: string): { host: string; port: number };
  /** Runs a query on the session store and gives its rows. */
  query<Row = Record<string, unknown>>(sql: string): Promise<Row[]>;
  /** Queries until `enough` holds; records take a moment to arrive. */
  eventually<Row = Record<string, unknown>>(sql: string, enough: (rows: Row[]) => boolean, limitMs?: number): Promise<Row[]>;
  process: ChildProcess;
  output(): string;
  stop(): Promise<number | null>;
}

const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

/** A machine that is busy with other tests takes minutes. */
const READY_MS = 600_000;

interface GatewayOptions {
  /** File name → YAML. */
  manifests: Record<string, string>;
  /** For the processes, e.g. the secrets that credentials name. */
  env?: Record<string, string>;
  args?: string[];
  dir?: string;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const dir = options.dir ?? mkdtempSync(path.join(os.tmpdir(), 'sallyport-e2e-'));
  const config = path.join(dir, 'config');
  const data = path.join(dir, 'data');
  mkdirSync(config, { recursive: true });
  for (const [name, text] of Object.entries(options.manifests)) writeFileSync(path.join(config, name), text);
  const child = spawn(process.execPath, [cli, 'up', '--config', config, '--data', data, ...(options.args ?? [])], {
    env: { ...process.env, HOME: dir, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const gone = new Promise<number | null>(resolve => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => {
      // Nobody else knows of it.
      child.kill('SIGKILL');
      reject(new Error(`the gateway was not ready in ${READY_MS / 1000} s:\n${output}`));
    }, READY_MS);
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-200_000);
      if (/^ready$/m.test(output)) {
        clearTimeout(late);
        resolve();
      }
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', code => {
      clearTimeout(late);
      reject(new Error(`the gateway ended with ${code}:\n${output}`));
    });
  });
  const endpoints = (): Endpoints => JSON.parse(readFileSync(path.join(data, 'endpoints.json'), 'utf8'));
  const query = async <Row>(sql: string): Promise<Row[]> => {
    const store = endpoints().clickhouse;
    const response = await fetch(`${store.url}/?default_format=JSONEachRow`, {
      method: 'POST',
      headers: { 'X-ClickHouse-User': store.user, 'X-ClickHouse-Key': store.password },
      body: sql,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Row);
  };
  return {
    dir,
    data,
    config,
    endpoints,
    address(resource) {
      const [host = '', port = ''] = (endpoints().resources[resource] ?? '').split(':');
      return { host, port: Number(port) };
    },
    query,
    async eventually<Row>(sql: string, enough: (rows: Row[]) => boolean, limitMs = 180_000) {
      const deadline = Date.now() + limitMs;
      for (;;) {
        // The store may be restarting: what it says last is what the caller gets to see.
        const rows = await query<Row>(sql).catch((error: unknown) => (Date.now() > deadline ? Promise.reject(error) : ([] as Row[])));
        if (enough(rows)) return rows;
        if (Date.now() > deadline)
          throw new Error(`not seen within ${limitMs} ms: ${sql}\nlast answer: ${JSON.stringify(rows).slice(0, 4000)}`);
        await new Promise(resolve => setTimeout(resolve, 200));
      }
    },
    process: child,
    output: () => output,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 120_000);
      const code = await gone;
      clearTimeout(late);
      if (!options.dir) rmSync(dir, { recursive: true, force: true });
      return code;
    },
  };
}
