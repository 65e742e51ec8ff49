import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { LentReads } from './read-space.ts';
import { SendSpace } from './send-space.ts';

async function pairs(count: number, onAccept: (socket: Socket) => void) {
  const listener = createServer({ allowHalfOpen: false }, onAccept).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const ends = Array.from({ length: count }, () => {
    const reads = new LentReads();
    return { reads, socket: connect({ port, host: '127.0.0.1', onread: reads.onread }) };
  });
  return { listener, ends };
}

test('what is sent in pieces of any size arrives whole and in order, whoever reads slowly, and nobody gets what is another’s', async () => {
  const sums: string[] = [];
  const { listener, ends } = await pairs(3, socket => {
    const number = sums.length;
    sums.push('');
    const sum = createHash('sha256');
    const sending = new SendSpace(socket);
    const piece = Buffer.alloc(200_000);
    for (let i = 0; i < 120; i++) {
      const length = [1, 4, 32_804, 16, 4096, 200_000, 70_000][i % 7] as number;
      randomBytes(length).copy(piece);
      sum.update(piece.subarray(0, length));
      sending.write(piece.subarray(0, length));
      // It was copied: what becomes of it now is nobody's business.
      piece.fill(number);
    }
    sending.flush();
    sums[number] = sum.digest('hex');
    socket.end();
  });
  try {
    const got = await Promise.all(
      ends.map(async ({ reads, socket }) => {
        const sum = createHash('sha256');
        let calls = 0;
        reads.deliverTo(bytes => {
          sum.update(bytes);
          if (++calls % 5 !== 0) return;
          socket.pause();
          setImmediate(() => socket.resume());
        });
        await once(socket, 'end');
        return sum.digest('hex');
      }),
    );
    assert.deepEqual(got.toSorted(), sums.toSorted());
  } finally {
    for (const { socket } of ends) socket.destroy();
    listener.close();
  }
});

test('what a host says before anybody listens is kept, up to a bound', async () => {
  const { listener, ends } = await pairs(2, socket => {
    socket.on('error', () => undefined);
    socket.once('data', first => socket.write(Buffer.alloc(first[0] === 1 ? 1000 : 1_000_000, first[0])));
  });
  try {
    const [brief, flood] = ends;
    assert.ok(brief !== undefined && flood !== undefined);
    flood.socket.write(Buffer.of(2));
    await once(flood.socket, 'close');
    brief.socket.write(Buffer.of(1));
    while (brief.socket.bytesRead < 1000) await new Promise(resolve => setImmediate(resolve));
    const parts: Buffer[] = [];
    brief.reads.deliverTo(bytes => void parts.push(Buffer.from(bytes)));
    assert.deepEqual(Buffer.concat(parts), Buffer.alloc(1000, 1));
  } finally {
    for (const { socket } of ends) socket.destroy();
    listener.close();
  }
});

test('what was dropped never leaves, and its space serves the next', async () => {
  const received: Buffer[] = [];
  const { listener, ends } = await pairs(1, socket => {
    const sending = new SendSpace(socket);
    sending.write(Buffer.alloc(50_000, 1));
    sending.drop();
    sending.write(Buffer.alloc(50_000, 2));
    sending.write('bye');
    sending.flush();
    socket.end();
  });
  try {
    const [end] = ends;
    assert.ok(end !== undefined);
    end.reads.deliverTo(bytes => void received.push(Buffer.from(bytes)));
    await once(end.socket, 'end');
    assert.deepEqual(Buffer.concat(received), Buffer.concat([Buffer.alloc(50_000, 2), Buffer.from('bye')]));
  } finally {
    for (const { socket } of ends) socket.destroy();
    listener.close();
  }
});
