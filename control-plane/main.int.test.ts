import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

interface Line {
  ready?: true;
  http: string;
  grpc: string;
  ca: string;
  adminToken: string;
  error?: { code: string; message: string };
}

async function start(...args: string[]): Promise<{ child: ChildProcess; line: Line; logs: () => string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let logs = '';
  assert.ok(child.stdout && child.stderr);
  child.stderr.on('data', (chunk: Buffer) => {
    logs += chunk.toString();
  });
  for await (const text of createInterface({ input: child.stdout })) return { child, line: JSON.parse(text) as Line, logs: () => logs };
  throw new Error(`no line; ${logs}`);
}

const flags = (dir: string) => ['--data', join(dir, 'data'), '--http', '127.0.0.1:0', '--grpc', '127.0.0.1:0'];
const role = (n: number) => `kind: Role\nmetadata: { name: r${n} }\nspec: { members: { groups: [g] }, resources: { names: [crm] } }\n`;

async function call(line: Line, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(line.http + path, {
    method,
    headers: { authorization: `Bearer ${line.adminToken}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.ok(response.ok, `${response.status}`);
  return (await response.json()) as Record<string, unknown>;
}

test('kill -9 at any moment: every acknowledged change is there after the next start', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-main-'));
  const acknowledged: string[] = [];
  let next = 0;
  for (const after of [1, 9, 25]) {
    const { child, line } = await start(...flags(dir));
    const exited = once(child, 'exit');
    const target = acknowledged.length + after;
    const writers = Array.from({ length: 4 }, async () => {
      while (child.exitCode === null && child.signalCode === null) {
        const n = next++;
        try {
          await call(line, 'POST', '/v1/apply', { manifests: [{ file: 'r.yaml', text: role(n) }] });
        } catch {
          return; // The process is gone: this change was not acknowledged.
        }
        acknowledged.push(`r${n}`);
        if (acknowledged.length >= target) child.kill('SIGKILL');
      }
    });
    await Promise.all(writers);
    assert.deepEqual((await exited)[1], 'SIGKILL');
  }
  const { child, line } = await start(...flags(dir));
  const { manifests } = (await call(line, 'GET', '/v1/manifests/Role')) as { manifests: { metadata: { name: string } }[] };
  const kept = new Set(manifests.map(({ metadata }) => metadata.name));
  assert.deepEqual(
    acknowledged.filter(name => !kept.has(name)),
    [],
  );
  assert.ok(acknowledged.length >= 35);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  await rm(dir, { recursive: true });
});

test('what cannot start says why in one line, and ends with 1; wrong usage with 2', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-main-'));
  const running = await start(...flags(dir));
  assert.equal(running.line.ready, true);
  assert.match(running.line.grpc, /^127\.0\.0\.1:\d+$/);
  const locked = await start(...flags(dir));
  assert.equal(locked.line.error?.code, 'DATA_LOCKED');
  assert.match(locked.line.error?.message ?? '', new RegExp(`process ${running.child.pid}`));
  if (locked.child.exitCode === null) await once(locked.child, 'exit');
  assert.equal(locked.child.exitCode, 1);
  for (const flag of ['--http', '--grpc']) {
    const address = flag === '--http' ? running.line.http.replace('http://', '') : running.line.grpc;
    const taken = await start('--data', join(dir, `other${flag}`), '--http', '127.0.0.1:0', '--grpc', '127.0.0.1:0', flag, address);
    assert.equal(taken.line.error?.code, 'LISTEN_FAILED');
    assert.ok(taken.line.error?.message.includes(address));
  }
  await writeFile(join(dir, 'file'), '');
  assert.equal((await start(...flags(join(dir, 'file')))).line.error?.code, 'DATA_UNWRITABLE');
  for (const args of [[], ['--nonsense'], ['--data', dir, '--http', 'nowhere'], ['--data', dir, '--clickhouse', 'x y']]) {
    const child = spawn(process.execPath, [main, ...args], { stdio: 'ignore' });
    assert.deepEqual(await once(child, 'exit'), [2, null], args.join(' '));
  }
  running.child.kill('SIGTERM');
  assert.deepEqual(await once(running.child, 'exit'), [0, null]);
  for (const line of running.logs().trim().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line);
  assert.equal(running.logs().includes(running.line.adminToken), false);
  await rm(dir, { recursive: true });
});

test('off loopback the API is HTTPS by the own CA', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-main-'));
  const { child, line } = await start(
    '--data',
    join(dir, 'data'),
    '--http',
    '0.0.0.0:0',
    '--grpc',
    '127.0.0.1:0',
    '--name',
    'gate.example',
  );
  assert.match(line.http, /^https:/);
  const { connect } = await import('node:tls');
  const { readFile } = await import('node:fs/promises');
  const socket = connect({
    host: '127.0.0.1',
    port: Number(new URL(line.http).port),
    ca: await readFile(line.ca),
    servername: 'gate.example',
  });
  await once(socket, 'secureConnect');
  assert.equal(socket.authorized, true);
  socket.destroy();
  child.kill('SIGTERM');
  await once(child, 'exit');
  await rm(dir, { recursive: true });
});
