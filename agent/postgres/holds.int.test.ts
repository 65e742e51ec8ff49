/** Held commands against a real PostgreSQL: each way in which one ends, and each way around it that was thought of. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, fields, message, RawClient } from '../../e2e/components/raw-postgres.ts';
import type { ApprovalRequest } from '../worker-messages.ts';
import { certificatesOf, startGateway, type TestGateway } from './testing/gateway.ts';

let postgres: PostgresServer;
let gateway: TestGateway;
const approval = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 60_000, preview: false };
const guards = (expiresInMs = 60_000) => [
  {
    resources: {},
    priority: 0,
    rules: [
      {
        name: 'writes',
        match: { statements: ['update', 'delete', 'copy-from'] },
        action: 'hold' as const,
        message: 'Writes need a colleague.',
        approval: { ...approval, expiresInMs },
      },
    ],
  },
];

before(async () => {
  postgres = await startPostgres({
    sql: 'set role app; create table t (n int primary key, v int); insert into t select i, 0 from generate_series(1, 9) i;',
  });
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: { guards: guards() },
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});

const address = () => ({ host: gateway.host, port: gateway.port, user: 'anyone', database: 'app', password: 'good' });
const connect = () => RawClient.connect(address());
const driver = async () => {
  const client = new pg.Client({ ...address(), ssl: { rejectUnauthorized: false } });
  await client.connect();
  return client;
};
const requests = () => gateway.messages.flatMap(each => (each.type === 'approvalRequested' ? [each.request] : []));
async function until<T>(look: () => T | undefined): Promise<T> {
  for (let i = 0; i < 12_000; i++) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error('not seen within two minutes');
}
/** The next request after `before` of them. */
const asked = (before: number) => until(() => requests()[before]);
const decide = (request: ApprovalRequest, state: 'approved' | 'denied' | 'expired' = 'approved', binding = request.binding) =>
  gateway.gateway.holds.decided({
    type: 'approval',
    approvalId: request.approvalId,
    state,
    by: ['bob@example.com'],
    reason: 'seen',
    binding,
  });
const errorOf = (frames: Frame[]) => fields(frames.find(f => f.type === 'E')?.body ?? Buffer.from([0]));
const tags = (frames: Frame[]) => frames.filter(f => f.type === 'C').map(f => f.body.toString().slice(0, -1));
const withdrawn = () => gateway.messages.flatMap(each => (each.type === 'approvalWithdrawn' ? [each] : []));

describe('a held command', () => {
  test('waits with a notice, runs when approved, and its records say who and how long', async () => {
    const client = await connect();
    const before = requests().length;
    client.send(message.query('update t set v = 1 where n = 1'));
    const request = await asked(before);
    const notice = fields((await client.next()).body);
    assert.match(notice['M'] ?? '', /^waiting for approval: Writes need a colleague\.$/);
    assert.match(notice['H'] ?? '', new RegExp(`Approval ${request.approvalId} by dba, until .* UTC`));
    decide(request, 'approved', new Uint8Array(32));
    assert.equal(gateway.gateway.holds.size, 1, 'another binding releases nothing');
    decide(request);
    assert.deepEqual(tags(await client.until('Z')), ['UPDATE 1']);
    decide(request, 'denied');
    client.close();
    const command = gateway.sink.commands.find(each => each.approvalId === request.approvalId);
    assert.equal(command?.rule, 'guard-0/writes');
    const response = await until(() => gateway.sink.responses.find(each => each.approvers.length > 0));
    assert.deepEqual([response.approvers, response.heldUs > 0n, response.status], [['bob@example.com'], true, Status.OK]);
  });

  test('is refused when denied, and when time is over', async () => {
    const client = await connect();
    let before = requests().length;
    await client.simple('begin');
    client.send(message.query('delete from t'));
    decide(await asked(before), 'denied');
    const denied = await client.until('Z');
    assert.deepEqual([errorOf(denied)['C'], denied.at(-1)?.body.toString()], ['42501', 'E']);
    assert.match(errorOf(denied)['M'] ?? '', /denied by bob@example\.com: seen/);
    assert.equal(errorOf(await client.simple('delete from t'))['C'], '25P02');
    await client.simple('rollback');
    gateway.use({ guards: guards(50) });
    before = requests().length;
    const expired = await client.simple('delete from t');
    assert.match(errorOf(expired)['M'] ?? '', /not approved in time/);
    const late = await asked(before);
    decide(late);
    gateway.use({ guards: guards() });
    client.close();
  });

  test('extended: bound to its values; what is pipelined behind it waits in order', async () => {
    const client = await connect();
    const before = requests().length;
    const sql = 'update t set v = $1 where n = 2';
    client.send(
      message.parse('p', sql),
      ...['5', '6'].flatMap(value => [message.bind('', 'p', [value]), message.execute('')]),
      message.sync(),
      message.query('select v from t where n = 2'),
    );
    const one = await asked(before);
    assert.deepEqual(one.parameters, ['5']);
    assert.equal(requests().length, before + 1);
    decide(one);
    const two = await asked(before + 1);
    assert.notDeepEqual(Buffer.from(two.binding), Buffer.from(one.binding));
    decide(one);
    assert.equal(gateway.gateway.holds.size, 1, 'an approval is used once');
    decide(two, 'denied');
    const frames = await client.until('Z');
    assert.deepEqual([tags(frames), errorOf(frames)['C']], [['UPDATE 1'], '42501']);
    assert.deepEqual(tags(await client.until('Z')), ['SELECT 1']);
    client.close();
  });

  test('is withdrawn by a cancel request and by a client that goes away; its records are closed', async () => {
    const client = await driver();
    let before = requests().length;
    const running = client.query('delete from t where n = $1', [3]);
    const request = await asked(before);
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const secret = Buffer.alloc(4);
    secret.writeInt32BE(secretKey);
    gateway.gateway.cancel(processID, secret);
    await assert.rejects(running, (error: pg.DatabaseError) => error.code === '57014');
    decide(request);
    assert.equal((await client.query('select count(*)::int as n from t')).rows[0]?.n, 9);
    before = requests().length;
    const raw = await connect();
    raw.send(message.query('delete from t where n = 4'));
    const gone = await asked(before);
    raw.close();
    await until(() => withdrawn().find(each => each.approvalId === gone.approvalId));
    decide(gone);
    assert.equal((await client.query('select count(*)::int as n from t')).rows[0]?.n, 9);
    const seq = gateway.sink.records.find(({ body }) => body.case === 'command' && body.value.approvalId === gone.approvalId)?.seq;
    assert.ok(gateway.sink.responses.some(each => each.commandSeq === seq && each.status === Status.ABORTED));
    await client.end();
  });
});
