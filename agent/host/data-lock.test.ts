import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { lockData } from './data-lock.ts';

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'locked',
    (error: unknown) => (error instanceof GatewayError ? error.code : String(error)),
  );

test('one owner at a time; a dead one’s lock is taken over, also when its process id lives again', async () => {
  const dir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-lock-')), 'data');
  const file = path.join(dir, 'agent.lock');
  const lock = await lockData(dir);
  assert.equal(await codeOf(lockData(dir)), 'DATA_LOCKED');
  await lock.release();
  await (await lockData(dir)).release();

  const child = spawn('true');
  await once(child, 'exit');
  for (const left of [`${child.pid} 12345`, '', 'nonsense', '-1 5', `${process.pid} 1`]) {
    fs.writeFileSync(file, left);
    const taken = await lockData(dir);
    await taken.release();
  }
  fs.writeFileSync(file, `${process.pid} -`);
  assert.equal(await codeOf(lockData(dir)), 'DATA_LOCKED', 'where start times are not known, a living id counts');
});

test('a folder that cannot be made', async () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-lock-')), 'file');
  fs.writeFileSync(file, '');
  assert.equal(await codeOf(lockData(path.join(file, 'data'))), 'DATA_UNWRITABLE');
});
