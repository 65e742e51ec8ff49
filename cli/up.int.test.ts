/**
 * `sallyport up --demo` as a stranger has it: an empty folder, an empty HOME, everything real. One demo serves all tests, in
 * their order; what each leaves behind is what the next one finds.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { Endpoints } from './endpoints.ts';

const COMMAND = path.join(import.meta.dirname, 'bin', 'sallyport.js');
const NAMES = ['agent', 'control-plane', 'demo-identity-provider', 'demo-postgres', 'ingest', 'session-store'];

let work: string;
let data: string;

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function sallyport(
  args: string[],
  more: Record<string, string> = {},
): { process: ChildProcess; ended: Promise<Ended>; saw(text: string): Promise<void> } {
  const env: Record<string, string | undefined> = { PATH: process.env.PATH, HOME: '', TMPDIR: process.env.TMPDIR, NO_COLOR: '1', ...more };
  const child = spawn(process.execPath, [COMMAND, ...args], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    for (const watcher of watchers) watcher();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    for (const watcher of watchers) watcher();
  });
  const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ code, out, err })));
  const saw = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (out.includes(text) || err.includes(text)) resolve();
      };
      watchers.add(look);
      look();
      void ended.then(() => reject(new Error(`it ended before it said ${JSON.stringify(text)}:\n${out}\n${err}`)));
    });
  return { process: child, ended, saw };
}

async function endpoints(): Promise<Endpoints> {
  return JSON.parse(await readFile(path.join(data, 'endpoints.json'), 'utf8')) as Endpoints;
}

async function output(...args: string[]): Promise<string> {
  const { code, out, err } = await sallyport(args, { SALLYPORT_DATA: data }).ended;
  assert.equal(code, 0, err);
  return out.trim();
}

/** Connects as one of the sample people, with a ticket as the password. */
async function connect(person: string): Promise<pg.Client> {
  const { ca, resources } = await endpoints();
  const [host, port] = (resources.crm ?? '').split(':');
  const client = new pg.Client({
    host: host ?? '',
    port: Number(port),
    user: person,
    database: 'crm',
    password: await output('ticket', 'crm', '--as', person),
    ssl: { ca: await readFile(ca, 'utf8') },
  });
  client.on('error', () => {}); // the query that fails says so
  await client.connect();
  return client;
}

async function emailOfCustomer7(person: string): Promise<string> {
  const client = await connect(person);
  try {
    const { rows } = await client.query<{ email: string }>('select email from customers where id = 7');
    return rows[0]?.email ?? '';
  } finally {
    await client.end();
  }
}

async function countCommands(text: string): Promise<number> {
  const { clickhouse } = await endpoints();
  const response = await fetch(`${clickhouse.url}/?param_text=${encodeURIComponent(text)}`, {
    method: 'POST',
    headers: { 'x-clickhouse-user': clickhouse.user, 'x-clickhouse-key': clickhouse.password },
    body: 'SELECT count() FROM sallyport.commands WHERE text = {text:String} FORMAT TSV',
  });
  assert.equal(response.status, 200);
  return Number(await response.text());
}

/** Until `work` gives something other than undefined; failures count as not yet. */
async function eventually<T>(what: string, limitMs: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`, { cause: last });
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('sallyport up --demo', () => {
  let up: ReturnType<typeof sallyport>;
  let first: Endpoints;

  before(async () => {
    work = await mkdtemp(path.join(os.tmpdir(), 'sallyport-up-'));
    data = path.join(work, 'data');
    up = sallyport(['up', '--demo', '--data', data]);
    await up.saw('\nready\n');
    first = await endpoints();
  });

  after(async () => {
    up.process.kill('SIGTERM');
    await up.ended;
    const location = await readFile(path.join(data, 'demo', 'postgres', 'location'), 'utf8').catch(() => '');
    if (location.trim() !== '') await rm(location.trim(), { recursive: true, force: true });
    await rm(work, { recursive: true, force: true });
  });

  test('endpoints.json: what DESIGN.md promises, for its owner only', async () => {
    assert.equal((await stat(path.join(data, 'endpoints.json'))).mode & 0o777, 0o600);
    assert.deepEqual(Object.keys(first).sort(), [
      'adminToken',
      'api',
      'ca',
      'clickhouse',
      'clickhouseReader',
      'console',
      'grpc',
      'pids',
      'resources',
    ]);
    assert.match(first.console, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(first.grpc, /^127\.0\.0\.1:\d+$/);
    assert.match(first.resources.crm ?? '', /^127\.0\.0\.1:\d+$/);
    assert.match(await readFile(first.ca, 'utf8'), /BEGIN CERTIFICATE/);
    assert.deepEqual(Object.keys(first.pids).sort(), NAMES);
    for (const [name, pid] of Object.entries(first.pids)) assert.equal(isAlive(pid), true, name);
  });

  test('people see what they may see, and what is forbidden does not happen', async () => {
    assert.equal(await emailOfCustomer7('alice'), 't***@example.net');
    assert.equal(await emailOfCustomer7('carol'), 'tariq.klein7@example.net');
    const bot = await connect('billing-bot');
    await assert.rejects(bot.query('delete from orders'), { code: '42501', message: /Service accounts read this database/ });
    await bot.end();
    await eventually('the evidence arrives', 180_000, async () => ((await countCommands('delete from orders')) === 1 ? true : undefined));
  });

  test('the commands that people use', async () => {
    assert.match(await output('token', '--as', 'alice'), /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    assert.match(await output('get', 'resources'), /\ncrm +env=demo/);
    assert.match(await output('agents', 'list'), /online/);
    assert.match(await output('plan', '-f', path.join(data, 'demo', 'manifests')), /Resource\/crm unchanged/);
    assert.match(
      await output('connect', 'crm', '--as', 'alice', '--', '-c', 'select email from customers where id = 7'),
      /t\*\*\*@example\.net/,
    );
    const sessions = JSON.parse(await output('sessions', 'list', '--json')) as { sessions: { sessionId: string }[] };
    assert.ok(sessions.sessions.length >= 3);
    assert.match(await output('sessions', 'show', sessions.sessions[0]?.sessionId ?? ''), /principal/);
    assert.match(await output('doctor'), /control plane +http/);
  });

  test('a second start on the same data folder is refused in one line', async () => {
    const { code, out, err } = await sallyport(['up', '--demo', '--data', data]).ended;
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(
      err,
      /^error: Sallyport is already running on \S+ \(process \d+\)\. Stop that one first, or give another folder with --data\.\n$/,
    );
  });

  for (const name of NAMES) {
    test(`kill -9 of ${name} heals, on the same addresses`, async () => {
      const before = await endpoints();
      process.kill(before.pids[name] ?? 0, 'SIGKILL');
      await eventually(`${name} has another process`, 180_000, async () =>
        (await endpoints()).pids[name] === before.pids[name] ? undefined : true,
      );
      assert.equal(await eventually('it works again', 180_000, () => emailOfCustomer7('alice')), 't***@example.net');
      const now = await endpoints();
      assert.deepEqual({ ...now, pids: {} }, { ...before, pids: {} });
      const marker = `select 1 as after_${name.replaceAll('-', '_')}`;
      const client = await connect('bob');
      await client.query(marker);
      await client.end();
      await eventually('the evidence goes on', 180_000, async () => ((await countCommands(marker)) === 1 ? true : undefined));
    });
  }

  test('Ctrl-C stops everything, and the next start goes on where it ended', async () => {
    const { pids } = await endpoints();
    up.process.kill('SIGINT');
    const { code } = await up.ended;
    assert.equal(code, 0);
    for (const [name, pid] of Object.entries(pids)) assert.equal(isAlive(pid), false, name);
    await assert.rejects(endpoints());

    up = sallyport(['up', '--demo', '--data', data]);
    await up.saw('\nready\n');
    const again = await endpoints();
    assert.deepEqual({ ...again, pids: {} }, { ...first, pids: {} });
    assert.equal(await emailOfCustomer7('alice'), 't***@example.net');
    await eventually('earlier evidence is still there, once', 180_000, async () =>
      (await countCommands('delete from orders')) === 1 ? true : undefined,
    );
  });

  test('kill -9 of the supervisor: its children end, and the next start works', async () => {
    const { pids } = await endpoints();
    up.process.kill('SIGKILL');
    await up.ended;
    await eventually('the children end', 180_000, async () => (Object.values(pids).some(isAlive) ? undefined : true));
    up = sallyport(['up', '--demo', '--data', data]);
    await up.saw('\nready\n');
    assert.equal(await emailOfCustomer7('alice'), 't***@example.net');
  });
});

describe('sallyport up: what is wrong is said in one line, before anything starts', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-wrong-'));
    work = folder;
  });

  after(() => rm(folder, { recursive: true, force: true }));

  async function config(name: string, text: string): Promise<string> {
    const dir = path.join(folder, name);
    await mkdir(dir);
    await writeFile(path.join(dir, 'crm.yaml'), text);
    return dir;
  }

  const RESOURCE = (listen: string) => `kind: Resource
metadata: { name: crm }
spec:
  protocol: postgres
  upstream: { address: 127.0.0.1:5432, database: crm, tls: { mode: disable } }
  listen: ${listen}
  credential: crm-app
---
kind: Credential
metadata: { name: crm-app }
spec: { username: app, password: { env: CRM_DB_PASSWORD } }
`;

  async function refused(args: string[], env: Record<string, string> = {}): Promise<string> {
    const { code, out, err } = await sallyport(['up', '--data', path.join(folder, 'data'), ...args], env).ended;
    assert.equal(code, 1, err);
    assert.equal(out, '');
    return err;
  }

  test('a bad manifest: file, line, column and the nearest name', async () => {
    const dir = await config('bad', 'kind: Resource\nmetadata: { name: crm }\nspec:\n  protocol: postgres\n  lisen: 127.0.0.1:1\n');
    const err = await refused(['--config', dir]);
    assert.match(err, /^bad\/crm\.yaml:5:3: .*did you mean `listen`\?$/m);
    assert.equal(err.includes('Starting'), false);
  });

  test('a missing credential', async () => {
    const dir = await config('credential', RESOURCE('127.0.0.1:15999'));
    assert.match(
      await refused(['--config', dir]),
      /^error: credential crm-app takes its password from the environment variable CRM_DB_PASSWORD, which is not set/,
    );
  });

  test('ports that are taken', async () => {
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const dir = await config('taken', RESOURCE(`127.0.0.1:${address.port}`));
    assert.match(
      await refused(['--console-port', String(address.port)]),
      /^error: port \d+ \(--console-port\) is in use by another program/,
    );
    assert.match(
      await refused(['--config', dir], { CRM_DB_PASSWORD: 'x' }),
      /^error: resource crm is to listen on 127\.0\.0\.1:\d+, which is in use/,
    );
    server.close();
  });

  test('a folder without manifests, and none at all', async () => {
    assert.match(await refused(['--config', path.join(folder, 'absent')]), /^error: there is no file or folder/);
    await mkdir(path.join(folder, 'empty'));
    assert.match(await refused(['--config', path.join(folder, 'empty')]), /^error: the folder .* has no \.yaml files in it/);
  });
});
