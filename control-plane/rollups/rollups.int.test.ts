/** What is added up of days is what the commands say, whatever happened to them before, meanwhile and after. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import { pino } from 'pino';
import { ControlLog } from '../aggregates/control-log.ts';
import { Retention } from '../evidence/retention.ts';
import { loadMigrations, migrate } from '../ingest/migrate.ts';
import { RecordsWriter } from '../ingest/records-batch.ts';
import { batchOf, type SampleSession, sampleSession, seededRandom } from '../ingest/sample-records.ts';
import { openSessionStore, type SessionStore } from '../ingest/session-store.ts';
import type { Entry, EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import { ask, questionParameters } from '../questions/ask.ts';
import { QUESTIONS } from '../questions/catalogue.ts';
import { type Spawned, spawnStore, writer } from '../session-store/spawn-process.ts';
import { daysToRollUp, rollUp, rollUpDays } from './roll-up.ts';
import { ROLLUPS } from './rollups.ts';

let root: string;
let process: Spawned & { url: string };
let store: SessionStore;
let client: ReturnType<typeof createClient>;
let log: EventLog;
let control: ControlLog;
let offset = 0n;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'sallyport-rollups-'));
  process = await spawnStore(join(root, 'store'));
  store = openSessionStore({ url: process.url, username: writer.name, password: writer.password });
  client = createClient({ url: process.url, username: writer.name, password: writer.password, log: { level: ClickHouseLogLevel.OFF } });
  await migrate(store, await loadMigrations());
  log = await openFileLog({ dir: join(root, 'log') });
  control = await ControlLog.open(log, {
    onFault: error => {
      throw error;
    },
  });
});
after(async () => {
  await client?.close();
  await store?.close();
  await process?.kill('SIGKILL');
  await control?.close();
  await log?.close();
  await rm(root, { recursive: true, force: true });
});

/** The next entry of the log. */
function entry(records: readonly Uint8Array[], spool = 'spool'): Entry {
  offset += 1n;
  return { offset, key: new Uint8Array(), value: batchOf(`${spool}-${offset}`, 0, records), timestampMs: 1_795_000_000_000 };
}

const session = (number: number): SampleSession => {
  for (let seed = number; ; seed += 1000) {
    const made = sampleSession(seededRandom(seed), number, 30);
    if (made.commands.size > 10 && made.ended) return made;
  }
};

const now = { store: null as unknown as SessionStore, log: () => undefined, overMs: 0, quietMs: 0 };
async function rollUpAll(): Promise<string[]> {
  const days = await daysToRollUp({ ...now, store });
  if (days.length > 0) await rollUp(store, days);
  return days;
}

const middle = ['2026-11-03T07:00:00Z', '2026-11-17T15:30:00Z'] as const;
const everything = ['2026-10-01', '2026-12-31'] as const;

/** Each question, asked of what is rolled up and of the commands alone. @returns how many rows there were. */
async function sameAnswers(periods: readonly (readonly [string, string])[] = [middle]): Promise<number> {
  let rows = 0;
  for (const [since, until] of periods) {
    for (const question of QUESTIONS.filter(({ query }) => query.includes('{days:'))) {
      const given = question.parameters.includes('column') ? { column: 'public.customers.%' } : {};
      const size = question.parameters.includes('rows') ? { rows: '3' } : {};
      const parameters = questionParameters(question, { since, until, ...given, ...size }, Date.parse('2026-12-31'));
      for (const limit of question.query.includes('earlier <') ? [5, 1000] : [1000]) {
        const answer = await ask(client, question, parameters, limit);
        const result = await client.query({
          query: `${question.query}\nLIMIT {answerLimit:UInt32}`,
          query_params: { ...parameters, builds: [], days: [], answerLimit: limit + 1 },
          format: 'JSONCompact',
          clickhouse_settings: { output_format_json_quote_64bit_integers: 0, date_time_output_format: 'iso' },
        });
        const { data } = await result.json<unknown[]>();
        assert.deepEqual(answer.rows.map(ordered), data.slice(0, limit).map(ordered), `${question.name}, ${since}, ${limit}`);
        assert.equal(answer.truncated, data.length > limit);
        rows += answer.rows.length;
      }
    }
  }
  const [counted] = await store.rows<{ n: string; kept: string }>(
    `SELECT (SELECT count() FROM sallyport.commands WHERE toDate(at) IN (SELECT day FROM sallyport.unchanged_days)) AS n,
       (SELECT sum(asked) FROM sallyport.use_by_day WHERE (day, build) IN (SELECT day, build FROM sallyport.unchanged_days)) AS kept`,
  );
  assert.equal(counted?.n, counted?.kept);
  return rows;
}

/** Sets have no order. */
const ordered = (row: readonly unknown[]) =>
  row.map(value => (Array.isArray(value) ? value.toSorted((a, b) => (String(a) < String(b) ? -1 : 1)) : value));
const unchanged = async () => Number((await store.rows<{ n: string }>('SELECT count() AS n FROM sallyport.unchanged_days'))[0]?.n ?? 0);

const sessions = Array.from({ length: 40 }, (_, number) => session(number + 1));
/** All but the last three records of each, and those. */
const early = sessions.map(({ records }) => entry(records.slice(0, -3)));
const late = sessions.map(({ records }) => entry(records.slice(-3)));

test('days are rolled up, and answers stay what they are', async () => {
  await new RecordsWriter(store).write(early);
  assert.equal(await unchanged(), 0);
  const before = await sameAnswers([middle, everything]);
  assert.ok((await rollUpAll()).length > 10);
  assert.ok((await unchanged()) > 10);
  assert.equal(await sameAnswers([middle, everything]), before);
  assert.ok(before > 300, `${before} rows`);
});

test('rows that are written again change nothing, and what comes later is counted', async () => {
  await new RecordsWriter(store).write(early); // as after a kill
  await new RecordsWriter(store).write(sessions.slice(0, 20).map(({ records }) => entry(records.slice(0, -3), 'sent-again')));
  assert.ok((await unchanged()) < 10, 'the days are read from the commands');
  await sameAnswers();
  await rollUpAll();
  const before = await sameAnswers();
  // Answers to commands of days that are rolled up, and their sessions' ends.
  await new RecordsWriter(store).write(late);
  assert.ok((await sameAnswers()) >= before);
  assert.ok((await rollUpAll()).length > 0);
  await sameAnswers([middle, everything]);
  const [open] = await store.rows<{ n: string }>("SELECT count() AS n FROM sallyport.commands WHERE status = 'running'");
  assert.equal(open?.n, '0');
});

test('a session whose start comes last, in any order', async () => {
  const made = Array.from({ length: 3 }, (_, number) => session(number + 200));
  const order = seededRandom(3);
  for (const { records } of made) {
    const shuffled = records.map(record => ({ record, at: order() })).sort((a, b) => a.at - b.at);
    await new RecordsWriter(store).write(shuffled.slice(0, 9).map(({ record }) => entry([record])));
    await rollUpAll();
    await new RecordsWriter(store).write(shuffled.slice(9).map(({ record }) => entry([record])));
  }
  await sameAnswers();
  await rollUpAll();
  await sameAnswers();
  const [nobody] = await store.rows<{ n: string }>(
    "SELECT count() AS n FROM sallyport.use_by_day WHERE principal = '' AND (day, build) IN (SELECT day, build FROM sallyport.unchanged_days)",
  );
  assert.equal(nobody?.n, '0');
});

test('what arrives while a day is rolled up is not lost', async () => {
  const { records } = session(300);
  const [day = ''] = await daysOf(records);
  const meanwhile: SessionStore = {
    ...store,
    command: async (sql, parameters) => {
      if (sql.includes('INTO sallyport.classes_by_day')) await new RecordsWriter(store).write([entry(records)]);
      await store.command(sql, parameters);
    },
  };
  await rollUp(meanwhile, [day]);
  await sameAnswers();
  assert.ok((await rollUpAll()).includes(day));
  await sameAnswers();
});

test('an ingester that dies between the commands and the note writes both again', async () => {
  const next = entry(session(301).records);
  const dying: SessionStore = {
    ...store,
    command: async (sql, parameters) => {
      if (sql.includes('changed_days')) throw new Error('killed');
      await store.command(sql, parameters);
    },
  };
  await assert.rejects(new RecordsWriter(dying).write([next]), /killed/);
  await new RecordsWriter(store).write([next]);
  await sameAnswers();
});

test('retention takes what it deletes out of the days, also when it dies before it has noted it', async () => {
  await rollUpAll();
  const before = await sameAnswers();
  const keep = `apiVersion: sallyport.dev/v1\nkind: AuditPolicy\nmetadata: { name: keep }\nspec: { resources: {}, retention: 1d }\n`;
  const policies = parseManifests([{ path: 'keep.yaml', text: keep }]).manifests.map(manifest => ({
    ...{ manifest, secrets: {}, version: 0n, updatedAtMs: 0, author: 'test' },
  }));
  const retention = (over: SessionStore) =>
    new Retention({
      control: {
        state: { retention: () => control.state.retention(), manifest: () => undefined, manifests: () => policies },
        execute: (...args) => control.execute(...args),
        catchUp: ms => control.catchUp(ms),
      },
      store: over,
      logger: pino({ level: 'silent' }),
      clock: () => Date.UTC(2026, 10, 12),
    });
  const dying: SessionStore = {
    ...store,
    command: async (sql, parameters) => {
      if (sql.includes('changed_days')) throw new Error('killed');
      await store.command(sql, parameters);
    },
  };
  await store.command(
    "INSERT INTO sallyport.output_rows (session_id, command_seq, seq, at, text) SELECT session_id, 1, 2, started_at, 'shown' FROM sallyport.sessions",
  );
  const who = { author: 'test', authorAddress: '', reason: 'test', requestId: '' };
  await assert.rejects(retention(dying).run(who), /killed/);
  await retention(store).run(who);
  const [shown] = await store.rows<{ kept: string; gone: string }>(
    'SELECT countIf(session_id IN (SELECT session_id FROM sallyport.sessions)) AS kept, count() - kept AS gone FROM sallyport.output',
  );
  assert.equal(shown?.gone, '0', 'and what their hosts showed');
  assert.ok(Number(shown?.kept) > 0);
  const after = await sameAnswers();
  assert.ok(after < before, `${after} rows of ${before}`);
  await rollUpAll();
  assert.equal(await sameAnswers(), after);
});

test('rows of builds that died or were replaced count for nothing, and go', async () => {
  for (const { table } of ROLLUPS)
    await store.command(`INSERT INTO sallyport.${table} (day, build) SELECT arrayJoin([toDate('2026-11-05'), toDate('2026-11-20')]), 7`);
  await sameAnswers();
  const stop = new AbortController();
  const running = rollUpDays({ ...now, store, intervalMs: 10 }, stop.signal);
  for (;;) {
    const [left] = await store.rows<{ n: string }>(
      ROLLUPS.map(({ table }) => `SELECT countIf(build = 7) AS n FROM sallyport.${table}`)
        .join(' UNION ALL ')
        .replace(/^/, 'SELECT sum(n) AS n FROM (')
        .concat(')'),
    );
    if (left?.n === '0') break;
  }
  stop.abort();
  await running;
  await sameAnswers();
});

/** On which days its commands are, as the store will see them. */
async function daysOf(records: readonly Uint8Array[]): Promise<string[]> {
  const { fromBinary } = await import('@bufbuild/protobuf');
  const { RecordSchema } = await import('@sallyport/proto/gen/sallyport/records/v1/records_pb.js');
  return records
    .map(record => fromBinary(RecordSchema, record))
    .filter(({ body }) => body.case === 'command')
    .map(({ atUnixUs }) => new Date(Number(atUnixUs / 1000n)).toISOString().slice(0, 10));
}
