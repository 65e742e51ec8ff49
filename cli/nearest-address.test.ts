import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { nearest } from './nearest-address.ts';

test('the address that answers is taken; the only one unasked; none when none answers', async t => {
  const server = createServer(socket => socket.destroy());
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  const live = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  assert.equal(await nearest(['127.0.0.1:1', live, '127.0.0.1:2']), live);
  assert.equal(await nearest(['127.0.0.1:1']), '127.0.0.1:1');
  assert.equal(await nearest(['127.0.0.1:1', '127.0.0.1:2']), undefined);
  assert.equal(await nearest([]), undefined);
});
