/** What hostile and broken clients send: each gets the right error, nobody else is disturbed, and the record says why. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import tls from 'node:tls';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { makeCertificates, type PostgresServer, startPostgres } from './components/postgres.ts';
import { fields, frame, gssRequest, message, RawClient, sslRequest, startup, values } from './components/raw-postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let bystander: RawClient;
let agentPid: number;
let wrongDir: string;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  // The wrong CA is a sound certificate, of somebody else.
  wrongDir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-wrong-ca-'));
  makeCertificates(wrongDir);
  const wrongCa = shopManifests(postgres, { issuer: issuer.url })
    .split('---')[0]
    ?.replace('name: crm,', 'name: wrong-ca,')
    .replace(postgres.ca, path.join(wrongDir, 'ca.crt'));
  const reach = shopManifests(postgres, { issuer: issuer.url })
    .split('---')[4]
    ?.replace('name: support', 'name: support-wrong')
    .replace('[crm]', '[wrong-ca]');
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }), 'wrong.yaml': `${wrongCa}\n---${reach}` },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  bystander = await RawClient.connect(await through());
  agentPid = gateway.endpoints().pids['agent'] ?? 0;
});
after(async () => {
  bystander?.close();
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
  rmSync(wrongDir, { recursive: true, force: true });
});

const through = async (resource = 'crm') => {
  const { host, port } = gateway.address(resource);
  return {
    host,
    port,
    user: 'anyone',
    database: 'app',
    password: await issuer.token(people.support),
    ca: readFileSync(gateway.endpoints().ca, 'utf8'),
  };
};

afterEach(async () => {
  const row = (await bystander.simple('select 42')).find(f => f.type === 'D');
  assert.equal(values(row?.body ?? Buffer.alloc(2))[0]?.toString(), '42', 'the session next door goes on');
  assert.equal(gateway.endpoints().pids['agent'], agentPid, 'the agent is the same process');
});

/** Sends bytes on a plain socket and gives everything that comes back until it is closed. */
async function plain(...bytes: Buffer[]): Promise<Buffer> {
  const { host, port } = gateway.address('crm');
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host);
    const chunks: Buffer[] = [];
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`still open; so far ${Buffer.concat(chunks).toString('latin1')}`));
    }, 120_000);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(late);
      resolve(Buffer.concat(chunks));
    });
    socket.write(Buffer.concat(bytes));
  });
}

/** TLS, then bytes; everything that comes back until it is closed. */
async function secure(...bytes: Buffer[]): Promise<Buffer> {
  const { host, port } = gateway.address('crm');
  const raw = net.connect(port, host);
  raw.write(sslRequest);
  await new Promise(resolve => raw.once('data', resolve));
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ socket: raw, rejectUnauthorized: false });
    const chunks: Buffer[] = [];
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`still open; so far ${Buffer.concat(chunks).toString('latin1')}`));
    }, 120_000);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(late);
      resolve(Buffer.concat(chunks));
    });
    socket.once('secureConnect', () => socket.write(Buffer.concat(bytes)));
  });
}

const int32 = (value: number) => {
  const out = Buffer.alloc(4);
  out.writeInt32BE(value | 0);
  return out;
};

describe('before authentication', () => {
  test('start-up packets that are malformed', async () => {
    const cases: Record<string, Buffer> = {
      'length 0': int32(0),
      'length 4': int32(4),
      'length 2^31-1': Buffer.concat([int32(0x7fffffff), Buffer.alloc(64)]),
      'negative length': Buffer.concat([int32(-1), Buffer.alloc(64)]),
      'no terminator': Buffer.concat([int32(13), int32(196608), Buffer.from('user\0')]),
      'unknown version': startup({ user: 'x' }, 0x7fff0000),
      'protocol 2': startup({ user: 'x' }, 131072),
      'a name without value': Buffer.concat([int32(14), int32(196608), Buffer.from('user\0\0')]),
      'nothing like it': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const answer = await secure(bytes);
      assert.ok(
        answer.length === 0 || answer[0] === 'E'.charCodeAt(0) || answer[0] === 'v'.charCodeAt(0),
        `${name}: ${answer.toString('latin1')}`,
      );
    }
    await gateway.eventually("select * from sallyport.sessions where status = 'refused'", rows => rows.length >= 5);
  });

  test('plain text start-up is told to use TLS', async () => {
    const answer = await plain(startup({ user: 'x', database: 'app' }));
    assert.equal(String.fromCharCode(answer[0] ?? 0), 'E');
    assert.match(fields(answer.subarray(5))['M'] ?? '', /TLS|SSL/);
  });

  test('GSSENCRequest is answered N, and the client may go on with TLS', async () => {
    const { host, port } = gateway.address('crm');
    const socket = net.connect(port, host);
    socket.write(gssRequest);
    const first = await new Promise<Buffer>(resolve => socket.once('data', resolve));
    assert.equal(first.toString(), 'N');
    socket.write(sslRequest);
    const second = await new Promise<Buffer>(resolve => socket.once('data', resolve));
    assert.equal(second.toString(), 'S');
    socket.destroy();
  });

  test('bytes pipelined behind SSLRequest are refused (CVE-2021-23222)', async () => {
    const answer = await plain(sslRequest, startup({ user: 'x' }));
    assert.ok(!answer.includes('S') || answer[0] === 'E'.charCodeAt(0), answer.toString('latin1'));
  });

  test('TLS garbage, and a handshake that stops', async () => {
    await plain(sslRequest.subarray(0, 8)).catch(() => Buffer.alloc(0));
    await plain(Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0]), Buffer.alloc(512, 7)]));
  });

  test('a password message with a lying length, one too long, one of the wrong type', async () => {
    const hello = startup({ user: 'x', database: 'app' });
    for (const bytes of [
      Buffer.concat([Buffer.from('p'), int32(3)]),
      Buffer.concat([Buffer.from('p'), int32(1 << 30)]),
      message.password('x'.repeat(100_000)),
      message.query('select 1'),
      Buffer.concat([Buffer.from('p'), int32(6), Buffer.from('ab')]),
    ]) {
      const answer = await secure(hello, bytes);
      assert.ok(!answer.includes('Z\0\0\0\u0005'), 'was let in');
    }
  });

  test('10,000 idle connections and one byte per second block nobody', async () => {
    const { host, port } = gateway.address('crm');
    const idle: net.Socket[] = [];
    const slow: NodeJS.Timeout[] = [];
    try {
      for (let i = 0; i < 10_000; i++) {
        // More source addresses than one: a single one has ports for so many only once.
        const socket = net.connect({ port, host, localAddress: `127.0.0.${2 + (i % 50)}` });
        socket.on('error', () => undefined);
        idle.push(socket);
        if (i % 500 === 0) await new Promise(resolve => setTimeout(resolve, 20));
      }
      for (const socket of idle.slice(-20)) slow.push(setInterval(() => socket.writable && socket.write(Buffer.from([0])), 1000));
      const client = await RawClient.connect(await through());
      const row = (await client.simple('select 7')).find(f => f.type === 'D');
      assert.equal(values(row?.body ?? Buffer.alloc(2))[0]?.toString(), '7');
      client.close();
    } finally {
      for (const timer of slow) clearInterval(timer);
      for (const socket of idle) socket.destroy();
    }
  });
});

describe('after authentication', () => {
  const refused = async (...bytes: Buffer[]): Promise<{ code: string; message: string } | null> => {
    const client = await RawClient.connect(await through());
    try {
      client.send(...bytes);
      for (;;) {
        const next = await client.next(120_000).catch(() => null);
        if (next === null) return null;
        if (next.type === 'E') {
          const error = fields(next.body);
          return { code: error['C'] ?? '', message: error['M'] ?? '' };
        }
      }
    } finally {
      client.close();
    }
  };

  test('frames that lie', async () => {
    for (const [name, bytes] of Object.entries({
      'length 0': Buffer.concat([Buffer.from('Q'), int32(0)]),
      'length 3': Buffer.concat([Buffer.from('Q'), int32(3)]),
      'length 2^31': Buffer.concat([Buffer.from('Q'), int32(0x80000000)]),
      'an unknown type': frame('\u0001', Buffer.from('x')),
      'a backend type': frame('Z', Buffer.from('I')),
      'a query without its end': frame('Q', Buffer.from('select 1')),
      'a Bind that is cut': frame('B', Buffer.from('\0\0')),
      'a Bind with a lying count': frame('B', Buffer.from([0, 0, 0x7f, 0xff, 0, 1])),
      'a Parse with bytes behind its end': frame('P', Buffer.from('\0select 1\0\0\0trailing')),
    })) {
      const error = await refused(bytes, message.sync());
      assert.ok(error, `${name}: an error is told`);
      assert.match(error.code, /^(08P01|22|42|0A)/, `${name}: ${JSON.stringify(error)}`);
    }
  });

  test('a 1 GB Query is refused without being held in memory', async () => {
    const error = await refused(Buffer.concat([Buffer.from('Q'), int32(1_000_000_000), Buffer.alloc(1 << 20, 0x20)]));
    assert.ok(error);
    assert.match(error.code, /^(54|08)/);
  });

  test('FunctionCall and replication are refused', async () => {
    const error = await refused(frame('F', int32(1598), Buffer.from([0, 0, 0, 0, 0, 0])));
    assert.match(error?.code ?? '', /^(0A000|42501|08P01)$/);
    await assert.rejects(RawClient.connect({ ...(await through()), parameters: { replication: 'database' } }));
  });

  test('a NUL in a parameter and a Bind to an unknown statement are what PostgreSQL says of them', async () => {
    const client = await RawClient.connect(await through());
    client.send(message.parse('', 'select $1::text'), message.bind('', '', [Buffer.from('a\0b')]), message.execute(''), message.sync());
    const first = (await client.until('Z')).find(f => f.type === 'E');
    assert.equal(fields(first?.body ?? Buffer.alloc(0))['C'], '22021');
    client.send(message.bind('', 'nobody'), message.execute(''), message.sync());
    const second = (await client.until('Z')).find(f => f.type === 'E');
    assert.equal(fields(second?.body ?? Buffer.alloc(0))['C'], '26000');
    const row = (await client.simple('select 1')).find(f => f.type === 'D');
    assert.ok(row);
    client.close();
  });

  test('an upstream that dies in the middle of rows', async () => {
    const client = await RawClient.connect(await through());
    const pid = values((await client.simple('select pg_backend_pid()')).find(f => f.type === 'D')?.body ?? Buffer.alloc(2))[0]?.toString();
    client.send(message.query("select repeat('x', 1000), generate_series(1, 100000000)"));
    await client.until('D');
    process.kill(Number(pid), 'SIGTERM');
    let error: Record<string, string> | null = null;
    for (;;) {
      const next = await client.next(120_000).catch(() => null);
      if (!next) break;
      if (next.type === 'E') error = fields(next.body);
      if (next.type === 'Z') break;
    }
    assert.match(error?.['C'] ?? '', /^(57P01|08006)$/);
    client.close();
    await gateway.eventually(
      "select * from sallyport.commands where text like '%generate_series(1, 100000000)%' and status in ('error', 'aborted')",
      rows => rows.length === 1,
    );
  });

  test('a resource whose CA is wrong cannot be reached, and says so without details of the credential', async () => {
    await assert.rejects(RawClient.connect(await through('wrong-ca')), (error: Error & { code?: string }) => {
      assert.match(error.code ?? '', /^(08|57P03)/);
      assert.ok(!error.message.includes(postgres.app.user) && !error.message.includes(postgres.app.password));
      return true;
    });
  });
});
