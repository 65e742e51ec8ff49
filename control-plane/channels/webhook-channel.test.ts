import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import type { ApprovalQuestion, ApprovalState, Approver } from '../aggregates/approval.ts';
import { WebhookChannel } from './webhook-channel.ts';

const secret = Buffer.from('shared');
const received: { body: string; headers: IncomingHttpHeaders }[] = [];
let status = 200;
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (part: Buffer) => (body += part.toString()));
  request.on('end', () => {
    received.push({ body, headers: request.headers });
    response.writeHead(status).end();
  });
});
let url = '';
let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-channel-'));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/hook`;
});
after(() => server.close());

const question = (groups: string[]) => ({ groups, text: 'delete from t' }) as unknown as ApprovalQuestion;
const pending = (approvers: number, groups = ['dba']): ApprovalState => ({
  status: 'pending',
  question: question(groups),
  approvers: new Array<Approver>(approvers).fill({} as Approver),
});
const ended = (state: 'approved' | 'denied'): ApprovalState => ({ status: state, question: question(['dba']), by: ['dan'], reason: 'r' });
const states = new Map<string, ApprovalState>();
const open = (file: string, groups?: string[]) =>
  new WebhookChannel({
    name: 'ops',
    target: { url, secret, groups },
    approvals: {
      pending: () => [...states].filter(([, state]) => state.status === 'pending'),
      approval: id => states.get(id) ?? { status: 'unknown' },
      shown: (id, state) => ({ id, state: state.status }),
    },
    cursorFile: path.join(folder, file),
    logger: pino({ level: 'silent' }),
    clock: () => 1_790_000_000_000,
    retryMs: { first: 5, longest: 20 },
  });
const deliveries = () => received.map(({ headers }) => headers['sallyport-delivery']);
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 6000 && !done(); i++) await new Promise(resolve => setTimeout(resolve, 5));
  assert.ok(done(), JSON.stringify(deliveries()));
}

test('each standing is told once, signed; what was missed is told after a restart, and what is not taken is tried again', async () => {
  let channel = open('a.json');
  states.set('1', pending(0));
  states.set('2', pending(0, ['other']));
  channel.look();
  await until(() => received.length === 2);
  const [first] = received;
  assert.ok(first);
  const [, time, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(first.headers['sallyport-signature'])) ?? [];
  assert.equal(time, '1790000000');
  assert.equal(mac, createHmac('sha256', secret).update(`${time}.${first.body}`).digest('hex'));
  assert.deepEqual(JSON.parse(first.body), {
    version: 1,
    event: 'approval',
    delivery: '1:pending:0',
    approval: { id: '1', state: 'pending' },
  });
  states.set('1', pending(1));
  channel.look();
  channel.look();
  await until(() => received.length === 3);
  await channel.close();
  states.set('1', ended('approved'));
  channel = open('a.json');
  status = 503;
  channel.look();
  await until(() => received.length >= 5);
  status = 200;
  const before = received.length;
  await until(() => received.length > before);
  const noted = async () => readFile(path.join(folder, 'a.json'), 'utf8');
  for (let i = 0; i < 6000 && (await noted()).includes('"1"'); i++) await new Promise(resolve => setTimeout(resolve, 5));
  await channel.close();
  assert.deepEqual([...new Set(deliveries())], ['1:pending:0', '2:pending:0', '1:pending:1', '1:approved']);
  assert.deepEqual(JSON.parse(await noted()), { told: { '2': 'pending:0' } });
});

test('others’ approvals are not told; a spoilt cursor repeats what waits', async () => {
  received.length = 0;
  states.clear();
  states.set('3', pending(0));
  states.set('4', pending(0, ['security']));
  states.set('5', ended('denied'));
  await writeFile(path.join(folder, 'b.json'), '{');
  const channel = open('b.json', ['security']);
  channel.look();
  await until(() => received.length === 1);
  await channel.close();
  assert.deepEqual(deliveries(), ['4:pending:0']);
});
