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
  said: () => string;
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
  return { process: child, ready, ended, said: () => said };
}

test('three of the same moment take different ports, and all go on', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-together-'));
  await mkdir(path.join(folder, 'config'));
  const role = 'kind: Role\nmetadata: { name: any }\nspec: { members: { groups: [any] }, resources: {} }\n';
  await writeFile(path.join(folder, 'config', 'role.yaml'), role);
  const all = [1, 2, 3].map(each => up(folder, path.join(folder, `data-${each}`)));
  // Every start is waited for, so that a failure is told in the words of the one that failed.
  const outcomes = await Promise.allSettled(all.map(({ ready }) => ready));
  const ports = await Promise.all(
    [1, 2, 3].map(async each => {
      const text = await readFile(path.join(folder, `data-${each}`, 'endpoints.json'), 'utf8').catch(() => '');
      if (text === '') return [];
      const { api, grpc, clickhouse } = JSON.parse(text) as Endpoints;
      return [api, grpc, clickhouse.url].map(address => address.slice(address.lastIndexOf(':') + 1));
    }),
  );
  for (const each of all) each.process.kill('SIGTERM');
  const codes = await Promise.all(all.map(({ ended }) => ended));
  await rm(folder, { recursive: true, force: true });
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  assert.equal(new Set(ports.flat()).size, 9, JSON.stringify(ports));
  assert.deepEqual(codes, [0, 0, 0]);
  // Nobody had to start over: the ports were settled before anything was started.
  for (const { said } of all) assert.doesNotMatch(said(), /starting on other ports/);
});
