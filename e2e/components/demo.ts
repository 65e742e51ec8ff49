/** `sallyport up --demo` in a folder of its own, with an ordinary driver for its people. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import type { Endpoints } from './gateway.ts';

export interface Demo {
  endpoints(): Endpoints;
  process: ChildProcess;
  /** What `sallyport …` prints, against this demo. */
  sallyport(...args: string[]): Promise<string>;
  /** Connects to `crm` as one of the sample people. */
  connect(person: string): Promise<pg.Client>;
  /** Applies manifests beside the demo's own, as the administrator. */
  apply(yaml: string): Promise<void>;
  /** Asks the API as the administrator. */
  api<Answer>(path: string): Promise<Answer>;
  stop(): Promise<void>;
}

const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');
const startLimitMs = 600_000;

/** @param variables further ones of its environment. */
export async function startDemo(variables: Readonly<Record<string, string>> = {}): Promise<Demo> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-demo-'));
  const data = path.join(dir, 'data');
  const env = { PATH: process.env.PATH, HOME: dir, TMPDIR: process.env.TMPDIR, NO_COLOR: '1', SALLYPORT_DATA: data, ...variables };
  const child = spawn(process.execPath, [cli, 'up', '--demo', '--data', data], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => {
      // Nobody else knows of it.
      child.kill('SIGKILL');
      reject(new Error(`the demo was not ready:\n${output}`));
    }, startLimitMs);
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-100_000);
      if (!/^ready$/m.test(output)) return;
      clearTimeout(late);
      resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', code => {
      clearTimeout(late);
      reject(new Error(`the demo ended with ${code}:\n${output}`));
    });
  });
  const endpoints = (): Endpoints => JSON.parse(readFileSync(path.join(data, 'endpoints.json'), 'utf8'));
  const call = async (method: string, url: string, body?: unknown): Promise<unknown> => {
    const { api, adminToken } = endpoints();
    const response = await fetch(`${api}${url}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const sallyport = (...args: string[]) =>
    new Promise<string>((resolve, reject) => {
      execFile(process.execPath, [cli, ...args], { cwd: dir, env }, (error, stdout, stderr) =>
        error === null ? resolve(stdout.trim()) : reject(new Error(stderr, { cause: error })),
      );
    });
  return {
    endpoints,
    process: child,
    sallyport,
    async connect(person) {
      const { ca, resources } = endpoints();
      const [host = '', port = ''] = (resources.crm ?? '').split(':');
      const client = new pg.Client({
        ...{ host, port: Number(port), user: person, database: 'crm', application_name: 'psql' },
        password: await sallyport('ticket', 'crm', '--as', person),
        ssl: { ca: readFileSync(ca, 'utf8'), servername: 'localhost' },
      });
      client.on('error', () => {}); // the query that fails says so
      await client.connect();
      return client;
    },
    async apply(yaml) {
      await call('POST', '/v1/apply', { manifests: [{ file: path.join(dir, 'extra.yaml'), text: yaml }] });
    },
    api: async <Answer>(url: string) => (await call('GET', url)) as Answer,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 120_000);
      await gone;
      clearTimeout(late);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
