/** The way from the log to the tables, with real processes, and what happens when they are killed. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { freePort } from '../../e2e/components/postgres.ts';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { type Spawned, spawnProcess, spawnStore, writer, writerEnv } from '../session-store/spawn-process.ts';
import { batchOf, type SampleSession, sampleSession, seededRandom } from './sample-records.ts';
import { openSessionStore, type SessionStore } from './session-store.ts';

const ingestScript = new URL('./main.ts', import.meta.url);
const root = await mkdtemp(join(tmpdir(), 'sallyport-ingest-'));
const logDir = join(root, 'log');
const encoder = new TextEncoder();

let records: EventLog;
let control: EventLog;
let storeProcess: Spawned & { url: string };
let ingest: Spawned;
let store: SessionStore;

const spawnIngest = () => spawnProcess(ingestScript, ['--log', logDir, '--clickhouse', storeProcess.url], writerEnv);

async function append(spoolId: string, firstIndex: number, batch: readonly Uint8Array[]): Promise<void> {
  await records.append([{ key: encoder.encode(`agent-1/${spoolId}`), value: batchOf(spoolId, firstIndex, batch) }]);
}

/** Asks until it is so: what has been appended arrives within seconds, and nothing here counts them. */
async function eventually<Value>(ask: () => Promise<Value>, expected: Value): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const value = await ask().catch((error: unknown) => error);
    try {
      assert.deepEqual(value, expected);
      return;
    } catch (error) {
      if (tries >= 3000) throw error;
      await delay(100);
    }
  }
}

async function statuses(sessionId: string): Promise<Map<number, string>> {
  const rows = await store.rows<{ seq: string; status: string }>(
    'SELECT seq, status FROM sallyport.commands WHERE session_id = {id:String} ORDER BY seq',
    { id: sessionId },
  );
  assert.equal(new Set(rows.map(row => row.seq)).size, rows.length, `a command of ${sessionId} twice`);
  return new Map(rows.map(row => [Number(row.seq), row.status]));
}

async function count(sql: string): Promise<number> {
  const [row] = await store.rows<{ n: string }>(`SELECT count() AS n FROM ${sql}`);
  return Number(row?.n);
}

const arrived = (topic: string, log: EventLog) =>
  eventually(async () => {
    const [row] = await store.rows<{ next: string }>(
      'SELECT max(next_offset) AS next FROM sallyport.ingest_progress WHERE topic = {topic:String}',
      { topic },
    );
    return BigInt(row?.next ?? 0) === (await log.endOffset());
  }, true);

before(async () => {
  records = await openFileLog({ dir: join(logDir, 'sallyport.records') });
  control = await openFileLog({ dir: join(logDir, 'sallyport.control') });
  // On a port that is still free when it starts again.
  storeProcess = await spawnStore(join(root, 'store'), `127.0.0.1:${await freePort()}`);
  store = openSessionStore({ url: storeProcess.url, username: writer.name, password: writer.password });
  ingest = await spawnIngest();
});

after(async () => {
  await ingest.kill('SIGKILL');
  await store.close();
  await storeProcess.kill('SIGKILL');
  await records.close();
  await control.close();
  await rm(root, { recursive: true, force: true });
});

/** A session with at least `commands` commands, from a space of its own. */
function session(number: number, wanted: (session: SampleSession) => boolean): SampleSession {
  for (let seed = number; ; seed += 1000) {
    const made = sampleSession(seededRandom(seed), number, 12);
    if (wanted(made)) return made;
  }
}

describe('ingest', () => {
  it('shows a command while it runs, and once when it is done', async () => {
    const made = session(100_001, ({ commands, ended }) => ended && commands.size > 4 && [...commands.values()].includes('ok'));
    const seq = [...made.commands].find(([, status]) => status === 'ok')?.[0] ?? 0;
    await append('live', 0, made.records.slice(0, seq + 1));
    await eventually(async () => (await statuses(made.sessionId)).get(seq), 'running');
    assert.equal(await count(`sallyport.sessions WHERE session_id = '${made.sessionId}' AND status = 'open'`), 1);
    await append('live', seq + 1, made.records.slice(seq + 1));
    await eventually(() => statuses(made.sessionId), made.commands);
    assert.equal(await count(`sallyport.sessions WHERE session_id = '${made.sessionId}'`), 1);
    assert.equal(await count(`sallyport.records WHERE session_id = '${made.sessionId}'`), made.records.length);
  });

  it('fills the columns', async () => {
    const [row] = await store.rows<Record<string, unknown>>(
      `SELECT * FROM sallyport.commands WHERE session_id = '01930000-0000-7000-8000-0000000186a1' AND status = 'ok' ORDER BY seq LIMIT 1`,
    );
    assert.ok(row !== undefined);
    const { groups, objects, columns_read, decision, masked_values, data_classes, response_head, rows, client_address } = row;
    assert.deepEqual(
      { groups, objects, columns_read, decision, masked_values, data_classes, response_head, rows, client_address },
      {
        groups: ['support', 'eu'],
        objects: ['public.customers'],
        columns_read: ['public.customers.id', 'public.customers.email'],
        decision: 'allow',
        masked_values: '3',
        data_classes: ['email', 'column:public.customers.email'],
        response_head: '1\ta***@example.com\n',
        rows: '3',
        client_address: '127.0.0.1:50000',
      },
    );
  });

  it('shows a refused login with its reason', async () => {
    const made = session(100_002, ({ refused }) => refused);
    await append('live', 1000, made.records);
    await eventually(
      async () => await store.rows(`SELECT status, code, reason FROM sallyport.sessions WHERE session_id = '${made.sessionId}'`),
      [{ status: 'refused', code: 'TOKEN_EXPIRED', reason: 'expired an hour ago' }],
    );
  });

  it('leaves out what an agent sends twice', async () => {
    const made = session(100_003, ({ commands }) => commands.size > 3);
    await append('twice', 0, made.records);
    await append('twice-2', 0, made.records);
    await append('twice-3', 0, [...made.records.slice(0, 2), ...made.records.slice(0, 2)]);
    await arrived('sallyport.records', records);
    assert.deepEqual(await statuses(made.sessionId), made.commands);
    assert.equal(await count(`sallyport.records WHERE session_id = '${made.sessionId}'`), made.records.length);
  });

  it('does not mind in what order records come', async () => {
    const random = seededRandom(7);
    for (let number = 100_010; number < 100_014; number += 1) {
      const made = session(number, ({ commands }) => commands.size > 5);
      const shuffled = made.records.map(record => ({ record, at: random() })).sort((a, b) => a.at - b.at);
      for (let index = 0; index < shuffled.length; index += 3) {
        await append(
          `shuffled-${number}`,
          index,
          shuffled.slice(index, index + 3).map(({ record }) => record),
        );
        if (index % 6 === 0) await arrived('sallyport.records', records);
      }
      await arrived('sallyport.records', records);
      assert.deepEqual(await statuses(made.sessionId), made.commands);
      assert.equal(await count(`sallyport.sessions WHERE session_id = '${made.sessionId}'`), 1);
      assert.equal(await count(`sallyport.commands WHERE session_id = '${made.sessionId}' AND principal != '${made.principal}'`), 0);
    }
  });

  it('keeps what it cannot read, and goes on', async () => {
    const before = await count('sallyport.dead_letters');
    const good = session(100_020, ({ commands }) => commands.size > 1);
    const other = session(100_021, ({ commands }) => commands.size > 1);
    const forged = toBinary(RecordSchema, create(RecordSchema, { sessionId: good.sessionId, seq: 0n, atUnixUs: 1_790_000_000_000_000n }));
    const timeless = toBinary(RecordSchema, create(RecordSchema, { sessionId: 'x', seq: 0n, atUnixUs: -5n }));
    await records.append([{ key: encoder.encode('k'), value: encoder.encode('\xff\xff not a batch') }]);
    await append('poison', 0, [...good.records, encoder.encode('\xff'), forged, timeless, ...other.records]);
    await arrived('sallyport.records', records);
    assert.deepEqual(await statuses(good.sessionId), good.commands);
    assert.deepEqual(await statuses(other.sessionId), other.commands);
    assert.equal((await count('sallyport.dead_letters')) - before, 4);
    const codes = await store.rows<{ code: string }>('SELECT code FROM sallyport.dead_letters ORDER BY code');
    assert.deepEqual(
      codes.map(({ code }) => code),
      ['BATCH_UNREADABLE', 'RECORD_CONFLICT', 'RECORD_UNREADABLE', 'TIME_INVALID'],
    );
    const metrics = await (await fetch(`${String(ingest.line['http'])}/metrics`)).text();
    assert.match(metrics, /sallyport_ingest_dead_letters_total\{topic="sallyport\.records"\} 4\n/);
  });

  it('shows control events in order, whether they count, and no secret', async () => {
    const event = (
      stream: string,
      expectedVersion: bigint,
      type: string,
      payload: unknown,
      expectedKinds: Record<string, bigint> = {},
    ) => ({
      key: encoder.encode(stream),
      value: toBinary(
        ControlEventSchema,
        create(ControlEventSchema, {
          eventId: `${stream}-${expectedVersion}-${type}`,
          stream,
          expectedVersion,
          expectedKinds,
          type,
          schema: 1,
          payload: encoder.encode(JSON.stringify(payload)),
          atUnixUs: 1_795_000_000_000_000n,
          author: 'ana@example.com',
        }),
      ),
    });
    await control.append([
      event('resource/crm', 0n, 'ResourceApplied', { manifest: { name: 'crm' }, secrets: { x: 'S3CRET-1' } }),
      event('resource/crm', 0n, 'ResourceApplied', { manifest: { name: 'loser' } }),
      event('credential/crm-app', 0n, 'CredentialApplied', { password: 'S3CRET-2', anything: 'S3CRET-3' }),
      event('resource/crm', 1n, 'ResourceApplied', { manifest: { name: 'crm2', clientSecret: 'S3CRET-4' } }),
      event('approval/a1', 0n, 'ApprovalRequested', {
        sessionId: 's',
        commandSeq: 4,
        resource: 'crm',
        rule: 'g/r',
        text: 'DELETE',
        principal: { name: 'ben' },
      }),
      event('approval/a1', 1n, 'ApprovalGiven', { approver: { name: 'cleo', reason: 'fine' }, complete: true }),
    ]);
    await arrived('sallyport.control', control);
    const rows = await store.rows<{ stream: string; accepted: boolean; payload: string }>(
      'SELECT stream, accepted, payload FROM sallyport.control_events ORDER BY log_offset',
    );
    assert.deepEqual(
      rows.map(row => row.accepted),
      [true, false, true, true, true, true],
    );
    assert.ok(!JSON.stringify(rows).includes('S3CRET'));
    // A decision that looked at other kinds of streams counts only if they are as they were; the first entry opens another batch.
    await control.append([event('role/r', 0n, 'RoleApplied', { manifest: { name: 'r' } }, { resource: 1n })]);
    await control.append([event('role/r', 0n, 'RoleApplied', { manifest: { name: 'r' } }, { resource: 2n, role: 0n })]);
    await arrived('sallyport.control', control);
    const looked = await store.rows<{ accepted: boolean }>(
      "SELECT accepted FROM sallyport.control_events WHERE stream = 'role/r' ORDER BY log_offset",
    );
    assert.deepEqual(
      looked.map(row => row.accepted),
      [false, true],
    );
    const [approval] = await store.rows<Record<string, unknown>>('SELECT * FROM sallyport.approvals');
    assert.deepEqual(
      { state: approval?.['state'], approvers: approval?.['approvers'], principal: approval?.['principal'], rule: approval?.['rule'] },
      { state: 'approved', approvers: ['cleo'], principal: 'ben', rule: 'g/r' },
    );
  });
});

describe('after kills', () => {
  it('has every record and every command once, whatever was killed on the way', async () => {
    const random = seededRandom(4711);
    const made: SampleSession[] = [];
    let index = 0;
    let stopped = false;
    const writing = (async () => {
      // Sessions interleave: each batch takes some records of several.
      let live: { records: Uint8Array[]; from: number }[] = [];
      while (!stopped || live.length > 0) {
        while (!stopped && live.length < 20) {
          const next = sampleSession(random, made.length, 40);
          made.push(next);
          live.push({ records: next.records, from: 0 });
        }
        const batch: Uint8Array[] = [];
        for (const one of live) {
          const take = Math.floor(random() * 6);
          batch.push(...one.records.slice(one.from, one.from + take));
          one.from += take;
        }
        live = live.filter(one => one.from < one.records.length);
        if (batch.length === 0) continue;
        await append('killed', index, batch);
        // Some are sent again, as after an agent's crash.
        if (random() < 0.05) await append('killed-again', index, batch);
        index += batch.length;
        await delay(8);
      }
    })();
    for (let round = 0; round < 6; round += 1) {
      await delay(200 + Math.floor(random() * 1500));
      if (round % 2 === 0) {
        await ingest.kill('SIGKILL');
        ingest = await spawnIngest();
      } else {
        await storeProcess.kill('SIGKILL');
        storeProcess = { ...(await spawnStore(join(root, 'store'), new URL(storeProcess.url).host)) };
      }
    }
    stopped = true;
    await writing;
    await arrived('sallyport.records', records);
    const expectedRecords = made.reduce((sum, one) => sum + one.records.length, 0);
    assert.ok(expectedRecords > 5000, `${expectedRecords} records`);
    const ids = `session_id < '01930000-0000-7000-8000-000000018000'`;
    assert.equal(await count(`sallyport.records WHERE ${ids}`), expectedRecords);
    assert.equal(await count(`sallyport.sessions WHERE ${ids}`), made.length);
    const rows = await store.rows<{ session_id: string; commands: [string, string][] }>(
      `SELECT session_id, arraySort(groupArray((seq, status))) AS commands FROM sallyport.commands WHERE ${ids} GROUP BY session_id`,
    );
    const found = new Map(rows.map(row => [row.session_id, row.commands]));
    for (const one of made) {
      const expected = [...one.commands].map(([seq, status]) => [String(seq), status]);
      assert.deepEqual(found.get(one.sessionId) ?? [], expected, one.sessionId);
    }
    const [ended] = await store.rows<{ n: string }>(`SELECT countIf(status = 'ended') AS n FROM sallyport.sessions WHERE ${ids}`);
    assert.equal(Number(ended?.n), made.filter(one => one.ended).length);
  });
});
