import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Command,
  CommandSchema,
  RecordBatchSchema,
  RecordSchema,
  type Response,
  ResponseSchema,
} from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { commandRow, withdrawnCommandRow } from './command-row.testing.ts';
import { CommandBlock, sessionColumnsOf } from './command-row.ts';
import { decodeEntry } from './decode.ts';
import { sessionContext } from './derive.ts';
import { BlockWriter } from './row-binary.ts';
import { seededRandom } from './sample-records.ts';
import { commandColumns } from './tables.ts';

const random = seededRandom(7);
const below = (count: number) => Math.floor(random() * count);
const pieces = ['', 'a', 'SELECT 1', 'größe', '漢字', '\u{1f600}', 'x'.repeat(63), 'y'.repeat(64), 'é'.repeat(70), 'z'.repeat(300)];
const text = () => pieces[below(pieces.length)] ?? '';
const texts = () => Array.from({ length: below(4) }, text);
const bytes = () => Uint8Array.from({ length: [0, 16, 32, 100][below(4)] ?? 0 }, () => below(256));
const numbers = [0n, 1n, 127n, 128n, 0xffff_ffffn, 0x1_0000_0000n, 0x7_ffff_ffffn, 0x8_0000_0000n, 2n ** 53n, 2n ** 64n - 1n];
const number = () => numbers[below(numbers.length)] ?? 0n;

const command = (): Command =>
  create(CommandSchema, {
    ...{ kind: text(), text: text(), textTruncated: below(2) === 0, fingerprint: text(), statements: texts(), objects: texts() },
    ...{ columnsRead: texts(), parameters: texts(), decision: below(5), rule: text(), reason: text(), approvalId: text() },
    ...{ approvers: texts(), policyVersion: number(), inferences: texts(), textSha256: bytes(), preparedName: text(), database: text() },
    sealed: bytes(),
  });
const response = (): Response =>
  create(ResponseSchema, {
    ...{ commandSeq: 4n, status: below(7), errorCode: text(), errorText: text(), tag: text(), rows: number(), bytes: number() },
    ...{ maskedValues: number(), dataClasses: texts(), durationUs: number(), head: bytes(), headTruncated: below(2) === 0 },
    ...{ sha256: bytes(), columns: texts(), heldUs: number(), approvers: texts(), sealed: bytes() },
  });
const facts = { sessionId: 'séssion', started: null, refused: null, ended: null };
const context = { ...sessionContext(facts), agent: 'a', principal: 'ana', groups: ['x', 'y'.repeat(80)], role: 'support', issuer: 'i' };
const at = 1_800_000_000_000_000n;

type Body = { case: 'command'; value: Command } | { case: 'response'; value: Response };

/** The record as decode.ts gives it. */
function decoded(body: Body, more: Uint8Array = new Uint8Array(0)) {
  const record = toBinary(RecordSchema, create(RecordSchema, { sessionId: 's', seq: 4n, atUnixUs: at, body }));
  const encoded = Uint8Array.from([...record, ...more]);
  const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { agentId: 'a', spoolId: 'p', records: [encoded] }));
  const { records, deadLetters } = decodeEntry(0n, batch);
  return { record: records[0], deadLetters, encoded };
}

function body(of: Body) {
  const { record } = decoded(of);
  assert.ok(record?.body);
  assert.deepEqual(record.message, fromBinary(RecordSchema, record.encoded));
  return record.body;
}

describe("a command's row", () => {
  it('is that of the same records as objects, byte for byte', () => {
    const columns = sessionColumnsOf(facts.sessionId, context);
    const written = new CommandBlock();
    const expected = new BlockWriter(commandColumns);
    for (let round = 0; round < 60; round++) {
      const asked = command();
      const answer = response();
      const one = { seq: 4, at, body: body({ case: 'command', value: asked }) };
      const timed = { at, body: asked };
      if (round % 4 === 0) {
        written.add(columns, one, { state: 'open' });
        expected.add(commandRow(facts.sessionId, context, 4, timed, { state: 'open' }));
      } else if (round % 4 === 1) {
        written.add(columns, one, { state: 'abandoned' });
        expected.add(commandRow(facts.sessionId, context, 4, timed, { state: 'abandoned' }));
      } else if (round % 4 === 2) {
        written.withdraw(sessionColumnsOf(facts.sessionId, sessionContext(facts)), one);
        expected.add(withdrawnCommandRow(facts.sessionId, 4, timed));
      } else {
        written.add(columns, one, { state: 'answered', at: at + 5n, body: body({ case: 'response', value: answer }) });
        expected.add(commandRow(facts.sessionId, context, 4, timed, { state: 'answered', response: { at: at + 5n, body: answer } }));
      }
      assert.ok(Buffer.from(written.block.take()).equals(expected.take()), `round ${round}`);
    }
    assert.equal(written.block.rows, expected.rows);
  });

  it('is read by the generated code where the record is unusual, and is the same', () => {
    const value = command();
    const plain = decoded({ case: 'command', value });
    // A field of a later version, behind the record's own and in the command, and a body that comes twice.
    const later = decoded({ case: 'command', value }, Uint8Array.from([0xf8, 0x07, 1]));
    const twice = decoded({ case: 'command', value }, Uint8Array.from([13 * 8 + 2, 2, 2 * 8 + 2, 0]));
    for (const { record, encoded } of [later, twice]) {
      assert.equal(record?.type, 'command');
      assert.deepEqual(record?.encoded, encoded);
      assert.ok(record?.body && plain.record?.body);
    }
    const row = (from: typeof plain) => {
      const block = new CommandBlock();
      if (from.record?.body) block.add(sessionColumnsOf('s', context), { seq: 4, at, body: from.record.body }, { state: 'open' });
      return Buffer.from(block.block.take());
    };
    assert.ok(row(later).equals(row(plain)));
    assert.ok(!row(twice).equals(row(plain)) || value.text === '', 'its text was replaced by an empty one');
  });

  it('is not made of text that is no UTF-8', () => {
    for (const length of [3, 90]) {
      const value = create(CommandSchema, { kind: 'query', text: 'x'.repeat(length) });
      const { encoded } = decoded({ case: 'command', value });
      encoded[encoded.length - 1] = 0xff;
      const { records, deadLetters } = decodeEntry(
        0n,
        toBinary(RecordBatchSchema, create(RecordBatchSchema, { agentId: 'a', spoolId: 'p', records: [encoded] })),
      );
      assert.equal(records.length, 0);
      assert.equal(deadLetters[0]?.code, 'RECORD_UNREADABLE');
    }
  });
});
