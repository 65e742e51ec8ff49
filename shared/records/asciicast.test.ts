import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AsciicastWriter, parseEvent, parseHeader, VersionTwo } from './asciicast.ts';

const head = { startedUnixUs: 1_700_000_000_000_000, title: 'olga on web', command: 'shell' };
const at = (seconds: number) => head.startedUnixUs + seconds * 1e6;

function written(): string[] {
  const writer = new AsciicastWriter(head);
  const smile = Buffer.from('h\u00e9');
  return [
    ...writer.lines({ atUnixUs: at(0), stream: 'r', data: Buffer.from('100x30') }),
    ...writer.lines({ atUnixUs: at(1), stream: 'o', data: smile.subarray(0, 2) }),
    ...writer.lines({ atUnixUs: at(1.5), stream: 'm', data: Buffer.from('allow: ls') }),
    ...writer.lines({ atUnixUs: at(2), stream: 'o', data: smile.subarray(2) }),
    ...writer.lines({ atUnixUs: at(3), stream: 'r', data: Buffer.from('90x20') }),
    ...writer.end(at(4), 3),
  ];
}

test('version 3: the first size is the header’s, intervals, characters that are cut, the status at the end', () => {
  assert.deepEqual(
    written().map(line => JSON.parse(line)),
    [
      { version: 3, term: { cols: 100, rows: 30, type: 'xterm' }, timestamp: 1_700_000_000, title: 'olga on web', command: 'shell' },
      [1, 'o', 'h'],
      [0.5, 'm', 'allow: ls'],
      [0.5, 'o', '\u00e9'],
      [1, 'r', '90x20'],
      [1, 'x', '3'],
    ],
  );
});

test('version 2: times from the beginning', () => {
  const two = new VersionTwo();
  assert.deepEqual(
    written().flatMap(line => {
      const other = two.line(line);
      return other === null ? [] : [JSON.parse(other)];
    }),
    [
      { version: 2, width: 100, height: 30, timestamp: 1_700_000_000, title: 'olga on web', command: 'shell' },
      [1, 'o', 'h'],
      [1.5, 'm', 'allow: ls'],
      [2, 'o', '\u00e9'],
      [3, 'r', '90x20'],
    ],
  );
});

test('what is no recording is refused', () => {
  for (const line of ['', '{}', '{"version":2}', 'x']) assert.throws(() => parseHeader(line), { code: 'RECORDING_MALFORMED' });
  for (const line of ['x', '{}', '[1]', '["a","b","c"]']) assert.throws(() => parseEvent(line), { code: 'RECORDING_MALFORMED' });
  assert.equal(parseEvent('# a comment'), null);
});
