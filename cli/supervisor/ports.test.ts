import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { choosePorts, holdPort, isFree, takenOf } from './ports.ts';

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
