import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { encodePublicKey } from '@sallyport/shared/ssh/keys.ts';
import { LentReads } from './read-space.ts';
import { ready, Transport, type TransportEvents } from './transport.ts';

const { privateKey } = generateKeyPairSync('ed25519');
const hostKey = {
  algorithm: 'ssh-ed25519',
  blob: encodePublicKey(createPublicKey(privateKey)),
  signatureAlgorithm: 'ssh-ed25519',
  sign: (data: Buffer) => sign(null, data, privateKey),
};

/** Both ends of one connection that has agreed on its first keys. */
async function connected(rekeyBytes: number, onServer: Partial<TransportEvents>, onClient: Partial<TransportEvents>) {
  await ready;
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const keys = { client: 0, server: 0 };
  const nothing = { onMessage: () => undefined, onDrain: () => undefined, onClosed: () => undefined };
  const accepted = once(listener, 'connection');
  const reads = new LentReads();
  const clientSocket = connect({ host: '127.0.0.1', port: (listener.address() as AddressInfo).port, onread: reads.onread });
  const [serverSocket] = (await accepted) as [Socket];
  const agreed = Promise.withResolvers<void>();
  const server = new Transport(
    serverSocket,
    { type: 'server', hostKeys: [hostKey] },
    { ...nothing, onReady: () => undefined, ...onServer },
    rekeyBytes,
  );
  const client = new Transport(
    clientSocket,
    // Asked at every key exchange.
    { type: 'client', hostKeyAlgorithms: ['ssh-ed25519'], acceptHostKey: blob => ++keys.client > 0 && blob.equals(hostKey.blob) },
    { ...nothing, onReady: () => agreed.resolve(), ...onClient },
    rekeyBytes,
    reads,
  );
  await agreed.promise;
  return {
    ...{ server, client, keys },
    stop() {
      server.destroy();
      client.destroy();
      listener.close();
    },
  };
}

test('keys are renewed on the way, by whoever comes to the bound first, and every message arrives whole and in order', async () => {
  const MESSAGES = 400;
  const PAYLOAD_BYTES = 20_000;
  const received = { server: 0, client: 0 };
  const done = Promise.withResolvers<void>();
  const take = (side: 'server' | 'client') => (payload: Buffer) => {
    const number = payload.readUInt32BE(9);
    assert.equal(number, received[side]++);
    assert.ok(payload.subarray(13).every(byte => byte === (number & 0xff)));
    if (received.server === MESSAGES && received.client === MESSAGES) done.resolve();
    // Nobody looks at every second one any more: its memory goes at once.
    return number % 2 === 0;
  };
  const broken = (error: unknown) => done.reject(error ?? new Error('closed'));
  let pump: (side: 'server' | 'client') => void = () => undefined;
  const ends = await connected(
    100_000,
    { onMessage: take('server'), onClosed: broken, onDrain: () => pump('server') },
    { onMessage: take('client'), onClosed: broken, onDrain: () => pump('client') },
  );
  try {
    const sent = { server: 0, client: 0 };
    pump = side => {
      while (sent[side] < MESSAGES && !ends[side].backedUp) {
        const data = Buffer.alloc(4 + PAYLOAD_BYTES, sent[side] & 0xff);
        data.writeUInt32BE(sent[side]++, 0);
        ends[side].sendData(1, null, data);
      }
    };
    pump('server');
    pump('client');
    await done.promise;
    assert.ok(ends.keys.client >= 10, `keys were agreed on ${ends.keys.client} times`);
  } finally {
    ends.stop();
  }
});
