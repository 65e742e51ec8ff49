/** What hosts showed is there to be searched, the same in whatever order and however often its pieces come. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { RecordSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { Entry } from '../log/event-log.ts';
import { type Spawned, spawnStore, writer } from '../session-store/spawn-process.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { RecordsWriter } from './records-batch.ts';
import { batchOf, seededRandom } from './sample-records.ts';
import { openSessionStore, type SessionStore } from './session-store.ts';

let root: string;
let process: Spawned & { url: string };
let store: SessionStore;
let offset = 0n;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'sallyport-output-'));
  process = await spawnStore(join(root, 'store'));
  store = openSessionStore({ url: process.url, username: writer.name, password: writer.password });
  await migrate(store, await loadMigrations());
});
after(async () => {
  await store?.close();
  await process?.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

const pieces = [
  '$ cat notes\r\n',
  'the quick bro',
  'wn fox \u001b[1mjum',
  'ps\u001b[0m over\r\n',
  'a typo',
  '\b\b\b\bword\r\n',
  'the end\r\n',
];

/** A session with two commands whose output comes in pieces, in turns; and pieces that are not for searching. */
function records(sessionId: string): Uint8Array[] {
  const bodies: MessageInitShape<typeof RecordSchema>['body'][] = [
    { case: 'sessionStarted', value: { resource: 'bastion', protocol: 'ssh', agent: 'a', principal: { name: 'ana' } } },
    { case: 'command', value: { kind: 'ssh-shell', text: 'shell' } },
    { case: 'command', value: { kind: 'ssh-exec', text: 'other' } },
    ...pieces.flatMap(piece =>
      [1n, 2n].map(commandSeq => ({ case: 'outputChunk' as const, value: { commandSeq, stream: 'o', data: Buffer.from(piece) } })),
    ),
    { case: 'outputChunk', value: { commandSeq: 1n, stream: 'i', data: Buffer.from('typed') } },
    { case: 'outputChunk', value: { commandSeq: 1n, stream: 'o', sealed: Buffer.from('sealed') } },
    { case: 'outputChunk', value: { commandSeq: 1n, stream: '', data: Buffer.from('rows') } },
  ];
  return bodies.map((body, seq) =>
    toBinary(
      RecordSchema,
      create(RecordSchema, {
        sessionId,
        seq: BigInt(seq),
        atUnixUs: 1_795_000_000_000_000n + BigInt(seq),
        body: body ?? { case: undefined },
      }),
    ),
  );
}

function entry(batch: readonly Uint8Array[]): Entry {
  offset += 1n;
  return { offset, key: new Uint8Array(), value: batchOf(`spool-${offset}`, 0, batch), timestampMs: 0 };
}

const shown = async (session: string) =>
  (
    await store.rows<{ row: string }>(
      "SELECT concat(toString(command_seq), '/', toString(seq), ' ', text) AS row FROM sallyport.output WHERE session_id = {session:String} ORDER BY command_seq, seq",
      { session },
    )
  ).map(({ row }) => row);

test('in order it is whole across pieces, without what nobody saw', async () => {
  await new RecordsWriter(store).write([entry(records('in-order'))]);
  const rows = await shown('in-order');
  assert.equal(rows.length, 2 * pieces.length);
  assert.equal(rows.at(-1), '2/16 $ cat notes\nthe quick brown fox jumps over\na word\nthe end\n');
  for (const unseen of ['typed', 'sealed', 'rows', 'typo\n', '\u001b']) assert.ok(!rows.some(row => row.includes(unseen)), unseen);
});

test('in any order, in batches of any size, sent again, after restarts and kills, it is the same', async () => {
  const expected = await shown('in-order');
  for (let seed = 1; seed <= 4; seed += 1) {
    const session = `any-order-${seed}`;
    const random = seededRandom(seed);
    const all = records(session);
    const shuffled = all.map(record => ({ record, at: random() })).sort((a, b) => a.at - b.at);
    const entries: Entry[] = [];
    for (let from = 0; from < shuffled.length; ) {
      const count = 1 + Math.floor(random() * 4);
      entries.push(entry(shuffled.slice(from, from + count).map(({ record }) => record)));
      from += count;
    }
    let ingest = new RecordsWriter(store);
    for (const next of entries) {
      if (random() < 0.4) {
        // Dies in the middle of the batch, at one table or another.
        let left = Math.floor(random() * 4);
        const dying: SessionStore = {
          ...store,
          insert: async (table, columns, block) => {
            left -= 1;
            if (left < 0) throw new Error('killed');
            await store.insert(table, columns, block);
          },
        };
        await new RecordsWriter(dying).write([next]).catch((error: unknown) => assert.match(String(error), /killed/));
        ingest = new RecordsWriter(store);
      }
      await ingest.write([next]);
    }
    await ingest.write([entry(all.slice(3, 9))]);
    assert.deepEqual(await shown(session), expected, `seed ${seed}`);
  }
});

test('a terminal that goes on after a restart, again and again', async () => {
  const all = records('restarted');
  for (const record of all) await new RecordsWriter(store).write([entry([record])]);
  assert.deepEqual(await shown('restarted'), await shown('in-order'));
});
