import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { PortClaims } from './port-claims.ts';
import { choosePorts as choose, holdPort, isFree, type PortWish, takenOf } from './ports.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-claims-'));
const claims = new PortClaims(folder);
const choosePorts = (wishes: readonly PortWish[]) => choose(wishes, claims);

async function taken(t: TestContext): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

test('a preferred port that is taken gives way to a free one; each wish gets its own', async t => {
  const preferred = await taken(t);
  const { a, b } = await choosePorts([
    { name: 'a', preferred },
    { name: 'b', preferred },
  ]);
  assert.notEqual(a, preferred);
  assert.notEqual(a, b);
  assert.equal(await isFree('127.0.0.1', a ?? 0), true);
});

test('what the last start had comes before what is preferred', async t => {
  const kept = await taken(t);
  const free = await choosePorts([{ name: 'a', preferred: kept }]);
  const port = free.a ?? 0;
  assert.deepEqual(await choosePorts([{ name: 'a', preferred: kept, kept: port }]), { a: port });
});

test('a demanded port that is taken is an error that names the flag', async t => {
  const demanded = await taken(t);
  await assert.rejects(choosePorts([{ name: 'console', preferred: 1, demanded, flag: '--console-port' }]), {
    code: 'PORT_TAKEN',
    message: new RegExp(`port ${demanded} \\(--console-port\\) is in use`),
  });
});

test('a demand goes before the preference of another', async () => {
  const { free = 0 } = await choosePorts([{ name: 'free', preferred: 0 }]);
  const chosen = await choosePorts([
    { name: 'a', preferred: free },
    { name: 'b', preferred: 0, demanded: free, flag: '--b' },
  ]);
  assert.equal(chosen.b, free);
  assert.notEqual(chosen.a, free);
});

test('a held port is nobody else’s until it is released', async () => {
  const { a = 0 } = await choosePorts([{ name: 'a', preferred: 0 }]);
  const held = await holdPort(a);
  await assert.rejects(holdPort(a), { code: 'PORT_TAKEN' });
  assert.deepEqual(await takenOf({ a }), [a]);
  await Promise.all([held.release(), held.release()]);
  assert.deepEqual(await takenOf({ a }), []);
});

test('what another supervisor has claimed is not chosen, though nobody listens on it yet', async t => {
  const script = `
    import { PortClaims } from ${JSON.stringify(path.join(import.meta.dirname, 'port-claims.ts'))};
    const claims = new PortClaims(process.argv[1]);
    console.log(claims.claim(Number(process.argv[2])));
    process.stdin.resume().on('end', () => claims.release());`;
  const { a = 0 } = await choosePorts([{ name: 'a', preferred: 0 }]);
  claims.release();
  const other = spawn(process.execPath, ['--input-type=module', '-e', script, folder, String(a)], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => other.kill('SIGKILL'));
  const [said] = await once(other.stdout.setEncoding('utf8'), 'data');
  assert.equal(said, 'true\n');
  assert.equal(await isFree('127.0.0.1', a), true);
  assert.notEqual((await choosePorts([{ name: 'a', preferred: a }])).a, a);
  await assert.rejects(choosePorts([{ name: 'a', preferred: a, demanded: a }]), { code: 'PORT_TAKEN' });
  other.kill('SIGKILL');
  await once(other, 'close');
  assert.deepEqual(await choosePorts([{ name: 'a', preferred: a }]), { a }, 'a claim ends with its process');
});

test('claims of a choice are given up with the next; what was lost before is not tried again', async () => {
  const first = (await choosePorts([{ name: 'a', preferred: 0 }])).a ?? 0;
  const second = (await choose([{ name: 'a', preferred: first, kept: first }], claims, new Set([first]))).a ?? 0;
  assert.notEqual(second, first);
  assert.deepEqual(await choosePorts([{ name: 'a', preferred: first }]), { a: first });
});

test('a folder that others may write is no place for claims', () => {
  const open = mkdtempSync(path.join(os.tmpdir(), 'sallyport-claims-'));
  chmodSync(open, 0o777);
  assert.throws(() => new PortClaims(open), { code: 'CLAIMS_UNWRITABLE' });
});
