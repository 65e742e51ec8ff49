/** The relay between a raw client and a server of the test's making: every split point, and servers that lie. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { type Frame, fields, message, RawClient } from '../../e2e/components/raw-postgres.ts';
import { FakeUpstream } from './testing/fake-upstream.ts';
import { startGateway, type TestGateway } from './testing/gateway.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const frame = (type: string, payload: Buffer) => {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(payload.length + 4, 1);
  return Buffer.concat([head, payload]);
};
const field = (name: string, type: number) => {
  const rest = Buffer.alloc(18);
  rest.writeInt32BE(type, 6);
  return Buffer.concat([Buffer.from(`${name}\0`), rest]);
};
const description = (...columns: Buffer[]) => frame('T', Buffer.concat([Buffer.from([0, columns.length]), ...columns]));
const row = (...texts: (string | null)[]) =>
  frame(
    'D',
    Buffer.concat([
      Buffer.from([0, texts.length]),
      ...texts.flatMap(text => {
        const length = Buffer.alloc(4);
        length.writeInt32BE(text === null ? -1 : Buffer.byteLength(text));
        return text === null ? [length] : [length, Buffer.from(text)];
      }),
    ]),
  );
const complete = (tag: string) => frame('C', Buffer.from(`${tag}\0`));
const READY = hex('5a0000000549');

const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');

let upstream: FakeUpstream;
let gateway: TestGateway;
let dir: string;

before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-relay-'));
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-keyout',
      'key',
      '-out',
      'crt',
    ],
    { cwd: dir, stdio: 'pipe' },
  );
  upstream = await FakeUpstream.start();
  gateway = await startGateway({
    upstream: { address: upstream.address, database: 'app' },
    credential: { username: 'app', password: 'app-secret' },
    certificate: readFileSync(path.join(dir, 'crt'), 'utf8'),
    key: readFileSync(path.join(dir, 'key'), 'utf8'),
  });
});
after(() => {
  gateway.stop();
  upstream.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => gateway.use({ data: [{ detectors: ['aws-access-key'] }] }));

const connect = () => RawClient.connect({ host: gateway.host, port: gateway.port, user: 'x', password: 'good' });
const bytesOf = (frames: Frame[]) => Buffer.concat(frames.map(each => frame(each.type, each.body)));

async function inPieces(socket: Socket, bytes: Buffer, ...cuts: number[]): Promise<void> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    socket.write(bytes.subarray(from, cut));
    from = cut;
    await immediate();
    await immediate();
  }
}

describe('answers', () => {
  const answer = Buffer.concat([
    description(field('id', 23), field('t', 25)),
    row('1', 'plain'),
    row(null, null),
    row('2', 'ö — text'),
    complete('SELECT 3'),
    READY,
  ]);

  test('cut at every point are the same bytes to the client', async () => {
    const client = await connect();
    for (let cut = 1; cut < answer.length; cut++) {
      upstream.onFrame = (type, _, socket) => {
        if (type === 'Q') void inPieces(socket, answer, cut);
      };
      client.send(message.query('select id, t from t'));
      assert.ok(bytesOf(await client.until('Z')).equals(answer), `cut at ${cut}`);
    }
    assert.ok(
      gateway.sink.responses.every(
        response => response.rows === 3n && response.status === Status.OK && response.bytes === BigInt(answer.length),
      ),
    );
    client.close();
  });

  test('with a finding, cut at every point, never show it', async () => {
    const client = await connect();
    const found = Buffer.concat([
      description(field('t', 25)),
      row('before'),
      row(`x ${secret} y`),
      row('after'),
      complete('SELECT 3'),
      READY,
    ]);
    const expected = Buffer.concat([
      description(field('t', 25)),
      row('before'),
      row('x [redacted] y'),
      row('after'),
      complete('SELECT 3'),
      READY,
    ]);
    for (let cut = 1; cut < found.length; cut += 1) {
      upstream.onFrame = (type, _, socket) => {
        if (type === 'Q') void inPieces(socket, found, cut);
      };
      client.send(message.query('select t from t'));
      const got = bytesOf(await client.until('Z'));
      assert.ok(got.equals(expected), `cut at ${cut}: ${got.toString('latin1')}`);
    }
    client.close();
  });

  test('of rows without a description, or of a shape that was not announced, end the session', async () => {
    for (const lie of [
      Buffer.concat([row('1'), complete('SELECT 1'), READY]),
      Buffer.concat([description(field('t', 25)), row(secret, '2')]),
      Buffer.concat([description(field('t', 25)), frame('D', Buffer.concat([hex('0001 000000ff'), Buffer.from(secret)]))]),
      Buffer.concat([description(field('t', 25)), frame('D', Buffer.concat([hex('0001 fffffff0'), Buffer.from(secret)]))]),
      frame('1', Buffer.alloc(0)),
      frame('W', hex('00 0000')),
      frame('\u0001', Buffer.alloc(3)),
      hex('44 00000003'),
      hex('44 ffffffff'),
      hex('44 7fffffff'),
      frame('Z', Buffer.from('X')),
      frame('C', Buffer.from('no terminator')),
    ]) {
      const client = await connect();
      upstream.onFrame = (type, _, socket) => {
        if (type === 'Q') socket.write(lie);
      };
      client.send(message.query('select t from t'));
      const error = (await client.until('E')).at(-1);
      assert.match(fields(error?.body ?? Buffer.alloc(0))['C'] ?? '', /^(08P01|54000)$/, lie.toString('hex'));
      assert.equal(gateway.sink.responses.at(-1)?.status, Status.ABORTED);
      client.close();
    }
  });

  test('that stop in the middle of a row: the client is told, what it was told of the row excepted', async () => {
    const client = await connect();
    upstream.onFrame = (type, _, socket) => {
      if (type === 'Q') socket.end(Buffer.concat([description(field('t', 25)), row('1'), row('2').subarray(0, 6)]));
    };
    client.send(message.query('select t from t'));
    const frames = await client.until('E');
    assert.equal(frames.map(each => each.type).join(''), 'TDE');
    assert.equal(fields(frames.at(-1)?.body ?? Buffer.alloc(0))['C'], '08006');
    client.close();
  });

  test('larger than a buffer stream, and a reader that stops does not make the gateway hold them', async () => {
    gateway.use({});
    const client = await connect();
    const big = row('x'.repeat(512 * 1024));
    let written = 0;
    let blocked = false;
    upstream.onFrame = (type, _, socket) => {
      if (type !== 'Q') return;
      socket.write(description(field('t', 25)));
      const more = () => {
        while (written < 100) {
          written++;
          if (!socket.write(big)) {
            socket.once('drain', more);
            blocked = true;
            return;
          }
        }
        socket.write(Buffer.concat([complete('SELECT 100'), READY]));
      };
      more();
    };
    client.socket.pause();
    client.send(message.query('select t from t'));
    for (let last = -1; !blocked || last !== written; await new Promise(resolve => setTimeout(resolve, 500))) last = written;
    assert.ok(written < 100, `${written} rows were taken from the server while nobody read`);
    client.socket.resume();
    const frames = await client.until('Z');
    assert.equal(frames.filter(each => each.type === 'D').length, 100);
    client.close();
  });
});

describe('the client\u2019s messages', () => {
  test('cut at every point arrive whole', async () => {
    const client = await connect();
    const sent = Buffer.concat([
      message.parse('', 'select $1'),
      message.bind('', '', ['v']),
      message.describe('P', ''),
      message.execute(''),
      message.sync(),
    ]);
    const got: string[] = [];
    upstream.onFrame = (type, _, socket) => {
      if (type !== 'X') got.push(type); // an earlier test's client says goodbye
      if (type === 'S')
        socket.write(Buffer.concat([hex('3100000004 3200000004'), description(field('t', 25)), row('v'), complete('SELECT 1'), READY]));
    };
    for (let cut = 1; cut < sent.length; cut++) {
      got.length = 0;
      await inPieces(client.socket as unknown as Socket, sent, cut);
      assert.equal((await client.until('Z')).map(each => each.type).join(''), '12TDCZ');
      assert.equal(got.join(''), 'PBDES', `cut at ${cut}`);
    }
    client.close();
  });

  test('what is refused never reaches the server', async () => {
    gateway.use({ guards: [{ resources: {}, priority: 0, rules: [{ name: 'no', match: { statements: ['drop'] }, action: 'deny' }] }] });
    const client = await connect();
    const got: string[] = [];
    upstream.onFrame = (type, body, socket) => {
      got.push(`${type}${body.toString('latin1')}`);
      if (type === 'Q' || type === 'S') socket.write(Buffer.concat([frame('E', Buffer.from('SERROR\0C42601\0Mx\0\0')), READY]));
    };
    client.send(message.query('drop table canary'), frame('F', Buffer.from('canary')));
    await client.until('Z');
    await client.until('Z');
    client.send(message.parse('', 'drop table canary'), message.bind('', '', ['canary']), message.execute(''), message.sync());
    const frames = await client.until('Z');
    assert.equal(fields(frames[0]?.body ?? Buffer.alloc(0))['C'], '42501');
    assert.ok(!got.some(each => each.includes('canary') && !each.startsWith('B')), got.join('\n'));
    client.close();
  });

  test('what is refused is recorded as refused, also when the client does not wait for the end of the answer', async () => {
    gateway.use({ guards: [{ resources: {}, priority: 0, rules: [{ name: 'no', match: { statements: ['drop'] }, action: 'deny' }] }] });
    const client = await connect();
    upstream.onFrame = (type, _, socket) => {
      if (type === 'Q') socket.write(frame('E', Buffer.from('SERROR\0C42601\0Mx\0\0')));
    };
    const before = gateway.sink.responses.length;
    client.send(message.query('drop table canary'));
    await client.until('E');
    client.close();
    while (gateway.sink.responses.length === before) await immediate();
    assert.equal(gateway.sink.responses.at(-1)?.status, Status.REFUSED);
  });
});
