/**
 * Bytes that no client sends: before the key exchange, behind it, and behind authentication. Each may end its own connection and nothing
 * else; the agent lives, keeps its memory, and serves the next one.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Message } from '@sallyport/agent/ssh/messages.ts';
import { ready, Transport } from '@sallyport/agent/ssh/transport.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { type Bastion, logOf, startBastion } from '../components/bastion.ts';

let bastion: Bastion;
before(async () => {
  await ready;
  bastion = await startBastion({ role: '{ forward: ["127.0.0.1:*"], remoteForward: ["*:*"] }' });
});
after(() => bastion?.stop());

async function alive(): Promise<void> {
  const { code, stderr } = await bastion.ssh(['true']);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(logOf(bastion.gateway), /"level":50/);
}

/** Opens a socket, lets `act` use it, and waits for its end, or ends it. */
function connection(act: (socket: net.Socket) => void, limitMs = 1500): Promise<void> {
  const { host, port } = bastion.address();
  return new Promise(resolve => {
    const socket = net.connect(port, host, () => act(socket));
    const late = setTimeout(() => socket.destroy(), limitMs);
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    socket.once('close', () => {
      clearTimeout(late);
      resolve();
    });
  });
}

/** A connection with keys; `act` sends what it likes. */
function keyed(
  act: (transport: Transport) => void,
  onMessage: (transport: Transport, payload: Buffer) => void = () => undefined,
): Promise<void> {
  return connection(socket => {
    const transport: Transport = new Transport(
      socket,
      { type: 'client', hostKeyAlgorithms: ['ssh-ed25519'], acceptHostKey: () => true },
      {
        onReady: () => act(transport),
        onMessage: payload => {
          onMessage(transport, payload);
          return undefined;
        },
        onServiceAccept: () => onMessage(transport, Buffer.of(Message.serviceAccept)),
        onDrain: () => undefined,
        onClosed: () => socket.destroy(),
      },
    );
  }, 4000);
}

const noise = (type: number) => Buffer.concat([Buffer.of(type), randomBytes(randomInt(0, 200))]);

test('before the key exchange', async () => {
  const first = (length: number, rest: Buffer) => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(length >>> 0);
    head[4] = randomInt(0, 256);
    return Buffer.concat([Buffer.from('SSH-2.0-noise\r\n'), head, rest]);
  };
  const openings: Buffer[] = [
    randomBytes(1000),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from('SSH-1.5-old\r\n'),
    Buffer.alloc(300_000, 0x41),
    Buffer.from(`SSH-2.0-${'x'.repeat(10_000)}\r\n`),
    Buffer.from('\r\n'.repeat(50_000)),
    first(0xffff_ffff, randomBytes(64)),
    first(0x7fff_ffff, randomBytes(64)),
    first(0, randomBytes(64)),
    first(1, Buffer.alloc(0)),
    first(40_000, randomBytes(40_000)),
    ...Array.from({ length: 20 }, () => first(randomInt(0, 2000), Buffer.concat([Buffer.of(20), randomBytes(randomInt(0, 2000))]))),
  ];
  await Promise.all(openings.map(bytes => connection(socket => socket.write(bytes))));
  await alive();
});

test('behind the key exchange, before anybody is anybody', async () => {
  const deeds: ((transport: Transport) => void)[] = [
    ...Array.from({ length: 15 }, () => (transport: Transport) => {
      for (let i = 0; i < 10; i++) transport.send(noise(randomInt(1, 128)));
    }),
    transport => {
      transport.service('ssh-userauth');
      for (let i = 0; i < 50; i++) transport.send(noise(Message.userauthRequest));
    },
    transport => {
      transport.service('ssh-userauth');
      // A session without authentication.
      transport.send(new SshWriter().byte(Message.channelOpen).string('session').uint32(0).uint32(1000).uint32(1000).finish());
      transport.send(new SshWriter().byte(Message.channelRequest).uint32(0).string('exec').boolean(true).string('id').finish());
    },
    transport => transport.service('ssh-connection'),
    transport => {
      transport.service('ssh-userauth');
      transport.service('ssh-userauth');
      transport.send(Buffer.of(Message.userauthSuccess));
    },
  ];
  await Promise.all(deeds.map(deed => keyed(deed)));
  const rows = await bastion.gateway.query<{ n: string }>(
    `select count() as n from sallyport.sessions where status != 'refused' and principal != 'olga@example.com'`,
  );
  assert.equal(Number(rows[0]?.n), 0);
  await alive();
});

test('behind authentication', async () => {
  const token = await bastion.token();
  const authenticated = (act: (transport: Transport) => void) =>
    keyed(
      transport => transport.service('ssh-userauth'),
      (transport, payload) => {
        if (payload[0] === Message.serviceAccept)
          transport.send(
            new SshWriter(4096)
              .byte(Message.userauthRequest)
              .string('web')
              .string('ssh-connection')
              .string('password')
              .boolean(false)
              .string(token)
              .finish(),
          );
        else if (payload[0] === Message.userauthSuccess) act(transport);
      },
    );
  const open = (id: number, window = 100_000, type = 'session') =>
    new SshWriter().byte(Message.channelOpen).string(type).uint32(id).uint32(window).uint32(32_768).finish();
  const request = (id: number, type: string, data: Uint8Array) =>
    new SshWriter().byte(Message.channelRequest).uint32(id).string(type).boolean(true).raw(data).finish();
  const text = (value: string) => new SshWriter().string(value).finish();
  const deeds: ((transport: Transport) => void)[] = [
    ...Array.from({ length: 12 }, () => (transport: Transport) => {
      transport.send(open(0));
      for (let i = 0; i < 30; i++) {
        const payload = noise(randomInt(80, 101));
        // Often a channel that there is.
        if (payload.length >= 5 && randomInt(0, 2) === 0) payload.writeUInt32BE(randomInt(0, 3), 1);
        transport.send(payload);
      }
    }),
    transport => {
      for (let id = 0; id < 300; id++) transport.send(open(id));
    },
    // More than the window allows.
    transport => {
      transport.send(open(0));
      transport.send(request(0, 'exec', text('sleep 5')));
      for (let i = 0; i < 100; i++) transport.sendData(0, null, Buffer.alloc(32_000));
    },
    // Windows that grow beyond what they can be, packets of one byte, requests behind the end.
    transport => {
      transport.send(open(0, 0xffff_ffff));
      transport.send(new SshWriter().byte(Message.channelWindowAdjust).uint32(0).uint32(0xffff_ffff).finish());
    },
    transport => {
      transport.send(open(0));
      for (const type of ['exec', 'shell', 'subsystem', 'exec', 'pty-req', 'env', 'signal', 'window-change'])
        transport.send(request(0, type, text('sftp')));
    },
    transport => {
      transport.send(open(0));
      transport.send(request(0, 'subsystem', text('sftp')));
      for (let i = 0; i < 20; i++) transport.sendData(0, null, randomBytes(randomInt(1, 500)));
      transport.sendData(0, null, Buffer.of(0xff, 0xff, 0xff, 0xff, 1));
    },
    transport => {
      transport.send(open(0));
      transport.send(request(0, 'exec', Buffer.concat([Buffer.of(0, 0, 0, 4), Buffer.of(0xff, 0xfe, 0x00, 0x80)])));
      transport.send(request(0, 'exec', text('id\0reboot')));
    },
    transport => {
      for (let i = 0; i < 200; i++) transport.ask('tcpip-forward', new SshWriter().string('').uint32(0).finish(), () => undefined);
    },
  ];
  await Promise.all(deeds.map(deed => authenticated(deed)));
  await alive();
  await bastion.gateway.eventually<{ n: string }>(
    `select count() as n from sallyport.sessions where status = 'open'`,
    rows => Number(rows[0]?.n) === 0,
  );
});
