import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { joinAddress, ListenPorts, splitAddress } from './listen-ports.ts';

const file = () => path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'sallyport-ports-')), 'ports.json');

async function occupy(options: net.ListenOptions = {}): Promise<{ address: string; close: () => void }> {
  const server = net.createServer().listen({ host: '127.0.0.1', port: 0, ...options });
  await once(server, 'listening');
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() };
}

test('a resource without `listen` gets a free port and keeps it across starts', async () => {
  const where = file();
  const first = await (await ListenPorts.open(where)).plan([
    { resource: 'a', listen: null },
    { resource: 'b', listen: '127.0.0.1:0' },
  ]);
  assert.deepEqual(first.problems, {});
  assert.match(first.listen.a ?? '', /^127\.0\.0\.1:\d+$/);
  assert.notEqual(first.listen.a, first.listen.b);
  const again = await (await ListenPorts.open(where)).plan([
    { resource: 'a', listen: null },
    { resource: 'b', listen: '127.0.0.1:0' },
  ]);
  assert.deepEqual(again, first);
  const taken = net.createServer().listen(splitAddress(first.listen.a ?? ''));
  await once(taken, 'listening');
  const moved = await (await ListenPorts.open(where)).plan([{ resource: 'a', listen: null }]);
  assert.notEqual(moved.listen.a, first.listen.a, 'the kept one is another program’s now');
  taken.close();
});

test('what is chosen is no other’s: not what another was given before, nor what a manifest asks for', async () => {
  const where = file();
  const kept = (await (await ListenPorts.open(where)).plan([{ resource: 'a', listen: null }])).listen.a ?? '';
  assert.ok(splitAddress(kept).port < 32_768, 'nor what the kernel gives to any connection');
  for (const wanted of [
    [
      { resource: 'a', listen: null },
      { resource: 'b', listen: kept },
    ],
    [
      { resource: 'b', listen: kept },
      { resource: 'a', listen: '127.0.0.1:0' },
    ],
  ]) {
    const plan = await (await ListenPorts.open(where)).plan(wanted);
    assert.deepEqual(plan.problems, {});
    assert.equal(plan.listen.b, kept);
    assert.notEqual(plan.listen.a, kept);
    fs.writeFileSync(where, JSON.stringify({ a: kept }), { mode: 0o600 });
  }
  const same = file();
  fs.writeFileSync(same, JSON.stringify({ a: kept, b: kept }), { mode: 0o600 });
  const apart = await (await ListenPorts.open(same)).plan(['a', 'b'].map(resource => ({ resource, listen: null })));
  assert.deepEqual(apart.problems, {});
  assert.notEqual(apart.listen.a, apart.listen.b);
});

test('an address that another program holds is a problem, even if that program shares ports', async () => {
  for (const options of [{}, { reusePort: true }]) {
    const other = await occupy(options);
    const plan = await (await ListenPorts.open(file())).plan([
      { resource: 'a', listen: other.address },
      { resource: 'b', listen: null },
    ]);
    assert.match(plan.problems.a ?? '', new RegExp(`${other.address} is in use`));
    assert.deepEqual(Object.keys(plan.listen), ['b']);
    other.close();
  }
});

test('what the workers hold is not probed again, until the resource is gone', async () => {
  const ports = await ListenPorts.open(file());
  const probe = await occupy();
  probe.close();
  assert.equal((await ports.plan([{ resource: 'a', listen: probe.address }])).listen.a, probe.address);
  const worker = net.createServer().listen(splitAddress(probe.address));
  await once(worker, 'listening');
  assert.equal((await ports.plan([{ resource: 'a', listen: probe.address }])).listen.a, probe.address);
  assert.match((await ports.plan([{ resource: 'c', listen: probe.address }])).problems.c ?? '', /in use/);
  worker.close();
});

test('one address for two resources, addresses that are none, addresses of other machines', async () => {
  const ports = await ListenPorts.open(file());
  const free = await occupy();
  free.close();
  const plan = await ports.plan([
    { resource: 'a', listen: free.address },
    { resource: 'b', listen: free.address },
    { resource: 'c', listen: 'nonsense' },
    { resource: 'd', listen: '192.0.2.1:5432' },
    { resource: 'e', listen: '127.0.0.1:99999' },
  ]);
  assert.deepEqual(Object.keys(plan.listen), ['a']);
  assert.match(plan.problems.b ?? '', /two resources/);
  assert.match(plan.problems.c ?? '', /HOST:PORT/);
  assert.match(plan.problems.d ?? '', /cannot be listened on/);
  assert.match(plan.problems.e ?? '', /HOST:PORT/);
});

test('addresses', () => {
  assert.deepEqual(splitAddress('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(splitAddress('db.example:5432'), { host: 'db.example', port: 5432 });
  assert.equal(joinAddress('::1', 80), '[::1]:80');
  for (const wrong of ['', ':1', 'a', 'a:', 'a:b', '::1:80', 'a:1:2', 'a b:1', '[x y]:1', 'a:123456']) {
    assert.throws(() => splitAddress(wrong), GatewayError, wrong);
  }
});
