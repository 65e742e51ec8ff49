/** Several `sallyport up` that start in the same moment, and so prefer the same ports. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Endpoints } from './endpoints.ts';

const command = path.join(import.meta.dirname, 'bin', 'sallyport.js');

interface Started {
  process: ChildProcess;
  ready: Promise<void>;
  ended: Promise<number | null>;
}

function up(folder: string, data: string): Started {
  const env = { PATH: process.env.PATH, HOME: folder, TMPDIR: process.env.TMPDIR, NO_COLOR: '1' };
  const child = spawn(process.execPath, [command, 'up', '--config', path.join(folder, 'config'), '--data', data], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  const ready = new Promise<void>((resolve, reject) => {
    const take = (text: string) => {
      said += text;
      if (/^ready$/m.test(said)) resolve();
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.once('error', reject);
    void ended.then(code => reject(new Error(`it ended with ${code} before it was ready:\n${said}`)));
  });
  return { process: child, ready, ended };
}

test('three of the same moment take different ports, and all go on', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-together-'));
  await mkdir(path.join(folder, 'config'));
  const role = 'kind: Role\nmetadata: { name: any }\nspec: { members: { groups: [any] }, resources: {} }\n';
  await writeFile(path.join(folder, 'config', 'role.yaml'), role);
  const all = [1, 2, 3].map(each => up(folder, path.join(folder, `data-${each}`)));
  try {
    await Promise.all(all.map(({ ready }) => ready));
    const ports = await Promise.all(
      [1, 2, 3].map(async each => {
        const { api, grpc, clickhouse } = JSON.parse(
          await readFile(path.join(folder, `data-${each}`, 'endpoints.json'), 'utf8'),
        ) as Endpoints;
        return [api, grpc, clickhouse.url].map(address => address.slice(address.lastIndexOf(':') + 1));
      }),
    );
    assert.equal(new Set(ports.flat()).size, 9, JSON.stringify(ports));
  } finally {
    for (const each of all) each.process.kill('SIGTERM');
    const codes = await Promise.all(all.map(({ ended }) => ended));
    await rm(folder, { recursive: true, force: true });
    assert.deepEqual(codes, [0, 0, 0]);
  }
});
