import assert from 'node:assert/strict';
import { test } from 'node:test';
import { postgresAnswer } from './postgres-answer.ts';

const int16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const message = (type: string, ...parts: Uint8Array[]) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
};
const text = (value: string) => Buffer.from(`${value}\0`);
const column = (name: string, oid: number, format = 0) =>
  Buffer.concat([text(name), int32(0), int16(0), int32(oid), int16(4), int32(-1), int16(format)]);
const value = (bytes: Uint8Array | null) => (bytes === null ? int32(-1) : Buffer.concat([int32(bytes.length), bytes]));
const row = (...values: (Uint8Array | null)[]) => message('D', int16(values.length), ...values.map(value));

const described = message('T', int16(2), column('id', 23, 1), column('email', 25));
const rows = [row(int32(7), Buffer.from('a***@example.com')), row(int32(8), null)];
const whole = Buffer.concat([described, ...rows, message('C', text('SELECT 2')), message('Z', Buffer.from('I'))]);

test('rows with their columns, NULL apart from empty, and the tag', () => {
  assert.deepEqual(postgresAnswer(whole), {
    tables: [
      {
        columns: ['id', 'email'],
        rows: [
          ['7', 'a***@example.com'],
          ['8', null],
        ],
        tag: 'SELECT 2',
      },
    ],
    notes: [],
    whole: true,
  });
});

test('cut off anywhere it gives what came before, and says that it is not whole', () => {
  const ends = [0];
  while ((ends.at(-1) ?? 0) < whole.length) ends.push((ends.at(-1) ?? 0) + 1 + whole.readInt32BE((ends.at(-1) ?? 0) + 1));
  for (let length = 0; length < whole.length; length++) {
    const answer = postgresAnswer(whole.subarray(0, length));
    assert.equal(answer.whole, ends.includes(length), `${length}`);
    assert.equal(answer.tables[0]?.rows.length ?? 0, ends.filter(end => end <= length).length >= 4 ? 2 : length >= (ends[2] ?? 0) ? 1 : 0);
  }
});

test('without a description the names that were recorded are taken', () => {
  const { tables } = postgresAnswer(Buffer.concat([row(Buffer.from('x'), Buffer.from([0xff, 0xfe]))]), ['name', 'raw']);
  assert.deepEqual(tables, [{ columns: ['name', 'raw'], rows: [['x', '\\xfffe']], tag: '' }]);
});

test('errors and notices are read; lying lengths and any other bytes end the reading', () => {
  const error = message('E', text('SERROR'), text('C42501'), text('MSchema changes go through migrations.'), Buffer.from([0]));
  assert.deepEqual(postgresAnswer(error).notes, [{ severity: 'ERROR', code: '42501', message: 'Schema changes go through migrations.' }]);
  const lying = Buffer.from(whole);
  lying.writeInt32BE(2_000_000_000, 1);
  assert.deepEqual(postgresAnswer(lying), { tables: [], notes: [], whole: false });
  lying.writeInt32BE(-5, 1);
  assert.equal(postgresAnswer(lying).whole, false);
  let seed = 7;
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(whole);
    for (let each = 0; each < 4; each++) {
      seed = (seed * 48_271) % 0x7fffffff;
      bytes[seed % bytes.length] = seed & 255;
    }
    postgresAnswer(bytes);
  }
});

test('binary forms that drivers ask for', () => {
  const timestamp = Buffer.alloc(8);
  timestamp.writeBigInt64BE(86_400_000_000n);
  const head = Buffer.concat([
    message('T', int16(4), column('b', 16, 1), column('at', 1184, 1), column('u', 2950, 1), column('?', 9999, 1)),
    row(Buffer.from([1]), timestamp, Buffer.alloc(16, 0xab), Buffer.from([1, 2])),
  ]);
  assert.deepEqual(postgresAnswer(head).tables[0]?.rows, [
    ['t', '2000-01-02 00:00:00.000', 'abababab-abab-abab-abab-abababababab', '\\x0102'],
  ]);
});
