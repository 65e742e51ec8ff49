import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDetectors } from './engine.ts';
import { labelledSet } from './labelled-set.ts';
import { Draw, email, seededRandom } from './labelled-values.ts';
import { DETECTOR_GROUPS, DETECTOR_NAMES, expandDetectors } from './names.ts';
import { score } from './score.ts';
import { NO_SPANS } from './span.ts';

const all = compileDetectors(['all']);

function found(text: string): [string, string][] {
  return all.scanText(text).map(span => [span.detector, text.slice(span.start, span.end)]);
}

test('names are unique, groups are made of them', () => {
  assert.equal(new Set(DETECTOR_NAMES).size, DETECTOR_NAMES.length);
  for (const members of Object.values(DETECTOR_GROUPS)) for (const name of members) assert.ok(DETECTOR_NAMES.includes(name), name);
  assert.deepEqual(expandDetectors(['email', 'personal-data']).slice(0, 2), ['email', 'iban']);
});

test('precision and recall on the labelled set', () => {
  const problems: string[] = [];
  const scores = score(labelledSet(3_000, 42), (line, what) => problems.push(`${what} in ${JSON.stringify(line.text.slice(0, 120))}`));
  const sum = (key: 'expected' | 'exact' | 'wrong'): number => scores.reduce((total, entry) => total + entry[key], 0);
  assert.ok(sum('exact') / sum('expected') > 0.99, problems.slice(0, 20).join('\n'));
  assert.ok(sum('wrong') / sum('expected') < 0.01, problems.slice(0, 20).join('\n'));
});

test('a value without findings gives the shared empty array', () => {
  const bytes = Buffer.from('nothing here');
  assert.equal(all.scan(bytes, 0, bytes.length), NO_SPANS);
  assert.equal(all.scan(bytes, 3, 3), NO_SPANS);
  assert.equal(all.scan(bytes, 3, 4), NO_SPANS);
});

test('nothing outside of the window is seen, and offsets are absolute', () => {
  const text = 'ssn 123456789 alice@example.com';
  const bytes = Buffer.from(text);
  assert.deepEqual(all.scan(bytes, 4, 13), [], 'the keyword stands outside');
  assert.deepEqual(all.scan(bytes, 14, bytes.length), [{ start: 14, end: 31, detector: 'email' }]);
  assert.deepEqual(all.scan(bytes, 0, bytes.length - 4), [{ start: 4, end: 13, detector: 'us-ssn' }]);
});

test('offsets of scanText are UTF-16 units, of scan bytes', () => {
  const text = 'é😀 alice@example.com 😀 bob@example.org';
  assert.deepEqual(found(text), [
    ['email', 'alice@example.com'],
    ['email', 'bob@example.org'],
  ]);
});

test('what is found at one offset is found at every offset', () => {
  for (const line of labelledSet(400, 7)) {
    const expected = all.scan(Buffer.from(line.text), 0, Buffer.byteLength(line.text));
    for (let pad = 1; pad < 4; pad++) {
      const bytes = Buffer.from('x'.repeat(pad) + line.text);
      const spans = all.scan(bytes, pad, bytes.length).map(span => ({ ...span, start: span.start - pad, end: span.end - pad }));
      assert.deepEqual(spans, expected, line.text);
    }
  }
});

/** A DataRow with the given values, as a server writes it. */
function dataRow(values: readonly string[]): Buffer {
  const fields = values.map(value => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  const body = Buffer.concat([Buffer.from([values.length >> 8, values.length & 255]), ...fields]);
  const header = Buffer.alloc(5);
  header[0] = 68;
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

test('a wire buffer with a finding is never said to have none', () => {
  const draw = new Draw(seededRandom(11));
  for (const line of labelledSet(1_500, 5)) {
    if (all.scanText(line.text).length === 0) continue;
    // Any length of what stands beside it, so that every byte occurs in the length prefixes and before the value.
    const before = dataRow(['1', 'w '.repeat(draw.below(40))]);
    const row = dataRow([draw.pick(['7', 'x', 'abc ']), line.text, 'zz']);
    const last = dataRow(['zz', line.text]);
    const complete = Buffer.from([67, 0, 0, 0, 13, 83, 69, 76, 69, 67, 84, 32, 49, 0]);
    for (const wire of [
      Buffer.concat([before, row, complete]),
      Buffer.concat([before, last, last]),
      Buffer.concat([last, complete]),
      Buffer.concat([last, Buffer.from([115, 0, 0, 0, 4])]),
    ]) {
      assert.ok(all.mightMatch(wire, 0, wire.length), `${line.id}: ${line.text}`);
      const at = all.nextCandidate(wire, 0, wire.length);
      const end = wire.indexOf(line.text) + Buffer.byteLength(line.text);
      assert.ok(at >= 0 && at < end, `${line.id}: the candidate at ${at} is behind the value, which ends at ${end}`);
    }
  }
});

test('a value of every length from 1 to 300 bytes is found in a wire buffer', () => {
  for (const value of [
    '4111111111111111',
    '123-45-6789',
    'bob@example.com',
    '203.0.113.7',
    'DE89370400440532013000',
    '2001:db8::ff00:42:8329',
    '+14155552671',
    `AK${'IA'}QWERTYUIOPASDF23`,
  ]) {
    for (let pad = 0; pad < 300; pad++) {
      const wire = Buffer.concat([dataRow([`${value}${' '.repeat(pad)}`]), dataRow([`${' '.repeat(pad)}${value}`]), dataRow(['x'])]);
      const first = dataRow([`${value}${' '.repeat(pad)}`]);
      assert.ok(all.mightMatch(first, 0, first.length), `${value} first, ${pad}`);
      const second = wire.subarray(first.length);
      assert.ok(all.mightMatch(second, 0, second.length), `${value} last, ${pad}`);
    }
  }
});

test('escaped values are found and cover what they were written with', () => {
  const table: [string, string[]][] = [
    ['{"e":"alice\\u0040example.com"}', ['alice\\u0040example.com']],
    ['q=alice%40example.com&x=1', ['alice%40example.com']],
    ['<e>alice&#64;example.com</e>', ['alice&#64;example.com']],
    ['<e>alice&#x40;example.com</e>', ['alice&#x40;example.com']],
    [`\\x${Buffer.from('mail alice@example.com now').toString('hex')}`, [Buffer.from('alice@example.com').toString('hex')]],
    [`{"\\\\x${Buffer.from('ssn 123-45-6789').toString('hex')}"}`, [Buffer.from('123-45-6789').toString('hex')]],
    ['card=4111%201111%201111%201111', ['4111%201111%201111%201111']],
    ['{"u":"https:\\/\\/bob:hunter2x@example.com\\/"}', ['hunter2x']],
    ['{alice@example.com,"bob b@example.org"}', ['alice@example.com', 'b@example.org']],
  ];
  for (const [text, expected] of table)
    assert.deepEqual(
      found(text).map(([, value]) => value),
      expected,
      text,
    );
});

test('near misses', () => {
  const nothing = [
    'git@github.com:acme/app.git',
    'user@host',
    'logo@2x.png',
    'lodash@4.17.21',
    '4111111111111112',
    '0.4111111111111111',
    '000-12-3456',
    '666-12-3456',
    '987-65-4321'.replace('65', '10'),
    '123-45-67890',
    '1.2.3.4.5',
    'version 10.0.0.1',
    '256.1.1.1',
    '12:34:56',
    'a::b',
    'password: string',
    'password = getPassword()',
    'token: null',
    'DE89370400440532013001',
    `gh${'p_'}${'a'.repeat(36)}`,
    'eyJhbGciOiJub3QgYSBqd3QifQ',
  ];
  for (const text of nothing) assert.deepEqual(found(text), [], text);
});

test('overlapping findings become one, named by the more specific', () => {
  const draw = new Draw(seededRandom(3));
  assert.deepEqual(found(`password=${email(draw).toLowerCase()}`).length, 1);
  const key = `AK${'IA'}QWERTYUIOPASDF23`;
  assert.deepEqual(found(`api_key="${key}"`), [['aws-access-key', key]]);
});

test('random bytes never throw', () => {
  const draw = new Draw(seededRandom(99));
  for (let round = 0; round < 400; round++) {
    const bytes = Uint8Array.from({ length: draw.below(400) }, () =>
      draw.below(3) === 0 ? draw.below(256) : '0123456789-. @:/\\x%&aAeyJ"=\''.charCodeAt(draw.below(27)),
    );
    for (const span of all.scan(bytes, 0, bytes.length)) assert.ok(span.start >= 0 && span.start < span.end && span.end <= bytes.length);
    all.nextCandidate(bytes, 0, bytes.length);
  }
});

test('secrets and numbers as people write them', () => {
  const hex = '20cd97c220582f7e93ad05680a4505c5ec10944f2850b6629cfbbe90c0aaaa0c';
  const cases: [string, string, string][] = [
    [`ROUTER=sk-or-v1-${hex}`, 'openrouter-key', `sk-or-v1-${hex}`],
    [
      'x MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs',
      'discord-bot-token',
      'MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs',
    ],
    ['curl -s -u deploy:95pIuaHBoaT38P https://api.acme.io/v1', 'basic-auth', '95pIuaHBoaT38P'],
    ['sshpass -p QodxYswYssL1 ssh root@10.0.0.4', 'generic-secret', 'QodxYswYssL1'],
    ['mysql -u root -phNONgygEjNyV shop', 'generic-secret', 'hNONgygEjNyV'],
    ['<add key="ApiSecret" value="iXWm3vBGmDYSTwOQBW9eqsMaVg3wXfwi"/>', 'generic-secret', 'iXWm3vBGmDYSTwOQBW9eqsMaVg3wXfwi'],
    ['DEPLOY_TOKEN=5da0dffa-2315-4157-a5bc-c9d0288d0c6d', 'generic-secret', '5da0dffa-2315-4157-a5bc-c9d0288d0c6d'],
    ['Authorization: SSWS 00KNMnUdDuD4TmsLAPSUDJDfMonCLWDcycB-0OMp4P', 'okta-token', '00KNMnUdDuD4TmsLAPSUDJDfMonCLWDcycB-0OMp4P'],
    ['Reisepass Nr. CXT56ZN6C', 'passport', 'CXT56ZN6C'],
    ['{"taxFileNumber": "887 379 944"}', 'au-tfn', '887 379 944'],
    ['<td>BHOPA4620T</td>', 'in-pan', 'BHOPA4620T'],
  ];
  for (const [text, detector, value] of cases)
    assert.ok(
      found(text).some(([name, span]) => name === detector && span === value),
      text,
    );
  const none = [
    'trace_token=5da0dffa-2315-4157-a5bc-c9d0288d0c6d',
    'port 50:06:01:60:3b:20:19:61',
    'curl -u $USER:$PASSWORD x',
    'mysql -p shop',
  ];
  for (const text of none) assert.deepEqual(found(text), [], text);
});
