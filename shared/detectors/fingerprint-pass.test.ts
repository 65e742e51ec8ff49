import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POSITIONS_MAX } from './fingerprint-pass.ts';
import { FingerprintIndex, fingerprintCredential } from './known-credentials.ts';
import { Scan } from './span.ts';

const secret = 'p4ss+word/of the host';
const key = new Uint8Array(32).fill(5);
const index = new FingerprintIndex(key, fingerprintCredential(secret, key).forms);
const length = Buffer.byteLength(secret);

/** Bytes that hold no finding, the same each time. */
const noise = (bytes: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 0xff));

function starts(text: Buffer, from: number, to: number, until = to): number[] {
  const scan = new Scan();
  scan.reset(text, from, to, false);
  index.scan(scan, until);
  return scan.count === 0 ? [] : scan.spans().map(span => span.start);
}

test('a credential is found wherever it stands in a long text, and nowhere else', () => {
  const text = noise(2 * POSITIONS_MAX + 1000);
  const places = [
    0,
    700,
    POSITIONS_MAX - 2 * length,
    POSITIONS_MAX - 4,
    POSITIONS_MAX + length,
    2 * POSITIONS_MAX - 1,
    text.length - length,
  ];
  for (const at of places) text.write(secret, at);
  assert.deepEqual(starts(text, 0, text.length), places);
  assert.deepEqual(starts(text, 1, text.length - 1), places.slice(1, -1));
  assert.deepEqual(starts(text, 700, POSITIONS_MAX, 700 + 1), [700]);
  assert.deepEqual(starts(text, 600, POSITIONS_MAX, 700), []);
});

test('texts of every length are looked at to their last byte and no further', () => {
  const text = noise(400);
  for (let end = length; end < 220; end++) {
    const piece = Buffer.from(text);
    piece.write(secret, end - length);
    assert.deepEqual(starts(piece, 0, end), [end - length], `${end}`);
    assert.deepEqual(starts(piece, 0, end - 1), [], `${end - 1}`);
    assert.deepEqual(starts(piece, 0, 400, end - length), [], `${end}`);
  }
});

test('in a piece of a wire buffer the first one ends the search', () => {
  const text = noise(5000);
  for (const at of [1700, 1800, 4000]) text.write(secret, at);
  const scan = new Scan();
  for (const [from, hit] of [
    [0, 1700],
    [1701, 1800],
    [1801, 4000],
    [4001, -1],
  ] as const) {
    scan.reset(text, from, text.length, true);
    index.scan(scan, text.length);
    assert.equal(scan.hit, hit);
  }
});
